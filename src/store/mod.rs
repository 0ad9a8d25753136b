//! Layer 1: the durable truth, a log of commits. Knows the nouns of `model`, never the index or a
//! decision.

use std::sync::Arc;

use crate::model::tuple::{Change, Revision, Time, Tuple};

/// One commit, as the log holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// When; never before its predecessor's.
    pub time: Time,
    /// What changes, in order.
    pub changes: Vec<Change>,
    /// The model that is in force from this commit on, if it changes: its files, by name.
    pub model: Option<ModelFiles>,
}

/// The files of a model directory, as text, by name in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// The digest of the compiled model.
    pub digest: String,
    /// (name, text).
    pub files: Vec<(String, String)>,
}

/// Where the log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the last commit; 0: none yet.
    pub revision: Revision,
    /// The checksum chained over the records up to it.
    pub checksum: u64,
}

/// Which store, and which history of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Made at random when the store was.
    pub store_id: Arc<str>,
    /// Made at random at each restore.
    pub lineage: Arc<str>,
}

/// The state as of a revision, in place of the commits up to it.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointHead {
    /// Where the log stood.
    pub head: Head,
    /// The time of that commit.
    pub time: Time,
    /// The model in force.
    pub model: Option<ModelFiles>,
    /// How many tuples follow.
    pub tuple_count: u64,
}

/// An iterator over what the store holds; an error ends it.
pub type Stored<'a, T> = Box<dyn Iterator<Item = Result<T, StoreError>> + Send + 'a>;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The head is not where the caller thought; nothing was written.
    #[error("expected the head at revision {expected}, it stands at {actual}")]
    Conflict {
        /// What the caller thought.
        expected: u64,
        /// What is.
        actual: u64,
    },
    /// One encoded commit is too large; nothing was written.
    #[error("the commit takes {bytes} bytes encoded, the limit is {limit}")]
    CommitTooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    // The store's implementer adds variants here: refused directory, corruption, I/O, latched.
}

/// A log of commits with dense revisions. See each method for what holds.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Which store this is.
    fn identity(&self) -> Identity;

    /// Where the log stands: the last durable commit.
    fn head(&self) -> Head;

    /// Appends the commits, in order, as revisions `expected.next()` and on, and returns when all of
    /// them are durable. One call is one group: one sync.
    ///
    /// # Errors
    /// `Conflict` if the head is not `expected`, `CommitTooLarge`: nothing was written. After an I/O
    /// error the outcome is unknown, and every later append is refused until the store is reopened.
    fn append(&self, expected: Revision, group: &[Commit]) -> Result<Vec<Head>, StoreError>;

    /// The commits from this revision on, oldest first, each proved by its predecessor's checksum.
    ///
    /// # Errors
    /// The revision has been truncated away, or lies beyond the head's successor.
    fn read(&self, from: Revision) -> Result<Stored<'_, (Revision, Commit)>, StoreError>;

    /// The newest checkpoint and its tuples, if there is one.
    ///
    /// # Errors
    /// It cannot be read or does not prove itself.
    fn checkpoint(&self) -> Result<Option<(CheckpointHead, Stored<'_, Tuple>)>, StoreError>;

    /// Writes the state as of `state.head`, which the caller guarantees to be what the commits up to
    /// there make, and puts it in place of an older checkpoint once it is durable.
    ///
    /// # Errors
    /// I/O; the older checkpoint is still in force.
    fn write_checkpoint(
        &self,
        state: &CheckpointHead,
        tuples: &mut dyn Iterator<Item = Tuple>,
    ) -> Result<(), StoreError>;

    /// Forgets commits before this revision; those after the newest checkpoint always stay.
    ///
    /// # Errors
    /// I/O.
    fn truncate(&self, before: Revision) -> Result<(), StoreError>;
}
