//! Where somebody is assigned: bounds that end in errors, and ways that the random worlds seldom take.

use bailiwick::engine::{CheckedContext, EngineError, RolesQuestion};
use bailiwick::model::limits::{CHECK_STEPS_MAX, DEPTH_MAX};
use bailiwick::model::names::Name;
use bailiwick::model::tuple::{Tuple, TupleCondition};
use bailiwick::pdp::WriteChange;

use crate::support::{World, tuple};

const MODEL: &str = "
model: assigned
types:
  user: {}
  group: {}
  org: { parents: { org: { acyclic: false, many: true } } }
  doc: { parents: [org], relations: { owner: [org] } }
conditions:
  dear: { parameters: { l: list<string> }, when: 'l.all(x, x.startsWith(\"no\") && x.endsWith(\"no\") && x.contains(\"no\"))' }
roles:
  - { at: [group], names: [member], bound_by: [user, 'group#member'], conditions: [dear] }
  - { at: [org], names: [admin], bound_by: [user, org, 'group#member'] }
  - { at: [doc], names: [reader], bound_by: [user, org, 'group#member', 'doc#can_read'] }
names: { can_read: { at: [doc], is: 'reader' } }
";

fn list(world: &World, subject: &str, scope: &str) -> Result<Vec<String>, EngineError> {
    let reading = world.pdp.read();
    let context = CheckedContext::default();
    let asked = RolesQuestion::parse(reading.model(), subject, scope, context).unwrap();
    let list = reading.list_roles(asked)?.filter_map(Result::transpose);
    list.map(|entry| entry.map(|entry| format!("{}#{}", entry.scope, entry.role))).collect()
}

#[test]
fn a_subject_that_much_is_below_is_asked_for_its_own_roles_alone() {
    let world = World::new(MODEL);
    world.put(&["doc:d#parent@org:a", "doc:d#owner@org:a", "doc:e#parent@org:a"]);
    world.put(&["doc:d#reader@org:a", "org:b#admin@org:a", "org:b#parent@org:a"]);
    assert_eq!(list(&world, "org:a", ""), Ok(vec!["doc:d#reader".into(), "org:b#admin".into()]));
    assert_eq!(list(&world, "org:a", "doc:d"), Ok(vec!["doc:d#reader".into()]));
    assert_eq!(list(&world, "feature:x", ""), Ok(Vec::new()));
}

#[test]
fn a_circle_of_parents_is_climbed_once() {
    let world = World::new(MODEL);
    world.put(&["org:a#parent@org:b", "org:b#parent@org:c", "org:c#parent@org:a"]);
    world.put(&["org:c#admin@user:ana", "org:a#admin@user:ana", "doc:d#parent@org:b"]);
    let both = vec!["org:a#admin".to_owned(), "org:c#admin".into()];
    for scope in ["", "org:a", "org:b", "doc:d"] {
        assert_eq!(list(&world, "user:ana", scope), Ok(both.clone()), "{scope}");
    }
}

#[test]
fn groups_that_cost_too_much_to_look_at_are_an_error_unless_they_play_no_part() {
    let world = World::new(MODEL);
    // What a condition counts for is what it may cost, whatever its values are.
    let values = vec!["no"];
    let member = |i: usize| {
        let context = [("l".to_owned(), values.clone().into())].into_iter().collect();
        let condition = TupleCondition { name: Name::parse("dear").unwrap(), context };
        let tuple = tuple(&format!("group:g{i:03}#member@user:ana"));
        WriteChange::Touch(Tuple { condition: Some(condition), ..tuple })
    };
    world.write((0..700).map(member).collect()).unwrap();
    world.put(&["doc:d#reader@user:ana", "doc:e#reader@group:g699#member"]);
    let over = Err(EngineError::StepsExceeded { limit: CHECK_STEPS_MAX });
    assert_eq!(list(&world, "user:ana", ""), over);
    assert_eq!(list(&world, "user:ana", "doc:d"), Ok(vec!["doc:d#reader".into()]));
    assert_eq!(list(&world, "user:ana", "doc:e"), over);
    assert_eq!(list(&world, "user:bob", ""), Ok(Vec::new()));
}

#[test]
fn what_is_listed_before_a_limit_stands_and_the_error_ends_the_list() {
    let world = World::new(MODEL);
    world.put(&["doc:a#reader@user:ana", "doc:n0#reader@user:ana", "doc:z#reader@user:ana"]);
    let nest = |i: usize| format!("doc:n{i}#reader@doc:n{}#can_read", i - 1);
    world.put(&(1..=DEPTH_MAX + 1).map(nest).collect::<Vec<_>>());
    let deep = EngineError::DepthExceeded { limit: DEPTH_MAX };
    assert_eq!(list(&world, "user:ana", ""), Err(deep.clone()));
    let reading = world.pdp.read();
    let context = CheckedContext::default();
    let asked = RolesQuestion::parse(reading.model(), "user:ana", "", context).unwrap();
    let mut list = reading.list_roles(asked).unwrap();
    let first = list.next().unwrap().unwrap().unwrap();
    assert_eq!((&*first.scope, first.role.as_str()), ("doc:a", "reader"));
    let last = list.by_ref().find_map(Result::err);
    assert_eq!((last, list.next()), (Some(deep), None));
}

#[test]
fn more_above_a_scope_than_a_question_may_look_at_is_an_error() {
    // A condition that counts for thousands of steps stands on every edge.
    let world = World::new(&MODEL.replace("many: true }", "many: true, conditions: [dear] }"));
    let edge = |i: usize| {
        let context = [("l".to_owned(), vec!["no"].into())].into_iter().collect();
        let condition = TupleCondition { name: Name::parse("dear").unwrap(), context };
        let tuple = tuple(&format!("org:a#parent@org:p{i:03}"));
        WriteChange::Touch(Tuple { condition: Some(condition), ..tuple })
    };
    world.put(&["org:p001#admin@user:ana", "org:a#admin@user:ana"]);
    world.write((0..3).map(edge).collect()).unwrap();
    let few = vec!["org:a#admin".to_owned(), "org:p001#admin".into()];
    assert_eq!(list(&world, "user:ana", "org:a"), Ok(few.clone()));
    world.write((3..700).map(edge).collect()).unwrap();
    let over = Err(EngineError::StepsExceeded { limit: CHECK_STEPS_MAX });
    assert_eq!(list(&world, "user:ana", "org:a"), over);
    assert_eq!(list(&world, "user:ana", ""), Ok(few));
}
