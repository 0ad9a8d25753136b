//! The faults of matrices; see `faults` for what a case is.

use super::faults::{Case, MATRIX};

pub(super) const FAULTS_IN_MATRICES: &[Case] = &[
    Case {
        what: "no file",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: n.csv, at: [org], bound: org }
  - { name: m, file: m.csv, at: [org], bound: org }
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:8:22: there is no file `n.csv`; did you mean `m.csv`?
model.yaml:9:13: the matrix `m` is there twice"#,
    },
    Case {
        what: "columns",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: m.csv, at: [org], bound: org, columns: { admn: admin@org, owner: owner@site, own: owner, out: admin@site }, whole_matrix: [engineer, owner] }
"#,
        matrix: r#"permission,admin,enginer,own,out
p,1,1,1,1
"#,
        problems: r#"m.csv:1:18: `enginer` is no role bound on `org`; did you mean `engineer`?
model.yaml:8:63: `admn` is no column of `m.csv`; did you mean `admin`?
model.yaml:8:104: `owner`: expected `role@type`
model.yaml:8:116: `admin` is no role bound on `site`"#,
    },
    Case {
        what: "column unsaid",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: m.csv, at: [org], columns: { admin: admin@org }, whole_matrix: [owner] }
"#,
        matrix: MATRIX,
        problems: r#"m.csv:1:18: no matrix says what the column `engineer` is
model.yaml:8:86: `owner` needs `bound`, or an entry in `columns`"#,
    },
    Case {
        what: "cells",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: m.csv, at: [org], bound: org }
"#,
        matrix: r#"permission,admin,engineer,gate
org.view,yes,maybe,
org.edit,yes,no,verifid & module:x
org.view,1,1,
org.short,1
"org del",1,1,
"#,
        problems: r#"m.csv:2:14: `maybe` is no cell: expected yes, 1, x, no, 0, -, nothing or a boolean parameter
m.csv:3:17: `verifid` is no gate, role, permission or computed name; did you mean `verified`?
m.csv:4:1: the permission `org.view` has a row already, on line 2
m.csv:5:1: expected 4 fields as in the header, found 2
m.csv:6:2: `org del` is not a name: only letters, digits and _ . / - are allowed"#,
    },
    Case {
        what: "header",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: m.csv, at: [org], bound: org }
"#,
        matrix: r#"permision,admin
x,1
"#,
        problems: r#"m.csv:1:1: the header has no column `permission`; is it `permision`?"#,
    },
    Case {
        what: "header twice",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: m.csv, at: [org], bound: org }
"#,
        matrix: r#"permission,admin,admin
x,1,1
"#,
        problems: r#"m.csv:1:18: the column `admin` is there twice"#,
    },
    Case {
        what: "empty",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: m.csv, at: [org], bound: org }
"#,
        matrix: "",
        problems: r#"m.csv:1:1: the matrix is empty: a header row was expected"#,
    },
    Case {
        what: "long form",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: m.csv, at: [org], bound: org }
"#,
        matrix: r#"permission,role,gat
org.view,admin,
org.view,enginer,
org.view,admin,
"#,
        problems: r#"m.csv:1:17: `gat` is no column of the long form; did you mean `gate`?
m.csv:3:10: `enginer` is no role bound on `org`; did you mean `engineer`?
m.csv:4:1: `org.view`, `admin` is granted already, on line 2"#,
    },
    Case {
        what: "long form, whole",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: m.csv, at: [org], bound: org, columns: { owner: owner@site }, whole_matrix: [owner] }
"#,
        matrix: r#"permission,role,gate
org.view,engineer,verified
org.view,admin,
"#,
        problems: r#"m.csv:2:1: `org.view` has several gates: which is that of the column `owner`?"#,
    },
    Case {
        what: "rows",
        base: true,
        yaml: r#"matrices:
  - name: m
    file: m.csv
    at: [org]
    bound: org
    rows:
      "ogr.*": { at: [org] }
      org.viw: { at: [ste] }
      "*.view": { reach: parent, levels: 40 }
      "org.*w": { reach: self }
      "org.v*": { reach: both }
      org.edit: { levels: 2 }
    cells: { org.edt: { admin: yes }, org.view: { amdin: yes, admin: perhaps } }
asked:
  - { rows: "org.eddit", gate: "yes" }
"#,
        matrix: MATRIX,
        problems: r#"model.yaml:13:7: `ogr.*` matches no row
model.yaml:14:7: `org.viw` matches no row; did you mean `org.view`?
model.yaml:14:23: `ste` is no type; did you mean `site`?
model.yaml:15:26: `parent` is no reach: expected one of self, parents, both, anywhere; did you mean `parents`?
model.yaml:15:42: `40` levels: expected 1 to 32
model.yaml:17:7: `org.*w` and `org.v*` are equally specific for `org.view` and say different `reach`
model.yaml:18:27: `levels` bounds no row: it needs `reach: parents` or `both`
model.yaml:19:14: `org.edt` is no row of this matrix; did you mean `org.edit`?
model.yaml:19:51: `amdin` is no column of this matrix; did you mean `admin`?
model.yaml:19:70: `perhaps` is no cell: expected yes, 1, x, no, 0, -, nothing or a boolean parameter
model.yaml:21:13: `org.eddit` matches no row; did you mean `org.edit`?"#,
    },
    Case {
        what: "nowhere",
        base: true,
        yaml: r#"matrices:
  - { name: m, file: m.csv, bound: org }
"#,
        matrix: MATRIX,
        problems: r#"m.csv:2:1: nothing says where `org.view` may be asked: `at` is missing
m.csv:3:1: nothing says where `org.edit` may be asked: `at` is missing"#,
    },
];
