//! The tuples as of one revision, and the questions that the engine asks of them. What stands inside
//! (a frozen base, two layers of what was written since, contextual tuples over all) is nobody else's
//! business.

use std::sync::Arc;

use super::base::Base;
use super::binding::{Binding, Details, SubjectKey, binding, subject_binding};
use super::hints::NameUses;
use super::layer::{Held, Layer};
use super::layered::Layered;
use super::names::ObjectId;
use super::overlay::Overlay;
use super::part::{
    Bounds, ByScope, BySubject, FIRST, FIRST_SET, LAST, Part, Position, by_scope, by_subject,
    subject_bounds,
};
use super::sources::Sources;
use super::translate::{carried, keyed, known, known_subject};
use crate::model::form::{Model, NameId, TypeId};
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::{Tuple, TupleCondition, TupleKey};

/// The tuples as of one revision, read under one model. A clone is cheap and shares all.
///
/// Invariant *newest wins*: a tuple is what the newest of top, frozen and base that names it says; what lies
/// over them replaces the same identity. So freezing and merging change no answer.
/// Invariant *admitted*: the model admits every tuple; so each of their names has an id in it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    model: Arc<Model>,
    sources: Sources,
    base: Arc<Base>,
    /// The layer that is being made one with the base, if there is one.
    frozen: Option<Arc<Layer>>,
    /// What was written since.
    top: Layer,
    /// How many tuples base and layers make.
    count: usize,
    /// Tuples that count as if they were stored. Only a copy for one request has any.
    over: Option<Arc<Overlay>>,
}

impl Snapshot {
    /// No tuples.
    #[must_use]
    pub fn empty(model: Arc<Model>) -> Self {
        let base = Base::empty(NameUses::of(&model));
        Self::of(model, Sources::with("".into()), base)
    }

    /// The tuples of a base.
    pub(super) fn of(model: Arc<Model>, sources: Sources, base: Base) -> Self {
        let names = base.names();
        let (top, count) = (Layer::above(names.count(), names.hasher()), base.len());
        Self { model, sources, base: Arc::new(base), frozen: None, top, count, over: None }
    }

    /// The model that the ids belong to.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// How many tuples are stored, expired ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no tuple is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// Whether nothing lies over the base.
    #[inline]
    pub(super) fn is_base_alone(&self) -> bool {
        let is_empty = |layer: &Layer| layer.len() == 0;
        let is_frozen = !self.frozen.as_deref().is_none_or(is_empty);
        self.over.is_none() && is_empty(&self.top) && !is_frozen
    }

    pub(super) fn over(&self) -> Option<&Overlay> {
        self.over.as_deref()
    }

    /// The newest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.top).chain(self.frozen.as_deref())
    }

    fn object_above_base(&self, id: ObjectId) -> Option<(&str, TypeId)> {
        let layered = self.layers().find_map(|layer| layer.names.get(id));
        layered.or_else(|| self.over.as_ref()?.object(id))
    }

    /// An object's type.
    #[must_use]
    #[inline]
    pub fn type_of(&self, id: ObjectId) -> Option<TypeId> {
        let above = || self.object_above_base(id).map(|(_, type_id)| type_id);
        self.base.type_of(id).or_else(above)
    }

    /// An object's text, `type:id`.
    #[must_use]
    pub fn text_of(&self, id: ObjectId) -> Option<&str> {
        self.base.names().text(id).or_else(|| self.object_above_base(id).map(|(text, _)| text))
    }

    /// Every object of a type that some tuple names or named, in no order. Costs what there are
    /// objects of any type.
    pub fn objects_of(&self, wanted: TypeId) -> impl Iterator<Item = (ObjectId, &str)> {
        let layered = self.layers().flat_map(|layer| layer.names.iter());
        let over = self.over.iter().flat_map(|over| over.objects());
        let all = self.base.names().iter().chain(layered).chain(over);
        all.filter(move |(_, _, type_id)| *type_id == wanted).map(|(id, text, _)| (id, text))
    }

    /// How many objects the stored tuples name or named; their ids are the numbers below.
    #[must_use]
    pub fn stored_objects(&self) -> u32 {
        self.top.names.end()
    }

    /// What the stored tuple with this identity carries; `None`: there is none.
    fn stored(&self, key: &ByScope) -> Option<Option<&Arc<Details>>> {
        match self.layers().find_map(|layer| layer.get(key)) {
            Some(Held::Put(carried)) => Some(carried.as_ref()),
            Some(Held::Deleted) => None,
            None => self.base.get(key),
        }
    }

    /// The stored tuples from one key on up to another.
    fn scope_rows(
        &self,
        low: ByScope,
        high: ByScope,
    ) -> impl Iterator<Item = (ByScope, Option<&Arc<Details>>)> {
        let frozen = self.frozen.as_ref().and_then(|layer| layer.by_scope(&low, &high));
        let layers = [frozen, self.top.by_scope(&low, &high)];
        Layered::new(self.base.by_scope(&low, &high), layers)
    }

    /// The same; both keys are of one subject, or neither is of a plain object.
    fn subject_rows(
        &self,
        low: BySubject,
        high: BySubject,
    ) -> impl Iterator<Item = (BySubject, Option<&Arc<Details>>)> {
        let frozen = self.frozen.as_ref().and_then(|layer| layer.by_subject(&low, &high));
        let layers = [frozen, self.top.by_subject(&low, &high)];
        Layered::new(self.base.by_subject(&low, &high), layers)
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
        let local = only.then(|| self.stored(&key)).flatten().filter(|_| !self.is_replaced(&key));
        let local = local.map(|details| binding(&key, details.map(|details| &**details)));
        let over = only.then(|| self.over_by_scope(key, ByScope { source: u32::MAX, ..key }));
        let ranged = (!only).then(|| self.range(scope, role, subject, subject));
        let local = local.into_iter().chain(over.into_iter().flatten());
        local.chain(ranged.into_iter().flatten())
    }

    /// Whether every tuple is of one source.
    pub(super) fn has_one_source(&self) -> bool {
        self.sources.is_one()
    }

    /// The first stored tuple of this subject at or after a place in the order of subjects.
    pub(super) fn stored_from(&self, from: BySubject) -> Option<(BySubject, Option<&Details>)> {
        let (_, last) = subject_bounds(from.subject, from.subject);
        let (key, details) = self.subject_rows(from, last).next()?;
        Some((key, details.map(|details| &**details)))
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

    /// How many tuples bind subject sets here. Costs look-ups, however many they are.
    #[must_use]
    pub fn sets_bound_count(&self, scope: ObjectId, role: NameId) -> usize {
        let more = self.layers().map(|layer| layer.sets_added(scope, role)).sum::<i64>();
        let beneath = self.base.sets_bound(scope, role);
        let stored = beneath.saturating_add_signed(isize::try_from(more).unwrap_or(0));
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
        let stored = self.scope_rows(low, high).filter(|(key, _)| !self.is_replaced(key));
        let stored = stored.map(|(key, details)| binding(&key, details.map(|d| &**d)));
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
        let stored = self.subject_rows(low, high);
        let stored = stored.filter(|(key, _)| !self.is_replaced(&by_scope(key)));
        let stored = stored.map(|(key, details)| subject_binding(&key, details.map(|d| &**d)));
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
        let past = position.map(|Position(key)| key);
        let rows = self.scope_rows(past.unwrap_or(low), high);
        let rows = rows.skip_while(move |(key, _)| Some(*key) == past);
        rows.map(|(key, details)| (Position(key), binding(&key, details.map(|d| &**d))))
    }

    fn subject_after(
        &self,
        low: BySubject,
        high: BySubject,
        position: Option<Position>,
    ) -> impl Iterator<Item = (Position, Binding<'_>)> {
        let past = position.map(|Position(key)| by_subject(&key));
        let rows = self.subject_rows(past.unwrap_or(low), high);
        let rows = rows.skip_while(move |(key, _)| Some(*key) == past);
        rows.map(|(key, details)| {
            (Position(by_scope(&key)), subject_binding(&key, details.map(|d| &**d)))
        })
    }

    /// The tuple with this identity, expired or not.
    #[must_use]
    pub fn get(&self, key: &TupleKey) -> Option<Binding<'_>> {
        self.binding_at(self.position(key)?)
    }

    /// The place of this identity. `None`: no tuple ever named all of it.
    pub(super) fn position(&self, key: &TupleKey) -> Option<Position> {
        self.find_key(key).map(Position)
    }

    /// The tuple at this place, expired or not.
    pub(super) fn binding_at(&self, Position(key): Position) -> Option<Binding<'_>> {
        self.over_by_scope(key, key).next().or_else(|| {
            let stored = self.stored(&key);
            stored.map(|details| binding(&key, details.map(|d| &**d)))
        })
    }

    /// Whether just this tuple is stored, with all that it carries.
    #[must_use]
    pub fn holds(&self, tuple: &Tuple) -> bool {
        let stored = self.find_key(&tuple.key).and_then(|key| self.stored(&key));
        let is_same =
            |stored| carried(&self.model, tuple).is_some_and(|carried| carried.as_ref() == stored);
        stored.is_some_and(is_same)
    }

    /// A subject of a tuple, interned. `None`: no tuple names it.
    #[must_use]
    pub fn find_subject(&self, subject: &Subject) -> Option<SubjectKey> {
        known_subject(&self.model, subject, |text| self.find(text))
    }

    fn find_key(&self, key: &TupleKey) -> Option<ByScope> {
        known(&self.model, &self.sources, key, |text| self.find(text))
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
            let key = keyed(&self.model, &mut next.sources, &tuple.key, |object, of| {
                let stored = self.find_stored(object.as_str());
                stored.or_else(|| over.intern(&object.shared_text(), of))
            });
            let key = key.ok_or(NotIndexable)?;
            let carried = carried(&self.model, tuple).ok_or(NotIndexable)?;
            over.add(key, carried, self.stored(&key).is_some());
        }
        over.sort();
        next.over = Some(Arc::new(over));
        Ok(next)
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

mod write;

pub use write::Spot;

/// A tuple that the model does not admit reached the index, or ids are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tuple names what the model does not have, or the index is full")]
pub struct NotIndexable;
