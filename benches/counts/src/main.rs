//! Holds what the harness counted against the record: more than 5 % off fails, either way. Reads what
//! `cargo bench -- --output-format=json` prints from standard input.

mod record;

use std::io::{Read, stdin};
use std::path::Path;
use std::process::ExitCode;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/record.csv");
const HELP: &str = "If that is meant, `benches/counts/run --record` writes what was counted into \
                    benches/counts/record.csv; it belongs into the commit that moved it.";

fn main() -> ExitCode {
    let renews = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--record") => true,
        Some(other) => return fail(&format!("unknown argument `{other}`; known: --record")),
    };
    match run(renews) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail(HELP),
        Err(reason) => fail(&reason),
    }
}

fn fail(reason: &str) -> ExitCode {
    eprintln!("{reason}");
    ExitCode::FAILURE
}

/// Whether every operation is near enough to its record, or the record is what was counted now.
fn run(renews: bool) -> Result<bool, String> {
    let mut printed = String::new();
    stdin().read_to_string(&mut printed).map_err(|error| format!("standard input: {error}"))?;
    let counted = record::counted(&printed)?;
    let path = Path::new(RECORD);
    if renews {
        let text = record::written(&counted);
        std::fs::write(path, text).map_err(|error| format!("{RECORD}: {error}"))?;
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{RECORD}: {error}"))?;
    let lines = record::compared(&record::read(&text)?, &counted);
    for line in &lines {
        println!("{}", line.text);
    }
    Ok(lines.iter().all(|line| line.is_near))
}
