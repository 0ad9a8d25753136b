//! V(u, expression, s), read from DESIGN's table of nodes one line at a time: start at no, evaluate
//! every equation, repeat until nothing changes. Slow on purpose. Must not know the engine or the index.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::model::form::{DefKind, Expr, Model, NameId, TypeDef, TypeId};
use bailiwick::model::names::{Object, Subject};
use bailiwick::model::tuple::{Context, Time, Tuple};

use super::coverage::{Mark, Marks};
use super::values::{Value, condition};

/// May `subject` do `permission` at `scope`?
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    pub(super) subject: Subject,
    pub(super) permission: NameId,
    pub(super) scope: Object,
    pub(super) context: Context,
    /// Tuples that count for this question as if they were stored.
    pub(super) contextual: Vec<Tuple>,
    /// The second subject, if the question names one.
    pub(super) target: Option<Subject>,
}

/// A deliberate mistake, for the test that the comparison finds such mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutation {
    /// Unknown on the right of except counts as no there: it allows.
    ExceptIsTwoValued,
    /// `up_all` over no object at all is yes.
    UpAllOfNothingIsYes,
    /// A tuple still counts at the very moment it expires.
    ExpiryIsInclusive,
    /// `T:*` matches plain objects of every type.
    WildcardIgnoresType,
    /// `y#n` does not match itself.
    SetIsNotItself,
    /// Equally near and different facts: the greatest value wins.
    NearestFactsTakeTheGreatest,
    /// A subject set has no standing, read as no.
    StandingOfSetIsNo,
    /// `anywhere` looks at every bound scope, whoever is bound.
    AnywhereIgnoresTheSubject,
    /// A parent edge whose condition is unknown counts as there when a fact is looked for.
    FactIgnoresUnknownEdges,
    /// The request's values win over those stored on the tuple.
    RequestWinsOverStored,
    /// A contextual tuple stands beside the stored one of its identity, not in its place.
    ContextualStandsBeside,
    /// A contextual tuple counts even if it has expired.
    ContextualNeverExpires,
    /// A contextual tuple counts whatever its condition.
    ContextualHasNoCondition,
    /// What is asked of the target is asked of the subject.
    TargetIsTheSubject,
    /// Without a target, what is asked of it is no.
    NoTargetIsNo,
    /// A link counts whatever the conditions of its tuples.
    LinksHaveNoConditions,
    /// The condition of the tuple that binds the subject itself plays no part.
    OnlyTheOthersLinkHasACondition,
    /// One `as` goes over any number of links.
    LinksAreTransitive,
}

/// The tuples of a question: what is stored, but for what its contextual tuples take the place of, and
/// those.
pub(super) fn merged(
    stored: &[Tuple],
    contextual: &[Tuple],
    mutation: Option<Mutation>,
) -> Vec<Tuple> {
    let beside = mutation == Some(Mutation::ContextualStandsBeside);
    let kept = |stored: &&Tuple| beside || contextual.iter().all(|own| own.key != stored.key);
    let mut all: Vec<Tuple> = stored.iter().filter(kept).cloned().collect();
    all.extend(contextual.iter().cloned().map(|mut own| {
        if mutation == Some(Mutation::ContextualNeverExpires) {
            own.expires_at = None;
        }
        if mutation == Some(Mutation::ContextualHasNoCondition) {
            own.condition = None;
        }
        own
    }));
    all
}

/// A name at an object for somebody: one equation.
type Cell = (Subject, Object, NameId);

/// What evaluation found: the value, and what it met on the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) value: Value,
    pub(super) marks: Marks,
}

/// Where every equation starts.
const START: Outcome = Outcome { value: Value::No, marks: Marks::NONE };

pub(super) type Table = BTreeMap<Cell, Outcome>;

/// How deep complete solves may nest. Models guarantee that they end; a model that breaks the
/// guarantee should fail with a sentence, not with the end of the stack.
const NESTED_SOLVES_MAX: usize = 100;

/// A tuple, whether it is live, and the value of its condition.
#[derive(Debug)]
pub(super) struct Stored<'a> {
    pub(super) tuple: &'a Tuple,
    live: bool,
    condition: Outcome,
}

/// The oracle for one subject, one target and one context.
#[derive(Debug)]
pub(super) struct Oracle<'a> {
    pub(super) model: &'a Model,
    pub(super) tuples: Vec<Stored<'a>>,
    conditions: Vec<Outcome>,
    pub(super) asker: &'a Subject,
    pub(super) target: Option<&'a Subject>,
    pub(super) mutation: Option<Mutation>,
    /// The expressions whose complete solves are under way, outermost first. Addresses, because the
    /// same expression may be open at several objects, and nothing else tells it from an equal one.
    open: Vec<*const Expr>,
    /// The cells of finished tables. A finished table has all that its cells depend on, so their
    /// values are final.
    done: Table,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(
        model: &'a Model,
        tuples: &'a [Tuple],
        asker: &'a Subject,
        context: &Context,
        now: Time,
        mutation: Option<Mutation>,
    ) -> Self {
        let inclusive = mutation == Some(Mutation::ExpiryIsInclusive);
        let stored = |tuple: &'a Tuple| Stored {
            tuple,
            live: tuple.expires_at.is_none_or(|end| now < end || (inclusive && now == end)),
            condition: tuple_condition(model, tuple, context, mutation),
        };
        Self {
            model,
            tuples: tuples.iter().map(stored).collect(),
            conditions: model
                .conditions
                .iter()
                .map(|c| condition(c, &Context::new(), context))
                .collect(),
            asker,
            target: None,
            mutation,
            open: Vec::new(),
            done: Table::new(),
        }
    }

    /// The same oracle for questions about this target.
    pub(super) fn about(self, target: Option<&'a Subject>) -> Self {
        Self { target, ..self }
    }

    /// The permission's definition at the scope's type, if it is a permission there; else no.
    pub(super) fn decide(&mut self, permission: NameId, scope: &Object) -> Outcome {
        let def = self.type_of(scope).and_then(|at| self.model.def(at, permission));
        if def.is_none_or(|def| def.kind != DefKind::Permission) {
            return START;
        }
        self.complete(self.asker, &Expr::Ref(permission), scope)
    }

    /// The least fixpoint of this expression and of everything it depends on.
    pub(super) fn complete(&mut self, u: &Subject, expr: &Expr, s: &Object) -> Outcome {
        let depth = self.open.len();
        assert!(depth < NESTED_SOLVES_MAX, "a name depends on itself through except, at {s}");
        let mut marks = Marks::NONE;
        marks.add_if(self.open.contains(&std::ptr::from_ref(expr)), Mark::NegatedAbove);
        self.open.push(expr);
        let mut table = Table::new();
        loop {
            let before = table.clone();
            let top = self.eval(u, expr, s, &mut table);
            for (whose, object, name) in before.keys() {
                let outcome = self.equation(whose, *name, object, &mut table);
                table.insert((whose.clone(), object.clone(), *name), outcome);
            }
            if table == before {
                self.done.extend(table);
                self.open.pop();
                let value = marks.take(top);
                return Outcome { value, marks };
            }
        }
    }

    /// What the definition of a name gives at an object; no where the type lacks the name.
    fn equation(&mut self, u: &Subject, name: NameId, s: &Object, table: &mut Table) -> Outcome {
        let model = self.model;
        match self.type_of(s).and_then(|at| model.def(at, name)) {
            Some(def) => self.eval(u, &def.expr, s, table),
            None => START,
        }
    }

    /// V(u, name, s) as the table has it so far.
    fn v(&self, u: &Subject, name: NameId, s: &Object, table: &mut Table) -> Outcome {
        let cell = (u.clone(), s.clone(), name);
        match self.done.get(&cell) {
            Some(outcome) => *outcome,
            None => *table.entry(cell).or_insert(START),
        }
    }

    /// The table of DESIGN, a line per node.
    pub(super) fn eval(
        &mut self,
        u: &Subject,
        expr: &Expr,
        s: &Object,
        table: &mut Table,
    ) -> Outcome {
        let mut marks = Marks::NONE;
        let m = &mut marks;
        m.add(Mark::of(expr));
        let value = match expr {
            Expr::Here(role) => self.here(u, *role, s, table, m),
            Expr::HereAny(of) => greatest(of.iter().map(|role| self.here(u, *role, s, table, m))),
            Expr::Ref(name) => m.take(self.v(u, *name, s, table)),
            Expr::Up { relation, name } => self.up(u, *relation, *name, s, table, m),
            Expr::UpAll { relation, name } => self.up_all(u, *relation, *name, s, table, m),
            Expr::Any(of) => greatest(of.iter().map(|e| m.take(self.eval(u, e, s, table)))),
            Expr::All(of) => least(of.iter().map(|e| m.take(self.eval(u, e, s, table)))),
            Expr::Except(a, b) => {
                let left = m.take(self.eval(u, a, s, table));
                let right = m.take(self.complete(u, b, s));
                if self.mutation == Some(Mutation::ExceptIsTwoValued) && right == Value::Unknown {
                    left
                } else {
                    left.min(!right)
                }
            }
            Expr::Fact(test) => self.fact(test, s, m),
            Expr::Standing(test) => self.standing(u, test, m),
            Expr::SelfIs => Value::from(*u == Subject::Object(s.clone())),
            Expr::Condition(id) => m.take(self.conditions[usize::from(id.0)]),
            Expr::Anywhere { scopes, name } => self.anywhere(u, *scopes, *name, table, m),
            Expr::As { link, expr } => self.linked(u, *link, expr, s, table, m),
            Expr::OfTarget(e) => self.of_target(u, e, s, table, m),
        };
        Outcome { value, marks }
    }

    /// The greatest, over live tuples `s#r@x`, of the least of the tuple's condition and match(u, x).
    fn here(
        &self,
        u: &Subject,
        role: NameId,
        s: &Object,
        table: &mut Table,
        m: &mut Marks,
    ) -> Value {
        let live = self.live(s, role, m);
        greatest(live.into_iter().map(|(c, x)| m.take(c).min(self.matches(u, x, table, m))))
    }

    /// match(u, x).
    fn matches(&self, u: &Subject, x: &Subject, table: &mut Table, m: &mut Marks) -> Value {
        if u == x && !matches!(x, Subject::Set(..)) {
            return Value::Yes;
        }
        match x {
            Subject::Object(_) => Value::No,
            Subject::All(of) => {
                let Subject::Object(u) = u else { return Value::No };
                let any_type = self.mutation == Some(Mutation::WildcardIgnoresType);
                let yes = u.type_name() == of.as_str() || any_type;
                m.add_if(yes, Mark::WildcardMatch);
                Value::from(yes)
            }
            Subject::Set(y, n) => {
                let is_itself = u == x && self.mutation != Some(Mutation::SetIsNotItself);
                m.add_if(is_itself, Mark::SetMatchesItself);
                // A name that the model does not know has no value: no.
                let value = match self.model.name_id(n.as_str()) {
                    Some(name) => m.take(self.v(u, name, y, table)),
                    None => Value::No,
                };
                if value == Value::Yes {
                    m.add(Mark::SetMatch);
                    m.add_if(self.is_computed(y, n.as_str()), Mark::ComputedSetMatch);
                }
                value.max(Value::from(is_itself))
            }
        }
    }

    /// The greatest, over live tuples `s#rel@t` with t a plain object, of min(c, V(u, n, t)).
    fn up(
        &self,
        u: &Subject,
        rel: NameId,
        n: NameId,
        s: &Object,
        table: &mut Table,
        m: &mut Marks,
    ) -> Value {
        let leads_to = self.objects(s, rel, m);
        greatest(leads_to.into_iter().map(|(c, t)| c.min(m.take(self.v(u, n, t, table)))))
    }

    /// The least of: the greatest c over these tuples; and, for each, the greatest of V(u, n, t) and
    /// not c.
    fn up_all(
        &self,
        u: &Subject,
        rel: NameId,
        n: NameId,
        s: &Object,
        table: &mut Table,
        m: &mut Marks,
    ) -> Value {
        let leads_to = self.objects(s, rel, m);
        if leads_to.is_empty() && self.mutation == Some(Mutation::UpAllOfNothingIsYes) {
            return Value::Yes;
        }
        let some = greatest(leads_to.iter().map(|(c, _)| *c));
        let every = least(leads_to.iter().map(|(c, t)| m.take(self.v(u, n, t, table)).max(!*c)));
        some.min(every)
    }

    /// The greatest V(u, n, t) over objects t of the type with a live tuple `t#r@x`, r a role of the
    /// type and match(u, x) not no. The tuple's condition plays no part in that.
    fn anywhere(
        &self,
        u: &Subject,
        scopes: TypeId,
        n: NameId,
        table: &mut Table,
        m: &mut Marks,
    ) -> Value {
        let Some(def) = self.model.type_def(scopes) else { return Value::No };
        let everyone = self.mutation == Some(Mutation::AnywhereIgnoresTheSubject);
        let mut found = BTreeSet::new();
        for stored in &self.tuples {
            let key = &stored.tuple.key;
            let is_there = self.type_of(&key.scope) == Some(scopes)
                && def.roles.iter().any(|r| self.model.name_of(r.name) == key.role.as_str());
            m.add_if(is_there && !stored.live, Mark::ExpiredSkipped);
            if is_there
                && stored.live
                && (self.matches(u, &key.subject, table, m) != Value::No || everyone)
            {
                found.insert(&key.scope);
            }
        }
        greatest(found.into_iter().map(|t| m.take(self.v(u, n, t, table))))
    }

    /// The live tuples `s#rel@t` with t a plain object: their conditions' values, and t.
    pub(super) fn objects(
        &self,
        s: &Object,
        rel: NameId,
        m: &mut Marks,
    ) -> Vec<(Value, &'a Object)> {
        let mut found = Vec::new();
        for (c, x) in self.live(s, rel, m) {
            if let Subject::Object(t) = x {
                found.push((m.take(c), t));
            }
        }
        found
    }

    /// The live tuples `s#name@x`: their conditions' values, and x.
    pub(super) fn live(
        &self,
        s: &Object,
        name: NameId,
        m: &mut Marks,
    ) -> Vec<(Outcome, &'a Subject)> {
        let name = self.model.name_of(name);
        let mut found = Vec::new();
        for stored in &self.tuples {
            let key = &stored.tuple.key;
            if key.scope == *s && key.role.as_str() == name {
                m.add_if(!stored.live, Mark::ExpiredSkipped);
                if stored.live {
                    found.push((stored.condition, &key.subject));
                }
            }
        }
        found
    }

    pub(super) fn type_of(&self, object: &Object) -> Option<TypeId> {
        self.model.type_id(object.type_name())
    }

    pub(super) fn type_def(&self, object: &Object) -> Option<&'a TypeDef> {
        self.model.type_def(self.type_of(object)?)
    }

    fn is_computed(&self, object: &Object, name: &str) -> bool {
        let def = self.model.name_id(name).and_then(|id| self.type_def(object)?.defs.get(&id));
        def.is_some_and(|def| def.kind == DefKind::Computed)
    }
}

fn greatest(values: impl Iterator<Item = Value>) -> Value {
    values.max().unwrap_or(Value::No)
}

fn least(values: impl Iterator<Item = Value>) -> Value {
    values.min().unwrap_or(Value::Yes)
}

fn tuple_condition(
    model: &Model,
    tuple: &Tuple,
    request: &Context,
    mutation: Option<Mutation>,
) -> Outcome {
    let Some(carried) = &tuple.condition else {
        return Outcome { value: Value::Yes, marks: Marks::NONE };
    };
    let Some(def) = model.condition_id(carried.name.as_str()).and_then(|id| model.condition(id))
    else {
        return Outcome { value: Value::Unknown, marks: Marks::NONE };
    };
    match mutation {
        Some(Mutation::RequestWinsOverStored) => condition(def, request, &carried.context),
        _ => condition(def, &carried.context, request),
    }
}
