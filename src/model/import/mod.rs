//! From a role table as people write it to a matrix file: names kept or made, marks taken over, and all
//! that was not certain told. Knows texts; reads and writes no file.
//!
//! Invariant *no grant by guess*: a cell grants after an import only if the table has a clear tick there.
//!
//! Invariant *an export is a fixpoint*: what a matrix is exported as changes nothing when it is imported.

mod columns;
mod merge;
mod starter;
mod target;

use super::files::SourceFiles;
use super::pasted::{self, Reading};
use super::problem::Problem;

/// What to import, and how.
#[derive(Debug, Clone, Default)]
pub struct Import<'a> {
    /// The table's file, as messages name it.
    pub file: &'a str,
    /// The table.
    pub text: &'a str,
    /// The matrix; `None`: the model's only one, or `roles` in a new model.
    pub name: Option<&'a str>,
    /// In a new model: where permissions are asked, the first where roles are held, each below the one
    /// before it; none: `org`.
    pub at: Vec<String>,
    /// The name of a new model.
    pub model: &'a str,
    /// Rows and columns of the matrix file that the table lacks may go.
    pub may_remove: bool,
    /// How to read what can be read in several ways.
    pub reading: Reading,
}

/// What an import makes.
#[derive(Debug, Default)]
pub struct Imported {
    /// The matrix.
    pub matrix: String,
    /// Its file.
    pub file: String,
    /// The files to write, by name; none if they say the same already.
    pub files: Vec<(String, String)>,
    /// The columns: what the table calls each, what the matrix file does, and whether that is new.
    pub columns: Vec<(String, String, bool)>,
    /// The rows.
    pub rows: Vec<ImportedRow>,
    /// Cells that grant from now on, and that do no more: column and permission.
    pub granted: Vec<(String, String)>,
    /// See there.
    pub withdrawn: Vec<(String, String)>,
    /// Cells that grant as before, under another gate.
    pub regated: Vec<Regated>,
    /// What the matrix file had and the table has not.
    pub removed: Vec<String>,
    /// What was not read, each with what was taken instead.
    pub unread: Vec<Problem>,
    /// What was read in one of several ways.
    pub notes: Vec<Problem>,
    /// What `model.yaml` still lacks, if it does not know the matrix.
    pub missing: Option<String>,
}

/// A row of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedRow {
    /// Its section; may be empty.
    pub section: String,
    /// Its label; may be empty.
    pub label: String,
    /// Its permission.
    pub permission: String,
    /// The matrix file did not have it.
    pub is_new: bool,
}

/// Granted cells of a row whose gate is another from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regated {
    /// The columns.
    pub columns: Vec<String>,
    /// The row's permission.
    pub permission: String,
    /// The gate until now; empty: there was none.
    pub before: String,
    /// The gate from now on; empty: it falls away, and the cells grant always.
    pub after: String,
}

/// Why nothing can be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The model has several matrices, or none of this name, or the name is none.
    #[error("{0}")]
    Target(String),
    /// No row was read.
    #[error("no row of the table could be read; nothing was written")]
    Empty(Vec<Problem>),
    /// Rows or columns would be lost.
    #[error(
        "the table lacks {} of the matrix file, which --force would remove: {}",
        .0.len(),
        shown(.0)
    )]
    Removes(Vec<String>, Vec<Problem>),
}

fn shown(removed: &[String]) -> String {
    const MOST: usize = 10;
    let mut text = removed.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if let Some(more) = removed.len().checked_sub(MOST).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// Reads a table into a model directory's files, which may be none yet.
///
/// # Errors
/// There is no place for it, nothing in it can be read, or it would remove what it may not.
pub fn import(files: &SourceFiles, import: &Import<'_>) -> Result<Imported, ImportError> {
    let target = target::Target::find(files, import)?;
    let is_known = |text: &str| target.parameter(text).is_some();
    let mut pasted = pasted::read(import.file, import.text, import.reading, &is_known);
    if pasted.rows.is_empty() {
        return Err(ImportError::Empty(pasted.unread));
    }
    let Some(columns) = columns::columns(&target, &mut pasted) else {
        return Err(ImportError::Empty(pasted.unread));
    };
    let imported = merge::merge(&target, pasted, columns, import, files);
    if !import.may_remove && !imported.removed.is_empty() {
        return Err(ImportError::Removes(imported.removed, imported.unread));
    }
    Ok(imported)
}
