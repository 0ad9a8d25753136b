//! Which tuples a model admits, and the words that refuse the others.

use bailiwick::model::admission::{NotAdmitted, admit};
use bailiwick::model::names::Name;
use bailiwick::model::tuple::{Tuple, TupleCondition, TupleKey};

use super::support::model;

const MODEL: &str = "model: m
types:
  user: {}
  group: {}
  org: { parents: [org], relations: { partner: { to: [org], conditions: [hours] } } }
  site: { parents: [org] }
facts:
  org: { flags: [paid], sets: [module], one_of: { product: [pro, go] } }
  user: { flags: [known] }
conditions:
  hours: { parameters: { hour: int, tags: 'list<string>', until: timestamp }, when: hour > 8 }
  other: { when: 'true' }
roles:
  - { at: [org], names: [admin], bound_by: [user, 'group#member'], conditions: [hours] }
  - { at: [group], names: [member], bound_by: [user, 'user:*'] }
  - { at: [site], names: [owner] }
permissions: { org.view: { at: [org], is: admin } }
";

fn outcome(text: &str, condition: Option<(&str, serde_json::Value)>) -> String {
    let mut tuple = Tuple::plain(TupleKey::parse(text).unwrap());
    tuple.condition = condition.map(|(name, context)| TupleCondition {
        name: Name::parse(name).unwrap(),
        context: serde_json::from_value(context).unwrap(),
    });
    match admit(&model(MODEL, ""), &tuple) {
        Ok(()) => "admitted".to_owned(),
        Err(NotAdmitted::Unknown(message)) => format!("unknown: {message}"),
        Err(NotAdmitted::NotBindable(message)) => format!("not bindable: {message}"),
        Err(NotAdmitted::NotAFact(message)) => format!("no fact: {message}"),
        Err(NotAdmitted::Condition(message)) => format!("condition: {message}"),
    }
}

#[test]
fn plain_tuples() {
    for (tuple, expected) in [
        ("org:a#admin@user:ana", "admitted"),
        ("org:a#admin@group:g#member", "admitted"),
        ("group:g#member@user:*", "admitted"),
        ("site:s#owner@org:a", "admitted"),
        ("site:s#parent@org:a", "admitted"),
        ("org:a#partner@org:b", "admitted"),
        ("ogr:a#admin@user:ana", "unknown: `ogr` is no type of the model; did you mean `org`?"),
        (
            "org:a#amdin@user:ana",
            "unknown: `amdin` is no role or relation of `org`; did you mean `admin`?",
        ),
        ("org:a#org.view@user:ana", "unknown: `org.view` is no role or relation of `org`"),
        ("site:s#admin@user:ana", "not bindable: `admin` cannot be bound on `site`"),
        ("user:ana#parent@org:a", "not bindable: `parent` cannot be bound on `user`"),
        (
            "org:a#admin@group:g",
            "not bindable: `group:g` cannot be bound to `admin` on `org`: expected user, \
             group#member",
        ),
        (
            "org:a#admin@user:*",
            "not bindable: `user:*` cannot be bound to `admin` on `org`: expected user, \
             group#member",
        ),
        (
            "org:a#admin@org:a#admin",
            "not bindable: `org:a#admin` cannot be bound to `admin` on `org`: expected user, \
             group#member",
        ),
        (
            "org:a#admin@group:g#membr",
            "unknown: `membr` is no name on `group`; did you mean `member`?",
        ),
        ("org:a#admin@usr:ana", "unknown: `usr` is no type of the model; did you mean `user`?"),
        (
            "site:s#owner@feature:paid",
            "not bindable: `feature:paid` cannot be bound to `owner` on `site`: expected user, \
             group, org, site",
        ),
        (
            "site:s#parent@site:t",
            "not bindable: `site:t` cannot be bound to `parent` on `site`: expected org",
        ),
        (
            "site:s#parent@org:a#admin",
            "not bindable: `org:a#admin` cannot be bound to `parent` on `site`: expected org",
        ),
    ] {
        assert_eq!(outcome(tuple, None), expected, "{tuple}");
    }
}

#[test]
fn facts() {
    for (tuple, expected) in [
        ("org:a#has@feature:paid", "admitted"),
        ("org:a#has@feature:module:stations/x", "admitted"),
        ("org:a#has@feature:module:a:b", "admitted"),
        ("org:a#has@feature:product:pro", "admitted"),
        ("user:ana#has@feature:known", "admitted"),
        ("org:a#has@feature:known", "no fact: `known` is no fact of `org`"),
        ("org:a#has@feature:piad", "no fact: `piad` is no fact of `org`; did you mean `paid`?"),
        ("org:a#has@feature:paid:x", "no fact: `paid` is a flag: expected `feature:paid`"),
        ("org:a#has@feature:paid:", "no fact: `paid` is a flag: expected `feature:paid`"),
        (
            "org:a#has@feature:module",
            "no fact: `module` is a set: expected `feature:module:MEMBER`",
        ),
        (
            "org:a#has@feature:module:",
            "no fact: `module` is a set: expected `feature:module:MEMBER`",
        ),
        (
            "org:a#has@feature:product:por",
            "no fact: `por` is no value of `product`: expected one of pro, go; \
             did you mean `pro`?",
        ),
        ("org:a#has@user:ana", "no fact: `user:ana` is no fact: expected `feature:...`"),
        ("org:a#has@feature:*", "no fact: `feature:*` is no fact: expected `feature:...`"),
        (
            "org:a#has@feature:paid#admin",
            "no fact: `feature:paid#admin` is no fact: expected `feature:...`",
        ),
        ("site:s#has@feature:paid", "no fact: `paid` is no fact of `site`"),
        ("feature:paid#has@feature:paid", "no fact: `paid` is no fact of `feature`"),
    ] {
        assert_eq!(outcome(tuple, None), expected, "{tuple}");
    }
}

#[test]
fn conditions() {
    let ana = "org:a#admin@user:ana";
    for (tuple, name, context, expected) in [
        (ana, "hours", "{}", "admitted"),
        (
            ana,
            "hours",
            r#"{"hour": 9, "tags": ["a"], "until": "2026-01-01T00:00:00Z"}"#,
            "admitted",
        ),
        (ana, "hours", r#"{"hour": "9"}"#, "admitted"),
        (ana, "hours", r#"{"hour": 9.0}"#, "admitted"),
        ("org:a#partner@org:b", "hours", "{}", "admitted"),
        (
            ana,
            "hours",
            r#"{"hour": 9.5}"#,
            "condition: `9.5` does not fit the parameter `hour`: expected int",
        ),
        (
            ana,
            "hours",
            r#"{"tags": ["a", 1]}"#,
            "condition: `[\"a\",1]` does not fit the parameter `tags`: expected list<string>",
        ),
        (
            ana,
            "hours",
            r#"{"until": "tomorrow"}"#,
            "condition: `\"tomorrow\"` does not fit the parameter `until`: expected timestamp",
        ),
        (
            ana,
            "hours",
            r#"{"huor": 9}"#,
            "condition: `huor` is no parameter of the condition `hours`; did you mean `hour`?",
        ),
        (ana, "other", "{}", "condition: a tuple of `admin` cannot carry the condition `other`"),
        (
            ana,
            "huors",
            "{}",
            "unknown: `huors` is no condition of the model; did you mean `hours`?",
        ),
        (
            "site:s#parent@org:a",
            "hours",
            "{}",
            "condition: a tuple of `parent` cannot carry the condition `hours`",
        ),
        ("org:a#has@feature:paid", "hours", "{}", "condition: a fact carries no condition"),
    ] {
        let context = serde_json::from_str(context).unwrap();
        assert_eq!(outcome(tuple, Some((name, context))), expected, "{tuple} {name}");
    }
    let large = serde_json::json!({ "tags": vec!["x".repeat(1_000); 70] });
    assert_eq!(
        outcome(ana, Some(("hours", large))),
        "condition: the context is larger than 65536 bytes"
    );
}
