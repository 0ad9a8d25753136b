//! Every model directory of the repository loads without a problem, under the parameters of each of its
//! scenarios, and its scenarios fit it: stored tuples are admitted, refused ones are refused, and a
//! question is unknown exactly where it expects to be. What is answered is not looked at here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bailiwick::model::admission::admit;
use bailiwick::model::form::{ConstraintRule, EdgeDef, Model};
use bailiwick::model::names::{Object, Subject};
use bailiwick::model::scenario::{Expect, Question, Scenario, Scenarios};
use bailiwick::model::tuple::Tuple;
use bailiwick::model::{self, SourceFiles};

fn directories() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inside = |parent: &str| fs::read_dir(root.join(parent)).unwrap();
    let entries = inside("models").chain(inside("tests/models"));
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

/// The parent relation or arrow that the tuple's role is, if it is one.
fn edge<'m>(model: &'m Model, tuple: &Tuple) -> Option<&'m EdgeDef> {
    let at = model.type_def(model.type_id(tuple.key.scope.type_name())?)?;
    at.edge(model.name_id(tuple.key.role.as_str())?)
}

fn target(tuple: &Tuple) -> Option<&Object> {
    match &tuple.key.subject {
        Subject::Object(object) => Some(object),
        Subject::All(_) | Subject::Set(..) => None,
    }
}

/// What the hierarchy has against one more tuple: a second parent, or a way back to its scope.
fn hierarchy_refuses(model: &Model, stored: &[&Tuple], tuple: &Tuple) -> bool {
    let (Some(own), Some(parent)) = (edge(model, tuple), target(tuple)) else { return false };
    let key = &tuple.key;
    let mut siblings = stored.iter().filter(|t| t.key.scope == key.scope && t.key.role == key.role);
    if own.is_parent && !own.many && siblings.any(|t| t.key.subject != key.subject) {
        return true;
    }
    let mut above = vec![parent];
    let mut next = 0;
    while let Some(&object) = above.get(next).filter(|_| own.acyclic) {
        if *object == key.scope {
            return true;
        }
        let edges = stored.iter().filter(|t| t.key.scope == *object);
        let edges = edges.filter(|t| edge(model, t).is_some_and(|edge| edge.acyclic));
        let fresh: Vec<_> =
            edges.filter_map(|t| target(t)).filter(|t| !above.contains(t)).collect();
        above.extend(fresh);
        next += 1;
    }
    false
}

/// Whether the subject has another of the roles there of which it may have one.
fn exclusion_refuses(model: &Model, stored: &[&Tuple], tuple: &Tuple) -> bool {
    let key = &tuple.key;
    let of = |role: &str| model.name_id(role);
    model.constraints.iter().any(|constraint| {
        let ConstraintRule::Exclusive(roles) = &constraint.rule else { return false };
        let counts = |role: &str| of(role).is_some_and(|role| roles.contains(&role));
        let same = |t: &&&Tuple| t.key.scope == key.scope && t.key.subject == key.subject;
        model.type_id(key.scope.type_name()) == Some(constraint.at)
            && counts(key.role.as_str())
            && stored
                .iter()
                .filter(same)
                .any(|t| t.key.role != key.role && counts(t.key.role.as_str()))
    })
}

/// Whether the model knows everything that the question names.
fn is_known(model: &Model, question: &Question) -> bool {
    let is_subject = |text: &str| match Subject::parse(text) {
        Ok(Subject::Object(object)) => model.type_id(object.type_name()).is_some(),
        Ok(Subject::All(name)) => model.type_id(name.as_str()).is_some(),
        Ok(Subject::Set(object, name)) => {
            let at = model.type_id(object.type_name()).and_then(|id| model.type_def(id));
            let name = model.name_id(name.as_str());
            at.zip(name).is_some_and(|(at, name)| at.defs.contains_key(&name))
        }
        Err(_) => false,
    };
    let scope = Object::parse(&question.scope).unwrap();
    is_subject(&question.subject)
        && question.target.as_deref().is_none_or(is_subject)
        && model.permissions.contains_key(question.permission.as_str())
        && model.type_id(scope.type_name()).is_some()
}

/// What is wrong with a scenario, with places.
fn faults(model: &Model, scenario: &Scenario) -> Vec<String> {
    let mut faults = Vec::new();
    let mut stored: Vec<&Tuple> = Vec::new();
    for placed in &scenario.tuples {
        if let Err(error) = admit(model, &placed.value) {
            faults.push(format!("{}: {error}", placed.at));
        }
        if hierarchy_refuses(model, &stored, &placed.value) {
            faults.push(format!("{}: `{}` breaks the hierarchy", placed.at, placed.value.key));
        }
        stored.push(&placed.value);
    }
    for placed in &scenario.refused {
        let tuple = &placed.value;
        let is_refused = admit(model, tuple).is_err()
            || hierarchy_refuses(model, &stored, tuple)
            || exclusion_refuses(model, &stored, tuple);
        if !is_refused {
            faults.push(format!("{}: `{}` is not refused", placed.at, tuple.key));
        }
    }
    for question in &scenario.questions {
        if is_known(model, question) == (question.expect == Expect::Invalid) {
            faults.push(format!("{}: expected {:?}", question.at, question.expect));
        }
    }
    faults
}

fn scenarios(files: &SourceFiles) -> Vec<Scenario> {
    Scenarios::parse(files).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_directory_loads_and_its_scenarios_fit_it() {
    let directories = directories();
    assert!(directories.len() >= 3, "{directories:?}");
    for dir in directories {
        let files = SourceFiles::read_dir(&dir).unwrap();
        model::load(&files, &BTreeMap::new()).unwrap_or_else(|e| panic!("{}\n{e}", dir.display()));
        let scenarios = scenarios(&files);
        assert!(!scenarios.is_empty(), "{} has no scenarios", dir.display());
        for scenario in scenarios {
            let name = format!("{}, {}", dir.display(), scenario.name);
            let loaded = model::load(&files, &scenario.parameters);
            let model = loaded.unwrap_or_else(|problems| panic!("{name}\n{problems}"));
            let asked = scenario.questions.len() + scenario.delegated.len() + scenario.roles.len();
            assert!(asked > 0, "{name} asks nothing");
            assert_eq!(faults(&model, &scenario), Vec::<String>::new(), "{name}");
        }
    }
}

#[test]
fn a_scenario_that_does_not_fit_is_seen() {
    let types = "types: { user: {}, org: { parents: [org] } }";
    let roles = "roles: [{ at: [org], names: [admin], bound_by: [user] }]";
    let permissions = "permissions: { org.edit: { at: [org], is: admin } }";
    let tests = r##"
scenarios:
  - name: unfit
    tuples:
      - org:a#admin@org:b
      - org:a#parent@org:b
      - org:b#parent@org:a
    questions:
      - { expect: invalid, ask: "user:u org.edit org:a" }
      - { expect: deny, ask: "user:u org.edti org:a" }
    refused:
      - org:a#parent@org:c
      - org:c#parent@org:c
      - org:c#admin@user:u
"##;
    let model_text = format!("model: m\n{types}\n{roles}\n{permissions}\n");
    let files: SourceFiles =
        [("model.yaml", model_text.as_str()), ("tests.yaml", tests)].into_iter().collect();
    let model = model::load(&files, &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
    let places: Vec<String> = faults(&model, &scenarios(&files)[0])
        .iter()
        .map(|fault| fault.split(": ").next().unwrap().to_owned())
        .collect();
    let lines = [5, 7, 14, 9, 10].map(|line| format!("tests.yaml:{line}:"));
    assert_eq!(places.len(), lines.len(), "{places:?}");
    for (place, line) in places.iter().zip(lines) {
        assert!(place.starts_with(&line), "{place} is not at {line}");
    }
}
