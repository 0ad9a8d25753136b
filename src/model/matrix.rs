//! Renders a matrix of a compiled model as it decides. Knows no files; the matrix as its author wrote it
//! is [`document`](super::document)'s.

use std::borrow::Cow;

use super::form::{Cell, Matrix, Model};

/// The matrix as CSV: a header, then a row per permission. A cell is `yes`, `no` or `if <gate>`.
#[must_use]
pub fn render(model: &Model, matrix: &Matrix) -> String {
    // Line by line: of a role list of cloud size all cells at once would take gigabytes.
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = matrix.columns.iter().map(|column| column.label.as_str());
    // Writing to memory cannot fail, and every line is as long as the header.
    let _ = writer.write_record(std::iter::once("permission").chain(header));
    for row in &matrix.rows {
        let permission = Cow::Borrowed(model.name_of(row.permission));
        let line = std::iter::once(permission).chain(row.cells.iter().map(cell));
        for field in line {
            let _ = writer.write_field(field.as_bytes());
        }
        let _ = writer.write_record(None::<&[u8]>);
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

fn cell(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::No => "no".into(),
        Cell::Yes => "yes".into(),
        Cell::If(gate) => format!("if {gate}").into(),
    }
}
