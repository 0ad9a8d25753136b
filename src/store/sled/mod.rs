//! [`Store`] on a local directory, with sled as the engine: what is written when, and what is published
//! after it. Knows neither the engine's calls (`engine`), nor what a directory must prove (`open`), nor
//! the bytes (`log`, `checkpoint`, `head_file`, each at its top).
//!
//! ```text
//! DIR/head              what the log must at least hold; the lock          head_file.rs
//! DIR/lineages          whose tokens are of this history                 lineages_file.rs
//! DIR/log/, DIR/log-N/  sled: the commits from the first, and from N on    volumes.rs, log.rs
//! DIR/journal           commits that the log's engine is yet to be given   journal.rs
//! DIR/checkpoint-N      the state as of revision N                         checkpoint.rs
//! DIR/opening/          a copy of a part of the log while it is proved     trial.rs
//! DIR/copying/          a copy of another directory that is not whole yet  backup.rs
//! DIR/*.new, other log-N and checkpoint-N: cut off while being made, or of no use any more; removed
//! ```
//!
//! **Durable.** A small group: its commits go to the journal, which one `fdatasync` makes durable, the engine holds them for
//! whoever reads, and the head file's next slot is written; then the group is acknowledged. When the journal is
//! full, before a large group, and at the end, sled is given what is held in one batch: `flush()` hands it to the system, one
//! `fdatasync` of its file `db` makes it durable, and the journal begins anew. A large group goes to sled at once, in
//! batches, each whole or absent. The head file is synced every 64th group, at a checkpoint, and at the end: it is a
//! *lower bound* of what is durable (see `head_file`). So a small group costs one sync, and a small part of two others.
//!
//! **Proved.** Opening demands that the log, from its first revision on, is dense, that each
//! record carries its predecessor's checksum, and that it reaches the record that the head file names.
//! sled shortens a damaged log without an error; here that is a refusal. It does so on disk, when it
//! opens it: so all this is proved on a copy first, with what the journal holds, and a refusal leaves the directory as it was.
//!
//! **Assumed of the disk:** a sync that returned is durable; 512 bytes at a multiple of 512 are written
//! whole or not at all; and after a failed sync nothing is known, so the store latches, and the next opening writes
//! the newest part of the log again, which may be in the system's memory only, before the journal is emptied.

mod backup;
mod block_file;
mod checkpoint;
mod engine;
mod files;
mod head_file;
mod journal;
mod lineages_file;
mod log;
mod open;
#[cfg(test)]
mod tests;
mod trial;
mod volumes;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::backup::Copied;
use self::checkpoint::Checkpoint;
use self::engine::{Engine, Syncer, demand_small};
use self::head_file::{HeadFile, HeadRecord};
use self::journal::Journal;
use self::open::Opened;
use self::volumes::{Chain, Volumes};
use super::bulk::Recalled;
use super::record::{decode_bulk_commit, decode_commit, encode_commit};
use super::{CheckpointEntry, CheckpointHead, Commit, Head, Identity, Store, StoreError, Stored};
use crate::model::tuple::{Revision, Time};

const EMPTY: Head = Head { revision: Revision(0), checksum: 0 };

/// A store in a directory that it alone has open.
#[derive(Debug)]
pub struct SledStore {
    dir: PathBuf,
    identity: Identity,
    log: Volumes,
    syncer: Syncer,
    /// Held while a group is appended.
    writer: Mutex<Writer>,
    /// Taken after `writer`, never before it.
    head_file: Mutex<HeadFile>,
    /// *Durable*: readers see the log up to here, and no further.
    published: Mutex<Head>,
    /// Signalled after each change of `published`.
    grown: Condvar,
    /// The log's first revision: a copy of the head file's.
    first: AtomicU64,
    checkpoint: Mutex<Option<Arc<Checkpoint>>>,
    /// Held while a checkpoint is written or the log is truncated. Taken before any other.
    upkeep: Mutex<()>,
}

#[derive(Debug)]
struct Writer {
    head: Head,
    journal: Journal,
    /// The failure after which nothing is appended any more.
    latched: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a lock was held: the writer has latched, or the value is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SledStore {
    /// Opens the store in this directory, and makes an empty one if the directory is empty or not
    /// there. Reads the log and the newest checkpoint, from a copy that takes as much room meanwhile.
    ///
    /// # Errors
    /// `Locked`, `Refused`, `Corrupt`, `Io`: each says what to do.
    pub fn open_or_create(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, true, Syncer::default())
    }

    /// Opens the store in this directory. Reads the log and the newest checkpoint, from a copy that takes
    /// as much room meanwhile.
    ///
    /// # Errors
    /// `Refused` also if there is none; `Locked`, `Corrupt`, `Io`: each says what to do.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, false, Syncer::default())
    }

    /// Copies the store in `from` to `to`, durably, once it has proved itself: a backup, and its way back.
    /// Nobody may have either of them open. Nothing in `from` is changed. If `replaces`, the store in `to`
    /// is removed for it, whatever state that is in. Takes twice the room of the store for a moment.
    ///
    /// # Errors
    /// `Refused`, `Corrupt`: `from` holds no whole store, or `to` holds something already; `Locked`, `Io`.
    pub fn copy(from: &Path, to: &Path, replaces: bool) -> Result<Copied, StoreError> {
        backup::copy(from, to, replaces)
    }

    fn open_with(dir: &Path, may_create: bool, sync: Syncer) -> Result<Self, StoreError> {
        Ok(Self::assemble(dir, open::open(dir, may_create, &sync)?, sync))
    }

    fn assemble(dir: &Path, opened: Opened, sync: Syncer) -> Self {
        let Opened { head_file, log, journal, checkpoint, lineages } = opened;
        let HeadRecord { store_id, head, first, .. } = head_file.record().clone();
        let identity = Identity { store_id, lineages };
        Self {
            dir: dir.to_owned(),
            identity,
            log,
            syncer: sync,
            writer: Mutex::new(Writer { head, journal, latched: None }),
            head_file: Mutex::new(head_file),
            published: Mutex::new(head),
            grown: Condvar::new(),
            first: AtomicU64::new(first.0),
            checkpoint: Mutex::new(checkpoint.map(Arc::new)),
            upkeep: Mutex::new(()),
        }
    }

    fn first(&self) -> Revision {
        Revision(self.first.load(Ordering::Acquire))
    }

    fn checkpoint_in_force(&self) -> Option<Arc<Checkpoint>> {
        locked(&self.checkpoint).clone()
    }

    /// Writes a group after the head, and returns when it is durable: the head after each commit.
    fn write_group(
        &self,
        Writer { head, journal, .. }: &mut Writer,
        bodies: &[Vec<u8>],
    ) -> Result<Vec<Head>, StoreError> {
        let head = *head;
        let (batches, heads) = log::items(head, bodies);
        let small = match batches.as_slice() {
            [items] if Journal::is_for(items) => Some(items),
            _ => None,
        };
        if small.is_none_or(|items| journal.is_full_for(items)) {
            self.log.newest().settle()?;
            journal.begin_anew();
        }
        let engine = self.engine_after(head)?;
        if let Some(items) = small {
            // Before they are durable: then they are in.
            demand_small(items)?;
            journal.append(items)?;
            engine.hold(items);
        } else {
            batches.iter().try_for_each(|items| engine.put(items))?;
            engine.flush()?;
            engine.sync()?;
        }
        locked(&self.head_file).raise(heads.last().copied().unwrap_or(head))?;
        Ok(heads)
    }

    /// The engine that takes the commits after `head`: a new one, if the last is full. Called by the writer.
    fn engine_after(&self, head: Head) -> Result<Arc<Engine>, StoreError> {
        let volume = head.revision.next();
        if !self.log.is_full(volume).map_err(StoreError::unwritten)? {
            return Ok(self.log.newest());
        }
        // Whatever the journal holds is of the last.
        self.log.newest().settle()?;
        let engine = self.log.begin(volume)?;
        locked(&self.head_file).replace(|record| {
            record.head = head;
            record.volume = volume;
        })?;
        Ok(engine)
    }

    /// Changes the head file durably. After a failure nobody knows what it says, so nothing more is
    /// acknowledged.
    fn change_head_file(&self, change: impl FnOnce(&mut HeadRecord)) -> Result<(), StoreError> {
        let changed = locked(&self.head_file).replace(change);
        changed.inspect_err(|e| locked(&self.writer).latched = Some(e.to_string()))
    }

    /// The checksum of the commit before this one, where it is at hand.
    fn checksum_before(&self, from: Revision) -> Result<Option<u64>, StoreError> {
        let before = Revision(from.0.saturating_sub(1));
        if before == EMPTY.revision {
            return Ok(Some(EMPTY.checksum));
        }
        match self.checkpoint_in_force().map(|checkpoint| checkpoint.mark().head) {
            Some(head) if head.revision == before => Ok(Some(head.checksum)),
            _ => match self.log.checksum_of(before) {
                // Truncated, perhaps just now; what is read after it is still chained up to the head.
                _ if before < self.first() => Ok(None),
                found => found,
            },
        }
    }
}

impl Store for SledStore {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn head(&self) -> Head {
        *locked(&self.published)
    }

    fn noted_time(&self) -> Time {
        locked(&self.head_file).record().noted
    }

    fn note_time(&self, now: Time) -> Result<(), StoreError> {
        if now <= self.noted_time() {
            return Ok(());
        }
        if let Some(cause) = self.latched() {
            return Err(StoreError::Latched { cause });
        }
        self.change_head_file(|record| record.noted = now)
    }

    fn latched(&self) -> Option<String> {
        locked(&self.writer).latched.clone()
    }

    fn append(&self, expected: Revision, group: &[Commit]) -> Result<Vec<Head>, StoreError> {
        let bodies = group.iter().map(encode_commit).collect::<Result<Vec<_>, _>>();
        let mut writer = locked(&self.writer);
        if let Some(cause) = &writer.latched {
            return Err(StoreError::Latched { cause: cause.clone() });
        }
        let actual = writer.head.revision;
        if actual != expected {
            return Err(StoreError::Conflict { expected: expected.0, actual: actual.0 });
        }
        let bodies = bodies?;
        if bodies.is_empty() {
            return Ok(Vec::new());
        }
        // Latched until proved otherwise: also if a panic ends this call.
        writer.latched = Some("it was cut off".to_owned());
        match self.write_group(&mut writer, &bodies) {
            Ok(heads) => {
                let head = heads.last().copied().unwrap_or(writer.head);
                (writer.head, writer.latched) = (head, None);
                *locked(&self.published) = head;
                self.grown.notify_all();
                Ok(heads)
            }
            Err(e @ StoreError::Unwritten { .. }) => {
                writer.latched = None;
                Err(e)
            }
            Err(e) => {
                writer.latched = Some(e.to_string());
                Err(e)
            }
        }
    }

    fn read(&self, from: Revision) -> Result<Stored<'_, (Head, Commit)>, StoreError> {
        let from = from.max(Revision(1));
        let (head, first) = (self.head(), self.first());
        if from < first {
            return Err(StoreError::Truncated { asked: from.0, oldest: first.0 });
        }
        if from > head.revision.next() {
            return Err(StoreError::Beyond { asked: from.0, head: head.revision.0 });
        }
        let previous = self.checksum_before(from)?;
        let records = self.log.records(from, previous);
        Ok(Box::new(Commits { store: self, records, next: from, head, over: false }))
    }

    fn wait_beyond(&self, revision: Revision, timeout: Duration) -> Head {
        let behind = |head: &mut Head| head.revision <= revision;
        let waited = self.grown.wait_timeout_while(locked(&self.published), timeout, behind);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn checkpoint(
        &self,
    ) -> Result<Option<(CheckpointHead, Stored<'_, CheckpointEntry>)>, StoreError> {
        let Some(checkpoint) = self.checkpoint_in_force() else { return Ok(None) };
        let (head, entries) = checkpoint.read()?;
        Ok(Some((head, Box::new(entries))))
    }

    fn write_checkpoint(
        &self,
        state: &CheckpointHead,
        entries: &mut dyn Iterator<Item = CheckpointEntry>,
    ) -> Result<(), StoreError> {
        let _upkeep = locked(&self.upkeep);
        let old = self.checkpoint_in_force();
        let in_force = old.as_ref().map(|checkpoint| checkpoint.mark().head);
        let published = self.head();
        let logged = || match state.head.revision {
            revision if revision == published.revision => Ok(Some(published.checksum)),
            revision if revision > published.revision => Ok(None),
            revision => self.log.checksum_of(revision),
        };
        if !super::is_new_checkpoint(state.head, in_force, logged)? {
            return Ok(());
        }
        let new = Arc::new(Checkpoint::write(&self.dir, state, entries, &self.syncer)?);
        self.change_head_file(|record| record.checkpoint = Some(new.mark()))?;
        *locked(&self.checkpoint) = Some(new);
        // Whoever still reads the old one has its file open.
        old.map_or(Ok(()), |old| files::remove(&old.path(&self.dir)))
    }

    fn truncate(&self, before: Revision) -> Result<(), StoreError> {
        let _upkeep = locked(&self.upkeep);
        let Some(checkpoint) = self.checkpoint_in_force() else { return Ok(()) };
        let first = before.min(checkpoint.mark().head.revision.next());
        if first <= self.first() {
            return Ok(());
        }
        self.change_head_file(|record| record.first = first)?;
        self.first.store(first.0, Ordering::Release);
        self.log.remove_before(first)
    }

    fn recall(&self, take: &mut dyn FnMut(Recalled) -> bool) -> Result<(), StoreError> {
        let (mut next, head) = (EMPTY, self.head());
        if let Some(checkpoint) = self.checkpoint_in_force() {
            next = checkpoint.mark().head;
            if !checkpoint.recall(take)? {
                return Ok(());
            }
        }
        let missing = || StoreError::corrupt("the log's last commits are missing");
        let mut records = self.log.records(next.revision.next(), Some(next.checksum));
        while next.revision < head.revision {
            let record = records.next().unwrap_or_else(|| Err(missing()))?;
            next = record.head;
            let commit = decode_bulk_commit(record.head, &record.body)?;
            if !take(Recalled::Commit(Box::new(commit))) {
                return Ok(());
            }
        }
        if next == head { Ok(()) } else { Err(missing()) }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        // Best effort: every commit is durable without it; the head file is a lower bound.
        if locked(&self.writer).latched.is_none() {
            let _ = self.log.newest().settle();
            let _ = locked(&self.head_file).sync_now();
        }
    }
}

/// The commits of [`Store::read`], up to the head at its call.
struct Commits<'a> {
    store: &'a SledStore,
    records: Chain,
    next: Revision,
    head: Head,
    over: bool,
}

impl Commits<'_> {
    fn read_one(&mut self) -> Result<(Head, Commit), StoreError> {
        let missing = || StoreError::corrupt(format!("commit {} is missing", self.next.0));
        let record = self.records.next().unwrap_or_else(|| Err(missing()))?;
        if record.head.revision == self.head.revision && record.head != self.head {
            return Err(StoreError::corrupt("the last commit is not the one that was written"));
        }
        self.next = record.head.revision.next();
        Ok((record.head, decode_commit(&record.body)?))
    }
}

impl Iterator for Commits<'_> {
    type Item = Result<(Head, Commit), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over || self.next > self.head.revision {
            return None;
        }
        let asked = self.next;
        let commit = self.read_one();
        self.over = commit.is_err();
        Some(match commit {
            // Truncation overtook this reader; what it missed is no damage.
            Err(_) if asked < self.store.first() => {
                Err(StoreError::Truncated { asked: asked.0, oldest: self.store.first().0 })
            }
            commit => commit,
        })
    }
}
