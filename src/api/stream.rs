//! Server streams: a blocking producer, a bounded channel, and an end when either side has enough.
//! Knows no message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Shared;
use super::guard::{Deadline, deadline_exceeded};
use super::status::{ApiError, Refusal};
use crate::model::limits::STREAM_BUFFER_ENTRIES;
use crate::pdp::Lease;

/// A stream of responses.
pub(super) type Responses<T> = ReceiverStream<Result<T, Status>>;

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
    let (sender, receiver) = mpsc::channel(STREAM_BUFFER_ENTRIES + 1);
    // The place of the last message is kept from the start: a reader that is too slow still learns that
    // the list is cut short, and nobody waits to tell it.
    let kept = sender.clone().try_reserve_owned();
    let last = kept.map_err(|error| ApiError::internal(&error))?;
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
            send_all(&sender, &pace, list, entry, finish)
        };
        // Without this a panic would end the stream with OK, and a list must say that it is cut short.
        let end = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|_| Some(Err(ApiError::internal(&"the producer of a list panicked"))));
        if let Some(end) = end {
            last.send(end.map_err(Status::from));
        }
    });
    match when_opened.await {
        Ok(opened) => opened?,
        Err(_) => return Err(ApiError::internal(&"the opening of a list panicked")),
    }
    Ok(ReceiverStream::new(receiver))
}

/// Sends all entries and returns what is to be sent last; `None` if the caller is gone.
fn send_all<T, E>(
    sender: &mpsc::Sender<Result<T, Status>>,
    pace: &Pace,
    list: impl Iterator<Item = E>,
    entry: impl Fn(E) -> Result<Option<T>, ApiError>,
    finish: impl FnOnce(u64) -> T,
) -> Option<Result<T, ApiError>> {
    let mut count = 0_u64;
    for item in list {
        if let Err(error) = pace.check() {
            return Some(Err(error));
        }
        let sent = match entry(item) {
            Ok(Some(response)) => pace.send(sender, response),
            // Nothing found: a caller that is gone would not show by itself.
            Ok(None) if sender.is_closed() => return None,
            Ok(None) => continue,
            Err(error) => return Some(Err(error)),
        };
        match sent {
            Ok(()) => count += 1,
            Err(Unsent::CallerGone) => return None,
            Err(Unsent::Late(error)) => return Some(Err(error)),
        }
    }
    Some(Ok(finish(count)))
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
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|Deadline(end)| Instant::now() >= end)
    }

    fn check(&self) -> Result<(), ApiError> {
        if self.is_late() { Err(deadline_exceeded()) } else { Ok(self.lease.check()?) }
    }

    /// Sends an entry; waits for a slow reader, but not for ever: it holds a thread and a place.
    fn send<T>(&self, sender: &mpsc::Sender<Result<T, Status>>, response: T) -> Result<(), Unsent> {
        let response = match sender.try_send(Ok(response)) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(Unsent::CallerGone),
            Err(TrySendError::Full(response)) => response,
        };
        let stalled = Instant::now() + self.stall;
        let end = self.deadline.map_or(stalled, |Deadline(end)| end.min(stalled));
        let sending = async {
            tokio::select! {
                () = self.lease.over() => None,
                sent = timeout_at(end, sender.send(response)) => sent.ok(),
            }
        };
        match self.runtime.block_on(sending) {
            Some(sent) => sent.map_err(|_| Unsent::CallerGone),
            None => {
                self.check().map_err(Unsent::Late)?;
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

    fn search(
        sender: &mpsc::Sender<Result<u64, Status>>,
        deadline: Option<Deadline>,
    ) -> Option<Result<u64, ApiError>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pace = Pace {
            deadline,
            lease: Arc::default(),
            stall: Duration::from_secs(1),
            runtime: runtime.handle().clone(),
        };
        send_all(sender, &pace, fruitless(), |()| Ok(None), |count| count)
    }

    #[test]
    fn a_search_that_finds_nothing_ends_where_its_caller_does() {
        let (sender, receiver) = mpsc::channel(1);
        let late = search(&sender, Some(Deadline(Instant::now())));
        assert_eq!(late, Some(Err(deadline_exceeded())));
        drop(receiver);
        assert_eq!(search(&sender, None), None);
    }
}
