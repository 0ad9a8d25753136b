//! Connections of callers: how many there are, and an end for those that only take up room. Knows bytes,
//! no request.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::Connected;

use super::listener::Listener;
use crate::api::{Budget, PerConnection};
use crate::config::Patience;
use crate::model::limits::ACCEPT_PAUSE_MILLIS;
use crate::telemetry::figures::{Closed, Connections};

/// With so many bytes a caller has shown that it speaks the protocol: the preface of HTTP/2. No request
/// of HTTP/1.1 with its host is shorter.
const GREETING_BYTES: usize = 24;

/// How many connections there may be, and how long one may keep the service waiting.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub(super) connections: Arc<Connections>,
    pub(super) most: usize,
    pub(super) patience: Patience,
    /// What request bodies take, of all connections.
    pub(super) bodies: Arc<Budget>,
    /// If set, a connection from which nothing has come for so long is closed, up to twice as long; and
    /// where there are too many, a new one takes the place of the one that has been silent longest.
    pub(super) idle: Option<Duration>,
}

/// The place of a connection, which may be given to another.
#[derive(Debug)]
struct Seat {
    heard: Arc<AtomicU64>,
    leave: oneshot::Sender<()>,
}

/// The connections of a listener, as they come.
#[derive(Debug)]
pub(super) struct Incoming<L> {
    listener: L,
    terms: Terms,
    /// Until when nothing is accepted.
    pause: Option<Pin<Box<Sleep>>>,
    is_full: bool,
    /// Where places are given to others.
    seats: Vec<Seat>,
    /// Counts what is heard, of whichever connection: who has been silent longest has the lowest number.
    hearing: Arc<AtomicU64>,
}

impl<L> Incoming<L> {
    pub(super) fn new(listener: L, terms: Terms) -> Self {
        Self {
            listener,
            terms,
            pause: None,
            is_full: false,
            seats: Vec::new(),
            hearing: Arc::default(),
        }
    }
}

impl<L: Listener + Unpin> Stream for Incoming<L> {
    type Item = io::Result<Connection<L::Stream>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok(stream) => {
                    if let Some(connection) = self.admit(stream) {
                        return Poll::Ready(Some(Ok(connection)));
                    }
                }
                Err(error) if is_of_the_caller(&error) => (),
                Err(error) => {
                    // Out of files, for example: at once it would fail again, and again.
                    tracing::warn!(%error, "cannot accept connections; trying again");
                    self.pause = Some(Box::pin(sleep(Duration::from_millis(ACCEPT_PAUSE_MILLIS))));
                }
            }
        }
    }
}

impl<L> Incoming<L> {
    /// Takes a connection, or closes it at once.
    fn admit<S>(&mut self, stream: S) -> Option<Connection<S>> {
        let Terms { connections, most, idle, .. } = &self.terms;
        if idle.is_some() {
            // Who leaves for it counts until it has left.
            connections.open(usize::MAX);
            let place = self.place();
            return Some(Connection::new(stream, &self.terms, Some(place)));
        }
        if connections.open(*most) {
            self.is_full = false;
            return Some(Connection::new(stream, &self.terms, None));
        }
        connections.closed(Closed::Full);
        if !std::mem::replace(&mut self.is_full, true) {
            tracing::warn!(limit = most, "too many connections; further ones are closed at once");
        }
        None
    }

    /// A place for one more: that of the one that has been silent longest, if all are taken.
    fn place(&mut self) -> Place {
        self.seats.retain(|seat| !seat.leave.is_closed());
        if self.seats.len() >= self.terms.most {
            let heard = |(_, seat): &(usize, &Seat)| seat.heard.load(Ordering::Relaxed);
            if let Some((at, _)) = self.seats.iter().enumerate().min_by_key(heard) {
                // If nobody hears it, the connection has ended already.
                let _ended = self.seats.swap_remove(at).leave.send(());
            }
        }
        let (leave, told) = oneshot::channel();
        let hearing = Arc::clone(&self.hearing);
        let heard = Arc::new(AtomicU64::new(hearing.fetch_add(1, Ordering::Relaxed)));
        self.seats.push(Seat { heard: Arc::clone(&heard), leave });
        Place { heard, hearing, told: Some(told) }
    }
}

/// What a connection knows of its place.
#[derive(Debug)]
struct Place {
    heard: Arc<AtomicU64>,
    hearing: Arc<AtomicU64>,
    /// `None`: nobody will tell it to leave any more.
    told: Option<oneshot::Receiver<()>>,
}

impl Place {
    fn hear(&self) {
        let now = self.hearing.fetch_add(1, Ordering::Relaxed);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// Whether another has taken it.
    fn is_taken(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(told) = &mut self.told else { return false };
        let Poll::Ready(told) = Pin::new(told).poll(cx) else { return false };
        self.told = None;
        told.is_ok()
    }
}

/// Whether it was the caller who broke off, before its connection was accepted.
fn is_of_the_caller(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Interrupted
    )
}

/// One connection. It fails once its caller has been silent from the start, or has left an answer
/// unread, for too long; where places are given to others, also once it has lost its own.
#[derive(Debug)]
pub(super) struct Connection<S> {
    stream: S,
    of_requests: PerConnection,
    connections: Arc<Connections>,
    period: Duration,
    place: Option<Place>,
    /// When to look again.
    look: Pin<Box<Sleep>>,
    received: usize,
    /// The same when it was last looked at.
    received_before: usize,
    closed: Option<Closed>,
}

impl<S> Connection<S> {
    /// One that is counted already.
    fn new(stream: S, terms: &Terms, place: Option<Place>) -> Self {
        let Patience { greeting, unread, .. } = terms.patience;
        let period = terms.idle.unwrap_or(unread);
        Self {
            stream,
            of_requests: PerConnection::new(&terms.bodies),
            connections: Arc::clone(&terms.connections),
            period,
            place,
            look: Box::pin(sleep(terms.idle.map_or(greeting, |idle| greeting.min(idle)))),
            received: 0,
            received_before: 0,
            closed: None,
        }
    }

    /// What is known of it beside its requests.
    pub(super) fn of_requests(&self) -> &PerConnection {
        &self.of_requests
    }

    /// Why it is to end, if it is. Called wherever the connection waits, so that there is always
    /// somebody to be woken.
    fn over(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.closed.is_none() && self.place.as_mut().is_some_and(|place| place.is_taken(cx)) {
            self.close(Closed::Full);
        }
        while self.closed.is_none() {
            ready!(self.look.as_mut().poll(cx));
            let is_idle = self.place.is_some() && self.received == self.received_before;
            self.received_before = self.received;
            if self.received < GREETING_BYTES || is_idle {
                self.close(Closed::Silent);
            } else if self.of_requests.unread().turn() {
                self.close(Closed::Unread);
            } else {
                self.look.as_mut().reset(Instant::now() + self.period);
            }
        }
        Poll::Ready(io::ErrorKind::TimedOut.into())
    }

    fn close(&mut self, why: Closed) {
        tracing::debug!(why = why.label(), "a connection is closed");
        self.connections.closed(why);
        self.closed = Some(why);
    }

    /// What the stream says, unless it is over.
    fn unless_over<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() && self.closed.is_none() {
            return polled;
        }
        self.over(cx).map(Err)
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.connections.ended();
    }
}

/// The admin page's requests know nothing of their connection.
impl<S> Connected for Connection<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let received = buf.filled().len() - before;
        this.received = this.received.saturating_add(received);
        if let Some(place) = this.place.as_ref().filter(|_| received > 0) {
            place.hear();
        }
        this.unless_over(cx, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.unless_over(cx, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.unless_over(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.unless_over(cx, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.unless_over(cx, polled)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio_stream::StreamExt as _;

    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    /// Gives out what a test put in, last first, and then waits for ever.
    #[derive(Debug)]
    struct Prepared(Mutex<Vec<io::Result<DuplexStream>>>);

    impl Listener for Prepared {
        type Stream = DuplexStream;

        fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<DuplexStream>> {
            self.0.lock().unwrap().pop().map_or(Poll::Pending, Poll::Ready)
        }

        fn place(&self) -> String {
            "nowhere".into()
        }
    }

    fn incoming(prepared: Vec<io::Result<DuplexStream>>, most: usize) -> Incoming<Prepared> {
        Incoming::new(Prepared(Mutex::new(prepared)), terms(most))
    }

    fn terms(most: usize) -> Terms {
        let patience = Patience { greeting: SHORT, unread: SHORT, ..Patience::default() };
        Terms { connections: Arc::default(), most, patience, bodies: Arc::default(), idle: None }
    }

    fn closings(connections: &Connections) -> Vec<u64> {
        connections.closings().map(|(_, count)| count).collect()
    }

    #[tokio::test]
    async fn further_connections_are_closed_and_room_is_given_back() {
        let pairs: Vec<_> = (0..4).map(|_| duplex(64)).collect();
        let (mut far, near): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let mut incoming = incoming(near.into_iter().map(Ok).rev().collect(), 2);
        let connections = Arc::clone(&incoming.terms.connections);
        let first = incoming.next().await.unwrap().unwrap();
        let _second = incoming.next().await.unwrap().unwrap();
        assert!(tokio::time::timeout(SHORT, incoming.next()).await.is_err());
        assert_eq!((connections.count(), closings(&connections)), (2, vec![2, 0, 0]));
        assert_eq!(far[2].read(&mut [0; 1]).await.unwrap(), 0, "the third is not closed");
        drop(first);
        assert_eq!(connections.count(), 1);
    }

    #[tokio::test]
    async fn out_of_files_is_waited_out_and_broken_callers_are_passed_over() {
        let (_far, near) = duplex(64);
        let out_of_files = io::Error::from_raw_os_error(24);
        let prepared =
            vec![Ok(near), Err(out_of_files), Err(io::ErrorKind::ConnectionReset.into())];
        let mut incoming = incoming(prepared, 2);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut incoming).poll_next(&mut cx).is_pending());
        assert!(incoming.pause.is_some(), "it tries again at once");
        assert!(incoming.next().await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_silent_connection_ends_and_one_that_has_greeted_stays() {
        let terms = terms(1);
        let (mut far, near) = duplex(64);
        let mut silent = Connection::new(near, &terms, None);
        far.write_all(&[7; GREETING_BYTES - 1]).await.unwrap();
        let mut bytes = [0; GREETING_BYTES];
        let error = silent.read_exact(&mut bytes).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(silent.write(b"x").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(closings(&terms.connections), [0, 1, 0]);

        let (mut far, near) = duplex(64);
        let mut greeted = Connection::new(near, &terms, None);
        far.write_all(&[7; GREETING_BYTES]).await.unwrap();
        greeted.read_exact(&mut bytes).await.unwrap();
        let waited = tokio::time::timeout(SHORT * 10, greeted.read(&mut bytes)).await;
        assert!(waited.is_err(), "{waited:?}");
    }
}
