//! The frozen bulk of a snapshot: packed rows, sorted, by scope and by subject, and the names. Never
//! changed once it is made. Knows nothing of what was written since.
//!
//! Invariant *both ways*: every row of a scope stands in the row of its subject, or among the others if
//! that is no plain object, and nothing else does. Rows are in the order of [`ByScope`], entries and
//! others in that of [`BySubject`], each identity once.

use std::cmp::Ordering;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::binding::{Details, SubjectKey};
use super::hints::{Bloom, Crowd, FEW_ROWS, NameUses, Nested};
use super::names::{Names, ObjectId};
use super::part::{ByScope, BySubject};
use super::rows::{
    Carried, Entry, ExtraId, Extras, FIRST_SET_PACKED, NO_EXTRA, Other, Packed, Row,
};
use crate::model::form::{NameId, TypeId};

mod splice;

/// The tuples of some revision.
#[derive(Debug, Default)]
pub(super) struct Base {
    names: Names,
    /// Of each object; one more, where the last ones end.
    places: Vec<Place>,
    rows: Vec<Row>,
    entries: Vec<Entry>,
    others: Vec<Other>,
    extras: Extras,
    uses: NameUses,
    nested: Nested,
    /// Of each scope with more than a few rows.
    blooms: FxHashMap<ObjectId, Arc<Bloom>>,
}

/// Where an object's rows and entries start, and the others of its sets, its type, and roughly who stands in its rows:
/// side by side, as whoever asks for one of them mostly asks for another, and each would be a read from memory.
#[derive(Debug, Clone, Copy)]
struct Place {
    rows: u32,
    entries: u32,
    others: u32,
    type_id: TypeId,
    crowd: Crowd,
}

/// The tuples of an object as a scope.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The object's type.
    pub type_id: TypeId,
    /// In the order of roles, then of subjects.
    pub all: &'a [Row],
    /// Roughly who stands in them, but for those of relations.
    pub crowd: Crowd,
}

/// The index does not reach further: four billion tuples, or two billion names.
#[derive(Debug)]
pub(super) struct Full;

impl Base {
    /// No tuples, of a model that uses its names so.
    pub(super) fn empty(uses: NameUses) -> Self {
        Self { uses, ..Self::default() }
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// How many tuples there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The type of an object that the base names.
    #[inline]
    pub(super) fn type_of(&self, object: ObjectId) -> Option<TypeId> {
        Some(self.places_of(object)?.0.type_id)
    }

    /// The places of an object and of the next.
    #[inline]
    fn places_of(&self, object: ObjectId) -> Option<(&Place, &Place)> {
        let at = object.0 as usize;
        match self.places.get(at..at.checked_add(2)?)? {
            [place, next] => Some((place, next)),
            _ => None,
        }
    }

    /// Where the rows of a scope start and end.
    fn rows_of(&self, scope: ObjectId) -> Option<(usize, usize)> {
        self.places_of(scope).map(|(place, next)| (place.rows as usize, next.rows as usize))
    }

    /// The rows of a scope that the base names.
    #[inline]
    pub(super) fn rows(&self, scope: ObjectId) -> Option<Rows<'_>> {
        let (place, next) = self.places_of(scope)?;
        let all = self.rows.get(place.rows as usize..next.rows as usize)?;
        Some(Rows { type_id: place.type_id, all, crowd: place.crowd })
    }

    fn rows_at(&self, scope: ObjectId) -> &[Row] {
        self.rows(scope).map(|rows| rows.all).unwrap_or_default()
    }

    /// The entries of a plain object.
    #[inline]
    pub(super) fn entries_at(&self, object: ObjectId) -> &[Entry] {
        let places = self.places_of(object);
        let entries = places.and_then(|(place, next)| {
            self.entries.get(place.entries as usize..next.entries as usize)
        });
        entries.unwrap_or_default()
    }

    /// The tuples in which a set of this object stands.
    #[inline]
    pub(super) fn others_at(&self, object: ObjectId) -> &[Other] {
        let places = self.places_of(object);
        let others = places
            .and_then(|(place, next)| self.others.get(place.others as usize..next.others as usize));
        others.unwrap_or_default()
    }

    /// Who stands in the rows of a scope, roughly, if they are more than a few.
    #[inline]
    pub(super) fn bloom(&self, scope: ObjectId) -> Option<&Bloom> {
        self.blooms.get(&scope).map(|bloom| &**bloom)
    }

    /// Notes of each scope who stands in its rows.
    fn note_crowds(&mut self) {
        let Self { rows, places, uses, blooms, .. } = self;
        let ends: Vec<u32> = places.iter().skip(1).map(|next| next.rows).collect();
        for (scope, (place, end)) in (0..).map(ObjectId).zip(places.iter_mut().zip(ends)) {
            let rows = rows.get(place.rows as usize..end as usize).unwrap_or_default();
            note_crowd(uses, (scope, rows), &mut place.crowd, blooms);
        }
    }

    /// Whether some set of this object stands in a tuple of a role that tuples may carry as a set.
    #[inline]
    pub(super) fn is_nested(&self, object: ObjectId) -> bool {
        self.nested.has(object)
    }

    /// The tuples in which all of a type stand, whichever it is: those before the first set.
    #[inline]
    pub(super) fn everyone(&self) -> &[Other] {
        let end = self.places.first().map_or(0, |place| place.others as usize);
        self.others.get(..end).unwrap_or_default()
    }

    /// What a tuple carries.
    #[inline]
    pub(super) fn carried(&self, extra: ExtraId) -> Option<&Arc<Details>> {
        self.extras.carried(extra)
    }

    /// The source of a tuple.
    #[inline]
    pub(super) fn source(&self, extra: ExtraId) -> u32 {
        self.extras.source(extra)
    }

    fn compare(&self, row: &Row, key: &ByScope) -> Ordering {
        let subject = || row.subject.cmp(&Packed::of(key.subject));
        let source = || self.extras.source(row.extra).cmp(&key.source);
        row.role.cmp(&key.role).then_with(subject).then_with(source)
    }

    /// The place of the first row that does not stand before this key.
    fn place(&self, key: &ByScope) -> usize {
        let Some((start, end)) = self.rows_of(key.scope) else {
            return self.rows.len();
        };
        let rows = self.rows.get(start..end).unwrap_or_default();
        start + rows.partition_point(|row| self.compare(row, key).is_lt())
    }

    /// What the tuple with this identity carries; `None`: there is none.
    pub(super) fn get(&self, key: &ByScope) -> Option<Option<&Arc<Details>>> {
        let (_, end) = self.rows_of(key.scope)?;
        let at = self.place(key);
        let row = self.rows.get(at).filter(|_| at < end)?;
        self.compare(row, key).is_eq().then(|| self.extras.carried(row.extra))
    }

    /// The tuples from one key on up to another.
    pub(super) fn by_scope(&self, low: &ByScope, high: &ByScope) -> ScopeRows<'_> {
        let at = self.place(low);
        let end = self.rows_of(low.scope).map_or(0, |(_, end)| end);
        ScopeRows { base: self, at, scope: low.scope, end, high: *high }
    }

    /// How many subject sets are bound here in this role.
    pub(super) fn sets_bound(&self, scope: ObjectId, role: NameId) -> usize {
        let rows = self.rows_at(scope);
        let before = |row: &Row| (row.role, row.subject) < (role, FIRST_SET_PACKED);
        let rows = rows.get(rows.partition_point(before)..).unwrap_or_default();
        match rows.first() {
            Some(first) if first.role == role => rows.partition_point(|row| row.role == role),
            _ => 0,
        }
    }

    /// The tuples from one key on up to another; either both of one subject, or none of a plain object.
    pub(super) fn by_subject(&self, low: &BySubject, high: &BySubject) -> SubjectRows<'_> {
        let of_entry = |entry: &Entry, key: &BySubject| {
            let source = || self.extras.source(entry.extra).cmp(&key.source);
            (entry.role, entry.scope).cmp(&(key.role, key.scope)).then_with(source)
        };
        if let SubjectKey::Object(object) = low.subject {
            let entries = self.entries_at(object);
            let from = entries.partition_point(|entry| of_entry(entry, low).is_lt());
            let entries = entries.get(from..).unwrap_or_default();
            let to = entries.partition_point(|entry| of_entry(entry, high).is_le());
            let entries = entries.get(..to).unwrap_or_default().iter();
            return SubjectRows { base: self, object, entries, others: [].iter() };
        }
        let of_other = |other: &Other, key: &BySubject| {
            let subject = other.subject.cmp(&Packed::of(key.subject));
            subject.then_with(|| of_entry(&other.entry, key))
        };
        let others = match (low.subject, high.subject) {
            (SubjectKey::Set(of, _), SubjectKey::Set(to, _)) if of == to => self.others_at(of),
            (SubjectKey::All(_), SubjectKey::All(_)) => self.everyone(),
            _ => self.others.as_slice(),
        };
        let from = others.partition_point(|other| of_other(other, low).is_lt());
        let others = others.get(from..).unwrap_or_default();
        let to = others.partition_point(|other| of_other(other, high).is_le());
        let others = others.get(..to).unwrap_or_default().iter();
        SubjectRows { base: self, object: ObjectId(0), entries: [].iter(), others }
    }
}

/// Notes who stands in the rows of a scope.
fn note_crowd(
    uses: &NameUses,
    (scope, rows): (ObjectId, &[Row]),
    crowd: &mut Crowd,
    blooms: &mut FxHashMap<ObjectId, Arc<Bloom>>,
) {
    *crowd = Crowd::of(uses, rows);
    if rows.len() > FEW_ROWS {
        blooms.insert(scope, Arc::new(Bloom::of(uses, rows)));
    } else {
        blooms.remove(&scope);
    }
}

/// Rows one after the other, of one scope or of many.
#[derive(Debug)]
pub(super) struct ScopeRows<'a> {
    base: &'a Base,
    at: usize,
    scope: ObjectId,
    /// Where the rows of the scope end.
    end: usize,
    high: ByScope,
}

impl ScopeRows<'_> {
    /// Goes to the scope that the next row is of. Scopes without rows are many, and mostly neighbours:
    /// looked for in steps that double.
    fn next_scope(&mut self) {
        let places = &self.base.places;
        let mut from = self.scope.0 as usize + 1;
        let mut step = 1;
        // The start after a scope is where its rows end.
        let is_before = |place: &Place| place.rows as usize <= self.at;
        while places.get(from + step).is_some_and(is_before) {
            from += step;
            step *= 2;
        }
        let within = places.get(from + 1..(from + step).min(places.len())).unwrap_or_default();
        let scope = from + within.partition_point(is_before);
        self.scope = ObjectId(u32::try_from(scope).unwrap_or(u32::MAX));
        self.end = self.base.rows_of(self.scope).map_or(0, |(_, end)| end);
    }
}

impl<'a> Iterator for ScopeRows<'a> {
    type Item = (ByScope, Option<&'a Arc<Details>>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            if self.scope >= self.high.scope || self.at >= self.base.rows.len() {
                return None;
            }
            self.next_scope();
        }
        let row = self.base.rows.get(self.at)?;
        let Self { base, scope, high, .. } = self;
        let is_within = match (*scope).cmp(&high.scope) {
            Ordering::Less => true,
            Ordering::Equal => base.compare(row, high).is_le(),
            Ordering::Greater => false,
        };
        if !is_within {
            return None;
        }
        self.at += 1;
        let Row { subject, role, extra } = *row;
        let source = base.extras.source(extra);
        let key = ByScope { scope: *scope, role, subject: subject.subject(), source };
        Some((key, base.extras.carried(extra)))
    }
}

/// Tuples in the order of subjects.
#[derive(Debug)]
pub(super) struct SubjectRows<'a> {
    base: &'a Base,
    /// The subject of the entries.
    object: ObjectId,
    entries: std::slice::Iter<'a, Entry>,
    others: std::slice::Iter<'a, Other>,
}

impl<'a> Iterator for SubjectRows<'a> {
    type Item = (BySubject, Option<&'a Arc<Details>>);

    fn next(&mut self) -> Option<Self::Item> {
        let (subject, entry) = match self.entries.next() {
            Some(entry) => (SubjectKey::Object(self.object), *entry),
            None => self.others.next().map(|other| (other.subject.subject(), other.entry))?,
        };
        let Entry { role, scope, extra } = entry;
        let source = self.base.extras.source(extra);
        Some((BySubject { subject, role, scope, source }, self.base.extras.carried(extra)))
    }
}

/// A base on its way: takes the tuples in the order of scopes.
#[derive(Debug, Default)]
pub(super) struct Making {
    base: Base,
    /// Of each scope so far, where its rows start.
    starts: Vec<u32>,
}

impl Making {
    /// With room for so many, of a model that uses its names so.
    pub(super) fn with_capacity(tuples: usize, uses: NameUses) -> Self {
        let base = Base { rows: Vec::with_capacity(tuples), ..Base::empty(uses) };
        Self { base, starts: Vec::new() }
    }

    /// Adds a tuple; all before it stand before it in order too.
    pub(super) fn push(&mut self, key: &ByScope, carried: Carried) -> Result<(), Full> {
        self.start_scopes(key.scope)?;
        let extra = self.base.extras.add(key.source, carried).ok_or(Full)?;
        self.base.rows.push(Row { subject: Packed::of(key.subject), role: key.role, extra });
        Ok(())
    }

    /// The rows that follow are of this scope or of a later one.
    fn start_scopes(&mut self, scope: ObjectId) -> Result<(), Full> {
        let start = u32::try_from(self.base.rows.len()).map_err(|_| Full)?;
        let scope = scope.0 as usize;
        if self.starts.len() <= scope {
            self.starts.resize(scope + 1, start);
        }
        Ok(())
    }

    /// The base, once all are there. Every object of theirs is among the names.
    pub(super) fn finish(mut self, mut names: Names) -> Result<Base, Full> {
        self.start_scopes(ObjectId(names.count()))?;
        names.shrink();
        self.base.rows.shrink_to_fit();
        self.base.extras.shrink();
        let entries = self.note_subjects();
        let Self { mut base, starts } = self;
        base.nested = Nested::of(&base.uses, &base.others);
        // The last place is nobody's: it has no type.
        let types = names.iter().map(|(_, _, type_id)| type_id).chain([TypeId(0)]);
        let starts = starts.into_iter().zip(entries);
        base.places = Vec::with_capacity(names.count() as usize + 1);
        let mut others = 0_u32;
        for (object, ((rows, entries), type_id)) in (0..).map(ObjectId).zip(starts.zip(types)) {
            let first = Packed::of(SubjectKey::Set(object, NameId(0)));
            let rest = base.others.get(others as usize..).unwrap_or_default();
            let before = rest.iter().take_while(|other| other.subject < first).count();
            // There are no more others than rows, and each of those has a place of 32 bits.
            others = others.saturating_add(u32::try_from(before).unwrap_or(u32::MAX));
            let crowd = Crowd::default();
            base.places.push(Place { rows, entries, others, type_id, crowd });
        }
        base.note_crowds();
        base.names = names;
        Ok(base)
    }

    /// Each row with its scope.
    fn scoped_rows(&self) -> impl Iterator<Item = (ObjectId, &Row)> {
        let ranges = self.starts.windows(2);
        (0..).map(ObjectId).zip(ranges).flat_map(|(scope, range)| {
            let rows = match range {
                [start, end] => self.base.rows.get(*start as usize..*end as usize),
                _ => None,
            };
            rows.unwrap_or_default().iter().map(move |row| (scope, row))
        })
    }

    /// Makes the entries and the others from the rows: counted, dealt out, sorted within each subject.
    /// Where each object's entries start.
    fn note_subjects(&mut self) -> Vec<u32> {
        let mut starts = vec![0_u32; self.starts.len()];
        let mut others = Vec::new();
        for (scope, row) in self.scoped_rows() {
            let Row { subject, role, extra } = *row;
            match subject.subject() {
                SubjectKey::Object(object) => {
                    if let Some(count) = starts.get_mut(object.0 as usize) {
                        *count += 1;
                    }
                }
                _ => others.push(Other { subject, entry: Entry { role, scope, extra } }),
            }
        }
        let mut total = 0;
        for start in &mut starts {
            total += std::mem::replace(start, total);
        }
        let none = Entry { role: NameId(0), scope: ObjectId(0), extra: NO_EXTRA };
        let mut entries = vec![none; total as usize];
        for (scope, row) in self.scoped_rows() {
            if let SubjectKey::Object(object) = row.subject.subject()
                && let Some(next) = starts.get_mut(object.0 as usize)
                && let Some(entry) = entries.get_mut(*next as usize)
            {
                *entry = Entry { role: row.role, scope, extra: row.extra };
                *next += 1;
            }
        }
        // Each start has moved to where the next one was.
        starts.rotate_right(1);
        if let Some(first) = starts.first_mut() {
            *first = 0;
        }
        for range in starts.windows(2) {
            if let [start, end] = range
                && let Some(entries) = entries.get_mut(*start as usize..*end as usize)
            {
                // Stable: the sources of one scope and role are in order already.
                entries.sort_by_key(|entry| (entry.role, entry.scope));
            }
        }
        others.sort_by_key(|other| (other.subject, other.entry.role, other.entry.scope));
        others.shrink_to_fit();
        (self.base.entries, self.base.others) = (entries, others);
        starts
    }
}
