//! The short way to most decisions: where a name is a union of roles here and above (`map`), and all that
//! decides is certain, its value follows from the tuples of the objects above and of the subject's groups.
//! Where anything is not certain (a condition on a tuple, more than a few things to look at), it says
//! so, and the name is evaluated. Its yes and no are those of `eval`.

mod map;

use smallvec::SmallVec;

use super::plan::Plan;
use crate::index::{Binding, Entry, ObjectId, Packed, Snapshot, Standing, SubjectKey};
use crate::model::form::{NameId, TypeId};
use crate::model::limits::DEPTH_MAX;
use crate::model::tuple::Time;

pub(super) use map::{Map, StageId};

/// More sets than this, and the subject's groups are no short way.
const SETS_MAX: usize = 64;
/// More objects than this above a scope, and they are no short way.
const OBJECTS_MAX: usize = 64;
/// More tuples than this to look at where one expects a few, and the name is evaluated.
const LOOKS_MAX: u32 = 1_000;
/// So many tuples of an object are looked through one by one; in more, those that matter are looked up.
const FEW_TUPLES: usize = 24;
/// So many roles are compared one by one.
const FEW_ROLES: usize = 8;

/// What tuples may name to mean the subject: itself, all of its type, and the plain sets that it is in
/// by unconditional tuples.
#[derive(Debug)]
pub(super) struct Keys {
    all: SmallVec<[Packed; 8]>,
    /// There are no others.
    are_all: bool,
}

/// How much was looked at.
#[derive(Debug, Default)]
pub(super) struct Looks(u32);

impl Looks {
    /// Whether one more may be.
    #[inline]
    fn one(&mut self) -> bool {
        self.0 += 1;
        self.0 <= LOOKS_MAX
    }

    pub(super) fn count(&self) -> u64 {
        u64::from(self.0)
    }
}

/// Whether a tuple counts; `None`: that depends on a condition.
#[inline]
fn counts(binding: &Binding<'_>, now: Time) -> Option<bool> {
    if !binding.is_live(now) {
        return Some(false);
    }
    binding.condition().is_none().then_some(true)
}

impl Keys {
    /// Those of a plain object, found from it upwards. Costs what its groups cost.
    pub(super) fn of(
        snapshot: &Snapshot,
        plan: &Plan,
        (subject, of): (ObjectId, TypeId),
        now: Time,
        looks: &mut Looks,
    ) -> Self {
        let mut keys = Self { all: SmallVec::new(), are_all: true };
        keys.all.push(Packed::of(SubjectKey::Object(subject)));
        if !snapshot.names_nobody_by_type() {
            keys.all.push(Packed::of(SubjectKey::All(of)));
        }
        if plan.plain_roles().is_empty() {
            return keys;
        }
        let (mut at, mut level_end, mut depth) = (0, keys.all.len(), 0);
        while let Some(key) = keys.all.get(at).copied() {
            if at == level_end {
                (level_end, depth) = (keys.all.len(), depth + 1);
            }
            at += 1;
            if depth >= DEPTH_MAX || keys.all.len() > SETS_MAX {
                keys.are_all = false;
                break;
            }
            keys.go_up(snapshot, plan, key.subject(), now, looks);
        }
        keys
    }

    /// Adds the sets that a subject stands in.
    fn go_up(
        &mut self,
        snapshot: &Snapshot,
        plan: &Plan,
        subject: SubjectKey,
        now: Time,
        looks: &mut Looks,
    ) {
        let roles = plan.plain_roles();
        if let Some(entries) = few_entries(snapshot, subject) {
            for entry in entries.filter(|entry| roles.contains(&entry.role)) {
                let binding = snapshot.entry_binding(subject, entry);
                if !self.add(snapshot, plan, &binding, now, looks) {
                    return;
                }
            }
            return;
        }
        for role in roles {
            for binding in snapshot.scopes_in(subject, *role) {
                if !self.add(snapshot, plan, &binding, now, looks) {
                    return;
                }
            }
        }
    }

    /// Adds the set that this tuple brings a subject into; whether to go on.
    #[inline]
    fn add(
        &mut self,
        snapshot: &Snapshot,
        plan: &Plan,
        binding: &Binding<'_>,
        now: Time,
        looks: &mut Looks,
    ) -> bool {
        if !looks.one() || self.all.len() > SETS_MAX {
            self.are_all = false;
            return false;
        }
        let of = snapshot.type_of(binding.scope);
        if !of.is_some_and(|of| plan.is_plain(of, binding.role)) {
            return true;
        }
        match counts(binding, now) {
            Some(true) => {
                let set = Packed::of(SubjectKey::Set(binding.scope, binding.role));
                if !self.all.contains(&set) {
                    self.all.push(set);
                }
            }
            Some(false) => {}
            None => self.are_all = false,
        }
        true
    }
}

/// Whether some way leads from this stage and scope to a role bound for one of the keys. `None`: that is not
/// certain. Costs what stands above the scope, and at most [`LOOKS_MAX`].
pub(super) fn reach(
    snapshot: &Snapshot,
    map: &Map,
    (stage, scope): (StageId, ObjectId),
    keys: &Keys,
    now: Time,
    looks: &mut Looks,
) -> Option<bool> {
    let mut walk = Walk { snapshot, map, keys, now, looks, is_certain: keys.are_all, met: SmallVec::new() };
    walk.met.push((stage, scope));
    let mut at = 0;
    while let Some((stage, scope)) = walk.met.get(at).copied() {
        at += 1;
        if walk.visit(stage, scope)? {
            return Some(true);
        }
    }
    walk.is_certain.then_some(false)
}

struct Walk<'a> {
    snapshot: &'a Snapshot,
    map: &'a Map,
    keys: &'a Keys,
    now: Time,
    looks: &'a mut Looks,
    /// Nothing was met that a condition decides.
    is_certain: bool,
    /// What was met on the way up, each once.
    met: SmallVec<[(StageId, ObjectId); 8]>,
}

impl Walk<'_> {
    /// Whether some role of the stage is bound here; notes what is above. `None`: it takes too long.
    #[inline]
    fn visit(&mut self, stage: StageId, scope: ObjectId) -> Option<bool> {
        let stage = self.map.stage(stage)?;
        match self.snapshot.settled_rows(scope) {
            Some(rows) if rows.len() <= FEW_TUPLES => {
                for row in rows {
                    if let Some(up) = stage.up.iter().find(|up| up.relation == row.role) {
                        self.go_up(up, &self.snapshot.row_binding(scope, row))?;
                    }
                    if has(&stage.here, row.role)
                        && self.keys.all.contains(&row.subject)
                        && self.is_bound(&self.snapshot.row_binding(scope, row))?
                    {
                        return Some(true);
                    }
                }
                Some(false)
            }
            _ => self.visit_by_looking_up(stage, scope),
        }
    }

    /// The same at an object with many tuples, or with some that do not stand in the base.
    fn visit_by_looking_up(&mut self, stage: &map::Stage, scope: ObjectId) -> Option<bool> {
        let (snapshot, keys) = (self.snapshot, self.keys);
        if !stage.here.is_empty() {
            for key in keys.all.iter().map(|key| key.subject()) {
                if let Some(entries) = few_entries(snapshot, key) {
                    let here = |entry: &&Entry| entry.scope == scope && has(&stage.here, entry.role);
                    for entry in entries.filter(here) {
                        if self.is_bound(&snapshot.entry_binding(key, entry))? {
                            return Some(true);
                        }
                    }
                    continue;
                }
                for found in snapshot.bound_in(scope, &stage.here, key) {
                    match found {
                        Some(binding) if self.is_bound(&binding)? => return Some(true),
                        Some(_) => {}
                        None => self.looks.one().then_some(())?,
                    }
                }
            }
        }
        for up in &stage.up {
            for binding in snapshot.all_bound(scope, up.relation) {
                self.go_up(up, &binding)?;
            }
        }
        Some(false)
    }

    #[inline]
    fn is_bound(&mut self, binding: &Binding<'_>) -> Option<bool> {
        self.looks.one().then_some(())?;
        let counts = counts(binding, self.now);
        self.is_certain &= counts.is_some();
        Some(counts == Some(true))
    }

    #[inline]
    fn go_up(&mut self, up: &map::Up, binding: &Binding<'_>) -> Option<()> {
        self.looks.one().then_some(())?;
        let SubjectKey::Object(target) = binding.subject else { return Some(()) };
        match counts(binding, self.now) {
            Some(true) => {
                let next = self.snapshot.type_of(target).and_then(|of| up.at(of));
                if let Some(stage) = next
                    && !self.met.contains(&(stage, target))
                {
                    self.met.push((stage, target));
                }
                (self.met.len() <= OBJECTS_MAX).then_some(())
            }
            Some(false) => Some(()),
            None => {
                self.is_certain = false;
                Some(())
            }
        }
    }
}

/// The tuples in which a subject stands, if they are few and stand in the base.
#[inline]
fn few_entries(snapshot: &Snapshot, subject: SubjectKey) -> Option<Standing<'_>> {
    snapshot.settled_entries(subject).filter(|entries| entries.looks() <= FEW_TUPLES)
}

/// Whether a role is among these, which stand in order.
#[inline]
fn has(roles: &[NameId], role: NameId) -> bool {
    if roles.len() <= FEW_ROLES {
        return roles.contains(&role);
    }
    roles.binary_search(&role).is_ok()
}
