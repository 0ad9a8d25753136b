//! The revisions that lists stand on, kept so that a list can be resumed however fast newer ones come.
//! Snapshots share what is the same, so a pin costs what has changed since, and that is bounded.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::{Published, Shared};
use crate::model::limits::{CURSOR_SECONDS, PINNED_CHANGES_MAX, PINNED_REVISIONS_MAX};
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
    /// How many lists read it now.
    readers: usize,
    /// When the last list that handed out a cursor ended.
    last_read: Option<Time>,
}

impl Pinned {
    fn is_alive(&self, now: Time) -> bool {
        let life = i64::try_from(CURSOR_SECONDS * 1_000_000).unwrap_or(i64::MAX);
        self.readers > 0 || self.last_read.is_some_and(|at| now.0.saturating_sub(at.0) < life)
    }
}

/// A list that is being read; its revision is pinned until it ends, and for the life of its cursors
/// if it has handed out any.
#[derive(Debug)]
pub(super) struct Pin {
    shared: Arc<Shared>,
    revision: Revision,
    has_cursors: bool,
}

impl Pin {
    pub(super) fn new(shared: &Arc<Shared>, published: &Arc<Published>) -> Self {
        let revision = published.head.revision;
        let new = || Pinned { published: Arc::clone(published), readers: 0, last_read: None };
        shared.pins.pinned.entry(revision).or_insert_with(new).readers += 1;
        Self { shared: Arc::clone(shared), revision, has_cursors: false }
    }

    /// A cursor was handed out.
    pub(super) fn keep(&mut self) {
        self.has_cursors = true;
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let newest = self.shared.published.load_full();
        let now = self.shared.now(newest.time);
        let pins = &self.shared.pins;
        if let Entry::Occupied(mut entry) = pins.pinned.entry(self.revision) {
            let pinned = entry.get_mut();
            pinned.readers = pinned.readers.saturating_sub(1);
            if self.has_cursors {
                pinned.last_read = Some(now);
            }
            if !pinned.is_alive(now) {
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
        pinned.is_alive(now).then(|| Arc::clone(&pinned.published))
    }

    /// Forgets what is past its life, and what is too far behind the newest state.
    pub(super) fn sweep(&self, newest: &Published, now: Time) {
        if self.pinned.is_empty() {
            return;
        }
        let is_past = |pinned: &Pinned| {
            let changes = newest.changes.saturating_sub(pinned.published.changes);
            pinned.readers == 0 && (!pinned.is_alive(now) || changes > PINNED_CHANGES_MAX)
        };
        let past = self.pinned.iter().filter(|pinned| is_past(pinned));
        for revision in past.map(|pinned| *pinned.key()).collect::<Vec<_>>() {
            // What only the pin held is freed outside of the map's lock, which takes its time.
            self.pinned.remove_if(&revision, |_, pinned| is_past(pinned));
        }
    }

    /// Forgets those that were last read longest ago, if there are too many.
    fn make_room(&self) {
        while self.pinned.len() > PINNED_REVISIONS_MAX {
            let idle = self.pinned.iter().filter(|pinned| pinned.readers == 0);
            let oldest = idle.map(|pinned| (pinned.last_read, *pinned.key())).min();
            let Some((_, revision)) = oldest else { return };
            self.pinned.remove_if(&revision, |_, pinned| pinned.readers == 0);
        }
    }
}
