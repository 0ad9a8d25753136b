//! Layer 1: the durable truth, a log of commits. Knows the nouns of `model`, never the index or a
//! decision.
//!
//! | module | its one job |
//! |---|---|
//! | [`memory`] | the contract without a disk |
//! | [`sled`] | the contract on a local directory |
//! | [`lineage`] | which history a revision is of |
//! | [`bulk`] | many changes at once, for whoever reads a whole store |
//! | `record` | the bytes of a commit and of a tuple |
//! | `block` | the bytes of a checkpoint |

mod block;
pub mod bulk;
pub mod lineage;
pub mod memory;
mod record;
pub mod sled;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::bulk::{BULK_TUPLES, Bulk, BulkCommit, Recalled};
use self::lineage::Lineages;
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
    /// What it was asked for with, if its caller may repeat it.
    pub request: Option<KeyedRequest>,
}

/// 128 bits of a SHA-256: two texts with the same one cost somebody 2^64 hashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A request with an idempotency key, and what it was answered beside its revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Of the key.
    pub key: Fingerprint,
    /// Of the request without its key.
    pub body: Fingerprint,
    /// How many of its changes changed something.
    pub changed: u32,
}

/// A commit with an idempotency key, as much of it as a repeat is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedCommit {
    /// The request.
    pub request: KeyedRequest,
    /// Where the log stood after it.
    pub head: Head,
    /// Its time.
    pub time: Time,
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
    /// Those that led to this opening's.
    pub lineages: Lineages,
}

impl Identity {
    /// A new store, with its first history.
    #[must_use]
    pub fn fresh() -> Self {
        Self { store_id: lineage::random_id(), lineages: Lineages::fresh() }
    }
}

/// From which commit on a model is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelSince {
    /// Its number.
    pub revision: Revision,
    /// When it was made.
    pub time: Time,
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
    /// Since when; `None`: the program that wrote it did not say.
    pub model_since: Option<ModelSince>,
    /// How many tuples follow.
    pub tuple_count: u64,
    /// How many keyed commits follow the tuples.
    pub keyed_count: u64,
}

/// What a checkpoint holds beside its head: all tuples, then all keyed commits.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckpointEntry {
    /// A stored tuple.
    Tuple(Tuple),
    /// A commit whose request may still be repeated.
    Keyed(KeyedCommit),
}

/// An iterator over what the store holds; an error ends it.
pub type Stored<'a, T> = Box<dyn Iterator<Item = Result<T, StoreError>> + Send + 'a>;

/// Why the store could not do it. Cheap to clone: each caller of a group gets the same one.
#[derive(Debug, Clone, thiserror::Error)]
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
    /// What was given could not be read back, or contradicts what is stored; nothing was written.
    #[error("cannot be stored: {reason}")]
    Unstorable {
        /// Which value, and what was expected.
        reason: String,
    },
    /// The commits asked for are gone; the checkpoint stands in their place.
    #[error(
        "revision {asked} has been truncated away, the oldest kept is {oldest}; \
         start from the checkpoint or a newer revision"
    )]
    Truncated {
        /// The revision asked for.
        asked: u64,
        /// The oldest that can still be read.
        oldest: u64,
    },
    /// Nobody has written that revision yet, nor the one before it.
    #[error(
        "revision {asked} lies beyond the head, which stands at {head}; ask for {head} + 1 at most"
    )]
    Beyond {
        /// The revision asked for.
        asked: u64,
        /// Where the head stands.
        head: u64,
    },
    /// Somebody else has this directory open.
    #[error(
        "data directory `{dir}` is in use by another process; \
         stop that process, or choose another directory"
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
    },
    /// The directory is not a whole store of ours; nothing in it was changed.
    #[error("data directory `{dir}` is refused: {reason}; {remedy}")]
    Refused {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Stored bytes do not prove themselves.
    #[error("stored data is damaged: {what}; {RESTORE}")]
    Corrupt {
        /// Which, and how it shows.
        what: String,
    },
    /// The operating system refused.
    #[error("cannot {doing}: {source}; check the disk, its free space and its permissions")]
    Io {
        /// What was being done, to which file.
        doing: String,
        /// Its answer.
        source: Arc<io::Error>,
    },
    /// The store could not begin to write; nothing was written, and a later attempt may succeed.
    #[error("nothing was written: {cause}")]
    Unwritten {
        /// Why.
        cause: Arc<StoreError>,
    },
    /// An earlier write failed half-way, so what the disk holds is not known.
    #[error(
        "no more writes: an earlier one failed ({cause}); \
         check the disk, then restart the process, which reopens and checks the store"
    )]
    Latched {
        /// The failure that did it.
        cause: String,
    },
}

/// What to do about a directory that is damaged.
const RESTORE: &str = "restore the directory from a backup (`bailiwick restore --replace`), or choose \
    another directory";

impl StoreError {
    fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into() }
    }

    fn unwritten(cause: Self) -> Self {
        Self::Unwritten { cause: Arc::new(cause) }
    }

    fn unstorable(reason: impl Into<String>) -> Self {
        Self::Unstorable { reason: reason.into() }
    }
}

/// A log of commits with dense revisions. See each method for what holds.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Which store this is.
    fn identity(&self) -> Identity;

    /// Where the log stands: the last durable commit.
    fn head(&self) -> Head;

    /// Why nothing is appended any more, if that is so: an append or upkeep failed half-way.
    fn latched(&self) -> Option<String> {
        None
    }

    /// The latest moment that was noted; `i64::MIN`: none was.
    fn noted_time(&self) -> Time {
        Time(i64::MIN)
    }

    /// Notes that `now` was used, durably, so that it does not run back over a restart. Not for each
    /// request: it costs syncs.
    ///
    /// # Errors
    /// I/O, after which nothing more is appended.
    fn note_time(&self, _now: Time) -> Result<(), StoreError> {
        Ok(())
    }

    /// Appends the commits, in order, as revisions `expected.next()` and on, and returns when all of
    /// them are durable: where the log stood after each. One call is one group: one sync.
    ///
    /// # Errors
    /// `Conflict` if the head is not `expected`, `CommitTooLarge`, `Unwritten`: nothing was written. After an
    /// I/O error the outcome is unknown, and every later append is refused until the store is reopened.
    fn append(&self, expected: Revision, group: &[Commit]) -> Result<Vec<Head>, StoreError>;

    /// The commits from this revision on (0 counts as 1), oldest first, each with where the log stood
    /// after it and proved by its predecessor's checksum, up to the head as it stands at this call. From
    /// the head's successor on there are none.
    ///
    /// # Errors
    /// `Truncated`, `Beyond`; the iterator ends in `Truncated` if it is overtaken, in `Corrupt` if a
    /// record is damaged.
    fn read(&self, from: Revision) -> Result<Stored<'_, (Head, Commit)>, StoreError>;

    /// Follows the log: returns as soon as the durable head is beyond `revision`, and at the timeout
    /// in any case, with the head as it then stands. [`read`](Self::read) gives what came. Blocks the
    /// thread.
    fn wait_beyond(&self, revision: Revision, timeout: Duration) -> Head;

    /// The newest checkpoint and what it holds, if there is one. That is the whole state only if the
    /// iterator ends without an error.
    ///
    /// # Errors
    /// It cannot be read or does not prove itself.
    fn checkpoint(
        &self,
    ) -> Result<Option<(CheckpointHead, Stored<'_, CheckpointEntry>)>, StoreError>;

    /// Reads all that a start needs, in bulk: what [`checkpoint`](Self::checkpoint) and, after it,
    /// [`read`](Self::read) give. Ends early if `take` says false. That is the whole only if it returns
    /// without an error.
    ///
    /// # Errors
    /// Theirs.
    fn recall(&self, take: &mut dyn FnMut(Recalled) -> bool) -> Result<(), StoreError> {
        let mut next = Revision(1);
        if let Some((head, entries)) = self.checkpoint()? {
            next = head.head.revision.next();
            if !take(Recalled::Checkpoint(Box::new(head))) {
                return Ok(());
            }
            let mut tuples = Bulk::default();
            for entry in entries {
                let goes_on = match entry? {
                    CheckpointEntry::Tuple(tuple) => {
                        tuples.whole(Change::Put(tuple));
                        tuples.len() < BULK_TUPLES
                            || take(Recalled::Tuples(std::mem::take(&mut tuples)))
                    }
                    CheckpointEntry::Keyed(commit) => take(Recalled::Keyed(commit)),
                };
                if !goes_on {
                    return Ok(());
                }
            }
            if !take(Recalled::Tuples(tuples)) {
                return Ok(());
            }
        }
        for commit in self.read(next)? {
            let (head, commit) = commit?;
            if !take(Recalled::Commit(Box::new(BulkCommit::of(head, commit)))) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Writes the state as of `state.head`, which the caller guarantees to be what the commits up to
    /// there make, and puts it in place of an older checkpoint once it is durable. Tuples in order of
    /// their keys take the least space. Appends go on meanwhile. A second checkpoint of one revision
    /// changes nothing.
    ///
    /// # Errors
    /// I/O, or `Unstorable`: the log does not hold `state.head`, the checkpoint in force is newer, or
    /// the entries are not as many of each kind as `state` says, the tuples first. The older checkpoint
    /// is still in force.
    fn write_checkpoint(
        &self,
        state: &CheckpointHead,
        entries: &mut dyn Iterator<Item = CheckpointEntry>,
    ) -> Result<(), StoreError>;

    /// Forgets commits before this revision; those after the newest checkpoint always stay, and all
    /// while there is none.
    ///
    /// # Errors
    /// I/O; some may be gone and some not.
    fn truncate(&self, before: Revision) -> Result<(), StoreError>;
}

/// Whether a checkpoint at `head` is to be written: not if the one in force is of that revision.
///
/// # Errors
/// `Unstorable`: it is older than the one in force, or the log (asked for the checksum of that
/// revision) has another commit there, or none.
fn is_new_checkpoint(
    head: Head,
    in_force: Option<Head>,
    logged: impl FnOnce() -> Result<Option<u64>, StoreError>,
) -> Result<bool, StoreError> {
    let revision = head.revision.0;
    if let Some(in_force) = in_force {
        if in_force == head {
            return Ok(false);
        }
        if in_force.revision >= head.revision {
            return Err(StoreError::unstorable(format!(
                "a checkpoint of revision {revision}, as there is one of {}",
                in_force.revision.0
            )));
        }
    }
    match logged()? {
        Some(checksum) if checksum == head.checksum => Ok(true),
        Some(checksum) => Err(StoreError::unstorable(format!(
            "a checkpoint of revision {revision} with checksum {:016x}, the log has {checksum:016x}",
            head.checksum
        ))),
        None => Err(StoreError::unstorable(format!(
            "a checkpoint of revision {revision}, which the log does not hold"
        ))),
    }
}

/// What a checkpoint's head promises and has not come yet.
#[derive(Debug)]
struct Promised {
    tuples: u64,
    keyed: u64,
}

impl Promised {
    fn by(state: &CheckpointHead) -> Self {
        Self { tuples: state.tuple_count, keyed: state.keyed_count }
    }

    /// Takes the next entry; false: it is one too many, or a tuple after a keyed commit.
    fn take(&mut self, entry: &CheckpointEntry) -> bool {
        let left = match entry {
            CheckpointEntry::Tuple(_) => &mut self.tuples,
            CheckpointEntry::Keyed(_) if self.tuples > 0 => return false,
            CheckpointEntry::Keyed(_) => &mut self.keyed,
        };
        left.checked_sub(1).map(|fewer| *left = fewer).is_some()
    }

    /// Whether all have come.
    fn is_kept(&self) -> bool {
        self.tuples == 0 && self.keyed == 0
    }
}

fn broken_promise(state: &CheckpointHead) -> StoreError {
    let CheckpointHead { tuple_count, keyed_count, .. } = state;
    StoreError::unstorable(format!(
        "a checkpoint that has not just the {tuple_count} tuples and after them the {keyed_count} \
         keyed commits that its head says"
    ))
}

/// Whether a commit of its own could be stored: what [`Store::append`] would say of it.
///
/// # Errors
/// `CommitTooLarge`, `Unstorable`.
pub fn check_storable(commit: &Commit) -> Result<(), StoreError> {
    record::encode_commit(commit).map(drop)
}
