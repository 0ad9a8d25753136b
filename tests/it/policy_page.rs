//! The page for policy authors: its pieces, put together as it says, are a model that loads and passes.

use std::path::Path;

use crate::cli::{assert_exit, run, stdout};

const PAGE: &str = include_str!("../../docs/policy-authoring.md");

/// The fenced blocks in this language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect()
}

/// The only block that begins so.
fn the_block(language: &str, beginning: &str) -> &'static str {
    let found: Vec<_> =
        blocks(language).into_iter().filter(|block| block.starts_with(beginning)).collect();
    assert_eq!(found.len(), 1, "{beginning}");
    found[0]
}

/// The pieces as one: a key that is met again goes on with what it said before.
fn joined(pieces: &[&str]) -> String {
    let mut keys: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in pieces.iter().flat_map(|piece| piece.lines()).filter(|line| !line.is_empty()) {
        if line.starts_with([' ', '-', '#']) {
            keys.last_mut().expect("a piece begins with a key").1.push(line);
        } else if !keys.iter().any(|(key, _)| *key == line) {
            keys.push((line, Vec::new()));
        } else {
            // What follows belongs to it.
            let at = keys.iter().position(|(key, _)| *key == line).unwrap();
            let key = keys.remove(at);
            keys.push(key);
        }
    }
    let text = keys.iter().map(|(key, lines)| format!("{key}\n{}\n", lines.join("\n")));
    text.collect()
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

/// The directory that somebody has who types what the page shows.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let scenarios = the_block("yaml", "scenarios:");
    let pieces: Vec<_> = blocks("yaml").into_iter().filter(|block| *block != scenarios).collect();
    assert_eq!((pieces.len(), blocks("csv").len()), (4, 2), "a piece came or went: look at each");
    write(dir.path(), "model.yaml", &joined(&pieces));
    write(dir.path(), "tests.yaml", scenarios);
    write(dir.path(), "permissions.csv", the_block("csv", "section,"));
    write(dir.path(), "delegation.csv", the_block("csv", "scope,"));
    dir
}

#[test]
fn the_pieces_of_the_page_are_a_model_that_passes() {
    let dir = directory();
    let path = dir.path().to_str().unwrap();
    assert_exit(&run(&["model", "check", path]), 0);
    let tested = run(&["model", "test", path]);
    assert_exit(&tested, 0);
    assert!(stdout(&tested).contains("0 failed"), "{}", stdout(&tested));
    assert_exit(&run(&["model", "matrix", path, "roles"]), 0);
}

#[test]
fn the_gate_that_the_page_gives_for_a_verb_is_one() {
    let dir = directory();
    let gate = PAGE.split("`gate: ").find_map(|rest| {
        let gate = rest.split('`').next()?;
        gate.contains("parameter(").then_some(gate)
    });
    let gate = gate.expect("the page gives one");
    let model = std::fs::read_to_string(dir.path().join("model.yaml")).unwrap();
    let (plain, gated) =
        ("invite: { op: grant }", format!("invite: {{ op: grant, gate: {gate} }}"));
    assert!(model.contains(plain), "{model}");
    write(dir.path(), "model.yaml", &model.replace(plain, &gated));
    let restricted = "
  - name: a listed row is listed for its verb
    parameters: { unrestricted_only: [users.create] }
    tuples:
      - org:acme#admin@user:ana
      - org:acme#admin@user:amy
      - org:acme#data_access@user:amy
    questions:
      - { expect: deny, actor: user:ana, verb: invite, role: engineer, scope: org:acme, target: user:new }
      - { expect: allow, actor: user:amy, verb: invite, role: engineer, scope: org:acme, target: user:new }
";
    let tests = std::fs::read_to_string(dir.path().join("tests.yaml")).unwrap();
    write(dir.path(), "tests.yaml", &format!("{tests}{restricted}"));
    let tested = run(&["model", "test", dir.path().to_str().unwrap()]);
    assert_exit(&tested, 0);
}
