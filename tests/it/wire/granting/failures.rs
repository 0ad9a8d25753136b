//! A store that fails under delegated changes: nobody is told what depends on a commit that is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use bailiwick::store::StoreError;
use tonic::Code;

use super::{World, grant, revoke};
use crate::support::service::assert_refused;
use crate::support::store::HookedStore;
use crate::wire::client::touch;

/// Which append waits, and which fails.
#[derive(Default)]
struct Plan {
    appends: AtomicUsize,
    /// The append that waits until the gate opens; the next one fails.
    waits_at: AtomicUsize,
    gate: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Plan {
    fn append(&self) -> Result<(), StoreError> {
        let number = self.appends.fetch_add(1, Ordering::SeqCst) + 1;
        let waits_at = self.waits_at.load(Ordering::SeqCst);
        if waits_at == 0 || number < waits_at {
            return Ok(());
        }
        if number == waits_at {
            let mut gate = self.gate.lock().unwrap();
            gate.0 = true;
            self.changed.notify_all();
            drop(self.changed.wait_while(gate, |(_, open)| !*open).unwrap());
            return Ok(());
        }
        let source = Arc::new(std::io::Error::other("the plan says so"));
        Err(StoreError::Io { doing: "sync `/secret/path`".into(), source })
    }

    fn wait_until_held(&self) {
        drop(self.changed.wait_while(self.gate.lock().unwrap(), |(held, _)| !*held).unwrap());
    }

    fn open(&self) {
        self.gate.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_that_rests_on_a_lost_commit_is_told_to_nobody() {
    let plan = Arc::new(Plan::default());
    let told = Arc::clone(&plan);
    let mut world = World::on(Arc::new(HookedStore::new(move || told.append()))).await;
    let tuples = ["org:acme#owner@user:ana", "org:acme#admin@user:adi"];
    world.wire.write(tuples.map(touch).into()).await.unwrap();
    plan.waits_at.store(plan.appends.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
    // While the first commit is held, the others gather: the next group is theirs.
    let spawn_grant = |text: &str| {
        let (mut roles, request) = (world.roles.clone(), grant(text));
        tokio::spawn(async move { roles.grant(request).await })
    };
    let held = spawn_grant("user:ana payer org:acme user:first");
    let (waits, wait) = (Arc::clone(&plan), tokio::task::spawn_blocking);
    wait(move || waits.wait_until_held()).await.unwrap();
    let demote = world.pdp.delegate(demotion());
    let after = world.pdp.delegate(invitation());
    // Both are sent when they are first polled, in this order.
    let (demote, after) = {
        let opened = async {
            plan.open();
        };
        let (demote, after, ()) = tokio::join!(demote, after, opened);
        (demote, after)
    };
    held.await.unwrap().unwrap();
    let demote = demote.unwrap_err().to_string();
    assert!(demote.contains("outcome of the commit is unknown"), "{demote}");
    let after = after.unwrap_err().to_string();
    assert!(after.contains("takes no more writes"), "it was told what is lost: {after}");
    // From then on nothing is written, whoever asks; reads go on.
    let status = world.grant(grant("user:ana payer org:acme user:bo")).await.unwrap_err();
    assert_refused(&status, Code::Unavailable, "STORE_UNAVAILABLE", "");
    let status = world.revoke(revoke("user:ana payer org:acme user:bo")).await.unwrap_err();
    assert_refused(&status, Code::Unavailable, "STORE_UNAVAILABLE", "");
    assert_eq!(world.roles_of("org:acme", "user:adi").await, ["admin"]);
}

fn demotion() -> bailiwick::pdp::DelegatedRequest {
    delegated(
        "user:ana",
        |role| bailiwick::pdp::DelegatedChange::Revoke { role },
        ("admin", "user:adi"),
    )
}

fn invitation() -> bailiwick::pdp::DelegatedRequest {
    let grant = |role| bailiwick::pdp::DelegatedChange::Grant {
        role,
        expires_at: None,
        reason: String::new(),
        parent: None,
    };
    delegated("user:adi", grant, ("payer", "user:bo"))
}

fn delegated(
    actor: &str,
    change: impl Fn(bailiwick::model::names::Name) -> bailiwick::pdp::DelegatedChange,
    (role, target): (&str, &str),
) -> bailiwick::pdp::DelegatedRequest {
    use bailiwick::model::names::{Name, Object, Subject};
    bailiwick::pdp::DelegatedRequest {
        actor: Object::parse(actor).unwrap(),
        target: Subject::parse(target).unwrap(),
        scope: Object::parse("org:acme").unwrap(),
        change: change(Name::parse(role).unwrap()),
        context: Default::default(),
        key: None,
    }
}
