//! Short ways to say on which terms something is to be written.

use std::sync::Arc;

use bailiwick::api::pb::v1 as pb;
use bailiwick::store::memory::MemoryStore;
use pb::precondition::Condition;
use tonic::Status;

use super::client::{Wire, change, tuple};
use crate::support::SetClock;
use crate::support::service::Service;

/// A service whose clock the test sets.
pub(super) async fn timed() -> (Wire, Arc<SetClock>) {
    let clock = Arc::new(SetClock::default());
    let service = Service::start_on(Arc::new(MemoryStore::new()), clock.clone()).await;
    let channel = service.channel().await;
    let questions =
        pb::authorization_service_client::AuthorizationServiceClient::new(channel.clone());
    let tuples = pb::tuple_service_client::TupleServiceClient::new(channel);
    (Wire { service, questions, tuples }, clock)
}

impl Wire {
    pub(super) async fn commit(
        &mut self,
        request: pb::WriteTuplesRequest,
    ) -> Result<pb::WriteTuplesResponse, Status> {
        Ok(self.tuples.write_tuples(request).await?.into_inner())
    }

    /// The text of every stored tuple.
    pub(super) async fn stored(&mut self) -> Vec<String> {
        let tuples = self.read(pb::TupleFilter::default()).await.unwrap();
        let text = |t: &pb::Tuple| format!("{}#{}@{}", t.scope, t.role, t.subject);
        let mut texts: Vec<_> = tuples.iter().map(text).collect();
        texts.sort();
        texts
    }
}

pub(super) fn changes(changes: Vec<pb::TupleChange>) -> pb::WriteTuplesRequest {
    pb::WriteTuplesRequest { changes, ..Default::default() }
}

pub(super) fn keyed(key: &str, list: Vec<pb::TupleChange>) -> pb::WriteTuplesRequest {
    pb::WriteTuplesRequest { idempotency_key: key.into(), ..changes(list) }
}

pub(super) fn create(text: &str) -> pb::TupleChange {
    change(pb::Operation::Create, tuple(text))
}

pub(super) fn delete(text: &str) -> pb::TupleChange {
    change(pb::Operation::Delete, tuple(text))
}

pub(super) fn must(filter: pb::TupleFilter) -> pb::Precondition {
    pb::Precondition { condition: Some(Condition::MustMatch(filter)) }
}

pub(super) fn must_not(filter: pb::TupleFilter) -> pb::Precondition {
    pb::Precondition { condition: Some(Condition::MustNotMatch(filter)) }
}

pub(super) fn at(scope: &str, role: &str) -> pb::TupleFilter {
    pb::TupleFilter { scope: scope.into(), role: role.into(), ..Default::default() }
}

pub(super) fn seconds(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

pub(super) const MICROS: i64 = 1_000_000;
