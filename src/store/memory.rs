//! The contract of [`Store`] without a disk: for tests and `model test`. Keeps the encoded bytes, so
//! that what it accepts and returns is what a durable store would. Knows no file.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::{chained, decode_commit, encode_commit, encode_tuple};
use super::{CheckpointHead, Commit, Head, Identity, Store, StoreError, Stored};
use crate::model::tuple::{Revision, Tuple};

/// A store that ends with the process.
#[derive(Debug)]
pub struct MemoryStore {
    identity: Identity,
    state: Mutex<State>,
    /// Signalled after each change of `State::head`.
    grown: Condvar,
}

#[derive(Debug)]
struct State {
    head: Head,
    /// *Dense*: every revision from `first` to the head, and no other.
    records: BTreeMap<u64, Record>,
    first: Revision,
    checkpoint: Option<Arc<(CheckpointHead, Vec<Tuple>)>>,
}

#[derive(Debug, Clone)]
struct Record {
    checksum: u64,
    body: Arc<[u8]>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store with an identity of its own.
    #[must_use]
    pub fn new() -> Self {
        let head = Head { revision: Revision(0), checksum: 0 };
        let first = Revision(1);
        let state = State { head, records: BTreeMap::new(), first, checkpoint: None };
        Self { identity: Identity::fresh(), state: Mutex::new(state), grown: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock leaves the state half changed, whatever panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn head(&self) -> Head {
        self.state().head
    }

    fn append(&self, expected: Revision, group: &[Commit]) -> Result<Vec<Head>, StoreError> {
        let bodies = group.iter().map(encode_commit).collect::<Result<Vec<_>, _>>();
        let mut state = self.state();
        let actual = state.head.revision;
        if actual != expected {
            return Err(StoreError::Conflict { expected: expected.0, actual: actual.0 });
        }
        let mut heads = Vec::with_capacity(group.len());
        for body in bodies? {
            state.head = chained(state.head, &body);
            let record = Record { checksum: state.head.checksum, body: body.into() };
            let revision = state.head.revision.0;
            state.records.insert(revision, record);
            heads.push(state.head);
        }
        self.grown.notify_all();
        Ok(heads)
    }

    fn read(&self, from: Revision) -> Result<Stored<'_, (Revision, Commit)>, StoreError> {
        let state = self.state();
        let from = from.max(Revision(1));
        if from < state.first {
            return Err(StoreError::Truncated { asked: from.0, oldest: state.first.0 });
        }
        if from > state.head.revision.next() {
            return Err(StoreError::Beyond { asked: from.0, head: state.head.revision.0 });
        }
        let records: Vec<_> =
            state.records.range(from.0..).map(|(at, record)| (*at, record.body.clone())).collect();
        Ok(Box::new(
            records
                .into_iter()
                .map(|(revision, body)| Ok((Revision(revision), decode_commit(&body)?))),
        ))
    }

    fn wait_beyond(&self, revision: Revision, timeout: Duration) -> Head {
        let behind = |state: &mut State| state.head.revision <= revision;
        let waited = self.grown.wait_timeout_while(self.state(), timeout, behind);
        waited.unwrap_or_else(PoisonError::into_inner).0.head
    }

    fn checkpoint(&self) -> Result<Option<(CheckpointHead, Stored<'_, Tuple>)>, StoreError> {
        let Some(checkpoint) = self.state().checkpoint.clone() else { return Ok(None) };
        let head = checkpoint.0.clone();
        let mut at = 0;
        let tuples = std::iter::from_fn(move || {
            let tuple = checkpoint.1.get(at)?;
            at += 1;
            Some(Ok(tuple.clone()))
        });
        Ok(Some((head, Box::new(tuples))))
    }

    fn write_checkpoint(
        &self,
        state: &CheckpointHead,
        tuples: &mut dyn Iterator<Item = Tuple>,
    ) -> Result<(), StoreError> {
        let revision = state.head.revision;
        let logged = {
            let own = self.state();
            own.records.get(&revision.0).map(|record| record.checksum)
        };
        let inforce = self.state().checkpoint.as_ref().map(|checkpoint| checkpoint.0.head);
        if !super::is_new_checkpoint(state.head, inforce, || Ok(logged))? {
            return Ok(());
        }
        let mut kept = Vec::new();
        for tuple in tuples {
            encode_tuple(&tuple)?;
            kept.push(tuple);
        }
        super::check_count(state, kept.len() as u64)?;
        self.state().checkpoint = Some(Arc::new((state.clone(), kept)));
        Ok(())
    }

    fn truncate(&self, before: Revision) -> Result<(), StoreError> {
        let mut state = self.state();
        let Some(checkpoint) = &state.checkpoint else { return Ok(()) };
        let first = before.min(checkpoint.0.head.revision.next()).max(state.first);
        state.first = first;
        state.records = state.records.split_off(&first.0);
        Ok(())
    }
}
