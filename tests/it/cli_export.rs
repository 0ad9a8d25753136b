//! `bailiwick export`: complete or no file, whatever the service does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use bailiwick::api::pb::v1 as pb;
use pb::read_tuples_response::Part;
use serde_json::Value;
use tonic::Status;

use crate::cli::{Served, assert_exit, bailiwick, run, stderr, stdout};
use crate::support::stand_in::{Scripts, StandIn};

fn listed(subject: &str) -> Result<pb::ReadTuplesResponse, Status> {
    let tuple = pb::Tuple {
        scope: "org:acme".to_owned(),
        role: "admin".to_owned(),
        subject: subject.to_owned(),
        ..pb::Tuple::default()
    };
    let part = Part::Tuple(pb::ReadTuple { tuple: Some(tuple), cursor: String::new() });
    Ok(pb::ReadTuplesResponse { part: Some(part) })
}

fn complete(count: u64) -> Result<pb::ReadTuplesResponse, Status> {
    let end = pb::ReadTuplesComplete { count, revision: 7, token: "t".to_owned() };
    Ok(pb::ReadTuplesResponse { part: Some(Part::Complete(end)) })
}

fn sending(read: Vec<Result<pb::ReadTuplesResponse, Status>>) -> StandIn {
    StandIn::start(Scripts { read, ..Scripts::default() })
}

fn export_to(stand_in: &StandIn, path: &Path) -> Output {
    run(&["export", "--endpoint", &stand_in.endpoint, "--out", path.to_str().unwrap()])
}

fn names(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_complete_list_becomes_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tuples.jsonl");
    let stand_in = sending(vec![listed("user:a"), listed("user:b"), complete(2)]);
    let output = export_to(&stand_in, &path);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "");
    let told = format!("2 tuples of revision 7 written to `{}`\n", path.display());
    assert_eq!(stderr(&output), told);
    let text = fs::read_to_string(&path).unwrap();
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["subject"], "user:a");
    assert_eq!((text.lines().count(), names(dir.path()).len()), (2, 1));

    // Replaced, with the rights that it had; through a link the file that it names.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let link = dir.path().join("link.csv");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert_exit(&export_to(&stand_in, &link), 0);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("scope,role,subject,source,"), "the name says the form: {text}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[test]
fn a_list_that_is_not_complete_is_an_error_and_no_file() {
    let cut = || Err(Status::unavailable("gone"));
    for (read, part) in [
        (vec![listed("user:a")], "without its end mark"),
        (vec![listed("user:a"), cut()], "the list is cut short after 1 tuple: UNAVAILABLE: gone"),
        (vec![listed("user:a"), complete(2)], "the service sent 1 tuples of 2"),
        (vec![Ok(pb::ReadTuplesResponse { part: None })], "does not know"),
        (vec![], "without its end mark"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tuples.jsonl");
        fs::write(&path, "the old one").unwrap();
        let stand_in = sending(read);
        let output = export_to(&stand_in, &path);
        assert_exit(&output, 1);
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&path).unwrap(), "the old one");
        assert_eq!(names(dir.path()), ["tuples.jsonl"], "a part was left behind");
        let piped = run(&["export", "--endpoint", &stand_in.endpoint]);
        assert_exit(&piped, 1);
    }
}

#[test]
fn what_is_no_file_is_not_replaced() {
    let stand_in = sending(vec![complete(0)]);
    let dir = tempfile::tempdir().unwrap();
    for path in [Path::new("/dev/null"), dir.path(), &dir.path().join("no/such/directory")] {
        let output = export_to(&stand_in, path);
        assert_exit(&output, 1);
        assert!(stderr(&output).contains("cannot write `"), "{}", stderr(&output));
    }
    assert!(Path::new("/dev/null").exists() && names(dir.path()).is_empty());
}

#[test]
fn a_reader_that_goes_away_early_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let stand_in = sending(vec![listed("user:a"), complete(1)]);
    let output = bailiwick(&["export", "--endpoint", &stand_in.endpoint])
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("cannot write the output"), "{output:?}");
}

#[test]
fn the_filter_is_that_of_read() {
    let served = Served::start("tests/models/everything");
    served.ok(&[
        "write",
        "--touch",
        "doc:d1#viewer@user:ana",
        "--touch",
        "doc:d1#editor@group:g#member",
        "--touch",
        "org:acme#admin@user:ana",
    ]);
    for (args, count) in [
        (&[][..], 3),
        (&["--scope", "doc:d1"], 2),
        (&["--scope-type", "doc"], 2),
        (&["--role", "admin"], 1),
        (&["--subject", "user:ana"], 2),
        (&["--subject-type", "group"], 1),
        (&["--source", "hr"], 0),
        (&["--scope", "doc:d1", "--subject-type", "user"], 1),
    ] {
        let exported = served.ok(&[&["export", "--quiet"], args].concat());
        assert_eq!(exported.lines().count(), count, "{args:?}: {exported}");
        let csv = served.ok(&[&["export", "--format", "csv"], args].concat());
        assert_eq!(csv.lines().count(), count + 1, "{args:?}: {csv}");
    }
    let wrong = served.run(&["export", "--role", "amdin"]);
    assert_exit(&wrong, 1);
    assert!(stderr(&wrong).contains("did you mean `admin`?"), "{wrong:?}");
}
