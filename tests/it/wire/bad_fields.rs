//! Bad input in each field of each request, by the API's own descriptors: what is added later is held
//! to the same. Strings, and the values of conditions.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{CONTEXT_BYTES_MAX, CONTEXT_DEPTH_MAX, CONTEXT_WIRE_BYTES_MAX};
use prost::Message;
use tonic::Code;

use super::client::{Wire, ask, item, list, roles, touch, tuple};
use super::raw::{Answer, Connection, bytes_field, double_field, varint, with_field};
use super::schema::{Kind, Method, Place, STRUCT, Schema};
use crate::support::service::refusal;

/// A request of this method that is answered.
fn valid(method: &Method) -> Vec<u8> {
    let (_, name) = method.path.rsplit_once('/').unwrap();
    match name {
        "Check" => ask("user:ana doc.view doc:d1").encode_to_vec(),
        "CheckStream" => {
            let question = Some(ask("user:ana doc.view doc:d1"));
            pb::CheckStreamRequest { id: 1, question }.encode_to_vec()
        }
        "BatchCheck" => {
            let items = vec![item("user:ana doc.view doc:d1")];
            pb::BatchCheckRequest { items, ..Default::default() }.encode_to_vec()
        }
        "ListSubjects" => list("doc.view", "doc:d1", "user").encode_to_vec(),
        "ListRoles" => roles("user:ana", "doc:d1").encode_to_vec(),
        "WriteTuples" => {
            let changes = vec![touch("doc:d1#viewer@user:ana")];
            pb::WriteTuplesRequest { changes, ..Default::default() }.encode_to_vec()
        }
        "Grant" | "Revoke" | "Replace" | "CanGrant" | "ListGrantableRoles" => delegated(name),
        // Everything in them may be left out.
        "ReadTuples" | "GetModel" => Vec::new(),
        "ListModelRoles" | "ListModelPermissions" | "ListModelMatrices" => Vec::new(),
        "ListModelDelegation" | "ListModelConstraints" => Vec::new(),
        "ListModelMatrixRows" => {
            let matrix = "orgs".to_owned();
            pb::ListModelMatrixRowsRequest { matrix, ..Default::default() }.encode_to_vec()
        }
        _ => panic!("{}: say here what a request is that is answered", method.path),
    }
}

/// A request of `DelegationService` that is well-formed.
fn delegated(name: &str) -> Vec<u8> {
    let [actor, target, scope] = ["user:ana", "user:bo", "org:acme"].map(str::to_owned);
    let (role, new_role, verb) = ("guest".to_owned(), "engineer".to_owned(), "invite".to_owned());
    let parent = Some(pb::ScopeParent { relation: "parent".into(), object: "platform:p".into() });
    match name {
        "Grant" => pb::GrantRequest { actor, target, scope, role, parent, ..Default::default() }
            .encode_to_vec(),
        "Revoke" => {
            pb::RevokeRequest { actor, target, scope, role, ..Default::default() }.encode_to_vec()
        }
        "Replace" => {
            pb::ReplaceRequest { actor, target, scope, role, new_role, ..Default::default() }
                .encode_to_vec()
        }
        "CanGrant" => {
            pb::CanGrantRequest { actor, scope, role, verb, ..Default::default() }.encode_to_vec()
        }
        _ => pb::ListGrantableRolesRequest { actor, scope, ..Default::default() }.encode_to_vec(),
    }
}

/// The same, with what must stand beside this place.
fn valid_around(method: &Method, place: &Place) -> Vec<u8> {
    let mut request = valid(method);
    if let Some((before, _)) = place.path.split_once("contextual_tuples[0].") {
        let depth = before.split('.').count();
        let tuple = tuple("doc:d1#viewer@user:ana").encode_to_vec();
        request = with_field(&request, &place.numbers[..depth], &tuple);
    }
    if let Some((before, _)) = place.path.split_once("condition.context") {
        let depth = before.split('.').count();
        let condition = pb::TupleCondition { name: "office".into(), context: None };
        request = with_field(&request, &place.numbers[..depth], &condition.encode_to_vec());
    }
    request
}

/// Whether its messages are bounded to less than their fields are.
fn is_small(method: &Method) -> bool {
    method.path.ends_with("/CheckStream")
}

/// What a program sees of a refusal: of the call, or of the one question among others.
struct Refused {
    code: Code,
    reason: String,
    message: String,
    /// The field, as a path from the request's top.
    field: String,
}

/// `None` if it was answered.
fn refused(method: &Method, answer: &Answer) -> Option<Refused> {
    if !answer.is_ok() {
        let (code, reason, metadata) = refusal(&answer.status);
        let message = answer.status.message().to_owned();
        let field = metadata.get("field").cloned().unwrap_or_default();
        return Some(Refused { code, reason, message, field });
    }
    let message = answer.messages.first()?.as_slice();
    let (within, error) = match method.path.rsplit_once('/')?.1 {
        "BatchCheck" => ("items[0]", of_item(message)?),
        "CheckStream" => ("question", of_question(message)?),
        _ => return None,
    };
    let field = error.metadata.get("field").map(|field| format!("{within}.{field}"));
    let (reason, message, field) = (error.reason, error.message, field.unwrap_or_default());
    Some(Refused { code: Code::from(error.code), reason, message, field })
}

fn of_item(message: &[u8]) -> Option<pb::ItemError> {
    let batch = pb::BatchCheckResponse::decode(message).unwrap();
    match batch.results.into_iter().next()?.result? {
        pb::batch_check_result::Result::Decision(_) => None,
        pb::batch_check_result::Result::Error(error) => Some(error),
    }
}

fn of_question(message: &[u8]) -> Option<pb::ItemError> {
    match pb::CheckStreamResponse::decode(message).unwrap().result? {
        pb::check_stream_response::Result::Answer(_) => None,
        pb::check_stream_response::Result::Error(error) => Some(error),
    }
}

/// Every string of every request.
fn all_texts() -> Vec<(&'static Method, Place)> {
    let schema = Schema::of_the_service();
    let mut all = Vec::new();
    for method in schema.own_methods() {
        let places = schema.places(&method.input, |kind| kind == Kind::Text);
        all.extend(places.into_iter().map(|place| (method, place)));
    }
    assert!(all.len() >= 60, "only {} strings in all requests", all.len());
    all
}

/// Every place for conditions' values.
fn all_contexts() -> Vec<(&'static Method, Place)> {
    let schema = Schema::of_the_service();
    let mut all = Vec::new();
    for method in schema.own_methods() {
        let places = schema.places(&method.input, |kind| kind == Kind::Message(STRUCT));
        all.extend(places.into_iter().map(|place| (method, place)));
    }
    assert!(all.len() >= 5, "only {} contexts in all requests", all.len());
    all
}

#[tokio::test]
async fn strings_that_are_not_utf8_are_refused_everywhere() {
    let wire = Wire::with(&[]).await;
    let connection = Connection::open(wire.service.address).await;
    let mut places = all_texts();
    for (method, context) in all_contexts() {
        // A key, and a string as its value.
        for below in [&[1, 1][..], &[1, 2, 3]] {
            let numbers = [&context.numbers[..], below].concat();
            places.push((method, Place { numbers, ..context.clone() }));
        }
    }
    // No UTF-8 at all, cut short, a longer form than needed, half a pair of UTF-16.
    for bytes in [&b"\xff"[..], b"user:\xc3", b"\xc0\x80", b"\xed\xa0\x80"] {
        for (method, place) in &places {
            let request = with_field(&valid_around(method, place), &place.numbers, bytes);
            let answer = connection.ask(&method.path, &request).await;
            let what = format!("{} {}", method.path, place.path);
            let refused = refused(method, &answer).expect(&what);
            let found = (refused.code, refused.reason.as_str());
            assert_eq!(found, (Code::InvalidArgument, "MALFORMED_REQUEST"), "{what}");
            assert!(refused.message.contains("UTF-8"), "{what}: {}", refused.message);
        }
    }
}

#[tokio::test]
async fn strings_that_nothing_is_called_are_refused_everywhere_with_their_path() {
    let wire = Wire::with(&[]).await;
    let connection = Connection::open(wire.service.address).await;
    for (method, place) in all_texts() {
        // A question among many is small.
        let long = "x".repeat(if is_small(method) { 10_000 } else { 100_000 });
        let (_, name) = place.path.rsplit_once('.').unwrap_or(("", &place.path));
        let is_free_text = ["grantor", "reason", "idempotency_key"].contains(&name);
        for text in ["\0", "user:\u{7f}", "user:a\nb", &long, "a b"] {
            let around = valid_around(method, &place);
            let request = with_field(&around, &place.numbers, text.as_bytes());
            let answer = connection.ask(&method.path, &request).await;
            let what = format!("{} with {} = {text:.20?}", method.path, place.path);
            let Some(refused) = refused(method, &answer) else {
                assert!(is_free_text && text == "a b", "{what} is answered");
                continue;
            };
            if is_free_text && text == "a b" && refused.reason != "INVALID_FIELD" {
                continue;
            }
            assert_eq!(refused.code, Code::InvalidArgument, "{what}: {}", refused.message);
            assert_eq!(refused.field, place.path, "{what}: {}", refused.message);
            assert!(refused.message.len() < 500, "{what}: quoted in full");
            assert!(!refused.message.contains(['\0', '\n', '\u{7f}']), "{what}: as it came");
        }
    }
}

#[tokio::test]
async fn strings_that_must_be_there_are_missed_with_their_path() {
    let wire = Wire::with(&[]).await;
    let connection = Connection::open(wire.service.address).await;
    let needed = [
        ("Check", &["subject", "permission", "scope"][..]),
        ("CheckStream", &["question.subject", "question.permission", "question.scope"]),
        ("BatchCheck", &["items[0].subject", "items[0].permission", "items[0].scope"]),
        ("ListSubjects", &["permission", "scope", "subject_type"]),
        ("ListRoles", &["subject"]),
        (
            "WriteTuples",
            &["changes[0].tuple.scope", "changes[0].tuple.role", "changes[0].tuple.subject"],
        ),
        ("Grant", &["actor", "target", "role", "scope", "parent.relation", "parent.object"]),
        ("Revoke", &["actor", "target", "role", "scope"]),
        ("Replace", &["actor", "target", "role", "new_role", "scope"]),
        ("CanGrant", &["actor", "verb", "role", "scope"]),
        ("ListGrantableRoles", &["actor", "scope"]),
    ];
    let mut asked = 0;
    for (method, place) in all_texts() {
        let is_needed = |(name, paths): &(&str, &[&str])| {
            method.path.ends_with(&format!("/{name}")) && paths.contains(&place.path.as_str())
        };
        if !needed.iter().any(is_needed) {
            continue;
        }
        let request = with_field(&valid(method), &place.numbers, b"");
        let refused = refused(method, &connection.ask(&method.path, &request).await).unwrap();
        let found = (refused.code, refused.reason.as_str(), refused.field.as_str());
        assert_eq!(found, (Code::InvalidArgument, "INVALID_FIELD", place.path.as_str()));
        asked += 1;
    }
    assert_eq!(asked, 37);
}

/// A `Struct` of one key with this value.
fn values(key: &str, value: &[u8]) -> Vec<u8> {
    let entry = [bytes_field(1, key.as_bytes()), bytes_field(2, value)].concat();
    bytes_field(1, &entry)
}

/// A `Value` of so many lists within lists; from the inside out, as lengths must be known.
fn nested_lists(levels: usize) -> Vec<u8> {
    let mut heads = Vec::new();
    let mut length = 0;
    for _ in 0..levels {
        // A `Value` is the inner one as the only element of a list.
        for number in [1, 6] {
            let mut head = bytes_field(number, &[]);
            head.pop();
            head.extend(varint(length as u64));
            length += head.len();
            heads.push(head);
        }
    }
    heads.reverse();
    heads.concat()
}

#[tokio::test]
async fn contexts_are_bounded_in_depth_and_size_everywhere() {
    let wire = Wire::with(&[]).await;
    let connection = Connection::open(wire.service.address).await;
    let nested = |levels| values("hour", &nested_lists(levels));
    let text = |bytes| values("hour", &bytes_field(3, "x".repeat(bytes).as_bytes()));
    let (limit, depth) = (CONTEXT_BYTES_MAX, CONTEXT_DEPTH_MAX);
    // Each is two bytes on the wire, and seventy in memory.
    let empty = bytes_field(6, &bytes_field(1, &[]).repeat(CONTEXT_WIRE_BYTES_MAX / 2));
    let empty = values("hour", &empty);
    for (method, place) in all_contexts().into_iter().filter(|(method, _)| !is_small(method)) {
        let ask = async |context: &[u8]| {
            let request = with_field(&valid_around(method, &place), &place.numbers, context);
            refused(method, &connection.ask(&method.path, &request).await)
        };
        // What fits is answered, or refused for another reason.
        for fits in [nested(depth - 1), text(limit - 100)] {
            let refused = ask(&fits).await;
            assert!(refused.is_none_or(|r| r.reason != "CONTEXT_TOO_LARGE"), "{}", place.path);
        }
        for (over, bound) in
            [(nested(depth), depth), (text(limit), limit), (empty.clone(), CONTEXT_WIRE_BYTES_MAX)]
        {
            let refused = ask(&over).await.expect(&place.path);
            let found = (refused.code, refused.reason.as_str());
            assert_eq!(found, (Code::InvalidArgument, "CONTEXT_TOO_LARGE"), "{}", place.path);
            assert!(refused.field.starts_with(&place.path), "{} {}", place.path, refused.field);
            assert!(refused.message.contains(&bound.to_string()), "{}", refused.message);
        }
        for no_number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let refused = ask(&values("hour", &double_field(2, no_number))).await.unwrap();
            assert_eq!(refused.reason, "INVALID_FIELD", "{}", refused.message);
            assert_eq!(refused.field, format!("{}.hour", place.path));
        }
        // The decoder's own bound comes before ours, and before its stack ends.
        for levels in [60, 1_000] {
            let refused = ask(&nested(levels)).await.expect(&place.path);
            assert_eq!(refused.reason, "MALFORMED_REQUEST", "{}: {levels} levels", place.path);
        }
        let refused = ask(&nested(100_000)).await.expect(&place.path);
        assert_eq!(refused.reason, "CONTEXT_TOO_LARGE", "{}", place.path);
    }
}
