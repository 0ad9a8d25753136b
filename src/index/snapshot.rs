//! The tuples as of one revision, and the questions that the engine asks of them. What stands inside
//! (two persistent ordered maps, one per direction) is nobody else's business.

use std::ops::Bound;
use std::sync::Arc;

use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, OrdMap};

use super::binding::{Binding, Details, SubjectKey, binding, subject_binding};
use super::objects::{ObjectId, Objects};
use super::overlay::Overlay;
use super::part::{
    Bounds, ByScope, BySubject, FIRST, FIRST_SET, LAST, Part, Position, by_scope, by_subject,
    subject_bounds,
};
use super::sources::Sources;
use crate::model::form::{Model, NameId, TypeId};
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::{Change, Tuple, TupleCondition, TupleKey};

type SetRows = GenericHashMap<(ObjectId, NameId), u32, std::hash::RandomState, DefaultSharedPtr>;

/// The tuples as of one revision, read under one model. A clone is cheap and shares all.
///
/// Invariant *both ways*: `by_scope` and `by_subject` hold the same tuples, and `set_rows` counts the
/// sets among them.
/// Invariant *admitted*: the model admits every tuple; so each of their names has an id in it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    model: Arc<Model>,
    objects: Objects,
    sources: Sources,
    by_scope: OrdMap<ByScope, Option<Arc<Details>>>,
    /// How many subject sets are bound at a scope in a role; most have none, and are not here.
    set_rows: SetRows,
    by_subject: OrdMap<BySubject, Option<Arc<Details>>>,
    /// Tuples that count as if they stood in the maps. Only a copy for one request has any.
    over: Option<Arc<Overlay>>,
}

impl Snapshot {
    /// No tuples.
    #[must_use]
    pub fn empty(model: Arc<Model>) -> Self {
        Self {
            model,
            objects: Objects::default(),
            sources: Sources::with("".into()),
            by_scope: OrdMap::new(),
            set_rows: SetRows::default(),
            by_subject: OrdMap::new(),
            over: None,
        }
    }

    /// The model that the ids belong to.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How many tuples are stored, expired ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_scope.len()
    }

    /// Whether no tuple is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_scope.is_empty()
    }

    /// The id of an object that some tuple names or named.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<ObjectId> {
        self.objects.find(text).or_else(|| self.over.as_ref()?.find(text))
    }

    fn object(&self, id: ObjectId) -> Option<&(Arc<str>, TypeId)> {
        self.objects.get(id).or_else(|| self.over.as_ref()?.object(id))
    }

    /// An object's type.
    #[must_use]
    pub fn type_of(&self, id: ObjectId) -> Option<TypeId> {
        self.object(id).map(|(_, type_id)| *type_id)
    }

    /// An object's text, `type:id`.
    #[must_use]
    pub fn text_of(&self, id: ObjectId) -> Option<&Arc<str>> {
        self.object(id).map(|(text, _)| text)
    }

    /// Every object of a type that some tuple names or named, in no order. Costs what there are
    /// objects of any type.
    pub fn objects_of(&self, wanted: TypeId) -> impl Iterator<Item = (ObjectId, &Arc<str>)> {
        let over = self.over.iter().flat_map(|over| over.objects());
        self.objects
            .iter()
            .chain(over)
            .filter(move |(_, _, type_id)| *type_id == wanted)
            .map(|(id, text, _)| (id, text))
    }

    /// The tuples that bind just this subject, one per source.
    pub fn bound(
        &self,
        scope: ObjectId,
        role: NameId,
        subject: SubjectKey,
    ) -> impl Iterator<Item = Binding<'_>> {
        // A look-up is cheaper than a range, and where there is one source only it says all.
        let only = self.sources.is_one();
        let key = ByScope { scope, role, subject, source: 0 };
        let local = only.then(|| self.by_scope.get_key_value(&key)).flatten();
        let local = local.filter(|(key, _)| !self.is_replaced(key));
        let local = local.map(|(key, details)| binding(key, details.as_deref()));
        let over = only.then(|| self.over_by_scope(key, ByScope { source: u32::MAX, ..key }));
        let ranged = (!only).then(|| self.range(scope, role, subject, subject));
        let local = local.into_iter().chain(over.into_iter().flatten());
        local.chain(ranged.into_iter().flatten())
    }

    /// Whether every tuple is of one source.
    pub(super) fn has_one_source(&self) -> bool {
        self.sources.is_one()
    }

    /// The first stored tuple at or after a place in the order of subjects.
    pub(super) fn stored_from(&self, from: BySubject) -> Option<(BySubject, Option<&Details>)> {
        let (key, details) = self.by_subject.range(from..).next()?;
        Some((*key, details.as_deref()))
    }

    /// Those that lie over the stored ones, between two places in the order of subjects.
    pub(super) fn over_by_subject(
        &self,
        low: BySubject,
        high: BySubject,
    ) -> impl Iterator<Item = Binding<'_>> {
        let over = self.over.as_ref().map(|over| over.by_subject(&low, &high)).unwrap_or_default();
        over.iter().map(|(key, details)| subject_binding(key, details.as_deref()))
    }

    /// Whether a tuple that lies over the stored ones stands in this one's place.
    pub(super) fn is_replaced(&self, key: &ByScope) -> bool {
        self.over.as_ref().is_some_and(|over| over.replaces(key))
    }

    fn over_by_scope(&self, low: ByScope, high: ByScope) -> impl Iterator<Item = Binding<'_>> {
        let rows = self.over.as_ref().map(|over| over.by_scope(&low, &high)).unwrap_or_default();
        rows.iter().map(|(key, details)| binding(key, details.as_deref()))
    }

    /// How many tuples bind subject sets here. Costs one look-up.
    #[must_use]
    pub fn sets_bound_count(&self, scope: ObjectId, role: NameId) -> usize {
        let stored = self.set_rows.get(&(scope, role)).map_or(0, |count| *count as usize);
        stored + self.over.as_ref().map_or(0, |over| over.sets_added(scope, role))
    }

    /// The tuples that bind subject sets here.
    pub fn sets_bound(&self, scope: ObjectId, role: NameId) -> impl Iterator<Item = Binding<'_>> {
        self.range(scope, role, FIRST_SET, LAST)
    }

    /// The tuples that bind anybody here.
    pub fn all_bound(&self, scope: ObjectId, role: NameId) -> impl Iterator<Item = Binding<'_>> {
        self.range(scope, role, FIRST, LAST)
    }

    fn range(
        &self,
        scope: ObjectId,
        role: NameId,
        from: SubjectKey,
        to: SubjectKey,
    ) -> impl Iterator<Item = Binding<'_>> {
        let low = ByScope { scope, role, subject: from, source: 0 };
        let high = ByScope { scope, role, subject: to, source: u32::MAX };
        // Open above: a range of this map pays for an upper bound with a second descent.
        let from_low = self.by_scope.range(low..).take_while(move |(key, _)| **key <= high);
        let stored = from_low.filter(|(key, _)| !self.is_replaced(key));
        let stored = stored.map(|(key, details)| binding(key, details.as_deref()));
        stored.chain(self.over_by_scope(low, high))
    }

    /// The tuples in which this subject stands.
    pub fn scopes_of(&self, subject: SubjectKey) -> impl Iterator<Item = Binding<'_>> {
        self.subject_range(subject, subject)
    }

    /// The tuples of one role in which this subject stands.
    pub fn scopes_in(
        &self,
        subject: SubjectKey,
        role: NameId,
    ) -> impl Iterator<Item = Binding<'_>> {
        let low = BySubject { subject, role, scope: ObjectId(0), source: 0 };
        let high = BySubject { subject, role, scope: ObjectId(u32::MAX), source: u32::MAX };
        self.subjects_between(low, high)
    }

    /// The tuples in which any subject set stands.
    pub fn set_subjects(&self) -> impl Iterator<Item = Binding<'_>> {
        self.subject_range(FIRST_SET, LAST)
    }

    /// The tuples in which a subject set of this object stands.
    pub fn sets_of(&self, of: ObjectId) -> impl Iterator<Item = Binding<'_>> {
        let set = |name| SubjectKey::Set(of, NameId(name));
        self.subject_range(set(0), set(u32::MAX))
    }

    fn subject_range(&self, from: SubjectKey, to: SubjectKey) -> impl Iterator<Item = Binding<'_>> {
        let (low, high) = subject_bounds(from, to);
        self.subjects_between(low, high)
    }

    fn subjects_between(
        &self,
        low: BySubject,
        high: BySubject,
    ) -> impl Iterator<Item = Binding<'_>> {
        let from_low = self.by_subject.range(low..).take_while(move |(key, _)| **key <= high);
        let stored = from_low.filter(|(key, _)| !self.is_replaced(&by_scope(key)));
        let stored = stored.map(|(key, details)| subject_binding(key, details.as_deref()));
        stored.chain(self.over_by_subject(low, high))
    }

    /// The stored tuples of this part after this position, in the part's own order, with their
    /// positions.
    pub fn after(
        &self,
        part: Part,
        position: Option<Position>,
    ) -> impl Iterator<Item = (Position, Binding<'_>)> {
        let (by_scope, by_subject) = match part.bounds() {
            Bounds::Scope(low, high) => (Some(self.scope_after(low, high, position)), None),
            Bounds::Subject(low, high) => (None, Some(self.subject_after(low, high, position))),
        };
        by_scope.into_iter().flatten().chain(by_subject.into_iter().flatten())
    }

    fn scope_after(
        &self,
        low: ByScope,
        high: ByScope,
        position: Option<Position>,
    ) -> impl Iterator<Item = (Position, Binding<'_>)> {
        let low = position.map_or(Bound::Included(low), |at| Bound::Excluded(at.0));
        self.by_scope
            .range((low, Bound::Unbounded))
            .take_while(move |(key, _)| **key <= high)
            .map(|(key, details)| (Position(*key), binding(key, details.as_deref())))
    }

    fn subject_after(
        &self,
        low: BySubject,
        high: BySubject,
        position: Option<Position>,
    ) -> impl Iterator<Item = (Position, Binding<'_>)> {
        let low = position.map_or(Bound::Included(low), |at| Bound::Excluded(by_subject(&at.0)));
        let from_low = self.by_subject.range((low, Bound::Unbounded));
        from_low.take_while(move |(key, _)| **key <= high).map(|(key, details)| {
            (Position(by_scope(key)), subject_binding(key, details.as_deref()))
        })
    }

    /// The tuple with this identity, expired or not.
    #[must_use]
    pub fn get(&self, key: &TupleKey) -> Option<Binding<'_>> {
        let key = self.find_key(key)?;
        self.over_by_scope(key, key).next().or_else(|| {
            let stored = self.by_scope.get_key_value(&key);
            stored.map(|(key, details)| binding(key, details.as_deref()))
        })
    }

    /// Whether just this tuple is stored, with all that it carries.
    #[must_use]
    pub fn holds(&self, tuple: &Tuple) -> bool {
        let stored = self.find_key(&tuple.key).and_then(|key| self.by_scope.get(&key));
        stored.is_some_and(|stored| self.details(tuple).is_some_and(|details| details == *stored))
    }

    /// A subject of a tuple, interned. `None`: no tuple names it.
    #[must_use]
    pub fn find_subject(&self, subject: &Subject) -> Option<SubjectKey> {
        Some(match subject {
            Subject::Object(object) => SubjectKey::Object(self.find(object.as_str())?),
            Subject::All(type_name) => SubjectKey::All(self.model.type_id(type_name.as_str())?),
            Subject::Set(object, name) => {
                SubjectKey::Set(self.find(object.as_str())?, self.model.name_id(name.as_str())?)
            }
        })
    }

    fn find_key(&self, key: &TupleKey) -> Option<ByScope> {
        let source = self.sources.find(key.source.as_str())?;
        let subject = self.find_subject(&key.subject)?;
        Some(ByScope {
            scope: self.find(key.scope.as_str())?,
            role: self.model.name_id(key.role.as_str())?,
            subject,
            source,
        })
    }

    /// Makes one change. The caller has checked that the model admits the tuple.
    ///
    /// # Errors
    /// The tuple names what the model does not have, or ids are used up; nothing was changed.
    pub fn apply(&mut self, change: &Change) -> Result<(), NotIndexable> {
        match change {
            Change::Put(tuple) => {
                let key = self.intern_key(&tuple.key).ok_or(NotIndexable)?;
                let details = self.details(tuple).ok_or(NotIndexable)?;
                self.by_subject.insert(by_subject(&key), details.clone());
                let is_new = self.by_scope.insert(key, details).is_none();
                if is_new && matches!(key.subject, SubjectKey::Set(..)) {
                    *self.set_rows.entry((key.scope, key.role)).or_insert(0) += 1;
                }
            }
            Change::Delete(key) => {
                if let Some(key) = self.find_key(key)
                    && self.by_scope.remove(&key).is_some()
                {
                    self.by_subject.remove(&by_subject(&key));
                    if matches!(key.subject, SubjectKey::Set(..)) {
                        self.forget_set((key.scope, key.role));
                    }
                }
            }
        }
        Ok(())
    }

    fn forget_set(&mut self, row: (ObjectId, NameId)) {
        match self.set_rows.get(&row).copied() {
            Some(count) if count > 1 => {
                self.set_rows.insert(row, count - 1);
            }
            _ => {
                self.set_rows.remove(&row);
            }
        }
    }

    /// The snapshot with these tuples over the stored ones, as if they had been put there; what lies
    /// over it already is left out. The caller has checked that the model admits them, and that none
    /// has the identity of another. Costs what these tuples cost, whatever is stored.
    ///
    /// # Errors
    /// A tuple names what the model does not have.
    pub fn overlaid<'a>(
        &self,
        tuples: impl IntoIterator<Item = &'a Tuple>,
    ) -> Result<Self, NotIndexable> {
        let mut next = Self { over: None, ..self.clone() };
        let mut over = Overlay::default();
        for tuple in tuples {
            let Self { model, objects, sources, .. } = &mut next;
            let key = keyed(model, sources, &tuple.key, |object, of| {
                let stored = objects.find(object.as_str());
                stored.or_else(|| over.intern(&object.shared_text(), of))
            });
            let key = key.ok_or(NotIndexable)?;
            let details = next.details(tuple).ok_or(NotIndexable)?;
            over.add(key, details, next.by_scope.contains_key(&key));
        }
        over.sort();
        next.over = Some(Arc::new(over));
        Ok(next)
    }

    fn intern_key(&mut self, key: &TupleKey) -> Option<ByScope> {
        let Self { model, objects, sources, .. } = self;
        keyed(model, sources, key, |object, of| objects.intern(&object.shared_text(), of))
    }

    fn details(&self, tuple: &Tuple) -> Option<Option<Arc<Details>>> {
        let Tuple { key: _, expires_at, condition, grantor, reason, granted_at } = tuple;
        let condition = match condition {
            None => None,
            Some(c) => Some((self.model.condition_id(c.name.as_str())?, c.context.clone())),
        };
        let plain = expires_at.is_none() && condition.is_none();
        if plain && grantor.is_empty() && reason.is_empty() && granted_at.is_none() {
            return Some(None);
        }
        let (grantor, reason) = (grantor.clone(), reason.clone());
        let (expires_at, granted_at) = (*expires_at, *granted_at);
        Some(Some(Arc::new(Details { expires_at, condition, grantor, reason, granted_at })))
    }

    /// The tuple behind a binding, with its names. `None` for a binding of another snapshot.
    #[must_use]
    pub fn tuple(&self, binding: &Binding<'_>) -> Option<Tuple> {
        let object = |id| Object::parse(self.text_of(id)?).ok();
        let name = |id| Name::parse(self.model.name_of(id)).ok();
        let subject = match binding.subject {
            SubjectKey::Object(id) => Subject::Object(object(id)?),
            SubjectKey::All(type_id) => {
                Subject::All(Name::parse(self.model.type_name(type_id)).ok()?)
            }
            SubjectKey::Set(id, set) => Subject::Set(object(id)?, name(set)?),
        };
        let key = TupleKey {
            scope: object(binding.scope)?,
            role: name(binding.role)?,
            subject,
            source: self.sources.get(binding.source)?.to_string(),
        };
        let mut tuple = Tuple::plain(key);
        if let Some(details) = binding.details {
            tuple.expires_at = details.expires_at;
            tuple.grantor.clone_from(&details.grantor);
            tuple.reason.clone_from(&details.reason);
            tuple.granted_at = details.granted_at;
            if let Some((id, context)) = &details.condition {
                let name = self.model.condition(*id)?.name.clone();
                tuple.condition = Some(TupleCondition { name, context: context.clone() });
            }
        }
        Some(tuple)
    }

    /// Whether the tuple is an edge of the hierarchy.
    #[must_use]
    pub fn is_parent_edge(&self, binding: &Binding<'_>) -> bool {
        let def = self.type_of(binding.scope).and_then(|t| self.model.type_def(t));
        def.and_then(|def| def.edge(binding.role)).is_some_and(|edge| edge.is_parent)
    }
}

/// An identity in ids; a source that is new gets one.
fn keyed(
    model: &Model,
    sources: &mut Sources,
    key: &TupleKey,
    mut intern: impl FnMut(&Object, TypeId) -> Option<ObjectId>,
) -> Option<ByScope> {
    let mut object = |object: &Object| intern(object, model.type_id(object.type_name())?);
    let role = model.name_id(key.role.as_str())?;
    let subject = match &key.subject {
        Subject::Object(one) => SubjectKey::Object(object(one)?),
        Subject::All(type_name) => SubjectKey::All(model.type_id(type_name.as_str())?),
        Subject::Set(of, name) => {
            let name = model.name_id(name.as_str())?;
            SubjectKey::Set(object(of)?, name)
        }
    };
    let scope = object(&key.scope)?;
    let source = sources.intern(key.source.as_str())?;
    Some(ByScope { scope, role, subject, source })
}

/// A tuple that the model does not admit reached the index, or ids are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tuple names what the model does not have, or the index is full")]
pub struct NotIndexable;
