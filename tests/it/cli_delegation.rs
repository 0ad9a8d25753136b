//! The commands that change roles on behalf of an actor, and those that ask what they would do.

use std::path::Path;

use serde_json::Value;

use crate::cli::{Served, assert_exit, stderr, stdout};

const MODEL: &str = "model: delegating
types: { user: {}, org: {}, location: { parents: [org] } }
roles:
  - { at: [org], names: [admin, engineer, viewer], bound_by: [user] }
  - { at: [location], names: [guard], bound_by: [user] }
delegation:
  file: delegation.csv
  verbs: { invite: { op: grant }, update_role: { op: replace }, remove: { op: revoke }, block: {} }
permissions: { act: { at: [org], is: admin } }
";

const TABLE: &str = "scope,actor_role,verb,target_role,allowed
org,admin,invite,engineer,1
org,admin,invite,viewer,1
org,admin,invite,guard,1
org,admin,update_role,engineer,1
org,admin,update_role,viewer,1
org,admin,remove,engineer,1
org,admin,block,viewer,1
";

fn served(dir: &Path) -> Served {
    let model = dir.join("model");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::write(model.join("model.yaml"), MODEL).unwrap();
    std::fs::write(model.join("delegation.csv"), TABLE).unwrap();
    let served = Served::start(model.to_str().unwrap());
    served.ok(&[
        "write",
        "--touch",
        "org:acme#admin@user:ana",
        "--touch",
        "org:acme#viewer@user:vic",
    ]);
    served
}

#[test]
fn roles_are_granted_replaced_and_revoked_for_an_actor() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    let actor = ["--actor", "user:ana"];
    let gus = "org:acme#engineer@user:gus";
    let told = served.ok(&[&["grant", gus, "--reason", "plant 2"], &actor[..]].concat());
    assert_eq!(told, "committed as revision 3\n");
    let line = served.ok(&["read", "--subject", "user:gus"]);
    let start = format!("{gus}  grantor=\"user:ana\"  reason=\"plant 2\"  granted_at=20");
    assert!(line.starts_with(&start), "{line}");
    let told = served.ok(&[&["grant", gus, "--reason", "plant 2"], &actor[..]].concat());
    assert_eq!(told, "nothing changed: the target has the role just so\n");
    let told = served.ok(&[&["replace", gus, "--with", "viewer"], &actor[..]].concat());
    assert_eq!(told, "committed as revision 4\n");
    let parent = ["--parent", "parent=org:acme", "--expires-in", "90d"];
    let new = "location:new#guard@user:gus";
    let told = served.ok(&[&["grant", new], &parent[..], &actor[..]].concat());
    assert_eq!(told, "committed as revision 5\n");
    assert!(served.ok(&["read", "--scope", "location:new"]).contains("expires_at=20"));
    let told = served.ok(&["revoke", gus, "--actor", "user:ana", "--output", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["changed"], &told["revision"]), (&0.into(), &5.into()));
    // What the model does not let somebody do is denied; what makes no sense is an error.
    let vic = ["--actor", "user:vic"];
    for (args, code, words) in [
        (&["grant", gus, vic[0], vic[1]][..], 2, "error: PERMISSION_DENIED NOT_DELEGATED: role: "),
        (&["revoke", "org:acme#viewer@user:gus", actor[0], actor[1]], 2, "NOT_DELEGATED"),
        (
            &["replace", gus, "--with", "viewer", actor[0], actor[1], "--reason", "x"],
            1,
            "ROLE_NOT_HELD",
        ),
        (
            &["grant", "org:acme#enginer@user:gus", actor[0], actor[1]],
            1,
            "did you mean `engineer`?",
        ),
        (&["grant", "org:acme", actor[0], actor[1]], 64, "is not a tuple"),
        (&["grant", gus, actor[0], actor[1], "--parent", "org:acme"], 64, "expected a relation"),
        (&["grant", gus, actor[0], actor[1], "--key", ""], 64, "it is empty, which is no key"),
    ] {
        let output = served.run(args);
        assert_exit(&output, code);
        assert!(stderr(&output).contains(words), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn what_an_actor_may_is_asked_without_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    let ask = |actor: &str, verb: &str| {
        served.run(&["can-grant", actor, verb, "viewer", "org:acme", "--target", "user:vic"])
    };
    let allowed = ask("user:ana", "block");
    assert_exit(&allowed, 0);
    assert_eq!(stdout(&allowed), "ALLOW GRANTED at revision 2\n");
    let denied = ask("user:vic", "invite");
    assert_exit(&denied, 2);
    let words =
        "role: `user:vic` may not invite `viewer` at `org:acme`: the model does not let them";
    assert_eq!(stdout(&denied), format!("DENY NOT_DELEGATED at revision 2\n{words}\n"));
    let typo = ask("user:ana", "invit");
    assert_exit(&typo, 1);
    assert!(stderr(&typo).contains("did you mean `invite`?"), "{}", stderr(&typo));
    let asked =
        ["can-grant", "user:ana", "update_role", "viewer", "org:acme", "--with", "engineer"];
    let answer: Value =
        serde_json::from_str(&served.ok(&[&asked[..], &["--output", "json"]].concat())).unwrap();
    assert_eq!((&answer["decision"], &answer["reason"]), (&"ALLOW".into(), &"GRANTED".into()));
    assert_eq!(served.ok(&["list-grantable-roles", "user:ana", "org:acme"]), "engineer\nviewer\n");
    assert_eq!(served.ok(&["list-grantable-roles", "user:vic", "org:acme"]), "");
    let json = served.ok(&["list-grantable-roles", "user:ana", "location:l", "--output", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["roles"], &json["undecided"]),
        (&Value::Array(vec![]), &Value::Array(vec![]))
    );
}
