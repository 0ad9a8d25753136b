//! The plain subject sets that a subject is in, found from the subject upwards, breadth-first.
//! Costs what the subject's groups cost, whoever else is in them.

use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::value::{Value, Why};
use crate::index::{Binding, ObjectId, SubjectKey};
use crate::model::form::NameId;
use crate::model::limits::DEPTH_MAX;

/// match(u, y#n) for each plain set `y#n` where it is not no.
#[derive(Debug, Default)]
pub(super) struct Closure {
    sets: FxHashMap<(ObjectId, NameId), Value>,
    /// There may be more sets past this limit.
    truncated: Option<Why>,
}

/// The live tuples of plain roles in which a subject stands, with the value of their condition; the limit
/// that was hit, if not all of them were looked at.
pub(super) type Ups<'a> = Result<Vec<(Binding<'a>, Value)>, Why>;

impl Closure {
    /// Walks from the subject's own keys, as far as `ups` goes.
    pub(super) fn walk<'a>(
        start: &[SubjectKey],
        mut ups: impl FnMut(SubjectKey) -> Ups<'a>,
    ) -> Self {
        let mut closure = Self::default();
        let mut level: Vec<(SubjectKey, Value)> = start.iter().map(|k| (*k, Value::Yes)).collect();
        for depth in 0.. {
            let mut next = Vec::new();
            for (subject, value) in level {
                let ups = match ups(subject) {
                    Ok(ups) => ups,
                    Err(why) => return closure.cut_short(why),
                };
                for (binding, condition) in ups {
                    let reached = value.and(condition);
                    if closure.raise((binding.scope, binding.role), reached) {
                        next.push((SubjectKey::Set(binding.scope, binding.role), reached));
                    }
                }
            }
            if next.is_empty() {
                break;
            }
            // A set at this level is one in which the subject is by `depth + 1` tuples.
            if depth >= DEPTH_MAX {
                closure.truncated = Some(Why::DEPTH);
                for (subject, _) in next {
                    if let SubjectKey::Set(object, name) = subject {
                        closure.sets.insert((object, name), Value::Unknown(Why::DEPTH));
                    }
                }
                break;
            }
            level = next;
        }
        closure
    }

    /// What was found until a limit was hit: a yes stays, all else may still have risen.
    fn cut_short(mut self, why: Why) -> Self {
        for value in self.sets.values_mut() {
            *value = value.or(Value::Unknown(why));
        }
        self.truncated = Some(why);
        self
    }

    /// Raises a set's value; whether it rose. Each rises at most twice, so the walk ends.
    fn raise(&mut self, set: (ObjectId, NameId), value: Value) -> bool {
        if value == Value::No {
            return false;
        }
        match self.sets.entry(set) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                true
            }
            Entry::Occupied(mut entry) if entry.get().rank() < value.rank() => {
                entry.insert(value);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// match(u, `object#name`) for a plain set.
    pub(super) fn value(&self, object: ObjectId, name: NameId) -> Value {
        self.sets.get(&(object, name)).copied().unwrap_or(self.beyond())
    }

    /// The value of a set that the walk did not reach.
    pub(super) fn beyond(&self) -> Value {
        self.truncated.map_or(Value::No, Value::Unknown)
    }

    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SubjectKey, Value)> {
        self.sets.iter().map(|((object, name), value)| (SubjectKey::Set(*object, *name), *value))
    }
}
