//! What `bailiwick serve` refuses to start with, and how it says so: exit code 1, the path, what is
//! wrong, what to do; and what was there before stays as it was. Also a disk that fills up while it
//! serves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bailiwick::api::pb::v1 as pb;
use bailiwick::store::sled::SledStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::tuple_service_client::TupleServiceClient;
use tonic::Code;

use crate::model::faults;
use crate::support::process::{Process, Started, repository, serve};
use crate::support::service::assert_refused;

fn everything() -> PathBuf {
    repository("tests/models/everything")
}

fn start(data: &Path) -> Started {
    Started::new(serve(&[], &everything(), data))
}

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

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// One commit of so many tuples.
fn commit(number: usize, tuples: usize) -> pb::WriteTuplesRequest {
    let tuple = |i| pb::Tuple {
        scope: format!("doc:{number}-{i}"),
        role: "viewer".into(),
        subject: "user:ana".into(),
        reason: "r".repeat(1_000),
        ..Default::default()
    };
    let change =
        |i| pb::TupleChange { operation: pb::Operation::Touch.into(), tuple: Some(tuple(i)) };
    pb::WriteTuplesRequest { changes: (0..tuples).map(change).collect(), ..Default::default() }
}

async fn is_viewer(process: &Process, number: usize) -> bool {
    let request = pb::CheckRequest {
        subject: "user:ana".into(),
        permission: "doc.view".into(),
        scope: format!("doc:{number}-0"),
        ..Default::default()
    };
    let mut client = AuthorizationServiceClient::new(process.channel().await);
    let answer = client.check(request).await.unwrap().into_inner();
    answer.decision() == pb::Decision::Allow
}

/// A closed store with some commits in it.
fn sample() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let process = start(&dir.path().join("store")).serving();
    block_on(async {
        let mut client = TupleServiceClient::new(process.channel().await);
        for number in 0..20 {
            client.write_tuples(commit(number, 10)).await.unwrap();
        }
    });
    let ended = process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    dir
}

/// Starts on a directory that must be refused with these words and left as it is.
#[track_caller]
fn assert_left_alone(data: &Path, words: &[&str]) {
    let before = content(data);
    let said = start(data).refused();
    let line = said.lines().last().unwrap_or_default();
    assert!(line.starts_with("error: "), "{said}");
    assert!(line.contains(data.to_str().unwrap()), "it does not name the directory: {said}");
    for word in words {
        assert!(line.contains(word), "no `{word}` in: {said}");
    }
    assert!(content(data) == before, "a refused start changed the directory");
}

#[test]
fn a_faulty_model_is_refused_with_every_problem() {
    let mut cases = 0;
    for (what, yaml, matrix, problems) in faults::directories() {
        let dir = tempfile::tempdir().unwrap();
        let (model, data) = (dir.path().join("model"), dir.path().join("data"));
        fs::create_dir(&model).unwrap();
        fs::write(model.join("model.yaml"), yaml).unwrap();
        fs::write(model.join("m.csv"), matrix).unwrap();
        let said = Started::new(serve(&[], &model, &data)).refused();
        let lines: Vec<_> =
            problems.lines().map(|line| format!("{}/{line}", model.display())).collect();
        let expected =
            format!("error: the model has problems: {}\n{}\n", lines.len(), lines.join("\n"));
        assert_eq!(said, expected, "{what}");
        assert!(!data.exists(), "{what}: the data directory was made");
        cases += 1;
    }
    assert!(cases >= 30, "only {cases} cases");
}

#[test]
fn what_is_no_model_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let refused = |model: &Path| Started::new(serve(&[], model, &path("data"))).refused();
    let said = refused(&path("none"));
    assert!(said.contains("cannot read `") && said.contains("none/model.yaml`: No such"), "{said}");
    fs::create_dir(path("empty")).unwrap();
    assert!(refused(&path("empty")).contains("empty/model.yaml`: No such"));
    fs::create_dir(path("bytes")).unwrap();
    fs::write(path("bytes/model.yaml"), b"model: \xff").unwrap();
    assert!(refused(&path("bytes")).contains("bytes/model.yaml` is not UTF-8 text"));
    assert!(refused(Path::new("/dev/null")).contains("/dev/null/model.yaml`: Not a directory"));
    assert!(!path("data").exists(), "the data directory was made");
}

#[test]
fn a_model_that_the_stored_tuples_do_not_fit_is_refused_and_the_old_one_serves() {
    let dir = sample();
    let process = Started::new(serve(&[], &repository("models/virta"), &dir.path().join("store")));
    let process = process.serving();
    assert!(block_on(is_viewer(&process, 19)), "virta has no documents: this is the old model");
    let ended = process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let refusal = ended.log.lines().find(|line| line.contains("the old one stays")).unwrap_or("");
    assert!(refusal.contains("200 stored tuples do not fit the model: `doc:"), "{}", ended.log);
}

#[test]
fn a_faulty_model_is_refused_and_the_one_in_the_store_serves() {
    let dir = sample();
    let model = dir.path().join("model");
    fs::create_dir(&model).unwrap();
    fs::write(model.join("model.yaml"), "model: m\ntypes: {}\nrols: []\n").unwrap();
    let process = Started::new(serve(&[], &model, &dir.path().join("store"))).serving();
    assert!(block_on(is_viewer(&process, 19)), "no type has documents: this is the old model");
    let ended = process.terminate();
    let problem = format!("{}/model.yaml:3:1: `rols` is no key of a model", model.display());
    assert!(ended.log.contains(&problem), "{}", ended.log);
    assert!(ended.log.contains("the model has problems; the old one stays"), "{}", ended.log);
}

#[test]
fn a_data_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let first = start(&data).serving();
    let said = start(&data).refused();
    assert!(said.contains("is in use by another process; stop that process, or choose"), "{said}");
    // The one that has it goes on.
    block_on(async {
        let mut client = TupleServiceClient::new(first.channel().await);
        client.write_tuples(commit(1, 1)).await.unwrap();
        assert!(is_viewer(&first, 1).await);
    });
    assert_eq!(first.terminate().code, Some(0));
    start(&data).serving();
}

#[test]
fn a_damaged_data_directory_is_refused_and_left_alone() {
    let sample = sample();
    let data = sample.path().join("store");
    // Opened once more: then the journal holds nothing that would make up for damage to the log.
    drop(SledStore::open(&data).unwrap());
    let (head, db) = (data.join("head"), data.join("log/db"));
    let (whole_head, whole_db) = (fs::read(&head).unwrap(), fs::read(&db).unwrap());

    // In places all over: the engine keeps older copies of some, and flips in those alone do no harm.
    let mut flipped = whole_db.clone();
    flipped.iter_mut().step_by(512).for_each(|byte| *byte ^= 1);
    for damaged in [&flipped[..], &whole_db[..whole_db.len() / 2]] {
        fs::write(&db, damaged).unwrap();
        assert_left_alone(&data, &["restore the directory from a backup"]);
    }
    fs::write(&db, &whole_db).unwrap();

    fs::write(&head, &whole_head[..100]).unwrap();
    assert_left_alone(&data, &["restore the directory from a backup"]);
    fs::remove_file(&head).unwrap();
    assert_left_alone(&data, &["it holds data and no file `head`", "restore the directory"]);

    // Another format in both slots, each with its checksum.
    let mut newer = whole_head.clone();
    for slot in [0, 4_096] {
        newer[slot + 11] = 5;
        let sum = crc32fast::hash(&newer[slot..slot + 508]);
        newer[slot + 508..slot + 512].copy_from_slice(&sum.to_be_bytes());
    }
    fs::write(&head, newer).unwrap();
    assert_left_alone(&data, &["format 5, this program reads up to 4; run the version"]);

    fs::write(&head, &whole_head).unwrap();
    let process = start(&data).serving();
    assert!(block_on(is_viewer(&process, 19)), "with everything put back it is whole");
}

#[test]
fn what_is_no_data_directory_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("letters");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter.txt"), "dear").unwrap();
    assert_left_alone(
        &other,
        &["it is no store, and holds `letter.txt`; choose an empty directory"],
    );
    let said = start(&other.join("letter.txt")).refused();
    assert!(said.contains("letter.txt"), "{said}");
    assert_eq!(fs::read(other.join("letter.txt")).unwrap(), b"dear");
    let said = start(&other.join("letter.txt/below")).refused();
    assert!(said.contains("cannot create `") && said.contains("letter.txt"), "{said}");
}

/// The words that run a program for which read-only files are read-only: root may write them too.
/// Nothing if this process is bound by permissions itself; `None` if they cannot be had.
fn bound_by_permissions() -> Option<&'static [&'static str]> {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(dir.path().join("probe"), "").is_err() {
        return Some(&[]);
    }
    let runner = &["setpriv", "--bounding-set", "-dac_override,-dac_read_search"][..];
    let probe = dir.path().join("other");
    let tried = Command::new(runner[0]).args(&runner[1..]).arg("touch").arg(probe).output();
    // It ran, and touch was refused.
    let refused = |output: &std::process::Output| {
        String::from_utf8_lossy(&output.stderr).contains("Permission denied")
    };
    tried.ok().filter(refused).map(|_| runner)
}

#[test]
fn a_read_only_data_directory_is_refused() {
    let Some(runner) = bound_by_permissions() else {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "this is root without setpriv, and CI must test read-only directories");
        return;
    };
    let sample = sample();
    let data = sample.path().join("store");
    let refused = |data: &Path| Started::new(serve(runner, &everything(), data)).refused();
    let check_permissions = "check the disk, its free space and its permissions";
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    // The whole tree, as of a volume that is mounted so.
    let (before, log) = (content(&data), data.join("log"));
    for path in before.keys() {
        mode(path, 0o444).unwrap();
    }
    mode(&data, 0o555).unwrap();
    mode(&log, 0o555).unwrap();
    let said = refused(&data);
    assert!(said.contains("Permission denied") && said.contains(check_permissions), "{said}");
    assert!(said.contains(data.to_str().unwrap()), "{said}");
    // The files of the engine alone.
    mode(&data, 0o755).unwrap();
    mode(&data.join("head"), 0o644).unwrap();
    let said = refused(&data);
    assert!(said.contains("log/db") && said.contains(check_permissions), "{said}");
    // A new store where none can be made.
    mode(&data, 0o555).unwrap();
    let said = refused(&data.join("new"));
    assert!(said.contains("cannot create `") && said.contains(check_permissions), "{said}");
    assert!(content(&data) == before, "a refused start changed the directory");
    for path in before.keys() {
        mode(path, 0o644).unwrap();
    }
    mode(&data, 0o755).unwrap();
    mode(&log, 0o755).unwrap();
    let process = Started::new(serve(runner, &everything(), &data)).serving();
    assert!(block_on(is_viewer(&process, 19)), "with the permissions back it serves");
}

/// Runs a program whose files cannot grow beyond so many blocks of 512 bytes: writing past that fails
/// as on a full disk.
fn on_a_small_disk(blocks: u32) -> Vec<String> {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    ["sh", "-c", &script, "sh"].map(str::to_owned).into()
}

#[test]
fn a_disk_that_fills_up_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let runner = on_a_small_disk(2_048);
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    let process = Started::new(serve(&runner, &everything(), &data)).serving();
    let acknowledged = block_on(async {
        let mut client = TupleServiceClient::new(process.channel().await);
        let mut number = 0;
        let full = loop {
            match client.write_tuples(commit(number, 40)).await {
                Ok(_) => number += 1,
                Err(status) => break status,
            }
            assert!(number < 100, "4 MiB went into 1 MiB");
        };
        assert_refused(&full, Code::Unavailable, "OUTCOME_UNKNOWN", "");
        assert!(!full.message().contains("log"), "the caller is told of paths: {full:?}");
        let next = client.write_tuples(commit(1_000, 1)).await.unwrap_err();
        assert_refused(&next, Code::Unavailable, "STORE_UNAVAILABLE", "");
        // What was acknowledged is answered, what was not is not.
        assert!(is_viewer(&process, number - 1).await && !is_viewer(&process, number).await);
        number
    });
    assert!(acknowledged > 5, "{acknowledged}");
    let ended = process.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("the store failed; nothing more is written"), "{}", ended.log);
    assert!(ended.log.contains("File too large"), "{}", ended.log);
    // With room again, everything acknowledged is there, and nothing that was refused.
    let process = start(&data).serving();
    block_on(async {
        for number in 0..acknowledged {
            assert!(is_viewer(&process, number).await, "commit {number} is gone");
        }
        assert!(!is_viewer(&process, 1_000).await, "a refused commit came back");
        let mut client = TupleServiceClient::new(process.channel().await);
        client.write_tuples(commit(2_000, 40)).await.unwrap();
    });
}

#[test]
fn a_disk_without_room_for_a_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("store");
    let runner = on_a_small_disk(1);
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    let said = Started::new(serve(&runner, &everything(), &data)).refused();
    assert!(said.contains("check the disk, its free space and its permissions"), "{said}");
    assert!(said.contains(data.to_str().unwrap()), "{said}");
    start(&data).serving();
}
