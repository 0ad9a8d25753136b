//! The terms of a commit over a real socket: idempotency keys, validation, ends, limits.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{
    COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEY_SECONDS,
};
use tonic::{Code, Status};

use super::client::{Wire, ask, change, context, touch, tuple};
use super::terms::{MICROS, at, changes, create, delete, keyed, must_not, seconds, timed};
use crate::support::service::{assert_refused, refusal};

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
    let field = "changes[0].tuple.condition.context";
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

#[tokio::test]
async fn a_touch_of_what_is_there_already_changes_nothing() {
    let (mut wire, clock) = timed().await;
    let office = |hour: u32| pb::TupleCondition {
        name: "office".into(),
        context: context(&format!("{{\"hour\": {hour}}}")),
    };
    let full = pb::Tuple {
        source: "hr".into(),
        expires_at: seconds(100),
        condition: Some(office(9)),
        grantor: "user:boss".into(),
        reason: "new".into(),
        ..tuple("doc:d1#viewer@user:ana")
    };
    let all = |tuple: &pb::Tuple| {
        vec![touch("org:acme#admin@user:bob"), change(pb::Operation::Touch, tuple.clone())]
    };
    let first = wire.write(all(&full)).await.unwrap();
    assert_eq!(first.changed, 2);
    // No commit: the revision and its token stay, and with them what `exactly` is served for.
    let again = wire.write(all(&full)).await.unwrap();
    assert_eq!((again.changed, again.revision, &again.token), (0, first.revision, &first.token));
    // A key is used up all the same.
    let keyed = wire.commit(keyed("nightly", all(&full))).await.unwrap();
    assert_eq!((keyed.changed, keyed.revision), (0, first.revision + 1));
    // Whatever a tuple carries is a change.
    let others = [
        pb::Tuple { expires_at: seconds(101), ..full.clone() },
        pb::Tuple { expires_at: None, ..full.clone() },
        pb::Tuple { condition: Some(office(10)), ..full.clone() },
        pb::Tuple { condition: None, ..full.clone() },
        pb::Tuple { grantor: "user:cto".into(), ..full.clone() },
        pb::Tuple { reason: String::new(), ..full.clone() },
        pb::Tuple { source: "ldap".into(), ..full.clone() },
    ];
    for other in others {
        assert_eq!(wire.write(all(&other)).await.unwrap().changed, 1, "{other:?}");
        assert_eq!(wire.write(all(&other)).await.unwrap().changed, 0, "{other:?}");
        wire.write(all(&full)).await.unwrap();
    }
    // What has ended is absent, and is touched into being again.
    clock.set(100 * MICROS);
    let later = pb::Tuple { expires_at: seconds(200), ..full.clone() };
    assert_eq!(wire.write(all(&later)).await.unwrap().changed, 1);
    assert_eq!(wire.write(all(&full)).await.unwrap().changed, 1, "a late end is a delete");
    assert_eq!(wire.write(all(&full)).await.unwrap().changed, 0);
}
