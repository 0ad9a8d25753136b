//! Faulty models and the exact words they are refused with: place, value, what was expected, the
//! nearest known name. One case is one kind of author's slip; every problem of it is listed.

use super::faults_in_matrices::FAULTS_IN_MATRICES;
use super::support::problems;

/// Six lines that most cases add to.
pub(super) const BASE: &str = r#"model: m
types: { user: {}, org: {}, site: { parents: [org] } }
facts: { org: { flags: [verified], sets: [module], one_of: { product: [pro, go] } } }
roles:
  - { at: [org], names: [admin, engineer] }
  - { at: [site], names: [owner] }
"#;

/// The matrix of the cases that are not about it.
pub(super) const MATRIX: &str = r#"permission,admin,engineer,gate
org.view,yes,yes,
org.edit,yes,no,verified
"#;

#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) what: &'static str,
    /// Whether `yaml` follows [`BASE`]: its first line is line 7 then.
    pub(super) base: bool,
    pub(super) yaml: &'static str,
    pub(super) matrix: &'static str,
    pub(super) problems: &'static str,
}

/// Every case as a model directory would have it: what it is, `model.yaml`, `m.csv`, the problems.
pub(crate) fn directories()
-> impl Iterator<Item = (&'static str, String, &'static str, &'static str)> {
    let all = [FAULTS_IN_SHAPE, FAULTS_IN_DECLARATIONS, FAULTS_IN_EXPRESSIONS, FAULTS_IN_MATRICES];
    all.concat().into_iter().map(|case| (case.what, text_of(&case), case.matrix, case.problems))
}

fn text_of(case: &Case) -> String {
    if case.base { format!("{BASE}{}", case.yaml) } else { case.yaml.to_owned() }
}

fn check(cases: &[Case]) {
    for case in cases {
        let yaml = text_of(case);
        let found = problems(&yaml, case.matrix);
        assert_eq!(found, case.problems, "\n== {} ==\n{yaml}", case.what);
    }
}

#[test]
fn faults_in_shape() {
    check(FAULTS_IN_SHAPE);
}

#[test]
fn faults_in_declarations() {
    check(FAULTS_IN_DECLARATIONS);
}

#[test]
fn faults_in_expressions() {
    check(FAULTS_IN_EXPRESSIONS);
}

#[test]
fn faults_in_matrices() {
    check(FAULTS_IN_MATRICES);
}

const FAULTS_IN_SHAPE: &[Case] = &[
    Case {
        what: "no types",
        base: false,
        yaml: "model: m\n",
        matrix: "",
        problems: r#"model.yaml:1:1: a model needs the key `types`"#,
    },
    Case {
        what: "not yaml",
        base: false,
        yaml: r#"model: [m
types: {}
"#,
        matrix: "",
        problems: r#"model.yaml:2:6: not YAML: illegal placement of ':' indicator"#,
    },
    Case {
        what: "a key twice",
        base: false,
        yaml: r#"model: m
types: {}
types: {}
"#,
        matrix: "",
        problems: r#"model.yaml:3:1: not YAML: duplicated key in mapping"#,
    },
    Case {
        what: "two documents",
        base: false,
        yaml: r#"model: m
---
types: {}
"#,
        matrix: "",
        problems: r#"model.yaml:3:1: a second document; one was expected"#,
    },
    Case {
        what: "unknown key",
        base: false,
        yaml: r#"model: m
types: {}
rols: []
"#,
        matrix: "",
        problems: r#"model.yaml:3:1: `rols` is no key of a model; did you mean `roles`?"#,
    },
    Case {
        what: "a name of two lines",
        base: false,
        yaml: r#"model: "m\nready"
types: {}
"#,
        matrix: "",
        problems: r#"model.yaml:1:8: `m\nready` is no name: it has control characters"#,
    },
    Case {
        what: "wrong kinds",
        base: false,
        yaml: r#"model: 7
types: { org: { parents: { org: { many: 1 } } }, user: [] }
roles: { at: [org] }
"#,
        matrix: "",
        problems: r#"model.yaml:1:8: expected the model's name, found the number `7`
model.yaml:2:41: expected `true` or `false`, found the number `1`
model.yaml:2:56: expected a type, found a list
model.yaml:3:8: expected a list of roles, found a map"#,
    },
];

const FAULTS_IN_DECLARATIONS: &[Case] = &[
    Case {
        what: "reserved names",
        base: false,
        yaml: r#"model: m
types: { feature: {}, except: {}, has: {}, 'a b': {} }
"#,
        matrix: "",
        problems: r#"model.yaml:2:10: `feature` is there in every model and cannot be declared
model.yaml:2:23: `except` is a word of the language and cannot be a name
model.yaml:2:35: `has` is a word of the language and cannot be a name
model.yaml:2:44: `a b` is not a name: only letters, digits and _ . / - are allowed"#,
    },
    Case {
        what: "relations",
        base: false,
        yaml: r#"model: m
types:
  org: {}
  site:
    parents: { org: { many: true }, ogr: {}, site: { many: false } }
    relations: { parent: [org], empty: [] }
  doc: { parents: [org, org] }
"#,
        matrix: "",
        problems: r#"model.yaml:5:37: `ogr` is no type; did you mean `org`?
model.yaml:5:46: `many` of the relation `parent` is true for another parent, false here
model.yaml:6:18: the relation `parent` is declared twice
model.yaml:6:33: the relation `empty` leads to no type
model.yaml:7:25: `org` is named twice"#,
    },
    Case {
        what: "facts",
        base: false,
        yaml: r#"model: m
types: { org: {}, site: {} }
facts:
  ogr: { flags: [a] }
  org: { flags: [b, b], sets: [c], one_of: { d: [x, x], e: [] } }
  site: { flags: [c] }
"#,
        matrix: "",
        problems: r#"model.yaml:4:3: `ogr` is no type; did you mean `org`?
model.yaml:5:21: the fact `b` is declared twice for one type
model.yaml:5:53: `x` is named twice
model.yaml:5:57: `e` has no values
model.yaml:6:19: the fact `c` has another form at another type"#,
    },
    Case {
        what: "conditions",
        base: false,
        yaml: r#"model: m
types: { user: {} }
conditions:
  parse: { when: "hour >" }
  name: { parameters: { hour: int }, when: "hours >= 8" }
  kind: { parameters: { hour: integer }, when: "hour >= 8" }
  nested: { parameters: { l: list }, when: "l.all(x, l.exists(y, x == y))" }
  function: { parameters: { s: string }, when: "s.startWith('a')" }
  variable: { parameters: { a-b: int }, when: "true" }
"#,
        matrix: "",
        problems: r#"model.yaml:4:25: not CEL: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT...
model.yaml:5:45: `hours` is no parameter of the condition; did you mean `hour`?
model.yaml:6:31: `integer` is no type of a parameter: expected one of bool, int, uint, double, string, timestamp, duration, ipaddress, list, map
model.yaml:7:62: a comprehension within a comprehension
model.yaml:8:60: `startWith` is no function; did you mean `startsWith`?
model.yaml:9:29: `a-b` is no name of a CEL variable"#,
    },
    Case {
        what: "roles",
        base: true,
        yaml: r#"  - { at: [org], names: [admin], bound_by: [usr, "org#adm", "user:ana"], conditions: [office] }
  - { at: [org], names: [extra], gates: { extr: "yes" } }
  - { at: [site], names: [parent] }
  - { at: [], names: [nowhere] }
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:7:26: the role `admin` is bound on `org` already
model.yaml:7:45: `usr` is no type; did you mean `user`?
model.yaml:7:55: `adm` is no name on `org`
model.yaml:7:61: `user:ana`: expected `type`, `type:*` or `type#name`
model.yaml:7:87: `office` is no condition
model.yaml:8:43: `extr` is no role of this entry; did you mean `extra`?
model.yaml:9:27: the role `parent` is a relation of `site` too
model.yaml:10:5: an entry of `roles` needs at least one type in `at`"#,
    },
    Case {
        what: "parameters",
        base: true,
        yaml: r#"parameters: { a: 1, b: [x], e: true }
gates:
  g: "parameter(a) and parameter(c) and b"
  h: "parameter(b)"
  i: "parameter(b:org.view)"
  j: "parameter(e:org.view)"
  k: "parameter(b:engineer)"
asked: [ { rows: { parameter: d }, gate: "yes" } ]
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:7:18: expected a boolean or a list of row patterns, found the number `1`
model.yaml:9:34: `c` is no parameter
model.yaml:9:41: `b` is a parameter: write `parameter(b)`
model.yaml:10:17: the parameter `b` is a list of patterns, not a boolean; whether it lists a permission is `parameter(b:PERMISSION)`
model.yaml:11:17: `org.view` is no permission
model.yaml:12:17: the parameter `e` is a boolean and has no members
model.yaml:13:17: `engineer` is no permission
model.yaml:14:31: `d` is no parameter"#,
    },
    Case {
        what: "one name, two things",
        base: true,
        yaml: r#"gates: { admin: "yes", org.view: "no" }
permissions:
  engineer: { at: [org], is: "no" }
  org.view: { at: [org], is: "no" }
names:
  admin: { at: [site], is: "no" }
  yes: { at: [site], is: "no" }
matrices:
  - { name: m, file: m.csv, at: [org], bound: org }
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:7:10: the gate `admin` is a role, permission or computed name too
model.yaml:7:24: the gate `org.view` is a role, permission or computed name too
model.yaml:9:3: a permission `engineer` is a role on `org` too: one name has one meaning there
model.yaml:10:3: a permission `org.view` is a permission on `org` too: one name has one meaning there
model.yaml:12:3: a computed name `admin` is a role on `site` too: one name has one meaning there
model.yaml:13:3: `yes` is a word of the language and cannot be a name"#,
    },
    Case {
        what: "entries",
        base: true,
        yaml: r#"permissions: { p: { at: [ogr], is: 1 }, q: { at: [], is: "no" }, r: { is: "no" } }
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:7:36: expected an expression, found the number `1`
model.yaml:7:44: a permission needs at least one type in `at`
model.yaml:7:69: a permission needs the key `at`"#,
    },
];

const FAULTS_IN_EXPRESSIONS: &[Case] = &[
    Case {
        what: "syntax",
        base: true,
        yaml: r#"gates:
  a: "admin and"
  b: "(admin or engineer"
  c: "admin engineer"
  d: "admin except owner except engineer"
  e: "up(parent admin)"
  f: "helds(admin)"
  g: "fact()"
  h: "a / b"
  i: ""
  j: "of(subject, admin)"
  k: "of(target)"
  l: "of(target, admin, owner)"
  m: "within(targets)"
  n: "within(target, admin)"
  o: "as(admin)"
  p: "as(parent, admin, owner)"
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:8:16: expected a word or `(`, found the end of the expression
model.yaml:9:25: expected `)`, found the end of the expression
model.yaml:10:13: expected `and`, `or`, `except` or the end, found `engineer`
model.yaml:11:26: expected the end: put one `except` in parentheses, found `except`
model.yaml:12:17: expected `,` and a second argument, found `admin`
model.yaml:13:7: `helds` is no function
model.yaml:14:12: expected an argument, found `)`
model.yaml:15:9: expected a word or `(`, found `/`
model.yaml:16:7: expected a word or `(`, found the end of the expression
model.yaml:17:10: expected the word `target`, found `subject`
model.yaml:18:16: expected `,` and an expression, found `)`
model.yaml:19:23: expected `)`, found `,`
model.yaml:20:14: expected the word `target`, found `targets`
model.yaml:21:20: expected `)`, found `,`
model.yaml:22:15: expected `,` and an expression, found `)`
model.yaml:23:23: expected `)`, found `,`"#,
    },
    Case {
        what: "words",
        base: true,
        yaml: r#"gates:
  a: "enginer"
  b: "here(amdin) and here(verified)"
  c: "up(parnt, admin) or up_all(parent, amdin)"
  d: "fact(verifid) and fact(module) and fact(product:pr0) and fact(verified:x)"
  e: "standing(blocked)"
  f: "condition(office)"
  g: "anywhere(sit, owner) or anywhere(site, verified)"
  h: "verified"
  i: "up(parent, a)"
  j: "of(target, amdin or of(target, parent))"
  k: "as(parnt, amdin) or as(admin, owner)"
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:8:7: `enginer` is no gate, role, permission or computed name; did you mean `engineer`?
model.yaml:9:12: `amdin` is no role; did you mean `admin`?
model.yaml:9:28: `verified` is no role
model.yaml:10:10: `parnt` is no relation; did you mean `parent`?
model.yaml:10:42: `amdin` is no role, permission or computed name; did you mean `admin`?
model.yaml:11:12: `verifid` is no fact; did you mean `verified`?
model.yaml:11:30: `module` is a set: expected `module:MEMBER`
model.yaml:11:47: `pr0` is no value of `product`: expected one of pro, go; did you mean `pro`?
model.yaml:11:69: `verified` is a flag and has no members
model.yaml:12:16: `blocked` is no fact
model.yaml:13:17: `office` is no condition
model.yaml:14:16: `sit` is no type; did you mean `site`?
model.yaml:14:46: `verified` is no role, permission or computed name
model.yaml:15:7: `verified` is a fact: write `fact(verified)` or `standing(verified)`
model.yaml:16:18: `a` is a gate: give it a computed name in `names`
model.yaml:17:18: `amdin` is no gate, role, permission or computed name; did you mean `admin`?
model.yaml:17:38: `parent` is no gate, role, permission or computed name
model.yaml:18:10: `parnt` is no relation; did you mean `parent`?
model.yaml:18:17: `amdin` is no gate, role, permission or computed name; did you mean `admin`?
model.yaml:18:30: `admin` is no relation"#,
    },
    Case {
        what: "linked under except",
        base: true,
        yaml: r#"gates:
  a: "admin except as(parent, owner)"
  b: "as(parent, owner)"
  c: "admin except (owner and b)"
  d: "as(parent, owner except as(parent, yes))"
  e: "admin except (yes except of(target, as(parent, owner)))"
  f: "b except admin"
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:8:20: `as` must not stand under the right side of `except`
model.yaml:10:31: `as` must not stand under the right side of `except`
model.yaml:11:31: `as` must not stand under the right side of `except`
model.yaml:12:43: `as` must not stand under the right side of `except`"#,
    },
    Case {
        what: "linked under except through names",
        base: true,
        yaml: r#"  - { at: [org], names: [helper], bound_by: ["org#friend"] }
  - { at: [org], names: [guest], gate: "as(parent, admin)" }
names:
  friend: { at: [org], is: "as(parent, admin)" }
  kin: { at: [site], is: "up(parent, friend) or self" }
  a: { at: [site], is: "yes except kin" }
  b: { at: [org], is: "yes except helper" }
  c: { at: [org], is: "within(target)" }
  d: { at: [org], is: "friend except admin" }
  e: { at: [site], is: "yes except anywhere(org, admin)" }
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:12:3: `a@site` has an `as` under the right side of `except`: a@site -> kin@site -> friend@org
model.yaml:13:3: `b@org` has an `as` under the right side of `except`: b@org -> helper@org -> friend@org
model.yaml:14:24: `within@org` has an `as` under the right side of `except`: within@org -> helper@org -> friend@org
model.yaml:16:3: `e@site` has an `as` under the right side of `except`: e@site -> helper@org -> friend@org"#,
    },
    Case {
        what: "circular gates",
        base: true,
        yaml: "gates: { a: \"b\", b: \"c or yes\", c: \"no except a\" }\n",
        matrix: MATRIX,
        problems: r#"model.yaml:7:47: the gate `a` contains itself: `a` -> `b` -> `c` -> `a`"#,
    },
    Case {
        what: "fixpoint",
        base: true,
        yaml: r#"names:
  a: { at: [org], is: "yes except b" }
  b: { at: [org], is: "a or admin" }
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:8:3: `a@org` depends on itself through the right side of `except`: a@org -> b@org -> a@org"#,
    },
    Case {
        what: "recovery",
        base: true,
        yaml: r#"  - { at: [org], names: [helper], bound_by: ["org#helpful"] }
names:
  helpful: { at: [org], is: "yes except helper" }
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:9:3: `helpful@org` depends on itself through the right side of `except`: helpful@org -> helper@org -> helpful@org"#,
    },
];
