//! Lays a table over the matrix file that there is: what both say stays as it is written, byte for byte.

use std::collections::{BTreeSet, HashMap};

use super::columns::{Columns, Place, free};
use super::target::Target;
use super::{Import, Imported, ImportedRow, Regated, starter};
use crate::model::document::{Written, records};
use crate::model::files::{MODEL_FILE, SourceFiles, TESTS_FILE};
use crate::model::names::quoted;
use crate::model::pasted::{Mark, Pasted, PastedCell, PastedRow, folded, slug};
use crate::model::problem::Problem;
use crate::model::source::MatrixSource;
use crate::model::table::TableRow;

/// A row of the new matrix file. A cell: what is written, and its own gate if that is not the row's.
pub(super) struct NewRow {
    pub(super) section: String,
    pub(super) permission: String,
    pub(super) label: String,
    pub(super) gate: String,
    note: String,
    pub(super) cells: Vec<NewCell>,
}

#[derive(Clone)]
pub(super) struct NewCell {
    value: String,
    pub(super) is_granted: bool,
    pub(super) gate: String,
}

pub(super) fn merge(
    target: &Target,
    pasted: Pasted,
    columns: Columns,
    import: &Import<'_>,
    files: &SourceFiles,
) -> Imported {
    let Columns { headers: columns, places, told } = columns;
    let mut imported = Imported {
        matrix: target.name.clone(),
        file: target.file.clone(),
        columns: told,
        ..Imported::default()
    };
    let Pasted { columns: headers, rows: pasted_rows, unread, notes, .. } = pasted;
    imported.unread = unread;
    imported.notes = notes;
    let labels: Vec<String> = headers.into_iter().map(|word| word.text).collect();
    let matched = names(target, pasted_rows, &columns, &mut imported);
    let mut merger =
        Merger { target, columns: &columns, places: &places, labels: &labels, imported };
    let rows: Vec<NewRow> = matched
        .into_iter()
        .map(|(row, permission, old)| merger.row(&row, permission, old))
        .collect();
    let mut imported = merger.imported;
    removed(target, &rows, &columns, &mut imported);
    imported.unread.sort();
    imported.unread.dedup();
    write(target, &columns, &rows, import, files, &mut imported);
    imported
}

type Matched<'t> = (PastedRow, String, Option<&'t TableRow>);

/// The permission of each row of the table: that of the matrix file's row with its label, or a new one.
fn names<'t>(
    target: &'t Target,
    rows: Vec<PastedRow>,
    columns: &[String],
    imported: &mut Imported,
) -> Vec<Matched<'t>> {
    let known = &target.table.rows;
    let mut taken: BTreeSet<String> = columns.iter().cloned().collect();
    taken.extend(known.iter().map(|row| row.permission.text.clone()));
    let by_name: HashMap<&str, &TableRow> =
        known.iter().map(|row| (row.permission.text.as_str(), row)).collect();
    let key = |section: &str, label: &str| (folded(section), folded(label));
    let mut by_label: HashMap<(String, String), Vec<&TableRow>> = HashMap::new();
    for row in known.iter().filter(|row| !row.label.is_empty()) {
        by_label.entry(key(&row.section, &row.label)).or_default().push(row);
    }
    let mut seen: HashMap<String, u32> = HashMap::new();
    let mut used = BTreeSet::new();
    let mut matched = Vec::new();
    for row in rows {
        let section = row.section.as_deref().unwrap_or_default();
        let label = row.label.as_deref().unwrap_or_default();
        let (shown, told) = match &row.permission {
            Some(word) => (word.text.clone(), word.quoted()),
            None => {
                let (section, label) = key(section, label);
                (format!("{section}\n{label}"), quoted(row.label.as_deref().unwrap_or_default()))
            }
        };
        if let Some(first) = seen.get(&shown) {
            let message =
                format!("`{told}` has a row already, on line {first}; the row is not read");
            imported.unread.push(Problem { at: row.at.clone(), message });
            continue;
        }
        seen.insert(shown, row.at.line);
        let made = || slug::permission(section, label);
        let old = match &row.permission {
            Some(word) => by_name.get(word.text.as_str()).copied(),
            None => match by_label.get(&key(section, label)).map(Vec::as_slice) {
                Some([only]) => Some(*only),
                _ => by_name.get(made().as_str()).copied(),
            },
        };
        let permission = match (old, &row.permission) {
            (Some(old), _) => old.permission.text.clone(),
            (None, Some(word)) => word.text.clone(),
            (None, None) => free(&made(), &taken),
        };
        if !used.insert(permission.clone()) {
            let message = format!("`{told}` stands for `{permission}`, which has a row; not read");
            imported.unread.push(Problem { at: row.at.clone(), message });
            continue;
        }
        taken.insert(permission.clone());
        matched.push((row, permission, old));
    }
    matched
}

struct Merger<'a> {
    target: &'a Target,
    columns: &'a [String],
    places: &'a [Place],
    labels: &'a [String],
    imported: Imported,
}

impl Merger<'_> {
    fn row(&mut self, row: &PastedRow, permission: String, old: Option<&TableRow>) -> NewRow {
        let keep = |said: Option<&str>, had: Option<&str>| match (said, had) {
            (Some(said), Some(had)) if folded(said) == folded(had) => had.to_owned(),
            (Some(said), _) => said.to_owned(),
            (None, had) => had.unwrap_or_default().to_owned(),
        };
        let section = keep(row.section.as_deref(), old.map(|old| old.section.as_str()));
        let label = keep(row.label.as_deref(), old.map(|old| old.label.as_str()));
        let old_gate = old.and_then(|old| old.gate.as_ref()).map(|word| word.text.as_str());
        let said_gate =
            row.gate.as_deref().or_else(|| row.cells.first().and_then(|cell| cell.gate.as_deref()));
        let gate = keep(said_gate, old_gate);
        let note = if row.note.is_empty() { old.map_or("", |old| &old.note) } else { &row.note };
        let cells = self.cells(row, &permission, old, &gate);
        self.imported.rows.push(ImportedRow {
            section: section.clone(),
            label: label.clone(),
            permission: permission.clone(),
            is_new: old.is_none(),
        });
        NewRow { section, permission, label, gate, note: note.to_owned(), cells }
    }

    fn cells(
        &mut self,
        row: &PastedRow,
        permission: &str,
        old: Option<&TableRow>,
        gate: &str,
    ) -> Vec<NewCell> {
        // What the table says nothing of stays: the columns of other matrices over the same file.
        let mut cells: Vec<NewCell> = (0..self.columns.len())
            .map(|field| self.kept(field, old, gate, row.gate.is_some()))
            .collect();
        let is_mixed = old.is_some_and(|old| old.mixed_gates);
        let mut said = vec![false; self.places.len()];
        for cell in &row.cells {
            let Some(place) = self.places.get(cell.column) else { continue };
            if let Some(said) = said.get_mut(cell.column) {
                *said = true;
            }
            let (value, is_granted) = self.value(cell, permission, old, *place);
            let Place::Field(field) = *place else { continue };
            let Some(new) = cells.get_mut(field) else { continue };
            if let Some(gate) = &cell.gate {
                new.gate.clone_from(gate);
            } else if is_granted && !new.is_granted && is_mixed && row.gate.is_none() {
                let what = "the row has several gates: which is this cell's?";
                self.unread(cell, what);
                continue;
            }
            (new.value, new.is_granted) = (value, is_granted);
        }
        // In the long form, and where a page has several tables, what is not there is not granted.
        let silent = self.places.iter().zip(said).filter(|(_, said)| !said);
        for (place, _) in silent {
            let Place::Field(field) = *place else { continue };
            let label = self.columns.get(field).cloned().unwrap_or_default();
            if self.decided(permission, &label).is_none()
                && let Some(cell) = cells.get_mut(field)
                && cell.is_granted
            {
                (cell.value, cell.is_granted) = ("-".to_owned(), false);
            }
        }
        for (field, cell) in cells.iter().enumerate() {
            self.compare(permission, old, field, cell);
        }
        for label in self.target.whole() {
            let gate_of = |old: &TableRow| old.gate.as_ref().map(|word| word.text.clone());
            if let Some(before) = old.map(|old| gate_of(old).unwrap_or_default())
                && self.decided(permission, label) != Some(false)
            {
                self.regated(permission, label, &before, gate);
            }
        }
        cells
    }

    /// A cell as the matrix file has it; refused where it has none.
    fn kept(&self, field: usize, old: Option<&TableRow>, gate: &str, has_gate: bool) -> NewCell {
        let written = old.and_then(|old| old.cell(field));
        let own = written.and_then(|cell| cell.gate.as_ref()).map(|word| word.text.clone());
        let is_mixed = old.is_some_and(|old| old.mixed_gates) && !has_gate;
        NewCell {
            value: written.map_or_else(|| "-".to_owned(), |cell| cell.value.text.clone()),
            is_granted: self.was_granted(old, field),
            gate: if is_mixed { own.unwrap_or_default() } else { gate.to_owned() },
        }
    }

    fn was_granted(&self, old: Option<&TableRow>, field: usize) -> bool {
        let (Some(old), Some(label)) = (old, self.columns.get(field)) else { return false };
        if field >= self.target.table.columns.len() {
            return false;
        }
        match (&self.target.written, self.target.matrix()) {
            (Some(written), Some(matrix)) => written.is_granted(matrix, old, label, Some(field)),
            _ => {
                let cell = old.cell(field);
                let text = cell.map(|cell| cell.value.text.to_ascii_lowercase());
                text.is_some_and(|text| matches!(text.as_str(), "yes" | "1" | "x"))
            }
        }
    }

    /// What is written in a cell, and whether it grants. What both say stays as it is written.
    fn value(
        &mut self,
        cell: &PastedCell,
        permission: &str,
        old: Option<&TableRow>,
        place: Place,
    ) -> (String, bool) {
        let parameter = self.target.parameter(&cell.word.text);
        let is_granted = match (cell.mark, parameter) {
            (_, Some(value)) => value,
            (Mark::Yes, None) => true,
            (Mark::No, None) => false,
            (Mark::Unread(why), None) => {
                self.unread(cell, why);
                false
            }
        };
        let label = match place {
            Place::Field(field) => self.columns.get(field),
            Place::Whole => self.labels.get(cell.column),
        };
        let label = label.cloned().unwrap_or_default();
        let decided = self.decided(permission, &label);
        if place == Place::Whole {
            if !is_granted && decided.is_none_or(|value| value) {
                self.unread(cell, "`whole_matrix` in model.yaml gives this column every row");
            }
            return (String::new(), true);
        }
        let Place::Field(field) = place else { return (String::new(), false) };
        let kept = self.kept(field, old, "", true);
        if let Some(value) = decided {
            if value != is_granted {
                self.unread(cell, "`cells` in model.yaml decides this cell; it stays");
            }
            return (kept.value, value);
        }
        if parameter.is_some() {
            return (cell.word.text.clone(), is_granted);
        }
        if old.is_some() && kept.is_granted == is_granted {
            return (kept.value, is_granted);
        }
        ((if is_granted { "x" } else { "-" }).to_owned(), is_granted)
    }

    /// What `cells` of the model says.
    fn decided(&self, permission: &str, label: &str) -> Option<bool> {
        let (written, matrix): (&Written, &MatrixSource) =
            (self.target.written.as_ref()?, self.target.matrix()?);
        let word = written.said(matrix, permission, label)?;
        Some(written.value(&word.text))
    }

    fn compare(&mut self, permission: &str, old: Option<&TableRow>, field: usize, new: &NewCell) {
        let label = self.columns.get(field).cloned().unwrap_or_default();
        let changes = match (self.was_granted(old, field), new.is_granted) {
            (false, true) => &mut self.imported.granted,
            (true, false) => &mut self.imported.withdrawn,
            (true, true) => {
                let of_row = old.and_then(|old| old.gate.as_ref());
                let written = old.and_then(|old| old.cell(field));
                let before = written.map_or(of_row, |cell| cell.gate.as_deref());
                let before = before.map(|word| word.text.clone()).unwrap_or_default();
                self.regated(permission, &label, &before, &new.gate);
                return;
            }
            (false, false) => return,
        };
        changes.push((label, permission.to_owned()));
    }

    fn regated(&mut self, permission: &str, label: &str, before: &str, after: &str) {
        if before == after {
            return;
        }
        let all = &mut self.imported.regated;
        let is_same =
            |r: &&mut Regated| r.permission == permission && r.before == before && r.after == after;
        // Those of the row are the last ones.
        match all.iter_mut().rev().take_while(|r| r.permission == permission).find(is_same) {
            Some(same) => same.columns.push(label.to_owned()),
            None => all.push(Regated {
                columns: vec![label.to_owned()],
                permission: permission.to_owned(),
                before: before.to_owned(),
                after: after.to_owned(),
            }),
        }
    }

    fn unread(&mut self, cell: &PastedCell, why: &str) {
        let shown = cell.word.quoted();
        let message = format!("`{shown}`: {why}; taken as no");
        let message =
            if why.contains("model.yaml") { format!("`{shown}`: {why}") } else { message };
        self.imported.unread.push(Problem { at: cell.word.at.clone(), message });
    }
}

/// Rows and columns that the matrix file has, and the table has not.
fn removed(target: &Target, rows: &[NewRow], columns: &[String], imported: &mut Imported) {
    let kept: BTreeSet<&str> = rows.iter().map(|row| row.permission.as_str()).collect();
    for row in &target.table.rows {
        if !kept.contains(row.permission.text.as_str()) {
            imported.removed.push(format!("row `{}`", row.permission.text));
        }
    }
    let said: BTreeSet<&str> =
        imported.columns.iter().map(|(_, label, _)| label.as_str()).collect();
    let lost = target
        .fields()
        .filter(|(field, label)| columns.get(*field).is_some() && !said.contains(label));
    let lost: Vec<String> = lost.map(|(_, label)| format!("column `{label}`")).collect();
    imported.removed.extend(lost);
}

fn write(
    target: &Target,
    columns: &[String],
    rows: &[NewRow],
    import: &Import<'_>,
    files: &SourceFiles,
    imported: &mut Imported,
) {
    let lost: BTreeSet<&String> = imported.removed.iter().collect();
    let kept: Vec<usize> = (0..columns.len())
        .filter(|i| columns.get(*i).is_some_and(|c| !lost.contains(&format!("column `{c}`"))))
        .collect();
    if !is_same(target, columns, rows, &kept) {
        imported.files.push((target.file.clone(), text(columns, rows, &kept)));
    }
    if files.get(MODEL_FILE).is_some() {
        if target.matrix().is_none() {
            imported.missing = Some(starter::matrix(&target.name, &target.file));
        }
        return;
    }
    let roles: Vec<&str> =
        kept.iter().filter_map(|i| columns.get(*i)).map(String::as_str).collect();
    let starter = starter::Starter { import, name: &target.name, file: &target.file, roles, rows };
    if files.get(TESTS_FILE).is_none() {
        imported.files.push((TESTS_FILE.to_owned(), starter.tests(&kept)));
    }
    // Last: with it the directory is a model.
    imported.files.push((MODEL_FILE.to_owned(), starter.model()));
}

/// Whether the matrix file says all of this, in this order.
fn is_same(target: &Target, columns: &[String], rows: &[NewRow], kept: &[usize]) -> bool {
    let old = &target.table;
    let gate = |row: &TableRow| row.gate.as_ref().map_or(String::new(), |word| word.text.clone());
    let same_cell = |old: &TableRow, field: usize, new: &NewCell| match old.cell(field) {
        Some(cell) => {
            let gate = cell.gate.as_ref().map_or("", |word| word.text.as_str());
            cell.value.text == new.value && (!new.is_granted || gate == new.gate)
        }
        None => new.value == "-" || new.value.is_empty(),
    };
    kept.len() == columns.len()
        && old.columns.len() == columns.len()
        && old.rows.len() == rows.len()
        && old.rows.iter().zip(rows).all(|(old, new)| {
            old.permission.text == new.permission
                && old.section == new.section
                && old.label == new.label
                && old.note == new.note
                && gate(old) == new.gate
                && new.cells.iter().enumerate().all(|(field, cell)| same_cell(old, field, cell))
        })
}

/// The matrix file; in the long form where granted cells of a row have different gates.
fn text(columns: &[String], rows: &[NewRow], kept: &[usize]) -> String {
    let is_mixed =
        |row: &NewRow| row.cells.iter().any(|cell| cell.is_granted && cell.gate != row.gate);
    let is_long = rows.iter().any(is_mixed);
    let has_label = rows.iter().any(|row| !row.label.is_empty());
    let has_note = rows.iter().any(|row| !row.note.is_empty());
    let mut header = vec!["section", "permission"];
    header.extend(has_label.then_some("label"));
    if is_long {
        header.push("role");
    } else {
        header.extend(kept.iter().filter_map(|i| columns.get(*i)).map(String::as_str));
    }
    header.push("gate");
    header.extend(has_note.then_some("note"));
    let mut lines = vec![header];
    for row in rows {
        let mut start = vec![row.section.as_str(), row.permission.as_str()];
        start.extend(has_label.then_some(row.label.as_str()));
        let end = has_note.then_some(row.note.as_str());
        let cells = kept.iter().filter_map(|i| Some((columns.get(*i)?, row.cells.get(*i)?)));
        if is_long {
            for (label, cell) in cells.filter(|(_, cell)| cell.is_granted) {
                let rest = [label.as_str(), cell.gate.as_str()];
                lines.push(start.iter().copied().chain(rest).chain(end).collect());
            }
        } else {
            start.extend(cells.map(|(_, cell)| cell.value.as_str()));
            start.push(row.gate.as_str());
            start.extend(end);
            lines.push(start);
        }
    }
    records(&lines)
}
