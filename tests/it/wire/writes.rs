//! The terms of a commit over a real socket: preconditions, idempotency keys, validation, ends, limits.

use std::sync::Arc;

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{
    COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEY_SECONDS,
    PRECONDITION_TUPLES_MAX, PRECONDITIONS_MAX,
};
use bailiwick::store::memory::MemoryStore;
use pb::precondition::Condition;
use tonic::{Code, Status};

use super::client::{Wire, ask, change, context, touch, tuple};
use crate::support::SetClock;
use crate::support::service::{Service, assert_refused, refusal};

/// A service whose clock the test sets.
async fn timed() -> (Wire, Arc<SetClock>) {
    let clock = Arc::new(SetClock::default());
    let service = Service::start_on(Arc::new(MemoryStore::new()), clock.clone()).await;
    let channel = service.channel().await;
    let questions =
        pb::authorization_service_client::AuthorizationServiceClient::new(channel.clone());
    let tuples = pb::tuple_service_client::TupleServiceClient::new(channel);
    (Wire { service, questions, tuples }, clock)
}

impl Wire {
    async fn commit(
        &mut self,
        request: pb::WriteTuplesRequest,
    ) -> Result<pb::WriteTuplesResponse, Status> {
        Ok(self.tuples.write_tuples(request).await?.into_inner())
    }

    /// The text of every stored tuple.
    async fn stored(&mut self) -> Vec<String> {
        let tuples = self.read(pb::TupleFilter::default()).await.unwrap();
        let text = |t: &pb::Tuple| format!("{}#{}@{}", t.scope, t.role, t.subject);
        let mut texts: Vec<_> = tuples.iter().map(text).collect();
        texts.sort();
        texts
    }
}

fn changes(changes: Vec<pb::TupleChange>) -> pb::WriteTuplesRequest {
    pb::WriteTuplesRequest { changes, ..Default::default() }
}

fn keyed(key: &str, list: Vec<pb::TupleChange>) -> pb::WriteTuplesRequest {
    pb::WriteTuplesRequest { idempotency_key: key.into(), ..changes(list) }
}

fn create(text: &str) -> pb::TupleChange {
    change(pb::Operation::Create, tuple(text))
}

fn delete(text: &str) -> pb::TupleChange {
    change(pb::Operation::Delete, tuple(text))
}

fn must(filter: pb::TupleFilter) -> pb::Precondition {
    pb::Precondition { condition: Some(Condition::MustMatch(filter)) }
}

fn must_not(filter: pb::TupleFilter) -> pb::Precondition {
    pb::Precondition { condition: Some(Condition::MustNotMatch(filter)) }
}

fn at(scope: &str, role: &str) -> pb::TupleFilter {
    pb::TupleFilter { scope: scope.into(), role: role.into(), ..Default::default() }
}

fn seconds(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

const MICROS: i64 = 1_000_000;

#[tokio::test]
async fn a_commit_waits_on_its_preconditions() {
    let mut wire = Wire::with(&["org:acme#admin@user:ana"]).await;
    let with = |preconditions, list| pb::WriteTuplesRequest { preconditions, ..changes(list) };
    let bob = || vec![create("org:acme#admin@user:bob")];

    let none = with(vec![must_not(at("org:acme", "admin"))], bob());
    let status = wire.commit(none).await.unwrap_err();
    let field = "preconditions[0].must_not_match";
    assert_refused(&status, Code::FailedPrecondition, "PRECONDITION_FAILED", field);
    let (_, _, metadata) = refusal(&status);
    assert_eq!(metadata["precondition"], "0");
    assert_eq!(metadata["tuple"], "org:acme#admin@user:ana");
    assert!(status.message().contains("`org:acme#admin@user:ana` is there"), "{status:?}");

    let second = vec![must(at("org:acme", "admin")), must(at("org:acme", "guest"))];
    let status = wire.commit(with(second, bob())).await.unwrap_err();
    let field = "preconditions[1].must_match";
    assert_refused(&status, Code::FailedPrecondition, "PRECONDITION_FAILED", field);
    assert_eq!(refusal(&status).2["precondition"], "1");
    assert!(!refusal(&status).2.contains_key("tuple"));
    assert_eq!(wire.stored().await, ["org:acme#admin@user:ana"], "a refused commit wrote");

    // Judged before the commit's own changes, either way.
    let own = vec![must_not(at("org:acme", "guest"))];
    wire.commit(with(own, vec![create("org:acme#guest@user:gus")])).await.unwrap();
    let ana = pb::TupleFilter { subject: "user:ana".into(), ..at("org:acme", "admin") };
    let moved = vec![delete("org:acme#admin@user:ana"), create("org:acme#admin@user:bob")];
    let moving = with(vec![must(ana)], moved);
    wire.commit(moving.clone()).await.unwrap();
    let status = wire.commit(moving).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "PRECONDITION_FAILED", "");
    assert_eq!(wire.stored().await, ["org:acme#admin@user:bob", "org:acme#guest@user:gus"]);

    let status = wire.commit(with(vec![must(at("org:acme", "admin"))], vec![])).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "EMPTY_COMMIT", "changes");
}

#[tokio::test]
async fn a_precondition_matches_what_read_tuples_reads() {
    let mut wire = Wire::with(&[
        "doc:d1#viewer@user:ana",
        "doc:d1#editor@group:ops#member",
        "doc:d2#viewer@user:*",
        "org:acme#admin@user:ana",
    ])
    .await;
    let of_hr = pb::Tuple { source: "hr".into(), ..tuple("org:acme#guest@user:gus") };
    wire.write(vec![change(pb::Operation::Create, of_hr)]).await.unwrap();
    let pick = |bits: usize, at: u32, values: [&str; 2]| match (bits >> (2 * at)) & 3 {
        0 => String::new(),
        n => values.get(n - 1).copied().unwrap_or_default().to_owned(),
    };
    let (mut some, mut none) = (0, 0);
    for bits in 0..4_usize.pow(6) {
        // The fourth value of a field is the first again: unset.
        let filter = pb::TupleFilter {
            scope_type: pick(bits, 0, ["doc", "org"]),
            scope: pick(bits, 1, ["doc:d1", "org:acme"]),
            role: pick(bits, 2, ["viewer", "admin"]),
            subject_type: pick(bits, 3, ["user", "group"]),
            subject: pick(bits, 4, ["user:ana", "group:ops#member"]),
            source: (bits >> 10 < 3).then(|| pick(bits, 5, ["hr", "ldap"])),
        };
        if (0..5).any(|field| (bits >> (2 * field)) & 3 == 3) {
            continue;
        }
        let is_there = !wire.read(filter.clone()).await.unwrap().is_empty();
        *if is_there { &mut some } else { &mut none } += 1;
        for (precondition, holds) in
            [(must(filter.clone()), is_there), (must_not(filter), !is_there)]
        {
            let request = pb::WriteTuplesRequest {
                preconditions: vec![precondition],
                validate_only: true,
                ..changes(vec![touch("doc:d1#viewer@user:ana")])
            };
            let outcome = wire.commit(request.clone()).await;
            assert_eq!(outcome.is_ok(), holds, "{request:?}: {outcome:?}");
        }
    }
    assert!(some > 50 && none > 500, "{some} filters match, {none} do not");
}

#[tokio::test]
async fn an_expired_tuple_is_absent_for_a_precondition() {
    let (mut wire, clock) = timed().await;
    let until_100 = pb::Tuple { expires_at: seconds(100), ..tuple("org:acme#admin@user:ana") };
    wire.write(vec![change(pb::Operation::Create, until_100)]).await.unwrap();
    let request = |condition| pb::WriteTuplesRequest {
        preconditions: vec![condition],
        ..changes(vec![touch("org:acme#guest@user:gus")])
    };
    clock.set(100 * MICROS - 1);
    wire.commit(request(must(at("org:acme", "admin")))).await.unwrap();
    assert!(wire.commit(request(must_not(at("org:acme", "admin")))).await.is_err());
    clock.set(100 * MICROS);
    wire.commit(request(must_not(at("org:acme", "admin")))).await.unwrap();
    assert!(wire.commit(request(must(at("org:acme", "admin")))).await.is_err());
}

#[tokio::test]
async fn a_malformed_precondition_is_refused_with_its_path() {
    let mut wire = Wire::with(&[]).await;
    let none = pb::TupleFilter::default;
    let cases = [
        (
            pb::TupleFilter { scope_type: "dok".into(), ..none() },
            "UNKNOWN_TYPE",
            "scope_type",
            "doc",
        ),
        (pb::TupleFilter { scope: "dok:d1".into(), ..none() }, "UNKNOWN_TYPE", "scope", "doc"),
        (pb::TupleFilter { scope: "doc".into(), ..none() }, "INVALID_FIELD", "scope", ""),
        (pb::TupleFilter { role: "veiwer".into(), ..none() }, "UNKNOWN_ROLE", "role", "viewer"),
        (
            pb::TupleFilter { subject_type: "usr".into(), ..none() },
            "UNKNOWN_TYPE",
            "subject_type",
            "user",
        ),
        (pb::TupleFilter { subject: "a b".into(), ..none() }, "INVALID_FIELD", "subject", ""),
    ];
    for (filter, reason, field, nearest) in cases {
        for (precondition, kind) in
            [(must(filter.clone()), "must_match"), (must_not(filter), "must_not_match")]
        {
            let request = pb::WriteTuplesRequest {
                preconditions: vec![must_not(pb::TupleFilter::default()), precondition],
                ..changes(vec![touch("doc:d1#viewer@user:ana")])
            };
            let status = wire.commit(request).await.unwrap_err();
            let path = format!("preconditions[1].{kind}.{field}");
            assert_refused(&status, Code::InvalidArgument, reason, &path);
            let found = refusal(&status).2.get("nearest").cloned().unwrap_or_default();
            assert_eq!(found, nearest, "{status:?}");
            assert!(status.message().contains(nearest), "{status:?}");
        }
    }
    let request = pb::WriteTuplesRequest {
        preconditions: vec![pb::Precondition { condition: None }],
        ..changes(vec![touch("doc:d1#viewer@user:ana")])
    };
    let status = wire.commit(request).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", "preconditions[0]");
    assert!(wire.stored().await.is_empty());
}

#[tokio::test]
async fn preconditions_are_bounded_in_number_and_in_cost() {
    let mut wire = Wire::with(&[]).await;
    let request = |preconditions| pb::WriteTuplesRequest {
        preconditions,
        validate_only: true,
        ..changes(vec![touch("doc:d1#viewer@user:ana")])
    };
    let empty = must_not(pb::TupleFilter::default());
    wire.commit(request(vec![empty.clone(); PRECONDITIONS_MAX])).await.unwrap();
    let status = wire.commit(request(vec![empty; PRECONDITIONS_MAX + 1])).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "COMMIT_TOO_LARGE", "preconditions");
    assert_eq!(refusal(&status).2["limit"], PRECONDITIONS_MAX.to_string());

    let viewers = (0..PRECONDITION_TUPLES_MAX).map(|i| touch(&format!("doc:d{i}#viewer@user:ana")));
    for part in viewers.collect::<Vec<_>>().chunks(COMMIT_CHANGES_MAX) {
        wire.write(part.to_vec()).await.unwrap();
    }
    let editors = || pb::TupleFilter { role: "editor".into(), ..Default::default() };
    wire.commit(request(vec![must_not(editors())])).await.unwrap();
    let reach = |status: &Status, at: usize| {
        let field = format!("preconditions[{at}].must_not_match");
        assert_refused(status, Code::ResourceExhausted, "PRECONDITION_TOO_BROAD", &field);
        assert_eq!(refusal(status).2["limit"], PRECONDITION_TUPLES_MAX.to_string());
    };
    // The bound is on all of them together.
    let both = request(vec![must_not(editors()), must_not(editors())]);
    reach(&wire.commit(both).await.unwrap_err(), 1);
    wire.write(vec![touch("doc:one-more#viewer@user:ana")]).await.unwrap();
    reach(&wire.commit(request(vec![must_not(editors())])).await.unwrap_err(), 0);
    // What names a scope or a subject with the role looks at what it names.
    let narrow = [
        must_not(at("doc:d1", "editor")),
        must_not(pb::TupleFilter { subject: "user:ana".into(), ..editors() }),
        must_not(pb::TupleFilter { subject: "user:ana".into(), ..at("doc:d1", "editor") }),
        must(pb::TupleFilter { subject: "user:ana".into(), ..at("doc:d1", "viewer") }),
        must(pb::TupleFilter::default()),
    ];
    wire.commit(request(vec![narrow; 20].concat())).await.unwrap();
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_was() {
    let mut wire = Wire::with(&[]).await;
    let request = || pb::WriteTuplesRequest {
        preconditions: vec![must_not(at("doc:d1", "viewer"))],
        ..keyed("order-7", vec![create("doc:d1#viewer@user:ana"), delete("doc:d1#editor@user:eve")])
    };
    let first = wire.commit(request()).await.unwrap();
    assert_eq!((first.revision, first.changed), (2, 1));
    // Neither the precondition nor the create would hold now.
    assert_eq!(wire.commit(request()).await.unwrap(), first);
    // Nor is it done again once somebody has undone it.
    wire.write(vec![delete("doc:d1#viewer@user:ana")]).await.unwrap();
    assert_eq!(wire.commit(request()).await.unwrap(), first);
    assert!(wire.stored().await.is_empty());
    assert_eq!(wire.write(vec![touch("doc:d2#viewer@user:ana")]).await.unwrap().revision, 4);

    let others = [
        keyed("order-7", vec![create("doc:d1#viewer@user:ana")]),
        pb::WriteTuplesRequest { preconditions: vec![], ..request() },
    ];
    for other in others {
        let status = wire.commit(other).await.unwrap_err();
        let field = "idempotency_key";
        assert_refused(&status, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", field);
        assert_eq!(refusal(&status).2["revision"], "2");
        assert!(status.message().contains("revision 2"), "{status:?}");
    }
    let other_key = pb::WriteTuplesRequest { idempotency_key: "order-8".into(), ..request() };
    assert_eq!(wire.commit(other_key).await.unwrap().revision, 5);
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key_and_an_idle_one_does() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    for refused in [vec![create("doc:d1#viewer@user:ana")], vec![touch("doc:d1#veiwer@user:ana")]] {
        wire.commit(keyed("k", refused)).await.unwrap_err();
    }
    // A delete of what is not there commits its key, and nothing else.
    let idle = || keyed("k", vec![delete("doc:d2#viewer@user:ana")]);
    let first = wire.commit(idle()).await.unwrap();
    assert_eq!((first.revision, first.changed), (3, 0));
    wire.write(vec![touch("doc:d2#viewer@user:ana")]).await.unwrap();
    assert_eq!(wire.commit(idle()).await.unwrap(), first);
    assert_eq!(wire.stored().await.len(), 2, "a late repeat deleted what came after it");
    let unkeyed = wire.write(vec![delete("doc:d3#viewer@user:ana")]).await.unwrap();
    assert_eq!((unkeyed.revision, unkeyed.changed), (4, 0), "without a key nothing is committed");
}

#[tokio::test]
async fn a_malformed_key_is_refused_and_one_of_the_limit_is_not() {
    let mut wire = Wire::with(&[]).await;
    let longest = "k".repeat(IDEMPOTENCY_KEY_BYTES_MAX);
    for (n, good) in (2..).zip(["k", "~ !", &longest]) {
        let request = keyed(good, vec![touch("doc:d1#viewer@user:ana")]);
        for _ in 0..2 {
            assert_eq!(wire.commit(request.clone()).await.unwrap().revision, n, "{good}");
        }
    }
    for bad in [format!("{longest}k"), "tab\t".into(), "schlüssel".into(), "nul\0".into()] {
        let request = keyed(&bad, vec![touch("doc:d1#viewer@user:ana")]);
        let status = wire.commit(request).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", "idempotency_key");
    }
    let status = wire.commit(keyed("k", vec![])).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "EMPTY_COMMIT", "changes");
}

#[tokio::test]
async fn a_key_is_free_again_after_24_hours() {
    let (mut wire, clock) = timed().await;
    let day = i64::try_from(IDEMPOTENCY_KEY_SECONDS).unwrap() * MICROS;
    let request = |scope: &str| keyed("k", vec![touch(&format!("{scope}#viewer@user:ana"))]);
    assert_eq!(wire.commit(request("doc:d1")).await.unwrap().revision, 2);
    clock.set(day - 1);
    assert_eq!(wire.commit(request("doc:d1")).await.unwrap().revision, 2);
    assert!(wire.commit(request("doc:d2")).await.is_err());
    clock.set(day);
    assert_eq!(wire.commit(request("doc:d2")).await.unwrap().revision, 3);
    assert!(wire.commit(request("doc:d1")).await.is_err());
}

#[tokio::test]
async fn validation_tells_what_would_be_done_and_does_nothing() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let only = |request| pb::WriteTuplesRequest { validate_only: true, ..request };
    let good = || {
        let list = vec![
            create("doc:d2#viewer@user:ana"),
            delete("doc:d1#viewer@user:ana"),
            delete("doc:d9#viewer@user:ana"),
        ];
        keyed("k", list)
    };
    for _ in 0..2 {
        let answer = wire.commit(only(good())).await.unwrap();
        assert_eq!((answer.revision, answer.changed), (2, 2));
    }
    assert_eq!(wire.stored().await, ["doc:d1#viewer@user:ana"]);
    let refused = [
        (vec![create("doc:d1#viewer@user:ana")], "TUPLE_EXISTS"),
        (vec![touch("doc:d1#veiwer@user:ana")], "UNKNOWN_ROLE"),
        (vec![touch("folder:a#parent@folder:a")], "HIERARCHY_CYCLE"),
        (vec![], "EMPTY_COMMIT"),
        (large(2_000), "COMMIT_TOO_LARGE"),
    ];
    for (list, reason) in refused {
        let status = wire.commit(only(changes(list))).await.expect_err(reason);
        assert_eq!(refusal(&status).1, reason);
    }
    // The key was not used up; once it is, validation says what the request would be answered.
    let done = wire.commit(good()).await.unwrap();
    assert_eq!((done.revision, done.changed), (3, 2));
    wire.write(vec![touch("doc:d5#viewer@user:ana")]).await.unwrap();
    assert_eq!(wire.commit(only(good())).await.unwrap(), done);
    let other = keyed("k", vec![touch("doc:d1#viewer@user:ana")]);
    let status = wire.commit(only(other)).await.unwrap_err();
    assert_eq!(refusal(&status).1, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_tuple_whose_end_has_come_is_never_stored() {
    let (mut wire, clock) = timed().await;
    clock.set(100 * MICROS);
    let ends = |operation, end| {
        let tuple = pb::Tuple { expires_at: seconds(end), ..tuple("doc:d1#viewer@user:ana") };
        vec![change(operation, tuple)]
    };
    use pb::Operation::{Create, Touch};
    // Nothing is there to be removed.
    for (operation, end) in [(Create, 99), (Touch, 100)] {
        let answer = wire.write(ends(operation, end)).await.unwrap();
        assert_eq!((answer.revision, answer.changed), (1, 0), "{operation:?} {end}");
    }
    let answer = wire.write(ends(Create, 101)).await.unwrap();
    assert_eq!((answer.revision, answer.changed), (2, 1));
    assert!(
        wire.check(ask("user:ana doc.view doc:d1")).await.unwrap().decision()
            == pb::Decision::Allow
    );
    // A live one is there: a create is refused, whatever its own end; a touch moves the end to the past.
    let status = wire.write(ends(Create, 99)).await.unwrap_err();
    assert_refused(&status, Code::AlreadyExists, "TUPLE_EXISTS", "changes[0].tuple");
    let answer = wire.write(ends(Touch, 100)).await.unwrap();
    assert_eq!((answer.revision, answer.changed), (3, 1));
    assert!(
        wire.check(ask("user:ana doc.view doc:d1")).await.unwrap().decision() == pb::Decision::Deny
    );
    assert!(wire.stored().await.is_empty());
    // An expired one does not stand in the way of a new one.
    wire.write(ends(Create, 101)).await.unwrap();
    clock.set(101 * MICROS);
    assert!(wire.stored().await.is_empty());
    wire.write(ends(Create, 200)).await.unwrap();
    assert_eq!(wire.stored().await.len(), 1);
    // What is misspelt is refused though it would not be stored.
    let misspelt = pb::Tuple { expires_at: seconds(1), ..tuple("doc:d1#veiwer@user:ana") };
    let status = wire.write(vec![change(Touch, misspelt)]).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "UNKNOWN_ROLE", "changes[0].tuple.role");
    assert_eq!(refusal(&status).2["nearest"], "viewer");
}

#[tokio::test]
async fn a_stored_context_wins_over_the_requests() {
    let mut wire = Wire::with(&[]).await;
    let office = |subject: &str, stored: &str| {
        let condition =
            Some(pb::TupleCondition { name: "office".into(), context: context(stored) });
        let tuple = pb::Tuple { condition, ..tuple(&format!("doc:d1#viewer@{subject}")) };
        change(pb::Operation::Create, tuple)
    };
    wire.write(vec![
        office("user:ana", r#"{"hour": 9}"#),
        office("user:bob", r#"{"hour": 20}"#),
        office("user:eve", "{}"),
    ])
    .await
    .unwrap();
    use pb::Decision::{Allow, Deny};
    for (subject, hour, expected) in [
        ("ana", None, Allow),
        ("ana", Some(20), Allow),
        ("bob", Some(9), Deny),
        ("eve", Some(9), Allow),
        ("eve", Some(20), Deny),
        ("eve", None, Deny),
    ] {
        let context = hour.and_then(|hour| context(&format!(r#"{{"hour": {hour}}}"#)));
        let question = ask(&format!("user:{subject} doc.view doc:d1"));
        let answer = wire.check(pb::CheckRequest { context, ..question }).await.unwrap();
        assert_eq!(answer.decision(), expected, "{subject} at {hour:?}");
    }
    // The value must fit the parameter.
    let status = wire.write(vec![office("user:gus", r#"{"hour": "nine"}"#)]).await.unwrap_err();
    let field = "changes[0].tuple.condition";
    assert_refused(&status, Code::InvalidArgument, "TUPLE_NOT_ADMITTED", field);
}

#[tokio::test]
async fn ten_thousand_changes_are_taken_and_one_more_is_not() {
    let mut wire = Wire::with(&[]).await;
    let list = |count: usize| -> Vec<_> {
        (0..count).map(|i| create(&format!("doc:d{i}#viewer@user:ana"))).collect()
    };
    let status = wire.write(list(COMMIT_CHANGES_MAX + 1)).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "COMMIT_TOO_LARGE", "changes");
    assert_eq!(refusal(&status).2["limit"], COMMIT_CHANGES_MAX.to_string());
    let answer = wire.write(list(COMMIT_CHANGES_MAX)).await.unwrap();
    assert_eq!(answer.changed, COMMIT_CHANGES_MAX as u64);
    assert_eq!(wire.stored().await.len(), COMMIT_CHANGES_MAX);
}

/// Changes of about 1 KiB each.
fn large(count: usize) -> Vec<pb::TupleChange> {
    let long = |i: usize| {
        let tuple = tuple(&format!("doc:large{i}#viewer@user:ana"));
        change(pb::Operation::Create, pb::Tuple { reason: "r".repeat(900), ..tuple })
    };
    (0..count).map(long).collect()
}

#[tokio::test]
async fn a_commit_of_a_mebibyte_is_taken_and_of_one_byte_more_is_not() {
    let mut wire = Wire::with(&[]).await;
    let mut list = large(COMMIT_BYTES_MAX / 950 + 20);
    let taken_of = |status: &Status| -> usize {
        assert_refused(status, Code::InvalidArgument, "COMMIT_TOO_LARGE", "");
        assert_eq!(refusal(status).2["limit_bytes"], COMMIT_BYTES_MAX.to_string());
        let words = status.message().split(' ');
        words.filter_map(|word| word.parse().ok()).next().expect("the size")
    };
    let mut over = taken_of(&wire.write(list.clone()).await.unwrap_err()) - COMMIT_BYTES_MAX;
    // Each loses a few bytes of its reason, until the commit is as large as allowed.
    for change in &mut list {
        let reason = &mut change.tuple.as_mut().unwrap().reason;
        let fewer = over.min(500);
        reason.truncate(reason.len() - fewer);
        over -= fewer;
    }
    list.last_mut().unwrap().tuple.as_mut().unwrap().reason.push('r');
    let taken = taken_of(&wire.write(list.clone()).await.unwrap_err());
    assert_eq!(taken, COMMIT_BYTES_MAX + 1);
    assert!(wire.stored().await.is_empty());
    list.last_mut().unwrap().tuple.as_mut().unwrap().reason.pop();
    assert_eq!(wire.write(list.clone()).await.unwrap().changed, list.len() as u64);
}
