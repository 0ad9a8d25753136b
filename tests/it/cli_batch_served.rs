//! `bailiwick batch` and the real service: all chunks stand at one revision, whatever is written
//! meanwhile.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::cli::{Served, bailiwick};

#[test]
fn later_chunks_do_not_see_what_was_written_since_the_first() {
    let served = Served::start("tests/models/everything");
    served.ok(&["write", "--touch", "doc:d1#viewer@user:ana"]);
    let mut child = bailiwick(&["batch", "--chunk", "2", "--endpoint", &served.endpoint])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    stdin.write_all("user:ana doc.view doc:d1\n".repeat(2).as_bytes()).unwrap();
    stdin.flush().unwrap();
    assert_eq!(lines.by_ref().take(3).filter(|line| line.starts_with("ALLOW")).count(), 2);
    served.ok(&["write", "--delete", "doc:d1#viewer@user:ana"]);
    stdin.write_all("user:ana doc.view doc:d1\n".repeat(3).as_bytes()).unwrap();
    drop(stdin);
    let rest: Vec<_> = lines.collect();
    assert_eq!(rest.iter().filter(|line| line.starts_with("ALLOW")).count(), 3, "{rest:?}");
    assert!(child.wait().unwrap().success());
}
