//! A service that a test asks over the wire and writes to without it, so that what is written when is up
//! to the test alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::pdp::{Pdp, Token, WriteChange};
use bailiwick::store::Store;
use bailiwick::store::memory::MemoryStore;
use pb::consistency::Requirement;
use tonic::Status;

use super::client::{Wire, ask, item, roles};
use crate::support::SetClock;
use crate::support::service::{Service, pdp};

pub(super) const QUESTION: &str = "user:ana doc.view doc:d1";

/// A service that the test also writes to without the wire, and its clock.
pub(super) struct Asked {
    pub(super) wire: Wire,
    pub(super) pdp: Pdp,
    pub(super) clock: Arc<SetClock>,
}

impl Asked {
    pub(super) async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new()), Patience::default()).await
    }

    pub(super) async fn on(store: Arc<dyn Store>, patience: Patience) -> Self {
        let clock = Arc::new(SetClock::default());
        let pdp = pdp(store, Arc::clone(&clock) as Arc<_>);
        let wire = Wire::to(Service::serve(&pdp, patience).await).await;
        Self { wire, pdp, clock }
    }

    pub(super) async fn commit(&self, changes: Vec<WriteChange>) -> Token {
        self.pdp.write(changes).await.unwrap().token
    }

    /// Whether `question` is allowed, and at which revision.
    pub(super) async fn check(
        &mut self,
        question: &str,
        fresh: Requirement,
    ) -> Result<(bool, u64), Status> {
        let request = pb::CheckRequest { consistency: require(fresh), ..ask(question) };
        let answer = self.wire.check(request).await?;
        let parsed: Token = answer.token.parse().unwrap();
        assert_eq!(parsed.revision.0, answer.revision);
        Ok((answer.decision() == pb::Decision::Allow, answer.revision))
    }

    /// Every tuple as of a token's revision.
    pub(super) async fn tuples(&mut self, exactly: &Token) -> Result<BTreeSet<String>, Status> {
        let request = pb::ReadTuplesRequest {
            consistency: require(self::exactly(exactly)),
            ..Default::default()
        };
        let (entries, end) = self.wire.read_entries(request).await?;
        assert_eq!((end.revision, &end.token), (exactly.revision.0, &exactly.to_string()));
        let text = |tuple: pb::Tuple| format!("{}#{}@{}", tuple.scope, tuple.role, tuple.subject);
        Ok(entries.into_iter().map(|entry| text(entry.tuple.unwrap())).collect())
    }

    /// The answers of all methods that take a consistency.
    pub(super) async fn all(
        &mut self,
        fresh: Requirement,
    ) -> Vec<(&'static str, Result<u64, Status>)> {
        let consistency = require(fresh);
        let check = pb::CheckRequest {
            consistency: consistency.clone(),
            ..ask("user:ana doc.view doc:d1")
        };
        let batch = pb::BatchCheckRequest {
            items: vec![item("user:ana doc.view doc:d1")],
            consistency: consistency.clone(),
            ..Default::default()
        };
        let list = pb::ListSubjectsRequest { consistency: consistency.clone(), ..list() };
        let roles =
            pb::ListRolesRequest { consistency: consistency.clone(), ..roles("user:ana", "") };
        let read = pb::ReadTuplesRequest { consistency, ..Default::default() };
        let batch = self.wire.questions.batch_check(batch).await;
        vec![
            ("Check", self.wire.check(check).await.map(|answer| answer.revision)),
            ("BatchCheck", batch.map(|answer| answer.into_inner().revision)),
            ("ListSubjects", self.wire.list_entries(list).await.map(|(_, end)| end.revision)),
            ("ListRoles", self.wire.role_entries(roles).await.map(|(_, end)| end.revision)),
            ("ReadTuples", self.wire.read_entries(read).await.map(|(_, end)| end.revision)),
        ]
    }
}

pub(super) fn require(requirement: Requirement) -> Option<pb::Consistency> {
    Some(pb::Consistency { requirement: Some(requirement) })
}

pub(super) fn at_least(token: &Token) -> Requirement {
    Requirement::AtLeast(token.to_string())
}

pub(super) fn exactly(token: &Token) -> Requirement {
    Requirement::Exactly(token.to_string())
}

pub(super) fn list() -> pb::ListSubjectsRequest {
    pb::ListSubjectsRequest {
        permission: "doc.view".into(),
        scope: "doc:d1".into(),
        subject_type: "user".into(),
        ..Default::default()
    }
}

/// Waits shortly where nothing is said, and long enough that the part of it that is left for the answer
/// is enough on a busy machine.
pub(super) fn hasty() -> Patience {
    Patience { request: Duration::from_secs(1), ..Patience::default() }
}

pub(super) fn field_of(fresh: &Requirement) -> &'static str {
    match fresh {
        Requirement::Latest(_) => "consistency.latest",
        Requirement::AtLeast(_) => "consistency.at_least",
        Requirement::Exactly(_) => "consistency.exactly",
    }
}
