//! `bailiwick model check`: every problem of a model directory at once.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use super::opened::in_dir;
use super::{CliError, Exit};
use crate::model::form::{Cell, Model};
use crate::model::scenario::Scenarios;
use crate::model::{SourceFiles, load};

/// Find every problem of a model directory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick model check models/virta

Prints each problem as FILE:LINE:COLUMN: MESSAGE and exits with 1 if there is one.")]
pub(super) struct Args {
    /// The model directory, with its model.yaml
    dir: PathBuf,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let files = SourceFiles::read_dir(&args.dir).map_err(CliError::failed)?;
    let model = load(&files, &BTreeMap::new());
    match model.and_then(|model| Ok((model, Scenarios::parse(&files)?))) {
        Ok((model, scenarios)) => {
            // The type of features is everybody's, and no author's.
            let types = model.types.len().saturating_sub(1);
            let (permissions, matrices) = (model.permissions.len(), model.matrices.len());
            writeln!(out, "{}: the model `{}` is sound", args.dir.display(), model.name)?;
            let scenarios = scenarios.len();
            writeln!(
                out,
                "types {types}, permissions {permissions}, matrices {matrices}, scenarios {scenarios}"
            )?;
            let (granted, gated) = cells(&model);
            writeln!(out, "granted cells {granted}, of them under a gate {gated}")?;
            writeln!(out, "digest {}", model.digest)?;
            Ok(Exit::Done)
        }
        Err(problems) => {
            writeln!(out, "{}", in_dir(&args.dir, &problems))?;
            writeln!(out, "problems: {}", problems.count())?;
            Ok(Exit::Failed)
        }
    }
}

/// How many cells grant, and how many of these under a gate: a lost gate column shows here.
fn cells(model: &Model) -> (usize, usize) {
    let rows = || model.matrices.iter().flat_map(|m| &m.rows);
    let granted = || rows().flat_map(|row| row.cells.granted());
    let gated = granted().filter(|(_, cell)| matches!(cell, Cell::If(_))).count();
    (granted().count(), gated)
}
