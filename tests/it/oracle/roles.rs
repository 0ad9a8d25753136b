//! Lists of roles against the oracle: ListRoles names just those roles, of all types at all scopes that
//! the tuples know, that the oracle finds bound there for the subject; and at one scope those of them that
//! a naive climb comes upon, which are the roles that the scope's type says are held there.

use std::collections::BTreeSet;
use std::sync::Arc;

use bailiwick::engine::{CheckedContext, Plan, RoleList, RolesQuestion, with_contextual};
use bailiwick::index::Snapshot;
use bailiwick::model::form::{DefKind, Expr, Model};
use bailiwick::model::names::{Object, Subject};
use bailiwick::model::tuple::{Change, Tuple};

use super::coverage::Marks;
use super::eval::{Oracle, Question, merged};
use super::values::Value;
use super::worlds::{NOW, World};

const WORLDS: u64 = 60;
const SUBJECTS_OF_A_WORLD: usize = 8;

/// What a list names, as texts.
type Entry = (String, String);

/// Every object that a tuple names, and those of the question.
fn objects(tuples: &[Tuple], question: &Question) -> BTreeSet<Object> {
    let mut named = BTreeSet::from([question.scope.clone()]);
    for tuple in tuples {
        named.insert(tuple.key.scope.clone());
        if let Subject::Object(object) | Subject::Set(object, _) = &tuple.key.subject {
            named.insert(object.clone());
        }
    }
    if let Subject::Object(object) | Subject::Set(object, _) = &question.subject {
        named.insert(object.clone());
    }
    named
}

/// Every role at every scope, where the oracle's value is yes.
fn everywhere(oracle: &mut Oracle<'_>, all: &BTreeSet<Object>) -> Vec<Entry> {
    let model = oracle.model;
    let mut found = Vec::new();
    for scope in all {
        for role in oracle.type_def(scope).into_iter().flat_map(|def| &def.roles) {
            if oracle.complete(oracle.asker, &role.bound_here, scope).value == Value::Yes {
                found.push((scope.to_string(), model.name_of(role.name).to_owned()));
            }
        }
    }
    found.sort();
    found
}

/// The scope and all from which roles pass to it, over edges that are certain.
fn above(oracle: &Oracle<'_>, scope: &Object) -> BTreeSet<Object> {
    let (mut reached, mut marks) = (BTreeSet::from([scope.clone()]), Marks::NONE);
    loop {
        let mut more = reached.clone();
        for at in &reached {
            for edge in oracle.type_def(at).into_iter().flat_map(|def| &def.edges) {
                for (condition, target) in oracle.objects(at, edge.relation, &mut marks) {
                    let passes =
                        oracle.type_of(target).is_some_and(|of| edge.passing.contains(&of));
                    if passes && condition == Value::Yes {
                        more.insert(target.clone());
                    }
                }
            }
        }
        if more == reached {
            return reached;
        }
        reached = more;
    }
}

/// The roles that the scope's type says are held at it.
fn held(oracle: &mut Oracle<'_>, scope: &Object) -> BTreeSet<String> {
    let model = oracle.model;
    let defs = oracle.type_def(scope).into_iter().flat_map(|def| &def.defs);
    let roles: Vec<_> =
        defs.filter(|(_, def)| def.kind == DefKind::Role).map(|(name, _)| *name).collect();
    let mut held = BTreeSet::new();
    for role in roles {
        if oracle.complete(oracle.asker, &Expr::Ref(role), scope).value == Value::Yes {
            held.insert(model.name_of(role).to_owned());
        }
    }
    held
}

struct Asked<'a> {
    model: &'a Model,
    snapshot: Snapshot,
    plan: Arc<Plan>,
    question: &'a Question,
}

impl Asked<'_> {
    fn list(&self, scope: &str, after: Option<&Entry>) -> Vec<Entry> {
        let context = CheckedContext::new(self.question.context.clone()).unwrap();
        let subject = self.question.subject.to_string();
        let asked = RolesQuestion::parse(self.model, &subject, scope, context).unwrap();
        let (snapshot, plan) = (self.snapshot.clone(), Arc::clone(&self.plan));
        let mut list = RoleList::new(snapshot, plan, asked, NOW).unwrap();
        if let Some((scope, role)) = after {
            list.go_on_after(scope, role);
        }
        let entries = list.filter_map(Result::transpose);
        entries.map(|entry| entry.map(|e| (e.scope.to_string(), e.role)).unwrap()).collect()
    }

    /// Wherever it is cut, the rest is the rest.
    fn is_resumed_anywhere(&self, scope: &str, whole: &[Entry]) {
        for (at, entry) in whole.iter().enumerate() {
            assert_eq!(self.list(scope, Some(entry)), whole[at + 1..]);
        }
    }
}

#[test]
fn lists_name_just_those_roles_that_the_oracle_finds_bound() {
    let seed = std::env::var("BAILIWICK_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    println!("BAILIWICK_SEED={seed}");
    let (mut lists, mut entries, mut passed_down, mut gated, mut by_sets) = (0, 0, 0, 0, 0);
    for at in 0..WORLDS {
        let world = World::generate(seed.wrapping_add(at));
        let mut snapshot = Snapshot::empty(Arc::clone(&world.model));
        for tuple in &world.tuples {
            snapshot.apply(&Change::Put(tuple.clone())).unwrap();
        }
        let plan = Arc::new(Plan::new(&world.model));
        for question in world.questions.iter().step_by(world.questions.len() / SUBJECTS_OF_A_WORLD)
        {
            let about = format!("BAILIWICK_SEED={}: {question:?}", seed.wrapping_add(at));
            let tuples = merged(&world.tuples, &question.contextual, None);
            let (u, context) = (&question.subject, &question.context);
            let mut oracle = Oracle::new(&world.model, &tuples, u, context, NOW, None);
            let asked = Asked {
                model: &world.model,
                snapshot: with_contextual(&snapshot, &question.contextual, NOW).unwrap(),
                plan: Arc::clone(&plan),
                question,
            };
            let all = objects(&tuples, question);
            let expected = everywhere(&mut oracle, &all);
            assert_eq!(asked.list("", None), expected, "{about}");
            asked.is_resumed_anywhere("", &expected);
            lists += 1;
            entries += expected.len();
            let is_named = |(scope, role): &&Entry| {
                tuples.iter().any(|t| {
                    let key = &t.key;
                    key.scope.as_str() == scope.as_str()
                        && key.role.as_str() == role.as_str()
                        && key.subject == *u
                })
            };
            by_sets += expected.iter().filter(|entry| !is_named(entry)).count();
            let is_listed =
                |t: &&Tuple| expected.contains(&(t.key.scope.to_string(), t.key.role.to_string()));
            let is_role = |t: &&Tuple| {
                let mut roles =
                    oracle.type_def(&t.key.scope).into_iter().flat_map(|def| &def.roles);
                roles.any(|role| world.model.name_of(role.name) == t.key.role.as_str())
            };
            let own = tuples.iter().filter(|t| t.key.subject == *u && t.is_live(NOW));
            let own = own.filter(|t| t.condition.is_none() && is_role(t));
            gated += own.filter(|t| !is_listed(t)).count();
            for scope in &all {
                let from = above(&oracle, scope);
                let counted = |(at, _): &&Entry| from.iter().any(|o| o.as_str() == at.as_str());
                let expected: Vec<Entry> = expected.iter().filter(counted).cloned().collect();
                let listed = asked.list(scope.as_str(), None);
                assert_eq!(listed, expected, "at {scope}, {about}");
                let roles: BTreeSet<String> = listed.iter().map(|(_, role)| role.clone()).collect();
                assert_eq!(roles, held(&mut oracle, scope), "held at {scope}, {about}");
                asked.is_resumed_anywhere(scope.as_str(), &listed);
                lists += 1;
                passed_down += listed.iter().filter(|(at, _)| at != scope.as_str()).count();
            }
        }
    }
    println!(
        "{lists} lists, {entries} entries, {by_sets} by sets or for all, {passed_down} from above, \
         {gated} refused by a gate"
    );
    assert!(lists > 3_000 && entries > 500 && by_sets > 100 && passed_down > 100 && gated > 20);
}
