//! Renders a matrix of a compiled model as it decides. Knows no files; the matrix as its author wrote it
//! is [`document`](super::document)'s.

use super::form::{Cell, Matrix, Model};

/// The matrix as CSV: a header, then a row per permission. A cell is `yes`, `no` or `if <gate>`.
#[must_use]
pub fn render(model: &Model, matrix: &Matrix) -> String {
    let header = std::iter::once("permission".to_owned());
    let header = header.chain(matrix.columns.iter().map(|column| column.label.clone())).collect();
    let mut lines: Vec<Vec<String>> = vec![header];
    for row in &matrix.rows {
        let permission = std::iter::once(model.name_of(row.permission).to_owned());
        lines.push(permission.chain(row.cells.iter().map(cell)).collect());
    }
    super::document::records(&lines)
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::No => "no".to_owned(),
        Cell::Yes => "yes".to_owned(),
        Cell::If(gate) => format!("if {gate}"),
    }
}
