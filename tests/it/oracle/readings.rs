//! The oracle on little worlds with known answers: one for each node and for each reading of DESIGN
//! that a reader could take two ways. Must not know the random worlds.

use bailiwick::model::form::Model;
use bailiwick::model::names::{Name, Object, Subject};
use bailiwick::model::tuple::{Context, Time, Tuple, TupleCondition, TupleKey};
use serde_json::json;

use super::eval::Oracle;
use super::models::ModelText;
use super::values::Value::{self, No, Unknown, Yes};
use super::worlds::NOW;

const MODEL: &str = r#"
model: little
types:
  user: {}
  bot: {}
  group: {}
  person: { relations: { account: { to: [user, bot], conditions: [office] }, badge: [user] } }
  org:
    parents: { org: { many: true, conditions: [office] } }
    relations: { partner: { to: [org], conditions: [office] } }
facts:
  org: { flags: [verified], sets: [module], one_of: { product: [pro, go] } }
  user: { flags: [blocked], one_of: { rank: [junior, senior] } }
conditions:
  office: { parameters: { hour: int }, when: "hour >= 8 && hour < 18" }
  either: { parameters: { ok: bool, hour: int }, when: "ok || hour > 8" }
  typed: { parameters: { name: string, level: double }, when: 'name == "a" && level > 0.5' }
  fails: { parameters: { hour: int }, when: "100 / hour > 5" }
roles:
  - { at: [group], names: [member], bound_by: [user, "user:*", "group#member"] }
  - { at: [group], names: [account], bound_by: [user] }
  - at: [org]
    names: [admin, banned]
    bound_by: [user, group, "user:*", "bot:*", "group#member", "org#staff"]
    conditions: [office]
names:
  staff: { at: [org], is: "up(partner, admin)" }
  ok: { at: [org], is: "fact(verified)" }
permissions:
"#;

/// A world whose model has these permissions, `name: type: expression`, beside [`MODEL`].
pub(super) struct Little {
    model: Model,
    tuples: Vec<Tuple>,
    context: Context,
    target: Option<Subject>,
}

impl Little {
    pub(super) fn new(
        permissions: &[(&str, &str, &str)],
        tuples: impl IntoIterator<Item = Tuple>,
    ) -> Self {
        let mut yaml = MODEL.to_owned();
        for (name, at, is) in permissions {
            yaml.push_str(&format!("  {name}: {{ at: [{at}], is: \"{is}\" }}\n"));
        }
        let text = ModelText { yaml, csv: String::new(), reaches: Default::default() };
        let model = text.load().unwrap_or_else(|problems| panic!("{problems}\n{}", text.yaml));
        let tuples = tuples.into_iter().collect();
        Self { model, tuples, context: Context::new(), target: None }
    }

    pub(super) fn about(mut self, target: &str) -> Self {
        self.target = Some(Subject::parse(target).unwrap());
        self
    }

    pub(super) fn with(mut self, name: &str, value: serde_json::Value) -> Self {
        self.context.insert(name.to_owned(), value);
        self
    }

    /// `SUBJECT PERMISSION SCOPE`.
    pub(super) fn ask(&self, question: &str) -> Value {
        let [u, permission, s] = question.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let (u, s) = (Subject::parse(u).unwrap(), Object::parse(s).unwrap());
        let permission = self.model.name_id(permission).unwrap();
        let oracle = Oracle::new(&self.model, &self.tuples, &u, &self.context, NOW, None);
        oracle.about(self.target.as_ref()).decide(permission, &s).value
    }
}

pub(super) fn t(text: &str) -> Tuple {
    Tuple::plain(TupleKey::parse(text).unwrap())
}

/// A tuple that expires so many microseconds from now.
pub(super) fn until(text: &str, from_now: i64) -> Tuple {
    Tuple { expires_at: Some(Time(NOW.0 + from_now)), ..t(text) }
}

/// A tuple under the condition `office`, with this hour stored if there is one.
pub(super) fn office(text: &str, hour: Option<i64>) -> Tuple {
    let context = hour.map(|hour| ("hour".to_owned(), json!(hour))).into_iter().collect();
    let condition = TupleCondition { name: Name::parse("office").unwrap(), context };
    Tuple { condition: Some(condition), ..t(text) }
}

#[test]
fn here_is_bound_at_this_very_scope_and_a_role_is_held_above_too() {
    let world = Little::new(
        &[("p", "org", "here(admin)"), ("q", "org", "admin")],
        [t("org:b#parent@org:a"), t("org:a#admin@user:ana")],
    );
    assert_eq!(world.ask("user:ana p org:a"), Yes);
    assert_eq!(world.ask("user:ana p org:b"), No);
    assert_eq!(world.ask("user:ana q org:b"), Yes);
    assert_eq!(world.ask("user:bob q org:b"), No);
    assert_eq!(world.ask("user:ana q org:unknown"), No);
}

#[test]
fn a_wildcard_matches_plain_objects_of_its_type_and_itself() {
    let world = Little::new(&[("p", "org", "admin")], [t("org:a#admin@user:*")]);
    assert_eq!(world.ask("user:ana p org:a"), Yes);
    assert_eq!(world.ask("user:* p org:a"), Yes);
    assert_eq!(world.ask("bot:x p org:a"), No);
    assert_eq!(world.ask("bot:* p org:a"), No);
    assert_eq!(world.ask("group:g#member p org:a"), No);
    let world = Little::new(&[("p", "org", "admin")], [t("org:a#admin@user:ana")]);
    assert_eq!(world.ask("user:* p org:a"), No);
}

#[test]
fn a_subject_set_matches_whoever_its_name_holds_for_and_itself() {
    let tuples = [
        t("org:a#admin@group:g#member"),
        t("group:g#member@group:h#member"),
        t("group:h#member@group:g#member"),
        t("group:h#member@user:ana"),
        t("group:all#member@user:*"),
        t("org:b#admin@group:all#member"),
        t("org:c#admin@group:g"),
    ];
    let world = Little::new(&[("p", "org", "admin")], tuples);
    assert_eq!(world.ask("user:ana p org:a"), Yes);
    assert_eq!(world.ask("user:bob p org:a"), No);
    assert_eq!(world.ask("group:g#member p org:a"), Yes);
    assert_eq!(world.ask("group:h#member p org:a"), Yes);
    assert_eq!(world.ask("group:all#member p org:a"), No);
    assert_eq!(world.ask("user:* p org:b"), Yes);
    // The group itself is not its members, in neither direction.
    assert_eq!(world.ask("group:g p org:a"), No);
    assert_eq!(world.ask("group:g#member p org:c"), No);
    assert_eq!(world.ask("group:g p org:c"), Yes);
}

#[test]
fn a_subject_set_may_be_of_a_computed_name() {
    let tuples = [
        t("org:a#admin@user:ana"),
        t("org:b#partner@org:a"),
        t("org:c#admin@org:b#staff"),
        t("org:d#admin@group:g#staff"),
    ];
    let world = Little::new(&[("p", "org", "admin")], tuples);
    assert_eq!(world.ask("user:ana p org:c"), Yes);
    assert_eq!(world.ask("user:bob p org:c"), No);
    assert_eq!(world.ask("org:b#staff p org:c"), Yes);
    // A group has no `staff`: nobody is in it, but it is still itself.
    assert_eq!(world.ask("user:ana p org:d"), No);
    assert_eq!(world.ask("group:g#staff p org:d"), Yes);
}

#[test]
fn a_name_that_the_type_lacks_is_no() {
    let world = Little::new(
        &[("p", "org", "member or admin"), ("q", "org", "admin except member")],
        [t("org:a#admin@user:ana")],
    );
    assert_eq!(world.ask("user:bob p org:a"), No);
    assert_eq!(world.ask("user:ana q org:a"), Yes);
}

#[test]
fn a_permission_does_not_apply_where_it_is_not_one() {
    let world = Little::new(&[("p", "org", "yes"), ("q", "group", "no")], []);
    assert_eq!(world.ask("user:ana p org:a"), Yes);
    assert_eq!(world.ask("user:ana p group:g"), No);
    assert_eq!(world.ask("user:ana ok org:a"), No);
}

#[test]
fn up_takes_the_greatest_and_the_condition_bounds_it() {
    let tuples = [
        t("org:a#admin@user:ana"),
        office("org:b#partner@org:a", None),
        office("org:c#partner@org:a", Some(20)),
        t("org:d#partner@org:none"),
        t("org:d#partner@org:a"),
    ];
    let world = Little::new(&[("p", "org", "up(partner, admin)")], tuples);
    assert_eq!(world.ask("user:ana p org:b"), Unknown);
    assert_eq!(world.ask("user:bob p org:b"), No);
    assert_eq!(world.ask("user:ana p org:c"), No);
    assert_eq!(world.ask("user:ana p org:d"), Yes);
    assert_eq!(world.with("hour", json!(9)).ask("user:ana p org:b"), Yes);
}

#[test]
fn up_all_needs_one_and_every_one() {
    let tuples = [
        t("org:a#admin@user:ana"),
        t("org:b#admin@user:ana"),
        t("org:s#partner@org:a"),
        t("org:s#partner@org:b"),
        t("org:t#partner@org:a"),
        t("org:t#partner@org:none"),
        // An edge that is unknown to a place that does not hold: perhaps not all.
        t("org:u#partner@org:a"),
        office("org:u#partner@org:none", None),
        // An edge whose condition is no is not there.
        t("org:v#partner@org:a"),
        office("org:v#partner@org:none", Some(20)),
        office("org:w#partner@org:a", Some(20)),
        office("org:x#partner@org:a", None),
    ];
    let world = Little::new(&[("p", "org", "up_all(partner, admin)")], tuples);
    for (scope, expected) in
        [("s", Yes), ("t", No), ("u", Unknown), ("v", Yes), ("w", No), ("x", Unknown), ("none", No)]
    {
        assert_eq!(world.ask(&format!("user:ana p org:{scope}")), expected, "{scope}");
    }
}

#[test]
fn any_all_and_except_are_three_valued() {
    let tests = [("yes", Yes), ("condition(office)", Unknown), ("no", No)];
    let mut permissions = Vec::new();
    for (i, (a, _)) in tests.iter().enumerate() {
        for (j, (b, _)) in tests.iter().enumerate() {
            for (word, short) in [("or", "o"), ("and", "a"), ("except", "x")] {
                permissions.push((format!("{short}{i}{j}"), format!("{a} {word} {b}")));
            }
        }
    }
    let permissions: Vec<_> =
        permissions.iter().map(|(name, is)| (name.as_str(), "org", is.as_str())).collect();
    let world = Little::new(&permissions, []);
    let expected = |word: &str| -> String {
        let cell = |i, j| world.ask(&format!("user:ana {word}{i}{j} org:a"));
        let letter = |value| match value {
            Yes => 'y',
            Unknown => '?',
            No => 'n',
        };
        (0..3).flat_map(|i| (0..3).map(move |j| (i, j))).map(|(i, j)| letter(cell(i, j))).collect()
    };
    // Rows: yes, unknown, no on the left; columns: the same on the right.
    assert_eq!(expected("o"), "yyyy??y?n");
    assert_eq!(expected("a"), "y?n??nnnn");
    assert_eq!(expected("x"), "n?yn??nnn");
}

#[test]
fn a_fact_is_that_of_the_nearest_declaring_object() {
    let tuples = [
        t("org:a#has@feature:verified"),
        t("org:a#has@feature:module:x"),
        t("org:b#parent@org:a"),
        t("org:a#has@feature:product:pro"),
        t("org:c#has@feature:product:go"),
        t("org:d#has@feature:product:go"),
        t("org:d#has@feature:product:pro"),
    ];
    let world = Little::new(
        &[
            ("p", "org, group", "fact(verified)"),
            ("q", "org", "fact(module:x)"),
            ("r", "org, group", "fact(product:pro)"),
        ],
        tuples,
    );
    assert_eq!(world.ask("user:ana p org:a"), Yes);
    assert_eq!(world.ask("user:ana q org:a"), Yes);
    // org:b declares the fact itself, so its parent's is not asked.
    assert_eq!(world.ask("user:ana p org:b"), No);
    assert_eq!(world.ask("user:ana r org:a"), Yes);
    assert_eq!(world.ask("user:ana r org:b"), Unknown);
    assert_eq!(world.ask("user:ana r org:c"), No);
    assert_eq!(world.ask("user:ana r org:d"), Unknown);
    // Nothing at or above a group declares either.
    assert_eq!(world.ask("user:ana p group:g"), No);
    assert_eq!(world.ask("user:ana r group:g"), Unknown);
}

/// Sites declare nothing; what they ask is asked of the orgs above.
const BELOW: &str = "
  site: { parents: { org: { many: true, conditions: [office] }, site: { many: true } } }
facts:
";

fn below(tuples: impl IntoIterator<Item = Tuple>) -> Little {
    let yaml = MODEL.replace("\nfacts:\n", BELOW)
        + "  p: { at: [site], is: \"fact(verified)\" }\n  r: { at: [site], is: \"fact(product:pro)\" }\n";
    let text = ModelText { yaml, csv: String::new(), reaches: Default::default() };
    let model = text.load().unwrap_or_else(|problems| panic!("{problems}\n{}", text.yaml));
    let tuples = tuples.into_iter().collect();
    Little { model, tuples, context: Context::new(), target: None }
}

#[test]
fn equally_near_and_different_facts_are_unknown() {
    let world = below([
        t("org:a#has@feature:verified"),
        t("org:b#has@feature:verified"),
        t("site:s#parent@org:a"),
        t("site:s#parent@org:b"),
        t("site:t#parent@org:a"),
        t("site:t#parent@org:c"),
        // One step up decides; that two steps up it is otherwise does not matter.
        t("site:u#parent@org:a"),
        t("site:u#parent@site:v"),
        t("site:v#parent@org:c"),
    ]);
    assert_eq!(world.ask("user:ana p site:s"), Yes);
    assert_eq!(world.ask("user:ana p site:t"), Unknown);
    assert_eq!(world.ask("user:ana p site:u"), Yes);
    assert_eq!(world.ask("user:ana p site:v"), No);
    // Nothing above declares it.
    assert_eq!(world.ask("user:ana p site:none"), No);
    assert_eq!(world.ask("user:ana r site:none"), Unknown);
}

#[test]
fn a_fact_beyond_an_unknown_edge_is_unknown() {
    let world = below([
        t("org:a#has@feature:verified"),
        office("site:s#parent@org:a", None),
        t("site:t#parent@org:a"),
        office("site:t#parent@org:c", Some(20)),
        // Perhaps org:c is as near as org:a.
        t("site:u#parent@org:a"),
        office("site:u#parent@org:c", None),
        // Below the unknown edge nothing is known either.
        t("site:v#parent@site:s"),
    ]);
    assert_eq!(world.ask("user:ana p site:s"), Unknown);
    assert_eq!(world.ask("user:ana p site:t"), Yes);
    assert_eq!(world.ask("user:ana p site:u"), Unknown);
    assert_eq!(world.ask("user:ana p site:v"), Unknown);
    let world = world.with("hour", json!(9));
    assert_eq!(world.ask("user:ana p site:s"), Yes);
    assert_eq!(world.ask("user:ana p site:u"), Unknown);
}

#[test]
fn a_standing_is_the_subjects_and_a_subject_set_has_none() {
    let world = Little::new(
        &[("p", "org", "standing(blocked)"), ("r", "org", "standing(rank:junior)")],
        [t("user:ana#has@feature:blocked"), t("user:ana#has@feature:rank:junior")],
    );
    assert_eq!(world.ask("user:ana p org:a"), Yes);
    assert_eq!(world.ask("user:ana r org:a"), Yes);
    assert_eq!(world.ask("user:bob p org:a"), No);
    assert_eq!(world.ask("user:bob r org:a"), Unknown);
    assert_eq!(world.ask("bot:x p org:a"), No);
    assert_eq!(world.ask("bot:x r org:a"), Unknown);
    for set in ["user:*", "group:g#member"] {
        assert_eq!(world.ask(&format!("{set} p org:a")), Unknown);
        assert_eq!(world.ask(&format!("{set} r org:a")), Unknown);
    }
}

#[test]
fn self_is_the_plain_object_itself() {
    let world = Little::new(&[("p", "user, group", "self")], []);
    assert_eq!(world.ask("user:ana p user:ana"), Yes);
    assert_eq!(world.ask("user:ana p user:bob"), No);
    assert_eq!(world.ask("group:g#member p group:g"), No);
    assert_eq!(world.ask("user:* p user:ana"), No);
}

#[test]
fn a_condition_takes_declared_values_of_the_declared_type() {
    let tests = [("p", "office"), ("q", "either"), ("r", "typed"), ("s", "fails")];
    let tests = tests.map(|(name, condition)| (name, format!("condition({condition})")));
    let permissions = tests.each_ref().map(|(name, is)| (*name, "org", is.as_str()));
    let world = || Little::new(&permissions, []);
    let p = |hour| world().with("hour", hour).ask("user:ana p org:a");
    assert_eq!(world().ask("user:ana p org:a"), Unknown);
    assert_eq!(p(json!(9)), Yes);
    assert_eq!(p(json!(9.0)), Yes);
    assert_eq!(p(json!("9")), Yes);
    assert_eq!(p(json!(19)), No);
    for wrong in [json!(9.5), json!("noon"), json!(true), json!(null), json!([9])] {
        assert_eq!(p(wrong), Unknown);
    }
    // What is missing and not needed does not make it unknown; an error does.
    assert_eq!(world().with("ok", json!(true)).ask("user:ana q org:a"), Yes);
    assert_eq!(world().with("ok", json!(false)).ask("user:ana q org:a"), Unknown);
    assert_eq!(world().with("hour", json!(0)).ask("user:ana s org:a"), Unknown);
    let typed = world().with("name", json!("a"));
    assert_eq!(typed.with("level", json!(1)).ask("user:ana r org:a"), Yes);
    assert_eq!(world().with("name", json!("b")).ask("user:ana r org:a"), No);
}

#[test]
fn what_is_stored_on_the_tuple_wins_over_the_request() {
    let world = Little::new(
        &[("p", "org", "admin")],
        [office("org:a#admin@user:ana", Some(9)), office("org:b#admin@user:ana", None)],
    );
    assert_eq!(world.ask("user:ana p org:a"), Yes);
    assert_eq!(world.ask("user:ana p org:b"), Unknown);
    let world = world.with("hour", json!(20));
    assert_eq!(world.ask("user:ana p org:a"), Yes);
    assert_eq!(world.ask("user:ana p org:b"), No);
}

#[test]
fn what_expires_now_is_absent_edges_and_facts_included() {
    let tuples = [
        until("org:a#admin@user:ana", 1),
        until("org:a#admin@user:bob", 0),
        until("org:b#parent@org:a", 0),
        until("org:c#parent@org:a", 1),
        until("org:a#has@feature:verified", 0),
    ];
    let world = Little::new(&[("p", "org", "admin"), ("q", "org", "fact(verified)")], tuples);
    assert_eq!(world.ask("user:ana p org:a"), Yes);
    assert_eq!(world.ask("user:bob p org:a"), No);
    assert_eq!(world.ask("user:ana p org:b"), No);
    assert_eq!(world.ask("user:ana p org:c"), Yes);
    assert_eq!(world.ask("user:ana q org:a"), No);
}

#[test]
fn anywhere_asks_where_the_subject_is_bound_whatever_the_condition() {
    let tuples = [
        t("org:a#has@feature:verified"),
        office("org:a#banned@user:ana", Some(20)),
        until("org:a#admin@user:bob", 0),
        t("org:b#admin@user:cy"),
        t("org:a#admin@group:g#member"),
        t("group:g#member@user:dan"),
    ];
    let world = Little::new(&[("p", "group", "anywhere(org, ok)")], tuples);
    assert_eq!(world.ask("user:ana p group:x"), Yes);
    assert_eq!(world.ask("user:bob p group:x"), No);
    assert_eq!(world.ask("user:cy p group:x"), No);
    assert_eq!(world.ask("user:dan p group:x"), Yes);
    assert_eq!(world.ask("user:eve p group:x"), No);
}

#[test]
fn a_name_may_depend_on_its_own_negation_above() {
    let tuples = [
        t("org:b#parent@org:a"),
        t("org:c#parent@org:b"),
        t("org:d#parent@org:c"),
        office("org:e#parent@org:c", None),
    ];
    let world = Little::new(&[("p", "org", "yes except up(parent, p)")], tuples);
    for (scope, expected) in [("a", Yes), ("b", No), ("c", Yes), ("d", No), ("e", Unknown)] {
        assert_eq!(world.ask(&format!("user:ana p org:{scope}")), expected, "{scope}");
    }
}
