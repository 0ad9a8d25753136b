//! The oracle on little worlds with known answers, where one question asks about several subjects: the
//! target, and those linked with one. Must not know the random worlds.

use bailiwick::model::tuple::Tuple;
use serde_json::json;

use super::readings::{Little, office, t, until};
use super::values::Value::{No, Unknown, Yes};

#[test]
fn of_target_is_the_targets_value_at_the_same_scope_and_unknown_without_one() {
    let permissions = [
        ("p", "org", "of(target, admin)"),
        ("q", "org, user", "of(target, self or standing(blocked))"),
        ("r", "org", "of(target, of(target, yes))"),
        ("s", "org", "admin except of(target, admin)"),
        ("t", "group", "of(target, anywhere(org, admin))"),
    ];
    let world = || {
        let tuples = [
            t("org:a#admin@user:ana"),
            t("org:b#admin@group:g#member"),
            t("group:g#member@user:bob"),
            t("user:bob#has@feature:blocked"),
            office("org:c#admin@user:bob", None),
            t("org:c#admin@user:ana"),
        ];
        Little::new(&permissions, tuples)
    };
    for word in ["p", "q", "r", "s"] {
        assert_eq!(world().ask(&format!("user:ana {word} org:a")), Unknown, "{word}");
    }
    let bob = world().about("user:bob");
    for (question, expected) in [
        ("user:ana p org:a", No),
        ("user:ana p org:b", Yes),
        ("user:ana p org:c", Unknown),
        ("user:bob q org:a", Yes),
        ("user:ana q user:bob", Yes),
        ("user:ana r org:a", Yes),
        ("user:ana s org:a", Yes),
        ("user:ana s org:c", Unknown),
        ("user:ana t group:x", Yes),
    ] {
        assert_eq!(bob.ask(question), expected, "{question}");
    }
    let set = world().about("group:g#member");
    assert_eq!(set.ask("user:ana p org:b"), Yes);
    assert_eq!(set.ask("user:ana q org:b"), Unknown);
    assert_eq!(world().about("user:ana").ask("user:ana q user:bob"), No);
}

#[test]
fn within_needs_a_role_of_the_target_and_each_that_it_may_have() {
    let world = |tuples: &[Tuple]| {
        let permissions = [("p", "org", "within(target)")];
        Little::new(&permissions, tuples.iter().cloned()).about("user:bob")
    };
    let ana = || t("org:a#admin@user:ana");
    let asked = |tuples: &[Tuple]| world(tuples).ask("user:ana p org:a");
    assert_eq!(asked(&[ana()]), No);
    assert_eq!(asked(&[ana(), t("org:a#admin@user:bob")]), Yes);
    assert_eq!(asked(&[t("org:a#admin@user:bob")]), No);
    assert_eq!(asked(&[ana(), t("org:a#admin@user:bob"), t("org:a#banned@user:bob")]), No);
    assert_eq!(asked(&[ana(), t("org:a#banned@user:ana"), t("org:a#banned@user:bob")]), Yes);
    // Held above counts, of either.
    let above = [t("org:a#parent@org:b"), t("org:b#admin@user:bob")];
    assert_eq!(asked(&[&above[..], &[ana()]].concat()), Yes);
    assert_eq!(asked(&above), No);
    // What the target may have, and what the subject may lack.
    let perhaps = |who: &str| office(&format!("org:a#banned@user:{who}"), None);
    let both = [ana(), t("org:a#admin@user:bob")];
    assert_eq!(asked(&[&both[..], &[perhaps("bob")]].concat()), Unknown);
    assert_eq!(asked(&[&both[..], &[perhaps("ana"), perhaps("bob")]].concat()), Unknown);
    assert_eq!(asked(&[&both[..], &[perhaps("ana")]].concat()), Yes);
    assert_eq!(asked(&[ana(), perhaps("bob")]), Unknown);
}

/// Ana and bob are one person, bob and cy another; dan is alone.
fn accounts() -> Vec<Tuple> {
    ["person:p#account@user:ana", "person:p#account@user:bob", "person:q#account@user:bob"]
        .into_iter()
        .chain(["person:q#account@user:cy", "person:q#account@bot:x", "person:r#account@user:dan"])
        .map(t)
        .collect()
}

#[test]
fn as_takes_the_greatest_of_the_subject_and_those_one_link_away() {
    let permissions = [
        ("p", "org", "as(account, admin)"),
        ("q", "org", "as(account, as(account, admin))"),
        ("r", "org", "as(badge, admin)"),
        ("s", "user", "as(account, self)"),
        ("v", "org", "as(account, standing(blocked))"),
        ("w", "group", "as(account, anywhere(org, admin))"),
        ("x", "org", "as(account, yes)"),
    ];
    let mut tuples = accounts();
    tuples.push(t("org:a#admin@user:ana"));
    tuples.push(t("user:bob#has@feature:blocked"));
    let world = Little::new(&permissions, tuples);
    for (question, expected) in [
        ("user:ana p org:a", Yes),
        ("user:bob p org:a", Yes),
        // Two links away: through bob, and not for one `as`.
        ("user:cy p org:a", No),
        ("user:cy q org:a", Yes),
        ("bot:x q org:a", Yes),
        ("user:dan q org:a", No),
        ("user:bob r org:a", No),
        ("user:ana s user:bob", Yes),
        ("user:ana s user:cy", No),
        ("user:ana v org:a", Yes),
        ("user:cy v org:a", Yes),
        ("user:dan v org:a", No),
        ("user:bob w group:g", Yes),
        ("user:cy w group:g", No),
        ("user:dan x org:a", Yes),
        ("user:* p org:a", No),
        ("group:g#member p org:a", No),
    ] {
        assert_eq!(world.ask(question), expected, "{question}");
    }
}

#[test]
fn a_link_is_as_certain_as_the_conditions_of_both_its_tuples() {
    let permissions = [("p", "org", "as(account, admin)")];
    let asked = |one: Tuple, other: Tuple, hour: Option<i64>| {
        let world = Little::new(&permissions, [t("org:a#admin@user:ana"), one, other]);
        let world = match hour {
            Some(hour) => world.with("hour", json!(hour)),
            None => world,
        };
        world.ask("user:bob p org:a")
    };
    let (ana, bob) = ("person:p#account@user:ana", "person:p#account@user:bob");
    assert_eq!(asked(t(ana), t(bob), None), Yes);
    for (one, other) in [(office(ana, None), t(bob)), (t(ana), office(bob, None))] {
        assert_eq!(asked(one.clone(), other.clone(), None), Unknown);
        assert_eq!(asked(one.clone(), other.clone(), Some(9)), Yes);
        assert_eq!(asked(one, other, Some(20)), No);
    }
    assert_eq!(asked(office(ana, None), office(bob, Some(20)), None), No);
    assert_eq!(asked(until(ana, 0), t(bob), None), No);
    assert_eq!(asked(t(ana), until(bob, 0), None), No);
    // A group's role of the same name links nobody.
    let group = ["group:g#account@user:ana", "group:g#account@user:bob"].map(t);
    assert_eq!(asked(group[0].clone(), group[1].clone(), None), No);
}

#[test]
fn groups_wildcards_and_roles_above_count_for_the_linked_subject() {
    let permissions = [("p", "org", "as(account, admin)")];
    let with = |more: &[&str]| {
        let mut tuples = accounts();
        tuples.extend(more.iter().map(|text| t(text)));
        Little::new(&permissions, tuples)
    };
    let group = ["org:a#admin@group:g#member", "group:g#member@user:ana"];
    assert_eq!(with(&group).ask("user:bob p org:a"), Yes);
    assert_eq!(with(&group).ask("user:dan p org:a"), No);
    let bots = with(&["org:a#admin@bot:*"]);
    assert_eq!(bots.ask("user:cy p org:a"), Yes);
    assert_eq!(bots.ask("user:ana p org:a"), No);
    let above = with(&["org:b#parent@org:a", "org:a#admin@user:ana"]);
    assert_eq!(above.ask("user:bob p org:b"), Yes);
}

#[test]
fn as_and_of_target_stand_within_one_another() {
    let permissions = [
        ("p", "org", "of(target, as(account, admin))"),
        ("q", "org", "as(account, of(target, admin))"),
        ("r", "org", "as(account, admin and of(target, banned))"),
    ];
    let mut tuples = accounts();
    tuples.push(t("org:a#admin@user:ana"));
    tuples.push(t("org:a#banned@user:dan"));
    let world = || Little::new(&permissions, tuples.iter().cloned());
    let about_bob = world().about("user:bob");
    assert_eq!(about_bob.ask("user:dan p org:a"), Yes);
    assert_eq!(about_bob.ask("user:dan q org:a"), No);
    assert_eq!(about_bob.ask("user:bob r org:a"), No);
    assert_eq!(world().about("user:dan").ask("user:bob r org:a"), Yes);
    assert_eq!(world().ask("user:bob r org:a"), Unknown);
}

#[test]
fn a_name_may_go_over_any_number_of_links() {
    let world = |more: &str| {
        let names =
            [("p", "org", "admin or as(account, p)"), ("q", "org", "as(account, q or self)")];
        let mut tuples = accounts();
        tuples.push(t(more));
        Little::new(&names, tuples)
    };
    let held = world("org:a#admin@bot:x");
    for (who, expected) in [("ana", Yes), ("bob", Yes), ("cy", Yes), ("dan", No)] {
        assert_eq!(held.ask(&format!("user:{who} p org:a")), expected, "{who}");
        assert_eq!(held.ask(&format!("user:{who} q org:a")), No, "{who}");
    }
}
