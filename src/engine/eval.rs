//! V(u, e, s), the definition of a decision, evaluated on demand from the question downwards.
//!
//! A *goal* is a name at an object for one u, the current asker. Goals depend on each other in circles (groups in
//! groups), so [`Eval::solve`] evaluates in rounds: an open goal met again stands for its value so
//! far, which is never too high, and rounds go on until nothing changes. Without a circle there is one
//! round. The right side of `except` is solved to its own end before it is used; the model guarantees
//! that it never asks for a goal that is still open.

use std::collections::BTreeSet;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::asker::{Asker, Goal};
use super::condition::{Requested, stored_cost};
use super::plan::Plan;
use super::steps::Steps;
use super::value::{Value, Why};
use super::view::View;
use crate::index::{Binding, ObjectId, SubjectKey};
use crate::model::form::{ConditionId, Def, Expr, NameId, SubjectForm};
use crate::model::limits::{
    CONDITION_COST_PER_STEP, DEPTH_MAX, EVALUATION_NESTING_MAX, OPEN_NAMES_MAX,
};
use crate::model::tuple::{Context, Time};

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

/// The evaluation of one question.
#[derive(Debug)]
pub(super) struct Eval<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) plan: &'a Plan,
    /// Whom everything is asked about at present.
    pub(super) asker: Asker,
    /// The others that were asked about so far, by their subjects.
    pub(super) parked: FxHashMap<SubjectKey, Asker>,
    /// How many there are beside the first.
    pub(super) askers: u32,
    /// The question's second subject.
    pub(super) target: Option<SubjectKey>,
    pub(super) context: &'a Context,
    pub(super) now: Time,
    pub(super) missing: BTreeSet<String>,
    goals: FxHashMap<Goal, Entry>,
    touched: Vec<Goal>,
    /// The conditions of the request alone, each with what was missing for it.
    conditions: FxHashMap<ConditionId, (Value, BTreeSet<String>)>,
    /// The request's values as each condition that was met has them.
    requested: FxHashMap<ConditionId, Rc<Requested>>,
    pub(super) steps: Steps,
    /// Something met on a short way was not certain, or none is to be taken: they are not tried.
    pub(super) is_winding: bool,
    /// Goals that are open, and expressions: the recursion's depth.
    open: usize,
    pub(super) nesting: usize,
    solves: u32,
    rounds: u32,
    solve: u32,
    pass: Pass,
}

/// One round of a solve.
#[derive(Debug, Clone, Copy, Default)]
struct Pass {
    round: u32,
    /// An open goal was met.
    circle: bool,
    /// Some goal's value differs from the last round's.
    changed: bool,
    /// A goal was met on a shorter way than the one that it was evaluated on.
    shortened: bool,
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
            asker: Asker::first(view, subject),
            parked: FxHashMap::default(),
            askers: 0,
            target: None,
            context,
            now,
            missing: BTreeSet::new(),
            goals: FxHashMap::default(),
            touched: Vec::new(),
            conditions: FxHashMap::default(),
            requested: FxHashMap::default(),
            steps: Steps::default(),
            is_winding: !plan.has_short_ways(),
            open: 0,
            nesting: 0,
            solves: 0,
            rounds: 0,
            solve: 0,
            pass: Pass::default(),
        }
    }

    /// V(u, expr, s), to its end. `depth` counts the subject sets on the way here.
    pub(super) fn solve(&mut self, expr: &'a Expr, at: ObjectId, depth: usize) -> Value {
        let (solve, pass, from) = (self.solve, self.pass, self.touched.len());
        self.solves += 1;
        self.solve = self.solves;
        let value = loop {
            self.rounds += 1;
            self.pass = Pass { round: self.rounds, ..Pass::default() };
            let value = self.expr(expr, at, depth);
            let nearer = self.pass.shortened && self.forget_limited(from);
            let settled = !(self.pass.circle && self.pass.changed || nearer);
            if settled || value == Value::Yes {
                self.close(from, settled);
                break value;
            }
        };
        (self.solve, self.pass) = (solve, pass);
        value
    }

    /// Takes back what came of the depth limit, since there are shorter ways; in a circle it would keep
    /// itself alive. Whether there was any. Ways only become shorter, so this ends.
    fn forget_limited(&mut self, from: usize) -> bool {
        let mut any = false;
        for goal in self.touched.get(from..).unwrap_or_default() {
            if let Some(entry) = self.goals.get_mut(goal).filter(|entry| entry.value.is_limited()) {
                (entry.value, entry.state) = (Value::No, State::Done { round: 0 });
                any = true;
            }
        }
        any
    }

    /// Keeps what this solve settled and forgets what it did not: a yes that came early leaves goals
    /// behind whose values may be too low.
    fn close(&mut self, from: usize, settled: bool) {
        let round = self.pass.round;
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

    pub(super) fn def(&self, name: NameId, at: ObjectId) -> Option<&'a Def> {
        self.view.model().def(self.view.type_of(at)?, name)
    }

    /// V(u, ref name, s).
    pub(super) fn goal(&mut self, name: NameId, at: ObjectId, depth: usize) -> Value {
        let Some(def) = self.def(name, at) else {
            return Value::No;
        };
        let goal = self.asker.goal(name, at);
        let (so_far, depth) = match self.goals.get_mut(&goal) {
            None => match self.union(name, at) {
                Some(value) => {
                    self.goals.insert(goal, Entry { value, depth, state: State::Final });
                    return value;
                }
                None => (Value::No, depth),
            },
            Some(entry) => {
                let shorter = depth < entry.depth;
                entry.depth = entry.depth.min(depth);
                match entry.state {
                    State::Final if !(shorter && entry.value.is_limited()) => return entry.value,
                    State::Done { round } if round == self.pass.round => {
                        self.pass.shortened |= shorter;
                        return entry.value;
                    }
                    State::Open { solve } if solve == self.solve => {
                        self.pass.circle = true;
                        return entry.value;
                    }
                    // The model rules this out: the right side of except asks for what waits for it.
                    State::Open { .. } => return Value::Unknown(Why::NESTING),
                    State::Final => (Value::No, depth),
                    State::Done { .. } => (entry.value, entry.depth),
                }
            }
        };
        if self.open >= OPEN_NAMES_MAX {
            return Value::Unknown(Why::NAMES);
        }
        let state = State::Open { solve: self.solve };
        let is_new = self.goals.insert(goal, Entry { value: so_far, depth, state });
        if is_new.is_none_or(|before| before.state == State::Final) {
            self.touched.push(goal);
        }
        self.open += 1;
        let value = self.expr(&def.expr, at, depth);
        self.open -= 1;
        self.pass.changed |= value.rank() != so_far.rank();
        // No circle and no limit met so far: nothing stands on a value that may still change.
        let exact = !self.pass.circle && !value.is_limited();
        let state = if exact { State::Final } else { State::Done { round: self.pass.round } };
        self.goals.insert(goal, Entry { value, depth, state });
        value
    }

    pub(super) fn expr(&mut self, expr: &'a Expr, at: ObjectId, depth: usize) -> Value {
        if let Some(over) = self.step() {
            return over;
        }
        if self.nesting >= EVALUATION_NESTING_MAX {
            return Value::Unknown(Why::NESTING);
        }
        self.nesting += 1;
        let value = self.node(expr, at, depth);
        self.nesting -= 1;
        value
    }

    fn node(&mut self, expr: &'a Expr, at: ObjectId, depth: usize) -> Value {
        match expr {
            Expr::Here(role) => self.here(*role, at, depth),
            Expr::HereAny(roles) => self.here_any(roles, at, depth),
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
            Expr::Standing(test) => match self.asker.subject {
                SubjectKey::Object(subject) => self.fact(test, subject),
                SubjectKey::All(_) | SubjectKey::Set(..) => {
                    self.missing.insert(format!("standing:{}", test.feature.id()));
                    Value::MISSING
                }
            },
            Expr::SelfIs => Value::from_bool(self.asker.subject == SubjectKey::Object(at)),
            Expr::Condition(id) => self.asked_condition(*id),
            Expr::Anywhere { scopes, name } => self.anywhere(*scopes, *name, depth),
            Expr::As { link, expr } => self.linked(*link, expr, at, depth),
            Expr::OfTarget(inner) => self.of_target(inner, at, depth),
        }
    }

    pub(super) fn any<T>(
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
        match binding.condition() {
            None => Value::Yes,
            // Without values of its own every tuple's condition is the request's.
            Some((id, stored)) if stored.is_empty() => self.asked_condition(id),
            Some((id, stored)) => self.condition(id, Some(stored)),
        }
    }

    fn asked_condition(&mut self, id: ConditionId) -> Value {
        if let Some((value, missing)) = self.conditions.get(&id) {
            let value = *value;
            // Told again: where it was asked before may not count any more.
            self.missing.extend(missing.iter().cloned());
            return value;
        }
        let before = std::mem::take(&mut self.missing);
        let value = self.condition(id, None);
        let own = std::mem::replace(&mut self.missing, before);
        self.missing.extend(own.iter().cloned());
        self.conditions.insert(id, (value, own));
        value
    }

    fn condition(&mut self, id: ConditionId, stored: Option<&Context>) -> Value {
        let Some(condition) = self.view.model().condition(id) else {
            return Value::MISSING;
        };
        let requested = match self.requested.get(&id) {
            Some(requested) => Rc::clone(requested),
            None => {
                let requested = Rc::new(Requested::new(condition, self.context));
                self.steps.add(requested.cost / CONDITION_COST_PER_STEP);
                self.requested.insert(id, Rc::clone(&requested));
                requested
            }
        };
        let converting = stored.map_or(0, stored_cost);
        self.steps.add((condition.cost + converting) / CONDITION_COST_PER_STEP);
        if let Some(over) = self.step() {
            return over;
        }
        match stored {
            None => requested.evaluate(condition, &mut self.missing),
            Some(stored) => requested.evaluate_with(condition, stored, &mut self.missing),
        }
    }

    /// The greatest over live tuples `s#r@x` of min(condition, match(u, x)).
    pub(super) fn here(&mut self, role: NameId, at: ObjectId, depth: usize) -> Value {
        if let Some(value) = self.bound_here(&[role], at) {
            return value;
        }
        let direct = self.bindings(at, role, self.asker.subject);
        let all = self
            .asker
            .all_of_its_type
            .filter(|_| self.admits(role, at, |form| matches!(form, SubjectForm::All(_))));
        let direct = all.map_or(direct, |all| direct.or(self.bindings(at, role, all)));
        let sets = self.admits(role, at, |form| matches!(form, SubjectForm::Set(..)));
        if direct == Value::Yes || !sets {
            return direct;
        }
        direct.or(self.sets(role, at, depth))
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
    pub(super) fn sets(&mut self, role: NameId, at: ObjectId, depth: usize) -> Value {
        let (snapshot, now) = (self.view.snapshot, self.now);
        let count = snapshot.sets_bound_count(at, role);
        if count == 0 {
            return Value::No;
        }
        if self.admits_only_plain(role, at) {
            let closure = self.closure();
            if closure.len() < count {
                let value = self.any(closure.iter(), |eval, (set, matched)| {
                    match eval.bindings(at, role, set) {
                        Value::No => Value::No,
                        bound => bound.and(eval.told(matched)),
                    }
                });
                return value.or(closure.beyond());
            }
        }
        let live = snapshot.sets_bound(at, role).filter(|b| b.is_live(now));
        self.any(live, |eval, binding| match eval.matches(binding.subject, depth) {
            Value::No => Value::No,
            matched => matched.and(eval.condition_of(&binding)),
        })
    }

    fn admits_only_plain(&self, role: NameId, at: ObjectId) -> bool {
        !self.admits(role, at, |form| match form {
            SubjectForm::Set(t, n) => !self.plan.is_plain(*t, *n),
            SubjectForm::Object(_) | SubjectForm::All(_) => false,
        })
    }

    /// match(u, x).
    pub(super) fn matches(&mut self, x: SubjectKey, depth: usize) -> Value {
        if self.asker.own_keys().contains(&Some(x)) {
            return Value::Yes;
        }
        let SubjectKey::Set(object, name) = x else {
            return Value::No;
        };
        let Some(set_type) = self.view.type_of(object) else {
            return Value::No;
        };
        if self.plan.is_plain(set_type, name) {
            let value = self.closure().value(object, name);
            return self.told(value);
        }
        if depth >= DEPTH_MAX {
            return Value::Unknown(Why::DEPTH);
        }
        self.goal(name, object, depth + 1)
    }

    /// The live tuples `s#relation@t`, t a plain object, with their t.
    pub(super) fn targets(
        &self,
        relation: NameId,
        at: ObjectId,
    ) -> impl Iterator<Item = (Binding<'a>, ObjectId)> + use<'a> {
        let (snapshot, now) = (self.view.snapshot, self.now);
        let live = snapshot.settled().few_bound(at, relation).filter(move |b| b.is_live(now));
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
}
