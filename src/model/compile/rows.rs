//! Matrices as plans: which role, bound where, gives which permission, how far it reaches, and what is
//! shown. Knows files and settings; the general form is made from plans in `lift`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::ParameterValue;
use super::build::{is_no, is_yes, yes};
use super::columns::{PlanColumn, columns};
use super::draft::{Draft, Meaning};
use super::resolve::Resolver;
use crate::model::files::SourceFiles;
use crate::model::form::{Cell, Cells, Column, DefKind, Expr, Matrix, NameId, Row, TypeId};
use crate::model::limits::{DEPTH_MAX, PERMISSIONS_MAX};
use crate::model::names::quoted;
use crate::model::pattern::{matches, specificity};
use crate::model::problem::Position;
use crate::model::source::{MatrixSource, RowSource};
use crate::model::suggest::did_you_mean;
use crate::model::table::{self, Table, TableRow};
use crate::model::yaml::Word;

/// So many bytes of a gate's text that a cell shows count as a term.
const GATE_TEXT_BYTES_PER_TERM: usize = 64;

/// From which scopes a role counts. Levels are edges; none: any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Here, and above as far as roles pass.
    Passing,
    Itself,
    Parents(Option<u32>),
    Both(Option<u32>),
    Anywhere,
}

/// A role that gives a row's permission under a gate.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    pub(super) role: NameId,
    pub(super) bound: TypeId,
    pub(super) gate: Rc<Expr>,
}

/// A row: at which types it counts, and what it is made of.
#[derive(Debug)]
pub(super) struct RowPlan {
    pub(super) permission: NameId,
    /// Empty: wherever the permission may be asked.
    pub(super) at: Vec<TypeId>,
    pub(super) reach: Reach,
    /// The matrix' gate.
    pub(super) gate: Rc<Expr>,
    pub(super) grants: Vec<Grant>,
    pub(super) place: Position,
}

/// A matrix whose permissions are declared; its gates are not looked at yet.
#[derive(Debug)]
pub(super) struct MatrixPlan<'s> {
    source: &'s MatrixSource,
    columns: Vec<PlanColumn>,
    /// Which of `columns` a field of the file is; another matrix may read it.
    by_field: Vec<Option<usize>>,
    rows: Vec<OpenRow>,
}

#[derive(Debug)]
struct OpenRow {
    row: TableRow,
    permission: NameId,
    at: Vec<TypeId>,
    reach: Reach,
}

/// What stands in the model's list of permissions.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) section: String,
    pub(super) at: BTreeSet<TypeId>,
    /// Its first row in a matrix.
    pub(super) place: Option<Position>,
}

/// Reads the tables, and declares their permissions.
pub(super) fn plan<'s>(
    source: &'s [MatrixSource],
    files: &SourceFiles,
    listed: &mut BTreeMap<NameId, Listed>,
    draft: &mut Draft,
) -> Vec<MatrixPlan<'s>> {
    let mut plans = Vec::new();
    let mut used: HashSet<(String, String)> = HashSet::new();
    let mut tables = Vec::new();
    let mut names = HashSet::new();
    for matrix in source {
        if !names.insert(matrix.name.text.as_str()) {
            let message = format!("the matrix `{}` is there twice", matrix.name.quoted());
            draft.report.push(&matrix.name.at, message);
        }
        let Some(text) = files.get(&matrix.file.text) else {
            let known = files.names().filter(|name| name.ends_with(".csv"));
            let near = did_you_mean(&matrix.file.text, known);
            let message = format!("there is no file `{}`{near}", matrix.file.quoted());
            draft.report.push(&matrix.file.at, message);
            continue;
        };
        let table = table::read(&matrix.file.text, text, &mut draft.report);
        let columns = columns(matrix, &table, draft);
        let read = columns.iter().filter(|column| column.field.is_some()).map(|c| &c.label);
        let said = matrix.columns.iter().map(|(label, _)| &label.text);
        used.extend(read.chain(said).map(|label| (matrix.file.text.clone(), label.clone())));
        tables.push((matrix.file.text.clone(), table.columns.clone()));
        let mut by_field = vec![None; table.columns.len()];
        for (i, column) in columns.iter().enumerate() {
            if let Some(place) = column.field.and_then(|field| by_field.get_mut(field)) {
                *place = Some(i);
            }
        }
        let rows = rows(matrix, table, listed, draft);
        plans.push(MatrixPlan { source: matrix, columns, by_field, rows });
    }
    for (file, columns) in tables {
        for word in columns {
            if !used.contains(&(file.clone(), word.text.clone())) {
                let message = format!("no matrix says what the column `{}` is", word.quoted());
                // A column with a problem of its own is not reported again.
                if !draft.report.has(&word.at) {
                    draft.report.push(&word.at, message);
                }
            }
        }
    }
    plans
}

fn rows(
    matrix: &MatrixSource,
    table: Table,
    listed: &mut BTreeMap<NameId, Listed>,
    draft: &mut Draft,
) -> Vec<OpenRow> {
    let at = draft.types_of(&matrix.at);
    let mut settings = Settings::read(&matrix.rows, &table, draft);
    let mut rows = Vec::new();
    for row in table.rows {
        let Some(name) = draft.new_name(&row.permission) else { continue };
        let permission = draft.names.intern(&name);
        let found = settings.of(&row.permission.text, draft);
        let at = found.at.unwrap_or_else(|| at.clone());
        let place = row.permission.at.clone();
        let meaning = Meaning { kind: DefKind::Permission, at: place.clone(), shared: true };
        let entry = listed.entry(permission).or_default();
        entry.place.get_or_insert(place);
        if entry.section.is_empty() {
            entry.section.clone_from(&row.section);
        }
        for &at in &at {
            if draft.claim(at, permission, &meaning) {
                entry.at.insert(at);
            }
        }
        if listed.len() > PERMISSIONS_MAX {
            let message = format!("a model has at most {PERMISSIONS_MAX} permissions");
            draft.report.push(&matrix.file.at, message);
            break;
        }
        if draft.is_full() {
            break;
        }
        rows.push(OpenRow { row, permission, at, reach: found.reach });
    }
    settings.check_levels(draft);
    rows
}

/// The entries of `rows:`, with their types resolved.
struct Settings<'s> {
    entries: Vec<Setting<'s>>,
}

struct Setting<'s> {
    source: &'s RowSource,
    at: Option<Vec<TypeId>>,
    reach: Option<Reach>,
    /// Its `levels` count for some row.
    bounds: bool,
}

struct Found {
    at: Option<Vec<TypeId>>,
    reach: Reach,
}

impl<'s> Settings<'s> {
    fn read(source: &'s [RowSource], table: &Table, draft: &mut Draft) -> Self {
        let mut entries = Vec::new();
        for entry in source {
            let rows = table.rows.iter().map(|row| row.permission.text.as_str());
            check_pattern(&entry.pattern, rows, draft);
            let at = entry.at.as_ref().map(|words| draft.types_of(words));
            let reach = entry.reach.as_ref().and_then(|word| reach(word, draft));
            if let Some((levels, node)) = &entry.levels
                && !(1..=i64::try_from(DEPTH_MAX).unwrap_or(i64::MAX)).contains(levels)
            {
                let message = format!("`{levels}` levels: expected 1 to {DEPTH_MAX}");
                draft.report.push(&node.at, message);
            }
            entries.push(Setting { source: entry, at, reach, bounds: false });
        }
        Self { entries }
    }

    /// What the most specific pattern says, key by key.
    fn of(&mut self, permission: &str, draft: &mut Draft) -> Found {
        let mut fit: Vec<&mut Setting<'_>> = self
            .entries
            .iter_mut()
            .filter(|entry| matches(&entry.source.pattern.text, permission))
            .collect();
        fit.sort_by_key(|entry| std::cmp::Reverse(specificity(&entry.source.pattern.text)));
        let at = fit.iter().filter_map(|entry| Some((entry.source, entry.at.as_ref()?)));
        let at = first("at", at, permission, draft).cloned();
        let reach = fit.iter().filter_map(|entry| Some((entry.source, entry.reach.as_ref()?)));
        let mut reach = first("reach", reach, permission, draft).copied().unwrap_or(Reach::Passing);
        let levels = fit.iter().filter_map(|e| Some((e.source, &e.source.levels.as_ref()?.0)));
        let levels = first("levels", levels, permission, draft).copied();
        if let Reach::Parents(bound) | Reach::Both(bound) = &mut reach {
            *bound = levels.and_then(|levels| u32::try_from(levels).ok());
            if let Some(entry) = fit.iter_mut().find(|entry| entry.source.levels.is_some()) {
                entry.bounds = true;
            }
        }
        Found { at, reach }
    }

    /// Levels that bound nothing are a slip.
    fn check_levels(&self, draft: &mut Draft) {
        for entry in self.entries.iter().filter(|entry| !entry.bounds) {
            if let Some((_, node)) = &entry.source.levels
                && !draft.report.has(&node.at)
                && !draft.report.has(&entry.source.pattern.at)
            {
                let message = "`levels` bounds no row: it needs `reach: parents` or `both`";
                draft.report.push(&node.at, message);
            }
        }
    }
}

/// The first that says it; another pattern as specific must say the same.
fn first<'e, T: PartialEq + 'e>(
    key: &str,
    mut said: impl Iterator<Item = (&'e RowSource, &'e T)>,
    permission: &str,
    draft: &mut Draft,
) -> Option<&'e T> {
    let (first, value) = said.next()?;
    let rank = specificity(&first.pattern.text);
    let rival = said
        .take_while(|(entry, _)| specificity(&entry.pattern.text) == rank)
        .find(|(_, other)| *other != value);
    if let Some((rival, _)) = rival {
        let (one, other) = (first.pattern.quoted(), rival.pattern.quoted());
        let message = format!(
            "`{one}` and `{other}` are equally specific for `{}` and say different `{key}`",
            quoted(permission),
        );
        draft.report.push(&rival.pattern.at, message);
    }
    Some(value)
}

fn reach(word: &Word, draft: &mut Draft) -> Option<Reach> {
    const KNOWN: [&str; 4] = ["self", "parents", "both", "anywhere"];
    Some(match word.text.as_str() {
        "self" => Reach::Itself,
        "parents" => Reach::Parents(None),
        "both" => Reach::Both(None),
        "anywhere" => Reach::Anywhere,
        text => {
            let near = did_you_mean(text, KNOWN);
            let message = format!(
                "`{}` is no reach: expected one of {}{near}",
                word.quoted(),
                KNOWN.join(", ")
            );
            draft.report.push(&word.at, message);
            return None;
        }
    })
}

/// A pattern must match something: a typo must not silently match nothing.
pub(super) fn check_pattern<'a>(
    pattern: &Word,
    rows: impl Iterator<Item = &'a str> + Clone,
    draft: &mut Draft,
) {
    if !rows.clone().any(|row| matches(&pattern.text, row)) {
        let near = did_you_mean(&pattern.text, rows);
        draft.report.push(&pattern.at, format!("`{}` matches no row{near}", pattern.quoted()));
    }
}

impl MatrixPlan<'_> {
    /// Resolves the gates: the plans of the rows, and the matrix as a document. Costs what is written,
    /// however many columns there are.
    pub(super) fn finish(self, resolver: &mut Resolver<'_>) -> (Vec<RowPlan>, Matrix) {
        let always = Rc::new(yes());
        let gate = self.source.gate.as_ref();
        let gate = gate.map_or_else(|| Rc::clone(&always), |word| resolver.text(word));
        let said = self.said(resolver.draft);
        let none = BTreeMap::new();
        let (mut plans, mut rows) = (Vec::new(), Vec::new());
        for open in &self.rows {
            let said = said.get(open.row.permission.text.as_str()).unwrap_or(&none);
            let finishing = Finishing { open, said, matrix_gate: &gate, always: &always };
            let (mut cells, mut grants) = (Vec::new(), Vec::new());
            if let Some(word) = open.row.gate.as_ref().filter(|_| !self.columns.is_empty()) {
                // Looked at though nothing may be granted: a fault there is a fault.
                resolver.cell(word);
            }
            for i in self.written(open, said) {
                let Some(column) = self.columns.get(i) else { continue };
                let (cell, cell_gate) = self.cell(&finishing, (i, column), resolver);
                if cell != Cell::No {
                    grants.push(Grant { role: column.role, bound: column.bound, gate: cell_gate });
                }
                cells.push((i, cell));
            }
            // The bound on columns keeps it from failing.
            let cells = Cells::new(self.columns.len(), cells).unwrap_or_default();
            rows.push(Row { permission: open.permission, cells });
            plans.push(RowPlan {
                permission: open.permission,
                at: open.at.clone(),
                reach: open.reach,
                gate: Rc::clone(&gate),
                grants,
                place: open.row.permission.at.clone(),
            });
        }
        let columns = self.columns.into_iter();
        let columns = columns.map(|c| Column { label: c.label, role: c.role, bound: c.bound });
        let name = self.source.name.text.clone();
        (plans, Matrix { name, columns: columns.collect(), rows })
    }

    /// The columns that may have the row, in order: all else is no.
    fn written(&self, open: &OpenRow, said: &Said<'_>) -> Vec<usize> {
        // Columns that have every row stand first.
        let whole = self.columns.iter().take_while(|column| column.field.is_none()).count();
        let fields = open.row.cells.iter().filter_map(|cell| *self.by_field.get(cell.column)?);
        let mut found: Vec<usize> = (0..whole).chain(fields).chain(said.keys().copied()).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// A cell as shown, and its gate: the row's, or in the long form its own.
    fn cell(
        &self,
        row: &Finishing<'_>,
        (i, column): (usize, &PlanColumn),
        resolver: &mut Resolver<'_>,
    ) -> (Cell, Rc<Expr>) {
        let open = row.open;
        let written = column.field.and_then(|field| open.row.cell(field));
        let value = row.said.get(&i).copied().or(written.map(|cell| &cell.value));
        let given = value.map_or(column.field.is_none(), |word| {
            cell_value(word, resolver.draft).unwrap_or(false)
        });
        let gate_word = written.map_or(open.row.gate.as_ref(), |cell| cell.gate.as_deref());
        // The gate of a cell that is not given is looked at too: a fault there is a fault.
        let gate = gate_word.map_or_else(|| Rc::clone(row.always), |word| resolver.cell(word));
        if !given {
            return (Cell::No, gate);
        }
        if written.is_none() && open.row.mixed_gates {
            let message = format!(
                "`{}` has several gates: which is that of the column `{}`?",
                open.row.permission.quoted(),
                quoted(&column.label),
            );
            resolver.draft.report.push(&open.row.permission.at, message);
        }
        let role_gate = resolver.draft.gated.get(&(column.bound, column.role));
        let role_gate = role_gate.map(Rc::as_ref);
        let matrix_gate = row.matrix_gate;
        let always = is_yes(matrix_gate) && is_yes(&gate) && role_gate.is_none_or(is_yes);
        let cell = if is_no(matrix_gate) || is_no(&gate) || role_gate.is_some_and(is_no) {
            Cell::No
        } else if always {
            Cell::Yes
        } else {
            let texts = self.source.gate.iter().chain(gate_word).map(|word| word.text.as_str());
            let text = joined(texts.chain(column.gate_texts.iter().map(String::as_str)));
            // Long texts times many columns: what is shown counts as the forms do.
            let terms = text.len() / GATE_TEXT_BYTES_PER_TERM;
            if resolver.draft.spend(terms, &open.row.permission.at) {
                Cell::If(text.into())
            } else {
                Cell::No
            }
        };
        (cell, gate)
    }

    /// The values of `cells:` by row and column.
    fn said(&self, draft: &mut Draft) -> HashMap<&'_ str, Said<'_>> {
        let mut said: HashMap<&str, Said<'_>> = HashMap::new();
        let rows: HashSet<&str> =
            self.rows.iter().map(|row| row.row.permission.text.as_str()).collect();
        for cell in &self.source.cells {
            let Some(row) = rows.get(cell.row.text.as_str()) else {
                let near = did_you_mean(&cell.row.text, rows.iter().copied());
                draft.unknown(&cell.row.text, &cell.row.at, "row of this matrix", &near);
                continue;
            };
            match self.columns.iter().position(|column| column.label == cell.column.text) {
                Some(column) => {
                    said.entry(*row).or_default().insert(column, &cell.value);
                }
                None => {
                    let known = self.columns.iter().map(|column| column.label.as_str());
                    let near = did_you_mean(&cell.column.text, known);
                    let what = "column of this matrix";
                    draft.unknown(&cell.column.text, &cell.column.at, what, &near);
                }
            }
        }
        said
    }
}

/// What `cells:` says of a row, by column.
type Said<'s> = BTreeMap<usize, &'s Word>;

/// A row while its cells are resolved.
struct Finishing<'r> {
    open: &'r OpenRow,
    said: &'r Said<'r>,
    matrix_gate: &'r Expr,
    /// The gate of a cell without one, the same for all.
    always: &'r Rc<Expr>,
}

pub(super) fn cell_value(word: &Word, draft: &mut Draft) -> Option<bool> {
    match word.text.to_ascii_lowercase().as_str() {
        "yes" | "1" | "x" => return Some(true),
        "no" | "0" | "-" | "" => return Some(false),
        _ => {}
    }
    if let Some(ParameterValue::Bool(value)) = draft.parameters.get(&word.text) {
        return Some(*value);
    }
    let near = did_you_mean(&word.text, draft.parameters.keys().map(String::as_str));
    let message = format!(
        "`{}` is no cell: expected yes, 1, x, no, 0, -, nothing or a boolean parameter{near}",
        word.quoted(),
    );
    draft.report.push(&word.at, message);
    None
}

/// Gates that must all hold, as one text.
pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    // A row and a role may ask the same.
    let mut seen = HashSet::new();
    let texts: Vec<&str> = texts.filter(|text| seen.insert(*text)).collect();
    if let [only] = texts.as_slice() {
        return (*only).to_owned();
    }
    let loose = |text: &str| text.split_whitespace().any(|word| matches!(word, "or" | "except"));
    let part = |text: &&str| if loose(text) { format!("({text})") } else { (*text).to_owned() };
    texts.iter().map(part).collect::<Vec<_>>().join(" and ")
}
