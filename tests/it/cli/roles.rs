//! `bailiwick list-roles`, and the lists of roles that scenarios expect.

use super::{SMALL, Served, assert_exit, model_dir, run, stderr, stdout};

#[test]
fn roles_are_listed_wherever_they_are_bound_or_where_they_count() {
    let served = Served::start("tests/models/everything");
    served.ok(&["write", "--create", "org:acme#admin@user:ana"]);
    served.ok(&["write", "--create", "folder:f#parent@org:acme"]);
    let list = ["list-roles", "user:ana"];
    assert_eq!(served.ok(&list), "org:acme#admin\n");
    assert_eq!(served.ok(&[&list[..], &["--scope", "folder:f"]].concat()), "org:acme#admin\n");
    assert_eq!(served.ok(&[&list[..], &["--scope", "org:other"]].concat()), "");
    let brought = ["group:g#member@user:ana", "doc:d#viewer@group:g#member"];
    let brought = brought.map(|text| ["--with-tuple", text]).concat();
    let listed = served.ok(&[&list[..], &brought].concat());
    assert_eq!(listed, "doc:d#viewer\ngroup:g#member\norg:acme#admin\n");

    let listed = served.json(&list);
    let bound = serde_json::json!([{ "scope": "org:acme", "role": "admin" }]);
    assert_eq!(listed["roles"], bound);
    assert_eq!(listed["revision"], 3);
    let unknown = served.run(&["list-roles", "usr:ana"]);
    assert_exit(&unknown, 1);
    assert!(stderr(&unknown).contains("INVALID_ARGUMENT UNKNOWN_TYPE"), "{unknown:?}");
    assert_exit(&run(&["list-roles"]), 64);
}

const EXPECTED: &str = r##"scenarios:
  - name: assigned
    tuples: ["org:b#admin@user:ana", "org:a#admin@user:ana"]
    questions:
      - { expect: ["org:b#admin", "org:a#admin"], roles_of: "user:ana" }
      - { expect: ["org:a#admin"], roles_of: "user:ana", scope: "org:a" }
      - { expect: [], roles_of: "user:bob" }
      - { expect: ["org:a#admin"], roles_of: "user:ana" }
      - { expect: ["org:a#owner"], roles_of: "user:bob", scope: "org:a" }
      - { expect: [], roles_of: "usr:bob" }
"##;

#[test]
fn a_scenario_expects_the_whole_list_of_roles() {
    let dir = model_dir(&[("model.yaml", SMALL), ("tests.yaml", EXPECTED)]);
    let output = run(&["model", "test", dir.path().to_str().unwrap()]);
    assert_exit(&output, 1);
    let text = stdout(&output);
    for line in [
        "tests.yaml:8:9: assigned: the roles of `user:ana` must be `org:a#admin`, \
         and are `org:a#admin`, `org:b#admin`",
        "tests.yaml:9:9: assigned: the roles of `user:bob` at `org:a` must be `org:a#owner`, \
         and are none",
        "tests.yaml:10:9: assigned: subject: the model has no type `usr`; did you mean `user`?",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(text.lines().last(), Some("3 passed, 3 failed"), "{text}");
}
