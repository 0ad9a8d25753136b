//! The columns of a matrix: which role, bound on which type, each stands for. Knows no rows.

use super::draft::Draft;
use crate::model::form::{NameId, TypeId};
use crate::model::source::MatrixSource;
use crate::model::suggest::did_you_mean;
use crate::model::table::Table;
use crate::model::yaml::Word;

/// A column of the document.
#[derive(Debug)]
pub(super) struct PlanColumn {
    pub(super) label: String,
    pub(super) role: NameId,
    pub(super) bound: TypeId,
    /// Its index in the file; `None` for a column that has every row.
    pub(super) field: Option<usize>,
    /// The gates of the role where it is bound, as written.
    pub(super) gate_texts: Vec<String>,
}

/// The columns of every row first, then the file's in its order.
pub(super) fn columns(source: &MatrixSource, table: &Table, draft: &mut Draft) -> Vec<PlanColumn> {
    let bound = source.bound.as_ref().and_then(|word| draft.type_of(word));
    let labels = || table.columns.iter().map(|word| word.text.as_str());
    let mut columns = Vec::new();
    for (i, word) in source.whole.iter().enumerate() {
        let is_whole = |other: &Word| other.text == word.text;
        if labels().any(|label| label == word.text) || source.whole.iter().take(i).any(is_whole) {
            let message = format!("`{}` is a column already", word.quoted());
            draft.report.push(&word.at, message);
        } else if !said(source, word) && source.bound.is_none() {
            let message = format!("`{}` needs `bound`, or an entry in `columns`", word.quoted());
            draft.report.push(&word.at, message);
        } else {
            columns.extend(column(source, bound, word, None, draft));
        }
    }
    for (label, _) in &source.columns {
        let is_whole = source.whole.iter().any(|word| word.text == label.text);
        if !is_whole && !labels().any(|known| known == label.text) {
            let near = did_you_mean(&label.text, labels());
            let what = format!("column of `{}`", source.file.quoted());
            draft.unknown(&label.text, &label.at, &what, &near);
        }
    }
    for (field, word) in table.columns.iter().enumerate() {
        columns.extend(column(source, bound, word, Some(field), draft));
    }
    columns
}

fn said(source: &MatrixSource, label: &Word) -> bool {
    source.columns.iter().any(|(said, _)| said.text == label.text)
}

fn column(
    source: &MatrixSource,
    bound: Option<TypeId>,
    label: &Word,
    field: Option<usize>,
    draft: &mut Draft,
) -> Option<PlanColumn> {
    let told = source.columns.iter().find(|(said, _)| said.text == label.text);
    let (role, bound, from) = match told {
        Some((_, target)) => {
            let Some((role, type_name)) = target.text.split_once('@') else {
                let message = format!("`{}`: expected `role@type`", target.quoted());
                draft.report.push(&target.at, message);
                return None;
            };
            let place = target.place(role.chars().count() + 1);
            let bound = draft.type_of(&Word::on_line(type_name, &place))?;
            (role.to_owned(), bound, target)
        }
        // Without `bound`, the columns that are not told of belong to another matrix.
        None => (label.text.clone(), bound?, label),
    };
    let id = draft.names.get(&role).filter(|id| draft.is_bound(bound, *id));
    let Some(id) = id else {
        let def = draft.type_def(bound);
        let known = def.iter().flat_map(|def| &def.roles).map(|role| draft.names.text(role.name));
        let near = did_you_mean(&role, known);
        let what = format!("role bound on `{}`", draft.type_name(bound));
        draft.unknown(&role, &from.at, &what, &near);
        return None;
    };
    let gates = draft.roles.get(&(bound, id)).map_or(&[][..], |role| &role.gates);
    let gate_texts = gates.iter().map(|word| word.text.clone()).collect();
    Some(PlanColumn { label: label.text.clone(), role: id, bound, field, gate_texts })
}
