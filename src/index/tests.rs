//! The snapshot against a plain map of tuples: whatever is put, deleted, frozen, merged, adopted or laid
//! over, at any moment, every method answers as the map does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Builder, Merge, Merged, Part, Position, READ_AHEAD_TUPLES, Snapshot, SubjectKey};
use crate::model::form::{Model, NameId};
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::{Change, Time, Tuple, TupleCondition, TupleKey};
use crate::model::{SourceFiles, load};

const MODEL: &str = "
model: index
types:
  user: {}
  group: {}
  org: { parents: [org] }
conditions:
  on_site: { parameters: { here: bool }, when: here }
roles:
  - at: [org]
    names: [viewer, admin]
    bound_by: [user, 'user:*', 'group:*', 'group#member', 'org#viewer']
    conditions: [on_site]
  - { at: [group], names: [member], bound_by: [user, 'group#member'] }
permissions: { see: { at: [org], is: viewer } }
";

const SEEDS: u64 = 10;
const STEPS: usize = 100;

/// The tuples of a snapshot, and all that it may name.
#[derive(Clone)]
struct Known {
    tuples: BTreeMap<TupleKey, Tuple>,
    named: BTreeSet<Object>,
}

impl Known {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(tuple) => {
                self.named.extend(objects(&tuple.key));
                self.tuples.insert(tuple.key.clone(), tuple.clone());
            }
            Change::Delete(key) => {
                self.tuples.remove(key);
            }
        }
    }

    /// As if these had been put.
    fn overlaid(&self, over: &[Tuple]) -> Self {
        let mut seen = self.clone();
        over.iter().for_each(|tuple| seen.apply(&Change::Put(tuple.clone())));
        seen
    }

    fn those(&self, matches: impl Fn(&TupleKey) -> bool) -> Vec<Tuple> {
        self.tuples.values().filter(|tuple| matches(&tuple.key)).cloned().collect()
    }
}

fn objects(key: &TupleKey) -> Vec<Object> {
    let subject = match &key.subject {
        Subject::Object(object) | Subject::Set(object, _) => Some(object.clone()),
        Subject::All(_) => None,
    };
    subject.into_iter().chain([key.scope.clone()]).collect()
}

fn model() -> Arc<Model> {
    let mut files = SourceFiles::default();
    files.insert("model.yaml", MODEL);
    Arc::new(load(&files, &BTreeMap::new()).unwrap())
}

fn object(text: &str) -> Object {
    Object::parse(text).unwrap()
}

/// Few names, so that changes meet; one object is a hub.
fn random_tuple(random: &mut fastrand::Rng) -> Tuple {
    let org = |random: &mut fastrand::Rng| format!("org:{}", random.u32(..9).saturating_sub(3));
    let group = |random: &mut fastrand::Rng| format!("group:{}", random.u32(..4));
    let (scope, role) = match random.u32(..10) {
        0..2 => (group(random), "member"),
        2..4 => (org(random), "parent"),
        4..7 => (org(random), "viewer"),
        _ => (org(random), "admin"),
    };
    let subject = match random.u32(..10) {
        0 => "user:*".to_owned(),
        1 => "group:*".to_owned(),
        2 | 3 => format!("{}#member", group(random)),
        4 => format!("{}#viewer", org(random)),
        5 => org(random),
        _ => format!("user:{}", random.u32(..14)),
    };
    let key = TupleKey::parse(&format!("{scope}#{role}@{subject}")).unwrap();
    let mut tuple = Tuple::plain(key);
    tuple.key.source = ["", "", "", "", "hr", "crm"][random.usize(..6)].to_owned();
    if random.u32(..4) == 0 {
        tuple.expires_at = Some(Time(random.i64(..3)));
        tuple.grantor = "user:root".to_owned();
    }
    if random.u32(..6) == 0 {
        let context = [("here".to_owned(), serde_json::Value::Bool(random.bool()))].into();
        tuple.condition = Some(TupleCondition { name: Name::parse("on_site").unwrap(), context });
    }
    tuple
}

fn random_change(random: &mut fastrand::Rng, known: &Known, with_sources: bool) -> Change {
    let mut tuple = random_tuple(random);
    if !with_sources {
        tuple.key.source.clear();
    }
    if random.u32(..3) > 0 {
        return Change::Put(tuple);
    }
    match known.tuples.len() {
        many if many > 0 && random.u32(..4) > 0 => {
            Change::Delete(known.tuples.keys().nth(random.usize(..many)).unwrap().clone())
        }
        _ => Change::Delete(tuple.key),
    }
}

/// Compares every method. `stored` is what lies beneath `seen`.
fn compare(snapshot: &Snapshot, stored: &Known, seen: &Known) {
    assert_eq!((snapshot.len(), snapshot.is_empty()), {
        (stored.tuples.len(), stored.tuples.is_empty())
    });
    compare_names(snapshot, seen);
    compare_scopes(snapshot, seen);
    compare_subjects(snapshot, seen);
    compare_identities(snapshot, seen);
    compare_parts(snapshot, stored);
}

fn sorted<'a>(
    snapshot: &Snapshot,
    bindings: impl Iterator<Item = super::Binding<'a>>,
) -> Vec<Tuple> {
    let mut all: Vec<Tuple> = bindings.map(|b| snapshot.tuple(&b).unwrap()).collect();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all
}

fn compare_names(snapshot: &Snapshot, seen: &Known) {
    let model = snapshot.model();
    let mut ids = BTreeSet::new();
    for named in &seen.named {
        let id = snapshot.find(named.as_str()).unwrap();
        assert_eq!(snapshot.text_of(id), Some(named.as_str()));
        assert_eq!(snapshot.type_of(id), model.type_id(named.type_name()));
        assert!(ids.insert(id), "two names have one id");
    }
    for id in 0..14 {
        let text = format!("user:{id}");
        let is_named = seen.named.contains(&object(&text));
        assert!(is_named || snapshot.find(&text).is_none());
    }
    for type_name in ["user", "group", "org"] {
        let wanted = model.type_id(type_name).unwrap();
        let found: Vec<_> = snapshot.objects_of(wanted).collect();
        let texts: BTreeSet<Object> = found.iter().map(|(_, text)| object(text)).collect();
        assert_eq!(found.len(), texts.len());
        let is_of = |object: &&Object| object.type_name() == type_name;
        assert_eq!(texts, seen.named.iter().filter(is_of).cloned().collect());
        assert!(found.iter().all(|(id, text)| snapshot.find(text) == Some(*id)));
    }
}

fn roles(snapshot: &Snapshot) -> Vec<(&'static str, NameId)> {
    let names = ["viewer", "admin", "member", "parent"];
    names.map(|name| (name, snapshot.model().name_id(name).unwrap())).to_vec()
}

/// Every subject that some tuple names.
fn subjects(seen: &Known) -> BTreeSet<Subject> {
    seen.tuples.keys().map(|key| key.subject.clone()).collect()
}

fn compare_scopes(snapshot: &Snapshot, seen: &Known) {
    let is_set = |subject: &Subject| matches!(subject, Subject::Set(..));
    for scope in &seen.named {
        let at = snapshot.find(scope.as_str()).unwrap();
        for (name, role) in roles(snapshot) {
            let is_here = |key: &TupleKey| key.scope == *scope && key.role.as_str() == name;
            assert_eq!(sorted(snapshot, snapshot.all_bound(at, role)), seen.those(is_here));
            let sets = seen.those(|key| is_here(key) && is_set(&key.subject));
            assert_eq!(snapshot.sets_bound_count(at, role), sets.len());
            assert_eq!(sorted(snapshot, snapshot.sets_bound(at, role)), sets);
            for subject in subjects(seen) {
                let id = snapshot.find_subject(&subject).unwrap();
                let bound = seen.those(|key| is_here(key) && key.subject == subject);
                assert_eq!(sorted(snapshot, snapshot.bound(at, role, id)), bound);
            }
        }
    }
}

fn compare_subjects(snapshot: &Snapshot, seen: &Known) {
    for subject in subjects(seen) {
        let id = snapshot.find_subject(&subject).unwrap();
        let stands = seen.those(|key| key.subject == subject);
        assert_eq!(sorted(snapshot, snapshot.scopes_of(id)), stands);
        for (name, role) in roles(snapshot) {
            let stands = seen.those(|key| key.subject == subject && key.role.as_str() == name);
            assert_eq!(sorted(snapshot, snapshot.scopes_in(id, role)), stands);
        }
    }
    for of in &seen.named {
        let is_of = |key: &TupleKey| matches!(&key.subject, Subject::Set(o, _) if o == of);
        let id = snapshot.find(of.as_str()).unwrap();
        assert_eq!(sorted(snapshot, snapshot.sets_of(id)), seen.those(is_of));
    }
    let is_set = |key: &TupleKey| matches!(key.subject, Subject::Set(..));
    assert_eq!(sorted(snapshot, snapshot.set_subjects()), seen.those(is_set));
}

fn compare_identities(snapshot: &Snapshot, seen: &Known) {
    for (key, tuple) in &seen.tuples {
        let found = snapshot.get(key).unwrap();
        assert_eq!(snapshot.tuple(&found).as_ref(), Some(tuple));
        assert_eq!(found.expires_at(), tuple.expires_at);
        assert_eq!(found.condition().is_some(), tuple.condition.is_some());
        assert_eq!(found.is_local(), tuple.key.source.is_empty());
        let mut other = key.clone();
        other.source.push('x');
        assert!(snapshot.get(&other).is_none());
    }
}

/// The stored tuples by parts, from any place on.
fn compare_parts(snapshot: &Snapshot, stored: &Known) {
    for tuple in stored.tuples.values() {
        let other = Tuple { reason: "other".to_owned(), ..tuple.clone() };
        assert!(snapshot.holds(tuple) && !snapshot.holds(&other));
    }
    let part = |part: Part, wanted: Vec<Tuple>| {
        let all: Vec<_> = snapshot.after(part, None).collect();
        let positions: Vec<Position> = all.iter().map(|(at, _)| *at).collect();
        assert_eq!(sorted(snapshot, all.iter().map(|(_, binding)| *binding)), wanted);
        for (at, position) in positions.iter().enumerate() {
            let rest = snapshot.after(part, Some(*position)).map(|(at, _)| at);
            assert_eq!(rest.collect::<Vec<_>>(), positions[at + 1..]);
            assert_eq!(Position::from_bytes(&position.to_bytes()), Some(*position));
        }
        positions
    };
    let all = part(Part::All, stored.those(|_| true));
    assert!(all.is_sorted(), "in the index's own order");
    for scope in &stored.named {
        let at = snapshot.find(scope.as_str()).unwrap();
        part(Part::Scope(at), stored.those(|key| key.scope == *scope));
        for (name, role) in roles(snapshot) {
            let is_here = |key: &TupleKey| key.scope == *scope && key.role.as_str() == name;
            part(Part::Role(at, role), stored.those(is_here));
        }
    }
    for subject in subjects(stored) {
        let id = snapshot.find_subject(&subject).unwrap();
        part(Part::Subject(id), stored.those(|key| key.subject == subject));
        for (name, role) in roles(snapshot) {
            let is_it = |key: &TupleKey| key.subject == subject && key.role.as_str() == name;
            part(Part::SubjectRole(id, role), stored.those(is_it));
        }
        let scope = stored.named.first().unwrap();
        let (at, (name, role)) = (snapshot.find(scope.as_str()).unwrap(), roles(snapshot)[0]);
        let is_bound = |key: &TupleKey| {
            key.scope == *scope && key.role.as_str() == name && key.subject == subject
        };
        part(Part::Bound(at, role, id), stored.those(is_bound));
    }
}

/// Tuples for one request: of known and new names, some in the place of stored ones.
fn brought_along(random: &mut fastrand::Rng, known: &Known) -> Vec<Tuple> {
    let mut brought: BTreeMap<TupleKey, Tuple> = BTreeMap::new();
    for _ in 0..random.usize(1..8) {
        let mut tuple = random_tuple(random);
        match random.u32(..3) {
            0 if !known.tuples.is_empty() => {
                let at = random.usize(..known.tuples.len());
                tuple.key = known.tuples.keys().nth(at).unwrap().clone();
            }
            1 => {
                tuple.key.subject = Subject::parse(&format!("user:new{}", random.u8(..9))).unwrap()
            }
            _ => tuple.key.scope = object(&format!("org:new{}", random.u8(..3))),
        }
        brought.insert(tuple.key.clone(), tuple);
    }
    brought.into_values().collect()
}

/// Freezes, merges and adopts, each when it comes.
#[derive(Default)]
struct Upkeep {
    begun: Option<Merge>,
    made: Option<Merged>,
}

impl Upkeep {
    fn step(&mut self, random: &mut fastrand::Rng, snapshot: &mut Snapshot) -> bool {
        match random.u32(..5) {
            0 => {
                self.begun = Some(snapshot.begin_merge());
                true
            }
            1 => {
                if let Some(begun) = self.begun.take() {
                    self.made = Some(begun.run().unwrap());
                }
                false
            }
            2 => self.made.take().is_some_and(|made| {
                let unmerged = snapshot.unmerged();
                let is_adopted = snapshot.adopt(&made);
                assert_eq!(snapshot.unmerged(), unmerged);
                is_adopted
            }),
            _ => false,
        }
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the seed of a run that fails")]
fn a_snapshot_answers_as_a_map_of_its_tuples_does() {
    let model = model();
    let first = fastrand::u64(..u64::MAX / 2);
    let (mut adopted, mut compared) = (0, 0);
    for seed in first..first + SEEDS {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let with_sources = random.bool();
        let mut known = Known { tuples: BTreeMap::new(), named: BTreeSet::new() };
        let mut log = Vec::new();
        let mut snapshot = Snapshot::empty(Arc::clone(&model));
        let mut upkeep = Upkeep::default();
        let mut older: Vec<(Snapshot, Known)> = Vec::new();
        for _ in 0..STEPS {
            for _ in 0..random.usize(..6) {
                let change = random_change(&mut random, &known, with_sources);
                snapshot.apply(&change).unwrap();
                known.apply(&change);
                log.push(change);
            }
            let before = snapshot.clone();
            adopted += usize::from(upkeep.step(&mut random, &mut snapshot));
            if random.u8(..10) == 0 {
                compare(&before, &known, &known);
                compare(&snapshot, &known, &known);
                let over = brought_along(&mut random, &known);
                let laid = snapshot.overlaid(&over).unwrap();
                compare(&laid, &known, &known.overlaid(&over));
                older.push((before, known.clone()));
                compared += 1;
            }
            if random.u8(..40) == 0 {
                snapshot = built(&model, &mut random, &log);
                compare(&snapshot, &known, &known);
            }
        }
        for (snapshot, known) in older {
            compare(&snapshot, &known, &known);
        }
    }
    assert!(adopted > 20 && compared > 40, "{adopted} adopted, {compared} compared");
}

/// The snapshot that a log makes in bulk.
fn built(model: &Arc<Model>, random: &mut fastrand::Rng, log: &[Change]) -> Snapshot {
    let mut builder = Builder::new(Arc::clone(model));
    for change in log {
        builder.apply(change).unwrap();
        if random.u8(..50) == 0 {
            builder.fold().unwrap();
        }
    }
    builder.build().unwrap()
}

#[test]
fn a_base_is_adopted_only_by_snapshots_that_stand_on_what_it_was_made_of() {
    let model = model();
    let mut random = fastrand::Rng::with_seed(1);
    let put = |snapshot: &mut Snapshot, random: &mut fastrand::Rng| {
        snapshot.apply(&Change::Put(random_tuple(random))).unwrap();
    };
    let mut snapshot = Snapshot::empty(Arc::clone(&model));
    put(&mut snapshot, &mut random);
    let mut unfrozen = snapshot.clone();
    let merged = snapshot.begin_merge().run().unwrap();
    assert!(!unfrozen.adopt(&merged), "it holds the changes in its top layer");
    let mut other = unfrozen.clone();
    drop(other.begin_merge());
    assert!(!other.adopt(&merged), "frozen a second time, though the tuples are the same");
    let mut later = snapshot.clone();
    put(&mut later, &mut random);
    assert!(later.adopt(&merged) && !later.adopt(&merged));
    assert!(later.unmerged() > 0);
    let first = snapshot.base_use();
    assert!(first.is_used());
    drop((snapshot, unfrozen, other, merged));
    assert!(!first.is_used() && later.base_use().is_used());
}

#[test]
fn a_hub_is_searched_and_not_gone_through() {
    const MANY: usize = 50_000;
    let model = model();
    let mut builder = Builder::new(Arc::clone(&model));
    let put = |at: usize| {
        let text = format!("org:hub#viewer@user:{at}");
        Change::Put(Tuple::plain(TupleKey::parse(&text).unwrap()))
    };
    (0..MANY).for_each(|at| builder.apply(&put(at)).unwrap());
    let text = "org:hub#viewer@group:1#member";
    builder.apply(&Change::Put(Tuple::plain(TupleKey::parse(text).unwrap()))).unwrap();
    let snapshot = builder.build().unwrap();
    let hub = snapshot.find("org:hub").unwrap();
    let viewer = model.name_id("viewer").unwrap();
    for at in 0..MANY {
        let user = SubjectKey::Object(snapshot.find(&format!("user:{at}")).unwrap());
        assert_eq!(snapshot.bound(hub, viewer, user).count(), 1);
        assert_eq!(snapshot.sets_bound(hub, viewer).count(), 1);
        assert_eq!(snapshot.sets_bound_count(hub, viewer), 1);
    }
}

#[test]
fn what_is_only_tried_leaves_other_versions_as_they_were() {
    let model = load(&[("model.yaml", MODEL)].into_iter().collect(), &BTreeMap::new()).unwrap();
    let mut builder = Builder::new(Arc::new(model));
    let put = |text: &str| Change::Put(Tuple::plain(TupleKey::parse(text).unwrap()));
    for text in ["org:a#viewer@user:ana", "org:b#viewer@user:ana"] {
        builder.apply(&put(text)).unwrap();
    }
    let mut stored = builder.build().unwrap();
    stored.apply(&put("org:b#admin@user:ana")).unwrap();
    let [a, b] = ["org:a", "org:b"].map(|text| stored.find(text).unwrap());
    let in_base = |snapshot: &Snapshot, scope| snapshot.settled().rows(scope).is_some();
    assert!(in_base(&stored, a) && !in_base(&stored, b));
    let mut trial = stored.to_try();
    trial.apply(&put("org:a#admin@user:ben")).unwrap();
    let mut again = trial.clone();
    again.apply(&put("org:a#admin@user:cid")).unwrap();
    assert!(!in_base(&trial, a) && !in_base(&again, a));
    assert_eq!((stored.len(), trial.len(), again.len()), (3, 4, 5));
    assert!(in_base(&stored, a), "a Check of the scope costs what it did");
    assert_eq!(stored.find("user:ben"), None);
}

#[test]
fn to_read_ahead_for_tuples_known_and_unknown_changes_nothing() {
    let model = load(&[("model.yaml", MODEL)].into_iter().collect(), &BTreeMap::new()).unwrap();
    let mut builder = Builder::new(Arc::new(model));
    let key = |text: &str| TupleKey::parse(text).unwrap();
    let stored = key("org:a#viewer@user:ana");
    builder.apply(&Change::Put(Tuple::plain(stored.clone()))).unwrap();
    let mut snapshot = builder.build().unwrap();
    let over = key("org:b#viewer@user:ben");
    snapshot.apply(&Change::Put(Tuple::plain(over.clone()))).unwrap();
    let mut keys = vec![stored, over];
    keys.extend(["org:new#viewer@user:*", "org:a#viewer@org:new#viewer"].map(key));
    let many = keys.iter().cycle().take(3 * READ_AHEAD_TUPLES);
    let spots = |snapshot: &Snapshot| keys.iter().map(|key| snapshot.spot(key).is_some()).collect();
    let before: Vec<bool> = spots(&snapshot);
    snapshot.read_ahead(many);
    assert_eq!((before, snapshot.len()), (spots(&snapshot), 2));
    assert_eq!(spots(&snapshot), [true, true, false, false]);
    assert!(!snapshot.is_worth_reading_ahead());
}
