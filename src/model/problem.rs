//! What is wrong with a model's text, and where. Knows positions and messages, never what a model means.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in one of the model's files. Ordered by file, then by line and column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The file's name within the model directory.
    pub file: Arc<str>,
    /// The line, from 1 on.
    pub line: u32,
    /// The column in characters, from 1 on.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    #[must_use]
    pub fn start(file: &str) -> Self {
        Self { file: file.into(), line: 1, column: 1 }
    }

    /// The place `columns` further on the same line.
    #[must_use]
    pub(super) fn right(&self, columns: usize) -> Self {
        let columns = u32::try_from(columns).unwrap_or(u32::MAX);
        Self { column: self.column.saturating_add(columns), ..self.clone() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One fault: where, the value, what was expected, and the nearest known name if there is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it is.
    pub at: Position,
    /// What it is; lower case, without a full stop.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// Everything that is wrong with a model, in the order of its text; never empty. Displays one problem
/// per line, as `file:line:column: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The first `most` problems with paths that lead to their files, a line each; a last line says
    /// how many more there are.
    #[must_use]
    pub fn lines_in(&self, dir: &Path, most: usize) -> Vec<String> {
        let line = |problem: &Problem| format!("{}/{problem}", dir.display());
        let mut lines: Vec<_> = self.0.iter().take(most).map(line).collect();
        if let Some(more) = self.0.len().checked_sub(most).filter(|more| *more > 0) {
            lines.push(format!("... and {more} more"));
        }
        lines
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects problems while a model is read and compiled.
#[derive(Debug, Default)]
pub(super) struct Report {
    found: Vec<Problem>,
    places: HashSet<Position>,
}

impl Report {
    pub(super) fn push(&mut self, at: &Position, message: impl Into<String>) {
        self.places.insert(at.clone());
        self.found.push(Problem { at: at.clone(), message: message.into() });
    }

    /// Whether something is wrong at this very place already.
    pub(super) fn has(&self, at: &Position) -> bool {
        self.places.contains(at)
    }

    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The value, if nothing is wrong. The same fault met twice (a gate used at two types) is one problem.
    pub(super) fn finish<T>(mut self, value: Option<T>) -> Result<T, Problems> {
        self.found.sort();
        self.found.dedup();
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(Problems(self.found)),
        }
    }
}
