//! The sources of tuples, interned: text to number and back. The empty source is number 0 always. There
//! is no bound on how many, as there is none on the names of objects: each came with a tuple, and costs
//! that tuple a look-up by its text, however many there are.

use std::borrow::Borrow;
use std::hash::{Hash, RandomState};
use std::sync::Arc;

use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, GenericVector};

/// Persistent, as all is: a clone per commit is kept for a while.
#[derive(Debug, Clone)]
pub(super) struct Sources<T = Arc<str>> {
    numbers: GenericHashMap<T, u32, RandomState, DefaultSharedPtr>,
    texts: GenericVector<T, DefaultSharedPtr>,
}

impl<T: Clone + Eq + Hash> Sources<T> {
    /// Those that one with this source has.
    pub(super) fn with(first: T) -> Self {
        let numbers = GenericHashMap::unit(first.clone(), 0);
        Self { numbers, texts: GenericVector::unit(first) }
    }

    pub(super) fn find<Q>(&self, text: &Q) -> Option<u32>
    where
        T: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.numbers.get(text).copied()
    }

    /// The number of this source, a new one if it has none. `None` when four billion are used up.
    pub(super) fn intern<Q>(&mut self, text: &Q) -> Option<u32>
    where
        T: Borrow<Q> + for<'a> From<&'a Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(number) = self.find(text) {
            return Some(number);
        }
        let number = u32::try_from(self.texts.len()).ok().filter(|number| *number < u32::MAX)?;
        let text = T::from(text);
        self.numbers.insert(text.clone(), number);
        self.texts.push_back(text);
        Some(number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.texts.get(number as usize)
    }

    /// Whether there is one only.
    pub(super) fn is_one(&self) -> bool {
        self.texts.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    /// A text that counts how often it is compared with another.
    #[derive(Debug, Clone)]
    struct Counted(u32);

    impl Hash for Counted {
        fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            COMPARED.with(|compared| compared.set(compared.get() + 1));
            self.0 == other.0
        }
    }

    impl Eq for Counted {}

    impl From<&Counted> for Counted {
        fn from(of: &Counted) -> Self {
            of.clone()
        }
    }

    #[test]
    fn a_source_costs_the_same_however_many_there_are() {
        const MANY: u32 = 20_000;
        let mut sources = Sources::with(Counted(0));
        for at in 0..MANY {
            assert_eq!(sources.intern(&Counted(at)), Some(at));
        }
        for at in 0..MANY {
            assert_eq!(sources.intern(&Counted(at)), Some(at));
            assert_eq!(sources.find(&Counted(at)), Some(at));
            assert_eq!(sources.get(at).map(|text| text.0), Some(at));
        }
        assert_eq!(sources.find(&Counted(MANY)), None);
        let compared = COMPARED.with(Cell::get);
        assert!(compared < 8 * u64::from(MANY), "{compared} comparisons");
    }

    #[test]
    fn the_first_source_is_number_0_and_a_clone_keeps_its_own() {
        let mut sources: Sources = Sources::with("".into());
        assert!(sources.is_one());
        let before = sources.clone();
        assert_eq!((sources.intern("hr"), sources.find("hr"), sources.find("")), {
            (Some(1), Some(1), Some(0))
        });
        assert!(!sources.is_one() && before.is_one());
        assert_eq!((before.find("hr"), before.get(1)), (None, None));
    }
}
