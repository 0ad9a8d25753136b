//! The tuples of an object as they stand packed in the base, where nothing written since and nothing that
//! a request brought along touches it: mostly so, and then they are one slice. Whoever gets none goes
//! the general way. Knows nothing of why it is asked.

use super::base::Base;
pub use super::base::Rows;
use super::binding::{Binding, SubjectKey};
use super::hints::Bloom;
use super::names::ObjectId;
use super::part::{ByScope, FIRST, LAST, subject_bounds};
use super::rows::{Entry, ExtraId, Other, Packed, Row};
use super::snapshot::Snapshot;
use crate::model::form::NameId;

/// What of a snapshot stands in its base alone.
#[derive(Debug, Clone, Copy)]
pub struct Settled<'a> {
    snapshot: &'a Snapshot,
    base: &'a Base,
    /// Nothing lies over the base: nobody need be asked about any object.
    is_all: bool,
}

/// The tuples in which one subject stands, in the order of roles, then of scopes.
#[derive(Debug, Clone)]
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
        match entries.next() {
            None => others.find(|other| other.subject == *key).map(|other| &other.entry),
            entry => entry,
        }
    }
}

impl Snapshot {
    /// What stands in the base alone.
    #[must_use]
    #[inline]
    pub fn settled(&self) -> Settled<'_> {
        Settled { snapshot: self, base: self.base(), is_all: self.is_base_alone() }
    }

    #[inline(never)]
    fn touches_scope(&self, scope: ObjectId) -> bool {
        let lies_over = || {
            self.over().is_some_and(|over| {
                let low = ByScope { scope, role: NameId(0), subject: FIRST, source: 0 };
                let (role, source) = (NameId(u32::MAX), u32::MAX);
                !over.by_scope(&low, &ByScope { scope, role, subject: LAST, source }).is_empty()
            })
        };
        self.layers().any(|layer| layer.touches_scope(scope)) || lies_over()
    }

    fn touches_subject(&self, subject: SubjectKey, object: ObjectId) -> bool {
        self.touches_subjects((subject, subject), object)
    }

    /// The same of all subjects between these two, which are the object or its sets.
    #[inline(never)]
    fn touches_subjects(&self, (low, high): (SubjectKey, SubjectKey), object: ObjectId) -> bool {
        let lies_over = || {
            self.over().is_some_and(|over| {
                let (low, high) = subject_bounds(low, high);
                !over.by_subject(&low, &high).is_empty()
            })
        };
        self.layers().any(|layer| layer.touches_subject(object)) || lies_over()
    }
}

impl<'a> Settled<'a> {
    /// All tuples of an object as a scope. `None`: not all of them stand in the base.
    #[must_use]
    #[inline]
    pub fn rows(self, scope: ObjectId) -> Option<Rows<'a>> {
        if !self.is_all && self.snapshot.touches_scope(scope) {
            return None;
        }
        self.base.rows(scope)
    }

    /// Who stands in the tuples of a scope, roughly, where these stand in the base and are not few.
    #[must_use]
    #[inline]
    pub fn bloom(self, scope: ObjectId) -> Option<&'a Bloom> {
        if !self.is_all && self.snapshot.touches_scope(scope) {
            return None;
        }
        self.base.bloom(scope)
    }

    /// All tuples in which a plain object stands, in the order of roles, then of scopes. `None`: not all of them
    /// stand in the base.
    #[must_use]
    #[inline]
    pub fn entries(self, object: ObjectId) -> Option<&'a [Entry]> {
        if !self.is_all && self.snapshot.touches_subject(SubjectKey::Object(object), object) {
            return None;
        }
        Some(self.base.entries_at(object))
    }

    /// All tuples in which some set of an object stands. `None`: not all of them stand in the base.
    #[must_use]
    #[inline]
    pub fn sets_of(self, object: ObjectId) -> Option<&'a [Other]> {
        let is_settled = self.is_all || !self.touches_sets_of(object);
        is_settled.then(|| self.base.others_at(object))
    }

    /// Whether some set of an object may stand in another set. Never wrongly no.
    #[must_use]
    #[inline]
    pub fn may_nest(self, object: ObjectId) -> bool {
        self.base.is_nested(object) || !self.is_all && self.touches_sets_of(object)
    }

    fn touches_sets_of(self, object: ObjectId) -> bool {
        let any = |name| SubjectKey::Set(object, NameId(name));
        self.snapshot.touches_subjects((any(0), any(u32::MAX)), object)
    }

    /// All tuples in which a subject stands. `None`: not all of them stand in the base, or the subject is all
    /// of a type.
    #[must_use]
    #[inline]
    pub fn standing(self, subject: SubjectKey) -> Option<Standing<'a>> {
        let object = match subject {
            SubjectKey::Object(object) | SubjectKey::Set(object, _) => object,
            SubjectKey::All(_) => return None,
        };
        if !self.is_all && self.snapshot.touches_subject(subject, object) {
            return None;
        }
        let (entries, others): (&[Entry], &[Other]) = match subject {
            SubjectKey::Object(_) => (self.base.entries_at(object), &[]),
            SubjectKey::Set(..) | SubjectKey::All(_) => (&[], self.base.others_at(object)),
        };
        let (entries, others) = (entries.iter(), others.iter());
        Some(Standing { key: Packed::of(subject), entries, others })
    }

    /// Whether no tuple names all of a type.
    #[must_use]
    #[inline]
    pub fn names_nobody_by_type(self) -> bool {
        let is_layered = || self.snapshot.layers().any(|layer| layer.touches_everyone());
        let is_over = || is_layered() || self.snapshot.over().is_some();
        self.base.everyone().is_empty() && (self.is_all || !is_over())
    }

    /// A row of this scope, seen as any tuple is.
    #[must_use]
    pub fn row(self, scope: ObjectId, row: &Row) -> Binding<'a> {
        self.binding(scope, row.role, row.subject.subject(), row.extra)
    }

    /// An entry of this subject, seen as any tuple is.
    #[must_use]
    pub fn entry(self, subject: SubjectKey, entry: &Entry) -> Binding<'a> {
        self.binding(entry.scope, entry.role, subject, entry.extra)
    }

    fn binding(
        self,
        scope: ObjectId,
        role: NameId,
        subject: SubjectKey,
        extra: ExtraId,
    ) -> Binding<'a> {
        let source = self.base.source(extra);
        let details = self.base.carried(extra).map(|details| &**details);
        Binding { scope, role, subject, source, details }
    }

    /// The tuples that bind anybody here in one role, where they are mostly few and in the base: those of an
    /// edge. Small itself, as whoever evaluates has many of these open at once.
    pub fn few_bound(self, scope: ObjectId, role: NameId) -> FewBound<'a> {
        FewBound(match self.rows(scope) {
            Some(rows) => {
                Bound::Rows { settled: self, scope, rows: rows_of(rows.all, role).iter() }
            }
            None => Bound::Others(Box::new(self.snapshot.all_bound(scope, role))),
        })
    }
}

/// The tuples of one role at one scope.
pub struct FewBound<'a>(Bound<'a>);

enum Bound<'a> {
    Rows { settled: Settled<'a>, scope: ObjectId, rows: std::slice::Iter<'a, Row> },
    Others(Box<dyn Iterator<Item = Binding<'a>> + 'a>),
}

impl<'a> Iterator for FewBound<'a> {
    type Item = Binding<'a>;

    fn next(&mut self) -> Option<Binding<'a>> {
        match &mut self.0 {
            Bound::Rows { settled, scope, rows } => rows.next().map(|row| settled.row(*scope, row)),
            Bound::Others(bindings) => bindings.next(),
        }
    }
}

impl std::fmt::Debug for FewBound<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FewBound").finish_non_exhaustive()
    }
}

/// So many rows are looked through; in more, those of a role are looked up.
const FEW_ROWS: usize = 16;

/// Those of one role among the rows of a scope.
#[must_use]
pub fn rows_of(rows: &[Row], role: NameId) -> &[Row] {
    let from = match rows {
        // Relations have their names before roles have: mostly the first row is of the relation asked for.
        [first, ..] if first.role >= role => 0,
        _ if rows.len() <= FEW_ROWS => rows.iter().take_while(|row| row.role < role).count(),
        _ => rows.partition_point(|row| row.role < role),
    };
    let rows = rows.get(from..).unwrap_or_default();
    let to = rows.iter().take_while(|row| row.role == role).count();
    rows.get(..to).unwrap_or_default()
}
