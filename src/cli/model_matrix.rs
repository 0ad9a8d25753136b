//! `bailiwick model matrix`: a matrix as people read it.

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;

use super::opened::load_in;
use super::{CliError, Exit};
use crate::model::SourceFiles;
use crate::model::document::{self, Document};
use crate::model::form::{Matrix, Model};
use crate::model::matrix::render;
use crate::model::suggest::nearest;

/// Print a matrix of a model
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick model matrix models/energyhub
  bailiwick model matrix models/virta roles --format markdown

`text` prints what is decided, as CSV: a cell is `yes`, `no`, or `if` and the gate that must hold. The other
forms print the document, every time the same bytes: sections, permissions, labels, a column per role,
the gate of each row. `csv` is a matrix file, which `bailiwick model import-matrix` reads back.")]
pub(super) struct Args {
    /// The model directory, with its model.yaml
    dir: PathBuf,
    /// The matrix; not needed if the model has one
    name: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// What is decided
    Text,
    /// The matrix file
    Csv,
    /// A table for help pages and reviews
    Markdown,
    /// A page with one table
    Html,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let files = SourceFiles::read_dir(&args.dir).map_err(CliError::failed)?;
    let model = load_in(&args.dir, &files)?;
    let matrix = select(&model, args.name.as_deref())?;
    let format = match args.format {
        Format::Text => {
            write!(out, "{}", render(&model, matrix))?;
            return Ok(Exit::Done);
        }
        Format::Csv => document::Format::Csv,
        Format::Markdown => document::Format::Markdown,
        Format::Html => document::Format::Html,
    };
    let document = Document::of(&files, &matrix.name).ok_or_else(|| {
        CliError::Failed(format!("the matrix `{}` cannot be read as a document", matrix.name))
    })?;
    write!(out, "{}", document.render(format))?;
    Ok(Exit::Done)
}

/// The matrix of this name, or the only one.
pub(super) fn select<'a>(model: &'a Model, name: Option<&str>) -> Result<&'a Matrix, CliError> {
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
