//! Each refusal of a delegated change: its code, its reason, its field, and that nothing was written.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::NEW_SCOPE_TUPLES_MAX;
use tonic::{Code, Status};

use super::{World, grant, replace, revoke, time};
use crate::support::SetClock;
use crate::support::service::{assert_refused, refusal};
use crate::wire::client::{change, touch, tuple};

/// Asserts that a request was refused, and that the store has not changed since.
#[track_caller]
fn assert_nothing_written(
    world: &World,
    before: u64,
    status: &Status,
    expected: (Code, &str, &str),
) {
    let (code, reason, field) = expected;
    assert_refused(status, code, reason, field);
    assert_eq!(world.pdp.read().token().revision.0, before, "{status:?}");
}

fn denied(reason: &'static str) -> (Code, &'static str, &'static str) {
    (Code::PermissionDenied, reason, "role")
}

fn sourced(text: &str) -> pb::TupleChange {
    let tuple = pb::Tuple { source: "idp".into(), ..tuple(text) };
    change(pb::Operation::Touch, tuple)
}

#[tokio::test]
async fn a_grant_is_refused_for_what_is_wrong_with_it() {
    let mut world = World::new(&[
        "org:acme#admin@user:adi",
        "org:acme#admin@user:adam",
        "org:acme#payer@user:pia",
        "station:s1#parent@org:acme",
    ])
    .await;
    let before = world.pdp.read().token().revision.0;
    let unmet = (Code::FailedPrecondition, "", "role");
    for (request, expected) in [
        ("user:eve payer org:acme user:bo", denied("NOT_DELEGATED")),
        ("user:adi admin org:acme user:bo", denied("NOT_DELEGATED")),
        ("user:adi approver org:acme user:bo", denied("NOT_DELEGATED")),
        ("user:ana payer org:other user:bo", denied("NOT_DELEGATED")),
        ("user:ana member group:g user:bo", denied("NOT_DELEGATED")),
        ("user:ana keeper org:acme user:bo", denied("NOT_BINDABLE")),
        ("user:ana keeper station:s1 group:ops#member", denied("NOT_BINDABLE")),
        ("user:ana payer org:acme user:*", denied("NOT_BINDABLE")),
        ("user:ana installer station:s1 user:bo", denied("TARGET_NOT_ELIGIBLE")),
        ("user:ana guest org:acme user:bo", denied("MISSING_CONTEXT")),
        ("user:ana approver org:acme user:pia", (unmet.0, "CONSTRAINT_EXCLUSIVE", "role")),
        ("user:ana admin org:acme user:bo", (unmet.0, "CONSTRAINT_AT_MOST", "role")),
        ("user:ana pyer org:acme user:bo", (Code::InvalidArgument, "UNKNOWN_ROLE", "role")),
        ("user:ana act org:acme user:bo", (Code::InvalidArgument, "UNKNOWN_ROLE", "role")),
        ("usr:ana payer org:acme user:bo", (Code::InvalidArgument, "UNKNOWN_TYPE", "actor")),
        ("user:ana payer ogr:acme user:bo", (Code::InvalidArgument, "UNKNOWN_TYPE", "scope")),
        ("user:ana payer org:acme usr:bo", (Code::InvalidArgument, "UNKNOWN_TYPE", "target")),
        ("user:* payer org:acme user:bo", (Code::InvalidArgument, "INVALID_FIELD", "actor")),
        (
            "group:g#member payer org:acme user:bo",
            (Code::InvalidArgument, "INVALID_FIELD", "actor"),
        ),
    ] {
        let status = world.grant(grant(request)).await.expect_err(request);
        assert_nothing_written(&world, before, &status, expected);
    }
    let missing = world.grant(grant("user:ana guest org:acme user:bo")).await.unwrap_err();
    assert_eq!(refusal(&missing).2["missing"], "hour");
    let typo = world.grant(grant("user:ana pyer org:acme user:bo")).await.unwrap_err();
    assert!(typo.message().contains("did you mean `payer`?"), "{typo:?}");
    let no = world.grant(grant("user:adi admin org:acme user:bo")).await.unwrap_err();
    let metadata = refusal(&no).2;
    let found = ["actor", "verb", "role", "scope"].map(|key| metadata[key].as_str());
    assert_eq!(found, ["user:adi", "invite", "admin", "org:acme"]);
    for end in [0, -1] {
        let mut late = grant("user:ana payer org:acme user:bo");
        late.expires_at = Some(time(end));
        let status = world.grant(late).await.unwrap_err();
        let expected = (Code::InvalidArgument, "INVALID_FIELD", "expires_at");
        assert_nothing_written(&world, before, &status, expected);
    }
    // The same requests with what they lacked.
    let mut guest = grant("user:ana guest org:acme user:bo");
    guest.context = crate::wire::client::context("{\"hour\": 9}");
    world.grant(guest.clone()).await.unwrap();
    guest.context = crate::wire::client::context("{\"hour\": 19}");
    let status = world.grant(guest).await.unwrap_err();
    assert_refused(&status, Code::PermissionDenied, "NOT_DELEGATED", "role");
    world.wire.write(vec![touch("user:bo#has@feature:certified")]).await.unwrap();
    world.grant(grant("user:ana installer station:s1 user:bo")).await.unwrap();
}

#[tokio::test]
async fn a_revocation_is_refused_for_what_is_wrong_with_it() {
    let mut world = World::new(&["org:acme#payer@user:pia", "org:acme#admin@user:adi"]).await;
    world.wire.write(vec![sourced("org:acme#payer@user:sam")]).await.unwrap();
    let before = world.pdp.read().token().revision.0;
    for (request, expected) in [
        ("user:adi payer org:acme user:pia", denied("NOT_DELEGATED")),
        ("user:ana guest org:acme user:pia", denied("NOT_DELEGATED")),
        ("user:ana keeper org:acme user:pia", denied("NOT_BINDABLE")),
        ("user:ana payer org:acme user:sam", denied("TARGET_HAS_SOURCE")),
        ("user:adi payer org:acme user:sam", denied("NOT_DELEGATED")),
        (
            "user:ana owner org:acme user:ana",
            (Code::FailedPrecondition, "CONSTRAINT_KEEP_ONE", "role"),
        ),
    ] {
        let status = world.revoke(revoke(request)).await.expect_err(request);
        assert_nothing_written(&world, before, &status, expected);
    }
    let held = world.revoke(revoke("user:ana payer org:acme user:sam")).await.unwrap_err();
    let metadata = refusal(&held).2;
    assert_eq!((&*metadata["tuple"], &*metadata["source"]), ("org:acme#payer@user:sam", "idp"));
    // Nothing to take, and what was granted here beside another system's grant.
    let nothing = world.revoke(revoke("user:ana payer org:acme user:nobody")).await.unwrap();
    assert_eq!((nothing.changed, nothing.revision), (0, before));
    world.wire.write(vec![touch("org:acme#payer@user:sam")]).await.unwrap();
    let taken = world.revoke(revoke("user:ana payer org:acme user:sam")).await.unwrap();
    assert_eq!(taken.changed, 1);
    let left = world.read("org:acme", "user:sam").await;
    assert_eq!(left.iter().map(|tuple| tuple.source.as_str()).collect::<Vec<_>>(), ["idp"]);
}

#[tokio::test]
async fn a_replacement_needs_the_verb_for_both_roles_and_a_role_to_replace() {
    let mut world = World::new(&["org:acme#payer@user:pia", "org:acme#admin@user:adi"]).await;
    world.wire.write(vec![sourced("org:acme#payer@user:sam")]).await.unwrap();
    let before = world.pdp.read().token().revision.0;
    let given = |reason| (Code::PermissionDenied, reason, "new_role");
    for (request, expected) in [
        ("user:eve payer org:acme user:pia approver", denied("NOT_DELEGATED")),
        ("user:ana owner org:acme user:ana admin", denied("NOT_DELEGATED")),
        ("user:adi payer org:acme user:pia approver", given("NOT_DELEGATED")),
        ("user:ana payer org:acme user:pia guest", given("NOT_DELEGATED")),
        ("user:ana payer org:acme user:pia keeper", given("NOT_BINDABLE")),
        ("user:ana payer org:acme user:sam approver", denied("TARGET_HAS_SOURCE")),
        (
            "user:ana payer org:acme user:bo approver",
            (Code::FailedPrecondition, "ROLE_NOT_HELD", "role"),
        ),
        (
            "user:ana payer org:acme user:pia payer",
            (Code::InvalidArgument, "INVALID_FIELD", "new_role"),
        ),
        (
            "user:ana payer org:acme user:pia aprover",
            (Code::InvalidArgument, "UNKNOWN_ROLE", "new_role"),
        ),
    ] {
        let status = world.replace(replace(request)).await.expect_err(request);
        assert_nothing_written(&world, before, &status, expected);
    }
    // Roles that exclude each other change places in one commit.
    let done = world.replace(replace("user:ana payer org:acme user:pia approver")).await.unwrap();
    assert_eq!((done.changed, done.revision), (2, before + 1));
    assert_eq!(world.roles_of("org:acme", "user:pia").await, ["approver"]);
    // A repeat finds it done.
    let again = world.replace(replace("user:ana payer org:acme user:pia approver")).await.unwrap();
    assert_eq!((again.changed, again.revision), (0, before + 1));
}

#[tokio::test]
async fn a_new_scope_is_made_with_its_first_role_and_no_other_is() {
    let mut world = World::new(&[
        "station:s1#parent@org:acme",
        "station:s2#twin@station:s3",
        "org:beta#owner@user:bea",
    ])
    .await;
    let before = world.pdp.read().token().revision.0;
    let below = |text: &str, relation: &str, object: &str| {
        let parent = pb::ScopeParent { relation: relation.into(), object: object.into() };
        pb::GrantRequest { parent: Some(parent), ..grant(text) }
    };
    let new = "user:ana keeper station:new user:bo";
    let invalid = |reason, field| (Code::InvalidArgument, reason, field);
    let exists = (Code::FailedPrecondition, "SCOPE_EXISTS", "scope");
    for (request, expected) in [
        (below(new, "parent", "org:beta"), denied("NOT_DELEGATED")),
        (
            below("user:eve keeper station:new user:bo", "parent", "org:acme"),
            denied("NOT_DELEGATED"),
        ),
        (below(new, "twin", "station:s1"), invalid("INVALID_FIELD", "parent.relation")),
        (below(new, "keeper", "user:ana"), invalid("INVALID_FIELD", "parent.relation")),
        (below(new, "prent", "org:acme"), invalid("UNKNOWN_ROLE", "parent.relation")),
        (below(new, "parent", "ogr:acme"), invalid("UNKNOWN_TYPE", "parent.object")),
        (below(new, "parent", "user:ana"), invalid("TUPLE_NOT_ADMITTED", "parent.object")),
        (below("user:ana keeper station:s1 user:bo", "parent", "org:acme"), exists),
        (below("user:ana keeper station:s3 user:bo", "parent", "org:acme"), exists),
        (
            below("user:ana owner org:acme user:bo", "parent", "org:acme"),
            invalid("TUPLE_NOT_ADMITTED", "parent.relation"),
        ),
    ] {
        let status = world.grant(request).await.unwrap_err();
        assert_nothing_written(&world, before, &status, expected);
    }
    let made = world.grant(below(new, "parent", "org:acme")).await.unwrap();
    assert_eq!((made.changed, made.revision), (2, before + 1));
    let edge = &world.read("station:new", "org:acme").await[0];
    assert_eq!((edge.role.as_str(), edge.grantor.as_str()), ("parent", "user:ana"));
    assert!(edge.granted_at.is_some());
    assert_eq!(world.roles_of("station:new", "user:bo").await, ["keeper"]);
    let again = world.grant(below(new, "parent", "org:acme")).await.unwrap_err();
    assert_refused(&again, Code::FailedPrecondition, "SCOPE_EXISTS", "scope");
}

#[tokio::test]
async fn a_scope_that_only_expired_tuples_name_is_new_if_they_are_few() {
    let mut world = World::new(&[]).await;
    let named = |count: usize, scope: &str| {
        let of = |i| pb::Tuple {
            expires_at: Some(time(5)),
            ..tuple(&format!("{scope}#keeper@user:u{i}"))
        };
        (0..count).map(|i| change(pb::Operation::Touch, of(i))).collect()
    };
    world.wire.write(named(NEW_SCOPE_TUPLES_MAX, "station:few")).await.unwrap();
    world.wire.write(named(NEW_SCOPE_TUPLES_MAX + 1, "station:many")).await.unwrap();
    SetClock::set(&world.clock, 5_000_000);
    let below = |scope: &str| {
        let parent = pb::ScopeParent { relation: "parent".into(), object: "org:acme".into() };
        pb::GrantRequest {
            parent: Some(parent),
            ..grant(&format!("user:ana keeper {scope} user:bo"))
        }
    };
    world.grant(below("station:few")).await.unwrap();
    let status = world.grant(below("station:many")).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "SCOPE_EXISTS", "scope");
}

#[tokio::test]
async fn what_no_verb_of_the_model_does_nobody_may() {
    let store = std::sync::Arc::new(bailiwick::store::memory::MemoryStore::new());
    let model = super::MODEL
        .replace("{ op: grant, roles", "{ roles")
        .replace("{ op: replace }", "{}")
        .replace("{ op: revoke }", "{}");
    let mut world = World::of(store, &model).await;
    let tuples = ["org:acme#owner@user:ana", "org:acme#payer@user:pia"];
    world.wire.write(tuples.map(touch).into()).await.unwrap();
    let list = pb::ListGrantableRolesRequest {
        actor: "user:ana".into(),
        scope: "org:acme".into(),
        ..Default::default()
    };
    let statuses = [
        world.grant(grant("user:ana payer org:acme user:bo")).await.unwrap_err(),
        world.revoke(revoke("user:ana payer org:acme user:pia")).await.unwrap_err(),
        world.replace(replace("user:ana payer org:acme user:pia approver")).await.unwrap_err(),
        world.roles.list_grantable_roles(list).await.unwrap_err(),
    ];
    for (status, operation) in statuses.iter().zip(["grant", "revoke", "replace", "grant"]) {
        assert_refused(status, Code::FailedPrecondition, "OPERATION_NOT_DELEGATED", "");
        assert_eq!(refusal(status).2["operation"], operation);
    }
}
