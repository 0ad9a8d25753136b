//! Contextual tuples without a wire: as if committed, refused as a commit would be, and gone afterwards.

use bailiwick::engine::{CheckedContext, ContextualError, Decision};
use bailiwick::index::{HierarchyError, Snapshot, check_parents_within};
use bailiwick::model::admission::NotAdmitted;
use bailiwick::model::limits::{CONTEXTUAL_TUPLES_MAX, CONTEXTUAL_WALK_TUPLES_MAX, DEPTH_MAX};
use bailiwick::model::names::Name;
use bailiwick::model::tuple::{Change, Context, Time, Tuple, TupleCondition};
use bailiwick::pdp::{Reading, TupleFilter, WriteChange, WriteError};

use crate::support::{World, model, touch, tuple};

const MODEL: &str = "
model: contextual
types:
  user: {}
  group: {}
  org: { parents: [org] }
  site: { parents: { org: { many: true, conditions: [office] } } }
facts: { org: { flags: [paid] } }
conditions:
  office: { parameters: { hour: int }, when: 'hour >= 8 && hour < 18' }
roles:
  - { at: [group], names: [member], bound_by: [user, 'group#member'] }
  - { at: [org], names: [admin], bound_by: [user, 'user:*', 'group#member'], conditions: [office] }
  - { at: [org], names: [barred], bound_by: [user] }
names: { staff: { at: [org], is: 'admin except barred' } }
permissions:
  act: { at: [org, site], is: 'staff or up(parent, staff)' }
  buy: { at: [org], is: 'admin and fact(paid)' }
  enter: { at: [group], is: 'anywhere(org, staff)' }
";

fn tuples(texts: &[&str]) -> Vec<Tuple> {
    texts.iter().map(|text| tuple(text)).collect()
}

fn with(world: &World, tuples: &[Tuple]) -> Reading {
    world.pdp.read().with_contextual(tuples).unwrap()
}

/// `question` is `subject permission scope`.
fn check(reading: &Reading, question: &str) -> Decision {
    let [subject, permission, scope] = question.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let context = CheckedContext::default();
    let question = reading.question(subject, permission, scope, context).unwrap();
    reading.check(&question, true).unwrap()
}

fn allows(world: &World, brought: &[&str], question: &str) -> bool {
    check(&with(world, &tuples(brought)), question).is_allow()
}

fn until(text: &str, end: i64) -> Tuple {
    Tuple { expires_at: Some(Time(end)), ..tuple(text) }
}

fn office(text: &str, stored: &[(&str, i64)]) -> Tuple {
    let context = stored.iter().map(|(name, hour)| ((*name).to_owned(), (*hour).into())).collect();
    let condition = TupleCondition { name: Name::parse("office").unwrap(), context };
    Tuple { condition: Some(condition), ..tuple(text) }
}

fn list(reading: &Reading, permission: &str, scope: &str) -> Vec<String> {
    let context = CheckedContext::default();
    let list = reading.list_subjects(permission, scope, "user", context).unwrap();
    list.filter_map(Result::transpose).collect::<Result<_, _>>().unwrap()
}

fn stored(world: &World) -> Vec<String> {
    let tuples = world.pdp.read().tuples(&TupleFilter::default()).unwrap();
    tuples.flatten().map(|tuple| tuple.key.to_string()).collect()
}

#[test]
fn every_kind_of_tuple_counts_as_if_it_were_stored() {
    let world = World::new(MODEL);
    world.put(&["org:a#admin@user:ana", "group:g#member@user:gil"]);
    let cases: [(&[&str], &str); 8] = [
        (&["org:b#admin@user:bob"], "user:bob act org:b"),
        (&["org:b#admin@user:*"], "user:nobody act org:b"),
        (&["org:b#parent@org:a"], "user:ana act org:b"),
        (&["org:c#parent@org:b", "org:b#parent@org:a"], "user:ana act org:c"),
        (&["org:a#admin@group:g#member"], "user:gil act org:a"),
        (
            &["org:a#admin@group:new#member", "group:new#member@group:g#member"],
            "user:gil act org:a",
        ),
        (&["org:a#has@feature:paid"], "user:ana buy org:a"),
        (&["org:b#admin@group:g#member"], "user:gil enter group:g"),
    ];
    for (brought, question) in cases {
        assert!(!world.allows(question), "{question}");
        assert!(allows(&world, brought, question), "{question} with {brought:?}");
        assert!(!world.allows(question), "{question}");
    }
    assert!(world.allows("user:ana act org:a"));
    assert!(!allows(&world, &["org:a#barred@user:ana"], "user:ana act org:a"));
}

#[test]
fn a_tuple_stands_in_the_place_of_the_stored_one_of_its_identity() {
    let world = World::new(MODEL);
    world.clock.set(100);
    world.put(&["org:a#admin@user:ana", "org:b#admin@group:g#member", "group:g#member@user:ana"]);
    world.put(&["org:c#parent@org:a"]);
    let denied = |brought: Tuple, question: &str| {
        assert!(world.allows(question), "{question}");
        assert!(!check(&with(&world, &[brought]), question).is_allow(), "{question}");
    };
    denied(until("org:a#admin@user:ana", 100), "user:ana act org:a");
    denied(office("org:a#admin@user:ana", &[]), "user:ana act org:a");
    denied(office("org:a#admin@user:ana", &[("hour", 20)]), "user:ana act org:a");
    denied(until("org:b#admin@group:g#member", 1), "user:ana act org:b");
    denied(until("group:g#member@user:ana", 1), "user:ana act org:b");
    denied(until("org:c#parent@org:a", 1), "user:ana act org:c");
    // Another source is another identity: the stored one counts beside it.
    let mut elsewhere = until("org:a#admin@user:ana", 1);
    elsewhere.key.source = "hr".into();
    assert!(check(&with(&world, &[elsewhere.clone()]), "user:ana act org:a").is_allow());
    elsewhere.expires_at = None;
    let both = [elsewhere, until("org:a#admin@user:ana", 1)];
    assert!(check(&with(&world, &both), "user:ana act org:a").is_allow());
    // And the other way round: what has expired is there again.
    world.write(vec![WriteChange::Touch(until("org:d#admin@user:ana", 50))]).unwrap();
    assert!(!world.allows("user:ana act org:d"));
    let longer = until("org:d#admin@user:ana", 101);
    assert!(check(&with(&world, &[longer]), "user:ana act org:d").is_allow());
    let held = office("org:d#admin@user:ana", &[("hour", 9)]);
    assert!(check(&with(&world, &[held]), "user:ana act org:d").is_allow());
}

#[test]
fn the_grant_and_what_is_missing_may_come_from_a_contextual_tuple() {
    let world = World::new(MODEL);
    world.put(&["org:a#admin@user:eve"]);
    let brought = Tuple { reason: "on call".into(), ..tuple("org:a#admin@user:ana") };
    let decision = check(&with(&world, std::slice::from_ref(&brought)), "user:ana act org:a");
    assert_eq!(decision.grant().unwrap().tuple, brought);
    let decision =
        check(&with(&world, &[office("org:a#admin@user:bob", &[])]), "user:bob act org:a");
    assert_eq!(decision.missing(), ["hour"]);
}

#[test]
fn a_list_names_those_too_whom_only_contextual_tuples_name() {
    let world = World::new(MODEL);
    world.put(&["org:a#admin@user:b", "org:a#admin@user:d", "org:a#admin@group:g#member"]);
    world.put(&["group:g#member@user:f"]);
    let brought = ["org:a#admin@user:c", "group:g#member@user:a", "group:h#member@user:z"];
    let reading = with(&world, &tuples(&brought));
    let expected = ["user:a", "user:b", "user:c", "user:d", "user:f"];
    assert_eq!(list(&reading, "act", "org:a"), expected);
    let reading = with(&world, &[until("org:a#admin@user:b", 0), tuple("org:a#barred@user:d")]);
    assert_eq!(list(&reading, "act", "org:a"), ["user:f"]);
    // A scope that nothing stored names.
    let reading = with(&world, &tuples(&["site:new#parent@org:a"]));
    assert_eq!(list(&reading, "act", "site:new"), ["user:b", "user:d", "user:f"]);
    // Where all of the type may, those are told whom only the request names.
    let reading = with(&world, &tuples(&["org:b#admin@user:*", "org:b#barred@user:y"]));
    let everyone = list(&reading, "enter", "group:g");
    assert_eq!(everyone, ["user:*", "user:b", "user:d", "user:f"]);
    assert_eq!(list(&world.pdp.read(), "act", "org:a"), ["user:b", "user:d", "user:f"]);
}

#[test]
fn readings_side_by_side_see_their_own_and_nothing_remains() {
    let world = World::new(MODEL);
    world.put(&["org:a#admin@user:ana"]);
    let (before, token) = (stored(&world), world.pdp.read().token().clone());
    std::thread::scope(|scope| {
        for at in 0..8 {
            let world = &world;
            scope.spawn(move || {
                for round in 0..50 {
                    let (own, other) = (format!("user:u{at}"), format!("user:u{}", (at + 1) % 8));
                    let brought = format!("org:o{round}#admin@{own}");
                    let reading = with(world, &tuples(&[&brought]));
                    let ask = |user: &str| format!("{user} act org:o{round}");
                    assert!(check(&reading, &ask(&own)).is_allow());
                    assert!(!check(&reading, &ask(&other)).is_allow());
                    assert_eq!(list(&reading, "act", &format!("org:o{round}")), [own]);
                    assert_eq!(reading.tuple_count(), 1);
                    let tuples = reading.tuples(&TupleFilter::default()).unwrap();
                    assert_eq!(tuples.flatten().count(), 1, "it is not read as if stored");
                }
            });
        }
    });
    assert_eq!(stored(&world), before);
    assert_eq!(world.pdp.read().tuple_count(), 1);
    assert_eq!(*world.pdp.read().token(), token);
    assert!(!world.allows("user:u0 act org:o0"));
    // Names that questions brought along have no ids: what is stored later gets what is due to it.
    world.put(&["org:o0#admin@user:new"]);
    assert!(world.allows("user:new act org:o0") && !world.allows("user:u0 act org:o0"));
    assert_eq!(list(&world.pdp.read(), "act", "org:o0"), ["user:new"]);
}

fn refused(world: &World, brought: &[Tuple]) -> ContextualError {
    world.pdp.read().with_contextual(brought).unwrap_err()
}

/// The error that a commit of the same tuples ends in must be the same.
fn refused_like_a_commit(world: &World, brought: &[&str]) -> ContextualError {
    let error = refused(world, &tuples(brought));
    let commit = world.write(brought.iter().map(|text| touch(text)).collect()).unwrap_err();
    let said = error.to_string();
    let said = said.split_once(": ").map_or(said.as_str(), |(_, said)| said);
    assert!(
        commit.to_string().ends_with(said) || matches!(commit, WriteError::Repeated { .. }),
        "{commit} against {said}"
    );
    error
}

#[test]
fn what_a_commit_refuses_is_refused() {
    use ContextualError::{Hierarchy, NotAdmitted as Misfit, Repeated};
    let world = World::new(MODEL);
    world.put(&["org:b#parent@org:a", "org:c#parent@org:b", "group:g#member@group:g#member"]);
    for (brought, position) in [
        (&["org:a#admn@user:ana"][..], 0),
        (&["ogr:a#admin@user:ana"], 0),
        (&["org:a#admin@user:ana", "org:a#admin@org:b"], 1),
        (&["org:a#admin@group:g#lead"], 0),
        (&["org:a#barred@user:*"], 0),
        (&["org:a#has@feature:free"], 0),
        (&["site:s#parent@site:t"], 0),
    ] {
        let error = refused_like_a_commit(&world, brought);
        assert!(matches!(error, Misfit { position: at, .. } if at == position), "{error}");
        assert!(error.to_string().starts_with(&format!("contextual_tuples[{position}]")));
    }
    let twice = ["org:a#admin@user:ana", "org:a#admin@user:bob", "org:a#admin@user:ana"];
    let error = refused_like_a_commit(&world, &twice);
    assert!(matches!(error, Repeated { position: 2, .. }), "{error}");
    // A circle through what is stored, and one among the tuples themselves.
    let error = refused_like_a_commit(&world, &["org:a#parent@org:c"]);
    assert_eq!(
        error.to_string(),
        "contextual_tuples[0]: `org:a#parent@org:c` makes a circle of parents: \
         org:a -> org:c -> org:b -> org:a"
    );
    let error = refused_like_a_commit(&world, &["org:x#parent@org:y", "org:y#parent@org:x"]);
    assert!(matches!(error, Hierarchy { error: HierarchyError::Cycle { .. }, .. }), "{error}");
    let error = refused_like_a_commit(&world, &["org:q#admin@user:ana", "org:b#parent@org:z"]);
    assert!(
        matches!(&error, Hierarchy { position: 1, error: HierarchyError::SecondParent { other, .. } }
            if other == "org:a"),
        "{error}"
    );
    // A condition that may not stand there, and stored values that do not fit.
    for wrong in
        [office("org:a#barred@user:ana", &[]), office("org:a#admin@user:ana", &[("huor", 9)])]
    {
        let error = refused(&world, &[wrong]);
        let Misfit { position: 0, error } = error else { panic!("{error}") };
        assert!(matches!(*error, NotAdmitted::Condition(_)), "{error}");
    }
    let mut noon = office("org:a#admin@user:ana", &[]);
    let context: Context = [("hour".to_owned(), "noon".into())].into();
    noon.condition.as_mut().unwrap().context = context;
    assert_eq!(
        refused(&world, &[noon]).to_string(),
        "contextual_tuples[0].condition.context: `\"noon\"` does not fit the parameter `hour`: expected int"
    );
}

#[test]
fn a_parent_may_be_moved_by_hiding_the_stored_one() {
    let world = World::new(MODEL);
    world.put(&["org:b#parent@org:a", "org:z#admin@user:ana"]);
    let moved = [until("org:b#parent@org:a", -1), tuple("org:b#parent@org:z")];
    assert!(check(&with(&world, &moved), "user:ana act org:b").is_allow());
    // An edge that has expired breaks no rule.
    with(&world, &[until("org:b#parent@org:z", -1), until("org:a#parent@org:b", -1)]);
}

#[test]
fn chains_of_stored_and_contextual_parents_are_at_most_32_deep() {
    let world = World::new(MODEL);
    let chain: Vec<String> =
        (0..20).map(|at| format!("org:o{at}#parent@org:o{}", at + 1)).collect();
    world.put(&chain);
    let above = |count: usize| -> Vec<Tuple> {
        let edges = (20..20 + count).map(|at| format!("org:o{at}#parent@org:o{}", at + 1));
        edges.map(|text| tuple(&text)).collect()
    };
    with(&world, &above(DEPTH_MAX - 20));
    let error = refused(&world, &above(DEPTH_MAX - 19));
    let ContextualError::Hierarchy { error: HierarchyError::TooDeep { depth: 33, .. }, .. } = error
    else {
        panic!("{error}")
    };
    // The same from below.
    let mut both = above(DEPTH_MAX - 20);
    both.push(tuple("org:below#parent@org:o0"));
    assert!(matches!(
        refused(&world, &both),
        ContextualError::Hierarchy { error: HierarchyError::TooDeep { .. }, .. }
    ));
}

#[test]
fn a_hundred_tuples_and_no_more() {
    let world = World::new(MODEL);
    let many = |count: usize| -> Vec<Tuple> {
        (0..count).map(|at| tuple(&format!("org:o{at}#admin@user:ana"))).collect()
    };
    let reading = with(&world, &many(CONTEXTUAL_TUPLES_MAX));
    assert!(check(&reading, "user:ana act org:o99").is_allow());
    assert_eq!(
        refused(&world, &many(CONTEXTUAL_TUPLES_MAX + 1)),
        ContextualError::TooMany { count: 101, limit: 100 }
    );
    assert_eq!(CONTEXTUAL_TUPLES_MAX, 100);
}

#[test]
fn a_question_does_not_walk_all_that_lies_below_a_contextual_parent() {
    let model = std::sync::Arc::new(model(MODEL));
    let mut snapshot = Snapshot::empty(model);
    let put = |snapshot: &mut Snapshot, text: &str| {
        snapshot.apply(&Change::Put(tuple(text))).unwrap();
    };
    // The edge is one of those that are looked at.
    for at in 1..CONTEXTUAL_WALK_TUPLES_MAX {
        put(&mut snapshot, &format!("site:s{at}#parent@org:a"));
    }
    let above = [tuple("org:a#parent@org:top")];
    let merge = |snapshot: &Snapshot| bailiwick::engine::with_contextual(snapshot, &above, Time(0));
    merge(&snapshot).unwrap();
    put(&mut snapshot, "site:more#parent@org:a");
    let error = merge(&snapshot).unwrap_err();
    let ContextualError::Hierarchy { position: 0, error: HierarchyError::TooLarge { limit, .. } } =
        error
    else {
        panic!("{error}")
    };
    assert_eq!(limit, CONTEXTUAL_WALK_TUPLES_MAX);
    // Below what is new nothing lies.
    let site = [tuple("site:new#parent@org:a")];
    bailiwick::engine::with_contextual(&snapshot, &site, Time(0)).unwrap();
    // A commit's bound is another.
    put(&mut snapshot, "org:a#parent@org:top");
    let keys = || above.iter().map(|tuple| &tuple.key);
    assert!(check_parents_within(&snapshot, keys(), Time(0), usize::MAX).is_ok());
}
