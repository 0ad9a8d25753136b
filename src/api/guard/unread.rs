//! The layer that knows what of its answers a connection has not read. A transport takes parts of an
//! answer only as fast as the caller reads them, and asks for nothing meanwhile: whoever never reads
//! would hold a place, and what was made for it, for ever. So each connection counts the parts it has
//! been given; who owns the connection looks at the count now and then, and closes it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use http::Response;
use hyper::service::Service;
use pin_project_lite::pin_project;
use tonic::codegen::Bytes;
use tower::Layer;

use super::passing::{Passed, Passing, pass};
use crate::model::limits::UNREAD_PART_BYTES;

/// The parts of answers that one connection has been given and has not read. Time goes by in turns, and parts are counted by whether their turn is odd.
#[derive(Debug, Default)]
pub struct Unread {
    turn: AtomicUsize,
    even: AtomicUsize,
    odd: AtomicUsize,
}

impl Unread {
    /// Ends a turn. True if a part was given in an earlier one and is not read: then the turn goes on.
    pub fn turn(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        if self.parts(turn.wrapping_add(1)).load(Ordering::Relaxed) > 0 {
            return true;
        }
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        false
    }

    fn parts(&self, turn: usize) -> &AtomicUsize {
        if turn.is_multiple_of(2) { &self.even } else { &self.odd }
    }

    /// Counts a part; the turn that it counts in.
    fn give(&self) -> usize {
        let turn = self.turn.load(Ordering::Relaxed);
        self.parts(turn).fetch_add(1, Ordering::Relaxed);
        turn
    }

    fn read(&self, turn: usize) {
        self.parts(turn).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts what one connection has not read.
#[derive(Debug)]
pub(super) struct CountUnread {
    pub(super) unread: Arc<Unread>,
}

impl<S> Layer<S> for CountUnread {
    type Service = CountingUnread<S>;

    fn layer(&self, inner: S) -> CountingUnread<S> {
        CountingUnread { inner, unread: Arc::clone(&self.unread) }
    }
}

/// See [`CountUnread`].
#[derive(Debug)]
pub(crate) struct CountingUnread<S> {
    inner: S,
    unread: Arc<Unread>,
}

/// What is done with the parts of one answer.
#[derive(Debug)]
pub(crate) struct Given {
    unread: Arc<Unread>,
    /// The turn of the part that is not read yet.
    part: Option<usize>,
}

impl Given {
    fn read(&mut self) {
        if let Some(turn) = self.part.take() {
            self.unread.read(turn);
        }
    }
}

impl Passing for Given {
    fn asked(&mut self) {
        self.read();
    }

    fn data(&mut self, data: Bytes) -> Bytes {
        let unread = &self.unread;
        if data.len() <= UNREAD_PART_BYTES {
            self.part = Some(unread.give());
            return data;
        }
        // The transport may take a large part whole and ask for the next while it is still unsent.
        Bytes::from_owner(Part { turn: unread.give(), unread: Arc::clone(unread), data })
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.read();
    }
}

/// Bytes that count as unread until they are dropped.
struct Part {
    data: Bytes,
    unread: Arc<Unread>,
    turn: usize,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.unread.read(self.turn);
    }
}

impl<S, R, B> Service<R> for CountingUnread<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = Response<Passed<B, Given>>;
    type Error = S::Error;
    type Future = GivenFuture<S::Future>;

    fn call(&self, request: R) -> Self::Future {
        GivenFuture { inner: self.inner.call(request), unread: Some(Arc::clone(&self.unread)) }
    }
}

pin_project! {
    /// The answer, its parts counted.
    #[derive(Debug)]
    pub(crate) struct GivenFuture<F> {
        #[pin]
        inner: F,
        // Taken with the answer.
        unread: Option<Arc<Unread>>,
    }
}

impl<F, B, E> Future for GivenFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Passed<B, Given>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx));
        let given = Given { unread: this.unread.take().unwrap_or_default(), part: None };
        Poll::Ready(response.map(|response| pass(response, given)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(unread: &Arc<Unread>) -> Given {
        Given { unread: Arc::clone(unread), part: None }
    }

    #[test]
    fn what_lies_unread_for_a_whole_turn_is_seen() {
        let unread = Arc::new(Unread::default());
        let mut answer = given(&unread);
        assert_eq!(answer.data(Bytes::from_static(b"part")), "part");
        assert!(!unread.turn(), "it was given in this turn");
        assert!(unread.turn() && unread.turn(), "nobody has read it");
        answer.asked();
        assert!(!unread.turn() && !unread.turn(), "it is read");
    }

    #[test]
    fn whoever_reads_slowly_is_let_alone() {
        let unread = Arc::new(Unread::default());
        let mut answer = given(&unread);
        for _ in 0..10 {
            answer.asked();
            answer.data(Bytes::from_static(b"part"));
            assert!(!unread.turn());
        }
        drop(answer);
        assert!(!unread.turn() && !unread.turn());
    }

    #[test]
    fn a_large_part_is_unread_as_long_as_the_transport_has_it() {
        let unread = Arc::new(Unread::default());
        let mut answer = given(&unread);
        let large = answer.data(vec![7; UNREAD_PART_BYTES + 1].into());
        assert_eq!(large.len(), UNREAD_PART_BYTES + 1);
        answer.asked();
        drop(answer);
        assert!(!unread.turn());
        assert!(unread.turn(), "the transport still has it");
        drop(large);
        assert!(!unread.turn());
    }
}
