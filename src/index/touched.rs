//! A set of objects as bits, that grows and never shrinks: asked at each look-up, so that a layer costs nearly
//! nothing where it says nothing. Knows not what the objects were touched by.
//!
//! All versions of a layer share one set. So an older one may say of an object that it is touched where only
//! a later commit, or one that was refused, touched it: then the layer is asked, and knows. Copies for each
//! commit cost more than all that a commit puts into the layer. What is only tried, and never published, has marks
//! of its own beside them: a question would leave its marks for as long as the layer lives.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustc_hash::FxHashSet;

use super::names::ObjectId;

/// Bits of a word; words of a page; pages of a book; books in all: all numbers of 32 bits.
const BITS: u32 = 64;
const WORDS: usize = 64;
const PAGES: usize = 1_024;
const BOOKS: usize = 1_024;

type Page = [AtomicU64; WORDS];
type Book = [OnceLock<Box<Page>>; PAGES];

/// Objects of a layer. A clone is the same set, but for what is marked on trial. Takes 16 KB, another 16 for each
/// four million numbers that some object is among, and a bit an object.
#[derive(Debug, Clone)]
pub(super) struct Touched {
    books: Arc<[OnceLock<Box<Book>>; BOOKS]>,
    /// On trial: what was marked since.
    on_trial: Option<Box<FxHashSet<ObjectId>>>,
}

impl Default for Touched {
    fn default() -> Self {
        Self { books: Arc::new([const { OnceLock::new() }; BOOKS]), on_trial: None }
    }
}

/// The book, the page and the word in it, and the bit of that.
fn place(object: ObjectId) -> (usize, usize, usize, u64) {
    let word = (object.0 / BITS) as usize;
    let page = word / WORDS;
    (page / PAGES, page % PAGES, word % WORDS, 1 << (object.0 % BITS))
}

impl Touched {
    #[inline]
    pub(super) fn contains(&self, object: ObjectId) -> bool {
        let (book, page, word, bit) = place(object);
        let found = || self.books.get(book)?.get()?.get(page)?.get()?.get(word);
        // Whoever reads a snapshot sees what was done before it was published.
        found().is_some_and(|word| word.load(Ordering::Relaxed) & bit != 0)
            || self.on_trial.as_ref().is_some_and(|marked| marked.contains(&object))
    }

    /// From now on marks stay with this one and its clones.
    pub(super) fn try_out(&mut self) {
        self.on_trial.get_or_insert_default();
    }

    pub(super) fn insert(&mut self, object: ObjectId) {
        if let Some(marked) = &mut self.on_trial {
            marked.insert(object);
            return;
        }
        let (book, page, word, bit) = place(object);
        let new_book = || Box::new([const { OnceLock::new() }; PAGES]);
        let new_page = || Box::new([const { AtomicU64::new(0) }; WORDS]);
        let page = self.books.get(book).and_then(|book| book.get_or_init(new_book).get(page));
        let word = page.and_then(|page| page.get_or_init(new_page).get(word));
        if let Some(word) = word
            && word.load(Ordering::Relaxed) & bit == 0
        {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_touched_object_is_found_and_no_other_in_every_clone() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut objects: Vec<u32> = (0..500).map(|_| random.u32(..40_000)).collect();
        objects.extend([0, 63, 64, 4_095, 4_096, 1_000_000, 1 << 22, (1 << 22) - 1, u32::MAX]);
        let touched = Touched::default();
        assert!(!touched.contains(ObjectId(0)));
        for (at, object) in objects.iter().enumerate() {
            assert_eq!(touched.contains(ObjectId(*object)), objects[..at].contains(object));
            let mut clone = touched.clone();
            clone.insert(ObjectId(*object));
            assert!(touched.contains(ObjectId(*object)));
        }
        for object in (0..50_000).chain([1_000_001, (1 << 22) + 1, u32::MAX - 1]) {
            assert_eq!(touched.contains(ObjectId(object)), objects.contains(&object));
        }
        assert!(!Touched::default().contains(ObjectId(0)), "another layer's set is its own");
    }

    #[test]
    fn what_is_marked_on_trial_is_known_to_the_trial_alone() {
        let mut touched = Touched::default();
        touched.insert(ObjectId(1));
        let mut trial = touched.clone();
        trial.try_out();
        trial.insert(ObjectId(2));
        let mut later = trial.clone();
        later.insert(ObjectId(3));
        touched.insert(ObjectId(4));
        let marked = |of: &Touched| (1..=5).map(|id| of.contains(ObjectId(id))).collect::<Vec<_>>();
        assert_eq!(marked(&touched), [true, false, false, true, false]);
        assert_eq!(marked(&trial), [true, true, false, true, false]);
        assert_eq!(marked(&later), [true, true, true, true, false]);
    }
}
