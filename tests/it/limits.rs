//! Depth and steps are bounded, and a bound never looks like a denial.

use bailiwick::engine::EngineError;

use crate::support::World;

const MODEL: &str = "
model: limits
types:
  user: {}
  group: {}
  org: { parents: [org] }
  doc: { parents: [org] }
roles:
  - { at: [group], names: [member], bound_by: [user, 'group#member'] }
  - { at: [org], names: [admin], bound_by: [user, 'group#member', 'org#staff'] }
  - { at: [doc], names: [reader], bound_by: [user, 'group#member', 'doc#can_read', 'org#staff'] }
  - { at: [doc], names: [blocked], bound_by: [user, 'group#member'] }
names: { staff: { at: [org], is: admin }, can_read: { at: [doc], is: reader } }
permissions:
  read: { at: [doc], is: 'can_read or admin' }
  careful: { at: [doc], is: 'reader except blocked' }
";

fn nested(kind: &str, role: &str, name: &str, from: usize, to: usize) -> Vec<String> {
    (from..to).map(|i| format!("{kind}:g{}#{role}@{kind}:g{i}#{name}", i + 1)).collect()
}

#[test]
fn groups_nest_thirty_two_deep_and_no_deeper() {
    let world = World::new(MODEL);
    world.put(&["group:g1#member@user:ana", "doc:d#reader@group:g32#member"]);
    world.put(&nested("group", "member", "member", 1, 32));
    assert!(world.allows("user:ana read doc:d"));
    world.put(&["doc:e#reader@group:g33#member", "group:g33#member@group:g32#member"]);
    assert_eq!(world.check("user:ana read doc:e"), Err(EngineError::DepthExceeded { limit: 32 }));
    // What is found within the limit still counts, and so does a denial that does not depend on it.
    assert!(world.allows("user:ana read doc:d"));
    assert!(!world.allows("user:eve read doc:e"));
    world.put(&["doc:e#reader@user:ana"]);
    assert!(world.allows("user:ana read doc:e"));
}

#[test]
fn a_block_past_the_limit_is_an_error_not_an_allow() {
    let world = World::new(MODEL);
    world.put(&["group:g1#member@user:ana", "doc:d#reader@user:ana"]);
    world.put(&nested("group", "member", "member", 1, 40));
    world.put(&["doc:d#blocked@group:g40#member"]);
    assert_eq!(
        world.check("user:ana careful doc:d"),
        Err(EngineError::DepthExceeded { limit: 32 })
    );
}

#[test]
fn a_short_way_counts_even_where_a_long_one_is_met_first() {
    // Computed sets are evaluated where they are bound, depth-first; the limit is on the shortest way.
    let world = World::new(MODEL);
    world.put(&nested("doc", "reader", "can_read", 0, 36));
    world.put(&["doc:g0#reader@user:ana"]);
    assert_eq!(world.check("user:ana read doc:g36"), Err(EngineError::DepthExceeded { limit: 32 }));
    assert_eq!(world.check("user:eve read doc:g36"), Err(EngineError::DepthExceeded { limit: 32 }));
    assert!(world.allows("user:ana read doc:g32"));
    world.put(&["doc:g36#reader@doc:g5#can_read"]);
    assert!(world.allows("user:ana read doc:g36"));
    let eve = world.check("user:eve read doc:g36").map(|decision| decision.is_allow());
    assert_eq!(eve, Ok(false), "every set is now within 32, by the short way");
}

#[test]
fn circles_of_groups_are_harmless() {
    let world = World::new(MODEL);
    world.put(&["group:a#member@group:b#member", "group:b#member@group:a#member"]);
    world.put(&["doc:d#reader@group:a#member", "doc:x#reader@doc:y#can_read"]);
    world.put(&["doc:y#reader@doc:x#can_read"]);
    assert!(!world.allows("user:ana read doc:d"));
    assert!(!world.allows("user:ana read doc:x"));
    world.put(&["group:b#member@user:ana", "doc:y#reader@user:ana"]);
    assert!(world.allows("user:ana read doc:d"));
    assert!(world.allows("user:ana read doc:x"));
}

#[test]
fn the_deepest_legal_nesting_fits_the_stack() {
    // 32 computed sets, each held at the top of a chain of organizations.
    let world = World::new(MODEL);
    let mut tuples = Vec::new();
    for set in 0..32 {
        for level in 0..8 {
            tuples.push(format!("org:s{set}l{level}#parent@org:s{set}l{}", level + 1));
        }
        tuples.push(format!("org:s{set}l8#admin@org:s{}l0#staff", set + 1));
    }
    tuples.push("doc:d#reader@org:s0l0#staff".into());
    tuples.push("org:s31l8#admin@user:ana".into());
    world.put(&tuples);
    assert!(world.allows("user:ana read doc:d"));
}

/// A chain of arrows, each step through an expression of so many levels.
fn deep_world(levels: usize, chain: usize) -> World {
    let open = "(here(r) or (fact(f) and ".repeat(levels);
    let close = "))".repeat(levels);
    let world = World::new(&format!(
        "
model: deep
types: {{ user: {{}}, node: {{ relations: {{ next: [node] }} }} }}
facts: {{ node: {{ flags: [f] }} }}
roles: [ {{ at: [node], names: [r], bound_by: [user] }} ]
names: {{ n: {{ at: [node], is: '{open}up(next, n){close}' }} }}
permissions: {{ p: {{ at: [node], is: n }} }}
"
    ));
    let edges = (0..chain).map(|i| format!("node:n{i}#next@node:n{}", i + 1));
    let facts = (0..chain).map(|i| format!("node:n{i}#has@feature:f"));
    world.put(&edges.chain(facts).collect::<Vec<_>>());
    world.put(&[format!("node:n{chain}#r@user:ana")]);
    world
}

#[test]
fn no_model_and_no_tuples_overflow_the_stack() {
    // In an unoptimized build, on a test's thread of 2 MiB: worse than in the service.
    for (levels, chain) in [(1, 399), (3, 399), (6, 390), (14, 200), (28, 100), (28, 399)] {
        let limit = Err(EngineError::NestingExceeded { limit: 1_000 });
        assert_eq!(
            deep_world(levels, chain).check("user:ana p node:n0"),
            limit,
            "{levels} x {chain}"
        );
    }
    for (levels, chain) in [(1, 150), (14, 30), (28, 15)] {
        assert!(deep_world(levels, chain).allows("user:ana p node:n0"), "{levels} x {chain}");
    }
}

#[test]
fn densely_nested_groups_are_as_deep_as_their_shortest_way() {
    // `member` has a gate, so these sets are evaluated where they are bound, depth-first.
    let world = World::new(
        "
model: dense
types: { user: {}, group: {}, doc: {} }
facts: { group: { flags: [off] } }
roles:
  - { at: [group], names: [member], bound_by: [user, 'group#member'], gate: 'yes except fact(off)' }
  - { at: [doc], names: [viewer], bound_by: ['group#member'] }
permissions: { view: { at: [doc], is: viewer }, other: { at: [doc], is: 'yes except viewer' } }
",
    );
    let pairs = (0..60).flat_map(|a| (0..60).map(move |b| (a, b))).filter(|(a, b)| a != b);
    world.put(
        &pairs.map(|(a, b)| format!("group:g{a}#member@group:g{b}#member")).collect::<Vec<_>>(),
    );
    world.put(&["doc:d#viewer@group:g0#member"]);
    assert!(!world.allows("user:ana view doc:d"));
    assert!(world.allows("user:ana other doc:d"));
    world.put(&["group:g59#member@user:ana"]);
    assert!(world.allows("user:ana view doc:d"));
    assert!(!world.allows("user:ana other doc:d"));
}

#[test]
fn a_list_names_a_scope_that_is_its_own_subject_and_never_pretends_to_an_end() {
    let world = World::new(
        "
model: open
types: { user: {}, doc: {} }
facts: { user: { flags: [vip, blocked] } }
permissions:
  own: { at: [user], is: 'self or fact(vip)' }
  read: { at: [doc], is: 'yes except standing(blocked)' }
",
    );
    let list = |permission: &str, scope: &str| {
        let context = bailiwick::engine::CheckedContext::default();
        let list = world.pdp.read().list_subjects(permission, scope, "user", context).unwrap();
        list.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()
    };
    assert_eq!(list("own", "user:zoe"), Ok(vec!["user:zoe".to_owned()]));
    let endless = Err(EngineError::OpenList { subject_type: "user".into() });
    assert_eq!(list("read", "doc:d"), endless);
}

#[test]
fn a_wide_question_ends_in_an_error_not_in_a_long_wait() {
    let many = vec!["here(blocked)"; 300].join(" or ");
    let world = World::new(&MODEL.replace("is: reader }", &format!("is: 'reader or {many}' }}")));
    let wide: Vec<String> =
        (0..3_000).map(|i| format!("doc:root#reader@doc:n{i}#can_read")).collect();
    world.put(&wide);
    assert_eq!(
        world.check("user:ana read doc:root"),
        Err(EngineError::StepsExceeded { limit: 1_000_000 })
    );
}

#[test]
fn only_what_could_decide_is_missing() {
    let world = World::new(
        "
model: missing
types: { user: {}, group: {}, doc: {} }
conditions:
  hours: { parameters: { hour: int }, when: 'hour < 18' }
  network: { parameters: { ip: string }, when: 'ip == \"here\"' }
roles:
  - { at: [group], names: [member], bound_by: [user], conditions: [network] }
  - { at: [doc], names: [viewer], bound_by: [user, 'group#member'], conditions: [hours] }
permissions: { view: { at: [doc], is: viewer } }
",
    );
    let with = |text: &str, condition: &str| {
        let name = bailiwick::model::names::Name::parse(condition).unwrap();
        let condition =
            bailiwick::model::tuple::TupleCondition { name, context: Default::default() };
        let tuple = crate::support::tuple(text);
        let tuple = bailiwick::model::tuple::Tuple { condition: Some(condition), ..tuple };
        world.write(vec![bailiwick::pdp::WriteChange::Touch(tuple)]).unwrap();
    };
    with("group:far#member@user:ana", "network");
    with("doc:d#viewer@user:ana", "hours");
    world.put(&["doc:d#viewer@group:near#member", "doc:e#viewer@group:far#member"]);
    let missing = |question: &str| world.check(question).unwrap().missing().to_vec();
    assert_eq!(missing("user:ana view doc:d"), ["hour"]);
    assert_eq!(missing("user:ana view doc:e"), ["ip"]);
}
