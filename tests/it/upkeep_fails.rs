//! A store that fails in its upkeep: with nobody writing, the service says so at once; before anything was
//! written, it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bailiwick::model::tuple::{Tuple, TupleKey};
use bailiwick::pdp::{Pdp, Upkeep, WriteChange, WriteError};
use bailiwick::store::StoreError;

use crate::support::store::{HookedStore, Hooks};
use crate::support::{SetClock, files_of, model};

/// Checkpoints fail; half-way, so that the store latches, if told so.
struct FailingUpkeep {
    latches: bool,
    has_latched: AtomicBool,
}

impl Hooks for FailingUpkeep {
    fn latched(&self) -> Option<String> {
        self.has_latched.load(Ordering::SeqCst).then(|| "no such luck".to_owned())
    }

    fn before_checkpoint(&self) -> Result<(), StoreError> {
        self.has_latched.store(self.latches, Ordering::SeqCst);
        Err(StoreError::Unstorable { reason: "no such luck".into() })
    }
}

/// Whether a service says that it writes no more, after one commit and the upkeep that follows it.
fn says_latched(latches: bool) -> bool {
    let failing = FailingUpkeep { latches, has_latched: AtomicBool::new(false) };
    let store = Arc::new(HookedStore::new(failing));
    let model = model(
        "model: m\ntypes: { user: {}, org: {} }\nroles: [ { at: [org], names: [admin] } ]\n\
         permissions: { act: { at: [org], is: admin } }\n",
    );
    let files = files_of(&model);
    let upkeep = Upkeep { checkpoint_changes: 1, checkpoint_share: 0, log_kept_commits: 1 };
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

#[test]
fn a_store_that_could_not_begin_to_write_is_asked_again() {
    let is_full = Arc::new(AtomicBool::new(false));
    let full = Arc::clone(&is_full);
    let store = Arc::new(HookedStore::new(move || {
        if !full.load(Ordering::SeqCst) {
            return Ok(());
        }
        let cause = Arc::new(StoreError::Unstorable { reason: "no room".into() });
        Err(StoreError::Unwritten { cause })
    }));
    let model = model(
        "model: m\ntypes: { user: {}, org: {} }\nroles: [ { at: [org], names: [admin] } ]\n\
         permissions: { act: { at: [org], is: admin } }\n",
    );
    let files = files_of(&model);
    let pdp = Pdp::open(store, model, files, Arc::new(SetClock::default())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let write = |user: &str| {
        let tuple = Tuple::plain(TupleKey::parse(&format!("org:o#admin@user:{user}")).unwrap());
        runtime.block_on(pdp.write(vec![WriteChange::Create(tuple)]))
    };
    let before = write("ana").unwrap().token.revision;
    is_full.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        let error = write("bob").unwrap_err();
        assert!(matches!(&error, WriteError::Unavailable(what) if what.contains("no room")));
        assert_eq!((pdp.read().tuple_count(), pdp.work().is_latched()), (1, false));
    }
    assert_eq!(pdp.work().groups_refused(), 2);
    is_full.store(false, Ordering::SeqCst);
    assert_eq!(write("bob").unwrap().token.revision, before.next());
    assert_eq!(pdp.read().tuple_count(), 2);
}
