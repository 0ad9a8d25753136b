//! V(u, expression, s), read from DESIGN's table of nodes one line at a time: start at no, evaluate
//! every equation, repeat until nothing changes. Slow on purpose. Must not know the engine or the index.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::model::form::{
    DefKind, Expr, FactId, FactKind, FactTest, HAS, Model, NameId, TypeDef, TypeId,
};
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

/// A name at an object: one equation.
type Cell = (Object, NameId);

/// What evaluation found: the value, and what it met on the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) value: Value,
    pub(super) marks: Marks,
}

/// Where every equation starts.
const START: Outcome = Outcome { value: Value::No, marks: Marks::NONE };

type Table = BTreeMap<Cell, Outcome>;

/// How deep complete solves may nest. Models guarantee that they end; a model that breaks the
/// guarantee should fail with a sentence, not with the end of the stack.
const NESTED_SOLVES_MAX: usize = 100;

/// A tuple, whether it is live, and the value of its condition.
#[derive(Debug)]
struct Stored<'a> {
    tuple: &'a Tuple,
    live: bool,
    condition: Outcome,
}

/// The oracle for one subject and one context.
#[derive(Debug)]
pub(super) struct Oracle<'a> {
    model: &'a Model,
    tuples: Vec<Stored<'a>>,
    conditions: Vec<Outcome>,
    u: &'a Subject,
    mutation: Option<Mutation>,
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
        u: &'a Subject,
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
            u,
            mutation,
            open: Vec::new(),
            done: Table::new(),
        }
    }

    /// The permission's definition at the scope's type, if it is a permission there; else no.
    pub(super) fn decide(&mut self, permission: NameId, scope: &Object) -> Outcome {
        let def = self.type_of(scope).and_then(|at| self.model.def(at, permission));
        if def.is_none_or(|def| def.kind != DefKind::Permission) {
            return START;
        }
        self.complete(&Expr::Ref(permission), scope)
    }

    /// The least fixpoint of this expression and of everything it depends on.
    fn complete(&mut self, expr: &Expr, s: &Object) -> Outcome {
        let depth = self.open.len();
        assert!(depth < NESTED_SOLVES_MAX, "a name depends on itself through except, at {s}");
        let mut marks = Marks::NONE;
        marks.add_if(self.open.contains(&std::ptr::from_ref(expr)), Mark::NegatedAbove);
        self.open.push(expr);
        let mut table = Table::new();
        loop {
            let before = table.clone();
            let top = self.eval(expr, s, &mut table);
            for (object, name) in before.keys() {
                let outcome = self.equation(*name, object, &mut table);
                table.insert((object.clone(), *name), outcome);
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
    fn equation(&mut self, name: NameId, s: &Object, table: &mut Table) -> Outcome {
        let model = self.model;
        match self.type_of(s).and_then(|at| model.def(at, name)) {
            Some(def) => self.eval(&def.expr, s, table),
            None => START,
        }
    }

    /// V(u, name, s) as the table has it so far.
    fn v(&self, name: NameId, s: &Object, table: &mut Table) -> Outcome {
        let cell = (s.clone(), name);
        match self.done.get(&cell) {
            Some(outcome) => *outcome,
            None => *table.entry(cell).or_insert(START),
        }
    }

    /// The table of DESIGN, a line per node.
    fn eval(&mut self, expr: &Expr, s: &Object, table: &mut Table) -> Outcome {
        let mut marks = Marks::NONE;
        let m = &mut marks;
        m.add(Mark::of(expr));
        let value = match expr {
            Expr::Here(role) => self.here(*role, s, table, m),
            Expr::Ref(name) => m.take(self.v(*name, s, table)),
            Expr::Up { relation, name } => self.up(*relation, *name, s, table, m),
            Expr::UpAll { relation, name } => self.up_all(*relation, *name, s, table, m),
            Expr::Any(of) => greatest(of.iter().map(|e| m.take(self.eval(e, s, table)))),
            Expr::All(of) => least(of.iter().map(|e| m.take(self.eval(e, s, table)))),
            Expr::Except(a, b) => {
                let left = m.take(self.eval(a, s, table));
                let right = m.take(self.complete(b, s));
                if self.mutation == Some(Mutation::ExceptIsTwoValued) && right == Value::Unknown {
                    left
                } else {
                    left.min(!right)
                }
            }
            Expr::Fact(test) => self.fact(test, s, m),
            Expr::Standing(test) => self.standing(test, m),
            Expr::SelfIs => Value::from(*self.u == Subject::Object(s.clone())),
            Expr::Condition(id) => m.take(self.conditions[usize::from(id.0)]),
            Expr::Anywhere { scopes, name } => self.anywhere(*scopes, *name, table, m),
        };
        Outcome { value, marks }
    }

    /// The greatest, over live tuples `s#r@x`, of the least of the tuple's condition and match(u, x).
    fn here(&self, role: NameId, s: &Object, table: &mut Table, m: &mut Marks) -> Value {
        greatest(
            self.live(s, role, m)
                .into_iter()
                .map(|(c, x)| m.take(c).min(self.matches(x, table, m))),
        )
    }

    /// match(u, x).
    fn matches(&self, x: &Subject, table: &mut Table, m: &mut Marks) -> Value {
        if self.u == x && !matches!(x, Subject::Set(..)) {
            return Value::Yes;
        }
        match x {
            Subject::Object(_) => Value::No,
            Subject::All(of) => {
                let Subject::Object(u) = self.u else { return Value::No };
                let any_type = self.mutation == Some(Mutation::WildcardIgnoresType);
                let yes = u.type_name() == of.as_str() || any_type;
                m.add_if(yes, Mark::WildcardMatch);
                Value::from(yes)
            }
            Subject::Set(y, n) => {
                let is_itself = self.u == x && self.mutation != Some(Mutation::SetIsNotItself);
                m.add_if(is_itself, Mark::SetMatchesItself);
                // A name that the model does not know has no value: no.
                let value = match self.model.name_id(n.as_str()) {
                    Some(name) => m.take(self.v(name, y, table)),
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
    fn up(&self, rel: NameId, n: NameId, s: &Object, table: &mut Table, m: &mut Marks) -> Value {
        let leads_to = self.objects(s, rel, m);
        greatest(leads_to.into_iter().map(|(c, t)| c.min(m.take(self.v(n, t, table)))))
    }

    /// The least of: the greatest c over these tuples; and, for each, the greatest of V(u, n, t) and
    /// not c.
    fn up_all(
        &self,
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
        let every = least(leads_to.iter().map(|(c, t)| m.take(self.v(n, t, table)).max(!*c)));
        some.min(every)
    }

    /// The greatest V(u, n, t) over objects t of the type with a live tuple `t#r@x`, r a role of the
    /// type and match(u, x) not no. The tuple's condition plays no part in that.
    fn anywhere(&self, scopes: TypeId, n: NameId, table: &mut Table, m: &mut Marks) -> Value {
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
                && (self.matches(&key.subject, table, m) != Value::No || everyone)
            {
                found.insert(&key.scope);
            }
        }
        greatest(found.into_iter().map(|t| m.take(self.v(n, t, table))))
    }

    /// The fact of the subject; nothing is known of the members of a subject set or of `type:*`.
    fn standing(&self, test: &FactTest, m: &mut Marks) -> Value {
        match self.u {
            Subject::Object(u) => self.fact(test, u, m),
            _ if self.mutation == Some(Mutation::StandingOfSetIsNo) => Value::No,
            _ => Value::Unknown,
        }
    }

    /// The fact of the nearest objects at or above `from` that declare it, level by level.
    fn fact(&self, test: &FactTest, from: &Object, m: &mut Marks) -> Value {
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

    /// The live tuples `s#rel@t` with t a plain object: their conditions' values, and t.
    fn objects(&self, s: &Object, rel: NameId, m: &mut Marks) -> Vec<(Value, &'a Object)> {
        let mut found = Vec::new();
        for (c, x) in self.live(s, rel, m) {
            if let Subject::Object(t) = x {
                found.push((m.take(c), t));
            }
        }
        found
    }

    /// The live tuples `s#name@x`: their conditions' values, and x.
    fn live(&self, s: &Object, name: NameId, m: &mut Marks) -> Vec<(Outcome, &'a Subject)> {
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

    fn type_of(&self, object: &Object) -> Option<TypeId> {
        self.model.type_id(object.type_name())
    }

    fn type_def(&self, object: &Object) -> Option<&'a TypeDef> {
        self.model.type_def(self.type_of(object)?)
    }

    fn declares(&self, object: &Object, fact: FactId) -> bool {
        self.type_def(object).is_some_and(|def| def.facts.contains(&fact))
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
