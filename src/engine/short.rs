//! Short ways from within an evaluation: what `reach` knows of a name or of roles here, for whoever is asked
//! about at present. Once one of them was not certain, the evaluation takes no other.

use super::eval::Eval;
use super::reach::{self, Ground, Keys, Looks};
use super::value::Value;
use crate::index::{ObjectId, SubjectKey};
use crate::model::form::NameId;

impl<'a> Eval<'a> {
    /// V(u, ref name, s) by the short way. `None`: that is not the way to know.
    pub(super) fn union(&mut self, name: NameId, at: ObjectId) -> Option<Value> {
        if self.is_winding {
            return None;
        }
        let map = self.plan.map();
        let start = (map.start(self.view.type_of(at)?, name)?, at);
        self.short(|ground, keys, looks| reach::reach(ground, map, start, keys, looks))
    }

    /// Takes a short way with what tuples may name to mean the current asker.
    fn short(
        &mut self,
        way: impl FnOnce(&Ground<'a>, &Keys, &mut Looks) -> Option<bool>,
    ) -> Option<Value> {
        let SubjectKey::Object(subject) = self.asker.subject else { return None };
        let ground = Ground::new(self.view.snapshot, self.now);
        let mut looks = Looks::within(self.steps.left());
        let keys = match self.asker.keys.take() {
            Some(keys) => keys,
            None => {
                let of = || self.view.type_of(subject);
                Keys::of(&ground, self.plan, subject, of, &mut looks)?
            }
        };
        let is_so = way(&ground, &keys, &mut looks);
        self.asker.keys = Some(keys);
        self.steps.add(looks.count());
        self.is_winding = is_so.is_none();
        is_so.map(Value::from_bool)
    }

    /// The greatest value of here() over these roles, which stand in order, by the short way. `None`: that is
    /// not the way to know.
    pub(super) fn bound_here(&mut self, roles: &[NameId], at: ObjectId) -> Option<Value> {
        let of = self.view.type_of(at)?;
        if self.is_winding || !self.plan.sets_bound_on(of).is_none_or(|sets| sets.are_plain) {
            return None;
        }
        self.short(|ground, keys, looks| reach::bound_here(ground, roles, at, keys, looks))
    }
}
