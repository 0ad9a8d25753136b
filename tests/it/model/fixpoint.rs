//! The rule that a fixpoint must exist: which models are refused, and which are not.

use super::support::problems;

fn with(extra: &str) -> String {
    let yaml = format!(
        "model: m
types:
  user: {{}}
  group: {{}}
  org:
    parents: {{ org: {{ roles_pass: false }} }}
    relations: {{ partner: [org] }}
  loop: {{ parents: {{ loop: {{ acyclic: false }} }} }}
{extra}"
    );
    problems(&yaml, "")
}

#[test]
fn sound_models_are_accepted() {
    for extra in [
        // Below a stratum that is complete: nothing leads back.
        "roles: [ { at: [org], names: [admin, banned] } ]
names: { ok: { at: [org], is: admin except banned } }",
        // Positive recursion, also through subject sets.
        "roles: [ { at: [group], names: [member], bound_by: [user, 'group#member'] } ]
names: { a: { at: [org], is: 'b or up(partner, a)' }, b: { at: [org], is: a } }",
        // The exception: every turn goes up an acyclic relation.
        "names: { even: { at: [org], is: 'yes except up(parent, even)' } }",
        "names:
  a: { at: [org], is: yes except b }
  b: { at: [org], is: 'up(parent, a) or self' }",
        // Positive recursion over links, and an `as` on the left side.
        "roles: [ { at: [org], names: [admin, banned] } ]
names: { a: { at: [org], is: '(admin or as(partner, a)) except banned' } }",
        // Of the target, and of a role: neither leads back.
        "roles: [ { at: [org], names: [admin] } ]
names: { a: { at: [org], is: 'within(target) except of(target, admin)' } }",
        // The right side is another type's name of the same text.
        "names: { x: { at: [org], is: 'yes except up(partner, y)' }, y: { at: [loop], is: self } }",
    ] {
        assert_eq!(with(extra), "no problem", "{extra}");
    }
}

#[test]
fn a_name_may_not_depend_on_itself_through_the_right_side_of_except() {
    for (extra, expected) in [
        (
            "names: { a: { at: [org], is: yes except a } }",
            "model.yaml:9:10: `a@org` depends on itself through the right side of `except`: \
             a@org -> a@org",
        ),
        // Refs alone: the up step is on another way round.
        (
            "names:
  a: { at: [org], is: yes except b }
  b: { at: [org], is: 'a or up(parent, a)' }",
            "model.yaml:10:3: `a@org` depends on itself through the right side of `except`: \
             a@org -> b@org -> a@org",
        ),
        // An arrow may form a cycle, and so may a parent relation that opts out.
        (
            "names: { a: { at: [org], is: 'yes except up(partner, a)' } }",
            "model.yaml:9:10: `a@org` depends on itself through the right side of `except`: \
             a@org -> a@org",
        ),
        (
            "names: { a: { at: [loop], is: 'yes except up(parent, a)' } }",
            "model.yaml:9:10: `a@loop` depends on itself through the right side of `except`: \
             a@loop -> a@loop",
        ),
        (
            "names: { a: { at: [org], is: 'yes except up_all(parent, a)' } }",
            "model.yaml:9:10: `a@org` depends on itself through the right side of `except`: \
             a@org -> a@org",
        ),
        // Left of the inner except is still under the right side of the outer one.
        (
            "names: { a: { at: [org], is: yes except (a except self) } }",
            "model.yaml:9:10: `a@org` depends on itself through the right side of `except`: \
             a@org -> a@org",
        ),
        // Through who may be bound to a role.
        (
            "roles: [ { at: [org], names: [guest], bound_by: ['org#welcome'] } ]
names: { welcome: { at: [org], is: yes except guest } }",
            "model.yaml:10:10: `welcome@org` depends on itself through the right side of \
             `except`: welcome@org -> guest@org -> welcome@org",
        ),
        // Anywhere looks at everybody bound to any role of the type.
        (
            "roles: [ { at: [org], names: [guest], bound_by: ['group#welcome'] } ]
names:
  self_made: { at: [org], is: self }
  welcome: { at: [group], is: 'yes except anywhere(org, self_made)' }",
            "model.yaml:12:3: `welcome@group` depends on itself through the right side of \
             `except`: welcome@group -> guest@org -> welcome@group",
        ),
        // A gate is part of what it gates.
        (
            "roles: [ { at: [org], names: [guest], gate: yes except p } ]
permissions: { p: { at: [org], is: guest } }",
            "model.yaml:9:31: `guest@org` depends on itself through the right side of `except`: \
             guest@org -> p@org -> guest@org",
        ),
    ] {
        assert_eq!(with(extra), expected, "{extra}");
    }
}

#[test]
fn asking_somebody_else_is_no_way_round_the_rule() {
    for (extra, expected) in [
        // Of linked subjects.
        (
            "roles: [ { at: [org], names: [admin] } ]
names:
  a: { at: [org], is: 'as(partner, b)' }
  b: { at: [org], is: yes except a }",
            "model.yaml:12:3: `b@org` depends on itself through the right side of `except`: \
             b@org -> a@org -> b@org\n\
             model.yaml:12:3: `b@org` has an `as` under the right side of `except`: \
             b@org -> a@org",
        ),
        // Of the target, be it one edge up: that is no step of the exception's.
        (
            "names: { a: { at: [org], is: 'yes except of(target, up(parent, a))' } }",
            "model.yaml:9:10: `a@org` depends on itself through the right side of `except`: \
             a@org -> a@org",
        ),
        (
            "roles: [ { at: [org], names: [admin], gate: 'within(target)' } ]",
            "model.yaml:9:46: `within@org` depends on itself through the right side of `except`: \
             within@org -> admin@org -> within@org",
        ),
    ] {
        assert_eq!(with(extra), expected, "{extra}");
    }
}
