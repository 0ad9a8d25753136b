//! `AuthorizationService` on the wire: Check, BatchCheck, ListSubjects.

use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prost_types::Struct;
use tonic::{Request, Response, Status};

use super::Adapter;
use super::convert::{
    context_from_wire, contextual_from_wire, decision_to_wire, grant_to_wire, reason_to_wire,
};
use super::freshness::{Fresh, fingerprint};
use super::guard::{Deadline, deadline_exceeded};
use super::pb::v1 as pb;
use super::status::{ApiError, Refusal};
use super::stream::{Responses, produce};
use crate::engine::{CheckedContext, EngineError};
use crate::model::limits::BATCH_ITEMS_MAX;
use crate::pdp::{CursorError, Listing, Place, Reading, Token};

/// Up to this many items are cheaper to answer where the request was read than on another thread. No
/// bound: more are answered too.
const INLINE_ITEMS: usize = 32;

#[tonic::async_trait]
impl pb::authorization_service_server::AuthorizationService for Adapter {
    async fn check(
        &self,
        request: Request<pb::CheckRequest>,
    ) -> Result<Response<pb::CheckResponse>, Status> {
        let (_, extensions, mut request) = request.into_parts();
        let fresh = Fresh::new(request.consistency.as_ref(), &extensions);
        let reading = self.shared.read_at(fresh).await?;
        let reading = with_contextual(reading, take(&mut request.contextual_tuples))?;
        Ok(Response::new(check(&reading, request)?))
    }

    async fn batch_check(
        &self,
        request: Request<pb::BatchCheckRequest>,
    ) -> Result<Response<pb::BatchCheckResponse>, Status> {
        let (_, extensions, mut request) = request.into_parts();
        let deadline = extensions.get::<Deadline>().copied();
        check_batch(&request)?;
        let fresh = Fresh::new(request.consistency.as_ref(), &extensions);
        let reading = self.shared.read_at(fresh).await?;
        let reading = with_contextual(reading, take(&mut request.contextual_tuples))?;
        // Dropped with this call: also when the caller cancels it, or its deadline ends it.
        let caller = Caller::default();
        let wait = Wait { deadline, gone: Arc::clone(&caller.gone) };
        if request.items.len() <= INLINE_ITEMS {
            return Ok(Response::new(batch(&reading, request, &wait)?));
        }
        let answers = tokio::task::spawn_blocking(move || batch(&reading, request, &wait));
        let answers = answers.await.map_err(|error| ApiError::internal(&error))?;
        Ok(Response::new(answers?))
    }

    type ListSubjectsStream = Responses<pb::ListSubjectsResponse>;

    async fn list_subjects(
        &self,
        request: Request<pb::ListSubjectsRequest>,
    ) -> Result<Response<Self::ListSubjectsStream>, Status> {
        let (_, extensions, mut request) = request.into_parts();
        let cursor = take(&mut request.cursor);
        let fingerprint = fingerprint("ListSubjects", &request);
        let context = checked("context", request.context.take())?;
        let fresh = Fresh::new(request.consistency.as_ref(), &extensions);
        let listing = self.shared.list_at(fresh, &cursor, fingerprint).await?;
        let (before, token) = (listing.cursors.count(), listing.reading.token().clone());
        let open = move || subjects(listing, request, context);
        let finish = move |count| complete(before + count, &token);
        let deadline = extensions.get::<Deadline>().copied();
        let stream = produce(&self.shared, deadline, open, |item| Ok(item?), finish);
        Ok(Response::new(stream.await?))
    }
}

/// The reading with the tuples that the request brings along.
fn with_contextual(reading: Reading, tuples: Vec<pb::Tuple>) -> Result<Reading, ApiError> {
    if tuples.is_empty() {
        return Ok(reading);
    }
    Ok(reading.with_contextual(&contextual_from_wire(tuples)?)?)
}

fn check(reading: &Reading, request: pb::CheckRequest) -> Result<pb::CheckResponse, ApiError> {
    let context = checked("context", request.context)?;
    let question =
        reading.question(&request.subject, &request.permission, &request.scope, context)?;
    let question = question.with_target(reading.model(), &request.target)?;
    let decision = reading.check(&question, request.with_grant)?;
    let token = reading.token();
    Ok(pb::CheckResponse {
        decision: decision_to_wire(&decision).into(),
        reason: reason_to_wire(decision.reason()).into(),
        missing: decision.missing().to_vec(),
        grant: decision.grant().map(grant_to_wire),
        revision: token.revision.0,
        token: token.to_string(),
    })
}

fn checked(field: &str, context: Option<Struct>) -> Result<CheckedContext, ApiError> {
    Ok(CheckedContext::new(context_from_wire(field, context)?)?)
}

/// What is wrong with the batch as a whole; an item's own errors come later, in its place.
fn check_batch(request: &pb::BatchCheckRequest) -> Result<(), ApiError> {
    let count = request.items.len();
    if count > BATCH_ITEMS_MAX {
        let what = format!("there are {count}, the limit is {BATCH_ITEMS_MAX}");
        let error = ApiError::field(Refusal::BatchTooLarge, "items", what);
        return Err(error.with("limit", &BATCH_ITEMS_MAX));
    }
    Ok(())
}

/// Says when it is dropped that nobody waits for an answer any more.
#[derive(Default)]
struct Caller {
    gone: Arc<AtomicBool>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

/// Whether a caller still waits; asked by a job on another thread, which nothing else can stop.
struct Wait {
    deadline: Option<Deadline>,
    gone: Arc<AtomicBool>,
}

impl Wait {
    fn goes_on(&self, answered: usize) -> Result<(), ApiError> {
        if self.deadline.is_some_and(|Deadline(end)| tokio::time::Instant::now() >= end) {
            return Err(deadline_exceeded());
        }
        if self.gone.load(Ordering::Relaxed) {
            tracing::debug!(answered, "a batch ends early, as nobody waits for it");
            return Err(ApiError::new(Refusal::Cancelled, "the caller went away"));
        }
        Ok(())
    }
}

fn batch(
    reading: &Reading,
    request: pb::BatchCheckRequest,
    wait: &Wait,
) -> Result<pb::BatchCheckResponse, ApiError> {
    let shared = checked("context", request.context)?;
    let mut results = Vec::with_capacity(request.items.len());
    for item in request.items {
        wait.goes_on(results.len())?;
        results.push(result_of(check_item(reading, &shared, item)));
    }
    let token = reading.token();
    Ok(pb::BatchCheckResponse { results, revision: token.revision.0, token: token.to_string() })
}

fn check_item(
    reading: &Reading,
    shared: &CheckedContext,
    item: pb::BatchCheckItem,
) -> Result<pb::BatchCheckDecision, ApiError> {
    let context = merged(shared, item.context)?;
    let question = reading.question(&item.subject, &item.permission, &item.scope, context)?;
    let question = question.with_target(reading.model(), &item.target)?;
    let decision = reading.check(&question, false)?;
    Ok(pb::BatchCheckDecision {
        decision: decision_to_wire(&decision).into(),
        reason: reason_to_wire(decision.reason()).into(),
        missing: decision.missing().to_vec(),
    })
}

fn merged(shared: &CheckedContext, own: Option<Struct>) -> Result<CheckedContext, ApiError> {
    if own.is_none() {
        return Ok(shared.clone());
    }
    let mut context = shared.values().clone();
    context.extend(context_from_wire("context", own)?);
    Ok(CheckedContext::new(context)?)
}

fn result_of(result: Result<pb::BatchCheckDecision, ApiError>) -> pb::BatchCheckResult {
    use pb::batch_check_result::Result as Wire;
    let result = match result {
        Ok(decision) => Wire::Decision(decision),
        Err(error) => Wire::Error(error.into()),
    };
    pb::BatchCheckResult { result: Some(result) }
}

/// The list from where it begins, each entry with the cursor that stands after it.
fn subjects(
    listing: Listing,
    request: pb::ListSubjectsRequest,
    context: CheckedContext,
) -> Result<
    impl Iterator<Item = Result<Option<pb::ListSubjectsResponse>, EngineError>> + use<>,
    ApiError,
> {
    let Listing { reading, after, mut cursors } = listing;
    let pb::ListSubjectsRequest { permission, scope, subject_type, contextual_tuples, .. } =
        request;
    let reading = with_contextual(reading, contextual_tuples)?;
    let mut list = reading.list_subjects(&permission, &scope, &subject_type, context)?;
    match after {
        None => {}
        Some(Place::Subject(name)) => list.go_on_after(&name),
        Some(Place::Tuple(_)) => return Err(CursorError::OtherRequest.into()),
    }
    let mut listed = move |subject: String| {
        let cursor = cursors.after_subject(&subject);
        listed(subject, cursor)
    };
    Ok(list.map(move |item| Ok(item?.map(&mut listed))))
}

fn listed(subject: String, cursor: String) -> pb::ListSubjectsResponse {
    use pb::list_subjects_response::Part;
    let part = Part::Subject(pb::ListedSubject { subject, cursor });
    pb::ListSubjectsResponse { part: Some(part) }
}

fn complete(count: u64, token: &Token) -> pb::ListSubjectsResponse {
    use pb::list_subjects_response::Part;
    let end = pb::ListComplete { count, revision: token.revision.0, token: token.to_string() };
    pb::ListSubjectsResponse { part: Some(Part::Complete(end)) }
}
