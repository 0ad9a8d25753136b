//! The tuple and the role behind an allow: one way down through values that are yes.

use std::collections::HashSet;

use super::Grant;
use super::asker::Goal;
use super::eval::Eval;
use super::value::Value;
use crate::index::{Binding, ObjectId, SubjectKey};
use crate::model::form::{Expr, NameId};
use crate::model::limits::EVALUATION_NESTING_MAX;

impl<'a> Eval<'a> {
    /// A tuple whose role makes this name's value yes; `None` if it is yes without a role (a fact alone,
    /// a condition alone). The name's value is yes.
    pub(super) fn witness(&mut self, name: NameId, at: ObjectId) -> Option<Grant> {
        self.witness_of_name(name, at, &mut HashSet::new())
    }

    fn witness_of_name(
        &mut self,
        name: NameId,
        at: ObjectId,
        seen: &mut HashSet<Goal>,
    ) -> Option<Grant> {
        let def = self.def(name, at)?;
        if !seen.insert(self.asker.goal(name, at)) {
            return None;
        }
        self.witness_of(&def.expr, at, seen)
    }

    fn witness_of(
        &mut self,
        expr: &'a Expr,
        at: ObjectId,
        seen: &mut HashSet<Goal>,
    ) -> Option<Grant> {
        if self.solve(expr, at, 0) != Value::Yes || self.nesting >= EVALUATION_NESTING_MAX {
            return None;
        }
        self.nesting += 1;
        let found = self.witness_in(expr, at, seen);
        self.nesting -= 1;
        found
    }

    fn witness_in(
        &mut self,
        expr: &'a Expr,
        at: ObjectId,
        seen: &mut HashSet<Goal>,
    ) -> Option<Grant> {
        match expr {
            Expr::Here(role) => self.binding_tuple(*role, at),
            Expr::HereAny(roles) => self.binding_tuple_in(roles, at),
            Expr::Ref(name) => self.witness_of_name(*name, at, seen),
            Expr::Up { relation, name } | Expr::UpAll { relation, name } => {
                for (binding, target) in self.targets(*relation, at) {
                    if self.condition_of(&binding) == Value::Yes
                        && self.solve_name(*name, target) == Value::Yes
                    {
                        let found = self.witness_of_name(*name, target, seen);
                        if found.is_some() {
                            return found;
                        }
                    }
                }
                None
            }
            Expr::Any(parts) | Expr::All(parts) => {
                parts.iter().find_map(|part| self.witness_of(part, at, seen))
            }
            Expr::Except(left, _) => self.witness_of(left, at, seen),
            Expr::Anywhere { scopes, name } => {
                let mut subjects = self.matching_keys();
                subjects.sort_unstable();
                let mut found = Vec::new();
                for subject in subjects {
                    found.extend(self.scopes_with(*scopes, subject).unwrap_or_default());
                }
                found.into_iter().find_map(|scope| {
                    let yes = self.solve_name(*name, scope) == Value::Yes;
                    if yes { self.witness_of_name(*name, scope, seen) } else { None }
                })
            }
            Expr::As { link, expr } => self.witness_of_linked(*link, expr, at, seen),
            // What the target holds gives the subject nothing.
            Expr::OfTarget(_) => None,
            Expr::Fact(_) | Expr::Standing(_) | Expr::SelfIs | Expr::Condition(_) => None,
        }
    }

    /// What gave it to the subject, or to one of those linked with it.
    fn witness_of_linked(
        &mut self,
        link: NameId,
        expr: &'a Expr,
        at: ObjectId,
        seen: &mut HashSet<Goal>,
    ) -> Option<Grant> {
        let own = self.witness_of(expr, at, seen);
        let SubjectKey::Object(subject) = self.asker.subject else { return own };
        if own.is_some() {
            return own;
        }
        for from in self.linking(link, subject) {
            if self.condition_of(&from) != Value::Yes {
                continue;
            }
            for (to, v) in self.targets(link, from.scope) {
                if v == subject || self.condition_of(&to) != Value::Yes {
                    continue;
                }
                let linked = SubjectKey::Object(v);
                let found = self.ask_as(linked, |eval| eval.witness_of(expr, at, seen));
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    fn solve_name(&mut self, name: NameId, at: ObjectId) -> Value {
        match self.def(name, at) {
            Some(def) => self.solve(&def.expr, at, 0),
            None => Value::No,
        }
    }

    fn binding_tuple(&mut self, role: NameId, at: ObjectId) -> Option<Grant> {
        let (snapshot, now) = (self.view.snapshot, self.now);
        // The subject's own tuples first: they are looked up, not searched for.
        for key in self.matching_keys() {
            for binding in snapshot.bound(at, role, key).filter(|b| b.is_live(now)) {
                if self.matches(key, 0) == Value::Yes && self.condition_of(&binding) == Value::Yes {
                    return self.grant(role, &binding);
                }
            }
        }
        for binding in snapshot.sets_bound(at, role).filter(|b| b.is_live(now)) {
            if self.matches(binding.subject, 0) == Value::Yes
                && self.condition_of(&binding) == Value::Yes
            {
                return self.grant(role, &binding);
            }
        }
        None
    }

    /// The same for some of these roles. The subject's own tuples come first, whatever their role.
    fn binding_tuple_in(&mut self, roles: &'a [NameId], at: ObjectId) -> Option<Grant> {
        let (snapshot, now) = (self.view.snapshot, self.now);
        for key in self.matching_keys() {
            for binding in snapshot.bound_in(at, roles, key).flatten().filter(|b| b.is_live(now)) {
                if self.matches(key, 0) == Value::Yes && self.condition_of(&binding) == Value::Yes {
                    return self.grant(binding.role, &binding);
                }
            }
        }
        roles.iter().find_map(|role| self.binding_tuple(*role, at))
    }

    fn grant(&self, role: NameId, binding: &Binding<'_>) -> Option<Grant> {
        let tuple = self.view.snapshot.tuple(binding)?;
        Some(Grant { role: self.view.model().name_of(role).to_owned(), tuple })
    }
}
