//! Server streams: a blocking producer, a bounded channel, and an end when either side has enough.
//! Knows no message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Shared;
use super::guard::{Deadline, deadline_exceeded};
use super::status::{ApiError, Refusal};
use crate::model::limits::{STREAM_BUFFER_ENTRIES, STREAMS_MAX};

/// A stream of responses.
pub(super) type Responses<T> = ReceiverStream<Result<T, Status>>;

/// Opens a list on a thread of its own and sends its entries, then what `finish` makes of their
/// number. An error before the first entry is the call's, a later one ends the stream.
pub(super) async fn produce<T, I, E>(
    shared: &Shared,
    deadline: Option<Deadline>,
    open: impl FnOnce() -> Result<I, ApiError> + Send + 'static,
    entry: impl Fn(E) -> Result<T, ApiError> + Send + 'static,
    finish: impl FnOnce(u64) -> T + Send + 'static,
) -> Result<Responses<T>, ApiError>
where
    T: Send + 'static,
    I: Iterator<Item = E>,
{
    let permit = Arc::clone(&shared.streams).try_acquire_owned().map_err(|_| {
        let what = format!("{STREAMS_MAX} lists are being streamed already");
        ApiError::new(Refusal::Overloaded, what).with("limit", &STREAMS_MAX)
    })?;
    let (opened, when_opened) = oneshot::channel();
    let (sender, receiver) = mpsc::channel(STREAM_BUFFER_ENTRIES);
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let run = || {
            let list = match open() {
                Ok(list) => list,
                Err(error) => return drop(opened.send(Err(error))),
            };
            if opened.send(Ok(())).is_ok() {
                send_all(&sender, deadline, list, entry, finish);
            }
        };
        // Without this a panic would end the stream with OK, and a list must say that it is cut short.
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            let error = ApiError::internal(&"the producer of a list panicked");
            let _ = sender.blocking_send(Err(error.into()));
        }
    });
    match when_opened.await {
        Ok(opened) => opened?,
        Err(_) => return Err(ApiError::internal(&"the opening of a list panicked")),
    }
    Ok(ReceiverStream::new(receiver))
}

fn send_all<T, E>(
    sender: &mpsc::Sender<Result<T, Status>>,
    deadline: Option<Deadline>,
    list: impl Iterator<Item = E>,
    entry: impl Fn(E) -> Result<T, ApiError>,
    finish: impl FnOnce(u64) -> T,
) {
    let mut count = 0_u64;
    for item in list {
        let late = deadline.is_some_and(|Deadline(end)| Instant::now() >= end);
        let response = if late { Err(deadline_exceeded()) } else { entry(item) };
        let ends = response.is_err();
        // A failed send means that the caller is gone: nobody waits for the rest.
        if sender.blocking_send(response.map_err(Status::from)).is_err() || ends {
            return;
        }
        count += 1;
    }
    let _ = sender.blocking_send(Ok(finish(count)));
}
