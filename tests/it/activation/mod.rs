//! The model in force, without a wire: a proposal is a commit in order with the writes or leaves no
//! trace; the log with all its models leads back to the state that was published.

mod faults;
mod races;
mod restart;

use std::sync::Arc;

use bailiwick::model::limits::{MISFITS_COUNTED_MAX, MISFITS_NAMED_MAX};
use bailiwick::model::tuple::{Revision, Time, Tuple};
use bailiwick::pdp::{
    Activated, OpenError, Pdp, Proposal, ProposalError, TupleFilter, WriteChange, WriteError,
};
use bailiwick::store::Store;
use bailiwick::store::memory::MemoryStore;

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
