//! The layer of request bodies: how many bytes of them are held at once, and how long one may take to
//! arrive. A place bounds how many requests are under way, not what each makes the service hold: whoever
//! sends all of a large body but its end would keep it in memory until the deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tower::{Layer, Service};

use super::{PerConnection, is_of_the_api};
use crate::api::status::{ApiError, Refusal};
use crate::model::limits::{BODIES_BYTES_MAX, CONNECTION_BODIES_BYTES_MAX, SMALL_BODY_BYTES_MAX};

/// How many bytes of bodies are held.
#[derive(Debug, Default)]
pub struct Budget(AtomicUsize);

impl Budget {
    fn take(&self, bytes: usize, most: usize) -> bool {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= most {
            return true;
        }
        self.give_back(bytes);
        false
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What the bodies of one connection take of the process' budget, and of their share of it.
#[derive(Debug, Default)]
pub(super) struct Account {
    process: Arc<Budget>,
    connection: Budget,
}

impl Account {
    pub(super) fn of(process: Arc<Budget>) -> Self {
        Self { process, connection: Budget::default() }
    }

    fn take(&self, bytes: usize) -> Result<(), ApiError> {
        if !self.connection.take(bytes, CONNECTION_BODIES_BYTES_MAX) {
            return Err(no_room("of one connection", CONNECTION_BODIES_BYTES_MAX));
        }
        if !self.process.take(bytes, BODIES_BYTES_MAX) {
            self.connection.give_back(bytes);
            return Err(no_room("of all callers", BODIES_BYTES_MAX));
        }
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.connection.give_back(bytes);
        self.process.give_back(bytes);
    }
}

fn no_room(whose: &str, limit: usize) -> ApiError {
    let what = format!(
        "requests under way {whose} take {limit} bytes already; those of up to {SMALL_BODY_BYTES_MAX} \
         bytes always find room"
    );
    ApiError::new(Refusal::Overloaded, what).with("limit_bytes", &limit)
}

/// What one request has taken; given back when neither its body nor its answer is waited for. The
/// message that was made of the body lives as long.
#[derive(Debug)]
struct Held {
    account: Arc<Account>,
    bytes: AtomicUsize,
}

impl Held {
    fn take(&self, bytes: usize) -> Result<(), ApiError> {
        self.account.take(bytes)?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let bytes = *self.bytes.get_mut();
        if bytes > 0 {
            self.account.give_back(bytes);
        }
    }
}

/// Meters the bodies of requests to the API. Those of health and reflection are small and may stay open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    /// How long a body may take to arrive.
    pub(super) patience: Duration,
}

impl<S> Layer<S> for Meter {
    type Service = Metering<S>;

    fn layer(&self, inner: S) -> Metering<S> {
        Metering { inner, patience: self.patience }
    }
}

/// See [`Meter`].
#[derive(Debug, Clone)]
pub(crate) struct Metering<S> {
    inner: S,
    patience: Duration,
}

impl<S, B> Service<Request<Body>> for Metering<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = MeteredFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !is_of_the_api(request.uri().path()) {
            return MeteredFuture { inner: self.inner.call(request), held: None };
        }
        let account = request.extensions().get::<PerConnection>().map(PerConnection::account);
        let account = account.unwrap_or_default();
        let held = Arc::new(Held { account, bytes: AtomicUsize::new(0) });
        let (kept, patience) = (Arc::clone(&held), self.patience);
        let request = request
            .map(|inner| Body::new(Metered { inner, held, received: 0, patience, late: None }));
        MeteredFuture { inner: self.inner.call(request), held: Some(kept) }
    }
}

pin_project! {
    /// The answer. What the request holds is given back with this.
    #[derive(Debug)]
    pub(crate) struct MeteredFuture<F> {
        #[pin]
        inner: F,
        held: Option<Arc<Held>>,
    }
}

impl<F: Future> Future for MeteredFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        *this.held = None;
        Poll::Ready(answer)
    }
}

/// A body that is counted as it comes.
struct Metered {
    inner: Body,
    held: Arc<Held>,
    received: usize,
    patience: Duration,
    /// Made when the body is first waited for: most are there with their headers.
    late: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    fn receive(&mut self, bytes: usize) -> Result<(), ApiError> {
        let was_small = self.received <= SMALL_BODY_BYTES_MAX;
        self.received = self.received.saturating_add(bytes);
        if self.received <= SMALL_BODY_BYTES_MAX {
            return Ok(());
        }
        self.held.take(if was_small { self.received } else { bytes })
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Poll::Ready(polled) = Pin::new(&mut this.inner).poll_frame(cx) {
            let bytes = match &polled {
                Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
                _ => 0,
            };
            return Poll::Ready(match this.receive(bytes) {
                Ok(()) => polled,
                Err(error) => Some(Err(error.into())),
            });
        }
        let patience = this.patience;
        let late = this.late.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(late.as_mut().poll(cx));
        let what = format!("the request's message did not arrive within {patience:?}");
        Poll::Ready(Some(Err(ApiError::new(Refusal::DeadlineExceeded, what).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_takes_nothing_and_what_ends_gives_all_back() {
        let process = Arc::new(Budget::default());
        let of_process = || process.0.load(Ordering::Relaxed);
        let accounts: Vec<_> = (0..=BODIES_BYTES_MAX / CONNECTION_BODIES_BYTES_MAX)
            .map(|_| Arc::new(Account::of(Arc::clone(&process))))
            .collect();
        let mut held = Vec::new();
        for account in &accounts {
            let one = Held { account: Arc::clone(account), bytes: AtomicUsize::new(0) };
            let taken = one.take(CONNECTION_BODIES_BYTES_MAX);
            assert_eq!(taken.is_ok(), held.len() < accounts.len() - 1, "{taken:?}");
            assert_eq!(account.connection.0.load(Ordering::Relaxed) > 0, taken.is_ok());
            assert!(one.take(1).is_err(), "more than its share, or than all");
            held.push(one);
        }
        assert_eq!(of_process(), BODIES_BYTES_MAX);
        drop(held);
        assert_eq!(of_process(), 0);
    }
}
