//! The tuples of an object as they stand packed in the base, where nothing written since and nothing that
//! a request brought along touches it: mostly so, and then they are one slice. Whoever gets none goes
//! the general way. Knows nothing of why it is asked.

use super::binding::{Binding, SubjectKey};
use super::names::ObjectId;
use super::part::{ByScope, FIRST, LAST, subject_bounds};
use super::rows::{Entry, ExtraId, Other, Packed, Row};
use super::snapshot::Snapshot;
use crate::model::form::NameId;

/// The tuples in which one subject stands, in the order of roles, then of scopes.
#[derive(Debug)]
pub struct Standing<'a> {
    key: Packed,
    entries: std::slice::Iter<'a, Entry>,
    /// Those of all sets of the subject's object.
    others: std::slice::Iter<'a, Other>,
}

impl Standing<'_> {
    /// How many are looked at to go through all of them.
    #[must_use]
    #[inline]
    pub fn looks(&self) -> usize {
        self.entries.len() + self.others.len()
    }
}

impl<'a> Iterator for Standing<'a> {
    type Item = &'a Entry;

    #[inline]
    fn next(&mut self) -> Option<&'a Entry> {
        let Self { key, entries, others } = self;
        entries.next().or_else(|| others.find(|o| o.subject == *key).map(|other| &other.entry))
    }
}

impl Snapshot {
    /// All tuples of a scope, in the order of roles, then of subjects. `None`: not all of them stand in
    /// the base.
    #[must_use]
    #[inline]
    pub fn settled_rows(&self, scope: ObjectId) -> Option<&[Row]> {
        let is_touched = self.layers().any(|layer| layer.touches_scope(scope));
        let is_settled = !is_touched && !self.lies_over_scope(scope);
        is_settled.then(|| self.base().rows_at(scope))
    }

    fn lies_over_scope(&self, scope: ObjectId) -> bool {
        self.over().is_some_and(|over| {
            let low = ByScope { scope, role: NameId(0), subject: FIRST, source: 0 };
            let (role, source) = (NameId(u32::MAX), u32::MAX);
            !over.by_scope(&low, &ByScope { scope, role, subject: LAST, source }).is_empty()
        })
    }

    /// All tuples in which a subject stands. `None`: not all of them stand in the base, or the subject is all
    /// of a type.
    #[must_use]
    #[inline]
    pub fn settled_entries(&self, subject: SubjectKey) -> Option<Standing<'_>> {
        let object = match subject {
            SubjectKey::Object(object) | SubjectKey::Set(object, _) => object,
            SubjectKey::All(_) => return None,
        };
        if !self.is_settled_subject(subject, object) {
            return None;
        }
        let (entries, others): (&[Entry], &[Other]) = match subject {
            SubjectKey::Object(_) => (self.base().entries_at(object), &[]),
            SubjectKey::Set(..) | SubjectKey::All(_) => (&[], self.base().others_at(object)),
        };
        let (entries, others) = (entries.iter(), others.iter());
        let key = Packed::of(subject);
        Some(Standing { key, entries, others })
    }

    #[inline]
    fn is_settled_subject(&self, subject: SubjectKey, object: ObjectId) -> bool {
        let is_touched = self.layers().any(|layer| layer.touches_subject(object));
        let lies_over = || {
            self.over().is_some_and(|over| {
                let (low, high) = subject_bounds(subject, subject);
                !over.by_subject(&low, &high).is_empty()
            })
        };
        !is_touched && !lies_over()
    }

    /// Whether no tuple names all of a type.
    #[must_use]
    pub fn names_nobody_by_type(&self) -> bool {
        let is_layered = self.layers().any(|layer| layer.touches_everyone());
        self.base().everyone().is_empty() && !is_layered && self.over().is_none()
    }

    /// A row of this scope, seen as any tuple is.
    #[must_use]
    #[inline]
    pub fn row_binding(&self, scope: ObjectId, row: &Row) -> Binding<'_> {
        self.settled_binding(scope, row.role, row.subject.subject(), row.extra)
    }

    /// An entry of this subject, seen as any tuple is.
    #[must_use]
    #[inline]
    pub fn entry_binding(&self, subject: SubjectKey, entry: &Entry) -> Binding<'_> {
        self.settled_binding(entry.scope, entry.role, subject, entry.extra)
    }

    #[inline]
    fn settled_binding(
        &self,
        scope: ObjectId,
        role: NameId,
        subject: SubjectKey,
        extra: ExtraId,
    ) -> Binding<'_> {
        let source = self.base().source(extra);
        let details = self.base().carried(extra).map(|details| &**details);
        Binding { scope, role, subject, source, details }
    }
}
