//! `as(link, ...)` in the engine: what a subject may through those linked with it, who is listed for it,
//! what is told of it, and that no number of links is too many for the stack or the clock.

use bailiwick::engine::EngineError;
use bailiwick::model::limits::{ASKED_OF_ANOTHER_NESTING, CHECK_STEPS_MAX, EVALUATION_NESTING_MAX};

use crate::support::{World, delete, touch, tuple};

const MODEL: &str = "
model: linked
types:
  user: {}
  bot: {}
  group: {}
  person: { relations: { account: { to: [user, bot], conditions: [office] } } }
  doc: {}
facts: { user: { flags: [vip] } }
conditions:
  office: { parameters: { hour: int }, when: 'hour < 18' }
  inside: { parameters: { network: string }, when: 'network == \"office\"' }
roles:
  - { at: [group], names: [member], bound_by: [user, bot], conditions: [inside] }
  - { at: [doc], names: [viewer], bound_by: [user, 'bot:*', 'group#member'] }
  - { at: [doc], names: [boss], bound_by: [user, 'doc#clerk'] }
names:
  clerk: { at: [doc], is: 'as(account, viewer)' }
permissions:
  read: { at: [doc], is: 'as(account, viewer)' }
  own: { at: [doc], is: viewer }
  far: { at: [doc], is: 'viewer or as(account, far)' }
  twice: { at: [doc], is: 'as(account, as(account, viewer))' }
  lead: { at: [doc], is: boss }
  praise: { at: [doc], is: 'as(account, standing(vip))' }
  meet: { at: [doc], is: 'as(account, viewer) and of(target, as(account, viewer))' }
  profile: { at: [user], is: 'as(account, self)' }
";

fn list(
    world: &World,
    permission: &str,
    scope: &str,
    of: &str,
) -> Result<Vec<String>, EngineError> {
    let context = bailiwick::engine::CheckedContext::default();
    let list = world.pdp.read().list_subjects(permission, scope, of, context).unwrap();
    list.filter_map(Result::transpose).collect()
}

#[test]
fn a_linked_account_gives_what_it_has_and_is_named_as_the_grant() {
    let world = World::new(MODEL);
    world.put(&["person:p#account@user:ana", "person:p#account@user:bob", "doc:d#viewer@user:bob"]);
    assert!(world.allows("user:ana read doc:d") && world.allows("user:bob read doc:d"));
    assert!(!world.allows("user:ana own doc:d") && !world.allows("user:cy read doc:d"));
    let decision = world.check("user:ana read doc:d").unwrap();
    assert_eq!(decision.grant().unwrap().tuple, tuple("doc:d#viewer@user:bob"));
    // A link that is taken away gives nothing any more.
    world.write(vec![delete("person:p#account@user:ana")]).unwrap();
    assert!(!world.allows("user:ana read doc:d"));
}

#[test]
fn what_is_missing_for_a_linked_account_is_told_and_nothing_else() {
    let world = World::new(MODEL);
    let under = |text: &str, name: &str| {
        let name = bailiwick::model::names::Name::parse(name).unwrap();
        let context = Default::default();
        let condition = Some(bailiwick::model::tuple::TupleCondition { name, context });
        let tuple = bailiwick::model::tuple::Tuple { condition, ..tuple(text) };
        world.write(vec![bailiwick::pdp::WriteChange::Touch(tuple)]).unwrap();
    };
    under("group:g#member@user:bob", "inside");
    world.put(&["person:p#account@user:ana", "person:p#account@user:bob"]);
    world.put(&["doc:d#viewer@group:g#member", "doc:e#viewer@user:bob"]);
    under("person:q#account@user:cy", "office");
    world.put(&["person:q#account@user:bob"]);
    let missing = |question: &str| world.check(question).unwrap().missing().to_vec();
    assert_eq!(missing("user:ana read doc:d"), ["network"]);
    assert_eq!(missing("user:ana own doc:d"), Vec::<String>::new());
    assert_eq!(missing("user:cy read doc:e"), ["hour"]);
    assert_eq!(missing("user:cy read doc:d"), ["hour", "network"]);
    assert_eq!(missing("user:ana meet doc:e"), ["target"]);
}

#[test]
fn those_who_may_through_a_link_alone_are_listed() {
    let world = World::new(MODEL);
    world.put(&["person:p#account@user:ana", "person:p#account@user:bob"]);
    world.put(&[
        "person:q#account@user:bob",
        "person:q#account@bot:x",
        "person:r#account@user:eve",
    ]);
    world.put(&["doc:d#viewer@user:ana", "doc:e#viewer@bot:*", "doc:s#boss@doc:d#clerk"]);
    assert_eq!(list(&world, "read", "doc:d", "user").unwrap(), ["user:ana", "user:bob"]);
    assert_eq!(list(&world, "own", "doc:d", "user").unwrap(), ["user:ana"]);
    assert_eq!(list(&world, "read", "doc:d", "bot").unwrap(), Vec::<String>::new());
    assert_eq!(list(&world, "twice", "doc:d", "bot").unwrap(), ["bot:x"]);
    assert_eq!(list(&world, "far", "doc:d", "bot").unwrap(), ["bot:x"]);
    // All of another type may: whoever is linked with one of them, and nobody else.
    assert_eq!(list(&world, "read", "doc:e", "user").unwrap(), ["user:bob"]);
    assert_eq!(list(&world, "read", "doc:e", "bot").unwrap(), ["bot:*", "bot:x"]);
    // Through a subject set whose name asks linked accounts.
    assert_eq!(list(&world, "lead", "doc:s", "user").unwrap(), ["user:ana", "user:bob"]);
    assert_eq!(list(&world, "profile", "user:ana", "user").unwrap(), ["user:ana", "user:bob"]);
    assert_eq!(list(&world, "profile", "user:new", "user").unwrap(), ["user:new"]);
    world.put(&["user:ana#has@feature:vip"]);
    assert_eq!(list(&world, "praise", "doc:d", "user").unwrap(), ["user:ana", "user:bob"]);
    // A list names no target.
    assert_eq!(list(&world, "meet", "doc:d", "user").unwrap(), Vec::<String>::new());
}

/// Users in a row, each linked with the next by a person of their own; the last is a viewer.
fn chain(world: &World, length: usize) {
    let links = (0..length).flat_map(|i| {
        [format!("person:p{i}#account@user:u{i}"), format!("person:p{i}#account@user:u{}", i + 1)]
    });
    world.put(&links.chain([format!("doc:d#viewer@user:u{length}")]).collect::<Vec<_>>());
}

#[test]
fn a_chain_of_links_ends_at_the_bound_with_an_error() {
    // Three levels a link, any, as and ref, and what asking another subject counts for.
    let most = EVALUATION_NESTING_MAX / (3 + ASKED_OF_ANOTHER_NESTING);
    let world = World::new(MODEL);
    chain(&world, most - 3);
    assert!(world.allows("user:u0 far doc:d"));
    let world = World::new(MODEL);
    chain(&world, most + 1);
    let over = world.check("user:u0 far doc:d");
    assert_eq!(over, Err(EngineError::NestingExceeded { limit: EVALUATION_NESTING_MAX }));
    // Whoever is near enough to it is not kept from it.
    assert!(world.allows("user:u100 far doc:d"));
}

#[test]
fn no_chain_of_links_overflows_the_stack() {
    for (levels, length) in [(1, 399), (10, 100), (20, 100)] {
        let (open, close) = ("(viewer or (standing(vip) and ".repeat(levels), "))".repeat(levels));
        let deep = format!("far: {{ at: [doc], is: '{open}as(account, far){close}' }}");
        let world = World::new(
            &MODEL.replace("far: { at: [doc], is: 'viewer or as(account, far)' }", &deep),
        );
        let vip = (0..length).map(|i| format!("user:u{i}#has@feature:vip"));
        world.put(&vip.collect::<Vec<_>>());
        chain(&world, length);
        let limit = Err(EngineError::NestingExceeded { limit: EVALUATION_NESTING_MAX });
        assert_eq!(world.check("user:u0 far doc:d"), limit, "{levels} x {length}");
    }
}

#[test]
fn many_accounts_are_looked_through_and_too_many_are_an_error() {
    let world = World::new(MODEL);
    let accounts = |from: usize, to: usize| {
        let changes = (from..to).map(|i| touch(&format!("person:p#account@user:u{i}"))).collect();
        world.write(changes).unwrap();
    };
    accounts(0, 2_000);
    world.put(&["doc:d#viewer@user:u1999"]);
    assert!(world.allows("user:u0 read doc:d"));
    assert!(!world.allows("user:u0 read doc:e"));
    // Each asks all the others: the square of them.
    assert_eq!(
        world.check("user:u0 twice doc:e"),
        Err(EngineError::StepsExceeded { limit: CHECK_STEPS_MAX })
    );
}
