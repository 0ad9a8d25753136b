//! A store that fails in its upkeep, with nobody writing: the service says so at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bailiwick::model::tuple::{Revision, Tuple, TupleKey};
use bailiwick::pdp::{Pdp, Upkeep, WriteChange};
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::{
    CheckpointEntry, CheckpointHead, Commit, Head, Identity, Store, StoreError, Stored,
};

use crate::support::{SetClock, files_of, model};

/// A store in memory whose checkpoints fail; half-way, so that it latches, if told so.
#[derive(Debug)]
struct FailingUpkeep {
    inner: MemoryStore,
    latches: bool,
    has_latched: AtomicBool,
}

impl Store for FailingUpkeep {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn latched(&self) -> Option<String> {
        self.has_latched.load(Ordering::SeqCst).then(|| "no such luck".to_owned())
    }

    fn append(&self, expected: Revision, group: &[Commit]) -> Result<Vec<Head>, StoreError> {
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
        _: &CheckpointHead,
        _: &mut dyn Iterator<Item = CheckpointEntry>,
    ) -> Result<(), StoreError> {
        self.has_latched.store(self.latches, Ordering::SeqCst);
        Err(StoreError::Unstorable { reason: "no such luck".into() })
    }

    fn truncate(&self, before: Revision) -> Result<(), StoreError> {
        self.inner.truncate(before)
    }
}

/// Whether a service says that it writes no more, after one commit and the upkeep that follows it.
fn says_latched(latches: bool) -> bool {
    let inner = MemoryStore::new();
    let store = Arc::new(FailingUpkeep { inner, latches, has_latched: AtomicBool::new(false) });
    let model = model(
        "model: m\ntypes: { user: {}, org: {} }\nroles: [ { at: [org], names: [admin] } ]\n\
         permissions: { act: { at: [org], is: admin } }\n",
    );
    let files = files_of(&model);
    let upkeep = Upkeep { checkpoint_changes: 1, log_kept_commits: 1 };
    let pdp = Pdp::open_with(store, model, files, Arc::new(SetClock::default()), upkeep).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let tuple = Tuple::plain(TupleKey::parse("org:o#admin@user:ana").unwrap());
    runtime.block_on(pdp.write(vec![WriteChange::Touch(tuple)])).unwrap();
    // Waits for the upkeep under way.
    pdp.close();
    pdp.work().is_latched()
}

#[test]
fn a_store_that_latches_in_its_upkeep_is_told_of_before_the_next_write() {
    assert!(says_latched(true));
    assert!(!says_latched(false), "the older checkpoint stays, and writes go on");
}
