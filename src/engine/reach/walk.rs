//! The way from a stage and a scope upwards, one object after the other, and whether a role is bound at one of
//! them for whoever asks. A walk takes its steps one by one, so that several can go on side by side.

use std::ops::ControlFlow::{self, Break, Continue};

use smallvec::SmallVec;

use super::map::{Map, Stage, StageId, Up};
use super::{FEW_TUPLES, Ground, Keys, Looks};
use crate::index::{Entry, ObjectId, Packed, Row, Rows, rows_of};
use crate::model::form::{HAS, NameId};

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

/// Whether some way leads from this stage and scope to a role bound for one of the keys. `None`: that is not
/// certain. Costs what stands above the scope, within bounds of its own.
pub(in crate::engine) fn reach<'a>(
    ground: &Ground<'a>,
    map: &'a Map,
    (stage, scope): (StageId, ObjectId),
    keys: &'a Keys,
    looks: &mut Looks,
) -> End {
    let rows = ground.settled.rows(scope);
    let (end, looked) =
        go(ground, map, Place { scope, stage: map.stage(stage)?, rows }, keys, *looks);
    *looks = looked;
    end
}

/// The same from a place, and how much was looked at then: straight on as far as there is one way.
#[inline]
fn go<'a>(
    ground: &Ground<'a>,
    map: &'a Map,
    mut at: Place<'a>,
    keys: &'a Keys,
    mut looks: Looks,
) -> (End, Looks) {
    let mut objects = MANY_OBJECTS;
    while let Some(left) = objects.checked_sub(1) {
        let (found, looked) = straight(ground, keys, &at);
        if matches!(found, Straight::Winding) {
            return wind(ground, map, at, keys, (looks, objects));
        }
        if looks.more(looked).is_none() {
            return (None, looks);
        }
        let next = match found {
            Straight::Above(row) => Next::by(at.stage, row),
            Straight::Bound => return (Some(true), looks),
            Straight::Top | Straight::Winding => None,
        };
        let Some(next) = next else { return (keys.are_all.then_some(false), looks) };
        match arrive(ground, map, (next, ground.settled.rows(next.object))) {
            Arrival::At(place) => at = place,
            Arrival::Nowhere => return (keys.are_all.then_some(false), looks),
            Arrival::Unknown => return (None, looks),
        }
        objects = left;
    }
    (None, looks)
}

/// The same wherever it may lead, to so many objects at most.
#[inline(never)]
fn wind<'a>(
    ground: &Ground<'a>,
    map: &'a Map,
    mut at: Place<'a>,
    keys: &'a Keys,
    (looks, objects): (Looks, usize),
) -> (End, Looks) {
    let mut walk = Walk::new(keys, looks);
    for _ in 0..objects {
        match walk.step(ground, map, at) {
            Continue(next) => at = next,
            Break(end) => return (end, walk.seeker.looks),
        }
    }
    (None, walk.seeker.looks)
}

/// What the tuples of a place say.
#[derive(Clone, Copy)]
enum Straight<'a> {
    /// A role is bound here.
    Bound,
    /// None is, and one way leads up: by this tuple.
    Above(&'a Row),
    /// None is, and nothing stands above.
    Top,
    /// There is more to them: they lead up in several ways, or one that matters carries something.
    Winding,
}

/// What the tuples here say, mostly by the first of them alone, as relations come first and nobody of ours is in them;
/// and how many were looked at.
#[inline]
fn straight<'a>(ground: &Ground<'a>, keys: &Keys, at: &Place<'a>) -> (Straight<'a>, usize) {
    let Place { scope, stage, rows: Some(rows) } = at else { return (Straight::Winding, 0) };
    let looked = rows.all.len().min(FEW_TUPLES);
    let Some((first, rest)) = past_facts(rows.all).split_first() else {
        return (Straight::Top, looked);
    };
    let leads_nowhere = |row: &Row| stage.is_past_relations(row.role);
    if keys.may_be_in(ground, (*scope, rows)) | !leads_nowhere(Row::first_of(rest)) {
        let few = rows.all.len() <= FEW_TUPLES;
        let found = if few { by_all(keys, stage, rows.all) } else { Straight::Winding };
        return (found, looked);
    }
    // Whether anything is asked where it leads shows there.
    let found = match first.is_bare() {
        _ if leads_nowhere(first) => Straight::Top,
        true => Straight::Above(first),
        false => Straight::Winding,
    };
    (found, looked)
}

/// The tuples behind those of facts, which come first.
#[inline]
fn past_facts(rows: &[Row]) -> &[Row] {
    if Row::first_of(rows).role != HAS {
        return rows;
    }
    let facts = rows.iter().take_while(|row| row.role == HAS).count();
    rows.get(facts..).unwrap_or_default()
}

/// The same by a look at each. Not inlined: with what its caller knows it would not fit into the processor's registers.
#[inline(never)]
fn by_all<'a>(keys: &Keys, stage: &Stage, rows: &'a [Row]) -> Straight<'a> {
    let mut found = Straight::Top;
    for row in rows {
        if stage.leads_up(row.role) {
            found = match found {
                Straight::Top if row.is_bare() => Straight::Above(row),
                _ => return Straight::Winding,
            };
        }
        if keys.mask.may_have(row.subject) && binds(keys, &stage.here, row) {
            return if row.is_bare() { Straight::Bound } else { Straight::Winding };
        }
    }
    found
}

/// Whether a tuple binds one of these roles for one of the keys.
#[inline]
fn binds(keys: &Keys, here: &[NameId], row: &Row) -> bool {
    keys.all.contains(&row.subject) && has(here, row.role)
}

/// Where a way leads.
enum Arrival<'a> {
    At(Place<'a>),
    /// Nothing is asked of an object of that type.
    Nowhere,
    /// The object has no type.
    Unknown,
}

/// Goes on to an object, of which these are the type and the tuples.
#[inline(always)]
fn arrive<'a>(
    ground: &Ground<'a>,
    map: &'a Map,
    (Next { from, relation, object: scope }, there): (Next<'a>, Option<Rows<'a>>),
) -> Arrival<'a> {
    let of = there.map(|rows| rows.type_id).or_else(|| ground.snapshot.type_of(scope));
    let Some(of) = of else { return Arrival::Unknown };
    let Some(id) = from.above(relation, of) else { return Arrival::Nowhere };
    let at = |stage| Arrival::At(Place { scope, stage, rows: there });
    map.stage(id).map_or(Arrival::Unknown, at)
}

/// Whether one of these roles, which stand in order and carry plain sets only, is bound at this very scope
/// for one of the keys. `None`: that is not certain.
pub(in crate::engine) fn bound_here(
    ground: &Ground<'_>,
    roles: &[NameId],
    scope: ObjectId,
    keys: &Keys,
    looks: &mut Looks,
) -> End {
    let mut seeker = Seeker::new(keys, *looks);
    let is_bound = match ground.settled.rows(scope) {
        Some(rows) if !keys.may_be_in(ground, (scope, &rows)) => Some(false),
        Some(rows) if rows.all.len() <= FEW_TUPLES => {
            let (mask, looked) = (keys.mask, seeker.looks.more(rows.all.len()));
            looked.map(|()| {
                let mut ours = rows.all.iter().filter(|row| mask.may_have(row.subject));
                ours.any(|row| seeker.is_bound(ground, roles, (scope, row)))
            })
        }
        _ => seeker.look_up(ground, roles, scope),
    };
    *looks = seeker.looks;
    if is_bound? { Some(true) } else { seeker.is_certain.then_some(false) }
}

/// Who asks, and how much was looked at for it.
struct Seeker<'a> {
    keys: &'a Keys,
    looks: Looks,
    /// Nothing was met that a condition decides.
    is_certain: bool,
}

impl<'a> Seeker<'a> {
    #[inline]
    fn new(keys: &'a Keys, looks: Looks) -> Self {
        Self { keys, looks, is_certain: keys.are_all }
    }

    /// Whether a row binds one of these roles for one of the keys.
    #[inline]
    fn is_bound(
        &mut self,
        ground: &Ground<'_>,
        here: &[NameId],
        (scope, row): (ObjectId, &Row),
    ) -> bool {
        if !binds(self.keys, here, row) {
            return false;
        }
        let counts = ground.row_counts(scope, row);
        self.is_certain &= counts.is_some();
        counts == Some(true)
    }

    /// Whether one of these roles is bound here, found from the subject: of the many tuples here it has a few.
    fn look_up(&mut self, ground: &Ground<'_>, here: &[NameId], scope: ObjectId) -> Option<bool> {
        let keys = self.keys;
        for key in keys.all.iter().map(|key| key.subject()).filter(|_| !here.is_empty()) {
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
    pub(super) rows: Option<Rows<'a>>,
}

/// An object that stands above another.
#[derive(Clone, Copy)]
pub(super) struct Next<'a> {
    /// What was asked of the other, and by which relation it leads here.
    from: &'a Stage,
    relation: NameId,
    pub(super) object: ObjectId,
}

impl<'a> Next<'a> {
    /// Where a tuple of a relation leads. `None`: to no object.
    #[inline]
    fn by(from: &'a Stage, row: &Row) -> Option<Self> {
        row.subject.object().map(|object| Self { from, relation: row.role, object })
    }
}

/// A walk, which may lead to many objects.
pub(super) struct Walk<'a> {
    seeker: Seeker<'a>,
    /// What is still to be visited.
    above: SmallVec<[Next<'a>; 2]>,
}

impl<'a> Walk<'a> {
    /// One that has not begun, of which so much was looked at before.
    #[inline]
    pub(super) fn new(keys: &'a Keys, looks: Looks) -> Self {
        Self { seeker: Seeker::new(keys, looks), above: SmallVec::new() }
    }

    /// Whom it is for.
    pub(super) fn keys(&self) -> &'a Keys {
        self.seeker.keys
    }

    /// How much was looked at.
    pub(super) fn looks(&self) -> usize {
        self.seeker.looks.taken()
    }

    /// One object further.
    fn step(
        &mut self,
        ground: &Ground<'a>,
        map: &'a Map,
        at: Place<'a>,
    ) -> ControlFlow<End, Place<'a>> {
        let next = self.look(ground, at)?;
        self.arrive(ground, map, (next, ground.settled.rows(next.object)))
    }

    /// Looks where it stands, and finds where to go next.
    #[inline]
    pub(super) fn look(
        &mut self,
        ground: &Ground<'a>,
        at: Place<'a>,
    ) -> ControlFlow<End, Next<'a>> {
        let is_bound = match straight(ground, self.seeker.keys, &at) {
            (Straight::Winding, _) => match at.rows {
                Some(rows) if rows.all.len() <= FEW_TUPLES => {
                    self.look_through(ground, at, rows.all)
                }
                _ => self.visit(ground, at),
            },
            (found, looked) => {
                let looked = self.seeker.looks.more(looked);
                if let (Some(()), Straight::Above(row)) = (looked, found)
                    && let Some(next) = Next::by(at.stage, row)
                {
                    return Continue(next);
                }
                looked.map(|()| matches!(found, Straight::Bound))
            }
        };
        if is_bound != Some(false) {
            return Break(is_bound);
        }
        self.above.pop().map_or_else(|| Break(self.end()), Continue)
    }

    /// Goes on to where it is next, of which these are the type and the tuples; or, if nothing is asked of
    /// such a type, to where it can.
    #[inline]
    pub(super) fn arrive(
        &mut self,
        ground: &Ground<'a>,
        map: &'a Map,
        mut next: (Next<'a>, Option<Rows<'a>>),
    ) -> ControlFlow<End, Place<'a>> {
        loop {
            match arrive(ground, map, next) {
                Arrival::At(place) => return Continue(place),
                Arrival::Unknown => return Break(None),
                Arrival::Nowhere => {}
            }
            let Some(other) = self.above.pop() else { return Break(self.end()) };
            next = (other, ground.settled.rows(other.object));
        }
    }

    /// What it ends in where nothing more is above.
    fn end(&self) -> End {
        self.seeker.is_certain.then_some(false)
    }

    /// Whether some role of the stage is bound here; notes what is above. `None`: it takes too long.
    #[inline(never)]
    fn visit(&mut self, ground: &Ground<'a>, at: Place<'a>) -> Option<bool> {
        let Place { scope, stage, rows } = at;
        let may_be_here = |rows: &Rows<'_>| self.seeker.keys.may_be_in(ground, (scope, rows));
        if rows.as_ref().is_none_or(may_be_here)
            && self.seeker.look_up(ground, &stage.here, scope)?
        {
            return Some(true);
        }
        for up in stage.up.chunk_by(|a, b| a.relation == b.relation) {
            let Some(Up { relation, .. }) = up.first() else { continue };
            match rows {
                Some(rows) => {
                    for row in rows_of(rows.all, *relation) {
                        self.seeker.looks.more(1)?;
                        self.go_up((stage, *relation), row.subject, ground.row_counts(scope, row));
                    }
                }
                None => {
                    for binding in ground.snapshot.all_bound(scope, *relation) {
                        self.seeker.looks.more(1)?;
                        let counts = ground.counts(&binding);
                        self.go_up((stage, *relation), Packed::of(binding.subject), counts);
                    }
                }
            }
        }
        Some(false)
    }

    /// The same by a look at each of these tuples, which are few.
    #[inline(never)]
    fn look_through(
        &mut self,
        ground: &Ground<'a>,
        Place { scope, stage, .. }: Place<'a>,
        rows: &[Row],
    ) -> Option<bool> {
        self.seeker.looks.more(rows.len())?;
        let mask = self.seeker.keys.mask;
        for row in rows {
            if stage.leads_up(row.role) {
                self.go_up((stage, row.role), row.subject, ground.row_counts(scope, row));
            }
            if mask.may_have(row.subject) && self.seeker.is_bound(ground, &stage.here, (scope, row))
            {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Notes where a tuple leads.
    #[inline]
    fn go_up(
        &mut self,
        (from, relation): (&'a Stage, NameId),
        target: Packed,
        counts: Option<bool>,
    ) {
        let Some(object) = target.object() else { return };
        match counts {
            Some(true) => self.above.push(Next { from, relation, object }),
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
