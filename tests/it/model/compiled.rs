//! What the sugar compiles into: lift, reach, where gates stand, parameters. Each expectation is the
//! whole form as text, see `support`.

use std::collections::BTreeMap;

use bailiwick::cli::run_scenarios;
use bailiwick::model::form::{Cell, SubjectForm};
use bailiwick::model::matrix::render;
use bailiwick::model::{ParameterValue, SourceFiles, load};

use super::support::{files, form_of, forms, model};

fn check(yaml: &str, matrix: &str, expected: &str) {
    assert_eq!(forms(&model(yaml, matrix)), expected.trim(), "{yaml}");
}

/// The example of docs/model.md, with a matrix that uses it.
fn documented() -> SourceFiles {
    let page = include_str!("../../../docs/model.md");
    let fence = |i: usize| page.split("```yaml\n").nth(i).unwrap().split("```").next().unwrap();
    let matrix = "section,permission,label,engineer,site_owner,gate\n\
                  org,org.edit,Edit,yes,no,\n\
                  org,org.edit_child,Edit below,1,,module:stations/x\n\
                  org,org.audit,Audit,,,\n\
                  site,users.create,Create,x,yes,not_blocked & verified\n";
    let delegation = page.split("```csv\n").nth(1).unwrap().split("```").next().unwrap();
    [
        ("model.yaml", fence(1)),
        ("permissions.csv", matrix),
        ("delegation.csv", delegation),
        ("tests.yaml", fence(2)),
    ]
    .into_iter()
    .collect()
}

#[test]
fn the_documented_scenario_holds() {
    let report = run_scenarios(&documented()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(report.failures, []);
    assert_eq!(report.passed, 6);
}

#[test]
fn the_documented_example_loads() {
    let model = load(&documented(), &BTreeMap::new()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(model.name, "example");
    assert_eq!(form_of(&model, "org", "staff"), "any(ref admin, ref engineer)");
    assert_eq!(
        form_of(&model, "doc", "doc.view"),
        "except(any(ref viewer, ref editor), ref blocked)"
    );
    assert_eq!(form_of(&model, "org", "org.define_role"), "no");
    assert_eq!(
        form_of(&model, "org", "org.edit_child"),
        "all(up parent org.edit_child/above-0, except(yes, standing feature:blocked))"
    );
    let permissions: Vec<&str> = model.permissions.keys().map(|name| name.as_str()).collect();
    let expected =
        ["doc.view", "org.audit", "org.define_role", "org.edit", "org.edit_child", "users.create"];
    assert_eq!(permissions, expected);
    let create = &model.permissions["users.create"];
    let at: Vec<&str> = create.at.iter().map(|id| model.type_name(*id)).collect();
    assert_eq!((create.section.as_str(), at), ("site", vec!["org", "site"]));
}

#[test]
fn roles_pass_down_as_far_as_pairs_let_them() {
    check(
        "model: m
types:
  user: {}
  org: { parents: { org: { roles_pass: false } } }
  site: { parents: [org] }
  desk: { parents: { site: {}, org: { relation: home, many: true } } }
roles: [ { at: [org], names: [admin] }, { at: [desk], names: [admin] } ]
",
        "",
        "desk admin role: any(here admin, up parent admin, up home admin)
org admin role: here admin
site admin role: up parent admin",
    );
}

#[test]
fn a_relation_to_passing_and_other_types_asks_a_name_of_the_passing_ones_alone() {
    check(
        "model: m
types:
  user: {}
  org: {}
  club: {}
  site: { parents: { org: {}, club: { roles_pass: false } } }
roles: [ { at: [org, club], names: [admin] } ]
matrices: [ { name: m, file: m.csv, at: [site], columns: { a: admin@org, c: admin@club } } ]
",
        "permission,a,c\nview,1,1\n",
        "club admin role: here admin
org admin role: here admin
org admin/passing helper: ref admin
org view/above helper: here admin
org view/above/passing helper: ref view/above
site admin role: up parent admin/passing
site view permission: up parent view/above/passing",
    );
}

#[test]
fn another_meaning_of_the_role_at_a_parent_type_is_not_held_below() {
    let model = model(
        "model: m
types: { user: {}, org: {}, club: {}, site: { parents: [org, club] } }
roles: [ { at: [org], names: [admin] } ]
names: { admin: { at: [club], is: self } }
",
        "",
    );
    assert_eq!(form_of(&model, "site", "admin"), "up parent admin/passing");
}

#[test]
fn the_gate_of_a_role_stands_where_it_is_bound_and_counts_at_every_use() {
    check(
        "model: m
types: { user: {}, org: {}, site: { parents: [org] } }
facts: { org: { flags: [paid] }, user: { flags: [known] } }
roles:
  - { at: [org], names: [admin, helper], gate: fact(paid), gates: { helper: known } }
  - { at: [site], names: [admin] }
gates: { known: standing(known) }
names: { now: { at: [org, site, user], is: here(admin) } }
matrices: [ { name: m, file: m.csv, at: [site], bound: org } ]
",
        "permission,admin,helper\nview,1,1\n",
        "org admin role: all(here admin, fact feature:paid)
org admin/here helper: all(here admin, fact feature:paid)
org helper role: all(here helper, fact feature:paid, standing feature:known)
org helper/here helper: all(here helper, fact feature:paid, standing feature:known)
org now name: ref admin/here
org view/above helper: any(all(here admin, fact feature:paid), all(here helper, fact feature:paid, standing feature:known))
site admin role: any(here admin, up parent admin)
site helper role: up parent helper
site now name: here admin
site view permission: up parent view/above
user now name: no",
    );
}

#[test]
fn gates_of_a_matrix_stand_inside_the_lift_and_asked_ones_outside() {
    check(
        "model: m
types: { user: {}, org: {}, site: { parents: [org] } }
facts: { org: { flags: [paid], sets: [module] } }
roles: [ { at: [org], names: [admin, engineer] }, { at: [site], names: [owner] } ]
gates: { mine: 'self or anywhere(org, admin)' }
matrices:
  - { name: m, file: m.csv, at: [org, site], bound: org, columns: { o: owner@site }, gate: fact(paid) }
asked: [ { rows: 'site.*', gate: mine }, { rows: [site.edit], gate: fact(paid) } ]
",
        "permission,admin,engineer,o,gate\nsite.edit,1,1,1,module:a & module:b\n",
        "org admin role: here admin
org engineer role: here engineer
org site.edit permission: all(any(here admin, here engineer), fact feature:paid, fact feature:module:a, fact feature:module:b, any(self, anywhere org admin), fact feature:paid)
org site.edit/above helper: all(any(here admin, here engineer), fact feature:paid, fact feature:module:a, fact feature:module:b)
site admin role: up parent admin
site engineer role: up parent engineer
site owner role: here owner
site site.edit permission: all(any(all(here owner, fact feature:paid, fact feature:module:a, fact feature:module:b), up parent site.edit/above), any(self, anywhere org admin), fact feature:paid)",
    );
}

#[test]
fn cells_with_the_same_gate_are_one_set() {
    let model = model(
        "model: m
types: { user: {}, org: {} }
facts: { org: { flags: [x, y] } }
roles: [ { at: [org], names: [a, b, c, d] } ]
matrices: [ { name: m, file: m.csv, at: [org], bound: org } ]
",
        "permission,role,gate\nview,a,x\nview,b,\nview,c,x\nview,d,y\n",
    );
    assert_eq!(
        form_of(&model, "org", "view"),
        "any(all(any(here a, here c), fact feature:x), here b, all(here d, fact feature:y))"
    );
}

#[test]
fn reach_replaces_the_pairs_default() {
    let yaml = "model: m
types:
  user: {}
  top: {}
  org: { parents: { org: { roles_pass: false, many: true }, top: { relation: top } } }
roles: [ { at: [org, top], names: [admin] } ]
matrices:
  - name: m
    file: m.csv
    at: [org]
    columns: { o: admin@org, t: admin@top }
    rows:
      'x.*': { reach: both }
      x.self: { reach: self }
      x.parents: { reach: parents }
      x.near: { reach: parents, levels: 1 }
      x.two: { levels: 2 }
      x.any: { reach: anywhere }
";
    let names = ["plain", "x.self", "x.parents", "x.near", "x.two", "x.both", "x.any"];
    let rows: String = names.iter().map(|name| format!("{name},1,1\n")).collect();
    check(
        yaml,
        &format!("permission,o,t\n{rows}"),
        "org admin role: any(here admin, up top admin)
org plain permission: any(here admin, up top plain/above)
org x.any permission: any(anywhere top x.any/bound, anywhere org x.any/bound)
org x.any/bound helper: here admin
org x.both permission: any(here admin, up parent x.both/above, up top x.both/above)
org x.both/above helper: any(here admin, up parent x.both/above, up top x.both/above)
org x.near permission: any(up parent x.near/above-0, up top x.near/above-0)
org x.near/above-0 helper: here admin
org x.parents permission: any(up parent x.parents/above, up top x.parents/above)
org x.parents/above helper: any(here admin, up parent x.parents/above, up top x.parents/above)
org x.self permission: here admin
org x.two permission: any(here admin, up parent x.two/above-1, up top x.two/above-1)
org x.two/above-0 helper: here admin
org x.two/above-1 helper: any(here admin, up parent x.two/above-0, up top x.two/above-0)
top admin role: here admin
top plain/above helper: here admin
top x.any/bound helper: here admin
top x.both/above helper: here admin
top x.near/above-0 helper: here admin
top x.parents/above helper: here admin
top x.two/above-0 helper: here admin
top x.two/above-1 helper: here admin",
    );
}

#[test]
fn a_matrix_counts_where_it_may_be_asked_and_one_without_types_wherever_others_say() {
    let model = model(
        "model: m
types: { user: {}, org: {}, site: { parents: [org] } }
roles: [ { at: [org], names: [a, b, c] } ]
matrices:
  - { name: one, file: m.csv, at: [org, site], columns: { a: a@org } }
  - { name: two, file: m.csv, at: [org], columns: { b: b@org } }
  - { name: three, file: m.csv, columns: { c: c@org } }
",
        "permission,a,b,c\nview,1,1,1\n",
    );
    assert_eq!(form_of(&model, "org", "view"), "any(here a, here b, here c)");
    assert_eq!(form_of(&model, "site", "view"), "any(up parent view/above, up parent view/above)");
}

#[test]
fn whole_columns_have_every_row_under_its_gate_and_come_first() {
    let model = model(
        "model: m
types: { user: {}, org: {} }
facts: { org: { sets: [module] } }
parameters: { on: true, off: false }
roles: [ { at: [org], names: [admin, boss, user], gates: { boss: self } } ]
matrices:
  - name: m
    file: m.csv
    at: [org]
    bound: org
    gate: fact(module:base)
    whole_matrix: [boss, admin]
    cells: { c: { admin: false, user: off }, b: { user: on } }
",
        "permission,user,gate\na,1,module:x or module:y\nb,off,\nc,yes,\nd,-,\n",
    );
    let matrix = &model.matrices[0];
    let labels: Vec<&str> = matrix.columns.iter().map(|column| column.label.as_str()).collect();
    assert_eq!(labels, ["boss", "admin", "user"]);
    assert_eq!(
        render(&model, matrix),
        "permission,boss,admin,user
a,if fact(module:base) and (module:x or module:y) and self,if fact(module:base) and (module:x or module:y),if fact(module:base) and (module:x or module:y)
b,if fact(module:base) and self,if fact(module:base),if fact(module:base)
c,if fact(module:base) and self,no,no
d,if fact(module:base) and self,if fact(module:base),no
"
    );
    let given = matrix.rows.iter().flat_map(|row| &row.cells).filter(|cell| **cell != Cell::No);
    assert_eq!(given.count(), 9);
    assert_eq!(
        form_of(&model, "org", "d"),
        "all(any(all(here boss, self), here admin), fact feature:module:base)"
    );
}

const PARAMETERS: &str = "model: m
types: { user: {}, org: {} }
parameters: { strict: false, rows: [b] }
roles: [ { at: [org], names: [admin] } ]
matrices: [ { name: m, file: m.csv, at: [org], bound: org, gate: yes except parameter(strict) } ]
asked: [ { rows: { parameter: rows }, gate: self } ]
names: { of_a: { at: [org], is: 'parameter(rows:a)' }, of_b: { at: [org], is: 'parameter(rows:b)' } }
";

#[test]
fn parameters_are_constants_that_may_be_set_from_outside() {
    let files = files(PARAMETERS, "permission,admin\na,1\nb,strict\n");
    let plain = load(&files, &BTreeMap::new()).unwrap();
    assert_eq!(form_of(&plain, "org", "a"), "here admin");
    assert_eq!(form_of(&plain, "org", "b"), "no");
    assert!(plain.matrices[0].rows[0].cells.iter().eq([&Cell::Yes]));
    let rows = ParameterValue::Patterns(vec!["a".to_owned()]);
    let set = load(&files, &BTreeMap::from([("rows".to_owned(), rows)])).unwrap();
    assert_eq!(form_of(&set, "org", "a"), "all(here admin, self)");
    for (model, of_a, of_b) in [(&plain, "no", "yes"), (&set, "yes", "no")] {
        assert_eq!([form_of(model, "org", "of_a"), form_of(model, "org", "of_b")], [of_a, of_b]);
    }
    let every = ParameterValue::Patterns(vec!["*".to_owned()]);
    let every = load(&files, &BTreeMap::from([("rows".to_owned(), every)])).unwrap();
    assert_eq!(form_of(&every, "org", "of_a"), "yes");
    // A slip in the list is told once, though no row's gate uses it.
    let unused = PARAMETERS.replace("asked: [ { rows: { parameter: rows }, gate: self } ]\n", "");
    let slip = ParameterValue::Patterns(vec!["a".to_owned(), "c*".to_owned()]);
    let slip = BTreeMap::from([("rows".to_owned(), slip)]);
    let unused = super::support::files(&unused, "permission,admin\na,1\nb,strict\n");
    assert_eq!(
        load(&unused, &slip).unwrap_err().to_string(),
        "model.yaml:6:44: `c*` matches no row"
    );
    let strict = BTreeMap::from([("strict".to_owned(), ParameterValue::Bool(true))]);
    let strict = load(&files, &strict).unwrap();
    assert_eq!(form_of(&strict, "org", "a"), "no");
    assert!(strict.matrices[0].rows[0].cells.iter().eq([&Cell::No]));
    let wrong = BTreeMap::from([
        ("strikt".to_owned(), ParameterValue::Bool(true)),
        ("rows".to_owned(), ParameterValue::Bool(true)),
    ]);
    assert_eq!(
        load(&files, &wrong).unwrap_err().to_string(),
        "parameters:1:1: `rows`: expected a list of patterns
parameters:1:1: `strikt` is no parameter of this model; did you mean `strict`?"
    );
}

#[test]
fn the_digest_names_what_the_model_says() {
    let csv = "permission,admin\na,1\nb,strict\n";
    let digest = |files: &SourceFiles, overrides| load(files, &overrides).unwrap().digest;
    let none = BTreeMap::new;
    let mut given = files(PARAMETERS, csv);
    let first = digest(&given, none());
    assert!(first.len() == 64 && first.chars().all(|c| c.is_ascii_hexdigit()), "{first}");
    given.insert("tests.yaml", "scenarios: []\n");
    given.insert("unused.csv", "x");
    assert_eq!(digest(&given, none()), first);
    given.insert("m.csv", format!("{csv}c,1\n"));
    assert_ne!(digest(&given, none()), first);
    let strict = BTreeMap::from([("strict".to_owned(), ParameterValue::Bool(true))]);
    assert_ne!(digest(&files(PARAMETERS, csv), strict), first);
    assert_ne!(digest(&files(&PARAMETERS.replace("model: m", "model: n"), csv), none()), first);
}

#[test]
fn expressions_mean_what_the_grammar_says() {
    let model = model(
        "model: m
types: { user: {}, org: { parents: [org], relations: { partner: [org] } } }
facts: { org: { flags: [x], one_of: { p: [a, b] } }, user: { flags: [y] } }
conditions: { c: { parameters: { n: int }, when: n > 1 } }
roles: [ { at: [org], names: [r, s, t] } ]
gates: { g: 'r or s', h: g & t }
names:
  precedence: { at: [org], is: 'r or s and t except t or s and r' }
  nested: { at: [org], is: 'r except (s except t)' }
  gate: { at: [org], is: 'h or self' }
  calls: { at: [org], is: 'up(partner, r) & up_all(parent, s) and here(t) and fact(p:a) & fact(x)' }
  more: { at: [org], is: 'standing( y ) or condition(c) or anywhere(org,r)' }
  constant: { at: [org], is: 'r and yes or no' }
",
        "",
    );
    for (name, form) in [
        ("precedence", "except(any(ref r, all(ref s, ref t)), any(ref t, all(ref s, ref r)))"),
        ("nested", "except(ref r, except(ref s, ref t))"),
        ("gate", "any(all(any(ref r, ref s), ref t), self)"),
        ("calls", "all(up partner r, up_all parent s, here t, fact feature:p:a, fact feature:x)"),
        ("more", "any(standing feature:y, condition c, anywhere org r)"),
        ("constant", "ref r"),
    ] {
        assert_eq!(form_of(&model, "org", name), form);
    }
}

#[test]
fn who_may_hold_a_role() {
    let model = model(
        "model: m
types: { user: {}, org: {}, group: {} }
roles:
  - { at: [org], names: [any] }
  - { at: [org], names: [some], bound_by: [user, 'user:*', 'group#member', 'org#staff'] }
  - { at: [group], names: [member], bound_by: [] }
names: { staff: { at: [org], is: any } }
",
        "",
    );
    let of = |at: &str, role: &str| {
        let def = model.type_def(model.type_id(at).unwrap()).unwrap();
        def.role(model.name_id(role).unwrap()).unwrap().bound_by.clone()
    };
    let id = |name: &str| model.type_id(name).unwrap();
    let objects = ["user", "org", "group"].map(|name| SubjectForm::Object(id(name)));
    assert_eq!(of("org", "any"), objects);
    assert_eq!(
        of("org", "some"),
        [
            SubjectForm::Object(id("user")),
            SubjectForm::All(id("user")),
            SubjectForm::Set(id("group"), model.name_id("member").unwrap()),
            SubjectForm::Set(id("org"), model.name_id("staff").unwrap()),
        ]
    );
    assert_eq!(of("group", "member"), []);
}

#[test]
fn helpers_cannot_be_named() {
    let model = load(&documented(), &BTreeMap::new()).unwrap();
    assert!(forms(&model).contains("org.edit_child/above-0"));
    assert_eq!(model.name_id("org.edit_child/above-0"), None);
    assert_eq!(model.name_id("has"), Some(bailiwick::model::form::HAS));
    assert_eq!(model.type_id("feature"), Some(bailiwick::model::form::FEATURE));
}

#[test]
fn within_asks_each_role_held_at_the_type_and_of_target_whatever_it_is_given() {
    check(
        "model: m
types: { user: {}, org: {}, site: { parents: [org] }, desk: { parents: { site: { roles_pass: false } } } }
roles: [ { at: [org], names: [admin] }, { at: [site], names: [owner], gate: 'of(target, no)' } ]
names: { peer: { at: [site, desk], is: within(target) }, about: { at: [desk], is: 'of(target, of(target, yes))' } }
",
        "",
        "desk about name: of target of target yes
desk peer name: ref within
org admin role: here admin
site admin role: up parent admin
site owner role: all(here owner, of target no)
site owner/here helper: all(here owner, of target no)
site peer name: ref within
site within helper: all(any(of target ref admin, of target ref owner), any(ref admin, except(yes, of target ref admin)), any(ref owner, except(yes, of target ref owner)))",
    );
}

#[test]
fn as_stands_at_the_scope_and_a_constant_is_one_for_each() {
    check(
        "model: m
types: { user: {}, org: { relations: { kin: [user] } }, site: { parents: [org] } }
roles: [ { at: [org], names: [admin], gate: self }, { at: [site], names: [owner] } ]
gates: { own: 'as(kin, here(owner) or here(admin))' }
names: { a: { at: [org, site], is: own }, b: { at: [org], is: 'as(kin, parameter(p)) or as(kin, as(kin, no))' } }
parameters: { p: false }
",
        "",
        "org a name: as kin ref admin/here
org admin role: all(here admin, self)
org admin/here helper: all(here admin, self)
org b name: no
site a name: as kin here owner
site admin role: up parent admin
site owner role: here owner",
    );
}
