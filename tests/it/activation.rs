//! The model in force, without a wire: a proposal is a commit in order with the writes or leaves no
//! trace; the log with all its models leads back to the state that was published.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick::model::SourceFiles;
use bailiwick::model::limits::{MISFITS_COUNTED_MAX, MISFITS_NAMED_MAX, MODEL_COMMIT_BYTES_MAX};
use bailiwick::model::tuple::{Change, Revision, Time, Tuple};
use bailiwick::pdp::{
    Activated, OpenError, Pdp, Proposal, ProposalError, TupleFilter, WriteChange, WriteError,
};
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::sled::SledStore;
use bailiwick::store::{
    CheckpointEntry, CheckpointHead, Commit, Head, Identity, ModelFiles, ModelSince, Store,
    StoreError, Stored,
};

use crate::support::store::HookedStore;
use crate::support::{SetClock, World, delete, proposal, touch, tuple};

/// Admins and viewers; `act` is the admins'.
const BOTH: &str = "
model: both
types: { user: {}, org: { parents: { org: { many: true } } } }
roles: [ { at: [org], names: [admin, viewer], bound_by: [user] } ]
permissions: { act: { at: [org], is: admin }, see: { at: [org], is: 'admin or viewer' } }
";

/// No viewers any more; `act` is nobody's.
const ADMINS: &str = "
model: admins
types: { org: { parents: { org: { many: true } } }, user: {} }
roles: [ { at: [org], names: [admin], bound_by: [user] } ]
permissions: { see: { at: [org], is: admin }, act: { at: [org], is: 'no' } }
";

/// One parent each.
const SINGLE: &str = "
model: single
types: { user: {}, org: { parents: [org] } }
roles: [ { at: [org], names: [guest, viewer, admin], bound_by: [user] } ]
permissions: { see: { at: [org], is: 'admin or viewer or guest' }, act: { at: [org], is: admin } }
";

fn all(pdp: &Pdp) -> Vec<String> {
    let tuples = pdp.read().tuples(&TupleFilter::default()).unwrap();
    let mut texts: Vec<String> = tuples.flatten().map(|tuple| tuple.key.to_string()).collect();
    texts.sort();
    texts
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn restart(store: &Arc<dyn Store>, proposal: Option<Proposal>) -> Result<Pdp, OpenError> {
    Pdp::start(Arc::clone(store), proposal, Arc::new(SetClock::default()))
}

fn model_of(pdp: &Pdp) -> String {
    pdp.read().model().name.clone()
}

fn models_in(store: &dyn Store) -> usize {
    let commits = store.read(Revision(1)).unwrap();
    commits.filter(|commit| commit.as_ref().unwrap().1.model.is_some()).count()
}

fn expiring(text: &str, end: i64) -> WriteChange {
    WriteChange::Touch(Tuple { expires_at: Some(Time(end)), ..tuple(text) })
}

#[test]
fn a_model_comes_into_force_as_a_commit() {
    let world = World::new(BOTH);
    world.put(&["org:b#parent@org:a", "org:a#admin@user:ana"]);
    assert!(world.allows("user:ana act org:b"));
    let old = world.pdp.read();
    let Activated { token, is_new } = world.pdp.propose(proposal(ADMINS)).unwrap();
    assert!(is_new);
    assert_eq!(token.revision, Revision(3));
    assert_eq!(*world.pdp.read().token(), token);
    assert_eq!(model_of(&world.pdp), "admins");
    assert!(world.allows("user:ana see org:b") && !world.allows("user:ana act org:b"));
    assert_eq!(all(&world.pdp), ["org:a#admin@user:ana", "org:b#parent@org:a"]);
    // Who reads already keeps tuples, model and answers.
    assert_eq!((old.model().name.as_str(), old.token().revision), ("both", Revision(2)));
    let question = old.question("user:ana", "act", "org:b", Default::default()).unwrap();
    assert!(old.check(&question, true).unwrap().is_allow());
    // Writes go on under the new one.
    let refused = world.write(vec![touch("org:a#viewer@user:bob")]);
    assert!(matches!(refused, Err(WriteError::NotAdmitted { .. })), "{refused:?}");
    assert_eq!(
        world.write(vec![touch("org:a#admin@user:bob")]).unwrap().revision,
        token.revision.next()
    );
    assert!(world.allows("user:bob see org:b"));
}

#[test]
fn the_model_in_force_again_is_no_commit() {
    let store = memory();
    let world = World::on(Arc::clone(&store), BOTH);
    world.put(&["org:a#viewer@user:ana"]);
    let before = world.pdp.read().token().clone();
    for _ in 0..3 {
        let again = world.pdp.propose(proposal(BOTH)).unwrap();
        assert_eq!(again, Activated { token: before.clone(), is_new: false });
    }
    assert_eq!(*world.pdp.read().token(), before);
    assert_eq!(models_in(store.as_ref()), 1);
    // It is the last word all the same.
    world.pdp.propose(proposal(ADMINS)).unwrap_err();
    assert!(!world.pdp.model_status().borrow().is_current());
    world.pdp.propose(proposal(BOTH)).unwrap();
    assert!(world.pdp.model_status().borrow().is_current());
    assert_eq!(models_in(store.as_ref()), 1);
}

#[test]
fn what_does_not_fit_is_refused_with_the_first_misfits() {
    let store = memory();
    let world = World::on(Arc::clone(&store), BOTH);
    world.put(&["org:a#admin@user:ana"]);
    world.put(&(0..9).rev().map(|i| format!("org:a#viewer@user:u{i}")).collect::<Vec<_>>());
    let before = world.pdp.read().token().clone();
    let error = world.pdp.propose(proposal(ADMINS)).unwrap_err();
    let ProposalError::Misfits(misfits) = &error else { panic!("{error}") };
    assert_eq!(misfits.count(), 9);
    let text = error.to_string();
    assert!(text.starts_with("9 stored tuples do not fit the model: `org:a#viewer@user:u0`: "));
    assert!(text.contains("`viewer` is no role or relation of `org`"), "{text}");
    assert_eq!(text.matches("#viewer@").count(), MISFITS_NAMED_MAX, "{text}");
    assert!(text.ends_with("; ..."), "{text}");
    assert_eq!((model_of(&world.pdp), world.pdp.read().token()), ("both".into(), &before));
    assert_eq!(store.head().revision, before.revision, "a refused model leaves no trace");

    let status = world.pdp.model_status().borrow().clone();
    let last = status.last_proposal.clone().unwrap();
    assert!(!status.is_current() && !last.is_accepted());
    assert_eq!(last.refusal, Some(text));
    assert_eq!(last.digest, proposal(ADMINS).digest());
    assert_eq!((status.name.as_str(), status.digest.as_str()), ("both", proposal(BOTH).digest()));

    let gone = (0..9).map(|i| delete(&format!("org:a#viewer@user:u{i}"))).collect();
    world.write(gone).unwrap();
    assert!(world.pdp.propose(proposal(ADMINS)).unwrap().is_new);
    let status = world.pdp.model_status().borrow().clone();
    assert!(status.is_current() && status.name == "admins");
}

#[test]
fn the_search_for_misfits_ends() {
    let world = World::new(BOTH);
    for part in 0..2 {
        let tuple = |i| touch(&format!("org:o{part}x{i}#viewer@user:ana"));
        world.write((0..9_000).map(tuple).collect()).unwrap();
    }
    let error = world.pdp.propose(proposal(ADMINS)).unwrap_err();
    let ProposalError::Misfits(misfits) = &error else { panic!("{error}") };
    assert_eq!(misfits.count(), MISFITS_COUNTED_MAX);
    assert!(error.to_string().starts_with("10000 or more stored tuples"), "{error}");
}

#[test]
fn a_stricter_hierarchy_is_refused_with_the_edge() {
    let world = World::new(BOTH);
    world.put(&["org:c#parent@org:a", "org:c#parent@org:b"]);
    let error = world.pdp.propose(proposal(SINGLE)).unwrap_err();
    assert!(matches!(error, ProposalError::Hierarchy(_)), "{error}");
    assert!(error.to_string().contains("org:c#parent@org:"), "{error}");
    world.write(vec![delete("org:c#parent@org:b")]).unwrap();
    world.pdp.propose(proposal(SINGLE)).unwrap();
    assert!(world.write(vec![touch("org:c#parent@org:b")]).is_err());

    // A relation that takes part in the rule again must be free of circles, depth included.
    let loose = SINGLE.replace("[org] }", "{ org: { acyclic: false } } }");
    world.pdp.propose(proposal(&loose)).unwrap();
    world.put(&["org:a#parent@org:c"]);
    let error = world.pdp.propose(proposal(SINGLE)).unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
}

#[test]
fn what_has_expired_and_does_not_fit_is_dropped() {
    let store = memory();
    let world = World::on(Arc::clone(&store), BOTH);
    world
        .write(vec![expiring("org:a#viewer@user:ana", 100), touch("org:a#admin@user:eve")])
        .unwrap();
    world.clock.set(99);
    assert!(world.pdp.propose(proposal(ADMINS)).is_err());
    world.clock.set(100);
    world.pdp.propose(proposal(ADMINS)).unwrap();
    assert_eq!((all(&world.pdp).len(), world.pdp.read().tuple_count()), (1, 1));
    // The log still has it; nobody sees it after a restart either, under whatever model.
    world.pdp.close();
    let again = restart(&store, None).unwrap();
    assert_eq!((all(&again).len(), again.read().tuple_count()), (1, 1));
    again.propose(proposal(BOTH)).unwrap();
    assert_eq!(all(&again), ["org:a#admin@user:eve"]);
}

#[test]
fn a_restart_ends_in_the_state_that_was_published() {
    let store = memory();
    let world = World::on(Arc::clone(&store), BOTH);
    world.put(&["org:a#viewer@user:ana", "org:b#parent@org:a", "org:a#admin@user:eve"]);
    world.write(vec![delete("org:a#viewer@user:ana")]).unwrap();
    world.clock.set(10);
    world.pdp.propose(proposal(ADMINS)).unwrap();
    world.put(&["org:a#admin@user:ana"]);
    world.clock.set(20);
    world.pdp.propose(proposal(SINGLE)).unwrap();
    world.put(&["org:b#guest@user:gus"]);
    assert_eq!(models_in(store.as_ref()), 3);
    let (token, tuples) = (world.pdp.read().token().clone(), all(&world.pdp));
    world.pdp.close();

    for _ in 0..2 {
        let again = restart(&store, None).unwrap();
        assert_eq!((again.read().token(), all(&again)), (&token, tuples.clone()));
        let reading = again.read();
        assert_eq!(reading.model().digest, proposal(SINGLE).digest());
        let since = ModelSince { revision: Revision(6), time: Time(20) };
        assert_eq!(reading.model_since(), Some(since));
        assert!(reading.now() >= Time(20));
        let ask = |subject, permission| {
            let question = reading.question(subject, permission, "org:b", Default::default());
            reading.check(&question.unwrap(), false).unwrap().is_allow()
        };
        assert!(ask("user:gus", "see") && ask("user:ana", "act") && !ask("user:gus", "act"));
        assert_eq!(again.model_status().borrow().last_proposal, None);
        again.close();
    }
    // The same model proposed at the start is no commit.
    let again = restart(&store, Some(proposal(SINGLE))).unwrap();
    assert_eq!(*again.read().token(), token);
    assert!(again.model_status().borrow().last_proposal.as_ref().unwrap().is_accepted());
}

#[test]
fn a_start_with_a_refused_model_serves_the_stores_own() {
    let store = memory();
    let world = World::on(Arc::clone(&store), BOTH);
    world.put(&["org:a#viewer@user:ana"]);
    let token = world.pdp.read().token().clone();
    world.pdp.close();
    let again = restart(&store, Some(proposal(ADMINS))).unwrap();
    assert_eq!((model_of(&again), again.read().token()), ("both".into(), &token));
    let status = again.model_status().borrow().clone();
    assert!(!status.is_current());
    again.close();

    let clock = Arc::new(SetClock::default());
    let strict = Pdp::start_strictly(Arc::clone(&store), proposal(ADMINS), clock).unwrap_err();
    assert!(matches!(strict, OpenError::Refused(ProposalError::Misfits(_))), "{strict}");
    assert_eq!(store.head().revision, token.revision, "a refused model leaves no trace");
    let again = restart(&store, Some(proposal(SINGLE))).unwrap();
    assert_eq!(again.read().token().revision, token.revision.next());
    assert_eq!(all(&again), ["org:a#viewer@user:ana"]);
}

#[test]
fn a_store_without_a_model_needs_one() {
    let error = restart(&memory(), None).unwrap_err();
    assert!(matches!(error, OpenError::NoModel), "{error}");
    let store = memory();
    let first = restart(&store, Some(proposal(BOTH))).unwrap();
    assert_eq!(first.read().token().revision, Revision(1));
    let since = ModelSince { revision: Revision(1), time: Time(0) };
    assert_eq!(first.read().model_since(), Some(since));
    assert!(first.model_status().borrow().last_proposal.as_ref().unwrap().is_accepted());
}

#[test]
fn a_model_that_this_program_cannot_compile_is_said_to_be_of_another_version() {
    let newer = BOTH.replace("roles:", "wonders: {}\nroles:");
    let files = |digest: &str, text: &str| ModelFiles {
        digest: digest.to_owned(),
        files: vec![("model.yaml".to_owned(), text.to_owned())],
    };
    let digest = "d".repeat(64);
    for stored in [files(&digest, &newer), files(&digest, BOTH)] {
        let store = memory();
        let commit =
            Commit { time: Time(0), changes: Vec::new(), model: Some(stored), request: None };
        store.append(Revision(0), &[commit]).unwrap();
        for proposed in [None, Some(proposal(ADMINS))] {
            let error = restart(&store, proposed).unwrap_err();
            assert!(matches!(error, OpenError::StoredModel { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(&digest) && text.contains("run the version that put"), "{text}");
        }
        assert_eq!(store.head().revision, Revision(1));
    }
}

#[test]
fn a_stored_tuple_that_the_models_own_version_let_in_is_never_served_unseen() {
    let store = memory();
    let files = ModelFiles {
        digest: proposal(BOTH).digest().to_owned(),
        files: vec![("model.yaml".to_owned(), BOTH.to_owned())],
    };
    let changes = vec![Change::Put(tuple("org:a#owner@user:ana"))];
    let commit = Commit { time: Time(0), changes, model: Some(files), request: None };
    store.append(Revision(0), &[commit]).unwrap();
    let error = restart(&store, Some(proposal(BOTH))).unwrap_err();
    assert!(matches!(error, OpenError::Unfit(_)), "{error}");
    assert!(error.to_string().contains("`org:a#owner@user:ana`"), "{error}");
}

#[test]
fn since_when_a_model_is_in_force_survives_a_checkpoint() {
    let store = memory();
    let world = World::on(Arc::clone(&store), BOTH);
    world.clock.set(7);
    world.pdp.propose(proposal(SINGLE)).unwrap();
    let since = world.pdp.read().model_since();
    assert_eq!(since, Some(ModelSince { revision: Revision(2), time: Time(7) }));
    for part in 0..23 {
        let tuple = |i| touch(&format!("org:p{part}i{i}#admin@user:ana"));
        world.write((0..9_000).map(tuple).collect()).unwrap();
    }
    world.pdp.close();
    let (state, tuples) = store.checkpoint().unwrap().expect("207,000 changes were made");
    drop(tuples);
    assert_eq!(state.model_since, since);
    let again = restart(&store, None).unwrap();
    assert_eq!(again.read().model_since(), since);

    // A checkpoint of an earlier version does not say; nothing is made up.
    let old = memory();
    let world = World::on(Arc::clone(&old), BOTH);
    world.pdp.close();
    let state = CheckpointHead { head: old.head(), model_since: None, tuple_count: 0, ..state };
    let files = ModelFiles {
        digest: proposal(BOTH).digest().to_owned(),
        files: vec![("model.yaml".to_owned(), BOTH.to_owned())],
    };
    let state = CheckpointHead { model: Some(files), ..state };
    old.write_checkpoint(&state, &mut std::iter::empty()).unwrap();
    let again = restart(&old, None).unwrap();
    assert_eq!((model_of(&again), again.read().model_since()), ("both".into(), None));
    again.propose(proposal(SINGLE)).unwrap();
    assert_eq!(again.read().model_since().unwrap().revision, Revision(2));
    assert!(again.read_with_last_proposal().1.unwrap().is_accepted());
}

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

/// A store whose log cannot be read, for this reason, from when a test says so.
#[derive(Debug)]
struct Unread {
    inner: MemoryStore,
    error: Mutex<Option<StoreError>>,
}

impl Store for Unread {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn head(&self) -> Head {
        self.inner.head()
    }

    fn append(&self, expected: Revision, group: &[Commit]) -> Result<Vec<Head>, StoreError> {
        self.inner.append(expected, group)
    }

    fn read(&self, from: Revision) -> Result<Stored<'_, (Head, Commit)>, StoreError> {
        match self.error.lock().unwrap().clone() {
            Some(error) => Err(error),
            None => self.inner.read(from),
        }
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

#[test]
fn a_log_that_is_cut_meanwhile_costs_time_and_a_damaged_one_the_proposal() {
    let store = Arc::new(Unread { inner: MemoryStore::new(), error: Mutex::new(None) });
    let world = World::on(Arc::clone(&store) as Arc<dyn Store>, BOTH);
    world.put(&["org:a#admin@user:ana", "org:b#parent@org:a"]);
    *store.error.lock().unwrap() = Some(StoreError::Truncated { asked: 3, oldest: 9 });
    world.pdp.propose(proposal(ADMINS)).unwrap();
    assert_eq!(all(&world.pdp), ["org:a#admin@user:ana", "org:b#parent@org:a"]);
    assert!(world.allows("user:ana see org:b"));

    *store.error.lock().unwrap() = Some(StoreError::Corrupt { what: "commit 3".into() });
    let error = world.pdp.propose(proposal(BOTH)).unwrap_err();
    assert!(matches!(error, ProposalError::Unavailable(_)), "{error}");
    assert_eq!(model_of(&world.pdp), "admins");
    world.put(&["org:a#admin@user:eve"]);
    assert!(world.allows("user:eve see org:b"), "writes go on");
}

/// Writers, readers and proposals at once. Each reader sees one model with the tuples that fit it; each
/// write is judged by the model that its revision falls under.
#[test]
fn activations_writes_and_reads_are_in_one_order() {
    let store = memory();
    let world = World::on(Arc::clone(&store), BOTH);
    let stop = AtomicBool::new(false);
    let (accepted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writer = |id: u64| {
            let (pdp, stop) = (world.pdp.clone(), &stop);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let write = |change| runtime.block_on(pdp.write(vec![change]));
                for round in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let text = format!("org:o{round}#viewer@user:w{id}");
                    match write(touch(&text)) {
                        // Gone again, so that the next proposal has a chance.
                        Ok(_) => drop(write(delete(&text)).unwrap()),
                        Err(WriteError::NotAdmitted { .. }) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        };
        let reader = || {
            let (pdp, stop) = (world.pdp.clone(), &stop);
            move || {
                let mut seen = Revision(0);
                while !stop.load(Ordering::SeqCst) {
                    let reading = pdp.read();
                    let revision = reading.token().revision;
                    assert!(revision >= seen);
                    seen = revision;
                    assert!(reading.model_since().unwrap().revision <= revision);
                    let tuples = reading.tuples(&TupleFilter::default()).unwrap();
                    let viewers =
                        tuples.flatten().filter(|t| t.key.role.as_str() == "viewer").count();
                    let may_have = reading.model().name == "both";
                    assert!(viewers == 0 || may_have, "{viewers} under another model");
                }
            }
        };
        let handles: Vec<_> = (0..2).map(|id| scope.spawn(writer(id))).collect();
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(reader())).collect();
        for round in 0..2_000 {
            let text = if round % 2 == 0 { ADMINS } else { BOTH };
            match world.pdp.propose(proposal(text)) {
                Ok(_) => accepted.fetch_add(1, Ordering::SeqCst),
                Err(ProposalError::Misfits(_)) => refused.fetch_add(1, Ordering::SeqCst),
                Err(error) => panic!("{error}"),
            };
        }
        stop.store(true, Ordering::SeqCst);
        handles.into_iter().chain(readers).for_each(|thread| thread.join().unwrap());
    });
    assert!(accepted.load(Ordering::SeqCst) > 0);
    assert!(refused.load(Ordering::SeqCst) > 0, "no write ever came before a proposal");
    world.pdp.close();

    no_viewers_where_there_are_none(store.as_ref());
}

/// The log tells it once more: at every model that has no viewers none is there, and none comes.
fn no_viewers_where_there_are_none(store: &dyn Store) {
    let mut viewers = BTreeSet::new();
    let mut may_have = true;
    let admins = proposal(ADMINS);
    for commit in store.read(Revision(1)).unwrap() {
        let (revision, commit) = commit.unwrap();
        if let Some(model) = &commit.model {
            may_have = model.digest != admins.digest();
        }
        for change in commit.changes {
            match change {
                Change::Put(tuple) => drop(viewers.insert(tuple.key)),
                Change::Delete(key) => drop(viewers.remove(&key)),
            }
        }
        assert!(may_have || viewers.is_empty(), "at {revision:?}: {viewers:?}");
    }
}
