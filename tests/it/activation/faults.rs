//! Models that are too large, and stores that fail while one is put in force.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bailiwick::model::SourceFiles;
use bailiwick::model::limits::MODEL_COMMIT_BYTES_MAX;
use bailiwick::model::tuple::{Revision, Time};
use bailiwick::pdp::{Pdp, Proposal, ProposalError, Upkeep, WriteError};
use bailiwick::store::sled::SledStore;
use bailiwick::store::{CheckpointHead, Store, StoreError};

use super::{ADMINS, BOTH, SINGLE, all, model_of};
use crate::support::store::{HookedStore, Hooks};
use crate::support::{SetClock, World, files_of, proposal, touch};

/// A model whose matrix has notes of so many bytes, in files that are not too large each.
fn padded(name: &str, bytes: usize) -> Proposal {
    const FILE: usize = 4_000_000;
    let parts = bytes.div_ceil(FILE);
    let mut yaml = format!(
        "model: {name}\ntypes: {{ user: {{}}, org: {{}} }}\n\
         roles: [ {{ at: [org], names: [admin], bound_by: [user] }} ]\nmatrices:\n"
    );
    let mut files = SourceFiles::default();
    for part in 0..parts {
        yaml += &format!("  - {{ name: m{part}, file: m{part}.csv, at: [org], bound: org }}\n");
        let note = "n".repeat((bytes - part * FILE).min(FILE));
        files
            .insert(format!("m{part}.csv"), format!("permission,admin,note\nact{part},x,{note}\n"));
    }
    files.insert("model.yaml", yaml);
    files.insert("stray.csv", "this,is,no,matrix\n".repeat(200_000));
    Proposal::compile(&files).unwrap()
}

#[test]
fn a_model_may_take_more_than_a_commit_of_tuples() {
    let dir = tempfile::tempdir().unwrap();
    let start = |proposal| {
        let store = Arc::new(SledStore::open_or_create(dir.path()).unwrap());
        Pdp::start(store, proposal, Arc::new(SetClock::default())).unwrap()
    };
    let pdp = start(Some(proposal(BOTH)));
    let over = padded("over", MODEL_COMMIT_BYTES_MAX);
    let error = pdp.propose(over).unwrap_err();
    assert!(
        matches!(error, ProposalError::TooLarge { limit: MODEL_COMMIT_BYTES_MAX, .. }),
        "{error}"
    );
    let largest = padded("largest", MODEL_COMMIT_BYTES_MAX - 2_000);
    let digest = largest.digest().to_owned();
    assert_eq!(pdp.propose(largest).unwrap().token.revision, Revision(2), "nothing has latched");
    assert!(std::fs::read_dir(dir.path().join("log/blobs")).unwrap().next().is_none());
    pdp.close();
    let again = start(None);
    assert_eq!(
        (&again.read().model().digest, again.read().model_since().unwrap().revision),
        (&digest, Revision(2))
    );
    again.close();
    // It fits a checkpoint too.
    let store = SledStore::open_or_create(dir.path()).unwrap();
    let model = store.read(Revision(2)).unwrap().next().unwrap().unwrap().1.model;
    let state = CheckpointHead {
        head: store.head(),
        time: Time(0),
        model,
        model_since: None,
        tuple_count: 0,
        keyed_count: 0,
    };
    store.write_checkpoint(&state, &mut std::iter::empty()).unwrap();
    drop(store);
    let store = SledStore::open_or_create(dir.path()).unwrap();
    assert!(store.checkpoint().unwrap().unwrap().0 == state);
    drop(store);
    assert_eq!(model_of(&start(None)), "largest");
}

#[test]
fn a_failed_sync_of_a_model_latches_and_the_old_one_stays() {
    let fails = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&fails);
    let store: Arc<dyn Store> = Arc::new(HookedStore::new(move || {
        if !told.load(Ordering::SeqCst) {
            return Ok(());
        }
        let source = Arc::new(std::io::Error::other("no more disk"));
        Err(StoreError::Io { doing: "sync `/secret/path`".into(), source })
    }));
    let world = World::on(Arc::clone(&store), BOTH);
    world.put(&["org:a#admin@user:ana"]);
    fails.store(true, Ordering::SeqCst);
    let error = world.pdp.propose(proposal(SINGLE)).unwrap_err();
    assert!(matches!(error, ProposalError::OutcomeUnknown(_)), "{error}");
    let last = world.pdp.model_status().borrow().last_proposal.clone().unwrap();
    let reason = last.refusal.unwrap();
    assert!(reason.contains("unknown") && !reason.contains("/secret/path"), "{reason}");
    fails.store(false, Ordering::SeqCst);
    assert_eq!(model_of(&world.pdp), "both");
    assert!(world.allows("user:ana act org:a"));
    let error = world.write(vec![touch("org:a#admin@user:bob")]);
    assert!(matches!(error, Err(WriteError::Unavailable(_))), "{error:?}");
    let error = world.pdp.propose(proposal(SINGLE)).unwrap_err();
    assert!(matches!(error, ProposalError::Unavailable(_)), "{error}");
}

#[test]
fn a_closed_service_takes_no_model_and_lets_go_of_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock::default());
    let store = Arc::new(SledStore::open_or_create(dir.path()).unwrap());
    let pdp = Pdp::start(store, Some(proposal(BOTH)), clock).unwrap();
    pdp.close();
    assert!(SledStore::open(dir.path()).is_ok(), "a closed service holds its directory");
    let error = pdp.propose(proposal(SINGLE)).unwrap_err();
    assert!(matches!(error, ProposalError::Unavailable(_)), "{error}");
    assert_eq!(model_of(&pdp), "both");
}

/// A log that cannot be read, for this reason, from when a test says so; or only once something else has
/// happened.
#[derive(Default)]
struct Unread {
    error: Mutex<Option<StoreError>>,
    /// Done once, before the next read.
    first: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// How often the log was cut, and how often a read came too late for it.
    cuts: AtomicU64,
    missed: AtomicU64,
}

impl Hooks for Unread {
    fn before_read(&self) -> Result<(), StoreError> {
        if let Some(first) = self.first.lock().unwrap().take() {
            first();
        }
        self.error.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn missed_read(&self) {
        self.missed.fetch_add(1, Ordering::SeqCst);
    }

    fn after_truncate(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn no_checkpoint_takes_what_a_proposal_still_has_to_read() {
    let store = Arc::new(HookedStore::new(Unread::default()));
    let upkeep = Upkeep { checkpoint_changes: 2, checkpoint_share: 0, log_kept_commits: 0 };
    let clock = Arc::new(SetClock::default());
    let sources = SourceFiles::from_iter([("model.yaml", BOTH)]);
    let model = bailiwick::model::load(&sources, &BTreeMap::new()).unwrap();
    let (files, log) = (files_of(&model), Arc::clone(&store) as Arc<dyn Store>);
    let pdp = Pdp::open_with(log, model, files, clock, upkeep).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(pdp.write(vec![touch("org:a#admin@user:ana")])).unwrap();
    let (writer, cut) = (pdp.clone(), Arc::clone(&store));
    // The draft is made; before it reads what came since, much comes, and the log is cut more than once.
    *store.hooks.first.lock().unwrap() = Some(Box::new(move || {
        let before = cut.hooks.cuts.load(Ordering::SeqCst);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for i in 0..100_000 {
            let tuple = format!("org:a#admin@user:n{i}");
            runtime.block_on(writer.write(vec![touch(&tuple)])).unwrap();
            if cut.hooks.cuts.load(Ordering::SeqCst) > before + 2 {
                return;
            }
        }
        panic!("the log was never cut");
    }));
    pdp.propose(proposal(ADMINS)).unwrap();
    assert_eq!(store.hooks.missed.load(Ordering::SeqCst), 0);
    assert_eq!(model_of(&pdp), "admins");
    // What it kept is let go again: a later checkpoint cuts up to its own revision.
    let first = store.inner.head().revision;
    let cuts = store.hooks.cuts.load(Ordering::SeqCst);
    let mut others = (0..).map(|i| touch(&format!("org:a#admin@user:e{i}")));
    while store.hooks.cuts.load(Ordering::SeqCst) < cuts + 2 {
        runtime.block_on(pdp.write(others.by_ref().take(1).collect())).unwrap();
    }
    assert!(matches!(store.inner.read(first), Err(StoreError::Truncated { .. })));
    pdp.close();
}

#[test]
fn a_log_that_is_cut_meanwhile_costs_time_and_a_damaged_one_the_proposal() {
    let store = Arc::new(HookedStore::new(Unread::default()));
    let world = World::on(Arc::clone(&store) as Arc<dyn Store>, BOTH);
    world.put(&["org:a#admin@user:ana", "org:b#parent@org:a"]);
    *store.hooks.error.lock().unwrap() = Some(StoreError::Truncated { asked: 3, oldest: 9 });
    world.pdp.propose(proposal(ADMINS)).unwrap();
    assert_eq!(all(&world.pdp), ["org:a#admin@user:ana", "org:b#parent@org:a"]);
    assert!(world.allows("user:ana see org:b"));

    *store.hooks.error.lock().unwrap() = Some(StoreError::Corrupt { what: "commit 3".into() });
    let error = world.pdp.propose(proposal(BOTH)).unwrap_err();
    assert!(matches!(error, ProposalError::Unavailable(_)), "{error}");
    assert_eq!(model_of(&world.pdp), "admins");
    world.put(&["org:a#admin@user:eve"]);
    assert!(world.allows("user:eve see org:b"), "writes go on");
}
