//! Constraints, kept by every commit: exclusive roles, at most so many holders, never none.

use std::sync::Arc;

use bailiwick::engine::ContextualError;
use bailiwick::index::ConstraintError;
use bailiwick::model::form::{Constraint, ConstraintRule, Model};
use bailiwick::model::limits::{COMMIT_CHANGES_MAX, CONSTRAINT_TUPLES_MAX};
use bailiwick::model::names::Name;
use bailiwick::model::tuple::{Revision, Time, Tuple, TupleCondition};
use bailiwick::pdp::{KeepOne, Pdp, Proposal, WriteChange, WriteError, WriteRequest, Written};
use bailiwick::store::memory::MemoryStore;

use crate::support::{SetClock, World, create, delete, files_of, model, touch, tuple};

const TYPES: &str = "
types: { user: {}, group: {}, org: {}, team: {} }
conditions: { office: { parameters: { hour: int }, when: 'hour < 18' } }
roles:
  - { at: [group], names: [member], bound_by: [user] }
  - { at: [org, team], names: [owner, payer, approver], bound_by: [user, 'user:*', 'group#member'], conditions: [office] }
permissions: { act: { at: [org], is: owner } }
";

/// (name, type, rule); a rule is `exclusive A B`, `at_most N A` or `keep_one A`.
fn constrained(name: &str, constraints: &[(&str, &str, &str)]) -> Model {
    let mut model = model(&format!("model: {name}\n{TYPES}"));
    for (name, at, rule) in constraints {
        let role = |name: &str| model.name_id(name).unwrap();
        let words: Vec<&str> = rule.split(' ').collect();
        let rule = match words[..] {
            ["exclusive", ..] => {
                ConstraintRule::Exclusive(words[1..].iter().map(|w| role(w)).collect())
            }
            ["at_most", count, name] => {
                ConstraintRule::AtMost { role: role(name), count: count.parse().unwrap() }
            }
            ["keep_one", name] => ConstraintRule::KeepOne { role: role(name) },
            _ => panic!("{rule}"),
        };
        let at = model.type_id(at).unwrap();
        model.constraints.push(Constraint { name: Name::parse(name).unwrap(), at, rule });
    }
    model
}

const ALL: &[(&str, &str, &str)] = &[
    ("duties", "org", "exclusive payer approver"),
    ("few", "org", "at_most 2 payer"),
    ("one_owner", "org", "keep_one owner"),
];

fn world(constraints: &[(&str, &str, &str)]) -> World {
    let clock = Arc::new(SetClock::default());
    let model = constrained("m", constraints);
    let files = files_of(&model);
    let pdp = Pdp::open(Arc::new(MemoryStore::new()), model, files, Arc::clone(&clock) as _);
    World { pdp: pdp.unwrap(), clock }
}

/// What a commit was refused for.
#[track_caller]
fn refused(world: &World, changes: Vec<WriteChange>) -> (usize, ConstraintError) {
    let before = world.pdp.read().token().revision;
    let error = world.write(changes).unwrap_err();
    let WriteError::Constraint { change, error } = error else { panic!("{error:?}") };
    assert_eq!(world.pdp.read().token().revision, before, "something was written");
    (change, error)
}

fn commit(world: &World, request: WriteRequest) -> Result<Written, WriteError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(world.pdp.commit(request))
}

fn until(end: i64, text: &str) -> Tuple {
    Tuple { expires_at: Some(Time(end)), ..tuple(text) }
}

fn from_source(text: &str) -> Tuple {
    let mut tuple = tuple(text);
    tuple.key.source = "idp".into();
    tuple
}

fn conditional(text: &str) -> Tuple {
    let name = Name::parse("office").unwrap();
    Tuple { condition: Some(TupleCondition { name, context: Default::default() }), ..tuple(text) }
}

#[test]
fn a_subject_has_one_of_exclusive_roles_at_a_scope() {
    let world = world(ALL);
    world.put(&["org:a#payer@user:ana"]);
    let exclusive = |subject: &str, role: &str, other: &str| ConstraintError::Exclusive {
        constraint: "duties".into(),
        scope: "org:a".into(),
        subject: subject.into(),
        role: role.into(),
        other: other.into(),
    };
    let both = vec![touch("org:b#payer@user:ana"), touch("org:a#approver@user:ana")];
    let error = (1, exclusive("user:ana", "approver", "payer"));
    assert_eq!(refused(&world, both), error);
    // Whatever its source, its condition and its end: each could hold.
    for other in [
        from_source("org:a#approver@user:ana"),
        conditional("org:a#approver@user:ana"),
        until(9, "org:a#approver@user:ana"),
    ] {
        assert_eq!(refused(&world, vec![WriteChange::Touch(other)]).1, error.1);
    }
    // Both in one commit, of a set and of everybody too.
    for subject in ["user:bob", "user:*", "group:ops#member"] {
        let pair = ["payer", "approver"].map(|role| touch(&format!("org:a#{role}@{subject}")));
        assert_eq!(refused(&world, pair.into()), (0, exclusive(subject, "payer", "approver")));
    }
    // Elsewhere, in another order, or one for the other.
    world.put(&["org:b#approver@user:ana", "team:a#approver@user:ana", "team:a#payer@user:ana"]);
    world.write(vec![touch("org:a#approver@user:ana"), delete("org:a#payer@user:ana")]).unwrap();
    // What has expired is absent.
    world.write(vec![WriteChange::Touch(until(9, "org:c#payer@user:ana"))]).unwrap();
    let late = vec![touch("org:c#approver@user:ana")];
    refused(&world, late.clone());
    world.clock.set(9);
    world.write(late).unwrap();
}

#[test]
fn a_role_has_so_many_holders_and_no_more() {
    let world = world(ALL);
    let full = ConstraintError::AtMost {
        constraint: "few".into(),
        scope: "org:a".into(),
        role: "payer".into(),
        limit: 2,
    };
    world.put(&["org:a#payer@user:u1"]);
    // A second tuple of one holder is no second holder.
    world.write(vec![WriteChange::Touch(from_source("org:a#payer@user:u1"))]).unwrap();
    let two = vec![
        touch("org:a#payer@user:u1"),
        touch("org:a#payer@user:u2"),
        touch("org:a#payer@user:*"),
    ];
    assert_eq!(refused(&world, two), (1, full.clone()));
    world.put(&["org:a#payer@user:u2"]);
    for third in [
        tuple("org:a#payer@group:ops#member"),
        from_source("org:a#payer@user:u3"),
        conditional("org:a#payer@user:u3"),
        until(9, "org:a#payer@user:u3"),
    ] {
        assert_eq!(refused(&world, vec![WriteChange::Touch(third)]), (0, full.clone()));
    }
    // One for another, again, elsewhere; and somebody whose time is over counts no more.
    world.write(vec![touch("org:a#payer@user:u3"), delete("org:a#payer@user:u2")]).unwrap();
    world.put(&["org:a#payer@user:u3", "org:b#payer@user:u4", "team:a#payer@user:u5"]);
    world.write(vec![WriteChange::Touch(until(5, "org:a#payer@user:u3"))]).unwrap();
    refused(&world, vec![create("org:a#payer@user:u6")]);
    world.clock.set(5);
    world.put(&["org:a#payer@user:u6"]);
}

#[test]
fn the_last_holder_for_good_stays() {
    let world = world(ALL);
    world.put(&["org:a#owner@user:ana", "org:a#owner@user:bob"]);
    let last = ConstraintError::KeepOne {
        constraint: "one_owner".into(),
        scope: "org:a".into(),
        role: "owner".into(),
    };
    let owners = || vec![delete("org:a#owner@user:ana"), delete("org:a#owner@user:bob")];
    assert_eq!(refused(&world, owners()), (0, last.clone()));
    world.write(vec![delete("org:a#owner@user:bob")]).unwrap();
    // None of these is a holder for good, beside her or in her place.
    let others = [
        WriteChange::Touch(from_source("org:a#owner@user:eve")),
        WriteChange::Touch(conditional("org:a#owner@user:eve")),
        touch("org:a#owner@user:*"),
        // Nobody need be in a set, or stay in it.
        touch("org:a#owner@group:ops#member"),
        touch("team:a#owner@user:eve"),
        touch("org:a#payer@user:eve"),
    ];
    for other in others {
        let with = vec![other, delete("org:a#owner@user:ana")];
        assert_eq!(refused(&world, with), (1, last.clone()));
    }
    for weaker in [
        until(9, "org:a#owner@user:ana"),
        conditional("org:a#owner@user:ana"),
        until(-1, "org:a#owner@user:ana"),
    ] {
        assert_eq!(refused(&world, vec![WriteChange::Touch(weaker)]), (0, last.clone()));
    }
    // Nobody there at first, or somebody left.
    world.write(vec![delete("org:none#owner@user:ana")]).unwrap();
    world.write(vec![touch("org:a#owner@user:eve"), delete("org:a#owner@user:ana")]).unwrap();
    refused(&world, vec![delete("org:a#owner@user:eve")]);
    // A set that goes was no holder, with members or without.
    world.put(&["org:g#owner@group:ops#member", "group:ops#member@user:gus"]);
    world.write(vec![delete("org:g#owner@group:ops#member")]).unwrap();
    // A weaker one alone never was a holder for good.
    world.write(vec![WriteChange::Touch(until(9, "org:t#owner@user:ana"))]).unwrap();
    world.write(vec![delete("org:t#owner@user:ana")]).unwrap();
}

#[test]
fn a_waiver_lets_the_last_holder_go_and_nothing_else() {
    let world = world(ALL);
    world.put(&["org:a#owner@user:ana", "org:a#payer@user:bob"]);
    let request = |changes, keep_one| WriteRequest { changes, keep_one, ..WriteRequest::default() };
    let all = || vec![delete("org:a#owner@user:ana"), delete("org:a#payer@user:bob")];
    assert!(commit(&world, request(all(), KeepOne::Obeyed)).is_err());
    for broken in ["org:a#approver@user:bob", "org:a#payer@user:ana"] {
        let mut changes = vec![touch(broken), touch("org:a#payer@user:eve")];
        changes.push(delete("org:a#owner@user:ana"));
        let error = commit(&world, request(changes, KeepOne::Waived)).unwrap_err();
        assert!(matches!(error, WriteError::Constraint { .. }), "{error}");
    }
    assert_eq!(commit(&world, request(all(), KeepOne::Waived)).unwrap().changed, 2);
}

#[test]
fn contextual_tuples_obey_as_a_commit_does() {
    let world = world(ALL);
    world.put(&["org:a#owner@user:ana", "org:a#payer@user:u1", "org:a#payer@user:u2"]);
    let with = |tuple| world.pdp.read().with_contextual(&[tuple]);
    for wrong in [
        tuple("org:a#approver@user:u1"),
        tuple("org:a#payer@user:u3"),
        until(9, "org:a#owner@user:ana"),
    ] {
        let error = with(wrong).unwrap_err();
        assert!(matches!(error, ContextualError::Constraint { position: 0, .. }), "{error}");
    }
    with(tuple("org:a#approver@user:u3")).unwrap();
    with(tuple("org:a#owner@user:eve")).unwrap();
    with(tuple("org:new#payer@user:new")).unwrap();
    let pair = [tuple("org:new#payer@user:new"), tuple("org:new#approver@user:new")];
    world.pdp.read().with_contextual(&pair).unwrap_err();
}

fn proposed(name: &str, constraints: &[(&str, &str, &str)]) -> Proposal {
    let model = constrained(name, constraints);
    let files = files_of(&model);
    Proposal::new(model, files)
}

#[test]
fn a_model_whose_constraints_the_tuples_break_is_refused_with_their_names() {
    let world = world(&[]);
    let holders: Vec<String> = (0..5).map(|i| format!("org:a#payer@user:u{i}")).collect();
    world.put(&holders);
    world.put(&["org:b#payer@user:ana", "org:b#approver@user:ana"]);
    world
        .write(vec![
            WriteChange::Touch(until(9, "org:c#payer@user:ana")),
            touch("org:c#approver@user:ana"),
        ])
        .unwrap();
    let error = world.pdp.propose(proposed("m2", ALL)).unwrap_err().to_string();
    assert!(error.starts_with("5 stored tuples do not fit the model: "), "{error}");
    for named in [
        "org:a#payer@user:u0",
        "`few`",
        "org:b#payer@user:ana",
        "org:b#approver@user:ana",
        "`duties`",
        "org:c#",
    ] {
        assert!(error.contains(named), "{named}: {error}");
    }
    assert_eq!(world.pdp.read().model().name, "m");
    // In order, or over: it is taken. That nobody owns anything breaks nothing.
    world.clock.set(9);
    let left = holders[2..].iter().map(|text| delete(text)).chain([delete("org:b#payer@user:ana")]);
    world.write(left.collect()).unwrap();
    world.pdp.propose(proposed("m2", ALL)).unwrap();
    refused(&world, vec![touch("org:a#payer@user:new")]);
}

#[test]
fn what_is_broken_already_may_become_better_and_not_worse() {
    // A store whose model was put in force by a program that did not judge its constraints: its tuples
    // are read as they are.
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SetClock::default());
    let files = files_of(&constrained("m", &[]));
    let open = |constraints| {
        let (model, clock) = (constrained("m", constraints), Arc::clone(&clock));
        let pdp = Pdp::open(Arc::clone(&store) as _, model, files.clone(), Arc::clone(&clock) as _);
        World { pdp: pdp.unwrap(), clock }
    };
    let lax = open(&[]);
    let holders: Vec<String> = (0..5).map(|i| format!("org:a#payer@user:u{i}")).collect();
    lax.put(&holders);
    lax.put(&["org:b#payer@user:ana", "org:b#approver@user:ana", "org:b#owner@user:ana"]);
    lax.pdp.close();
    let world = open(ALL);
    // As bad as before, by what has to do with it.
    refused(&world, vec![touch("org:a#payer@user:u9"), delete("org:a#payer@user:u0")]);
    refused(&world, vec![touch("org:a#payer@user:u0")]);
    refused(&world, vec![touch("org:b#payer@user:ana")]);
    // What has nothing to do with it; and what is better, though not good.
    world.put(&["org:a#owner@user:eve", "org:b#payer@user:eve", "org:a#approver@user:eve"]);
    world
        .write(vec![
            delete("org:a#payer@user:u0"),
            delete("org:a#payer@user:u1"),
            touch("org:a#payer@user:u9"),
        ])
        .unwrap();
    world.write(vec![delete("org:a#payer@user:u9")]).unwrap();
    world.write(vec![delete("org:b#payer@user:ana")]).unwrap();
    refused(&world, vec![touch("org:b#payer@user:ana")]);
}

#[test]
fn the_commits_of_a_group_see_one_another() {
    let world = world(ALL);
    world.put(&["org:a#owner@user:ana", "org:a#owner@user:bob"]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 0..1_000 {
        let one = world.pdp.write(vec![delete("org:a#owner@user:ana")]);
        let other = world.pdp.write(vec![delete("org:a#owner@user:bob")]);
        let (one, other) = runtime.block_on(async { tokio::join!(one, other) });
        assert!(one.is_ok() && other.is_err(), "{one:?} {other:?}");
        world.put(&["org:a#owner@user:ana"]);
    }
}

#[test]
fn so_many_tuples_are_looked_at_for_a_commit_and_no_more() {
    // Holders whose time is over lie in the way.
    let world = world(&[("one_owner", "org", "keep_one owner")]);
    let holders = (0..CONSTRAINT_TUPLES_MAX)
        .map(|i| WriteChange::Touch(until(9, &format!("org:a#owner@user:u{i}"))));
    for part in holders.collect::<Vec<_>>().chunks(COMMIT_CHANGES_MAX) {
        world.write(part.to_vec()).unwrap();
    }
    world.put(&["org:a#owner@user:last", "org:b#owner@user:last"]);
    let go = || vec![delete("org:a#owner@user:last"), delete("org:b#owner@user:none")];
    // All of them are looked at: the one who is left stands behind them all.
    world.put(&["org:a#owner@user:more"]);
    let (change, error) = refused(&world, go());
    let limit = CONSTRAINT_TUPLES_MAX;
    assert_eq!(
        (change, error),
        (
            0,
            ConstraintError::TooLarge {
                constraint: "one_owner".into(),
                scope: "org:a".into(),
                limit
            }
        )
    );
    world.write(vec![delete("org:a#owner@user:u0"), delete("org:a#owner@user:u1")]).unwrap();
    assert!(world.write(go()).unwrap().revision > Revision(0));
}
