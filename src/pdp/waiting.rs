//! Reads that wait for a revision which is not published yet. Each is woken once, when its revision is
//! there, or when the service stops: a publication costs nothing for those whose turn has not come. Knows
//! no snapshot and no time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::model::limits::WAITING_READS_MAX;
use crate::model::tuple::Revision;

/// The reads that wait, a bounded number of them.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// By what they wait for, and a number that tells those apart who wait for the same.
    waiters: BTreeMap<(Revision, u64), oneshot::Sender<()>>,
    next_number: u64,
    is_closed: bool,
}

/// Why there is no place to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// Too many wait already.
    Full,
    /// The service is stopping.
    Closed,
}

/// A place among those who wait; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    key: (Revision, u64),
    woken: oneshot::Receiver<()>,
}

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // No code that holds the lock leaves the queue half changed, whatever panics.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for this revision from now on; whoever looked before must look again.
    ///
    /// # Errors
    /// Nobody may wait any more, or too many do.
    pub(super) fn place(&self, revision: Revision) -> Result<Place<'_>, NoPlace> {
        let mut queue = self.queue();
        if queue.is_closed {
            return Err(NoPlace::Closed);
        }
        if queue.waiters.len() >= WAITING_READS_MAX {
            return Err(NoPlace::Full);
        }
        let key = (revision, queue.next_number);
        queue.next_number += 1;
        let (wake, woken) = oneshot::channel();
        queue.waiters.insert(key, wake);
        Ok(Place { waiting: self, key, woken })
    }

    /// Wakes everybody who waits for this revision or an earlier one; it has been published.
    pub(super) fn wake(&self, revision: Revision) {
        let mut queue = self.queue();
        let later = queue.waiters.split_off(&(revision.next(), 0));
        let due = std::mem::replace(&mut queue.waiters, later);
        drop(queue);
        wake_all(due);
    }

    /// Wakes everybody; from now on nobody waits.
    pub(super) fn close(&self) {
        let mut queue = self.queue();
        queue.is_closed = true;
        let all = std::mem::take(&mut queue.waiters);
        drop(queue);
        wake_all(all);
    }

    /// Whether nobody waits any more.
    pub(super) fn is_closed(&self) -> bool {
        self.queue().is_closed
    }
}

fn wake_all(waiters: BTreeMap<(Revision, u64), oneshot::Sender<()>>) {
    for wake in waiters.into_values() {
        // Whoever does not wait any more needs no waking.
        let _gone = wake.send(());
    }
}

impl Place<'_> {
    /// Returns when the revision has been published, or nobody is to wait any more.
    pub(super) async fn woken(mut self) {
        let _woken = (&mut self.woken).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.queue().waiters.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let waiting = Waiting::default();
        let mut places: Vec<_> =
            (0..WAITING_READS_MAX).map(|_| waiting.place(Revision(9)).unwrap()).collect();
        assert_eq!(waiting.place(Revision(9)).err(), Some(NoPlace::Full));
        places.pop();
        let last = waiting.place(Revision(10)).unwrap();
        assert_eq!(waiting.place(Revision(10)).err(), Some(NoPlace::Full));
        // Who is woken has left the queue, whether it has noticed or not.
        waiting.wake(Revision(9));
        let again: Vec<_> =
            (1..WAITING_READS_MAX).map(|_| waiting.place(Revision(11)).unwrap()).collect();
        assert_eq!(waiting.place(Revision(11)).err(), Some(NoPlace::Full));
        drop((places, again, last));
        assert!(waiting.queue().waiters.is_empty());
    }

    #[tokio::test]
    async fn only_those_are_woken_whose_turn_has_come() {
        let waiting = Waiting::default();
        let (early, late) =
            (waiting.place(Revision(4)).unwrap(), waiting.place(Revision(5)).unwrap());
        waiting.wake(Revision(4));
        early.woken().await;
        let mut late = std::pin::pin!(late.woken());
        tokio::select! {
            biased;
            () = &mut late => panic!("revision 5 is not there yet"),
            () = tokio::task::yield_now() => (),
        }
        waiting.wake(Revision(u64::MAX));
        late.await;
    }

    #[tokio::test]
    async fn nobody_waits_where_the_service_stops() {
        let waiting = Waiting::default();
        let place = waiting.place(Revision(4)).unwrap();
        assert!(!waiting.is_closed());
        waiting.close();
        place.woken().await;
        assert!(waiting.is_closed());
        assert_eq!(waiting.place(Revision(4)).err(), Some(NoPlace::Closed));
    }
}
