//! The least program that can answer the benchmarks' questions: of the tuples of this one model, three arrays, sorted
//! once; of the names, their texts end to end and one table from a text's hash to its id. It does what any program
//! that answers rightly has to do and nothing else: whoever is in a group may be in the groups that this is in; and
//! a tuple may carry what keeps it from counting, which none here does. No writes, no other model, no errors.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use hashbrown::HashTable;

use crate::world;

/// A user, what it wants to do (the place of the least role that may), and a device.
pub(crate) type Asked = (u64, usize, u64);

/// What is asked for, by the least role that may.
pub(crate) const PERMISSIONS: [&str; 3] = ["device.view", "device.restart", "device.delete"];

/// The roles in the order of what they may, and the relation to what stands above.
const ROLES: [&str; 4] = ["viewer", "operator", "admin", "parent"];
const PARENT: u32 = 3;
/// Of a role or a group: the tuple carries something.
const CARRIES: u32 = 1 << 31;
/// So many rows are looked through; of more, only those of the subject are looked at.
const FEW_ROWS: usize = 64;
/// As many as a user of this world and its groups are at most.
const KEYS: usize = 16;

/// The program and what it knows.
pub(crate) struct Floor {
    names: Names,
    /// Of each object, where its rows and its groups start.
    places: Vec<(u32, u32)>,
    /// Role and subject.
    rows: Vec<(u32, u32)>,
    groups: Vec<u32>,
    users: u64,
    devices: u64,
}

impl Floor {
    pub(crate) fn of(count: u64) -> Self {
        let sizes = world::Sizes::of(count);
        let mut names = Names::default();
        // Users first, then devices: their ids are their numbers.
        let users = (0..sizes.users).map(|user| format!("user:u{user}"));
        for text in users.chain((0..sizes.devices).map(|device| format!("device:d{device}"))) {
            names.intern(&text);
        }
        let (mut rows, mut groups) = (Vec::new(), Vec::new());
        world::each(count, |text| {
            let (scope, rest) = text.split_once('#').expect("a tuple");
            let (role, subject) = rest.split_once('@').expect("a tuple");
            let scope = names.intern(scope);
            let subject = names.intern(subject.trim_end_matches("#member"));
            match role {
                "member" => groups.push((subject, scope)),
                role => {
                    let role = ROLES.iter().position(|known| *known == role).expect("known");
                    rows.push((scope, (role as u32, subject)));
                }
            }
        });
        rows.sort_unstable();
        groups.sort_unstable();
        let (mut row, mut group) = (0, 0);
        let mut places = Vec::new();
        for id in 0..=names.ends.len() as u32 {
            while rows.get(row).is_some_and(|(scope, _)| *scope < id) {
                row += 1;
            }
            while groups.get(group).is_some_and(|(subject, _)| *subject < id) {
                group += 1;
            }
            places.push((row as u32, group as u32));
        }
        names.shrink();
        Self {
            names,
            places,
            rows: rows.into_iter().map(|(_, row)| row).collect(),
            groups: groups.into_iter().map(|(_, group)| group).collect(),
            users: sizes.users,
            devices: sizes.devices,
        }
    }

    /// From ids. `None`: that hangs on what a tuple carries.
    pub(crate) fn may(&self, (user, least, device): Asked) -> Option<bool> {
        assert!(user < self.users && device < self.devices);
        self.decide(user as u32, least as u32, (self.users + device) as u32)
    }

    /// From names.
    pub(crate) fn may_named(&self, subject: &str, permission: &str, scope: &str) -> Option<bool> {
        let least = PERMISSIONS.iter().position(|known| *known == permission)?;
        let (user, at) = (self.names.find(subject)?, self.names.find(scope)?);
        assert!(u64::from(user) < self.users && u64::from(at) < self.users + self.devices);
        self.decide(user, least as u32, at)
    }

    fn decide(&self, user: u32, least: u32, device: u32) -> Option<bool> {
        let place = |id: u32| (self.places[id as usize], self.places[id as usize + 1]);
        let mut keys = [0; KEYS];
        keys[0] = user;
        let (mut count, mut seen) = (1, 0);
        while seen < count {
            let ((_, start), (_, end)) = place(keys[seen]);
            for group in &self.groups[start as usize..end as usize] {
                if group & CARRIES != 0 {
                    return None;
                }
                if !keys[..count].contains(group) {
                    keys[count] = *group;
                    count += 1;
                }
            }
            seen += 1;
        }
        let keys = &keys[..count];
        let mut at = device;
        loop {
            let ((start, _), (end, _)) = place(at);
            let mut parent = None;
            let rows = &self.rows[start as usize..end as usize];
            // The parent is the last row, the others are in the order of roles and subjects.
            let bound = match rows.split_last() {
                Some(((role, above), bound)) if role & !CARRIES == PARENT => {
                    if role & CARRIES != 0 {
                        return None;
                    }
                    parent = Some(*above);
                    bound
                }
                _ => rows,
            };
            let found = if bound.len() <= FEW_ROWS {
                let is_ours =
                    |(role, subject): &&(u32, u32)| *role >= least && keys.contains(subject);
                bound.iter().find(is_ours).map(|(role, _)| *role)
            } else {
                let mut wanted =
                    keys.iter().flat_map(|key| (least..PARENT).map(move |role| (role, *key)));
                wanted.find(|row| bound.binary_search(row).is_ok()).map(|(role, _)| role)
            };
            match (found, parent) {
                (Some(role), _) => return (role & CARRIES == 0).then_some(true),
                (None, Some(above)) => at = above,
                (None, None) => return Some(false),
            }
        }
    }
}

/// Texts and their ids; hashed with a key of the process, as whoever asks may choose them.
#[derive(Default)]
struct Names {
    hasher: RandomState,
    ids: HashTable<u32>,
    texts: String,
    ends: Vec<u32>,
}

impl Names {
    fn hash(&self, text: &str) -> u64 {
        let mut state = self.hasher.build_hasher();
        state.write(text.as_bytes());
        state.finish()
    }

    fn text(&self, id: u32) -> &str {
        let start = id.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        let place = start as usize..self.ends[id as usize] as usize;
        self.texts.get(place).expect("a text stands there")
    }

    fn find(&self, text: &str) -> Option<u32> {
        self.ids.find(self.hash(text), |id| self.text(*id) == text).copied()
    }

    fn intern(&mut self, text: &str) -> u32 {
        if let Some(id) = self.find(text) {
            return id;
        }
        let (id, hash) = (self.ends.len() as u32, self.hash(text));
        self.texts.push_str(text);
        self.ends.push(self.texts.len() as u32);
        let mut ids = std::mem::take(&mut self.ids);
        ids.insert_unique(hash, id, |id| self.hash(self.text(*id)));
        self.ids = ids;
        id
    }

    fn shrink(&mut self) {
        self.texts.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}
