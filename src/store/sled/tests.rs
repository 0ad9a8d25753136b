//! Guards the latch: after a failed sync nothing more is acknowledged, and reopening decides. Needs a
//! sync that fails, which no file gives on demand; hence here, and not beside the contract.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::SledStore;
use crate::model::tuple::{Change, Revision, Time, Tuple, TupleKey};
use crate::store::{CheckpointHead, Commit, Store, StoreError};

fn commit(n: u64) -> Commit {
    let key = TupleKey::parse(&format!("org:acme#technician@user:u{n}")).unwrap();
    Commit { time: Time(1), changes: vec![Change::Put(Tuple::plain(key))], model: None }
}

/// A store whose syncs are counted, and fail while `fails` is set.
fn open(dir: &Path, fails: &Arc<AtomicBool>, syncs: &Arc<AtomicU32>) -> SledStore {
    let (fails, syncs) = (Arc::clone(fails), Arc::clone(syncs));
    let sync = move |file: &File| {
        syncs.fetch_add(1, Ordering::SeqCst);
        if fails.load(Ordering::SeqCst) {
            return Err(io::Error::other("no such luck"));
        }
        file.sync_data()
    };
    SledStore::open_with(dir, true, Arc::new(sync)).unwrap()
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_until_reopened() {
    let dir = tempfile::tempdir().unwrap();
    let (fails, syncs) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let store = open(dir.path(), &fails, &syncs);
    store.append(Revision(0), &[commit(1)]).unwrap();
    let head = store.head();

    fails.store(true, Ordering::SeqCst);
    let e = store.append(Revision(1), &[commit(2)]).unwrap_err();
    assert!(matches!(e, StoreError::Io { .. }), "{e}");
    assert!(e.to_string().contains("log/db`: no such luck"), "{e}");
    fails.store(false, Ordering::SeqCst);
    for expected in [1, 2] {
        let e = store.append(Revision(expected), &[commit(2)]).unwrap_err();
        assert!(matches!(e, StoreError::Latched { .. }), "{e}");
        assert!(e.to_string().contains("no such luck"), "{e}");
        assert!(e.to_string().contains("restart the process"), "{e}");
    }
    assert_eq!(store.head(), head, "what is not durable is not published");
    assert_eq!(store.wait_beyond(Revision(1), Duration::ZERO), head);
    assert_eq!(store.read(Revision(1)).unwrap().count(), 1);
    drop(store);

    let store = open(dir.path(), &fails, &syncs);
    let at = store.head().revision;
    assert!(at == Revision(1) || at == Revision(2), "the outcome was unknown: {at:?}");
    store.append(at, &[commit(3)]).unwrap();
    let read: Vec<_> = store.read(Revision(1)).unwrap().map(|item| item.unwrap().1).collect();
    assert!(read.starts_with(&[commit(1)]) && read.ends_with(&[commit(3)]));
}

#[test]
fn a_checkpoint_that_cannot_be_synced_leaves_the_older_one_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let (fails, syncs) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let mut store = open(dir.path(), &fails, &syncs);
    let checkpoint = |store: &SledStore| {
        let state =
            CheckpointHead { head: store.head(), time: Time(1), model: None, tuple_count: 0 };
        store.write_checkpoint(&state, &mut std::iter::empty())
    };
    let in_force = |store: &SledStore| store.checkpoint().unwrap().unwrap().0.head.revision;
    store.append(Revision(0), &[commit(1)]).unwrap();
    checkpoint(&store).unwrap();
    store.append(Revision(1), &[commit(2)]).unwrap();
    fails.store(true, Ordering::SeqCst);
    assert!(matches!(checkpoint(&store), Err(StoreError::Io { .. })));
    fails.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(in_force(&store), Revision(1));
        drop(store);
        store = open(dir.path(), &fails, &syncs);
    }
    checkpoint(&store).unwrap();
    assert_eq!(in_force(&store), Revision(2));
}

#[test]
fn a_group_is_one_sync_and_every_64th_is_two() {
    let dir = tempfile::tempdir().unwrap();
    let (fails, syncs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let store = open(dir.path(), &fails, &syncs);
    let mut made = Vec::new();
    for group in 0..130_u64 {
        let before = syncs.load(Ordering::SeqCst);
        store.append(Revision(group * 2), &[commit(group), commit(group)]).unwrap();
        made.push(syncs.load(Ordering::SeqCst) - before);
    }
    let twos: Vec<_> = (1..).zip(&made).filter(|(_, made)| **made != 1).collect();
    assert_eq!(twos, [(64, &2), (128, &2)]);
}
