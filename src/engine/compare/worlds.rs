//! Stored tuples under two models at once: those that both admit, and which ones are left out and why.
//! Knows no store and no question.

use std::sync::Arc;

use crate::engine::Plan;
use crate::index::{Constraints, HierarchyError, Part, Snapshot, check_parents};
use crate::model::admission::admit;
use crate::model::form::{ConstraintRule, Model};
use crate::model::limits::DIFF_MISPLACED_MAX;
use crate::model::tuple::{Change, Time, Tuple, TupleKey};

/// The tuples that both models admit, under one of them.
#[derive(Debug)]
pub struct Held {
    pub(super) snapshot: Snapshot,
    pub(super) plan: Plan,
}

/// The same tuples under two models.
#[derive(Debug)]
pub struct Worlds {
    /// Under the old one.
    pub old: Held,
    /// Under the new one.
    pub new: Held,
    /// How many tuples that is.
    pub tuples: usize,
    /// The live tuples that are left out, in the order of their keys.
    pub left_out: Vec<LeftOut>,
    /// Live tuples that are not left out, and for which the new model would be refused all the same: they
    /// break its constraints.
    pub breaking: Vec<LeftOut>,
}

/// A tuple that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which.
    pub key: TupleKey,
    /// The model that it does not fit; the new one if it fits neither.
    pub refuses: Refuses,
    /// Why.
    pub reason: String,
}

/// One of the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuses {
    /// The old one.
    Old,
    /// The new one.
    New,
}

/// Why tuples cannot be laid under two models.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// Ids are used up.
    #[error("there are more tuples than can be indexed")]
    IndexFull,
    /// Too many parent edges break the rules of the hierarchy.
    #[error(
        "more than {limit} parent edges do not fit the rules of the hierarchy, such as: {first}; \
         mend them first"
    )]
    Misplaced {
        /// The bound, in edges.
        limit: usize,
        /// What is wrong with one.
        first: String,
    },
}

/// Lays the tuples under both models. Tuples that have ended are nobody's concern; a live one that one of
/// the models refuses is left out of both. Costs what the tuples are, and for each parent edge that is
/// left out all of them once more.
///
/// # Errors
/// See [`WorldError`].
pub fn worlds(
    [old, new]: [Arc<Model>; 2],
    tuples: impl IntoIterator<Item = Tuple>,
    now: Time,
) -> Result<Worlds, WorldError> {
    let plans = [Plan::new(&old), Plan::new(&new)];
    let mut snapshots = [Snapshot::empty(old), Snapshot::empty(new)];
    let (mut left_out, mut edges) = (Vec::new(), Vec::new());
    for tuple in tuples.into_iter().filter(|tuple| tuple.is_live(now)) {
        if let Some(misfit) = misfit(&snapshots, &tuple) {
            left_out.push(misfit);
            continue;
        }
        if snapshots.iter().any(|snapshot| is_parent(snapshot.model(), &tuple.key)) {
            edges.push(tuple.key.clone());
        }
        apply(&mut snapshots, &Change::Put(tuple))?;
    }
    hang(&mut snapshots, &mut edges, &mut left_out, now)?;
    left_out.sort_by(|a, b| a.key.cmp(&b.key));
    let [old, new] = snapshots;
    let breaking = breaking(&new, now);
    let [old_plan, new_plan] = plans;
    Ok(Worlds {
        tuples: new.len(),
        old: Held { snapshot: old, plan: old_plan },
        new: Held { snapshot: new, plan: new_plan },
        left_out,
        breaking,
    })
}

fn apply(snapshots: &mut [Snapshot; 2], change: &Change) -> Result<(), WorldError> {
    for snapshot in snapshots {
        snapshot.apply(change).map_err(|_| WorldError::IndexFull)?;
    }
    Ok(())
}

fn misfit([old, new]: &[Snapshot; 2], tuple: &Tuple) -> Option<LeftOut> {
    for (snapshot, refuses) in [(new, Refuses::New), (old, Refuses::Old)] {
        if let Err(error) = admit(snapshot.model(), tuple) {
            return Some(LeftOut { key: tuple.key.clone(), refuses, reason: error.to_string() });
        }
    }
    None
}

fn is_parent(model: &Model, key: &TupleKey) -> bool {
    let def = model.type_id(key.scope.type_name()).and_then(|id| model.type_def(id));
    let edge = model.name_id(key.role.as_str()).and_then(|relation| def?.edge(relation));
    edge.is_some_and(|edge| edge.is_parent)
}

/// Leaves out parent edges until the rest keep the rules of both hierarchies: over a circle of parents
/// nothing can be decided.
fn hang(
    snapshots: &mut [Snapshot; 2],
    edges: &mut Vec<TupleKey>,
    left_out: &mut Vec<LeftOut>,
    now: Time,
) -> Result<(), WorldError> {
    let mut misplaced = 0;
    while let Some((at, refuses, error)) = misplaced_edge(snapshots, edges, now) {
        misplaced += 1;
        let first = || error.to_string();
        if misplaced > DIFF_MISPLACED_MAX || at >= edges.len() {
            return Err(WorldError::Misplaced { limit: DIFF_MISPLACED_MAX, first: first() });
        }
        let key = edges.swap_remove(at);
        apply(snapshots, &Change::Delete(key.clone()))?;
        left_out.push(LeftOut { key, refuses, reason: first() });
    }
    if misplaced > 0 {
        for snapshot in snapshots {
            *snapshot = anew(snapshot)?;
        }
    }
    Ok(())
}

/// The same tuples in a snapshot that never had others: it knows no object that only these named.
fn anew(snapshot: &Snapshot) -> Result<Snapshot, WorldError> {
    let mut next = Snapshot::empty(Arc::clone(snapshot.model()));
    for (_, binding) in snapshot.after(Part::All, None) {
        let tuple = snapshot.tuple(&binding).ok_or(WorldError::IndexFull)?;
        next.apply(&Change::Put(tuple)).map_err(|_| WorldError::IndexFull)?;
    }
    Ok(next)
}

fn misplaced_edge(
    [old, new]: &[Snapshot; 2],
    edges: &[TupleKey],
    now: Time,
) -> Option<(usize, Refuses, HierarchyError)> {
    for (snapshot, refuses) in [(new, Refuses::New), (old, Refuses::Old)] {
        if let Err((at, error)) = check_parents(snapshot, edges, now) {
            return Some((at, refuses, error));
        }
    }
    None
}

/// The tuples that break a constraint of this model.
fn breaking(snapshot: &Snapshot, now: Time) -> Vec<LeftOut> {
    let is_of_state = |rule: &ConstraintRule| !matches!(rule, ConstraintRule::KeepOne { .. });
    if !snapshot.model().constraints.iter().any(|constraint| is_of_state(&constraint.rule)) {
        return Vec::new();
    }
    let mut constraints = Constraints::of(snapshot, now);
    let mut found = Vec::new();
    for (_, binding) in snapshot.after(Part::All, None) {
        if let Some(error) = constraints.broken_by(&binding)
            && let Some(tuple) = snapshot.tuple(&binding)
        {
            let (key, reason) = (tuple.key, error.to_string());
            found.push(LeftOut { key, refuses: Refuses::New, reason });
        }
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}
