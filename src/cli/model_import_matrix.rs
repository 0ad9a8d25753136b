//! `bailiwick model import-matrix`: a role table as people write it becomes a matrix file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::export::NewFile;
use super::opened::load_in;
use super::{CliError, Exit};
use crate::model::import::{Import, ImportError, Imported, Regated, import};
use crate::model::limits::{MODEL_FILE_BYTES_MAX, PROBLEMS_SHOWN_MAX};
use crate::model::names::{Name, quoted};
use crate::model::{MODEL_FILE, Problem, Reading, SourceFiles, load, read_file};

/// Read a role table as people write it into a model directory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick model matrix models/energyhub --format markdown > roles.md
  bailiwick model import-matrix roles.md --into energyhub

Reads CSV (separated by commas, semicolons or tabs) and Markdown tables. A cell grants only if a clear
tick is all it holds (x, 1, yes, the usual tick marks); blank is no. Prints what became of each column
and row, and each cell that was not read, as FILE:LINE:COLUMN. Where DIR has no model.yaml, a small one
is written, with a tests.yaml. Exits with 1 if something was not read; the rest is written then.")]
pub(super) struct Args {
    /// The table, or - for the standard input
    file: PathBuf,
    /// The model directory; it may be new
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The matrix; not needed if the model has one or is new
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// In a new model, the types of scopes, outermost first; roles are held on the first [default: org]
    #[arg(long, value_name = "TYPE", num_args = 1..)]
    at: Vec<String>,
    /// How many leading columns hold sections and labels, where the table leaves it open
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=16))]
    label_columns: Option<u16>,
    /// Whether `x` grants, where the page has other ticks, or words in cells, beside it
    #[arg(long, value_enum, value_name = "WORD")]
    x: Option<YesNo>,
    /// Write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write although rows or columns of the matrix file go that the table lacks
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum YesNo {
    /// It is a tick
    Yes,
    /// It is a cross
    No,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    for name in &args.at {
        Name::parse(name).map_err(|error| CliError::Usage(format!("--at: {error}")))?;
    }
    let (file, text) = table(&args.file)?;
    let mut files = SourceFiles::read_present(&args.into).map_err(CliError::failed)?;
    let model = model_name(&args.into);
    let reading = Reading {
        label_columns: args.label_columns.map(usize::from),
        x_grants: args.x.map(|word| word == YesNo::Yes),
    };
    let asked = Import {
        file: &file,
        text: &text,
        name: args.name.as_deref(),
        at: args.at.clone(),
        model: &model,
        may_remove: args.force,
        reading,
    };
    let was_model = files.get(MODEL_FILE).is_some();
    if was_model && !args.at.is_empty() {
        let what =
            "--at is for a new model; this one's model.yaml says where permissions are asked";
        return Err(CliError::Usage(what.to_owned()));
    }
    if was_model {
        load_in(&args.into, &files)?;
    }
    let imported = match import(&files, &asked) {
        Ok(imported) => imported,
        Err(error) => {
            if let ImportError::Empty(unread) | ImportError::Removes(_, unread) = &error {
                problems(out, unread)?;
            }
            return Err(CliError::failed(error));
        }
    };
    report(out, &imported)?;
    for (name, text) in &imported.files {
        files.insert(name, text);
    }
    if let Err(found) = load(&files, &BTreeMap::new()) {
        for line in found.lines_in(&args.into, PROBLEMS_SHOWN_MAX) {
            writeln!(out, "{line}")?;
        }
        let what = "with this table the model would have problems; nothing was written";
        return Err(CliError::Failed(what.to_owned()));
    }
    write_files(args, &imported, out)?;
    Ok(if imported.unread.is_empty() { Exit::Done } else { Exit::Failed })
}

/// The table's name, for messages, and its text.
fn table(path: &Path) -> Result<(String, String), CliError> {
    if path != Path::new("-") {
        let text = read_file(path).map_err(CliError::failed)?;
        return Ok((quoted(&path.display().to_string()), text));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a text of the limit from a larger one.
    let most = u64::try_from(MODEL_FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    std::io::stdin().take(most).read_to_end(&mut bytes)?;
    if bytes.len() > MODEL_FILE_BYTES_MAX {
        let what = format!("the standard input is larger than {MODEL_FILE_BYTES_MAX} bytes");
        return Err(CliError::Failed(what));
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| CliError::Failed("the standard input is not UTF-8".to_owned()))?;
    Ok(("-".to_owned(), text))
}

/// A new model is called like its directory.
fn model_name(dir: &Path) -> String {
    let path = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Name::parse(name).map_or_else(|_| "imported".to_owned(), |name| name.to_string())
}

fn report(out: &mut dyn Write, imported: &Imported) -> Result<(), CliError> {
    let new = |is_new: bool| if is_new { "  (new)" } else { "" };
    for (header, label, is_new) in &imported.columns {
        writeln!(out, "column {label}: {}{}", quoted(header), new(*is_new))?;
    }
    for row in &imported.rows {
        let parts = [row.section.as_str(), row.label.as_str()];
        let parts = parts.into_iter().filter(|part| !part.is_empty()).map(quoted);
        let said = parts.collect::<Vec<_>>().join(": ");
        let colon = if said.is_empty() { "" } else { ": " };
        writeln!(out, "row {}{colon}{said}{}", row.permission, new(row.is_new))?;
    }
    for what in &imported.removed {
        writeln!(out, "removed {what}")?;
    }
    // In a new file every cell is, and the table shows them.
    if imported.rows.iter().any(|row| !row.is_new) {
        for (column, permission) in &imported.granted {
            writeln!(out, "granted {permission} to {column}")?;
        }
        for (column, permission) in &imported.withdrawn {
            writeln!(out, "withdrawn {permission} from {column}")?;
        }
    }
    regated(out, &imported.regated)?;
    for note in imported.notes.iter().take(PROBLEMS_SHOWN_MAX) {
        writeln!(out, "{note}")?;
    }
    problems(out, &imported.unread)
}

/// What counts under another gate: first what counts under none.
fn regated(out: &mut dyn Write, all: &[Regated]) -> Result<(), CliError> {
    let falls = |one: &&Regated| one.after.is_empty();
    for one in all.iter().filter(falls).chain(all.iter().filter(|one| !falls(one))) {
        let (permission, columns) = (&one.permission, one.columns.join(", "));
        let (before, after) = (quoted(&one.before), quoted(&one.after));
        match (one.before.is_empty(), one.after.is_empty()) {
            (_, true) => writeln!(
                out,
                "gate removed from {permission}, which {columns} now has without it: `{before}`"
            )?,
            (true, _) => writeln!(out, "gate added to {permission} for {columns}: `{after}`")?,
            _ => writeln!(
                out,
                "gate changed of {permission} for {columns}: `{before}` is now `{after}`"
            )?,
        }
    }
    Ok(())
}

/// What was not read: nothing of it is left out in silence.
fn problems(out: &mut dyn Write, unread: &[Problem]) -> Result<(), CliError> {
    for problem in unread.iter().take(PROBLEMS_SHOWN_MAX) {
        writeln!(out, "{problem}")?;
    }
    if let Some(more) = unread.len().checked_sub(PROBLEMS_SHOWN_MAX).filter(|more| *more > 0) {
        writeln!(out, "... and {more} more")?;
    }
    Ok(())
}

fn write_files(args: &Args, imported: &Imported, out: &mut dyn Write) -> Result<(), CliError> {
    let path = |name: &str| args.into.join(name);
    let (rows, columns) = (imported.rows.len(), imported.columns.len());
    let (matrix, unread) = (&imported.matrix, imported.unread.len());
    writeln!(out, "matrix {matrix}: rows {rows}, columns {columns}, not read {unread}")?;
    if !args.dry_run && !imported.files.is_empty() {
        let wrong =
            |error| CliError::Failed(format!("cannot make `{}`: {error}", args.into.display()));
        fs::create_dir_all(&args.into).map_err(wrong)?;
    }
    for (name, text) in &imported.files {
        let path = path(name);
        if args.dry_run {
            writeln!(out, "would write {}", path.display())?;
            continue;
        }
        let mut file = NewFile::create(&path)?;
        file.write_all(text.as_bytes())?;
        file.keep()?;
        writeln!(out, "wrote {}", path.display())?;
    }
    if imported.files.is_empty() {
        writeln!(out, "unchanged {}", path(&imported.file).display())?;
    }
    if let Some(missing) = &imported.missing {
        let model = path(MODEL_FILE);
        writeln!(out, "{} does not name this matrix yet: under `matrices:` add", model.display())?;
        writeln!(out, "{missing}")?;
    }
    Ok(())
}
