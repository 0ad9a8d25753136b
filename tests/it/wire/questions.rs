//! Check, BatchCheck, ListSubjects and GetModel over a real socket: what they answer, and how they
//! refuse.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::BATCH_ITEMS_MAX;
use tonic::Code;

use super::client::{Wire, ask, context, item, list, tuple};
use crate::support::service::{assert_refused, refusal};

#[tokio::test]
async fn check_answers_with_reason_revision_and_grant() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana", "doc:d1#folder@folder:f1"]).await;
    let mut request = ask("user:ana doc.view doc:d1");
    let allowed = wire.check(request.clone()).await.unwrap();
    assert_eq!((allowed.decision(), allowed.reason()), (pb::Decision::Allow, pb::Reason::Granted));
    assert_eq!(allowed.grant, None, "nobody asked for it");
    assert_eq!(allowed.revision, 2);
    assert!(
        allowed.token.starts_with("bw1.") && allowed.token.contains(".2."),
        "{}",
        allowed.token
    );

    request.with_grant = true;
    let grant = wire.check(request).await.unwrap().grant.unwrap();
    assert_eq!(
        (grant.role.as_str(), grant.tuple),
        ("viewer", Some(tuple("doc:d1#viewer@user:ana")))
    );

    let denied = wire.check(ask("user:bob doc.view doc:d1")).await.unwrap();
    assert_eq!((denied.decision(), denied.reason()), (pb::Decision::Deny, pb::Reason::NotGranted));
    let elsewhere = wire.check(ask("user:ana doc.view org:acme")).await.unwrap();
    assert_eq!(elsewhere.reason(), pb::Reason::NotApplicable);
    assert_eq!(elsewhere.decision(), pb::Decision::Deny);
    wire.service.stop().await.unwrap();
}

#[tokio::test]
async fn a_condition_reads_the_context_and_says_what_is_missing() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let mut request = ask("user:ana doc.export doc:d1");
    let denied = wire.check(request.clone()).await.unwrap();
    assert_eq!(denied.reason(), pb::Reason::MissingContext);
    assert_eq!(denied.decision(), pb::Decision::Deny);
    assert!(!denied.missing.is_empty());
    request.context = context(r#"{"network": "office"}"#);
    assert_eq!(wire.check(request).await.unwrap().decision(), pb::Decision::Allow);
}

fn good() -> pb::CheckRequest {
    ask("user:ana doc.view doc:d1")
}

fn require(requirement: pb::consistency::Requirement) -> Option<pb::Consistency> {
    Some(pb::Consistency { requirement: Some(requirement) })
}

async fn assert_all_refused(cases: Vec<(pb::CheckRequest, Code, &str, &str)>) {
    let mut wire = Wire::with(&[]).await;
    for (request, code, reason, field) in cases {
        let status = wire.check(request.clone()).await.expect_err(&format!("{request:?}"));
        assert_refused(&status, code, reason, field);
    }
}

#[tokio::test]
async fn check_refuses_malformed_and_unknown_names() {
    let cases = [
        (pb::CheckRequest::default(), "INVALID_FIELD", "subject"),
        (ask("ana doc.view doc:d1"), "INVALID_FIELD", "subject"),
        (ask("user:ana doc:view doc:d1"), "INVALID_FIELD", "permission"),
        (ask("user:ana doc.view doc"), "INVALID_FIELD", "scope"),
        (ask("user:ana doc.veiw doc:d1"), "UNKNOWN_PERMISSION", "permission"),
        (ask("usr:ana doc.view doc:d1"), "UNKNOWN_TYPE", "subject"),
        (ask("user:ana doc.view dok:d1"), "UNKNOWN_TYPE", "scope"),
        (ask("group:g#membr doc.view doc:d1"), "UNKNOWN_NAME", "subject"),
    ];
    let refused = |(request, reason, field)| (request, Code::InvalidArgument, reason, field);
    assert_all_refused(cases.map(refused).into()).await;
}

#[tokio::test]
async fn check_refuses_contexts_that_are_no_values() {
    let number = |value| {
        let kind = Some(prost_types::value::Kind::NumberValue(value));
        let fields = [("hour".to_owned(), prost_types::Value { kind })].into();
        pb::CheckRequest { context: Some(prost_types::Struct { fields }.into()), ..good() }
    };
    let json = |text: &str| pb::CheckRequest { context: context(text), ..good() };
    let deep = format!(r#"{{"a": {}1{}}}"#, "[".repeat(17), "]".repeat(17));
    let large = format!(r#"{{"text": "{}"}}"#, "x".repeat(70_000));
    let cases = [
        (number(f64::NAN), "INVALID_FIELD", "context.hour"),
        (number(f64::INFINITY), "INVALID_FIELD", "context.hour"),
        (number(f64::NEG_INFINITY), "INVALID_FIELD", "context.hour"),
        (json(&deep), "CONTEXT_TOO_LARGE", ""),
        (json(&large), "CONTEXT_TOO_LARGE", "context"),
    ];
    let refused = |(request, reason, field)| (request, Code::InvalidArgument, reason, field);
    assert_all_refused(cases.map(refused).into()).await;
}

#[tokio::test]
async fn check_refuses_what_asks_for_nothing() {
    use pb::consistency::Requirement;
    let fresh = |requirement| pb::CheckRequest { consistency: require(requirement), ..good() };
    let nothing = fresh(Requirement::Latest(false));
    let refused = (nothing, Code::InvalidArgument, "INVALID_FIELD", "consistency.latest");
    assert_all_refused(vec![refused]).await;
    let mut wire = Wire::with(&[]).await;
    let latest = fresh(Requirement::Latest(true));
    assert_eq!(wire.check(latest).await.unwrap().decision(), pb::Decision::Deny);
}

#[tokio::test]
async fn an_unknown_name_carries_the_nearest_one() {
    let mut wire = Wire::with(&[]).await;
    let status = wire.check(ask("user:ana doc.veiw doc:d1")).await.unwrap_err();
    let (_, _, metadata) = refusal(&status);
    assert_eq!(metadata.get("nearest").map(String::as_str), Some("doc.view"));
    assert_eq!(metadata.get("value").map(String::as_str), Some("doc.veiw"));
    assert_eq!(metadata.get("kind").map(String::as_str), Some("permission"));
    assert!(status.message().contains("`doc.veiw`") && status.message().contains("`doc.view`"));
    // A long value is cut, in the message and in the metadata.
    let long = format!("user:ana {} doc:d1", "x".repeat(120));
    let status = wire.check(ask(&long)).await.unwrap_err();
    let (_, _, metadata) = refusal(&status);
    assert!(status.message().len() < 200 && metadata["value"].len() < 110, "{status:?}");
}

#[tokio::test]
async fn a_batch_has_one_revision_and_each_error_in_its_place() {
    use pb::batch_check_result::Result as Answer;
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let targeted =
        pb::BatchCheckItem { target: "usr:bob".into(), ..item("user:ana doc.view doc:d1") };
    let items = vec![
        item("user:ana doc.view doc:d1"),
        item("user:ana doc.veiw doc:d1"),
        item("user:bob doc.view doc:d1"),
        targeted,
        item("user:ana doc.export doc:d1"),
    ];
    let answer = wire.batch(items).await.unwrap();
    assert_eq!(answer.revision, 2);
    assert!(answer.token.starts_with("bw1."));
    let results: Vec<_> = answer.results.into_iter().map(|result| result.result.unwrap()).collect();
    let decision = |at: usize| match &results[at] {
        Answer::Decision(decision) => (decision.decision(), decision.reason()),
        Answer::Error(error) => panic!("{error:?}"),
    };
    let error = |at: usize| match &results[at] {
        Answer::Error(error) => (error.code, error.reason.as_str()),
        Answer::Decision(decision) => panic!("{decision:?}"),
    };
    assert_eq!(decision(0), (pb::Decision::Allow, pb::Reason::Granted));
    assert_eq!(error(1), (i32::from(Code::InvalidArgument), "UNKNOWN_PERMISSION"));
    assert_eq!(decision(2), (pb::Decision::Deny, pb::Reason::NotGranted));
    assert_eq!(error(3), (i32::from(Code::InvalidArgument), "UNKNOWN_TYPE"));
    assert_eq!(decision(4), (pb::Decision::Deny, pb::Reason::MissingContext));
    let Answer::Error(typo) = &results[1] else { panic!() };
    assert_eq!(typo.metadata.get("nearest").map(String::as_str), Some("doc.view"));
}

/// Items of which each differs from the one before in a little, some of them wrong.
fn changing_items() -> Vec<pb::BatchCheckItem> {
    let mut random = fastrand::Rng::with_seed(31);
    let mut one = |of: &[&str]| of[random.usize(..of.len())].to_owned();
    // Names that follow one another are the same mostly, as a page's are; windows end anywhere.
    let mut items = vec![item("user:ana doc.view doc:d1")];
    for at in 1..333 {
        let mut next = match at % 5 {
            0 => item(&one(&["user:ana doc.view doc:d1", "user:ana doc.export doc:d1"])),
            _ => items[at - 1].clone(),
        };
        match one(&["subject", "permission", "scope", "target", "context"]).as_str() {
            "subject" => {
                next.subject = one(&["user:ana", "user:bob", "user:new", "user:*", "usr:x", "x"]);
            }
            "permission" => {
                next.permission = one(&["doc.view", "doc.export", "org.edit_member", "doc.veiw"]);
            }
            "scope" => next.scope = one(&["doc:d1", "doc:d2", "org:acme", "doc:new", "dok:d1", ""]),
            "target" => next.target = one(&["user:bob", "user:new", "", "bob"]),
            _ => next.context = context(&one(&[r#"{"network": "office"}"#, r#"{"network": 1}"#])),
        }
        items.push(next);
    }
    items
}

#[tokio::test]
async fn a_batch_answers_as_so_many_checks_would() {
    use pb::batch_check_result::Result as Answer;
    let stored = [
        "doc:d1#viewer@user:ana",
        "doc:d1#folder@folder:f1",
        "doc:d2#folder@folder:f1",
        "org:acme#admin@user:ana",
        "org:acme#guest@user:bob",
    ];
    let mut wire = Wire::with(&stored).await;
    let items = changing_items();
    let brought = vec![tuple("doc:d2#viewer@user:new"), tuple("org:acme#admin@user:new")];
    let mut seen = std::collections::BTreeMap::new();
    for contextual_tuples in [Vec::new(), brought] {
        let batch = pb::BatchCheckRequest {
            items: items.clone(),
            contextual_tuples: contextual_tuples.clone(),
            ..Default::default()
        };
        let answer = wire.questions.batch_check(batch).await.unwrap().into_inner();
        assert_eq!(answer.results.len(), items.len());
        for (item, result) in items.iter().zip(answer.results) {
            let alone = pb::CheckRequest {
                subject: item.subject.clone(),
                permission: item.permission.clone(),
                scope: item.scope.clone(),
                context: item.context.clone(),
                target: item.target.clone(),
                contextual_tuples: contextual_tuples.clone(),
                ..Default::default()
            };
            let expected = match wire.check(alone).await {
                Ok(decided) => Answer::Decision(pb::BatchCheckDecision {
                    decision: decided.decision,
                    reason: decided.reason,
                    missing: decided.missing,
                }),
                Err(status) => {
                    let (code, reason, metadata) = refusal(&status);
                    let (code, message) = (code.into(), status.message().to_owned());
                    let metadata = metadata.into_iter().collect();
                    Answer::Error(pb::ItemError { code, reason, message, metadata })
                }
            };
            assert_eq!(result.result.as_ref(), Some(&expected), "{item:?}");
            let kind = match expected {
                Answer::Decision(decided) => decided.reason().as_str_name().to_owned(),
                Answer::Error(error) => error.reason,
            };
            *seen.entry(kind).or_insert(0) += 1;
        }
    }
    let often = seen.values().filter(|count| **count > 4).count();
    assert!(often >= 6, "{seen:?}");
}

#[tokio::test]
async fn an_items_own_context_wins_over_the_batchs() {
    use pb::batch_check_result::Result as Answer;
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let own = pb::BatchCheckItem {
        context: context(r#"{"network": "cafe"}"#),
        ..item("user:ana doc.export doc:d1")
    };
    let request = pb::BatchCheckRequest {
        items: vec![item("user:ana doc.export doc:d1"), own],
        context: context(r#"{"network": "office"}"#),
        ..Default::default()
    };
    let answer = wire.questions.batch_check(request).await.unwrap().into_inner();
    let allowed: Vec<_> = answer
        .results
        .into_iter()
        .map(|result| match result.result.unwrap() {
            Answer::Decision(decision) => decision.decision() == pb::Decision::Allow,
            Answer::Error(error) => panic!("{error:?}"),
        })
        .collect();
    assert_eq!(allowed, [true, false]);
}

#[tokio::test]
async fn a_batch_is_bounded_in_items() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let items = vec![item("user:ana doc.view doc:d1"); BATCH_ITEMS_MAX];
    assert_eq!(wire.batch(items.clone()).await.unwrap().results.len(), BATCH_ITEMS_MAX);
    let more = [items, vec![item("user:ana doc.view doc:d1")]].concat();
    let status = wire.batch(more).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "BATCH_TOO_LARGE", "items");
    assert!(wire.batch(Vec::new()).await.unwrap().results.is_empty());
}

#[tokio::test]
async fn a_list_is_complete_or_refused() {
    let mut wire = Wire::with(&[
        "doc:d1#viewer@user:cat",
        "doc:d1#viewer@user:ana",
        "doc:d1#editor@group:ops#member",
        "group:ops#member@user:bob",
    ])
    .await;
    let list = |permission: &str, scope: &str, subject_type: &str| pb::ListSubjectsRequest {
        permission: permission.into(),
        scope: scope.into(),
        subject_type: subject_type.into(),
        ..Default::default()
    };
    let (names, end) = wire.list(list("doc.view", "doc:d1", "user")).await.unwrap();
    assert_eq!(names, ["user:ana", "user:bob", "user:cat"]);
    assert_eq!((end.count, end.revision), (3, 2));
    let (names, end) = wire.list(list("doc.view", "doc:d2", "user")).await.unwrap();
    assert_eq!((names.len(), end.count), (0, 0));

    let cases = [
        (list("doc.veiw", "doc:d1", "user"), "UNKNOWN_PERMISSION", "permission"),
        (list("doc.view", "dok:d1", "user"), "UNKNOWN_TYPE", "scope"),
        (list("doc.view", "doc:d1", "usr"), "UNKNOWN_TYPE", "subject_type"),
    ];
    for (request, reason, field) in cases {
        let status = wire.list(request).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, reason, field);
    }
}

#[tokio::test]
async fn a_question_may_be_about_a_target() {
    let tuples = ["org:acme#admin@user:ana", "org:acme#admin@user:bob", "org:acme#guest@user:cy"];
    let mut wire = Wire::with(&tuples).await;
    let about = |target: &str| pb::CheckRequest {
        target: target.into(),
        ..ask("user:ana org.edit_member org:acme")
    };
    let same =
        wire.check(pb::CheckRequest { with_grant: true, ..about("user:bob") }).await.unwrap();
    assert_eq!(same.decision(), pb::Decision::Allow);
    // What the target holds gave the subject nothing.
    let grant = same.grant.unwrap();
    assert_eq!(grant.tuple, Some(tuple("org:acme#admin@user:ana")));
    let more = wire.check(about("user:cy")).await.unwrap();
    assert_eq!((more.decision(), more.reason()), (pb::Decision::Deny, pb::Reason::NotGranted));
    let nobody = wire.check(about("")).await.unwrap();
    assert_eq!(nobody.reason(), pb::Reason::MissingContext);
    assert_eq!(
        (nobody.decision(), nobody.missing),
        (pb::Decision::Deny, vec!["target".to_owned()])
    );
    // A target that the model does not ask for changes nothing; its names are looked at all the same.
    let other = pb::CheckRequest { target: "user:cy".into(), ..ask("user:ana org.view org:acme") };
    let plain = wire.check(ask("user:ana org.view org:acme")).await.unwrap();
    assert_eq!(wire.check(other).await.unwrap(), plain);
    // A target that brings a role along, for this question only.
    let brought = vec![tuple("org:acme#admin@user:zoe")];
    let request = pb::CheckRequest { contextual_tuples: brought, ..about("user:zoe") };
    assert_eq!(wire.check(request).await.unwrap().decision(), pb::Decision::Allow);
    assert_eq!(wire.check(about("user:zoe")).await.unwrap().decision(), pb::Decision::Deny);
}

#[tokio::test]
async fn a_target_is_read_as_a_subject_is() {
    let about = |target: &str| pb::CheckRequest { target: target.into(), ..good() };
    let cases = [
        (about("bob"), "INVALID_FIELD", "target"),
        (about("user:b ob"), "INVALID_FIELD", "target"),
        (about("usr:bob"), "UNKNOWN_TYPE", "target"),
        (about("group:g#membr"), "UNKNOWN_NAME", "target"),
    ];
    let refused = |(request, reason, field)| (request, Code::InvalidArgument, reason, field);
    assert_all_refused(cases.map(refused).into()).await;
    let mut wire = Wire::with(&[]).await;
    let status = wire.check(about("usr:bob")).await.unwrap_err();
    assert!(status.message().contains("did you mean `user`?"), "{status:?}");
    for target in ["user:*", "group:g#member", "org:acme"] {
        assert_eq!(wire.check(about(target)).await.unwrap().decision(), pb::Decision::Deny);
    }
}

#[tokio::test]
async fn each_item_of_a_batch_has_its_own_target() {
    use pb::batch_check_result::Result as Answer;
    let tuples = ["org:acme#admin@user:ana", "org:acme#admin@user:bob", "org:acme#guest@user:cy"];
    let mut wire = Wire::with(&tuples).await;
    let items = ["user:bob", "user:cy", "", "bob"].map(|target| pb::BatchCheckItem {
        target: target.into(),
        ..item("user:ana org.edit_member org:acme")
    });
    let answer = wire.batch(items.into()).await.unwrap();
    let results: Vec<_> = answer.results.into_iter().map(|result| result.result.unwrap()).collect();
    let reason = |at: usize| match &results[at] {
        Answer::Decision(decision) => decision.reason(),
        Answer::Error(error) => panic!("{error:?}"),
    };
    assert_eq!(reason(0), pb::Reason::Granted);
    assert_eq!(reason(1), pb::Reason::NotGranted);
    assert_eq!(reason(2), pb::Reason::MissingContext);
    let Answer::Error(error) = &results[3] else { panic!() };
    assert_eq!(
        (error.reason.as_str(), error.metadata["field"].as_str()),
        ("INVALID_FIELD", "target")
    );
}

#[tokio::test]
async fn what_a_person_may_counts_for_each_of_their_accounts() {
    let links =
        ["person:p#account@user:ana", "person:p#account@user:ann", "person:q#account@user:eve"];
    let mut wire = Wire::with(&[&links[..], &["org:acme#admin@user:ann"]].concat()).await;
    let find = |who: &str| ask(&format!("{who} org.find org:acme"));
    let through = pb::CheckRequest { with_grant: true, ..find("user:ana") };
    let allowed = wire.check(through).await.unwrap();
    assert_eq!(allowed.decision(), pb::Decision::Allow);
    assert_eq!(allowed.grant.unwrap().tuple, Some(tuple("org:acme#admin@user:ann")));
    assert_eq!(wire.check(find("user:eve")).await.unwrap().reason(), pb::Reason::NotGranted);
    let (listed, end) = wire.list(list("org.find", "org:acme", "user")).await.unwrap();
    assert_eq!((listed, end.count), (vec!["user:ana".to_owned(), "user:ann".to_owned()], 2));
    // A link that the request brings along is one.
    let brought = vec![tuple("person:q#account@user:ana"), tuple("org:acme#admin@user:ana")];
    let request = pb::CheckRequest { contextual_tuples: brought, ..find("user:eve") };
    assert_eq!(wire.check(request).await.unwrap().decision(), pb::Decision::Allow);
}
