//! Who is asked about: the question's subject, its target, or one linked with either. Each has goals,
//! keys and groups of its own, and what one may says nothing of another.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use super::closure::Closure;
use super::eval::Eval;
use super::reach::Keys;
use super::value::Value;
use super::view::View;
use crate::index::{Binding, ObjectId, SubjectKey};
use crate::model::form::{Expr, NameId};
use crate::model::limits::ASKED_OF_ANOTHER_NESTING;

/// Whom a goal is about, by a number within one evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who(u32);

const FIRST: Who = Who(0);

/// A name at an object, for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Goal {
    who: Who,
    pub(super) name: NameId,
    pub(super) at: ObjectId,
}

impl Hash for Goal {
    /// Two words, as many as without the asker: goals are looked up at every step.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.name.0) << 32 | u64::from(self.at.0));
        state.write_u32(self.who.0);
    }
}

/// The u of V(u, e, s), and what follows from it alone.
#[derive(Debug)]
pub(super) struct Asker {
    who: Who,
    pub(super) subject: SubjectKey,
    /// All of the subject's type, for a plain object.
    pub(super) all_of_its_type: Option<SubjectKey>,
    closure: Option<Rc<Closure>>,
    /// What a short way starts from, once one was tried.
    pub(super) keys: Option<Keys>,
    /// What was missing on the way to the sets in `closure`; told only if such a set is asked for.
    closure_missing: BTreeSet<String>,
}

impl Asker {
    /// The first asker of an evaluation: the question's subject.
    pub(super) fn first(view: &View<'_>, subject: SubjectKey) -> Self {
        Self::new(view, subject, FIRST)
    }

    fn new(view: &View<'_>, subject: SubjectKey, who: Who) -> Self {
        let all_of_its_type = match subject {
            SubjectKey::Object(id) => view.type_of(id).map(SubjectKey::All),
            SubjectKey::All(_) | SubjectKey::Set(..) => None,
        };
        let closure_missing = BTreeSet::new();
        Self { who, subject, all_of_its_type, closure: None, keys: None, closure_missing }
    }

    /// The subject as tuples may name it: itself, and all of its type.
    pub(super) fn own_keys(&self) -> [Option<SubjectKey>; 2] {
        [Some(self.subject), self.all_of_its_type]
    }

    pub(super) fn goal(&self, name: NameId, at: ObjectId) -> Goal {
        Goal { who: self.who, name, at }
    }
}

impl<'a> Eval<'a> {
    /// V(target, expr, s). Without a target it is unknown, whatever the expression.
    pub(super) fn of_target(&mut self, expr: &'a Expr, at: ObjectId, depth: usize) -> Value {
        match self.target {
            Some(target) => self.ask_as(target, |eval| eval.expr(expr, at, depth)),
            None => {
                self.missing.insert("target".to_owned());
                Value::MISSING
            }
        }
    }

    /// The greatest of V(u, expr, s) and, over live tuples `o#link@u` and `o#link@v`, of the least of their
    /// conditions and V(v, expr, s). Only plain objects are linked, by objects whose type has the relation.
    pub(super) fn linked(
        &mut self,
        link: NameId,
        expr: &'a Expr,
        at: ObjectId,
        depth: usize,
    ) -> Value {
        let own = self.expr(expr, at, depth);
        let SubjectKey::Object(subject) = self.asker.subject else {
            return own;
        };
        if own == Value::Yes {
            return own;
        }
        let linking = self.linking(link, subject);
        own.or(self.any(linking, |eval, from| match eval.condition_of(&from) {
            Value::No => Value::No,
            linked => {
                let others = eval.targets(link, from.scope).filter(|(_, v)| *v != subject);
                linked.and(eval.any(others, |eval, (to, v)| match eval.condition_of(&to) {
                    Value::No => Value::No,
                    condition => {
                        condition.and(
                            eval.ask_as(SubjectKey::Object(v), |eval| eval.expr(expr, at, depth)),
                        )
                    }
                }))
            }
        }))
    }

    /// The live tuples `o#link@u`, o of a type that has the relation.
    pub(super) fn linking(
        &self,
        link: NameId,
        subject: ObjectId,
    ) -> impl Iterator<Item = Binding<'a>> + use<'a> {
        let (view, now) = (self.view, self.now);
        let bound = view.snapshot.scopes_in(SubjectKey::Object(subject), link);
        bound.filter(move |binding| binding.is_live(now) && view.is_edge(binding))
    }

    /// Asks with another subject in the current one's place.
    pub(super) fn ask_as<T>(&mut self, subject: SubjectKey, ask: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.asker.subject;
        self.turn_to(subject);
        self.nesting += ASKED_OF_ANOTHER_NESTING;
        let answer = ask(self);
        self.nesting -= ASKED_OF_ANOTHER_NESTING;
        self.turn_to(before);
        answer
    }

    /// Makes a subject the current one. The other waits in `parked` with all that is known of it.
    fn turn_to(&mut self, subject: SubjectKey) {
        if subject == self.asker.subject {
            return;
        }
        let next = self.parked.remove(&subject).unwrap_or_else(|| {
            self.askers += 1;
            Asker::new(self.view, subject, Who(self.askers))
        });
        let last = std::mem::replace(&mut self.asker, next);
        self.parked.insert(last.subject, last);
    }

    /// The plain sets that the current asker is in.
    pub(super) fn closure(&mut self) -> Rc<Closure> {
        if let Some(closure) = &self.asker.closure {
            return Rc::clone(closure);
        }
        let (snapshot, plan, now) = (self.view.snapshot, self.plan, self.now);
        let start: Vec<_> = self.asker.own_keys().into_iter().flatten().collect();
        let before = std::mem::take(&mut self.missing);
        let closure = Rc::new(Closure::walk(&start, |subject| {
            // Role by role, so that a subject's other bindings, be they a million, cost nothing.
            let in_roles =
                plan.plain_roles().iter().flat_map(|role| snapshot.scopes_in(subject, *role));
            let mut ups = Vec::new();
            for b in in_roles {
                self.look()?;
                let of = snapshot.type_of(b.scope).filter(|_| b.is_live(now));
                if of.is_some_and(|t| plan.is_plain(t, b.role)) {
                    ups.push((b, self.condition_of(&b)));
                }
            }
            Ok(ups)
        }));
        self.asker.closure = Some(Rc::clone(&closure));
        self.asker.closure_missing = std::mem::replace(&mut self.missing, before);
        closure
    }

    /// Takes over what an earlier evaluation for the same subject, at the same snapshot and moment and with
    /// the same context, found of its groups. What was missing on the way to them is not told again.
    pub(super) fn take_closure(&mut self, closure: Rc<Closure>) {
        self.asker.closure = Some(closure);
    }

    /// A value out of the closure: if it is unknown, what was missing for it matters now.
    pub(super) fn told(&mut self, value: Value) -> Value {
        if matches!(value, Value::Unknown(_)) {
            self.missing.extend(self.asker.closure_missing.iter().cloned());
        }
        value
    }
}
