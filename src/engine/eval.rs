//! V(u, e, s), the definition of a decision, evaluated on demand from the question downwards.
//!
//! A *goal* is a name at an object; u is fixed. Goals depend on each other in circles (groups in
//! groups), so [`Eval::solve`] evaluates in rounds: an open goal met again stands for its value so
//! far, which is never too high, and rounds go on until nothing changes. Without a circle there is one
//! round. The right side of `except` is solved to its own end before it is used; the model guarantees
//! that it never asks for a goal that is still open.

use std::collections::{BTreeSet, HashMap};

use super::closure::Closure;
use super::condition;
use super::plan::Plan;
use super::value::{Value, Why};
use super::view::View;
use crate::index::{Binding, ObjectId, SubjectKey};
use crate::model::form::{ConditionId, Def, Expr, NameId, SubjectForm, TypeId};
use crate::model::limits::{CHECK_STEPS_MAX, DEPTH_MAX, OPEN_NAMES_MAX};
use crate::model::tuple::{Context, Time};

/// A name at an object.
pub(super) type Goal = (NameId, ObjectId);

#[derive(Debug, Clone, Copy)]
struct Entry {
    value: Value,
    /// How many subject sets lead here, on the shortest way found.
    depth: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Being evaluated by this solve.
    Open { solve: u32 },
    /// Evaluated in this round, on values that may still rise.
    Done { round: u32 },
    /// Its value is V.
    Final,
}

/// The evaluation of one question for one subject.
#[derive(Debug)]
pub(super) struct Eval<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) plan: &'a Plan,
    pub(super) subject: SubjectKey,
    pub(super) context: &'a Context,
    pub(super) now: Time,
    pub(super) missing: BTreeSet<String>,
    goals: HashMap<Goal, Entry>,
    touched: Vec<Goal>,
    closure: Option<Closure>,
    conditions: HashMap<ConditionId, Value>,
    steps: u64,
    open: usize,
    solves: u32,
    rounds: u32,
    solve: u32,
    round: u32,
    /// In this round: an open goal was met, or a value was lowered by a shorter way.
    again: bool,
    /// In this round: some goal's value differs from the last round's.
    changed: bool,
}

impl<'a> Eval<'a> {
    pub(super) fn new(
        view: &'a View<'a>,
        plan: &'a Plan,
        subject: SubjectKey,
        context: &'a Context,
        now: Time,
    ) -> Self {
        Self {
            view,
            plan,
            subject,
            context,
            now,
            missing: BTreeSet::new(),
            goals: HashMap::new(),
            touched: Vec::new(),
            closure: None,
            conditions: HashMap::new(),
            steps: 0,
            open: 0,
            solves: 0,
            rounds: 0,
            solve: 0,
            round: 0,
            again: false,
            changed: false,
        }
    }

    /// V(u, expr, s), to its end. `depth` counts the subject sets on the way here.
    pub(super) fn solve(&mut self, expr: &'a Expr, at: ObjectId, depth: usize) -> Value {
        let outer = (self.solve, self.round, self.again, self.changed, self.touched.len());
        self.solves += 1;
        self.solve = self.solves;
        let value = loop {
            self.rounds += 1;
            (self.round, self.again, self.changed) = (self.rounds, false, false);
            let value = self.expr(expr, at, depth);
            let settled = !self.again || !self.changed;
            if settled || value == Value::Yes {
                self.close(outer.4, settled);
                break value;
            }
        };
        (self.solve, self.round, self.again, self.changed) = (outer.0, outer.1, outer.2, outer.3);
        value
    }

    /// Keeps what this solve settled and forgets what it did not: a yes that came early leaves goals
    /// behind whose values may be too low.
    fn close(&mut self, from: usize, settled: bool) {
        let round = self.round;
        for goal in self.touched.drain(from..) {
            if let Some(entry) = self.goals.get_mut(&goal) {
                let current = entry.state == State::Done { round };
                if entry.state != State::Final && (settled && current || entry.value == Value::Yes)
                {
                    entry.state = State::Final;
                }
                if entry.state != State::Final {
                    self.goals.remove(&goal);
                }
            }
        }
    }

    fn step(&mut self) -> Option<Value> {
        self.steps += 1;
        (self.steps > CHECK_STEPS_MAX).then_some(Value::Unknown(Why::STEPS))
    }

    pub(super) fn def(&self, name: NameId, at: ObjectId) -> Option<&'a Def> {
        self.view.model().def(self.view.type_of(at)?, name)
    }

    /// V(u, ref name, s).
    pub(super) fn goal(&mut self, name: NameId, at: ObjectId, mut depth: usize) -> Value {
        let Some(def) = self.def(name, at) else {
            return Value::No;
        };
        let before = self.goals.get(&(name, at)).copied();
        if let Some(entry) = before {
            // A value that came of the depth limit is taken again when a shorter way is found.
            let shorter = entry.value.is_limited() && depth < entry.depth;
            depth = depth.min(entry.depth);
            match entry.state {
                State::Final if !shorter => return entry.value,
                State::Done { round } if round == self.round && !shorter => return entry.value,
                State::Open { solve } if solve == self.solve => {
                    self.again = true;
                    return entry.value;
                }
                // The model rules this out: the right side of except asks for what waits for it.
                State::Open { .. } => return Value::Unknown(Why::DEPTH),
                State::Final | State::Done { .. } => {}
            }
        } else {
            self.touched.push((name, at));
        }
        if self.open >= OPEN_NAMES_MAX {
            return Value::Unknown(Why::DEPTH);
        }
        let so_far = before.map_or(Value::No, |entry| entry.value);
        let state = State::Open { solve: self.solve };
        self.goals.insert((name, at), Entry { value: so_far, depth, state });
        self.open += 1;
        let value = self.expr(&def.expr, at, depth);
        self.open -= 1;
        if value.rank() != so_far.rank() {
            self.changed = true;
            // What was taken from the higher value must be taken again.
            self.again |= value.rank() < so_far.rank();
        }
        // No circle met so far: nothing stands on a value that may still rise.
        let exact = !self.again;
        let state = if exact { State::Final } else { State::Done { round: self.round } };
        self.goals.insert((name, at), Entry { value, depth, state });
        value
    }

    fn expr(&mut self, expr: &'a Expr, at: ObjectId, depth: usize) -> Value {
        if let Some(over) = self.step() {
            return over;
        }
        match expr {
            Expr::Here(role) => self.here(*role, at, depth),
            Expr::Ref(name) => self.goal(*name, at, depth),
            Expr::Up { relation, name } => self.up(*relation, *name, at, depth),
            Expr::UpAll { relation, name } => self.up_all(*relation, *name, at, depth),
            Expr::Any(parts) => self.any(parts.iter(), |eval, part| eval.expr(part, at, depth)),
            Expr::All(parts) => {
                let mut value = Value::Yes;
                for part in parts {
                    value = value.and(self.expr(part, at, depth));
                    if value == Value::No {
                        break;
                    }
                }
                value
            }
            Expr::Except(left, right) => match self.expr(left, at, depth) {
                Value::No => Value::No,
                left => left.and(self.solve(right, at, depth).negated()),
            },
            Expr::Fact(test) => self.fact(test, at),
            Expr::Standing(test) => match self.subject {
                SubjectKey::Object(subject) => self.fact(test, subject),
                SubjectKey::All(_) | SubjectKey::Set(..) => {
                    self.missing.insert(format!("standing:{}", test.feature.id()));
                    Value::MISSING
                }
            },
            Expr::SelfIs => Value::from_bool(self.subject == SubjectKey::Object(at)),
            Expr::Condition(id) => self.asked_condition(*id),
            Expr::Anywhere { scopes, name } => self.anywhere(*scopes, *name, depth),
        }
    }

    fn any<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        mut value_of: impl FnMut(&mut Self, T) -> Value,
    ) -> Value {
        let mut value = Value::No;
        for item in items {
            if let Some(over) = self.step() {
                return over;
            }
            value = value.or(value_of(self, item));
            if value == Value::Yes {
                break;
            }
        }
        value
    }

    pub(super) fn condition_of(&mut self, binding: &Binding<'_>) -> Value {
        let Some((id, stored)) = binding.condition() else {
            return Value::Yes;
        };
        match self.view.model().condition(id) {
            Some(c) => condition::evaluate(c, Some(stored), self.context, &mut self.missing),
            None => Value::MISSING,
        }
    }

    fn asked_condition(&mut self, id: ConditionId) -> Value {
        if let Some(value) = self.conditions.get(&id) {
            return *value;
        }
        let value = match self.view.model().condition(id) {
            Some(c) => condition::evaluate(c, None, self.context, &mut self.missing),
            None => Value::MISSING,
        };
        self.conditions.insert(id, value);
        value
    }

    /// The greatest over live tuples `s#r@x` of min(condition, match(u, x)).
    fn here(&mut self, role: NameId, at: ObjectId, depth: usize) -> Value {
        let direct = self.bindings(at, role, self.subject);
        let all = self
            .all_of_its_type()
            .filter(|_| self.admits(role, at, |form| matches!(form, SubjectForm::All(_))));
        let direct = all.map_or(direct, |all| direct.or(self.bindings(at, role, all)));
        let sets = self.admits(role, at, |form| matches!(form, SubjectForm::Set(..)));
        if direct == Value::Yes || !sets {
            return direct;
        }
        direct.or(self.sets(role, at, depth))
    }

    /// The subject as tuples may name it: itself, and all of its type.
    fn own_keys(&self) -> [Option<SubjectKey>; 2] {
        [Some(self.subject), self.all_of_its_type()]
    }

    fn all_of_its_type(&self) -> Option<SubjectKey> {
        match self.subject {
            SubjectKey::Object(id) => self.view.type_of(id).map(SubjectKey::All),
            SubjectKey::All(_) | SubjectKey::Set(..) => None,
        }
    }

    /// Whether tuples of this role may carry a subject of this form.
    fn admits(&self, role: NameId, at: ObjectId, form: impl Fn(&SubjectForm) -> bool) -> bool {
        let def = self.view.type_of(at).and_then(|t| self.view.model().type_def(t));
        def.and_then(|def| def.role(role)).is_some_and(|role| role.bound_by.iter().any(form))
    }

    /// The greatest condition over the live tuples that bind just this subject.
    fn bindings(&mut self, at: ObjectId, role: NameId, subject: SubjectKey) -> Value {
        let (snapshot, now) = (self.view.snapshot, self.now);
        let live = snapshot.bound(at, role, subject).filter(|b| b.is_live(now));
        self.any(live, |eval, binding| eval.condition_of(&binding))
    }

    /// The part of here() that comes through subject sets. If fewer sets are bound here than the subject
    /// is in, those bound are looked at, else those it is in: neither a large group list here nor a
    /// subject in many groups makes it slow.
    fn sets(&mut self, role: NameId, at: ObjectId, depth: usize) -> Value {
        let (snapshot, now) = (self.view.snapshot, self.now);
        if snapshot.sets_bound(at, role).next().is_none() {
            return Value::No;
        }
        let own = self.closure().len() + 8;
        let few = snapshot.sets_bound(at, role).nth(own).is_none();
        let only_plain = self.admits_only_plain(role, at);
        if few || !only_plain {
            let live = snapshot.sets_bound(at, role).filter(|b| b.is_live(now));
            return self.any(live, |eval, binding| {
                let matched = eval.matches(binding.subject, depth);
                if matched == Value::No {
                    matched
                } else {
                    matched.and(eval.condition_of(&binding))
                }
            });
        }
        let mine: Vec<_> = self.closure().iter().collect();
        let beyond = self.closure().beyond();
        let value = self.any(mine.into_iter(), |eval, (set, matched)| {
            matched.and(eval.bindings(at, role, set))
        });
        value.or(beyond)
    }

    fn admits_only_plain(&self, role: NameId, at: ObjectId) -> bool {
        !self.admits(role, at, |form| match form {
            SubjectForm::Set(t, n) => !self.plan.is_plain(*t, *n),
            SubjectForm::Object(_) | SubjectForm::All(_) => false,
        })
    }

    /// match(u, x).
    pub(super) fn matches(&mut self, x: SubjectKey, depth: usize) -> Value {
        if x == self.subject || self.own_keys().contains(&Some(x)) {
            return Value::Yes;
        }
        let SubjectKey::Set(object, name) = x else {
            return Value::No;
        };
        let Some(set_type) = self.view.type_of(object) else {
            return Value::No;
        };
        if self.plan.is_plain(set_type, name) {
            return self.closure().value(object, name);
        }
        if depth >= DEPTH_MAX {
            return Value::Unknown(Why::DEPTH);
        }
        self.goal(name, object, depth + 1)
    }

    fn closure(&mut self) -> &Closure {
        if self.closure.is_none() {
            let (snapshot, plan, now) = (self.view.snapshot, self.plan, self.now);
            let start: Vec<_> = self.own_keys().into_iter().flatten().collect();
            let closure = Closure::walk(&start, |subject| {
                let ups = snapshot.scopes_of(subject).filter(|b| b.is_live(now)).filter(|b| {
                    snapshot.type_of(b.scope).is_some_and(|t| plan.is_plain(t, b.role))
                });
                let ups: Vec<Binding<'_>> = ups.collect();
                ups.into_iter().map(|b| (b, self.condition_of(&b))).collect()
            });
            self.closure = Some(closure);
        }
        self.closure.get_or_insert_default()
    }

    /// The live tuples `s#relation@t`, t a plain object, with their t.
    pub(super) fn targets(
        &self,
        relation: NameId,
        at: ObjectId,
    ) -> impl Iterator<Item = (Binding<'a>, ObjectId)> + use<'a> {
        let now = self.now;
        let live = self.view.snapshot.all_bound(at, relation).filter(move |b| b.is_live(now));
        live.filter_map(|binding| match binding.subject {
            SubjectKey::Object(target) => Some((binding, target)),
            SubjectKey::All(_) | SubjectKey::Set(..) => None,
        })
    }

    fn up(&mut self, relation: NameId, name: NameId, at: ObjectId, depth: usize) -> Value {
        let targets = self.targets(relation, at);
        self.any(targets, |eval, (binding, target)| match eval.condition_of(&binding) {
            Value::No => Value::No,
            condition => condition.and(eval.goal(name, target, depth)),
        })
    }

    fn up_all(&mut self, relation: NameId, name: NameId, at: ObjectId, depth: usize) -> Value {
        let (mut some, mut every) = (Value::No, Value::Yes);
        for (binding, target) in self.targets(relation, at) {
            if let Some(over) = self.step() {
                return over;
            }
            let condition = self.condition_of(&binding);
            some = some.or(condition);
            every = every.and(self.goal(name, target, depth).or(condition.negated()));
        }
        some.and(every)
    }

    /// The greatest of V(u, name, t) over the scopes t of a type with a live role tuple whose subject
    /// may match. They are found from the subject, not by going through the scopes.
    fn anywhere(&mut self, scopes: TypeId, name: NameId, depth: usize) -> Value {
        let mut subjects = self.matching_keys();
        let incomplete = self.closure().beyond();
        subjects.extend(self.other_sets(scopes, depth));
        let found = self.any(subjects.into_iter(), |eval, subject| {
            let candidates = eval.scopes_with(scopes, subject);
            eval.any(candidates.into_iter(), |eval, scope| eval.goal(name, scope, depth))
        });
        found.or(incomplete)
    }

    /// What tuples may name to mean the subject, as far as that is known from the subject alone.
    pub(super) fn matching_keys(&mut self) -> Vec<SubjectKey> {
        let mut keys: Vec<SubjectKey> = self.own_keys().into_iter().flatten().collect();
        keys.extend(self.closure().iter().map(|(set, _)| set));
        keys
    }

    /// The subject sets that are not plain, stand in a role of this type, and may match.
    fn other_sets(&mut self, scopes: TypeId, depth: usize) -> Vec<SubjectKey> {
        let roles = self.view.model().type_def(scopes).map(|def| def.roles.as_slice());
        let all_plain = roles.unwrap_or_default().iter().all(|role| {
            role.bound_by.iter().all(|form| match form {
                SubjectForm::Set(t, n) => self.plan.is_plain(*t, *n),
                SubjectForm::Object(_) | SubjectForm::All(_) => true,
            })
        });
        if all_plain {
            return Vec::new();
        }
        let mut sets: Vec<SubjectKey> =
            self.view.snapshot.set_subjects().map(|binding| binding.subject).collect();
        sets.dedup();
        sets.retain(|set| match set {
            SubjectKey::Set(object, name) => {
                let plain =
                    self.view.type_of(*object).is_some_and(|t| self.plan.is_plain(t, *name));
                !plain && *set != self.subject && self.matches(*set, depth) != Value::No
            }
            SubjectKey::Object(_) | SubjectKey::All(_) => false,
        });
        sets
    }

    pub(super) fn scopes_with(&self, scopes: TypeId, subject: SubjectKey) -> Vec<ObjectId> {
        let (snapshot, now) = (self.view.snapshot, self.now);
        let roles = self.view.model().type_def(scopes);
        let bound = snapshot.scopes_of(subject).filter(|binding| {
            binding.is_live(now)
                && snapshot.type_of(binding.scope) == Some(scopes)
                && roles.is_some_and(|def| def.role(binding.role).is_some())
        });
        let mut found: Vec<ObjectId> = bound.map(|binding| binding.scope).collect();
        found.dedup();
        found
    }
}
