//! The writer's bounds: how many commits wait, how many share a sync, how many the log keeps.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};

use bailiwick::model::limits::{
    CHECKPOINT_CHANGES, CHECKPOINT_SHARE, COMMIT_CHANGES_MAX, GROUP_COMMITS_MAX, LOG_KEPT_CHANGES,
    LOG_KEPT_COMMITS, WAITING_COMMITS_MAX,
};
use bailiwick::model::tuple::Revision;
use bailiwick::pdp::{Pdp, Upkeep, WriteError};
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::{Store, StoreError};

use crate::support::store::HookedStore;
use crate::support::{SetClock, World, files_of, model, touch};

const MODEL: &str = "
model: writer
types: { user: {}, org: {} }
roles: [ { at: [org], names: [admin], bound_by: [user] } ]
permissions: { act: { at: [org], is: admin } }
";

#[test]
fn so_many_commits_wait_and_one_more_is_refused_and_a_group_is_bounded() {
    let appends = Arc::new(AtomicUsize::new(0));
    let (entered, when_entered) = mpsc::sync_channel::<()>(1);
    let (release, released) = mpsc::sync_channel::<()>(1);
    let (counted, released) = (Arc::clone(&appends), Mutex::new(released));
    let store = HookedStore::new(move || {
        // The first append is the model's, the second the one that the others wait behind.
        if counted.fetch_add(1, Ordering::SeqCst) == 1 {
            entered.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
        }
        Ok(())
    });
    let world = World::on(Arc::new(store), MODEL);
    let pdp = world.pdp.clone();
    let write = |i: usize| {
        let pdp = pdp.clone();
        let changes = vec![touch(&format!("org:o{i}#admin@user:ana"))];
        Box::pin(async move { pdp.write(changes).await })
    };
    let mut context = Context::from_waker(Waker::noop());
    let mut begin = |i| {
        let mut commit = write(i);
        let begun = Pin::new(&mut commit).poll(&mut context);
        (commit, begun)
    };
    let (first, begun) = begin(0);
    assert!(begun.is_pending());
    when_entered.recv().unwrap();
    let mut waiting = vec![first];
    for i in 1..=WAITING_COMMITS_MAX {
        let (commit, begun) = begin(i);
        assert!(begun.is_pending(), "commit {i} does not wait: {begun:?}");
        waiting.push(commit);
    }
    let (_, one_more) = begin(WAITING_COMMITS_MAX + 1);
    let Poll::Ready(Err(WriteError::Overloaded { limit })) = one_more else {
        panic!("{one_more:?}");
    };
    assert_eq!(limit, WAITING_COMMITS_MAX);
    release.send(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for commit in waiting {
            commit.await.unwrap();
        }
    });
    assert_eq!(world.pdp.read().tuple_count(), WAITING_COMMITS_MAX + 1, "what was refused is not");
    let groups = appends.load(Ordering::SeqCst) - 2;
    assert_eq!(groups, WAITING_COMMITS_MAX.div_ceil(GROUP_COMMITS_MAX));
}

/// Writes so many commits of 10,000 changes, then so many of one.
fn write(world: &World, large: usize, small: usize) {
    let of = |commit: usize, i: usize| touch(&format!("org:o{i}#admin@user:u{commit}"));
    for commit in 0..large {
        world.write((0..COMMIT_CHANGES_MAX).map(|i| of(commit, i)).collect()).unwrap();
    }
    for i in 0..small {
        world.write(vec![of(large, i)]).unwrap();
    }
}

/// The revision of the checkpoint, and the oldest one that the log keeps.
fn kept(store: &dyn Store) -> (u64, u64) {
    let (head, _) = store.checkpoint().unwrap().expect("a checkpoint");
    let Err(StoreError::Truncated { oldest, .. }) = store.read(Revision(1)).map(drop) else {
        panic!("nothing was truncated");
    };
    (head.head.revision.0, oldest)
}

#[test]
fn the_log_keeps_so_many_commits_behind_a_checkpoint() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let world = World::on(Arc::clone(&store), MODEL);
    let large = usize::try_from(CHECKPOINT_CHANGES).unwrap() / COMMIT_CHANGES_MAX - 1;
    write(&world, large, COMMIT_CHANGES_MAX - 1);
    assert!(store.checkpoint().unwrap().is_none(), "a checkpoint before it is due");
    world.write(vec![touch("org:acme#admin@user:ana")]).unwrap();
    // Waits for the checkpoint that is being written.
    world.pdp.close();
    let (checkpoint, oldest) = kept(store.as_ref());
    assert_eq!(oldest, checkpoint - LOG_KEPT_COMMITS);
    assert!(oldest > 1);
}

#[test]
fn the_log_keeps_so_many_changes_behind_a_checkpoint() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let large = usize::try_from(CHECKPOINT_CHANGES).unwrap() / COMMIT_CHANGES_MAX;
    let world = World::on(Arc::clone(&store), MODEL);
    write(&world, large - 1, 0);
    world.pdp.close();
    // Those of before a restart count as well.
    let world = World::on(Arc::clone(&store), MODEL);
    assert!(store.checkpoint().unwrap().is_none(), "a checkpoint before it is due");
    let of = |i: usize| touch(&format!("org:o{i}#admin@user:last"));
    world.write((0..COMMIT_CHANGES_MAX).map(of).collect()).unwrap();
    world.pdp.close();
    let (checkpoint, oldest) = kept(store.as_ref());
    assert_eq!(checkpoint, 1 + large as u64);
    let kept = LOG_KEPT_CHANGES / COMMIT_CHANGES_MAX as u64;
    assert_eq!(oldest, checkpoint - kept);
}

#[test]
fn a_large_store_is_written_whole_after_a_share_of_it_has_changed() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let upkeep = Upkeep { checkpoint_changes: 10, ..Upkeep::default() };
    assert_eq!(upkeep.checkpoint_share, CHECKPOINT_SHARE);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Each time anew: closing waits for the checkpoint that is being written.
    let write = |from: usize, to: usize| {
        let model = model(MODEL);
        let (files, clock) = (files_of(&model), Arc::new(SetClock::default()));
        let pdp = Pdp::open_with(Arc::clone(&store), model, files, clock, upkeep).unwrap();
        let of = |i: usize| touch(&format!("org:o{i}#admin@user:ana"));
        runtime.block_on(pdp.write((from..to).map(of).collect())).unwrap();
        pdp.close();
        store.checkpoint().unwrap().map(|(state, _)| state.tuple_count)
    };
    assert_eq!(write(0, 1_000), Some(1_000));
    let due = 1_000 / (usize::try_from(CHECKPOINT_SHARE).unwrap() - 1);
    assert_eq!(write(1_000, 1_000 + due - 10), Some(1_000), "far more than ten changes");
    assert_eq!(write(1_000 + due - 10, 1_000 + due), Some(1_000 + due as u64));
}
