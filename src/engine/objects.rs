//! A set of objects: hashed while they are few, bits once they are many, so that it costs what it holds,
//! and about a bit for each object that there is at most. Knows no name.

use rustc_hash::FxHashSet;

use crate::index::{ObjectId, Snapshot};

const WORD_BITS: u32 = u64::BITS;

/// Objects of a snapshot, and those that only a question knows.
///
/// Invariant: there are bits for all ids below `dense` or for none, and what has a bit is not hashed.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Ids below this are dense: those of what is stored.
    dense: u32,
    bits: Vec<u64>,
    few: FxHashSet<ObjectId>,
    count: usize,
}

impl Objects {
    /// None of this snapshot's.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self { dense: snapshot.stored_objects(), ..Self::default() }
    }

    /// The word of an object, and its bit there.
    fn place(id: ObjectId) -> (usize, u64) {
        ((id.0 / WORD_BITS) as usize, 1 << (id.0 % WORD_BITS))
    }

    /// Whether it was not there before.
    pub(super) fn insert(&mut self, id: ObjectId) -> bool {
        let (at, bit) = Self::place(id);
        let is_new = match self.bits.get_mut(at) {
            Some(word) => {
                let is_new = *word & bit == 0;
                *word |= bit;
                is_new
            }
            None => self.few.insert(id),
        };
        self.count += usize::from(is_new);
        let are_many = self.few.len() > (self.dense / WORD_BITS) as usize;
        if are_many && self.bits.is_empty() && self.dense > 0 {
            self.spread();
        }
        is_new
    }

    /// Gives each dense object its bit.
    fn spread(&mut self) {
        self.bits = vec![0; self.dense.div_ceil(WORD_BITS) as usize];
        let bits = &mut self.bits;
        self.few.retain(|id| {
            let (at, bit) = Self::place(*id);
            let word = bits.get_mut(at);
            let has_word = word.is_some();
            word.into_iter().for_each(|word| *word |= bit);
            !has_word
        });
        self.few.shrink_to_fit();
    }

    #[inline]
    pub(super) fn contains(&self, id: ObjectId) -> bool {
        let (at, bit) = Self::place(id);
        match self.bits.get(at) {
            Some(word) => word & bit != 0,
            None => self.few.contains(&id),
        }
    }

    pub(super) fn remove(&mut self, id: ObjectId) {
        let (at, bit) = Self::place(id);
        let was_there = match self.bits.get_mut(at) {
            Some(word) => {
                let was_there = *word & bit != 0;
                *word &= !bit;
                was_there
            }
            None => self.few.remove(&id),
        };
        self.count -= usize::from(was_there);
    }

    /// Takes out those that are not to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(ObjectId) -> bool) {
        for (word, first) in self.bits.iter_mut().zip((0..).step_by(WORD_BITS as usize)) {
            for (id, bit) in ones(*word, first) {
                if !keep(id) {
                    *word &= !bit;
                    self.count -= 1;
                }
            }
        }
        let before = self.few.len();
        self.few.retain(|id| keep(*id));
        self.count -= before - self.few.len();
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// In the order of their ids, which is mostly that of their texts in memory.
    pub(super) fn iter(&self) -> impl Iterator<Item = ObjectId> {
        let words = self.bits.iter().zip((0..).step_by(WORD_BITS as usize));
        let dense = words.flat_map(|(word, first)| ones(*word, first).map(|(id, _)| id));
        let mut few: Vec<ObjectId> = self.few.iter().copied().collect();
        few.sort_unstable();
        dense.chain(few)
    }
}

/// The objects of one word, each with its bit.
fn ones(mut word: u64, first: u32) -> impl Iterator<Item = (ObjectId, u64)> {
    std::iter::from_fn(move || {
        let at = word.trailing_zeros();
        let bit = 1_u64.checked_shl(at)?;
        word &= !bit;
        Some((ObjectId(first + at), bit))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_holds_what_a_plain_set_holds_few_or_many() {
        let mut random = fastrand::Rng::with_seed(5);
        for (dense, many) in [(0, 40), (1, 3), (63, 200), (64, 9), (1_000, 700), (100_000, 900)] {
            let mut objects = Objects { dense, ..Objects::default() };
            let mut plain = BTreeSet::new();
            let mut any = |above: u32| match random.u8(..8) {
                0 => ObjectId(u32::MAX - random.u32(..20)),
                _ => ObjectId(random.u32(..above.max(1))),
            };
            for _ in 0..many {
                let id = any(dense);
                assert_eq!(objects.insert(id), plain.insert(id), "{id:?} of {dense}");
            }
            for _ in 0..many / 2 {
                let id = any(dense);
                objects.remove(id);
                plain.remove(&id);
                assert_eq!(objects.contains(id), plain.contains(&id));
            }
            objects.retain(|id| id.0 % 3 != 0);
            plain.retain(|id| id.0 % 3 != 0);
            assert!(objects.iter().eq(plain.iter().copied()), "of {dense}");
            assert_eq!(objects.len(), plain.len());
            assert!((0..dense).map(ObjectId).all(|id| objects.contains(id) == plain.contains(&id)));
        }
    }

    #[test]
    fn few_take_no_room_for_all() {
        let mut objects = Objects { dense: 64_000, ..Objects::default() };
        (0..1_000).for_each(|id| assert!(objects.insert(ObjectId(id))));
        assert!(objects.bits.is_empty());
        objects.insert(ObjectId(1_000));
        assert_eq!((objects.bits.len(), objects.few.len(), objects.len()), (1_000, 0, 1_001));
    }
}
