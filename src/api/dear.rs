//! Requests that take long, on threads where nobody's connection waits for them. Knows no message.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Shared;
use super::status::ApiError;
use crate::pdp::give_way;

/// Runs a job on a thread of its own, once one of so many is free. A caller that goes away before leaves
/// the queue; a job that has begun goes on to its end, or to where it looks whether anybody waits.
pub(super) async fn elsewhere<T: Send + 'static>(
    shared: &Shared,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let place = place(&shared.dear).await?;
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        job()
    });
    done.await.map_err(|error| ApiError::internal(&error))
}

/// The same on a thread that gives way to those who answer, of which there are few. It is begun for the job, as it can
/// never go back.
pub(super) async fn giving_way<T: Send + 'static>(
    shared: &Shared,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let place = place(&shared.bulk).await?;
    let (done, outcome) = oneshot::channel();
    let run = move || {
        let made = {
            let _place = place;
            give_way();
            job()
        };
        // Whoever does not wait any more needs no answer.
        let _gone = done.send(made);
    };
    let begun = std::thread::Builder::new().name("bailiwick-bulk".into()).spawn(run);
    begun.map_err(|error| ApiError::internal(&error))?;
    outcome.await.map_err(|error| ApiError::internal(&error))
}

/// One of so many places, once it is free.
async fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ApiError> {
    let place = Arc::clone(places).acquire_owned().await;
    place.map_err(|error| ApiError::internal(&error))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::config::Settings;
    use crate::model::limits::{BULK_REQUESTS_MAX, DEAR_REQUESTS_MAX};

    #[tokio::test]
    async fn a_job_that_gives_way_is_answered_and_one_that_panics_is_an_error() {
        let shared = Shared::new(Settings::default());
        let here = std::thread::current().id();
        let job = move || std::thread::current().id() != here;
        assert_eq!(giving_way(&shared, job).await, Ok(true));
        let failed: Result<(), _> = giving_way(&shared, || panic!("as a bug would")).await;
        assert!(failed.is_err());
        assert_eq!(shared.bulk.available_permits(), BULK_REQUESTS_MAX);
    }

    #[tokio::test]
    async fn jobs_that_give_way_are_few_at_once_and_nobody_else_waits_for_them() {
        let shared = Arc::new(Shared::new(Settings::default()));
        let mut jobs = Vec::new();
        for _ in 0..=BULK_REQUESTS_MAX {
            let (end, when_ended) = mpsc::sync_channel::<()>(1);
            let shared = Arc::clone(&shared);
            let job = tokio::spawn(async move {
                giving_way(&shared, move || when_ended.recv().is_err()).await
            });
            jobs.push((job, end));
        }
        while shared.bulk.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(elsewhere(&shared, || 7).await, Ok(7));
        let (last, end_last) = jobs.pop().unwrap();
        drop(end_last);
        tokio::task::yield_now().await;
        assert!(!last.is_finished(), "it waits for a place");
        for (job, end) in jobs {
            drop(end);
            assert_eq!(job.await.unwrap(), Ok(true));
        }
        assert_eq!(last.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn so_many_jobs_run_at_once_and_one_more_waits_its_turn() {
        let shared = Arc::new(Shared::new(Settings::default()));
        let (begun, when_begun) = mpsc::sync_channel(DEAR_REQUESTS_MAX + 2);
        let mut jobs = Vec::new();
        let begin = |at: usize| {
            let (end, when_ended) = mpsc::sync_channel::<()>(1);
            let (shared, begun) = (Arc::clone(&shared), begun.clone());
            let job = async move {
                let wait = move || {
                    begun.send(at).unwrap();
                    let _ = when_ended.recv();
                    at
                };
                elsewhere(&shared, wait).await
            };
            (tokio::spawn(job), end)
        };
        for at in 0..DEAR_REQUESTS_MAX {
            jobs.push(begin(at));
        }
        while shared.dear.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let mut first: Vec<usize> =
            (0..DEAR_REQUESTS_MAX).map(|_| when_begun.recv().unwrap()).collect();
        first.sort_unstable();
        assert_eq!(first, (0..DEAR_REQUESTS_MAX).collect::<Vec<_>>());
        // Two more wait; the first of them goes away, and the other comes next.
        let (gone, _end) = begin(DEAR_REQUESTS_MAX);
        let (more, end) = begin(DEAR_REQUESTS_MAX + 1);
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        assert!(when_begun.try_recv().is_err(), "there is no bound");
        let (job, ended) = jobs.pop().unwrap();
        drop(ended);
        assert_eq!(job.await.unwrap(), Ok(DEAR_REQUESTS_MAX - 1));
        drop(end);
        assert_eq!(more.await.unwrap(), Ok(DEAR_REQUESTS_MAX + 1));
        assert_eq!(when_begun.try_recv(), Ok(DEAR_REQUESTS_MAX + 1));
    }
}
