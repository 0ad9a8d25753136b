//! `TupleService` on the wire: WriteTuples, ReadTuples.

use tonic::{Request, Response, Status};

use super::Adapter;
use super::convert::{
    change_from_wire, filter_from_wire, key_of_request, precondition_from_wire, require_latest,
    require_unset, tuple_to_wire,
};
use super::guard::Deadline;
use super::pb::v1 as pb;
use super::status::ApiError;
use super::stream::{Responses, produce};
use crate::model::limits::{COMMIT_CHANGES_MAX, PRECONDITIONS_MAX};
use crate::model::tuple::Tuple;
use crate::pdp::{Token, WriteError, WriteRequest};

#[tonic::async_trait]
impl pb::tuple_service_server::TupleService for Adapter {
    async fn write_tuples(
        &self,
        request: Request<pb::WriteTuplesRequest>,
    ) -> Result<Response<pb::WriteTuplesResponse>, Status> {
        let request = request.into_inner();
        // Before they are converted.
        let count = request.changes.len();
        if count > COMMIT_CHANGES_MAX {
            let error = WriteError::TooManyChanges { count, limit: COMMIT_CHANGES_MAX };
            return Err(ApiError::from(error).into());
        }
        let count = request.preconditions.len();
        if count > PRECONDITIONS_MAX {
            let error = WriteError::TooManyPreconditions { count, limit: PRECONDITIONS_MAX };
            return Err(ApiError::from(error).into());
        }
        let changes = request.changes.into_iter().enumerate();
        let preconditions = request.preconditions.into_iter().enumerate();
        let request = WriteRequest {
            key: key_of_request(&request.idempotency_key)?,
            preconditions: preconditions
                .map(|(position, wire)| precondition_from_wire(position, wire))
                .collect::<Result<_, _>>()?,
            changes: changes
                .map(|(position, wire)| change_from_wire(position, wire))
                .collect::<Result<_, _>>()?,
            validate_only: request.validate_only,
        };
        let written = self.shared.pdp()?.commit(request).await.map_err(ApiError::from)?;
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
