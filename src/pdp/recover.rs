//! From the store to the first published state: checkpoint, then log, under the model that the store
//! says is in force.
//!
//! The log may hold several models, and each tuple was admitted by the one in force at its commit. All
//! are read under the last one: that model was put in force only when every live tuple fitted it, and
//! every later one was admitted by it. So what does not fit now has expired before, and the state is
//! the one that was published before the restart.

use std::sync::Arc;

use super::checkpoint::weight_of;
use super::history::Checksums;
use super::keys::KeyedCommits;
use super::proposal::{Proposal, ProposalError};
use super::replay::Draft;
use super::{Clock, OpenError, Published};
use crate::engine::Plan;
use crate::model::SourceFiles;
use crate::model::limits::PROBLEMS_NAMED_MAX;
use crate::model::tuple::{Change, Revision, Time};
use crate::store::{CheckpointEntry, Commit, Head, ModelFiles, ModelSince, Store, StoreError};

/// What a store holds, ready to be served.
pub(super) struct Recovered {
    pub(super) published: Published,
    /// The commits whose requests may be repeated.
    pub(super) keyed: KeyedCommits,
    /// Of the revisions from the checkpoint on.
    pub(super) checksums: Checksums,
    /// How many changes were replayed from the log.
    pub(super) replayed: u64,
}

/// Reads the store under its own model; if it has none yet, puts the proposed one in force. Costs what
/// the store holds.
///
/// # Errors
/// The store fails, or has no model and none is proposed; its model is beyond this program; what it
/// holds does not fit. Then nothing was written.
pub(super) fn recover(
    store: &dyn Store,
    proposal: Option<&Proposal>,
    clock: &dyn Clock,
) -> Result<Recovered, OpenError> {
    let stored = last_model(store)?;
    let is_new = stored.is_none();
    let (in_force, mut model_since) = match (stored, proposal) {
        (None, None) => return Err(OpenError::NoModel),
        (None, Some(proposal)) => (proposal.clone(), None),
        (Some((files, since)), Some(proposal)) if files.digest == proposal.digest() => {
            (proposal.clone(), since)
        }
        (Some((files, since)), _) => (compile_stored(&files)?, since),
    };
    let mut replay = Replay {
        draft: Draft::empty(Arc::clone(&in_force.model)),
        is_new,
        time: Time(i64::MIN),
        keyed: KeyedCommits::default(),
        checksums: Checksums::starting_at(Head { revision: Revision(0), checksum: 0 }),
        replayed: 0,
    };
    replay.read(store)?;
    let Replay { mut draft, mut time, mut keyed, mut checksums, replayed, .. } = replay;
    let mut head = store.head();
    let now = clock.now().max(time).max(store.noted_time());
    if is_new {
        draft.check(now).map_err(OpenError::Unfit)?;
        let model = Some(in_force.files.as_ref().clone());
        let commit = Commit { time: now, changes: Vec::new(), model, request: None };
        head = append(store, head, &commit)?;
        keyed.note(head, &commit);
        checksums.note(head);
        model_since = Some(ModelSince { revision: head.revision, time: now });
        time = now;
    } else {
        draft.check_admitted(now).map_err(OpenError::Unfit)?;
    }
    let plan = Arc::new(Plan::new(&in_force.model));
    let (snapshot, files) = (draft.into_snapshot().map_err(refused)?, in_force.files);
    let work = Arc::default();
    let published = Published { snapshot, plan, files, model_since, head, time, changes: 0, work };
    Ok(Recovered { published, keyed, checksums, replayed })
}

fn append(store: &dyn Store, head: Head, commit: &Commit) -> Result<Head, StoreError> {
    let heads = store.append(head.revision, std::slice::from_ref(commit))?;
    Ok(heads.last().copied().unwrap_or(head))
}

/// The model in force, as the store has it, and since when if it says so. Reads the log once.
fn last_model(store: &dyn Store) -> Result<Option<(ModelFiles, Option<ModelSince>)>, StoreError> {
    let mut next = Revision(1);
    let mut last = None;
    if let Some((state, _)) = store.checkpoint()? {
        next = state.head.revision.next();
        last = state.model.map(|files| (files, state.model_since));
    }
    for commit in store.read(next)? {
        let (head, commit) = commit?;
        if let Some(files) = commit.model {
            last = Some((files, Some(ModelSince { revision: head.revision, time: commit.time })));
        }
    }
    Ok(last)
}

/// The store's own model. It compiled when it was put in force, so it does again, unless another
/// version of the program did that.
fn compile_stored(stored: &ModelFiles) -> Result<Proposal, OpenError> {
    let files: SourceFiles = stored.files.iter().cloned().collect();
    let beyond = |what| OpenError::StoredModel { digest: stored.digest.clone(), what };
    let compiled = Proposal::compile(&files).map_err(|problems| {
        let named = problems.as_slice().iter().take(PROBLEMS_NAMED_MAX);
        beyond(named.map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    if compiled.digest() != stored.digest {
        return Err(beyond(format!("here its digest is {}", compiled.digest())));
    }
    Ok(compiled)
}

struct Replay {
    draft: Draft,
    /// Nobody has checked the tuples under this model yet.
    is_new: bool,
    time: Time,
    keyed: KeyedCommits,
    checksums: Checksums,
    /// Changes read from the log, beside the checkpoint.
    replayed: u64,
}

impl Replay {
    fn read(&mut self, store: &dyn Store) -> Result<(), OpenError> {
        let mut next = Revision(1);
        if let Some((state, entries)) = store.checkpoint()? {
            for entry in entries {
                match entry? {
                    CheckpointEntry::Tuple(tuple) => self.apply(&Change::Put(tuple))?,
                    CheckpointEntry::Keyed(commit) => self.keyed.keep(commit),
                }
            }
            next = state.head.revision.next();
            self.checksums = Checksums::starting_at(state.head);
            self.time = state.time;
        }
        for commit in store.read(next)? {
            let (head, commit) = commit?;
            self.replayed += weight_of(&commit);
            self.keyed.note(head, &commit);
            self.checksums.note(head);
            for change in &commit.changes {
                self.apply(change)?;
            }
            self.time = self.time.max(commit.time);
        }
        Ok(())
    }

    fn apply(&mut self, change: &Change) -> Result<(), OpenError> {
        let applied =
            if self.is_new { self.draft.apply_unchecked(change) } else { self.draft.apply(change) };
        applied.map_err(refused)
    }
}

fn refused(error: ProposalError) -> OpenError {
    match error {
        ProposalError::IndexFull => OpenError::IndexFull,
        error => OpenError::Unfit(error),
    }
}
