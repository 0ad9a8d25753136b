//! The log in volumes, and checkpoints as older programs wrote them: what only a full file, a process that
//! ends between two steps, or an old directory shows.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::engine::{Engine, Syncer};
use super::super::head_file::{CheckpointMark, HeadFile};
use super::super::{SledStore, checkpoint, files, volumes};
use super::{commit, empty_state};
use crate::model::tuple::{Change, Revision, Tuple, TupleKey};
use crate::store::block::BlockWriter;
use crate::store::bulk::{BulkCommit, Recalled};
use crate::store::record::{encode_checkpoint, encode_tuple};
use crate::store::{CheckpointEntry, CheckpointHead, Commit, Store, StoreError};

/// The names of the log's volumes.
pub(super) fn names(dir: &Path) -> Vec<String> {
    let names = files::names(dir).unwrap();
    names.into_iter().filter(|name| volumes::is_volume(name)).collect()
}

/// A store with a volume for each of so many groups of two commits.
fn volumed(dir: &Path, groups: u64) -> SledStore {
    let mut store = SledStore::open_or_create(dir).unwrap();
    store.log.full_at = 0;
    for group in 0..groups {
        let commits = [commit(2 * group + 1), commit(2 * group + 2)];
        store.append(Revision(2 * group), &commits).unwrap();
    }
    store
}

pub(super) fn read_from(store: &SledStore, from: u64) -> Vec<Commit> {
    store.read(Revision(from)).unwrap().map(|item| item.unwrap().1).collect()
}

/// The tuples of the checkpoint, and the commits after it.
fn recalled(store: &SledStore) -> (Vec<Change>, Vec<Commit>) {
    let (mut tuples, mut commits) = (Vec::new(), Vec::new());
    let read = store.recall(&mut |recalled| {
        match recalled {
            Recalled::Tuples(bulk) => {
                tuples.extend(bulk.iter().map(|seen| seen.to_change().unwrap()));
            }
            Recalled::Commit(commit) => {
                let changes = commit.changes.iter().map(|seen| seen.to_change().unwrap());
                let changes = changes.collect();
                let BulkCommit { time, model, request, .. } = *commit;
                commits.push(Commit { time, changes, model, request });
            }
            Recalled::Checkpoint(_) | Recalled::Keyed(_) => {}
        }
        true
    });
    read.unwrap();
    (tuples, commits)
}

fn write_checkpoint(store: &SledStore) {
    store.write_checkpoint(&empty_state(store), &mut std::iter::empty()).unwrap();
}

fn refusal(dir: &Path) -> String {
    match SledStore::open(dir) {
        Err(error @ StoreError::Refused { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_file_of_the_log_is_followed_by_another_and_they_are_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = volumed(dir.path(), 3);
    assert_eq!(names(dir.path()), ["log", "log-3", "log-5"]);
    let all: Vec<_> = (1..=6).map(commit).collect();
    for from in 0..7 {
        assert_eq!(read_from(&store, from as u64 + 1), all[from..], "after {from}");
    }
    assert_eq!(recalled(&store), (vec![], all.clone()));
    // A commit of before, whichever volume it is in, is what a checkpoint is held against.
    let mut state = empty_state(&store);
    state.head = store.read(Revision(3)).unwrap().next().unwrap().unwrap().0;
    store.write_checkpoint(&state, &mut std::iter::empty()).unwrap();
    drop(store);
    let store = SledStore::open(dir.path()).unwrap();
    assert_eq!(recalled(&store), (vec![], all[3..].to_vec()));
    assert_eq!(read_from(&store, 1), all);
    // Far from full.
    store.append(Revision(6), &[commit(7)]).unwrap();
    assert_eq!(names(dir.path()), ["log", "log-3", "log-5"]);
}

#[test]
fn a_log_lets_whole_volumes_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = volumed(dir.path(), 4);
    let all: Vec<_> = (1..=8).map(commit).collect();
    let before = names(dir.path());
    store.truncate(Revision(6)).unwrap();
    assert_eq!(names(dir.path()), before, "there is no checkpoint yet");
    write_checkpoint(&store);
    // Somebody reads what goes.
    let mut reader = store.read(Revision(1)).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().1, commit(1));
    store.truncate(Revision(6)).unwrap();
    assert_eq!(names(dir.path()), ["log-5", "log-7"]);
    assert_eq!(read_from(&store, 6), all[5..]);
    let is_truncated = |error: &StoreError| matches!(error, StoreError::Truncated { .. });
    assert!(store.read(Revision(5)).is_err_and(|error| is_truncated(&error)));
    for (at, item) in (2..).zip(reader) {
        match item {
            Ok((head, found)) => assert_eq!((head.revision.0, found), (at, commit(at))),
            Err(error) => assert!(is_truncated(&error), "{error}"),
        }
    }
    drop(store);
    let store = SledStore::open(dir.path()).unwrap();
    assert_eq!(read_from(&store, 6), all[5..]);
    assert!(store.read(Revision(5)).is_err_and(|error| is_truncated(&error)));
    store.append(Revision(8), &[commit(9)]).unwrap();
    assert_eq!(recalled(&store).1, [commit(9)]);
}

#[test]
fn a_volume_that_was_begun_and_not_written_to_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = volumed(dir.path(), 2);
    // As far as it came: it has its name, and the head file does not know it.
    store.log.newest().settle().unwrap();
    store.log.begin(Revision(5)).unwrap();
    drop(store);
    fs::create_dir(dir.path().join(volumes::NAME_NEW)).unwrap();
    let mut store = SledStore::open(dir.path()).unwrap();
    assert_eq!(names(dir.path()), ["log", "log-3", "log-5"]);
    store.log.full_at = 0;
    store.append(Revision(4), &[commit(5), commit(6)]).unwrap();
    store.append(Revision(6), &[commit(7)]).unwrap();
    assert_eq!(names(dir.path()), ["log", "log-3", "log-5", "log-7"]);
    drop(store);
    let all: Vec<_> = (1..=7).map(commit).collect();
    assert_eq!(read_from(&SledStore::open(dir.path()).unwrap(), 1), all);
}

#[test]
fn a_volume_that_is_gone_is_missed() {
    for (gone, expected) in [
        ("log", "log/db` is missing"),
        ("log-3", "ends at revision 2, and the next begins at 5"),
        ("log-7", "log-7/db` is missing"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        drop(volumed(dir.path(), 4));
        fs::rename(dir.path().join(gone), dir.path().join("elsewhere")).unwrap();
        let told = refusal(dir.path());
        assert!(told.contains(expected), "{told}");
        fs::rename(dir.path().join("elsewhere"), dir.path().join(gone)).unwrap();
        assert_eq!(read_from(&SledStore::open(dir.path()).unwrap(), 1).len(), 8);
    }
}

#[test]
fn a_volume_of_another_log_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(volumed(dir.path(), 3));
    let store = SledStore::open_or_create(other.path()).unwrap();
    store.append(Revision(0), &[commit(9)]).unwrap();
    drop(store);
    drop(volumed_after(other.path(), 1, 3));
    let (ours, theirs) = (dir.path().join("log-3"), other.path().join("log-3"));
    fs::remove_dir_all(&ours).unwrap();
    files::copy(&theirs, &ours).unwrap();
    let error = SledStore::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("commit 3: it does not follow the commit before it"), "{error}");
}

/// Goes on with a group of one commit, and then with groups of two in a volume each.
fn volumed_after(dir: &Path, head: u64, groups: u64) -> SledStore {
    let mut store = SledStore::open(dir).unwrap();
    store.append(Revision(head), &[commit(head + 1)]).unwrap();
    store.log.full_at = 0;
    for group in 0..groups {
        let at = head + 1 + 2 * group;
        store.append(Revision(at), &[commit(at + 1), commit(at + 2)]).unwrap();
    }
    store
}

/// Writes a checkpoint as older programs did: its blocks, short ones, in an engine of their own.
fn write_old_checkpoint(dir: &Path, state: &CheckpointHead, tuples: &[Tuple]) {
    let mut writer = BlockWriter::default();
    let entries = tuples.iter().map(|tuple| encode_tuple(tuple).unwrap());
    let mut stream = Vec::new();
    for entry in [encode_checkpoint(state)].into_iter().chain(entries) {
        stream.extend(writer.push(entry).unwrap());
    }
    let (last, seal) = writer.finish();
    stream.extend(last);
    let path = checkpoint::path(dir, state.head.revision);
    let engine = Engine::create(&path, &Syncer::default()).unwrap();
    let count = stream.len() as u64;
    let mut items: Vec<_> =
        (0_u64..).map(|number| number.to_be_bytes().to_vec()).zip(stream).collect();
    let counts = [count, tuples.len() as u64].map(u64::to_be_bytes).concat();
    items.push((u64::MAX.to_be_bytes().to_vec(), [counts, seal.to_be_bytes().to_vec()].concat()));
    engine.put(&items).unwrap();
    engine.flush().unwrap();
    engine.sync_all().unwrap();
    engine.close();
    let mut head_file = HeadFile::open(dir, &Syncer::default()).unwrap().unwrap();
    let mark = CheckpointMark { head: state.head, seal };
    head_file.replace(|record| record.checkpoint = Some(mark)).unwrap();
}

/// Says that the head file has this format.
pub(super) fn set_format(dir: &Path, format: u8) {
    let path = dir.join("head");
    let mut bytes = fs::read(&path).unwrap();
    for slot in [0, 4_096] {
        bytes[slot + 11] = format;
        let sum = crc32fast::hash(&bytes[slot..slot + 508]);
        bytes[slot + 508..slot + 512].copy_from_slice(&sum.to_be_bytes());
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_directory_that_an_older_program_wrote_opens_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    // Each by itself: commits of one group share an item since.
    store.append(Revision(0), &[commit(1)]).unwrap();
    store.append(Revision(1), &[commit(2)]).unwrap();
    let tuple =
        |n: u64| Tuple::plain(TupleKey::parse(&format!("org:acme#technician@user:u{n}")).unwrap());
    // Less than a short block.
    let tuples: Vec<_> = (1..=50).map(tuple).collect();
    let state = CheckpointHead { tuple_count: 50, ..empty_state(&store) };
    store.append(Revision(2), &[commit(3)]).unwrap();
    drop(store);
    write_old_checkpoint(dir.path(), &state, &tuples);
    set_format(dir.path(), 1);
    let store = SledStore::open(dir.path()).unwrap();
    let puts: Vec<_> = tuples.iter().cloned().map(Change::Put).collect();
    assert_eq!(recalled(&store), (puts, vec![commit(3)]));
    let (found, entries) = store.checkpoint().unwrap().unwrap();
    assert_eq!(found, state);
    let entries: Vec<_> = entries.map(Result::unwrap).collect();
    assert!(entries.into_iter().eq(tuples.into_iter().map(CheckpointEntry::Tuple)));
    // The next one is a file, in its place.
    write_checkpoint(&store);
    assert!(!checkpoint::path(dir.path(), Revision(2)).exists());
    assert!(checkpoint::path(dir.path(), Revision(3)).is_file());
    drop(store);
    assert_eq!(recalled(&SledStore::open(dir.path()).unwrap()), (vec![], vec![]));
}

#[test]
fn no_damage_to_the_file_of_a_checkpoint_passes() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    store.append(Revision(0), &[commit(1)]).unwrap();
    let tuples = (0..5_000).map(|n| {
        let key = TupleKey::parse(&format!("org:o{n}#technician@user:u{}", n * 7)).unwrap();
        CheckpointEntry::Tuple(Tuple::plain(key))
    });
    let state = CheckpointHead { tuple_count: 5_000, ..empty_state(&store) };
    store.write_checkpoint(&state, &mut tuples.into_iter()).unwrap();
    drop(store);
    let path = checkpoint::path(dir.path(), Revision(1));
    let good = fs::read(&path).unwrap();
    assert!(good.len() > 66_000, "two blocks at least");
    let mut random = fastrand::Rng::with_seed(9);
    for round in 0..60 {
        let mut bad = good.clone();
        // The number of entries is said by the stream's head, too, which counts.
        let end = good.len() - 12..good.len() - 4;
        let at = random.usize(..good.len());
        match round % 2 {
            0 if end.contains(&at) => continue,
            0 => bad[at] ^= 1 << random.u8(..8),
            _ => bad.truncate(at),
        }
        fs::write(&path, &bad).unwrap();
        let error = SledStore::open(dir.path()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "round {round}: {error}");
        assert!(fs::read(&path).unwrap() == bad, "a refusal changes nothing");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(recalled(&SledStore::open(dir.path()).unwrap()).0.len(), 5_000);
}

#[test]
fn a_volume_is_full_at_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    assert_eq!(store.log.full_at, crate::model::limits::LOG_VOLUME_BYTES_MAX);
    let large = |n: u64| {
        let key = |i: u64| format!("org:{}#technician@user:u{i}-{n}", "x".repeat(1_000));
        let tuple = |i| Change::Put(Tuple::plain(TupleKey::parse(&key(i)).unwrap()));
        Commit { changes: (0..900).map(tuple).collect(), ..commit(n) }
    };
    let mut head = 0;
    let oldest = Arc::clone(&store.log.newest());
    while names(dir.path()).len() == 1 {
        assert!(head < 100, "no other volume after {head} commits of almost 1 MiB");
        store.append(Revision(head), &[large(head)]).unwrap();
        head += 1;
    }
    let bytes = oldest.file_bytes().unwrap();
    let bound = store.log.full_at;
    assert!((bound..bound + (4 << 20)).contains(&bytes), "{bytes}");
    assert_eq!(names(dir.path()), ["log".to_owned(), format!("log-{head}")]);
}

#[test]
fn what_only_begins_like_a_part_of_the_store_is_somebody_s() {
    let dir = tempfile::tempdir().unwrap();
    let store = volumed(dir.path(), 2);
    write_checkpoint(&store);
    drop(store);
    let theirs = [
        "log-3.bak",
        "log-2026-11-23",
        "log-03",
        "log-+3",
        "log-1",
        "log-99999999999999999999",
        "log-",
        "checkpoint-4.bak",
        "checkpoint-04",
    ];
    for name in theirs {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    let store = SledStore::open(dir.path()).unwrap();
    assert_eq!(read_from(&store, 1).len(), 4);
    drop(store);
    for name in theirs {
        assert!(dir.path().join(name).is_dir(), "{name} was removed");
    }
    // A directory that holds such a thing is no store that was damaged, and none to be replaced.
    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("log-3.bak")).unwrap();
    let told = match SledStore::open_or_create(other.path()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was opened"),
    };
    assert!(told.contains("it is no store, and holds `log-3.bak`"), "{told}");
    let told = SledStore::copy(dir.path(), other.path(), true).unwrap_err().to_string();
    assert!(told.contains("it is no store, and holds `log-3.bak`"), "{told}");
}

#[test]
fn a_volume_that_cannot_be_begun_refuses_the_group_and_no_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = volumed(dir.path(), 1);
    store.log.pause = Duration::ZERO;
    // Nobody can make a directory of this name.
    let in_the_way = dir.path().join(volumes::NAME_NEW);
    fs::write(&in_the_way, "").unwrap();
    for _ in 0..2 {
        let error = store.append(Revision(2), &[commit(3)]).unwrap_err();
        assert!(matches!(error, StoreError::Unwritten { .. }), "{error}");
        assert!(error.to_string().contains("log.new"), "{error}");
        assert_eq!((store.latched(), store.head().revision), (None, Revision(2)));
    }
    fs::remove_file(&in_the_way).unwrap();
    store.append(Revision(2), &[commit(3)]).unwrap();
    store.append(Revision(3), &[commit(4)]).unwrap();
    assert_eq!(names(dir.path()), ["log", "log-3", "log-4"]);
    drop(store);
    let all: Vec<_> = (1..=4).map(commit).collect();
    assert_eq!(read_from(&SledStore::open(dir.path()).unwrap(), 1), all);
}

#[test]
fn after_a_volume_that_cannot_be_begun_none_is_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = volumed(dir.path(), 1);
    assert_eq!(store.log.pause, Duration::from_secs(1));
    store.log.pause = Duration::MAX;
    let in_the_way = dir.path().join(volumes::NAME_NEW);
    fs::write(&in_the_way, "").unwrap();
    let first = store.append(Revision(2), &[commit(3)]).unwrap_err();
    fs::remove_file(&in_the_way).unwrap();
    for _ in 0..2 {
        let error = store.append(Revision(2), &[commit(3)]).unwrap_err();
        assert!(matches!(error, StoreError::Unwritten { .. }), "{error}");
        assert_eq!(error.to_string(), first.to_string(), "as it was, without another look");
        assert_eq!(names(dir.path()), ["log"]);
    }
    store.log.pause = Duration::ZERO;
    store.append(Revision(2), &[commit(3)]).unwrap();
    store.log.pause = Duration::MAX;
    store.append(Revision(3), &[commit(4)]).unwrap();
    assert_eq!(names(dir.path()), ["log", "log-3", "log-4"], "what was made ends the pause");
}

#[test]
fn a_volume_that_does_not_come_to_its_name_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = volumed(dir.path(), 1);
    store.log.pause = Duration::ZERO;
    // No directory takes the name of one that holds something.
    let in_the_way = dir.path().join("log-3");
    fs::create_dir(&in_the_way).unwrap();
    fs::write(in_the_way.join("theirs"), "").unwrap();
    for _ in 0..5 {
        let error = store.append(Revision(2), &[commit(3)]).unwrap_err();
        assert!(matches!(error, StoreError::Unwritten { .. }), "{error}");
        // sled holds its lock until nothing of it is left.
        let left = fs::File::open(dir.path().join(volumes::NAME_NEW).join("db")).unwrap();
        left.try_lock().unwrap();
    }
    fs::remove_dir_all(&in_the_way).unwrap();
    store.append(Revision(2), &[commit(3)]).unwrap();
    assert_eq!(names(dir.path()), ["log", "log-3"]);
}

#[test]
fn nobody_opens_a_volume_that_was_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = volumed(dir.path(), 3);
    write_checkpoint(&store);
    let mut reader = store.read(Revision(1)).unwrap();
    let (gone, aside) = (dir.path().join("log"), dir.path().join("aside"));
    files::copy(&gone, &aside).unwrap();
    store.truncate(Revision(5)).unwrap();
    assert!(!gone.exists());
    // As a reader may find it that looked before and opens afterwards.
    fs::rename(&aside, &gone).unwrap();
    let error = reader.next().unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Truncated { .. }), "{error}");
    assert!(reader.next().is_none());
}
