//! The next base from an older one and the changes since: what no change touches is copied in whole
//! stretches, as it stands. Ids of names and places of extras stay what they were, so a copied row is right
//! as it is. Knows no layer: whoever calls gives the changes in order.

use std::cmp::Ordering;

use super::{Base, Full, Place, note_crowd};
use crate::index::binding::SubjectKey;
use crate::index::hints::{Crowd, NameUses, Nested};
use crate::index::layer::Held;
use crate::index::names::{Names, ObjectId};
use crate::index::part::ByScope;
use crate::index::rows::{Entry, ExtraId, Extras, Other, Packed, Row};
use crate::model::form::{NameId, TypeId};

/// A change: the tuple that is put, or that goes.
#[derive(Debug, Clone, Copy)]
struct Changed {
    scope: ObjectId,
    role: NameId,
    subject: Packed,
    /// What the tuple has beside these; of one that goes, any with its source.
    extra: ExtraId,
    is_put: bool,
}

impl Changed {
    fn row(&self) -> Row {
        Row { subject: self.subject, role: self.role, extra: self.extra }
    }

    fn entry(&self) -> Entry {
        Entry { role: self.role, scope: self.scope, extra: self.extra }
    }

    fn other(&self) -> Other {
        Other { subject: self.subject, entry: self.entry() }
    }
}

impl Base {
    /// The base that these changes make of this one; in the order of [`ByScope`], each identity once. `names`
    /// are this base's, and after them those that are new. Costs a copy of this base, for each change a
    /// look-up among the tuples of its scope and of its subject, and a look at all tuples of each scope that is changed:
    /// who stands there is noted anew.
    pub(in crate::index) fn spliced<'a>(
        &self,
        names: Names,
        changes: impl Iterator<Item = (&'a ByScope, &'a Held)>,
    ) -> Result<Self, Full> {
        let mut extras = self.extras.to_add();
        let mut changed = changes
            .map(|(key, held)| noted(&mut extras, key, held))
            .collect::<Result<Vec<_>, Full>>()?;
        let mut places = self.places_for(&names);
        let source = |extra| extras.source(extra);
        let by_row = |a: &Row, b: &Row| {
            let place = (a.role, a.subject).cmp(&(b.role, b.subject));
            place.then_with(|| source(a.extra).cmp(&source(b.extra)))
        };
        let by_entry = |a: &Entry, b: &Entry| {
            let place = (a.role, a.scope).cmp(&(b.role, b.scope));
            place.then_with(|| source(a.extra).cmp(&source(b.extra)))
        };
        let by_other =
            |a: &Other, b: &Other| a.subject.cmp(&b.subject).then(by_entry(&a.entry, &b.entry));
        let mut gone = Vec::new();
        let rows = {
            let scope = |one: &Changed| Some(one.scope);
            let splice = Splice { old: &self.rows, item: Changed::row, order: by_row };
            let mut dropped = |row: &Row| gone.push(row.extra);
            splice.by_owner(&changed, scope, &mut places, |place| &mut place.rows, &mut dropped)?
        };
        let mut blooms = self.blooms.clone();
        for group in changed.chunk_by(|a, b| a.scope == b.scope) {
            let Some(Changed { scope, .. }) = group.first() else { continue };
            let at = scope.0 as usize;
            if let Some([place, next]) = places.get_mut(at..at.saturating_add(2)) {
                let rows = rows.get(place.rows as usize..next.rows as usize).unwrap_or_default();
                note_crowd(&self.uses, (*scope, rows), &mut place.crowd, &mut blooms);
            }
        }
        changed.sort_by(|a, b| by_other(&a.other(), &b.other()));
        let plain = changed.partition_point(|one| one.subject.object().is_some());
        let (of_objects, of_others) = changed.split_at_checked(plain).unwrap_or((&changed, &[]));
        let entries = {
            let subject = |one: &Changed| one.subject.object();
            let splice = Splice { old: &self.entries, item: Changed::entry, order: by_entry };
            splice.by_owner(
                of_objects,
                subject,
                &mut places,
                |place| &mut place.entries,
                &mut |_| {},
            )?
        };
        let others = {
            let mut others = Vec::with_capacity(self.others.len() + of_others.len());
            let splice = Splice { old: &self.others, item: Changed::other, order: by_other };
            splice.merge(&self.others, of_others, &mut others, &mut |_| {});
            others.shrink_to_fit();
            others
        };
        place_others(&mut places, &others);
        let uses = self.uses.clone();
        let nested = Nested::of(&uses, &others);
        gone.into_iter().for_each(|extra| extras.release(extra));
        extras.shrink();
        Ok(Self { names, places, rows, entries, others, extras, uses, nested, blooms })
    }

    /// Whether more than half of its extras stand for no tuple any more.
    pub(in crate::index) fn is_worn(&self) -> bool {
        self.extras.is_mostly_unused()
    }

    pub(in crate::index) fn into_names(self) -> Names {
        self.names
    }

    /// What its model uses names for.
    pub(in crate::index) fn uses(&self) -> &NameUses {
        &self.uses
    }

    /// The places of this base, and for each new name one where nothing is.
    fn places_for(&self, names: &Names) -> Vec<Place> {
        // Lengths fit: a base has no more tuples than a place can say.
        let end = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let after_all = Place {
            rows: end(self.rows.len()),
            entries: end(self.entries.len()),
            others: end(self.others.len()),
            // The last place is nobody's: it has no type.
            type_id: TypeId(0),
            crowd: Crowd::default(),
        };
        let known = self.names.count();
        let mut places = Vec::with_capacity(names.count() as usize + 1);
        places.extend_from_slice(self.places.get(..known as usize).unwrap_or_default());
        let types = (known..names.count()).map(|id| names.type_of(ObjectId(id)));
        let new = types.map(|of| Place { type_id: of.unwrap_or(TypeId(0)), ..after_all });
        places.extend(new);
        places.push(after_all);
        places
    }
}

fn noted(extras: &mut Extras, key: &ByScope, held: &Held) -> Result<Changed, Full> {
    let ByScope { scope, role, subject, source } = *key;
    let (carried, is_put) = match held {
        Held::Put(carried) => (carried.clone(), true),
        Held::Deleted => (None, false),
    };
    let extra = extras.add(source, carried).ok_or(Full)?;
    Ok(Changed { scope, role, subject: Packed::of(subject), extra, is_put })
}

/// Where the others of each object's sets start.
fn place_others(places: &mut [Place], others: &[Other]) {
    let mut at = 0_usize;
    for (object, place) in (0..).map(ObjectId).zip(places) {
        let first = Packed::of(SubjectKey::Set(object, NameId(0)));
        let rest = others.get(at..).unwrap_or_default();
        at += rest.iter().take_while(|other| other.subject < first).count();
        // There are no more others than rows, and each of those has a place of 32 bits.
        place.others = u32::try_from(at).unwrap_or(u32::MAX);
    }
}

/// Items of one kind, in order, into which changes go.
struct Splice<'a, T, I, O> {
    old: &'a [T],
    item: I,
    order: O,
}

impl<T: Copy, I: Fn(&Changed) -> T, O: Fn(&T, &T) -> Ordering> Splice<'_, T, I, O> {
    /// The items of all owners one after the other; `start` is where each owner's begin, before and after.
    fn by_owner(
        &self,
        changed: &[Changed],
        owner: impl Fn(&Changed) -> Option<ObjectId>,
        places: &mut [Place],
        start: impl Fn(&mut Place) -> &mut u32,
        dropped: &mut impl FnMut(&T),
    ) -> Result<Vec<T>, Full> {
        let puts = changed.iter().filter(|one| one.is_put).count();
        let mut items = Vec::with_capacity(self.old.len() + puts);
        // Up to where the old ones are done, and the places of their owners.
        let (mut done, mut placed) = (0_usize, 0_usize);
        for group in changed.chunk_by(|a, b| owner(a) == owner(b)) {
            let Some(of) = group.first().and_then(&owner) else { continue };
            let of = of.0 as usize;
            let mut start_at = |at: usize| places.get_mut(at).map(|place| *start(place) as usize);
            let (Some(first), Some(end)) = (start_at(of), start_at(of + 1)) else {
                return Err(Full);
            };
            items.extend_from_slice(self.old.get(done..first).unwrap_or_default());
            shift(places.get_mut(placed..=of), &start, first, items.len())?;
            let old = self.old.get(first..end).unwrap_or_default();
            self.merge(old, group, &mut items, dropped);
            (done, placed) = (end, of + 1);
        }
        items.extend_from_slice(self.old.get(done..).unwrap_or_default());
        shift(places.get_mut(placed..), &start, self.old.len(), items.len())?;
        items.shrink_to_fit();
        Ok(items)
    }

    /// Adds these old items with these changes; both are in order.
    fn merge(
        &self,
        mut old: &[T],
        changed: &[Changed],
        items: &mut Vec<T>,
        dropped: &mut impl FnMut(&T),
    ) {
        for one in changed {
            let item = (self.item)(one);
            let before = old.partition_point(|old| (self.order)(old, &item).is_lt());
            let (copied, rest) = old.split_at_checked(before).unwrap_or((old, &[]));
            items.extend_from_slice(copied);
            old = match rest.split_first() {
                Some((same, rest)) if (self.order)(same, &item).is_eq() => {
                    dropped(same);
                    rest
                }
                _ => rest,
            };
            if one.is_put {
                items.push(item);
            }
        }
        items.extend_from_slice(old);
    }
}

/// Moves where the items of some owners start, by as much as what stood at `from` moved to `to`.
fn shift(
    places: Option<&mut [Place]>,
    start: impl Fn(&mut Place) -> &mut u32,
    from: usize,
    to: usize,
) -> Result<(), Full> {
    let (from, to) = (u32::try_from(from).map_err(|_| Full)?, u32::try_from(to).map_err(|_| Full)?);
    let by = to.wrapping_sub(from);
    for place in places.unwrap_or_default() {
        let start = start(place);
        *start = start.wrapping_add(by);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::index::base::Making;
    use crate::index::binding::Details;
    use crate::index::part::{Bounds, Part};
    use crate::index::rows::Carried;
    use std::collections::BTreeMap;

    type Tuples = BTreeMap<ByScope, Carried>;

    fn details(reason: u32) -> Carried {
        let (grantor, reason) = (String::new(), reason.to_string());
        let (expires_at, condition, granted_at) = (None, None, None);
        Some(Arc::new(Details { expires_at, condition, grantor, reason, granted_at }))
    }

    /// Objects of low numbers are met often.
    fn random_key(random: &mut fastrand::Rng, names: u32) -> ByScope {
        let mut object = || {
            let below = if random.bool() { names } else { names.min(4) };
            ObjectId(random.u32(..below))
        };
        let (scope, standing) = (object(), object());
        let subject = match random.u32(..6) {
            0 => SubjectKey::All(TypeId(random.u16(..3))),
            1 => SubjectKey::Set(standing, NameId(random.u32(..2))),
            _ => SubjectKey::Object(standing),
        };
        let source = if random.u32(..4) == 0 { random.u32(..3) } else { 0 };
        ByScope { scope, role: NameId(random.u32(..3)), subject, source }
    }

    fn named(names: &mut Names, count: u32) {
        for id in names.count()..count {
            let of = TypeId(u16::try_from(id % 3).unwrap());
            names.intern(&format!("user:{id}"), of).unwrap();
        }
    }

    fn made(tuples: &Tuples, names: Names) -> Base {
        let mut making = Making::with_capacity(tuples.len(), NameUses::of_each_kind());
        for (key, carried) in tuples {
            making.push(key, carried.clone()).unwrap();
        }
        making.finish(names).unwrap()
    }

    /// All that a base holds, with what its extras say in place of where they stand.
    fn written(base: &Base) -> String {
        let extra = |extra| (base.extras.source(extra), base.extras.carried(extra));
        let entry = |entry: &Entry| (entry.role, entry.scope, extra(entry.extra));
        let rows: Vec<_> =
            base.rows.iter().map(|row| (row.subject, row.role, extra(row.extra))).collect();
        let entries: Vec<_> = base.entries.iter().map(entry).collect();
        let others: Vec<_> =
            base.others.iter().map(|other| (other.subject, entry(&other.entry))).collect();
        let blooms: BTreeMap<_, _> = base.blooms.iter().collect();
        let hints = (&base.nested, blooms);
        format!("{:?}\n{rows:?}\n{entries:?}\n{others:?}\n{hints:?}", base.places)
    }

    #[test]
    fn a_spliced_base_is_the_one_that_is_made_of_all_its_tuples() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..60 {
            let mut names = Names::default();
            let mut count = random.u32(1..40);
            named(&mut names, count);
            let mut tuples = Tuples::new();
            let mut base = made(&tuples, names);
            for _ in 0..6 {
                count += random.u32(..6);
                let mut names = base.names.clone();
                named(&mut names, count);
                let mut changes = BTreeMap::new();
                for at in 0..random.u32(..60) {
                    let known = tuples.len();
                    let old = (known > 0 && random.bool())
                        .then(|| tuples.keys().nth(random.usize(..known)).copied());
                    let key = old.flatten().unwrap_or_else(|| random_key(&mut random, count));
                    let carried = if random.bool() { details(at) } else { None };
                    // Also of what is not there, as a layer never has it.
                    let is_put = random.u32(..3) > 0;
                    let held = if is_put { Held::Put(carried) } else { Held::Deleted };
                    changes.insert(key, held);
                }
                for (key, held) in &changes {
                    match held {
                        Held::Put(carried) => drop(tuples.insert(*key, carried.clone())),
                        Held::Deleted => drop(tuples.remove(key)),
                    }
                }
                base = base.spliced(names.clone(), changes.iter()).unwrap();
                let whole = made(&tuples, names);
                assert_eq!(written(&base), written(&whole));
                let mut found = Vec::new();
                if let Bounds::Scope(low, high) = Part::All.bounds() {
                    found.extend(base.by_scope(&low, &high).map(|(key, _)| key));
                }
                assert!(found.iter().eq(tuples.keys()));
            }
        }
    }

    #[test]
    fn what_a_deleted_or_replaced_tuple_carried_is_given_back() {
        let (mut names, mut tuples) = (Names::default(), Tuples::new());
        named(&mut names, 10);
        let key = |scope| ByScope {
            scope: ObjectId(scope),
            role: NameId(0),
            subject: SubjectKey::Object(ObjectId(0)),
            source: 0,
        };
        (0..10).for_each(|scope| drop(tuples.insert(key(scope), details(scope))));
        let kept: Vec<_> = tuples.values().flatten().map(Arc::downgrade).collect();
        let base = made(&tuples, names);
        drop(tuples);
        let changes = BTreeMap::from([(key(3), Held::Deleted), (key(5), Held::Put(details(99)))]);
        let next = base.spliced(base.names.clone(), changes.iter()).unwrap();
        drop(base);
        let alive: Vec<_> = kept.iter().map(|details| details.strong_count() > 0).collect();
        assert_eq!(alive, (0..10).map(|scope| scope != 3 && scope != 5).collect::<Vec<_>>());
        assert!(!next.is_worn());
    }

    #[test]
    fn a_base_is_worn_when_most_of_its_extras_were_replaced() {
        let (mut names, mut tuples) = (Names::default(), Tuples::new());
        named(&mut names, 10);
        let key = |scope| ByScope {
            scope: ObjectId(scope),
            role: NameId(0),
            subject: SubjectKey::Object(ObjectId(0)),
            source: 0,
        };
        (0..10).for_each(|scope| drop(tuples.insert(key(scope), details(0))));
        let mut base = made(&tuples, names);
        for round in 1..=2 {
            assert!(!base.is_worn());
            let changes: Tuples = (0..10).map(|scope| (key(scope), details(round))).collect();
            let changes: BTreeMap<_, _> =
                changes.into_iter().map(|(key, carried)| (key, Held::Put(carried))).collect();
            base = base.spliced(base.names.clone(), changes.iter()).unwrap();
        }
        // Twenty of thirty.
        assert!(base.is_worn());
    }
}
