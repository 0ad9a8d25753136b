//! On which terms a role is held: nothing delegated makes a tuple less than it is without being told to.

use bailiwick::api::pb::v1 as pb;
use tonic::Code;

use super::{World, grant, replace, revoke, time};
use crate::support::service::{assert_refused, refusal};
use crate::wire::client::{change, context, tuple};

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
