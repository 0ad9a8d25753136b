//! The layer that gives every error status an `ErrorInfo`: those that tonic, prost and tower make have
//! none. Knows their texts, and the one table.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tonic::{Code, Status};
use tower::Layer;

use super::passing::{Passed, Passing, pass};
use super::{GRPC_DETAILS, GRPC_MESSAGE, GRPC_STATUS};
use crate::api::status::{ApiError, Refusal};
use crate::model::limits::REQUEST_BYTES_MAX;

/// Explains bare error statuses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Explain;

impl<S> Layer<S> for Explain {
    type Service = Explaining<S>;

    fn layer(&self, inner: S) -> Explaining<S> {
        Explaining { inner }
    }
}

/// See [`Explain`].
#[derive(Debug)]
pub(crate) struct Explaining<S> {
    inner: S,
}

/// What is done with the trailers.
#[derive(Debug)]
pub(crate) struct Trailers;

impl Passing for Trailers {
    fn trailers(&mut self, trailers: &mut HeaderMap) {
        explain(trailers);
    }
}

impl<S, R, B> Service<R> for Explaining<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = Response<Passed<B, Trailers>>;
    type Error = S::Error;
    type Future = ExplainedFuture<S::Future>;

    fn call(&self, request: R) -> Self::Future {
        ExplainedFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The answer, its error explained.
    #[derive(Debug)]
    pub(crate) struct ExplainedFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for ExplainedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Passed<B, Trailers>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(cx));
        Poll::Ready(response.map(|mut response| {
            explain(response.headers_mut());
            pass(response, Trailers)
        }))
    }
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
    let mut explained = HeaderMap::new();
    if Status::from(reason_of(&bare)).add_header(&mut explained).is_ok() {
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
            let limit = limit_in(message);
            let what = format!("the request message is larger than {limit} bytes");
            ApiError::new(Refusal::RequestTooLarge, what).with("limit_bytes", &limit)
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

/// The bound that tonic names: that of health and reflection is another than that of the API.
fn limit_in(message: &str) -> usize {
    let named = message.split_once("the limit is: ").and_then(|(_, rest)| rest.split(' ').next());
    named.and_then(|limit| limit.parse().ok()).unwrap_or(REQUEST_BYTES_MAX)
}

/// Callers go away all the time: nothing that an operator is to be told of.
fn caller_gone(cause: &str) -> ApiError {
    tracing::debug!(cause, "a caller went away");
    ApiError::new(Refusal::Cancelled, "the caller went away")
}
