//! The value of a fact: of the nearest object at or above a place whose type declares it.

use rustc_hash::FxHashSet;

use super::eval::Eval;
use super::value::{Value, Why};
use crate::index::{ObjectId, SubjectKey};
use crate::model::form::{FactKind, FactTest, HAS};

impl Eval<'_> {
    /// Goes up level by level, over every parent edge. At the first level where a type declares the fact
    /// its objects decide; where they differ, or an edge on the way may or may not be there, the value
    /// is unknown.
    pub(super) fn fact(&mut self, test: &FactTest, from: ObjectId) -> Value {
        let value = self.nearest_fact(test, from);
        if matches!(value, Value::Unknown(why) if !why.is_limit()) {
            self.missing.insert(format!("fact:{}", test.feature.id()));
        }
        value
    }

    fn nearest_fact(&mut self, test: &FactTest, from: ObjectId) -> Value {
        // Mostly it is declared right here.
        if self.declares(test, from) {
            return self.agreed(test, &[from]);
        }
        let mut level = vec![from];
        let mut seen = FxHashSet::from_iter([from]);
        let mut certain = true;
        while !level.is_empty() {
            let declares = |at: &ObjectId| self.declares(test, *at);
            let deciding: Vec<ObjectId> = level.iter().copied().filter(declares).collect();
            if !deciding.is_empty() {
                return if certain { self.agreed(test, &deciding) } else { Value::MISSING };
            }
            level = match self.level_above(&level, &mut certain) {
                Ok(above) => above,
                Err(why) => return Value::Unknown(why),
            };
            // A relation that opted out of the hierarchy's rules may lead in a circle.
            level.retain(|at| seen.insert(*at));
        }
        match self.view.model().fact(test.fact).map(|fact| &fact.kind) {
            Some(FactKind::Flag | FactKind::Set) => Value::No,
            Some(FactKind::OneOf(_)) | None => Value::MISSING,
        }
    }

    fn declares(&self, test: &FactTest, at: ObjectId) -> bool {
        let def = self.view.type_of(at).and_then(|t| self.view.model().type_def(t));
        def.is_some_and(|def| def.facts.contains(&test.fact))
    }

    fn agreed(&mut self, test: &FactTest, deciding: &[ObjectId]) -> Value {
        let mut agreed = None;
        for at in deciding {
            if let Some(over) = self.step() {
                return over;
            }
            let value = self.had(test, *at);
            if agreed.is_some_and(|agreed: Value| agreed.rank() != value.rank()) {
                return Value::MISSING;
            }
            agreed = agreed.or(Some(value));
        }
        agreed.unwrap_or(Value::MISSING)
    }

    fn level_above(
        &mut self,
        level: &[ObjectId],
        certain: &mut bool,
    ) -> Result<Vec<ObjectId>, Why> {
        let mut above = Vec::new();
        for at in level {
            self.look()?;
            let def = self.view.type_of(*at).and_then(|t| self.view.model().type_def(t));
            for edge in def.into_iter().flat_map(|def| &def.edges).filter(|edge| edge.is_parent) {
                for (binding, parent) in self.targets(edge.relation, *at) {
                    self.look()?;
                    match self.condition_of(&binding) {
                        Value::Yes => above.push(parent),
                        Value::No => {}
                        Value::Unknown(_) => {
                            *certain = false;
                            above.push(parent);
                        }
                    }
                }
            }
        }
        above.sort_unstable();
        above.dedup();
        Ok(above)
    }

    /// The fact of this very object.
    fn had(&self, test: &FactTest, at: ObjectId) -> Value {
        match self.view.model().fact(test.fact).map(|fact| &fact.kind) {
            Some(FactKind::Flag | FactKind::Set) => {
                Value::from_bool(self.has(at, test.feature.as_str()))
            }
            Some(FactKind::OneOf(values)) => {
                let mut held = values.iter().filter(|value| self.has(at, value.as_str()));
                match (held.next(), held.next()) {
                    (Some(only), None) => Value::from_bool(*only == test.feature),
                    _ => Value::MISSING,
                }
            }
            None => Value::MISSING,
        }
    }

    fn has(&self, at: ObjectId, feature: &str) -> bool {
        let feature = self.view.snapshot.find(feature);
        feature.is_some_and(|feature| {
            let mut tuples = self.view.snapshot.bound(at, HAS, SubjectKey::Object(feature));
            tuples.any(|tuple| tuple.is_live(self.now))
        })
    }
}
