//! The comparison of two models over tuples against the oracle, which is asked every question under both:
//! just those who gain or lose are told, and none is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use bailiwick::engine::compare::{Answer, Party, Told, compare, worlds};
use bailiwick::model::admission::admit;
use bailiwick::model::diff::{Side, changes, concerns};
use bailiwick::model::form::{DefKind, Model, SubjectForm};
use bailiwick::model::names::{Name, Object, Subject};
use bailiwick::model::tuple::{Context, Tuple};
use bailiwick::model::{MODEL_FILE, SourceFiles};
use fastrand::Rng;

use super::eval::Oracle;
use super::models::{MATRIX_FILE, ModelText};
use super::values::Value;
use super::worlds::{NOW, World};

const WORLDS: u64 = 40;
const NOBODY: &str = "nobody-knows";

fn side(text: &ModelText) -> Option<Side> {
    let files = [(MODEL_FILE, &text.yaml), (MATRIX_FILE, &text.csv)];
    Side::load(&SourceFiles::from_iter(files)).ok()
}

/// The same model with something else in it: another tick, a line less, or the table of another model.
fn mutated(text: &ModelText, rng: &mut Rng) -> ModelText {
    let mut text = text.clone();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    if rng.bool() {
        let mut rows = lines(&text.csv);
        let row = rng.usize(1..rows.len());
        let mut cells: Vec<String> = rows[row].split(',').map(str::to_owned).collect();
        let cell = rng.usize(0..cells.len());
        let ticked = ["x", "yes", "1"].contains(&cells[cell].as_str());
        cells[cell] = if ticked { String::new() } else { "x".to_owned() };
        rows[row] = cells.join(",");
        text.csv = rows.join("\n") + "\n";
    } else {
        let mut rows = lines(&text.yaml);
        rows.remove(rng.usize(1..rows.len()));
        text.yaml = rows.join("\n") + "\n";
    }
    text
}

/// The types that a role of the model may be bound to.
fn bound(model: &Model) -> BTreeSet<String> {
    let forms = model.types.iter().flat_map(|def| &def.roles).flat_map(|role| &role.bound_by);
    let of = |form: &SubjectForm| match form {
        SubjectForm::Object(of) | SubjectForm::All(of) => Some(model.type_name(*of).to_owned()),
        SubjectForm::Set(..) => None,
    };
    forms.filter_map(of).collect()
}

/// The objects that these tuples name, by type.
fn named(tuples: &[Tuple]) -> BTreeMap<String, BTreeSet<Object>> {
    let mut named: BTreeMap<String, BTreeSet<Object>> = BTreeMap::new();
    let mut add = |object: &Object| {
        named.entry(object.type_name().to_owned()).or_default().insert(object.clone());
    };
    for tuple in tuples {
        add(&tuple.key.scope);
        match &tuple.key.subject {
            Subject::Object(object) | Subject::Set(object, _) => add(object),
            Subject::All(_) => {}
        }
    }
    named
}

type Asked = (String, String, String);

/// Every question that a model allows, of subjects of these types.
fn allowed(model: &Model, tuples: &[Tuple], types: &BTreeSet<String>) -> BTreeSet<Asked> {
    let named = named(tuples);
    let fresh = |of: &str| Object::parse(&format!("{of}:{NOBODY}")).unwrap();
    let mut found = BTreeSet::new();
    let context = Context::new();
    for of in types.iter().filter(|of| model.type_id(of).is_some()) {
        let mut subjects = vec![Subject::All(Name::parse(of).unwrap())];
        let objects = named.get(of).into_iter().flatten().cloned();
        subjects.extend(objects.chain([fresh(of)]).map(Subject::Object));
        // Another one for a scope that is as unknown as the subject, and not the same.
        subjects.push(Subject::Object(Object::parse(&format!("{of}:{NOBODY}-else")).unwrap()));
        for u in subjects {
            let mut oracle = Oracle::new(model, tuples, &u, &context, NOW, None);
            for def in model.types.iter().skip(1) {
                let at = def.name.as_ref().unwrap().as_str();
                let scopes = named.get(at).into_iter().flatten().cloned();
                for scope in scopes.chain([fresh(at)]) {
                    for (name, _) in def.defs.iter().filter(|d| d.1.kind == DefKind::Permission) {
                        if oracle.decide(*name, &scope).value == Value::Yes {
                            let permission = model.name_of(*name).to_owned();
                            found.insert((u.to_string(), permission, scope.to_string()));
                        }
                    }
                }
            }
        }
    }
    found
}

/// As the test names those whom no tuple names.
fn party(party: &Party, is_scope: bool, same: bool) -> String {
    match party {
        Party::All(of) => format!("{of}:*"),
        Party::Itself(of) => format!("{of}:{NOBODY}"),
        // Beside a scope of its own type that nobody knows either, it is another.
        Party::Unnamed(of) if same && !is_scope => format!("{of}:{NOBODY}-else"),
        Party::Unnamed(of) => format!("{of}:{NOBODY}"),
        Party::Named(text) => text.clone(),
    }
}

#[test]
fn just_those_who_gain_or_lose_are_told() {
    let asked = std::env::var("BAILIWICK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = asked.unwrap_or_else(|| fastrand::u64(..u64::MAX / 2));
    println!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let (mut gains, mut losses, mut unnamed, mut refused, mut pairs) = (0, 0, 0, 0, 0);
    let mut at = 0;
    while pairs < WORLDS {
        at += 1;
        let world = World::generate(seed + at);
        let other = match rng.u8(..4) {
            0 => World::generate(seed + at + 1_000_000).text,
            _ => mutated(&world.text, &mut rng),
        };
        let (Some(old), Some(new)) = (side(&world.text), side(&other)) else { continue };
        pairs += 1;
        let changed = changes(&old, &new);
        let [old, new] = [old, new].map(|side| Arc::new(side.model));
        let tuples = world.tuples.iter().cloned();
        let worlds = worlds([Arc::clone(&old), Arc::clone(&new)], tuples, NOW).unwrap();
        let is_left_out = |tuple: &Tuple| worlds.left_out.iter().any(|out| out.key == tuple.key);
        let live = || world.tuples.iter().filter(|tuple| tuple.is_live(NOW));
        for tuple in live().filter(|tuple| admit(&new, tuple).is_err()) {
            assert!(is_left_out(tuple), "{}", tuple.key);
            refused += 1;
        }
        let kept: Vec<Tuple> = live().filter(|tuple| !is_left_out(tuple)).cloned().collect();
        assert_eq!(kept.len(), worlds.tuples);

        let mut told: [BTreeSet<Asked>; 2] = Default::default();
        let concerns = concerns(&old, &new);
        let compared = compare(&worlds, &concerns, NOW, u64::MAX, &mut |found| {
            let Told::Difference(found) = found else { return Ok::<_, Infallible>(()) };
            assert!(found.old != found.new);
            let same = matches!((&found.subject, &found.scope), (Party::Unnamed(a), Party::Unnamed(b)) if a == b);
            unnamed += u32::from(!matches!(found.subject, Party::Named(_)));
            let asked = (
                party(&found.subject, false, same),
                found.permission,
                party(&found.scope, true, same),
            );
            let is_new = match (found.old, found.new) {
                (Answer::Yes, _) => told[0].insert(asked),
                (_, Answer::Yes) => told[1].insert(asked),
                _ => true,
            };
            assert!(is_new, "told twice");
            Ok(())
        });
        assert!(!compared.unwrap().is_cut);

        let types: BTreeSet<String> = bound(&old).into_iter().chain(bound(&new)).collect();
        let (before, after) = (allowed(&old, &kept, &types), allowed(&new, &kept, &types));
        // Whoever is told of is of those types, or is asked about beside them.
        let of_types = |asked: &&Asked| types.contains(asked.0.split(':').next().unwrap());
        let [lost, gained] = told
            .each_ref()
            .map(|told| told.iter().filter(of_types).cloned().collect::<BTreeSet<_>>());
        // The unknown subject stands for itself and for another; only beside an unknown scope of its
        // type are these not the same.
        let relevant = |asked: &&Asked| {
            let both = |text: &str| text.split(':').next().unwrap().to_owned();
            let beside = both(&asked.0) == both(&asked.2) && asked.2.ends_with(NOBODY);
            !asked.0.ends_with("-else") || beside
        };
        let only = |one: &BTreeSet<Asked>, other: &BTreeSet<Asked>| {
            one.difference(other).filter(relevant).cloned().collect::<BTreeSet<_>>()
        };
        assert_eq!(lost, only(&before, &after), "seed {}: lost", seed + at);
        assert_eq!(gained, only(&after, &before), "seed {}: gained", seed + at);
        assert!(before == after || !changed.is_empty(), "seed {}: no change", seed + at);
        (gains, losses) = (gains + gained.len(), losses + lost.len());
    }
    println!("{gains} gained, {losses} lost, {unnamed} of unnamed or all, {refused} refused");
    assert!(gains > 200 && losses > 200 && unnamed > 50 && refused > 100);
}
