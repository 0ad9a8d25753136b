//! anywhere(T, n): the scopes where a subject may be bound, found from the subject.

use super::eval::Eval;
use super::value::{Value, Why};
use crate::index::{Binding, ObjectId, SubjectKey};
use crate::model::form::{NameId, SubjectForm, TypeId};

impl Eval<'_> {
    /// The greatest of V(u, name, t) over the scopes t of a type with a live role tuple whose subject
    /// may match. They are found from the subject, not by going through the scopes.
    pub(super) fn anywhere(&mut self, scopes: TypeId, name: NameId, depth: usize) -> Value {
        let mut subjects = self.matching_keys();
        let incomplete = self.closure().beyond();
        subjects.extend(self.other_sets(scopes, depth));
        let found = self.any(subjects.into_iter(), |eval, subject| {
            let candidates = match eval.scopes_with(scopes, subject) {
                Ok(candidates) => candidates,
                Err(why) => return Value::Unknown(why),
            };
            eval.any(candidates.into_iter(), |eval, scope| eval.goal(name, scope, depth))
        });
        found.or(incomplete)
    }

    /// What tuples may name to mean the subject, as far as that is known from the subject alone.
    pub(super) fn matching_keys(&mut self) -> Vec<SubjectKey> {
        let mut keys: Vec<SubjectKey> = self.asker.own_keys().into_iter().flatten().collect();
        keys.extend(self.closure().iter().map(|(set, _)| set));
        keys
    }

    /// The subject sets that are not plain, stand in a role of this type, and may match. No others are
    /// asked for: the model knows nothing of such a dependency, which may lead back here through the
    /// right side of except.
    fn other_sets(&mut self, scopes: TypeId, depth: usize) -> Vec<SubjectKey> {
        let (snapshot, now) = (self.view.snapshot, self.now);
        let roles = self.view.model().type_def(scopes).map(|def| def.roles.as_slice());
        let roles = roles.unwrap_or_default();
        let all_plain = roles.iter().all(|role| {
            role.bound_by.iter().all(|form| match form {
                SubjectForm::Set(t, n) => self.plan.is_plain(*t, *n),
                SubjectForm::Object(_) | SubjectForm::All(_) => true,
            })
        });
        if all_plain {
            return Vec::new();
        }
        let stands_here = |binding: &Binding<'_>| {
            binding.is_live(now)
                && snapshot.type_of(binding.scope) == Some(scopes)
                && roles.iter().any(|role| role.name == binding.role)
        };
        // Past the limit of steps nothing is decided any more; the caller's next step says so.
        let bound = snapshot.set_subjects().take_while(|_| self.look().is_ok());
        let here = bound.filter(stands_here);
        let mut sets: Vec<SubjectKey> = here.map(|binding| binding.subject).collect();
        sets.sort_unstable();
        sets.dedup();
        sets.retain(|set| match set {
            SubjectKey::Set(object, name) if self.step().is_none() => {
                let plain =
                    self.view.type_of(*object).is_some_and(|t| self.plan.is_plain(t, *name));
                !plain && *set != self.asker.subject && self.matches(*set, depth) != Value::No
            }
            SubjectKey::Set(..) | SubjectKey::Object(_) | SubjectKey::All(_) => false,
        });
        sets
    }

    /// The scopes of a type where this subject is bound.
    ///
    /// # Errors
    /// There are more tuples to look at than steps.
    pub(super) fn scopes_with(
        &mut self,
        scopes: TypeId,
        subject: SubjectKey,
    ) -> Result<Vec<ObjectId>, Why> {
        let (snapshot, now, plan) = (self.view.snapshot, self.now, self.plan);
        let roles = snapshot.roles_of(subject, plan.roles_of(scopes));
        let bound = roles.into_iter().flat_map(|role| snapshot.scopes_in(subject, role));
        let mut found = Vec::new();
        for binding in bound {
            self.look()?;
            if binding.is_live(now) && snapshot.type_of(binding.scope) == Some(scopes) {
                found.push(binding.scope);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}
