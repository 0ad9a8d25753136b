//! A role list of cloud size, generated: the source that a model is compared with. Knows no model; the
//! benchmark of the same list reads this file too.

use std::fmt::Write as _;

/// How many roles the list has, how many of them have every permission, and how many permissions there
/// are.
pub(crate) const ROLES: usize = 2_500;
pub(crate) const FULL: usize = 4;
pub(crate) const PERMISSIONS: usize = 13_000;

/// Which role has which permission.
pub(crate) struct List {
    pub(crate) roles: Vec<String>,
    pub(crate) permissions: Vec<String>,
    /// The permissions of each role, in order.
    pub(crate) granted: Vec<Vec<usize>>,
}

/// A scope has scopes below it, as organizations, folders and projects do; people hold roles by
/// themselves and through groups.
const MODEL: &str = "\
model: cloud
types:
  user: {}
  group: {}
  scope: { parents: [scope] }
roles:
  - { at: [group], names: [member], bound_by: [user, 'group#member'] }
  - { at: [scope], bound_by: [user, 'group#member'], names: [ROLES] }
matrices:
  - { name: roles, file: permissions.csv, at: [scope], bound: scope }
";

impl List {
    /// The same at each call: four roles have every permission, the others 5 to 300 of them, mostly few.
    pub(crate) fn cloud() -> Self {
        Self::sized(ROLES, FULL, PERMISSIONS)
    }

    pub(crate) fn sized(roles: usize, full: usize, permissions: usize) -> Self {
        const VERBS: [&str; 8] =
            ["get", "list", "create", "update", "delete", "export", "get_policy", "set_policy"];
        const RANKS: [&str; 5] = ["viewer", "editor", "admin", "operator", "agent"];
        let mut random = fastrand::Rng::with_seed(2_500);
        let permission = |i: usize| {
            let (service, resource) = (i / 64, i / VERBS.len() % 8);
            format!("service{service}.resource{resource}.{}", VERBS[i % VERBS.len()])
        };
        let role = |i: usize| format!("{}_{i}", RANKS[i % RANKS.len()]);
        let granted = (0..roles).map(|i| {
            if i < full {
                return (0..permissions).collect();
            }
            let share = random.usize(..1_000);
            let count = (5 + 295 * share * share * share / 1_000_000_000).min(permissions);
            let mut own: Vec<usize> = (0..count).map(|_| random.usize(..permissions)).collect();
            own.sort_unstable();
            own.dedup();
            own
        });
        Self {
            granted: granted.collect(),
            roles: (0..roles).map(role).collect(),
            permissions: (0..permissions).map(permission).collect(),
        }
    }

    pub(crate) fn cells(&self) -> usize {
        self.granted.iter().map(Vec::len).sum()
    }

    /// The roles of each permission, in order.
    pub(crate) fn by_permission(&self) -> Vec<Vec<usize>> {
        let mut holders = vec![Vec::new(); self.permissions.len()];
        for (role, granted) in self.granted.iter().enumerate() {
            for permission in granted {
                holders[*permission].push(role);
            }
        }
        holders
    }

    pub(crate) fn yaml(&self) -> String {
        MODEL.replace("ROLES", &self.roles.join(", "))
    }

    /// The long form: a line for each granted cell, permission by permission.
    pub(crate) fn csv(&self) -> String {
        let mut text = String::from("permission,role\n");
        for (permission, holders) in self.permissions.iter().zip(self.by_permission()) {
            for role in holders {
                let _ = writeln!(text, "{permission},{}", self.roles[role]);
            }
        }
        text
    }
}
