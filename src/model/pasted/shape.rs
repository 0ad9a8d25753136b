//! A grid as rows that stand for permissions: sections carried down, moved rows put right, marks read.

use std::collections::HashMap;

use super::header::{Layout, is_no_section, is_section};
use super::mark::{Kind, kind};
use super::{Field, Grid, Mark, Pasted, PastedCell, PastedRow};
use crate::model::problem::Position;
use crate::model::yaml::Word;

/// Whether a role's cell has something that may be a tick, and is not `x`.
pub(super) fn has_other_ticks(
    grid: &Grid,
    layout: Option<&Layout>,
    is_known: &dyn Fn(&str) -> bool,
) -> bool {
    let rows = grid.rows.iter();
    let Some(layout) = layout else {
        return rows.flatten().any(|field| kind(&field.word.text) == Kind::Tick);
    };
    let columns = || layout.roles.iter().map(|(i, _)| *i).chain(layout.effect);
    rows.filter(|row| !is_title(row, grid, layout)).any(|row| {
        let mut texts = columns().filter_map(|i| row.get(i)).map(|field| field.word.text.as_str());
        texts.any(|text| match kind(text) {
            Kind::Blank | Kind::Letter | Kind::Cross => false,
            Kind::Tick | Kind::Conditional | Kind::Text => !is_known(text),
        })
    })
}

pub(super) fn read(grid: &Grid, layout: Layout, letter: Mark, pasted: &mut Pasted) {
    let has_sections = !layout.sections.is_empty()
        || !grid.heading.is_empty()
        || layout.permission.is_none()
        || grid.rows.iter().any(|row| is_section(row, grid.is_markdown));
    let mut shape = Shape {
        grid,
        layout,
        letter,
        has_sections,
        marks_sections: marks_sections(grid),
        levels: Vec::new(),
        title: None,
        is_struck: false,
        moved: None,
        by_permission: HashMap::new(),
        pasted,
    };
    for row in &grid.rows {
        shape.row(row);
    }
    shape.end_section(None);
    shape.tell_moved();
}

struct Shape<'a> {
    grid: &'a Grid,
    layout: Layout,
    /// What `x` says in this table.
    letter: Mark,
    has_sections: bool,
    /// Its sections are told from rows by more than that nothing stands beside them.
    marks_sections: bool,
    /// The texts of the section columns, carried down.
    levels: Vec<String>,
    /// The section row above, and whether a row has followed it.
    title: Option<(Word, bool)>,
    /// That section row is struck out.
    is_struck: bool,
    /// The first row that was put under its headers, and how many were.
    moved: Option<(Position, usize)>,
    /// In the long form, where the row of a permission is.
    by_permission: HashMap<String, usize>,
    pasted: &'a mut Pasted,
}

impl Shape<'_> {
    fn row(&mut self, row: &[Field]) {
        let Some(first) = row.iter().find(|field| !field.word.text.is_empty()) else { return };
        let at = first.word.at.clone();
        if is_title(row, self.grid, &self.layout) && !self.is_blank_row(row) {
            self.is_struck = row.iter().any(|field| field.is_struck);
            self.end_section((!is_no_section(row)).then(|| first.word.clone()));
            return;
        }
        let is_role = |i: usize| self.layout.roles.iter().any(|(role, _)| *role == i);
        if self.is_struck || row.iter().enumerate().any(|(i, f)| f.is_struck && !is_role(i)) {
            self.pasted.unread(&at, "struck out or hidden in a part; the row is not read");
            return;
        }
        let Some(row) = self.in_place(row, &at) else { return };
        self.carry(&row);
        if self.layout.role.is_some() {
            self.long(&row, &at);
        } else {
            self.wide(&row, &at);
        }
    }

    /// Whether a row with nothing beside its label is one that nobody has, and told to be that or a
    /// section where nothing marks it.
    fn is_blank_row(&mut self, row: &[Field]) -> bool {
        let Some(first) = row.first().filter(|_| self.layout.permission.is_none()) else {
            return false;
        };
        // Where sections have a column of their own, what stands in it is one.
        let has_column = !self.layout.sections.is_empty();
        if has_column || is_marked_title(row, self.grid.is_markdown) && self.marks_sections {
            return false;
        }
        let is_row = self.marks_sections;
        let taken = if is_row {
            "taken for a permission that nobody has, since sections are marked in this table"
        } else {
            "taken for a section; if it is a permission that nobody has, write `-` in its row"
        };
        let message = format!("`{}` stands alone: {taken}", first.word.quoted());
        self.pasted.note(&first.word.at, message);
        is_row
    }

    fn end_section(&mut self, next: Option<Word>) {
        if let Some((word, false)) = &self.title {
            let message = format!(
                "`{}`: no row follows in this section; if it is a permission that nobody has, write `-` \
                 in its row",
                word.quoted(),
            );
            self.pasted.note(&word.at, message);
        }
        self.title = next.map(|word| (word, false));
        self.levels.clear();
    }

    fn tell_moved(&mut self) {
        if let Some((at, count)) = self.moved.take() {
            let message = format!(
                "from here on rows without a section cell: {count}; read as if the one above reached down"
            );
            self.pasted.note(&at, message);
        }
    }

    /// The row with each field under its header. `None`, and a problem, where that is not certain.
    fn in_place(&mut self, row: &[Field], at: &Position) -> Option<Vec<Field>> {
        let width = self.layout.width;
        let mut row = row.to_vec();
        while row.len() > width && row.last().is_some_and(|field| field.word.text.is_empty()) {
            row.pop();
        }
        if row.len() > width {
            let message = format!("{} cells under {width} headers; the row is not read", row.len());
            self.pasted.unread(at, message);
            return None;
        }
        let Some(label) = self.layout.label.filter(|_| self.layout.permission.is_none()) else {
            return Some(row);
        };
        let of = |i: usize| row.get(i).map_or(Kind::Blank, |field| kind(&field.word.text));
        if !of(label).is_mark() {
            return Some(row);
        }
        // Cells over several rows are missing here; what stands before the first mark is the label.
        let marked = (0..label).find(|i| of(*i).is_mark()).unwrap_or(label);
        let moved = (label + 1).saturating_sub(marked);
        let end = width.saturating_sub(moved);
        let fits = marked > 0
            && (marked..end).all(|i| of(i).is_mark() || of(i) == Kind::Conditional)
            && row.iter().skip(end).all(|field| field.word.text.is_empty());
        let is_plain = self.layout.roles.len() == width - label - 1;
        if !fits || !is_plain {
            let message = "there is a mark where a label was expected; the row is not read";
            self.pasted.unread(at, message);
            return None;
        }
        let (_, count) = self.moved.get_or_insert_with(|| (at.clone(), 0));
        *count += 1;
        row.truncate(end);
        let filling = Field { word: Word::on_line("", at), is_bold: false, is_struck: false };
        row.splice(0..0, std::iter::repeat_n(filling, moved));
        Some(row)
    }

    /// Sections stand in the first of their rows only.
    fn carry(&mut self, row: &[Field]) {
        self.levels.resize(self.layout.sections.len(), String::new());
        for (level, column) in self.layout.sections.iter().enumerate() {
            let said = row.get(*column).map(|field| field.word.text.as_str()).unwrap_or_default();
            let is_own = self.layout.permission.is_some();
            if is_own || !said.is_empty() {
                self.levels.truncate(level);
                self.levels.push(said.to_owned());
                self.levels.resize(self.layout.sections.len(), String::new());
            }
        }
    }

    fn section(&mut self) -> Option<String> {
        if let Some((_, is_followed)) = &mut self.title {
            *is_followed = true;
        }
        let title = self.title.as_ref().map(|(word, _)| word.text.as_str());
        let parts = [self.grid.heading.as_str()].into_iter().chain(title);
        let parts = parts.chain(self.levels.iter().map(String::as_str));
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        self.has_sections.then(|| parts.join(" / "))
    }

    fn wide(&mut self, row: &[Field], at: &Position) {
        let layout = &self.layout;
        let mut cells = Vec::new();
        for (i, column) in &layout.roles {
            let blank = || Word::on_line("", at);
            let word = row.get(*i).map_or_else(blank, |field| field.word.clone());
            let mark = mark(&word.text, self.letter);
            cells.push(PastedCell { column: *column, word, mark, gate: None });
        }
        if let Some(row) = self.start(row, at, cells) {
            self.pasted.rows.push(row);
        }
    }

    /// A line of the long form: one cell.
    fn long(&mut self, row: &[Field], at: &Position) {
        let field = |i: Option<usize>| i.and_then(|i| row.get(i)).map(|field| field.word.clone());
        let is_role = |word: &Word| {
            !word.text.is_empty()
                && !kind(&word.text).is_mark()
                && !word.text.contains([',', ';', '\n'])
        };
        let Some(role) = field(self.layout.role).filter(is_role) else {
            self.pasted.unread(at, "the line does not name one role; it is not read");
            return;
        };
        let column = self.pasted.column(&role);
        let known = self.pasted.columns.get(column).filter(|known| known.text != role.text);
        if let Some(known) = known {
            let (role, known) = (role.quoted(), known.quoted());
            let message = format!("is `{role}` the role `{known}` of before? The line is not read");
            self.pasted.unread(at, message);
            return;
        }
        // Without the column, what there is stays.
        let gate = self.layout.gate.map(|i| field(Some(i)).map(|w| w.text).unwrap_or_default());
        let effect = self.layout.effect.map(|i| field(Some(i)));
        let (word, mark) = match effect {
            None => (role, Mark::Yes),
            Some(Some(word)) => (word.clone(), effect_of(&word.text, self.letter)),
            Some(None) => (role, Mark::Unread("the line says neither yes nor no")),
        };
        let cell = PastedCell { column, word, mark, gate };
        let Some(mut start) = self.start(row, at, Vec::new()) else { return };
        let Some(name) = start.permission.as_ref().map(|word| word.text.clone()) else { return };
        let next = self.pasted.rows.len();
        let index = *self.by_permission.entry(name).or_insert(next);
        let Some(held) = self.pasted.rows.get_mut(index) else {
            start.cells.push(cell);
            self.pasted.rows.push(start);
            return;
        };
        match held.cells.iter_mut().find(|held| held.column == column) {
            Some(held) => {
                (held.word, held.mark) = (cell.word, Mark::Unread("another line has this cell"));
            }
            None => held.cells.push(cell),
        }
    }

    /// `None`, and a problem, for a row without a name.
    fn start(&mut self, row: &[Field], at: &Position, cells: Vec<PastedCell>) -> Option<PastedRow> {
        let word = |i: Option<usize>| i.and_then(|i| row.get(i)).map(|field| field.word.clone());
        let text = |i: Option<usize>| word(i).map(|word| word.text).unwrap_or_default();
        let permission = word(self.layout.permission);
        let label = self.layout.label.map(|i| text(Some(i)));
        let name = permission.as_ref().map_or(label.as_deref(), |word| Some(word.text.as_str()));
        if name.is_none_or(str::is_empty) {
            self.pasted.unread(at, "the row has no label; it is not read");
            return None;
        }
        let (gate, note) = (self.layout.gate.map(|i| text(Some(i))), text(self.layout.note));
        let section = self.section();
        let at = permission.as_ref().map_or(at, |word| &word.at).clone();
        Some(PastedRow { at, section, label, permission, gate, note, cells })
    }
}

fn mark(text: &str, letter: Mark) -> Mark {
    match kind(text) {
        Kind::Blank | Kind::Cross => Mark::No,
        Kind::Tick => Mark::Yes,
        Kind::Letter => letter,
        Kind::Conditional => Mark::Unread("a condition beside a tick, which only a gate can say"),
        Kind::Text => Mark::Unread("no tick and no cross"),
    }
}

/// What a line of the long form says in a column of its own.
fn effect_of(text: &str, letter: Mark) -> Mark {
    match text.to_lowercase().as_str() {
        "allow" | "allowed" | "grant" | "granted" | "permit" | "permitted" => Mark::Yes,
        "deny" | "denied" | "forbid" | "forbidden" | "refuse" | "refused" => Mark::No,
        "" => Mark::Unread("neither yes nor no"),
        _ => mark(text, letter),
    }
}

/// Whether the row can name a section: nothing beside its first field, or the same again and again.
fn is_title(row: &[Field], grid: &Grid, layout: &Layout) -> bool {
    if layout.permission.is_some() {
        return is_section(row, grid.is_markdown);
    }
    let Some(first) = row.first().map(|field| field.word.text.as_str()) else { return false };
    // Where sections have a column of their own, a row with a label is a row.
    let is_alone = row.iter().skip(1).all(|field| field.word.text.is_empty());
    !first.is_empty() && !kind(first).is_mark() && (is_alone || is_repeated(row))
}

fn is_repeated(row: &[Field]) -> bool {
    let mut texts = row.iter().map(|field| field.word.text.as_str());
    let first = texts.next();
    row.len() > 2 && texts.all(|text| Some(text) == first)
}

fn is_marked_title(row: &[Field], is_markdown: bool) -> bool {
    is_section(row, is_markdown) || is_repeated(row)
}

/// Whether the table marks its sections; not where it has bold labels beside marks too.
fn marks_sections(grid: &Grid) -> bool {
    let is_other = |row: &Vec<Field>| {
        row.first().is_some_and(|field| field.is_bold) && !is_section(row, grid.is_markdown)
    };
    grid.rows.iter().any(|row| is_marked_title(row, grid.is_markdown))
        && !grid.rows.iter().any(is_other)
}
