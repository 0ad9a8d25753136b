//! Checkpoints beside the writer: when one is due, the thread that writes it, and what of the log it lets
//! go. Knows no commit.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use imbl::Vector;

use super::Published;
use super::background::give_way;
use crate::index::Part;
use crate::model::limits::{
    CHECKPOINT_CHANGES, CHECKPOINT_SHARE, LOG_KEPT_CHANGES, LOG_KEPT_COMMITS,
};
use crate::model::tuple::Revision;
use crate::store::{CheckpointEntry, CheckpointHead, Commit, KeyedCommit, Store, StoreError};

/// How often the state is written whole, and how much of the log stays behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// After this many changes since the last checkpoint a new one is written.
    pub checkpoint_changes: u64,
    /// They are also one in so many of the tuples that are stored; 0: however many these are.
    pub checkpoint_share: u64,
    /// How many commits the log keeps behind the newest checkpoint.
    pub log_kept_commits: u64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            checkpoint_changes: CHECKPOINT_CHANGES,
            checkpoint_share: CHECKPOINT_SHARE,
            log_kept_commits: LOG_KEPT_COMMITS,
        }
    }
}

/// What of the log somebody still reads, whatever is written meanwhile. One reader at a time.
#[derive(Debug, Clone)]
pub(super) struct LogInUse(Arc<AtomicU64>);

/// Keeps the log from some revision on until it is dropped.
#[derive(Debug)]
pub(super) struct LogKept<'a>(&'a AtomicU64);

impl Default for LogInUse {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl LogInUse {
    /// Keeps everything from this revision on. It must be one that is published already: whatever is being
    /// cut at this moment ends before it.
    pub(super) fn keep_from(&self, revision: Revision) -> LogKept<'_> {
        self.0.store(revision.0, Ordering::SeqCst);
        LogKept(&self.0)
    }

    fn limit(&self, before: Revision) -> Revision {
        Revision(before.0.min(self.0.load(Ordering::SeqCst)))
    }
}

impl Drop for LogKept<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX, Ordering::SeqCst);
    }
}

/// What commits count for, one after the other: what a restart replays of each, and what the log keeps.
#[derive(Debug, Default)]
pub(super) struct Weights {
    sum: u64,
    /// Of the last [`LOG_KEPT_COMMITS`], the newest last.
    last: VecDeque<u64>,
}

impl Weights {
    /// Takes note of a commit of so many changes. An empty one costs too.
    pub(super) fn note(&mut self, changes: usize) {
        let weight = changes.max(1) as u64;
        self.sum = self.sum.saturating_add(weight);
        if self.last.len() as u64 >= LOG_KEPT_COMMITS {
            self.last.pop_front();
        }
        self.last.push_back(weight);
    }

    /// How many of the last commits have not too many changes together, the newest in any case; `None`: all
    /// that are known.
    fn kept(&self) -> Option<u64> {
        let mut changes = 0_u64;
        let few = |weight: &&u64| {
            changes = changes.saturating_add(**weight);
            changes <= LOG_KEPT_CHANGES
        };
        let kept = self.last.iter().rev().take_while(few).count();
        (kept < self.last.len()).then_some(kept.max(1) as u64)
    }
}

/// Writes checkpoints, one at a time.
#[derive(Debug)]
pub(super) struct Checkpointer {
    store: Arc<dyn Store>,
    upkeep: Upkeep,
    in_use: LogInUse,
    /// Of the commits that a restart would replay, those replayed at this start included.
    weights: Weights,
    /// The checkpoint being written: whether it succeeded.
    thread: Option<std::thread::JoinHandle<bool>>,
}

impl Checkpointer {
    pub(super) fn new(
        store: Arc<dyn Store>,
        upkeep: Upkeep,
        in_use: LogInUse,
        replayed: Weights,
    ) -> Self {
        Self { store, upkeep, in_use, weights: replayed, thread: None }
    }

    /// Counts durable commits.
    pub(super) fn count(&mut self, commits: &[Commit]) {
        commits.iter().for_each(|commit| self.weights.note(commit.changes.len()));
    }

    /// Whether one should be begun now, where so many tuples are stored.
    pub(super) fn is_due(&mut self, tuples: usize) -> bool {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return false;
        }
        if let Some(thread) = self.thread.take()
            && !thread.join().unwrap_or(false)
        {
            // Tried again, though not at once: the disk may be full.
            let half = self.upkeep.checkpoint_changes / 2;
            self.weights.sum = self.weights.sum.saturating_add(half);
        }
        let share = (tuples as u64).checked_div(self.upkeep.checkpoint_share).unwrap_or(0);
        self.weights.sum >= self.upkeep.checkpoint_changes.max(share)
    }

    /// Begins one, from a state that stays as it is while commits go on.
    pub(super) fn begin(&mut self, published: Arc<Published>, keyed: Vector<KeyedCommit>) {
        self.weights.sum = 0;
        let (store, in_use) = (Arc::clone(&self.store), self.in_use.clone());
        // Commits before those that are known were counted by whoever kept them.
        let most = self.upkeep.log_kept_commits;
        let kept = self.weights.kept().map_or(most, |kept| kept.min(most));
        let write = move || {
            give_way();
            let written = write_checkpoint(store.as_ref(), &published, keyed);
            let behind = Revision(published.head.revision.0.saturating_sub(kept));
            written
                .and_then(|()| store.truncate(in_use.limit(behind)))
                .inspect_err(|error| {
                    tracing::error!(%error, "no checkpoint was written; the older one stays");
                    // Said at once, and not only to the next who writes.
                    if let Some(cause) = store.latched() {
                        tracing::error!(%cause, "the store failed; nothing more is written");
                        published.work.latched();
                    }
                })
                .is_ok()
        };
        let spawned = std::thread::Builder::new().name("bailiwick-checkpoint".into()).spawn(write);
        match spawned {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => tracing::error!(%error, "the checkpoint's thread could not be started"),
        }
    }

    /// Waits for the one being written, if there is one.
    pub(super) fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// Writes the state as a checkpoint.
fn write_checkpoint(
    store: &dyn Store,
    published: &Published,
    keyed: Vector<KeyedCommit>,
) -> Result<(), StoreError> {
    let Published { snapshot, files, model_since, head, time, .. } = published;
    let state = CheckpointHead {
        head: *head,
        time: *time,
        model: Some(files.as_ref().clone()),
        model_since: *model_since,
        tuple_count: snapshot.len() as u64,
        keyed_count: keyed.len() as u64,
    };
    let tuples =
        snapshot.after(Part::All, None).filter_map(|(_, binding)| snapshot.tuple(&binding));
    let keyed = keyed.into_iter().map(CheckpointEntry::Keyed);
    store.write_checkpoint(&state, &mut tuples.map(CheckpointEntry::Tuple).chain(keyed))
}
