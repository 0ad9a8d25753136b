//! The keys that the snapshot's two maps are ordered by, and the parts of it that are one range of one
//! of them. Knows no tuple.

use super::binding::SubjectKey;
use super::names::ObjectId;
use crate::model::form::NameId;

/// The first subject in order, the first that is a set, and the last.
pub(super) const FIRST: SubjectKey = SubjectKey::Object(ObjectId(0));
pub(super) const FIRST_SET: SubjectKey = SubjectKey::Set(ObjectId(0), NameId(0));
pub(super) const LAST: SubjectKey = SubjectKey::Set(ObjectId(u32::MAX), NameId(u32::MAX));

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ByScope {
    pub(super) scope: ObjectId,
    pub(super) role: NameId,
    pub(super) subject: SubjectKey,
    pub(super) source: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BySubject {
    pub(super) subject: SubjectKey,
    pub(super) role: NameId,
    pub(super) scope: ObjectId,
    pub(super) source: u32,
}

/// Which tuples to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Every tuple.
    All,
    /// Those of this scope.
    Scope(ObjectId),
    /// Those of this scope in this role.
    Role(ObjectId, NameId),
    /// Those in which this subject stands.
    Subject(SubjectKey),
    /// Those of one role in which this subject stands.
    SubjectRole(SubjectKey, NameId),
    /// Those that bind just this subject here, one per source.
    Bound(ObjectId, NameId, SubjectKey),
}

/// A place in the index's own order of tuples, valid for later revisions of the same process too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub(super) ByScope);

impl Position {
    /// Where the tuple is bound, and its role or relation.
    pub(super) fn scope_and_role(self) -> (ObjectId, NameId) {
        (self.0.scope, self.0.role)
    }
}

/// The first and the last key that a part can have, in the map that holds it together.
pub(super) enum Bounds {
    Scope(ByScope, ByScope),
    Subject(BySubject, BySubject),
}

impl Part {
    pub(super) fn bounds(self) -> Bounds {
        let (scope, role) = (ObjectId(0), NameId(0));
        let low = ByScope { scope, role, subject: FIRST, source: 0 };
        let (scope, role) = (ObjectId(u32::MAX), NameId(u32::MAX));
        let high = ByScope { scope, role, subject: LAST, source: u32::MAX };
        match self {
            Self::All => Bounds::Scope(low, high),
            Self::Scope(scope) => {
                Bounds::Scope(ByScope { scope, ..low }, ByScope { scope, ..high })
            }
            Self::Role(scope, role) => {
                Bounds::Scope(ByScope { scope, role, ..low }, ByScope { scope, role, ..high })
            }
            Self::Bound(scope, role, subject) => Bounds::Scope(
                ByScope { scope, role, subject, ..low },
                ByScope { scope, role, subject, ..high },
            ),
            Self::Subject(subject) => {
                let (low, high) = subject_bounds(subject, subject);
                Bounds::Subject(low, high)
            }
            Self::SubjectRole(subject, role) => {
                let (low, high) = subject_bounds(subject, subject);
                Bounds::Subject(BySubject { role, ..low }, BySubject { role, ..high })
            }
        }
    }
}

pub(super) fn by_subject(key: &ByScope) -> BySubject {
    let ByScope { scope, role, subject, source } = *key;
    BySubject { subject, scope, role, source }
}

pub(super) fn by_scope(key: &BySubject) -> ByScope {
    let BySubject { subject, scope, role, source } = *key;
    ByScope { scope, role, subject, source }
}

pub(super) fn subject_bounds(from: SubjectKey, to: SubjectKey) -> (BySubject, BySubject) {
    let (scope, role) = (ObjectId(u32::MAX), NameId(u32::MAX));
    (
        BySubject { subject: from, scope: ObjectId(0), role: NameId(0), source: 0 },
        BySubject { subject: to, scope, role, source: u32::MAX },
    )
}
