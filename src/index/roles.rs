//! The tuples of one subject in any of many roles, found by turns in the subject's tuples and among the
//! roles: costs what there are fewer of, not what there are of both.

use super::binding::{Binding, SubjectKey, subject_binding};
use super::names::ObjectId;
use super::part::{BySubject, by_scope, subject_bounds};
use super::snapshot::Snapshot;
use crate::model::form::NameId;

impl Snapshot {
    /// The tuples that bind just this subject here in one of these roles, which stand in order and once
    /// each. `None` in between: a look that found nothing, so that whoever counts looks can. Takes at
    /// most two a role, or two a role that the subject has anywhere, if that is less.
    pub fn bound_in<'s>(
        &'s self,
        scope: ObjectId,
        roles: &'s [NameId],
        subject: SubjectKey,
    ) -> impl Iterator<Item = Option<Binding<'s>>> {
        let mut next =
            roles.first().map(|role| BySubject { subject, role: *role, scope, source: 0 });
        let stored = std::iter::from_fn(move || {
            let from = next?;
            let Some((key, details)) = self.stored_from(from) else {
                next = None;
                return Some(None);
            };
            if (key.role, key.scope) == (from.role, scope) {
                let source = key.source.checked_add(1).filter(|_| !self.has_one_source());
                next = match source {
                    Some(source) => Some(BySubject { source, ..from }),
                    None => at_or_after(roles, after(from.role)).map(|role| from.turned_to(role)),
                };
                let is_replaced = self.is_replaced(&by_scope(&key));
                return Some((!is_replaced).then(|| subject_binding(&key, details)));
            }
            // In its role the subject stands further on, or nowhere after all.
            let role = if key.role == from.role || key.scope > scope {
                after(key.role)
            } else {
                Some(key.role)
            };
            next = at_or_after(roles, role).map(|role| from.turned_to(role));
            Some(None)
        });
        let (low, high) = subject_bounds(subject, subject);
        let over = self.over_by_subject(low, high);
        let over = over.filter(move |binding| {
            binding.scope == scope && roles.binary_search(&binding.role).is_ok()
        });
        stored.chain(over.map(Some))
    }

    /// Those of these roles, which stand in order, in which this subject stands anywhere, in order. Costs
    /// what [`bound_in`](Self::bound_in) costs.
    #[must_use]
    pub fn roles_of(&self, subject: SubjectKey, among: &[NameId]) -> Vec<NameId> {
        let mut found = Vec::new();
        let mut next = among.first().copied();
        while let Some(role) = next {
            let from = BySubject { subject, role, scope: ObjectId(0), source: 0 };
            let Some((key, _)) = self.stored_from(from) else { break };
            next = if key.role == role {
                found.push(role);
                at_or_after(among, after(role))
            } else {
                at_or_after(among, Some(key.role))
            };
        }
        let (low, high) = subject_bounds(subject, subject);
        let over = self.over_by_subject(low, high).map(|binding| binding.role);
        let before = found.len();
        found.extend(over.filter(|role| among.binary_search(role).is_ok()));
        if found.len() > before {
            found.sort_unstable();
            found.dedup();
        }
        found
    }
}

impl BySubject {
    /// Where the same begins in another role.
    fn turned_to(self, role: NameId) -> Self {
        Self { role, source: 0, ..self }
    }
}

/// The role after this one in order, be it one of the model's or not.
fn after(role: NameId) -> Option<NameId> {
    role.0.checked_add(1).map(NameId)
}

/// The first of these roles that is no less.
fn at_or_after(roles: &[NameId], least: Option<NameId>) -> Option<NameId> {
    let least = least?;
    roles.get(roles.partition_point(|role| *role < least)).copied()
}
