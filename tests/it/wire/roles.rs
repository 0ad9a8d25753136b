//! ListRoles over a real socket: what counts, in which order, how it goes on, and what is refused.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{DEPTH_MAX, ID_BYTES_MAX};
use bailiwick::model::tuple::{Time, Tuple};
use bailiwick::pdp::WriteChange;
use tonic::Code;

use super::asked::Asked;
use super::client::{Wire, change, context, list, roles, touch, tuple};
use crate::support::service::{assert_refused, refusal};
use crate::support::{delete, touch as stored, tuple as stored_tuple};

fn under(text: &str, condition: &str) -> pb::TupleChange {
    let condition = pb::TupleCondition { name: condition.into(), context: None };
    change(pb::Operation::Touch, pb::Tuple { condition: Some(condition), ..tuple(text) })
}

fn ids(entries: &[pb::ListedRole]) -> Vec<String> {
    entries.iter().map(|entry| format!("{}#{}", entry.scope, entry.role)).collect()
}

#[tokio::test]
async fn every_role_that_is_bound_for_a_subject_is_listed_where_it_is_bound() {
    let mut wire = Wire::with(&[
        "org:acme#admin@user:ana",
        "org:b#guest@group:deep#member",
        "group:deep#member@group:ops#member",
        "group:ops#member@user:ana",
        "doc:d1#viewer@user:*",
        "doc:d2#viewer@user:bob",
        "folder:f#approver@org:acme#staff",
        "folder:f#parent@org:acme",
        "doc:d3#editor@org:acme#staff",
        "doc:d3#blocked@org:other#staff",
        "person:p#account@user:ana",
        "user:ana#has@feature:suspended",
    ])
    .await;
    let found = wire.roles(roles("user:ana", "")).await.unwrap();
    let expected = [
        "doc:d1#viewer",
        "doc:d3#editor",
        "folder:f#approver",
        "group:deep#member",
        "group:ops#member",
        "org:acme#admin",
        "org:b#guest",
    ];
    assert_eq!(found, expected);
    // What all of a type have, whoever they are.
    for subject in ["user:nobody", "user:*"] {
        assert_eq!(wire.roles(roles(subject, "")).await.unwrap(), ["doc:d1#viewer"]);
    }
    // What a set's members have by it: also where the set itself is bound.
    let found = wire.roles(roles("group:ops#member", "")).await.unwrap();
    assert_eq!(found, ["group:deep#member", "org:b#guest"]);
    let found = wire.roles(roles("org:acme#staff", "")).await.unwrap();
    assert_eq!(found, ["doc:d3#editor", "folder:f#approver"]);
    let end = wire.role_entries(roles("org:none", "")).await.unwrap();
    assert_eq!((end.0.len(), end.1.count, end.1.revision), (0, 0, 2));
}

#[tokio::test]
async fn a_role_counts_as_its_gate_and_its_tuples_say_and_links_lead_nowhere() {
    let mut wire = Wire::with(&[
        "org:a#engineer@user:ana",
        "org:b#engineer@user:sue",
        "user:sue#has@feature:suspended",
        "person:p#account@user:ana",
        "person:p#account@user:sue",
        "folder:f#approver@org:b#staff",
    ])
    .await;
    wire.write(vec![under("org:c#admin@user:ana", "office")]).await.unwrap();
    assert_eq!(wire.roles(roles("user:ana", "")).await.unwrap(), ["org:a#engineer"]);
    // Her own gate refuses her, and nobody's other account counts for a role.
    assert!(wire.roles(roles("user:sue", "")).await.unwrap().is_empty());
    let at = |hour: &str| pb::ListRolesRequest { context: context(hour), ..roles("user:ana", "") };
    let open = wire.roles(at(r#"{"hour": 9}"#)).await.unwrap();
    assert_eq!(open, ["org:a#engineer", "org:c#admin"]);
    let closed = wire.roles(at(r#"{"hour": 3}"#)).await.unwrap();
    assert_eq!(closed, ["org:a#engineer"]);
    let brought = pb::ListRolesRequest {
        contextual_tuples: vec![tuple("org:d#guest@user:sue"), tuple("doc:new#viewer@user:*")],
        ..roles("user:sue", "")
    };
    assert_eq!(wire.roles(brought).await.unwrap(), ["doc:new#viewer", "org:d#guest"]);
    let hidden = pb::Tuple {
        expires_at: Some(prost_types::Timestamp { seconds: -1, nanos: 0 }),
        ..tuple("org:a#engineer@user:ana")
    };
    let hides = pb::ListRolesRequest { contextual_tuples: vec![hidden], ..roles("user:ana", "") };
    assert!(wire.roles(hides).await.unwrap().is_empty());
}

#[tokio::test]
async fn at_a_scope_count_the_roles_that_pass_down_to_it() {
    let mut wire = Wire::with(&[
        "org:acme#parent@platform:p",
        "folder:top#parent@org:acme",
        "folder:sub#parent@folder:top",
        "doc:d1#folder@folder:top",
        "doc:d2#folder@folder:sub",
        "org:acme#admin@user:ana",
        "org:other#admin@user:ana",
        "folder:top#approver@user:ana",
        "folder:sub#approver@user:ana",
        "doc:d1#viewer@user:*",
        "doc:d2#editor@user:ana",
    ])
    .await;
    wire.write(vec![under("doc:d1#folder@folder:sub", "office")]).await.unwrap();
    let held = ["doc:d1#viewer", "folder:top#approver", "org:acme#admin"];
    let expected: [(&str, &[&str]); 6] = [
        ("org:acme", &["org:acme#admin"]),
        ("folder:top", &["folder:top#approver", "org:acme#admin"]),
        // From a folder to the folders in it no roles pass, and so none of what is above it.
        ("folder:sub", &["folder:sub#approver"]),
        ("doc:d1", &held),
        ("doc:d2", &["doc:d2#editor", "folder:sub#approver"]),
        ("doc:unknown", &[]),
    ];
    for (scope, expected) in expected {
        assert_eq!(wire.roles(roles("user:ana", scope)).await.unwrap(), expected, "{scope}");
    }
    // An edge counts while its condition is certain.
    let at_nine =
        pb::ListRolesRequest { context: context(r#"{"hour": 9}"#), ..roles("user:ana", "doc:d1") };
    let mut more = held.to_vec();
    more.insert(1, "folder:sub#approver");
    assert_eq!(wire.roles(at_nine).await.unwrap(), more);
    let brought = pb::ListRolesRequest {
        contextual_tuples: vec![tuple("doc:new#folder@folder:top")],
        ..roles("user:ana", "doc:new")
    };
    assert_eq!(wire.roles(brought).await.unwrap(), ["folder:top#approver", "org:acme#admin"]);
}

#[tokio::test]
async fn the_list_is_in_byte_order_and_goes_on_after_every_entry_while_writes_go_on() {
    let mut asked = Asked::new().await;
    let tuples = [
        "org:b#guest@user:ana",
        "org:a#guest@user:ana",
        "org:a#admin@group:ops#member",
        "org:a#engineer@user:ana",
        "org:A#admin@user:ana",
        "org:a/b#admin@user:ana",
        "org:a!#admin@user:ana",
        "group:ops#member@user:ana",
        "doc:d1#viewer@user:*",
        "doc:d1#editor@org:a#staff",
        "doc:d1#folder@folder:f",
        "folder:f#parent@org:a",
    ];
    asked.commit(tuples.iter().map(|text| stored(text)).collect()).await;
    let expiring = Tuple { expires_at: Some(Time(50)), ..stored_tuple("org:c#admin@user:ana") };
    asked.commit(vec![WriteChange::Touch(expiring)]).await;
    let mut lists = Vec::new();
    for (scope, count) in [("", 11), ("doc:d1", 5)] {
        let request = roles("user:ana", scope);
        let (entries, end) = asked.wire.role_entries(request.clone()).await.unwrap();
        assert_eq!((entries.len(), end.count), (count, count as u64), "{:?}", ids(&entries));
        let mut sorted = entries.clone();
        sorted.sort_by(|a, b| (&a.scope, &a.role).cmp(&(&b.scope, &b.role)));
        assert_eq!(entries, sorted);
        lists.push((request, entries, end));
    }
    asked.clock.set(60);
    for (round, (request, entries, end)) in lists.into_iter().enumerate() {
        for (at, entry) in entries.iter().enumerate() {
            let noise = [
                stored(&format!("org:new{round}x{at}#guest@user:ana")),
                delete(tuples[(round + at) % tuples.len()]),
            ];
            asked.commit(noise.into()).await;
            let again = pb::ListRolesRequest { cursor: entry.cursor.clone(), ..request.clone() };
            let (rest, ended) = asked.wire.role_entries(again).await.unwrap();
            assert_eq!(rest, entries[at + 1..], "after {at} of {request:?}");
            assert_eq!(ended, end, "after {at} of {request:?}");
        }
    }
}

#[tokio::test]
async fn a_cursor_is_of_its_own_request_and_cannot_be_changed() {
    let mut wire = Wire::with(&[
        "org:a#admin@user:ana",
        "org:b#admin@user:ana",
        "doc:d#viewer@user:ana",
        "doc:d#viewer@user:bob",
    ])
    .await;
    let request =
        pb::ListRolesRequest { context: context(r#"{"hour": 9}"#), ..roles("user:ana", "") };
    let (entries, _) = wire.role_entries(request.clone()).await.unwrap();
    let cursor = entries[0].cursor.clone();
    let (subjects, _) = wire.list_entries(list("doc.view", "doc:d", "user")).await.unwrap();
    let others = [
        pb::ListRolesRequest { subject: "user:bob".into(), ..request.clone() },
        pb::ListRolesRequest { scope: "org:a".into(), ..request.clone() },
        pb::ListRolesRequest { context: None, ..request.clone() },
        pb::ListRolesRequest {
            contextual_tuples: vec![tuple("org:c#admin@user:ana")],
            ..request.clone()
        },
    ];
    for other in others {
        let other = pb::ListRolesRequest { cursor: cursor.clone(), ..other };
        let status = wire.role_entries(other).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "CURSOR_OF_OTHER_REQUEST", "cursor");
    }
    let foreign = pb::ListRolesRequest { cursor: subjects[0].cursor.clone(), ..request.clone() };
    let status = wire.role_entries(foreign).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "CURSOR_OF_OTHER_REQUEST", "cursor");
    let foreign =
        pb::ListSubjectsRequest { cursor: cursor.clone(), ..list("doc.view", "doc:d", "user") };
    let status = wire.list_entries(foreign).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "CURSOR_OF_OTHER_REQUEST", "cursor");
    for at in 0..cursor.len() {
        let mut forged = cursor.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        let forged = pb::ListRolesRequest { cursor: forged, ..request.clone() };
        let status = wire.role_entries(forged).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "INVALID_CURSOR", "cursor");
    }
    let long = format!("org:{}", "x".repeat(ID_BYTES_MAX));
    wire.write(vec![touch(&format!("{long}#engineer@user:ana"))]).await.unwrap();
    let (entries, end) = wire.role_entries(request.clone()).await.unwrap();
    let last = entries.last().unwrap();
    assert_eq!(last.scope, long);
    let again = pb::ListRolesRequest { cursor: last.cursor.clone(), ..request };
    assert_eq!(wire.role_entries(again).await.unwrap(), (Vec::new(), end));
}

#[tokio::test]
async fn what_is_misspelt_is_refused_with_its_field() {
    let mut wire = Wire::with(&["org:acme#admin@user:ana"]).await;
    let cases = [
        (roles("", ""), "INVALID_FIELD", "subject"),
        (roles("ana", ""), "INVALID_FIELD", "subject"),
        (roles("usr:ana", ""), "UNKNOWN_TYPE", "subject"),
        (roles("usr:*", ""), "UNKNOWN_TYPE", "subject"),
        (roles("group:ops#membr", ""), "UNKNOWN_NAME", "subject"),
        (roles("user:ana", "acme"), "INVALID_FIELD", "scope"),
        (roles("user:ana", "ogr:acme"), "UNKNOWN_TYPE", "scope"),
        (roles("user:ana", "org:*"), "INVALID_FIELD", "scope"),
    ];
    for (request, reason, field) in cases {
        let status = wire.role_entries(request).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, reason, field);
    }
    let brought = pb::ListRolesRequest {
        contextual_tuples: vec![tuple("org:acme#viewer@user:ana")],
        ..roles("user:ana", "")
    };
    let status = wire.role_entries(brought).await.unwrap_err();
    assert_refused(
        &status,
        Code::InvalidArgument,
        "TUPLE_NOT_ADMITTED",
        "contextual_tuples[0].role",
    );
}

#[tokio::test]
async fn a_role_past_the_limit_of_nested_sets_is_an_error_and_never_missing() {
    let mut wire = Wire::with(&["group:g0#member@user:ana", "org:near#admin@user:ana"]).await;
    let nest = |at: usize| touch(&format!("group:g{at}#member@group:g{}#member", at - 1));
    wire.write((1..DEPTH_MAX).map(nest).collect()).await.unwrap();
    let last = DEPTH_MAX - 1;
    wire.write(vec![touch(&format!("org:far#guest@group:g{last}#member"))]).await.unwrap();
    let found = wire.roles(roles("user:ana", "")).await.unwrap();
    assert_eq!(found.len(), DEPTH_MAX + 2);
    assert!(found.contains(&"org:far#guest".to_owned()));
    // One set more, and nothing bound to it: all that there is is still known.
    wire.write(vec![nest(DEPTH_MAX)]).await.unwrap();
    assert_eq!(wire.roles(roles("user:ana", "")).await.unwrap().len(), DEPTH_MAX + 3);
    wire.write(vec![touch(&format!("org:past#guest@group:g{DEPTH_MAX}#member"))]).await.unwrap();
    let status = wire.role_entries(roles("user:ana", "")).await.unwrap_err();
    let (code, reason, metadata) = refusal(&status);
    assert_eq!((code, reason.as_str()), (Code::FailedPrecondition, "DEPTH_EXCEEDED"));
    assert_eq!(metadata["limit"], DEPTH_MAX.to_string());
    // Where it plays no part it is no error.
    let found = wire.roles(roles("user:ana", "org:near")).await.unwrap();
    assert_eq!(found, ["org:near#admin"]);
    let status = wire.role_entries(roles("user:ana", "org:past")).await.unwrap_err();
    assert_eq!(refusal(&status).1, "DEPTH_EXCEEDED");
}
