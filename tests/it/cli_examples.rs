//! The examples of every `--help` and of docs/cli.md do what they say, beside a running demo.
//!
//! They are run by a shell, with a `bailiwick` that asks this test's demo.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::cli::{bailiwick, repository, run, stderr, stdout};

const PAGE: &str = include_str!("../../docs/cli.md");

/// A demo, and a directory from which its examples work. Ended when dropped.
pub(crate) struct Demo {
    child: Child,
    dir: tempfile::TempDir,
}

impl Demo {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let inside = |name: &str| dir.path().join(name);
        for name in ["tmp", "bin", "work"] {
            std::fs::create_dir(inside(name)).unwrap();
        }
        let mut child = bailiwick(&["demo"])
            .env("TMPDIR", inside("tmp"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut endpoint = None;
        for line in lines {
            if let Some(served) = line.strip_prefix("served at ") {
                // The first is the platform that the examples are about.
                endpoint.get_or_insert(format!("http://{}", served.split(';').next().unwrap()));
            }
            if line == "serving until ctrl-c" {
                break;
            }
        }
        let demo = Self { child, dir };
        demo.link(&endpoint.unwrap());
        demo
    }

    /// What is called `bailiwick` asks this demo, wherever it listens, with every command that asks.
    fn link(&self, endpoint: &str) {
        let program = env!("CARGO_BIN_EXE_bailiwick");
        // Two models can be compared without any tuples.
        let asks =
            |command: &String| command != "model diff" && help(command).contains("--endpoint <");
        let asking: Vec<_> = commands().into_iter().filter(asks).collect();
        assert!(asking.len() >= 7, "{asking:?}");
        let patterns: Vec<_> = asking.iter().map(|command| format!("'{command} '*")).collect();
        let script = format!(
            "#!/bin/sh\n\
             case \"$* \" in\n\
             {}) exec {program} \"$@\" --endpoint {endpoint} ;;\n\
             *) exec {program} \"$@\" ;;\n\
             esac\n",
            patterns.join("|")
        );
        let path = self.dir.path().join("bin/bailiwick");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        symlink(repository("models"), self.dir.path().join("work/models")).unwrap();
        symlink(repository("docs"), self.dir.path().join("docs")).unwrap();
    }

    fn sh(&self, line: &str) -> Output {
        let path = std::env::var("PATH").unwrap();
        let bin = self.dir.path().join("bin");
        Command::new("sh")
            .args(["-c", line])
            .env("PATH", format!("{}:{path}", bin.display()))
            .current_dir(self.dir.path().join("work"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs the examples of a command's help; each must succeed.
    pub(crate) fn run_help(&self, command: &str) {
        let help = help(command);
        let examples = help.split("Example:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let examples = examples.replace("\\\n", "");
        assert!(examples.contains(&format!("bailiwick {command}")), "{examples}");
        for line in examples.lines() {
            let output = self.sh(line);
            assert!(output.status.success(), "{line}\n{}{}", stdout(&output), stderr(&output));
        }
    }

    /// Runs the examples of a section of the page, and compares what they print.
    pub(crate) fn run_section(&self, command: &str) {
        let section = section(command);
        for block in section.split("```console\n").skip(1) {
            for (line, expected) in split_examples(block.split("```").next().unwrap()) {
                let output = self.sh(&line);
                let (got, told) = (stdout(&output), stderr(&output));
                assert!(fits(&expected, &got), "{line}\nexpected:\n{expected}\ngot:\n{got}{told}");
            }
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.child.wait();
    }
}

/// Lines `$ COMMAND` and what follows each.
fn split_examples(block: &str) -> Vec<(String, String)> {
    let mut examples: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => examples.push((command.to_owned(), String::new())),
            None => {
                let (_, expected) = examples.last_mut().unwrap();
                expected.push_str(line);
                expected.push('\n');
            }
        }
    }
    examples
}

fn section(command: &str) -> &'static str {
    let heading = format!("\n## bailiwick {command}\n");
    let section = PAGE.split(&heading).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    section.split("\n## ").next().unwrap()
}

/// `...` stands for the rest of a line, or alone for any lines. The number of a revision may differ.
fn fits(expected: &str, got: &str) -> bool {
    let (expected, got) = (without_revisions(expected), without_revisions(got));
    let mut got = got.lines().peekable();
    let mut expected = expected.lines().peekable();
    while let Some(line) = expected.next() {
        if line == "..." {
            let Some(next) = expected.peek() else { return true };
            while got.peek().is_some_and(|line| line != next) {
                got.next();
            }
            continue;
        }
        let fits = match (line.strip_suffix("..."), got.next()) {
            (Some(start), Some(line)) => line.starts_with(start),
            (None, found) => found == Some(line),
            (_, None) => false,
        };
        if !fits {
            return false;
        }
    }
    got.next().is_none()
}

fn without_revisions(text: &str) -> String {
    let mut parts = text.split("revision ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("revision N");
        kept.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    kept
}

fn help(command: &str) -> String {
    let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
    stdout(&run(&words))
}

/// Every sub-command, as its manual page names it.
fn commands() -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    run(&["man", dir.path().to_str().unwrap()]);
    let is_one = |name: &str| -> Option<String> {
        let name = name.strip_prefix("bailiwick-")?.strip_suffix(".1")?;
        Some(name.replacen("model-", "model ", 1)).filter(|name| name != "model")
    };
    let names = std::fs::read_dir(Path::new(dir.path())).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter_map(|name| is_one(&name)).collect();
    names.sort();
    names
}

#[test]
fn every_command_has_a_section() {
    let commands = commands();
    assert!(commands.len() >= 15, "{commands:?}");
    for command in &commands {
        assert!(!section(command).trim().is_empty());
    }
    let sections = PAGE.matches("\n## bailiwick ").count();
    assert_eq!(sections, commands.len(), "a section of no command");
}

/// These run on and are shown elsewhere; importing has a test of its own.
const NOT_RUN: [&str; 3] = ["serve", "demo", "import"];
/// The help of these names directories of a real installation, or of a model yet to be written.
const HELP_NOT_RUN: [&str; 3] = ["backup", "restore", "model diff"];

#[test]
fn the_examples_of_every_help_work_beside_a_demo() {
    let demo = Demo::start();
    let left_out = |command: &&str| NOT_RUN.contains(command) || HELP_NOT_RUN.contains(command);
    for command in commands().iter().map(String::as_str).filter(|command| !left_out(command)) {
        demo.run_help(command);
    }
}

#[test]
fn the_examples_of_the_page_print_what_it_says() {
    let demo = Demo::start();
    let headings = PAGE.split("\n## bailiwick ").skip(1).map(|part| part.lines().next().unwrap());
    for command in headings.filter(|command| !NOT_RUN.contains(command)) {
        demo.run_section(command);
    }
}

#[test]
fn what_does_not_fit_is_seen() {
    assert!(fits("a\n...\nz\n", "a\nb\nc\nz\n") && fits("at revision 2\n", "at revision 31\n"));
    assert!(fits("error: ...\n", "error: so\n") && fits("...\n", "") && fits("a\n...\n", "a\n"));
    for (expected, got) in [
        ("a\n", "b\n"),
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        ("", "a\n"),
        ("a\n...\nz\n", "a\nb\n"),
    ] {
        assert!(!fits(expected, got), "{expected} {got}");
    }
}
