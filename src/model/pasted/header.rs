//! What the columns of a table are: labels, roles, gates. Where a table can be read in two ways, and the
//! ways differ in what is granted, neither is taken.

use super::mark::{Kind, kind};
use super::{Field, Grid, Pasted, Reading, folded};
use crate::model::names::Name;
use crate::model::yaml::Word;

/// Headers of columns that hold words, also where roles could stand.
const LABELS: [&str; 27] = [
    "action",
    "actions",
    "activity",
    "area",
    "capability",
    "capabilities",
    "category",
    "description",
    "feature",
    "features",
    "function",
    "functions",
    "group",
    "item",
    "label",
    "module",
    "operation",
    "permission",
    "permissions",
    "privilege",
    "resource",
    "right",
    "rights",
    "section",
    "submodule",
    "task",
    "what",
];
const NAMES: [&str; 4] = ["permission", "permission_slug", "permission slug", "slug"];
/// Headers of a column of the long form that says whether the line grants.
const EFFECTS: [&str; 7] = ["allow", "allowed", "access", "decision", "effect", "grant", "granted"];
const ROLES: [&str; 2] = ["role", "roles"];
const NOTES: [&str; 6] = ["note", "notes", "comment", "comments", "remark", "remarks"];

/// Where in a row each thing stands.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// The columns of sections, outermost first.
    pub(super) sections: Vec<usize>,
    pub(super) label: Option<usize>,
    /// The column that names permissions; without one they are made from labels.
    pub(super) permission: Option<usize>,
    pub(super) gate: Option<usize>,
    pub(super) note: Option<usize>,
    /// The column that names the role, in the long form.
    pub(super) role: Option<usize>,
    /// The column that says yes or no, in the long form; without one a line is a grant.
    pub(super) effect: Option<usize>,
    /// The role columns: where, and the index among those of all tables.
    pub(super) roles: Vec<(usize, usize)>,
    pub(super) width: usize,
}

/// `None`, and a problem: nothing of the table is read.
pub(super) fn layout(grid: &Grid, reading: Reading, pasted: &mut Pasted) -> Option<Layout> {
    let find = |names: &[&str]| {
        grid.header.iter().position(|word| names.contains(&folded(&word.text).as_str()))
    };
    let mut layout = Layout {
        gate: find(&["gate"]),
        note: find(&NOTES),
        permission: names_column(grid),
        width: grid.header.len(),
        ..Layout::default()
    };
    if layout.permission.is_some() {
        layout.sections = find(&["section"]).into_iter().collect();
        layout.label = find(&["label"]);
        layout.role = find(&["role"]);
    } else {
        let labels = label_columns(grid, reading, pasted)?;
        let mut own = (0..labels).filter(|i| Some(*i) != layout.gate && Some(*i) != layout.note);
        layout.label = own.next_back();
        layout.sections = own.collect();
    }
    if layout.role.is_some() {
        return long(grid, layout, pasted);
    }
    not_roles(grid, &layout, pasted)?;
    for (i, word) in grid.header.iter().enumerate() {
        let own = [layout.label, layout.permission, layout.gate, layout.note];
        if own.contains(&Some(i)) || layout.sections.contains(&i) {
            continue;
        }
        if word.text.is_empty() {
            unnamed(grid, i, word, pasted)?;
            continue;
        }
        if grid.header.iter().take(i).any(|other| folded(&other.text) == folded(&word.text)) {
            let message =
                format!("the column `{}` is there twice; none of the table is read", word.quoted());
            pasted.unread(&word.at, message);
            return None;
        }
        let column = pasted.column(word);
        layout.roles.push((i, column));
    }
    if layout.roles.is_empty() {
        let at = grid.header.first().map(|word| word.at.clone())?;
        pasted.unread(&at, "the table has no column for a role; none of it is read");
        return None;
    }
    Some(layout)
}

/// The long form has no columns but its own: one that is not known may turn a grant into a refusal.
fn long(grid: &Grid, mut layout: Layout, pasted: &mut Pasted) -> Option<Layout> {
    for (i, word) in grid.header.iter().enumerate() {
        let own = [layout.label, layout.permission, layout.gate, layout.note, layout.role];
        let is_filled = |row: &Vec<Field>| row.get(i).is_some_and(|f| !f.word.text.is_empty());
        let is_filling = word.text.is_empty() && !grid.rows.iter().any(is_filled);
        if own.contains(&Some(i)) || layout.sections.contains(&i) || is_filling {
            continue;
        }
        if layout.effect.is_none() && EFFECTS.contains(&folded(&word.text).as_str()) {
            layout.effect = Some(i);
            continue;
        }
        let message =
            format!("`{}` is no column of the long form; none of the table is read", word.quoted());
        pasted.unread(&word.at, message);
        return None;
    }
    Some(layout)
}

/// Columns whose header says that they are no role's, while their cells say otherwise; and rows for roles.
fn not_roles(grid: &Grid, layout: &Layout, pasted: &mut Pasted) -> Option<()> {
    let kinds = |i: usize| {
        let fields = grid.rows.iter().filter_map(move |row| row.get(i));
        fields.map(|field| kind(&field.word.text))
    };
    for (i, word) in grid.header.iter().enumerate() {
        let has_words = kinds(i).any(|kind| matches!(kind, Kind::Text | Kind::Conditional));
        let has_ticks = kinds(i).any(|kind| matches!(kind, Kind::Tick | Kind::Letter));
        // Where exported documents have them, a section and a label may be of any words, `x` too.
        let is_misplaced = layout.permission.is_some_and(|permission| {
            layout.sections.contains(&i) && i > permission
                || layout.label == Some(i) && i != permission + 1
        });
        let is_ours = [layout.gate, layout.note].contains(&Some(i)) || is_misplaced;
        let why = if is_ours && has_ticks && !has_words {
            "holds marks: is it a role's? Name it otherwise"
        } else if has_words && ROLES.contains(&folded(&word.text).as_str()) {
            "holds roles: a table has a column for each role, or the columns `permission`, with names, \
             and `role`"
        } else {
            continue;
        };
        let message = format!("the column `{}` {why}; none of the table is read", word.quoted());
        pasted.unread(&word.at, message);
        return None;
    }
    Some(())
}

/// A column without a header may be filling; with marks in it all headers may stand one too far left.
fn unnamed(grid: &Grid, column: usize, word: &Word, pasted: &mut Pasted) -> Option<()> {
    let fields = grid.rows.iter().filter_map(|row| row.get(column));
    for field in fields.filter(|field| !field.word.text.is_empty()) {
        if kind(&field.word.text).is_mark() {
            let message = format!(
                "column {} has no header, and `{}` in it: which role is it? None of the table is read",
                column + 1,
                field.word.quoted(),
            );
            let at = if grid.is_markdown { &word.at } else { &field.word.at };
            pasted.unread(at, message);
            return None;
        }
        let message = format!("`{}`: its column has no header; not read", field.word.quoted());
        pasted.unread(&field.word.at, message);
    }
    Some(())
}

/// The column whose header says that it names permissions, and whose fields are names.
fn names_column(grid: &Grid) -> Option<usize> {
    let column = grid.header.iter().position(|word| NAMES.contains(&word.text.as_str()))?;
    let fields = grid.rows.iter().filter(|row| !is_section(row, grid.is_markdown));
    let mut fields = fields.filter_map(|row| row.get(column)).filter(|f| !f.word.text.is_empty());
    fields.all(|field| Name::parse(&field.word.text).is_ok()).then_some(column)
}

/// A bold text in the first field, and nothing beside it: how a document writes a section.
pub(super) fn is_section(row: &[Field], is_markdown: bool) -> bool {
    let is_marked = row.first().is_some_and(|field| field.is_bold) || is_no_section(row);
    is_markdown && is_marked && row.iter().skip(1).all(|field| field.word.text.is_empty())
}

/// The row that ends the sections before it; bold, the text is a section's name.
pub(super) fn is_no_section(row: &[Field]) -> bool {
    let is = |field: &Field| field.word.text == crate::model::document::NO_SECTION;
    row.first().is_some_and(|field| is(field) && !field.is_bold)
}

/// How many leading columns hold words; of one that may be a role's, people are asked.
fn label_columns(grid: &Grid, reading: Reading, pasted: &mut Pasted) -> Option<usize> {
    if let Some(said) = reading.label_columns {
        return Some(said.clamp(1, grid.header.len().max(1)));
    }
    let mut labels = 1;
    while let Some(word) = grid.header.get(labels) {
        let fields = || grid.rows.iter().filter_map(|row| Some((row, row.get(labels)?)));
        let is =
            |wanted: Kind| fields().filter(|(_, field)| kind(&field.word.text) == wanted).count();
        let marked = || fields().filter(|(_, field)| kind(&field.word.text).is_mark());
        let words = is(Kind::Text);
        let has_marks = marked().next().is_some();
        let header = folded(&word.text);
        let is_named = LABELS.contains(&header.as_str());
        let is_told = header.is_empty()
            || header == "gate"
            || [&LABELS[..], &NOTES[..], &ROLES[..]].concat().contains(&header.as_str());
        // A role's column may have ticks that are not known, `O` or a thumb, in every cell.
        if !has_marks && words > 0 && !is_told {
            return ask(word, "words and no marks", labels, pasted);
        }
        if !has_marks && (words > 0 || is_named) {
            labels += 1;
            continue;
        }
        if words == 0 && !is_named {
            break;
        }
        // A cell over several rows is missing in all but the first of them, which then stand further
        // left and end in a blank.
        let can_be_moved = |row: &[Field]| {
            row.len() < grid.header.len() || row.last().is_some_and(|f| f.word.text.is_empty())
        };
        if is_named || marked().all(|(row, _)| can_be_moved(row)) {
            let has = if words == 0 { "a label's header and marks" } else { "words and marks" };
            return ask(word, has, labels, pasted);
        }
        break;
    }
    Some(labels)
}

fn ask(word: &Word, has: &str, labels: usize, pasted: &mut Pasted) -> Option<usize> {
    let message = format!(
        "the column `{}` has {has}: is it a role's? Say --label-columns {labels} if it is, \
         --label-columns {} if not; none of the table is read",
        word.quoted(),
        labels + 1,
    );
    pasted.unread(&word.at, message);
    None
}
