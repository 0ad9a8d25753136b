//! The stored tuples as one model reads them: made from the log at the start, and from the published
//! snapshot when another model is to be put in force. Knows neither where they are read nor who asks.
//!
//! Invariant *admitted*: a snapshot that leaves here holds tuples only that its model admits. Tuples
//! that have expired count for nothing, so those of them that do not fit are left out; a live one that
//! does not fit is a misfit, and there is no snapshot.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::proposal::{Misfits, ProposalError};
use crate::index::{Builder, Constraints, NotIndexable, Part, PlainTuple, Snapshot, check_parents};
use crate::model::admission::admit;
use crate::model::form::{ConstraintRule, HAS, Model, NameId, SubjectForm, TypeId};
use crate::model::tuple::{Change, Time, Tuple, TupleKey};
use crate::store::bulk::{PlainKey, Seen};

/// The stored tuples under one model; nobody reads it before it is whole and fits.
#[derive(Debug)]
pub(super) struct Draft {
    model: Arc<Model>,
    tuples: Tuples,
    /// Tuples that the model does not admit, as long as no later change removes them.
    misfits: HashMap<TupleKey, Tuple>,
    /// The parent edges whose place in the hierarchy has not been checked yet.
    unchecked: Vec<TupleKey>,
    /// The tuples put since the constraints were last checked; `None`: they never were.
    unjudged: Option<Vec<TupleKey>>,
    /// Which plain tuples the model is known to admit: what it says of one it says of all alike.
    admitted: FxHashSet<(TypeId, NameId, SubjectForm)>,
}

/// Noted in bulk until somebody looks at them together; changed one by one from then on.
#[derive(Debug)]
enum Tuples {
    Noted(Box<Builder>),
    Indexed(Box<Snapshot>),
}

impl Draft {
    /// No tuples.
    pub(super) fn empty(model: Arc<Model>) -> Self {
        let tuples = Tuples::Noted(Box::new(Builder::new(Arc::clone(&model))));
        let (misfits, admitted) = (HashMap::new(), FxHashSet::default());
        Self { model, tuples, misfits, unchecked: Vec::new(), unjudged: None, admitted }
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
            if fits(&draft.model, &tuple) {
                draft.note_edge(&tuple.key);
                draft.put(&Change::Put(tuple))?;
            } else if tuple.is_live(now) {
                misfits.note(&tuple.key, || reason(&draft.model, &tuple));
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
        if fits(&self.model, tuple) {
            return self.put(change);
        }
        self.put(&Change::Delete(tuple.key.clone()))?;
        self.misfits.insert(tuple.key.clone(), tuple.clone());
        Ok(())
    }

    /// Makes one change of the log from its texts, if they are enough to make it; false: it is to be
    /// [`apply`](Self::apply)ed, and nothing was changed.
    ///
    /// # Errors
    /// `IndexFull`.
    pub(super) fn apply_plain(&mut self, seen: &Seen<'_>) -> Result<bool, ProposalError> {
        let Seen::Put(key) = seen else { return Ok(false) };
        if !self.misfits.is_empty() {
            return Ok(false);
        }
        let Some(tuple) = self.admitted(key) else { return Ok(false) };
        let Tuples::Noted(builder) = &mut self.tuples else { return Ok(false) };
        builder.put_plain(&tuple).map_err(|NotIndexable| ProposalError::IndexFull)
    }

    /// The tuple, if the model is known to admit it by its types and names alone.
    fn admitted<'a>(&mut self, key: &PlainKey<'a>) -> Option<PlainTuple<'a>> {
        let PlainKey { scope, role, subject, source } = *key;
        let model = &self.model;
        let type_of = |object: &str| model.type_id(object.split_once(':')?.0);
        let (of, role) = (type_of(scope)?, model.name_id(role)?);
        let (subject, form) = match subject.split_once('#') {
            Some((object, name)) => {
                (object, SubjectForm::Set(type_of(object)?, model.name_id(name)?))
            }
            None if subject.ends_with(":*") => return None,
            None => (subject, SubjectForm::Object(type_of(subject)?)),
        };
        // Of a fact, the value counts too.
        if role == HAS {
            return None;
        }
        if !self.admitted.contains(&(of, role, form)) {
            if !fits(model, &Tuple::plain(key.to_key().ok()?)) {
                return None;
            }
            self.admitted.insert((of, role, form));
        }
        Some(PlainTuple { scope: (scope, of), role, subject, form, source })
    }

    /// The same, and remembers for [`check`](Self::check) what must be checked beside other tuples.
    ///
    /// # Errors
    /// `IndexFull`.
    pub(super) fn apply_unchecked(&mut self, change: &Change) -> Result<(), ProposalError> {
        if let Change::Put(tuple) = change {
            self.note_edge(&tuple.key);
            if let Some(unjudged) = &mut self.unjudged
                && !self.model.constraints.is_empty()
            {
                unjudged.push(tuple.key.clone());
            }
        }
        self.apply(change)
    }

    fn note_edge(&mut self, key: &TupleKey) {
        let model = &self.model;
        let def = model.type_id(key.scope.type_name()).and_then(|id| model.type_def(id));
        let edge = model.name_id(key.role.as_str()).and_then(|relation| def?.edge(relation));
        if edge.is_some_and(|edge| edge.is_parent) {
            self.unchecked.push(key.clone());
        }
    }

    fn put(&mut self, change: &Change) -> Result<(), ProposalError> {
        let put = match &mut self.tuples {
            Tuples::Noted(builder) => builder.apply(change),
            Tuples::Indexed(snapshot) => snapshot.apply(change),
        };
        put.map_err(|NotIndexable| ProposalError::IndexFull)
    }

    /// The tuples, indexed. Costs what is noted, once.
    fn indexed(&mut self) -> Result<&Snapshot, ProposalError> {
        if let Tuples::Noted(builder) = &mut self.tuples {
            let builder = std::mem::replace(&mut **builder, Builder::new(Arc::clone(&self.model)));
            let snapshot = builder.build().map_err(|NotIndexable| ProposalError::IndexFull)?;
            self.tuples = Tuples::Indexed(Box::new(snapshot));
        }
        match &self.tuples {
            Tuples::Indexed(snapshot) => Ok(snapshot),
            Tuples::Noted(_) => Err(ProposalError::Fault("the tuples were not indexed")),
        }
    }

    /// Whether all that is live fits the model, the rules of the hierarchy and the constraints too. Looks
    /// at those tuples only that were put since the last call: what was right then can have lost some
    /// since, and no rule for a state is broken by that.
    ///
    /// # Errors
    /// `Misfits`, `Hierarchy`, `IndexFull`.
    pub(super) fn check(&mut self, now: Time) -> Result<(), ProposalError> {
        self.check_admitted(now)?;
        let unchecked = std::mem::take(&mut self.unchecked);
        check_parents(self.indexed()?, &unchecked, now)
            .map_err(|(_, error)| ProposalError::Hierarchy(error))?;
        self.check_constraints(now)?;
        self.unjudged = Some(Vec::new());
        Ok(())
    }

    /// Whether the live tuples keep the constraints together. A constraint that keeps the last holder of
    /// a role is about changes, and broken by no state.
    fn check_constraints(&mut self, now: Time) -> Result<(), ProposalError> {
        let is_of_state = |rule: &ConstraintRule| !matches!(rule, ConstraintRule::KeepOne { .. });
        if !self.model.constraints.iter().any(|constraint| is_of_state(&constraint.rule)) {
            return Ok(());
        }
        let unjudged = self.unjudged.take();
        let snapshot = self.indexed()?;
        let all = unjudged.is_none().then(|| snapshot.after(Part::All, None));
        let all = all.into_iter().flatten().map(|(_, binding)| binding);
        let some = unjudged.iter().flatten().filter_map(|key| snapshot.get(key));
        let mut constraints = Constraints::of(snapshot, now);
        let mut misfits = Misfits::default();
        for binding in all.chain(some) {
            if let Some(broken) = constraints.broken_by(&binding)
                && let Some(tuple) = snapshot.tuple(&binding)
            {
                misfits.note(&tuple.key, || broken.to_string());
            }
            if misfits.is_full() {
                break;
            }
        }
        misfits.refusal()
    }

    /// Whether the model admits all that is live.
    ///
    /// # Errors
    /// `Misfits`.
    pub(super) fn check_admitted(&self, now: Time) -> Result<(), ProposalError> {
        let mut misfits = Misfits::default();
        for tuple in self.misfits.values().filter(|tuple| tuple.is_live(now)) {
            misfits.note(&tuple.key, || reason(&self.model, tuple));
        }
        misfits.refusal()
    }

    /// The tuples. To be called after a check.
    ///
    /// # Errors
    /// `IndexFull`.
    pub(super) fn into_snapshot(mut self) -> Result<Snapshot, ProposalError> {
        let mut snapshot = self.indexed()?.clone();
        snapshot.settle();
        Ok(snapshot)
    }
}

/// Whether the model admits the tuple. Where it has no such role, which is most of what does not fit a
/// changed model, that is found without the making of a message: there may be as many of these as tuples.
fn fits(model: &Model, tuple: &Tuple) -> bool {
    let def = model.type_id(tuple.key.scope.type_name()).and_then(|id| model.type_def(id));
    let (Some(def), Some(role)) = (def, model.name_id(tuple.key.role.as_str())) else {
        return false;
    };
    let is_known = role == HAS || def.role(role).is_some() || def.edge(role).is_some();
    is_known && admit(model, tuple).is_ok()
}

fn reason(model: &Model, tuple: &Tuple) -> String {
    admit(model, tuple).err().map(|error| error.to_string()).unwrap_or_default()
}
