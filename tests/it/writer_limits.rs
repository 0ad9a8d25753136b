//! The writer's bounds: how many commits wait, how many share a sync, how many the log keeps.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};

use bailiwick::model::limits::{
    CHECKPOINT_CHANGES, COMMIT_CHANGES_MAX, GROUP_COMMITS_MAX, LOG_KEPT_COMMITS,
    WAITING_COMMITS_MAX,
};
use bailiwick::model::tuple::Revision;
use bailiwick::pdp::WriteError;
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::{Store, StoreError};

use crate::support::store::HookedStore;
use crate::support::{World, touch};

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

#[test]
fn the_log_keeps_so_many_commits_behind_a_checkpoint() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let world = World::on(Arc::clone(&store), MODEL);
    let of = |commit: usize, i: usize| touch(&format!("org:o{i}#admin@user:u{commit}"));
    for i in 0..50 {
        world.write(vec![of(0, i)]).unwrap();
    }
    let large = usize::try_from(CHECKPOINT_CHANGES).unwrap() / COMMIT_CHANGES_MAX;
    let small = usize::try_from(LOG_KEPT_COMMITS).unwrap() - large;
    for i in 0..small {
        world.write(vec![of(1, i)]).unwrap();
    }
    for commit in 0..large {
        assert!(store.checkpoint().unwrap().is_none(), "a checkpoint before it is due");
        world.write((0..COMMIT_CHANGES_MAX).map(|i| of(2 + commit, i)).collect()).unwrap();
    }
    // Waits for the checkpoint that is being written.
    world.pdp.close();
    let (head, _) = store.checkpoint().unwrap().expect("a checkpoint");
    let Err(StoreError::Truncated { oldest, .. }) = store.read(Revision(1)).map(drop) else {
        panic!("nothing was truncated");
    };
    assert_eq!(oldest, head.head.revision.0 - LOG_KEPT_COMMITS);
    assert!(oldest > 1);
}
