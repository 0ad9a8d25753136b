//! The one writer. Order, here and nowhere else: validate against the pending snapshot, make durable,
//! publish, answer. Commits that arrive together are made durable by one sync.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Published, Shared, Token, WriteError};
use crate::index::{NotIndexable, Part, Snapshot, check_parents};
use crate::model::admission::admit;
use crate::model::limits::{CHECKPOINT_CHANGES, GROUP_COMMITS_MAX, LOG_KEPT_COMMITS};
use crate::model::names::quoted;
use crate::model::tuple::{Change, Revision, Time, Tuple, TupleKey};
use crate::store::{CheckpointHead, Commit, Head, Store, StoreError};

/// What to do with one tuple.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteChange {
    /// Store it; refused if a live one with its identity is there.
    Create(Tuple),
    /// Store it, in place of one with its identity.
    Touch(Tuple),
    /// Remove the one with this identity; nothing happens if there is none.
    Delete(TupleKey),
}

impl WriteChange {
    fn key(&self) -> &TupleKey {
        match self {
            Self::Create(tuple) | Self::Touch(tuple) => &tuple.key,
            Self::Delete(key) => key,
        }
    }
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The revision from which on every read sees it.
    pub token: Token,
    /// How many of its changes changed something: a delete of what is not there does not.
    pub changed: usize,
}

/// A commit that waits for the writer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) changes: Vec<WriteChange>,
    pub(super) reply: oneshot::Sender<Result<(Head, usize), WriteError>>,
}

/// The writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
    /// Set by the first failed sync; from then on nothing is written.
    latched: Option<String>,
    /// Changes that a restart would replay, those replayed at this start included.
    changes_since_checkpoint: u64,
    /// The checkpoint being written: whether it succeeded.
    checkpointing: Option<std::thread::JoinHandle<bool>>,
}

/// A commit of the group, validated, or why it was refused.
type Outcome = Result<Accepted, WriteError>;

struct Accepted {
    /// Its place in the group's list, or that of the commit before it if it changes nothing. `None`:
    /// there is none in this group.
    place: Option<usize>,
    /// How many of its changes change something.
    changed: usize,
}

/// What the group's commits make of the published state; nobody reads it before it is durable.
struct Pending {
    snapshot: Snapshot,
    time: Time,
    commits: Vec<Commit>,
}

impl Writer {
    pub(super) fn new(
        store: Arc<dyn Store>,
        shared: Arc<Shared>,
        jobs: mpsc::Receiver<Job>,
        replayed: u64,
    ) -> Self {
        Self {
            store,
            shared,
            jobs,
            latched: None,
            changes_since_checkpoint: replayed,
            checkpointing: None,
        }
    }

    /// Serves commits until every sender is gone.
    pub(super) fn run(mut self) {
        while let Some(first) = self.jobs.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_COMMITS_MAX {
                match self.jobs.try_recv() {
                    Ok(job) => group.push(job),
                    Err(_) => break,
                }
            }
            self.serve(group);
            self.checkpoint_if_due();
        }
        if let Some(thread) = self.checkpointing.take() {
            let _ended = thread.join();
        }
    }

    fn serve(&mut self, group: Vec<Job>) {
        if let Some(cause) = &self.latched {
            for job in group {
                // Whoever does not wait any more needs no answer.
                let _gone = job.reply.send(Err(WriteError::Unavailable(cause.clone())));
            }
            return;
        }
        let published = self.shared.published.load_full();
        let time = self.shared.now(published.time);
        let mut pending =
            Pending { snapshot: published.snapshot.clone(), time, commits: Vec::new() };
        let outcomes: Vec<Outcome> = group.iter().map(|job| pending.accept(&job.changes)).collect();
        match self.make_durable(&published, &pending) {
            Ok(heads) => {
                for (job, outcome) in group.into_iter().zip(outcomes) {
                    let head = |Accepted { place, changed }| {
                        let own = place.and_then(|place: usize| heads.get(place));
                        (own.copied().unwrap_or(published.head), changed)
                    };
                    let _gone = job.reply.send(outcome.map(head));
                }
            }
            // Only whoever asked for what cannot be stored is refused.
            Err(StoreError::CommitTooLarge { .. } | StoreError::Unstorable { .. })
                if group.len() > 1 =>
            {
                for job in group {
                    self.serve(vec![job]);
                }
            }
            Err(error) => self.refuse(group, &error),
        }
    }

    /// Appends and publishes; the heads after each commit of the group.
    fn make_durable(
        &mut self,
        published: &Published,
        pending: &Pending,
    ) -> Result<Vec<Head>, StoreError> {
        if pending.commits.is_empty() {
            return Ok(Vec::new());
        }
        let heads = self.store.append(published.head.revision, &pending.commits)?;
        let head = heads.last().copied().unwrap_or(published.head);
        let changes: usize = pending.commits.iter().map(|commit| commit.changes.len()).sum();
        self.changes_since_checkpoint += changes as u64;
        self.shared.published.store(Arc::new(Published {
            snapshot: pending.snapshot.clone(),
            plan: Arc::clone(&published.plan),
            files: Arc::clone(&published.files),
            head,
            time: pending.time,
        }));
        Ok(heads)
    }

    /// The append failed. Only where nothing was written is the outcome known.
    fn refuse(&mut self, group: Vec<Job>, error: &StoreError) {
        if let StoreError::CommitTooLarge { bytes, limit } = *error {
            for job in group {
                let _gone = job.reply.send(Err(WriteError::TooLarge { bytes, limit }));
            }
            return;
        }
        if let StoreError::Unstorable { reason } = error {
            for job in group {
                let _gone = job.reply.send(Err(WriteError::Unstorable { reason: reason.clone() }));
            }
            return;
        }
        let cause = error.to_string();
        tracing::error!(error = %cause, "the store failed; nothing more is written");
        let unwritten = matches!(error, StoreError::Conflict { .. } | StoreError::Latched { .. });
        for job in group {
            let refusal =
                if unwritten { WriteError::Unavailable } else { WriteError::OutcomeUnknown };
            let _gone = job.reply.send(Err(refusal(cause.clone())));
        }
        self.latched = Some(cause);
    }

    /// Writes a checkpoint beside the commits, from a snapshot that stays as it is.
    fn checkpoint_if_due(&mut self) {
        if self.checkpointing.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        if let Some(thread) = self.checkpointing.take()
            && !thread.join().unwrap_or(false)
        {
            // Tried again, though not at once: the disk may be full.
            self.changes_since_checkpoint += CHECKPOINT_CHANGES / 2;
        }
        if self.changes_since_checkpoint < CHECKPOINT_CHANGES || self.latched.is_some() {
            return;
        }
        self.changes_since_checkpoint = 0;
        let (store, published) = (Arc::clone(&self.store), self.shared.published.load_full());
        let write = move || {
            let written = write_checkpoint(store.as_ref(), &published);
            written
                .inspect_err(|error| {
                    tracing::error!(%error, "no checkpoint was written; the older one stays");
                })
                .is_ok()
        };
        let spawned = std::thread::Builder::new().name("bailiwick-checkpoint".into()).spawn(write);
        match spawned {
            Ok(thread) => self.checkpointing = Some(thread),
            Err(error) => tracing::error!(%error, "the checkpoint's thread could not be started"),
        }
    }
}

/// Writes the published state as a checkpoint and lets the log forget what is far behind it.
fn write_checkpoint(store: &dyn Store, published: &Published) -> Result<(), StoreError> {
    let Published { snapshot, files, head, time, .. } = published;
    let state = CheckpointHead {
        head: *head,
        time: *time,
        model: Some(files.as_ref().clone()),
        tuple_count: snapshot.len() as u64,
    };
    let mut tuples =
        snapshot.after(Part::All, None).filter_map(|(_, binding)| snapshot.tuple(&binding));
    store.write_checkpoint(&state, &mut tuples)?;
    store.truncate(Revision(head.revision.0.saturating_sub(LOG_KEPT_COMMITS)))
}

impl Pending {
    /// Validates one commit against what is pending and adds it; refused, nothing changes.
    fn accept(&mut self, changes: &[WriteChange]) -> Outcome {
        let mut next = self.snapshot.clone();
        let mut seen = HashSet::new();
        let mut commit = Vec::with_capacity(changes.len());
        for (at, change) in changes.iter().enumerate() {
            let key = change.key();
            if !seen.insert(key) {
                return Err(WriteError::Repeated { change: at, tuple: quoted(&key.to_string()) });
            }
            if let Some(change) = self.resolve(at, change)? {
                next.apply(&change).map_err(|NotIndexable| WriteError::NotAdmitted {
                    change: at,
                    reason: NotIndexable.to_string(),
                })?;
                commit.push(change);
            }
        }
        // After all changes, so that a parent can be moved in one commit, in any order.
        check_parents(&next, changes.iter().map(WriteChange::key), self.time)
            .map_err(|(change, error)| WriteError::Hierarchy { change, error })?;
        if commit.is_empty() {
            return Ok(Accepted { place: self.commits.len().checked_sub(1), changed: 0 });
        }
        let changed = commit.len();
        self.snapshot = next;
        self.commits.push(Commit { time: self.time, changes: commit, model: None });
        Ok(Accepted { place: Some(self.commits.len() - 1), changed })
    }

    fn admit(&self, at: usize, tuple: &Tuple) -> Result<(), WriteError> {
        admit(self.snapshot.model(), tuple)
            .map_err(|error| WriteError::NotAdmitted { change: at, reason: error.to_string() })
    }

    /// What the log will hold for one change; nothing for a delete of what is not there.
    fn resolve(&self, at: usize, change: &WriteChange) -> Result<Option<Change>, WriteError> {
        let (tuple, create) = match change {
            WriteChange::Delete(key) => {
                // A misspelt delete must not look like a revocation.
                self.admit(at, &Tuple::plain(key.clone()))?;
                let there = self.snapshot.get(key).is_some();
                return Ok(there.then(|| Change::Delete(key.clone())));
            }
            WriteChange::Create(tuple) => (tuple, true),
            WriteChange::Touch(tuple) => (tuple, false),
        };
        self.admit(at, tuple)?;
        if create && self.snapshot.get(&tuple.key).is_some_and(|b| b.is_live(self.time)) {
            let tuple = quoted(&tuple.key.to_string());
            return Err(WriteError::AlreadyExists { change: at, tuple });
        }
        Ok(Some(Change::Put(tuple.clone())))
    }
}
