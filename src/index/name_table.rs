//! From a text's hash to the places where a layer's names with that hash may stand: one table for all versions of
//! the layer, added to in place and never taken from. Knows no text: whoever looks says which place is the one.
//!
//! So a version may meet what another one put in, a later or one that was never published: a place where its own names
//! have another text, or have ended. A tree that each version shared with the one before cost several copies of its
//! nodes for each name.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bits of a place in an entry; the others are the hash's.
const PLACE_BITS: u32 = 32;
const PLACE: u64 = (1 << PLACE_BITS) - 1;

/// A smaller table would soon be made anew.
const SLOTS_MIN: usize = 64;

/// Of its slots three quarters at most are taken, and so a search ends.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    /// As many as a power of two, or none. Empty is 0; else the hash's upper half, and the place and one.
    slots: Box<[AtomicU64]>,
    taken: AtomicUsize,
}

impl NameTable {
    /// An empty one for so many names, and for half as many again.
    pub(super) fn for_names(count: usize) -> Self {
        let slots = count.saturating_mul(2).next_power_of_two().max(SLOTS_MIN);
        Self { slots: (0..slots).map(|_| AtomicU64::new(0)).collect(), taken: AtomicUsize::new(0) }
    }

    /// Whether so many more find a slot quickly.
    pub(super) fn has_room_for(&self, more: usize) -> bool {
        let taken = self.taken.load(Ordering::Relaxed).saturating_add(more);
        taken <= self.slots.len() / 4 * 3
    }

    /// The slots that an entry of this hash may be in, in their order.
    fn slots(&self, hash: u64) -> impl Iterator<Item = &AtomicU64> {
        let (before, from) = usize::try_from(hash & PLACE)
            .ok()
            .zip(self.slots.len().checked_sub(1))
            .and_then(|(hash, mask)| self.slots.split_at_checked(hash & mask))
            .unwrap_or_default();
        from.iter().chain(before)
    }

    /// The first place put in with this hash that is the one.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        for slot in self.slots(hash) {
            // Whoever reads a version sees what was put in before it was published.
            let entry = slot.load(Ordering::Relaxed);
            let place = (entry & PLACE).checked_sub(1)?;
            if entry & !PLACE == hash & !PLACE
                && let Some(place) = u32::try_from(place).ok().filter(|place| is_it(*place))
            {
                return Some(place);
            }
        }
        None
    }

    /// Puts a place in, for which there is room: one thread alone may do that at a time.
    pub(super) fn insert(&self, hash: u64, place: u32) {
        let entry = (hash & !PLACE) | (u64::from(place) + 1);
        for slot in self.slots(hash) {
            let free = slot.compare_exchange(0, entry, Ordering::Relaxed, Ordering::Relaxed);
            match free {
                Ok(_) => {
                    self.taken.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                // Another version has put in the same.
                Err(found) if found == entry => return,
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_its_hash_alone_and_by_whoever_takes_it_for_the_one() {
        let mut random = fastrand::Rng::with_seed(5);
        let table = NameTable::for_names(500);
        // Few upper halves and few beginnings, so that many meet; some at the table's end.
        let mut hash = || random.u64(..6) << PLACE_BITS | 0xffff_fff0 | random.u64(..16);
        let mut put: Vec<(u64, u32)> = Vec::new();
        for place in 0..500 {
            let hash = hash();
            assert_eq!(table.find(hash, |at| at == place), None);
            table.insert(hash, place);
            table.insert(hash, place);
            put.push((hash, place));
        }
        assert_eq!(table.taken.load(Ordering::Relaxed), 500, "the same is put in once");
        for (hash, place) in put {
            assert_eq!(table.find(hash, |at| at == place), Some(place));
            assert_eq!(table.find(hash ^ 1 << 40, |at| at == place), None, "another hash");
        }
    }

    #[test]
    fn there_is_room_until_three_quarters_are_taken() {
        assert!(!NameTable::default().has_room_for(1));
        assert_eq!(NameTable::default().find(7, |_| true), None);
        let table = NameTable::for_names(0);
        for (place, hash) in (0..).zip(0..SLOTS_MIN as u64 / 4 * 3) {
            assert!(table.has_room_for(1), "{place}");
            table.insert(hash << PLACE_BITS, place);
        }
        assert!(table.has_room_for(0) && !table.has_room_for(1));
        let sized = NameTable::for_names(1_000);
        assert!(sized.has_room_for(1_500) && !sized.has_room_for(1_537));
    }
}
