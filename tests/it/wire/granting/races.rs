//! Changes that come at once, a thousand times, over the wire: the order of the log decides, and nobody
//! grants after the demotion.

use bailiwick::api::pb::v1 as pb;
use tokio::task::JoinSet;
use tonic::Code;

use super::{World, grant, revoke};
use crate::support::service::refusal;
use crate::wire::client::{change, touch, tuple};

const ROUNDS: usize = 1_000;
/// So many rounds are under way at once.
const AT_ONCE: usize = 50;

async fn with_orgs(tuples: impl Fn(usize) -> Vec<String>) -> World {
    let mut world = World::new(&[]).await;
    let all: Vec<_> = (0..ROUNDS).flat_map(tuples).collect();
    world.wire.write(all.iter().map(|text| touch(text)).collect()).await.unwrap();
    world
}

#[tokio::test]
async fn an_actor_who_is_demoted_while_it_grants_grants_nothing_after() {
    let world = with_orgs(|i| {
        vec![format!("org:o{i}#owner@user:boss"), format!("org:o{i}#admin@user:adi")]
    })
    .await;
    let (mut granted, mut refused) = (0, 0);
    let rounds: Vec<usize> = (0..ROUNDS).collect();
    for part in rounds.chunks(AT_ONCE) {
        let mut races = JoinSet::new();
        for &i in part {
            let (mut roles, mut more, mut tuples) =
                (world.roles.clone(), world.roles.clone(), world.wire.tuples.clone());
            races.spawn(async move {
                let invited = grant(&format!("user:adi payer org:o{i} user:bo"));
                let granting =
                    async { roles.grant(invited).await.map(tonic::Response::into_inner) };
                // Every other time by a person, else by a trusted caller.
                let demoting = async {
                    if i % 2 == 0 {
                        let demoted = revoke(&format!("user:boss admin org:o{i} user:adi"));
                        return more.revoke(demoted).await.unwrap().into_inner().revision;
                    }
                    let gone = tuple(&format!("org:o{i}#admin@user:adi"));
                    let changes = vec![change(pb::Operation::Delete, gone)];
                    let request = pb::WriteTuplesRequest { changes, ..Default::default() };
                    tuples.write_tuples(request).await.unwrap().into_inner().revision
                };
                // Whoever is polled first is sent first.
                if i % 4 < 2 {
                    tokio::join!(granting, demoting)
                } else {
                    let (demoted, granted) = tokio::join!(demoting, granting);
                    (granted, demoted)
                }
            });
        }
        while let Some(race) = races.join_next().await {
            match race.unwrap() {
                (Ok(grant), demoted) => {
                    assert_ne!(grant.revision, demoted);
                    assert!(
                        grant.revision < demoted,
                        "granted at {} after {demoted}",
                        grant.revision
                    );
                    granted += 1;
                }
                (Err(status), _) => {
                    let (code, reason, _) = refusal(&status);
                    assert_eq!((code, reason.as_str()), (Code::PermissionDenied, "NOT_DELEGATED"));
                    refused += 1;
                }
            }
        }
    }
    assert_eq!(granted + refused, ROUNDS);
    assert!(granted > 0 && refused > 0, "no race: {granted} granted, {refused} refused");
}

/// Two owners take an owner's role at once in each org; how many reasons of refusal were met.
async fn owners_race(other: bool) -> Vec<String> {
    let mut world =
        with_orgs(|i| vec![format!("org:o{i}#owner@user:one"), format!("org:o{i}#owner@user:two")])
            .await;
    let mut reasons = Vec::new();
    let rounds: Vec<usize> = (0..ROUNDS).collect();
    for part in rounds.chunks(AT_ONCE) {
        let mut races = JoinSet::new();
        for &i in part {
            let (mut one, mut two) = (world.roles.clone(), world.roles.clone());
            let of =
                |actor: &str, target: &str| revoke(&format!("{actor} owner org:o{i} {target}"));
            let (first, second) = if other {
                (of("user:one", "user:two"), of("user:two", "user:one"))
            } else {
                (of("user:one", "user:one"), of("user:two", "user:two"))
            };
            races.spawn(async move { tokio::join!(one.revoke(first), two.revoke(second)) });
        }
        while let Some(race) = races.join_next().await {
            let (first, second) = race.unwrap();
            let refused = match (first, second) {
                (Ok(_), Err(status)) | (Err(status), Ok(_)) => status,
                both => panic!("not just one of two: {both:?}"),
            };
            reasons.push(refusal(&refused).1);
        }
    }
    for i in 0..ROUNDS {
        let owners = world.read(&format!("org:o{i}"), "").await;
        assert_eq!(owners.len(), 1, "{owners:?}");
    }
    reasons.sort();
    reasons.dedup();
    reasons
}

#[tokio::test]
async fn of_two_owners_who_revoke_each_other_one_always_stays() {
    assert_eq!(owners_race(true).await, ["NOT_DELEGATED"]);
}

#[tokio::test]
async fn of_two_owners_who_leave_at_once_one_always_stays() {
    assert_eq!(owners_race(false).await, ["CONSTRAINT_KEEP_ONE"]);
}
