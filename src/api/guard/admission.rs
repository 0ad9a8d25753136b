//! The layer of places: how many requests are under way at once, and that none is before the service is
//! ready. What finds no place is shed at once, not queued.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tonic::Status;
use tower::Layer;

use super::is_health;
use super::passing::{Passed, Passing, pass, refuse};
use crate::api::Shared;
use crate::api::status::{ApiError, Refusal};

/// So many requests may be under way at once. Nobody waits for a place, so a number is all there is.
#[derive(Debug)]
pub(in crate::api) struct Places {
    taken: AtomicUsize,
    most: usize,
}

impl Places {
    pub(in crate::api) fn of(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most }
    }

    pub(in crate::api) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn take(&self) -> bool {
        let one_more = |taken| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Gives each request a place, or refuses it. Health takes none: it is asked when the others are many.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) shared: Arc<Shared>,
}

impl<S> Layer<S> for Admission {
    type Service = Admitting<S>;

    fn layer(&self, inner: S) -> Admitting<S> {
        Admitting { inner, shared: Arc::clone(&self.shared) }
    }
}

/// See [`Admission`].
#[derive(Debug)]
pub(crate) struct Admitting<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Admitting<S> {
    fn admit(&self, path: &str) -> Result<Place, ApiError> {
        if is_health(path) {
            return Ok(Place(None));
        }
        self.shared.pdp()?;
        if self.shared.in_flight.take() {
            return Ok(Place(Some(Arc::clone(&self.shared))));
        }
        self.shared.requests.shed();
        let limit = self.shared.in_flight.most;
        let what = format!("{limit} requests are under way already");
        Err(ApiError::new(Refusal::Overloaded, what).with("limit", &limit))
    }
}

/// Given back when the body ends or is dropped: a stream counts as under way until then.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<Shared>>);

impl Place {
    fn give_back(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.in_flight.give_back();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Passing for Place {
    fn end(&mut self) {
        self.give_back();
    }
}

impl<S, R, B> Service<Request<R>> for Admitting<S>
where
    S: Service<Request<R>, Response = Response<B>>,
{
    type Response = Response<Passed<B, Place>>;
    type Error = S::Error;
    type Future = AdmittedFuture<S::Future>;

    fn call(&self, request: Request<R>) -> Self::Future {
        match self.admit(request.uri().path()) {
            Ok(place) => AdmittedFuture::Admitted { inner: self.inner.call(request), place },
            Err(error) => AdmittedFuture::Refused { status: error.into() },
        }
    }
}

pin_project! {
    /// The answer, or a refusal before the method saw the request.
    #[derive(Debug)]
    #[project = Projected]
    pub(crate) enum AdmittedFuture<F> {
        /// Under way.
        Admitted {
            #[pin]
            inner: F,
            place: Place,
        },
        /// Refused.
        Refused {
            status: Status,
        },
    }
}

impl<F, B, E> Future for AdmittedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Passed<B, Place>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Refused { status } => {
                let status = std::mem::replace(status, Status::ok(""));
                Poll::Ready(Ok(refuse(status, Place(None))))
            }
            Projected::Admitted { inner, place } => {
                let response = ready!(inner.poll(cx));
                let place = Place(place.0.take());
                Poll::Ready(response.map(|response| pass(response, place)))
            }
        }
    }
}
