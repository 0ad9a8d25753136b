//! `bailiwick model matrix`: a matrix as people read it.

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;

use super::opened::load_dir;
use super::{CliError, Exit};
use crate::model::form::{Matrix, Model};
use crate::model::matrix::{self, render};
use crate::model::suggest::nearest;

/// Print a matrix of a model
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick model matrix models/virta --format markdown

A cell is `yes`, `no`, or `if` and the gate that must hold.")]
pub(super) struct Args {
    /// The model directory, with its model.yaml
    dir: PathBuf,
    /// The matrix; not needed if the model has one
    name: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For spreadsheets
    Csv,
    /// For help pages and reviews
    Markdown,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let (model, _) = load_dir(&args.dir)?;
    let matrix = select(&model, args.name.as_deref())?;
    let format = match args.format {
        Format::Csv => matrix::Format::Csv,
        Format::Markdown => matrix::Format::Markdown,
    };
    write!(out, "{}", render(&model, matrix, format))?;
    Ok(Exit::Done)
}

fn select<'a>(model: &'a Model, name: Option<&str>) -> Result<&'a Matrix, CliError> {
    let names = || model.matrices.iter().map(|matrix| matrix.name.as_str());
    match (name, model.matrices.as_slice()) {
        (Some(name), matrices) => matrices.iter().find(|m| m.name == name).ok_or_else(|| {
            let hint = match nearest(name, names()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("it has: {}", names().collect::<Vec<_>>().join(", ")),
            };
            CliError::Failed(format!("the model has no matrix `{name}`; {hint}"))
        }),
        (None, [only]) => Ok(only),
        (None, []) => Err(CliError::Failed("the model has no matrix".to_owned())),
        (None, _) => {
            let names = names().collect::<Vec<_>>().join(", ");
            Err(CliError::Failed(format!("the model has several matrices, name one: {names}")))
        }
    }
}
