//! A document as CSV and as Markdown. Whatever a text holds, it stays within its cell.

use super::{Document, DocumentRow, GrantedCell};
use crate::model::limits::MATRIX_CELLS_MAX;

/// What stands in the section row that ends the sections before it.
pub(in crate::model) const NO_SECTION: &str = "*no section*";

/// The matrix file: `section, permission, label, a column per role, gate`; without `label` where no row
/// has one. Cells with gates of their own take the long form, which names granted cells only, and so does
/// what would have too many cells to be read again.
pub(super) fn csv(document: &Document) -> String {
    let has_label = document.rows.iter().any(|row| !row.label.is_empty());
    let width = document.columns.len();
    let is_large = width.saturating_mul(document.rows.len()) > MATRIX_CELLS_MAX;
    let is_long = is_large || document.rows.iter().any(DocumentRow::is_mixed);
    let mut header = vec!["section", "permission"];
    header.extend(has_label.then_some("label"));
    if is_long {
        header.push("role");
    } else {
        header.extend(document.columns.iter().map(String::as_str));
    }
    header.push("gate");
    let mut lines = vec![header];
    for row in &document.rows {
        let mut start = vec![row.section.as_str(), row.permission.as_str()];
        start.extend(has_label.then_some(row.label.as_str()));
        if is_long {
            for cell in &row.granted {
                let label = document.columns.get(cell.column).map_or("", String::as_str);
                let rest = [label, cell.gate.as_str()];
                lines.push(start.iter().copied().chain(rest).collect());
            }
        } else {
            start.extend(row.cells(width).map(|cell| if cell.is_some() { "x" } else { "-" }));
            start.push(row.gate.as_str());
            lines.push(start);
        }
    }
    records(&lines)
}

/// Lines of CSV.
pub(in crate::model) fn records<S: AsRef<[u8]>>(lines: &[Vec<S>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        // Writing to memory cannot fail, and every line is as long as the header.
        let _ = writer.write_record(line);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// A pipe table with a bold row for each section, and the gates that no cell shows below it. Without
/// the columns `label` and `gate` where no row has one.
pub(super) fn markdown(document: &Document) -> String {
    let has_label = document.rows.iter().any(|row| !row.label.is_empty());
    let has_gate = document.rows.iter().any(|row| !row.gate.is_empty() && !row.is_mixed());
    let mut header = vec!["permission".to_owned()];
    header.extend(has_label.then(|| "label".to_owned()));
    header.extend(document.columns.iter().map(|label| escaped(label)));
    header.extend(has_gate.then(|| "gate".to_owned()));
    let width = header.len();
    let mut lines = vec![header, vec!["---".to_owned(); width]];
    let mut section = "";
    for row in &document.rows {
        if row.section != section {
            section = &row.section;
            let name = if section.is_empty() {
                NO_SECTION.to_owned()
            } else {
                format!("**{}**", escaped(section))
            };
            let mut line = vec![String::new(); width];
            if let Some(first) = line.first_mut() {
                *first = name;
            }
            lines.push(line);
        }
        let mut line = vec![escaped(&row.permission)];
        line.extend(has_label.then(|| escaped(&row.label)));
        let is_mixed = row.is_mixed();
        line.extend(row.cells(document.columns.len()).map(|cell| mark(cell, is_mixed)));
        let gate = if is_mixed { String::new() } else { escaped(&row.gate) };
        line.extend(has_gate.then_some(gate));
        lines.push(line);
    }
    let mut text = String::new();
    for line in lines {
        text.push('|');
        for field in line {
            text.push(' ');
            text.push_str(&field);
            text.push_str(if field.is_empty() { "|" } else { " |" });
        }
        text.push('\n');
    }
    for note in &document.notes {
        text.push_str(&format!("\n{}\n", escaped(note)));
    }
    text
}

fn mark(cell: Option<&GrantedCell>, is_mixed: bool) -> String {
    match cell {
        None => "-".to_owned(),
        Some(cell) if is_mixed && !cell.gate.is_empty() => format!("✓ if {}", escaped(&cell.gate)),
        Some(_) => "✓".to_owned(),
    }
}

/// A text that Markdown shows as it is, on one line.
fn escaped(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut shown = String::new();
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let is_within =
            before.is_alphanumeric() && rest.peek().is_some_and(|next| next.is_alphanumeric());
        match c {
            '\n' | '\r' => shown.push_str("<br>"),
            // Within a word it begins no emphasis.
            '_' if is_within => shown.push(c),
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '&' | '~' | '#' | '!' => {
                shown.push('\\');
                shown.push(c);
            }
            _ => shown.push(c),
        }
        before = c;
    }
    shown
}
