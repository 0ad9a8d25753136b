//! What a delegated change stores, and what a repeat of it is answered.

use std::sync::Arc;

use bailiwick::api::pb::v1 as pb;
use bailiwick::store::memory::MemoryStore;
use tonic::Code;

use super::{World, grant, replace, revoke, time};
use crate::support::service::{assert_refused, refusal};
use crate::wire::client::{touch, tuple};

#[tokio::test]
async fn a_tuple_keeps_who_granted_it_when_why_and_until_when() {
    let mut world = World::new(&[]).await;
    world.clock.set(7_000_000);
    let mut request = grant("user:ana payer org:acme user:bo");
    (request.reason, request.expires_at) = ("pays the bills".into(), Some(time(90)));
    let done = world.grant(request).await.unwrap();
    assert_eq!(done.changed, 1);
    let stored = pb::Tuple {
        grantor: "user:ana".into(),
        reason: "pays the bills".into(),
        expires_at: Some(time(90)),
        granted_at: Some(time(7)),
        ..tuple("org:acme#payer@user:bo")
    };
    assert_eq!(world.read("org:acme", "user:bo").await, std::slice::from_ref(&stored));
    // It came with the revision that the answer names, and not before.
    let at_least = pb::consistency::Requirement::AtLeast(done.token);
    let request = pb::ReadTuplesRequest {
        filter: Some(pb::TupleFilter { subject: "user:bo".into(), ..Default::default() }),
        consistency: Some(pb::Consistency { requirement: Some(at_least) }),
        ..Default::default()
    };
    assert_eq!(world.wire.read_entries(request).await.unwrap().1.revision, done.revision);
    // Another actor, later, for another role, as long as the first.
    world.clock.set(8_000_000);
    world.wire.write(vec![touch("org:acme#owner@user:olga")]).await.unwrap();
    let mut request = replace("user:olga payer org:acme user:bo approver");
    request.reason = "signs them".into();
    world.replace(request).await.unwrap();
    let replaced = pb::Tuple {
        role: "approver".into(),
        grantor: "user:olga".into(),
        reason: "signs them".into(),
        granted_at: Some(time(8)),
        ..stored
    };
    assert_eq!(world.read("org:acme", "user:bo").await, [replaced]);
}

#[tokio::test]
async fn a_repeat_with_its_key_is_answered_as_the_first_was() {
    let mut world = World::new(&["org:acme#admin@user:adi"]).await;
    let key = || "k1".to_owned();
    let request =
        || pb::GrantRequest { idempotency_key: key(), ..grant("user:adi payer org:acme user:bo") };
    let first = world.grant(request()).await.unwrap();
    assert_eq!(first.changed, 1);
    // Whatever has come since: the role is taken, and the actor may not any more.
    world.revoke(revoke("user:ana payer org:acme user:bo")).await.unwrap();
    world.revoke(revoke("user:ana admin org:acme user:adi")).await.unwrap();
    assert_eq!(world.grant(request()).await.unwrap(), first);
    assert_eq!(world.roles_of("org:acme", "user:bo").await, [""; 0]);
    // Another body, of this method or of another, with the same key.
    let mut others = vec![request(), request(), request()];
    others[0].reason = "r".into();
    others[1].actor = "user:ana".into();
    others[2].expires_at = Some(time(9));
    for other in others {
        let status = world.grant(other).await.unwrap_err();
        assert_refused(&status, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", "idempotency_key");
        assert_eq!(refusal(&status).2["revision"], first.revision.to_string());
    }
    let taken =
        pb::RevokeRequest { idempotency_key: key(), ..revoke("user:adi payer org:acme user:bo") };
    let status = world.revoke(taken).await.unwrap_err();
    assert_refused(&status, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", "idempotency_key");
    let write = pb::WriteTuplesRequest {
        changes: vec![touch("org:acme#payer@user:bo")],
        idempotency_key: key(),
        ..Default::default()
    };
    let status = world.wire.tuples.write_tuples(write).await.unwrap_err();
    assert_refused(&status, Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED", "idempotency_key");
    // A refusal does not use its key up.
    let again = pb::GrantRequest {
        idempotency_key: "k2".into(),
        ..grant("user:adi payer org:acme user:bo")
    };
    let status = world.grant(again.clone()).await.unwrap_err();
    assert_refused(&status, Code::PermissionDenied, "NOT_DELEGATED", "role");
    world.wire.write(vec![touch("org:acme#admin@user:adi")]).await.unwrap();
    assert_eq!(world.grant(again).await.unwrap().changed, 1);
}

#[tokio::test]
async fn what_is_done_already_makes_no_commit_unless_it_has_a_key() {
    let mut world = World::new(&["org:acme#payer@user:pia"]).await;
    let before = world.pdp.read().token().revision.0;
    let done = world.grant(grant("user:ana payer org:acme user:pia")).await.unwrap();
    assert_eq!((done.changed, done.revision), (0, before));
    let keyed = pb::GrantRequest {
        idempotency_key: "k".into(),
        ..grant("user:ana payer org:acme user:pia")
    };
    let done = world.grant(keyed.clone()).await.unwrap();
    assert_eq!((done.changed, done.revision), (0, before + 1));
    world.revoke(revoke("user:ana payer org:acme user:pia")).await.unwrap();
    // A late repeat changes nothing of what came after.
    assert_eq!(world.grant(keyed).await.unwrap().revision, before + 1);
    assert_eq!(world.roles_of("org:acme", "user:pia").await, [""; 0]);
}

#[tokio::test]
async fn keys_and_grant_times_outlive_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let mut world = World::on(Arc::clone(&store) as _).await;
    world.wire.write(vec![touch("org:acme#owner@user:ana")]).await.unwrap();
    world.clock.set(3_000_000);
    let request = || pb::GrantRequest {
        idempotency_key: "k".into(),
        ..grant("user:ana payer org:acme user:bo")
    };
    let first = world.grant(request()).await.unwrap();
    world.pdp.close();
    world.wire.service.stop().await.unwrap();
    let mut world = World::on(store).await;
    assert_eq!(world.grant(request()).await.unwrap(), first);
    assert_eq!(world.read("org:acme", "user:bo").await[0].granted_at, Some(time(3)));
}
