//! The built command: exit codes, what it prints for people and for programs, and the demo.

mod roles;
mod write;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use bailiwick::model::limits::CLIENT_TIMEOUT_SECONDS_MAX;
use serde_json::Value;

pub(crate) fn bailiwick(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.args(args).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    bailiwick(args).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
pub(crate) fn assert_exit(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "stdout: {}\nstderr: {}",
        stdout(output),
        stderr(output)
    );
}

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `bailiwick serve`, ended when dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) endpoint: String,
    data: tempfile::TempDir,
}

impl Served {
    pub(crate) fn start(model: &str) -> Self {
        Self::start_in(model, tempfile::tempdir().unwrap())
    }

    fn start_in(model: &str, data: tempfile::TempDir) -> Self {
        let model = repository(model);
        let mut child = bailiwick(&["serve", "--listen", "127.0.0.1:0"])
            .arg("--model")
            .arg(model)
            .arg("--data")
            .arg(data.path().join("store"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        let endpoint = format!("http://{address}");
        let served = Self { child, endpoint, data };
        served.wait_until_ready();
        served
    }

    /// The log line of a service that serves is the sign that recovery has ended.
    fn wait_until_ready(&self) {
        loop {
            let output =
                self.run(&["check", "user:ana", "org.view", "org:acme", "--output", "json"]);
            if !stderr(&output).contains("NOT_READY") {
                return;
            }
        }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        bailiwick(args).args(["--endpoint", &self.endpoint]).output().unwrap()
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_exit(&output, 0);
        stdout(&output)
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&stdout(&output)).unwrap()
    }

    /// Ends it as an operator does, and hands back its log and its data.
    fn terminate(mut self) -> (String, tempfile::TempDir) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut log = String::new();
        std::io::Read::read_to_string(self.child.stderr.as_mut().unwrap(), &mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        let data = std::mem::replace(&mut self.data, tempfile::tempdir().unwrap());
        (log, data)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_served_model_is_asked_and_written_with_the_command() {
    let served = Served::start("tests/models/everything");
    let written = served.ok(&[
        "write",
        "--create",
        "doc:d1#viewer@user:ana",
        "--touch",
        "doc:d1#editor@user:eve",
        "--source",
        "hr",
        "--expires-at",
        "2999-01-01T00:00:00Z",
    ]);
    let committed = "committed as revision 2; 2 of 2 changes changed something\ntoken ";
    assert!(written.starts_with(committed), "{written}");

    let allowed = served.run(&["check", "user:ana", "doc.view", "doc:d1", "--with-grant"]);
    assert_exit(&allowed, 0);
    let text = stdout(&allowed);
    assert!(text.starts_with("ALLOW GRANTED at revision 2\n"), "{text}");
    assert!(text.contains("doc:d1#viewer@user:ana  source=hr"), "{text}");
    let denied = served.run(&["check", "user:bob", "doc.view", "doc:d1"]);
    assert_exit(&denied, 2);
    assert_eq!(stdout(&denied), "DENY NOT_GRANTED at revision 2\n");
    let unknown = served.run(&["check", "user:ana", "doc.veiw", "doc:d1"]);
    assert_exit(&unknown, 1);
    assert!(stderr(&unknown).contains("INVALID_ARGUMENT UNKNOWN_PERMISSION: "), "{unknown:?}");
    assert!(stderr(&unknown).contains("`doc.view`"), "{unknown:?}");
    assert!(stdout(&unknown).is_empty());

    let missing = served.run(&["check", "user:ana", "doc.export", "doc:d1"]);
    assert_exit(&missing, 2);
    assert!(stdout(&missing).contains("missing: "), "{missing:?}");
    served.ok(&["check", "user:ana", "doc.export", "doc:d1", "--context", "network=office"]);
    let json = r#"{"network": "office"}"#;
    served.ok(&["check", "user:ana", "doc.export", "doc:d1", "--context", json]);

    let again = served.run(&["write", "--create", "doc:d1#viewer@user:ana", "--source", "hr"]);
    assert_exit(&again, 1);
    assert!(stderr(&again).contains("ALREADY_EXISTS TUPLE_EXISTS"), "{again:?}");
    assert_eq!(served.ok(&["list-subjects", "doc.view", "doc:d1"]), "user:ana\nuser:eve\n");
    let brought = ["--with-tuple", "group:g#member@user:bob"];
    let group = ["--with-tuple", "doc:d1#viewer@group:g#member"];
    let bob = ["check", "user:bob", "doc.view", "doc:d1"];
    assert_exit(&served.run(&[&bob[..], &brought].concat()), 2);
    served.ok(&[&bob[..], &brought, &group].concat());
    let listed =
        served.ok(&[&["list-subjects", "doc.view", "doc:d1"][..], &brought, &group].concat());
    assert_eq!(listed, "user:ana\nuser:bob\nuser:eve\n");
    assert_exit(&served.run(&bob), 2);
    assert_eq!(served.ok(&["read", "--role", "viewer"]).lines().count(), 1);
}

#[test]
fn programs_read_json() {
    let served = Served::start("tests/models/everything");
    let lines = "# who\ntouch doc:d1#viewer@user:ana\n\ntouch doc:d1#editor@user:eve\n";
    let mut child = bailiwick(&["write", "--file", "-", "--output", "json"])
        .args(["--endpoint", &served.endpoint])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 0);
    let written: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(written["revision"], 2);

    let answer = served.json(&["check", "user:ana", "doc.view", "doc:d1", "--with-grant"]);
    assert_eq!((&answer["decision"], &answer["reason"]), (&"ALLOW".into(), &"GRANTED".into()));
    assert_eq!(answer["grant"]["tuple"]["subject"], "user:ana");
    assert_eq!(answer["token"], written["token"]);
    let listed = served.json(&["list-subjects", "doc.view", "doc:d1"]);
    assert_eq!(listed["subjects"], serde_json::json!(["user:ana", "user:eve"]));
    let read = served.json(&["read", "--subject", "user:ana"]);
    let tuple = serde_json::json!({ "scope": "doc:d1", "role": "viewer", "subject": "user:ana" });
    assert_eq!(read["tuples"], serde_json::json!([tuple]));

    let refused = served.run(&["check", "user:ana", "doc.veiw", "doc:d1", "--output", "json"]);
    assert_exit(&refused, 1);
    let error: Value = serde_json::from_str(&stderr(&refused)).unwrap();
    assert_eq!(error["error"]["code"], "INVALID_ARGUMENT");
    assert_eq!(error["error"]["reason"], "UNKNOWN_PERMISSION");
    assert_eq!(error["error"]["metadata"]["nearest"], "doc.view");
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let served = Served::start("tests/models/everything");
    served.ok(&["write", "--touch", "doc:d1#viewer@user:ana"]);
    let (log, data) = served.terminate();
    assert!(log.contains("serving") && log.contains("model=\"everything\""), "{log}");
    assert!(log.contains("stopped"), "{log}");
    let served = Served::start_in("tests/models/everything", data);
    assert_eq!(served.ok(&["read"]), "doc:d1#viewer@user:ana\n");
    served.ok(&["check", "user:ana", "doc.view", "doc:d1"]);
}

#[test]
fn wrong_usage_is_64_and_never_a_denial() {
    let model = repository("models/virta");
    let model = model.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let too_long = (CLIENT_TIMEOUT_SECONDS_MAX + 1).to_string();
    for args in [
        &[][..],
        &["nonsense"],
        &["check", "user:ana"],
        &["check", "user:ana", "doc.view", "doc:d1", "--context", "hour"],
        &["check", "user:ana", "doc.view", "doc:d1", "--output", "xml"],
        &["check", "user:ana", "doc.view", "doc:d1", "--with-tuple", "doc:d1"],
        &["check", "user:ana", "doc.view", "doc:d1", "--endpoint", "http://[half"],
        &["check", "user:ana", "doc.view", "doc:d1", "--context", "{\"a\":1,\"a\":2}"],
        &["check", "user:ana", "doc.view", "doc:d1", "--timeout", "0"],
        &["check", "user:ana", "doc.view", "doc:d1", "--timeout", &too_long],
        &["write"],
        &["write", "--create", "doc:d1"],
        &["write", "--touch", "doc:d1#viewer@user:ana", "--expires-at", "tomorrow"],
        &["serve", "--model", model, "--data", dir, "--listen", "everywhere"],
        &["serve", "--model", model, "--data", dir, "--listen", "0.0.0.0:0"],
        &["model", "matrix", model, "--format", "pdf"],
        &["model", "import-matrix", "-"],
        &["model", "import-matrix", "-", "--into", dir, "--at", "no type"],
        &["read", "--scope", ""],
        &["export", "--subject-type", ""],
        &["export", "--format", "text"],
        &["import", "--create", "--delete"],
        &["import", "--chunk", "10001"],
        &["batch", "--chunk", "0"],
        &["batch", "--context", "hour"],
        &["check", "a", "b", "c", "--color", "blue"],
        &["completions", "cmd"],
        &["model", "schema", "roles"],
    ] {
        let output = run(args);
        assert_exit(&output, 64);
        assert!(!stderr(&output).is_empty(), "{args:?} says nothing");
    }
}

#[test]
fn an_empty_variable_is_none() {
    let mut empty = bailiwick(&["serve", "--help"]);
    let help = stdout(&empty.output().unwrap());
    let variables: Vec<&str> =
        help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next()).collect();
    assert!(variables.len() >= 8, "{variables:?}");
    let dir = tempfile::tempdir().unwrap();
    let (model, data) = (repository("models/virta"), dir.path().join("data"));
    let args = ["serve", "--model", model.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let serve = |value: &str| {
        // It ends where it would listen: other hosts could connect.
        let mut command = bailiwick(&[&args[..], &["--listen", "0.0.0.0:0"]].concat());
        command.envs(variables.iter().map(|name| (*name, value)));
        stderr(&command.output().unwrap())
    };
    let said = serve("");
    assert!(said.contains("--insecure-listen"), "{said}");
    assert!(!serve("x").contains("--insecure-listen"));
}

#[test]
fn a_service_that_is_not_there_is_an_error() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = run(&["check", "user:ana", "doc.view", "doc:d1", "--endpoint", &endpoint]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("cannot connect"), "{output:?}");
}

#[test]
fn every_command_has_an_example_in_its_help() {
    for command in [
        &["serve"][..],
        &["demo"],
        &["check"],
        &["batch"],
        &["list-subjects"],
        &["list-roles"],
        &["write"],
        &["read"],
        &["health"],
        &["import"],
        &["export"],
        &["model", "check"],
        &["model", "test"],
        &["model", "matrix"],
        &["model", "import-matrix"],
        &["model", "schema"],
        &["completions"],
        &["man"],
        &["model", "show"],
    ] {
        let output = run(&[command, &["--help"]].concat());
        assert_exit(&output, 0);
        let help = stdout(&output);
        let example = help.split("Example:\n").nth(1).unwrap_or_else(|| panic!("{help}"));
        let example = example.split("\n\n").next().unwrap();
        assert!(example.contains(&format!("bailiwick {}", command.join(" "))), "{help}");
    }
    assert_exit(&run(&["--version"]), 0);
}

const FAULTY: &str = r#"model: faulty
types:
  user: {}
  org: { parents: [orgg] }
roles:
  - { at: [org], names: [admin] }
permissions:
  org.view: { at: [org], is: adminn }
"#;

const SMALL: &str = r#"model: m
types:
  user: {}
  org: {}
roles:
  - { at: [org], names: [admin] }
permissions:
  org.view: { at: [org], is: admin }
"#;

const SCENARIOS: &str = r#"scenarios:
  - name: one
    tuples:
      - org:a#admin@user:ana
    questions:
      - { expect: allow, ask: "user:ana org.view org:a" }
      - { expect: allow, ask: "user:bob org.view org:a" }
      - { expect: invalid, ask: "user:bob org.veiw org:a" }
    refused:
      - org:a#owner@user:ana
      - org:a#admin@user:bob
"#;

const TWO_MATRICES: &str = r#"model: m
types:
  user: {}
  org: {}
roles:
  - { at: [org], names: [admin] }
matrices:
  - { name: first, file: a.csv, at: [org], bound: org }
  - { name: second, file: b.csv, at: [org], bound: org }
"#;

fn model_dir(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

#[test]
fn model_check_finds_every_problem_with_its_place() {
    let dir = model_dir(&[("model.yaml", FAULTY)]);
    let output = run(&["model", "check", dir.path().to_str().unwrap()]);
    assert_exit(&output, 1);
    let text = stdout(&output);
    assert!(text.contains("model.yaml:4:") && text.contains("`orgg`"), "{text}");
    assert!(text.contains("model.yaml:8:") && text.contains("`adminn`"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("problems: "), "{text}");

    assert_exit(&run(&["model", "check", "no/such/directory"]), 1);
    let platforms = ["powerhub", "energyhub", "chargeplatform", "zaptec", "virta"];
    let models = platforms.map(|name| format!("models/{name}"));
    for model in models.iter().map(String::as_str).chain(["tests/models/everything"]) {
        assert_exit(&run(&["model", "check", repository(model).to_str().unwrap()]), 0);
    }
}

#[test]
fn model_test_runs_the_scenarios_and_says_where_one_fails() {
    for model in ["models/energyhub", "models/virta", "tests/models/everything"] {
        let output = run(&["model", "test", repository(model).to_str().unwrap()]);
        assert_exit(&output, 0);
        let text = stdout(&output);
        assert!(text.lines().last().unwrap().ends_with(" passed, 0 failed"), "{text}");
    }
    let dir = model_dir(&[("model.yaml", SMALL), ("tests.yaml", SCENARIOS)]);
    let output = run(&["model", "test", dir.path().to_str().unwrap()]);
    assert_exit(&output, 1);
    let text = stdout(&output);
    assert!(text.contains("tests.yaml:7:") && text.contains("is deny NOT_GRANTED"), "{text}");
    assert!(text.contains("tests.yaml:11:") && text.contains("must be refused"), "{text}");
    assert_eq!(text.lines().last(), Some("3 passed, 2 failed"), "{text}");
}

#[test]
fn model_matrix_prints_the_document() {
    let virta = repository("models/virta");
    let virta = virta.to_str().unwrap();
    let csv = run(&["model", "matrix", virta, "roles"]);
    assert_exit(&csv, 0);
    let csv = stdout(&csv);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    assert_eq!(header.get(0), Some("permission"));
    assert!(header.iter().any(|role| role == "technician"), "{header:?}");
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let source = std::fs::read_to_string(repository("models/virta/permissions.csv")).unwrap();
    assert_eq!(rows.len(), source.lines().count() - 1);
    let cells = rows.iter().flat_map(|row| row.iter().skip(1));
    assert!(cells.clone().all(|c| c == "yes" || c == "no" || c.starts_with("if ")), "{csv}");
    assert!(cells.clone().any(|cell| cell == "no") && cells.clone().any(|c| c.starts_with("if ")));

    let markdown = run(&["model", "matrix", virta, "roles", "--format", "markdown"]);
    assert_exit(&markdown, 0);
    assert!(stdout(&markdown).starts_with("| permission |"), "{}", stdout(&markdown));
    let wrong = run(&["model", "matrix", virta, "rolls"]);
    assert_exit(&wrong, 1);
    assert!(stderr(&wrong).contains("did you mean `roles`?"), "{wrong:?}");

    let dir = model_dir(&[
        ("model.yaml", TWO_MATRICES),
        ("a.csv", "permission,admin\norg.a,x\n"),
        ("b.csv", "permission,admin\norg.b,x\n"),
    ]);
    let dir = dir.path().to_str().unwrap();
    let several = run(&["model", "matrix", dir]);
    assert_exit(&several, 1);
    assert!(stderr(&several).contains("first, second"), "{several:?}");
    assert_eq!(stdout(&run(&["model", "matrix", dir, "second"])), "permission,admin\norg.b,yes\n");
}

#[test]
fn the_demo_decides_and_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let output = bailiwick(&["demo", "--once"]).env("TMPDIR", temp.path()).output().unwrap();
    assert_exit(&output, 0);
    let text = stdout(&output);
    let decided = |word| text.lines().filter(|line| line.contains(word)).count();
    let (allowed, denied) = (decided("  ALLOW  "), decided("  DENY  "));
    assert!(allowed + denied >= 12 && allowed >= 4 && denied >= 4, "{text}");
    for word in
        ["Energy Hub", "Virta", "NOT_APPLICABLE", "UNKNOWN_PERMISSION", "grpcurl -plaintext"]
    {
        assert!(text.contains(word), "no {word} in {text}");
    }
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "the demo left something");
}

#[test]
fn the_demo_stays_up_until_it_is_told_to_stop() {
    let temp = tempfile::tempdir().unwrap();
    let mut child =
        bailiwick(&["demo"]).env("TMPDIR", temp.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let pasted = lines.by_ref().find(|line| line.starts_with("bailiwick check ")).unwrap();
    assert!(lines.any(|line| line == "serving until ctrl-c"));
    let words: Vec<_> = pasted.split(' ').skip(1).collect();
    let output = run(&words);
    assert_exit(&output, 0);
    assert!(stdout(&output).contains("granted by the role"), "{output:?}");
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "the demo left something");
}

#[test]
fn an_endpoint_that_needs_tls_is_wrong_usage() {
    for endpoint in ["https://127.0.0.1:1", "ftp://127.0.0.1:1"] {
        let output = run(&["check", "user:a", "x", "org:a", "--endpoint", endpoint]);
        assert_exit(&output, 64);
        assert!(stderr(&output).contains("there is no TLS yet"), "{}", stderr(&output));
    }
}

#[test]
fn a_model_whose_scenarios_ask_nothing_does_not_pass() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.yaml"), "model: m\ntypes: { user: {} }\n").unwrap();
    for tests in ["", "scenarios: []\n", "scenarios: [ { name: idle } ]\n"] {
        std::fs::write(dir.path().join("tests.yaml"), tests).unwrap();
        let output = run(&["model", "test", dir.path().to_str().unwrap()]);
        assert_exit(&output, 1);
        assert!(stderr(&output).contains("no scenario that asks anything"), "{tests}");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let model = repository("models/energyhub");
    for command in ["check", "test"] {
        let mut command = bailiwick(&["model", command, model.to_str().unwrap()]);
        assert_exit(&command.stdout(full()).output().unwrap(), 1);
    }
}
