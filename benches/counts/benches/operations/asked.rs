//! The questions of the counted checks and lists, each with the tuples that make its answer: beside the
//! benchmarks' world of 10,000 tuples, or in a small one of a model of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use bailiwick::engine::{CheckedContext, ListQuestion, Plan};
use bailiwick::index::{Builder, Snapshot};
use bailiwick::model::form::Model;
use bailiwick::model::names::Name;
use bailiwick::model::tuple::{Change, Context, Tuple, TupleCondition, TupleKey};
use bailiwick::model::{SourceFiles, load};
use serde_json::json;

use crate::answer::{Asked, Listed, One, QUESTIONS};
use crate::{grown, world};

/// The tuples of the world.
pub(crate) const TUPLES: u64 = 10_000;

pub(crate) fn tuple(text: &str) -> Tuple {
    Tuple::plain(TupleKey::parse(text).expect("a well-formed tuple"))
}

/// The snapshot of these tuples, in a frozen base.
fn snapshot(model: Model, tuples: impl IntoIterator<Item = Tuple>) -> Snapshot {
    let mut builder = Builder::new(Arc::new(model));
    for tuple in tuples {
        builder.apply(&Change::Put(tuple)).expect("the model admits it");
    }
    builder.build().expect("there is room")
}

/// The world with these tuples more.
fn world_with(more: impl IntoIterator<Item = Tuple>) -> Snapshot {
    snapshot(world::model(), world::tuples(TUPLES).into_iter().chain(more))
}

/// The role is bound at the device asked.
pub(crate) fn allowed_here() -> &'static Asked {
    let more = (0..QUESTIONS as u64).map(|i| tuple(&format!("device:d{i}#operator@user:here{i}")));
    let ask = |i| One::plain(format!("user:here{i}"), "device.restart", format!("device:d{i}"));
    Asked::of(true, world_with(more), (0..QUESTIONS as u64).map(ask))
}

/// The role is bound to a group, at the org above the site above the area above the line of the device.
pub(crate) fn allowed_above() -> &'static Asked {
    let sizes = world::Sizes::of(TUPLES);
    let more = (0..QUESTIONS as u64).flat_map(|i| {
        let org = i % sizes.lines % sizes.areas % sizes.sites % sizes.orgs;
        let member = tuple(&format!("group:above{i}#member@user:above{i}"));
        [member, tuple(&format!("org:d{org}#operator@group:above{i}#member"))]
    });
    let ask = |i| One::plain(format!("user:above{i}"), "device.restart", format!("device:d{i}"));
    Asked::of(true, world_with(more), (0..QUESTIONS as u64).map(ask))
}

/// The first of the world's questions that are denied: users of two groups, with roles elsewhere.
pub(crate) fn denied() -> &'static Asked {
    let asked = world::questions(TUPLES, 1_000).into_iter();
    let ask = |(subject, permission, scope)| One::plain(subject, permission, scope);
    Asked::of(false, world_with([]), asked.map(ask))
}

/// The role is held at the organization, whose modules are others than the one that the row asks for.
pub(crate) fn denied_by_a_gate() -> &'static Asked {
    let tuples = (0..QUESTIONS as u64).flat_map(|i| {
        [
            tuple(&format!("station:s{i}#parent@org:o{i}")),
            tuple(&format!("org:o{i}#has@feature:module:stations/find")),
            tuple(&format!("org:o{i}#has@feature:module:stations/logs")),
            tuple(&format!("org:o{i}#technician@user:tom{i}")),
        ]
    });
    let ask = |i| {
        let permission = "stations.manage.change_configuration";
        One::plain(format!("user:tom{i}"), permission, format!("station:s{i}"))
    };
    let model = load(&grown::platform("virta"), &BTreeMap::new()).expect("the model loads");
    Asked::of(false, snapshot(model, tuples), (0..QUESTIONS as u64).map(ask))
}

const CONDITIONED: &str = "
model: conditioned
types:
  user: {}
  site: {}
  device: { parents: [site] }
conditions:
  on_duty:
    parameters: { hour: int, until: int, ip: ipaddress }
    when: \"hour >= 8 && hour < until && ip.in_cidr('10.0.0.0/8')\"
roles:
  - { at: [site], names: [operator], bound_by: [user], conditions: [on_duty] }
permissions:
  device.restart: { at: [device], is: operator }
";

/// The role is bound at the site under a condition: one value is stored, two come with the request.
pub(crate) fn allowed_under_a_condition() -> &'static Asked {
    let tuples = (0..QUESTIONS as u64).flat_map(|i| {
        let condition = TupleCondition {
            name: Name::parse("on_duty").expect("a name"),
            context: Context::from([("until".to_owned(), json!(18))]),
        };
        let bound = tuple(&format!("site:s{i}#operator@user:ops{i}"));
        let bound = Tuple { condition: Some(condition), ..bound };
        [tuple(&format!("device:d{i}#parent@site:s{i}")), bound]
    });
    let ask = |i| {
        let context = [("hour".to_owned(), json!(9)), ("ip".to_owned(), json!("10.1.2.3"))];
        let plain = One::plain(format!("user:ops{i}"), "device.restart", format!("device:d{i}"));
        One { context: Context::from(context), ..plain }
    };
    let mut files = SourceFiles::default();
    files.insert("model.yaml", CONDITIONED);
    let model = load(&files, &BTreeMap::new()).expect("the model loads");
    Asked::of(true, snapshot(model, tuples), (0..QUESTIONS as u64).map(ask))
}

/// The request brings ten tuples: memberships of a user and of others, one of which gives the role.
pub(crate) fn with_contextual_tuples() -> &'static Asked {
    let bound = |i| tuple(&format!("line:d{i}#operator@group:brought{i}#member"));
    let more = (0..QUESTIONS as u64).map(bound);
    let ask = |i| {
        let user = format!("user:u{i}");
        let mut brought = vec![
            tuple(&format!("group:brought{i}#member@{user}")),
            tuple(&format!("group:new{i}#member@{user}")),
            tuple(&format!("device:new{i}#parent@line:d{i}")),
        ];
        brought.extend((1..4).map(|n| tuple(&format!("group:g{}#member@user:new{i}", i + n))));
        brought.extend((0..4).map(|n| tuple(&format!("area:d{n}#viewer@user:new{i}"))));
        assert_eq!(brought.len(), 10);
        One { brought, ..One::plain(user, "device.restart", format!("device:new{i}")) }
    };
    Asked::of(true, world_with(more), (0..QUESTIONS as u64).map(ask))
}

/// Four groups of 250 each, bound two levels above a device that nobody else has a role at.
pub(crate) fn listed() -> Listed {
    let bound = (0..4).map(|i| tuple(&format!("area:listed#viewer@group:listed{i}#member")));
    let above = ["device:listed#parent@line:listed", "line:listed#parent@area:listed"];
    let members = (0..1_000).map(|i| tuple(&format!("group:listed{}#member@user:l{i}", i % 4)));
    let snapshot = world_with(bound.chain(above.map(tuple)).chain(members));
    let plan = Arc::new(Plan::new(snapshot.model()));
    let (permission, scope) = ("device.view", "device:listed");
    let context = CheckedContext::default();
    let question = ListQuestion::parse(snapshot.model(), permission, scope, "user", context);
    let question = question.expect("well-formed");
    let list = || Listed {
        snapshot: snapshot.clone(),
        plan: Arc::clone(&plan),
        question: question.clone(),
    };
    let (count, _) = list().consumed();
    assert_eq!(count, 1_000, "the list is the expected one");
    list()
}
