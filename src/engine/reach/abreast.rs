//! Several walks side by side. What a step reads from memory is read for all of them before any of them looks at
//! it, so that the waits overlap, where one walk after the other would wait for each read. Each takes the steps
//! that it would take alone, and ends as it would.

use std::hint::black_box;
use std::ops::ControlFlow::{self, Break, Continue};

use smallvec::SmallVec;

use super::map::{Map, StageId};
use super::walk::{End, MANY_OBJECTS, Next, Place, Walk};
use super::{FEW_TUPLES, Ground, Keys, Looks};
use crate::engine::plan::Plan;
use crate::index::{Crowd, Entry, ObjectId, Other, Rows};
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
    ground: &Ground<'_>,
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
fn read_groups(ground: &Ground<'_>, plan: &Plan, subjects: &[ObjectId]) {
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
        let groups_of = of_groups.map(|entry| entry.scope);
        groups.extend(groups_of.filter(|group| ground.settled.may_nest(*group)));
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
    ground: &Ground<'a>,
    map: &'a Map,
    (known, ways): (&'a [Known], &[Way]),
    looks: Looks,
    mut ended: impl FnMut(usize, End, usize),
) {
    let mut there: [Option<Rows<'a>>; WINDOW] = [None; WINDOW];
    let crowd = |way: &Way| Some(known.get(way.known)?.keys.as_ref()?.crowd);
    let firsts = ways.iter().map(|way| (way.scope, crowd(way).unwrap_or_default()));
    read(ground, firsts, &mut there);
    let mut walks: SmallVec<[Going<'a>; WINDOW]> = SmallVec::new();
    for (way, there) in ways.iter().zip(there) {
        let of = there.map(|rows| rows.type_id).or_else(|| ground.snapshot.type_of(way.scope));
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
        let first = Place { scope: way.scope, stage, rows: there };
        walks.push(Going { asked: way.asked, walk: Walk::new(keys, looks), first, next: None });
    }
    let mut under_way: SmallVec<[&mut Going<'a>; WINDOW]> = walks.iter_mut().collect();
    for _ in 0..MANY_OBJECTS {
        let mut read_before = there.iter().copied();
        under_way.retain(|going| {
            let at = match going.next {
                None => Continue(going.first),
                Some(next) => {
                    let there = read_before.next().flatten();
                    going.walk.arrive(ground, map, (next, there))
                }
            };
            let step = match at {
                Continue(at) => going.walk.look(ground, at),
                Break(end) => Break(end),
            };
            match step {
                Continue(next) => going.next = Some(next),
                Break(end) => ended(going.asked, end, going.walk.looks()),
            }
            step.is_continue()
        });
        if under_way.is_empty() {
            return;
        }
        let crowd = |going: &Going<'_>| going.walk.keys().crowd;
        let next = under_way.iter().filter_map(|going| Some((going.next?.object, crowd(going))));
        read(ground, next, &mut there);
    }
    // Where the last step leads nowhere, that is an end too.
    for (going, there) in under_way.into_iter().zip(there) {
        let arrived = going.next.map(|next| going.walk.arrive(ground, map, (next, there)));
        let end = arrived.and_then(ControlFlow::break_value).flatten();
        ended(going.asked, end, going.walk.looks());
    }
}

/// Reads where the tuples of these objects stand, and then those that will be looked at, for whom each is read.
fn read<'a>(
    ground: &Ground<'a>,
    objects: impl Iterator<Item = (ObjectId, Crowd)>,
    there: &mut [Option<Rows<'a>>; WINDOW],
) {
    let mut crowds = [Crowd::default(); WINDOW];
    let mut count = 0;
    for ((there, crowd), (object, of)) in there.iter_mut().zip(&mut crowds).zip(objects) {
        (*there, *crowd) = (ground.settled.rows(object), of);
        count += 1;
    }
    let ends = |(there, crowd): (&Option<Rows<'a>>, &Crowd)| {
        let Some(rows) = there else { return 0 };
        // A few tuples may stand on two lines of memory. Mostly only the first counts, and what the next is.
        let are_seen = rows.all.len() <= FEW_TUPLES && rows.crowd.may_meet(*crowd);
        let last = if are_seen { rows.all.last() } else { rows.all.get(1) };
        [rows.all.first(), last].into_iter().flatten().filter(|row| row.is_bare()).count()
    };
    black_box(there.iter().zip(&crowds).take(count).map(ends).sum::<usize>());
}

/// A walk under way.
struct Going<'a> {
    asked: usize,
    walk: Walk<'a>,
    /// Where it begins.
    first: Place<'a>,
    /// Where it goes next, once it has looked where it stands.
    next: Option<Next<'a>>,
}
