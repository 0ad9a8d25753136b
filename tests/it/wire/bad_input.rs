//! Bad input over the wire: lengths, what is unknown as against who is nobody, what the model does not
//! admit, sizes, circles and depth.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{
    CARRIED_BYTES_MAX, CONTEXT_BYTES_MAX, DEPTH_MAX, ERROR_MESSAGE_BYTES_MAX,
    ERROR_VALUE_BYTES_MAX, ID_BYTES_MAX, NAME_BYTES_MAX, REQUEST_BYTES_MAX,
};
use prost::Message;
use tonic::{Code, Status};

use super::client::{Wire, ask, change, context, item, list, touch, tuple};
use crate::support::service::{assert_refused, refusal};

#[tokio::test]
async fn ids_and_names_are_as_long_as_they_may_be_and_no_longer() {
    let mut wire = Wire::with(&[]).await;
    let (longest_id, longest_name) = ("i".repeat(ID_BYTES_MAX), "n".repeat(NAME_BYTES_MAX));
    let answer = wire.check(ask(&format!("user:{longest_id} doc.view doc:{longest_id}"))).await;
    assert_eq!(answer.unwrap().reason(), pb::Reason::NotGranted);
    let stored = format!("doc:{longest_id}#viewer@user:{longest_id}");
    wire.write(vec![touch(&stored)]).await.unwrap();
    let of_scope = pb::TupleFilter { scope: format!("doc:{longest_id}"), ..Default::default() };
    assert_eq!(wire.read(of_scope).await.unwrap(), [tuple(&stored)]);
    // A name of this length is one, though none of the model's.
    let status = wire.check(ask(&format!("user:ana {longest_name} doc:d"))).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "UNKNOWN_PERMISSION", "permission");

    let cases = [
        (ask(&format!("user:{longest_id}i doc.view doc:d")), "subject", ID_BYTES_MAX),
        (ask(&format!("user:ana doc.view doc:{longest_id}i")), "scope", ID_BYTES_MAX),
        (ask(&format!("user:ana {longest_name}n doc:d")), "permission", NAME_BYTES_MAX),
        (ask(&format!("{longest_name}n:ana doc.view doc:d")), "subject", NAME_BYTES_MAX),
        (ask(&format!("group:g#{longest_name}n doc.view doc:d")), "subject", NAME_BYTES_MAX),
    ];
    for (request, field, limit) in cases {
        let status = wire.check(request).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", field);
        let message = status.message();
        assert!(message.ends_with(&format!("longer than {limit} bytes")), "{message}");
    }
    let with = |edit: &dyn Fn(&mut pb::Tuple)| {
        let mut tuple = tuple("doc:d1#viewer@user:ana");
        edit(&mut tuple);
        vec![change(pb::Operation::Touch, tuple)]
    };
    let carried = "c".repeat(CARRIED_BYTES_MAX);
    let fits = with(&|t| (t.grantor, t.reason) = (carried.clone(), carried.clone()));
    wire.write(fits).await.unwrap();
    let cases = [
        (with(&|t| t.role = format!("{longest_name}n")), "role", NAME_BYTES_MAX),
        (with(&|t| t.source = format!("{longest_name}n")), "source", NAME_BYTES_MAX),
        (with(&|t| t.grantor = format!("{carried}c")), "grantor", CARRIED_BYTES_MAX),
        (with(&|t| t.reason = format!("{carried}c")), "reason", CARRIED_BYTES_MAX),
    ];
    for (changes, field, limit) in cases {
        let status = wire.write(changes).await.unwrap_err();
        let field = format!("changes[0].tuple.{field}");
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", &field);
        let message = status.message();
        assert!(message.ends_with(&format!("longer than {limit} bytes")), "{message}");
    }
}

#[tokio::test]
async fn what_is_unknown_is_an_error_and_who_is_unknown_is_denied() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana", "group:g#member@user:eve"]).await;
    let nearest = |status: &tonic::Status| {
        let (_, reason, metadata) = refusal(status);
        (reason, metadata.get("nearest").cloned().unwrap_or_default())
    };
    for (question, reason, near) in [
        ("user:ana doc.veiw doc:d1", "UNKNOWN_PERMISSION", "doc.view"),
        ("usr:ana doc.view doc:d1", "UNKNOWN_TYPE", "user"),
        ("user:ana doc.view dock:d1", "UNKNOWN_TYPE", "doc"),
        ("group:g#membr doc.view doc:d1", "UNKNOWN_NAME", "member"),
    ] {
        let status = wire.check(ask(question)).await.unwrap_err();
        assert_eq!(nearest(&status), (reason.to_owned(), near.to_owned()), "{status:?}");
        assert!(status.message().contains(&format!("did you mean `{near}`?")), "{status:?}");
    }
    let filter = |edit: &dyn Fn(&mut pb::TupleFilter)| {
        let mut filter = pb::TupleFilter::default();
        edit(&mut filter);
        filter
    };
    for (filter, reason, near) in [
        (filter(&|f| f.role = "veiwer".into()), "UNKNOWN_ROLE", "viewer"),
        (filter(&|f| f.scope_type = "dok".into()), "UNKNOWN_TYPE", "doc"),
        (filter(&|f| f.scope = "dok:d1".into()), "UNKNOWN_TYPE", "doc"),
        (filter(&|f| f.subject_type = "usr".into()), "UNKNOWN_TYPE", "user"),
        (filter(&|f| f.subject = "usr:ana".into()), "UNKNOWN_TYPE", "user"),
    ] {
        let status = wire.read(filter).await.unwrap_err();
        assert_eq!(nearest(&status), (reason.to_owned(), near.to_owned()), "{status:?}");
    }
    let status = wire.list(list("doc.view", "doc:d1", "usr")).await.unwrap_err();
    assert_eq!(nearest(&status), ("UNKNOWN_TYPE".to_owned(), "user".to_owned()));

    // Nobody has heard of them: no error, and no allow.
    for question in [
        "user:nobody doc.view doc:d1",
        "user:ana doc.view doc:nowhere",
        "group:nowhere#member doc.view doc:d1",
        "user:* doc.view doc:d1",
    ] {
        let answer = wire.check(ask(question)).await.unwrap();
        let found = (answer.decision(), answer.reason());
        assert_eq!(found, (pb::Decision::Deny, pb::Reason::NotGranted), "{question}");
    }
    let (names, end) = wire.list(list("doc.view", "doc:nowhere", "user")).await.unwrap();
    assert_eq!((names.len(), end.count), (0, 0));
    assert!(wire.read(filter(&|f| f.scope = "doc:nowhere".into())).await.unwrap().is_empty());
    assert!(wire.read(filter(&|f| f.subject = "user:nobody".into())).await.unwrap().is_empty());
    // Known, but not there.
    for question in ["user:ana doc.view org:acme", "user:ana org.never platform:p"] {
        let answer = wire.check(ask(question)).await.unwrap();
        let found = (answer.decision(), answer.reason());
        assert_eq!(found, (pb::Decision::Deny, pb::Reason::NotApplicable), "{question}");
    }
}

#[tokio::test]
async fn tuples_that_the_model_does_not_admit_are_refused_with_what_it_does() {
    let mut wire = Wire::with(&[]).await;
    let conditioned = |name: &str, values: &str| pb::Tuple {
        condition: Some(pb::TupleCondition { name: name.into(), context: context(values) }),
        ..tuple("doc:d1#viewer@user:ana")
    };
    let cases = [
        (tuple("dock:d1#viewer@user:ana"), "`dock` is no type of the model; did you mean `doc`?"),
        (tuple("doc:d1#veiwer@user:ana"), "`veiwer` is no role or relation of `doc`; did you mean"),
        (tuple("doc:d1#admin@user:ana"), "`admin` cannot be bound on `doc`"),
        (tuple("doc:d1#viewer@doc:d2"), "`doc:d2` cannot be bound to `viewer` on `doc`: expected"),
        (tuple("org:a#admin@user:*"), "`user:*` cannot be bound to `admin` on `org`: expected"),
        (tuple("doc:d1#viewer@group:g#membr"), "`membr` is no name on `group`; did you mean `me"),
        (tuple("doc:d1#folder@org:a"), "`org:a` cannot be bound to `folder` on `doc`: expected fo"),
        (tuple("org:a#has@feature:verifid"), "`verifid` is no fact of `org`; did you mean `verif"),
        (tuple("org:a#has@feature:module"), "`module` is a set: expected `feature:module:MEMBER`"),
        (tuple("folder:f#has@feature:region:uk"), "`uk` is no value of `region`: expected one of"),
        (
            conditioned("offce", "{}"),
            "`offce` is no condition of the model; did you mean `office`?",
        ),
        (conditioned("on_site", "{}"), "a tuple of `viewer` cannot carry the condition `on_site`"),
        (conditioned("office", r#"{"hours": 9}"#), "`hours` is no parameter of the condition `off"),
        (conditioned("office", r#"{"hour": "nine"}"#), "does not fit the parameter `hour`: expect"),
    ];
    for (tuple, words) in cases {
        for operation in [pb::Operation::Create, pb::Operation::Touch] {
            let changes = vec![touch("doc:d1#viewer@user:bob"), change(operation, tuple.clone())];
            let status = wire.write(changes).await.unwrap_err();
            let (code, reason, _) = refusal(&status);
            assert_eq!(code, Code::InvalidArgument, "{status:?}");
            let is_name = words.contains(" is no ") && !words.contains("no value");
            let expected =
                reason == "TUPLE_NOT_ADMITTED" || (is_name && reason.starts_with("UNKNOWN_"));
            assert!(expected, "{status:?}");
            assert!(status.message().starts_with("changes[1].tuple."), "{}", status.message());
            assert!(status.message().contains(words), "no {words} in {}", status.message());
        }
    }
    // A misspelt delete must not look like a revocation.
    let delete = change(pb::Operation::Delete, tuple("doc:d1#veiwer@user:ana"));
    let status = wire.write(vec![delete]).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "UNKNOWN_ROLE", "changes[0].tuple.role");
    assert!(wire.read(pb::TupleFilter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_values_of_a_batch_and_of_its_item_are_bounded_together() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let half = |key: &str| {
        let text = "x".repeat(CONTEXT_BYTES_MAX / 2);
        context(&format!(r#"{{"{key}": "{text}", "network": "office"}}"#))
    };
    let own = pb::BatchCheckItem { context: half("a"), ..item("user:ana doc.export doc:d1") };
    let request = pb::BatchCheckRequest {
        items: vec![item("user:ana doc.export doc:d1"), own],
        context: half("b"),
        ..Default::default()
    };
    let answer = wire.questions.batch_check(request).await.unwrap().into_inner();
    use pb::batch_check_result::Result as Answer;
    let [fits, over] = answer.results.as_slice() else { panic!("{answer:?}") };
    let Some(Answer::Decision(decision)) = &fits.result else { panic!("{fits:?}") };
    assert_eq!(decision.decision(), pb::Decision::Allow);
    let Some(Answer::Error(error)) = &over.result else { panic!("{over:?}") };
    assert_eq!(error.reason, "CONTEXT_TOO_LARGE", "{error:?}");
}

#[tokio::test]
async fn a_request_of_five_mebibytes_is_refused_and_one_of_four_is_not() {
    let mut wire = Wire::with(&[]).await;
    let questions = wire.questions.clone().max_encoding_message_size(8 << 20);
    let tuples = wire.tuples.clone().max_encoding_message_size(8 << 20);
    let padding = "x".repeat(5 << 20);
    let check = pb::CheckRequest { target: padding.clone(), ..ask("user:ana doc.view doc:d1") };
    let refused = |status: &tonic::Status| {
        assert_refused(status, Code::ResourceExhausted, "REQUEST_TOO_LARGE", "");
        let (_, _, metadata) = refusal(status);
        assert_eq!(metadata["limit_bytes"], REQUEST_BYTES_MAX.to_string());
        assert!(status.message().contains(&REQUEST_BYTES_MAX.to_string()), "{status:?}");
    };
    refused(&questions.clone().check(check).await.unwrap_err());
    let write = pb::WriteTuplesRequest { idempotency_key: padding.clone(), ..Default::default() };
    refused(&tuples.clone().write_tuples(write).await.unwrap_err());
    let read = pb::ReadTuplesRequest { cursor: padding, ..Default::default() };
    refused(&tuples.clone().read_tuples(read).await.unwrap_err());
    // To the byte: a batch of one long item and one that fills up.
    let batch = |bytes: usize| {
        let long = pb::BatchCheckItem { subject: "x".repeat(bytes), ..Default::default() };
        pb::BatchCheckRequest { items: vec![long], ..Default::default() }
    };
    let fits =
        (0..).find(|over| batch(REQUEST_BYTES_MAX - over).encoded_len() == REQUEST_BYTES_MAX);
    let fits = REQUEST_BYTES_MAX - fits.unwrap();
    let answer = questions.clone().batch_check(batch(fits)).await.unwrap().into_inner();
    assert_eq!(answer.results.len(), 1, "the item is refused in its place, the request is not");
    refused(&questions.clone().batch_check(batch(fits + 1)).await.unwrap_err());
    wire.check(ask("user:ana doc.view doc:d1")).await.unwrap();
}

#[tokio::test]
async fn circles_of_groups_are_fine_and_circles_of_parents_are_refused_with_the_path() {
    let mut wire = Wire::with(&[
        "group:a#member@group:b#member",
        "group:b#member@group:c#member",
        "group:c#member@group:a#member",
        "group:c#member@user:ana",
        "doc:d1#viewer@group:b#member",
        "folder:a#parent@folder:b",
        "folder:b#parent@folder:c",
    ])
    .await;
    let decision = wire.check(ask("user:ana doc.view doc:d1")).await.unwrap().decision();
    assert_eq!(decision, pb::Decision::Allow);
    let decision = wire.check(ask("user:bob doc.view doc:d1")).await.unwrap().decision();
    assert_eq!(decision, pb::Decision::Deny);
    let (names, _) = wire.list(list("doc.view", "doc:d1", "user")).await.unwrap();
    assert_eq!(names, ["user:ana"]);

    let circle = vec![touch("folder:z#parent@folder:a"), touch("folder:c#parent@folder:a")];
    let status = wire.write(circle).await.unwrap_err();
    let field = "changes[1].tuple";
    let (code, reason, metadata) = refusal(&status);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "HIERARCHY_CYCLE"));
    assert_eq!(metadata["field"], field);
    let path = "folder:c -> folder:a -> folder:b -> folder:c";
    assert!(status.message().contains(path), "{}", status.message());
    let itself = wire.write(vec![touch("folder:x#parent@folder:x")]).await.unwrap_err();
    assert_refused(&itself, Code::FailedPrecondition, "HIERARCHY_CYCLE", "");
    let of_z = pb::TupleFilter { scope: "folder:z".into(), ..Default::default() };
    assert!(wire.read(of_z).await.unwrap().is_empty(), "half a commit was stored");
}

/// gRPC's C core, and with it Python, Ruby and PHP, drops trailers from 8 KiB on and says
/// RESOURCE_EXHAUSTED in their place.
#[tokio::test]
async fn an_error_about_long_names_fits_the_trailers_that_clients_take() {
    let folder = |i: usize| format!("folder:{}{i:02}", "\u{e9}".repeat(500));
    let edge = |i: usize, above: usize| format!("{}#parent@{}", folder(i), folder(above));
    let chain: Vec<String> = (1..DEPTH_MAX).map(|i| edge(i, i + 1)).collect();
    let mut wire = Wire::with(&chain.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let size = |status: &Status| {
        let percent: usize =
            status.message().bytes().map(|b| if matches!(b, b' '..=b'~') { 1 } else { 3 }).sum();
        percent + status.details().len().div_ceil(3) * 4
    };
    let circle = edge(DEPTH_MAX, 1);
    let status = wire.write(vec![touch(&circle)]).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "HIERARCHY_CYCLE", "changes[0].tuple");
    assert!(refusal(&status).2["path"].starts_with("folder:\u{e9}"));
    let longest = ERROR_VALUE_BYTES_MAX - 2..=ERROR_VALUE_BYTES_MAX;
    assert!(longest.contains(&refusal(&status).2["path"].len()));
    let longest = ERROR_MESSAGE_BYTES_MAX - 2..=ERROR_MESSAGE_BYTES_MAX;
    assert!(longest.contains(&status.message().len()), "{}", status.message());
    assert!(status.message().ends_with("..."), "{}", status.message());
    assert!(size(&status) < 8_000, "{} bytes", size(&status));
}

#[tokio::test]
async fn groups_and_parents_go_thirty_two_deep_and_no_deeper() {
    let parent = |i: usize| format!("folder:f{i}#parent@folder:f{}", i + 1);
    let group = |i: usize| format!("group:g{}#member@group:g{i}#member", i + 1);
    let parents = (0..DEPTH_MAX).map(parent);
    let groups = (1..DEPTH_MAX).map(group);
    let bound =
        ["group:g1#member@user:ana".to_owned(), format!("doc:d#viewer@group:g{DEPTH_MAX}#member")];
    let tuples: Vec<String> = parents.chain(groups).chain(bound).collect();
    let mut wire = Wire::with(&tuples.iter().map(String::as_str).collect::<Vec<_>>()).await;

    let status = wire.write(vec![touch(&parent(DEPTH_MAX))]).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "HIERARCHY_TOO_DEEP", "");
    let (_, _, metadata) = refusal(&status);
    assert_eq!(metadata["limit"], DEPTH_MAX.to_string());
    assert!(status.message().contains(&format!("limit is {DEPTH_MAX}")), "{}", status.message());

    assert_eq!(
        wire.check(ask("user:ana doc.view doc:d")).await.unwrap().decision(),
        pb::Decision::Allow
    );
    let deeper = format!("doc:e#viewer@group:g{}#member", DEPTH_MAX + 1);
    wire.write(vec![touch(&group(DEPTH_MAX)), touch(&deeper)]).await.unwrap();
    let status = wire.check(ask("user:ana doc.view doc:e")).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "DEPTH_EXCEEDED", "");
    let (_, _, metadata) = refusal(&status);
    assert_eq!(metadata["limit"], DEPTH_MAX.to_string());
    // In a batch in its own place; a list is refused, never shortened.
    let items = vec![item("user:ana doc.view doc:e"), item("user:ana doc.view doc:d")];
    let answer = wire.batch(items).await.unwrap();
    use pb::batch_check_result::Result as Answer;
    let Some(Answer::Error(error)) = &answer.results[0].result else { panic!("{answer:?}") };
    assert_eq!(error.reason, "DEPTH_EXCEEDED");
    assert!(matches!(&answer.results[1].result, Some(Answer::Decision(_))), "{answer:?}");
    let status = wire.list(list("doc.view", "doc:e", "user")).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "DEPTH_EXCEEDED", "");
}
