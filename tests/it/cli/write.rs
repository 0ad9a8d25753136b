//! `bailiwick write`: the terms of a commit, and refusals in the words that were typed.

use serde_json::Value;

use super::{Served, assert_exit, stderr, stdout};

#[test]
fn a_write_is_made_on_the_terms_that_were_typed() {
    let served = Served::start("tests/models/everything");
    let create = |extra: &[&str]| {
        served.run(&[&["write", "--create", "doc:d1#viewer@user:ana"], extra].concat())
    };
    let dry = create(&["--dry-run", "--key", "k"]);
    assert_exit(&dry, 0);
    assert_eq!(stdout(&dry), "valid at revision 1; 1 of 1 changes would change something\n");
    let committed = "committed as revision 2; 1 of 1 changes changed something\ntoken ";
    let none_yet = ["--key", "k", "--must-not-match", "scope=doc:d1 role=viewer"];
    for _ in 0..2 {
        let written = create(&none_yet);
        assert_exit(&written, 0);
        assert!(stdout(&written).starts_with(committed), "{written:?}");
    }
    let reused = create(&["--key", "k"]);
    assert_exit(&reused, 1);
    assert!(stderr(&reused).contains("ALREADY_EXISTS IDEMPOTENCY_KEY_REUSED"), "{reused:?}");

    let filter = "subject=user:nobody";
    let failed = create(&["--must-match", "any", "--must-match", filter]);
    assert_exit(&failed, 1);
    let text = stderr(&failed);
    assert!(text.contains("FAILED_PRECONDITION PRECONDITION_FAILED: --must-match `"), "{text}");
    assert!(text.contains(&format!("--must-match `{filter}`: preconditions[1]")), "{text}");

    let idle = served.ok(&["write", "--delete", "doc:d9#viewer@user:ana"]);
    assert!(idle.starts_with("nothing to commit: there is nothing to remove\ntoken "), "{idle}");
    let idle = served.ok(&["write", "--delete", "doc:d9#viewer@user:ana", "--key", "idle"]);
    let nothing = "committed as revision 3; 0 of 1 changes changed something\n";
    assert!(idle.starts_with(nothing), "{idle}");
    served.ok(&["write", "--touch", "doc:d2#viewer@user:ana", "--expires-in", "90d"]);
    let read = served.json(&["read", "--scope", "doc:d2"]);
    assert!(read["tuples"][0]["expires_at"].is_string(), "{read}");
}

#[test]
fn an_end_in_the_past_is_said_and_the_token_serves_the_next_read() {
    let served = Served::start("tests/models/everything");
    let late = ["doc:d1#viewer@user:ana", "--expires-at", "2020-01-01T00:00:00Z"];
    let told = served.ok(&[&["write", "--touch"], &late[..]].concat());
    assert!(told.starts_with("nothing to commit: there is nothing to remove\nthe end has passed"));
    let stored = served.ok(&["write", "--touch", late[0]]);
    let token = stored.lines().last().unwrap().strip_prefix("token ").unwrap();
    let read = served.ok(&["read", "--subject", "user:ana", "--at-least", token]);
    assert_eq!(read, "doc:d1#viewer@user:ana\n");
    let told = served.ok(&[&["write", "--touch"], &late[..]].concat());
    assert!(told.starts_with("committed as revision 3; 1 of 1 changes changed something\nthe end"));
    assert_eq!(served.ok(&["read", "--subject", "user:ana"]), "");
    let deleted = served.ok(&[&["write", "--delete"], &late[..]].concat());
    assert!(!deleted.contains("the end has passed"), "{deleted}");
}

#[test]
fn a_refused_write_names_what_was_typed() {
    let served = Served::start("tests/models/everything");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("changes");
    std::fs::write(&file, "# two\ntouch doc:d1#viewer@user:ana\n\ntouch doc:d1#veiwer@user:eve\n")
        .unwrap();
    let file = file.to_str().unwrap();
    let refused = served.run(&["write", "--file", file, "--delete", "doc:d1#editor@user:eve"]);
    assert_exit(&refused, 1);
    let text = stderr(&refused);
    assert!(text.contains(&format!("UNKNOWN_ROLE: {file}:4: ")), "{text}");
    assert!(text.contains("did you mean `viewer`?"), "{text}");

    let typed = ["--touch", "doc:d1#viewer@user:a", "--delete", "doc:d1#viewer@usr:b"];
    let refused = served.run(&[&["write", "--output", "json"], &typed[..]].concat());
    assert_exit(&refused, 1);
    let error: Value = serde_json::from_str(&stderr(&refused)).unwrap();
    assert_eq!(error["error"]["metadata"]["input"], "--delete `doc:d1#viewer@usr:b`");
    assert_eq!(error["error"]["metadata"]["nearest"], "user");
    assert_eq!(served.ok(&["read"]), "");

    for args in [
        &["--touch", "doc:d1#viewer@user:a", "--must-match", "scope"][..],
        &["--touch", "doc:d1#viewer@user:a", "--must-not-match", ""],
        &["--touch", "doc:d1#viewer@user:a", "--key", ""],
        &["--touch", "doc:d1#viewer@user:a", "--expires-in", "soon"],
        &["--touch", "doc:d1#viewer@user:a", "--expires-in", "1d", "--key", "k"],
        &["--must-match", "any"],
    ] {
        assert_exit(&served.run(&[&["write"], args].concat()), 64);
    }
}

#[test]
fn a_write_without_an_answer_says_that_its_outcome_is_not_known() {
    // It takes connections and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = mute.local_addr().unwrap().to_string();
    let args = ["write", "--touch", "doc:d1#viewer@user:ana", "--timeout", "1"];
    let output = super::run(&[&args[..], &["--endpoint", &endpoint]].concat());
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("whether it was committed is not known"), "{output:?}");
    let dry = super::run(&[&args[..], &["--dry-run", "--endpoint", &endpoint]].concat());
    assert!(!stderr(&dry).contains("not known"), "{dry:?}");
}
