//! Lists against the oracle: ListSubjects names just those subjects of a type, among all that the
//! tuples know, for whom the oracle's value is yes; no candidate is left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use bailiwick::engine::{
    CheckedContext, EngineError, ListQuestion, Plan, SubjectList, with_contextual,
};
use bailiwick::index::Snapshot;
use bailiwick::model::names::{Name, Object, Subject};
use bailiwick::model::tuple::{Change, Tuple};

use super::eval::{Oracle, merged};
use super::values::Value;
use super::worlds::{NOW, World};

const WORLDS: u64 = 80;
const LISTS_OF_A_WORLD: usize = 8;

/// Every object of the type that a tuple names, and all of the type.
fn subjects(tuples: &[Tuple], type_name: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::from([format!("{type_name}:*")]);
    let mut add = |object: &Object| {
        if object.type_name() == type_name {
            named.insert(object.to_string());
        }
    };
    for tuple in tuples {
        add(&tuple.key.scope);
        match &tuple.key.subject {
            Subject::Object(object) | Subject::Set(object, _) => add(object),
            Subject::All(_) => {}
        }
    }
    named
}

#[test]
fn lists_name_just_those_whom_the_oracle_allows() {
    let seed = fastrand::u64(..u64::MAX / 2);
    println!("seed {seed}");
    let (mut lists, mut entries, mut everyone, mut open) = (0, 0, 0, 0);
    for at in 0..10 * WORLDS {
        // Some runs of worlds have few of a kind: go on until there are enough of each.
        if at >= WORLDS && entries > 300 && everyone > 20 && open > 5 {
            break;
        }
        let world = World::generate(seed + at);
        let mut snapshot = Snapshot::empty(Arc::clone(&world.model));
        for tuple in &world.tuples {
            snapshot.apply(&Change::Put(tuple.clone())).unwrap();
        }
        let plan = Arc::new(Plan::new(&world.model));
        let types: Vec<&Name> =
            world.model.types.iter().skip(1).filter_map(|def| def.name.as_ref()).collect();
        for question in world.questions.iter().step_by(world.questions.len() / LISTS_OF_A_WORLD) {
            let permission = world.model.name_of(question.permission);
            let snapshot = with_contextual(&snapshot, &question.contextual, NOW).unwrap();
            let tuples = merged(&world.tuples, &question.contextual, None);
            for type_name in &types {
                let context = CheckedContext::new(question.context.clone()).unwrap();
                let scope = question.scope.as_str();
                let asked = ListQuestion::parse(
                    &world.model,
                    permission,
                    scope,
                    type_name.as_str(),
                    context,
                );
                let list =
                    SubjectList::new(snapshot.clone(), Arc::clone(&plan), asked.unwrap(), NOW);
                let listed: Result<Vec<String>, _> = list.filter_map(Result::transpose).collect();
                let value = |subject: &str| {
                    let u = Subject::parse(subject).unwrap();
                    let context = &question.context;
                    let mut oracle = Oracle::new(&world.model, &tuples, &u, context, NOW, None);
                    oracle.decide(question.permission, &question.scope).value
                };
                // Whom no tuple names may, but not all: there is no complete list, and it says so.
                let endless = value(&format!("{type_name}:nobody-knows")) == Value::Yes
                    && value(&format!("{type_name}:*")) != Value::Yes;
                let of = || EngineError::OpenList { subject_type: type_name.to_string() };
                assert_eq!(listed.as_ref().err(), endless.then(of).as_ref(), "seed {}", seed + at);
                let Ok(listed) = listed else {
                    open += 1;
                    continue;
                };
                let mut known = subjects(&tuples, type_name.as_str());
                if question.scope.type_name() == type_name.as_str() {
                    known.insert(scope.to_owned());
                }
                let expected: Vec<String> =
                    known.into_iter().filter(|subject| value(subject) == Value::Yes).collect();
                assert_eq!(listed, expected, "seed {}: {permission} at {scope}", seed + at);
                lists += 1;
                entries += listed.len();
                everyone += usize::from(listed.first().is_some_and(|first| first.ends_with(":*")));
            }
        }
    }
    println!("{lists} lists, {entries} entries, {everyone} of everyone, {open} without an end");
    assert!(
        entries > 300 && everyone > 20 && open > 5,
        "{entries} entries, {everyone} of everyone, {open} open"
    );
}
