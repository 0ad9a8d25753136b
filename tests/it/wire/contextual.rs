//! Contextual tuples over a real socket: with Check, BatchCheck and ListSubjects, how they are refused,
//! and that nothing remains of them.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::CONTEXTUAL_TUPLES_MAX;
use pb::batch_check_result::Result as Answer;
use tonic::Code;

use super::client::{Wire, ask, context, item, tuple};
use crate::support::service::{assert_refused, refusal};

fn with(question: &str, tuples: Vec<pb::Tuple>) -> pb::CheckRequest {
    pb::CheckRequest { contextual_tuples: tuples, ..ask(question) }
}

fn list(tuples: Vec<pb::Tuple>) -> pb::ListSubjectsRequest {
    pb::ListSubjectsRequest {
        permission: "doc.view".into(),
        scope: "doc:d1".into(),
        subject_type: "user".into(),
        contextual_tuples: tuples,
        ..Default::default()
    }
}

#[tokio::test]
async fn check_counts_them_and_names_one_as_the_grant() {
    let mut wire = Wire::with(&["doc:d1#viewer@group:ops#member"]).await;
    let brought = pb::Tuple {
        grantor: "idp".into(),
        source: "sso".into(),
        ..tuple("group:ops#member@user:ana")
    };
    let mut request = with("user:ana doc.view doc:d1", vec![brought]);
    request.with_grant = true;
    let allowed = wire.check(request).await.unwrap();
    assert_eq!(allowed.decision(), pb::Decision::Allow);
    assert_eq!(allowed.revision, 2, "the revision is that of what is stored");
    let own = pb::Tuple { reason: "on call".into(), ..tuple("doc:d2#viewer@user:ana") };
    let mut request = with("user:ana doc.view doc:d2", vec![own.clone()]);
    request.with_grant = true;
    let grant = wire.check(request).await.unwrap().grant.unwrap();
    assert_eq!((grant.role.as_str(), grant.tuple), ("viewer", Some(own)));
    let plain = wire.check(ask("user:ana doc.view doc:d1")).await.unwrap();
    assert_eq!(plain.decision(), pb::Decision::Deny);
}

#[tokio::test]
async fn one_in_the_place_of_a_stored_tuple_hides_it() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let past = prost_types::Timestamp { seconds: -1, nanos: 0 };
    let expired = pb::Tuple { expires_at: Some(past), ..tuple("doc:d1#viewer@user:ana") };
    let denied = wire.check(with("user:ana doc.view doc:d1", vec![expired])).await.unwrap();
    assert_eq!(denied.reason(), pb::Reason::NotGranted);
    let condition = |hour: Option<&str>| pb::Tuple {
        condition: Some(pb::TupleCondition {
            name: "office".into(),
            context: hour.and_then(context),
        }),
        ..tuple("doc:d1#viewer@user:ana")
    };
    let unknown = with("user:ana doc.view doc:d1", vec![condition(None)]);
    let unknown = wire.check(unknown).await.unwrap();
    assert_eq!(unknown.reason(), pb::Reason::MissingContext);
    assert_eq!(unknown.missing, ["hour"]);
    let stored = with("user:ana doc.view doc:d1", vec![condition(Some(r#"{"hour": "9"}"#))]);
    assert_eq!(wire.check(stored).await.unwrap().decision(), pb::Decision::Allow);
}

#[tokio::test]
async fn a_batch_shares_them_and_a_list_names_whom_they_name() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:bob", "doc:d1#viewer@user:dan"]).await;
    let brought = || vec![tuple("doc:d1#viewer@user:ana"), tuple("doc:d1#viewer@user:cat")];
    // More items than are answered where the request was read.
    let items = (0..40).map(|at| {
        let user = ["ana", "bob", "cat", "eve"][at % 4];
        item(&format!("user:{user} doc.view doc:d1"))
    });
    let request = pb::BatchCheckRequest {
        items: items.collect(),
        contextual_tuples: brought(),
        ..Default::default()
    };
    for count in [40, 4] {
        let mut request = request.clone();
        request.items.truncate(count);
        let results = wire.questions.batch_check(request).await.unwrap().into_inner().results;
        for (at, result) in results.into_iter().enumerate() {
            let Answer::Decision(decision) = result.result.unwrap() else { panic!() };
            assert_eq!(decision.decision() == pb::Decision::Allow, at % 4 != 3, "item {at}");
        }
    }
    let (names, end) = wire.list(list(brought())).await.unwrap();
    assert_eq!(names, ["user:ana", "user:bob", "user:cat", "user:dan"]);
    assert_eq!((end.count, end.revision), (4, 2));
    assert_eq!(wire.list(list(Vec::new())).await.unwrap().0, ["user:bob", "user:dan"]);
    assert_eq!(wire.read(pb::TupleFilter::default()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn they_are_refused_by_their_path_with_a_commits_reasons() {
    let mut wire = Wire::with(&["folder:b#parent@folder:a", "doc:d1#folder@folder:b"]).await;
    let good = || tuple("doc:d1#viewer@user:ana");
    let invalid = Code::InvalidArgument;
    let far = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let held = |name: &str, values: &str| {
        let condition = pb::TupleCondition { name: name.into(), context: context(values) };
        pb::Tuple { condition: Some(condition), ..good() }
    };
    let cases = [
        (vec![pb::Tuple::default()], invalid, "INVALID_FIELD", "contextual_tuples[0].scope"),
        (
            vec![good(), pb::Tuple { subject: "ana".into(), ..good() }],
            invalid,
            "INVALID_FIELD",
            "contextual_tuples[1].subject",
        ),
        (
            vec![pb::Tuple { expires_at: Some(far), ..good() }],
            invalid,
            "INVALID_FIELD",
            "contextual_tuples[0].expires_at",
        ),
        (
            vec![pb::Tuple { reason: "a\nb".into(), ..good() }],
            invalid,
            "INVALID_FIELD",
            "contextual_tuples[0].reason",
        ),
        (
            vec![tuple("doc:d1#veiwer@user:ana")],
            invalid,
            "UNKNOWN_ROLE",
            "contextual_tuples[0].role",
        ),
        (vec![held("ofice", "{}")], invalid, "UNKNOWN_NAME", "contextual_tuples[0].condition.name"),
        (
            vec![held("office", r#"{"hour": true}"#)],
            invalid,
            "TUPLE_NOT_ADMITTED",
            "contextual_tuples[0].condition.context",
        ),
        (vec![good(), good()], invalid, "REPEATED_TUPLE", "contextual_tuples[1]"),
        (
            vec![tuple("folder:a#parent@folder:b")],
            Code::FailedPrecondition,
            "HIERARCHY_CYCLE",
            "contextual_tuples[0]",
        ),
        (
            vec![good(), tuple("folder:b#parent@folder:c")],
            Code::FailedPrecondition,
            "SECOND_PARENT",
            "contextual_tuples[1]",
        ),
    ];
    for (tuples, code, reason, field) in cases {
        let check = with("user:ana doc.view doc:d1", tuples.clone());
        let status = wire.check(check).await.expect_err(reason);
        assert_refused(&status, code, reason, field);
        let items = vec![item("user:ana doc.view doc:d1")];
        let batch = pb::BatchCheckRequest {
            items,
            contextual_tuples: tuples.clone(),
            ..Default::default()
        };
        let status = wire.questions.batch_check(batch).await.expect_err(reason);
        assert_refused(&status, code, reason, field);
        let status = wire.list(list(tuples)).await.expect_err(reason);
        assert_refused(&status, code, reason, field);
    }
}

#[tokio::test]
async fn a_hundred_are_taken_and_one_more_is_refused_with_the_limit() {
    let mut wire = Wire::with(&[]).await;
    let many = |count: usize| -> Vec<pb::Tuple> {
        (0..count).map(|at| tuple(&format!("doc:d{at}#viewer@user:ana"))).collect()
    };
    let question = "user:ana doc.view doc:d99";
    let allowed = wire.check(with(question, many(CONTEXTUAL_TUPLES_MAX))).await.unwrap();
    assert_eq!(allowed.decision(), pb::Decision::Allow);
    let status = wire.check(with(question, many(CONTEXTUAL_TUPLES_MAX + 1))).await.unwrap_err();
    let reason = "TOO_MANY_CONTEXTUAL_TUPLES";
    assert_refused(&status, Code::InvalidArgument, reason, "contextual_tuples");
    let (_, _, metadata) = refusal(&status);
    assert_eq!(metadata["limit"], "100");
    assert!(status.message().contains("101") && status.message().contains("100"), "{status:?}");
}

#[tokio::test]
async fn requests_at_once_see_their_own_only() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:zoe"]).await;
    let one = |at: usize| {
        let mut questions = wire.questions.clone();
        async move {
            let user = format!("user:u{at}");
            let other = format!("user:u{}", at + 1);
            let own = vec![tuple(&format!("doc:d1#viewer@{user}"))];
            let ask = |user: &str| with(&format!("{user} doc.view doc:d1"), own.clone());
            for _ in 0..20 {
                let mine = questions.check(ask(&user)).await.unwrap().into_inner();
                assert_eq!(mine.decision(), pb::Decision::Allow);
                let theirs = questions.check(ask(&other)).await.unwrap().into_inner();
                assert_eq!(theirs.decision(), pb::Decision::Deny);
            }
        }
    };
    let running: Vec<_> = (0..16).map(|at| tokio::spawn(one(at))).collect();
    for task in running {
        task.await.unwrap();
    }
    assert_eq!(wire.list(list(Vec::new())).await.unwrap().0, ["user:zoe"]);
    assert_eq!(wire.read(pb::TupleFilter::default()).await.unwrap().len(), 1);
    let later = wire.check(ask("user:u1 doc.view doc:d1")).await.unwrap();
    assert_eq!((later.decision(), later.revision), (pb::Decision::Deny, 2));
}
