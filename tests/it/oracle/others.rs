//! What is asked of somebody else, as DESIGN's table has it: of those linked with the subject, and of the
//! target. A part of `eval`. Must not know the engine or the index.

use std::collections::BTreeSet;

use bailiwick::model::form::{Expr, NameId};
use bailiwick::model::names::{Object, Subject};

use super::coverage::{Mark, Marks};
use super::eval::{Mutation, Oracle, Table};
use super::values::Value;

impl Oracle<'_> {
    /// The greatest of V(u, e, s) and, over live tuples `o#link@u` and `o#link@v` of objects o that have
    /// the relation, of the least of their conditions and V(v, e, s).
    pub(super) fn linked(
        &mut self,
        u: &Subject,
        link: NameId,
        e: &Expr,
        s: &Object,
        table: &mut Table,
        m: &mut Marks,
    ) -> Value {
        let mut value = m.take(self.eval(u, e, s, table));
        let own = value;
        let mut links = self.links(u, link, m);
        if self.mutation == Some(Mutation::LinksAreTransitive) {
            let further: Vec<_> = links.iter().flat_map(|(_, v)| self.links(v, link, m)).collect();
            links.extend(further);
        }
        for (condition, v) in links {
            let linked = condition.min(m.take(self.eval(&v, e, s, table)));
            m.add_if(linked > own, Mark::LinkDecides);
            m.add_if(linked > own && condition == Value::Unknown, Mark::UnknownLink);
            let is_first = u == self.asker || Some(u) == self.target;
            m.add_if(linked > own && !is_first, Mark::LinkInLink);
            value = value.max(linked);
        }
        value
    }

    /// Everybody whom a tuple of `link` binds at an object at which one binds u, with the least of the
    /// two tuples' conditions.
    fn links(&self, u: &Subject, link: NameId, m: &mut Marks) -> Vec<(Value, Subject)> {
        let mut found = Vec::new();
        if !matches!(u, Subject::Object(_)) {
            return found;
        }
        let objects: BTreeSet<&Object> = self.tuples.iter().map(|t| &t.tuple.key.scope).collect();
        for o in objects {
            if self.type_def(o).is_none_or(|def| def.edge(link).is_none()) {
                continue;
            }
            let bound = self.live(o, link, m);
            for (one, x) in bound.iter().filter(|(_, x)| *x == u) {
                for (other, v) in bound.iter().filter(|(_, v)| *v != *x) {
                    let conditions = [m.take(*one), m.take(*other)];
                    let least = match self.mutation {
                        Some(Mutation::LinksHaveNoConditions) => Value::Yes,
                        Some(Mutation::OnlyTheOthersLinkHasACondition) => conditions[1],
                        _ => conditions[0].min(conditions[1]),
                    };
                    found.push((least, (*v).clone()));
                }
            }
        }
        found
    }

    /// V(target, e, s); unknown if the question names none.
    pub(super) fn of_target(
        &mut self,
        u: &Subject,
        e: &Expr,
        s: &Object,
        table: &mut Table,
        m: &mut Marks,
    ) -> Value {
        let target = match self.mutation {
            Some(Mutation::TargetIsTheSubject) => Some(u),
            _ => self.target,
        };
        m.add_if(target.is_none(), Mark::NoTarget);
        match target {
            Some(target) => m.take(self.eval(target, e, s, table)),
            None if self.mutation == Some(Mutation::NoTargetIsNo) => Value::No,
            None => Value::Unknown,
        }
    }
}
