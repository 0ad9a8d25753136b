//! The contract of [`Store`] without a disk: for tests and `model test`. Keeps the encoded bytes, so
//! that what it accepts and returns is what a durable store would. Knows no file.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::{chained, decode_commit, encode_commit, encode_tuple};
use super::{
    CheckpointEntry, CheckpointHead, Commit, Head, Identity, Promised, Store, StoreError, Stored,
};
use crate::model::tuple::{Revision, Time};

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
    checkpoint: Option<Arc<(CheckpointHead, Vec<CheckpointEntry>)>>,
    noted: Time,
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
        let noted = Time(i64::MIN);
        let state = State { head, records: BTreeMap::new(), first, checkpoint: None, noted };
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

    fn noted_time(&self) -> Time {
        self.state().noted
    }

    fn note_time(&self, now: Time) -> Result<(), StoreError> {
        let mut state = self.state();
        state.noted = state.noted.max(now);
        Ok(())
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

    fn read(&self, from: Revision) -> Result<Stored<'_, (Head, Commit)>, StoreError> {
        let state = self.state();
        let from = from.max(Revision(1));
        if from < state.first {
            return Err(StoreError::Truncated { asked: from.0, oldest: state.first.0 });
        }
        if from > state.head.revision.next() {
            return Err(StoreError::Beyond { asked: from.0, head: state.head.revision.0 });
        }
        let records = state.records.range(from.0..).map(|(at, Record { checksum, body })| {
            (Head { revision: Revision(*at), checksum: *checksum }, body.clone())
        });
        let records: Vec<_> = records.collect();
        let decoded = |(head, body): (Head, Arc<[u8]>)| Ok((head, decode_commit(&body)?));
        Ok(Box::new(records.into_iter().map(decoded)))
    }

    fn wait_beyond(&self, revision: Revision, timeout: Duration) -> Head {
        let behind = |state: &mut State| state.head.revision <= revision;
        let waited = self.grown.wait_timeout_while(self.state(), timeout, behind);
        waited.unwrap_or_else(PoisonError::into_inner).0.head
    }

    fn checkpoint(
        &self,
    ) -> Result<Option<(CheckpointHead, Stored<'_, CheckpointEntry>)>, StoreError> {
        let Some(checkpoint) = self.state().checkpoint.clone() else { return Ok(None) };
        let head = checkpoint.0.clone();
        let mut at = 0;
        let entries = std::iter::from_fn(move || {
            let entry = checkpoint.1.get(at)?;
            at += 1;
            Some(Ok(entry.clone()))
        });
        Ok(Some((head, Box::new(entries))))
    }

    fn write_checkpoint(
        &self,
        state: &CheckpointHead,
        entries: &mut dyn Iterator<Item = CheckpointEntry>,
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
        let mut promised = Promised::by(state);
        for entry in entries {
            if let CheckpointEntry::Tuple(tuple) = &entry {
                encode_tuple(tuple)?;
            }
            if !promised.take(&entry) {
                return Err(super::broken_promise(state));
            }
            kept.push(entry);
        }
        if !promised.is_kept() {
            return Err(super::broken_promise(state));
        }
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
