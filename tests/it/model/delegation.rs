//! Delegation and constraints in the model language: what is refused with which words, and the bounds.

use std::collections::BTreeMap;

use bailiwick::model::form::ConstraintRule;
use bailiwick::model::limits::{
    CONSTRAINT_HOLDERS_MAX, CONSTRAINTS_MAX, DELEGATED_VERBS_MAX, DELEGATION_LINES_MAX,
};
use bailiwick::model::load;

use super::support::{files, model, problems};

const BASE: &str = "model: m
types: { user: {}, org: {}, site: { parents: [org] }, car: { parents: [org] } }
facts: { org: { flags: [paid] } }
roles:
  - { at: [org], names: [admin, clerk] }
  - { at: [site, car], names: [owner] }
  - { at: [site], names: [guest] }
";

const HEADER: &str = "scope,actor_role,verb,target_role,allowed,gate\n";

#[track_caller]
fn assert_problems(yaml: &str, table: &str, expected: &str) {
    assert_eq!(problems(&format!("{BASE}{yaml}"), table), expected, "{yaml}\n{table}");
}

/// With the verbs `invite` and `remove`.
#[track_caller]
fn assert_table(lines: &str, expected: &str) {
    let yaml = "delegation: { file: m.csv, verbs: { invite: { op: grant }, remove: {} } }\n";
    assert_problems(yaml, &format!("{HEADER}{lines}"), expected);
}

#[test]
fn a_line_of_the_table_is_refused_with_its_place_and_the_nearest_name() {
    assert_table("org,admin,invite,clerk,1,\n", "no problem");
    assert_table(
        "org,admin,invit,clerk,1,\n",
        "m.csv:2:11: `invit` is no verb of `delegation`; did you mean `invite`?",
    );
    assert_table("ogr,admin,invite,clerk,1,\n", "m.csv:2:1: `ogr` is no type; did you mean `org`?");
    assert_table(
        "org,amin,invite,clerk,1,\n",
        "m.csv:2:5: `amin` is no role bound on `org`; did you mean `admin`?",
    );
    assert_table("org,guest,invite,clerk,1,\n", "m.csv:2:5: `guest` is no role bound on `org`");
    assert_table(
        "org,admin,invite,clrk,1,\n",
        "m.csv:2:18: `clrk` is no role; did you mean `clerk`?",
    );
    assert_table("org,admin,invite,guest,1,\n", "no problem");
    assert_table(
        "org,admin,invite,owner,1,\n",
        "m.csv:2:18: `owner` is bound on several types: write `owner@TYPE` with one of site, car",
    );
    assert_table("org,admin,invite,owner@car,1,\n", "no problem");
    assert_table(
        "org,admin,invite,owner@cra,1,\n",
        "m.csv:2:24: `cra` is no type; did you mean `car`?",
    );
    assert_table(
        "org,admin,invite,guest@car,1,\n",
        "m.csv:2:18: `guest` is no role bound on `car`",
    );
    assert_table(
        ",admin,invite,clerk,1,\n",
        "m.csv:2:2: `admin` needs a scope on its line, or its type: `admin@TYPE`",
    );
    assert_table(",admin@org,invite,clerk,1,\n", "no problem");
    assert_table(
        "org,admin,invite,clerk,maybe,\n",
        "m.csv:2:24: `maybe` is no cell: expected yes, 1, x, no, 0, -, nothing or a boolean parameter",
    );
    assert_table(
        "org,admin,invite,clerk,0,piad\n",
        "m.csv:2:26: `piad` is no gate, role, permission or computed name; did you mean `paid`?",
    );
    assert_table(
        "org,admin,invite,clerk,1,\n,admin@org,invite,clerk@org,0,\n",
        "m.csv:3:2: `admin@org`, `invite`, `clerk@org` is said already, on line 2",
    );
    assert_table("org,admin,invite\n", "m.csv:2:1: expected 6 fields as in the header, found 3");
    // All of a line at once.
    assert_table(
        "org,amin,invit,clrk,1,\n",
        "m.csv:2:5: `amin` is no role bound on `org`; did you mean `admin`?\n\
         m.csv:2:10: `invit` is no verb of `delegation`; did you mean `invite`?\n\
         m.csv:2:16: `clrk` is no role; did you mean `clerk`?",
    );
}

#[test]
fn a_table_of_another_shape_is_refused() {
    let yaml = "delegation: { file: m.csv, verbs: { invite: {} } }\n";
    assert_problems(
        yaml,
        "",
        "m.csv:1:1: the delegation table is empty: a header row was expected",
    );
    assert_problems(
        yaml,
        "actor_role,verb,target,allowed,verb\n",
        "m.csv:1:1: the header has no column `target_role`\n\
         m.csv:1:17: `target` is no column of a delegation table\n\
         m.csv:1:32: the column `verb` is there twice",
    );
    let other = yaml.replace("m.csv", "n.csv");
    assert_problems(
        &other,
        HEADER,
        "model.yaml:8:21: there is no file `n.csv`; did you mean `m.csv`?",
    );
}

#[test]
fn a_verb_is_refused_with_its_place() {
    let with = |verbs: &str, expected: &str| {
        let yaml = format!("delegation:\n  file: m.csv\n  verbs:\n    {verbs}\n");
        assert_problems(&yaml, &format!("{HEADER}org,admin,invite,clerk,1,\n"), expected);
    };
    with("invite: {}", "no problem");
    with(
        "invite: { op: give }",
        "model.yaml:11:19: `give` is no op: expected grant, revoke or replace",
    );
    with(
        "invite: { op: grant }\n    add: { op: grant }",
        "model.yaml:12:16: `grant` is the op of the verb `invite` already",
    );
    with(
        "invite: { gate: piad }",
        "model.yaml:11:21: `piad` is no gate, role, permission or computed name",
    );
    with(
        "invite: { roles: { admin: 'yes' } }",
        "model.yaml:11:24: `admin` is no target's role of the verb `invite`",
    );
    with("invite: { roles: { clerk@org: 'yes', clerk: 'no' } }", "no problem");
    with(
        "invite: { roles: { clerk@site: 'yes' } }",
        "model.yaml:11:24: `clerk@site` is no target's role of the verb `invite`",
    );
    with(
        "invite: {}\n    self: {}",
        "model.yaml:12:5: `self` is a word of the language and cannot be a name",
    );
}

#[test]
fn a_constraint_is_refused_with_its_place() {
    let with = |constraint: &str, expected: &str| {
        assert_problems(&format!("constraints:\n  - {{ {constraint} }}\n"), "", expected);
    };
    with("name: c, at: [org, site], one_role: true", "no problem");
    with("name: c, at: [org], exclusive: [admin, clerk]", "no problem");
    with("name: c, at: [user], one_role: true", "model.yaml:9:13: no role is bound on `user`");
    with(
        "name: c, at: [org, site], exclusive: [admin, clerk]",
        "model.yaml:9:45: `admin` is no role bound on `site`\n\
         model.yaml:9:52: `clerk` is no role bound on `site`",
    );
    with(
        "name: c, at: [org], exclusive: [admin]",
        "model.yaml:9:38: `exclusive` needs two roles or more",
    );
    with(
        "name: c, at: [org], exclusive: [admin, admin]",
        "model.yaml:9:46: `admin` is named twice",
    );
    with(
        "name: c, at: [org], role: amin, keep_one: true",
        "model.yaml:9:33: `amin` is no role bound on `org`; did you mean `admin`?",
    );
    with(
        "name: c, at: [org], keep_one: true",
        "model.yaml:9:5: a constraint with `keep_one` needs the key `role`",
    );
    with(
        "name: c, at: [org], one_role: false",
        "model.yaml:9:37: expected `true`, found `false`: leave `one_role` out instead",
    );
    with(
        "name: c, at: [org], one_role: true, role: admin",
        "model.yaml:9:49: `role` says nothing beside `one_role`",
    );
    let rules = "expected one of `one_role`, `exclusive`, `at_most`, `keep_one`";
    with("name: c, at: [org]", &format!("model.yaml:9:5: a constraint: {rules}, found none"));
    with(
        "name: c, at: [org], one_role: true, keep_one: true",
        &format!("model.yaml:9:5: a constraint: {rules}, found one_role and keep_one"),
    );
    with(
        "name: c, at: [org], one_role: true }\n  - { name: c, at: [site], one_role: true",
        "model.yaml:10:13: the constraint `c` is there twice",
    );
}

#[test]
fn constraints_are_compiled_at_each_of_their_types() {
    let yaml = format!(
        "{BASE}constraints:
  - {{ name: one, at: [site, org], one_role: true }}
  - {{ name: few, at: [car], role: owner, at_most: 3 }}
  - {{ name: keep, at: [org], role: admin, keep_one: true }}\n"
    );
    let model = model(&yaml, "");
    let shown = model.constraints.iter().map(|constraint| {
        let name = |id: &_| model.name_of(*id);
        let rule = match &constraint.rule {
            ConstraintRule::Exclusive(roles) => {
                roles.iter().map(name).collect::<Vec<_>>().join("|")
            }
            ConstraintRule::AtMost { role, count } => format!("{} <= {count}", name(role)),
            ConstraintRule::KeepOne { role } => format!("keep {}", name(role)),
        };
        format!("{}@{}: {rule}", constraint.name, model.type_name(constraint.at))
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            "one@site: owner|guest",
            "one@org: admin|clerk",
            "few@car: owner <= 3",
            "keep@org: keep admin"
        ]
    );
}

#[test]
fn delegation_and_constraints_are_bounded() {
    let constraints = |count: usize| {
        let lines =
            (0..count).map(|i| format!("  - {{ name: c{i}, at: [org], one_role: true }}\n"));
        problems(&format!("{BASE}constraints:\n{}", lines.collect::<String>()), "")
    };
    assert_eq!(constraints(CONSTRAINTS_MAX), "no problem");
    let words = format!("a model has at most {CONSTRAINTS_MAX} constraints");
    assert!(constraints(CONSTRAINTS_MAX + 1).contains(&words));

    let holders = |count: u32| {
        let line =
            format!("constraints: [ {{ name: c, at: [org], role: admin, at_most: {count} }} ]");
        problems(&format!("{BASE}{line}\n"), "")
    };
    assert_eq!(holders(CONSTRAINT_HOLDERS_MAX), "no problem");
    let words = format!("expected 1 to {CONSTRAINT_HOLDERS_MAX}");
    assert!(holders(CONSTRAINT_HOLDERS_MAX + 1).contains(&words) && holders(0).contains(&words));

    let verbs = |count: usize| {
        let verbs = (0..count).map(|i| format!("    v{i}: {{}}\n")).collect::<String>();
        let yaml = format!("{BASE}delegation:\n  file: m.csv\n  verbs:\n{verbs}");
        problems(&yaml, HEADER)
    };
    assert_eq!(verbs(DELEGATED_VERBS_MAX), "no problem");
    let words = format!("a model has at most {DELEGATED_VERBS_MAX} verbs of delegation");
    assert!(verbs(DELEGATED_VERBS_MAX + 1).contains(&words));

    // Each line a role of its own: a table of this size is compiled, not only read.
    let lines = |count: usize| {
        let side = 256;
        let roles = (0..side).map(|i| format!("r{i}")).collect::<Vec<_>>().join(", ");
        let yaml = format!(
            "model: m\ntypes: {{ user: {{}}, org: {{}} }}\nroles: [ {{ at: [org], names: [{roles}] }} ]\n\
             delegation: {{ file: m.csv, verbs: {{ v: {{}}, w: {{}} }} }}\n"
        );
        let line = |i: usize| {
            let verb = if i < side * side { "v" } else { "w" };
            format!("org,r{},{verb},r{},1,\n", i % side, i / side % side)
        };
        problems(&yaml, &format!("{HEADER}{}", (0..count).map(line).collect::<String>()))
    };
    assert_eq!(lines(DELEGATION_LINES_MAX), "no problem");
    let words = format!("a delegation table has at most {DELEGATION_LINES_MAX} lines");
    assert!(lines(DELEGATION_LINES_MAX + 1).contains(&words));
}

#[test]
fn a_model_without_them_has_none() {
    let model = load(&files(BASE, ""), &BTreeMap::new()).unwrap();
    assert!(model.delegation.verbs.is_empty() && model.constraints.is_empty());
}
