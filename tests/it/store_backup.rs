//! Guards that a backup brings the store back, and that what was committed after it is of another history
//! from then on, however the backup was put back.

use std::fs;
use std::path::Path;

use bailiwick::model::tuple::Revision;
use bailiwick::store::sled::SledStore;
use bailiwick::store::{Head, Store, StoreError};

use crate::store_world::{checkpoint, compare_checkpoint, compare_log, grow};

/// What a token says of a commit beside its store.
fn token(store: &SledStore, head: Head) -> (String, Head) {
    (store.identity().lineages.of(head.revision).to_string(), head)
}

/// Whether the store would take the token for one of its history.
fn knows(store: &SledStore, (lineage, head): &(String, Head)) -> bool {
    **store.identity().lineages.of(head.revision) == **lineage
}

fn open(dir: &Path) -> SledStore {
    SledStore::open_or_create(dir).unwrap()
}

/// Copies a directory over another as `cp -r` does: files are written in place.
fn copy_over(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy_over(&from, &to);
        } else {
            fs::write(to, fs::read(from).unwrap()).unwrap();
        }
    }
}

#[test]
fn tokens_hold_over_restarts_and_not_over_a_backup_copied_back_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    let store = open(&data);
    let mut kept = vec![token(&store, grow(&store, 3))];
    drop(store);
    let store = open(&data);
    kept.push(token(&store, grow(&store, 1)));
    drop(store);
    copy_over(&data, &backup);

    let store = open(&data);
    let lost = token(&store, grow(&store, 1));
    assert!(kept.iter().all(|token| knows(&store, token)) && knows(&store, &lost));
    drop(store);
    let store = open(&data);
    assert!(knows(&store, &lost), "a restart alone loses nothing");
    drop(store);

    fs::remove_dir_all(&data).unwrap();
    copy_over(&backup, &data);
    // At once, when its number is used again, and after a restart.
    for _ in 0..3 {
        let store = open(&data);
        assert!(!knows(&store, &lost));
        grow(&store, 1);
        assert!(!knows(&store, &lost));
        assert!(kept.iter().all(|token| knows(&store, token)));
    }
    // Two copies that go on are two histories.
    let (one, two) = (open(&data), open(&backup));
    let (of_one, of_two) = (token(&one, grow(&one, 1)), token(&two, grow(&two, 1)));
    assert!(!knows(&one, &of_two) && !knows(&two, &of_one));
}

#[test]
fn a_copy_made_while_the_store_was_open_cuts_its_lineage_short() {
    let dir = tempfile::tempdir().unwrap();
    let (data, snapshot) = (dir.path().join("data"), dir.path().join("snapshot"));
    let store = open(&data);
    let before = token(&store, grow(&store, 2));
    copy_over(&data, &snapshot);
    let after = token(&store, grow(&store, 1));
    assert_eq!(before.0, after.0, "one opening is one lineage");
    let put_back = open(&snapshot);
    assert_eq!(put_back.head(), before.1);
    assert!(knows(&put_back, &before) && !knows(&put_back, &after));
    grow(&put_back, 5);
    assert!(!knows(&put_back, &after));
}

#[test]
fn a_store_that_has_lost_its_lineages_takes_no_older_token() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let old = token(&store, grow(&store, 3));
    drop(store);
    let path = dir.path().join("lineages");
    let mut bytes = fs::read(&path).unwrap();
    bytes[60] ^= 1;
    for damaged in [bytes, Vec::new()] {
        fs::write(&path, damaged).unwrap();
        let store = open(dir.path());
        assert!(!knows(&store, &old));
        let new = token(&store, grow(&store, 1));
        drop(store);
        assert!(knows(&open(dir.path()), &new));
    }
}

#[test]
fn a_backup_is_restored_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let store = open(&path("data"));
    grow(&store, 20);
    let state = checkpoint(&store, 900);
    grow(&store, 5);
    let id = store.identity().store_id;
    let in_use = SledStore::copy(&path("data"), &path("backup"), false).unwrap_err();
    assert!(matches!(in_use, StoreError::Locked { .. }), "{in_use}");
    drop(store);
    let backup = SledStore::copy(&path("data"), &path("backup"), false).unwrap();
    assert_eq!((backup.store_id.as_str(), backup.head.revision), (&*id, Revision(25)));

    let store = open(&path("data"));
    let lost = token(&store, grow(&store, 2));
    let in_use = SledStore::copy(&path("backup"), &path("data"), true).unwrap_err();
    assert!(matches!(in_use, StoreError::Locked { .. }), "{in_use}");
    drop(store);
    let there = SledStore::copy(&path("backup"), &path("data"), false).unwrap_err();
    assert!(there.to_string().contains("it holds a store already"), "{there}");
    assert_eq!(open(&path("data")).head().revision, Revision(27), "it was left alone");

    // Over a whole store, over one that is damaged, and to an empty place.
    for target in ["data", "damaged", "new"] {
        if target == "damaged" {
            copy_over(&path("data"), &path(target));
            fs::write(path("damaged/head"), "").unwrap();
            fs::write(path("damaged/log/db"), "").unwrap();
        }
        SledStore::copy(&path("backup"), &path(target), target != "new").unwrap();
        let store = open(&path(target));
        assert_eq!((store.identity().store_id, store.head()), (id.clone(), backup.head));
        compare_log(&store, 1).unwrap();
        compare_checkpoint(&store, &state).unwrap();
        assert!(!knows(&store, &lost));
        grow(&store, 3);
        assert!(!knows(&store, &lost));
        let left = ["copying", "opening"].map(|name| path(target).join(name).exists());
        assert_eq!(left, [false, false]);
    }
}

#[test]
fn what_is_no_whole_store_is_not_restored_and_what_is_somebodys_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let copy = |from: &str, to: &str, replaces| {
        SledStore::copy(&path(from), &path(to), replaces).map(drop).map_err(|e| e.to_string())
    };
    let store = open(&path("data"));
    grow(&store, 30);
    drop(store);
    // Opened once more: then the journal holds nothing that would make up for damage to the log.
    drop(open(&path("data")));
    copy("data", "backup", false).unwrap();
    copy("data", "damaged", false).unwrap();
    let db = path("damaged/log/db");
    let mut bytes = fs::read(&db).unwrap();
    let middle = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    bytes[middle] ^= 1;
    fs::write(&db, &bytes).unwrap();
    let e = copy("damaged", "data", true).unwrap_err();
    assert!(e.contains("damaged"), "{e}");
    assert_eq!(fs::read(&db).unwrap(), bytes, "a refused backup was changed");
    assert_eq!(open(&path("data")).head().revision, Revision(30), "nothing was removed");

    fs::create_dir(path("letters")).unwrap();
    fs::write(path("letters/letter.txt"), "dear").unwrap();
    let e = copy("backup", "letters", true).unwrap_err();
    assert!(e.contains("it is no store, and holds `letter.txt`"), "{e}");
    let e = copy("letters", "new", false).unwrap_err();
    assert!(e.contains("it holds no store"), "{e}");
    assert!(!path("new").exists());

    // Neither is the other, or within it, by whatever name.
    std::os::unix::fs::symlink(path("data"), path("link")).unwrap();
    for (from, to, why) in [
        ("data", "data", "is the directory that is to be copied"),
        ("link", "data", "is the directory that is to be copied"),
        ("data", "link", "is the directory that is to be copied"),
        ("data", "data/backups/today", "lies within the other"),
        ("link", "data/backup", "lies within the other"),
    ] {
        let e = copy(from, to, true).unwrap_err();
        assert!(e.contains(why), "{e}");
    }
    assert!(!path("data/backups").exists());
    assert_eq!(open(&path("data")).head().revision, Revision(30));

    // Cut off at whatever point: nobody opens it, and it can be repeated.
    copy("backup", "cut", false).unwrap();
    fs::create_dir(path("cut/copying")).unwrap();
    fs::rename(path("cut/head"), path("cut/copying/head")).unwrap();
    assert!(SledStore::open_or_create(&path("cut")).is_err());
    fs::remove_dir_all(path("cut/log")).unwrap();
    fs::remove_file(path("cut/lineages")).unwrap();
    assert!(SledStore::open_or_create(&path("cut")).is_err());
    copy("backup", "cut", true).unwrap();
    assert_eq!(open(&path("cut")).head().revision, Revision(30));
}
