//! Facts and standings as DESIGN's table has them: those of the nearest objects at or above that declare
//! one. A part of `eval`. Must not know the engine or the index.

use std::collections::BTreeSet;

use bailiwick::model::form::{FactId, FactKind, FactTest, HAS};
use bailiwick::model::names::{Object, Subject};

use super::coverage::{Mark, Marks};
use super::eval::{Mutation, Oracle};
use super::values::Value;

impl<'a> Oracle<'a> {
    /// The fact of the subject; nothing is known of the members of a subject set or of `type:*`.
    pub(super) fn standing(&self, u: &Subject, test: &FactTest, m: &mut Marks) -> Value {
        match u {
            Subject::Object(u) => self.fact(test, u, m),
            _ if self.mutation == Some(Mutation::StandingOfSetIsNo) => Value::No,
            _ => Value::Unknown,
        }
    }

    /// The fact of the nearest objects at or above `from` that declare it, level by level.
    pub(super) fn fact(&self, test: &FactTest, from: &Object, m: &mut Marks) -> Value {
        let mut level = BTreeSet::from([from]);
        let mut seen = level.clone();
        let mut an_edge_is_unknown = false;
        while !level.is_empty() {
            let declaring = level.iter().filter(|o| self.declares(o, test.fact));
            let values: BTreeSet<Value> = declaring.map(|o| self.fact_of(test, o, m)).collect();
            if let (Some(least), Some(greatest)) = (values.first(), values.last()) {
                if an_edge_is_unknown && self.mutation != Some(Mutation::FactIgnoresUnknownEdges) {
                    m.add(Mark::FactBeyondUnknownEdge);
                    return Value::Unknown;
                }
                if self.mutation == Some(Mutation::NearestFactsTakeTheGreatest) {
                    return *greatest;
                }
                m.add_if(least != greatest, Mark::NearestFactsDiffer);
                return if least == greatest { *least } else { Value::Unknown };
            }
            let mut next = BTreeSet::new();
            for (c, parent) in level.iter().flat_map(|o| self.parents(o, m)).collect::<Vec<_>>() {
                an_edge_is_unknown |= c == Value::Unknown;
                if c != Value::No && seen.insert(parent) {
                    next.insert(parent);
                }
            }
            level = next;
        }
        match self.model.fact(test.fact).map(|def| &def.kind) {
            Some(FactKind::Flag | FactKind::Set) => Value::No,
            Some(FactKind::OneOf(_)) | None => Value::Unknown,
        }
    }

    /// The fact at an object that declares it.
    fn fact_of(&self, test: &FactTest, object: &Object, m: &mut Marks) -> Value {
        let live = self.live(object, HAS, m);
        let had: BTreeSet<_> = live.into_iter().map(|(_, feature)| feature).collect();
        let has = |feature: &Object| had.contains(&Subject::Object(feature.clone()));
        match self.model.fact(test.fact).map(|def| &def.kind) {
            Some(FactKind::Flag | FactKind::Set) => Value::from(has(&test.feature)),
            Some(FactKind::OneOf(values)) => {
                match values.iter().filter(|v| has(v)).collect::<Vec<_>>().as_slice() {
                    [only] => Value::from(**only == test.feature),
                    _ => Value::Unknown,
                }
            }
            None => Value::Unknown,
        }
    }

    /// Every live parent edge of an object, with its condition.
    fn parents(&self, object: &Object, m: &mut Marks) -> Vec<(Value, &'a Object)> {
        let Some(def) = self.type_of(object).and_then(|at| self.model.type_def(at)) else {
            return Vec::new();
        };
        let relations = def.edges.iter().filter(|edge| edge.is_parent).map(|edge| edge.relation);
        let found: Vec<_> = relations.flat_map(|rel| self.objects(object, rel, m)).collect();
        m.add_if(found.len() > 1, Mark::SeveralParents);
        found
    }

    fn declares(&self, object: &Object, fact: FactId) -> bool {
        self.type_def(object).is_some_and(|def| def.facts.contains(&fact))
    }
}
