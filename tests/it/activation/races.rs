//! Proposals, writes and reads at once are in one order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bailiwick::model::tuple::{Change, Revision};
use bailiwick::pdp::{ProposalError, TupleFilter, WriteError};
use bailiwick::store::Store;

use super::{ADMINS, BOTH, memory};
use crate::support::{World, delete, proposal, touch};

/// Writers, readers and proposals at once. Each reader sees one model with the tuples that fit it; each
/// write is judged by the model that its revision falls under.
#[test]
fn activations_writes_and_reads_are_in_one_order() {
    let store = memory();
    let world = World::on(Arc::clone(&store), BOTH);
    let stop = AtomicBool::new(false);
    let (accepted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writer = |id: u64| {
            let (pdp, stop) = (world.pdp.clone(), &stop);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let write = |change| runtime.block_on(pdp.write(vec![change]));
                for round in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let text = format!("org:o{round}#viewer@user:w{id}");
                    match write(touch(&text)) {
                        // Gone again, so that the next proposal has a chance.
                        Ok(_) => drop(write(delete(&text)).unwrap()),
                        Err(WriteError::NotAdmitted { .. }) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        };
        let reader = || {
            let (pdp, stop) = (world.pdp.clone(), &stop);
            move || {
                let mut seen = Revision(0);
                while !stop.load(Ordering::SeqCst) {
                    let reading = pdp.read();
                    let revision = reading.token().revision;
                    assert!(revision >= seen);
                    seen = revision;
                    assert!(reading.model_since().unwrap().revision <= revision);
                    let tuples = reading.tuples(&TupleFilter::default()).unwrap();
                    let viewers =
                        tuples.flatten().filter(|t| t.key.role.as_str() == "viewer").count();
                    let may_have = reading.model().name == "both";
                    assert!(viewers == 0 || may_have, "{viewers} under another model");
                }
            }
        };
        let handles: Vec<_> = (0..2).map(|id| scope.spawn(writer(id))).collect();
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(reader())).collect();
        for round in 0..2_000 {
            let text = if round % 2 == 0 { ADMINS } else { BOTH };
            match world.pdp.propose(proposal(text)) {
                Ok(_) => accepted.fetch_add(1, Ordering::SeqCst),
                Err(ProposalError::Misfits(_)) => refused.fetch_add(1, Ordering::SeqCst),
                Err(error) => panic!("{error}"),
            };
        }
        stop.store(true, Ordering::SeqCst);
        handles.into_iter().chain(readers).for_each(|thread| thread.join().unwrap());
    });
    assert!(accepted.load(Ordering::SeqCst) > 0);
    assert!(refused.load(Ordering::SeqCst) > 0, "no write ever came before a proposal");
    world.pdp.close();

    no_viewers_where_there_are_none(store.as_ref());
}

/// The log tells it once more: at every model that has no viewers none is there, and none comes.
fn no_viewers_where_there_are_none(store: &dyn Store) {
    let mut viewers = BTreeSet::new();
    let mut may_have = true;
    let admins = proposal(ADMINS);
    for commit in store.read(Revision(1)).unwrap() {
        let (revision, commit) = commit.unwrap();
        if let Some(model) = &commit.model {
            may_have = model.digest != admins.digest();
        }
        for change in commit.changes {
            match change {
                Change::Put(tuple) => drop(viewers.insert(tuple.key)),
                Change::Delete(key) => drop(viewers.remove(&key)),
            }
        }
        assert!(may_have || viewers.is_empty(), "at {revision:?}: {viewers:?}");
    }
}
