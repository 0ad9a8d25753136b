//! Guards the contract of `Store`: each test runs on every implementation.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bailiwick::model::limits::{
    COMMIT_BYTES_MAX, MODEL_COMMIT_BYTES_MAX, STORED_CONTEXT_DEPTH_MAX,
};
use bailiwick::model::names::Name;
use bailiwick::model::tuple::{Change, Revision, Time, TupleCondition};
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::sled::SledStore;
use bailiwick::store::{
    CheckpointEntry, CheckpointHead, Commit, Head, ModelFiles, ModelSince, Store, StoreError,
};

use crate::store_world::{
    checkpoint, commit, commits, compare_checkpoint, compare_log, entries, grow, request,
    rich_tuple, state_at_head, tuple,
};

/// Long enough that only a hang reaches it.
const LONG: Duration = Duration::from_secs(600);

/// Runs the test on each implementation; what is durable is opened again where the test asks for it.
fn on_each(test: impl Fn(&mut dyn FnMut() -> Arc<dyn Store>)) {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    test(&mut || Arc::clone(&memory));
    let dir = tempfile::tempdir().unwrap();
    test(&mut || Arc::new(SledStore::open_or_create(&dir.path().join("data")).unwrap()));
}

#[test]
fn an_empty_store_has_nothing() {
    on_each(|open| {
        let store = open();
        assert_eq!(store.head(), Head { revision: Revision(0), checksum: 0 });
        assert_eq!(store.identity().store_id.len(), 32);
        assert_ne!(store.identity().store_id, *store.identity().lineages.of(Revision(0)));
        assert!(store.checkpoint().unwrap().is_none());
        assert_eq!(store.read(Revision(0)).unwrap().count(), 0);
        assert_eq!(store.read(Revision(1)).unwrap().count(), 0);
        let beyond = store.read(Revision(2)).err().unwrap();
        assert!(matches!(beyond, StoreError::Beyond { asked: 2, head: 0 }), "{beyond}");
        store.truncate(Revision(9)).unwrap();
    });
}

#[test]
fn revisions_are_dense_and_come_back_in_order_also_after_reopening() {
    on_each(|open| {
        let mut store = open();
        let identity = store.identity();
        let mut checksums = vec![0];
        for group in [1, 64, 3, 1, 20] {
            let before = store.head().revision.0;
            let head = grow(&*store, group);
            assert_eq!(head, store.head());
            assert_eq!(head.revision.0, before + group);
            assert!(!checksums.contains(&head.checksum));
            checksums.push(head.checksum);
            compare_log(&*store, 1).unwrap();
            drop(store);
            store = open();
            assert_eq!(store.head(), head);
            assert_eq!(store.identity().store_id, identity.store_id);
        }
        for from in [1, 7, 8, 65, 88, 89, 90] {
            compare_log(&*store, from).unwrap();
        }
    });
}

#[test]
fn the_same_commits_make_the_same_checksum_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (memory, sled) = (MemoryStore::new(), SledStore::open_or_create(dir.path()).unwrap());
    assert_eq!(grow(&memory, 40), grow(&sled, 40));
    assert_ne!(memory.identity(), sled.identity());
}

#[test]
fn an_append_elsewhere_than_at_the_head_is_a_conflict() {
    on_each(|open| {
        let store = open();
        grow(&*store, 3);
        for wrong in [0, 2, 4, 99] {
            let e = store.append(Revision(wrong), &commits([wrong + 1])).unwrap_err();
            assert!(
                matches!(e, StoreError::Conflict { expected, actual: 3 } if expected == wrong),
                "{e}"
            );
        }
        assert_eq!(store.append(Revision(3), &[]).unwrap(), []);
        let heads = store.append(Revision(3), &commits([4, 5])).unwrap();
        assert_eq!(heads.iter().map(|head| head.revision.0).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(heads.last(), Some(&store.head()));
        assert!(matches!(store.append(Revision(2), &[]), Err(StoreError::Conflict { .. })));
        compare_log(&*store, 1).unwrap();
    });
}

/// A commit whose encoded form takes this many bytes.
fn commit_of_bytes(bytes: usize) -> Commit {
    let mut tuple = tuple(1);
    tuple.reason = "x".repeat(bytes - 100);
    let sized = |tuple| Commit {
        time: Time(0),
        changes: vec![Change::Put(tuple)],
        model: None,
        request: Some(request(3)),
    };
    let store = MemoryStore::new();
    // The encoding's own bytes are not the test's business: it asks the error for them.
    let mut probe = tuple.clone();
    probe.reason = "x".repeat(COMMIT_BYTES_MAX);
    let Err(StoreError::CommitTooLarge { bytes: probed, .. }) =
        store.append(Revision(0), &[sized(probe)])
    else {
        panic!("a commit with a value of the limit's size was taken");
    };
    tuple.reason = "x".repeat(bytes - (probed - COMMIT_BYTES_MAX));
    sized(tuple)
}

#[test]
fn a_commit_is_bounded_and_the_bound_is_exact() {
    on_each(|open| {
        let mut store = open();
        let largest = commit_of_bytes(COMMIT_BYTES_MAX);
        let over = commit_of_bytes(COMMIT_BYTES_MAX + 1);
        let e = store.append(Revision(0), &[commit(1), over]).unwrap_err();
        assert!(
            matches!(e, StoreError::CommitTooLarge { bytes, limit: COMMIT_BYTES_MAX } if bytes == limit_plus_one()),
            "{e}"
        );
        assert_eq!(store.head().revision, Revision(0), "nothing was written");
        store.append(Revision(0), std::slice::from_ref(&largest)).unwrap();
        drop(store);
        store = open();
        let read: Vec<_> = store.read(Revision(1)).unwrap().map(Result::unwrap).collect();
        assert!(read == [(store.head(), largest)]);
    });
}

const fn limit_plus_one() -> usize {
    COMMIT_BYTES_MAX + 1
}

#[test]
fn a_commit_with_a_model_has_a_bound_of_its_own() {
    let with = |bytes: usize| {
        let files = vec![("model.yaml".to_owned(), "m".repeat(bytes))];
        let model = Some(ModelFiles { digest: "d".to_owned(), files });
        Commit { time: Time(0), changes: vec![Change::Put(tuple(1))], model, request: None }
    };
    on_each(|open| {
        let mut store = open();
        let e = store.append(Revision(0), &[with(MODEL_COMMIT_BYTES_MAX)]).unwrap_err();
        let StoreError::CommitTooLarge { bytes, limit: MODEL_COMMIT_BYTES_MAX } = e else {
            panic!("{e}");
        };
        let largest = with(2 * MODEL_COMMIT_BYTES_MAX - bytes);
        let over = with(2 * MODEL_COMMIT_BYTES_MAX - bytes + 1);
        assert!(store.append(Revision(0), &[over]).is_err());
        store.append(Revision(0), std::slice::from_ref(&largest)).unwrap();
        drop(store);
        store = open();
        let read: Vec<_> = store.read(Revision(1)).unwrap().map(Result::unwrap).collect();
        assert!(read.len() == 1 && read[0].1 == largest && read[0].0.revision == Revision(1));
        // What a commit carried, a checkpoint can hold.
        let (head, model) = (store.head(), largest.model);
        let since = Some(ModelSince { revision: Revision(1), time: Time(0) });
        let state = CheckpointHead {
            head,
            time: Time(0),
            model,
            model_since: since,
            tuple_count: 1,
            keyed_count: 0,
        };
        store
            .write_checkpoint(&state, &mut [CheckpointEntry::Tuple(tuple(1))].into_iter())
            .unwrap();
        drop(store);
        let store = open();
        let (found, tuples) = store.checkpoint().unwrap().unwrap();
        assert!(found == state);
        assert!(tuples.map(Result::unwrap).eq([CheckpointEntry::Tuple(tuple(1))]));
    });
}

#[test]
fn commits_of_every_length_around_a_part_come_back() {
    on_each(|open| {
        let mut store = open();
        let lengths = [4_062, 4_063, 4_064, 4_084, 4_085, 4_086, 8_147, 8_148, 8_149, 8_170, 8_171];
        let group: Vec<_> = lengths.iter().map(|bytes| commit_of_bytes(*bytes)).collect();
        store.append(Revision(0), &group).unwrap();
        drop(store);
        store = open();
        let read: Vec<_> = store.read(Revision(1)).unwrap().map(|item| item.unwrap().1).collect();
        assert!(read == group);
    });
}

#[test]
fn a_context_too_deep_to_be_read_back_is_refused() {
    on_each(|open| {
        let store = open();
        let nested = |levels| {
            (0..levels).fold(serde_json::Value::Null, |inner, _| serde_json::json!([inner]))
        };
        let with = |value| {
            let mut tuple = rich_tuple(1);
            let name = Name::parse("c").unwrap();
            let context = [("x".to_owned(), value)].into();
            tuple.condition = Some(TupleCondition { name, context });
            let changes = vec![Change::Put(tuple)];
            Commit { time: Time(0), changes, model: None, request: None }
        };
        let limit = STORED_CONTEXT_DEPTH_MAX;
        let e = store.append(Revision(0), &[with(nested(limit))]).unwrap_err();
        assert!(e.to_string().contains(&format!("deeper than {limit} levels")), "{e}");
        let deepest = with(nested(limit - 1));
        store.append(Revision(0), std::slice::from_ref(&deepest)).unwrap();
        assert!(store.read(Revision(1)).unwrap().next().unwrap().unwrap().1 == deepest);
    });
}

#[test]
fn a_follower_sees_each_commit_once_it_is_durable() {
    on_each(|open| {
        let store = open();
        assert_eq!(store.wait_beyond(Revision(0), Duration::ZERO), store.head());
        thread::scope(|scope| {
            let follower = scope.spawn(|| {
                let mut seen = Vec::new();
                while seen.len() < 30 {
                    let at = Revision(seen.len() as u64);
                    assert!(store.wait_beyond(at, LONG).revision > at);
                    for item in store.read(at.next()).unwrap() {
                        seen.push(item.unwrap().1);
                    }
                }
                seen
            });
            for group in [1, 4, 10, 1, 14] {
                grow(&*store, group);
            }
            assert!(follower.join().unwrap() == commits(1..=30));
        });
        assert_eq!(store.wait_beyond(Revision(29), LONG), store.head());
    });
}

#[test]
fn a_reader_ends_where_the_head_stood_at_its_call() {
    on_each(|open| {
        let store = open();
        grow(&*store, 5);
        let reader = store.read(Revision(2)).unwrap();
        grow(&*store, 5);
        assert_eq!(reader.count(), 4);
    });
}

#[test]
fn a_checkpoint_comes_back_and_a_newer_one_takes_its_place() {
    on_each(|open| {
        let mut store = open();
        for (commits, tuples) in [(5, 0), (1, 1), (30, 3_000), (1, 20)] {
            grow(&*store, commits);
            let state = checkpoint(&*store, tuples);
            compare_checkpoint(&*store, &state).unwrap();
            grow(&*store, 2);
            drop(store);
            store = open();
            compare_checkpoint(&*store, &state).unwrap();
            compare_log(&*store, 1).unwrap();
        }
        let rich: Vec<_> = (1..500).map(|n| CheckpointEntry::Tuple(rich_tuple(n))).collect();
        let state = state_at_head(&*store, rich.len() as u64);
        let state = CheckpointHead { keyed_count: 0, ..state };
        store.write_checkpoint(&state, &mut rich.iter().cloned()).unwrap();
        let (_, found) = store.checkpoint().unwrap().unwrap();
        assert!(found.map(Result::unwrap).eq(rich));
    });
}

#[test]
fn a_checkpoint_that_the_log_contradicts_is_refused() {
    on_each(|open| {
        let mut store = open();
        let none = state_at_head(&*store, 0);
        grow(&*store, 10);
        let good = checkpoint(&*store, 10);
        grow(&*store, 1);
        let next = state_at_head(&*store, 6);
        let head = |revision, checksum| Head { revision: Revision(revision), checksum };
        let wrong = [
            none,
            CheckpointHead { head: head(5, 1), ..next.clone() },
            CheckpointHead { head: head(11, 1), ..next.clone() },
            CheckpointHead { head: head(12, next.head.checksum), ..next.clone() },
            CheckpointHead { tuple_count: 7, ..next.clone() },
            CheckpointHead { tuple_count: 5, ..next.clone() },
            CheckpointHead { keyed_count: 3, ..next.clone() },
            CheckpointHead { keyed_count: 1, ..next.clone() },
            CheckpointHead { tuple_count: 5, keyed_count: 3, ..next.clone() },
        ];
        for state in wrong {
            let e = store.write_checkpoint(&state, &mut entries(&next)).unwrap_err();
            assert!(matches!(e, StoreError::Unstorable { .. }), "{state:?}: {e}");
        }
        let mut backwards: Vec<_> = entries(&next).collect();
        backwards.reverse();
        let e = store.write_checkpoint(&next, &mut backwards.into_iter()).unwrap_err();
        assert!(e.to_string().contains("the 6 tuples and after them the 2 keyed commits"), "{e}");
        // The same revision again: done already.
        store.write_checkpoint(&good, &mut std::iter::empty()).unwrap();
        compare_checkpoint(&*store, &good).unwrap();
        drop(store);
        store = open();
        compare_checkpoint(&*store, &good).unwrap();
        store.write_checkpoint(&next, &mut entries(&next)).unwrap();
        compare_checkpoint(&*store, &next).unwrap();
    });
}

#[test]
fn an_older_checkpoint_may_still_be_read_while_a_newer_takes_its_place() {
    on_each(|open| {
        let store = open();
        grow(&*store, 1);
        let state = checkpoint(&*store, 5_000);
        let (_, found) = store.checkpoint().unwrap().unwrap();
        grow(&*store, 1);
        checkpoint(&*store, 1);
        assert!(found.map(Result::unwrap).eq(entries(&state)));
    });
}

#[test]
fn truncation_stops_at_the_checkpoint() {
    on_each(|open| {
        let mut store = open();
        grow(&*store, 20);
        store.truncate(Revision(10)).unwrap();
        compare_log(&*store, 1).unwrap();
        let state = checkpoint(&*store, 7);
        grow(&*store, 10);
        for (before, first) in [(5, 5), (3, 5), (15, 15), (99, 21), (0, 21)] {
            store.truncate(Revision(before)).unwrap();
            for _ in 0..2 {
                let e = store.read(Revision(first - 1)).err().unwrap();
                assert!(
                    matches!(e, StoreError::Truncated { asked, oldest }
                        if asked == first - 1 && oldest == first),
                    "{e}"
                );
                compare_log(&*store, first).unwrap();
                compare_log(&*store, first + 1).unwrap();
                compare_checkpoint(&*store, &state).unwrap();
                drop(store);
                store = open();
            }
        }
        let state = {
            grow(&*store, 1);
            checkpoint(&*store, 8)
        };
        store.truncate(Revision(u64::MAX)).unwrap();
        drop(store);
        store = open();
        assert_eq!(store.head(), state.head);
        grow(&*store, 3);
        compare_log(&*store, state.head.revision.0 + 1).unwrap();
    });
}

#[test]
fn writers_readers_and_upkeep_do_not_disturb_one_another() {
    on_each(|open| {
        let store = open();
        thread::scope(|scope| {
            scope.spawn(|| {
                for group in 1..=20 {
                    grow(&*store, group);
                }
            });
            scope.spawn(|| {
                for count in 1..=5 {
                    store.wait_beyond(Revision(count * 20), LONG);
                    // The number follows from the revision: a second one of it changes nothing.
                    let mut state = state_at_head(&*store, 0);
                    state.tuple_count = state.head.revision.0 * 3;
                    state.keyed_count = state.head.revision.0 * 2;
                    store.write_checkpoint(&state, &mut entries(&state)).unwrap();
                    compare_checkpoint(&*store, &state).unwrap();
                    store.truncate(Revision(count * 15)).unwrap();
                }
            });
            let mut next = 1;
            while next <= 210 {
                store.wait_beyond(Revision(next - 1), LONG);
                let items = match store.read(Revision(next)) {
                    Ok(items) => items,
                    Err(StoreError::Truncated { oldest, .. }) => {
                        next = oldest;
                        continue;
                    }
                    Err(e) => panic!("{e}"),
                };
                for item in items {
                    match item {
                        Ok((head, found)) => {
                            assert_eq!(head.revision, Revision(next));
                            assert!(found == commit(next));
                            next += 1;
                        }
                        Err(StoreError::Truncated { oldest, .. }) => {
                            next = oldest;
                            break;
                        }
                        Err(e) => panic!("{e}"),
                    }
                }
            }
        });
    });
}
