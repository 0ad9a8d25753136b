//! The stored tuples as one model reads them: made from the log at the start, and from the published
//! snapshot when another model is to be put in force. Knows neither the store nor who asks.
//!
//! Invariant *admitted*: a snapshot that leaves here holds tuples only that its model admits. Tuples
//! that have expired count for nothing, so those of them that do not fit are left out; a live one that
//! does not fit is a misfit, and there is no snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use super::proposal::{Misfits, ProposalError};
use crate::index::{Part, Snapshot, check_parents};
use crate::model::admission::admit;
use crate::model::form::Model;
use crate::model::tuple::{Change, Time, Tuple, TupleKey};

/// The stored tuples under one model; nobody reads it before it is whole and fits.
#[derive(Debug)]
pub(super) struct Draft {
    snapshot: Snapshot,
    /// Tuples that the model does not admit, as long as no later change removes them.
    misfits: HashMap<TupleKey, (Tuple, String)>,
    /// The parent edges whose place in the hierarchy has not been checked yet.
    unchecked: Vec<TupleKey>,
}

impl Draft {
    /// No tuples.
    pub(super) fn empty(model: Arc<Model>) -> Self {
        let (misfits, unchecked) = (HashMap::new(), Vec::new());
        Self { snapshot: Snapshot::empty(model), misfits, unchecked }
    }

    /// The tuples of a snapshot of another model. Costs what it holds.
    ///
    /// # Errors
    /// `Misfits`, `IndexFull`.
    pub(super) fn of(
        snapshot: &Snapshot,
        model: Arc<Model>,
        now: Time,
    ) -> Result<Self, ProposalError> {
        let mut draft = Self::empty(model);
        let mut misfits = Misfits::default();
        for (_, binding) in snapshot.after(Part::All, None) {
            let Some(tuple) = snapshot.tuple(&binding) else {
                return Err(ProposalError::Fault("a stored tuple has lost its names"));
            };
            match admit(draft.snapshot.model(), &tuple) {
                Ok(()) => {
                    draft.note_edge(&tuple.key);
                    draft.put(&Change::Put(tuple))?;
                }
                Err(error) if tuple.is_live(now) => misfits.note(tuple.key, error.to_string()),
                Err(_) => {}
            }
            if misfits.is_full() {
                break;
            }
        }
        misfits.refusal().map(|()| draft)
    }

    /// Makes one change of the log.
    ///
    /// # Errors
    /// `IndexFull`.
    pub(super) fn apply(&mut self, change: &Change) -> Result<(), ProposalError> {
        let tuple = match change {
            Change::Put(tuple) => tuple,
            Change::Delete(key) => {
                self.misfits.remove(key);
                return self.put(change);
            }
        };
        if !self.misfits.is_empty() {
            self.misfits.remove(&tuple.key);
        }
        if let Err(error) = admit(self.snapshot.model(), tuple) {
            let key = tuple.key.clone();
            self.put(&Change::Delete(key.clone()))?;
            self.misfits.insert(key, (tuple.clone(), error.to_string()));
            return Ok(());
        }
        self.put(change)
    }

    /// The same, and remembers the edges of the hierarchy for [`check`](Self::check).
    ///
    /// # Errors
    /// `IndexFull`.
    pub(super) fn apply_unchecked(&mut self, change: &Change) -> Result<(), ProposalError> {
        if let Change::Put(tuple) = change {
            self.note_edge(&tuple.key);
        }
        self.apply(change)
    }

    fn note_edge(&mut self, key: &TupleKey) {
        let model = self.snapshot.model();
        let def = model.type_id(key.scope.type_name()).and_then(|id| model.type_def(id));
        let edge = model.name_id(key.role.as_str()).and_then(|relation| def?.edge(relation));
        if edge.is_some_and(|edge| edge.is_parent) {
            self.unchecked.push(key.clone());
        }
    }

    fn put(&mut self, change: &Change) -> Result<(), ProposalError> {
        self.snapshot.apply(change).map_err(|_| ProposalError::IndexFull)
    }

    /// Whether all that is live fits the model, the rules of the hierarchy too. Looks at those edges only
    /// that were put since the last call: what was right then can have lost edges since, and no rule is
    /// broken by that.
    ///
    /// # Errors
    /// `Misfits`, `Hierarchy`.
    pub(super) fn check(&mut self, now: Time) -> Result<(), ProposalError> {
        self.check_admitted(now)?;
        check_parents(&self.snapshot, &self.unchecked, now)
            .map_err(|(_, error)| ProposalError::Hierarchy(error))?;
        self.unchecked.clear();
        Ok(())
    }

    /// Whether the model admits all that is live.
    ///
    /// # Errors
    /// `Misfits`.
    pub(super) fn check_admitted(&self, now: Time) -> Result<(), ProposalError> {
        let mut misfits = Misfits::default();
        for (tuple, reason) in self.misfits.values().filter(|(tuple, _)| tuple.is_live(now)) {
            misfits.note(tuple.key.clone(), reason.clone());
        }
        misfits.refusal()
    }

    /// The tuples. To be called after a check.
    pub(super) fn into_snapshot(self) -> Snapshot {
        self.snapshot
    }
}
