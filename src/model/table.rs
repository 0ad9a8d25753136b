//! A matrix' CSV file as a table with positions, the wide form and the long form alike. Knows the
//! columns' headers, not what roles and permissions exist.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use super::files::SourceFiles;
use super::limits::{MATRIX_CELLS_MAX, MATRIX_COLUMNS_MAX, MATRIX_FILE_BYTES_MAX, PERMISSIONS_MAX};
use super::names::quoted;
use super::problem::{Position, Report};
use super::suggest::{did_you_mean, nearest};
use super::yaml::Word;

/// The headers that are no role columns.
const OWN_HEADERS: [&str; 5] = ["section", "permission", "label", "gate", "note"];

/// A matrix as its file has it.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The headers of the role columns.
    pub(super) columns: Vec<Word>,
    pub(super) rows: Vec<TableRow>,
}

#[derive(Debug)]
pub(super) struct TableRow {
    pub(super) section: String,
    pub(super) permission: Word,
    pub(super) label: String,
    pub(super) note: String,
    /// The row's gate; in the long form that of its first line.
    pub(super) gate: Option<Word>,
    /// Lines of the row, in the long form, have different gates.
    pub(super) mixed_gates: bool,
    /// What was written, in the order of columns; a column not mentioned is blank.
    pub(super) cells: Vec<TableCell>,
}

impl TableRow {
    /// What was written in this column.
    pub(super) fn cell(&self, column: usize) -> Option<&TableCell> {
        let at = self.cells.binary_search_by_key(&column, |cell| cell.column).ok()?;
        self.cells.get(at)
    }
}

#[derive(Debug)]
pub(super) struct TableCell {
    pub(super) column: usize,
    pub(super) value: Word,
    /// Of the whole row in the wide form.
    pub(super) gate: Option<Rc<Word>>,
}

impl Table {
    /// A file's table. `None` where the file is missing or has a problem.
    pub(super) fn of(files: &SourceFiles, file: &str) -> Option<Self> {
        let mut report = Report::default();
        let table = read(file, files.get(file)?, &mut report);
        report.is_empty().then_some(table)
    }
}

/// A line of the file: its fields with their places.
pub(super) type Line = Vec<Word>;

/// Reads a matrix' text; what cannot be read is reported and left out.
pub(super) fn read(file: &str, text: &str, report: &mut Report) -> Table {
    let start = Position::start(file);
    if text.len() > MATRIX_FILE_BYTES_MAX {
        report.push(&start, format!("the file is larger than {MATRIX_FILE_BYTES_MAX} bytes"));
        return Table::default();
    }
    let mut reading = None;
    let mut is_empty = true;
    each_line(file, text, b',', report, |line, report| {
        is_empty = false;
        match &mut reading {
            None => match Reading::begin(&line, &start, report) {
                Some(begun) => reading = Some(begun),
                None => return ControlFlow::Break(()),
            },
            Some(reading) => return reading.line(&line, &start, report),
        }
        ControlFlow::Continue(())
    });
    if is_empty {
        report.push(&start, "the matrix is empty: a header row was expected");
    }
    reading.map(|reading| reading.finish(report)).unwrap_or_default()
}

/// A table while its lines are read, one after the other: no more than the table is held.
struct Reading {
    header: Header,
    table: Table,
    /// The rows by permission, and in the long form the columns by role.
    rows: HashMap<String, usize>,
    columns: HashMap<String, usize>,
    cells: usize,
}

impl Reading {
    fn begin(line: &Line, start: &Position, report: &mut Report) -> Option<Self> {
        let header = Header::read(line, report)?;
        if header.roles.len() > MATRIX_COLUMNS_MAX {
            let message = format!("a matrix has at most {MATRIX_COLUMNS_MAX} role columns");
            report.push(start, message);
            return None;
        }
        let table = Table { columns: header.roles.clone(), rows: Vec::new() };
        let (rows, columns) = (HashMap::new(), HashMap::new());
        Some(Self { header, table, rows, columns, cells: 0 })
    }

    fn line(&mut self, line: &Line, start: &Position, report: &mut Report) -> ControlFlow<()> {
        let width = self.header.width;
        if line.len() != width {
            let at = line.first().map_or(start, |field| &field.at);
            let message = format!("expected {width} fields as in the header, found {}", line.len());
            report.push(at, message);
        }
        if self.table.rows.len() >= PERMISSIONS_MAX && self.is_new(line) {
            report.push(start, format!("a matrix has at most {PERMISSIONS_MAX} rows"));
            return ControlFlow::Break(());
        }
        self.cells += if self.header.role.is_some() { 1 } else { self.header.roles.len() };
        if self.cells > MATRIX_CELLS_MAX {
            report.push(start, format!("a matrix file has at most {MATRIX_CELLS_MAX} cells"));
            return ControlFlow::Break(());
        }
        match self.header.role {
            Some(role) => self.long_row(line, role, report),
            None => self.wide_row(line, report),
        }
        ControlFlow::Continue(())
    }

    /// Whether the line begins a row.
    fn is_new(&self, line: &Line) -> bool {
        let permission = line.get(self.header.permission);
        permission.is_none_or(|word| !self.rows.contains_key(&word.text))
    }

    fn wide_row(&mut self, line: &Line, report: &mut Report) {
        let Some(permission) = line.get(self.header.permission) else { return };
        if let Some(row) = self.rows.insert(permission.text.clone(), self.table.rows.len()) {
            let first = self.table.rows.get(row).map_or(0, |row| row.permission.at.line);
            let quoted = permission.quoted();
            let message = format!("the permission `{quoted}` has a row already, on line {first}");
            report.push(&permission.at, message);
            return;
        }
        let gate = self.header.gate_of(line).map(Rc::new);
        let fields = self.header.role_fields.iter().enumerate();
        let cells = fields.filter_map(|(column, field)| {
            let value = line.get(*field)?.clone();
            Some(TableCell { column, value, gate: gate.clone() })
        });
        let cells = cells.collect();
        self.table.rows.push(self.header.row(line, permission, cells));
    }

    fn long_row(&mut self, line: &Line, role: usize, report: &mut Report) {
        let (Some(permission), Some(role)) = (line.get(self.header.permission), line.get(role))
        else {
            return;
        };
        let column = match self.columns.get(&role.text) {
            Some(column) => *column,
            None if self.table.columns.len() >= MATRIX_COLUMNS_MAX => {
                report.push(&role.at, format!("a matrix has at most {MATRIX_COLUMNS_MAX} roles"));
                return;
            }
            None => {
                self.table.columns.push(role.clone());
                self.columns.insert(role.text.clone(), self.columns.len());
                self.columns.len() - 1
            }
        };
        let row = match self.rows.get(&permission.text) {
            Some(row) => *row,
            None => {
                self.rows.insert(permission.text.clone(), self.table.rows.len());
                self.table.rows.push(self.header.row(line, permission, Vec::new()));
                self.table.rows.len() - 1
            }
        };
        let Some(row) = self.table.rows.get_mut(row) else { return };
        let gate = self.header.gate_of(line);
        let text = |gate: Option<&Word>| gate.map(|word| word.text.clone());
        row.mixed_gates |= text(row.gate.as_ref()) != text(gate.as_ref());
        // Only its place is ever told, as that of the line.
        let value = Word::on_line("yes", &permission.at);
        row.cells.push(TableCell { column, value, gate: gate.map(Rc::new) });
    }

    /// The table, its cells in the order of columns. Of a cell that is there twice the first stays.
    fn finish(mut self, report: &mut Report) -> Table {
        for row in &mut self.table.rows {
            row.cells.sort_by_key(|cell| cell.column);
            let mut twice = Vec::new();
            row.cells.dedup_by(|later, first| {
                let same = later.column == first.column;
                if same {
                    twice.push((later.value.at.clone(), first.column, first.value.at.line));
                }
                same
            });
            for (at, column, first) in twice {
                let role = self.table.columns.get(column).map(Word::quoted).unwrap_or_default();
                let permission = row.permission.quoted();
                let message =
                    format!("`{permission}`, `{role}` is granted already, on line {first}");
                report.push(&at, message);
            }
        }
        self.table
    }
}

/// Where in a line each thing stands.
struct Header {
    width: usize,
    section: Option<usize>,
    permission: usize,
    label: Option<usize>,
    gate: Option<usize>,
    note: Option<usize>,
    /// The column that names the role, in the long form.
    role: Option<usize>,
    /// The role columns of the wide form: the field's index is `role_fields[i]` for column i.
    roles: Vec<Word>,
    role_fields: Vec<usize>,
}

impl Header {
    fn read(line: &Line, report: &mut Report) -> Option<Self> {
        let find = |name| line.iter().position(|field| field.text == name);
        let mut roles: Vec<Word> = Vec::new();
        let mut role_fields = Vec::new();
        let role = find("role");
        for (i, field) in line.iter().enumerate() {
            if line.iter().take(i).any(|earlier| earlier.text == field.text) {
                let message = format!("the column `{}` is there twice", field.quoted());
                report.push(&field.at, message);
            } else if OWN_HEADERS.contains(&field.text.as_str()) || Some(i) == role {
            } else if role.is_some() {
                let near = did_you_mean(&field.text, OWN_HEADERS);
                let message = format!("`{}` is no column of the long form{near}", field.quoted());
                report.push(&field.at, message);
            } else {
                roles.push(field.clone());
                role_fields.push(i);
            }
        }
        let Some(permission) = find("permission") else {
            let at = line.first().map(|field| &field.at)?;
            let near = nearest("permission", line.iter().map(|field| field.text.as_str()));
            let near = near.map_or_else(String::new, |near| format!("; is it `{near}`?"));
            let commas =
                line.len() == 1 && line.iter().any(|field| field.text.contains([';', '\t']));
            let commas = if commas { ": fields are separated by commas" } else { "" };
            report.push(at, format!("the header has no column `permission`{near}{commas}"));
            return None;
        };
        Some(Self {
            width: line.len(),
            section: find("section"),
            permission,
            label: find("label"),
            gate: find("gate"),
            note: find("note"),
            role,
            roles,
            role_fields,
        })
    }

    fn gate_of(&self, line: &Line) -> Option<Word> {
        self.gate.and_then(|i| line.get(i)).filter(|field| !field.text.is_empty()).cloned()
    }

    fn text_of(field: Option<usize>, line: &Line) -> String {
        field.and_then(|i| line.get(i)).map_or_else(String::new, |field| field.text.clone())
    }

    fn row(&self, line: &Line, permission: &Word, cells: Vec<TableCell>) -> TableRow {
        TableRow {
            section: Self::text_of(self.section, line),
            permission: permission.clone(),
            label: Self::text_of(self.label, line),
            note: Self::text_of(self.note, line),
            gate: self.gate_of(line),
            mixed_gates: false,
            cells,
        }
    }
}

/// The lines of a CSV text with the places of their fields; blank lines are left out.
pub(super) fn lines(file: &str, text: &str, separator: u8, report: &mut Report) -> Vec<Line> {
    let mut lines = Vec::new();
    each_line(file, text, separator, report, |line, _| {
        lines.push(line);
        ControlFlow::Continue(())
    });
    lines
}

/// Hands on one such line after the other, until the reader has enough.
fn each_line(
    file: &str,
    text: &str,
    separator: u8,
    report: &mut Report,
    mut read: impl FnMut(Line, &mut Report) -> ControlFlow<()>,
) {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator)
        .from_reader(text.as_bytes());
    let mut places = Places::new(file, text, separator);
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let message = format!("not CSV: {}", quoted(&error.to_string()));
                report.push(&Position::start(file), message);
                break;
            }
        };
        let Some(at) = record.position().and_then(|p| usize::try_from(p.byte()).ok()) else {
            continue;
        };
        places.seek(at);
        let fields = record.iter().map(|field| {
            let place = places.field();
            let blank = field.chars().take_while(|c| c.is_whitespace()).count();
            Word::on_line(field.trim(), &place.right(blank))
        });
        let line: Line = fields.collect();
        let is_blank = line.iter().all(|field| field.text.is_empty());
        if !is_blank && read(line, report).is_break() {
            break;
        }
    }
    if let Some(at) = places.unclosed {
        // The reader takes all that follows for this one field.
        report.push(&at, "the quote that begins this field is not closed");
    }
}

/// Follows the raw text, to tell where each field begins: the reader gives only the record's.
struct Places<'t> {
    at: Position,
    rest: std::iter::Peekable<std::str::CharIndices<'t>>,
    separator: char,
    /// The field whose quote the text does not close.
    unclosed: Option<Position>,
}

impl<'t> Places<'t> {
    fn new(file: &str, text: &'t str, separator: u8) -> Self {
        let rest = text.char_indices().peekable();
        Self { at: Position::start(file), rest, separator: separator.into(), unclosed: None }
    }

    fn step(&mut self) -> Option<char> {
        let (_, c) = self.rest.next()?;
        if c == '\n' {
            self.at.line = self.at.line.saturating_add(1);
            self.at.column = 1;
        } else if c != '\u{feff}' {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(c)
    }

    /// Moves on to this byte, then over the line ends that the reader skips.
    fn seek(&mut self, byte: usize) {
        while self
            .rest
            .peek()
            .is_some_and(|(i, c)| *i < byte || matches!(c, '\r' | '\n' | '\u{feff}'))
        {
            self.step();
        }
    }

    /// Where the next field's text begins; moves past the field and its comma.
    fn field(&mut self) -> Position {
        let is_quoted = self.rest.peek().is_some_and(|(_, c)| *c == '"');
        if is_quoted {
            self.step();
        }
        let place = self.at.clone();
        let mut inside = is_quoted;
        while let Some((_, c)) = self.rest.peek().copied() {
            match c {
                '"' if is_quoted => inside = !inside,
                c if c == self.separator && !inside => {
                    self.step();
                    break;
                }
                '\n' | '\r' if !inside => break,
                _ => {}
            }
            self.step();
        }
        if inside {
            self.unclosed.get_or_insert_with(|| place.clone());
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_places_of_their_text() {
        let text = "\u{feff}section,permission,admin,note\r\n\r\na,\"a.\"\"x\", 1,\"two\nlines\"\nb,b.y,0,\n";
        let mut report = Report::default();
        let table = read("m.csv", text, &mut report);
        assert!(report.is_empty(), "{report:?}");
        assert_eq!(table.columns[0].at.to_string(), "m.csv:1:20");
        let place = |row: usize| table.rows[row].permission.at.to_string();
        assert_eq!((place(0).as_str(), place(1).as_str()), ("m.csv:3:4", "m.csv:5:3"));
        assert_eq!(table.rows[0].permission.text, "a.\"x");
        assert_eq!(table.rows[0].cells[0].value.text, "1");
        assert_eq!(table.rows[0].cells[0].value.at.to_string(), "m.csv:3:12");
    }
}
