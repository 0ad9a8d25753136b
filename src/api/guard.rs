//! The outermost layer: what holds for every method, whoever made the answer. Readiness, the bound on
//! requests under way, the deadline, panics, and an `ErrorInfo` on each error status that has
//! none. Knows paths and statuses, no message.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::status::{ApiError, Refusal};
use super::{Patience, Shared};
use crate::model::limits::{IN_FLIGHT_REQUESTS_MAX, REQUEST_BYTES_MAX};

const HEALTH: &str = "/grpc.health.v1.Health/";
const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
const GRPC_DETAILS: &str = "grpc-status-details-bin";
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// When the caller stops waiting; an extension of requests that have a deadline.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(pub(super) Instant);

/// Puts a [`Guard`] around the routes.
#[derive(Debug, Clone)]
pub struct GuardLayer {
    shared: Arc<Shared>,
}

impl GuardLayer {
    /// Guards the routes of this service.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, shared: Arc::clone(&self.shared) }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Guard<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Guard<S> {
    fn admit(&self, path: &str) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
        if path.starts_with(HEALTH) {
            return Ok(None);
        }
        self.shared.pdp()?;
        Arc::clone(&self.shared.in_flight).try_acquire_owned().map(Some).map_err(|_| {
            let what = format!("{IN_FLIGHT_REQUESTS_MAX} requests are under way already");
            ApiError::new(Refusal::Overloaded, what).with("limit", &IN_FLIGHT_REQUESTS_MAX)
        })
    }
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<GuardedBody>;
    type Error = S::Error;
    type Future = GuardFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let permit = match self.admit(request.uri().path()) {
            Ok(permit) => permit,
            Err(error) => {
                let refused = Some(error.into());
                return GuardFuture { refused, inner: None, deadline: None, permit: None };
            }
        };
        // tonic's own timer stands outside of every layer and answers CANCELLED without details; this
        // one is made first with the same duration, and is polled first.
        let now = Instant::now();
        let own = timeout_of(request.headers());
        if let Some(timeout) = own {
            request.extensions_mut().insert(Deadline(now + timeout));
        }
        // Headers alone take a place already, so a caller that sends nothing more must lose it again.
        let Patience { request: default, request_max, .. } = self.shared.patience;
        let deadline = Some(sleep_until(now + own.unwrap_or(default).min(request_max)));
        let inner = Some(self.inner.call(request));
        GuardFuture { refused: None, inner, deadline, permit }
    }
}

pin_project! {
    /// The answer to come: from the method, or a refusal before the method saw the request.
    #[derive(Debug)]
    pub struct GuardFuture<F> {
        refused: Option<Status>,
        #[pin]
        inner: Option<F>,
        #[pin]
        deadline: Option<Sleep>,
        permit: Option<OwnedSemaphorePermit>,
    }
}

impl<F, E> Future for GuardFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<GuardedBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            let status = this.refused.take().unwrap_or_else(panicked);
            return Poll::Ready(Ok(status_response(status)));
        };
        let Ok(polled) = catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) else {
            return Poll::Ready(Ok(status_response(panicked())));
        };
        if let Poll::Ready(response) = polled {
            return Poll::Ready(response.map(|response| guarded(response, this.permit.take())));
        }
        if let Some(deadline) = this.deadline.as_pin_mut() {
            ready!(deadline.poll(cx));
            return Poll::Ready(Ok(status_response(deadline_exceeded().into())));
        }
        Poll::Pending
    }
}

pub(super) fn deadline_exceeded() -> ApiError {
    ApiError::new(Refusal::DeadlineExceeded, "the deadline of the request has passed")
}

/// The panic's text is in the log already, written by the panic hook.
fn panicked() -> Status {
    ApiError::internal(&"a handler panicked").into()
}

fn status_response(status: Status) -> Response<GuardedBody> {
    status.into_http::<Body>().map(|body| GuardedBody { inner: Some(body), permit: None })
}

fn guarded(
    response: Response<Body>,
    permit: Option<OwnedSemaphorePermit>,
) -> Response<GuardedBody> {
    let mut response = response.map(|body| GuardedBody { inner: Some(body), permit });
    explain(response.headers_mut());
    response
}

/// A response's body, whose trailers are explained too.
#[derive(Debug)]
pub struct GuardedBody {
    inner: Option<Body>,
    // Given back when the body ends or is dropped: a stream counts as under way until then.
    permit: Option<OwnedSemaphorePermit>,
}

impl http_body::Body for GuardedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = self.inner.as_mut() else { return Poll::Ready(None) };
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(inner).poll_frame(cx)));
        let Ok(polled) = polled else {
            self.inner = None;
            self.permit = None;
            return Poll::Ready(trailers_of(&panicked()).map(|map| Ok(Frame::trailers(map))));
        };
        match ready!(polled) {
            None => {
                self.permit = None;
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => match frame.into_trailers() {
                Ok(mut trailers) => {
                    explain(&mut trailers);
                    Poll::Ready(Some(Ok(Frame::trailers(trailers))))
                }
                Err(frame) => Poll::Ready(Some(Ok(frame))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

fn trailers_of(status: &Status) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    status.add_header(&mut map).ok().map(|()| map)
}

/// Gives the error status in these headers or trailers an `ErrorInfo`, if it has none.
fn explain(headers: &mut HeaderMap) {
    let is_bare_error = headers.get(GRPC_STATUS).is_some_and(|code| code.as_bytes() != b"0")
        && !headers.contains_key(GRPC_DETAILS);
    if !is_bare_error {
        return;
    }
    let Some(bare) = Status::from_header_map(headers) else { return };
    headers.remove(GRPC_MESSAGE);
    if let Some(explained) = trailers_of(&reason_of(&bare).into()) {
        headers.extend(explained);
    }
}

/// What a status of tonic, prost or tower means in terms of the table. Their texts are no promise of
/// theirs, so each that decides something here is pinned by a test over a real socket.
fn reason_of(bare: &Status) -> ApiError {
    let message = bare.message();
    let keep = |refusal| ApiError::new(refusal, message);
    match bare.code() {
        Code::Unimplemented if message.is_empty() => {
            ApiError::new(Refusal::UnknownMethod, "there is no such method")
        }
        Code::Unimplemented => keep(Refusal::UnsupportedEncoding),
        Code::OutOfRange => {
            let what = format!("the request message is larger than {REQUEST_BYTES_MAX} bytes");
            ApiError::new(Refusal::RequestTooLarge, what).with("limit_bytes", &REQUEST_BYTES_MAX)
        }
        Code::Internal if message.starts_with("failed to decode Protobuf message") => {
            keep(Refusal::MalformedRequest)
        }
        // tonic says so of broken framing, which the caller made: no alarm for a fault of the service.
        Code::Internal => keep(Refusal::ProtocolError),
        Code::NotFound => keep(Refusal::NotFound),
        Code::InvalidArgument => keep(Refusal::InvalidField),
        Code::Cancelled => caller_gone(message),
        // The connection broke while the request was read, or nobody answered its pings.
        Code::Unknown if message.starts_with("h2 protocol error") => caller_gone(message),
        Code::Unavailable => caller_gone(message),
        Code::ResourceExhausted => keep(Refusal::Overloaded),
        _ => ApiError::internal(bare),
    }
}

/// Callers go away all the time: nothing that an operator is to be told of.
fn caller_gone(cause: &str) -> ApiError {
    tracing::debug!(cause, "a caller went away");
    ApiError::new(Refusal::Cancelled, "the caller went away")
}

/// The `grpc-timeout` header: at most eight digits and a unit. A malformed one counts as none, as
/// tonic has it.
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(count * 3_600)),
        'M' => Some(Duration::from_secs(count * 60)),
        'S' => Some(Duration::from_secs(count)),
        'm' => Some(Duration::from_millis(count)),
        'u' => Some(Duration::from_micros(count)),
        'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, text.parse().unwrap());
            timeout_of(&headers)
        };
        assert_eq!(read("5S"), Some(Duration::from_secs(5)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        for wrong in ["", "S", "5", "5x", "123456789S", "-1S", "+1S", "1 S"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
