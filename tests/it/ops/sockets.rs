//! Unix sockets, and the settings of `serve`, with the built command.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;

use bailiwick::model::limits::{
    CONNECTIONS_SETTABLE, DRAIN_SECONDS_SETTABLE, IN_FLIGHT_REQUESTS_SETTABLE, REQUEST_SECONDS_MAX,
    REQUEST_SECONDS_SETTABLE, STALL_SECONDS_SETTABLE,
};
use tonic_health::pb::health_check_response::ServingStatus;

use super::operated::{Process, serve};

fn mode(path: &Path) -> u32 {
    let found = std::fs::symlink_metadata(path).unwrap();
    assert!(found.file_type().is_socket());
    found.permissions().mode() & 0o777
}

fn code_and_words(output: &std::process::Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[tokio::test]
async fn a_unix_socket_serves_its_owner_and_is_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (data, socket) = (dir.path().join("data"), dir.path().join("s.sock"));
    let place = format!("unix:{}", socket.display());
    let mut process = Process::start(&data, &["--listen", &place], &[]);
    assert_eq!(process.endpoint, place);
    assert_eq!(mode(&socket), 0o600);
    process.wait_until(ServingStatus::Serving).await;
    let write = process.ask(&["write", "--touch", "doc:d1#viewer@user:ana"]);
    assert_eq!(write.status.code(), Some(0), "{write:?}");
    let check = process.ask(&["check", "user:ana", "doc.view", "doc:d1"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let health = process.ask(&["health"]);
    assert_eq!((health.status.code(), health.stdout.as_slice()), (Some(0), &b"SERVING\n"[..]));

    // Somebody listens: a second service changes nothing.
    let other = serve(&dir.path().join("other"), &["--listen", &place], &[]).output().unwrap();
    let (code, words) = code_and_words(&other);
    assert!(code == Some(1) && words.contains("another process listens there"), "{words}");
    assert_eq!(process.ask(&["health", "liveness"]).status.code(), Some(0));

    process.signal("TERM");
    assert!(process.end().0.success());
    assert!(!socket.exists(), "the socket's file stays");
    let left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name == "data" || name == "other"), "{left:?}");
    let gone = process.ask(&["health"]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
}

#[tokio::test]
async fn a_socket_left_over_is_replaced_and_other_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (data, socket) = (dir.path().join("data"), dir.path().join("s.sock"));
    let place = format!("unix:{}", socket.display());
    let mut killed = Process::start(&data, &["--listen", &place], &[]);
    killed.signal("KILL");
    killed.end();
    assert!(socket.exists());
    let args = ["--listen", &place, "--socket-mode", "660"];
    let mut process = Process::start(&data, &args, &[]);
    process.wait_until(ServingStatus::Serving).await;
    assert_eq!(mode(&socket), 0o660);
    process.signal("TERM");
    assert!(process.end().0.success());

    std::fs::write(&socket, "somebody's notes").unwrap();
    let (code, words) = code_and_words(&serve(&data, &["--listen", &place], &[]).output().unwrap());
    assert!(code == Some(1) && words.contains("no socket"), "{words}");
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "somebody's notes");
}

#[tokio::test]
async fn a_socket_has_any_path_that_an_address_can_hold_and_no_longer_one() {
    /// Linux: 108 bytes, the last one 0.
    const MOST: usize = 107;
    let dir = tempfile::tempdir().unwrap();
    let place = |bytes: usize| {
        let name = "s".repeat(bytes - dir.path().as_os_str().len() - 1);
        format!("unix:{}", dir.path().join(name).display())
    };
    let data = dir.path().join("data");
    let mut process = Process::start(&data, &["--listen", &place(MOST)], &[]);
    process.wait_until(ServingStatus::Serving).await;
    process.signal("TERM");
    assert!(process.end().0.success());
    let output = serve(&data, &["--listen", &place(MOST + 1)], &[]).output().unwrap();
    let (code, words) = code_and_words(&output);
    assert!(code == Some(1) && words.contains("cannot listen on `unix:"), "{words}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

#[test]
fn what_cannot_be_had_is_said_once_and_before_anything_is_announced() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap().to_string();
    let args = ["--listen", "127.0.0.1:0", "--admin", &admin];
    let output = serve(dir.path(), &args, &[]).output().unwrap();
    let (code, words) = code_and_words(&output);
    assert!(code == Some(1) && words.contains(&admin), "{words}");
    assert!(output.stdout.is_empty(), "{output:?}");

    let args = ["--listen", "127.0.0.1:0", "--otlp-endpoint", "127.0.0.1:4317"];
    let (code, words) = code_and_words(&serve(dir.path(), &args, &[]).output().unwrap());
    assert!(code == Some(64) && words.contains("needs http://"), "{words}");
    assert!(!words.contains("feature"), "{words}");

    let missing = format!("unix:{}", dir.path().join("missing").display());
    let output = crate::cli::run(&["health", "--endpoint", &missing]);
    let (code, words) = code_and_words(&output);
    assert_eq!((code, words.matches("No such file").count()), (Some(1), 1), "{words}");
}

#[test]
fn settings_out_of_range_are_refused_by_name_value_and_range() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], environment: &[(&str, &str)]| {
        let args = [&["--listen", "127.0.0.1:0"], args].concat();
        let (code, words) =
            code_and_words(&serve(dir.path(), &args, environment).output().unwrap());
        assert_eq!(code, Some(64), "{args:?} {environment:?}: {words}");
        words
    };
    let deadlines = *REQUEST_SECONDS_SETTABLE.start()..=REQUEST_SECONDS_MAX;
    for (flag, range) in [
        ("in-flight-requests", IN_FLIGHT_REQUESTS_SETTABLE),
        ("connections", CONNECTIONS_SETTABLE),
        ("default-deadline-seconds", deadlines),
        ("max-deadline-seconds", REQUEST_SECONDS_SETTABLE),
        ("stream-stall-seconds", STALL_SECONDS_SETTABLE),
        ("unread-seconds", STALL_SECONDS_SETTABLE),
        ("drain-seconds", DRAIN_SECONDS_SETTABLE),
    ] {
        let value = (range.end() + 1).to_string();
        let (value, range) = (value.as_str(), format!("{} to {}", range.start(), range.end()));
        let variable = format!("BAILIWICK_{}", flag.replace('-', "_").to_uppercase());
        let by_flag = refused(&[&format!("--{flag}"), value], &[]);
        let by_variable = refused(&[], &[(&variable, value)]);
        assert_eq!(by_flag, by_variable);
        for part in [&format!("--{flag}"), &variable, &format!(": {value} "), &range] {
            assert!(by_flag.contains(part.as_str()), "{part} in {by_flag}");
        }
        assert!(refused(&[], &[(&variable, "many")]).contains("many"));
    }
    for (args, word) in [
        (&["--listen", "unix:"][..], "path of a socket"),
        (&["--listen", "localhost"], "IP:PORT or unix:PATH"),
        (&["--socket-mode", "999"], "octal"),
        (&["--socket-mode", "1777"], "octal"),
        (&["--insecure-admin"], "--admin"),
        (&["--admin", "0.0.0.0:0"], "--insecure-admin"),
    ] {
        let output = serve(dir.path(), args, &[]).output().unwrap();
        let (code, words) = code_and_words(&output);
        assert!(code == Some(64) && words.contains(word), "{args:?}: {words}");
    }
}
