//! Depth and steps are bounded, and a bound never looks like a denial.

use bailiwick::engine::EngineError;
use bailiwick::model::limits::{
    CHECK_STEPS_MAX, CONDITION_COST_MAX, CONDITION_COST_PER_STEP, DEPTH_MAX,
    EVALUATION_NESTING_MAX, OPEN_NAMES_MAX,
};

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
    assert_eq!(
        world.check("user:ana read doc:e"),
        Err(EngineError::DepthExceeded { limit: DEPTH_MAX })
    );
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
        Err(EngineError::DepthExceeded { limit: DEPTH_MAX })
    );
}

#[test]
fn a_short_way_counts_even_where_a_long_one_is_met_first() {
    // Computed sets are evaluated where they are bound, depth-first; the limit is on the shortest way.
    let world = World::new(MODEL);
    world.put(&nested("doc", "reader", "can_read", 0, 36));
    world.put(&["doc:g0#reader@user:ana"]);
    assert_eq!(
        world.check("user:ana read doc:g36"),
        Err(EngineError::DepthExceeded { limit: DEPTH_MAX })
    );
    assert_eq!(
        world.check("user:eve read doc:g36"),
        Err(EngineError::DepthExceeded { limit: DEPTH_MAX })
    );
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
        let limit = Err(EngineError::NestingExceeded { limit: EVALUATION_NESTING_MAX });
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
        Err(EngineError::StepsExceeded { limit: CHECK_STEPS_MAX })
    );
}

#[test]
fn anywhere_asks_of_no_set_that_stands_elsewhere() {
    // `org:c#staff` stands in a role of users. Were it asked for where organizations are looked
    // through, the right side of except would wait for its own left side, round after round.
    let world = World::new(
        "
model: elsewhere
types: { user: {}, group: {}, org: { parents: [org] }, doc: { relations: { home: [org] } } }
facts: { group: { one_of: { product: [pro, go] } } }
roles:
  - { at: [org], names: [admin], bound_by: [user], gate: 'standing(product:go)' }
  - { at: [org], names: [auditor], bound_by: [user, 'group#trusted'] }
  - { at: [user], names: [delegate], bound_by: ['org#staff'] }
names:
  trusted: { at: [group], is: 'fact(product:go)' }
  staff: { at: [org], is: '((here(auditor) or admin) and anywhere(org, auditor)) except up(parent, staff)' }
permissions:
  enter: { at: [org], is: '(up_all(parent, staff) and admin) or up(parent, enter)' }
  read: { at: [doc], is: 'up_all(home, enter)' }
",
    );
    world.put(&["org:b#parent@org:a", "org:c#parent@org:b", "org:c#admin@user:ana"]);
    world.put(&["org:a#auditor@user:ana", "org:b#auditor@group:g#trusted"]);
    world.put(&["doc:d#home@org:b", "doc:d#home@org:c"]);
    let before = world.check("user:ana read doc:d");
    world.put(&["user:bob#delegate@org:c#staff"]);
    assert_eq!(world.check("user:ana read doc:d"), before);
    assert!(!before.unwrap().is_allow());
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
  - { at: [group], names: [member], bound_by: [user], conditions: [network, hours] }
  - { at: [doc], names: [viewer, editor], bound_by: [user, 'group#member'], conditions: [hours] }
permissions: { view: { at: [doc], is: viewer }, any: { at: [doc], is: 'viewer or editor' } }
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
    // The same condition on the way to a group that nobody asks for, and on what is asked for.
    with("group:far#member@user:bob", "hours");
    with("doc:f#editor@user:bob", "hours");
    world.put(&["doc:f#viewer@group:near#member"]);
    assert_eq!(missing("user:bob any doc:f"), ["hour"]);
}

/// A chain of so many arrows, each step through an expression of two levels.
fn chain_world(chain: usize) -> World {
    let world = World::new(
        "
model: chain
types: { user: {}, node: { relations: { next: [node] } } }
roles: [ { at: [node], names: [r], bound_by: [user] } ]
names: { n: { at: [node], is: 'here(r) or up(next, n)' } }
permissions: { p: { at: [node], is: n } }
",
    );
    let edges = (0..chain).map(|i| format!("node:n{i}#next@node:n{}", i + 1));
    world.put(&edges.chain([format!("node:n{chain}#r@user:ana")]).collect::<Vec<_>>());
    world
}

#[test]
fn so_many_names_may_be_open_and_one_more_is_an_error_that_names_the_bound() {
    // Each node of the chain opens the name once.
    assert!(chain_world(OPEN_NAMES_MAX - 1).allows("user:ana p node:n0"));
    let over = chain_world(OPEN_NAMES_MAX).check("user:ana p node:n0");
    assert_eq!(over, Err(EngineError::NestingExceeded { limit: OPEN_NAMES_MAX }));
}

#[test]
fn so_many_expressions_may_be_open_and_one_more_is_an_error() {
    // Three levels a node: any, all, up. The question's name is one, the last node's any and here two.
    let most = (EVALUATION_NESTING_MAX - 3) / 3;
    assert!(deep_world(1, most).allows("user:ana p node:n0"));
    let over = deep_world(1, most + 1).check("user:ana p node:n0");
    assert_eq!(over, Err(EngineError::NestingExceeded { limit: EVALUATION_NESTING_MAX }));
}

#[test]
fn what_conditions_cost_counts_as_steps() {
    let world = |when: &str| {
        let world = World::new(&format!(
            "
model: dear
types: {{ user: {{}}, group: {{}}, doc: {{}} }}
conditions: {{ c: {{ parameters: {{ l: 'list<string>', h: int }}, when: \"{when}\" }} }}
roles:
  - {{ at: [group], names: [member], bound_by: [user] }}
  - {{ at: [doc], names: [viewer], bound_by: ['group#member'], conditions: [c] }}
permissions: {{ view: {{ at: [doc], is: viewer }} }}
"
        ));
        let mut changes = Vec::new();
        for i in 0..GROUPS {
            changes.push(crate::support::touch(&format!("group:g{i}#member@user:ana")));
            let values = serde_json::json!({ "h": i, "l": ["x"] });
            let condition = bailiwick::model::tuple::TupleCondition {
                name: bailiwick::model::names::Name::parse("c").unwrap(),
                context: serde_json::from_value(values).unwrap(),
            };
            let tuple = crate::support::tuple(&format!("doc:d#viewer@group:g{i}#member"));
            let tuple = bailiwick::model::tuple::Tuple { condition: Some(condition), ..tuple };
            changes.push(bailiwick::pdp::WriteChange::Touch(tuple));
        }
        world.write(changes).unwrap();
        world
    };
    // Never true, so that each of them is evaluated.
    const GROUPS: usize = 700;
    let cheap = world("h < 0");
    assert!(!cheap.allows("user:ana view doc:d"));
    // At most CONDITION_COST_MAX, or it would not load; so many of them are over the bound.
    let dear = world("l.all(x, x.startsWith('no') && x.endsWith('no') && x.contains('no'))");
    let steps = CONDITION_COST_MAX / CONDITION_COST_PER_STEP * GROUPS as u64;
    assert!(steps > CHECK_STEPS_MAX, "a condition of the highest cost would not be over");
    let over = dear.check("user:ana view doc:d");
    assert_eq!(over, Err(EngineError::StepsExceeded { limit: CHECK_STEPS_MAX }));
}

#[test]
fn what_the_groups_of_a_subject_cost_counts_as_steps() {
    let world = World::new(MODEL);
    let groups = |who: &str, count: usize| -> Vec<String> {
        (0..count).map(|i| format!("group:g{i}#member@user:{who}")).collect()
    };
    world.put(&[groups("few", 3), groups("many", 3_000)].concat());
    world.put(&["doc:d#reader@group:none#member"]);
    let asked = |question: &str, mut left: u64| {
        let words: Vec<_> = question.split(' ').collect();
        let reading = world.pdp.read();
        let context = bailiwick::engine::CheckedContext::default();
        let question = reading.question(words[0], words[1], words[2], context).unwrap();
        (reading.check_within(&question, false, &mut left), left)
    };
    let (few, left) = asked("user:few read doc:d", 1_000);
    assert!(!few.unwrap().unwrap().is_allow());
    assert!(left > 900, "{left}");
    assert_eq!(asked("user:many read doc:d", 3_000), (None, 0));
    let (many, left) = asked("user:many read doc:d", 4_000);
    assert!(!many.unwrap().unwrap().is_allow());
    assert!(left > 800, "{left}");
}

#[test]
fn within_any_number_of_steps_the_answer_is_the_same_or_none() {
    let world = World::new(MODEL);
    world.put(&["group:a#member@user:ana", "group:b#member@group:a#member"]);
    world.put(&["group:c#member@group:b#member", "doc:d#reader@group:c#member"]);
    world.put(&["doc:d#blocked@group:x#member", "doc:e#reader@user:ana", "org:o#admin@user:ana"]);
    world.put(&[
        "doc:e#blocked@group:b#member",
        "doc:f#parent@org:o",
        "doc:g#reader@doc:d#can_read",
    ]);
    for question in ["careful doc:d", "careful doc:e", "read doc:f", "read doc:g", "careful doc:g"]
    {
        let (permission, scope) = question.split_once(' ').unwrap();
        let reading = world.pdp.read();
        let context = bailiwick::engine::CheckedContext::default();
        let question = reading.question("user:ana", permission, scope, context).unwrap();
        let full = reading.check(&question, true);
        let mut none = 0;
        for steps in 0..200 {
            match reading.check_within(&question, true, &mut steps.clone()) {
                None => none += 1,
                Some(decided) => assert_eq!(decided, full, "{permission} {scope} in {steps}"),
            }
        }
        assert!((3..150).contains(&none), "{permission} {scope}: {none}");
    }
}

#[test]
fn what_looking_for_a_fact_costs_counts_as_steps() {
    // None of the parents has the fact, and nothing above them declares it: each test looks at them all.
    let tests = vec!["fact(f)"; 600].join(" or ");
    let world = World::new(&format!(
        "
model: facts
types: {{ user: {{}}, top: {{}}, org: {{}}, doc: {{ parents: {{ org: {{ many: true }} }} }} }}
facts: {{ top: {{ flags: [f] }} }}
permissions: {{ see: {{ at: [doc], is: '{tests}' }} }}
"
    ));
    let parents: Vec<String> = (0..2_000).map(|i| format!("doc:d#parent@org:o{i}")).collect();
    world.put(&parents);
    let over = world.check("user:ana see doc:d");
    assert_eq!(over, Err(EngineError::StepsExceeded { limit: CHECK_STEPS_MAX }));
}
