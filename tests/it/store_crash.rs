//! Guards durability: what was acknowledged survives kill -9; what damages the directory is refused or
//! does no harm; and the syncs are those that the store's documentation counts.
//!
//! Where a test needs a second process, it runs this binary again with the name of one `child_` test
//! and with `CHILD_DIR` in its environment; without it those tests do nothing.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bailiwick::model::tuple::{Change, Revision, Time};
use bailiwick::store::sled::SledStore;
use bailiwick::store::{CheckpointHead, Commit, Head, Identity, Store, StoreError};

use crate::store_world::{
    checkpoint, commits, compare_checkpoint, compare_log, entries, grow, tuple,
};

const CHILD_DIR: &str = "BAILIWICK_TEST_CHILD_DIR";
const SEED: &str = "BAILIWICK_TEST_SEED";

/// The seed of a random test: from the environment, or always the same. Shown if the test fails.
fn seeded(test: &str, default: u64) -> fastrand::Rng {
    let seed = std::env::var(SEED).map_or(default, |seed| seed.parse().unwrap());
    say(&format!("{test}: {SEED}={seed}"));
    fastrand::Rng::with_seed(seed)
}

fn say(line: &str) {
    io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn child_dir() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIR).map(PathBuf::from)
}

/// This binary, to run one of its tests in this directory.
fn child(test: &str, dir: &Path, runner: &[&str]) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut words = runner.iter().map(Into::into).chain([exe.into_os_string()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(CHILD_DIR, dir).stdin(Stdio::null());
    command
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_under(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every file under a directory with its bytes.
fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files_under(dir).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn assert_no_blobs(dir: &Path) {
    let files = files_under(dir);
    let is_log = |file: &PathBuf| file.ends_with("db") && file.to_string_lossy().contains("/log");
    assert!(files.iter().any(is_log), "{files:?}");
    let blobs: Vec<_> =
        files.iter().filter(|file| file.components().any(|c| c.as_os_str() == "blobs")).collect();
    assert!(blobs.is_empty(), "never synced: {blobs:?}");
}

#[test]
fn nothing_is_put_where_sled_never_syncs() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    let changes = (0..10_000).map(|n| Change::Put(tuple(n))).collect();
    store
        .append(Revision(0), &[Commit { time: Time(0), changes, model: None, request: None }])
        .unwrap();
    for at in 1..10 {
        let mut tuple = tuple(at);
        tuple.reason = "r".repeat((1 << 20) - 200);
        let changes = vec![Change::Put(tuple)];
        store
            .append(Revision(at), &[Commit { time: Time(0), changes, model: None, request: None }])
            .unwrap();
    }
    assert_no_blobs(dir.path());
    checkpoint(&store, 20_000);
    assert_no_blobs(dir.path());
    store.truncate(Revision(9)).unwrap();
    grow(&store, 1);
    assert_no_blobs(dir.path());
    drop(store);
    drop(SledStore::open(dir.path()).unwrap());
    assert_no_blobs(dir.path());
}

// Syncs.

/// Marks a place in the trace: a sync of a file of this name.
fn mark(dir: &Path) {
    fs::File::create(dir.join("mark")).unwrap().sync_all().unwrap();
}

#[test]
fn child_appends_groups() {
    let Some(dir) = child_dir() else { return };
    let store = SledStore::open_or_create(&dir.join("data")).unwrap();
    mark(&dir);
    grow(&store, 64);
    mark(&dir);
    for _ in 0..62 {
        grow(&store, 1);
    }
    mark(&dir);
    grow(&store, 64);
    mark(&dir);
    checkpoint(&store, 100);
    mark(&dir);
}

/// The paths synced in each stretch between two marks.
fn synced_between_marks(trace: &str) -> Vec<Vec<String>> {
    let mut stretches = vec![Vec::new()];
    for line in trace.lines() {
        let Some((_, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if call.starts_with(['+', '-', '<']) {
            // The end of a process, a signal, the second half of a call.
            continue;
        }
        let is_of_one_file = call.starts_with("fsync(") || call.starts_with("fdatasync(");
        assert!(is_of_one_file, "a sync of another kind: {line}");
        let path = call.split(['<', '>']).nth(1).unwrap_or_else(|| panic!("no path: {line}"));
        if path.ends_with("/mark") {
            stretches.push(Vec::new());
        } else {
            let last_two: Vec<_> = path.rsplit('/').take(2).collect();
            stretches.last_mut().unwrap().push(format!("{}/{}", last_two[1], last_two[0]));
        }
    }
    stretches
}

#[test]
fn a_group_of_64_commits_is_one_sync() {
    if !Path::new("/usr/bin/strace").exists() {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "strace is missing, and CI must count the syncs");
        return say("skipped: strace is missing");
    }
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let calls = "trace=fsync,fdatasync,sync,syncfs,msync";
    let runner = ["/usr/bin/strace", "-f", "-y", "-e", calls, "-o", trace.to_str().unwrap()];
    let output = child("store_crash::child_appends_groups", dir.path(), &runner).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let stretches = synced_between_marks(&fs::read_to_string(&trace).unwrap());
    assert_eq!(stretches.len(), 6, "{stretches:?}");
    assert_eq!(stretches[1], ["log/db"], "a large group of 64");
    assert_eq!(stretches[2], vec!["data/journal"; 62], "62 groups of one");
    let expected = ["log/db", "log/db", "data/head"];
    assert_eq!(stretches[3], expected, "what the journal holds, a large group, the 64th of all");
    let checkpoint = &stretches[4];
    for name in ["data/checkpoint.new", "data/head"] {
        assert!(
            checkpoint.iter().any(|synced| synced == name),
            "{name} is not synced: {checkpoint:?}"
        );
    }
    // Its name, after it was renamed.
    assert!(checkpoint.iter().any(|name| name.ends_with("/data")), "{checkpoint:?}");
    assert!(stretches[0].iter().any(|name| name.ends_with("/data")), "{:?}", stretches[0]);
}

// Damage.

/// A closed store to be damaged, and what it holds.
struct Sample {
    dir: tempfile::TempDir,
    head: Head,
    identity: Identity,
    first: u64,
    checkpoint: CheckpointHead,
}

impl Sample {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open_or_create(dir.path()).unwrap();
        grow(&store, 60);
        grow(&store, 30);
        let checkpoint = checkpoint(&store, 4_000);
        store.truncate(Revision(40)).unwrap();
        for _ in 0..20 {
            grow(&store, 1);
        }
        let (head, identity) = (store.head(), store.identity());
        drop(store);
        // Opened once more: sled then has its own `snap` file of the whole.
        drop(SledStore::open(dir.path()).unwrap());
        Self { dir, head, identity, first: 40, checkpoint }
    }

    fn files(&self) -> Vec<PathBuf> {
        let strip = |file: PathBuf| file.strip_prefix(self.dir.path()).unwrap().to_owned();
        files_under(self.dir.path()).into_iter().map(strip).collect()
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in self.files() {
            let to = copy.path().join(&file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(self.dir.path().join(&file), to).unwrap();
        }
        copy
    }

    /// What became of a damaged copy: an error, or everything that was acknowledged.
    fn open_and_compare(&self, dir: &Path) -> Result<(), StoreError> {
        let store = SledStore::open(dir)?;
        assert_eq!(store.head(), self.head, "shorter, or other content, without an error");
        assert_eq!(store.identity().store_id, self.identity.store_id);
        compare_checkpoint(&store, &self.checkpoint)?;
        compare_log(&store, self.first)?;
        // What opened can also go on.
        grow(&store, 3);
        compare_log(&store, self.first)
    }

    /// Damages a copy and judges it; true: it was refused.
    fn is_refused(&self, what: &str, damage: impl FnOnce(&Path)) -> bool {
        let copy = self.copy();
        damage(copy.path());
        let before = content(copy.path());
        match self.open_and_compare(copy.path()) {
            Ok(()) => false,
            Err(e) => {
                assert!(content(copy.path()) == before, "{what}: refused, and not left alone: {e}");
                let text = e.to_string();
                let says_what_to_do =
                    ["restore", "choose", "check the disk"].iter().any(|word| text.contains(word));
                assert!(says_what_to_do, "{what}: {text}");
                true
            }
        }
    }
}

#[test]
fn a_file_cut_short_is_refused_or_does_no_harm() {
    let sample = Sample::new();
    let (mut refused, mut harmless) = (Vec::new(), Vec::new());
    for file in sample.files() {
        let snap = |dir: &Path| {
            files_under(dir.join(&file).parent().unwrap())
                .into_iter()
                .find(|other| other.file_name().unwrap().to_string_lossy().starts_with("snap."))
        };
        // Without its `snap` sled believes any `db` that ends early.
        let also_snap = if file.ends_with("db") { &[false, true][..] } else { &[false] };
        for (tenth, snap_too) in (0..10).flat_map(|n| also_snap.iter().map(move |also| (n, *also)))
        {
            let also = if snap_too { ", no snap" } else { "" };
            let what = format!("{} at {tenth}/10{also}", file.display());
            let is_refused = sample.is_refused(&what, |dir| {
                if snap_too {
                    fs::remove_file(snap(dir).unwrap()).unwrap();
                }
                let file = OpenOptions::new().write(true).open(dir.join(&file)).unwrap();
                file.set_len(file.metadata().unwrap().len() * tenth / 10).unwrap();
            });
            if is_refused { &mut refused } else { &mut harmless }.push(what);
        }
        let what = format!("{} removed", file.display());
        let is_refused = sample.is_refused(&what, |dir| fs::remove_file(dir.join(&file)).unwrap());
        if is_refused { &mut refused } else { &mut harmless }.push(what);
    }
    say(&format!("refused: {refused:?}\nharmless: {harmless:?}"));
    for cut in ["head at 0/10", "head at 9/10", "head removed", "log/db at 0/10", "log/db removed"]
    {
        assert!(refused.iter().any(|what| what == cut), "{cut} was not refused");
    }
}

#[test]
fn overwritten_bytes_are_refused_or_do_no_harm() {
    let sample = Sample::new();
    let mut random = seeded("overwritten bytes", 20_240_601);
    let files = sample.files();
    let mut refused = 0;
    for round in 0..60 {
        let file = &files[random.usize(..files.len())];
        let length = fs::metadata(sample.dir.path().join(file)).unwrap().len();
        let at = random.u64(..length);
        let count = random.u64(1..=64.min(length - at));
        let bytes: Vec<u8> = (0..count).map(|_| random.u8(..)).collect();
        let what = format!("round {round}: {count} bytes at {at} of {}", file.display());
        refused += u32::from(sample.is_refused(&what, |dir| {
            let file = OpenOptions::new().write(true).open(dir.join(file)).unwrap();
            file.write_all_at(&bytes, at).unwrap();
        }));
    }
    say(&format!("{refused} of 60 refused"));
    assert!(refused > 5);
}

#[test]
fn a_log_that_is_not_this_head_files_is_refused() {
    let copy_log = |from: &Path, to: &Path| {
        fs::remove_dir_all(to.join("log")).unwrap();
        fs::create_dir_all(to.join("log/blobs")).unwrap();
        for file in files_under(&from.join("log")) {
            fs::copy(&file, to.join("log").join(file.file_name().unwrap())).unwrap();
        }
    };
    let [old, new, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let store = SledStore::open_or_create(new.path()).unwrap();
    grow(&store, 10);
    drop(store);
    fs::create_dir(old.path().join("log")).unwrap();
    copy_log(new.path(), old.path());
    let head_of_10 = fs::read(new.path().join("head")).unwrap();
    let store = SledStore::open(new.path()).unwrap();
    grow(&store, 5);
    drop(store);

    // A newer log than the head file says is what a power cut may leave; it is all there.
    fs::write(new.path().join("head"), head_of_10).unwrap();
    let store = SledStore::open(new.path()).unwrap();
    assert_eq!(store.head().revision, Revision(15));
    compare_log(&store, 1).unwrap();
    drop(store);

    let head_of_15 = fs::read(new.path().join("head")).unwrap();
    copy_log(old.path(), new.path());
    let e = SledStore::open(new.path()).unwrap_err();
    assert!(e.to_string().contains("ends at revision 10, the head file says 15; restore"), "{e}");
    assert!(fs::read(new.path().join("head")).unwrap() == head_of_15, "a refusal changes nothing");

    let store = SledStore::open_or_create(other.path()).unwrap();
    let group: Vec<_> = (0..20).map(|_| commits([1]).remove(0)).collect();
    store.append(Revision(0), &group).unwrap();
    drop(store);
    copy_log(other.path(), new.path());
    let e = SledStore::open(new.path()).unwrap_err();
    assert!(e.to_string().contains("commit 15 in its log is not the one"), "{e}");
}

#[test]
fn a_directory_that_is_not_a_store_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |path: &Path| {
        let errors =
            [SledStore::open(path).unwrap_err(), SledStore::open_or_create(path).unwrap_err()];
        for e in &errors {
            assert!(matches!(e, StoreError::Refused { .. }), "{e}");
        }
        errors.map(|e| e.to_string())
    };
    fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert!(refused(dir.path())[1].contains("holds `letter.txt`; choose an empty directory"));
    assert_eq!(files_under(dir.path()).len(), 1);

    let empty = dir.path().join("empty");
    fs::create_dir_all(empty.join("lost+found")).unwrap();
    let e = SledStore::open(&empty).unwrap_err();
    assert!(e.to_string().contains("it is empty"), "{e}");
    let e = SledStore::open(&dir.path().join("none")).unwrap_err();
    assert!(e.to_string().contains("not a directory"), "{e}");
    let store = SledStore::open_or_create(&empty).unwrap();
    grow(&store, 1);

    for e in [SledStore::open(&empty).unwrap_err(), SledStore::open_or_create(&empty).unwrap_err()]
    {
        assert!(matches!(e, StoreError::Locked { .. }), "{e}");
        assert!(e.to_string().contains("in use by another process"), "{e}");
    }
    drop(store);

    let head = empty.join("head");
    let whole = fs::read(&head).unwrap();
    let mut other = whole.clone();
    for slot in [0, 4_096] {
        other[slot + 11] = 9;
        let sum = crc32(&other[slot..slot + 508]);
        other[slot + 508..slot + 512].copy_from_slice(&sum.to_be_bytes());
    }
    fs::write(&head, other).unwrap();
    assert!(refused(&empty)[1].contains("format 9, this program reads up to 4; run the version"));
    fs::write(&head, &whole).unwrap();
    fs::rename(&head, empty.join("head.old")).unwrap();
    assert!(refused(&empty)[1].contains("it holds data and no file `head`; restore"));
    fs::rename(empty.join("head.old"), &head).unwrap();
    assert_eq!(SledStore::open(&empty).unwrap().head().revision, Revision(1));
}

/// The checksum of a slot, bit by bit: the test shares no code with the store.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}

// kill -9.

#[test]
fn child_appends_until_killed() {
    let Some(dir) = child_dir() else { return };
    let store = SledStore::open_or_create(&dir).unwrap();
    let mut random = fastrand::Rng::with_seed(store.head().checksum);
    for group in 1.. {
        let at = store.head().revision;
        let count = random.u64(1..=6);
        let head = *store.append(at, &commits(at.0 + 1..=at.0 + count)).unwrap().last().unwrap();
        say(&format!("acknowledged {}", head.revision.0));
        if group % 8 == 0 {
            checkpoint(&store, head.revision.0 % 500);
            store.truncate(Revision(head.revision.0.saturating_sub(40))).unwrap();
        }
    }
}

/// Everything is there that the revisions say, from the first one kept on.
fn assert_whole(store: &SledStore) {
    let first = match store.read(Revision(1)) {
        Ok(_) => 1,
        Err(StoreError::Truncated { oldest, .. }) => oldest,
        Err(e) => panic!("{e}"),
    };
    compare_log(store, first).unwrap();
    let Some((head, found)) = store.checkpoint().unwrap() else {
        return assert_eq!(first, 1);
    };
    assert!(first <= head.head.revision.0 + 1 && head.head.revision <= store.head().revision);
    assert_eq!(head.tuple_count, head.head.revision.0 % 500);
    assert!(found.map(Result::unwrap).eq(entries(&head)));
}

#[test]
fn kill_9_loses_nothing_acknowledged_and_leaves_nothing_half() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = seeded("kill -9", 7);
    let mut acknowledged = 0;
    let mut rounds_with_more = 0;
    for round in 0..100 {
        let mut process = child("store_crash::child_appends_until_killed", dir.path(), &[])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut left = random.u32(0..25);
        if left == 0 {
            process.kill().unwrap();
        }
        // After the kill, what is still in the pipe was acknowledged too.
        for line in lines {
            let line = line.unwrap();
            let Some(revision) = line.rsplit("acknowledged ").next().and_then(|n| n.parse().ok())
            else {
                continue;
            };
            acknowledged = revision;
            left = left.saturating_sub(1);
            if left == 0 {
                // Not always at the same point of the next append.
                (0..random.u32(..400_000)).for_each(|_| std::hint::spin_loop());
                process.kill().unwrap();
            }
        }
        process.wait().unwrap();
        let store = match SledStore::open(dir.path()) {
            Ok(store) => store,
            // Killed before it had made anything, and nothing was acknowledged.
            Err(_) if acknowledged == 0 => continue,
            Err(e) => panic!("round {round}: {e}"),
        };
        let head = store.head().revision.0;
        assert!(
            head >= acknowledged,
            "round {round}: {acknowledged} was acknowledged, {head} is left"
        );
        rounds_with_more += u32::from(head > acknowledged);
        acknowledged = head;
        assert_whole(&store);
    }
    say(&format!("head {acknowledged}; unacknowledged but whole in {rounds_with_more} rounds"));
    assert!(acknowledged > 100);
}
