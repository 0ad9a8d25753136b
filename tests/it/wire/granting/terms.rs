//! On which terms a role is held: nothing delegated makes a tuple less than it is without being told to.

use bailiwick::api::pb::v1 as pb;
use tonic::Code;

use super::{World, can, grant, replace, revoke, time};
use crate::support::service::{assert_refused, refusal};
use crate::wire::client::{change, context, touch, tuple};

fn stored(text: &str, end: Option<i64>, hour: Option<&str>) -> pb::TupleChange {
    let condition =
        hour.map(|hour| pb::TupleCondition { name: "office".into(), context: context(hour) });
    let tuple = pb::Tuple { expires_at: end.map(time), condition, ..tuple(text) };
    change(pb::Operation::Touch, tuple)
}

fn until(end: Option<i64>, text: &str) -> pb::GrantRequest {
    pb::GrantRequest { expires_at: end.map(time), ..grant(text) }
}

#[tokio::test]
async fn a_grant_prolongs_and_never_shortens() {
    let mut world = World::new(&[]).await;
    let request = "user:ana payer org:acme user:bo";
    // What is there, what is asked for, whether it is done.
    for (held, asked, is_done) in [
        (Some(50), Some(60), true),
        (Some(50), None, true),
        (Some(50), Some(50), true),
        (Some(50), Some(49), false),
        (None, Some(50), false),
        (None, None, true),
    ] {
        world.wire.write(vec![stored("org:acme#payer@user:bo", held, None)]).await.unwrap();
        let answer = world.grant(until(asked, request)).await;
        let found = world.read("org:acme", "user:bo").await[0].expires_at;
        if is_done {
            let changed = answer.unwrap().changed;
            assert_eq!(
                (changed > 0, found),
                (held != asked, asked.map(time)),
                "{held:?} {asked:?}"
            );
            continue;
        }
        let status = answer.unwrap_err();
        assert_refused(&status, Code::FailedPrecondition, "HELD_ON_OTHER_TERMS", "role");
        let metadata = refusal(&status).2;
        assert_eq!(metadata["tuple"], "org:acme#payer@user:bo");
        let end = held.map(|end| time(end).to_string());
        assert_eq!(metadata.get("expires_at"), end.as_ref());
        assert_eq!(found, held.map(time), "it is as it was");
    }
    // Once it is over it is in nobody's way.
    world.wire.write(vec![stored("org:acme#payer@user:bo", Some(50), None)]).await.unwrap();
    world.clock.set(50_000_000);
    assert_eq!(world.grant(until(Some(51), request)).await.unwrap().changed, 1);
}

#[tokio::test]
async fn a_condition_is_lifted_by_a_revocation_alone() {
    let mut world = World::new(&[]).await;
    let held = || stored("org:acme#payer@user:bo", None, Some("{\"hour\": 9}"));
    world.wire.write(vec![held()]).await.unwrap();
    let status = world.grant(grant("user:ana payer org:acme user:bo")).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "HELD_ON_OTHER_TERMS", "role");
    assert_eq!(refusal(&status).2["condition"], "office");
    let request = "user:ana payer org:acme user:bo approver";
    let status = world.replace(replace(request)).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "HELD_ON_OTHER_TERMS", "role");
    world.revoke(revoke("user:ana payer org:acme user:bo")).await.unwrap();
    world.grant(grant("user:ana payer org:acme user:bo")).await.unwrap();
    // In the way of the role that is given, too.
    world.wire.write(vec![stored("org:acme#admin@user:bo", None, Some("{}"))]).await.unwrap();
    let request = "user:ana payer org:acme user:bo admin";
    let status = world.replace(replace(request)).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "HELD_ON_OTHER_TERMS", "new_role");
    assert_eq!(world.roles_of("org:acme", "user:bo").await, ["admin", "payer"]);
}

#[tokio::test]
async fn a_replacement_lasts_as_long_as_what_it_replaces_unless_told() {
    let mut world = World::new(&[]).await;
    // The end of the old role and of the new one if it is there, what is asked for, what comes of it.
    let none = None::<Option<i64>>;
    for (old, new, asked, end) in [
        (Some(50), none, None, Some(50)),
        (None, none, None, None),
        (Some(50), none, Some(40), Some(40)),
        (Some(50), none, Some(60), Some(60)),
        (Some(50), Some(None), None, None),
        (Some(50), Some(Some(60)), None, Some(60)),
        (Some(50), Some(Some(40)), None, Some(50)),
    ] {
        let mut changes = vec![stored("org:acme#payer@user:bo", old, None)];
        changes.extend(new.map(|new| stored("org:acme#admin@user:bo", new, None)));
        world.wire.write(changes).await.unwrap();
        let mut request = replace("user:ana payer org:acme user:bo admin");
        request.expires_at = asked.map(time);
        world.replace(request).await.unwrap();
        let held = world.read("org:acme", "user:bo").await;
        let found: Vec<_> = held.iter().map(|t| (t.role.as_str(), t.expires_at)).collect();
        assert_eq!(found, [("admin", end.map(time))], "{old:?} {new:?} {asked:?}");
        world.revoke(revoke("user:ana admin org:acme user:bo")).await.unwrap();
    }
    // The new role is held for longer than it is asked for.
    world
        .wire
        .write(vec![
            stored("org:acme#payer@user:bo", None, None),
            stored("org:acme#admin@user:bo", None, None),
        ])
        .await
        .unwrap();
    let mut request = replace("user:ana payer org:acme user:bo admin");
    request.expires_at = Some(time(50));
    let status = world.replace(request).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "HELD_ON_OTHER_TERMS", "new_role");
    assert_eq!(world.roles_of("org:acme", "user:bo").await, ["admin", "payer"]);
}

/// What another system granted, under this condition if one is said.
fn sourced(text: &str, hour: Option<&str>) -> pb::TupleChange {
    let mut granted = stored(text, None, hour);
    granted.tuple.as_mut().unwrap().source = "idp".into();
    granted
}

#[tokio::test]
async fn nobody_makes_a_role_of_their_own_last_longer() {
    let mut world = World::new(&["group:ops#member@user:gus", "org:acme#admin@user:adi"]).await;
    let tuples = vec![
        stored("org:acme#owner@user:te", Some(50), None),
        sourced("org:acme#owner@user:sam", None),
        touch("org:acme#owner@group:ops#member"),
        sourced("org:acme#payer@user:adi", Some("{}")),
    ];
    world.wire.write(tuples).await.unwrap();
    let before = world.pdp.read().token().revision;
    // An end, another system, a group, a condition that is not known to hold.
    for (actor, role) in [("te", "owner"), ("sam", "owner"), ("gus", "owner"), ("adi", "payer")] {
        let request = format!("user:{actor} {role} org:acme user:{actor}");
        for end in [None, Some(60)] {
            let status = world.grant(until(end, &request)).await.expect_err(&request);
            assert_refused(&status, Code::FailedPrecondition, "HELD_ON_OTHER_TERMS", "role");
            let tuple = format!("org:acme#{role}@user:{actor}");
            assert_eq!(refusal(&status).2["tuple"], tuple, "{request}");
        }
        let question = can(&format!("user:{actor} invite {role} org:acme user:{actor}"));
        let answer = world.can(question).await.unwrap();
        assert_eq!(answer.reason(), pb::Reason::HeldOnOtherTerms, "{request}");
    }
    let request = pb::ListGrantableRolesRequest {
        actor: "user:te".into(),
        scope: "org:acme".into(),
        target: "user:te".into(),
        ..Default::default()
    };
    let listed = world.roles.list_grantable_roles(request).await.unwrap().into_inner();
    assert_eq!(listed.roles, ["admin", "payer", "approver"]);
    // What it is already changes nothing.
    let same = world.grant(until(Some(50), "user:te owner org:acme user:te")).await.unwrap();
    assert_eq!(same.changed, 0);
    assert_eq!(world.pdp.read().token().revision, before);
    world.clock.set(50_000_000);
    let status = world.grant(grant("user:te owner org:acme user:te")).await.unwrap_err();
    assert_refused(&status, Code::PermissionDenied, "NOT_DELEGATED", "role");
    // Somebody else may, and everybody what they do not have.
    world.grant(grant("user:ana owner org:acme user:te")).await.unwrap();
    world.grant(until(Some(60), "user:te approver org:acme user:te")).await.unwrap();
}

#[tokio::test]
async fn nobody_replaces_a_role_of_their_own_to_make_another_last_longer() {
    let mut world = World::new(&["org:acme#payer@user:ana"]).await;
    let request = || replace("user:ana payer org:acme user:ana admin");
    for held in [
        stored("org:acme#admin@user:ana", Some(50), None),
        sourced("org:acme#admin@user:ana", None),
    ] {
        world.wire.write(vec![held.clone()]).await.unwrap();
        let status = world.replace(request()).await.unwrap_err();
        assert_refused(&status, Code::FailedPrecondition, "HELD_ON_OTHER_TERMS", "new_role");
        let gone = change(pb::Operation::Delete, held.tuple.unwrap());
        assert_eq!(world.roles_of("org:acme", "user:ana").await, ["admin", "owner", "payer"]);
        world.wire.write(vec![gone]).await.unwrap();
    }
    // It stays as it is: the other is given up.
    world.wire.write(vec![stored("org:acme#admin@user:ana", None, None)]).await.unwrap();
    assert_eq!(world.replace(request()).await.unwrap().changed, 1);
    assert_eq!(world.roles_of("org:acme", "user:ana").await, ["admin", "owner"]);
}

#[tokio::test]
async fn who_granted_first_and_why_stays_until_the_terms_change() {
    let mut world = World::new(&["org:acme#owner@user:olga"]).await;
    let by = |actor: &str, reason: &str, end| {
        let reason = reason.to_owned();
        pb::GrantRequest { reason, ..until(end, &format!("user:{actor} payer org:acme user:bo")) }
    };
    world.clock.set(7_000_000);
    world.grant(by("ana", "contract 42", Some(50))).await.unwrap();
    let first = world.read("org:acme", "user:bo").await;
    world.clock.set(8_000_000);
    assert_eq!(world.grant(by("olga", "why not", Some(50))).await.unwrap().changed, 0);
    assert_eq!(world.read("org:acme", "user:bo").await, first);
    assert_eq!(world.grant(by("olga", "contract 43", Some(60))).await.unwrap().changed, 1);
    let second = &world.read("org:acme", "user:bo").await[0];
    let found = (&*second.grantor, &*second.reason, second.granted_at);
    assert_eq!(found, ("user:olga", "contract 43", Some(time(8))));
}

#[tokio::test]
async fn nothing_delegated_binds_everybody_and_what_does_can_be_taken() {
    let mut world = World::new(&["org:acme#payer@user:pia"]).await;
    let before = world.pdp.read().token().revision;
    let status = world.grant(grant("user:ana payer org:acme user:*")).await.unwrap_err();
    assert_refused(&status, Code::PermissionDenied, "NOT_BINDABLE", "role");
    let answer = world.can(can("user:ana invite payer org:acme user:*")).await.unwrap();
    assert_eq!(answer.reason(), pb::Reason::NotBindable);
    let request = pb::ListGrantableRolesRequest {
        actor: "user:ana".into(),
        scope: "org:acme".into(),
        target: "user:*".into(),
        ..Default::default()
    };
    let listed = world.roles.list_grantable_roles(request).await.unwrap().into_inner();
    assert_eq!((listed.roles.len(), listed.undecided.len()), (0, 0));
    assert_eq!(world.pdp.read().token().revision, before);
    // A trusted writer may.
    world.wire.write(vec![touch("org:acme#payer@user:*")]).await.unwrap();
    let request = replace("user:ana payer org:acme user:* approver");
    let status = world.replace(request).await.unwrap_err();
    assert_refused(&status, Code::PermissionDenied, "NOT_BINDABLE", "new_role");
    assert_eq!(world.revoke(revoke("user:ana payer org:acme user:*")).await.unwrap().changed, 1);
}
