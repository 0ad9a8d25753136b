//! `TupleService` on the wire: WriteTuples, ReadTuples.

use tonic::{Request, Response, Status};

use super::Adapter;
use super::convert::{
    change_from_wire, filter_from_wire, require_latest, require_unset, tuple_to_wire,
};
use super::guard::Deadline;
use super::pb::v1 as pb;
use super::status::ApiError;
use super::stream::{Responses, produce};
use crate::model::limits::COMMIT_CHANGES_MAX;
use crate::model::tuple::Tuple;
use crate::pdp::{Token, WriteError};

#[tonic::async_trait]
impl pb::tuple_service_server::TupleService for Adapter {
    async fn write_tuples(
        &self,
        request: Request<pb::WriteTuplesRequest>,
    ) -> Result<Response<pb::WriteTuplesResponse>, Status> {
        let request = request.into_inner();
        require_unset("preconditions", !request.preconditions.is_empty())?;
        require_unset("idempotency_key", !request.idempotency_key.is_empty())?;
        let count = request.changes.len();
        if count > COMMIT_CHANGES_MAX {
            let error = WriteError::TooManyChanges { count, limit: COMMIT_CHANGES_MAX };
            return Err(ApiError::from(error).into());
        }
        let changes = request.changes.into_iter().enumerate();
        let changes: Vec<_> = changes
            .map(|(position, change)| change_from_wire(position, change))
            .collect::<Result<_, _>>()?;
        let written = self.shared.pdp()?.write(changes).await.map_err(ApiError::from)?;
        Ok(Response::new(pb::WriteTuplesResponse {
            revision: written.token.revision.0,
            token: written.token.to_string(),
            changed: written.changed as u64,
        }))
    }

    type ReadTuplesStream = Responses<pb::ReadTuplesResponse>;

    async fn read_tuples(
        &self,
        request: Request<pb::ReadTuplesRequest>,
    ) -> Result<Response<Self::ReadTuplesStream>, Status> {
        let deadline = request.extensions().get::<Deadline>().copied();
        let request = request.into_inner();
        require_latest(request.consistency.as_ref())?;
        require_unset("cursor", !request.cursor.is_empty())?;
        let filter = filter_from_wire(request.filter.unwrap_or_default());
        let reading = self.shared.pdp()?.read();
        let token = reading.token().clone();
        let open = move || Ok(reading.tuples(&filter)?);
        let entry = |tuple: Option<Tuple>| Ok(tuple.as_ref().map(listed));
        let stream =
            produce(&self.shared, deadline, open, entry, move |count| complete(count, &token));
        Ok(Response::new(stream.await?))
    }
}

fn listed(tuple: &Tuple) -> pb::ReadTuplesResponse {
    use pb::read_tuples_response::Part;
    let part = pb::ReadTuple { tuple: Some(tuple_to_wire(tuple)), cursor: String::new() };
    pb::ReadTuplesResponse { part: Some(Part::Tuple(part)) }
}

fn complete(count: u64, token: &Token) -> pb::ReadTuplesResponse {
    use pb::read_tuples_response::Part;
    let end =
        pb::ReadTuplesComplete { count, revision: token.revision.0, token: token.to_string() };
    pb::ReadTuplesResponse { part: Some(Part::Complete(end)) }
}
