//! The revisions that lists stand on, kept so that a list can be resumed however fast newer ones come.
//! Snapshots share what is the same, so a pin costs what has changed since, and that is bounded, for lists
//! that are being read too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::Notify;

use super::{CursorError, Published, Shared};
use crate::model::limits::{
    COMPLETED_CHANGES_MAX, CURSOR_SECONDS, OVERTAKEN_LIST_SECONDS, PINNED_CHANGES_MAX,
    PINNED_REVISIONS_MAX,
};
use crate::model::tuple::{Revision, Time};

/// The pinned revisions, at most [`PINNED_REVISIONS_MAX`]. Those that lists are reading stay, of the
/// others the ones that were read last.
#[derive(Debug, Default)]
pub(super) struct Pins {
    pinned: DashMap<Revision, Pinned>,
}

#[derive(Debug)]
struct Pinned {
    published: Arc<Published>,
    since: Time,
    /// How many lists read it now.
    readers: usize,
    lease: Arc<Lease>,
    /// When the last list that handed out a cursor ended, and that before its end.
    cut: Option<Time>,
    /// The same of lists that came to their end.
    completed: Option<Time>,
}

impl Pinned {
    /// How many changes may lie between it and the newest state. `None`: it is not kept any more.
    fn changes_max(&self, now: Time) -> Option<u64> {
        let is_good =
            |ended: Option<Time>| ended.is_some_and(|at| !has_passed(CURSOR_SECONDS, at, now));
        if self.readers > 0 || is_good(self.cut) {
            Some(PINNED_CHANGES_MAX)
        } else {
            is_good(self.completed).then_some(COMPLETED_CHANGES_MAX)
        }
    }

    fn behind(&self, newest: &Published) -> u64 {
        newest.changes.saturating_sub(self.published.changes)
    }

    fn is_kept(&self, newest: &Published, now: Time) -> bool {
        self.changes_max(now).is_some_and(|most| self.behind(newest) <= most)
    }
}

fn has_passed(seconds: u64, since: Time, now: Time) -> bool {
    now.0.saturating_sub(since.0) >= i64::try_from(seconds * 1_000_000).unwrap_or(i64::MAX)
}

/// Whether the revision that a list stands on is still kept for it.
#[derive(Debug, Default)]
pub struct Lease {
    revision: Revision,
    is_over: AtomicBool,
    told: Notify,
}

impl Lease {
    fn of(revision: Revision) -> Self {
        Self { revision, ..Self::default() }
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Whether the list may go on.
    ///
    /// # Errors
    /// It must end: it has been overtaken by too many changes.
    pub fn check(&self) -> Result<(), CursorError> {
        if self.is_over.load(Ordering::Acquire) {
            return Err(CursorError::Overtaken { revision: self.revision.0 });
        }
        Ok(())
    }

    /// Returns when the list must end.
    pub async fn over(&self) {
        let told = self.told.notified();
        if self.check().is_ok() {
            told.await;
        }
    }
}

/// A list that is being read; its revision is pinned until it ends, and for the life of its cursors
/// if it has handed out any.
#[derive(Debug)]
pub(super) struct Pin {
    shared: Arc<Shared>,
    lease: Arc<Lease>,
    has_cursors: bool,
    is_complete: bool,
}

impl Pin {
    pub(super) fn new(shared: &Arc<Shared>, published: &Arc<Published>) -> Self {
        let revision = published.head.revision;
        let new = || Pinned {
            published: Arc::clone(published),
            since: shared.last_now(),
            readers: 0,
            lease: Arc::new(Lease::of(revision)),
            cut: None,
            completed: None,
        };
        let mut pinned = shared.pins.pinned.entry(revision).or_insert_with(new);
        pinned.readers += 1;
        let lease = Arc::clone(&pinned.lease);
        drop(pinned);
        Self { shared: Arc::clone(shared), lease, has_cursors: false, is_complete: false }
    }

    /// A cursor was handed out.
    pub(super) fn keep(&mut self) {
        self.has_cursors = true;
    }

    /// The list has come to its end.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }

    pub(super) fn lease(&self) -> &Arc<Lease> {
        &self.lease
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let newest = self.shared.published.load_full();
        let now = self.shared.now(newest.time);
        let pins = &self.shared.pins;
        // Where the lease is another, this list was overtaken, and its revision is pinned for others.
        if let Entry::Occupied(mut entry) = pins.pinned.entry(self.lease.revision)
            && Arc::ptr_eq(&entry.get().lease, &self.lease)
        {
            let pinned = entry.get_mut();
            pinned.readers = pinned.readers.saturating_sub(1);
            if self.has_cursors {
                let ended = if self.is_complete { &mut pinned.completed } else { &mut pinned.cut };
                *ended = Some(now);
            }
            if pinned.readers == 0 && !pinned.is_kept(&newest, now) {
                entry.remove();
            }
        }
        pins.make_room();
    }
}

impl Pins {
    /// The state as of a pinned revision.
    pub(super) fn find(&self, revision: Revision, now: Time) -> Option<Arc<Published>> {
        let pinned = self.pinned.get(&revision)?;
        pinned.changes_max(now).map(|_| Arc::clone(&pinned.published))
    }

    /// Forgets what is past its life, and what is too far behind the newest state. Of the lists that are
    /// being read the ones that are too far behind end, but for those of the newest revision among them:
    /// one long list can be read beside writes that do not end, many slow ones cannot each keep a store.
    pub(super) fn sweep(&self, newest: &Published, now: Time) {
        if self.pinned.is_empty() {
            return;
        }
        let may_be_far = |pinned: &Pinned| {
            pinned.readers > 0
                && pinned.behind(newest) > PINNED_CHANGES_MAX
                && !has_passed(OVERTAKEN_LIST_SECONDS, pinned.since, now)
        };
        let far = self.pinned.iter().filter(|pinned| may_be_far(pinned));
        let far = far.map(|pinned| *pinned.key()).max();
        let past = self.pinned.iter().filter(|pinned| !pinned.is_kept(newest, now));
        let past: Vec<_> = past.map(|pinned| *pinned.key()).collect();
        for revision in past.into_iter().filter(|revision| Some(*revision) != far) {
            // What only the pin held is freed outside of the map's lock, which takes its time.
            let is_past = |_: &Revision, pinned: &Pinned| !pinned.is_kept(newest, now);
            if let Some((_, pinned)) = self.pinned.remove_if(&revision, is_past) {
                pinned.lease.end();
            }
        }
    }

    /// Forgets those that were last read longest ago, if there are too many.
    fn make_room(&self) {
        while self.pinned.len() > PINNED_REVISIONS_MAX {
            let idle = self.pinned.iter().filter(|pinned| pinned.readers == 0);
            let oldest = idle.map(|pinned| (pinned.cut.max(pinned.completed), *pinned.key())).min();
            let Some((_, revision)) = oldest else { return };
            self.pinned.remove_if(&revision, |_, pinned| pinned.readers == 0);
        }
    }
}
