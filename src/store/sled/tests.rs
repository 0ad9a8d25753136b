//! Guards the latch: after a failed sync nothing more is acknowledged, and reopening decides. Needs a
//! sync that fails, which no file gives on demand; hence here, and not beside the contract. So does what
//! is left of a directory whose making was cut off, and damage that sled's own checksums do not see.

mod journal;
mod volumes;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::engine::{Engine, ITEM_BYTES_MAX, Item, Syncer};
use super::head_file::HeadFile;
use super::log;
use super::open::first_record;
use super::{EMPTY, SledStore};
use crate::model::tuple::{Change, Revision, Time, Tuple, TupleKey};
use crate::store::{
    CheckpointEntry, CheckpointHead, Commit, Fingerprint, Head, KeyedCommit, KeyedRequest, Store,
    StoreError,
};

fn commit(n: u64) -> Commit {
    let key = TupleKey::parse(&format!("org:acme#technician@user:u{n}")).unwrap();
    Commit {
        time: Time(1),
        changes: vec![Change::Put(Tuple::plain(key))],
        model: None,
        request: None,
    }
}

/// The head of a checkpoint of nothing.
fn empty_state(store: &SledStore) -> CheckpointHead {
    let head = store.head();
    CheckpointHead {
        head,
        time: Time(1),
        model: None,
        model_since: None,
        tuple_count: 0,
        keyed_count: 0,
    }
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
    SledStore::open_with(dir, true, Syncer(Arc::new(sync))).unwrap()
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
    assert!(e.to_string().contains("journal`: no such luck"), "{e}");
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
        let state = empty_state(store);
        store.write_checkpoint(&state, &mut std::iter::empty())
    };
    let in_force = |store: &SledStore| store.checkpoint().unwrap().unwrap().0.head.revision;
    store.append(Revision(0), &[commit(1)]).unwrap();
    checkpoint(&store).unwrap();
    store.append(Revision(1), &[commit(2)]).unwrap();
    fails.store(true, Ordering::SeqCst);
    assert!(matches!(checkpoint(&store), Err(StoreError::Io { .. })));
    assert!(!dir.path().join("checkpoint.new").exists(), "a full disk needs the room");
    fails.store(false, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(in_force(&store), Revision(1));
        drop(store);
        store = open(dir.path(), &fails, &syncs);
    }
    checkpoint(&store).unwrap();
    assert_eq!(in_force(&store), Revision(2));
}

/// A store one of whose syncs fails, and what must be in it.
struct Failing {
    dir: tempfile::TempDir,
    sync: Syncer,
    store: Option<SledStore>,
    acknowledged: Vec<Commit>,
    /// Whether each group begins a volume of its own.
    is_volumed: bool,
}

impl Failing {
    /// Fails at sync `n`, once.
    fn at(n: u32, syncs: &Arc<AtomicU32>, is_volumed: bool) -> Self {
        let syncs = Arc::clone(syncs);
        let sync = move |file: &File| {
            if syncs.fetch_add(1, Ordering::SeqCst) + 1 == n {
                return Err(io::Error::other("no such luck"));
            }
            file.sync_data()
        };
        let (dir, sync) = (tempfile::tempdir().unwrap(), Syncer(Arc::new(sync)));
        Self { dir, sync, store: None, acknowledged: Vec::new(), is_volumed }
    }

    fn open(&mut self) -> &SledStore {
        self.store = None;
        let open = || SledStore::open_with(self.dir.path(), true, self.sync.clone());
        // What fails once is there at the second try, also where the directory was being made.
        let mut store = open().or_else(|_| open()).unwrap();
        if self.is_volumed {
            store.log.full_at = 0;
            // What could not be done is asked for again at once.
            store.log.pause = Duration::ZERO;
        }
        self.store.insert(store)
    }

    /// Reopens; of a group in doubt whole commits are there, in order. Then compares.
    fn reopen(&mut self, doubt: &[Commit]) {
        let there = usize::try_from(self.open().head().revision.0).unwrap();
        let more = there.checked_sub(self.acknowledged.len()).expect("something is gone");
        self.acknowledged.extend_from_slice(&doubt[..more]);
        let store = self.store.as_ref().unwrap();
        let first = usize::try_from(store.first().0).unwrap();
        let read = store.read(store.first()).unwrap().map(|item| item.unwrap().1);
        assert!(read.eq(self.acknowledged[first - 1..].iter().cloned()));
        if let Some((head, entries)) = store.checkpoint().unwrap() {
            let entries: Vec<_> = entries.map(Result::unwrap).collect();
            assert_eq!(entries, self.keyed(head.head), "the checkpoint of {head:?}");
        }
    }

    fn append(&mut self, group: &[Commit]) {
        let before = self.acknowledged.len();
        let store = self.store.as_ref().unwrap();
        let appended = store.append(Revision(before as u64), group);
        if let Err(StoreError::Unwritten { .. }) = appended {
            // Its outcome is known: nothing is there, and the store goes on.
            assert_eq!(store.latched(), None);
            store.append(Revision(before as u64), group).unwrap();
        } else if appended.is_err() {
            assert!(store.latched().is_some(), "the store does not say that it has latched");
            self.reopen(group);
            let (there, rest) =
                (self.acknowledged.len(), &group[self.acknowledged.len() - before..]);
            self.store.as_ref().unwrap().append(Revision(there as u64), rest).unwrap();
        }
        self.acknowledged.truncate(before);
        self.acknowledged.extend_from_slice(group);
    }

    /// What a checkpoint at this head holds: a keyed commit for each commit.
    fn keyed(&self, head: Head) -> Vec<CheckpointEntry> {
        let commits = (1..=head.revision.0).zip(&self.acknowledged);
        let keyed = |(at, commit): (u64, &Commit)| {
            let head = Head { revision: Revision(at), checksum: at };
            let (request, time) = (commit.request.unwrap(), commit.time);
            CheckpointEntry::Keyed(KeyedCommit { request, head, time })
        };
        commits.map(keyed).collect()
    }

    fn checkpoint(&mut self) {
        let head = self.store.as_ref().unwrap().head();
        let keyed = self.keyed(head);
        let keyed_count = keyed.len() as u64;
        let state = CheckpointHead { keyed_count, ..empty_state(self.store.as_ref().unwrap()) };
        // The older one may stay in force.
        let store = self.store.as_ref().unwrap();
        let failed = store.write_checkpoint(&state, &mut keyed.into_iter()).is_err();
        assert!(failed || store.latched().is_none());
    }
}

#[test]
fn whichever_sync_fails_what_was_acknowledged_is_there() {
    fail_each_sync(false, 20);
}

#[test]
fn whichever_sync_fails_between_two_volumes_what_was_acknowledged_is_there() {
    fail_each_sync(true, 35);
}

/// Lets each sync of a store's life fail, which are more than so many.
fn fail_each_sync(is_volumed: bool, more_than: u32) {
    let keyed = |n: u8| {
        let (key, body) = (Fingerprint([n; 16]), Fingerprint([!n; 16]));
        let request = Some(KeyedRequest { key, body, changed: u32::from(n) });
        Commit { request, ..commit(u64::from(n)) }
    };
    let mut failed = 0;
    for n in 1.. {
        let syncs = Arc::new(AtomicU32::new(0));
        let mut failing = Failing::at(n, &syncs, is_volumed);
        failing.open();
        failing.append(&[keyed(1)]);
        failing.append(&[keyed(2), keyed(3)]);
        failing.checkpoint();
        failing.append(&[keyed(4)]);
        let _ = failing.store.as_ref().unwrap().truncate(Revision(2));
        failing.reopen(&[]);
        failing.append(&[keyed(5)]);
        failing.checkpoint();
        failing.append(&[keyed(6), keyed(7)]);
        failing.reopen(&[]);
        assert!(failing.acknowledged.iter().eq(&[1, 2, 3, 4, 5, 6, 7].map(keyed)));
        if syncs.load(Ordering::SeqCst) < n {
            break;
        }
        failed += 1;
    }
    assert!(failed > more_than, "only {failed} syncs were made to fail");
}

/// Also those by which the engine is given what the journal holds: as it is full, and before a large group.
#[test]
fn whichever_sync_fails_while_the_journal_is_emptied_what_was_acknowledged_is_there() {
    let long = |n: u64| {
        let mut commit = commit(n);
        if let Some(Change::Put(tuple)) = commit.changes.first_mut() {
            tuple.reason = "r".repeat(if n == 9 { 100_000 } else { 60_000 });
        }
        commit
    };
    for n in 1.. {
        let syncs = Arc::new(AtomicU32::new(0));
        let mut failing = Failing::at(n, &syncs, false);
        failing.open();
        let opening = syncs.load(Ordering::SeqCst);
        (1..=10).for_each(|n| failing.append(&[long(n)]));
        let end = syncs.load(Ordering::SeqCst);
        failing.reopen(&[]);
        assert!(failing.acknowledged.iter().eq(&(1..=10).map(long).collect::<Vec<_>>()));
        // A group each; the journal holds four; the ninth goes to the engine at once.
        assert!(n < end || end - opening == 10 + 2, "{opening} to {end}");
        if end < n {
            break;
        }
    }
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

#[test]
fn a_creation_cut_off_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    // Before the head file has its name.
    std::fs::write(path.join("head.new"), "half").unwrap();
    drop(SledStore::open_or_create(path).unwrap());
    // After it, the log half made.
    std::fs::remove_file(path.join("head")).unwrap();
    std::fs::remove_dir_all(path.join("log")).unwrap();
    drop(HeadFile::create(path, first_record(), &Syncer::default()).unwrap());
    std::fs::create_dir(path.join("log")).unwrap();
    let store = SledStore::open_or_create(path).unwrap();
    store.append(Revision(0), &[commit(1)]).unwrap();
    drop(store);
}

#[test]
fn leftovers_are_removed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    store.append(Revision(0), &[commit(1)]).unwrap();
    let state = empty_state(&store);
    store.write_checkpoint(&state, &mut std::iter::empty()).unwrap();
    drop(store);
    for name in
        ["checkpoint.new", "checkpoint-7", "checkpoint-0", "opening", "copying", "lost+found"]
    {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    std::fs::write(dir.path().join("head.new"), "half").unwrap();
    drop(SledStore::open(dir.path()).unwrap());
    let names = super::files::names(dir.path()).unwrap();
    assert_eq!(names, ["checkpoint-1", "head", "journal", "lineages", "log", "lost+found"]);
}

/// The first three commits as items, the second in three parts.
fn three_commits() -> Vec<Item> {
    let bodies = [vec![1; 10], (0..9_000_u32).map(|n| n.to_be_bytes()[3]).collect(), vec![3; 10]];
    let mut head = EMPTY;
    let written = bodies.map(|body| {
        let (items, heads) = written(head, &[body]);
        head = heads[0];
        items
    });
    written.concat()
}

/// The items of these, and the head after each.
fn written(previous: Head, bodies: &[Vec<u8>]) -> (Vec<Item>, Vec<Head>) {
    let (batches, heads) = log::items(previous, bodies);
    (batches.concat(), heads)
}

/// An engine with these items.
fn engine_of(dir: &Path, items: &[Item]) -> Arc<Engine> {
    let engine = Engine::create(&dir.join("log"), &Syncer::default()).unwrap();
    engine.put(items).unwrap();
    Arc::new(engine)
}

#[test]
fn no_damage_below_sleds_own_checksums_passes() {
    let outcome = |items: Vec<Item>| {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine_of(dir.path(), &items);
        let records: Result<Vec<_>, _> =
            log::records(&engine, Revision(1), Some(EMPTY.checksum)).collect();
        records.map(|records| records.len()).map_err(|e| e.to_string())
    };
    let good = three_commits();
    assert_eq!(good.len(), 5);
    assert_eq!(outcome(good.clone()), Ok(3));
    // A bit of a body, a kind, a trailer, a key: whichever it is, it shows.
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..60 {
        let mut items = good.clone();
        let (key, value) = &mut items[random.usize(..5)];
        let bytes = if round % 6 == 0 { key } else { value };
        let at = random.usize(..bytes.len());
        bytes[at] ^= 1 << random.u8(..8);
        let found = outcome(items);
        // A last commit whose key is gone is a shorter log: the head file is what sees that.
        assert!(found.is_err() || (round % 6 == 0 && found != Ok(3)), "round {round}: {found:?}");
    }
    for missing in 0..4 {
        let mut items = good.clone();
        items.remove(missing);
        assert!(outcome(items).is_err(), "item {missing}");
    }
    // Whole, and proved by itself, but the successor of another commit.
    let mut items = good;
    let stranger = Head { revision: Revision(2), checksum: 9 };
    items[4] = written(stranger, &[vec![3; 10]]).0.remove(0);
    assert_eq!(
        outcome(items).unwrap_err().split("; ").next(),
        Some("stored data is damaged: commit 3: it does not follow the commit before it")
    );
}

/// Groups of small commits and large ones, read from each of them on, by whoever knows what came before, does not, or
/// is wrong about it.
#[test]
fn commits_that_share_an_item_are_read_from_whichever_is_asked_for() {
    let mut random = fastrand::Rng::with_seed(41);
    for _ in 0..12 {
        let (mut all, mut bodies, mut heads) = (Vec::new(), Vec::new(), vec![EMPTY]);
        for _ in 0..random.usize(1..4) {
            let body = |random: &mut fastrand::Rng| match random.u32(..12) {
                0 => vec![random.u8(..); random.usize(3_900..12_000)],
                1 => Vec::new(),
                _ => vec![random.u8(..); random.usize(..200)],
            };
            let group: Vec<_> = (0..random.usize(1..90)).map(|_| body(&mut random)).collect();
            let (items, after) = written(heads[heads.len() - 1], &group);
            assert!(items.iter().all(|(key, value)| key.len() + value.len() <= ITEM_BYTES_MAX));
            all.extend(items);
            heads.extend(after);
            bodies.extend(group);
        }
        let dir = tempfile::tempdir().unwrap();
        let engine = engine_of(dir.path(), &all);
        for (before, from) in (0..bodies.len()).zip(1..) {
            let read = |previous| -> Result<Vec<_>, String> {
                let records = log::records(&engine, Revision(from), previous);
                let read = records.map(|one| one.map(|one| (one.head, one.body)));
                read.collect::<Result<_, _>>().map_err(|error| error.to_string())
            };
            let rest = heads[before + 1..].iter().copied().zip(bodies[before..].iter().cloned());
            let rest: Vec<_> = rest.collect();
            assert_eq!(read(Some(heads[before].checksum)).as_ref(), Ok(&rest), "{from}");
            assert_eq!(read(None), Ok(rest), "{from}");
            let wrong = read(Some(heads[before].checksum ^ 1)).unwrap_err();
            assert!(wrong.contains("does not follow"), "{wrong}");
            assert!(log::start_of(&engine, Revision(from)).unwrap().is_some());
        }
        let end = heads.len() as u64;
        assert_eq!(log::start_of(&engine, Revision(end)).unwrap(), None);
        assert_eq!(log::records(&engine, Revision(end), None).count(), 0);
    }
}

#[test]
fn no_damage_to_an_item_of_several_commits_passes() {
    let bodies: Vec<Vec<u8>> = (0..20).map(|n| vec![n; usize::from(n)]).collect();
    let (items, _) = written(EMPTY, &bodies);
    assert_eq!(items.len(), 1);
    let outcome = |value: Vec<u8>| {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine_of(dir.path(), &[(items[0].0.clone(), value)]);
        let ends =
            [1, 7].map(|from| log::records(&engine, Revision(from), None).all(|one| one.is_ok()));
        (ends[0], ends[1])
    };
    let good = items[0].1.clone();
    assert_eq!(outcome(good.clone()), (true, true));
    let mut random = fastrand::Rng::with_seed(42);
    for _ in 0..60 {
        let (mut value, at) = (good.clone(), random.usize(..good.len()));
        value[at] ^= 1 << random.u8(..8);
        let (whole, part) = outcome(value);
        // Whoever asks for the seventh finds none where the item does not say that it has it.
        assert!(!whole && (!part || at == 0 || at >= good.len() - 22), "byte {at}");
    }
    // Longer than any item is: whoever reads it does not take its many commits apart.
    let (zeros, end) = (vec![0; 1_000_000], &good[good.len() - 22..]);
    let long = [&[2], zeros.as_slice(), &[0, 1], &1_000_000_u32.to_be_bytes(), &end[6..]].concat();
    let dir = tempfile::tempdir().unwrap();
    let db = sled::Config::new().path(dir.path().join("log")).open().unwrap();
    db.insert(&items[0].0, long).unwrap();
    drop(db);
    let engine = Arc::new(Engine::open(&dir.path().join("log"), &Syncer::default()).unwrap());
    let error = log::records(&engine, Revision(1), None).next().unwrap().err().unwrap();
    assert!(error.to_string().contains("longer than any"), "{error}");
    for shorter in [good.len() - 1, 23, 22, 1, 0] {
        assert!(!outcome(good[..shorter].to_vec()).0, "{shorter} bytes");
    }
}

#[test]
fn commits_share_an_item_up_to_its_last_byte() {
    // An item but for its key, its kind and its trailer.
    let room = ITEM_BYTES_MAX - 10 - 1 - 22;
    for (first, second, expected) in [
        (room - 4, 0, vec![0]),
        (room / 2 - 2, room - room / 2 - 2, vec![0]),
        (room / 2 - 2, room - room / 2 - 1, vec![0, 0]),
        (room - 2, 0, vec![0, 0]),
        (room, 1, vec![0, 0]),
        (room + 1, 1, vec![0, 1, 0]),
    ] {
        let bodies = [vec![1; first], vec![2; second]];
        let (items, _) = written(EMPTY, &bodies);
        let parts: Vec<u8> = items.iter().map(|(key, _)| key[9]).collect();
        assert_eq!(parts, expected, "{first} and {second} bytes");
        assert!(items.iter().all(|(key, value)| key.len() + value.len() <= ITEM_BYTES_MAX));
        let dir = tempfile::tempdir().unwrap();
        let read = log::records(&engine_of(dir.path(), &items), Revision(1), Some(0));
        assert!(read.map(|one| one.unwrap().body).eq(bodies));
    }
}
