//! The head file: what the log beside it must at least hold. Also the lock of the data directory.
//! Knows no engine.
//!
//! Two slots of 512 bytes, at 0 and 4,096, in a file of 8,192 bytes; the rest is zero. Writes
//! alternate, so that a torn one leaves the other; the valid slot of the higher sequence counts. A
//! slot, integers big-endian:
//!
//! ```text
//!   0  8  magic "BLWKHEAD"          84  8  revision of the head      116 4  seal of the checkpoint
//!   8  4  format, 1 to 4            92  8  checksum of the head      120 8  first revision in the log
//!  12  8  sequence                 100  8  revision of the checkpoint,   128 1  stage: 0 being created,
//!  20 32  store id, hex                    0: none                               1 whole
//!  52 32  zero                                                           129 8  latest `now` noted, + 2^63
//!                                                                        137 8  first revision of its
//!                                                                               newest volume; 0: one only
//!                                                                        145    zero
//!                                 108  8  checksum of its head      508 4  crc32 of bytes 0 to 508
//! ```
//!
//! Format 1 knows one volume only, and no checkpoint that is a file; before format 3 no two commits share an item of
//! the log; before format 4 there is no journal. Whoever reads an older one writes 4.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::Syncer;
use super::files::{io_error, sync_dir};
use crate::model::tuple::{Revision, Time};
use crate::store::{Head, RESTORE, StoreError};

/// Its name in the data directory.
pub(super) const NAME: &str = "head";
/// Its name while it is being made.
pub(super) const NAME_NEW: &str = "head.new";

const MAGIC: &[u8; 8] = b"BLWKHEAD";
const FORMAT: u32 = 4;
/// From this one on there is a journal.
const FORMAT_JOURNAL: u32 = 4;
const FORMAT_OLDEST: u32 = 1;
const FILE_BYTES: u64 = 8_192;
const SLOT_BYTES: usize = 512;
const SLOT_OFFSETS: [u64; 2] = [0, 4_096];
const ID_BYTES: usize = 32;
const SUM_AT: usize = SLOT_BYTES - 4;

/// Groups after which a slot is synced. The head is written before every acknowledgement, so a
/// process that dies loses nothing of it; but syncing it each time would double the cost of a
/// commit, and the sync of the journal or the log makes the commit durable already. After a power cut the file may
/// thus ask for up to this many groups less than the log holds: never for more.
const GROUPS_PER_SYNC: u32 = 64;

/// Which checkpoint is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CheckpointMark {
    /// Where the log stood.
    pub(super) head: Head,
    /// The seal over its blocks.
    pub(super) seal: u32,
}

/// How far the making of the directory has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// An empty store is being made: nothing in it has been acknowledged, so it may be made again.
    Creating = 0,
    /// It is made.
    Whole = 1,
}

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeadRecord {
    pub(super) store_id: Arc<str>,
    pub(super) stage: Stage,
    /// *Lower bound*: the durable log reaches this record, and may pass it.
    pub(super) head: Head,
    pub(super) checkpoint: Option<CheckpointMark>,
    /// The log's first revision; what stands before it is being removed.
    pub(super) first: Revision,
    /// The first revision of the log's newest volume, which must be there; 0: it has one only.
    pub(super) volume: Revision,
    /// Whether the log's last commits may be in the journal, which then must be there. Always written as yes.
    pub(super) has_journal: bool,
    /// The latest moment that a process is known to have used; `i64::MIN`: none.
    pub(super) noted: Time,
}

/// The open, locked file.
pub(super) struct HeadFile {
    path: PathBuf,
    file: File,
    sync: Syncer,
    sequence: u64,
    record: HeadRecord,
    groups_unsynced: u32,
}

impl std::fmt::Debug for HeadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeadFile").field("record", &self.record).finish_non_exhaustive()
    }
}

impl Drop for HeadFile {
    fn drop(&mut self) {
        // Closing is not enough: a process that ours has just forked holds the same open file until its
        // exec, and the lock with it. What fails here fails at closing too.
        let _ = self.file.unlock();
    }
}

impl HeadFile {
    /// Makes the file, durably, and locks it. It gets its name last, and never another's place.
    ///
    /// # Errors
    /// `Locked`: somebody else is making one; `Io`.
    pub(super) fn create(
        dir: &Path,
        record: HeadRecord,
        sync: &Syncer,
    ) -> Result<Self, StoreError> {
        let (path, new) = (dir.join(NAME), dir.join(NAME_NEW));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&new);
        let file = file.map_err(|e| io_error("create", &new, e))?;
        lock(&file, dir)?;
        file.set_len(FILE_BYTES).map_err(|e| io_error("write", &new, e))?;
        let mut made =
            Self { path, file, sync: sync.clone(), sequence: 0, record, groups_unsynced: 0 };
        made.write_both()?;
        match fs::hard_link(&new, &made.path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(StoreError::Locked { dir: dir.to_owned() });
            }
            Err(e) => return Err(io_error("create", &made.path, e)),
            Ok(()) => fs::remove_file(&new).map_err(|e| io_error("remove", &new, e))?,
        }
        sync_dir(dir)?;
        // Under its own name, so that a list of open files shows that. Whoever gets in between finds
        // the stage, and we find the lock.
        drop(made);
        Self::open(dir, sync)?.ok_or_else(|| StoreError::Locked { dir: dir.to_owned() })
    }

    /// Opens and locks the file; `None`: there is none.
    ///
    /// # Errors
    /// `Locked`; `Refused`: it is not whole, or of another format; `Io`.
    pub(super) fn open(dir: &Path, sync: &Syncer) -> Result<Option<Self>, StoreError> {
        let path = dir.join(NAME);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|e| io_error("open", &path, e))?,
        };
        lock(&file, dir)?;
        let refused = |reason, remedy| StoreError::Refused { dir: dir.to_owned(), reason, remedy };
        let length = file.metadata().map_err(|e| io_error("read", &path, e))?.len();
        if length != FILE_BYTES {
            let reason = format!("its file `{NAME}` has {length} bytes, expected {FILE_BYTES}");
            return Err(refused(reason, RESTORE));
        }
        let mut newest: Option<(u64, HeadRecord)> = None;
        for offset in SLOT_OFFSETS {
            let mut bytes = [0; SLOT_BYTES];
            file.read_exact_at(&mut bytes, offset).map_err(|e| io_error("read", &path, e))?;
            match decode(&bytes) {
                Slot::Valid(sequence, record) => {
                    if newest.as_ref().is_none_or(|(newer, _)| *newer < sequence) {
                        newest = Some((sequence, record));
                    }
                }
                Slot::OtherFormat(format) => {
                    let reason =
                        format!("it has format {format}, this program reads up to {FORMAT}");
                    return Err(refused(reason, "run the version that wrote it, or export there"));
                }
                Slot::Damaged => {}
            }
        }
        let Some((sequence, record)) = newest else {
            return Err(refused(format!("no slot of its file `{NAME}` is whole"), RESTORE));
        };
        let sync = sync.clone();
        Ok(Some(Self { path, file, sync, sequence, record, groups_unsynced: 0 }))
    }

    /// What it says.
    pub(super) fn record(&self) -> &HeadRecord {
        &self.record
    }

    /// Raises the head to one that the log holds durably. Survives the process; and a power cut
    /// after [`GROUPS_PER_SYNC`] calls, or a call of [`replace`](Self::replace).
    pub(super) fn raise(&mut self, head: Head) -> Result<(), StoreError> {
        self.record.head = head;
        self.write_slot()?;
        self.groups_unsynced += 1;
        if self.groups_unsynced >= GROUPS_PER_SYNC {
            self.sync_now()?;
        }
        Ok(())
    }

    /// Changes the record durably, in both slots: an older one would name a checkpoint or a first
    /// revision that is about to go.
    pub(super) fn replace(
        &mut self,
        change: impl FnOnce(&mut HeadRecord),
    ) -> Result<(), StoreError> {
        change(&mut self.record);
        self.write_both()
    }

    /// Makes the last [`raise`](Self::raise) durable.
    pub(super) fn sync_now(&mut self) -> Result<(), StoreError> {
        self.sync.sync(&self.file, &self.path)?;
        self.groups_unsynced = 0;
        Ok(())
    }

    fn write_both(&mut self) -> Result<(), StoreError> {
        for _ in SLOT_OFFSETS {
            self.write_slot()?;
            // One after the other, so that a power cut tears one slot at most.
            self.sync_now()?;
        }
        Ok(())
    }

    fn write_slot(&mut self) -> Result<(), StoreError> {
        self.sequence += 1;
        let [even, odd] = SLOT_OFFSETS;
        let offset = if self.sequence.is_multiple_of(2) { even } else { odd };
        self.file
            .write_all_at(&encode(self.sequence, &self.record), offset)
            .map_err(|e| io_error("write", &self.path, e))
    }
}

/// Locks the data directory, whatever its head file says; `None`: it has none.
///
/// # Errors
/// `Locked`, `Io`.
pub(super) fn lock_any(dir: &Path) -> Result<Option<File>, StoreError> {
    let path = dir.join(NAME);
    match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => {
            let file = opened.map_err(|e| io_error("open", &path, e))?;
            lock(&file, dir).map(|()| Some(file))
        }
    }
}

fn lock(file: &File, dir: &Path) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(e)) => Err(io_error("lock", dir, e)),
    }
}

fn encode(sequence: u64, record: &HeadRecord) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    let mut id = record.store_id.as_bytes().to_vec();
    id.resize(2 * ID_BYTES, 0);
    bytes.extend(id);
    bytes.extend(record.head.revision.0.to_be_bytes());
    bytes.extend(record.head.checksum.to_be_bytes());
    let none = CheckpointMark { head: Head { revision: Revision(0), checksum: 0 }, seal: 0 };
    let mark = record.checkpoint.unwrap_or(none);
    bytes.extend(mark.head.revision.0.to_be_bytes());
    bytes.extend(mark.head.checksum.to_be_bytes());
    bytes.extend(mark.seal.to_be_bytes());
    bytes.extend(record.first.0.to_be_bytes());
    bytes.push(record.stage as u8);
    bytes.extend((record.noted.0 ^ i64::MIN).to_be_bytes());
    bytes.extend(record.volume.0.to_be_bytes());
    bytes.resize(SUM_AT, 0);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

enum Slot {
    Valid(u64, HeadRecord),
    OtherFormat(u32),
    Damaged,
}

fn decode(bytes: &[u8; SLOT_BYTES]) -> Slot {
    let Some((body, sum)) = bytes.split_last_chunk::<4>() else { return Slot::Damaged };
    // Every format ends in this checksum, so that damage is not taken for another format.
    if crc32fast::hash(body) != u32::from_be_bytes(*sum) {
        return Slot::Damaged;
    }
    let mut rest = body;
    if take::<8>(&mut rest) != Some(*MAGIC) {
        return Slot::Damaged;
    }
    let format = match take(&mut rest).map(u32::from_be_bytes) {
        Some(format @ FORMAT_OLDEST..=FORMAT) => format,
        Some(format) => return Slot::OtherFormat(format),
        None => return Slot::Damaged,
    };
    decode_fields(format, rest)
        .map_or(Slot::Damaged, |(sequence, record)| Slot::Valid(sequence, record))
}

fn decode_fields(format: u32, mut rest: &[u8]) -> Option<(u64, HeadRecord)> {
    let rest = &mut rest;
    let number = |rest: &mut &[u8]| take(rest).map(u64::from_be_bytes);
    let id = |rest: &mut &[u8]| {
        let bytes = take::<ID_BYTES>(rest)?;
        std::str::from_utf8(&bytes).ok().map(|text| text.trim_end_matches('\0').into())
    };
    let head = |rest: &mut &[u8]| {
        Some(Head { revision: Revision(number(rest)?), checksum: number(rest)? })
    };
    let sequence = number(rest)?;
    let (store_id, _) = (id(rest)?, id(rest)?);
    let log_head = head(rest)?;
    let mark = CheckpointMark { head: head(rest)?, seal: take(rest).map(u32::from_be_bytes)? };
    let checkpoint = (mark.head.revision.0 > 0).then_some(mark);
    let first = Revision(number(rest)?);
    let stage = match take::<1>(rest)? {
        [0] => Stage::Creating,
        [1] => Stage::Whole,
        _ => return None,
    };
    let noted = Time(take(rest).map(i64::from_be_bytes)? ^ i64::MIN);
    let volume = Revision(number(rest)?);
    let has_journal = format >= FORMAT_JOURNAL;
    let head = log_head;
    let record =
        HeadRecord { store_id, stage, head, checkpoint, first, volume, has_journal, noted };
    Some((sequence, record))
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::super::open::first_record;
    use super::*;

    #[test]
    fn the_lock_ends_with_its_owner_whoever_else_has_the_file_open() {
        let dir = tempfile::tempdir().unwrap();
        let sync = Syncer::default();
        let record = first_record();
        let head_file = HeadFile::create(dir.path(), record, &sync).unwrap();
        // The same open file, as a forked process has it until its exec.
        let _forked = head_file.file.try_clone().unwrap();
        let held = HeadFile::open(dir.path(), &sync);
        assert!(matches!(held, Err(StoreError::Locked { .. })), "{held:?}");
        drop(head_file);
        assert!(HeadFile::open(dir.path(), &sync).unwrap().is_some());
    }
}
