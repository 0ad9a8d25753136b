//! HTTP/2 on each connection, by hyper. What came together on a connection is begun together, on the task of
//! the connection, and what is done at once is sent together; what is not goes on on a task of its own. A
//! task for each request would wake another thread for less work than the waking costs. Knows connections and
//! tasks, no request.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming as Body;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::codegen::{Bytes, StdError};

use super::connection::{Connection, Incoming};
use super::listener::Listener;
use crate::api::PerConnection;
use crate::config::Settings;
use crate::model::limits::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};

/// Serves connections as they come until `stop`, then no more, and those that are there until what is asked on
/// them is answered. `methods` is made for each connection.
pub(super) async fn serve<L, S, B>(
    incoming: Incoming<L>,
    settings: Settings,
    methods: impl Fn(&PerConnection) -> S,
    stop: impl Future<Output = ()>,
) where
    L: Listener + Unpin,
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<StdError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let (stopping, stopped) = watch::channel(());
    {
        // Dropped when no more are accepted, so that nobody connects who would not be served.
        let (mut incoming, mut stop) = (incoming, pin!(stop));
        loop {
            let next = tokio::select! {
                () = &mut stop => break,
                next = incoming.next() => next,
            };
            let connection = match next {
                Some(Ok(connection)) => connection,
                Some(Err(_)) => continue,
                None => break,
            };
            let methods = methods(connection.of_requests());
            tokio::spawn(converse(connection, settings, methods, stopped.clone()));
        }
    }
    drop(stopped);
    stopping.send_replace(());
    stopping.closed().await;
}

/// Answers what is asked on one connection, to its end.
async fn converse<T, S, B>(
    connection: Connection<T>,
    settings: Settings,
    methods: S,
    mut stopped: watch::Receiver<()>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<StdError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let (begun, patience) = (Begun::default(), settings.patience());
    let mut protocol = Builder::new(begun.clone());
    protocol
        .timer(TokioTimer::new())
        .keep_alive_interval(patience.keepalive)
        .keep_alive_timeout(patience.keepalive_answer)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(settings.in_flight_per_connection())
        // gRPC has no use for it.
        .auto_date_header(false);
    let mut driver = pin!(protocol.serve_connection(TokioIo::new(connection), methods));
    let (mut stop, mut is_leaving) = (pin!(stopped.changed()), false);
    let ended = poll_fn(|cx| {
        begun.gather();
        if !is_leaving && stop.as_mut().poll(cx).is_ready() {
            is_leaving = true;
            driver.as_mut().graceful_shutdown();
        }
        for _ in 0..ROUNDS {
            let polled = driver.as_mut().poll(cx);
            // What was answered is still to be sent, and there may be more to read.
            if !begun.go_on() {
                return polled;
            }
            if polled.is_ready() {
                while begun.go_on() {}
                return polled;
            }
        }
        // Whoever never stops asking keeps nobody else waiting.
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection ended in an error");
    }
}

/// So many requests that came together are begun on the connection's own task; more get tasks at once.
const TOGETHER: usize = 32;
/// So many times they are, before others have their turn.
const ROUNDS: usize = 4;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What was asked on a connection and is to be begun.
#[derive(Clone, Default)]
struct Begun(Arc<Mutex<Gathered>>);

#[derive(Default)]
struct Gathered {
    tasks: Vec<Task>,
    /// The task of the connection is at work, and looks here before it rests.
    is_awake: bool,
}

impl Begun {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on until there is nothing to begin, what comes is gathered.
    fn gather(&self) {
        self.gathered().is_awake = true;
    }

    /// Begins what there is, and gives what is not done at once a task of its own; whether there was any.
    fn go_on(&self) -> bool {
        let tasks = {
            let mut gathered = self.gathered();
            gathered.is_awake = !gathered.tasks.is_empty();
            std::mem::take(&mut gathered.tasks)
        };
        let were_some = !tasks.is_empty();
        for (at, mut task) in tasks.into_iter().enumerate() {
            if at >= TOGETHER {
                tokio::spawn(task);
                continue;
            }
            // A panic ends one request, and no connection.
            let polled = catch_unwind(AssertUnwindSafe(move || {
                // Nobody needs to be woken: the task polls again.
                match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Pending => Some(task),
                    Poll::Ready(()) => None,
                }
            }));
            if let Ok(Some(task)) = polled {
                tokio::spawn(task);
            }
        }
        were_some
    }
}

impl<F> Executor<F> for Begun
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let mut gathered = self.gathered();
        if gathered.is_awake {
            gathered.tasks.push(Box::pin(task));
            return;
        }
        drop(gathered);
        // From a request that has a task of its own: nobody would look for it here before the next bytes come.
        tokio::spawn(task);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_comes_while_a_connection_rests_is_begun_without_it() {
        let begun = Begun::default();
        begun.gather();
        let task = || {
            let (tell, told) = oneshot::channel();
            begun.execute(async move { tell.send(()).unwrap() });
            told
        };
        let mut gathered = task();
        assert!(gathered.try_recv().is_err(), "nobody has looked");
        assert!(begun.go_on());
        gathered.try_recv().unwrap();
        let again = task();
        assert!(begun.go_on() && !begun.go_on());
        again.await.unwrap();
        let at_rest = task();
        assert!(begun.gathered().tasks.is_empty(), "it waits for the next bytes of the caller");
        at_rest.await.unwrap();
    }
}
