//! Tuples packed into rows, as a base holds them: how a subject becomes eight bytes, and what stands in
//! a row. Knows no order of rows but that of subjects.

use std::hint::select_unpredictable;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::binding::{Details, LOCAL, SubjectKey};
use super::names::{OVERLAY_IDS, ObjectId};
use crate::model::form::{NameId, TypeId};

/// What a tuple carries beside its identity, if it carries anything.
pub(super) type Carried = Option<Arc<Details>>;

/// A subject in eight bytes, ordered as subjects are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packed(u64);

const ALL: u32 = 1;
const SET: u32 = 1 << 31;

/// The first that is a set.
pub(super) const FIRST_SET_PACKED: Packed = Packed(1 << 63);

impl Packed {
    /// Ids that only a request knows stand in no row, so a set of one of those stands after all sets.
    #[must_use]
    #[inline]
    pub fn of(subject: SubjectKey) -> Self {
        let halves = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        Self(match subject {
            SubjectKey::Object(object) => u64::from(object.0),
            SubjectKey::All(of) => halves(ALL, u32::from(of.0)),
            SubjectKey::Set(object, name) if object.0 < OVERLAY_IDS => {
                halves(SET | object.0, name.0)
            }
            SubjectKey::Set(..) => u64::MAX,
        })
    }

    /// A set; `None`: of an object that only a request knows, which stands in no row.
    #[must_use]
    #[inline]
    pub fn of_set(object: ObjectId, name: NameId) -> Option<Self> {
        let is_stored = object.0 < OVERLAY_IDS;
        is_stored.then_some(Self(u64::from(SET | object.0) << 32 | u64::from(name.0)))
    }

    /// A number, the same for the same subject, of which the last bits are good to tell many apart.
    #[must_use]
    #[inline]
    pub fn fold(self) -> u32 {
        let [a, b, c, d, e, f, g, h] = self.0.to_ne_bytes();
        u32::from_ne_bytes([a, b, c, d]) ^ u32::from_ne_bytes([e, f, g, h])
    }

    /// The object, if it is a plain one.
    #[must_use]
    #[inline]
    pub fn object(self) -> Option<ObjectId> {
        u32::try_from(self.0).ok().map(ObjectId)
    }

    /// The object of a set, if it is one.
    #[must_use]
    #[inline]
    pub fn object_of_set(self) -> Option<ObjectId> {
        let high = u32::try_from(self.0 >> u32::BITS).ok()?;
        (high & SET != 0).then_some(ObjectId(high & !SET))
    }

    /// The subject.
    #[must_use]
    #[inline]
    pub fn subject(self) -> SubjectKey {
        let [a, b, c, d, e, f, g, h] = self.0.to_be_bytes();
        let (high, low) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        match high {
            0 => SubjectKey::Object(ObjectId(low)),
            ALL => SubjectKey::All(TypeId(u16::from_be_bytes([g, h]))),
            _ => SubjectKey::Set(ObjectId(high & !SET), NameId(low)),
        }
    }
}

/// A tuple in the row of its scope.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Who.
    pub subject: Packed,
    /// Which role or relation.
    pub role: NameId,
    pub(super) extra: ExtraId,
}

/// A tuple in the row of its subject, a plain object.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Which role or relation.
    pub role: NameId,
    /// Where.
    pub scope: ObjectId,
    pub(super) extra: ExtraId,
}

/// A tuple whose subject is no plain object.
#[derive(Debug, Clone, Copy)]
pub struct Other {
    /// Who: all of a type, or a set.
    pub subject: Packed,
    /// What it stands in.
    pub entry: Entry,
}

/// What a tuple has beside scope, role and subject: the place of its extra, from 1 on; 0: it is granted
/// here, and carries nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExtraId(u32);

/// Behind whatever stands last: to look at it in place of nothing costs no branch that the processor may take wrongly.
static ROW_AFTER_ALL: Row =
    Row { subject: Packed(u64::MAX), role: NameId(u32::MAX), extra: NO_EXTRA };
static ENTRY_AFTER_ALL: Entry =
    Entry { role: NameId(u32::MAX), scope: ObjectId(u32::MAX), extra: NO_EXTRA };

#[inline]
fn found_or<'a, T>(found: Option<&'a T>, other: &'a T) -> &'a T {
    select_unpredictable(found.is_some(), found.unwrap_or(other), other)
}

impl Row {
    /// The first of these; where there is none, one of a role that there is not and that comes after all.
    #[must_use]
    #[inline]
    pub fn first_of(rows: &[Self]) -> &Self {
        found_or(rows.first(), &ROW_AFTER_ALL)
    }

    /// It carries nothing that could keep it from counting.
    #[must_use]
    #[inline]
    pub fn is_bare(&self) -> bool {
        self.extra == NO_EXTRA
    }
}

impl Entry {
    /// The first of these, which are in order: those of roles up to this one.
    #[inline]
    pub fn up_to(entries: &[Self], last: NameId) -> impl Iterator<Item = &Self> {
        let from = (0..).map(|at| found_or(entries.get(at), &ENTRY_AFTER_ALL));
        from.take_while(move |entry| entry.role <= last)
    }

    /// It carries nothing that could keep it from counting.
    #[must_use]
    #[inline]
    pub fn is_bare(&self) -> bool {
        self.extra == NO_EXTRA
    }
}

impl Other {
    /// It carries nothing that could keep it from counting.
    #[must_use]
    #[inline]
    pub fn is_bare(&self) -> bool {
        self.entry.is_bare()
    }
}

/// That of a tuple granted here that carries nothing.
pub(super) const NO_EXTRA: ExtraId = ExtraId(0);

/// The sources and details of the tuples that have any.
#[derive(Debug, Default)]
pub(super) struct Extras {
    all: Vec<(u32, Carried)>,
    /// While they are being added: by source, that of its tuples that carry nothing. Whole imports do.
    plain: FxHashMap<u32, ExtraId>,
    /// How many of them no tuple needs any more.
    unused: usize,
}

impl Extras {
    /// `None` when four billion are used up.
    pub(super) fn add(&mut self, source: u32, carried: Carried) -> Option<ExtraId> {
        if source == LOCAL && carried.is_none() {
            return Some(NO_EXTRA);
        }
        let is_plain = carried.is_none();
        if is_plain && let Some(id) = self.plain.get(&source) {
            return Some(*id);
        }
        self.all.push((source, carried));
        let id = u32::try_from(self.all.len()).ok().map(ExtraId)?;
        if is_plain {
            self.plain.insert(source, id);
        }
        Some(id)
    }

    fn get(&self, id: ExtraId) -> Option<&(u32, Carried)> {
        self.all.get(id.0.checked_sub(1)? as usize)
    }

    pub(super) fn source(&self, id: ExtraId) -> u32 {
        self.get(id).map_or(LOCAL, |(source, _)| *source)
    }

    pub(super) fn carried(&self, id: ExtraId) -> Option<&Arc<Details>> {
        self.get(id)?.1.as_ref()
    }

    /// A copy to add to: what it holds keeps its place.
    pub(super) fn to_add(&self) -> Self {
        let ids = (1..).map(ExtraId).zip(&self.all);
        let plain = ids.filter(|(_, (_, carried))| carried.is_none());
        Self {
            all: self.all.clone(),
            plain: plain.map(|(id, (source, _))| (*source, id)).collect(),
            unused: self.unused,
        }
    }

    /// A tuple does not need this any more: what it carried goes at once, its place with the next base that
    /// is made anew. Of those that carry nothing others may have the same.
    pub(super) fn release(&mut self, id: ExtraId) {
        let extra = id.0.checked_sub(1).and_then(|at| self.all.get_mut(at as usize));
        let carried = extra.and_then(|(_, carried)| carried.take());
        self.unused += usize::from(carried.is_some());
    }

    /// Whether more than half of what it holds is needed by no tuple.
    pub(super) fn is_mostly_unused(&self) -> bool {
        self.unused > self.all.len() / 2
    }

    /// Gives back what only adding needs.
    pub(super) fn shrink(&mut self) {
        self.all.shrink_to_fit();
        self.plain = FxHashMap::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_subject_is_read_back_and_keeps_its_order() {
        let mut all = Vec::new();
        let objects = [0, 1, 70_000, OVERLAY_IDS - 1].map(ObjectId);
        all.extend(objects.map(SubjectKey::Object));
        all.extend([0, 1, u16::MAX].map(TypeId).map(SubjectKey::All));
        for object in objects {
            all.extend([0, 5, u32::MAX].map(|name| SubjectKey::Set(object, NameId(name))));
        }
        for subject in &all {
            assert_eq!(Packed::of(*subject).subject(), *subject);
            for other in &all {
                let packed = Packed::of(*subject).cmp(&Packed::of(*other));
                assert_eq!(packed, subject.cmp(other), "{subject:?} {other:?}");
            }
            if let SubjectKey::Set(object, name) = subject {
                assert_eq!(Packed::of_set(*object, *name), Some(Packed::of(*subject)));
            }
            let plain = match subject {
                SubjectKey::Object(object) => Some(*object),
                SubjectKey::All(_) | SubjectKey::Set(..) => None,
            };
            assert_eq!(Packed::of(*subject).object(), plain);
        }
        assert_eq!(Packed::of_set(ObjectId(OVERLAY_IDS), NameId(0)), None);
        let strange = Packed::of(SubjectKey::Set(ObjectId(OVERLAY_IDS), NameId(0)));
        assert!(all.iter().all(|subject| Packed::of(*subject) < strange));
        assert_eq!(Packed::of(SubjectKey::Set(ObjectId(0), NameId(0))), FIRST_SET_PACKED);
        assert_eq!((size_of::<Row>(), size_of::<Entry>(), size_of::<Other>()), (16, 12, 24));
    }
}
