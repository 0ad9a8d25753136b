//! `bailiwick model diff`: what changes from one model to another, by role and permission.

mod changes;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::client::Output;
use super::console::Stream;
use super::opened::unsound;
use super::{CliError, Exit};
use crate::model::SourceFiles;
use crate::model::diff::{self, Side};

/// Compare two models: what changes by role and permission
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick model diff models/virta virta-next

Compares what the models mean: rows in another order, other labels, comments, or a pattern in the place of
names are no difference. Exits with 0 if there is no difference, with 2 if there is one, and with 1 if the
models could not be compared.")]
pub(super) struct Args {
    /// The old model directory, with its model.yaml
    old: PathBuf,
    /// The new one
    new: PathBuf,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, out: &mut Stream<'_>) -> Result<Exit, CliError> {
    let (old, new) = (load(&args.old)?, load(&args.new)?);
    let changes = diff::changes(&old, &new);
    match args.output {
        Output::Text => changes::write(&changes, out)?,
        Output::Json => {
            use std::io::Write as _;
            let value = json!({
                "old": changes::model_json(&old),
                "new": changes::model_json(&new),
                "changes": changes::json(&changes),
            });
            writeln!(out, "{value}")?;
        }
    }
    Ok(if changes.is_empty() { Exit::Done } else { Exit::Denied })
}

fn load(dir: &Path) -> Result<Side, CliError> {
    let files = SourceFiles::read_dir(dir).map_err(CliError::failed)?;
    Side::load(&files).map_err(|problems| {
        CliError::Failed(format!("`{}`: {}", dir.display(), unsound(dir, &problems)))
    })
}
