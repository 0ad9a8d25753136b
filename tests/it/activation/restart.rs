//! From the log with all its models back to the state that was published, and what else a start may find.

use std::sync::Arc;

use bailiwick::model::tuple::{Change, Revision, Time};
use bailiwick::pdp::{OpenError, Pdp, ProposalError};
use bailiwick::store::{CheckpointHead, Commit, ModelFiles, ModelSince};

use super::{ADMINS, BOTH, SINGLE, all, expiring, memory, model_of, models_in, restart};
use crate::support::{SetClock, World, delete, proposal, touch, tuple};

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
