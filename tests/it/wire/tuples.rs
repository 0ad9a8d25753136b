//! WriteTuples and ReadTuples over a real socket: what they answer, and how they refuse.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::COMMIT_CHANGES_MAX;
use tonic::Code;

use super::client::{Wire, change, context, touch, tuple};
use crate::support::service::assert_refused;

#[tokio::test]
async fn writes_are_atomic_and_read_back_as_written() {
    let mut wire = Wire::with(&[]).await;
    let full = pb::Tuple {
        source: "hr".into(),
        expires_at: Some(prost_types::Timestamp { seconds: 4_102_444_800, nanos: 1_000 }),
        condition: Some(pb::TupleCondition {
            name: "office".into(),
            context: context(r#"{"hour": 9}"#),
        }),
        grantor: "user:boss".into(),
        reason: "because".into(),
        ..tuple("doc:d1#viewer@user:ana")
    };
    let created = wire
        .write(vec![
            change(pb::Operation::Create, full.clone()),
            change(pb::Operation::Create, tuple("org:acme#admin@user:ana")),
            change(pb::Operation::Create, tuple("folder:f1#parent@org:acme")),
        ])
        .await
        .unwrap();
    assert_eq!(created.revision, 2);
    let by_source = pb::TupleFilter { source: Some("hr".into()), ..Default::default() };
    assert_eq!(wire.read(by_source).await.unwrap(), std::slice::from_ref(&full));

    let again = vec![
        change(pb::Operation::Create, tuple("org:acme#guest@user:gus")),
        change(pb::Operation::Create, full.clone()),
    ];
    let status = wire.write(again).await.unwrap_err();
    assert_refused(&status, Code::AlreadyExists, "TUPLE_EXISTS", "");
    let guests = pb::TupleFilter { role: "guest".into(), ..Default::default() };
    assert!(wire.read(guests).await.unwrap().is_empty(), "half a commit was stored");

    let delete = vec![change(pb::Operation::Delete, full)];
    assert_eq!(wire.write(delete.clone()).await.unwrap().revision, 3);
    assert_eq!(wire.write(delete).await.unwrap().revision, 3, "deleting nothing is no error");
    let rest = wire.read(pb::TupleFilter::default()).await.unwrap();
    assert_eq!(rest.len(), 2);
}

#[tokio::test]
async fn every_field_filters() {
    let tuples = [
        "doc:d1#viewer@user:ana",
        "doc:d1#editor@group:ops#member",
        "doc:d2#viewer@user:*",
        "org:acme#admin@user:ana",
    ];
    let mut wire = Wire::with(&tuples).await;
    let none = pb::TupleFilter::default;
    let cases = [
        (none(), 4),
        (pb::TupleFilter { scope_type: "doc".into(), ..none() }, 3),
        (pb::TupleFilter { scope: "doc:d1".into(), ..none() }, 2),
        (pb::TupleFilter { role: "viewer".into(), ..none() }, 2),
        (pb::TupleFilter { subject_type: "user".into(), ..none() }, 3),
        (pb::TupleFilter { subject: "user:ana".into(), ..none() }, 2),
        (pb::TupleFilter { subject: "group:ops#member".into(), ..none() }, 1),
        (pb::TupleFilter { source: Some(String::new()), ..none() }, 4),
        (pb::TupleFilter { source: Some("hr".into()), ..none() }, 0),
        (pb::TupleFilter { scope: "doc:d1".into(), subject: "user:ana".into(), ..none() }, 1),
    ];
    for (filter, count) in cases {
        assert_eq!(wire.read(filter.clone()).await.unwrap().len(), count, "{filter:?}");
    }
    let cases = [
        (pb::TupleFilter { scope_type: "dok".into(), ..none() }, "UNKNOWN_TYPE", "scope_type"),
        (pb::TupleFilter { scope: "doc".into(), ..none() }, "INVALID_FIELD", "scope"),
        (pb::TupleFilter { role: "veiwer".into(), ..none() }, "UNKNOWN_ROLE", "role"),
        (pb::TupleFilter { subject_type: "usr".into(), ..none() }, "UNKNOWN_TYPE", "subject_type"),
        (pb::TupleFilter { subject: "ana".into(), ..none() }, "INVALID_FIELD", "subject"),
    ];
    for (filter, reason, field) in cases {
        let status = wire.read(filter).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, reason, &format!("filter.{field}"));
    }
}

#[tokio::test]
async fn a_malformed_change_is_refused_with_its_path() {
    let mut wire = Wire::with(&[]).await;
    let with = |edit: &dyn Fn(&mut pb::Tuple)| {
        let mut tuple = tuple("doc:d1#viewer@user:ana");
        edit(&mut tuple);
        vec![touch("org:acme#admin@user:ana"), change(pb::Operation::Touch, tuple)]
    };
    let moment = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    let bare =
        |operation| vec![pb::TupleChange { operation, tuple: Some(tuple("doc:d1#viewer@user:a")) }];
    let unnamed = || Some(pb::TupleCondition::default());
    let cases = [
        (bare(0), "changes[0].operation"),
        (bare(99), "changes[0].operation"),
        (vec![pb::TupleChange { operation: 2, tuple: None }], "changes[0].tuple"),
        (with(&|t| t.scope = "d1".into()), "changes[1].tuple.scope"),
        (with(&|t| t.role.clear()), "changes[1].tuple.role"),
        (with(&|t| t.subject = "a b".into()), "changes[1].tuple.subject"),
        (with(&|t| t.source = "\n".into()), "changes[1].tuple.source"),
        (with(&|t| t.reason = "x".repeat(2_000)), "changes[1].tuple.reason"),
        (with(&|t| t.expires_at = moment(i64::MAX, 0)), "changes[1].tuple.expires_at"),
        (with(&|t| t.expires_at = moment(0, -1)), "changes[1].tuple.expires_at"),
        (with(&|t| t.condition = unnamed()), "changes[1].tuple.condition.name"),
    ];
    for (changes, field) in cases {
        let status = wire.write(changes.clone()).await.expect_err(&format!("{changes:?}"));
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", field);
    }
}

#[tokio::test]
async fn a_refused_commit_leaves_nothing_behind() {
    let mut wire = Wire::with(&["folder:b#parent@folder:a", "folder:c#parent@folder:b"]).await;
    let long = |i: usize| touch(&format!("doc:{i}-{}#viewer@user:ana", "x".repeat(1_000)));
    let twice = vec![touch("doc:d1#viewer@user:a"), touch("doc:d1#viewer@user:a")];
    let many = vec![touch("doc:d1#viewer@user:ana"); COMMIT_CHANGES_MAX + 1];
    let (invalid, failed) = (Code::InvalidArgument, Code::FailedPrecondition);
    let cases = [
        (vec![], invalid, "EMPTY_COMMIT"),
        (vec![touch("doc:d1#admin@user:ana")], invalid, "TUPLE_NOT_ADMITTED"),
        (vec![touch("doc:d1#veiwer@user:ana")], invalid, "UNKNOWN_ROLE"),
        (vec![touch("doc:d1#viewer@robot:r2")], invalid, "UNKNOWN_TYPE"),
        (twice, invalid, "REPEATED_TUPLE"),
        (many, invalid, "COMMIT_TOO_LARGE"),
        ((0..1_200).map(long).collect(), invalid, "COMMIT_TOO_LARGE"),
        (vec![touch("folder:a#parent@folder:c")], failed, "HIERARCHY_CYCLE"),
        (vec![touch("folder:b#parent@folder:d")], failed, "SECOND_PARENT"),
    ];
    for (changes, code, reason) in cases {
        let status = wire.write(changes).await.expect_err(reason);
        assert_refused(&status, code, reason, "");
    }
    assert_eq!(wire.read(pb::TupleFilter::default()).await.unwrap().len(), 2);
}
