//! Proves a data directory on a copy of it, so that whoever is refused finds it as it was. Knows neither
//! the head file's bytes nor what comes after.
//!
//! sled repairs what it opens, in place: behind a damaged place it overwrites whatever follows, which may
//! be acknowledged commits that one byte put back would bring back. So nobody opens an engine before a
//! copy of it has proved that nothing is missing. The copy needs no sync: it is never put in the place of
//! the original, and one that was cut off is removed.
//!
//! Costs, while it lasts, as much room as the log's largest volume takes (none where files share blocks),
//! and one more read of the log and of the checkpoint.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::{self, Checkpoint};
use super::engine::{Engine, Item, Syncer};
use super::head_file::HeadRecord;
use super::log::records;
use super::open::refused;
use super::volumes::Place;
use super::{EMPTY, files};
use crate::model::tuple::Revision;
use crate::store::{Head, RESTORE, StoreError};

/// The name of the copy's directory.
pub(super) const NAME: &str = "opening";

/// Demands that a copy of the engines proves what the head file says: the log, to which these items of the journal
/// belong, from its first revision to its head, the checkpoint to its last block. The directory itself is only read.
/// Returns where the log stands.
///
/// # Errors
/// `Refused`, `Corrupt`: as opening would say; `Io`: there is no room for the copy.
pub(super) fn prove(
    dir: &Path,
    record: &HeadRecord,
    log: &[Place],
    journaled: &[Item],
) -> Result<Head, StoreError> {
    prove_in(dir, dir, record, log, journaled)
}

/// The same with the copy in another directory.
pub(super) fn prove_in(
    dir: &Path,
    to: &Path,
    record: &HeadRecord,
    log: &[Place],
    journaled: &[Item],
) -> Result<Head, StoreError> {
    prove_checkpoint(dir, to, record)?;
    let mut proof = Proof::begin(dir, record);
    for (at, place) in log.iter().enumerate() {
        // Whatever stands before the first revision is being removed.
        if at > 0 && place.start != proof.head.revision.next() {
            let (begins, ends) = (place.start.0, proof.head.revision.0);
            let reason = format!(
                "a part of its log ends at revision {ends}, and the next begins at {begins}"
            );
            return Err(refused(dir, reason, RESTORE));
        }
        let copy = Copy::of(dir, to, &place.name)?;
        let path = copy.path.join(&place.name);
        let engine = Arc::new(Engine::open_as(&path, &dir.join(&place.name), &Syncer::default())?);
        // Only the newest volume has any.
        let journaled = if at + 1 == log.len() { journaled } else { &[] };
        let proved = engine.hold_rest(journaled).and_then(|()| proof.go_on(&engine));
        if let Some(engine) = Arc::into_inner(engine) {
            engine.close();
        }
        proved?;
    }
    proof.end()
}

fn prove_checkpoint(dir: &Path, to: &Path, record: &HeadRecord) -> Result<(), StoreError> {
    let Some(mark) = record.checkpoint else { return Ok(()) };
    let name = checkpoint::name(mark.head.revision);
    let is_engine = dir.join(&name).is_dir();
    let copy = is_engine.then(|| Copy::of(dir, to, &name)).transpose()?;
    let from = copy.as_ref().map_or(dir, |copy| &copy.path);
    let checkpoint = Checkpoint::open(from, dir, mark, &Syncer::default())?;
    let proved = checkpoint.prove();
    checkpoint.close();
    proved
}

/// That the log is dense and chained from its first revision on, passes the checkpoint and reaches what
/// the head file says.
struct Proof<'a> {
    dir: &'a Path,
    record: &'a HeadRecord,
    checkpoint: Head,
    /// So far.
    head: Head,
    /// Its checksum, if that is known.
    previous: Option<u64>,
    is_reached: bool,
}

impl<'a> Proof<'a> {
    fn begin(dir: &'a Path, record: &'a HeadRecord) -> Self {
        let checkpoint = record.checkpoint.map_or(EMPTY, |mark| mark.head);
        let first = record.first.min(checkpoint.revision.next());
        let (head, previous) = if first == checkpoint.revision.next() {
            (checkpoint, Some(checkpoint.checksum))
        } else {
            // Nobody says which commit came before the first that is kept.
            (Head { revision: Revision(first.0.saturating_sub(1)), checksum: 0 }, None)
        };
        Self { dir, record, checkpoint, head, previous, is_reached: head == record.head }
    }

    fn go_on(&mut self, log: &Arc<Engine>) -> Result<(), StoreError> {
        for found in records(log, self.head.revision.next(), self.previous) {
            self.head = found?.head;
            self.previous = Some(self.head.checksum);
            self.is_reached |= self.head == self.record.head;
            if self.head.revision == self.checkpoint.revision && self.head != self.checkpoint {
                let says = self.head.revision.0;
                let reason = format!("commit {says} in its log is not the one of its checkpoint");
                return Err(refused(self.dir, reason, RESTORE));
            }
        }
        Ok(())
    }

    fn end(self) -> Result<Head, StoreError> {
        let (head, expected) = (self.head, self.record.head);
        if head.revision < expected.revision {
            let (ends, says) = (head.revision.0, expected.revision.0);
            let reason = format!("its log ends at revision {ends}, the head file says {says}");
            return Err(refused(self.dir, reason, RESTORE));
        }
        if !self.is_reached {
            let says = expected.revision.0;
            let reason = format!("commit {says} in its log is not the one that the head file says");
            return Err(refused(self.dir, reason, RESTORE));
        }
        Ok(head)
    }
}

/// A copy that is removed again, whatever comes.
struct Copy {
    path: PathBuf,
}

impl Copy {
    fn of(dir: &Path, to: &Path, name: &str) -> Result<Self, StoreError> {
        let copy = Self { path: to.join(NAME) };
        files::remove_dir(&copy.path)?;
        fs::create_dir(&copy.path).map_err(|e| files::io_error("create", &copy.path, e))?;
        files::copy(&dir.join(name), &copy.path.join(name))?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // Best effort: where it stays, the next opening removes it first.
        let _ = files::remove_dir(&self.path);
    }
}
