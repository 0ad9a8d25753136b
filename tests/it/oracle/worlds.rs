//! Random worlds from a seed: a model that loads, tuples that it admits, questions. Must not know what
//! the answers are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bailiwick::model::admission::admit;
use bailiwick::model::form::{
    ConditionId, DefKind, EdgeDef, FEATURE, FactKind, Model, ParameterType, RoleDef, SubjectForm,
    TypeDef, TypeId,
};
use bailiwick::model::names::{Name, Object, Subject};
use bailiwick::model::tuple::{Context, Time, Tuple, TupleCondition, TupleKey};
use fastrand::Rng;
use serde_json::{Value as Json, json};

use super::eval::{Question, merged};
use super::models::{self, LINKS, MEMBERS, ModelText};

/// 2026-01-15T12:00:00Z: the moment at which every question of a world is asked.
pub(super) const NOW: Time = Time(1_768_478_400_000_000);

const SECOND: i64 = 1_000_000;
/// When a tuple expires, from now: long ago, just now, at this very moment, soon, later.
const EXPIRIES: [i64; 6] = [-3_600 * SECOND, -SECOND, 0, SECOND, 60 * SECOND, 3_600 * SECOND];

/// Regions and networks alike: a region is no network, and a network is no region.
const STRINGS: [&str; 7] =
    ["eu", "us", "192.168.0.0/16", "::ffff:172.16.0.0/108", "2001:db8::/32", "::/0", "10.0.0.1/8"];
const ADDRESSES: [&str; 6] =
    ["10.1.2.3", "::ffff:10.1.2.3", "192.168.7.7", "172.17.0.1", "2001:db8::7", "fe80::1"];

const SUBJECTS_PER_WORLD: usize = 10;
const QUESTIONS_PER_SUBJECT: usize = 14;
const MODEL_TRIES_MAX: usize = 200;

/// A model, what is stored, and what is asked.
#[derive(Debug)]
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) text: ModelText,
    pub(super) model: Arc<Model>,
    /// How many models the loader refused before this one.
    pub(super) refused: usize,
    pub(super) tuples: Vec<Tuple>,
    pub(super) questions: Vec<Question>,
}

impl World {
    pub(super) fn generate(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let (text, model, refused) = model(&mut rng, seed);
        let mut builder = Builder { model: &model, rng: &mut rng, objects: BTreeMap::new() };
        builder.objects();
        let tuples = builder.tuples();
        let questions = builder.questions(&tuples);
        Self { seed, text, model: Arc::new(model), refused, tuples, questions }
    }
}

/// Somebody who asks, somebody to ask about, and a request's values.
pub(super) type Drawn = (Subject, Subject, Context);

/// Tuples that a model of one's own admits, and what this many questions need besides. The model has users
/// and groups with members, and only the facts, links and parameters that are known here.
pub(super) fn around(model: &Model, rng: &mut Rng, questions: usize) -> (Vec<Tuple>, Vec<Drawn>) {
    let mut builder = Builder { model, rng, objects: BTreeMap::new() };
    builder.objects();
    let tuples = builder.tuples();
    builder.name_more();
    let drawn = (0..questions).map(|_| (builder.subject(), builder.subject(), builder.request()));
    (tuples, drawn.collect())
}

fn model(rng: &mut Rng, seed: u64) -> (ModelText, Model, usize) {
    let mut last = String::new();
    for refused in 0..MODEL_TRIES_MAX {
        let text = models::generate(rng);
        match text.load() {
            Ok(model) => return (text, model, refused),
            Err(problems) => last = format!("{problems}\n{}\n{}", text.yaml, text.csv),
        }
    }
    panic!("seed {seed}: no model loads; the last one: {last}");
}

#[derive(Debug)]
struct Builder<'a> {
    model: &'a Model,
    rng: &'a mut Rng,
    /// The objects of each type.
    objects: BTreeMap<TypeId, Vec<Object>>,
}

/// An object of a type, whose id sorts by `at`.
fn object(type_name: &str, at: usize) -> Object {
    let id = ["a", "b", "c", "d", "e"][at];
    Object::parse(&format!("{type_name}:{id}")).unwrap()
}

impl<'a> Builder<'a> {
    fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent
    }

    fn one<'b, T>(&mut self, of: &'b [T]) -> &'b T {
        &of[self.rng.usize(..of.len())]
    }

    fn types(&self) -> Vec<(TypeId, &'a TypeDef)> {
        let ids = (0..self.model.types.len()).map(|at| TypeId(u16::try_from(at).unwrap()));
        ids.zip(&self.model.types).filter(|(id, _)| *id != FEATURE).collect()
    }

    fn objects(&mut self) {
        for (id, _) in self.types() {
            let name = self.model.type_name(id);
            // Few who may ask, so that what is bound is often theirs.
            let count = if name == "user" { 2 } else { self.rng.usize(2..4) };
            self.objects.insert(id, (0..count).map(|at| object(name, at)).collect());
        }
    }

    fn tuples(&mut self) -> Vec<Tuple> {
        let mut tuples = Vec::new();
        for (id, def) in self.types() {
            for object in self.objects[&id].clone() {
                for edge in &def.edges {
                    self.edge(&object, edge, &mut tuples);
                }
                self.facts(&object, def, &mut tuples);
            }
        }
        for _ in 0..self.rng.usize(12..30) {
            self.role(&mut tuples);
        }
        self.group_cycle(&mut tuples);
        // One tuple per identity: the first.
        let mut seen = BTreeSet::new();
        tuples.retain(|tuple| seen.insert(tuple.key.clone()));
        for tuple in &tuples {
            admit(self.model, tuple).unwrap_or_else(|error| panic!("{}: {error}", tuple.key));
        }
        tuples
    }

    fn edge(&mut self, from: &Object, edge: &EdgeDef, tuples: &mut Vec<Tuple>) {
        let wanted = match (edge.many, self.rng.u8(..10)) {
            (_, 0) => 0,
            // What links subjects leads to several, or it links nobody.
            _ if LINKS.contains(&self.model.name_of(edge.relation)) => 2,
            (true, 4..) => 2,
            _ => 1,
        };
        let mut to: Vec<_> = edge.targets.iter().flat_map(|id| self.objects[id].clone()).collect();
        // Within a type an acyclic relation leads to smaller ids only; between types the models have
        // no cycles.
        to.retain(|t| !edge.acyclic || t.type_name() != from.type_name() || t < from);
        self.rng.shuffle(&mut to);
        for target in to.into_iter().take(wanted) {
            let relation = self.model.name_of(edge.relation);
            let subject = Subject::Object(target);
            let tuple = self.tuple(from, relation, subject, &edge.conditions);
            tuples.push(tuple);
        }
    }

    fn facts(&mut self, of: &Object, def: &TypeDef, tuples: &mut Vec<Tuple>) {
        for id in &def.facts {
            let fact = self.model.fact(*id).unwrap();
            let features: Vec<Object> = match &fact.kind {
                FactKind::Flag => vec![feature(fact.name.as_str())],
                FactKind::Set => MEMBERS
                    .iter()
                    .map(|member| feature(&format!("{}:{member}", fact.name)))
                    .collect(),
                FactKind::OneOf(values) => {
                    let mut values = values.clone();
                    self.rng.shuffle(&mut values);
                    let count = self.one(&[0, 1, 1, 1, 1, 2]);
                    values.truncate(*count);
                    values
                }
            };
            let percent = if matches!(fact.kind, FactKind::OneOf(_)) { 100 } else { 50 };
            for feature in features {
                if self.chance(percent) {
                    let tuple = self.tuple(of, "has", Subject::Object(feature), &[]);
                    tuples.push(tuple);
                }
            }
        }
    }

    fn role(&mut self, tuples: &mut Vec<Tuple>) {
        let roles: Vec<(TypeId, &RoleDef)> = self
            .types()
            .into_iter()
            .flat_map(|(id, def)| def.roles.iter().map(move |role| (id, role)))
            .collect();
        let (id, role) = *self.one(&roles);
        let scopes = self.objects[&id].clone();
        let scope = self.one(&scopes).clone();
        let plain = self.model.type_id("user").map(SubjectForm::Object);
        let form = match plain.filter(|form| role.bound_by.contains(form) && self.chance(35)) {
            Some(form) => form,
            None => *self.one(&role.bound_by),
        };
        let subject = match form {
            SubjectForm::Object(of) => Subject::Object(self.any_of(of)),
            SubjectForm::All(of) => Subject::All(Name::parse(self.model.type_name(of)).unwrap()),
            SubjectForm::Set(of, name) => {
                Subject::Set(self.any_of(of), Name::parse(self.model.name_of(name)).unwrap())
            }
        };
        let mut tuple =
            self.tuple(&scope, self.model.name_of(role.name), subject, &role.conditions);
        if self.chance(8) {
            // The same binding, also from another system.
            tuples.push(tuple.clone());
            tuple.key.source = "hr".to_owned();
            tuple.expires_at = None;
        }
        tuples.push(tuple);
    }

    /// Two groups that are members of each other, in most worlds.
    fn group_cycle(&mut self, tuples: &mut Vec<Tuple>) {
        if self.chance(40) {
            return;
        }
        for (scope, member) in [("group:a", "group:b"), ("group:b", "group:a")] {
            let key = TupleKey::parse(&format!("{scope}#member@{member}#member")).unwrap();
            tuples.push(Tuple::plain(key));
        }
    }

    fn any_of(&mut self, of: TypeId) -> Object {
        let objects = self.objects[&of].clone();
        self.one(&objects).clone()
    }

    fn tuple(&mut self, scope: &Object, role: &str, x: Subject, may: &[ConditionId]) -> Tuple {
        let role = Name::parse(role).unwrap();
        let key = TupleKey { scope: scope.clone(), role, subject: x, source: String::new() };
        let mut tuple = Tuple::plain(key);
        if self.chance(14) {
            let expiry = *self.one(&EXPIRIES);
            tuple.expires_at = Some(Time(NOW.0 + expiry));
        }
        if !may.is_empty() && self.chance(40) {
            let condition = self.model.condition(*self.one(may)).unwrap();
            let percent = *self.one(&[0, 0, 50, 100]);
            let context = self.context(&condition.parameters, percent);
            tuple.condition = Some(TupleCondition { name: condition.name.clone(), context });
        }
        tuple
    }

    /// Values for each of the parameters with so many chances in a hundred.
    fn context(&mut self, of: &BTreeMap<String, ParameterType>, percent: u8) -> Context {
        let mut context = Context::new();
        for (name, of) in of {
            if self.chance(percent) {
                let value = self.value(of);
                context.insert(name.clone(), value);
            }
        }
        context
    }

    /// A value of a parameter's type.
    fn value(&mut self, of: &ParameterType) -> Json {
        match of {
            ParameterType::Bool => json!(self.chance(75)),
            ParameterType::Int => self
                .one(&[json!(9), json!(13), json!(17.0), json!("10"), json!(20), json!(0)])
                .clone(),
            ParameterType::Double => self.one(&[json!(0.7), json!(0.2), json!(1)]).clone(),
            ParameterType::String => self.one(&STRINGS.map(|text| json!(text))).clone(),
            ParameterType::IpAddress => self.one(&ADDRESSES.map(|text| json!(text))).clone(),
            other => panic!("no random model has a parameter of type {other:?}"),
        }
    }

    fn questions(&mut self, stored: &[Tuple]) -> Vec<Question> {
        let permissions: Vec<_> = self.model.permissions.values().collect();
        self.name_more();
        let mut questions = Vec::new();
        for _ in 0..SUBJECTS_PER_WORLD {
            let subject = self.subject();
            let context = self.request();
            let contextual =
                if self.chance(40) { self.contextual(stored, &subject) } else { Vec::new() };
            let target = match self.rng.u8(..10) {
                0..=2 => None,
                3 => Some(subject.clone()),
                _ => Some(self.subject()),
            };
            for _ in 0..QUESTIONS_PER_SUBJECT {
                let permission = *self.one(&permissions);
                let at = match permission.at.as_slice() {
                    at if !at.is_empty() && self.chance(94) => *self.one(at),
                    _ => self.one(&self.types()).0,
                };
                let brought = contextual.iter().map(|tuple| &tuple.key.scope);
                let brought: Vec<_> =
                    brought.filter(|s| self.model.type_id(s.type_name()) == Some(at)).collect();
                let scope = match (&subject, self.rng.u8(..100)) {
                    (_, 60..) if !brought.is_empty() => self.one(&brought).to_owned().clone(),
                    (_, 0..=2) => {
                        Object::parse(&format!("{}:none", self.model.type_name(at))).unwrap()
                    }
                    (Subject::Object(u), 3..=12)
                        if self.model.type_id(u.type_name()) == Some(at) =>
                    {
                        u.clone()
                    }
                    _ => self.any_of(at),
                };
                questions.push(Question {
                    subject: subject.clone(),
                    permission: permission.name,
                    scope,
                    context: context.clone(),
                    contextual: contextual.clone(),
                    target: target.clone(),
                });
            }
        }
        questions
    }

    /// An object of some types that nothing stored names.
    fn name_more(&mut self) {
        for (id, _) in self.types() {
            if self.chance(30) {
                let new = object(self.model.type_name(id), 4);
                self.objects.entry(id).or_default().push(new);
            }
        }
    }

    /// Tuples that a question brings along: some in the place of stored ones, some new.
    fn contextual(&mut self, stored: &[Tuple], subject: &Subject) -> Vec<Tuple> {
        let mut made = Vec::new();
        for _ in 0..self.rng.usize(0..4) {
            let before = self.one(stored).clone();
            made.push(self.in_place_of(before));
        }
        for _ in 0..self.rng.usize(0..6) {
            self.role(&mut made);
            if let Some(last) = made.last_mut().filter(|_| self.rng.bool()) {
                last.key.subject = subject.clone();
            }
        }
        let (id, def) = *self.one(&self.types());
        let object = self.any_of(id);
        for edge in &def.edges {
            self.edge(&object, edge, &mut made);
        }
        if self.chance(40) {
            self.facts(&object, def, &mut made);
        }
        let mut taken: Vec<Tuple> = Vec::new();
        for tuple in made {
            let is_new = taken.iter().all(|other| other.key != tuple.key);
            if is_new && admit(self.model, &tuple).is_ok() {
                taken.push(tuple);
                if !self.has_single_parents(&merged(stored, &taken, None)) {
                    taken.pop();
                }
            }
        }
        taken
    }

    /// Another tuple of the same identity.
    fn in_place_of(&mut self, before: Tuple) -> Tuple {
        let TupleKey { scope, role, subject, source } = before.key;
        let def = self.model.type_id(scope.type_name()).and_then(|id| self.model.type_def(id));
        let name = self.model.name_id(role.as_str());
        let bound = def.zip(name).and_then(|(def, name)| {
            let role = def.role(name).map(|role| role.conditions.clone());
            role.or_else(|| def.edge(name).map(|edge| edge.conditions.clone()))
        });
        let mut tuple = self.tuple(&scope, role.as_str(), subject, &bound.unwrap_or_default());
        tuple.key.source = source;
        if self.chance(40) {
            tuple.expires_at = Some(Time(NOW.0 - self.rng.i64(0..2) * SECOND));
        }
        tuple
    }

    /// Whether no object has two live parents by a relation that allows one. The other rules of the
    /// hierarchy hold by the way edges are made.
    fn has_single_parents(&self, tuples: &[Tuple]) -> bool {
        let mut parents = BTreeMap::new();
        tuples.iter().filter(|tuple| tuple.is_live(NOW)).all(|tuple| {
            let TupleKey { scope, role, subject, .. } = &tuple.key;
            let def = self.model.type_id(scope.type_name()).and_then(|id| self.model.type_def(id));
            let edge = def.zip(self.model.name_id(role.as_str()));
            let edge = edge.and_then(|(def, relation)| def.edge(relation));
            let single = edge.is_some_and(|edge| edge.is_parent && !edge.many);
            !single || *parents.entry((scope, role)).or_insert(subject) == subject
        })
    }

    fn subject(&mut self) -> Subject {
        let types = self.types();
        let user = self.model.type_id("user").unwrap();
        let group = self.model.type_id("group").unwrap();
        match self.rng.u8(..100) {
            0..=69 => Subject::Object(self.any_of(user)),
            70..=72 => Subject::parse("user:nobody").unwrap(),
            73..=75 => Subject::All(Name::parse(self.one::<&str>(&["user", "group"])).unwrap()),
            76..=79 => Subject::Object(self.any_of(group)),
            80..=84 => Subject::Object({
                let (of, _) = *self.one(&types);
                self.any_of(of)
            }),
            _ => {
                let (of, def) = if self.chance(50) {
                    (group, self.model.type_def(group).unwrap())
                } else {
                    let named = types.iter().filter(|(_, def)| !def.defs.is_empty());
                    *self.one(&named.copied().collect::<Vec<_>>())
                };
                let public = def.defs.iter().filter(|(_, def)| def.kind != DefKind::Helper);
                let mut names: Vec<_> = public.map(|(id, _)| self.model.name_of(*id)).collect();
                names.sort_unstable();
                let name = Name::parse(self.one::<&str>(&names)).unwrap();
                Subject::Set(self.any_of(of), name)
            }
        }
    }

    fn request(&mut self) -> Context {
        let all: BTreeMap<_, _> =
            self.model.conditions.iter().flat_map(|c| c.parameters.clone()).collect();
        let percent = *self.one(&[100, 100, 100, 50, 0]);
        let mut context = self.context(&all, percent);
        if self.chance(10) {
            // A value of another type counts as missing; a name that nothing declares is ignored.
            context.insert("hour".to_owned(), json!("noon"));
            context.insert("ip".to_owned(), json!("10.1.2.3:443"));
            context.insert("nothing".to_owned(), json!(true));
        }
        context
    }
}

fn feature(text: &str) -> Object {
    Object::parse(&format!("feature:{text}")).unwrap()
}
impl World {
    /// Whether some group is a member of itself, through others.
    pub(super) fn has_group_cycle(&self) -> bool {
        let inner = |outer: &Object| {
            let sets = self.tuples.iter().filter(|t| t.key.scope == *outer);
            sets.filter_map(|t| match &t.key.subject {
                Subject::Set(inner, _) => Some(inner.clone()),
                _ => None,
            })
            .collect::<Vec<_>>()
        };
        self.tuples.iter().any(|tuple| {
            let start = &tuple.key.scope;
            let mut reached = BTreeSet::new();
            let mut open = inner(start);
            while let Some(object) = open.pop() {
                if reached.insert(object.clone()) {
                    open.extend(inner(&object));
                }
            }
            reached.contains(start)
        })
    }
}
