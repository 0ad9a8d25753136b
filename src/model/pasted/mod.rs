//! Role tables as people write them: spreadsheets' exports and Markdown pages, as rows, columns and
//! marks with their places. Knows no model. What cannot be read with certainty grants nothing and is told.

mod delimited;
mod header;
mod hidden;
mod mark;
mod markdown;
mod shape;
pub(super) mod slug;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::problem::{Position, Problem};
use super::yaml::Word;

const BESIDE: &str =
    "`x` beside other marks, or a legend, may be a cross; --x yes or --x no says which";

/// A mark of a role's cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Yes,
    No,
    /// Why it is neither.
    Unread(&'static str),
}

/// A cell of a role's column.
#[derive(Debug)]
pub(super) struct PastedCell {
    pub(super) column: usize,
    pub(super) word: Word,
    pub(super) mark: Mark,
    /// Its own gate, in the long form; otherwise the row's.
    pub(super) gate: Option<String>,
}

/// A row that stands for a permission.
#[derive(Debug)]
pub(super) struct PastedRow {
    pub(super) at: Position,
    /// `None`: its table has no sections.
    pub(super) section: Option<String>,
    /// `None`: its table has no labels but names permissions.
    pub(super) label: Option<String>,
    /// The permission, where the table names it.
    pub(super) permission: Option<Word>,
    /// `None`: its table has no gates.
    pub(super) gate: Option<String>,
    pub(super) note: String,
    pub(super) cells: Vec<PastedCell>,
}

/// All tables of a text, as one.
#[derive(Debug, Default)]
pub(super) struct Pasted {
    /// The headers of the role columns.
    pub(super) columns: Vec<Word>,
    pub(super) rows: Vec<PastedRow>,
    /// What was not read, and what was taken instead.
    pub(super) unread: Vec<Problem>,
    /// What was read in one of several ways.
    pub(super) notes: Vec<Problem>,
    known: HashMap<String, usize>,
}

impl Pasted {
    /// The index of the column with this header; equal up to case and white space is the same.
    fn column(&mut self, header: &Word) -> usize {
        let next = self.columns.len();
        let index = *self.known.entry(folded(&header.text)).or_insert(next);
        if index == next {
            self.columns.push(header.clone());
        }
        index
    }

    pub(super) fn unread(&mut self, at: &Position, message: impl Into<String>) {
        self.unread.push(Problem { at: at.clone(), message: message.into() });
    }

    pub(super) fn note(&mut self, at: &Position, message: impl Into<String>) {
        self.notes.push(Problem { at: at.clone(), message: message.into() });
    }
}

/// How to read a text where it can be read in several ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// How many leading columns hold sections and labels; `None`: it must be plain from the table.
    pub label_columns: Option<usize>,
    /// Whether `x` grants; `None`: it does if no cell of the page has another mark that could be a tick.
    pub x_grants: Option<bool>,
}

/// A table before anybody knows what its columns are.
#[derive(Debug)]
struct Grid {
    /// The heading that it stands under.
    heading: String,
    header: Vec<Word>,
    rows: Vec<Vec<Field>>,
    is_markdown: bool,
}

#[derive(Debug, Clone)]
struct Field {
    word: Word,
    is_bold: bool,
    /// A part of it at least is struck out or hidden.
    is_struck: bool,
}

/// Reads a text. The name of its file tells Markdown from CSV, or else the text does. `is_known` tells the
/// words that a cell may hold beside marks.
pub(super) fn read(
    file: &str,
    text: &str,
    reading: Reading,
    is_known: &dyn Fn(&str) -> bool,
) -> Pasted {
    let mut pasted = Pasted::default();
    let mut grids = if is_markdown(file, text) {
        markdown::grids(file, text, &mut pasted)
    } else {
        delimited::grids(file, text, &mut pasted)
    };
    if grids.is_empty() {
        let what = "no table was found: expected CSV with a header row, or a Markdown table";
        pasted.unread(&Position::start(file), what);
    }
    if let [only] = grids.as_mut_slice() {
        // The only table's heading is the page's title, not a part of it.
        only.heading.clear();
    }
    let mut tables = Vec::new();
    for grid in grids {
        let layout = header::layout(&grid, reading, &mut pasted);
        tables.push((grid, layout));
    }
    // One hand wrote the page: what `x` is in one table it is in all.
    let has_others =
        tables.iter().any(|(grid, layout)| shape::has_other_ticks(grid, layout.as_ref(), is_known));
    let letter = match reading.x_grants {
        Some(true) => Mark::Yes,
        Some(false) => Mark::No,
        None if has_others || mark::has_legend(&unmarked(text, &tables)) => Mark::Unread(BESIDE),
        None => Mark::Yes,
    };
    for (grid, layout) in tables {
        if let Some(layout) = layout {
            shape::read(&grid, layout, letter, &mut pasted);
        }
    }
    pasted
}

/// The lines in which a page can explain its marks: all but the marked rows of tables that name their
/// permissions, as exported documents do. What stands beside marks there is a label, of any words.
fn unmarked(text: &str, tables: &[(Grid, Option<header::Layout>)]) -> String {
    let names = |layout: &Option<header::Layout>| {
        layout.as_ref().is_some_and(|layout| layout.permission.is_some())
    };
    let rows = tables.iter().filter(|(_, layout)| names(layout)).flat_map(|(grid, _)| &grid.rows);
    let marked = rows.filter(|row| row.iter().any(|field| mark::kind(&field.word.text).is_mark()));
    let lines: HashSet<u32> = marked
        .flatten()
        .flat_map(|Field { word, .. }| (word.at.line..).take(1 + word.text.matches('\n').count()))
        .collect();
    let all = (1_u32..).zip(text.lines());
    all.filter(|(at, _)| !lines.contains(at)).flat_map(|(_, line)| [line, "\n"]).collect()
}

fn is_markdown(file: &str, text: &str) -> bool {
    let extension = Path::new(file).extension().and_then(|ext| ext.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "md" | "markdown" | "mdx" => true,
        "csv" | "tsv" => false,
        _ => {
            let lines = || text.lines().filter(|line| !line.trim().is_empty());
            lines().any(|line| line.starts_with('|') || markdown::is_alignment(line))
                || lines().filter(|line| markdown::has_pipe(line)).count() * 2 > lines().count()
        }
    }
}

/// A text as it is compared: without regard to case and to how much white space there is.
pub(super) fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}
