//! A store that fails at one call of a plan: before it did what it was asked, half-way, or after it.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use bailiwick::model::tuple::Revision;
use bailiwick::store::{
    CheckpointEntry, CheckpointHead, Commit, Head, Identity, Store, StoreError, Stored,
};

/// What had been done when the call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    Before,
    /// The first half of a group was appended; of anything else, nothing.
    Halfway,
    /// All of it.
    After,
    /// All of it; and if it was upkeep, the store takes no more commits.
    AfterLatching,
}

/// Which call fails. Shared by every opening of a store, so that it fails once.
pub(crate) struct Plan {
    fault: Fault,
    /// Whether each item of what is read counts as a call.
    counts_items: bool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Calls until the one that fails.
    left: Option<u64>,
    /// What failed.
    struck: Option<&'static str>,
    /// Whether appends wait.
    held: bool,
    /// Whether one waits.
    waiting: bool,
    /// Whether a checkpoint was written and the log cut, or one of them failed.
    upkept: bool,
}

impl Plan {
    /// Fails at call `n`, from 1 on; at none if it is 0.
    pub(crate) fn new(n: u64, fault: Fault, counts_items: bool) -> Arc<Self> {
        let left = n.checked_sub(1);
        let state = State { left, struck: None, held: false, waiting: false, upkept: false };
        Arc::new(Self { fault, counts_items, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What has failed, if something has.
    pub(crate) fn struck(&self) -> Option<&'static str> {
        self.state().struck
    }

    /// Lets appends wait until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.state().held = true;
    }

    /// Whether an append waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state().waiting
    }

    pub(crate) fn release(&self) {
        self.state().held = false;
        self.changed.notify_all();
    }

    /// Returns when a checkpoint has been written and the log cut, or one of them has failed.
    pub(crate) fn wait_for_upkeep(&self) {
        drop(self.changed.wait_while(self.state(), |state| !state.upkept).unwrap());
    }

    fn end_upkeep(&self) {
        self.state().upkept = true;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut state = self.state();
        state.waiting = state.held;
        let mut state = self.changed.wait_while(state, |state| state.held).unwrap();
        state.waiting = false;
    }

    /// Counts a call; true: this one fails.
    fn strikes(&self, call: &'static str) -> bool {
        let mut state = self.state();
        let Some(left) = state.left else { return false };
        state.left = left.checked_sub(1);
        if state.left.is_none() {
            state.struck = Some(call);
        }
        state.left.is_none()
    }
}

/// One opening of a store.
pub(crate) struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Arc<Plan>,
    latched: Mutex<bool>,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn Store>, plan: Arc<Plan>) -> Self {
        Self { inner, plan, latched: Mutex::new(false) }
    }

    fn upkeep(
        &self,
        call: &'static str,
        run: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let fault = self.plan.fault;
        let strikes = self.plan.strikes(call);
        let is_done = !strikes || matches!(fault, Fault::After | Fault::AfterLatching);
        let done = if is_done { run() } else { Ok(()) };
        *self.latched.lock().unwrap() |= strikes && fault == Fault::AfterLatching;
        let outcome = if strikes { Err(failure(call)) } else { done };
        if call == "truncate" || outcome.is_err() {
            self.plan.end_upkeep();
        }
        outcome
    }

    fn items<'a, T: 'a>(&'a self, items: Stored<'a, T>, call: &'static str) -> Stored<'a, T> {
        if !self.plan.counts_items {
            return items;
        }
        let struck = move |item| if self.plan.strikes(call) { Err(failure(call)) } else { item };
        Box::new(items.map(struck))
    }
}

fn failure(call: &str) -> StoreError {
    let source = Arc::new(std::io::Error::other("the plan says so"));
    StoreError::Io { doing: format!("do `{call}`"), source }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl Store for FaultyStore {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn append(&self, expected: Revision, group: &[Commit]) -> Result<Vec<Head>, StoreError> {
        self.plan.wait();
        let mut latched = self.latched.lock().unwrap();
        if *latched {
            return Err(StoreError::Latched { cause: "the plan says so".to_owned() });
        }
        if !self.plan.strikes("append") {
            return self.inner.append(expected, group);
        }
        let done = match self.plan.fault {
            Fault::Before => 0,
            Fault::Halfway => group.len() / 2,
            Fault::After | Fault::AfterLatching => group.len(),
        };
        self.inner.append(expected, &group[..done])?;
        *latched = true;
        Err(failure("append"))
    }

    fn read(&self, from: Revision) -> Result<Stored<'_, (Head, Commit)>, StoreError> {
        if self.plan.strikes("read") {
            return Err(failure("read"));
        }
        Ok(self.items(self.inner.read(from)?, "a commit read"))
    }

    fn wait_beyond(&self, revision: Revision, timeout: Duration) -> Head {
        self.inner.wait_beyond(revision, timeout)
    }

    fn checkpoint(
        &self,
    ) -> Result<Option<(CheckpointHead, Stored<'_, CheckpointEntry>)>, StoreError> {
        if self.plan.strikes("checkpoint") {
            return Err(failure("checkpoint"));
        }
        let Some((head, entries)) = self.inner.checkpoint()? else { return Ok(None) };
        Ok(Some((head, self.items(entries, "an entry read"))))
    }

    fn write_checkpoint(
        &self,
        state: &CheckpointHead,
        entries: &mut dyn Iterator<Item = CheckpointEntry>,
    ) -> Result<(), StoreError> {
        self.upkeep("write_checkpoint", || self.inner.write_checkpoint(state, entries))
    }

    fn truncate(&self, before: Revision) -> Result<(), StoreError> {
        self.upkeep("truncate", || self.inner.truncate(before))
    }
}
