//! The rules of the hierarchy hold at every write: acyclic together, 32 deep, one parent unless `many`.

use std::sync::Arc;

use bailiwick::index::{Snapshot, check_parents_within};
use bailiwick::model::limits::{COMMIT_CHANGES_MAX, DEPTH_MAX, HIERARCHY_WALK_TUPLES_MAX};
use bailiwick::model::tuple::{Change, Time, TupleKey};

use crate::support::{World, delete, model, touch};

const MODEL: &str = "
model: hierarchy
types:
  user: {}
  org: { parents: { org: {}, org2: { relation: partner } } }
  org2: { parents: { org: { relation: back } } }
  both: { parents: { org: { many: true } } }
  loose: { parents: { loose: { acyclic: false } } }
roles: [ { at: [org, org2, both, loose], names: [admin], bound_by: [user] } ]
permissions: { act: { at: [org, org2, both, loose], is: admin } }
";

fn refusal(world: &World, tuples: &[&str]) -> String {
    let changes = tuples.iter().map(|text| touch(text)).collect();
    world.write(changes).unwrap_err().to_string()
}

fn chain(length: usize) -> Vec<String> {
    (0..length).map(|i| format!("org:n{i}#parent@org:n{}", i + 1)).collect()
}

#[test]
fn a_circle_is_refused_with_its_path() {
    let world = World::new(MODEL);
    world.put(&["org:a#parent@org:b", "org:b#parent@org:c"]);
    let message = refusal(&world, &["org:c#parent@org:a"]);
    assert!(message.contains("org:c -> org:a -> org:b -> org:c"), "{message}");
    assert!(message.starts_with("changes[0].tuple: "), "{message}");
    assert!(refusal(&world, &["org:x#parent@org:x"]).contains("org:x -> org:x"));
    // Nothing of a refused commit stays.
    assert!(
        refusal(&world, &["org:new#parent@org:a", "org:c#parent@org:a"]).contains("changes[1]")
    );
    world.put(&["org:new#admin@user:ana"]);
    assert!(!world.allows("user:ana act org:a"));
}

#[test]
fn parent_relations_are_acyclic_together() {
    let world = World::new(MODEL);
    world.put(&["org:a#partner@org2:b"]);
    let message = refusal(&world, &["org2:b#back@org:a"]);
    assert!(message.contains("org2:b -> org:a -> org2:b"), "{message}");
}

#[test]
fn a_relation_may_opt_out() {
    let world = World::new(MODEL);
    world.put(&["loose:a#parent@loose:b", "loose:b#parent@loose:a", "loose:b#admin@user:ana"]);
    assert!(world.allows("user:ana act loose:a"));
    assert!(!world.allows("user:eve act loose:a"));
}

#[test]
fn thirty_two_parent_edges_are_the_most() {
    let world = World::new(MODEL);
    world.put(&chain(32));
    world.put(&["org:n32#admin@user:ana"]);
    assert!(world.allows("user:ana act org:n0"));
    let message = refusal(&world, &["org:n32#parent@org:n33"]);
    assert!(message.contains("33 parent edges") && message.contains("limit is 32"), "{message}");
    // In the middle: 20 edges below, 20 above.
    let world = World::new(MODEL);
    world.put(&chain(20));
    world.put(&(0..20).map(|i| format!("org:m{i}#parent@org:m{}", i + 1)).collect::<Vec<_>>());
    assert!(refusal(&world, &["org:n20#parent@org:m0"]).contains("limit is 32"));
}

#[test]
fn one_parent_unless_many() {
    let world = World::new(MODEL);
    world.put(&["org:a#parent@org:b"]);
    let message = refusal(&world, &["org:a#parent@org:c"]);
    assert!(message.contains("second parent beside `org:b`"), "{message}");
    assert!(refusal(&world, &["org:z#parent@org:b", "org:z#parent@org:c"]).contains("second"));
    world.put(&["both:x#parent@org:b", "both:x#parent@org:c"]);
    // Moved in one commit, in either order.
    world.write(vec![touch("org:a#parent@org:c"), delete("org:a#parent@org:b")]).unwrap();
    world.write(vec![delete("org:a#parent@org:c"), touch("org:a#parent@org:b")]).unwrap();
}

#[test]
fn an_expired_parent_is_absent() {
    let world = World::new(MODEL);
    let mut edge = crate::support::tuple("org:a#parent@org:b");
    edge.expires_at = Some(bailiwick::model::tuple::Time(100));
    world.write(vec![bailiwick::pdp::WriteChange::Touch(edge)]).unwrap();
    world.put(&["org:b#admin@user:ana"]);
    assert!(world.allows("user:ana act org:a"));
    assert!(refusal(&world, &["org:a#parent@org:c"]).contains("second parent"));
    world.clock.set(100);
    assert!(!world.allows("user:ana act org:a"));
    world.put(&["org:a#parent@org:c"]);
}

/// So many children of `org:hub`, and their parent edges to it.
fn hub(children: usize) -> Snapshot {
    let mut snapshot = Snapshot::empty(Arc::new(model(MODEL)));
    for at in 0..children {
        apply(&mut snapshot, &format!("both:c{at}#parent@org:hub"));
    }
    snapshot
}

fn apply(snapshot: &mut Snapshot, text: &str) {
    snapshot.apply(&Change::Put(crate::support::tuple(text))).unwrap();
}

#[test]
fn what_lies_around_many_parents_is_looked_at_once() {
    const MANY: usize = 300;
    let mut snapshot = hub(MANY);
    let parents: Vec<String> = (0..MANY).map(|at| format!("both:c0#parent@org:p{at}")).collect();
    let below: Vec<String> = (0..MANY).map(|at| format!("both:c{at}#parent@org:top")).collect();
    for text in parents.iter().chain(&below) {
        apply(&mut snapshot, text);
    }
    apply(&mut snapshot, "org:hub#parent@org:above");
    apply(&mut snapshot, "org:above#parent@org:high");
    let check = |texts: &[&[String]], limit: usize| {
        let keys: Vec<_> = texts.iter().flat_map(|texts| *texts).collect();
        let keys: Vec<_> = keys.iter().map(|text| TupleKey::parse(text).unwrap()).collect();
        check_parents_within(&snapshot, &keys, Time(0), limit)
    };
    let hub = ["org:hub#parent@org:above".to_owned(), "org:above#parent@org:high".to_owned()];
    // The parents of the parents, and what stands below each scope, whichever edge is asked about.
    assert_eq!(check(&[&hub], MANY + 4), Ok(()));
    assert!(check(&[&hub], MANY).is_err(), "nothing was counted");
    let all = [parents.as_slice(), &below, &hub];
    assert_eq!(check(&all, 2 * MANY), Ok(()), "something was looked at for each edge again");
}

#[test]
fn a_parent_by_many_sources_is_looked_at_once() {
    const MANY: usize = 300;
    let mut snapshot = Snapshot::empty(Arc::new(model(MODEL)));
    let edges: Vec<_> = (0..MANY)
        .map(|at| {
            let mut edge = crate::support::tuple("org:a#parent@org:b");
            edge.key.source = format!("s{at}");
            snapshot.apply(&Change::Put(edge.clone())).unwrap();
            edge.key
        })
        .collect();
    assert_eq!(check_parents_within(&snapshot, &edges, Time(0), MANY), Ok(()));
    apply(&mut snapshot, "org:a#parent@org:c");
    let second = check_parents_within(&snapshot, &edges, Time(0), 2 * MANY).unwrap_err();
    assert!(second.1.to_string().contains("second parent beside `org:c`"), "{}", second.1);
}

#[test]
fn a_commit_does_not_walk_all_that_lies_around_its_parents() {
    let world = World::new(MODEL);
    let below = |from: usize, to: usize| -> Vec<String> {
        (from..to).map(|at| format!("both:c{at}#parent@org:hub")).collect()
    };
    // The edge is one of those that are looked at.
    let most = HIERARCHY_WALK_TUPLES_MAX - 1;
    for from in (0..most).step_by(COMMIT_CHANGES_MAX) {
        world.put(&below(from, most.min(from + COMMIT_CHANGES_MAX)));
    }
    world.put(&["org:hub#parent@org:top"]);
    world.put(&below(most, most + 1));
    let message = refusal(&world, &["org:top#parent@org:over"]);
    let limit = format!("more than {HIERARCHY_WALK_TUPLES_MAX} tuples above and below");
    assert!(message.contains(&limit), "{message}");
    // What lies below nothing of it goes on as before.
    world.put(&["both:new#parent@org:hub", "org:over#admin@user:ana"]);
}

#[test]
fn what_the_types_alone_allow_is_not_looked_at() {
    let types = "user: {}\n  org: {}\n  site: { parents: [org] }\n  device: { parents: [site] }";
    let text = format!(
        "model: m\ntypes:\n  {types}\nroles: [ {{ at: [org], names: [admin], bound_by: [user] }} ]\n"
    );
    let mut snapshot = Snapshot::empty(Arc::new(model(&text)));
    for at in 0..300 {
        apply(&mut snapshot, &format!("device:d{at}#parent@site:s"));
    }
    apply(&mut snapshot, "site:s#parent@org:o");
    let check = |snapshot: &Snapshot, limit| {
        let key = TupleKey::parse("site:s#parent@org:o").unwrap();
        check_parents_within(snapshot, [&key], Time(0), limit)
    };
    // One tuple: that the site has no second parent.
    assert_eq!(check(&snapshot, 1), Ok(()));
    apply(&mut snapshot, "site:s#parent@org:other");
    assert!(check(&snapshot, 2).is_err(), "a second parent stands");
}

#[test]
fn types_one_above_the_other_do_not_make_a_chain_longer_than_the_limit() {
    let world = World::new(&tower(DEPTH_MAX + 1));
    let edge = |at: usize| format!("t{at}:x#parent@t{}:x", at + 1);
    let edges: Vec<String> = (0..DEPTH_MAX).map(edge).collect();
    world.put(&edges.iter().map(String::as_str).collect::<Vec<_>>());
    let message = refusal(&world, &[&edge(DEPTH_MAX)]);
    assert!(message.contains("a chain of 33 parent edges"), "{message}");
}

/// A model of so many types, each below the next.
fn tower(edges: usize) -> String {
    let types: String =
        (0..edges).map(|at| format!("  t{at}: {{ parents: [t{}] }}\n", at + 1)).collect();
    let role = format!("{{ at: [t{edges}], names: [admin], bound_by: [user] }}");
    format!("model: tower\ntypes:\n  user: {{}}\n{types}  t{edges}: {{}}\nroles: [ {role} ]\n")
}

#[test]
fn a_long_chain_in_one_commit_is_refused_without_recursion() {
    let world = World::new(MODEL);
    let message = refusal(&world, &chain(9_999).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(message.contains("a chain of 9999 parent edges"), "{message}");
    let mut circle = chain(9_999);
    circle.push("org:n9999#parent@org:n0".to_owned());
    let message = refusal(&world, &circle.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(message.starts_with("changes[0].tuple: "), "{message}");
    assert!(message.contains("org:n0 -> org:n1 -> ") && message.ends_with("-> ..."), "{message}");
}
