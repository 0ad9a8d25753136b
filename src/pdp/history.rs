//! The revisions before the published one: for a while as a whole, or as the way there from one that is, so that a
//! read can ask for exactly one of them; and their checksums for longer, so that a token can prove its history.
//! Knows no clock: whoever asks says when it is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Published;
use crate::model::limits::{
    HISTORY_CHANGES_MAX, HISTORY_CHECKSUMS_MAX, HISTORY_REVISIONS_MAX, HISTORY_SECONDS,
};
use crate::model::tuple::{Revision, Time};
use crate::store::{Commit, Head};

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

/// A revision that was published.
#[derive(Debug)]
pub(super) enum State {
    /// As it was read.
    Whole(Arc<Published>),
    /// Nobody has read it, or one near it, yet: commits that came together are published as one.
    Step(Arc<Steps>, usize),
}

/// Commits of a group, one after the other, each of which makes a revision of the state before it. A state for
/// each would share nothing of what the commit touched with the next one's, and hardly any is ever asked for.
#[derive(Debug)]
pub(super) struct Steps {
    before: Arc<Published>,
    /// Each with where the log stood after it, and `changes` as of [`Published`].
    steps: Vec<(Head, u64, Commit)>,
}

/// Revisions that are no longer served.
#[derive(Debug)]
#[must_use]
pub(super) struct Forgotten {
    _states: Vec<Recent>,
}

impl State {
    /// The revisions that these commits made after `before`.
    pub(super) fn after(
        before: &Arc<Published>,
        steps: Vec<(Head, u64, Commit)>,
    ) -> impl Iterator<Item = Self> {
        let count = steps.len();
        let steps = Arc::new(Steps { before: Arc::clone(before), steps });
        (0..count).map(move |at| Self::Step(Arc::clone(&steps), at))
    }

    fn head(&self) -> Head {
        match self {
            Self::Whole(published) => published.head,
            Self::Step(of, at) => of.steps.get(*at).map_or(of.before.head, |(head, ..)| *head),
        }
    }

    fn changes(&self) -> u64 {
        match self {
            Self::Whole(published) => published.changes,
            Self::Step(of, at) => {
                of.steps.get(*at).map_or(of.before.changes, |(_, changes, _)| *changes)
            }
        }
    }
}

impl Steps {
    /// The states, all of them, so that they share what they can: each alone would be a copy of what all before it
    /// touched. Ids are given in the order in which the writer gave them. Costs what the commits hold.
    /// `None`: a change that was made once could not be made again, which is a fault.
    fn make(&self) -> Option<Vec<Arc<Published>>> {
        let mut last = Arc::clone(&self.before);
        let mut made = Vec::with_capacity(self.steps.len());
        for (head, changes, commit) in &self.steps {
            let mut snapshot = last.snapshot.clone();
            for change in &commit.changes {
                if snapshot.apply(change).is_err() {
                    tracing::error!(revision = head.revision.0, "a past revision is not made");
                    return None;
                }
            }
            let (head, changes, time) = (*head, *changes, commit.time);
            last = Arc::new(Published { head, time, changes, ..last.on(snapshot) });
            made.push(Arc::clone(&last));
        }
        Some(made)
    }
}

#[derive(Debug)]
struct Recent {
    state: State,
    /// From this moment on it was no longer the newest: its age counts from here, so that a token
    /// that was just handed out is good for the whole time, however old its revision is.
    superseded: Time,
}

impl Recent {
    fn of(&self, now: Time) -> Option<&Self> {
        self.is_served(now).then_some(self)
    }

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

    /// `between` and then `newest` take the place of `old`, in order; `newest` is about to be published. What is
    /// too old or too much is forgotten: its caller lets that go once nobody waits, as what only it held takes its
    /// time to be freed.
    pub(super) fn supersede(
        &self,
        old: &Arc<Published>,
        between: Vec<State>,
        newest: &Published,
        now: Time,
    ) -> Forgotten {
        let mut past = self.past();
        between.iter().for_each(|state| past.checksums.note(state.head()));
        past.checksums.note(newest.head);
        for state in std::iter::once(State::Whole(Arc::clone(old))).chain(between) {
            past.recent.push_back(Recent { state, superseded: now });
        }
        Forgotten { _states: past.forget(newest, now) }
    }

    /// The state as of a revision before the published one, if it is still served.
    pub(super) fn find(&self, revision: Revision, now: Time) -> Option<Arc<Published>> {
        let (steps, at) = match &self.past().recent_at(revision)?.of(now)?.state {
            State::Whole(published) => return Some(Arc::clone(published)),
            State::Step(of, at) => (Arc::clone(of), *at),
        };
        // Outside of the lock, which the writer needs; and so is dropped what is replaced.
        let made = steps.make()?;
        let mut replaced = Vec::with_capacity(made.len());
        let mut past = self.past();
        for published in &made {
            // Two reads may have made it; the first one's stays.
            if let Some(recent) = past.recent_at(published.head.revision)
                && matches!(recent.state, State::Step(..))
            {
                let whole = State::Whole(Arc::clone(published));
                replaced.push(std::mem::replace(&mut recent.state, whole));
            }
        }
        drop(past);
        made.get(at).map(Arc::clone)
    }

    /// The oldest revision that is still served; `None`: only the published one is.
    pub(super) fn oldest(&self, now: Time) -> Option<Head> {
        let past = self.past();
        let first = past.recent.partition_point(|recent| !recent.is_served(now));
        past.recent.get(first).map(|recent| recent.state.head())
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
    fn recent_at(&mut self, revision: Revision) -> Option<&mut Recent> {
        let first = self.recent.front()?.state.head().revision;
        let at = usize::try_from(revision.0.checked_sub(first.0)?).ok()?;
        self.recent.get_mut(at)
    }

    fn forget(&mut self, head: &Published, now: Time) -> Vec<Recent> {
        let too_many = (self.recent.len() + 1).saturating_sub(HISTORY_REVISIONS_MAX);
        let changed_too_much = |recent: &Recent| {
            head.changes.saturating_sub(recent.state.changes()) > HISTORY_CHANGES_MAX
        };
        let is_past = |(at, recent): (usize, &Recent)| {
            at < too_many || !recent.is_served(now) || changed_too_much(recent)
        };
        // Each of the three grows towards the front.
        let forgotten = self.recent.iter().enumerate().take_while(|at| is_past(*at)).count();
        let forgotten: Vec<_> = self.recent.drain(..forgotten).collect();
        if let Some(last) = forgotten.iter().rfind(|recent| changed_too_much(recent)) {
            self.changed_too_much = Some(last.state.head().revision);
        }
        forgotten
    }
}
