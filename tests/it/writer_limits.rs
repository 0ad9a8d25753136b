//! The writer's bounds: how many commits wait, how many share a sync, how many the log keeps.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};

use bailiwick::engine::CheckedContext;
use bailiwick::model::limits::{
    CHECKPOINT_CHANGES, CHECKPOINT_SHARE, COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX, GROUP_CHANGES_MAX,
    GROUP_COMMITS_MAX, LOG_KEPT_CHANGES, LOG_KEPT_COMMITS, WAITING_COMMITS_MAX,
};
use bailiwick::model::tuple::{Revision, Time, Tuple};
use bailiwick::pdp::{Clock, Pdp, Upkeep, WriteChange, WriteError, Written};
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::{Store, StoreError};

use crate::support::store::HookedStore;
use crate::support::{SetClock, World, create, files_of, model, proposal, touch, tuple};

const MODEL: &str = "
model: writer
types: { user: {}, org: {} }
roles: [ { at: [org], names: [admin], bound_by: [user] } ]
permissions: { act: { at: [org], is: admin } }
";

/// A service whose first commit is held up in the store, so that others gather behind it; and how often it appended
/// since then.
struct Held {
    world: World,
    appends: Arc<AtomicUsize>,
    when_entered: mpsc::Receiver<()>,
    release: mpsc::SyncSender<()>,
    first: Commit,
}

/// A commit that has been asked for.
type Commit = Pin<Box<dyn Future<Output = Result<Written, WriteError>>>>;

impl Held {
    fn new() -> Self {
        // The first append is the model's, the second the one that the others wait behind.
        Self::at(&[1])
    }

    /// Held up in these appends, the second among them.
    fn at(held: &'static [usize]) -> Self {
        let appends = Arc::new(AtomicUsize::new(0));
        let (entered, when_entered) = mpsc::sync_channel::<()>(1);
        let (release, released) = mpsc::sync_channel::<()>(1);
        let (counted, released) = (Arc::clone(&appends), Mutex::new(released));
        let store = HookedStore::new(move || {
            if held.contains(&counted.fetch_add(1, Ordering::SeqCst)) {
                entered.send(()).unwrap();
                released.lock().unwrap().recv().unwrap();
            }
            Ok(())
        });
        let world = World::on(Arc::new(store), MODEL);
        let (first, begun) = begin(&world.pdp, 0, 1);
        assert!(begun.is_pending());
        when_entered.recv().unwrap();
        Self { world, appends, when_entered, release, first }
    }

    /// Lets it go on; how many groups the waiting commits made.
    fn groups_of(&self, waiting: impl IntoIterator<Item = Commit>) -> usize {
        self.release.send(()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for commit in waiting {
            runtime.block_on(commit).unwrap();
        }
        self.appends.load(Ordering::SeqCst) - 2
    }
}

/// Asks for a commit of so many tuples, which no other has, and does not wait for it.
fn begin(pdp: &Pdp, name: usize, tuples: usize) -> (Commit, Poll<Result<Written, WriteError>>) {
    let tuple = |i: usize| touch(&format!("org:o{name}-{i}#admin@user:ana"));
    let (pdp, changes) = (pdp.clone(), (0..tuples).map(tuple).collect());
    let mut commit: Commit = Box::pin(async move { pdp.write(changes).await });
    let begun = commit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    (commit, begun)
}

#[test]
fn so_many_commits_wait_and_one_more_is_refused_and_a_group_is_bounded() {
    let mut held = Held::new();
    let mut waiting = Vec::new();
    for i in 1..=WAITING_COMMITS_MAX {
        let (commit, begun) = begin(&held.world.pdp, i, 1);
        assert!(begun.is_pending(), "commit {i} does not wait: {begun:?}");
        waiting.push(commit);
    }
    let (_, one_more) = begin(&held.world.pdp, WAITING_COMMITS_MAX + 1, 1);
    let Poll::Ready(Err(WriteError::Overloaded { limit })) = one_more else {
        panic!("{one_more:?}");
    };
    assert_eq!(limit, WAITING_COMMITS_MAX);
    let groups = held.groups_of(waiting);
    assert_eq!(groups, WAITING_COMMITS_MAX.div_ceil(GROUP_COMMITS_MAX));
    assert!(held.first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    let count = held.world.pdp.read().tuple_count();
    assert_eq!(count, WAITING_COMMITS_MAX + 1, "what was refused is not");
}

#[test]
fn a_group_makes_so_many_changes_and_no_small_commit_waits_for_a_large_one_behind_it() {
    let held = Held::new();
    let half = GROUP_CHANGES_MAX / 2;
    // One; then as many as a group takes; one, as the next is large; and the rest.
    let sizes = [1, half, 1, half - 1, 1, half, half - 1];
    let waiting = (1..).zip(sizes).map(|(name, tuples)| begin(&held.world.pdp, name, tuples).0);
    let waiting: Vec<_> = waiting.collect();
    assert_eq!(held.groups_of(waiting), 4);
}

/// What comes while the commits of a group are made one by one, as one of them cannot be stored, is lost by nobody.
#[test]
fn what_comes_while_a_group_is_served_one_by_one_is_answered_too() {
    // The third append is the group's, which one spoils; the fourth that of its first alone.
    let held = Held::at(&[1, 3]);
    let pdp = &held.world.pdp;
    let large = Tuple { reason: "r".repeat(COMMIT_BYTES_MAX), ..tuple("org:a#admin@user:ana") };
    let write_large = {
        let pdp = pdp.clone();
        async move { pdp.write(vec![WriteChange::Touch(large)]).await }
    };
    let mut waiting = vec![begin(pdp, 1, 1).0];
    let mut large: Commit = Box::pin(write_large);
    assert!(large.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    waiting.push(begin(pdp, 2, 1).0);
    held.release.send(()).unwrap();
    held.when_entered.recv().unwrap();
    waiting.extend((3..6).map(|name| begin(pdp, name, 1).0));
    waiting.push(begin(pdp, 6, 2_000).0);
    waiting.push(begin(pdp, 7, 1).0);
    held.release.send(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let revisions = waiting.into_iter().map(|commit| runtime.block_on(commit).unwrap().token);
    let revisions: Vec<u64> = revisions.map(|token| token.revision.0).collect();
    assert_eq!(revisions, [3, 4, 5, 6, 7, 8, 9]);
    assert!(matches!(runtime.block_on(large), Err(WriteError::TooLarge { .. })));
}

/// Stands at 10 until the writer has looked, who then finds one more commit; and at 20 from then on.
#[derive(Debug, Default)]
struct Busy {
    now: AtomicI64,
    more: Mutex<Option<Pdp>>,
}

impl Clock for Busy {
    fn now(&self) -> Time {
        let is_writer = std::thread::current().name() == Some("bailiwick-writer");
        let now = Time(self.now.load(Ordering::SeqCst));
        let more = if is_writer { self.more.lock().unwrap().take() } else { None };
        if let Some(pdp) = more {
            // Nobody waits for it.
            let _gone = poll_once(pdp.write(vec![create("org:b#admin@user:ana")]));
            self.now.store(20, Ordering::SeqCst);
        }
        now
    }
}

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn what_comes_while_a_group_is_judged_is_of_it_and_judged_at_a_moment_of_its_own() {
    let appends = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&appends);
    let store = HookedStore::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    let clock = Arc::new(Busy::default());
    clock.now.store(10, Ordering::SeqCst);
    let clock_too: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let pdp = Pdp::start_strictly(Arc::new(store), proposal(MODEL), clock_too).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let until_15 = Tuple { expires_at: Some(Time(15)), ..tuple("org:b#admin@user:ana") };
    runtime.block_on(pdp.write(vec![WriteChange::Touch(until_15)])).unwrap();
    let before = appends.load(Ordering::SeqCst);
    *clock.more.lock().unwrap() = Some(pdp.clone());
    let first = runtime.block_on(pdp.write(vec![create("org:a#admin@user:ana")])).unwrap();
    assert_eq!(appends.load(Ordering::SeqCst) - before, 1, "they are no group");
    let newest = pdp.read();
    assert_eq!(newest.token().revision.0, first.token.revision.0 + 1);
    assert_eq!(newest.tuple_count(), 2);
    let question = newest.question("user:ana", "act", "org:b", CheckedContext::default()).unwrap();
    assert!(newest.check(&question, true).unwrap().is_allow(), "it was not there anew");
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
