//! Delegated questions against a naive reading of the table as it was drawn: climb by every way over the
//! parents that let roles pass, and ask of the oracle only who is bound where, and what gates are made of.
//! Must not know how the table is compiled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bailiwick::engine::{CheckedContext, DelegatedQuestion, Plan, Reason, delegated};
use bailiwick::index::Snapshot;
use bailiwick::model::form::{Expr, FactId, FactTest, Model};
use bailiwick::model::names::{Object, Subject};
use bailiwick::model::tuple::{Change, Context, Tuple};
use fastrand::Rng;

use super::agree::{seed, shrink};
use super::coverage::Marks;
use super::eval::Oracle;
use super::report::fields;
use super::tables::{Bound, CONDITION, Gate, LINK, Line, Op, Table, Verb};
use super::values::Value;
use super::worlds::{Drawn, NOW, around};

const WORLDS: u64 = 100;
/// Where a run of worlds has few of a kind, it goes on for so many.
const WORLDS_MAX: u64 = 1_000;
const QUESTIONS_OF_A_WORLD: usize = 40;
const OF_A_KIND: u32 = 4;

#[derive(Debug, Clone)]
struct Asked {
    actor: Subject,
    verb: &'static str,
    role: &'static str,
    scope: Object,
    target: Option<Subject>,
    context: Context,
    takes: bool,
}

/// A deliberate misreading of the table. What the two agree on proves something only where each of these
/// would have made a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mistake {
    EveryParentPasses,
    NothingPasses,
    EdgesHaveNoConditions,
    ActorsTypeIgnored,
    RefusedLinesCount,
    CellGatesIgnored,
    CellGatesStandWhereAsked,
    VerbGatesIgnored,
    VerbGatesStandWhereBound,
    VerbGatesOfOneRoleIgnored,
    ActorsOwnGateIgnored,
    TargetsOwnGateIgnored,
    TargetsOwnGateAskedOfActor,
    TakingGives,
    LinksIgnored,
    LinksHaveNoConditions,
    AllOfATypeIsGiven,
}

const MISTAKES: [Mistake; 17] = [
    Mistake::EveryParentPasses,
    Mistake::NothingPasses,
    Mistake::EdgesHaveNoConditions,
    Mistake::ActorsTypeIgnored,
    Mistake::RefusedLinesCount,
    Mistake::CellGatesIgnored,
    Mistake::CellGatesStandWhereAsked,
    Mistake::VerbGatesIgnored,
    Mistake::VerbGatesStandWhereBound,
    Mistake::VerbGatesOfOneRoleIgnored,
    Mistake::ActorsOwnGateIgnored,
    Mistake::TargetsOwnGateIgnored,
    Mistake::TargetsOwnGateAskedOfActor,
    Mistake::TakingGives,
    Mistake::LinksIgnored,
    Mistake::LinksHaveNoConditions,
    Mistake::AllOfATypeIsGiven,
];

struct Naive<'a> {
    table: &'a Table,
    oracle: Oracle<'a>,
    target: Option<&'a Subject>,
    mistake: Option<Mistake>,
}

impl Naive<'_> {
    fn is(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn answer(&mut self, asked: &Asked) -> Reason {
        let table = self.table;
        let at = asked.scope.type_name();
        let Some(role) = table.role((asked.role, at)) else { return Reason::NotBindable };
        let verb = table.verbs.iter().find(|verb| verb.name == asked.verb).unwrap();
        let gives = matches!(verb.op, Some(Op::Grant | Op::Replace))
            && (!asked.takes || self.is(Mistake::TakingGives));
        let everybody = self.is(Mistake::AllOfATypeIsGiven);
        if gives && asked.target.as_ref().is_some_and(|t| !can_hold(&role.bound_by, t, everybody)) {
            return Reason::NotBindable;
        }
        let mut parts = vec![(self.table_says(asked, verb, role.bound), Reason::NotDelegated)];
        if gives && !self.is(Mistake::TargetsOwnGateIgnored) {
            let terms: Vec<&Gate> = role.gates.iter().flat_map(conjuncts).collect();
            let (of_scope, of_target): (Vec<_>, Vec<_>) =
                terms.into_iter().partition(|gate| is_of_scope(gate));
            for gate in of_scope {
                parts.push((self.gate(&asked.actor, gate, &asked.scope), Reason::NotBindable));
            }
            for gate in of_target {
                let whose = match &asked.target {
                    _ if self.is(Mistake::TargetsOwnGateAskedOfActor) => Some(&asked.actor),
                    target => target.as_ref(),
                };
                let value = whose.map_or(Value::Unknown, |t| self.gate(t, gate, &asked.scope));
                parts.push((value, Reason::TargetNotEligible));
            }
        }
        match parts.iter().find(|(value, _)| *value == Value::No) {
            Some((_, reason)) => *reason,
            None if parts.iter().all(|(value, _)| *value == Value::Yes) => Reason::Granted,
            None => Reason::MissingContext,
        }
    }

    /// What the table lets the actor, and, if the verb says so, those linked with the actor.
    fn table_says(&mut self, asked: &Asked, verb: &Verb, target: Bound) -> Value {
        let mut value = self.row(&asked.actor, verb, target, &asked.scope);
        if !verb.is_linked || self.is(Mistake::LinksIgnored) {
            return value;
        }
        for (c, other) in self.linked(&asked.actor) {
            let c = if self.is(Mistake::LinksHaveNoConditions) { Value::Yes } else { c };
            let theirs = self.row(&other, verb, target, &asked.scope);
            value = value.max(c.min(theirs));
        }
        value
    }

    /// Those who have the link of the same object, and whether both links count.
    fn linked(&self, u: &Subject) -> Vec<(Value, Subject)> {
        let scopes = self.oracle.tuples.iter().map(|stored| &stored.tuple.key.scope);
        let persons: BTreeSet<&Object> = scopes.filter(|s| s.type_name() == LINK.1).collect();
        let mut found = Vec::new();
        for person in persons {
            let links = self.objects(person, LINK.0);
            for (own, _) in links.iter().filter(|(_, x)| Subject::Object((*x).clone()) == *u) {
                found.extend(
                    links.iter().map(|(c, v)| (*own.min(c), Subject::Object((*v).clone()))),
                );
            }
        }
        found
    }

    /// The objects that a relation leads to, with the tuples' conditions.
    fn objects(&self, from: &Object, relation: &str) -> Vec<(Value, &Object)> {
        let (relation, mut marks) = (self.oracle.model.name_id(relation).unwrap(), Marks::NONE);
        self.oracle.objects(from, relation, &mut marks)
    }

    fn row(&mut self, u: &Subject, verb: &Verb, target: Bound, scope: &Object) -> Value {
        let table = self.table;
        let refused = self.is(Mistake::RefusedLinesCount);
        let is_it = |line: &&Line| {
            line.verb == verb.name && line.target == target && (line.given || refused)
        };
        let lines: Vec<&Line> = table.lines.iter().filter(is_it).collect();
        let own = verb.by_role.iter().filter(|(role, _)| *role == target).map(|(_, gate)| gate);
        let own = own.filter(|_| !self.is(Mistake::VerbGatesOfOneRoleIgnored));
        let all = verb.gate.iter().filter(|_| !self.is(Mistake::VerbGatesIgnored));
        let asked: Vec<&Gate> = all.chain(own).collect();
        let mut value = Value::No;
        for (c, at) in self.climb(scope, true) {
            for line in &lines {
                let is_there = line.actor.1 == at.type_name();
                let here = table.role((line.actor.0, at.type_name()));
                let Some(role) = here.filter(|_| is_there || self.is(Mistake::ActorsTypeIgnored))
                else {
                    continue;
                };
                let mut given = c.min(self.bound(u, role.bound, &at));
                if let Some(gate) = &line.gate
                    && !self.is(Mistake::CellGatesIgnored)
                {
                    let asked_there = self.is(Mistake::CellGatesStandWhereAsked);
                    given = given.min(self.gate(u, gate, if asked_there { scope } else { &at }));
                }
                if self.is(Mistake::VerbGatesStandWhereBound) {
                    given = asked.iter().fold(given, |least, g| least.min(self.gate(u, g, &at)));
                }
                value = value.max(given);
            }
        }
        if self.is(Mistake::VerbGatesStandWhereBound) {
            return value;
        }
        asked.iter().fold(value, |least, gate| least.min(self.gate(u, gate, scope)))
    }

    /// The scope, and whatever every way up from it leads to, with the least condition of the way.
    fn climb(&self, from: &Object, of_table: bool) -> Vec<(Value, Object)> {
        let mut found = vec![(Value::Yes, from.clone())];
        let mut next = 0;
        while let Some((c, at)) = found.get(next).cloned() {
            next += 1;
            for parent in self.table.parents.iter().filter(|p| p.child == at.type_name()) {
                let every = of_table && self.is(Mistake::EveryParentPasses);
                let none = of_table && self.is(Mistake::NothingPasses);
                if none || !(parent.passes || every) {
                    continue;
                }
                let edges = self.objects(&at, parent.relation).into_iter();
                for (edge, to) in edges.filter(|(_, to)| to.type_name() == parent.parent) {
                    let free = of_table && self.is(Mistake::EdgesHaveNoConditions);
                    found.push((if free { c } else { c.min(edge) }, to.clone()));
                }
            }
        }
        found
    }

    /// Whether the role is bound at this very scope, its own gates counted.
    fn bound(&mut self, u: &Subject, bound: Bound, at: &Object) -> Value {
        let role = self.oracle.model.name_id(bound.0).unwrap();
        let mut value = self.oracle.complete(u, &Expr::Here(role), at).value;
        if !self.is(Mistake::ActorsOwnGateIgnored) {
            for gate in &self.table.role(bound).unwrap().gates {
                value = value.min(self.gate(u, gate, at));
            }
        }
        value
    }

    fn held(&mut self, u: &Subject, role: &'static str, scope: &Object) -> Value {
        let mut value = Value::No;
        for (c, at) in self.climb(scope, false) {
            if let Some(role) = self.table.role((role, at.type_name())) {
                value = value.max(c.min(self.bound(u, role.bound, &at)));
            }
        }
        value
    }

    fn gate(&mut self, u: &Subject, gate: &Gate, s: &Object) -> Value {
        match gate {
            Gate::Fact(test) => {
                let test = fact_test(self.oracle.model, test);
                self.oracle.complete(u, &Expr::Fact(test), s).value
            }
            Gate::Standing(test) => {
                let test = fact_test(self.oracle.model, test);
                self.oracle.complete(u, &Expr::Standing(test), s).value
            }
            Gate::Condition => {
                let id = self.oracle.model.condition_id(CONDITION).unwrap();
                self.oracle.complete(u, &Expr::Condition(id), s).value
            }
            Gate::Held(role) => self.held(u, role, s),
            Gate::Here(role) => match self.table.role((role, s.type_name())) {
                Some(role) => self.bound(u, role.bound, s),
                None => Value::No,
            },
            Gate::WithinTarget => self.within(u, s),
            Gate::OfTarget(inner) => {
                self.target.map_or(Value::Unknown, |target| self.gate(target, inner, s))
            }
            Gate::Not(inner) => !self.gate(u, inner, s),
            Gate::And(a, b) => self.gate(u, a, s).min(self.gate(u, b, s)),
            Gate::Or(a, b) => self.gate(u, a, s).max(self.gate(u, b, s)),
        }
    }

    /// The target has some role here, and what it possibly has the subject has for certain.
    fn within(&mut self, u: &Subject, s: &Object) -> Value {
        let Some(target) = self.target else { return Value::Unknown };
        let (mut some, mut each) = (Value::No, Value::Yes);
        for role in self.table.role_names() {
            let theirs = self.held(target, role, s);
            some = some.max(theirs);
            each = each.min(self.held(u, role, s).max(!theirs));
        }
        some.min(each)
    }
}

fn can_hold(bound_by: &[&str], target: &Subject, everybody: bool) -> bool {
    let form = match target {
        Subject::Object(object) => object.type_name().to_owned(),
        Subject::Set(object, name) => format!("{}#{name}", object.type_name()),
        Subject::All(of) if everybody => format!("{of}:*"),
        Subject::All(_) => return false,
    };
    bound_by.contains(&form.as_str())
}

fn conjuncts(gate: &Gate) -> Vec<&Gate> {
    match gate {
        Gate::And(a, b) => [conjuncts(a), conjuncts(b)].concat(),
        gate => vec![gate],
    }
}

/// Whether it says the same of everybody.
fn is_of_scope(gate: &Gate) -> bool {
    match gate {
        Gate::Fact(_) | Gate::Condition => true,
        Gate::Not(inner) => is_of_scope(inner),
        Gate::And(a, b) | Gate::Or(a, b) => is_of_scope(a) && is_of_scope(b),
        _ => false,
    }
}

fn fact_test(model: &Model, test: &str) -> FactTest {
    let name = test.split(':').next().unwrap();
    let at = model.facts.iter().position(|fact| fact.name.as_str() == name).unwrap();
    let fact = FactId(u16::try_from(at).unwrap());
    FactTest { fact, feature: Object::parse(&format!("feature:{test}")).unwrap() }
}

/// The answers, without a mistake first and then with each.
fn naive(table: &Table, model: &Model, tuples: &[Tuple], asked: &Asked) -> Vec<Reason> {
    let Asked { actor, context, target, .. } = asked;
    let target = target.as_ref();
    let oracle = Oracle::new(model, tuples, actor, context, NOW, None).about(target);
    let mut naive = Naive { table, oracle, target, mistake: None };
    let mut answers = vec![naive.answer(asked)];
    for mistake in MISTAKES {
        naive.mistake = Some(mistake);
        answers.push(naive.answer(asked));
    }
    answers
}

fn under_test(model: &Arc<Model>, tuples: &[Tuple], asked: &[Asked]) -> Vec<Reason> {
    let mut snapshot = Snapshot::empty(Arc::clone(model));
    for tuple in tuples {
        snapshot.apply(&Change::Put(tuple.clone())).unwrap();
    }
    let plan = Plan::new(model);
    let answer = |asked: &Asked| {
        let (actor, target) = (asked.actor.to_string(), asked.target.as_ref());
        let target = target.map(ToString::to_string).unwrap_or_default();
        let (what, scope) = ((actor.as_str(), asked.verb, asked.role), asked.scope.as_str());
        let context = CheckedContext::new(asked.context.clone()).unwrap();
        let question = DelegatedQuestion::parse(model, what, scope, &target, context).unwrap();
        let question = if asked.takes { question.taking() } else { question };
        let decision = delegated(&snapshot, &plan, &question, NOW).unwrap();
        let reason = decision.reason();
        assert_eq!(decision.is_allow(), reason == Reason::Granted);
        assert_eq!(decision.missing().is_empty(), reason != Reason::MissingContext, "{asked:?}");
        reason
    };
    asked.iter().map(answer).collect()
}

fn question(rng: &mut Rng, table: &Table, (actor, target, context): Drawn) -> Asked {
    let verb = table.verbs[rng.usize(..table.verbs.len())].name;
    let (mut role, at) = table.roles[rng.usize(..table.roles.len())].bound;
    if rng.u8(..20) == 0 {
        role = table.roles[rng.usize(..table.roles.len())].bound.0;
    }
    let id = ["a", "b", "c", "none"][rng.usize(..12) * 2 / 7];
    let scope = Object::parse(&format!("{at}:{id}")).unwrap();
    let target = match rng.u8(..10) {
        0 => None,
        1 => Some(actor.clone()),
        _ => Some(target),
    };
    Asked { actor, verb, role, scope, target, context, takes: rng.u8(..8) == 0 }
}

/// A table with its model, what is stored, and what is asked.
fn world(seed: u64) -> (Table, Arc<Model>, Vec<Tuple>, Vec<Asked>) {
    let mut rng = Rng::with_seed(seed);
    let table = Table::generate(&mut rng);
    let model = table.load().unwrap_or_else(|problems| {
        panic!("BAILIWICK_SEED={seed}: {problems}\n{}\n{}", table.yaml(), table.csv())
    });
    let (tuples, drawn) = around(&model, &mut rng, QUESTIONS_OF_A_WORLD);
    let asked = drawn.into_iter().map(|drawn| question(&mut rng, &table, drawn)).collect();
    (table, Arc::new(model), tuples, asked)
}

#[test]
fn delegated_questions_agree_with_the_table_read_naively() {
    let seed = seed();
    println!("BAILIWICK_SEED={seed}");
    let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
    let mut found: BTreeMap<Mistake, u32> = MISTAKES.map(|mistake| (mistake, 0)).into();
    let mut worlds = 0;
    let is_enough = |reasons: &BTreeMap<String, u32>, found: &BTreeMap<Mistake, u32>| {
        reasons.len() == 5 && reasons.values().chain(found.values()).all(|n| *n >= OF_A_KIND)
    };
    while worlds < WORLDS || (worlds < WORLDS_MAX && !is_enough(&reasons, &found)) {
        let seed = seed.wrapping_add(worlds);
        let (table, model, tuples, questions) = world(seed);
        worlds += 1;
        let answers = under_test(&model, &tuples, &questions);
        for (asked, answer) in questions.iter().zip(answers) {
            let expected = naive(&table, &model, &tuples, asked);
            if expected[0] != answer {
                panic!("BAILIWICK_SEED={seed}\n{}", difference(&table, &model, &tuples, asked));
            }
            *reasons.entry(format!("{answer:?}")).or_default() += 1;
            for (mistake, mistaken) in MISTAKES.iter().zip(&expected[1..]) {
                *found.get_mut(mistake).unwrap() += u32::from(*mistaken != answer);
            }
        }
    }
    println!("{worlds} worlds: {reasons:?}\nfound: {found:?}");
    assert!(is_enough(&reasons, &found), "too few of a kind: {reasons:?}, {found:?}");
}

/// A difference with as few tuples as still show it.
fn difference(table: &Table, model: &Arc<Model>, tuples: &[Tuple], asked: &Asked) -> String {
    let both = |tuples: &[Tuple]| {
        let answer = under_test(model, tuples, std::slice::from_ref(asked))[0];
        (naive(table, model, tuples, asked)[0], answer)
    };
    let tuples = shrink(tuples, |fewer| {
        let (expected, answer) = both(fewer);
        expected != answer
    });
    let (expected, answer) = both(&tuples);
    let tuples: Vec<String> = tuples.iter().map(|tuple| fields(tuple).join(", ")).collect();
    let (yaml, csv) = (table.yaml(), table.csv());
    format!(
        "the table read naively says {expected:?}, under test {answer:?}\n{asked:?}\n{}\n{yaml}\n{csv}",
        tuples.join("\n")
    )
}
