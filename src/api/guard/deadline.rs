//! The layer of deadlines: an answer begins in time, counted from when the request's headers were there, or the
//! request loses its place.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Extensions, HeaderMap, Request, Response};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;
use tower::Layer;

use super::bodies::Arrived;
use super::passing::{Passed, pass, refuse};
use crate::api::status::{ApiError, Refusal};
use crate::config::Patience;
use crate::model::names::quoted;

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// When the caller stops waiting; an extension of requests that have a deadline.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Deadline(pub(in crate::api) Instant);

/// When an answer must have begun, by the caller's deadline and the service's own; an extension of every
/// request. Whoever waits inside stops before it, so that the answer can say what was waited for.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct AnswerBy(pub(in crate::api) Instant);

/// A request that knows how long there is for it.
#[derive(Debug)]
pub(crate) struct Timed<B> {
    request: Request<B>,
    own: Option<Instant>,
    end: Instant,
}

impl<B> Timed<B> {
    /// The request as it came.
    pub(in crate::api) fn request(&self) -> &Request<B> {
        &self.request
    }

    /// The request, with what it knows as its extensions.
    pub(in crate::api) fn into_request(self) -> Request<B> {
        let Self { mut request, own, end } = self;
        let extensions: &mut Extensions = request.extensions_mut();
        if let Some(own) = own {
            extensions.insert(Deadline(own));
        }
        extensions.insert(AnswerBy(end));
        request
    }
}

pub(in crate::api) fn deadline_exceeded() -> ApiError {
    ApiError::new(Refusal::DeadlineExceeded, "the deadline of the request has passed")
}

/// Gives each request as long as its caller or the settings say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    pub(super) patience: Patience,
}

impl<S> Layer<S> for Deadlines {
    type Service = WithDeadline<S>;

    fn layer(&self, inner: S) -> WithDeadline<S> {
        WithDeadline { inner, patience: self.patience }
    }
}

/// See [`Deadlines`].
#[derive(Debug)]
pub(crate) struct WithDeadline<S> {
    inner: S,
    patience: Patience,
}

impl<S, R, B> Service<Arrived<R>> for WithDeadline<S>
where
    S: Service<Timed<R>, Response = Response<B>>,
{
    type Response = Response<Passed<B, ()>>;
    type Error = S::Error;
    type Future = InTime<S::Future>;

    fn call(&self, arrived: Arrived<R>) -> Self::Future {
        let Arrived { request, at: now } = arrived;
        let own = match timeout_of(request.headers()) {
            Ok(own) => own,
            Err(error) => return InTime::Refused { status: error.into() },
        };
        // Headers alone take a place already, so a caller that sends nothing more must lose it again.
        let Patience { request: default, request_max, .. } = self.patience;
        let end = now + own.unwrap_or(default).min(request_max);
        let timed = Timed { request, own: own.map(|own| now + own), end };
        InTime::Asked { inner: self.inner.call(timed), end, timer: None }
    }
}

pin_project! {
    /// The answer, or DEADLINE_EXCEEDED.
    #[derive(Debug)]
    #[project = Projected]
    pub(crate) enum InTime<F> {
        /// Asked for.
        Asked {
            #[pin]
            inner: F,
            end: Instant,
            // Made when the answer is first waited for: most are there at once.
            timer: Option<Pin<Box<Sleep>>>,
        },
        /// Its deadline is none.
        Refused {
            status: Status,
        },
    }
}

impl<F, B, E> Future for InTime<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Passed<B, ()>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Refused { status } => {
                let status = std::mem::replace(status, Status::ok(""));
                Poll::Ready(Ok(refuse(status, ())))
            }
            Projected::Asked { inner, end, timer } => {
                if let Poll::Ready(response) = inner.poll(cx) {
                    return Poll::Ready(response.map(|response| pass(response, ())));
                }
                let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(*end)));
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Ok(refuse(deadline_exceeded().into(), ())))
            }
        }
    }
}

/// The `grpc-timeout` header: one to eight digits and a unit. The protocol does not say what a malformed
/// one means; to go on without it would make a caller wait that asked not to.
fn timeout_of(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else { return Ok(None) };
    let text = value.to_str().ok();
    let timeout = text.and_then(parsed).ok_or_else(|| {
        let value = quoted(&String::from_utf8_lossy(value.as_bytes()));
        let what =
            format!("`{value}` is no time; expected 1 to 8 digits and one of H, M, S, m, u, n");
        ApiError::field(Refusal::ProtocolError, GRPC_TIMEOUT, what)
    })?;
    Ok(Some(timeout))
}

fn parsed(text: &str) -> Option<Duration> {
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
    use tonic::body::Body;

    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, text.parse().unwrap());
            timeout_of(&headers)
        };
        assert_eq!(timeout_of(&HeaderMap::new()), Ok(None));
        assert_eq!(read("5S"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(read("250m"), Ok(Some(Duration::from_millis(250))));
        assert_eq!(read("99999999H"), Ok(Some(Duration::from_secs(99_999_999 * 3_600))));
        for wrong in ["", "S", "5", "5x", "123456789S", "-1S", "+1S", "1 S"] {
            assert_eq!(read(wrong).unwrap_err().refusal(), Refusal::ProtocolError, "{wrong}");
        }
    }

    /// Answers with what the request knows.
    struct Echo;

    impl Service<Timed<()>> for Echo {
        type Response = Response<Body>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Self::Error>>;

        fn call(&self, timed: Timed<()>) -> Self::Future {
            let mut response = Response::new(Body::empty());
            *response.extensions_mut() = timed.into_request().extensions().clone();
            std::future::ready(Ok(response))
        }
    }

    #[tokio::test]
    async fn every_request_knows_when_its_answer_is_due() {
        let due_of = |timeout: Option<&'static str>| async move {
            let layered = Deadlines { patience: Patience::default() }.layer(Echo);
            let mut request = Request::new(());
            if let Some(timeout) = timeout {
                request.headers_mut().insert(GRPC_TIMEOUT, timeout.parse().unwrap());
            }
            let before = Instant::now();
            let call = layered.call(Arrived { request, at: before });
            let InTime::Asked { end, .. } = &call else { panic!("a refusal") };
            let end = *end;
            let response = call.await.unwrap();
            let AnswerBy(due) = *response.extensions().get::<AnswerBy>().unwrap();
            assert_eq!(due, end, "the layer's own timer");
            let own = response.extensions().get::<Deadline>().is_some();
            assert_eq!(own, timeout.is_some(), "a caller's deadline is a caller's");
            due.duration_since(before)
        };
        let patience = Patience::default();
        assert!(due_of(None).await >= patience.request.min(patience.request_max));
        assert!(due_of(Some("1000S")).await >= patience.request_max.min(Duration::from_secs(1000)));
    }
}
