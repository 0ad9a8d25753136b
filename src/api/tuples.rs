//! `TupleService` on the wire: WriteTuples, ReadTuples.

use tonic::{Request, Response, Status};

use super::convert::{
    change_from_wire, filter_from_wire, key_of_request, precondition_from_wire, tuple_to_wire,
};
use super::encoded::Encoded;
use super::freshness::{Fresh, fingerprint};
use super::guard::Deadline;
use super::pb::served::tuple_service_server::TupleService;
use super::pb::v1 as pb;
use super::status::ApiError;
use super::stream::{Responses, produce};
use super::{Adapter, dear};
use crate::model::limits::{COMMIT_CHANGES_MAX, PRECONDITIONS_MAX};
use crate::model::tuple::Tuple;
use crate::pdp::{
    BULK_CHANGES, CursorError, KeepOne, Listing, Place, Prepared, Token, TupleFilter, WriteError,
    WriteRequest, offer_turn,
};

/// From so many bytes on a commit is read elsewhere, however few its changes are: those that it has are long.
const BULK_BYTES: usize = 64 * BULK_CHANGES;

#[tonic::async_trait]
impl TupleService for Adapter {
    async fn write_tuples(
        &self,
        request: Request<Encoded<pb::WriteTuplesRequest>>,
    ) -> Result<Response<pb::WriteTuplesResponse>, Status> {
        let request = request.into_inner();
        let commit = if request.is_large(BULK_BYTES, BULK_CHANGES) {
            dear::giving_way(&self.shared, move || commit_from_wire(request)).await??
        } else {
            commit_from_wire(request)?
        };
        let written = self.shared.pdp()?.commit_prepared(commit).await.map_err(ApiError::from)?;
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
        let (_, extensions, mut request) = request.into_parts();
        let cursor = std::mem::take(&mut request.cursor);
        let fingerprint = fingerprint("ReadTuples", &request);
        let filter = filter_from_wire(request.filter.take().unwrap_or_default());
        let fresh = Fresh::new(request.consistency.as_ref(), &extensions);
        let listing = self.shared.list_at(fresh, &cursor, fingerprint).await?;
        let (before, token) = (listing.cursors.count(), listing.reading.token().clone());
        let lease = listing.cursors.lease();
        let open = move || tuples(listing, &filter);
        let finish = move |count| complete(before + count, &token);
        let deadline = extensions.get::<Deadline>().copied();
        let stream = produce(&self.shared, deadline, lease, open, Ok, finish);
        Ok(Response::new(stream.await?))
    }
}

fn commit_from_wire(wire: Encoded<pb::WriteTuplesRequest>) -> Result<Prepared, ApiError> {
    let wire = wire.read()?;
    // Before they are converted.
    let count = wire.changes.len();
    if count > COMMIT_CHANGES_MAX {
        return Err(WriteError::TooManyChanges { count, limit: COMMIT_CHANGES_MAX }.into());
    }
    let count = wire.preconditions.len();
    if count > PRECONDITIONS_MAX {
        return Err(WriteError::TooManyPreconditions { count, limit: PRECONDITIONS_MAX }.into());
    }
    let changes = wire.changes.into_iter().enumerate();
    let preconditions = wire.preconditions.into_iter().enumerate();
    let request = WriteRequest {
        key: key_of_request(&wire.idempotency_key)?,
        preconditions: preconditions
            .map(|(position, wire)| precondition_from_wire(position, wire))
            .collect::<Result<_, _>>()?,
        changes: changes
            .map(|(position, wire)| {
                offer_turn(position);
                change_from_wire(position, wire)
            })
            .collect::<Result<_, _>>()?,
        keep_one: if wire.waive_keep_one { KeepOne::Waived } else { KeepOne::Obeyed },
        validate_only: wire.validate_only,
    };
    Ok(request.prepare()?)
}

/// The list from where it begins, each entry with the cursor that stands after it.
fn tuples(
    listing: Listing,
    filter: &TupleFilter,
) -> Result<impl Iterator<Item = Option<pb::ReadTuplesResponse>> + use<>, ApiError> {
    let Listing { reading, after, mut cursors } = listing;
    let mut list = reading.tuples(filter)?;
    match after {
        None => {}
        Some(Place::Tuple(position)) => list.go_on_after(position),
        Some(Place::Subject(_) | Place::Role { .. }) => {
            return Err(CursorError::OtherRequest.into());
        }
    }
    Ok(std::iter::from_fn(move || {
        let Some(item) = list.next() else {
            cursors.complete();
            return None;
        };
        let found = item.zip(list.position());
        Some(found.map(|(tuple, at)| listed(&tuple, cursors.after_tuple(at))))
    }))
}

fn listed(tuple: &Tuple, cursor: String) -> pb::ReadTuplesResponse {
    use pb::read_tuples_response::Part;
    let part = pb::ReadTuple { tuple: Some(tuple_to_wire(tuple)), cursor };
    pb::ReadTuplesResponse { part: Some(Part::Tuple(part)) }
}

fn complete(count: u64, token: &Token) -> pb::ReadTuplesResponse {
    use pb::read_tuples_response::Part;
    let end =
        pb::ReadTuplesComplete { count, revision: token.revision.0, token: token.to_string() };
    pb::ReadTuplesResponse { part: Some(Part::Complete(end)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prost::Message;
    use prost::bytes::Bytes;

    use super::*;
    use crate::api::Shared;
    use crate::config::Settings;
    use crate::model::limits::BULK_REQUESTS_MAX;

    /// So many changes, each with a reason of so many bytes.
    fn request(changes: usize, reason: usize) -> Request<Encoded<pb::WriteTuplesRequest>> {
        let reason = "r".repeat(reason);
        let tuple = Some(pb::Tuple { reason, ..Default::default() });
        let changes = vec![pb::TupleChange { tuple, ..Default::default() }; changes];
        let request = pb::WriteTuplesRequest { changes, ..Default::default() };
        Request::new(Encoded::decode(Bytes::from(request.encode_to_vec())).unwrap())
    }

    #[tokio::test]
    async fn a_large_commit_is_read_elsewhere_and_a_small_one_at_once() {
        let shared = Arc::new(Shared::new(Settings::default()));
        let adapter = Adapter { shared: Arc::clone(&shared) };
        let places = u32::try_from(BULK_REQUESTS_MAX).unwrap();
        let taken = Arc::clone(&shared.bulk).acquire_many_owned(places).await.unwrap();
        let small = request(BULK_CHANGES - 1, 1);
        assert!(adapter.write_tuples(small).await.is_err(), "its changes say nothing");
        let large = [request(BULK_CHANGES, 1), request(1, BULK_BYTES)];
        let waiting = large.map(|large| {
            let adapter = adapter.clone();
            tokio::spawn(async move { adapter.write_tuples(large).await })
        });
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        drop(taken);
        for waiting in waiting {
            assert!(waiting.await.unwrap().is_err());
        }
    }
}
