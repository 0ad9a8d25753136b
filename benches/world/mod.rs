//! The world that the benchmarks share: a hierarchy of five levels, groups, roles bound all over it,
//! and questions about it. Made from a seed, so that every run measures the same.

use std::collections::BTreeMap;

use bailiwick::model::form::Model;
use bailiwick::model::tuple::{Tuple, TupleKey};
use bailiwick::model::{SourceFiles, load};

const MODEL: &str = "
model: bench
types:
  user: {}
  group: {}
  org: {}
  site: { parents: [org] }
  area: { parents: [site] }
  line: { parents: [area] }
  device: { parents: [line] }
roles:
  - { at: [org, site, area, line, device], names: [viewer, operator, admin], bound_by: [user, 'group#member'] }
  - { at: [group], names: [member], bound_by: [user, 'group#member'] }
matrices:
  - { name: org, file: permissions.csv, at: [device], bound: org }
  - { name: site, file: permissions.csv, at: [device], bound: site }
  - { name: area, file: permissions.csv, at: [device], bound: area }
  - { name: line, file: permissions.csv, at: [device], bound: line }
  - { name: device, file: permissions.csv, at: [device], bound: device }
";

const PERMISSIONS: &str = "permission,viewer,operator,admin
device.view,1,1,1
device.restart,0,1,1
device.delete,0,0,1
";

/// The files of the benchmark's model.
pub(crate) fn files() -> SourceFiles {
    let mut files = SourceFiles::default();
    files.insert("model.yaml", MODEL);
    files.insert("permissions.csv", PERMISSIONS);
    files
}

/// The benchmark's model.
pub(crate) fn model() -> Model {
    load(&files(), &BTreeMap::new()).expect("the benchmark's model loads")
}

/// How many objects of each kind a world of so many tuples has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) users: u64,
    pub(crate) groups: u64,
    pub(crate) devices: u64,
    pub(crate) lines: u64,
    pub(crate) areas: u64,
    pub(crate) sites: u64,
    pub(crate) orgs: u64,
}

impl Sizes {
    pub(crate) fn of(tuples: u64) -> Self {
        let part = |share: u64| (tuples / share).max(1);
        Self {
            users: part(10),
            groups: part(20),
            devices: part(2),
            lines: part(20),
            areas: part(200).max(40),
            sites: part(1_000).max(20),
            orgs: part(5_000).max(10),
        }
    }
}

/// Roughly so many tuples: half of them parents of devices, a fifth memberships (two groups a user, four
/// users a group), the rest roles of users and of groups at every level.
pub(crate) fn tuples(count: u64) -> Vec<Tuple> {
    let mut made = Vec::new();
    each(count, |text| {
        made.push(Tuple::plain(TupleKey::parse(&text).expect("a well-formed tuple")));
    });
    made
}

/// The same one after the other, as text: a large world is never in memory as a whole.
pub(crate) fn each(count: u64, mut add: impl FnMut(String)) {
    let sizes = Sizes::of(count);
    let mut random = fastrand::Rng::with_seed(7);
    let levels = [
        ("device", sizes.devices, "line", sizes.lines),
        ("line", sizes.lines, "area", sizes.areas),
        ("area", sizes.areas, "site", sizes.sites),
        ("site", sizes.sites, "org", sizes.orgs),
    ];
    for (child, children, parent, parents) in levels {
        for id in 0..children {
            add(format!("{child}:d{id}#parent@{parent}:d{}", id % parents));
        }
    }
    for user in 0..sizes.users {
        for group in [user % sizes.groups, (user * 7 + 1) % sizes.groups] {
            add(format!("group:g{group}#member@user:u{user}"));
        }
    }
    let mut seen = std::collections::HashSet::new();
    let scopes = [
        ("org", sizes.orgs),
        ("site", sizes.sites),
        ("area", sizes.areas),
        ("line", sizes.lines),
        ("device", sizes.devices),
    ];
    let bindings = count / 5;
    while (seen.len() as u64) < bindings {
        let (kind, many) = scopes[random.usize(..scopes.len())];
        let role = ["viewer", "operator", "admin"][random.usize(..3)];
        let subject = if random.u8(..4) == 0 {
            format!("group:g{}#member", random.u64(..sizes.groups))
        } else {
            format!("user:u{}", random.u64(..sizes.users))
        };
        let text = format!("{kind}:d{}#{role}@{subject}", random.u64(..many));
        if seen.insert(text.clone()) {
            add(text);
        }
    }
}

/// (subject, permission, scope)
pub(crate) type Question = (String, &'static str, String);

/// Drawn from all users and devices.
pub(crate) fn questions(count: u64, how_many: usize) -> Vec<Question> {
    let sizes = Sizes::of(count);
    let mut random = fastrand::Rng::with_seed(11);
    let permissions = ["device.view", "device.restart", "device.delete"];
    let mut one = || {
        let user = format!("user:u{}", random.u64(..sizes.users));
        let device = format!("device:d{}", random.u64(..sizes.devices));
        (user, permissions[random.usize(..3)], device)
    };
    (0..how_many).map(|_| one()).collect()
}
