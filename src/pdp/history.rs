//! The revisions before the published one: whole for a while, so that a read can ask for exactly one
//! of them, and their checksums for longer, so that a token can prove its history. Knows no clock:
//! whoever asks says when it is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Published;
use crate::model::limits::{
    HISTORY_CHANGES_MAX, HISTORY_CHECKSUMS_MAX, HISTORY_REVISIONS_MAX, HISTORY_SECONDS,
};
use crate::model::tuple::{Revision, Time};
use crate::store::Head;

/// Why a revision of the past is no longer served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Bound {
    /// Too many came after it.
    #[error("only the last {HISTORY_REVISIONS_MAX} revisions are")]
    Revisions,
    /// It has been superseded for too long.
    #[error("it was succeeded {HISTORY_SECONDS} seconds ago or earlier")]
    Seconds,
    /// Too much has changed since.
    #[error("more than {HISTORY_CHANGES_MAX} changes have come since")]
    Changes,
    /// The process that published it is gone.
    #[error("the service was started anew since")]
    Process,
}

/// What the process remembers of the past. The lock is held for a look-up in an array; reads of the
/// newest revision never take it.
#[derive(Debug)]
pub(super) struct History {
    /// The newest revision when the process began.
    began: Revision,
    past: Mutex<Past>,
}

#[derive(Debug)]
struct Past {
    /// *Dense*: the revisions just before the published one, oldest first; of growing time.
    recent: VecDeque<Recent>,
    /// Up to the published revision.
    checksums: Checksums,
    /// Up to this revision too much has changed since.
    changed_too_much: Option<Revision>,
}

#[derive(Debug)]
struct Recent {
    published: Arc<Published>,
    /// From this moment on it was no longer the newest: its age counts from here, so that a token
    /// that was just handed out is good for the whole time, however old its revision is.
    superseded: Time,
}

impl Recent {
    fn is_served(&self, now: Time) -> bool {
        let served = i64::try_from(HISTORY_SECONDS * 1_000_000).unwrap_or(i64::MAX);
        now.0.saturating_sub(self.superseded.0) < served
    }
}

impl History {
    /// Nothing is known but what was read from the log.
    pub(super) fn starting_at(head: Revision, checksums: Checksums) -> Self {
        let past = Past { recent: VecDeque::new(), checksums, changed_too_much: None };
        Self { began: head, past: Mutex::new(past) }
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        // No code that holds the lock leaves the past half changed, whatever panics.
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `newest` take the place of `old`, in order; the last of them is about to be published. What is
    /// too old or too much is forgotten.
    pub(super) fn supersede(&self, old: &Arc<Published>, newest: &[Arc<Published>], now: Time) {
        let Some((head, between)) = newest.split_last() else { return };
        let mut past = self.past();
        for published in std::iter::once(old).chain(between) {
            past.recent.push_back(Recent { published: Arc::clone(published), superseded: now });
        }
        newest.iter().for_each(|published| past.checksums.note(published.head));
        let forgotten = past.forget(head, now);
        drop(past);
        // Outside of the lock: what only they held is freed here, which takes its time.
        drop(forgotten);
    }

    /// The state as of a revision before the published one, if it is still served.
    pub(super) fn find(&self, revision: Revision, now: Time) -> Option<Arc<Published>> {
        let past = self.past();
        let first = past.recent.front()?.published.head.revision;
        let at = usize::try_from(revision.0.checked_sub(first.0)?).ok()?;
        let found = past.recent.get(at).filter(|recent| recent.is_served(now))?;
        Some(Arc::clone(&found.published))
    }

    /// The oldest revision that is still served; `None`: only the published one is.
    pub(super) fn oldest(&self, now: Time) -> Option<Head> {
        let past = self.past();
        let first = past.recent.partition_point(|recent| !recent.is_served(now));
        past.recent.get(first).map(|recent| recent.published.head)
    }

    /// Why a revision before the published one, `newest`, is not served. Where several bounds are passed,
    /// one of them.
    pub(super) fn bound(&self, revision: Revision, newest: Revision) -> Bound {
        if revision < self.began {
            return Bound::Process;
        }
        if newest.0.saturating_sub(revision.0) >= HISTORY_REVISIONS_MAX as u64 {
            return Bound::Revisions;
        }
        match self.past().changed_too_much {
            Some(last) if revision <= last => Bound::Changes,
            _ => Bound::Seconds,
        }
    }

    /// The checksum of a revision up to the published one, if it is still known. That of the empty
    /// store always is.
    pub(super) fn checksum(&self, revision: Revision) -> Option<u64> {
        if revision == Revision(0) {
            return Some(0);
        }
        self.past().checksums.of(revision)
    }
}

/// The checksums of revisions one after the other: the latest of the log, so many as are kept.
#[derive(Debug)]
pub(super) struct Checksums {
    first: Revision,
    known: VecDeque<u64>,
}

impl Checksums {
    pub(super) fn starting_at(head: Head) -> Self {
        Self { first: head.revision, known: VecDeque::from([head.checksum]) }
    }

    /// Takes note of the revision after the last.
    pub(super) fn note(&mut self, head: Head) {
        if self.known.len() >= HISTORY_CHECKSUMS_MAX && self.known.pop_front().is_some() {
            self.first = self.first.next();
        }
        self.known.push_back(head.checksum);
    }

    fn of(&self, revision: Revision) -> Option<u64> {
        let at = usize::try_from(revision.0.checked_sub(self.first.0)?).ok()?;
        self.known.get(at).copied()
    }
}

impl Past {
    fn forget(&mut self, head: &Published, now: Time) -> Vec<Recent> {
        let too_many = (self.recent.len() + 1).saturating_sub(HISTORY_REVISIONS_MAX);
        let changed_too_much = |recent: &Recent| {
            head.changes.saturating_sub(recent.published.changes) > HISTORY_CHANGES_MAX
        };
        let is_past = |(at, recent): (usize, &Recent)| {
            at < too_many || !recent.is_served(now) || changed_too_much(recent)
        };
        // Each of the three grows towards the front.
        let forgotten = self.recent.iter().enumerate().take_while(|at| is_past(*at)).count();
        let forgotten: Vec<_> = self.recent.drain(..forgotten).collect();
        if let Some(last) = forgotten.iter().rfind(|recent| changed_too_much(recent)) {
            self.changed_too_much = Some(last.published.head.revision);
        }
        forgotten
    }
}
