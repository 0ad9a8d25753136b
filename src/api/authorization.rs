//! `AuthorizationService` on the wire: Check, CheckStream, BatchCheck, ListSubjects, ListRoles.

use std::mem::take;

use http::Extensions;
use tonic::{Request, Response, Status, Streaming};

use super::Adapter;
use super::batch::{self, Batch, Caller, Questions, check_batch};
use super::check_stream::Answers;
use super::convert::{
    context_from_wire, contextual_from_wire, decision_to_wire, few_contextual, grant_to_wire,
    reason_to_wire, values_in_order,
};
use super::dear::elsewhere;
use super::freshness::{Fresh, fingerprint};
use super::guard::{CallPlaces, Deadline};
use super::pb::served::authorization_service_server::AuthorizationService;
use super::pb::v1 as pb;
use super::status::ApiError;
use super::stream::{Responses, produce};
use super::values::Values;
use crate::engine::{BoundRole, CheckedContext, Decision, EngineError, Question, RolesQuestion};
use crate::model::limits::{CONNECTION_STEPS_MAX, INLINE_STEPS_MAX};
use crate::pdp::{CursorError, Listing, Pdp, Place, Reading, Token};

/// Up to this many items are begun where the request was read; more are sooner done elsewhere. No bound:
/// more are answered too.
const INLINE_ITEMS: usize = 32;

#[tonic::async_trait]
impl AuthorizationService for Adapter {
    async fn check(
        &self,
        request: Request<pb::CheckRequest>,
    ) -> Result<Response<pb::CheckResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        Ok(Response::new(self.answer(request, &extensions).await?))
    }

    type CheckStreamStream = Answers;

    async fn check_stream(
        &self,
        request: Request<Streaming<pb::CheckStreamRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let extensions = request.extensions();
        let deadline = extensions.get::<Deadline>().copied();
        let places = extensions.get::<CallPlaces>().cloned().unwrap_or_default();
        Ok(Response::new(Answers::to(self, request.into_inner(), deadline, &places)?))
    }

    async fn batch_check(
        &self,
        request: Request<Questions>,
    ) -> Result<Response<batch::Answers>, Status> {
        let (_, extensions, mut questions) = request.into_parts();
        let deadline = extensions.get::<Deadline>().copied();
        check_batch(questions.len())?;
        let fresh = Fresh::new(questions.rest.consistency.as_ref(), &extensions);
        let reading = self.shared.read_at(fresh).await?;
        let tuples = take(&mut questions.rest.contextual_tuples);
        let reading = self.with_contextual(reading, tuples).await?;
        // Dropped with this call: also when the caller cancels it, or its deadline ends it.
        let caller = Caller::default();
        let is_small = questions.len() <= INLINE_ITEMS;
        let mut batch = Batch::new(reading, questions, caller.wait(deadline))?;
        if is_small && batch.answer_within(INLINE_STEPS_MAX)? {
            return Ok(Response::new(batch.answers()));
        }
        let answered = elsewhere(&self.shared, move || {
            batch.answer_all()?;
            Ok::<_, ApiError>(batch.answers())
        });
        Ok(Response::new(answered.await??))
    }

    type ListSubjectsStream = Responses<pb::ListSubjectsResponse>;

    async fn list_subjects(
        &self,
        request: Request<pb::ListSubjectsRequest>,
    ) -> Result<Response<Self::ListSubjectsStream>, Status> {
        let (_, extensions, mut request) = request.into_parts();
        let cursor = take(&mut request.cursor);
        values_in_order(&mut request.context, &mut request.contextual_tuples);
        let fingerprint = fingerprint("ListSubjects", &request);
        let context = checked("context", request.context.take())?;
        let fresh = Fresh::new(request.consistency.as_ref(), &extensions);
        let listing = self.shared.list_at(fresh, &cursor, fingerprint).await?;
        let (before, token) = (listing.cursors.count(), listing.reading.token().clone());
        let lease = listing.cursors.lease();
        let open = move || subjects(listing, request, context);
        let finish = move |count| {
            use pb::list_subjects_response::Part;
            let part = Part::Complete(complete(before + count, &token));
            pb::ListSubjectsResponse { part: Some(part) }
        };
        let deadline = extensions.get::<Deadline>().copied();
        let stream = produce(&self.shared, deadline, lease, open, |item| Ok(item?), finish);
        Ok(Response::new(stream.await?))
    }

    type ListRolesStream = Responses<pb::ListRolesResponse>;

    async fn list_roles(
        &self,
        request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<Self::ListRolesStream>, Status> {
        let (_, extensions, mut request) = request.into_parts();
        let cursor = take(&mut request.cursor);
        values_in_order(&mut request.context, &mut request.contextual_tuples);
        let fingerprint = fingerprint("ListRoles", &request);
        let context = checked("context", request.context.take())?;
        let fresh = Fresh::new(request.consistency.as_ref(), &extensions);
        let listing = self.shared.list_at(fresh, &cursor, fingerprint).await?;
        let (before, token) = (listing.cursors.count(), listing.reading.token().clone());
        let lease = listing.cursors.lease();
        let open = move || roles(listing, request, context);
        let finish = move |count| {
            use pb::list_roles_response::Part;
            let part = Part::Complete(complete(before + count, &token));
            pb::ListRolesResponse { part: Some(part) }
        };
        let deadline = extensions.get::<Deadline>().copied();
        let stream = produce(&self.shared, deadline, lease, open, |item| Ok(item?), finish);
        Ok(Response::new(stream.await?))
    }
}

impl Adapter {
    /// The answer to any question; the extensions say how long it may wait.
    pub(super) async fn answer(
        &self,
        mut request: pb::CheckRequest,
        extensions: &Extensions,
    ) -> Result<pb::CheckResponse, ApiError> {
        // Before it waits: what it holds meanwhile is to be small.
        few_contextual(&request.contextual_tuples)?;
        let fresh = Fresh::new(request.consistency.as_ref(), extensions);
        let reading = self.shared.read_at(fresh).await?;
        let tuples = take(&mut request.contextual_tuples);
        let reading = self.with_contextual(reading, tuples).await?;
        self.decide(reading, request).await
    }

    /// The reading with the tuples that the request brings along.
    async fn with_contextual(
        &self,
        reading: Reading,
        tuples: Vec<pb::Tuple>,
    ) -> Result<Reading, ApiError> {
        if tuples.is_empty() {
            return Ok(reading);
        }
        let tuples = contextual_from_wire(tuples)?;
        let walk = usize::try_from(INLINE_STEPS_MAX).unwrap_or(usize::MAX);
        match reading.with_contextual_within(&tuples, walk) {
            Some(merged) => Ok(merged?),
            None => {
                let merged = move || reading.with_contextual(&tuples);
                Ok(elsewhere(&self.shared, merged).await??)
            }
        }
    }

    /// The answer to a question that brings nothing along and waits for nothing, if few steps suffice for it.
    /// `None`: nothing was done. What is answered is what [`check`](AuthorizationService::check)
    /// would answer.
    pub(super) fn check_at_once(
        &self,
        request: &pb::CheckRequest,
    ) -> Option<Result<pb::CheckResponse, ApiError>> {
        let is_plain = request.consistency.is_none()
            && request.context.is_none()
            && request.contextual_tuples.is_empty();
        let reading = is_plain.then(|| self.shared.ready().map(Pdp::read))??;
        let question = match question_of(&reading, request, CheckedContext::default()) {
            Ok(question) => question,
            Err(error) => return Some(Err(error)),
        };
        let mut left = CONNECTION_STEPS_MAX;
        let decided = reading.check_within(&question, request.with_grant, &mut left)?;
        Some(decided.map(|decision| response_to_wire(&reading, &decision)).map_err(Into::into))
    }

    async fn decide(
        &self,
        reading: Reading,
        mut request: pb::CheckRequest,
    ) -> Result<pb::CheckResponse, ApiError> {
        let context = checked("context", request.context.take())?;
        let mut left = INLINE_STEPS_MAX;
        let decided = {
            let question = question_of(&reading, &request, context.clone())?;
            reading.check_within(&question, request.with_grant, &mut left)
        };
        let (reading, decided) = match decided {
            Some(decided) => (reading, decided?),
            None => {
                let decide = move || {
                    let decided = reading
                        .check(&question_of(&reading, &request, context)?, request.with_grant)?;
                    Ok::<_, ApiError>((reading, decided))
                };
                elsewhere(&self.shared, decide).await??
            }
        };
        Ok(response_to_wire(&reading, &decided))
    }
}

fn question_of<'q>(
    reading: &Reading,
    request: &'q pb::CheckRequest,
    context: CheckedContext,
) -> Result<Question<'q>, ApiError> {
    let pb::CheckRequest { subject, permission, scope, target, .. } = request;
    let question = reading.question(subject, permission, scope, context)?;
    Ok(question.with_target(reading.model(), target)?)
}

fn response_to_wire(reading: &Reading, decision: &Decision) -> pb::CheckResponse {
    pb::CheckResponse {
        decision: decision_to_wire(decision).into(),
        reason: reason_to_wire(decision.reason()).into(),
        missing: decision.missing().to_vec(),
        grant: decision.grant().map(grant_to_wire),
        revision: reading.token().revision.0,
        token: reading.token_text().to_owned(),
    }
}

pub(super) fn checked(field: &str, context: Option<Values>) -> Result<CheckedContext, ApiError> {
    Ok(CheckedContext::new(context_from_wire(field, context)?)?)
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
    let reading = with_tuples(reading, contextual_tuples)?;
    let mut list = reading.list_subjects(&permission, &scope, &subject_type, context)?;
    match after {
        None => {}
        Some(Place::Subject(name)) => list.go_on_after(&name),
        Some(Place::Tuple(_) | Place::Role { .. }) => return Err(CursorError::OtherRequest.into()),
    }
    Ok(std::iter::from_fn(move || {
        let Some(item) = list.next() else {
            cursors.complete();
            return None;
        };
        let mut listed = |subject: String| {
            use pb::list_subjects_response::Part;
            let cursor = cursors.after_subject(&subject);
            let part = Part::Subject(pb::ListedSubject { subject, cursor });
            pb::ListSubjectsResponse { part: Some(part) }
        };
        Some(item.map(|subject| subject.map(&mut listed)))
    }))
}

/// The list from where it begins, each entry with the cursor that stands after it.
fn roles(
    listing: Listing,
    request: pb::ListRolesRequest,
    context: CheckedContext,
) -> Result<
    impl Iterator<Item = Result<Option<pb::ListRolesResponse>, EngineError>> + use<>,
    ApiError,
> {
    let Listing { reading, after, mut cursors } = listing;
    let pb::ListRolesRequest { subject, scope, contextual_tuples, .. } = request;
    let reading = with_tuples(reading, contextual_tuples)?;
    let question = RolesQuestion::parse(reading.model(), &subject, &scope, context)?;
    let mut list = reading.list_roles(question)?;
    match after {
        None => {}
        Some(Place::Role { scope, role }) => list.go_on_after(&scope, &role),
        Some(Place::Tuple(_) | Place::Subject(_)) => return Err(CursorError::OtherRequest.into()),
    }
    Ok(std::iter::from_fn(move || {
        let Some(item) = list.next() else {
            cursors.complete();
            return None;
        };
        let mut listed = |BoundRole { scope, role }: BoundRole| {
            use pb::list_roles_response::Part;
            let cursor = cursors.after_role(&scope, &role);
            let part = Part::Role(pb::ListedRole { scope: scope.to_string(), role, cursor });
            pb::ListRolesResponse { part: Some(part) }
        };
        Some(item.map(|role| role.map(&mut listed)))
    }))
}

/// The reading with the tuples that a list's request brings along; on a thread that may take its time.
fn with_tuples(reading: Reading, tuples: Vec<pb::Tuple>) -> Result<Reading, ApiError> {
    if tuples.is_empty() {
        return Ok(reading);
    }
    Ok(reading.with_contextual(&contextual_from_wire(tuples)?)?)
}

fn complete(count: u64, token: &Token) -> pb::ListComplete {
    pb::ListComplete { count, revision: token.revision.0, token: token.to_string() }
}
