//! What an author wrote that the general form does not keep apart: each cell with its reach and its
//! gates, the gates by name, the parameters. For comparing models; nothing is decided by it.

use std::collections::{BTreeMap, BTreeSet};

use super::ParameterValue;
use super::build::{all, is_no};
use super::draft::Draft;
use super::lower::Resolved;
use super::rows::{Listed, Reach, RowPlan};
use crate::model::form::{Expr, NameId, TypeId};
use crate::model::source::Source;

/// A model as it was written, with names and types of the [`Model`](crate::model::form::Model) that was
/// compiled from it.
#[derive(Debug, Default)]
pub struct Written {
    /// The cells that grant, of all matrices.
    pub(in crate::model) cells: Vec<WrittenCell>,
    /// The gates at the scope asked, by permission.
    pub(in crate::model) asked: BTreeMap<NameId, Expr>,
    /// The gates of roles, where they are bound.
    pub(in crate::model) role_gates: BTreeMap<(TypeId, NameId), Expr>,
    /// Over which edges roles pass: from a type by a relation to a parent's type.
    pub(in crate::model) passing: BTreeSet<(TypeId, NameId, TypeId)>,
    /// The gates that have names, with their texts.
    pub(in crate::model) gates: BTreeMap<String, String>,
    /// The parameters, with the values in force.
    pub(in crate::model) parameters: BTreeMap<String, String>,
}

/// A cell that grants: a role bound on a type gives a permission.
#[derive(Debug)]
pub(in crate::model) struct WrittenCell {
    pub(in crate::model) permission: NameId,
    pub(in crate::model) role: NameId,
    pub(in crate::model) bound: TypeId,
    /// The types at which the row counts.
    pub(in crate::model) at: Vec<TypeId>,
    /// From which scopes the role counts, in words.
    pub(in crate::model) reach: String,
    /// All gates of the cell: its matrix', its own and its role's.
    pub(in crate::model) gate: Expr,
}

/// Gathers it. Costs what the cells are.
pub(super) fn written(
    source: &Source,
    resolved: &Resolved<'_>,
    listed: &BTreeMap<NameId, Listed>,
    draft: &Draft,
) -> Written {
    let mut cells = Vec::new();
    for plan in &resolved.rows {
        row(plan, listed, draft, &mut cells);
    }
    let asked = resolved.asked.iter().map(|(permission, gates)| {
        (*permission, all(gates.iter().map(|gate| gate.as_ref().clone())))
    });
    let mut passing = BTreeSet::new();
    for entry in &source.types {
        for edge in entry.edges.iter().filter(|edge| edge.roles_pass) {
            let at = draft.type_ids.get(entry.name.text.as_str());
            let relation = draft.names.get(&edge.relation.text);
            let (Some(&at), Some(relation)) = (at, relation) else { continue };
            let targets = edge.targets.iter();
            let targets = targets.filter_map(|word| draft.type_ids.get(word.text.as_str()));
            passing.extend(targets.map(|target| (at, relation, *target)));
        }
    }
    let gates = source.gates.iter();
    Written {
        cells,
        asked: asked.collect(),
        role_gates: draft.gated.iter().map(|(key, gate)| (*key, gate.as_ref().clone())).collect(),
        passing,
        gates: gates.map(|(name, text)| (name.text.clone(), one_line(&text.text))).collect(),
        parameters: draft.parameters.iter().map(|(name, v)| (name.clone(), value(v))).collect(),
    }
}

fn row(
    plan: &RowPlan,
    listed: &BTreeMap<NameId, Listed>,
    draft: &Draft,
    cells: &mut Vec<WrittenCell>,
) {
    let everywhere = || listed.get(&plan.permission).map(|listed| &listed.at);
    let at: Vec<TypeId> = if plan.at.is_empty() {
        everywhere().into_iter().flatten().copied().collect()
    } else {
        plan.at.clone()
    };
    for grant in &plan.grants {
        let role_gate =
            draft.gated.get(&(grant.bound, grant.role)).map(|gate| gate.as_ref().clone());
        let gates = [plan.gate.as_ref().clone(), grant.gate.as_ref().clone()];
        let gate = all(gates.into_iter().chain(role_gate));
        if is_no(&gate) {
            continue;
        }
        cells.push(WrittenCell {
            permission: plan.permission,
            role: grant.role,
            bound: grant.bound,
            at: at.clone(),
            reach: reach(plan.reach),
            gate,
        });
    }
}

fn reach(reach: Reach) -> String {
    let bounded = |what: &str, levels: Option<u32>| match levels {
        Some(levels) => format!("{what}, levels {levels}"),
        None => what.to_owned(),
    };
    match reach {
        Reach::Passing => "as roles pass".to_owned(),
        Reach::Itself => "self".to_owned(),
        Reach::Parents(levels) => bounded("parents", levels),
        Reach::Both(levels) => bounded("both", levels),
        Reach::Anywhere => "anywhere".to_owned(),
    }
}

fn value(value: &ParameterValue) -> String {
    match value {
        ParameterValue::Bool(value) => value.to_string(),
        ParameterValue::Patterns(patterns) => {
            let patterns: BTreeSet<&str> = patterns.iter().map(String::as_str).collect();
            format!("[{}]", patterns.into_iter().collect::<Vec<_>>().join(", "))
        }
    }
}

/// How a text is broken into lines means nothing.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
