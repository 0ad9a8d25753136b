//! From the store to the first published state: checkpoint, then log, then the model in force.

use std::collections::HashMap;
use std::sync::Arc;

use super::checkpoint::weight_of;
use super::keys::KeyedCommits;
use super::{Clock, OpenError, Published};
use crate::engine::Plan;
use crate::index::{Part, Snapshot, check_parents};
use crate::model::admission::admit;
use crate::model::form::Model;
use crate::model::names::quoted;
use crate::model::tuple::{Change, Revision, Time, Tuple, TupleKey};
use crate::store::{CheckpointEntry, Commit, Head, ModelFiles, Store, StoreError};

/// What a store holds, ready to be served.
pub(super) struct Recovered {
    pub(super) published: Published,
    /// The commits whose requests may be repeated.
    pub(super) keyed: KeyedCommits,
    /// How many changes were replayed from the log.
    pub(super) replayed: u64,
}

/// Reads the store under this model and puts the model in force if the store's last one is another.
/// Costs what the store holds.
///
/// # Errors
/// The store fails, or what it holds does not fit the model; then nothing was written.
pub(super) fn recover(
    store: &dyn Store,
    model: &Arc<Model>,
    files: ModelFiles,
    clock: &dyn Clock,
) -> Result<Recovered, OpenError> {
    let mut recovery = Recovery {
        snapshot: Snapshot::empty(Arc::clone(model)),
        misfits: HashMap::new(),
        time: Time(i64::MIN),
        digest: None,
        keyed: KeyedCommits::default(),
        replayed: 0,
    };
    recovery.read(store)?;
    let mut head = store.head();
    let now = clock.now().max(recovery.time);
    recovery.refuse_misfits(now)?;
    let mut time = recovery.time;
    if recovery.digest.as_deref() != Some(files.digest.as_str()) {
        recovery.check_hierarchy(now)?;
        let model = Some(files.clone());
        let commit = Commit { time: now, changes: Vec::new(), model, request: None };
        head = activate(store, head, &commit)?;
        recovery.keyed.note(head, &commit);
        time = now;
    }
    let plan = Arc::new(Plan::new(model));
    let Recovery { snapshot, keyed, replayed, .. } = recovery;
    let published = Published { snapshot, plan, files: Arc::new(files), head, time, changes: 0 };
    Ok(Recovered { published, keyed, replayed })
}

fn activate(store: &dyn Store, head: Head, commit: &Commit) -> Result<Head, StoreError> {
    let heads = store.append(head.revision, std::slice::from_ref(commit))?;
    Ok(heads.last().copied().unwrap_or(head))
}

struct Recovery {
    snapshot: Snapshot,
    /// Stored tuples that the model does not admit, as long as no later commit removes them.
    misfits: HashMap<TupleKey, (Tuple, String)>,
    time: Time,
    digest: Option<String>,
    keyed: KeyedCommits,
    /// Changes read from the log, beside the checkpoint.
    replayed: u64,
}

impl Recovery {
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
            self.time = state.time;
            self.digest = state.model.map(|model| model.digest);
        }
        for commit in store.read(next)? {
            let (head, commit) = commit?;
            self.replayed += weight_of(&commit);
            self.keyed.note(head, &commit);
            for change in &commit.changes {
                self.apply(change)?;
            }
            self.time = self.time.max(commit.time);
            if let Some(model) = commit.model {
                self.digest = Some(model.digest);
            }
        }
        Ok(())
    }

    fn apply(&mut self, change: &Change) -> Result<(), OpenError> {
        let key = match change {
            Change::Put(tuple) => &tuple.key,
            Change::Delete(key) => key,
        };
        if !self.misfits.is_empty() {
            self.misfits.remove(key);
        }
        if let Change::Put(tuple) = change
            && let Err(error) = admit(self.snapshot.model(), tuple)
        {
            let key = tuple.key.clone();
            self.snapshot.apply(&Change::Delete(key.clone())).map_err(|_| OpenError::IndexFull)?;
            self.misfits.insert(key, (tuple.clone(), error.to_string()));
            return Ok(());
        }
        self.snapshot.apply(change).map_err(|_| OpenError::IndexFull)
    }

    fn refuse_misfits(&self, now: Time) -> Result<(), OpenError> {
        let mut live: Vec<_> =
            self.misfits.values().filter(|(tuple, _)| tuple.is_live(now)).collect();
        live.sort_by(|a, b| a.0.key.cmp(&b.0.key));
        match live.first() {
            None => Ok(()),
            Some((tuple, reason)) => Err(OpenError::ModelMismatch {
                tuple: quoted(&tuple.key.to_string()),
                reason: reason.clone(),
                count: live.len(),
            }),
        }
    }

    /// Another model may allow fewer parents than the one that the tuples were written under.
    fn check_hierarchy(&self, now: Time) -> Result<(), OpenError> {
        let tuples = self.snapshot.after(Part::All, None);
        let keys: Vec<TupleKey> = tuples
            .filter(|(_, binding)| self.snapshot.is_parent_edge(binding))
            .filter_map(|(_, binding)| self.snapshot.tuple(&binding))
            .map(|tuple| tuple.key)
            .collect();
        check_parents(&self.snapshot, &keys, now).map_err(|(at, error)| {
            let tuple = keys.get(at).map(|key| quoted(&key.to_string())).unwrap_or_default();
            OpenError::ModelMismatch { tuple, reason: error.to_string(), count: 1 }
        })
    }
}
