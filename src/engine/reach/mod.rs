//! The short way to most decisions: where a name is a union of roles here and above (`map`), and all that
//! decides is certain, its value follows from the tuples of the objects above and of the subject's groups.
//! Where anything is not certain (a condition on a tuple, more than a few things to look at), it says
//! so, and the name is evaluated. Its yes and no are those of `eval`.

mod abreast;
mod map;
mod walk;

use smallvec::SmallVec;

use super::plan::Plan;
use crate::index::{Binding, Entry, ObjectId, Other, Packed, Row, Settled, Snapshot, SubjectKey};
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
const FEW_TUPLES: usize = 24;

/// What tuples may name to mean the subject: itself, all of its type, and the plain sets that it is in
/// by unconditional tuples.
#[derive(Debug)]
pub(super) struct Keys {
    all: SmallVec<[Packed; 8]>,
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
            if !is_near || keys.go_up(&ground, plan, key, looks).is_none() {
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
        ground: &Ground<'_>,
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

    #[inline]
    fn insert(&mut self, key: Packed) {
        if !self.all.contains(&key) {
            self.all.push(key);
        }
    }
}

fn is_plain_at(ground: &Ground<'_>, plan: &Plan, object: ObjectId, role: NameId) -> bool {
    ground.snapshot.type_of(object).is_some_and(|of| plan.is_plain(of, role))
}
