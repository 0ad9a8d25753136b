//! Conditions over a real socket: what of a request's context counts, what of it is missing, and which
//! stored values are refused.

use std::sync::Arc;

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::CONTEXT_BYTES_MAX;
use bailiwick::pdp::Pdp;
use bailiwick::store::memory::MemoryStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::batch_check_result::Result as Answer;
use pb::tuple_service_client::TupleServiceClient;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use super::client::{Wire, ask, change, context, item, tuple};
use crate::support::service::{Service, assert_refused};
use crate::support::{SetClock, files_of, model};

const MODEL: &str = r#"
model: typed
types: { user: {}, doc: {} }
conditions:
  flag: { parameters: { flag: bool }, when: "flag" }
  hour: { parameters: { hour: int }, when: "hour >= 8 && hour < 18" }
  large: { parameters: { serial: int }, when: "serial == 9007199254740993" }
  quota: { parameters: { quota: uint }, when: "quota > 1u" }
  level: { parameters: { level: double }, when: "level > 0.5" }
  name: { parameters: { name: string }, when: "name.startsWith('a')" }
  until: { parameters: { now: timestamp, until: timestamp }, when: "now < until" }
  age: { parameters: { age: duration }, when: "age < duration('1h')" }
  network: { parameters: { ip: ipaddress, net: string }, when: "ip.in_cidr('10.0.0.0/8') || ip.in_cidr(net)" }
  hosts: { parameters: { hosts: 'list<ipaddress>' }, when: "hosts.all(h, h.in_cidr('10.0.0.0/8'))" }
  labels: { parameters: { labels: 'map<int>' }, when: "'a' in labels && labels['a'] > 1" }
  several: { parameters: { hour: int, ip: ipaddress, zone: string }, when: "hour < 18 && zone == 'x' && ip.in_cidr('10.0.0.0/8')" }
roles:
  - at: [doc]
    names: [viewer]
    bound_by: [user]
    conditions: [flag, hour, large, quota, level, name, until, age, network, hosts, labels, several]
permissions:
  doc.view: { at: [doc], is: viewer }
  doc.both: { at: [doc], is: "viewer and (condition(several) or condition(quota)) and condition(hour)" }
"#;

async fn typed() -> Wire {
    let open = || {
        let model = model(MODEL);
        let files = files_of(&model);
        let clock = Arc::new(SetClock::default());
        Ok(Pdp::open(Arc::new(MemoryStore::new()), model, files, clock)?)
    };
    let service = Service::open(Box::new(open)).await;
    service.wait_until(ServingStatus::Serving).await;
    let channel = service.channel().await;
    Wire {
        service,
        questions: AuthorizationServiceClient::new(channel.clone()),
        tuples: TupleServiceClient::new(channel),
    }
}

fn held(condition: &str, stored: &str) -> pb::TupleChange {
    let condition = pb::TupleCondition { name: condition.into(), context: context(stored) };
    let tuple = pb::Tuple { condition: Some(condition), ..tuple("doc:d#viewer@user:ana") };
    change(pb::Operation::Touch, tuple)
}

fn with(values: &str) -> pb::CheckRequest {
    pb::CheckRequest { context: context(values), ..ask("user:ana doc.view doc:d") }
}

type Texts = &'static [&'static str];

/// A condition, its parameter, and the JSON of values for which it is yes, no, and not known.
const TYPES: &[(&str, &str, Texts, Texts, Texts)] = &[
    ("flag", "flag", &["true"], &["false"], &["\"true\"", "1", "null"]),
    (
        "hour",
        "hour",
        &["9", "9.0", "\"9\""],
        &["7", "\"20\""],
        &["9.5", "\"+9\"", "\"noon\"", "true", "[9]"],
    ),
    (
        "large",
        "serial",
        &["\"9007199254740993\"", "9007199254740993"],
        &["9007199254740992"],
        &["9007199254740992.0", "1e300"],
    ),
    ("quota", "quota", &["2", "\"18446744073709551615\""], &["0"], &["-1", "\"-1\"", "0.5"]),
    (
        "level",
        "level",
        &["0.7", "1", "\"0.7\"", "100000000000000000", "\"100000000000000000\""],
        &["0", "-1e300"],
        &["\"inf\"", "\"nan\"", "\"+1\"", "\"\"", "true"],
    ),
    ("name", "name", &["\"ana\""], &["\"\"", "\"bob\""], &["1", "[\"ana\"]", "{}"]),
    ("age", "age", &["\"59m\"", "\"0\""], &["\"1h\""], &["\"1 hour\"", "60"]),
    (
        "network",
        "ip",
        &["\"10.1.2.3\"", "\"::ffff:10.1.2.3\"", "\"192.168.1.1\""],
        &["\"11.0.0.1\"", "\"2001:db8::1\"", "\"::ffff:11.0.0.1\""],
        &["\"10.1.2\"", "\"10.1.2.3:80\"", "\"10.1.2.3/32\"", "\"\"", "167772161"],
    ),
    (
        "hosts",
        "hosts",
        &["[]", "[\"10.0.0.1\", \"10.9.9.9\"]"],
        &["[\"10.0.0.1\", \"::1\"]"],
        &["\"10.0.0.1\"", "[\"10.0.0.1\", \"x\"]", "{}"],
    ),
    ("labels", "labels", &["{\"a\": \"2\"}"], &["{}", "{\"a\": 1}"], &["{\"a\": \"b\"}", "[]"]),
    (
        "until",
        "now",
        &["\"2026-01-01T00:00:00Z\""],
        &["\"2026-01-01T02:00:00+01:00\""],
        &["\"2026-01-01\"", "1767225600"],
    ),
];

#[tokio::test]
async fn each_type_takes_its_own_and_all_else_is_missing() {
    let mut wire = typed().await;
    for (condition, parameter, yes, no, missing) in TYPES {
        let stored = match *condition {
            "network" => r#"{"net": "192.168.0.0/16"}"#,
            "until" => r#"{"until": "2026-01-01T01:00:00Z"}"#,
            _ => "{}",
        };
        wire.write(vec![held(condition, stored)]).await.unwrap();
        let sent = |value: &&str| with(&format!("{{\"{parameter}\": {value}}}"));
        for value in *yes {
            let answer = wire.check(sent(value)).await.unwrap();
            assert_eq!(answer.reason(), pb::Reason::Granted, "{condition} {value}");
        }
        for value in *no {
            let answer = wire.check(sent(value)).await.unwrap();
            assert_eq!(answer.reason(), pb::Reason::NotGranted, "{condition} {value}");
        }
        for value in *missing {
            let answer = wire.check(sent(value)).await.unwrap();
            assert_eq!(answer.reason(), pb::Reason::MissingContext, "{condition} {value}");
            assert_eq!(answer.decision(), pb::Decision::Deny);
            assert_eq!(answer.missing, [*parameter], "{condition} {value}");
        }
        assert_eq!(wire.check(with("{}")).await.unwrap().missing, [*parameter]);
    }
}

#[tokio::test]
async fn what_is_missing_is_told_sorted_and_once() {
    let mut wire = typed().await;
    wire.write(vec![held("hour", "{}")]).await.unwrap();
    let both = |values: &str| pb::BatchCheckItem {
        context: context(values),
        ..item("user:ana doc.both doc:d")
    };
    let cases: [(&str, &[&str]); 6] = [
        ("{}", &["hour", "ip", "quota", "zone"]),
        (r#"{"hour": 9}"#, &["ip", "quota", "zone"]),
        (r#"{"hour": "noon", "zone": 7, "quota": 0}"#, &["hour", "ip", "zone"]),
        // A condition that fails without it asks for nothing more.
        (r#"{"hour": 9, "zone": "y"}"#, &["quota"]),
        (r#"{"hour": 9, "zone": "x", "ip": "11.0.0.1"}"#, &["quota"]),
        (r#"{"hour": 9, "quota": 0, "zone": "x", "ip": "10.0.0.1", "other": [1]}"#, &[]),
    ];
    let batch = wire.batch(cases.iter().map(|(values, _)| both(values)).collect()).await.unwrap();
    for ((values, missing), result) in cases.iter().zip(batch.results) {
        let request =
            pb::CheckRequest { context: context(values), ..ask("user:ana doc.both doc:d") };
        let answer = wire.check(request).await.unwrap();
        assert_eq!(answer.missing, *missing, "{values}");
        let Answer::Decision(decision) = result.result.unwrap() else { panic!("{values}") };
        assert_eq!(decision.missing, *missing, "{values}");
        assert_eq!(decision.reason(), answer.reason(), "{values}");
        let expected =
            if missing.is_empty() { pb::Reason::Granted } else { pb::Reason::MissingContext };
        assert_eq!(answer.reason(), expected, "{values}");
    }
    // Nothing is absent, and there is no value: the condition itself is named.
    wire.write(vec![held("network", r#"{"net": "office"}"#)]).await.unwrap();
    let failed = wire.check(with(r#"{"ip": "192.168.1.1"}"#)).await.unwrap();
    assert_eq!(
        (failed.reason(), failed.missing),
        (pb::Reason::MissingContext, vec!["condition:network".into()])
    );
    assert_eq!(
        wire.check(with(r#"{"ip": "10.1.1.1"}"#)).await.unwrap().reason(),
        pb::Reason::Granted
    );
}

#[tokio::test]
async fn stored_values_win_whatever_the_request_says() {
    let mut wire = typed().await;
    wire.write(vec![held("network", r#"{"ip": "10.0.0.1"}"#)]).await.unwrap();
    for request in ["{}", r#"{"ip": "11.0.0.1"}"#, r#"{"ip": "x"}"#, r#"{"ip": null}"#] {
        assert_eq!(wire.check(with(request)).await.unwrap().reason(), pb::Reason::Granted);
    }
    wire.write(vec![held("network", r#"{"ip": "11.0.0.1", "net": "12.0.0.0/8"}"#)]).await.unwrap();
    let request = r#"{"ip": "10.0.0.1", "net": "0.0.0.0/0"}"#;
    assert_eq!(wire.check(with(request)).await.unwrap().reason(), pb::Reason::NotGranted);
}

#[tokio::test]
async fn a_stored_value_of_another_type_is_refused() {
    let mut wire = typed().await;
    for (condition, stored, expected) in [
        (
            "hour",
            r#"{"hour": "noon"}"#,
            "`\"noon\"` does not fit the parameter `hour`: expected int",
        ),
        ("quota", r#"{"quota": -1}"#, "`-1` does not fit the parameter `quota`: expected uint"),
        (
            "network",
            r#"{"ip": "10.0.0"}"#,
            "`\"10.0.0\"` does not fit the parameter `ip`: expected ipaddress",
        ),
        ("hosts", r#"{"hosts": ["::1", 1]}"#, "expected list<ipaddress>"),
        ("labels", r#"{"labels": {"a": "b"}}"#, "expected map<int>"),
        ("until", r#"{"until": "2026-01-01"}"#, "expected timestamp"),
        ("age", r#"{"age": 60}"#, "expected duration"),
        ("flag", r#"{"flag": null}"#, "expected bool"),
        ("hour", r#"{"huor": 9}"#, "did you mean `hour`?"),
    ] {
        let good = change(pb::Operation::Touch, tuple("doc:d#viewer@user:bob"));
        let status = wire.write(vec![good, held(condition, stored)]).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "TUPLE_NOT_ADMITTED", "");
        assert!(status.message().contains(expected), "{status:?}");
        assert!(status.message().starts_with("changes[1]"), "{status:?}");
    }
    assert!(wire.read(pb::TupleFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn values_are_bounded_as_a_whole() {
    let mut wire = typed().await;
    wire.write(vec![held("name", "{}")]).await.unwrap();
    let text = |bytes: usize| format!("{{\"name\":\"{}\"}}", "a".repeat(bytes));
    let around = text(0).len();
    let largest = text(CONTEXT_BYTES_MAX - around);
    assert_eq!(wire.check(with(&largest)).await.unwrap().reason(), pb::Reason::Granted);
    let status = wire.check(with(&text(CONTEXT_BYTES_MAX - around + 1))).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "CONTEXT_TOO_LARGE", "context");
    assert!(status.message().contains("65536"), "{status:?}");
    // An item's own values come on top of the batch's, and are bounded with them.
    let items = vec![
        item("user:ana doc.view doc:d"),
        pb::BatchCheckItem { context: context(r#"{"x": 1}"#), ..item("user:ana doc.view doc:d") },
    ];
    let request = pb::BatchCheckRequest { items, context: context(&largest), ..Default::default() };
    let results = wire.questions.batch_check(request).await.unwrap().into_inner().results;
    let [first, second] = results.try_into().unwrap();
    assert!(matches!(first.result, Some(Answer::Decision(_))), "{first:?}");
    let Some(Answer::Error(error)) = second.result else { panic!() };
    assert_eq!(error.reason, "CONTEXT_TOO_LARGE");
    // Stored ones are as well.
    let status = wire.write(vec![held("name", &text(CONTEXT_BYTES_MAX))]).await.unwrap_err();
    let field = "changes[0].tuple.condition.context";
    assert_refused(&status, Code::InvalidArgument, "CONTEXT_TOO_LARGE", field);
}
