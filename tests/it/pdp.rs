//! The service without a wire: commits are whole, dense, seen by every later read, and validated
//! against each other; a model that does not fit is refused; a failed store latches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bailiwick::model::tuple::{Revision, Time, Tuple};
use bailiwick::pdp::{FilterError, Pdp, TupleFilter, WriteChange, WriteError};
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::sled::SledStore;
use bailiwick::store::{Store, StoreError};

use crate::support::store::HookedStore;
use crate::support::{World, create, delete, files_of, model, touch, tuple};

const MODEL: &str = "
model: pdp
types: { user: {}, org: { parents: [org] } }
roles: [ { at: [org], names: [admin, viewer], bound_by: [user] } ]
permissions: { act: { at: [org], is: admin }, see: { at: [org], is: 'admin or viewer' } }
";

fn all(pdp: &Pdp) -> Vec<String> {
    let tuples = pdp.read().tuples(&TupleFilter::default()).unwrap();
    let mut texts: Vec<String> = tuples.flatten().map(|tuple| tuple.key.to_string()).collect();
    texts.sort();
    texts
}

#[test]
fn a_commit_is_whole_or_nothing() {
    let world = World::new(MODEL);
    world.put(&["org:a#admin@user:ana"]);
    let before = world.pdp.read().token().clone();
    let error = world.write(vec![touch("org:b#admin@user:bob"), create("org:a#admin@user:ana")]);
    assert!(matches!(error, Err(WriteError::AlreadyExists { change: 1, .. })), "{error:?}");
    let error = world.write(vec![touch("org:b#admin@user:bob"), touch("org:b#owner@user:bob")]);
    assert!(matches!(error, Err(WriteError::NotAdmitted { change: 1, .. })), "{error:?}");
    let error = world.write(vec![touch("org:b#admin@user:bob"), delete("org:b#admin@user:bob")]);
    assert!(matches!(error, Err(WriteError::Repeated { change: 1, .. })), "{error:?}");
    assert!(matches!(world.write(vec![]), Err(WriteError::Empty)));
    assert_eq!(all(&world.pdp), ["org:a#admin@user:ana"]);
    assert_eq!(*world.pdp.read().token(), before);
}

#[test]
fn revisions_are_dense_and_a_change_of_nothing_makes_none() {
    let world = World::new(MODEL);
    let first = world.write(vec![touch("org:a#admin@user:ana")]).unwrap();
    let none = world.write(vec![delete("org:x#admin@user:ana")]).unwrap();
    assert_eq!(none, first, "a delete of what is not there commits nothing");
    let second = world.write(vec![delete("org:a#admin@user:ana")]).unwrap();
    assert_eq!(second.revision, first.revision.next());
    assert_eq!(*world.pdp.read().token(), second);
    assert!(!world.allows("user:ana act org:a"));
}

#[test]
fn a_misspelt_delete_is_refused_and_an_idle_one_says_so() {
    let world = World::new(MODEL);
    world.put(&["org:a#admin@user:ana"]);
    for misspelt in ["org:a#admn@user:ana", "ogr:a#admin@user:ana", "org:a#admin@usr:ana"] {
        let error = world.write(vec![delete(misspelt)]);
        assert!(matches!(error, Err(WriteError::NotAdmitted { change: 0, .. })), "{error:?}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let changed = |changes| runtime.block_on(world.pdp.write(changes)).unwrap().changed;
    assert_eq!(changed(vec![delete("org:a#admin@user:bob")]), 0);
    assert_eq!(changed(vec![delete("org:a#admin@user:ana"), delete("org:b#admin@user:ana")]), 1);
    assert!(!world.allows("user:ana act org:a"));
}

#[test]
fn an_expired_tuple_is_absent_everywhere_and_may_be_created_anew() {
    let world = World::new(MODEL);
    let expiring = |at| {
        WriteChange::Create(Tuple { expires_at: Some(Time(at)), ..tuple("org:a#admin@user:ana") })
    };
    world.write(vec![expiring(100)]).unwrap();
    world.clock.set(99);
    assert!(world.allows("user:ana act org:a"));
    assert!(world.write(vec![expiring(300)]).is_err());
    world.clock.set(100);
    assert!(!world.allows("user:ana act org:a"));
    assert!(all(&world.pdp).is_empty());
    world.write(vec![expiring(300)]).unwrap();
    assert!(world.allows("user:ana act org:a"));
}

#[test]
fn now_never_runs_back() {
    let world = World::new(MODEL);
    world
        .write(vec![WriteChange::Touch(Tuple {
            expires_at: Some(Time(100)),
            ..tuple("org:a#admin@user:ana")
        })])
        .unwrap();
    world.clock.set(100);
    assert!(!world.allows("user:ana act org:a"));
    world.clock.set(50);
    assert!(!world.allows("user:ana act org:a"), "the clock ran back, `now` did not");
    assert_eq!(world.pdp.read().now(), Time(100));
}

#[test]
fn concurrent_commits_see_each_other() {
    let world = World::new(MODEL);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    // 64 callers create the same tuple, and each one of its own: one wins, all own ones are there.
    let outcomes = runtime.block_on(async {
        let tasks: Vec<_> = (0..64)
            .map(|i| {
                let pdp = world.pdp.clone();
                tokio::spawn(async move {
                    let own =
                        pdp.write(vec![create(&format!("org:a#viewer@user:u{i}"))]).await.unwrap();
                    assert!(
                        pdp.read().token().revision >= own.token.revision,
                        "a later read sees it"
                    );
                    (
                        own.token.revision,
                        pdp.write(vec![create("org:a#admin@user:ana")]).await.is_ok(),
                    )
                })
            })
            .collect();
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap());
        }
        outcomes
    });
    assert_eq!(outcomes.iter().filter(|(_, won)| *won).count(), 1);
    let mut revisions: Vec<u64> = outcomes.iter().map(|(revision, _)| revision.0).collect();
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), 64, "each commit has a revision of its own");
    assert_eq!(world.pdp.read().token().revision, Revision(66), "the model, 64 and the winner");
    assert_eq!(all(&world.pdp).len(), 65);
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let world = World::on(Arc::clone(&store), MODEL);
    world.put(&["org:a#admin@user:ana", "org:b#parent@org:a"]);
    world.write(vec![delete("org:a#admin@user:ana"), touch("org:a#viewer@user:ana")]).unwrap();
    let token = world.pdp.read().token().clone();
    world.pdp.close();
    assert!(matches!(
        world.write(vec![touch("org:c#admin@user:ana")]),
        Err(WriteError::Unavailable(_))
    ));
    let again = World::on(store, MODEL);
    assert_eq!(*again.pdp.read().token(), token, "the same model again is no commit");
    assert_eq!(all(&again.pdp), ["org:a#viewer@user:ana", "org:b#parent@org:a"]);
    assert!(again.allows("user:ana see org:b") && !again.allows("user:ana act org:b"));
}

#[test]
fn a_checkpoint_comes_however_often_the_process_restarts() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    for run in 0..3 {
        let world = World::on(Arc::clone(&store), MODEL);
        for part in 0..9 {
            let tuple = |i| touch(&format!("org:r{run}p{part}i{i}#admin@user:ana"));
            world.write((0..9_000).map(tuple).collect()).unwrap();
        }
        // Waits for the checkpoint being written, if there is one.
        world.pdp.close();
    }
    let (head, tuples) = store.checkpoint().unwrap().expect("243,000 changes were made");
    let tuples: Vec<_> = tuples.map(|tuple| tuple.unwrap()).collect();
    assert_eq!(head.tuple_count, tuples.len() as u64);
    assert!(tuples.len() >= 200_000);
    let again = World::on(store, MODEL);
    assert_eq!(again.pdp.read().tuple_count(), 243_000);
}

#[test]
fn another_model_is_a_commit_and_one_that_does_not_fit_is_refused() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let world = World::on(Arc::clone(&store), MODEL);
    world.put(&["org:a#viewer@user:ana"]);
    let before = world.pdp.read().token().revision;
    world.pdp.close();
    let smaller = model(&MODEL.replace("[admin, viewer]", "[admin]").replace(" or viewer", ""));
    let files = files_of(&smaller);
    let clock = Arc::clone(&world.clock);
    let error = Pdp::open(Arc::clone(&store), smaller, files, clock).unwrap_err().to_string();
    assert!(error.contains("`org:a#viewer@user:ana`"), "{error}");
    assert_eq!(store.head().revision, before, "a refused model leaves no trace");
    let larger = World::on(Arc::clone(&store), &MODEL.replace("viewer]", "viewer, guest]"));
    assert_eq!(larger.pdp.read().token().revision, before.next());
    assert!(larger.allows("user:ana see org:a"));
}

#[test]
fn a_filter_finds_what_a_walk_over_all_finds() {
    let world = World::new(
        "
model: filters
types: { user: {}, group: {}, org: { parents: [org] } }
roles:
  - { at: [org], names: [admin, viewer], bound_by: [user, 'user:*', 'group#member'] }
  - { at: [group], names: [member], bound_by: [user] }
permissions: { see: { at: [org], is: viewer } }
",
    );
    let scopes = ["org:a", "org:b", "org:c", "group:g", "group:h"];
    let roles = ["admin", "viewer", "member", "parent"];
    let subjects = ["user:ana", "user:bob", "user:*", "group:g#member", "org:a", "org:b"];
    let sources = ["", "hr", "ldap"];
    let mut stored = Vec::new();
    for (i, scope) in scopes.iter().enumerate() {
        for role in roles {
            for (j, subject) in subjects.iter().enumerate() {
                // A part of what could be, so that each filter meets gaps.
                for source in sources.iter().take((i * 5 + j * 7) % 4) {
                    let mut tuple = tuple(&format!("{scope}#{role}@{subject}"));
                    tuple.key.source = (*source).to_owned();
                    if world.write(vec![WriteChange::Touch(tuple.clone())]).is_ok() {
                        stored.push(tuple.key);
                    }
                }
            }
        }
    }
    assert!(stored.len() > 40, "{}", stored.len());
    let set = |of: &[&str]| -> Vec<Option<String>> {
        [None].into_iter().chain(of.iter().map(|value| Some((*value).to_owned()))).collect()
    };
    let (mut found, mut never) = (0, 0);
    for scope in set(&scopes) {
        for role in set(&roles) {
            for subject in set(&subjects) {
                for source in set(&sources) {
                    let filter = TupleFilter {
                        scope: scope.clone(),
                        role: role.clone(),
                        subject: subject.clone(),
                        source: source.clone(),
                        ..TupleFilter::default()
                    };
                    let is = |wanted: &Option<String>, value: &str| {
                        wanted.as_ref().is_none_or(|wanted| wanted == value)
                    };
                    let mut expected: Vec<_> = stored
                        .iter()
                        .filter(|key| {
                            is(&scope, key.scope.as_str()) && is(&role, key.role.as_str())
                        })
                        .filter(|key| is(&subject, &key.subject.to_string()))
                        .filter(|key| is(&source, &key.source))
                        .cloned()
                        .collect();
                    expected.sort();
                    let tuples = world.pdp.read().tuples(&filter);
                    assert!(matches!(tuples, Ok(_) | Err(FilterError::Never { .. })), "{tuples:?}");
                    never += usize::from(tuples.is_err());
                    let mut keys: Vec<_> =
                        tuples.into_iter().flatten().flatten().map(|tuple| tuple.key).collect();
                    keys.sort();
                    found += usize::from(!keys.is_empty());
                    assert_eq!(keys, expected, "{filter:?}");
                }
            }
        }
    }
    assert!(found > 200 && never > 10, "{found} found something, {never} never can");
}

#[test]
fn a_failed_sync_latches_and_what_it_held_is_never_read() {
    let fails = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&fails);
    let store = HookedStore::new(move || {
        if !told.load(Ordering::SeqCst) {
            return Ok(());
        }
        let source = Arc::new(std::io::Error::other("no more disk"));
        Err(StoreError::Io { doing: "sync".into(), source })
    });
    let world = World::on(Arc::new(store), MODEL);
    world.put(&["org:a#viewer@user:ana"]);
    fails.store(true, Ordering::SeqCst);
    let error = world.write(vec![touch("org:a#admin@user:ana")]);
    assert!(matches!(error, Err(WriteError::OutcomeUnknown(_))), "{error:?}");
    assert!(!world.allows("user:ana act org:a"), "pending is dropped");
    fails.store(false, Ordering::SeqCst);
    let error = world.write(vec![touch("org:a#admin@user:ana")]);
    assert!(matches!(error, Err(WriteError::Unavailable(_))), "{error:?}");
    assert!(world.allows("user:ana see org:a"), "reads go on");
}

#[test]
fn now_does_not_run_back_over_a_stop_whatever_the_wall_clock_says() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "model: m\ntypes: { user: {}, org: {} }\nroles: [ { at: [org], names: [admin] } ]\n\
                permissions: { act: { at: [org], is: admin } }\n";
    let open = || Arc::new(SledStore::open_or_create(dir.path()).unwrap());
    let world = World::on(open(), yaml);
    let mut tuple = tuple("org:o#admin@user:ana");
    tuple.expires_at = Some(Time(1_000));
    world.write(vec![WriteChange::Touch(tuple)]).unwrap();
    assert!(world.allows("user:ana act org:o"));
    world.clock.set(1_000);
    assert!(!world.allows("user:ana act org:o"));
    world.pdp.close();
    drop(world);
    // Its clock begins at 0 again, and nothing was committed since.
    let world = World::on(open(), yaml);
    assert!(!world.allows("user:ana act org:o"), "an expired grant lives again");
}
