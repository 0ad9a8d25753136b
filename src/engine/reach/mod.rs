//! The short way to most decisions: where a name is a union of roles here and above (`map`), and all that
//! decides is certain, its value follows from the tuples of the objects above and of the subject's groups.
//! Where anything is not certain (a condition on a tuple, more than a few things to look at), it says
//! so, and the name is evaluated. Its yes and no are those of `eval`.

mod ahead;
mod map;

use smallvec::SmallVec;

use super::plan::Plan;
use super::rough::Rough;
use crate::index::{
    Binding, Entry, ObjectId, Other, Packed, Row, Settled, Snapshot, SubjectKey, rows_of,
};
use crate::model::form::{NameId, TypeId};
use crate::model::limits::DEPTH_MAX;
use crate::model::tuple::Time;

pub(super) use ahead::{WINDOW, read_ahead};
pub(super) use map::{Map, StageId};
use map::{Stage, Up};

/// More sets than this, and the subject's groups are no short way.
const MANY_SETS: usize = 64;
/// More objects than this above a scope, and they are no short way.
const MANY_OBJECTS: usize = 64;
/// More tuples than this to look at where one expects a few, and the name is evaluated.
const MANY_LOOKS: usize = 2_000;
/// So many tuples of an object are looked through one by one; in more, those that matter are looked up.
const FEW_TUPLES: usize = 24;
/// So many of a subject's tuples are looked through for each role that would be looked up among them, ...
const TUPLES_A_ROLE: usize = 32;
/// ... and not more than this.
const MANY_TUPLES: usize = 1_024;
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

/// How much was looked at, and how much may be.
#[derive(Debug)]
pub(super) struct Looks {
    taken: usize,
    most: usize,
}

impl Looks {
    /// None so far, and so many at most.
    #[inline]
    pub(super) fn within(steps: Option<u64>) -> Self {
        let most = steps.and_then(|steps| usize::try_from(steps).ok()).unwrap_or(0);
        Self { taken: 0, most: most.min(MANY_LOOKS) }
    }

    /// Counts what was looked at before; whether it was too much shows at the next look.
    pub(super) fn add(&mut self, looks: usize) {
        self.taken += looks;
    }

    /// Whether so many more may be.
    #[inline]
    fn more(&mut self, looks: usize) -> Option<()> {
        self.taken += looks;
        (self.taken <= self.most).then_some(())
    }

    /// How much was.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.taken).unwrap_or(u64::MAX)
    }
}

/// A snapshot at a moment, as the short ways see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    snapshot: &'a Snapshot,
    settled: Settled<'a>,
    now: Time,
}

impl<'a> Ground<'a> {
    #[inline]
    pub(super) fn new(snapshot: &'a Snapshot, now: Time) -> Self {
        Self { snapshot, settled: snapshot.settled(), now }
    }

    /// Whether a tuple counts; `None`: that depends on a condition.
    fn counts(self, binding: &Binding<'_>) -> Option<bool> {
        if !binding.is_live(self.now) {
            return Some(false);
        }
        binding.condition().is_none().then_some(true)
    }

    /// The snapshot's tuples as they stand in the base.
    pub(super) fn settled(self) -> Settled<'a> {
        self.settled
    }

    #[inline]
    fn row_counts(self, scope: ObjectId, row: &Row) -> Option<bool> {
        if row.is_bare() {
            return Some(true);
        }
        self.counts(&self.settled.row(scope, row))
    }

    #[inline]
    fn entry_counts(self, subject: SubjectKey, entry: &Entry) -> Option<bool> {
        if entry.is_bare() {
            return Some(true);
        }
        self.counts(&self.settled.entry(subject, entry))
    }

    /// The tuples in which a plain object stands, if they are few and stand in the base.
    #[inline]
    fn few_entries(self, object: ObjectId) -> Option<&'a [Entry]> {
        self.settled.entries(object).filter(|entries| entries.len() <= FEW_TUPLES)
    }

    /// The same of all sets of an object.
    #[inline]
    fn few_of_sets(self, object: ObjectId) -> Option<&'a [Other]> {
        self.settled.sets_of(object).filter(|others| others.len() <= FEW_TUPLES)
    }
}

impl Keys {
    /// Those of a plain object, found from it upwards. Costs what its groups cost. `None`: its type is asked
    /// for, and is none.
    #[inline]
    pub(super) fn of(
        ground: Ground<'_>,
        plan: &Plan,
        subject: ObjectId,
        type_of: impl FnOnce() -> Option<TypeId>,
        looks: &mut Looks,
    ) -> Option<Self> {
        let mut keys = Self { all: SmallVec::new(), are_all: true };
        keys.all.push(Packed::of(SubjectKey::Object(subject)));
        if !ground.settled.names_nobody_by_type() {
            keys.all.push(Packed::of(SubjectKey::All(type_of()?)));
        }
        let (mut at, mut level_end, mut depth) = (0, keys.all.len(), 0);
        while let Some(key) = keys.all.get(at).copied() {
            if at == level_end {
                (level_end, depth) = (keys.all.len(), depth + 1);
            }
            at += 1;
            let is_near = depth < DEPTH_MAX && keys.all.len() <= MANY_SETS;
            if !is_near || keys.go_up(ground, plan, key, looks).is_none() {
                keys.are_all = false;
                break;
            }
        }
        Some(keys)
    }

    /// Adds the sets that a subject stands in. `None`: it takes too long.
    #[inline]
    fn go_up(
        &mut self,
        ground: Ground<'_>,
        plan: &Plan,
        key: Packed,
        looks: &mut Looks,
    ) -> Option<()> {
        let subject = key.subject();
        match subject {
            SubjectKey::Set(..) if !plan.has_nested_sets() => Some(()),
            SubjectKey::Set(object, _) if let Some(others) = ground.few_of_sets(object) => {
                looks.more(others.len())?;
                for Other { subject: other, entry } in others {
                    if plan.may_be_plain(entry.role) && *other == key {
                        self.add_entry(ground, plan, subject, entry);
                    }
                }
                Some(())
            }
            SubjectKey::Object(object) if let Some(entries) = ground.few_entries(object) => {
                looks.more(entries.len())?;
                for entry in entries {
                    if plan.may_be_plain(entry.role) {
                        self.add_entry(ground, plan, subject, entry);
                    }
                }
                Some(())
            }
            _ => self.add_all(ground, plan, subject, looks),
        }
    }

    /// The same in the general way.
    fn add_all(
        &mut self,
        ground: Ground<'_>,
        plan: &Plan,
        subject: SubjectKey,
        looks: &mut Looks,
    ) -> Option<()> {
        for role in plan.plain_roles() {
            for binding in ground.snapshot.scopes_in(subject, *role) {
                looks.more(1)?;
                if plan.is_plain_everywhere(*role)
                    || is_plain_at(ground, plan, binding.scope, *role)
                {
                    self.add((binding.scope, *role), ground.counts(&binding));
                }
                if self.all.len() > MANY_SETS {
                    return None;
                }
            }
        }
        Some(())
    }

    #[inline]
    fn add_entry(&mut self, ground: Ground<'_>, plan: &Plan, subject: SubjectKey, entry: &Entry) {
        let Entry { role, scope, .. } = *entry;
        let is_plain = plan.is_plain_everywhere(role)
            || plan.plain_roles().contains(&role) && is_plain_at(ground, plan, scope, role);
        if is_plain {
            self.add((scope, role), ground.entry_counts(subject, entry));
        }
    }

    /// Adds a plain set that a tuple brings the subject into.
    #[inline]
    fn add(&mut self, (object, role): (ObjectId, NameId), counts: Option<bool>) {
        match Packed::of_set(object, role).filter(|_| counts.is_some()) {
            Some(key) if counts == Some(true) && !self.all.contains(&key) => self.all.push(key),
            Some(_) => {}
            // It depends on a condition, or its object is one that only the request knows.
            None => self.are_all &= counts == Some(false),
        }
    }
}

fn is_plain_at(ground: Ground<'_>, plan: &Plan, object: ObjectId, role: NameId) -> bool {
    ground.snapshot.type_of(object).is_some_and(|of| plan.is_plain(of, role))
}

/// Whether some way leads from this stage and scope to a role bound for one of the keys. `None`: that is not
/// certain. Costs what stands above the scope, within bounds of its own.
pub(super) fn reach<'a>(
    ground: Ground<'a>,
    map: &'a Map,
    start: (StageId, ObjectId),
    keys: &'a Keys,
    looks: &'a mut Looks,
) -> Option<bool> {
    let mut walk = Walk::new(ground, keys, looks);
    let (stage, scope) = start;
    let mut stage = map.stage(stage)?;
    let mut at = (scope, ground.settled.rows(scope).map(|(_, rows)| rows));
    // An object that several ways lead to is visited again; the bound ends circles.
    for _ in 0..MANY_OBJECTS {
        let is_bound = match at {
            (scope, Some(rows)) if rows.len() <= FEW_TUPLES => {
                walk.look_through(stage, scope, rows)?
            }
            at => walk.visit(stage, at)?,
        };
        if is_bound {
            return Some(true);
        }
        loop {
            let Some((up, target)) = walk.next.take().or_else(|| walk.above.pop()) else {
                return walk.is_certain.then_some(false);
            };
            let typed = ground.settled.rows(target);
            let of = match typed {
                Some((of, _)) => of,
                None => ground.snapshot.type_of(target)?,
            };
            if let Some(id) = up.at(of) {
                stage = map.stage(id)?;
                at = (target, typed.map(|(_, rows)| rows));
                break;
            }
        }
    }
    None
}

/// Whether one of these roles, which stand in order and carry plain sets only, is bound at this very scope
/// for one of the keys. `None`: that is not certain.
pub(super) fn bound_here(
    ground: Ground<'_>,
    roles: &[NameId],
    scope: ObjectId,
    keys: &Keys,
    looks: &mut Looks,
) -> Option<bool> {
    let mut walk = Walk::new(ground, keys, looks);
    let is_bound = match ground.settled.rows(scope) {
        Some((_, rows)) if rows.len() <= FEW_TUPLES => {
            walk.looks.more(rows.len())?;
            let mask = walk.mask;
            let mut ours = rows.iter().filter(|row| mask.may_have(row.subject));
            ours.any(|row| walk.is_bound(roles, (scope, row)))
        }
        _ => walk.look_up(roles, scope)?,
    };
    if is_bound { Some(true) } else { walk.is_certain.then_some(false) }
}

struct Walk<'a> {
    ground: Ground<'a>,
    keys: &'a [Packed],
    /// The same: most tuples are nobody's of these.
    mask: Rough,
    looks: &'a mut Looks,
    /// Nothing was met that a condition decides.
    is_certain: bool,
    /// What is still to be visited: mostly there is one parent.
    next: Option<(&'a Up, ObjectId)>,
    above: SmallVec<[(&'a Up, ObjectId); 4]>,
}

impl<'a> Walk<'a> {
    #[inline]
    fn new(ground: Ground<'a>, keys: &'a Keys, looks: &'a mut Looks) -> Self {
        let Keys { all, are_all } = keys;
        let mask = Rough::of(all.iter().copied());
        let (next, above) = (None, SmallVec::new());
        Self { ground, keys: all, mask, looks, is_certain: *are_all, next, above }
    }

    /// Whether some role of the stage is bound here; notes what is above. `None`: it takes too long.
    fn visit(
        &mut self,
        stage: &'a Stage,
        (scope, rows): (ObjectId, Option<&[Row]>),
    ) -> Option<bool> {
        let Stage { here, up, .. } = stage;
        if self.look_up(here, scope)? {
            return Some(true);
        }
        for up in up {
            match rows {
                Some(rows) => {
                    for row in rows_of(rows, up.relation) {
                        self.looks.more(1)?;
                        self.go_up(up, row.subject, self.ground.row_counts(scope, row));
                    }
                }
                None => {
                    for binding in self.ground.snapshot.all_bound(scope, up.relation) {
                        self.looks.more(1)?;
                        let counts = self.ground.counts(&binding);
                        self.go_up(up, Packed::of(binding.subject), counts);
                    }
                }
            }
        }
        Some(false)
    }

    /// The same by a look at each of the scope's tuples, which are few.
    #[inline]
    fn look_through(&mut self, stage: &'a Stage, scope: ObjectId, rows: &[Row]) -> Option<bool> {
        self.looks.more(rows.len())?;
        for row in rows {
            if stage.relations.may_have(row.role) {
                self.follow(&stage.up, (scope, row));
            }
            if self.mask.may_have(row.subject) && self.is_bound(&stage.here, (scope, row)) {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Notes where a row leads.
    #[inline]
    fn follow(&mut self, up: &'a [Up], (scope, row): (ObjectId, &Row)) {
        if let Some(up) = up.iter().find(|up| up.relation == row.role) {
            self.go_up(up, row.subject, self.ground.row_counts(scope, row));
        }
    }

    /// Whether a row binds one of these roles for one of the keys.
    #[inline]
    fn is_bound(&mut self, here: &[NameId], (scope, row): (ObjectId, &Row)) -> bool {
        if !self.keys.contains(&row.subject) || !has(here, row.role) {
            return false;
        }
        let counts = self.ground.row_counts(scope, row);
        self.is_certain &= counts.is_some();
        counts == Some(true)
    }

    /// Whether one of these roles is bound here, found from the subject: of the many tuples here it has a few.
    fn look_up(&mut self, here: &[NameId], scope: ObjectId) -> Option<bool> {
        let (ground, keys) = (self.ground, self.keys);
        for key in keys.iter().map(|key| key.subject()).filter(|_| !here.is_empty()) {
            // To look through a subject's tuples in a row is cheaper than to look up each role there.
            let most = (here.len() * TUPLES_A_ROLE).clamp(FEW_TUPLES, MANY_TUPLES);
            let standing = ground.settled.standing(key);
            if let Some(entries) = standing.filter(|entries| entries.looks() <= most) {
                self.looks.more(entries.looks() / FEW_TUPLES + 1)?;
                let is_here = |entry: &&Entry| entry.scope == scope && has(here, entry.role);
                for entry in entries.filter(is_here) {
                    match ground.entry_counts(key, entry) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => self.is_certain = false,
                    }
                }
                continue;
            }
            for found in ground.snapshot.bound_in(scope, here, key) {
                self.looks.more(1)?;
                match found.map_or(Some(false), |binding| ground.counts(&binding)) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => self.is_certain = false,
                }
            }
        }
        Some(false)
    }

    #[inline]
    fn go_up(&mut self, up: &'a Up, target: Packed, counts: Option<bool>) {
        let Some(target) = target.object() else { return };
        match counts {
            Some(true) if self.next.is_none() => self.next = Some((up, target)),
            Some(true) => self.above.push((up, target)),
            Some(false) => {}
            None => self.is_certain = false,
        }
    }
}

/// Whether a role is among these, which stand in order.
#[inline]
fn has(roles: &[NameId], role: NameId) -> bool {
    if roles.len() <= FEW_ROLES {
        return roles.contains(&role);
    }
    roles.binary_search(&role).is_ok()
}
