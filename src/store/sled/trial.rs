//! Proves a data directory on a copy of it, so that whoever is refused finds it as it was. Knows neither
//! the head file's bytes nor what comes after.
//!
//! sled repairs what it opens, in place: behind a damaged place it overwrites whatever follows, which may
//! be acknowledged commits that one byte put back would bring back. So nobody opens an engine before a
//! copy of it has proved that nothing is missing. The copy needs no sync: it is never put in the place of
//! the original, and one that was cut off is removed.
//!
//! Costs, while it lasts, as much room as the engines take (none where files share blocks), and one more
//! read of the log and of the checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use super::checkpoint;
use super::engine::{Engine, Syncer};
use super::head_file::HeadRecord;
use super::log::Records;
use super::open::{open_engines, refused};
use super::{EMPTY, LOG, files};
use crate::model::tuple::Revision;
use crate::store::{Head, RESTORE, StoreError};

/// The name of the copy's directory.
pub(super) const NAME: &str = "opening";

/// Demands that a copy of the engines proves what the head file says: the log from its first revision to
/// its head, the checkpoint to its last block. The directory itself is only read. Returns where the log
/// stands.
///
/// # Errors
/// `Refused`, `Corrupt`: as opening would say; `Io`: there is no room for the copy.
pub(super) fn prove(dir: &Path, record: &HeadRecord) -> Result<Head, StoreError> {
    prove_in(dir, dir, record)
}

/// The same with the copy in another directory.
pub(super) fn prove_in(dir: &Path, to: &Path, record: &HeadRecord) -> Result<Head, StoreError> {
    let copy = Copy::of(dir, to, record)?;
    let (checkpoint, log) = open_engines(&copy.path, dir, record, &Syncer::default())?;
    let head = prove_log(dir, &log, record);
    log.close();
    if let Some(checkpoint) = checkpoint {
        let proved = checkpoint.prove();
        checkpoint.close();
        proved?;
    }
    head
}

/// The head of the log, which is dense and chained from its first revision on, passes the checkpoint and
/// reaches what the head file says.
fn prove_log(dir: &Path, log: &Engine, record: &HeadRecord) -> Result<Head, StoreError> {
    let expected = record.head;
    let checkpoint = record.checkpoint.map_or(EMPTY, |mark| mark.head);
    let first = record.first.min(checkpoint.revision.next());
    let (mut head, previous) = if first == checkpoint.revision.next() {
        (checkpoint, Some(checkpoint.checksum))
    } else {
        // Nobody says which commit came before the first that is kept.
        (Head { revision: Revision(first.0.saturating_sub(1)), checksum: 0 }, None)
    };
    let mut is_reached = head == expected;
    for found in Records::new(log, first, previous) {
        head = found?.head;
        is_reached |= head == expected;
        if head.revision == checkpoint.revision && head != checkpoint {
            let says = head.revision.0;
            let reason = format!("commit {says} in its log is not the one of its checkpoint");
            return Err(refused(dir, reason, RESTORE));
        }
    }
    if head.revision < expected.revision {
        let (ends, says) = (head.revision.0, expected.revision.0);
        let reason = format!("its log ends at revision {ends}, the head file says {says}");
        return Err(refused(dir, reason, RESTORE));
    }
    if !is_reached {
        let says = expected.revision.0;
        let reason = format!("commit {says} in its log is not the one that the head file says");
        return Err(refused(dir, reason, RESTORE));
    }
    Ok(head)
}

/// A copy that is removed again, whatever comes.
struct Copy {
    path: PathBuf,
}

impl Copy {
    fn of(dir: &Path, to: &Path, record: &HeadRecord) -> Result<Self, StoreError> {
        let copy = Self { path: to.join(NAME) };
        files::remove_dir(&copy.path)?;
        fs::create_dir(&copy.path).map_err(|e| files::io_error("create", &copy.path, e))?;
        files::copy(&dir.join(LOG), &copy.path.join(LOG))?;
        if let Some(mark) = record.checkpoint {
            let revision = mark.head.revision;
            let to = checkpoint::path(&copy.path, revision);
            files::copy(&checkpoint::path(dir, revision), &to)?;
        }
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Best effort: where it stays, the next opening removes it first.
        let _ = files::remove_dir(&self.path);
    }
}
