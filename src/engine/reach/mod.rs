//! The short way to most decisions: where a name is a union of roles here and above (`map`), and all that
//! decides is certain, its value follows from the tuples of the objects above and of the subject's groups.
//! Where anything is not certain (a condition on a tuple, more than a few things to look at), it says
//! so, and the name is evaluated. Its yes and no are those of `eval`.

mod abreast;
mod map;
#[cfg(test)]
mod tests;
mod walk;

use smallvec::SmallVec;

use super::plan::Plan;
use super::rough::Rough;
use crate::index::{
    Binding, Bloom, Crowd, Entry, FEW_ROWS, ObjectId, Other, Packed, Row, Rows, Settled, Snapshot,
    SubjectKey,
};
use crate::model::form::{NameId, TypeId};
use crate::model::limits::DEPTH_MAX;
use crate::model::tuple::Time;

pub(super) use abreast::{Known, WINDOW, Way, go_each, know_each};
pub(super) use map::{Map, StageId};
pub(super) use walk::{bound_here, reach};

/// More sets than this, and the subject's groups are no short way.
const MANY_SETS: usize = 64;
/// More tuples than this to look at where one expects a few, and the name is evaluated.
const MANY_LOOKS: usize = 2_000;
/// So many tuples of an object are looked through one by one; in more, those that matter are looked up.
const FEW_TUPLES: usize = FEW_ROWS;

/// What tuples may name to mean the subject: itself, all of its type, and the plain sets that it is in
/// by unconditional tuples.
#[derive(Debug)]
pub(super) struct Keys {
    all: SmallVec<[Packed; 8]>,
    /// The same: most tuples are nobody's of these, ...
    mask: Rough,
    /// ... and most scopes have no tuple of theirs.
    crowd: Crowd,
    /// There are no others.
    are_all: bool,
}

/// How much was looked at, and how much may be.
#[derive(Debug, Clone, Copy)]
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
    pub(super) fn none() -> Self {
        let (mask, crowd) = (Rough::default(), Crowd::default());
        Self { all: SmallVec::new(), mask, crowd, are_all: true }
    }

    /// Those of a plain object, found from it upwards. Costs what its groups cost. `None`: its type is asked
    /// for, and is none.
    #[inline]
    pub(super) fn of(
        ground: &Ground<'_>,
        plan: &Plan,
        subject: ObjectId,
        type_of: impl FnOnce() -> Option<TypeId>,
        looks: &mut Looks,
    ) -> Option<Self> {
        let mut keys = Self::none();
        keys.find(ground, plan, subject, type_of, looks)?;
        Some(keys)
    }

    /// The same in place: they are large.
    #[inline]
    pub(super) fn find(
        &mut self,
        ground: &Ground<'_>,
        plan: &Plan,
        subject: ObjectId,
        type_of: impl FnOnce() -> Option<TypeId>,
        looks: &mut Looks,
    ) -> Option<()> {
        self.insert(Packed::of(SubjectKey::Object(subject)));
        if !ground.settled.names_nobody_by_type() {
            self.insert(Packed::of(SubjectKey::All(type_of()?)));
        }
        let (mut at, mut level_end, mut depth) = (0, self.all.len(), 0);
        while let Some(key) = self.all.get(at).copied() {
            if at == level_end {
                (level_end, depth) = (self.all.len(), depth + 1);
            }
            at += 1;
            let leads_on = |of| plan.has_nested_sets() && ground.settled.may_nest(of);
            if !key.object_of_set().is_none_or(leads_on) {
                continue;
            }
            let is_near = depth < DEPTH_MAX && self.all.len() <= MANY_SETS;
            if !is_near || self.go_up(ground, plan, key, looks).is_none() {
                self.are_all = false;
                break;
            }
        }
        Some(())
    }

    /// Adds the sets that a subject stands in. `None`: it takes too long.
    #[inline]
    fn go_up(
        &mut self,
        ground: &Ground<'_>,
        plan: &Plan,
        key: Packed,
        looks: &mut Looks,
    ) -> Option<()> {
        let subject = key.subject();
        match subject {
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
                // Roles that are sets have their ids before others have.
                let last = plan.plain_roles().last().copied().unwrap_or(NameId(0));
                for entry in Entry::up_to(entries, last) {
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
    #[inline(never)]
    fn add_all(
        &mut self,
        ground: &Ground<'_>,
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
    fn add_entry(&mut self, ground: &Ground<'_>, plan: &Plan, subject: SubjectKey, entry: &Entry) {
        // Mostly a group has members and nothing else, and nothing keeps the tuple from counting.
        let is_sure = entry.is_bare() && plan.is_plain_everywhere(entry.role);
        match Packed::of_set(entry.scope, entry.role).filter(|_| is_sure) {
            Some(key) => self.insert(key),
            None => self.add_any_entry(ground, plan, subject, entry),
        }
    }

    #[inline(never)]
    fn add_any_entry(
        &mut self,
        ground: &Ground<'_>,
        plan: &Plan,
        subject: SubjectKey,
        entry: &Entry,
    ) {
        let Entry { role, scope, .. } = *entry;
        let is_plain = plan.is_plain_everywhere(role)
            || plan.plain_roles().contains(&role) && is_plain_at(ground, plan, scope, role);
        if is_plain {
            self.add((scope, role), ground.entry_counts(subject, entry));
        }
    }

    /// Adds a plain set that a tuple brings the subject into.
    fn add(&mut self, (object, role): (ObjectId, NameId), counts: Option<bool>) {
        match Packed::of_set(object, role).filter(|_| counts.is_some()) {
            Some(key) if counts == Some(true) => self.insert(key),
            Some(_) => {}
            // It depends on a condition, or its object is one that only the request knows.
            None => self.are_all &= counts == Some(false),
        }
    }

    /// Whether one of them may stand in the tuples of a scope, which are all these. Never wrongly no.
    #[inline]
    fn may_be_in(&self, ground: &Ground<'_>, (scope, rows): (ObjectId, &Rows<'_>)) -> bool {
        if rows.all.len() <= FEW_TUPLES {
            return rows.crowd.may_meet(self.crowd);
        }
        self.may_be_in_many(ground, scope)
    }

    #[inline(never)]
    fn may_be_in_many(&self, ground: &Ground<'_>, scope: ObjectId) -> bool {
        let has_ours = |bloom: &Bloom| self.all.iter().any(|key| bloom.may_have(*key));
        ground.settled.bloom(scope).is_none_or(has_ours)
    }

    #[inline]
    fn insert(&mut self, key: Packed) {
        if !self.mask.may_have(key) || !self.all.contains(&key) {
            (self.mask, self.crowd) = (self.mask.with(key), self.crowd.with(key));
            self.all.push(key);
        }
    }
}

fn is_plain_at(ground: &Ground<'_>, plan: &Plan, object: ObjectId, role: NameId) -> bool {
    ground.snapshot.type_of(object).is_some_and(|of| plan.is_plain(of, role))
}
