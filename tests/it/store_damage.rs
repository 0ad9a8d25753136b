//! Guards that a refused start changes nothing, whatever is damaged and however the process before it
//! ended: what was put right is then whole again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bailiwick::model::tuple::Revision;
use bailiwick::store::Store;
use bailiwick::store::sled::SledStore;

use crate::store_world::{checkpoint, compare_checkpoint, compare_log, grow, state_at_head};

/// Every file under a directory with its bytes.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}

/// Makes the directory hold these files and no other.
fn put_back(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(dir).unwrap();
    for (path, bytes) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// A store of 39 revisions, a checkpoint among them.
fn filled(dir: &Path) -> SledStore {
    let store = SledStore::open_or_create(dir).unwrap();
    grow(&store, 20);
    checkpoint(&store, 3_000);
    store.truncate(Revision(10)).unwrap();
    grow(&store, 19);
    store
}

/// What is done to a file: its bytes afterwards, `None` for a file that is gone.
type Damage = (String, Option<Vec<u8>>);

fn damages(path: &Path, bytes: &[u8]) -> Vec<Damage> {
    let name = path.file_name().unwrap().to_string_lossy();
    let mut damages =
        vec![(format!("{name} gone"), None), (format!("{name} emptied"), Some(vec![]))];
    for at in (0..8).map(|part| bytes.len() * part / 8).chain([bytes.len().saturating_sub(1)]) {
        let mut flipped = bytes.to_vec();
        if let Some(byte) = flipped.get_mut(at) {
            *byte ^= 0x10;
        }
        damages.push((format!("{name} flipped at {at}"), Some(flipped)));
    }
    for part in [1, 4, 7] {
        let length = bytes.len() * part / 8;
        damages.push((format!("{name} cut at {length}"), Some(bytes[..length].to_vec())));
    }
    damages
}

/// Opens the directory with each damage; returns what was refused.
fn judge(dir: &Path) -> Vec<String> {
    let whole = content(dir);
    let mut refused = Vec::new();
    for (path, bytes) in &whole {
        for (what, damaged) in damages(path, bytes) {
            put_back(dir, &whole);
            match damaged {
                Some(bytes) => fs::write(path, bytes).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            let before = content(dir);
            match SledStore::open_or_create(dir) {
                Ok(store) => {
                    assert_eq!(store.head().revision, Revision(39), "{what}");
                    compare_log(&store, 10).unwrap();
                    let (state, _) = store.checkpoint().unwrap().unwrap();
                    assert_eq!(state.head.revision, Revision(20));
                    compare_checkpoint(&store, &state).unwrap();
                }
                Err(error) => {
                    assert!(content(dir) == before, "{what}: refused, not left alone: {error}");
                    let copy = dir.join("opening").display().to_string();
                    assert!(!error.to_string().contains(&copy), "{what}: {error}");
                    refused.push(what);
                }
            }
        }
    }
    // What was damaged is put right, and everything is there again.
    put_back(dir, &whole);
    let store = SledStore::open_or_create(dir).unwrap();
    compare_log(&store, 10).unwrap();
    grow(&store, 1);
    refused
}

/// Demands that these were refused, and flips in this file.
fn assert_refused(refused: &[String], whats: &[&str], flipped: &str) {
    for what in ["head gone", "db gone", "head emptied", "journal gone", "journal emptied"]
        .iter()
        .chain(whats)
    {
        assert!(refused.iter().any(|found| found == what), "{what} was not refused: {refused:?}");
    }
    let flipped = format!("{flipped} flipped");
    let flips = refused.iter().filter(|what| what.starts_with(&flipped)).count();
    assert!(flips >= 1, "{refused:?}");
}

#[test]
fn a_refused_start_leaves_every_byte_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    drop(filled(&data));
    // Opened once more: then the journal is empty.
    drop(SledStore::open(&data).unwrap());
    assert_refused(&judge(&data), &["db emptied"], "db");
}

#[test]
fn a_refused_start_after_kill_9_leaves_every_byte_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (data, killed) = (dir.path().join("store"), dir.path().join("killed"));
    let store = filled(&data);
    // What a process that dies now leaves behind: what it has written so far.
    let files = content(&data)
        .into_iter()
        .map(|(path, bytes)| (killed.join(path.strip_prefix(&data).unwrap()), bytes));
    let files = files.collect();
    fs::create_dir(&killed).unwrap();
    put_back(&killed, &files);
    drop(store);
    // The last commits are in the journal alone.
    assert_refused(&judge(&killed), &[], "journal");
}

#[test]
fn a_copy_that_was_cut_off_is_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    drop(filled(dir.path()));
    let left = dir.path().join("opening/log");
    fs::create_dir_all(&left).unwrap();
    fs::write(left.join("db"), "half").unwrap();
    let store = SledStore::open_or_create(dir.path()).unwrap();
    assert!(!dir.path().join("opening").exists());
    compare_log(&store, 10).unwrap();
    assert_eq!(state_at_head(&store, 0).head.revision, Revision(39));
}
