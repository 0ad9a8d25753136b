//! The layer of request bodies: how many bytes of them are held at once, and how long one may take to
//! arrive. A place bounds how many requests are under way, not what each makes the service hold: whoever
//! sends all of a large body but its end would keep it in memory until the deadline. Most bodies are small
//! and came whole with their headers: those are handed on as they are, and nothing is kept of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;
use tonic::codegen::{Bytes, StdError};
use tower::Layer;

use super::questions::{CallPlaces, Questions};
use super::{CHECK_STREAM, is_of_the_api};
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
pub(crate) struct Account {
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
/// message that was made of the body lives as long, but for the few that are being read on a thread of
/// their own, to its end.
#[derive(Debug)]
pub(crate) struct Held {
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
#[derive(Debug)]
pub(super) struct Meter {
    /// How long a body may take to arrive.
    pub(super) patience: Duration,
    /// Of the connection.
    pub(super) account: Arc<Account>,
    /// Of the connection, for calls that take many messages.
    pub(super) calls: CallPlaces,
}

impl<S> Layer<S> for Meter {
    type Service = Metering<S>;

    fn layer(&self, inner: S) -> Metering<S> {
        let (patience, account) = (self.patience, Arc::clone(&self.account));
        Metering(Arc::new(Inside { inner, patience, account, calls: self.calls.clone() }))
    }
}

/// A request, and when its headers were there: it may have waited before its body was looked at.
#[derive(Debug)]
pub(crate) struct Arrived<B> {
    pub(super) request: Request<B>,
    pub(super) at: Instant,
}

/// See [`Meter`]. A call is passed on only when its body was looked at, so each has a part in what is inside.
#[derive(Debug)]
pub(crate) struct Metering<S>(Arc<Inside<S>>);

#[derive(Debug)]
pub(crate) struct Inside<S> {
    inner: S,
    patience: Duration,
    account: Arc<Account>,
    calls: CallPlaces,
}

impl<S, B> Service<Request<B>> for Metering<S>
where
    S: Service<Arrived<Message<B>>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = MeteredFuture<S, B, S::Future>;

    fn call(&self, request: Request<B>) -> Self::Future {
        let arrived = Arrived { request, at: Instant::now() };
        MeteredFuture::Arriving { inside: Arc::clone(&self.0), arrived: Some(arrived) }
    }
}

pin_project! {
    /// The answer. What the request holds is given back with this.
    #[project = Projected]
    pub(crate) enum MeteredFuture<S, B, F> {
        /// Its body was not looked at yet.
        Arriving {
            inside: Arc<Inside<S>>,
            // Taken with the first poll.
            arrived: Option<Arrived<B>>,
        },
        /// Asked for.
        Asked {
            #[pin]
            answer: F,
            held: Option<Arc<Held>>,
        },
    }
}

impl<S, B> Future for MeteredFuture<S, B, S::Future>
where
    S: Service<Arrived<Message<B>>>,
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let asked = match self.as_mut().project() {
                Projected::Asked { answer, held } => {
                    let answer = ready!(answer.poll(cx));
                    *held = None;
                    return Poll::Ready(answer);
                }
                Projected::Arriving { inside, arrived } => {
                    // Taken once: what follows puts another state in place of this one.
                    let Some(Arrived { request, at }) = arrived.take() else {
                        return Poll::Pending;
                    };
                    let (request, held) = inside.received(request, cx);
                    Self::Asked { answer: inside.inner.call(Arrived { request, at }), held }
                }
            };
            self.set(asked);
        }
    }
}

impl<S> Inside<S> {
    /// The request with its message, if that is small and here already, and else with what is metered
    /// from now on.
    fn received<B>(
        &self,
        request: Request<B>,
        cx: &mut Context<'_>,
    ) -> (Request<Message<B>>, Option<Arc<Held>>)
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<StdError>,
    {
        let path = request.uri().path();
        let (is_metered, are_many) = (is_of_the_api(path), path == CHECK_STREAM);
        let (mut head, mut body) = request.into_parts();
        if are_many {
            head.extensions.insert(self.calls.clone());
            let questions = Message::Questions(Box::new(Questions::of(body)));
            return (Request::from_parts(head, questions), None);
        }
        if !is_metered {
            return (Request::from_parts(head, Message::Free(body)), None);
        }
        let early = match Early::look(&mut body, cx) {
            Look::Whole(whole) => return (Request::from_parts(head, Message::Whole(whole)), None),
            Look::Begun(early) => early,
        };
        let account = Arc::clone(&self.account);
        let held = Arc::new(Held { account, bytes: AtomicUsize::new(0) });
        let (kept, patience) = (Arc::clone(&held), self.patience);
        let metered = Metered { inner: body, early, held, received: 0, patience, late: None };
        (Request::from_parts(head, Message::Metered(Box::new(metered))), Some(kept))
    }
}

/// What is there of a body.
enum Look {
    /// All of it, and it is small.
    Whole(Option<Bytes>),
    /// More may come.
    Begun(Early),
}

/// What came of a body before it was asked for.
#[derive(Debug, Default)]
struct Early {
    data: Option<Bytes>,
    then: Option<Result<Frame<Bytes>, Status>>,
}

impl Early {
    /// All there is, if that is small, in one part at most, and nothing follows; else what has been seen.
    fn look<B>(body: &mut B, cx: &mut Context<'_>) -> Look
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<StdError>,
    {
        let mut early = Self::default();
        loop {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(None) => return Look::Whole(early.data),
                Poll::Pending => return Look::Begun(early),
                Poll::Ready(Some(frame)) => match frame.map(Frame::into_data) {
                    // Some callers end a body with an empty part.
                    Ok(Ok(data)) if data.is_empty() => {}
                    Ok(Ok(data)) if early.data.is_none() && data.len() <= SMALL_BODY_BYTES_MAX => {
                        early.data = Some(data);
                    }
                    Ok(Ok(data)) => early.then = Some(Ok(Frame::data(data))),
                    Ok(Err(frame)) => early.then = Some(Ok(frame)),
                    Err(error) => early.then = Some(Err(Status::from_error(error.into()))),
                },
            }
            if early.then.is_some() {
                return Look::Begun(early);
            }
        }
    }

    fn take(&mut self) -> Option<Result<Frame<Bytes>, Status>> {
        self.data.take().map(|data| Ok(Frame::data(data))).or_else(|| self.then.take())
    }
}

/// The body of a request, on its way to the method.
#[derive(Debug)]
pub(crate) enum Message<B> {
    /// All of it.
    Whole(Option<Bytes>),
    /// It is counted as it comes.
    Metered(Box<Metered<B>>),
    /// There are many.
    Questions(Box<Questions<B>>),
    /// Nobody counts it.
    Free(B),
}

impl<B> Body for Message<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self {
            Self::Whole(message) => Poll::Ready(message.take().map(|data| Ok(Frame::data(data)))),
            Self::Metered(metered) => metered.poll_frame(cx),
            Self::Questions(questions) => questions.poll_frame(cx),
            Self::Free(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|e| Status::from_error(e.into()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(message) => message.is_none(),
            Self::Metered(metered) => metered.is_end_stream(),
            Self::Questions(questions) => questions.is_end_stream(),
            Self::Free(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(message) => {
                SizeHint::with_exact(message.as_ref().map_or(0, Bytes::len) as u64)
            }
            Self::Metered(_) | Self::Questions(_) => SizeHint::default(),
            Self::Free(body) => body.size_hint(),
        }
    }
}

/// A body that is counted as it comes.
#[derive(Debug)]
pub(crate) struct Metered<B> {
    inner: B,
    early: Early,
    held: Arc<Held>,
    received: usize,
    patience: Duration,
    /// Made when the body is first waited for.
    late: Option<Pin<Box<Sleep>>>,
}

impl<B> Metered<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    fn receive(&mut self, bytes: usize) -> Result<(), ApiError> {
        let was_small = self.received <= SMALL_BODY_BYTES_MAX;
        self.received = self.received.saturating_add(bytes);
        if self.received <= SMALL_BODY_BYTES_MAX {
            return Ok(());
        }
        self.held.take(if was_small { self.received } else { bytes })
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(early) = self.early.take() {
            return Poll::Ready(Some(early));
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|error| Status::from_error(error.into()))))
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(polled) = self.next(cx) {
            let bytes = match &polled {
                Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
                _ => 0,
            };
            return Poll::Ready(match self.receive(bytes) {
                Ok(()) => polled,
                Err(error) => Some(Err(error.into())),
            });
        }
        let patience = self.patience;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(late.as_mut().poll(cx));
        let what = format!("the request's message did not arrive within {patience:?}");
        Poll::Ready(Some(Err(ApiError::new(Refusal::DeadlineExceeded, what).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.early.data.is_none() && self.early.then.is_none() && self.inner.is_end_stream()
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

    /// Answers when each request arrived.
    struct Arrivals;

    impl<B> Service<Arrived<B>> for Arrivals {
        type Response = Instant;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Instant, Self::Error>>;

        fn call(&self, arrived: Arrived<B>) -> Self::Future {
            std::future::ready(Ok(arrived.at))
        }
    }

    #[tokio::test]
    async fn a_request_that_waits_to_be_begun_arrived_before() {
        let meter = Meter {
            patience: Duration::ZERO,
            account: Arc::default(),
            calls: CallPlaces::default(),
        };
        let call = meter.layer(Arrivals).call(Request::new(tonic::body::Body::empty()));
        let waits_since = Instant::now();
        while Instant::now() == waits_since {}
        assert!(call.await.unwrap() <= waits_since);
    }
}
