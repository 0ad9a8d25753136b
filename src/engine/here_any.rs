//! here() over a set of roles, found from the subject: of thousands of roles that give a permission it has
//! a few, and only those are looked at.

use super::eval::Eval;
use super::value::Value;
use crate::index::{ObjectId, SubjectKey};
use crate::model::form::NameId;

/// Up to so many roles are looked up one by one: that costs less than to go through the subject's.
const FEW_ROLES: usize = 2;

impl<'a> Eval<'a> {
    /// The greatest value of here() over these roles, which stand in order.
    pub(super) fn here_any(&mut self, roles: &'a [NameId], at: ObjectId, depth: usize) -> Value {
        if let Some(value) = self.bound_here(roles, at) {
            return value;
        }
        if roles.len() <= FEW_ROLES {
            return self.any(roles.iter(), |eval, role| eval.here(*role, at, depth));
        }
        let mut value = Value::No;
        for key in self.asker.own_keys().into_iter().flatten() {
            value = value.or(self.bindings_in(at, roles, key));
            if value == Value::Yes {
                return value;
            }
        }
        let Some(sets) = self.view.type_of(at).and_then(|of| self.plan.sets_bound_on(of)) else {
            return value;
        };
        if sets.are_plain {
            let closure = self.closure();
            // Where it was cut short, what lies beyond counts only in roles that sets are bound in.
            if closure.len() < roles.len() && closure.beyond() == Value::No {
                return value.or(self.any(closure.iter(), |eval, (set, matched)| {
                    match eval.bindings_in(at, roles, set) {
                        Value::No => Value::No,
                        bound => bound.and(eval.told(matched)),
                    }
                }));
            }
        }
        value.or(self.any(roles.iter(), |eval, role| eval.sets(*role, at, depth)))
    }

    /// The greatest condition over the live tuples that bind just this subject in one of these roles.
    fn bindings_in(&mut self, at: ObjectId, roles: &'a [NameId], subject: SubjectKey) -> Value {
        let (snapshot, now) = (self.view.snapshot, self.now);
        self.any(snapshot.bound_in(at, roles, subject), |eval, found| match found {
            Some(binding) if binding.is_live(now) => eval.condition_of(&binding),
            _ => Value::No,
        })
    }
}
