//! A document as a page with one table: nothing but elements and texts, which a browser shows and a
//! screen reader reads with the headers of each cell. No script, no style, no link.

use super::{Document, DocumentRow, GrantedCell};

pub(super) fn page(document: &Document) -> String {
    let has_label = document.rows.iter().any(|row| !row.label.is_empty());
    let has_gate = document.rows.iter().any(|row| !row.gate.is_empty() && !row.is_mixed());
    let name = escaped(&document.name);
    // The language of the labels is not known, and saying a wrong one is worse.
    let mut text = format!(
        "<!doctype html>\n<html lang=\"\">\n<head>\n<meta charset=\"utf-8\">\n<title>{name}</title>\n\
         </head>\n<body>\n<table>\n<caption>{name}"
    );
    for note in &document.notes {
        text.push_str(&format!("<br>\n{}", escaped(note)));
    }
    text.push_str("</caption>\n<thead>\n<tr>");
    let own = ["permission"].into_iter().chain(has_label.then_some("label"));
    let headers = own.chain(document.columns.iter().map(String::as_str));
    let headers: Vec<&str> = headers.chain(has_gate.then_some("gate")).collect();
    for header in &headers {
        text.push_str(&format!("<th scope=\"col\">{}</th>", escaped(header)));
    }
    text.push_str("</tr>\n</thead>\n");
    let sections = document.rows.chunk_by(|one, other| one.section == other.section);
    for rows in sections {
        text.push_str("<tbody>\n");
        let section = rows.first().map_or("", |row| row.section.as_str());
        if !section.is_empty() {
            let (width, section) = (headers.len(), escaped(section));
            text.push_str(&format!(
                "<tr><th scope=\"rowgroup\" colspan=\"{width}\">{section}</th></tr>\n"
            ));
        }
        for row in rows {
            text.push_str(&line(row, document.columns.len(), has_label, has_gate));
        }
        text.push_str("</tbody>\n");
    }
    text.push_str("</table>\n</body>\n</html>\n");
    text
}

fn line(row: &DocumentRow, columns: usize, has_label: bool, has_gate: bool) -> String {
    let mut text = format!("<tr><th scope=\"row\">{}</th>", escaped(&row.permission));
    if has_label {
        text.push_str(&format!("<td>{}</td>", escaped(&row.label)));
    }
    let is_mixed = row.is_mixed();
    for cell in row.cells(columns) {
        text.push_str(&format!("<td>{}</td>", value(cell, is_mixed)));
    }
    if has_gate {
        let gate = if is_mixed { String::new() } else { escaped(&row.gate) };
        text.push_str(&format!("<td>{gate}</td>"));
    }
    text.push_str("</tr>\n");
    text
}

fn value(cell: Option<&GrantedCell>, is_mixed: bool) -> String {
    match cell {
        None => "no".to_owned(),
        Some(cell) if is_mixed && !cell.gate.is_empty() => {
            format!("yes, if {}", escaped(&cell.gate))
        }
        Some(_) => "yes".to_owned(),
    }
}

/// A text that a browser shows as it is; control characters, which HTML does not admit, are marked.
fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\'' => shown.push_str("&#39;"),
            '\n' | '\r' => shown.push_str("<br>"),
            '\t' => shown.push(' '),
            c if c.is_control() => shown.push('\u{fffd}'),
            c => shown.push(c),
        }
    }
    shown
}
