//! The rules of the hierarchy hold at every write: acyclic together, 32 deep, one parent unless `many`.

use crate::support::{World, delete, touch};

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
