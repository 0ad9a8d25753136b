//! Of whom gathering the candidates is sure, asking says the same: each list beside the same one in which
//! everybody is asked, entry by entry and error by error, in random worlds with all that makes a way unsure.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::engine::with_contextual;
use crate::index::Builder;
use crate::model::admission::admit;
use crate::model::limits::DEPTH_MAX;
use crate::model::names::Name;
use crate::model::tuple::{Change, Tuple, TupleCondition, TupleKey};
use crate::model::{SourceFiles, load};

const WORLDS: u64 = 150;
const NOW: Time = Time(1_000_000);

const MODEL: &str = "
model: lists
types:
  user: {}
  person: { relations: { account: [user] } }
  group: {}
  org: { parents: [org] }
  site: { parents: [org], relations: { home: [org] } }
facts:
  group: { flags: [off] }
  org: { flags: [paid] }
  user: { flags: [vetted] }
conditions:
  hours: { parameters: { hour: int }, when: 'hour < 18' }
roles:
  - at: [group]
    names: [member, owner]
    bound_by: [user, 'user:*', 'group#member', 'group#owner', 'org#staff']
    conditions: [hours]
  - { at: [group], names: [crew], bound_by: [user, 'group#crew'] }
  - { at: [group], names: [guest], bound_by: [user, 'group#guest'], gate: 'yes except fact(off)' }
  - at: [org, site]
    names: [viewer, admin, clerk]
    bound_by: [user, 'user:*', group, 'group#member', 'group#crew', 'group#guest', 'org#staff']
    conditions: [hours]
names:
  staff: { at: [org], is: 'admin or up(parent, staff)' }
permissions:
  view: { at: [org, site], is: 'viewer or admin' }
  any: { at: [org, site], is: 'here(viewer) or here(admin) or here(clerk)' }
  paid: { at: [site], is: 'viewer and fact(paid)' }
  unpaid: { at: [site], is: '(viewer or admin) except fact(paid)' }
  both: { at: [site], is: 'viewer and admin' }
  either_but: { at: [site], is: 'viewer except admin' }
  vetted: { at: [site], is: 'viewer and standing(vetted)' }
  late: { at: [site], is: 'viewer and condition(hours)' }
  homes: { at: [site], is: 'up_all(home, viewer) or up(home, admin)' }
  linked: { at: [site], is: 'as(account, viewer)' }
  some: { at: [site], is: 'anywhere(org, admin) and viewer' }
  own: { at: [user, site], is: 'self or yes and fact(paid)' }
";

/// Tuples of all kinds, few enough objects that ways cross.
fn tuple(random: &mut fastrand::Rng) -> Tuple {
    let mut one = |kind: &str, of: u32| format!("{kind}:{}", random.u32(..of));
    let (user, group, org, site) =
        (one("user", 12), one("group", 9), one("org", 5), one("site", 4));
    let (child, other) = (one("org", 5), one("group", 9));
    let person = one("person", 3);
    let role = ["viewer", "admin", "clerk"][random.usize(..3)];
    let scope = [&org, &site, &site][random.usize(..3)];
    let set = ["guest", "crew", "crew"][random.usize(..3)];
    let text = match random.u8(..15) {
        0..=2 => format!("{group}#member@{user}"),
        3 => format!("{group}#{set}@{user}"),
        4 => format!("{group}#{set}@{other}#{set}"),
        5 => format!("{group}#member@{other}#member"),
        6 => format!("{scope}#{role}@{user}"),
        7 => format!("{scope}#{role}@{group}#member"),
        8 => format!("{scope}#{role}@{group}#{set}"),
        9 => format!("{scope}#{role}@{child}#staff"),
        // Upwards only, so that there is no circle.
        10 => format!("{}#parent@{}", org.clone().min(child.clone()), org.max(child)),
        11 => [format!("{site}#parent@{org}"), format!("{site}#home@{org}")][random.usize(..2)]
            .clone(),
        12 => format!("{person}#account@{user}"),
        13 => match random.u8(..3) {
            0 => format!("{org}#has@feature:paid"),
            1 => format!("{group}#has@feature:off"),
            _ => format!("{user}#has@feature:vetted"),
        },
        _ => match random.u8(..6) {
            0 => format!("{scope}#{role}@user:*"),
            1 => format!("{group}#member@user:*"),
            2 => format!("{group}#member@{org}#staff"),
            3 => format!("{scope}#{role}@{group}"),
            _ => format!("{group}#owner@{user}"),
        },
    };
    let mut tuple = Tuple::plain(TupleKey::parse(&text).unwrap());
    if random.u8(..6) == 0 {
        tuple.expires_at = Some(Time(NOW.0 + i64::from(random.u8(..3)) - 1));
    }
    let role = tuple.key.role.as_str();
    if ["viewer", "admin", "clerk", "member", "owner"].contains(&role) && random.u8(..6) == 0 {
        let hour = serde_json::Value::from(random.u8(10..24));
        let stored = [BTreeMap::new(), BTreeMap::from([("hour".to_owned(), hour)])];
        let name = Name::parse("hours").unwrap();
        tuple.condition = Some(TupleCondition { name, context: stored[random.usize(..2)].clone() });
    }
    tuple
}

/// A chain of groups around the limit of nesting, bound at a site and at times entered half-way too.
fn chain(random: &mut fastrand::Rng, role: &str) -> Vec<Tuple> {
    let length = random.u32(30..36);
    let link = |at| format!("group:c{role}{at}#{role}@group:c{role}{}#{role}", at + 1);
    let mut texts: Vec<String> = (0..length).map(link).collect();
    texts.push(format!("group:c{role}{length}#{role}@user:{}", random.u32(..12)));
    texts.push(format!("site:{}#viewer@group:c{role}0#{role}", random.u32(..4)));
    if random.bool() {
        let (from, to) = (random.u32(..length), random.u32(..length));
        texts.push(format!("group:c{role}{from}#{role}@group:c{role}{to}#{role}"));
    }
    texts.iter().map(|text| Tuple::plain(TupleKey::parse(text).unwrap())).collect()
}

/// One per identity, and one parent for each.
fn distinct(mut tuples: Vec<Tuple>) -> Vec<Tuple> {
    let (mut seen, mut children) = (BTreeSet::new(), BTreeSet::new());
    tuples.retain(|Tuple { key, .. }| {
        let is_parent = key.role.as_str() == "parent";
        let is_one_more = is_parent && !children.insert(key.scope.clone());
        let is_circle = is_parent && key.scope.to_string() == key.subject.to_string();
        !is_one_more && !is_circle && seen.insert(key.clone())
    });
    tuples
}

/// Some of the tuples in a base, some in a layer that is being made one with it, the others above.
fn snapshot(model: &Arc<Model>, tuples: &[Tuple], random: &mut fastrand::Rng) -> Snapshot {
    let (base, rest) = tuples.split_at(random.usize(..=tuples.len()));
    let (frozen, top) = rest.split_at(random.usize(..=rest.len()));
    let mut builder = Builder::new(Arc::clone(model));
    for tuple in base {
        builder.apply(&Change::Put(tuple.clone())).unwrap();
    }
    let mut snapshot = builder.build().unwrap();
    for tuple in frozen {
        snapshot.apply(&Change::Put(tuple.clone())).unwrap();
    }
    if random.bool() {
        let _ = snapshot.begin_merge();
    }
    for tuple in top {
        snapshot.apply(&Change::Put(tuple.clone())).unwrap();
    }
    // A chain would mostly be broken somewhere.
    let is_link = |tuple: &&Tuple| tuple.key.scope.as_str().starts_with("group:c");
    let loose = tuples.iter().filter(|tuple| !is_link(tuple));
    for tuple in loose.filter(|_| random.u8(..10) == 0) {
        snapshot.apply(&Change::Delete(tuple.key.clone())).unwrap();
    }
    snapshot
}

fn model() -> Arc<Model> {
    let mut files = SourceFiles::default();
    files.insert("model.yaml", MODEL);
    Arc::new(load(&files, &BTreeMap::new()).unwrap())
}

#[test]
fn a_way_is_sure_over_as_many_sets_as_a_check_goes_and_no_more() {
    let model = model();
    let plan = Arc::new(Plan::new(&model));
    // Plain sets, found from the subject, and others, evaluated where they are bound.
    for role in ["crew", "member", "guest"] {
        for sets in [1, DEPTH_MAX - 1, DEPTH_MAX, DEPTH_MAX + 1] {
            let mut snapshot = Snapshot::empty(Arc::clone(&model));
            let link = |at| format!("group:g{at}#{role}@group:g{}#{role}", at + 1);
            let ends = [
                format!("site:0#viewer@group:g1#{role}"),
                format!("group:g{sets}#{role}@user:ana"),
            ];
            for text in (1..sets).map(link).chain(ends) {
                let tuple = Tuple::plain(TupleKey::parse(&text).unwrap());
                snapshot.apply(&Change::Put(tuple)).unwrap();
            }
            let context = CheckedContext::default();
            let question = ListQuestion::parse(&model, "view", "site:0", "user", context).unwrap();
            let list = SubjectList::new(snapshot, Arc::clone(&plan), question, NOW);
            let is_within = sets <= DEPTH_MAX;
            assert_eq!(list.sure.len(), usize::from(is_within), "{sets} sets of {role}");
            let beyond = Err(EngineError::DepthExceeded { limit: DEPTH_MAX });
            let expected = match role {
                _ if is_within => vec![Ok(None), Ok(Some("user:ana".to_owned()))],
                "crew" => vec![Ok(None), beyond],
                // Whether all users are in is not known either.
                _ => vec![beyond],
            };
            assert_eq!(list.collect::<Vec<_>>(), expected, "{sets} sets of {role}");
        }
    }
}

#[test]
fn who_is_sure_is_who_may() {
    let model = model();
    let plan = Arc::new(Plan::new(&model));
    let seed = fastrand::u64(..u64::MAX / 2);
    let (mut sure, mut allowed, mut denied, mut errors, mut merged) = (0, 0, 0, 0, 0);
    for at in 0..WORLDS {
        let mut random = fastrand::Rng::with_seed(seed + at);
        let mut tuples: Vec<Tuple> =
            (0..random.usize(20..120)).map(|_| tuple(&mut random)).collect();
        for role in ["member", "guest", "crew"] {
            tuples.extend(chain(&mut random, role));
        }
        let tuples = distinct(tuples);
        tuples.iter().for_each(|tuple| admit(&model, tuple).unwrap());
        let stored = snapshot(&model, &tuples, &mut random);
        let brought = distinct((0..random.usize(..6)).map(|_| tuple(&mut random)).collect());
        // Those that break a rule of the hierarchy are refused; then there are none.
        let snapshot = with_contextual(&stored, &brought, NOW);
        merged += usize::from(!brought.is_empty() && snapshot.is_ok());
        let snapshot = snapshot.unwrap_or(stored);
        let hour = serde_json::Value::from(random.u8(10..24));
        let context = [BTreeMap::new(), BTreeMap::from([("hour".to_owned(), hour)])];
        let context = CheckedContext::new(context[random.usize(..2)].clone()).unwrap();
        for permission in model.permissions.keys() {
            for scope in ["site:0", "site:3", "org:1", "user:5", "site:unknown", "user:unknown"] {
                let subject_type = ["user", "user", "group"][random.usize(..3)];
                let question = ListQuestion::parse(
                    &model,
                    permission.as_str(),
                    scope,
                    subject_type,
                    context.clone(),
                );
                let list = || {
                    let question = question.clone().unwrap();
                    SubjectList::new(snapshot.clone(), Arc::clone(&plan), question, NOW)
                };
                let mut slow = list();
                let certain = std::mem::take(&mut slow.sure).len();
                let expected: Vec<_> = slow.collect();
                let listed: Vec<_> = list().collect();
                let what = || format!("seed {}: {permission} at {scope}", seed + at);
                assert_eq!(listed, expected, "{}", what());
                let asked = listed.iter().skip(1);
                let count = |of: fn(&Result<Option<String>, EngineError>) -> bool| {
                    asked.clone().filter(|item| of(item)).count()
                };
                sure += certain;
                allowed += count(|item| matches!(item, Ok(Some(_)))).saturating_sub(certain);
                denied += count(|item| *item == Ok(None));
                errors += count(Result::is_err);
                // On from any entry there is the rest of the list.
                let named: Vec<_> = listed.iter().flatten().flatten().collect();
                if let Some(after) = named.get(random.usize(..=named.len())) {
                    let mut rest = list();
                    rest.go_on_after(after);
                    let rest: Vec<_> = rest.filter_map(Result::transpose).collect();
                    let expected = listed.iter().cloned().filter_map(Result::transpose);
                    let past = named.iter().position(|name| name == after).unwrap() + 1;
                    assert!(expected.skip(past).eq(rest), "{}, after {after}", what());
                }
            }
        }
    }
    assert!(
        sure > 1_000 && allowed > 20 && denied > 1_000 && errors > 0 && merged > 20,
        "seed {seed}: {sure} sure, {allowed} allowed when asked, {denied} denied, {errors} errors, \
         {merged} with tuples of their own"
    );
}
