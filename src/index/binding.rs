//! A tuple as the snapshot holds it, seen from its scope or from its subject. Knows no other tuple.

use super::names::ObjectId;
use super::part::{ByScope, BySubject};
use crate::model::form::{ConditionId, NameId, TypeId};
use crate::model::tuple::{Context, Time};

/// The empty source, which every snapshot has first.
pub(super) const LOCAL: u32 = 0;

/// A subject as it stands in a tuple, interned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectKey {
    /// A plain object.
    Object(ObjectId),
    /// All of a type.
    All(TypeId),
    /// A subject set.
    Set(ObjectId, NameId),
}

/// What a tuple carries beside its identity; most carry nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// From this moment on the tuple is absent.
    pub expires_at: Option<Time>,
    /// What must hold, and the values stored for it.
    pub condition: Option<(ConditionId, Context)>,
    /// Who gave it.
    pub grantor: String,
    /// Why.
    pub reason: String,
    /// When it was granted.
    pub granted_at: Option<Time>,
}

/// A tuple seen from its scope or from its subject.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Where.
    pub scope: ObjectId,
    /// Which role or relation.
    pub role: NameId,
    /// Who.
    pub subject: SubjectKey,
    pub(super) source: u32,
    pub(super) details: Option<&'a Details>,
}

impl<'a> Binding<'a> {
    /// Whether it counts at this moment.
    #[must_use]
    pub fn is_live(&self, now: Time) -> bool {
        self.details.and_then(|d| d.expires_at).is_none_or(|end| now < end)
    }

    /// Its condition and the values stored for it.
    #[must_use]
    pub fn condition(&self) -> Option<(ConditionId, &'a Context)> {
        self.details?.condition.as_ref().map(|(id, context)| (*id, context))
    }

    /// Whether it was granted here, and by no other system.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.source == LOCAL
    }

    /// The moment from which on it is absent.
    #[must_use]
    pub fn expires_at(&self) -> Option<Time> {
        self.details?.expires_at
    }
}

pub(super) fn subject_binding<'a>(key: &BySubject, details: Option<&'a Details>) -> Binding<'a> {
    let BySubject { subject, scope, role, source } = *key;
    Binding { scope, role, subject, source, details }
}

pub(super) fn binding<'a>(key: &ByScope, details: Option<&'a Details>) -> Binding<'a> {
    let ByScope { scope, role, subject, source } = *key;
    Binding { scope, role, subject, source, details }
}
