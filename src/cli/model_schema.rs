//! `bailiwick model schema`: the JSON Schemas of a model's files, for editors.

use std::io::Write;

use clap::ValueEnum;

use super::{CliError, Exit};

const MODEL: &str = include_str!("../../docs/schemas/model.schema.json");
const TESTS: &str = include_str!("../../docs/schemas/tests.schema.json");

/// Print the JSON Schema of model.yaml or tests.yaml
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick model schema model > model.schema.json
  bailiwick model schema tests > tests.schema.json

Editors with a YAML language server then complete and explain keys, if the file
begins with this line:

  # yaml-language-server: $schema=model.schema.json")]
pub(super) struct Args {
    /// Of which file
    #[arg(value_enum, default_value_t = Which::Model)]
    which: Which,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// model.yaml
    Model,
    /// tests.yaml
    Tests,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let text = match args.which {
        Which::Model => MODEL,
        Which::Tests => TESTS,
    };
    out.write_all(text.as_bytes())?;
    Ok(Exit::Done)
}
