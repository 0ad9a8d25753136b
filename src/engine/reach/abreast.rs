//! Several walks side by side. What a step reads from memory is read for all of them before any of them looks at
//! it, so that the waits overlap, where one walk after the other would wait for each read. Each takes the steps
//! that it would take alone, and ends as it would.

use std::hint::black_box;
use std::ops::ControlFlow::{self, Break};

use smallvec::SmallVec;

use super::map::{Map, StageId};
use super::walk::{End, MANY_OBJECTS, Next, Place, Typed, Walk};
use super::{FEW_TUPLES, Ground, Keys, Looks};
use crate::engine::plan::Plan;
use crate::index::{Entry, ObjectId, Other};
use crate::model::form::TypeId;

/// So many walks go side by side.
pub(in crate::engine) const WINDOW: usize = 32;
/// So many groups of a subject are read ahead.
const GROUPS: usize = 4;

/// Somebody who asks, and what tuples may name to mean them.
#[derive(Debug)]
pub(in crate::engine) struct Known {
    pub(in crate::engine) subject: ObjectId,
    /// `None`: the subject's type is asked for, and is none.
    keys: Option<Keys>,
    /// What was looked at to find them.
    looks: Looks,
}

/// A walk that is to be taken.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Way {
    /// Whose answer it is.
    pub(in crate::engine) asked: usize,
    /// Who asks, by the place among those who are known.
    pub(in crate::engine) known: usize,
    /// Where it begins: at this stage of an object of this type.
    pub(in crate::engine) stage: StageId,
    pub(in crate::engine) scope: ObjectId,
    pub(in crate::engine) scope_type: TypeId,
}

/// Adds what these subjects are known by, looking no further than `looks` for each.
pub(in crate::engine) fn know_each(
    ground: Ground<'_>,
    plan: &Plan,
    subjects: &[ObjectId],
    looks: Looks,
    known: &mut Vec<Known>,
) {
    for subjects in subjects.chunks(WINDOW) {
        read_groups(ground, plan, subjects);
        known.extend(subjects.iter().map(|subject| {
            let (subject, mut looks) = (*subject, looks);
            let of = || ground.snapshot.type_of(subject);
            let keys = Keys::of(ground, plan, subject, of, &mut looks);
            Known { subject, keys, looks }
        }));
    }
}

/// Reads in which groups these subjects are, and in which groups those are.
fn read_groups(ground: Ground<'_>, plan: &Plan, subjects: &[ObjectId]) {
    let mut entries: [&[Entry]; WINDOW] = [&[]; WINDOW];
    for (entries, subject) in entries.iter_mut().zip(subjects) {
        *entries = ground.settled.entries(*subject).unwrap_or_default();
    }
    let is_first_bare = |entries: &&&[Entry]| entries.first().is_some_and(Entry::is_bare);
    black_box(entries.iter().filter(is_first_bare).count());
    if !plan.has_nested_sets() {
        return;
    }
    let mut groups: SmallVec<[ObjectId; GROUPS * WINDOW]> = SmallVec::new();
    for entries in entries {
        let may_be = |entry: &&Entry| plan.may_be_plain(entry.role);
        let of_groups = entries.iter().take(FEW_TUPLES).filter(may_be).take(GROUPS);
        of_groups.for_each(|entry| groups.push(entry.scope));
    }
    let mut sets: SmallVec<[&[Other]; GROUPS * WINDOW]> = SmallVec::new();
    for group in groups {
        sets.push(ground.settled.sets_of(group).unwrap_or_default());
    }
    let is_first_bare = |sets: &&&[Other]| sets.first().is_some_and(Other::is_bare);
    black_box(sets.iter().filter(is_first_bare).count());
}

/// Takes each of these walks, no more than a [`WINDOW`] of them, within `looks`; `ended` hears of each how it
/// ended and how much was looked at. Of one whose object is of another type it hears nothing.
pub(in crate::engine) fn go_each<'a>(
    ground: Ground<'a>,
    map: &'a Map,
    (known, ways): (&'a [Known], &[Way]),
    looks: Looks,
    mut ended: impl FnMut(usize, End, usize),
) {
    let mut there: [Typed<'a>; WINDOW] = [None; WINDOW];
    read(ground, ways.iter().map(|way| way.scope), &mut there);
    let mut walks: SmallVec<[Going<'a>; WINDOW]> = SmallVec::new();
    for (way, there) in ways.iter().zip(there) {
        let of = there.map(|(of, _)| of).or_else(|| ground.snapshot.type_of(way.scope));
        let (Some(known), Some(stage)) = (known.get(way.known), map.stage(way.stage)) else {
            continue;
        };
        if of != Some(way.scope_type) {
            continue;
        }
        let Some(keys) = &known.keys else {
            ended(way.asked, None, known.looks.taken());
            continue;
        };
        let mut looks = looks;
        looks.add(known.looks.taken());
        let at = Place { scope: way.scope, stage, rows: there.map(|(_, rows)| rows) };
        walks.push(Going { asked: way.asked, walk: Walk::new(keys, looks), at, next: None });
    }
    let mut under_way: SmallVec<[&mut Going<'a>; WINDOW]> = walks.iter_mut().collect();
    for _ in 0..MANY_OBJECTS {
        under_way.retain(|going| {
            let step =
                going.walk.look(ground, going.at).map_continue(|next| going.next = Some(next));
            going.goes_on(step, &mut ended)
        });
        let next = under_way.iter().filter_map(|going| going.next);
        read(ground, next.map(|(_, target)| target), &mut there);
        let mut there = there.iter().copied();
        under_way.retain(|going| {
            let arrived = going
                .next
                .zip(there.next())
                .map_or(Break(None), |(next, there)| going.walk.arrive(ground, map, (next, there)));
            let step = arrived.map_continue(|at| going.at = at);
            going.goes_on(step, &mut ended)
        });
        if under_way.is_empty() {
            return;
        }
    }
    for going in under_way {
        ended(going.asked, None, going.walk.looks());
    }
}

/// Reads where the tuples of these objects stand, and then the first and the last of each.
fn read<'a>(
    ground: Ground<'a>,
    objects: impl Iterator<Item = ObjectId>,
    there: &mut [Typed<'a>; WINDOW],
) {
    let mut count = 0;
    for (there, object) in there.iter_mut().zip(objects) {
        *there = ground.settled.rows(object);
        count += 1;
    }
    // The last one too: a few tuples may stand on two lines of memory.
    let ends = |there: &Typed<'a>| {
        let rows = there.map(|(_, rows)| rows).unwrap_or_default();
        [rows.first(), rows.last()].into_iter().flatten().filter(|row| row.is_bare()).count()
    };
    black_box(there.iter().take(count).map(ends).sum::<usize>());
}

/// A walk under way.
struct Going<'a> {
    asked: usize,
    walk: Walk<'a>,
    at: Place<'a>,
    /// Where it goes next, once it has looked where it stands.
    next: Option<Next<'a>>,
}

impl Going<'_> {
    /// Whether it goes on after this step; tells of it if not.
    #[inline]
    fn goes_on(&self, step: ControlFlow<End>, ended: &mut impl FnMut(usize, End, usize)) -> bool {
        let Break(end) = step else { return true };
        ended(self.asked, end, self.walk.looks());
        false
    }
}
