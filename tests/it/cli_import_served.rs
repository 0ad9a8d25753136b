//! `bailiwick import` and the real service: what is exported comes back exactly, an import can be
//! repeated, and nothing is written by a dry run.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::cli::{Served, assert_exit, bailiwick, stderr, stdout};
use crate::cli_examples::Demo;
use crate::cli_import::import;

/// A model that admits tuples with every kind of value.
const MODEL: &str = r#"model: odd
types: { user: {}, group: {}, org: {}, doc: { parents: [org] } }
conditions:
  odd:
    parameters: { i: int, u: uint, d: double, s: string, b: bool, l: "list<double>", m: map, t: timestamp }
    when: "b"
  never: { parameters: {}, when: "1 > 2" }
roles:
  - { at: [group], names: [member], bound_by: [user, "group#member"] }
  - at: [doc, org]
    names: [viewer]
    bound_by: [user, "user:*", "group#member"]
    conditions: [odd, never]
permissions: { doc.view: { at: [doc], is: viewer } }
"#;

fn served(dir: &Path) -> Served {
    let model = dir.join("model");
    std::fs::create_dir_all(&model).unwrap();
    std::fs::write(model.join("model.yaml"), MODEL).unwrap();
    Served::start(model.to_str().unwrap())
}

fn odd_tuples() -> String {
    let tuple = |subject: &str, more: Value| {
        let mut tuple = json!({ "scope": "doc:d1", "role": "viewer", "subject": subject });
        tuple.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("{tuple}\n")
    };
    let numbers = json!({
        "i": -9_007_199_254_740_991_i64, "u": "18446744073709551615", "d": 0.1, "b": true,
        "s": "a,\"b\";\u{7f}\n\té\u{1f511}", "l": [1e300, -5e-324, 0.30000000000000004, 2, -0.0],
        "m": { "": "", "k\"": "v,", "\u{0}": "\\" }, "t": "2027-01-01T00:00:00Z",
    });
    [
        tuple("user:plain", json!({})),
        tuple("user:*", json!({ "reason": "\"for all\", it says; 'so' = =1+1" })),
        tuple(
            "group:größe/a:b@c#member",
            json!({ "source": "hr.eu-1", "grantor": " user:a , x " }),
        ),
        tuple("user:plain", json!({ "source": "hr", "expires_at": "2999-12-31T23:59:59.999999Z" })),
        tuple("user:,\"q\"", json!({ "condition": { "name": "odd", "context": numbers } })),
        tuple("user:bare", json!({ "condition": { "name": "never", "context": {} } })),
    ]
    .concat()
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_is_exported_is_imported_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let first = served(dir.path());
    let output = import(&first.endpoint, &["--output", "json"], &odd_tuples());
    assert_exit(&output, 0);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&report["tuples"], &report["changed"], &report["commits"]),
        (&6.into(), &6.into(), &1.into())
    );
    let exported = first.ok(&["export"]);
    assert_eq!(exported.lines().count(), 6);
    for part in ["2999-12-31T23:59:59.999999Z", "5e-324", "0.30000000000000004", "hr.eu-1"] {
        assert!(exported.contains(part), "no {part} in {exported}");
    }
    for format in ["jsonl", "csv"] {
        let file = dir.path().join(format!("tuples.{format}"));
        let file = file.to_str().unwrap();
        first.ok(&["export", "--out", file]);
        let second = served(dir.path());
        second.ok(&["import", file]);
        assert_eq!(sorted(&second.ok(&["export"])), sorted(&exported), "{format}");
        // And once more changes nothing.
        second.ok(&["import", file]);
        assert_eq!(sorted(&second.ok(&["export"])), sorted(&exported), "{format}");
        let deleted = second.ok(&["import", file, "--delete"]);
        assert!(deleted.starts_with("6 of 6 tuples deleted in 1 commit"), "{deleted}");
        assert_eq!(second.ok(&["export"]), "");
    }
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|at| format!("doc:d1#viewer@user:u{at}\n")).collect()
}

fn text(endpoint: &str, args: &[&str], input: &str) -> Output {
    import(endpoint, &[&["--format", "text"], args].concat(), input)
}

#[test]
fn an_import_that_stopped_is_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    for operation in [&["--create", "--chunk", "10"][..], &["--chunk", "10"]] {
        let faulty = lines(0..24) + "doc:d1#viewr@user:u24\n" + &lines(25..40);
        let output = text(&served.endpoint, operation, &faulty);
        assert_exit(&output, 1);
        let told = stderr(&output);
        assert!(told.starts_with("error: line 25: INVALID_ARGUMENT "), "{told}");
        assert!(told.contains("in: lines 1 to 20 (") && told.contains("--from-line 21"), "{told}");
        // The chunk after the refused one may have been under way.
        let is_in = told.contains("; in, too: lines 31 to 40; ");
        let count = if is_in { 30 } else { 20 };
        assert_eq!(served.ok(&["export"]).lines().count(), count, "{told}");
        let output = text(&served.endpoint, operation, &lines(0..40));
        assert_exit(&output, 0);
        let earlier = "20 of 40 tuples created in 2 commits, ";
        let known = "20 had been created by an earlier run of this command";
        let told = stdout(&output);
        let is_create = operation.contains(&"--create");
        assert_eq!(told.contains(earlier) && told.contains(known), is_create, "{told}");
        assert_eq!(served.ok(&["export"]).lines().count(), 40);
        assert_exit(&text(&served.endpoint, &["--delete"], &lines(0..40)), 0);
    }
}

#[test]
fn from_the_line_that_is_named_an_import_goes_on_whatever_was_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    let csv = |reason: &str, role: &str| -> String {
        let row = |at: usize| match at {
            13 => format!("doc:d1,{role},user:u{at},{reason}\n"),
            _ => format!("doc:d1,viewer,user:u{at},{reason}\n"),
        };
        format!("scope,role,subject,reason\n{}", (0..30).map(row).collect::<String>())
    };
    let args = ["--format", "csv", "--chunk", "10"];
    let output = import(&served.endpoint, &args, &csv("first", "viewr"));
    assert_exit(&output, 1);
    let told = stderr(&output);
    assert!(told.starts_with("error: line 15: ") && told.contains("--from-line 12\n"), "{told}");
    let goes_on = [&args[..], &["--from-line", "12"]].concat();
    assert_exit(&import(&served.endpoint, &goes_on, &csv("second", "viewer")), 0);
    let read = served.ok(&["read", "--scope", "doc:d1"]);
    let reason = |at: usize| if at < 10 { "first" } else { "second" };
    let row = |at: usize| format!("doc:d1#viewer@user:u{at}  reason=\"{}\"", reason(at));
    let mut expected: Vec<_> = (0..30).map(row).collect();
    expected.sort_unstable();
    assert_eq!(sorted(&read), expected);
}

#[test]
fn what_was_created_once_and_is_gone_is_not_told_to_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    let create = ["--create", "--chunk", "10"];
    assert_exit(&text(&served.endpoint, &create, &lines(0..20)), 0);
    assert_exit(&text(&served.endpoint, &["--delete"], &lines(5..8)), 0);
    let output = text(&served.endpoint, &create, &lines(0..20));
    assert_exit(&output, 1);
    let told = stdout(&output);
    assert!(told.contains("20 had been created by an earlier run"), "{told}");
    assert!(told.contains("3 of them have been removed or changed since"), "{told}");
    assert_eq!(served.ok(&["export"]).lines().count(), 17);
    let output =
        text(&served.endpoint, &[&create[..], &["--output", "json"]].concat(), &lines(0..20));
    assert_exit(&output, 1);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&report["committed_before"], &report["gone_since"]), (&json!(20), &json!(3)));
    // As it says: without --create they are written.
    assert_exit(&text(&served.endpoint, &[], &lines(0..20)), 0);
    assert_eq!(served.ok(&["export"]).lines().count(), 20);
    assert_exit(&text(&served.endpoint, &create, &lines(0..20)), 0);
}

#[test]
fn what_is_there_is_not_created_again() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    served.ok(&["write", "--touch", "doc:d1#viewer@user:u3"]);
    let output = text(&served.endpoint, &["--create"], &lines(0..5));
    assert_exit(&output, 1);
    let told = stderr(&output);
    assert!(told.starts_with("error: line 4: ALREADY_EXISTS TUPLE_EXISTS: "), "{told}");
    assert!(told.contains("remove line 4 or leave out --create, then run"), "{told}");
    assert_eq!(served.ok(&["export"]).lines().count(), 1);
    assert_exit(&text(&served.endpoint, &[], &lines(0..5)), 0);
    // What was deleted since is written again: a touch of an earlier run does not stand for this one's.
    served.ok(&["write", "--delete", "doc:d1#viewer@user:u2"]);
    assert_exit(&text(&served.endpoint, &[], &lines(0..5)), 0);
    assert_eq!(served.ok(&["export"]).lines().count(), 5);
    // And what was granted since is deleted again.
    for _ in 0..2 {
        assert_exit(&text(&served.endpoint, &["--delete"], &lines(0..5)), 0);
        assert_eq!(served.ok(&["export"]), "");
        served.ok(&["write", "--touch", "doc:d1#viewer@user:u2"]);
    }
}

#[test]
fn of_two_lines_for_one_tuple_the_later_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    let csv = "scope,role,subject,reason\n\
               doc:d1,viewer,user:a,first\ndoc:d1,viewer,user:b,only\ndoc:d1,viewer,user:a,second\n";
    let output = import(&served.endpoint, &["--format", "csv"], csv);
    assert_exit(&output, 0);
    assert!(stdout(&output).starts_with("3 of 3 tuples written in 2 commits, "), "{output:?}");
    let read = served.ok(&["read", "--subject", "user:a"]);
    assert_eq!(read, "doc:d1#viewer@user:a  reason=\"second\"\n");
    let created = import(
        &served.endpoint,
        &["--format", "csv", "--create"],
        &csv.replace(":a", ":c").replace(":b", ":d"),
    );
    assert_exit(&created, 1);
    assert!(stderr(&created).starts_with("error: line 4: ALREADY_EXISTS "), "{created:?}");
}

#[test]
fn many_small_chunks_come_to_what_their_lines_say_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    // Each tuple comes again after so many lines: within a chunk, in the next one, or later.
    let row = |at: usize| format!("doc:d1,viewer,user:u{},{at}\n", (at * at) % 61);
    let rows: String = (0..600).map(row).collect();
    let csv = format!("scope,role,subject,reason\n{rows}");
    let output = import(&served.endpoint, &["--format", "csv", "--chunk", "7"], &csv);
    assert_exit(&output, 0);
    let mut last = std::collections::BTreeMap::new();
    last.extend((0..600).map(|at| ((at * at) % 61, at)));
    let expected: Vec<_> = last
        .iter()
        .map(|(user, at)| format!("doc:d1#viewer@user:u{user}  reason=\"{at}\""))
        .collect();
    let read = served.ok(&["read", "--scope", "doc:d1"]);
    let mut expected: Vec<_> = expected.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(sorted(&read), expected);
}

#[test]
fn tuples_whose_end_has_passed_are_not_said_to_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    let csv = "scope,role,subject,expires_at\n\
               doc:d1,viewer,user:a,2020-01-01T00:00:00Z\ndoc:d1,viewer,user:b,\n";
    let late = "\n1 had ended already: not stored, and what was there in their place is removed\n";
    // First nothing is there in its place, then there is.
    for (flags, verb) in [(&["--create"][..], "created"), (&[], "written")] {
        let output = import(&served.endpoint, &[&["--format", "csv"], flags].concat(), csv);
        assert_exit(&output, 0);
        let told = stdout(&output);
        assert!(told.starts_with(&format!("1 of 2 tuples {verb} in 1 commit, ")), "{told}");
        assert!(told.ends_with(late), "{told}");
        assert_eq!(served.ok(&["read"]), "doc:d1#viewer@user:b\n");
        served.ok(&["write", "--touch", "doc:d1#viewer@user:a"]);
    }
    let output = import(&served.endpoint, &["--format", "csv", "--delete"], csv);
    assert!(stdout(&output).starts_with("2 of 2 tuples deleted in 1 commit, "), "{output:?}");
    assert!(!stdout(&output).contains("had ended"), "{output:?}");
}

#[test]
fn a_dry_run_of_the_real_service_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    let output = text(&served.endpoint, &["--dry-run", "--chunk", "7"], &lines(0..40));
    assert_exit(&output, 0);
    assert!(stdout(&output).starts_with("40 tuples of the standard input could be written"));
    let faulty = lines(0..5) + "doc:d1#viewr@user:a\nnonsense\norg:a#viewer@doc:x\n" + &lines(5..9);
    let output = text(&served.endpoint, &["--dry-run", "--chunk", "7"], &faulty);
    assert_exit(&output, 1);
    let told = stderr(&output);
    let told: Vec<_> = sorted(&told).iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(told, ["line 6", "line 7", "line 8"]);
    assert!(
        stdout(&output).starts_with("9 tuples of the standard input could be written, 3 problems")
    );
    assert_eq!(served.ok(&["export"]), "");
}

#[test]
fn a_dry_run_knows_of_what_was_created_and_removed_again() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    let create = ["--create", "--chunk", "1"];
    assert_exit(&text(&served.endpoint, &create, &lines(0..2)), 0);
    let dry = [&create[..], &["--dry-run"]].concat();
    let said = text(&served.endpoint, &dry, &lines(0..3));
    assert_exit(&said, 0);
    assert!(stdout(&said).contains("2 had been created by an earlier run"), "{}", stdout(&said));
    served.ok(&["write", "--delete", lines(0..1).trim()]);
    let dry = text(&served.endpoint, &dry, &lines(0..2));
    let done = text(&served.endpoint, &create, &lines(0..2));
    for said in [dry, done] {
        assert_exit(&said, 1);
        assert!(stdout(&said).contains("1 of them have been removed"), "{}", stdout(&said));
    }
}

#[test]
fn many_tuples_and_large_ones_go_through() {
    let dir = tempfile::tempdir().unwrap();
    let served = served(dir.path());
    let output = text(&served.endpoint, &[], &lines(0..25_000));
    assert_exit(&output, 0);
    assert!(stdout(&output).starts_with("25,000 of 25,000 tuples written in 3 commits"));
    let file = dir.path().join("all.jsonl");
    served.ok(&["export", "--out", file.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 25_000);
    // In a commit a control character takes six bytes, on the wire one.
    let large = |at: usize| {
        let text = "\\u0001".repeat(10_000);
        let condition = format!("{{\"name\":\"odd\",\"context\":{{\"s\":\"{text}\"}}}}");
        format!(
            "{{\"scope\":\"doc:l\",\"role\":\"viewer\",\"subject\":\"user:l{at}\",\"condition\":{condition}}}\n"
        )
    };
    let output = import(&served.endpoint, &[], &(0..60).map(large).collect::<String>());
    assert_exit(&output, 0);
    assert_eq!(served.ok(&["export", "--scope", "doc:l"]).lines().count(), 60);
}

#[test]
fn an_export_is_piped_into_another_service() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (served(dir.path()), served(dir.path()));
    assert_exit(&text(&from.endpoint, &[], &lines(0..100)), 0);
    let mut export = bailiwick(&["export", "--endpoint", &from.endpoint])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = bailiwick(&["import", "--endpoint", &to.endpoint])
        .stdin(export.stdout.take().unwrap())
        .output()
        .unwrap();
    assert_exit(&output, 0);
    assert!(export.wait().unwrap().success());
    assert_eq!(sorted(&to.ok(&["export"])), sorted(&from.ok(&["export"])));
}

#[test]
fn the_examples_of_import_work_beside_a_demo() {
    let demo = Demo::start();
    demo.run_help("import");
    demo.run_section("import");
}
