//! Which history a revision is of. Knows no file.
//!
//! Every opening of a store begins a *lineage*: the revisions that it commits, up to the next opening. A
//! store knows the lineages that led to it and where each began; so a token, which carries the lineage
//! that committed its revision, is of this history only if that lineage has that revision here. A
//! directory that was put back from a backup, by whatever means, lacks the lineages since then, and cuts
//! short the one in which the copy was made: what was committed meanwhile is of another history at once,
//! and stays so when its numbers are used again.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use crate::model::limits::LINEAGES_KEPT_MAX;
use crate::model::tuple::Revision;

/// The revisions that one process committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Made at random: 128 bits in hex.
    pub id: Arc<str>,
    /// Its first revision; the last is the one before the next lineage's first.
    pub first: Revision,
}

/// The lineages that led to the one of this opening, oldest first.
///
/// Invariant: never empty, and `first` grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineages {
    past: Arc<[Lineage]>,
    current: Lineage,
}

impl Lineages {
    /// The only one of a new store; or of one that does not know its lineages, where it makes every token
    /// from before another history's.
    #[must_use]
    pub fn fresh() -> Self {
        let current = Lineage { id: random_id(), first: Revision(0) };
        Self { past: Arc::default(), current }
    }

    /// These, if there are any, in this order.
    pub(super) fn of_file(mut lineages: Vec<Lineage>) -> Option<Self> {
        let grows = lineages.is_sorted_by(|a, b| a.first < b.first);
        let current = lineages.pop().filter(|_| grows)?;
        Some(Self { past: lineages.into(), current })
    }

    /// All of them, oldest first.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Lineage> {
        let count = self.past.len() + 1;
        (0..count).map(|at| self.past.get(at).unwrap_or(&self.current))
    }

    /// What an opening makes of them that finds the log at `head`: a lineage that committed nothing here
    /// is forgotten, because elsewhere it may have, and a new one begins. Of too many the oldest is
    /// forgotten: its tokens are refused from then on.
    pub(super) fn reopened(&self, head: Revision) -> Self {
        let mut past: Vec<_> = self.iter().filter(|old| old.first <= head).cloned().collect();
        let too_many = (past.len() + 1).saturating_sub(LINEAGES_KEPT_MAX);
        past.drain(..too_many);
        let current = Lineage { id: random_id(), first: head.next() };
        Self { past: past.into(), current }
    }

    /// The lineage that committed this revision, or will. Before the oldest that is known: the oldest.
    #[must_use]
    pub fn of(&self, revision: Revision) -> &Arc<str> {
        if revision >= self.current.first {
            return &self.current.id;
        }
        let after = self.past.partition_point(|lineage| lineage.first <= revision);
        self.past.get(after.saturating_sub(1)).map_or(&self.current.id, |lineage| &lineage.id)
    }
}

/// 128 random bits in hex. The keys of a `RandomState` come from the operating system, and no two
/// of them are equal within a process: distinct is what an id must be, secret it need not be.
pub(super) fn random_id() -> Arc<str> {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_revision_is_of_the_opening_that_committed_it() {
        let first = Lineages::fresh();
        let second = first.reopened(Revision(3));
        let idle = second.reopened(Revision(5));
        let third = idle.reopened(Revision(5));
        let id = |lineages: &Lineages, revision| Arc::clone(lineages.of(Revision(revision)));
        for revision in 0..=3 {
            assert_eq!(id(&third, revision), id(&first, 0));
        }
        for revision in 4..=5 {
            assert_eq!(id(&third, revision), id(&second, 4));
        }
        assert_ne!(id(&third, 6), id(&second, 6));
        assert_ne!(id(&third, 6), id(&idle, 6), "it may have committed in another copy");
        // Put back to revision 3: what the second committed is nobody's here.
        let back = first.reopened(Revision(3));
        assert_eq!(id(&back, 3), id(&second, 3));
        assert_ne!(id(&back, 4), id(&second, 4));
        // Put back to the midst of the second.
        let back = second.reopened(Revision(4));
        assert_eq!(id(&back, 4), id(&second, 4));
        assert_ne!(id(&back, 5), id(&second, 5));
    }

    #[test]
    fn the_oldest_is_forgotten_for_one_too_many() {
        let mut lineages = Lineages::fresh();
        let oldest = Arc::clone(lineages.of(Revision(0)));
        for revision in 1..LINEAGES_KEPT_MAX as u64 {
            lineages = lineages.reopened(Revision(revision));
        }
        assert_eq!((lineages.iter().len(), lineages.of(Revision(1))), (LINEAGES_KEPT_MAX, &oldest));
        let lineages = lineages.reopened(Revision(LINEAGES_KEPT_MAX as u64));
        assert_eq!(lineages.iter().len(), LINEAGES_KEPT_MAX);
        assert_ne!(lineages.of(Revision(1)), &oldest);
        assert_eq!(lineages.of(Revision(0)), lineages.of(Revision(2)));
    }
}
