//! `bailiwick model test`: every scenario of a model directory.

use std::io::Write;
use std::path::PathBuf;

use super::opened::in_dir;
use super::scenarios::{Failure, run_scenarios};
use super::{CliError, Exit};
use crate::model::SourceFiles;

/// Run a model's scenarios
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick model test models/virta

Runs the scenarios of DIR/tests.yaml, prints each failed expectation as FILE:LINE:COLUMN: MESSAGE, and
exits with 1 if there is one.")]
pub(super) struct Args {
    /// The model directory, with its model.yaml and tests.yaml
    dir: PathBuf,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let files = SourceFiles::read_dir(&args.dir).map_err(CliError::failed)?;
    let report = match run_scenarios(&files) {
        Ok(report) => report,
        Err(problems) => {
            writeln!(out, "{}", in_dir(&args.dir, &problems))?;
            return Err(CliError::Failed("the model has problems; no scenario was run".to_owned()));
        }
    };
    if report.passed == 0 && report.failures.is_empty() {
        let what = format!("`{}` has no scenario that asks anything", args.dir.display());
        return Err(CliError::Failed(what));
    }
    for Failure { at, message } in &report.failures {
        writeln!(out, "{}/{at}: {message}", args.dir.display())?;
    }
    writeln!(out, "{} passed, {} failed", report.passed, report.failures.len())?;
    Ok(if report.failures.is_empty() { Exit::Done } else { Exit::Failed })
}
