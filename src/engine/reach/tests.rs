//! Short ways through scopes with few and with many tuples, over a base that is made anew again and again from what
//! was written over it: each answer is the one that evaluating gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::{CheckedContext, Plan, Question, Series, check, check_within, with_contextual};
use crate::index::{Builder, FEW_ROWS, Snapshot};
use crate::model::load;
use crate::model::tuple::{Change, Time, Tuple, TupleKey};

const MODEL: &str = "
model: crowded
types:
  user: {}
  group: {}
  org: {}
  yard: { parents: [org] }
  site: { parents: [org, yard] }
  device: { parents: { site: { relation: parent, many: true }, yard: { relation: kept_in } } }
roles:
  - { at: [org, yard, site, device], names: [viewer, admin], bound_by: [user, 'user:*', 'group#member', 'group#lead'] }
  - { at: [group], names: [member], bound_by: [user, 'group#member', 'group#lead'] }
  - { at: [group], names: [lead], bound_by: [user] }
facts:
  org: { flags: [verified, paid] }
  site: { flags: [verified] }
permissions:
  see: { at: [device], is: 'viewer or admin' }
  run: { at: [device], is: admin }
";

/// A tuple of this world; `crowded`: most are of a few scopes.
fn tuple(random: &mut fastrand::Rng, crowded: bool) -> Tuple {
    let subject = |random: &mut fastrand::Rng| match random.u32(..40) {
        0..10 => format!("group:g{}#member", random.u32(..25)),
        10..16 => format!("group:g{}#lead", random.u32(..25)),
        _ => format!("user:u{}", random.u32(..90)),
    };
    let text = match random.u32(..21) {
        20 if random.bool() => format!("site:s{}#has@feature:verified", random.u32(..12)),
        20 => format!("org:o{}#has@feature:paid", random.u32(..4)),
        0 => format!("device:d{}#parent@site:s{}", random.u32(..30), random.u32(..12)),
        1 => format!("device:d{}#kept_in@yard:y{}", random.u32(..30), random.u32(..4)),
        2 => {
            let above = if random.bool() { "org:o" } else { "yard:y" };
            format!("site:s{}#parent@{above}{}", random.u32(..12), random.u32(..4))
        }
        3 => format!("yard:y{}#parent@org:o{}", random.u32(..4), random.u32(..4)),
        4..8 => format!("group:g{}#member@user:u{}", random.u32(..25), random.u32(..90)),
        8 => format!("group:g{}#lead@user:u{}", random.u32(..25), random.u32(..90)),
        9 => {
            let (group, of) = (random.u32(..25), if random.bool() { "member" } else { "lead" });
            format!("group:g{group}#member@group:g{}#{of}", random.u32(..25))
        }
        _ => {
            let role = if random.bool() { "viewer" } else { "admin" };
            let part = if crowded { 4 } else { 1 };
            let scope = match random.u32(..6) {
                0 => format!("org:o{}", random.u32(..4 / part)),
                1 => format!("yard:y{}", random.u32(..4 / part)),
                2 => format!("site:s{}", random.u32(..12 / part)),
                _ => format!("device:d{}", random.u32(..30)),
            };
            // All of a type hide everybody else.
            let subject = match random.u32(..300) {
                0 => "user:*".to_owned(),
                _ => subject(random),
            };
            format!("{scope}#{role}@{subject}")
        }
    };
    let mut tuple = Tuple::plain(TupleKey::parse(&text).unwrap());
    if random.u32(..30) == 0 {
        // Some have ended, some have not.
        tuple.expires_at = Some(Time(random.i64(5..15)));
    }
    tuple
}

#[test]
fn short_ways_through_few_and_many_tuples_are_those_of_evaluation_whatever_was_merged() {
    let model = load(&[("model.yaml", MODEL)].into_iter().collect(), &BTreeMap::new()).unwrap();
    let model = Arc::new(model);
    let (short, thorough) = (Plan::new(&model), Plan::without_short_ways(&model));
    let (mut allowed, mut denied, mut crowds, mut nested) = (0, 0, 0, 0);
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut snapshot = Builder::new(Arc::clone(&model)).build().unwrap();
        let mut written: Vec<Tuple> = Vec::new();
        for _ in 0..12 {
            for _ in 0..random.usize(..250) {
                let change = if !written.is_empty() && random.u32(..4) == 0 {
                    Change::Delete(written.swap_remove(random.usize(..written.len())).key)
                } else {
                    let tuple = tuple(&mut random, seed % 2 == 0);
                    written.retain(|known| known.key != tuple.key);
                    written.push(tuple.clone());
                    Change::Put(tuple)
                };
                snapshot.apply(&change).unwrap();
            }
            if random.u32(..3) > 0 {
                let merged = snapshot.begin_merge().run().unwrap();
                assert!(snapshot.adopt(&merged));
            }
            let texts: Vec<[String; 2]> = (0..64)
                .map(|_| {
                    [("user:u", 95), ("device:d", 31)]
                        .map(|(of, most)| format!("{of}{}", random.u32(..most)))
                })
                .collect();
            let asked: Vec<Question<'_>> = texts
                .iter()
                .map(|[user, device]| {
                    let what = if random.bool() { "see" } else { "run" };
                    Question::parse(&model, user, what, device, CheckedContext::default()).unwrap()
                })
                .collect();
            let brought: Vec<Tuple> = (0..2).map(|_| tuple(&mut random, false)).collect();
            let seen = with_contextual(&snapshot, &brought, Time(10));
            let seen = seen.ok().filter(|_| random.bool()).unwrap_or_else(|| snapshot.clone());
            let mut series = Series::new(&seen, &short, Time(10));
            let mut together = Vec::new();
            let told = series.decide(&asked, |decided, steps| {
                let mut left = steps;
                let question = &asked[together.len()];
                let within = check_within(&seen, &short, question, Time(10), false, &mut left);
                assert_eq!((within.as_ref(), left), (Some(&decided), 0), "{seed}: {question:?}");
                together.push(decided.unwrap());
                Ok::<_, ()>(())
            });
            told.unwrap();
            for (question, together) in asked.iter().zip(together) {
                let ask = |plan| check(&seen, plan, question, Time(10), false).unwrap();
                let expected = ask(&thorough);
                assert_eq!(
                    (&ask(&short), &together),
                    (&expected, &expected),
                    "{seed}: {question:?}"
                );
                if expected.is_allow() { allowed += 1 } else { denied += 1 }
            }
            let (large, nest) = hinted(&snapshot);
            (crowds, nested) = (crowds + large, nested + nest);
        }
    }
    assert!(allowed > 1_000 && denied > 1_000, "{allowed} {denied}");
    assert!(crowds > 40 && nested > 100, "{crowds} {nested}");
}

/// How many scopes of the base have many tuples, and how many groups stand in others.
fn hinted(snapshot: &Snapshot) -> (usize, usize) {
    let settled = snapshot.settled();
    let of = |prefix: &str, count: u32| {
        let texts: Vec<String> = (0..count).map(|at| format!("{prefix}{at}")).collect();
        texts.into_iter().filter_map(|text| snapshot.find(&text)).collect::<Vec<_>>()
    };
    let scopes = [of("org:o", 4), of("yard:y", 4), of("site:s", 12)].concat();
    let is_large = |scope: &&_| settled.rows(**scope).is_some_and(|rows| rows.all.len() > FEW_ROWS);
    let large = scopes.iter().filter(is_large).inspect(|at| assert!(settled.bloom(**at).is_some()));
    let large = large.count();
    (large, of("group:g", 25).into_iter().filter(|group| settled.may_nest(*group)).count())
}

/// As many objects as a walk visits, of which the last has nothing above but a fact.
#[test]
fn a_walk_that_ends_at_its_last_object_takes_the_same_steps_alone_and_with_others() {
    let model = load(&[("model.yaml", MODEL)].into_iter().collect(), &BTreeMap::new()).unwrap();
    let (plan, model) = (Plan::new(&model), Arc::new(model));
    for sites in 60..67 {
        let mut texts = vec!["site:s1#has@feature:verified".to_owned()];
        texts.extend((1..=sites).map(|site| format!("device:d#parent@site:s{site}")));
        texts.push("device:other#viewer@user:ana".to_owned());
        let mut builder = Builder::new(Arc::clone(&model));
        for text in texts {
            let tuple = Tuple::plain(TupleKey::parse(&text).unwrap());
            builder.apply(&Change::Put(tuple)).unwrap();
        }
        let snapshot = builder.build().unwrap();
        let context = CheckedContext::default();
        let asked = [Question::parse(&model, "user:ana", "see", "device:d", context).unwrap()];
        let told = Series::new(&snapshot, &plan, Time(0)).decide(&asked, |decided, steps| {
            let mut left = steps;
            let alone = check_within(&snapshot, &plan, &asked[0], Time(0), false, &mut left);
            assert_eq!((alone, left), (Some(decided), 0), "{sites} sites");
            Ok::<_, ()>(())
        });
        told.unwrap();
    }
}
