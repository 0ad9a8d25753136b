//! A set of objects as bits, persistent: asked at each look-up, so that a layer costs nearly nothing
//! where it says nothing. Knows not what the objects were touched by.

use std::sync::Arc;

use imbl::{GenericVector, shared_ptr::DefaultSharedPtr};

use super::names::ObjectId;

const WORDS: usize = 64;
const PAGE_BITS: u32 = 64 * 64;

type Page = [u64; WORDS];

/// Objects of a layer. A clone shares all; an insertion copies a page of 512 bytes if it is shared.
#[derive(Debug, Clone, Default)]
pub(super) struct Touched {
    pages: GenericVector<Option<Arc<Page>>, DefaultSharedPtr>,
}

/// The page, the word in it, and the bit of that.
fn place(object: ObjectId) -> (usize, usize, u64) {
    let within = object.0 % PAGE_BITS;
    ((object.0 / PAGE_BITS) as usize, (within / 64) as usize, 1 << (within % 64))
}

impl Touched {
    #[inline]
    pub(super) fn contains(&self, object: ObjectId) -> bool {
        let (page, word, bit) = place(object);
        let page = self.pages.get(page).and_then(Option::as_ref);
        page.and_then(|page| page.get(word)).is_some_and(|word| word & bit != 0)
    }

    pub(super) fn insert(&mut self, object: ObjectId) {
        if self.contains(object) {
            return;
        }
        let (page, word, bit) = place(object);
        while self.pages.len() <= page {
            self.pages.push_back(None);
        }
        if let Some(page) = self.pages.get_mut(page) {
            let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new([0; WORDS])));
            if let Some(word) = page.get_mut(word) {
                *word |= bit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touched_object_is_found_and_a_clone_keeps_its_own() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut objects: Vec<u32> = (0..500).map(|_| random.u32(..40_000)).collect();
        objects.extend([0, 63, 64, 4_095, 4_096, 1_000_000]);
        let mut touched = Touched::default();
        for (at, object) in objects.iter().enumerate() {
            let before = touched.clone();
            touched.insert(ObjectId(*object));
            assert_eq!(before.contains(ObjectId(*object)), objects[..at].contains(object));
        }
        for object in 0..50_000 {
            assert_eq!(touched.contains(ObjectId(object)), objects.contains(&object));
        }
        assert!(!touched.contains(ObjectId(u32::MAX)));
    }
}
