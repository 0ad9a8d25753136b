//! The names of objects, interned: text to id and back. Ids are dense, never reused and never changed
//! within a process, and a question's unknown names are never interned.
//!
//! [`Names`] are those of a base: texts end to end in pages, which the next base shares, and one table
//! from a text's hash to its id and its place. [`NewNames`] are those that a layer adds: its versions share them, so that a
//! clone costs nothing once they are settled.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::name_table::NameTable;
use super::slots::{Found, Slots};
use super::texts::Texts;
use crate::model::form::TypeId;

/// From here on ids name what one request brought along: contextual tuples' objects from here upwards,
/// a question's own from the top downwards.
pub(super) const OVERLAY_IDS: u32 = u32::MAX / 2;

/// So many names stand in one page.
const PAGE_NAMES: u32 = 1 << 16;
/// What stands behind each text. No text has it: a name has no control characters.
const END: char = '\n';

/// So many texts are looked up side by side: more than the processor reads at once, few enough to stay near it.
const SIDE_BY_SIDE: usize = 64;

/// An object of a snapshot. Ids of the upper half of the range name what one request brought along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u32);

/// The names of a base. Hashed with a key of the process: texts come from outside.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    hasher: RandomState,
    slots: Slots,
    pages: Vec<Arc<Page>>,
    count: u32,
}

#[derive(Debug, Clone, Default)]
struct Page {
    texts: String,
    /// Where each text ends.
    ends: Vec<u32>,
    types: Vec<TypeId>,
}

impl Page {
    fn text(&self, at: usize) -> Option<&str> {
        let end = *self.ends.get(at)?;
        let before = at.checked_sub(1).and_then(|before| self.ends.get(before));
        // Behind the end of the one before.
        let start = before.map_or(0, |end| end + 1);
        self.texts.get(start as usize..end as usize)
    }

    /// Whether the text that begins here is this one.
    #[inline]
    fn has(&self, start: u32, text: &str) -> bool {
        let rest = self.texts.as_bytes().get(start as usize..).unwrap_or_default();
        let behind = rest.strip_prefix(text.as_bytes()).and_then(<[u8]>::first);
        behind == Some(&(END as u8))
    }

    /// Where the text begins that was added.
    fn push(&mut self, text: &str, type_id: TypeId) -> Option<u32> {
        let start = u32::try_from(self.texts.len()).ok()?;
        let end = start.checked_add(u32::try_from(text.len()).ok()?)?;
        self.texts.push_str(text);
        self.texts.push(END);
        self.ends.push(end);
        self.types.push(type_id);
        Some(start)
    }

    fn shrink(&mut self) {
        self.texts.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.types.shrink_to_fit();
    }
}

/// The page of a name, and its place there.
fn place(id: u32) -> (usize, usize) {
    ((id / PAGE_NAMES) as usize, (id % PAGE_NAMES) as usize)
}

/// Of the bytes alone: no text is hashed with anything after it.
fn hash(hasher: &RandomState, text: &str) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(text.as_bytes());
    state.finish()
}

impl Names {
    /// How many there are; their ids are the numbers below.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn find(&self, text: &str) -> Option<ObjectId> {
        self.find_hashed(self.hash(text), text)
    }

    /// What [`find_hashed`](Self::find_hashed) wants to know of a text, here and in the layers above.
    #[inline]
    pub(super) fn hash(&self, text: &str) -> NameHash {
        NameHash(hash(&self.hasher, text))
    }

    /// The hasher that the layers above share.
    pub(super) fn hasher(&self) -> &RandomState {
        &self.hasher
    }

    /// Adds to `found` the id of each text that has one, in their order. The texts are looked up side by side, one
    /// step of each after the other: what a step reads from memory is read for many of them at once.
    pub(super) fn find_each(&self, texts: &[&str], found: &mut Vec<Option<ObjectId>>) {
        for texts in texts.chunks(SIDE_BY_SIDE) {
            let mut all: [(NameHash, Option<Found>); SIDE_BY_SIDE] = [Default::default(); _];
            let Some(seen) = all.get_mut(..texts.len()) else { return };
            for ((hash, _), text) in seen.iter_mut().zip(texts) {
                *hash = self.hash(text);
            }
            for (hash, first) in seen.iter_mut() {
                // Where the hash leads first; mostly it is the one.
                *first = self.slots.find(hash.0, |_| true);
            }
            let begins = |found: &Found| {
                let page = self.pages.get(place(found.id).0)?;
                page.texts.as_bytes().get(found.start as usize)
            };
            let firsts = seen.iter().filter_map(|(_, first)| begins(first.as_ref()?));
            black_box(firsts.filter(|first| **first == 0).count());
            found.extend(texts.iter().zip(&*seen).map(|(text, (hash, first))| match first {
                Some(first) if self.is(*first, text) => Some(ObjectId(first.id)),
                Some(_) => self.find_hashed(*hash, text),
                None => None,
            }));
        }
    }

    #[inline]
    fn is(&self, found: Found, text: &str) -> bool {
        self.pages.get(place(found.id).0).is_some_and(|page| page.has(found.start, text))
    }

    #[inline]
    pub(super) fn find_hashed(&self, NameHash(hash): NameHash, text: &str) -> Option<ObjectId> {
        self.slots.find(hash, |found| self.is(found, text)).map(|found| ObjectId(found.id))
    }

    pub(super) fn text(&self, id: ObjectId) -> Option<&str> {
        let (page, at) = place(id.0);
        self.pages.get(page)?.text(at)
    }

    pub(super) fn type_of(&self, id: ObjectId) -> Option<TypeId> {
        let (page, at) = place(id.0);
        self.pages.get(page)?.types.get(at).copied()
    }

    /// The id of this object, a new one if it has none. `None` when two billion are used up, and of what is no
    /// object's text.
    pub(super) fn intern(&mut self, text: &str, type_id: TypeId) -> Option<ObjectId> {
        // Before it is looked for: it could be two that stand one behind the other.
        if text.contains(END) {
            return None;
        }
        let hashed = self.hash(text);
        if let Some(id) = self.find_hashed(hashed, text) {
            return Some(id);
        }
        let id = Some(self.count).filter(|id| *id < OVERLAY_IDS)?;
        if !self.slots.has_room() {
            self.make_room();
        }
        if id.is_multiple_of(PAGE_NAMES) {
            if let Some(full) = self.pages.last_mut() {
                Arc::make_mut(full).shrink();
            }
            self.pages.push(Arc::default());
        }
        // Only the last page is ever added to; where another base shares it, a copy of it.
        let start = Arc::make_mut(self.pages.last_mut()?).push(text, type_id)?;
        self.count += 1;
        self.slots.insert(hashed.0, Found { id, start })?;
        Some(ObjectId(id))
    }

    /// Costs what there are names; there is room for as many again then.
    fn make_room(&mut self) {
        let mut slots = Slots::for_names(self.count as usize);
        for (page, first) in self.pages.iter().zip((0..).step_by(PAGE_NAMES as usize)) {
            let mut start = 0;
            for (id, end) in (first..).zip(&page.ends) {
                let text = page.texts.get(start as usize..*end as usize).unwrap_or_default();
                // As it was before.
                let _put = slots.insert(hash(&self.hasher, text), Found { id, start });
                start = end + 1;
            }
        }
        self.slots = slots;
    }

    /// Gives back what was kept for more names.
    pub(super) fn shrink(&mut self) {
        if let Some(last) = self.pages.last_mut().and_then(Arc::get_mut) {
            last.shrink();
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ObjectId, &str, TypeId)> {
        (0..self.count).filter_map(|id| {
            let id = ObjectId(id);
            Some((id, self.text(id)?, self.type_of(id)?))
        })
    }
}

/// A text's hash, by the key that the names of a base and of the layers above it share: each look-up goes
/// through all of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NameHash(u64);

/// The names that a layer adds to those beneath it.
///
/// Invariant *settled or fresh*: each is found in the table that the layer's versions share, or among the fresh ones.
/// What others put into the table is no name of this version unless its text stands here.
#[derive(Debug, Clone, Default)]
pub(super) struct NewNames {
    /// How many there are beneath: the id of the first of these.
    first: u32,
    hasher: RandomState,
    texts: Texts,
    table: Arc<NameTable>,
    /// Those of this version alone, by their texts' hashes; where two have the same one, the later stands at the next
    /// number that is free.
    fresh: FxHashMap<u64, ObjectId>,
}

impl NewNames {
    /// None, where so many lie beneath, hashed so.
    pub(super) fn above(count: u32, hasher: &RandomState) -> Self {
        Self { first: count, hasher: hasher.clone(), ..Self::default() }
    }

    /// None, above these.
    pub(super) fn above_these(&self) -> Self {
        Self::above(self.end(), &self.hasher)
    }

    /// How many names there are, those beneath too.
    pub(super) fn end(&self) -> u32 {
        // No id is given that would pass this.
        self.first.saturating_add(u32::try_from(self.texts.len()).unwrap_or(u32::MAX))
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn find(&self, hash: NameHash, text: &str) -> Option<ObjectId> {
        if self.texts.is_empty() {
            return None;
        }
        let is_it = |id: ObjectId| self.get(id).is_some_and(|(found, _)| found == text);
        let settled = || {
            let id = |place: u32| ObjectId(self.first.saturating_add(place));
            self.table.find(hash.0, |place| is_it(id(place))).map(id)
        };
        self.find_fresh(hash, is_it).or_else(settled)
    }

    fn find_fresh(
        &self,
        NameHash(hash): NameHash,
        is_it: impl Fn(ObjectId) -> bool,
    ) -> Option<ObjectId> {
        if self.fresh.is_empty() {
            return None;
        }
        let mut at = hash;
        loop {
            let id = *self.fresh.get(&at)?;
            if is_it(id) {
                return Some(id);
            }
            at = at.wrapping_add(1);
        }
    }

    /// A new id for a name that has none, here or beneath. `None` when two billion are used up.
    pub(super) fn add(
        &mut self,
        NameHash(hash): NameHash,
        text: &Arc<str>,
        type_id: TypeId,
    ) -> Option<ObjectId> {
        let id = ObjectId(Some(self.end()).filter(|id| *id < OVERLAY_IDS)?);
        let mut at = hash;
        // Nothing is ever removed, so a search passes by here too.
        while self.fresh.contains_key(&at) {
            at = at.wrapping_add(1);
        }
        self.fresh.insert(at, id);
        self.texts.push((Arc::clone(text), type_id));
        Some(id)
    }

    /// Puts the fresh ones into the table that the versions share, of which this one is to be the next: its clones
    /// need not copy them then.
    pub(super) fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let Self { first, hasher, texts, table, fresh } = self;
        let hashed = |(text, _): &(Arc<str>, TypeId)| hash(hasher, text);
        if table.has_room_for(fresh.len()) {
            for id in fresh.values() {
                let place = id.0.saturating_sub(*first);
                if let Some(text) = texts.get(place as usize) {
                    table.insert(hashed(text), place);
                }
            }
        } else {
            let larger = NameTable::for_names(texts.len());
            (0..).zip(texts.iter()).for_each(|(place, text)| larger.insert(hashed(text), place));
            *table = Arc::new(larger);
        }
        *fresh = FxHashMap::default();
    }

    /// `None`: beneath these or above.
    pub(super) fn get(&self, id: ObjectId) -> Option<(&str, TypeId)> {
        let (text, type_id) = self.texts.get(id.0.checked_sub(self.first)? as usize)?;
        Some((text, *type_id))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ObjectId, &str, TypeId)> {
        let ids = (self.first..).map(ObjectId);
        ids.zip(self.texts.iter()).map(|(id, (text, type_id))| (id, &**text, *type_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_ids_over_pages_and_copies() {
        let text = |id: u32| format!("user:{id}");
        let mut names = Names::default();
        let many = PAGE_NAMES + 10;
        for id in 0..many {
            assert_eq!(names.intern(&text(id), TypeId(1)), Some(ObjectId(id)));
        }
        let before = names.clone();
        assert_eq!(names.intern("org:acme", TypeId(2)), Some(ObjectId(many)));
        assert_eq!(names.intern("user:3", TypeId(1)), Some(ObjectId(3)));
        assert_eq!((before.find("org:acme"), before.count()), (None, many));
        assert_eq!((before.text(ObjectId(many)), before.type_of(ObjectId(many))), (None, None));
        assert!(Arc::ptr_eq(&names.pages[0], &before.pages[0]), "a full page is shared");
        for id in 0..many {
            assert_eq!(names.find(&text(id)), Some(ObjectId(id)));
            assert_eq!(names.text(ObjectId(id)), Some(text(id).as_str()));
        }
        // Side by side as one by one, those that nothing names among them.
        let texts: Vec<String> = (0..many + 300).rev().map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut found = vec![None];
        names.find_each(&texts, &mut found);
        assert_eq!(found.len(), texts.len() + 1);
        assert!(texts.iter().zip(&found[1..]).all(|(text, id)| names.find(text) == *id));
        assert_eq!(found.iter().flatten().count(), many as usize);
        assert_eq!(names.type_of(ObjectId(many)), Some(TypeId(2)));
        assert_eq!(names.iter().count(), many as usize + 1);
    }

    /// Texts of which one begins another, by hashes that are all the same: only the text itself is found.
    #[test]
    fn a_text_is_not_taken_for_one_that_it_begins() {
        let mut names = Names::default();
        let whole = "user:anastasia";
        let texts: Vec<&str> = (6..=whole.len()).rev().filter_map(|end| whole.get(..end)).collect();
        for text in &texts {
            assert_eq!(names.find(text), None);
            names.intern(text, TypeId(1)).unwrap();
        }
        for (id, text) in (0..).zip(&texts) {
            assert_eq!(names.find(text), Some(ObjectId(id)));
            let first = names.slots.find(names.hash(text).0, |found| found.id == id).unwrap();
            let is_it: Vec<_> = texts.iter().filter(|other| names.is(first, other)).collect();
            assert_eq!(is_it, [text]);
        }
        assert_eq!(names.find("user:"), None);
        assert_eq!(
            names.intern("user:a\nb", TypeId(1)),
            None,
            "it would be found by its beginning"
        );
    }

    #[test]
    fn new_names_go_on_where_those_beneath_end() {
        let beneath = Names::default();
        let mut names = NewNames::above(7, beneath.hasher());
        let ana = beneath.hash("user:ana");
        assert_eq!((names.end(), names.find(ana, "user:ana")), (7, None));
        assert_eq!(names.add(ana, &"user:ana".into(), TypeId(1)), Some(ObjectId(7)));
        assert_eq!((names.end(), names.find(ana, "user:ana")), (8, Some(ObjectId(7))));
        assert_eq!(names.get(ObjectId(7)), Some(("user:ana", TypeId(1))));
        assert_eq!((names.get(ObjectId(6)), names.get(ObjectId(8))), (None, None));
        let mut full = NewNames::above(OVERLAY_IDS, beneath.hasher());
        assert_eq!(full.add(ana, &"user:ana".into(), TypeId(1)), None);
    }

    #[test]
    fn new_names_with_one_hash_are_told_apart_fresh_and_settled() {
        // The last text's own place is taken by one that gave way.
        let all = [(u64::MAX, "a"), (u64::MAX, "b"), (u64::MAX, "c"), (1, "d"), (0, "e")];
        for settles_after in 0..all.len() {
            let mut names = NewNames::above(0, Names::default().hasher());
            // Settled, they are found by the hash that they have.
            let hash = |at, (made_up, text): (u64, &str)| {
                NameHash(if at < settles_after { hash(&names.hasher, text) } else { made_up })
            };
            let all = all.iter().enumerate().map(|(at, name)| (at, hash(at, *name), name.1));
            for ((at, hash, text), next) in all.collect::<Vec<_>>().into_iter().zip(0..) {
                if at == settles_after {
                    names.settle();
                }
                assert_eq!(names.find(hash, text), None);
                let id = names.add(hash, &text.into(), TypeId(1));
                assert_eq!(id, Some(ObjectId(next)));
                assert_eq!(names.find(hash, text), id);
            }
            assert_eq!(names.find(NameHash(u64::MAX), "f"), None);
        }
    }

    /// Versions that go apart, settle or do not, and go on: each knows its own names and no other's.
    #[test]
    fn each_version_knows_its_own_names_whoever_settled_before() {
        let mut random = fastrand::Rng::with_seed(17);
        let beneath = Names::default();
        let mut versions: Vec<(NewNames, Vec<String>)> =
            vec![(NewNames::above(9, beneath.hasher()), Vec::new())];
        for step in 0..600 {
            let (mut names, mut texts) = versions[random.usize(..versions.len())].clone();
            for _ in 0..random.usize(1..20) {
                // Few names, so that versions give the same name other ids, and other names the same id.
                let text = format!("user:{}", random.u32(..2_000));
                let hash = beneath.hash(&text);
                let known = texts.iter().position(|known| *known == text);
                let id = |at| ObjectId(9 + u32::try_from(at).unwrap());
                assert_eq!(names.find(hash, &text), known.map(id), "{step}: {text}");
                if known.is_none() {
                    let added = names.add(hash, &text.as_str().into(), TypeId(1));
                    assert_eq!(added, Some(id(texts.len())));
                    texts.push(text);
                }
            }
            if random.bool() {
                names.settle();
            }
            versions.push((names, texts));
            if versions.len() > 12 {
                versions.swap_remove(random.usize(..versions.len()));
            }
            for (names, texts) in &versions {
                for (at, text) in (9..).zip(texts) {
                    assert_eq!(names.find(beneath.hash(text), text), Some(ObjectId(at)));
                }
            }
        }
    }
}
