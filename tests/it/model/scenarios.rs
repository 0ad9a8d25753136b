//! `tests.yaml` as data, and its faults.

use bailiwick::model::scenario::{Expect, Scenarios};
use bailiwick::model::tuple::Time;
use bailiwick::model::{ParameterValue, SourceFiles};

fn files(tests: &str) -> SourceFiles {
    [("tests.yaml", tests)].into_iter().collect()
}

#[test]
fn the_documented_scenario_is_read() {
    let page = include_str!("../../../docs/model.md");
    let text = page.split("```yaml\n").nth(2).unwrap().split("```").next().unwrap();
    let scenarios = Scenarios::parse(&files(text)).unwrap_or_else(|e| panic!("{e}"));
    let [scenario] = scenarios.as_slice() else { panic!("{scenarios:?}") };
    assert_eq!(
        (scenario.name.as_str(), scenario.at.to_string().as_str()),
        ("EX-01", "tests.yaml:2:11")
    );
    assert_eq!(scenario.parameters["strict"], ParameterValue::Bool(true));
    assert_eq!(scenario.now, Some(Time(1_767_225_600_000_000)));
    let tuples: Vec<String> = scenario.tuples.iter().map(|t| t.value.key.to_string()).collect();
    assert_eq!(
        tuples,
        [
            "org:acme#has@feature:verified",
            "org:acme#has@feature:module:stations/x",
            "org:acme#admin@user:ana",
            "org:acme#engineer@user:bob",
            "org:acme#engineer@user:eve",
        ]
    );
    let bob = &scenario.tuples[3].value;
    assert_eq!(bob.expires_at, Some(Time(1_769_904_000_000_000)));
    let condition = bob.condition.as_ref().unwrap();
    assert_eq!((condition.name.as_str(), &condition.context["hour"]), ("office", &9.into()));
    assert_eq!(bob.key.source, "hr");
    let asked: Vec<_> = scenario
        .questions
        .iter()
        .map(|q| (q.expect, q.subject.as_str(), q.permission.as_str(), q.scope.as_str()))
        .collect();
    assert_eq!(
        asked,
        [
            (Expect::Allow, "user:ana", "org.edit", "org:acme"),
            (Expect::Allow, "user:bob", "org.edit", "org:acme"),
            (Expect::Allow, "user:eve", "org.edit", "org:acme"),
            (Expect::Deny, "user:eve", "org.edit", "org:acme"),
        ]
    );
    assert_eq!(scenario.questions[3].reason.as_deref(), Some("MISSING_CONTEXT"));
    assert_eq!(scenario.refused[0].value.key.to_string(), "org:acme#owner@user:ana");
    assert_eq!(scenario.refused[0].at.line, 17);
}

#[test]
fn no_file_is_no_scenario() {
    assert_eq!(Scenarios::parse(&SourceFiles::default()), Ok(Vec::new()));
    assert_eq!(Scenarios::parse(&files("")), Ok(Vec::new()));
}

#[test]
fn faults_have_places() {
    let text = r#"scenarios:
  - name: a
    now: "2026-01-01"
    facts: { "org": [x], "org:a": ["x y", 1] }
    tuples:
      - org:a#admin
      - { tuple: "org:a#admin@user:b", context: {}, expires_at: later }
      - { tuple: "org:a#admin@user:b", conditions: c }
    questions:
      - { expect: alow, ask: "user:a p org:a" }
      - { expect: deny, ask: "user:a p" }
      - { ask: "user:a p org:a", context: [] }
      - { roles_of: "user:a", expect: ["org:a#r", "org:a", "org:a#r", "a#r"] }
      - { roles_of: "user:a", expect: allow, target: "user:b" }
      - { roles_of: "user:a", scope: "org:a" }
  - name: a
  - nmae: b
"#;
    assert_eq!(
        Scenarios::parse(&files(text)).unwrap_err().to_string(),
        "tests.yaml:3:10: `2026-01-01`: expected a time like `2026-01-01T00:00:00Z`
tests.yaml:4:14: `org` is not an object `type:id`: there is no `:`
tests.yaml:4:36: `feature:x y` is not an object `type:id`: an id has neither white space nor control characters
tests.yaml:4:43: expected a fact, found the number `1`
tests.yaml:6:9: `org:a#admin` is not a tuple `scope#role@subject`: there is no `@`
tests.yaml:7:9: a context without a condition
tests.yaml:7:65: `later`: expected a time like `2026-01-01T00:00:00Z`
tests.yaml:8:40: `conditions` is no key of a tuple; did you mean `condition`?
tests.yaml:10:19: `alow`: expected `allow`, `deny` or `invalid`
tests.yaml:11:30: `user:a p`: expected `SUBJECT PERMISSION SCOPE`
tests.yaml:12:9: a question needs the key `expect`
tests.yaml:12:43: expected a map of values, found a list
tests.yaml:13:51: `org:a` is not a role `scope#role`
tests.yaml:13:60: `org:a#r` is there twice
tests.yaml:13:71: `a#r` is not a role `scope#role`
tests.yaml:14:39: expected a list of roles `scope#role`, found the text `allow`
tests.yaml:14:46: `target` is no key of a question about roles
tests.yaml:15:9: a question about roles needs the key `expect`
tests.yaml:16:11: the scenario `a` is there twice
tests.yaml:17:5: `nmae` is no key of a scenario; did you mean `name`?
tests.yaml:17:5: a scenario needs the key `name`"
    );
}

#[test]
fn a_time_has_a_zone() {
    let micros = 1_767_225_600_000_000;
    for (text, expected) in [
        ("2026-01-01T00:00:00Z", Some(Time(micros))),
        ("2026-01-01T02:00:00.000001+02:00", Some(Time(micros + 1))),
        ("2025-12-31t23:00:00-01:00", Some(Time(micros))),
        ("1969-12-31T23:59:59.5Z", Some(Time(-500_000))),
        ("2026-01-01", None),
        ("2026-01-01T00:00:00", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-01-01T25:00:00Z", None),
        ("tomorrow", None),
        ("", None),
    ] {
        assert_eq!(Time::parse(text), expected, "{text}");
    }
}
