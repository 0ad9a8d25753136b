//! A store in memory that does what a test says before each append: fail, wait, count.

use std::fmt;
use std::time::Duration;

use bailiwick::model::tuple::Revision;
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::{
    CheckpointEntry, CheckpointHead, Commit, Head, Identity, Store, StoreError, Stored,
};

type Hook = Box<dyn Fn() -> Result<(), StoreError> + Send + Sync>;

pub(crate) struct HookedStore {
    inner: MemoryStore,
    before_append: Hook,
}

impl HookedStore {
    pub(crate) fn new(
        before_append: impl Fn() -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Self {
        Self { inner: MemoryStore::new(), before_append: Box::new(before_append) }
    }
}

impl fmt::Debug for HookedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedStore")
    }
}

impl Store for HookedStore {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn append(&self, expected: Revision, group: &[Commit]) -> Result<Vec<Head>, StoreError> {
        (self.before_append)()?;
        self.inner.append(expected, group)
    }

    fn read(&self, from: Revision) -> Result<Stored<'_, (Head, Commit)>, StoreError> {
        self.inner.read(from)
    }

    fn wait_beyond(&self, revision: Revision, timeout: Duration) -> Head {
        self.inner.wait_beyond(revision, timeout)
    }

    fn checkpoint(
        &self,
    ) -> Result<Option<(CheckpointHead, Stored<'_, CheckpointEntry>)>, StoreError> {
        self.inner.checkpoint()
    }

    fn write_checkpoint(
        &self,
        state: &CheckpointHead,
        entries: &mut dyn Iterator<Item = CheckpointEntry>,
    ) -> Result<(), StoreError> {
        self.inner.write_checkpoint(state, entries)
    }

    fn truncate(&self, before: Revision) -> Result<(), StoreError> {
        self.inner.truncate(before)
    }
}
