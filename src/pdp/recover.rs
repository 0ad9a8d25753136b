//! From the store to the first published state: checkpoint, then log, under the model that the store
//! says is in force.
//!
//! The log may hold several models, and each tuple was admitted by the one in force at its commit. All
//! are read under the last one: that model was put in force only when every live tuple fitted it, and
//! every later one was admitted by it. So what does not fit now has expired before, and the state is
//! the one that was published before the restart.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, OnceLock};

use super::checkpoint::Weights;
use super::history::Checksums;
use super::keys::KeyedCommits;
use super::proposal::{Proposal, ProposalError};
use super::replay::Draft;
use super::{Clock, OpenError, Published};
use crate::engine::Plan;
use crate::model::SourceFiles;
use crate::model::limits::PROBLEMS_NAMED_MAX;
use crate::model::tuple::{Revision, Time};
use crate::store::bulk::{Bulk, Recalled, Seen};
use crate::store::{Commit, Head, ModelFiles, ModelSince, Store, StoreError};

/// So many bulks or commits are read ahead of their being indexed.
const RECALLED_AHEAD: usize = 8;

/// What a store holds, ready to be served.
pub(super) struct Recovered {
    pub(super) published: Published,
    /// The commits whose requests may be repeated.
    pub(super) keyed: KeyedCommits,
    /// Of the revisions from the checkpoint on.
    pub(super) checksums: Checksums,
    /// What the commits that were replayed from the log count for.
    pub(super) replayed: Weights,
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
    let Replayed {
        mut draft, in_force, mut keyed, mut checksums, replayed, mut time, knows, ..
    } = replay(store, proposal)?;
    let InForce { proposal: in_force, since: mut model_since } = in_force;
    let mut head = store.head();
    let now = clock.now().max(time).max(store.noted_time());
    if knows == Knows::None {
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
    let published = Published {
        snapshot,
        plan,
        files,
        model_since,
        head,
        time,
        changes: 0,
        work: Arc::default(),
        identity: Arc::new(store.identity()),
        named: OnceLock::new(),
    };
    Ok(Recovered { published, keyed, checksums, replayed })
}

fn append(store: &dyn Store, head: Head, commit: &Commit) -> Result<Head, StoreError> {
    let heads = store.append(head.revision, std::slice::from_ref(commit))?;
    Ok(heads.last().copied().unwrap_or(head))
}

/// A model under which tuples are read, and since when it is in force.
struct InForce {
    proposal: Proposal,
    since: Option<ModelSince>,
}

/// A model's files, and since when they are in force, if the store says so.
type Stored = (ModelFiles, Option<ModelSince>);

/// Reads the store under the last model in it. That is most often the first one, too, that is met; so the
/// store is read under that one, and a second time only if another follows.
fn replay(store: &dyn Store, proposal: Option<&Proposal>) -> Result<Replayed, OpenError> {
    // Whether a model that was superseded can still be read does not matter.
    if let Some(first) = first_model(store)?
        && let Ok(first) = in_force(first, proposal)
        && let Some(replayed) = Replayed::of(store, first, Knows::First)?
    {
        return Ok(replayed);
    }
    let (last, knows) = match (last_model(store)?, proposal) {
        (None, None) => return Err(OpenError::NoModel),
        (None, Some(proposal)) => {
            (InForce { proposal: proposal.clone(), since: None }, Knows::None)
        }
        (Some(stored), proposal) => (in_force(stored, proposal)?, Knows::Last),
    };
    let replayed = Replayed::of(store, last, knows)?;
    // Nobody else writes to the store.
    replayed.ok_or(OpenError::Unfit(ProposalError::Fault("the store's model has changed")))
}

/// The proposed model, if it is this one.
fn in_force((files, since): Stored, proposal: Option<&Proposal>) -> Result<InForce, OpenError> {
    let proposed = proposal.filter(|proposal| proposal.digest() == files.digest);
    let proposal =
        proposed.map_or_else(|| compile_stored(&files), |proposal| Ok(proposal.clone()))?;
    Ok(InForce { proposal, since })
}

/// The first model that is met: the checkpoint's, or that of the log's first commit.
fn first_model(store: &dyn Store) -> Result<Option<Stored>, StoreError> {
    if let Some((state, _)) = store.checkpoint()? {
        return Ok(state.model.map(|files| (files, state.model_since)));
    }
    let Some((head, commit)) = store.read(Revision(1))?.next().transpose()? else {
        return Ok(None);
    };
    Ok(commit.model.map(|files| (files, Some(since(head, commit.time)))))
}

fn since(head: Head, time: Time) -> ModelSince {
    ModelSince { revision: head.revision, time }
}

/// The last model, as the store has it. Reads the log once.
fn last_model(store: &dyn Store) -> Result<Option<Stored>, StoreError> {
    let mut next = Revision(1);
    let mut last = None;
    if let Some((state, _)) = store.checkpoint()? {
        next = state.head.revision.next();
        last = state.model.map(|files| (files, state.model_since));
    }
    for commit in store.read(next)? {
        let (head, commit) = commit?;
        if let Some(files) = commit.model {
            last = Some((files, Some(since(head, commit.time))));
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

/// Which of the store's models the tuples are read under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knows {
    /// The first that is met: where another follows, the rest need not be read.
    First,
    /// The last.
    Last,
    /// A new one: it has none, and nobody has checked the tuples.
    None,
}

/// What the store holds, as one model reads it.
struct Replayed {
    in_force: InForce,
    draft: Draft,
    knows: Knows,
    /// The last model that was met is another than the one that the tuples are read under.
    is_overtaken: bool,
    time: Time,
    keyed: KeyedCommits,
    checksums: Checksums,
    /// Of the commits read from the log, beside the checkpoint.
    replayed: Weights,
}

impl Replayed {
    /// `None`: another model follows.
    fn of(store: &dyn Store, in_force: InForce, knows: Knows) -> Result<Option<Self>, OpenError> {
        let mut replayed = Self {
            draft: Draft::empty(Arc::clone(&in_force.proposal.model)),
            in_force,
            knows,
            is_overtaken: false,
            time: Time(i64::MIN),
            keyed: KeyedCommits::default(),
            checksums: Checksums::starting_at(Head { revision: Revision(0), checksum: 0 }),
            replayed: Weights::default(),
        };
        replayed.read(store)?;
        Ok((!replayed.is_overtaken).then_some(replayed))
    }

    /// One thread reads and decodes ahead of the one that indexes: each takes about as long.
    fn read(&mut self, store: &dyn Store) -> Result<(), OpenError> {
        let (ahead, recalled) = sync_channel(RECALLED_AHEAD);
        std::thread::scope(|scope| {
            let read = move || store.recall(&mut |recalled| ahead.send(recalled).is_ok());
            let reader = std::thread::Builder::new().name("bailiwick-recall".into());
            let reader = reader.spawn_scoped(scope, read).map_err(OpenError::Thread)?;
            let mut taken = Ok(());
            for recalled in &recalled {
                taken = self.take(recalled);
                if taken.is_err() || (self.is_overtaken && self.knows == Knows::First) {
                    break;
                }
            }
            // So that the reader ends too.
            drop(recalled);
            let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            taken.and(read.map_err(OpenError::from))
        })
    }

    fn take(&mut self, recalled: Recalled) -> Result<(), OpenError> {
        match recalled {
            Recalled::Checkpoint(state) => {
                self.checksums = Checksums::starting_at(state.head);
                self.time = state.time;
            }
            Recalled::Tuples(tuples) => self.apply_all(&tuples)?,
            Recalled::Keyed(commit) => self.keyed.keep(commit),
            Recalled::Commit(commit) => {
                if let Some(files) = &commit.model {
                    let digest = self.in_force.proposal.digest();
                    self.is_overtaken = files.digest != digest;
                    self.in_force.since = Some(since(commit.head, commit.time));
                }
                self.replayed.note(commit.changes.len());
                self.keyed.note_request(commit.head, commit.time, commit.request);
                self.checksums.note(commit.head);
                self.apply_all(&commit.changes)?;
                self.time = self.time.max(commit.time);
            }
        }
        Ok(())
    }

    fn apply_all(&mut self, changes: &Bulk) -> Result<(), OpenError> {
        for seen in changes.iter() {
            // What nobody has checked is looked at in whole.
            let is_new = self.knows == Knows::None;
            if is_new || !self.draft.apply_plain(&seen).map_err(refused)? {
                self.apply(&seen)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, seen: &Seen<'_>) -> Result<(), OpenError> {
        let own;
        let change = match seen {
            Seen::Whole(change) => *change,
            seen => {
                own = seen.to_change()?;
                &own
            }
        };
        let applied = match self.knows {
            Knows::None => self.draft.apply_unchecked(change),
            Knows::First | Knows::Last => self.draft.apply(change),
        };
        applied.map_err(refused)
    }
}

fn refused(error: ProposalError) -> OpenError {
    match error {
        ProposalError::IndexFull => OpenError::IndexFull,
        error => OpenError::Unfit(error),
    }
}
