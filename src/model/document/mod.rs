//! A matrix as its document: what its file says, with the columns and cells that `model.yaml` decides
//! beside it. Knows the texts of a model, not what they compile into.

mod html;
mod render;

use std::collections::{BTreeMap, HashMap};

use super::files::{MODEL_FILE, SourceFiles};
use super::pattern::matches;
use super::problem::Report;
use super::source::{MatrixSource, ParameterSource, RowsSource, Source};
use super::table::{Table, TableRow};
use super::{read, yaml::Word};

pub(super) use render::{NO_SECTION, records};

/// The form in which a document is written. Each is byte-stable: the same model, the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A matrix file, which can be read again.
    Csv,
    /// A pipe table with a row for each section.
    Markdown,
    /// A page with one table, for browsers and screen readers.
    Html,
}

/// A matrix as people read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The matrix' name.
    pub name: String,
    /// The headers of its role columns; those that have every row come first.
    pub columns: Vec<String>,
    /// Its rows, in the file's order.
    pub rows: Vec<DocumentRow>,
    /// Gates that no cell shows: of the matrix, of a column's role, at the scope asked.
    pub notes: Vec<String>,
}

/// A row of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRow {
    /// The section it stands in; may be empty.
    pub section: String,
    /// The permission.
    pub permission: String,
    /// What people call it; may be empty.
    pub label: String,
    /// The gate of the row; in the long form that of its first line. May be empty.
    pub gate: String,
    /// The cells that grant, in the order of columns; the others do not.
    pub granted: Vec<GrantedCell>,
}

/// A cell of a document that grants: the column's role has the row's permission, if the gates hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedCell {
    /// The index of its column.
    pub column: usize,
    /// Its gate: the row's, or in the long form its own. May be empty.
    pub gate: String,
}

impl Document {
    /// The document of a model's matrix. `None`: the files have no such matrix, or no sound one; ask
    /// [`load`](super::load) why.
    #[must_use]
    pub fn of(files: &SourceFiles, name: &str) -> Option<Self> {
        let written = Written::open(files)?;
        let matrix = written.matrix(name)?;
        Some(written.document(matrix, &Table::of(files, &matrix.file.text)?))
    }

    /// The text, in this form.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Csv => render::csv(self),
            Format::Markdown => render::markdown(self),
            Format::Html => html::page(self),
        }
    }

    /// How many cells grant.
    #[must_use]
    pub fn granted(&self) -> usize {
        self.rows.iter().map(|row| row.granted.len()).sum()
    }
}

impl DocumentRow {
    /// Some granted cells have other gates than the row: only the long form can say that.
    fn is_mixed(&self) -> bool {
        self.granted.iter().any(|cell| cell.gate != self.gate)
    }

    /// What stands in each of so many columns: a cell that grants, or nothing.
    fn cells(&self, columns: usize) -> impl Iterator<Item = Option<&GrantedCell>> {
        let mut rest = self.granted.iter().peekable();
        (0..columns).map(move |column| rest.next_if(|cell| cell.column == column))
    }
}

/// `model.yaml` as its author wrote it, with the values of its parameters.
pub(super) struct Written {
    pub(super) source: Source,
    /// The boolean parameters.
    pub(super) parameters: BTreeMap<String, bool>,
    patterns: BTreeMap<String, Vec<String>>,
}

impl Written {
    /// `None` where `model.yaml` is missing or has a problem of form.
    pub(super) fn open(files: &SourceFiles) -> Option<Self> {
        let mut report = Report::default();
        let source = read::read(files.get(MODEL_FILE)?, &mut report);
        if !report.is_empty() {
            return None;
        }
        let (mut parameters, mut patterns) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in &source.parameters {
            match value {
                ParameterSource::Bool(value) => {
                    parameters.insert(name.text.clone(), *value);
                }
                ParameterSource::Patterns(words) => {
                    let words = words.iter().map(|word| word.text.clone()).collect();
                    patterns.insert(name.text.clone(), words);
                }
            }
        }
        Some(Self { source, parameters, patterns })
    }

    pub(super) fn matrix(&self, name: &str) -> Option<&MatrixSource> {
        self.source.matrices.iter().find(|matrix| matrix.name.text == name)
    }

    /// What a cell says: a mark, or the value of a parameter.
    pub(super) fn value(&self, text: &str) -> bool {
        match text.to_ascii_lowercase().as_str() {
            "yes" | "1" | "x" => true,
            "no" | "0" | "-" | "" => false,
            _ => self.parameters.get(text).copied().unwrap_or(false),
        }
    }

    /// Whether a row grants to a column, before any gate. What `cells` says replaces what the file says;
    /// a column that is not in the file has every row.
    pub(super) fn is_granted(
        &self,
        matrix: &MatrixSource,
        row: &TableRow,
        label: &str,
        field: Option<usize>,
    ) -> bool {
        match (self.said(matrix, &row.permission.text, label), field) {
            (Some(word), _) => self.value(&word.text),
            (None, None) => true,
            (None, Some(field)) => {
                let written = row.cell(field);
                written.is_some_and(|cell| self.value(&cell.value.text))
            }
        }
    }

    /// What `cells` says of a cell; the last that says it.
    pub(super) fn said<'m>(
        &self,
        matrix: &'m MatrixSource,
        permission: &str,
        label: &str,
    ) -> Option<&'m Word> {
        let mut cells = matrix.cells.iter().rev();
        let cell = cells.find(|cell| cell.row.text == permission && cell.column.text == label);
        cell.map(|cell| &cell.value)
    }

    pub(super) fn document(&self, matrix: &MatrixSource, table: &Table) -> Document {
        let whole = matrix.whole.iter().map(|word| (word.text.clone(), None));
        let read = table.columns.iter().enumerate().filter(|(_, word)| is_read(matrix, &word.text));
        let read = read.map(|(field, word)| (word.text.clone(), Some(field)));
        let columns: Vec<(String, Option<usize>)> = whole.chain(read).collect();
        // Where `cells` says nothing, a column in the file is granted only where something is written.
        let whole = matrix.whole.len();
        let by_field: HashMap<usize, usize> =
            columns.iter().enumerate().filter_map(|(i, (_, field))| Some(((*field)?, i))).collect();
        let by_label: HashMap<&str, usize> =
            columns.iter().enumerate().map(|(i, (label, _))| (label.as_str(), i)).collect();
        let mut said: HashMap<&str, Vec<usize>> = HashMap::new();
        for cell in &matrix.cells {
            let column = by_label.get(cell.column.text.as_str());
            said.entry(cell.row.text.as_str()).or_default().extend(column);
        }
        let rows = table.rows.iter().map(|row| {
            let row_gate = row.gate.as_ref().map_or("", |word| word.text.as_str());
            let written = row.cells.iter().filter_map(|cell| by_field.get(&cell.column));
            let said = said.get(row.permission.text.as_str()).into_iter().flatten();
            let mut places: Vec<usize> = (0..whole).chain(written.chain(said).copied()).collect();
            places.sort_unstable();
            places.dedup();
            let granted = places.into_iter().filter_map(|column| {
                let (label, field) = columns.get(column)?;
                let written = field.and_then(|field| row.cell(field));
                let gate = written.map_or(row_gate, |cell| {
                    cell.gate.as_ref().map_or("", |word| word.text.as_str())
                });
                let is_granted = self.is_granted(matrix, row, label, *field);
                is_granted.then(|| GrantedCell { column, gate: gate.to_owned() })
            });
            DocumentRow {
                section: row.section.clone(),
                permission: row.permission.text.clone(),
                label: row.label.clone(),
                gate: row_gate.to_owned(),
                granted: granted.collect(),
            }
        });
        let rows: Vec<DocumentRow> = rows.collect();
        let columns: Vec<String> = columns.into_iter().map(|(label, _)| label).collect();
        let notes = self.notes(matrix, &columns, &rows);
        Document { name: matrix.name.text.clone(), columns, rows, notes }
    }

    fn notes(
        &self,
        matrix: &MatrixSource,
        columns: &[String],
        rows: &[DocumentRow],
    ) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(gate) = &matrix.gate {
            notes.push(format!("Every cell counts only if: {}", gate.text));
        }
        for label in columns {
            let (role, bound) = role_of(matrix, label);
            let groups = self.source.roles.iter().filter(|group| {
                group.at.iter().any(|at| at.text == bound)
                    && group.names.iter().any(|name| name.text == role)
            });
            for group in groups {
                let own = group.gates.iter().filter(|(name, _)| name.text == role);
                let gates = group.gate.iter().chain(own.map(|(_, gate)| gate));
                notes.extend(gates.map(|gate| format!("{label} counts only if: {}", gate.text)));
            }
        }
        for asked in &self.source.asked {
            let patterns: Vec<&str> = match &asked.rows {
                RowsSource::Patterns(words) => words.iter().map(|w| w.text.as_str()).collect(),
                RowsSource::Parameter(name) => {
                    let patterns = self.patterns.get(&name.text).into_iter().flatten();
                    patterns.map(String::as_str).collect()
                }
            };
            let fits = |row: &DocumentRow| patterns.iter().any(|p| matches(p, &row.permission));
            if rows.iter().any(fits) {
                let (patterns, gate) = (patterns.join(", "), &asked.gate.text);
                notes.push(format!("Asked at the scope, for {patterns}: {gate}"));
            }
        }
        notes
    }
}

/// Whether this matrix reads the column of its file; another may read the others.
pub(super) fn is_read(matrix: &MatrixSource, label: &str) -> bool {
    matrix.bound.is_some() || matrix.columns.iter().any(|(said, _)| said.text == label)
}

/// The role and the type that a column stands for.
fn role_of<'a>(matrix: &'a MatrixSource, label: &'a str) -> (&'a str, &'a str) {
    let said = matrix.columns.iter().find(|(said, _)| said.text == label);
    let said = said.and_then(|(_, target)| target.text.split_once('@'));
    said.unwrap_or((label, matrix.bound.as_ref().map_or("", |word| word.text.as_str())))
}
