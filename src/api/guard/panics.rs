//! The layer that catches panics: a fault of one request is no fault of the others.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tower::{Layer, Service};

use crate::api::status::ApiError;

/// The panic's text is in the log already, written by the panic hook.
fn panicked() -> Status {
    ApiError::internal(&"a handler panicked").into()
}

/// Answers INTERNAL where a method panics, in the call or in its stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panics;

impl<S> Layer<S> for Panics {
    type Service = Catching<S>;

    fn layer(&self, inner: S) -> Catching<S> {
        Catching { inner }
    }
}

/// See [`Panics`].
#[derive(Debug, Clone)]
pub(crate) struct Catching<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Catching<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Caught>;
    type Error = S::Error;
    type Future = CaughtFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        CaughtFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The answer, or INTERNAL.
    #[derive(Debug)]
    pub(crate) struct CaughtFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, E> Future for CaughtFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Caught>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.project().inner;
        match catch_unwind(AssertUnwindSafe(|| inner.poll(cx))) {
            Ok(polled) => {
                polled.map_ok(|response| response.map(|body| Caught { body: Some(body) }))
            }
            Err(_) => Poll::Ready(Ok(panicked().into_http::<()>().map(|()| Caught { body: None }))),
        }
    }
}

/// A body that ends in INTERNAL where its producer panics.
#[derive(Debug)]
pub(crate) struct Caught {
    body: Option<Body>,
}

impl http_body::Body for Caught {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)));
        polled.unwrap_or_else(|_| {
            self.body = None;
            let mut trailers = HeaderMap::new();
            let told = panicked().add_header(&mut trailers);
            Poll::Ready(told.ok().map(|()| Ok(Frame::trailers(trailers))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
