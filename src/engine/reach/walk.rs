//! The way from a stage and a scope upwards, one object after the other, and whether a role is bound at one of
//! them for whoever asks. A walk takes its steps one by one, so that several can go on side by side.

use std::ops::ControlFlow::{self, Break, Continue};

use smallvec::SmallVec;

use super::map::{Map, Stage, StageId, Up};
use super::{FEW_TUPLES, Ground, Keys, Looks};
use crate::engine::rough::Rough;
use crate::index::{Entry, ObjectId, Packed, Row, rows_of};
use crate::model::form::{NameId, TypeId};

/// More objects than this above a scope, and they are no short way.
pub(super) const MANY_OBJECTS: usize = 64;
/// So many of a subject's tuples are looked through for each role that would be looked up among them, ...
const TUPLES_A_ROLE: usize = 32;
/// ... and not more than this.
const MANY_TUPLES: usize = 1_024;
/// So many roles are compared one by one.
const FEW_ROLES: usize = 8;

/// What a walk ends in; `None`: it is not certain.
pub(super) type End = Option<bool>;

/// An object's type, and its tuples as a scope, if they stand in the base.
pub(super) type Typed<'a> = Option<(TypeId, &'a [Row])>;

/// Whether some way leads from this stage and scope to a role bound for one of the keys. `None`: that is not
/// certain. Costs what stands above the scope, within bounds of its own.
pub(in crate::engine) fn reach(
    ground: Ground<'_>,
    map: &Map,
    (stage, scope): (StageId, ObjectId),
    keys: &Keys,
    looks: &mut Looks,
) -> End {
    let rows = ground.settled.rows(scope).map(|(_, rows)| rows);
    let (mut walk, mut end) = (Walk::new(keys, *looks), None);
    let mut at = Place { scope, stage: map.stage(stage)?, rows };
    for _ in 0..MANY_OBJECTS {
        match walk.step(ground, map, at) {
            Continue(next) => at = next,
            Break(ended) => {
                end = ended;
                break;
            }
        }
    }
    *looks = walk.seeker.looks;
    end
}

/// Whether one of these roles, which stand in order and carry plain sets only, is bound at this very scope
/// for one of the keys. `None`: that is not certain.
pub(in crate::engine) fn bound_here(
    ground: Ground<'_>,
    roles: &[NameId],
    scope: ObjectId,
    keys: &Keys,
    looks: &mut Looks,
) -> End {
    let mut seeker = Seeker::new(keys, *looks);
    let is_bound = match ground.settled.rows(scope) {
        Some((_, rows)) if rows.len() <= FEW_TUPLES => {
            let (mask, looked) = (seeker.mask, seeker.looks.more(rows.len()));
            looked.map(|()| {
                let mut ours = rows.iter().filter(|row| mask.may_have(row.subject));
                ours.any(|row| seeker.is_bound(ground, roles, (scope, row)))
            })
        }
        _ => seeker.look_up(&ground, roles, scope),
    };
    *looks = seeker.looks;
    if is_bound? { Some(true) } else { seeker.is_certain.then_some(false) }
}

/// Who asks, and how much was looked at for it.
struct Seeker<'a> {
    keys: &'a [Packed],
    /// The same: most tuples are nobody's of these.
    mask: Rough,
    looks: Looks,
    /// Nothing was met that a condition decides.
    is_certain: bool,
}

impl<'a> Seeker<'a> {
    #[inline]
    fn new(keys: &'a Keys, looks: Looks) -> Self {
        let Keys { all, are_all } = keys;
        let mask = Rough::of(all.iter().copied());
        Self { keys: all, mask, looks, is_certain: *are_all }
    }

    /// Whether a row binds one of these roles for one of the keys.
    #[inline]
    fn is_bound(
        &mut self,
        ground: Ground<'_>,
        here: &[NameId],
        (scope, row): (ObjectId, &Row),
    ) -> bool {
        if !self.keys.contains(&row.subject) || !has(here, row.role) {
            return false;
        }
        let counts = ground.row_counts(scope, row);
        self.is_certain &= counts.is_some();
        counts == Some(true)
    }

    /// Whether one of these roles is bound here, found from the subject: of the many tuples here it has a few.
    fn look_up(&mut self, ground: &Ground<'_>, here: &[NameId], scope: ObjectId) -> Option<bool> {
        let keys = self.keys;
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
}

/// Where a walk stands, and what is asked there.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) scope: ObjectId,
    pub(super) stage: &'a Stage,
    /// The tuples here, if they stand in the base.
    pub(super) rows: Option<&'a [Row]>,
}

/// An object that stands above another, and what is asked there.
pub(super) type Next<'a> = (&'a Up, ObjectId);

/// A walk.
pub(super) struct Walk<'a> {
    seeker: Seeker<'a>,
    /// What is still to be visited: mostly there is one parent.
    next: Option<Next<'a>>,
    above: SmallVec<[Next<'a>; 2]>,
}

impl<'a> Walk<'a> {
    /// One that has not begun, of which so much was looked at before.
    #[inline]
    pub(super) fn new(keys: &'a Keys, looks: Looks) -> Self {
        Self { seeker: Seeker::new(keys, looks), next: None, above: SmallVec::new() }
    }

    /// How much was looked at.
    pub(super) fn looks(&self) -> usize {
        self.seeker.looks.taken()
    }

    /// One object further.
    #[inline(always)]
    fn step(
        &mut self,
        ground: Ground<'a>,
        map: &'a Map,
        at: Place<'a>,
    ) -> ControlFlow<End, Place<'a>> {
        let next = self.look(ground, at)?;
        self.arrive(ground, map, (next, ground.settled.rows(next.1)))
    }

    /// Looks where it stands, and finds where to go next. Always inlined: it is most of what a decision costs.
    #[inline(always)]
    pub(super) fn look(&mut self, ground: Ground<'a>, at: Place<'a>) -> ControlFlow<End, Next<'a>> {
        let is_bound = match at.rows {
            Some(rows) if rows.len() <= FEW_TUPLES => self.look_through(ground, at, rows),
            _ => self.visit(&ground, at),
        };
        if is_bound != Some(false) {
            return Break(is_bound);
        }
        let next = self.next.take().or_else(|| self.above.pop());
        next.map_or_else(|| Break(self.end()), Continue)
    }

    /// Goes on to where it is next, of which these are the type and the tuples; or, if nothing is asked of
    /// such a type, to where it can.
    #[inline(always)]
    pub(super) fn arrive(
        &mut self,
        ground: Ground<'a>,
        map: &'a Map,
        ((mut up, mut scope), mut there): (Next<'a>, Typed<'a>),
    ) -> ControlFlow<End, Place<'a>> {
        loop {
            let of = there.map(|(of, _)| of).or_else(|| ground.snapshot.type_of(scope));
            let Some(of) = of else { return Break(None) };
            if let Some(id) = up.at(of) {
                let Some(stage) = map.stage(id) else { return Break(None) };
                return Continue(Place { scope, stage, rows: there.map(|(_, rows)| rows) });
            }
            let Some(next) = self.above.pop() else { return Break(self.end()) };
            (up, scope) = next;
            there = ground.settled.rows(scope);
        }
    }

    /// What it ends in where nothing more is above.
    fn end(&self) -> End {
        self.seeker.is_certain.then_some(false)
    }

    /// Whether some role of the stage is bound here; notes what is above. `None`: it takes too long.
    #[inline(never)]
    fn visit(&mut self, ground: &Ground<'a>, at: Place<'a>) -> Option<bool> {
        let Place { scope, stage: Stage { here, up, .. }, rows } = at;
        if self.seeker.look_up(ground, here, scope)? {
            return Some(true);
        }
        for up in up {
            match rows {
                Some(rows) => {
                    for row in rows_of(rows, up.relation) {
                        self.seeker.looks.more(1)?;
                        self.go_up(up, row.subject, ground.row_counts(scope, row));
                    }
                }
                None => {
                    for binding in ground.snapshot.all_bound(scope, up.relation) {
                        self.seeker.looks.more(1)?;
                        let counts = ground.counts(&binding);
                        self.go_up(up, Packed::of(binding.subject), counts);
                    }
                }
            }
        }
        Some(false)
    }

    /// The same by a look at each of these tuples, which are few.
    #[inline(always)]
    fn look_through(
        &mut self,
        ground: Ground<'a>,
        Place { scope, stage, .. }: Place<'a>,
        rows: &[Row],
    ) -> Option<bool> {
        self.seeker.looks.more(rows.len())?;
        let (relations, mask) = (stage.relations, self.seeker.mask);
        for row in rows {
            let is_ours = mask.may_have(row.subject);
            if !(is_ours | relations.may_have(row.role)) {
                continue;
            }
            if let Some(up) = stage.up.iter().find(|up| up.relation == row.role) {
                self.go_up(up, row.subject, ground.row_counts(scope, row));
            }
            if is_ours && self.seeker.is_bound(ground, &stage.here, (scope, row)) {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Notes where a tuple leads.
    #[inline]
    fn go_up(&mut self, up: &'a Up, target: Packed, counts: Option<bool>) {
        let Some(target) = target.object() else { return };
        match counts {
            Some(true) if self.next.is_none() => self.next = Some((up, target)),
            Some(true) => self.above.push((up, target)),
            Some(false) => {}
            None => self.seeker.is_certain = false,
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
