//! The journal: what is in it alone is there for every reader, and after whatever ends the process or the machine.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tempfile::TempDir;

use super::super::journal::{self, Journal};
use super::super::{SledStore, files};
use super::volumes::{names, read_from};
use super::{Syncer, commit};
use crate::model::limits::JOURNAL_GROUP_BYTES_MAX;
use crate::model::tuple::{Change, Revision, Time, Tuple, TupleKey};
use crate::store::{Commit, Head, Store, StoreError};

/// Where the first block stands.
const FIRST_BLOCK: usize = 512;

/// Commits of any length: most small, some of a few items, and few that are too large for a block.
fn any_commit(random: &mut fastrand::Rng, n: u64) -> Commit {
    let reason = match random.u32(..1_000) {
        0 => 70_000,
        1..50 => 9_000,
        _ => random.usize(..300),
    };
    let key = TupleKey::parse(&format!("org:acme#technician@user:u{n}")).unwrap();
    let tuple = Tuple { reason: "r".repeat(reason), ..Tuple::plain(key) };
    Commit { time: Time(1), changes: vec![Change::Put(tuple)], model: None, request: None }
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in files::names(from).unwrap() {
        files::copy(&from.join(&name), &to.path().join(name)).unwrap();
    }
    to
}

/// The first directory, where of each file of the log's newest volume any pages are those of the second: what a power cut may
/// leave of what was not synced.
fn torn(random: &mut fastrand::Rng, synced: &Path, now: &Path) -> TempDir {
    const PAGE: usize = 4_096;
    let torn = copy(synced);
    let volume = names(now)
        .into_iter()
        .max_by_key(|name| name.trim_start_matches("log-").parse().unwrap_or(0));
    let db = Path::new(&volume.unwrap()).join("db");
    let (old, mut new) = (fs::read(synced.join(&db)).unwrap(), fs::read(now.join(&db)).unwrap());
    let share = random.f64();
    for (at, page) in new.chunks_mut(PAGE).enumerate() {
        if random.f64() < share {
            let was = old.get(at * PAGE..).unwrap_or_default();
            let was = &was[..was.len().min(page.len())];
            page.fill(0);
            page[..was.len()].copy_from_slice(was);
        }
    }
    fs::write(torn.path().join(&db), new).unwrap();
    torn
}

fn opened(dir: &Path) -> Vec<Commit> {
    read_from(&SledStore::open(dir).unwrap(), 1)
}

/// Demands that all is there after a kill now, after another as soon as the store is open again, and after a power cut
/// that leaves of all but the journal what was synced.
fn assert_survives(now: &TempDir, synced: &TempDir, all: &[Commit], round: usize) {
    let killed = copy(now.path());
    let again = SledStore::open(killed.path()).unwrap();
    assert!(read_from(&again, 1) == all, "round {round}: killed");
    let killed_again = copy(killed.path());
    drop(again);
    assert!(opened(killed_again.path()) == all, "round {round}: killed as soon as it was open");
    let cut = copy(synced.path());
    fs::copy(now.path().join("journal"), cut.path().join("journal")).unwrap();
    let found = opened(cut.path());
    assert!(found == all, "round {round}: {} of {} after a power cut", found.len(), all.len());
    // And once more, when the journal has been emptied.
    assert!(opened(cut.path()) == all, "round {round}: opened again");
}

/// Groups until the journal has begun anew several times. After any of them: who reads, from anywhere, finds all;
/// so does who opens what a killed process leaves; and so does whoever opens what a power cut leaves, if that takes from the
/// engine whatever it had not synced.
#[test]
fn what_the_journal_holds_is_there_for_readers_and_after_a_kill_and_a_power_cut() {
    let mut random = fastrand::Rng::with_seed(51);
    let dir = tempfile::tempdir().unwrap();
    let mut store = SledStore::open_or_create(dir.path()).unwrap();
    store.log.full_at = 1 << 20;
    let (mut all, mut heads, mut held, mut settled) = (Vec::new(), Vec::new(), 0, [0, 0]);
    let mut synced = copy(dir.path());
    // Begun before, and read to its end after everything.
    let mut early = Vec::new();
    for round in 0..500 {
        let before = all.len();
        let count = if round % 7 == 0 { random.usize(1..80) } else { random.usize(1..3) };
        all.extend((before..before + count).map(|n| any_commit(&mut random, n as u64)));
        let unsettled = ["journal", "head"].map(|name| fs::read(dir.path().join(name)).unwrap());
        heads.extend(store.append(Revision(before as u64), &all[before..]).unwrap());
        let group = before;
        let before = std::mem::replace(&mut held, store.log.newest().held_items());
        let volumes = names(dir.path());
        if held <= before || volumes != names(synced.path()) {
            settled[usize::from(held == 0)] += 1;
            let now = copy(dir.path());
            // A large group behind what was held is a second sync.
            let is_one_sync = held > 0 || before == 0;
            if is_one_sync && names(now.path()) == names(synced.path()) {
                for _ in 0..3 {
                    let torn = torn(&mut random, synced.path(), now.path());
                    for (name, bytes) in ["journal", "head"].iter().zip(&unsettled) {
                        fs::write(torn.path().join(name), bytes).unwrap();
                    }
                    let found = SledStore::open(torn.path());
                    let found = found.unwrap_or_else(|error| panic!("round {round}: {error}"));
                    assert!(read_from(&found, 1)[..group] == all[..group], "round {round}: torn");
                }
            }
            synced = now;
        }
        if round % 100 == 0 {
            let mut reader = store.read(Revision(1)).unwrap();
            let first = reader.next().unwrap().unwrap().1;
            early.push((reader, vec![first], all.len()));
        }
        if random.u32(..40) > 0 {
            continue;
        }
        let from = random.usize(..all.len());
        assert!(read_from(&store, from as u64 + 1) == all[from..], "round {round}, from {from}");
        for Head { revision, checksum } in [heads[from], heads[all.len() - 1]] {
            assert_eq!(store.log.checksum_of(revision).unwrap(), Some(checksum), "{revision:?}");
        }
        assert_survives(&dir, &synced, &all, round);
    }
    assert!(names(dir.path()).len() >= 3, "{:?}", names(dir.path()));
    let [full, large] = settled;
    assert!(
        full >= 3 && large >= 3,
        "{full} times the journal was full, {large} groups were large"
    );
    for (reader, mut read, end) in early {
        read.extend(reader.map(|item| item.unwrap().1));
        assert!(read == all[..end]);
    }
}

#[test]
fn the_journal_takes_groups_up_to_a_bound_until_it_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(dir.path(), &Syncer::default()).unwrap();
    let item = |number: u8, bytes: usize| (vec![number; 10], vec![number; bytes - 10]);
    // Of so many bytes as a block: a frame, and another for each item.
    let block = |number, bytes: usize| vec![item(number, 4_000), item(number + 1, bytes - 4_032)];
    let longest = JOURNAL_GROUP_BYTES_MAX;
    assert!(Journal::is_for(&block(0, longest)) && !Journal::is_for(&block(0, longest + 1)));
    for number in [0, 2, 4] {
        journal.append(&block(number, longest)).unwrap();
    }
    // But for the header.
    assert!(journal.is_full_for(&block(6, longest - FIRST_BLOCK + 1)));
    journal.append(&block(6, longest - FIRST_BLOCK)).unwrap();
    assert!(journal.is_full_for(&[]) && journal.append(&block(8, 5_000)).is_err());
    let keys: Vec<_> = journal::read(dir.path()).unwrap().into_keys().map(|key| key[0]).collect();
    assert_eq!(keys, [0, 1, 2, 3, 4, 5, 6, 7]);
    journal.begin_anew();
    assert!(!journal.is_full_for(&block(8, longest)));
}

#[test]
fn what_is_closed_in_order_needs_no_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    store.append(Revision(0), &[commit(1)]).unwrap();
    assert_eq!(store.log.newest().held_items(), 1);
    drop(store);
    let empty = tempfile::tempdir().unwrap();
    drop(SledStore::open_or_create(empty.path()).unwrap());
    fs::copy(empty.path().join("journal"), dir.path().join("journal")).unwrap();
    assert_eq!(opened(dir.path()), [commit(1)]);
}

/// What somebody reads while the engine is given what was held, in another thread.
#[test]
fn readers_beside_the_writer_find_every_commit_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut random, mut read) = (fastrand::Rng::with_seed(52), 0);
            loop {
                // Once more after the last commit: from the first on.
                let is_last = is_over.load(Ordering::Acquire);
                let head = store.head();
                let end = if is_last { 1 } else { head.revision.0 + 1 };
                let from = Revision(random.u64(1..=end));
                let found = store.read(from).unwrap().map(|item| item.unwrap().0.revision.0);
                let found: Vec<_> = found.collect();
                let end = from.0 + found.len() as u64;
                assert!(end > head.revision.0 && found.iter().copied().eq(from.0..end));
                read += found.len();
                if is_last {
                    break read;
                }
            }
        });
        let mut random = fastrand::Rng::with_seed(53);
        for n in 0..1_500 {
            store.append(Revision(n), &[any_commit(&mut random, n)]).unwrap();
        }
        is_over.store(true, Ordering::Release);
        assert!(reader.join().unwrap() >= 1_500);
    });
}

/// After a sync that failed, the system may show what the disk lacks: only the journal has it, until the volume has
/// been written again.
#[test]
fn an_opening_writes_the_volume_again_before_it_empties_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    store.append(Revision(0), &[commit(1)]).unwrap();
    drop(store);
    let number = |name: &str| fs::metadata(dir.path().join(name)).unwrap().ino();
    let (db, journal) = (number("log/db"), number("journal"));
    let path = dir.path().join("log/db");
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let bytes = fs::read(&path).unwrap();
    let synced: Arc<Mutex<Vec<u64>>> = Arc::default();
    let noted = Arc::clone(&synced);
    let sync = move |file: &File| {
        let meta = file.metadata().unwrap();
        let mut noted = noted.lock().unwrap();
        if noted.is_empty() {
            assert_eq!(meta.ino(), db, "the volume is the first");
            assert!(meta.modified().unwrap() > SystemTime::UNIX_EPOCH, "it was not written");
            assert!(fs::read(&path).unwrap() == bytes, "not as it was");
        }
        noted.push(meta.ino());
        file.sync_data()
    };
    let sync = Syncer(Arc::new(sync));
    drop(SledStore::open_with(dir.path(), false, sync).unwrap());
    let noted = std::mem::take(&mut *synced.lock().unwrap());
    assert_eq!(noted[..3], [db, db, journal], "written again, opened, and then emptied");
}

#[test]
fn a_journal_of_another_directory_is_refused_and_writes_over_nothing() {
    let other = tempfile::tempdir().unwrap();
    let theirs = SledStore::open_or_create(other.path()).unwrap();
    (1..=3).for_each(|n| drop(theirs.append(Revision(n - 1), &[commit(n + 90)]).unwrap()));
    let (killed, _) = killed();
    // Ours has these commits, and more, and others.
    for ours in [3, 9] {
        let dir = copy(killed.path());
        let store = SledStore::open(dir.path()).unwrap();
        (4..=ours).for_each(|n| drop(store.append(Revision(n - 1), &[commit(n)]).unwrap()));
        drop(store);
        let whole = fs::read(dir.path().join("journal")).unwrap();
        fs::copy(other.path().join("journal"), dir.path().join("journal")).unwrap();
        let log = fs::read(dir.path().join("log/db")).unwrap();
        let error = SledStore::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("log` and the journal do not agree"), "{error}");
        assert!(fs::read(dir.path().join("log/db")).unwrap() == log);
        fs::write(dir.path().join("journal"), whole).unwrap();
        assert_eq!(opened(dir.path()).len() as u64, ours);
    }
}

/// A store of three groups, of which the journal alone has the last two, as a process leaves it that is killed; and
/// the head file as it was after each group.
fn killed() -> (TempDir, Vec<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    drop(SledStore::open_or_create(dir.path()).unwrap());
    let mut heads = Vec::new();
    let store = SledStore::open(dir.path()).unwrap();
    for n in 1..=3 {
        store.append(Revision(n - 1), &[commit(n)]).unwrap();
        heads.push(fs::read(dir.path().join("head")).unwrap());
    }
    let killed = copy(dir.path());
    drop(store);
    (killed, heads)
}

fn flip(dir: &Path, at: usize) {
    let path = dir.join("journal");
    let mut bytes = fs::read(&path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_last_block_that_is_torn_was_told_to_nobody_and_any_other_is_missed() {
    let (killed, heads) = killed();
    let length = FIRST_BLOCK
        + fs::read(killed.path().join("journal")).unwrap()[FIRST_BLOCK..][..FIRST_BLOCK]
            .iter()
            .rposition(|byte| *byte != 0)
            .unwrap();
    for block in 0..3 {
        for at in [FIRST_BLOCK, FIRST_BLOCK + 17, FIRST_BLOCK + 24, length] {
            let open = |head: &[u8]| {
                let dir = copy(killed.path());
                flip(dir.path(), at + block * FIRST_BLOCK);
                fs::write(dir.path().join("head"), head).unwrap();
                SledStore::open(dir.path()).map(|store| read_from(&store, 1).len())
            };
            // After a kill the head file says how many there were.
            let refused = open(&heads[2]).unwrap_err().to_string();
            assert!(refused.contains("restore the directory"), "{refused}");
            // After a power cut it may be older: then the last group is no more than one that was not told.
            let found = open(&heads[0]);
            match (block, found) {
                (2, Ok(2)) => {}
                (0 | 1, Err(error)) => {
                    assert!(error.to_string().contains("a part is missing"), "{error}");
                }
                (_, found) => panic!("block {block} at {at}: {found:?}"),
            }
        }
    }
}

#[test]
fn what_is_no_whole_journal_is_refused() {
    let (killed, _) = killed();
    let refused = |what: &str, expected: &str, damage: &dyn Fn(&Path)| {
        let dir = copy(killed.path());
        damage(dir.path());
        let before = fs::read(dir.path().join("journal")).ok();
        match SledStore::open(dir.path()) {
            Err(error @ StoreError::Refused { .. }) => {
                assert!(error.to_string().contains(expected), "{what}: {error}");
            }
            other => panic!("{what}: {other:?}"),
        }
        assert!(fs::read(dir.path().join("journal")).ok() == before, "{what}: left alone");
    };
    refused("gone", "journal` is missing", &|dir| fs::remove_file(dir.join("journal")).unwrap());
    refused("cut", "has 4096 bytes, expected 262144", &|dir| {
        let bytes = fs::read(dir.join("journal")).unwrap();
        fs::write(dir.join("journal"), &bytes[..4_096]).unwrap();
    });
    for at in [0, 7, 8, 23, 27] {
        refused("header", "its file `journal` has a damaged header", &|dir| flip(dir, at));
    }
}

/// Whoever may store a text could otherwise put commits in it, once a block ends where such a text has stood.
#[test]
fn a_block_of_another_id_is_none() {
    let (killed, _) = killed();
    let path = killed.path().join("journal");
    let mut bytes = fs::read(&path).unwrap();
    let end = 4 * FIRST_BLOCK;
    let third = bytes[3 * FIRST_BLOCK..end].to_vec();
    let length = third.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut fourth = third[..length - 4].to_vec();
    let at = fourth.windows(8).position(|key| key == 3_u64.to_be_bytes()).unwrap();
    fourth[at + 7] = 4;
    for (id_byte, is_taken) in [(fourth[0], true), (fourth[0] ^ 1, false)] {
        fourth[0] = id_byte;
        let block = [&fourth[..], &crc32fast::hash(&fourth).to_be_bytes()].concat();
        bytes[end..end + block.len()].copy_from_slice(&block);
        fs::write(&path, &bytes).unwrap();
        let items = journal::read(killed.path()).unwrap();
        assert_eq!(items.len(), if is_taken { 4 } else { 3 });
    }
    // Nor is one of the journal as it was before it was opened the last time.
    let stale = fs::read(&path).unwrap();
    drop(SledStore::open(killed.path()).unwrap());
    let mut now = fs::read(&path).unwrap();
    assert!(now[..FIRST_BLOCK] != stale[..FIRST_BLOCK]);
    now[FIRST_BLOCK..].copy_from_slice(&stale[FIRST_BLOCK..]);
    fs::write(&path, now).unwrap();
    assert!(journal::read(killed.path()).unwrap().is_empty());
}

#[test]
fn a_directory_without_a_journal_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    store.append(Revision(0), &[commit(1)]).unwrap();
    drop(store);
    super::volumes::set_format(dir.path(), 3);
    fs::remove_file(dir.path().join("journal")).unwrap();
    // As far as another attempt came.
    fs::write(dir.path().join("journal.new"), "half").unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    store.append(Revision(1), &[commit(2)]).unwrap();
    let killed = copy(dir.path());
    drop(store);
    assert_eq!(opened(killed.path()), [commit(1), commit(2)]);
    fs::remove_file(killed.path().join("journal")).unwrap();
    assert!(SledStore::open(killed.path()).is_err(), "from now on it must be there");
    // One that an older program knows nothing of, and that is of another time, says nothing.
    super::volumes::set_format(dir.path(), 3);
    fs::write(dir.path().join("journal"), "old").unwrap();
    assert_eq!(opened(dir.path()), [commit(1), commit(2)]);
}

#[test]
fn a_copy_has_what_the_journal_alone_holds() {
    let (killed, _) = killed();
    let to = tempfile::tempdir().unwrap();
    let copied = SledStore::copy(killed.path(), &to.path().join("copy"), false).unwrap();
    assert_eq!(copied.head.revision, Revision(3));
    assert_eq!(opened(&to.path().join("copy")), [commit(1), commit(2), commit(3)]);
    // Also in the place of another store.
    let other = SledStore::open_or_create(&to.path().join("other")).unwrap();
    (1..9).for_each(|n| drop(other.append(Revision(n - 1), &[commit(90 + n)]).unwrap()));
    drop(other);
    SledStore::copy(killed.path(), &to.path().join("other"), true).unwrap();
    assert_eq!(opened(&to.path().join("other")), [commit(1), commit(2), commit(3)]);
}
