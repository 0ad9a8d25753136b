//! The outermost layer of observation: each request is counted and timed once, and traced, by how it
//! ended for its caller. Decides nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{HeaderMap, Request, Response};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::Layer;
use tracing::Span;

use super::passing::{Passed, Passing, pass};
use super::{GRPC_STATUS, is_health};
use crate::api::Shared;
use crate::api::status::Refusal;
use crate::telemetry::figures::MethodId;
use crate::telemetry::span;

/// Counts, times and traces requests.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) shared: Arc<Shared>,
}

impl<S> Layer<S> for Watch {
    type Service = Watching<S>;

    fn layer(&self, inner: S) -> Watching<S> {
        Watching { inner, shared: Arc::clone(&self.shared) }
    }
}

/// See [`Watch`].
#[derive(Debug)]
pub(crate) struct Watching<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// One request, until its end. Dropped before, its caller went away.
#[derive(Debug)]
pub(crate) struct Watched {
    shared: Arc<Shared>,
    method: MethodId,
    began: Instant,
    span: Span,
    ended: bool,
}

impl Watched {
    /// `None`: OK.
    fn ended(&mut self, refusal: Option<Refusal>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let place = refusal.map_or(0, Refusal::ending);
        self.shared.requests.ended(self.method, place, self.began.elapsed());
        let code = refusal.map_or(Code::Ok, Refusal::code);
        span::end(&self.span, code, refusal.map_or("", Refusal::text));
    }

    /// Ends with the status in these headers or trailers, if there is one.
    fn ended_by(&mut self, headers: &HeaderMap) {
        match headers.get(GRPC_STATUS) {
            None => (),
            Some(code) if code.as_bytes() == b"0" => self.ended(None),
            Some(_) => self.ended(Some(refusal_in(headers))),
        }
    }
}

/// Which row of the table an error status is; each has been explained.
fn refusal_in(headers: &HeaderMap) -> Refusal {
    let info = Status::from_header_map(headers).and_then(|status| status.get_details_error_info());
    info.and_then(|info| Refusal::by_text(&info.reason)).unwrap_or(Refusal::Internal)
}

impl Passing for Watched {
    fn trailers(&mut self, trailers: &mut HeaderMap) {
        self.ended_by(trailers);
    }

    fn end(&mut self) {
        // Without trailers the caller has no status; every answer of ours has one.
        self.ended(Some(Refusal::Internal));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ended(Some(Refusal::Cancelled));
    }
}

impl<S, R, B> Service<Request<R>> for Watching<S>
where
    S: Service<Request<R>, Response = Response<B>>,
{
    type Response = Response<Passed<B, Option<Watched>>>;
    type Error = S::Error;
    type Future = WatchedFuture<S::Future>;

    fn call(&self, request: Request<R>) -> Self::Future {
        let path = request.uri().path();
        let method = self.shared.requests.method(path);
        let span = if is_health(path) {
            // Probes come every few seconds and are nobody's trace.
            Span::none()
        } else {
            span::begin(self.shared.requests.name(method), request.headers())
        };
        let shared = Arc::clone(&self.shared);
        let watched = Watched { shared, method, began: Instant::now(), span, ended: false };
        WatchedFuture { inner: self.inner.call(request), watched: Some(watched) }
    }
}

pin_project! {
    /// The answer, watched to its end.
    #[derive(Debug)]
    pub(crate) struct WatchedFuture<F> {
        #[pin]
        inner: F,
        // Taken with the answer.
        watched: Option<Watched>,
    }
}

impl<F, B, E> Future for WatchedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Passed<B, Option<Watched>>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = {
            let span = this.watched.as_ref().map(|watched| &watched.span);
            let _entered = span.map(Span::enter);
            ready!(this.inner.poll(cx))
        };
        let mut watched = this.watched.take();
        Poll::Ready(response.map(|response| {
            if let Some(watched) = &mut watched {
                watched.ended_by(response.headers());
            }
            pass(response, watched)
        }))
    }
}
