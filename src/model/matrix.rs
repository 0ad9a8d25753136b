//! Renders a matrix of a compiled model as the document that people read. Knows no files.

use super::form::{Cell, Matrix, Model};

/// How a matrix is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For spreadsheets.
    Csv,
    /// For help pages and reviews.
    Markdown,
}

/// The matrix as a table: a header, then a row per permission. A cell is `yes`, `no` or `if <gate>`.
#[must_use]
pub fn render(model: &Model, matrix: &Matrix, format: Format) -> String {
    let header = std::iter::once("permission".to_owned());
    let header = header.chain(matrix.columns.iter().map(|column| column.label.clone())).collect();
    let mut lines: Vec<Vec<String>> = vec![header];
    for row in &matrix.rows {
        let permission = std::iter::once(model.name_of(row.permission).to_owned());
        lines.push(permission.chain(row.cells.iter().map(cell)).collect());
    }
    match format {
        Format::Csv => csv(&lines),
        Format::Markdown => markdown(&lines),
    }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::No => "no".to_owned(),
        Cell::Yes => "yes".to_owned(),
        Cell::If(gate) => format!("if {gate}"),
    }
}

fn csv(lines: &[Vec<String>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        // Writing to memory cannot fail, and every line is as long as the header.
        let _ = writer.write_record(line);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

fn markdown(lines: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (i, line) in lines.iter().enumerate() {
        text.push('|');
        for field in line {
            // A bar ends a cell and a line end ends the table, also where a gate's text has them.
            let field = field.replace('|', "\\|").replace(['\n', '\r'], " ");
            text.push_str(&format!(" {field} |"));
        }
        text.push('\n');
        if i == 0 {
            text.push('|');
            text.push_str(&" --- |".repeat(line.len()));
            text.push('\n');
        }
    }
    text
}
