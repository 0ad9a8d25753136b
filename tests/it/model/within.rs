//! `within(target)` is made where it is asked, and nowhere else stands in a model's way.

use super::support::problems;
use crate::support::World;

/// The owner of a folder may be whoever is linked with an administrator: a role that may not stand under
/// the right side of `except`, as the target's roles do in `within(target)`.
const MODEL: &str = "
model: within
types:
  user: {}
  person: { relations: { account: [user] } }
  org: {}
  folder: {}
roles:
  - { at: [org], names: [admin, guest], bound_by: [user] }
  - { at: [folder], names: [owner], bound_by: [user, 'org#kin'] }
names: { kin: { at: [org], is: 'as(account, admin)' } }
permissions:
  edit: { at: [org], is: 'admin and within(target)' }
  open: { at: [folder], is: 'owner' }
";

#[test]
fn a_role_of_a_type_where_it_is_not_asked_may_depend_on_links() {
    let world = World::new(MODEL);
    world.put(&["org:a#admin@user:ana", "org:a#admin@user:bob", "org:a#guest@user:cy"]);
    world.put(&["folder:f#owner@org:a#kin", "person:p#account@user:bob"]);
    world.put(&["person:p#account@user:bo2"]);
    assert!(world.allows("user:bo2 open folder:f") && !world.allows("user:cy open folder:f"));
    let may = |subject: &str, target: &str| {
        let reading = world.pdp.read();
        let context = bailiwick::engine::CheckedContext::default();
        let question = reading.question(subject, "edit", "org:a", context).unwrap();
        let question = question.with_target(reading.model(), target).unwrap();
        reading.check(&question, false).unwrap().is_allow()
    };
    assert!(may("user:ana", "user:bob"));
    assert!(!may("user:ana", "user:cy") && !may("user:ana", "user:dee"));
}

#[test]
fn where_it_is_asked_a_role_that_depends_on_links_is_refused() {
    let text = MODEL.replace("is: 'owner' }", "is: 'owner and within(target)' }");
    let problems = problems(&text, "");
    assert!(problems.contains("under the right side of `except`"), "{problems}");
}
