//! What the command prints for shells, for `man` and for editors, and when it prints in colour.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::cli::{assert_exit, bailiwick, repository, run, stderr, stdout};

/// Whether a program is there. In CI each must be.
fn is_there(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !is_ci, "{program} is missing: .ci/run installs it");
    found
}

const COMMANDS: [&str; 15] = [
    "serve",
    "demo",
    "check",
    "batch",
    "list-subjects",
    "list-roles",
    "write",
    "read",
    "import",
    "export",
    "model",
    "completions",
    "man",
    "matrix",
    "schema",
];

#[test]
fn every_shell_gets_completions_of_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_exit(&output, 0);
        let text = stdout(&output);
        for command in COMMANDS {
            assert!(text.contains(command), "{shell} does not know {command}");
        }
        assert!(text.contains("fail-on-deny") && text.contains("dry-run"), "{shell}");
    }
}

#[test]
fn bash_takes_its_completions_and_completes_with_them() {
    let script = stdout(&run(&["completions", "bash"]));
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bailiwick.bash");
    std::fs::write(&path, script).unwrap();
    let complete = |words: &[&str]| {
        let line = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; _bailiwick bailiwick '{}' ''; echo \"${{COMPREPLY[@]}}\"",
            path.display(),
            words.join(" "),
            words.len() - 1,
            words.last().unwrap(),
        );
        let output = Command::new("bash").args(["--norc", "-c", &line]).output().unwrap();
        stdout(&output).trim().to_owned()
    };
    assert_eq!(complete(&["bailiwick", "exp"]), "export");
    assert_eq!(complete(&["bailiwick", "model", "sch"]), "schema");
    assert_eq!(complete(&["bailiwick", "batch", "--fail"]), "--fail-on-deny");
}

#[test]
fn every_command_has_a_manual_page_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("share/man1");
    let output = run(&["man", pages.to_str().unwrap()]);
    assert_exit(&output, 0);
    let names: Vec<_> = std::fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let told = format!("{} pages written to `{}`\n", names.len(), pages.display());
    assert_eq!(stdout(&output), told);
    for command in COMMANDS.iter().filter(|name| !["matrix", "schema"].contains(name)) {
        assert!(names.contains(&format!("bailiwick-{command}.1")), "{names:?}");
    }
    let model = ["bailiwick-model-schema.1", "bailiwick-model-test.1", "bailiwick.1"];
    assert!(model.iter().all(|page| names.iter().any(|name| name == page)), "{names:?}");

    let import = std::fs::read_to_string(pages.join("bailiwick-import.1")).unwrap();
    for part in [".SH SYNOPSIS", ".SH OPTIONS", ".SH EXAMPLES", ".nf\nbailiwick export |"] {
        assert!(import.contains(part), "no {part} in {import}");
    }
    let main = run(&["man"]);
    assert_eq!(stdout(&main), std::fs::read_to_string(pages.join("bailiwick.1")).unwrap());
    if !is_there("groff") {
        writeln!(std::io::stderr(), "skipped: no groff to format the pages with").unwrap();
        return;
    }
    for name in names {
        let output =
            Command::new("groff").args(["-ww", "-man", "-Tutf8"]).arg(pages.join(&name)).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{name}");
        assert_eq!(stderr(&output), "", "{name}");
        assert!(output.stdout.len() > 200, "{name}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error() {
    let output = run(&["man", "/dev/null/pages"]);
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("cannot write to `/dev/null/pages`"), "{output:?}");
}

#[test]
fn the_schemas_are_printed_as_they_stand() {
    for which in ["model", "tests"] {
        let output = run(&["model", "schema", which]);
        assert_exit(&output, 0);
        let file = repository(&format!("docs/schemas/{which}.schema.json"));
        assert_eq!(stdout(&output), std::fs::read_to_string(file).unwrap());
    }
    assert_eq!(stdout(&run(&["model", "schema"])), stdout(&run(&["model", "schema", "model"])));
}

#[test]
fn colour_is_for_terminals_and_for_who_asks_for_it() {
    let missing = ["model", "check", "no/such/directory"];
    let told = |args: &[&str], no_color: &str| {
        let output = bailiwick(&[args, &missing].concat()).env("NO_COLOR", no_color).output();
        let output = output.unwrap();
        assert_exit(&output, 1);
        stderr(&output)
    };
    let plain = told(&[], "");
    assert!(plain.starts_with("error: ") && !plain.contains('\x1b'), "{plain:?}");
    assert_eq!(told(&["--color", "never"], ""), plain);
    // What the command line says wins.
    let coloured = told(&["--color", "always"], "1");
    assert_eq!(coloured, plain.replacen("error:", "\x1b[31merror:\x1b[0m", 1));

    if !is_there("script") {
        writeln!(std::io::stderr(), "skipped: no script to make a terminal with").unwrap();
        return;
    }
    let on_terminal = |no_color: &str| {
        let line = format!("{} {}", env!("CARGO_BIN_EXE_bailiwick"), missing.join(" "));
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("NO_COLOR", no_color)
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        stdout(&output).replace('\r', "")
    };
    assert_eq!(on_terminal(""), coloured);
    assert_eq!(on_terminal("1"), plain);
}
