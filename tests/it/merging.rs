//! The index is made compact while writes and reads go on: nothing is lost, nothing comes back, and no
//! revision of the past changes.
#![expect(clippy::print_stdout, reason = "a run says its seed")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bailiwick::model::limits::MERGE_CHANGES_MIN;
use bailiwick::pdp::{Consistency, Reading, Token, TupleFilter};
use bailiwick::store::Store;
use bailiwick::store::memory::MemoryStore;
use tokio::time::Instant;

use crate::support::{World, delete, proposal, touch};

const MODEL: &str = "
model: merging
types: { user: {}, org: {} }
roles: [ { at: [org], names: [admin, viewer], bound_by: [user] } ]
permissions: { see: { at: [org], is: 'admin or viewer' } }
";

const COMMITS: usize = 24;
const CHANGES: usize = 3_000;

/// The tuples of a revision, as it tells them.
fn all(reading: &Reading) -> BTreeSet<String> {
    let tuples = reading.tuples(&TupleFilter::default()).unwrap();
    tuples.flatten().map(|tuple| tuple.key.to_string()).collect()
}

/// One more commit: tuples come and go.
fn commit(world: &World, random: &mut fastrand::Rng, known: &mut BTreeSet<String>) -> Token {
    let mut changes = Vec::with_capacity(CHANGES);
    let mut named = BTreeSet::new();
    while changes.len() < CHANGES {
        let role = ["admin", "viewer"][random.usize(..2)];
        let text = format!("org:o{}#{role}@user:u{}", random.u32(..90), random.u32(..200));
        if !named.insert(text.clone()) {
            continue;
        }
        if random.u8(..3) == 0 {
            changes.push(delete(&text));
            known.remove(&text);
        } else {
            changes.push(touch(&text));
            known.insert(text);
        }
    }
    world.write(changes).unwrap()
}

#[test]
fn nothing_changes_while_the_index_is_merged() {
    const { assert!(COMMITS * CHANGES > 4 * MERGE_CHANGES_MIN) };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let world = World::on(Arc::clone(&store), MODEL);
    world.put(&["org:still#viewer@user:still"]);
    let mut known: BTreeSet<String> = ["org:still#viewer@user:still".to_owned()].into();
    let mut past: Vec<(Token, BTreeSet<String>)> = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut asked = 0;
            while !stop.load(Ordering::SeqCst) || asked == 0 {
                assert!(world.allows("user:still see org:still"));
                assert!(!world.allows("user:never see org:still"));
                assert!(!world.allows("user:still see org:o1"));
                asked += 1;
            }
        });
        for _ in 0..COMMITS {
            let token = commit(&world, &mut random, &mut known);
            past.push((token, known.clone()));
            assert_eq!(world.pdp.read().tuple_count(), known.len());
            if random.u8(..3) > 0 {
                continue;
            }
            // The newest, and one of those that are still served.
            for (token, known) in
                [past.last(), past.iter().nth_back(random.usize(1..4))].into_iter().flatten()
            {
                let exactly = Consistency::Exactly(token.clone());
                let reading = runtime.block_on(world.pdp.read_at(&exactly, Instant::now()));
                assert!(all(&reading.unwrap()) == *known, "at {token:?}");
            }
        }
        stop.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
    assert!(all(&world.pdp.read()) == known, "at the end");
    // Under another model, and after a restart, which read the same tuples.
    let other = MODEL.replace("model: merging", "model: other");
    world.pdp.propose(proposal(&other)).unwrap();
    commit(&world, &mut random, &mut known);
    assert!(all(&world.pdp.read()) == known, "under another model");
    world.pdp.close();
    let again = World::on(store, &other);
    assert!(all(&again.pdp.read()) == known, "after a restart");
}
