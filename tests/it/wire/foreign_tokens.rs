//! Tokens that are not this store's, or not yet, on every method that takes one: each is refused for
//! what it is, and none is taken for another.

use std::sync::Arc;

use bailiwick::api::pb::v1 as pb;
use bailiwick::store::memory::MemoryStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use prost::Message;
use tonic::Code;

use super::client::{Wire, ask, item, list, roles, touch};
use super::raw::{Connection, framed, with_field};
use super::schema::{Method, Schema};
use crate::support::service::{Service, assert_refused, pdp, refusal};
use crate::support::{SetClock, touch as stored};

/// Every method that takes a token, with a request of it and the number of its `consistency`.
fn readers() -> Vec<(&'static Method, Vec<u8>, u32)> {
    let schema = Schema::of_the_service();
    let mut readers = Vec::new();
    for method in schema.own_methods() {
        let fields = schema.fields(&method.input);
        let Some(field) = fields.iter().find(|field| field.name() == "consistency") else {
            continue;
        };
        let (_, name) = method.path.rsplit_once('/').unwrap();
        let request = match name {
            "Check" => ask("user:ana doc.view doc:d1").encode_to_vec(),
            "BatchCheck" => {
                let items = vec![item("user:ana doc.view doc:d1")];
                pb::BatchCheckRequest { items, ..Default::default() }.encode_to_vec()
            }
            "ListSubjects" => list("doc.view", "doc:d1", "user").encode_to_vec(),
            "ListRoles" => roles("user:ana", "").encode_to_vec(),
            _ => Vec::new(),
        };
        readers.push((method, request, u32::try_from(field.number()).unwrap()));
    }
    assert!(readers.len() >= 5, "{readers:?}");
    readers
}

/// `at_least` and `exactly`, with their numbers.
const REQUIREMENTS: [(&str, u32); 2] = [("at_least", 2), ("exactly", 3)];

/// Asks every reader for this token and gives what it refuses with to `judge`, beside the field's path.
async fn ask_all(connection: &Connection, token: &str, judge: impl Fn(&tonic::Status, &str)) {
    for (method, request, consistency) in readers() {
        for (name, number) in REQUIREMENTS {
            let request = with_field(&request, &[consistency, number], token.as_bytes());
            let timeout = [("grpc-timeout", "50m")];
            let answer = connection.call(&method.path, &timeout, framed(&request)).await.unwrap();
            assert!(!answer.is_ok(), "{} took the {name} {token}", method.path);
            judge(&answer.status, &format!("consistency.{name}"));
        }
    }
}

/// The parts of a token: version, store, lineage, revision, checksum.
fn parts(token: &str) -> Vec<String> {
    token.split('.').map(str::to_owned).collect()
}

#[tokio::test]
async fn what_is_no_token_is_refused_everywhere() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let connection = Connection::open(wire.service.address).await;
    let good = wire.check(ask("user:ana doc.view doc:d1")).await.unwrap().token;
    let [version, store, lineage, revision, checksum] = parts(&good).try_into().unwrap();
    let garbage = [
        "x".to_owned(),
        "bw1".to_owned(),
        "bw1....".to_owned(),
        format!("{good} "),
        format!(" {good}"),
        format!("{good}."),
        format!("bw2.{store}.{lineage}.{revision}.{checksum}"),
        format!("{version}.{store}.{lineage}.-1.{checksum}"),
        format!("{version}.{store}.{lineage}.+2.{checksum}"),
        format!("{version}.{store}.{lineage}.99999999999999999999.{checksum}"),
        format!("{version}.{store}.{lineage}.{revision}.xyz"),
        good[..good.len() - 30].to_owned(),
    ];
    for token in garbage {
        ask_all(&connection, &token, |status, field| {
            assert_refused(status, Code::InvalidArgument, "INVALID_TOKEN", field);
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_of_another_store_or_history_is_refused_everywhere() {
    let mut wire = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let connection = Connection::open(wire.service.address).await;
    let own = wire.check(ask("user:ana doc.view doc:d1")).await.unwrap().token;
    let mut other = Wire::with(&["doc:d1#viewer@user:ana"]).await;
    let others = other.check(ask("user:ana doc.view doc:d1")).await.unwrap().token;
    let [version, store, lineage, revision, checksum] = parts(&own).try_into().unwrap();
    let [_, _, other_lineage, ..]: [String; 5] = parts(&others).try_into().unwrap();
    let flipped: String = checksum.chars().rev().collect();
    for token in [
        others,
        format!("{version}.{store}.{other_lineage}.{revision}.{checksum}"),
        format!("{version}.{store}.{lineage}.{revision}.{flipped}"),
    ] {
        ask_all(&connection, &token, |status, field| {
            assert_refused(status, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY", field);
        })
        .await;
    }
}

#[tokio::test]
async fn a_token_from_the_future_is_waited_for_and_then_refused() {
    let store = Arc::new(MemoryStore::new());
    let service = Service::start_on(store, Arc::new(SetClock::default())).await;
    let connection = Connection::open(service.address).await;
    let write = |text: &str| {
        let changes = vec![touch(text)];
        pb::WriteTuplesRequest { changes, ..Default::default() }.encode_to_vec()
    };
    let path = "/bailiwick.v1.TupleService/WriteTuples";
    let answer = connection.ask(path, &write("doc:d1#viewer@user:ana")).await;
    let written = pb::WriteTuplesResponse::decode(answer.messages[0].as_slice()).unwrap();
    let mut future = parts(&written.token);
    future[3] = (written.revision + 1).to_string();
    ask_all(&connection, &future.join("."), |status, field| {
        assert_refused(status, Code::DeadlineExceeded, "REVISION_NOT_REACHED", field);
        assert_eq!(refusal(status).2["head_revision"], written.revision.to_string());
    })
    .await;
}

#[tokio::test]
async fn the_checksums_of_the_log_are_known_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let before = pdp(Arc::clone(&store) as _, Arc::new(SetClock::default()));
    let mut token = String::new();
    for user in ["ana", "ben", "cyd"] {
        let written = before.write(vec![stored(&format!("doc:d1#viewer@user:{user}"))]).await;
        token = if token.is_empty() { written.unwrap().token.to_string() } else { token };
    }
    before.close();
    let service = Service::start_on(store, Arc::new(SetClock::default())).await;
    let mut client = AuthorizationServiceClient::new(service.channel().await);
    let at_least = |token: &str| pb::CheckRequest {
        consistency: Some(pb::Consistency {
            requirement: Some(pb::consistency::Requirement::AtLeast(token.to_owned())),
        }),
        ..ask("user:ana doc.view doc:d1")
    };
    assert_eq!(client.check(at_least(&token)).await.unwrap().into_inner().revision, 4);
    let mut forged = parts(&token);
    forged[4] = forged[4].chars().rev().collect();
    let status = client.check(at_least(&forged.join("."))).await.unwrap_err();
    assert_refused(
        &status,
        Code::FailedPrecondition,
        "TOKEN_OTHER_HISTORY",
        "consistency.at_least",
    );
}
