//! Checkpoints beside the writer: when one is due, the thread that writes it, and what of the log it lets
//! go. Knows no commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use imbl::Vector;

use super::Published;
use crate::index::Part;
use crate::model::limits::{CHECKPOINT_CHANGES, LOG_KEPT_COMMITS};
use crate::model::tuple::Revision;
use crate::store::{CheckpointEntry, CheckpointHead, Commit, KeyedCommit, Store, StoreError};

/// How often the state is written whole, and how much of the log stays behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// After this many changes since the last checkpoint a new one is written.
    pub checkpoint_changes: u64,
    /// How many commits the log keeps behind the newest checkpoint.
    pub log_kept_commits: u64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self { checkpoint_changes: CHECKPOINT_CHANGES, log_kept_commits: LOG_KEPT_COMMITS }
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

/// How many changes a commit counts for: what a restart replays of it. An empty one costs too.
pub(super) fn weight_of(commit: &Commit) -> u64 {
    commit.changes.len().max(1) as u64
}

/// Writes checkpoints, one at a time.
#[derive(Debug)]
pub(super) struct Checkpointer {
    store: Arc<dyn Store>,
    upkeep: Upkeep,
    in_use: LogInUse,
    /// Changes that a restart would replay, those replayed at this start included.
    changes: u64,
    /// The checkpoint being written: whether it succeeded.
    thread: Option<std::thread::JoinHandle<bool>>,
}

impl Checkpointer {
    pub(super) fn new(
        store: Arc<dyn Store>,
        upkeep: Upkeep,
        in_use: LogInUse,
        replayed: u64,
    ) -> Self {
        Self { store, upkeep, in_use, changes: replayed, thread: None }
    }

    /// Counts durable commits.
    pub(super) fn count(&mut self, commits: &[Commit]) {
        let changes: u64 = commits.iter().map(weight_of).sum();
        self.changes = self.changes.saturating_add(changes);
    }

    /// Whether one should be begun now.
    pub(super) fn is_due(&mut self) -> bool {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return false;
        }
        if let Some(thread) = self.thread.take()
            && !thread.join().unwrap_or(false)
        {
            // Tried again, though not at once: the disk may be full.
            self.changes = self.changes.saturating_add(self.upkeep.checkpoint_changes / 2);
        }
        self.changes >= self.upkeep.checkpoint_changes
    }

    /// Begins one, from a state that stays as it is while commits go on.
    pub(super) fn begin(&mut self, published: Arc<Published>, keyed: Vector<KeyedCommit>) {
        self.changes = 0;
        let (store, in_use) = (Arc::clone(&self.store), self.in_use.clone());
        let kept = self.upkeep.log_kept_commits;
        let write = move || {
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
