//! A spreadsheet's export as a grid, whichever of `,` `;` and tab it puts between fields.

use super::{Field, Grid, Pasted};
use crate::model::problem::Report;
use crate::model::table::{self, Line};

const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// The one table of the text; none if there is no row.
pub(super) fn grids(file: &str, text: &str, pasted: &mut Pasted) -> Vec<Grid> {
    // A spreadsheet may say its separator in a line of its own, and then it is that one.
    let said = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    let said = said.trim_matches('"').strip_prefix("sep=").and_then(|rest| rest.bytes().next());
    let separator = said.filter(|byte| SEPARATORS.contains(byte)).unwrap_or_else(|| likely(text));
    let mut report = Report::default();
    let lines = table::lines(file, text, separator, &mut report);
    if let Err(problems) = report.finish(Some(())) {
        pasted.unread.extend(problems.as_slice().iter().cloned());
    }
    let mut lines = lines.into_iter().skip(usize::from(said.is_some())).peekable();
    let filled = |line: &Line| line.iter().filter(|field| !field.text.is_empty()).count();
    while let Some(title) = lines.next_if(|line| filled(line) < 2) {
        if let Some(word) = title.iter().find(|field| !field.text.is_empty()) {
            let message = format!("`{}`: a title above the table", word.quoted());
            pasted.note(&word.at, message);
        }
    }
    let Some(header) = lines.next() else { return Vec::new() };
    let field = |word| Field { word, is_bold: false, is_struck: false };
    let rows = lines.map(|line| line.into_iter().map(field).collect()).collect();
    vec![Grid { heading: String::new(), header, rows, is_markdown: false }]
}

/// The separator that gives the most records of one width.
fn likely(text: &str) -> u8 {
    let fit = |separator: u8| {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator)
            .from_reader(text.as_bytes());
        let mut widths = std::collections::BTreeMap::new();
        for record in reader.records().flatten().filter(|record| record.len() > 1) {
            *widths.entry(record.len()).or_insert(0_usize) += 1;
        }
        widths.into_iter().map(|(width, records)| (records, width)).max().unwrap_or_default()
    };
    // Of equals the first.
    SEPARATORS.into_iter().rev().max_by_key(|separator| fit(*separator)).unwrap_or(b',')
}
