//! A store in memory that does what a test says around its calls: fail, wait, count.

use std::fmt;
use std::time::Duration;

use bailiwick::model::tuple::Revision;
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::{
    CheckpointEntry, CheckpointHead, Commit, Head, Identity, Store, StoreError, Stored,
};

/// What happens around the calls of a [`HookedStore`]; by default nothing. An error is the call's.
pub(crate) trait Hooks: Send + Sync {
    fn latched(&self) -> Option<String> {
        None
    }

    fn before_append(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn before_read(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn missed_read(&self) {}

    fn before_checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn after_truncate(&self) {}
}

/// What happens before each append.
impl<F: Fn() -> Result<(), StoreError> + Send + Sync> Hooks for F {
    fn before_append(&self) -> Result<(), StoreError> {
        self()
    }
}

pub(crate) struct HookedStore<H> {
    pub(crate) hooks: H,
    pub(crate) inner: MemoryStore,
}

impl<H: Hooks> HookedStore<H> {
    pub(crate) fn new(hooks: H) -> Self {
        Self { hooks, inner: MemoryStore::new() }
    }
}

impl<H> fmt::Debug for HookedStore<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedStore")
    }
}

impl<H: Hooks> Store for HookedStore<H> {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn latched(&self) -> Option<String> {
        self.hooks.latched()
    }

    fn append(&self, expected: Revision, group: &[Commit]) -> Result<Vec<Head>, StoreError> {
        self.hooks.before_append()?;
        self.inner.append(expected, group)
    }

    fn read(&self, from: Revision) -> Result<Stored<'_, (Head, Commit)>, StoreError> {
        let read = self.hooks.before_read().and_then(|()| self.inner.read(from));
        if matches!(read, Err(StoreError::Truncated { .. })) {
            self.hooks.missed_read();
        }
        read
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
        self.hooks.before_checkpoint()?;
        self.inner.write_checkpoint(state, entries)
    }

    fn truncate(&self, before: Revision) -> Result<(), StoreError> {
        self.inner.truncate(before)?;
        self.hooks.after_truncate();
        Ok(())
    }
}
