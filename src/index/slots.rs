//! From a text's hash to the names that may have it: a word for each, which says the id and where the text begins,
//! so that to find a name costs two reads from memory, one here and one of the text. Knows no text: whoever looks
//! says which name is the one.

/// Of a word, from above: some bits of the hash, where the text begins in its page, and the id and one. Empty is 0.
const TAG_BITS: u32 = 6;
const START_BITS: u32 = 27;
const ID_BITS: u32 = 31;
const _: () = assert!(TAG_BITS + START_BITS + ID_BITS == u64::BITS);

/// A name: its id, and where its text begins in the page of the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) id: u32,
    pub(super) start: u32,
}

impl Found {
    /// `None`: the id or the place is larger than any may be.
    fn word(self, hash: u64) -> Option<u64> {
        let id = u64::from(self.id).checked_add(1).filter(|id| id >> ID_BITS == 0)?;
        let start = Some(u64::from(self.start)).filter(|start| start >> START_BITS == 0)?;
        Some(tag(hash) | start << ID_BITS | id)
    }

    fn of(word: u64) -> Option<Self> {
        let low = |word: u64, bits: u32| u32::try_from(word & ((1 << bits) - 1)).ok();
        let id = low(word, ID_BITS)?.checked_sub(1)?;
        Some(Self { id, start: low(word >> ID_BITS, START_BITS)? })
    }
}

/// The lowest bits, as the highest say where a word stands.
fn tag(hash: u64) -> u64 {
    hash << (u64::BITS - TAG_BITS)
}

/// A smaller table would soon be made anew.
const WORDS_MIN: usize = 64;

/// The names of a base by their hashes. Of the words three quarters at most are taken, and so a search ends.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    words: Vec<u64>,
    taken: usize,
}

impl Slots {
    /// None, with room for so many and as many again: to make room costs what there are.
    pub(super) fn for_names(count: usize) -> Self {
        Self { words: vec![0; (count.saturating_mul(8) / 3).max(WORDS_MIN)], taken: 0 }
    }

    /// Whether one more finds its place quickly.
    pub(super) fn has_room(&self) -> bool {
        self.taken < self.words.len() / 4 * 3
    }

    /// Where a word with this hash stands, if nothing stands there yet.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        let place = (u128::from(hash) * self.words.len() as u128) >> u64::BITS;
        // Less than the number of words.
        usize::try_from(place).unwrap_or_default()
    }

    /// The first name put in with such a hash that is the one.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(Found) -> bool) -> Option<Found> {
        let (before, from) = self.words.split_at_checked(self.place(hash))?;
        for word in from.iter().chain(before) {
            let found = Found::of(*word)?;
            if (word ^ tag(hash)) >> (u64::BITS - TAG_BITS) == 0 && is_it(found) {
                return Some(found);
            }
        }
        None
    }

    /// Puts a name in, for which there is room. `None`: it is no name that there may be.
    pub(super) fn insert(&mut self, hash: u64, name: Found) -> Option<()> {
        let (place, word) = (self.place(hash), name.word(hash)?);
        let (before, from) = self.words.split_at_mut_checked(place)?;
        *from.iter_mut().chain(before).find(|word| **word == 0)? = word;
        self.taken += 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_hash_and_by_whoever_takes_it_for_the_one() {
        let mut random = fastrand::Rng::with_seed(23);
        // Many at few places, some of them at the end: those go on at the beginning.
        let mut hash = || {
            let upper = if random.bool() { 0xff << 54 } else { 0 };
            (random.u64(..4) << 62) | upper | 1
        };
        let mut slots = Slots::for_names(200);
        let mut names = Vec::new();
        for id in 0..300 {
            let (hash, name) = (hash(), Found { id, start: id * 7 });
            assert_eq!(slots.find(hash, |found| found.id == id), None);
            slots.insert(hash, name).unwrap();
            names.push((hash, name));
        }
        for (hash, name) in names {
            assert_eq!(slots.find(hash, |found| found.id == name.id), Some(name));
            assert_eq!(slots.find(hash ^ 2, |_| true), None, "another tag");
        }
    }

    #[test]
    fn there_is_room_until_three_quarters_are_taken_and_for_the_largest_names() {
        let none = Slots::default();
        assert!(!none.has_room() && none.find(1, |_| true).is_none());
        let mut slots = Slots::for_names(0);
        let largest = Found { id: (1 << ID_BITS) - 2, start: (1 << START_BITS) - 1 };
        for _ in 0..WORDS_MIN / 4 * 3 {
            assert!(slots.has_room());
            slots.insert(u64::MAX, largest).unwrap();
        }
        assert!(!slots.has_room());
        assert_eq!(slots.find(u64::MAX, |_| true), Some(largest));
        assert_eq!(slots.insert(0, Found { id: largest.id + 1, ..largest }), None);
        assert_eq!(slots.insert(0, Found { start: largest.start + 1, ..largest }), None);
    }
}
