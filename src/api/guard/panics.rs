//! The layer that catches panics: a fault of one request is no fault of the others.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::codegen::Bytes;
use tower::Layer;

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
#[derive(Debug)]
pub(crate) struct Catching<S> {
    inner: S,
}

impl<S, R, B> Service<R> for Catching<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = Response<Caught<B>>;
    type Error = S::Error;
    type Future = CaughtFuture<S::Future>;

    fn call(&self, request: R) -> Self::Future {
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        CaughtFuture { inner: called.ok() }
    }
}

pin_project! {
    /// The answer, or INTERNAL.
    #[derive(Debug)]
    pub(crate) struct CaughtFuture<F> {
        // `None`: the call panicked.
        #[pin]
        inner: Option<F>,
    }
}

impl<F, B, E> Future for CaughtFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Caught<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let inner = self.project().inner.as_pin_mut();
        let polled = inner.and_then(|inner| catch_unwind(AssertUnwindSafe(|| inner.poll(cx))).ok());
        match polled {
            Some(polled) => {
                polled.map_ok(|response| response.map(|body| Caught { body: Some(body) }))
            }
            None => Poll::Ready(Ok(panicked().into_http::<()>().map(|()| Caught { body: None }))),
        }
    }
}

/// A body that ends in INTERNAL where its producer panics.
#[derive(Debug)]
pub(crate) struct Caught<B> {
    body: Option<B>,
}

impl<B> Body for Caught<B>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
{
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
