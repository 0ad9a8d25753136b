//! The layer of places: how many requests are under way at once, and that none is before the service is
//! ready. What finds no place is shed at once, not queued.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::is_health;
use super::passing::{Passed, Passing, pass, refuse};
use crate::api::Shared;
use crate::api::status::{ApiError, Refusal};

/// Gives each request a place, or refuses it. Health takes none: it is asked when the others are many.
#[derive(Debug, Clone)]
pub(super) struct Admission {
    pub(super) shared: Arc<Shared>,
}

impl Admission {
    fn admit(&self, path: &str) -> Result<Place, ApiError> {
        if is_health(path) {
            return Ok(Place(None));
        }
        self.shared.pdp()?;
        let permit = Arc::clone(&self.shared.in_flight).try_acquire_owned();
        permit.map(|permit| Place(Some(permit))).map_err(|_| {
            self.shared.requests.shed();
            let limit = self.shared.settings.in_flight();
            let what = format!("{limit} requests are under way already");
            ApiError::new(Refusal::Overloaded, what).with("limit", &limit)
        })
    }
}

impl<S> Layer<S> for Admission {
    type Service = Admitting<S>;

    fn layer(&self, inner: S) -> Admitting<S> {
        Admitting { inner, admission: self.clone() }
    }
}

/// See [`Admission`].
#[derive(Debug, Clone)]
pub(crate) struct Admitting<S> {
    inner: S,
    admission: Admission,
}

/// Given back when the body ends or is dropped: a stream counts as under way until then.
#[derive(Debug)]
pub(crate) struct Place(Option<OwnedSemaphorePermit>);

impl Passing for Place {
    fn end(&mut self) {
        self.0 = None;
    }
}

impl<S, B> Service<Request<Body>> for Admitting<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = Response<Passed<B, Place>>;
    type Error = S::Error;
    type Future = AdmittedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.admission.admit(request.uri().path()) {
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
