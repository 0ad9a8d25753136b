//! Server streams: a blocking producer, a bounded number of entries that wait, and an end when either side
//! has enough. Entries go from one thread to the other in parts, as waking the other for each would cost
//! more than to make it. Knows no message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, TryAcquireError, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;
use tonic::Status;

use super::Shared;
use super::guard::{Deadline, deadline_exceeded};
use super::status::{ApiError, Refusal};
use crate::model::limits::{STREAM_BUFFER_ENTRIES, STREAM_PART_ENTRIES, STREAM_PART_MILLISECONDS};
use crate::pdp::Lease;

type Part<T> = Vec<Result<T, Status>>;

/// Each part that waits has an entry and its place, but for the last one: so there is always room.
const PARTS: usize = STREAM_BUFFER_ENTRIES + 1;

/// A stream of responses.
#[derive(Debug)]
pub(super) struct Responses<T> {
    /// Each part but the last has its places, which bound how many wait here.
    parts: mpsc::Receiver<Part<T>>,
    part: std::vec::IntoIter<Result<T, Status>>,
    /// How many places the present part gives back.
    held: usize,
    places: Arc<Semaphore>,
}

impl<T: Unpin> Stream for Responses<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(response) = self.part.next() {
                return Poll::Ready(Some(response));
            }
            let held = std::mem::take(&mut self.held);
            self.places.add_permits(held);
            let Some(part) = ready!(self.parts.poll_recv(cx)) else { return Poll::Ready(None) };
            self.held = part.len();
            self.part = part.into_iter();
        }
    }
}

impl<T> Drop for Responses<T> {
    fn drop(&mut self) {
        // Whoever waits for a place learns that there is nobody to have one for.
        self.places.close();
    }
}

/// Opens a list on a thread of its own and sends its entries, then what `finish` makes of their
/// number. Between any two candidates it stops if the deadline has passed, the caller is gone, or the
/// list's lease is over. An error before the first entry is the call's, a later one ends the stream.
pub(super) async fn produce<T, I, E>(
    shared: &Shared,
    deadline: Option<Deadline>,
    lease: Arc<Lease>,
    open: impl FnOnce() -> Result<I, ApiError> + Send + 'static,
    entry: impl Fn(E) -> Result<Option<T>, ApiError> + Send + 'static,
    finish: impl FnOnce(u64) -> T + Send + 'static,
) -> Result<Responses<T>, ApiError>
where
    T: Send + 'static,
    I: Iterator<Item = E>,
{
    let permit = Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
        let limit = shared.settings.streams();
        let what = format!("{limit} lists are being streamed already");
        ApiError::new(Refusal::Overloaded, what).with("limit", &limit)
    })?;
    let (opened, when_opened) = oneshot::channel();
    let places = Arc::new(Semaphore::new(STREAM_BUFFER_ENTRIES));
    let (sender, parts) = mpsc::channel(PARTS);
    let mut outlet = Outlet { sender, places: Arc::clone(&places), part: Vec::new(), sent: None };
    let pace = Pace {
        deadline,
        lease,
        stall: shared.settings.patience().stream_stall,
        runtime: Handle::current(),
    };
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let run = || {
            let list = match open() {
                Ok(list) => list,
                Err(error) => {
                    let _ = opened.send(Err(error));
                    return None;
                }
            };
            opened.send(Ok(())).ok()?;
            send_all(&mut outlet, &pace, list, entry, finish)
        };
        // Without this a panic would end the stream with OK, and a list must say that it is cut short.
        let end = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Some(Err(ApiError::internal(&"the producer of a list panicked"))));
        if let Some(end) = end {
            outlet.end(end.map_err(Status::from));
        }
    });
    match when_opened.await {
        Ok(opened) => opened?,
        Err(_) => return Err(ApiError::internal(&"the opening of a list panicked")),
    }
    Ok(Responses { parts, part: Vec::new().into_iter(), held: 0, places })
}

/// Sends all entries and returns what is to be sent last; `None` if the caller is gone.
fn send_all<T, E>(
    outlet: &mut Outlet<T>,
    pace: &Pace,
    list: impl Iterator<Item = E>,
    entry: impl Fn(E) -> Result<Option<T>, ApiError>,
    finish: impl FnOnce(u64) -> T,
) -> Option<Result<T, ApiError>> {
    let mut count = 0_u64;
    for item in list {
        let now = Instant::now();
        if let Err(error) = pace.check(now) {
            return Some(Err(error));
        }
        match entry(item) {
            Ok(Some(response)) => {
                outlet.part.push(Ok(response));
                count += 1;
            }
            // Nothing found: a caller that is gone would not show by itself.
            Ok(None) if outlet.sender.is_closed() => return None,
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
        if outlet.is_due(now) {
            match outlet.send(pace, now) {
                Ok(()) => {}
                Err(Unsent::CallerGone) => return None,
                Err(Unsent::Late(error)) => return Some(Err(error)),
            }
        }
    }
    Some(Ok(finish(count)))
}

/// Where a producer puts its entries.
struct Outlet<T> {
    sender: mpsc::Sender<Part<T>>,
    places: Arc<Semaphore>,
    /// What is made and not yet sent.
    part: Part<T>,
    /// When something was sent last.
    sent: Option<Instant>,
}

impl<T> Outlet<T> {
    /// Whether what is made is to be sent: the first entry at once, and none is kept for long.
    fn is_due(&self, now: Instant) -> bool {
        const KEPT: Duration = Duration::from_millis(STREAM_PART_MILLISECONDS);
        match self.part.len() {
            0 => false,
            STREAM_PART_ENTRIES.. => true,
            _ => self.sent.is_none_or(|sent| now.saturating_duration_since(sent) >= KEPT),
        }
    }

    /// Sends what is made; waits for a slow reader, but not for ever: it holds a thread and a place. What
    /// could not be sent stays.
    fn send(&mut self, pace: &Pace, now: Instant) -> Result<(), Unsent> {
        let count = u32::try_from(self.part.len()).unwrap_or(u32::MAX);
        match self.places.try_acquire_many(count) {
            Ok(places) => places.forget(),
            Err(TryAcquireError::Closed) => return Err(Unsent::CallerGone),
            Err(TryAcquireError::NoPermits) => pace.wait(&self.places, count)?,
        }
        let next = Vec::with_capacity(STREAM_PART_ENTRIES);
        self.sent = Some(now);
        self.sender
            .try_send(std::mem::replace(&mut self.part, next))
            .map_err(|_| Unsent::CallerGone)
    }

    /// Sends what is left, and the last response. Needs no place, so a reader that is too slow still learns
    /// that the list is cut short, and nobody waits to tell it.
    fn end(mut self, last: Result<T, Status>) {
        self.part.push(last);
        // If the caller is gone, there is nobody to tell.
        let _ = self.sender.try_send(self.part);
    }
}

/// How long a producer goes on.
struct Pace {
    deadline: Option<Deadline>,
    lease: Arc<Lease>,
    stall: Duration,
    runtime: Handle,
}

enum Unsent {
    CallerGone,
    Late(ApiError),
}

impl Pace {
    fn check(&self, now: Instant) -> Result<(), ApiError> {
        if self.deadline.is_some_and(|Deadline(end)| now >= end) {
            return Err(deadline_exceeded());
        }
        Ok(self.lease.check()?)
    }

    /// Waits until the reader has made room for so many entries.
    fn wait(&self, places: &Semaphore, count: u32) -> Result<(), Unsent> {
        let stalled = Instant::now() + self.stall;
        let end = self.deadline.map_or(stalled, |Deadline(end)| end.min(stalled));
        let waiting = async {
            tokio::select! {
                () = self.lease.over() => None,
                acquired = timeout_at(end, places.acquire_many(count)) => acquired.ok(),
            }
        };
        match self.runtime.block_on(waiting) {
            Some(acquired) => {
                acquired.map_err(|_| Unsent::CallerGone)?.forget();
                Ok(())
            }
            None => {
                self.check(Instant::now()).map_err(Unsent::Late)?;
                let what = format!("nothing of the list was read for {:?}", self.stall);
                Err(Unsent::Late(ApiError::new(Refusal::DeadlineExceeded, what)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Candidates that are never among those looked for.
    fn fruitless() -> impl Iterator<Item = ()> {
        (0..10_000).map(|at| assert!(at < 9_999, "nobody stopped the search"))
    }

    /// Where they would go, and whoever would read them.
    fn outlet() -> (Outlet<u64>, mpsc::Receiver<Part<u64>>) {
        let (sender, parts) = mpsc::channel(PARTS);
        let places = Arc::new(Semaphore::new(STREAM_BUFFER_ENTRIES));
        (Outlet { sender, places, part: Vec::new(), sent: None }, parts)
    }

    fn search(
        outlet: &mut Outlet<u64>,
        deadline: Option<Deadline>,
    ) -> Option<Result<u64, ApiError>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pace = Pace {
            deadline,
            lease: Arc::default(),
            stall: Duration::from_secs(1),
            runtime: runtime.handle().clone(),
        };
        send_all(outlet, &pace, fruitless(), |()| Ok(None), |count| count)
    }

    #[test]
    fn a_search_that_finds_nothing_ends_where_its_caller_does() {
        let (mut outlet, parts) = outlet();
        let late = search(&mut outlet, Some(Deadline(Instant::now())));
        assert_eq!(late, Some(Err(deadline_exceeded())));
        drop(parts);
        assert_eq!(search(&mut outlet, None), None);
    }

    #[test]
    fn the_first_entry_is_sent_at_once_later_ones_in_parts_and_none_is_kept_for_long() {
        let (mut outlet, _parts) = outlet();
        let began = Instant::now();
        assert!(!outlet.is_due(began), "nothing is made");
        outlet.part.push(Ok(1));
        assert!(outlet.is_due(began));
        outlet.sent = Some(began);
        assert!(!outlet.is_due(began));
        assert!(outlet.is_due(began + Duration::from_millis(STREAM_PART_MILLISECONDS)));
        outlet.part.extend((1..STREAM_PART_ENTRIES).map(|_| Ok(1)));
        assert!(outlet.is_due(began));
    }
}
