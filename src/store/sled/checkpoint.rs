//! Checkpoints: the state as of a revision, written beside and put in place by a rename. Knows no log;
//! the head file, which names the one in force, is its caller's.
//!
//! A checkpoint is a file of blocks (`block_file`), as `block` makes them. The stream's first entry is the
//! checkpoint's head; it says how many tuples follow, and how many keyed commits after them.
//!
//! Older programs put the blocks into an engine of their own, a directory of the same name, which is still
//! read: block number from 0 on (8 bytes, big-endian) -> block; last, as a proof that all is there,
//! key 2^64-1 -> number of blocks, 8 | number of tuples and keyed commits, 8 | seal, 4.

use std::fs;
use std::path::{Path, PathBuf};

use super::block_file::{self, BlockFile, Writing};
use super::engine::{Engine, Items, Syncer};
use super::files::{self, io_error, sync_dir};
use super::head_file::CheckpointMark;
use crate::model::tuple::Revision;
use crate::store::block::{BlockReader, BlockWriter};
use crate::store::bulk::{BULK_TUPLES, Bulk, Recalled};
use crate::store::record::{
    decode_checkpoint, decode_keyed, decode_tuple, decode_tuple_into, encode_checkpoint,
    encode_keyed, encode_tuple,
};
use crate::store::{CheckpointEntry, CheckpointHead, Promised, StoreError, broken_promise};

/// How the names of checkpoint directories begin; the revision follows.
const NAME_PREFIX: &str = "checkpoint-";
/// The name of one that is being written.
pub(super) const NAME_NEW: &str = "checkpoint.new";

const END_KEY: [u8; 8] = u64::MAX.to_be_bytes();

/// A whole checkpoint on disk.
#[derive(Debug)]
pub(super) struct Checkpoint {
    held: Held,
    mark: CheckpointMark,
}

#[derive(Debug)]
enum Held {
    File(BlockFile),
    /// As older programs wrote it: the engine, and how many blocks it holds.
    Engine(Box<Engine>, u64),
}

/// Where the checkpoint of this revision lies.
pub(super) fn path(dir: &Path, revision: Revision) -> PathBuf {
    dir.join(name(revision))
}

/// The name of its directory.
pub(super) fn name(revision: Revision) -> String {
    format!("{NAME_PREFIX}{}", revision.0)
}

/// Whether a name in a data directory is that of a checkpoint.
pub(super) fn is_name(name: &str) -> bool {
    files::number_after(NAME_PREFIX, name).is_some()
}

impl Checkpoint {
    /// Writes one, durably, under its name. It takes force when the head file names it.
    ///
    /// # Errors
    /// `Io`; `Unstorable`: not as many entries of each kind as the head says.
    pub(super) fn write(
        dir: &Path,
        state: &CheckpointHead,
        entries: &mut dyn Iterator<Item = CheckpointEntry>,
        sync: &Syncer,
    ) -> Result<Self, StoreError> {
        let (new, path) = (dir.join(NAME_NEW), path(dir, state.head.revision));
        // Leftovers of an attempt that was cut off.
        files::remove(&new)?;
        files::remove(&path)?;
        let written = Self::write_blocks(&new, state, entries, sync);
        let file = written.inspect_err(|_| {
            // Best effort: a disk that is full needs the room, and the next attempt clears it too.
            let _ = files::remove(&new);
        })?;
        fs::rename(&new, &path).map_err(|e| io_error("rename", &new, e))?;
        sync_dir(dir)?;
        let mark = CheckpointMark { head: state.head, seal: file.seal() };
        Ok(Self { held: Held::File(file.moved_to(path)), mark })
    }

    fn write_blocks(
        path: &Path,
        state: &CheckpointHead,
        entries: &mut dyn Iterator<Item = CheckpointEntry>,
        sync: &Syncer,
    ) -> Result<BlockFile, StoreError> {
        let mut file = Writing::create(path, sync)?;
        let mut writer = BlockWriter::default();
        let mut push = |entry| writer.push(entry)?.iter().try_for_each(|block| file.put(block));
        push(encode_checkpoint(state))?;
        let mut promised = Promised::by(state);
        for entry in entries {
            if !promised.take(&entry) {
                return Err(broken_promise(state));
            }
            push(match &entry {
                CheckpointEntry::Tuple(tuple) => encode_tuple(tuple)?,
                CheckpointEntry::Keyed(commit) => encode_keyed(commit),
            })?;
        }
        if !promised.is_kept() {
            return Err(broken_promise(state));
        }
        let (last, seal) = writer.finish();
        last.iter().try_for_each(|block| file.put(block))?;
        file.finish(state.tuple_count.saturating_add(state.keyed_count), seal)
    }

    /// Opens the one that the head file names. Its blocks are proved when they are read. Errors name the
    /// data directory `named`, of which `dir` may be a copy; a file is never copied, as reading it changes
    /// nothing.
    ///
    /// # Errors
    /// `Io`: it is missing; `Corrupt`: it is another, or not whole.
    pub(super) fn open(
        dir: &Path,
        named: &Path,
        mark: CheckpointMark,
        sync: &Syncer,
    ) -> Result<Self, StoreError> {
        let revision = mark.head.revision;
        let named = path(named, revision);
        let (held, seal) = if named.is_dir() {
            let engine = Engine::open_as(&path(dir, revision), &named, sync)?;
            let end = engine.get(&END_KEY)?;
            let Some((blocks, seal)) = end.as_deref().and_then(parse_end) else {
                let what = format!("checkpoint {} is not whole", revision.0);
                return Err(StoreError::corrupt(what));
            };
            (Held::Engine(Box::new(engine), blocks), seal)
        } else {
            let file = BlockFile::open(&named)?;
            let seal = file.seal();
            (Held::File(file), seal)
        };
        if seal != mark.seal {
            return Err(StoreError::corrupt(format!(
                "checkpoint {} is not the one that the head file names",
                revision.0
            )));
        }
        Ok(Self { held, mark })
    }

    /// What the head file says of it.
    pub(super) fn mark(&self) -> CheckpointMark {
        self.mark
    }

    /// Where it lies now.
    pub(super) fn path(&self, dir: &Path) -> PathBuf {
        path(dir, self.mark.head.revision)
    }

    /// Whether all of it is there. Costs a read of every block.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(super) fn prove(&self) -> Result<(), StoreError> {
        let mut entries = self.entries();
        while entries.next_entry()?.is_some() {}
        Ok(())
    }

    /// Closes it; see [`Engine::close`].
    pub(super) fn close(self) {
        if let Held::Engine(engine, _) = self.held {
            engine.close();
        }
    }

    fn entries(&self) -> Entries {
        let (source, blocks) = match &self.held {
            Held::File(file) => (Blocks::File(file.blocks()), file.len()),
            Held::Engine(engine, blocks) => (Blocks::Engine(Box::new(engine.range(&[]))), *blocks),
        };
        let (reader, seal) = (BlockReader::default(), self.mark.seal);
        Entries { source, reader, next_block: 0, blocks, seal }
    }

    /// Its head, and what it holds.
    ///
    /// # Errors
    /// `Corrupt`, also from the entries, whose end proves the number of blocks and of entries.
    pub(super) fn read(&self) -> Result<(CheckpointHead, Contents), StoreError> {
        let mut entries = self.entries();
        let head = self.read_head(&mut entries)?;
        let left = Promised::by(&head);
        Ok((head, Contents { entries: Some(entries), left }))
    }

    fn read_head(&self, entries: &mut Entries) -> Result<CheckpointHead, StoreError> {
        let head = match entries.next_entry()? {
            Some(bytes) => decode_checkpoint(bytes)?,
            None => return Err(StoreError::corrupt("the checkpoint is empty")),
        };
        if head.head != self.mark.head {
            return Err(StoreError::corrupt(
                "the checkpoint is not of the revision it is named for",
            ));
        }
        Ok(head)
    }

    /// The same in bulk, until `take` says false; whether it never did.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub(super) fn recall(
        &self,
        take: &mut dyn FnMut(Recalled) -> bool,
    ) -> Result<bool, StoreError> {
        let mut entries = self.entries();
        let head = self.read_head(&mut entries)?;
        let (tuples, keyed) = (head.tuple_count, head.keyed_count);
        if !take(Recalled::Checkpoint(Box::new(head))) {
            return Ok(false);
        }
        let missing = || StoreError::corrupt("the checkpoint has another number of entries");
        let mut bulk = Bulk::default();
        for _ in 0..tuples {
            decode_tuple_into(&mut bulk, entries.next_entry()?.ok_or_else(missing)?)?;
            if bulk.len() >= BULK_TUPLES && !take(Recalled::Tuples(std::mem::take(&mut bulk))) {
                return Ok(false);
            }
        }
        if !take(Recalled::Tuples(bulk)) {
            return Ok(false);
        }
        for _ in 0..keyed {
            let commit = decode_keyed(entries.next_entry()?.ok_or_else(missing)?)?;
            if !take(Recalled::Keyed(commit)) {
                return Ok(false);
            }
        }
        if entries.next_entry()?.is_some() { Err(missing()) } else { Ok(true) }
    }
}

fn parse_end(value: &[u8]) -> Option<(u64, u32)> {
    let (blocks, rest) = value.split_first_chunk::<8>()?;
    let (_entries, seal) = rest.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*blocks), u32::from_be_bytes(seal.try_into().ok()?)))
}

/// Where blocks come from.
enum Blocks {
    File(block_file::Blocks),
    Engine(Box<Items>),
}

impl Blocks {
    /// Feeds the reader the block of this number; `None`: there is none.
    fn feed(&mut self, reader: &mut BlockReader, number: u64) -> Option<Result<(), StoreError>> {
        match self {
            Self::File(blocks) => Some(blocks.next()?.and_then(|block| reader.feed(&block))),
            Self::Engine(items) => Some(items.next()?.and_then(|(key, block)| {
                if key.as_ref() != number.to_be_bytes().as_slice() {
                    let what = format!("block {number} of the checkpoint is missing");
                    return Err(StoreError::corrupt(what));
                }
                reader.feed(&block)
            })),
        }
    }
}

struct Entries {
    source: Blocks,
    reader: BlockReader,
    next_block: u64,
    blocks: u64,
    seal: u32,
}

impl Entries {
    /// The next entry; `None`: that was all, and it proved itself.
    fn next_entry(&mut self) -> Result<Option<&[u8]>, StoreError> {
        while !self.reader.has_entry()? {
            if self.next_block == self.blocks {
                return match self.reader.seal() {
                    Some(seal) if seal == self.seal => Ok(None),
                    _ => Err(StoreError::corrupt("the checkpoint does not match its seal")),
                };
            }
            let Some(fed) = self.source.feed(&mut self.reader, self.next_block) else {
                return Err(StoreError::corrupt("the checkpoint's last blocks are missing"));
            };
            fed?;
            self.next_block += 1;
        }
        self.reader.next_entry()
    }
}

/// What a checkpoint holds beside its head; an error ends it.
pub(super) struct Contents {
    entries: Option<Entries>,
    left: Promised,
}

impl Contents {
    fn read_one(&mut self) -> Result<Option<CheckpointEntry>, StoreError> {
        let Some(entries) = &mut self.entries else { return Ok(None) };
        let are_tuples = self.left.tuples > 0;
        let entry = match entries.next_entry()? {
            None => None,
            Some(bytes) if are_tuples => Some(CheckpointEntry::Tuple(decode_tuple(bytes)?)),
            Some(bytes) => Some(CheckpointEntry::Keyed(decode_keyed(bytes)?)),
        };
        let fits = entry.as_ref().map_or(self.left.is_kept(), |entry| self.left.take(entry));
        if !fits {
            return Err(StoreError::corrupt("the checkpoint has another number of entries"));
        }
        Ok(entry)
    }
}

impl Iterator for Contents {
    type Item = Result<CheckpointEntry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.read_one().transpose();
        if !matches!(entry, Some(Ok(_))) {
            self.entries = None;
        }
        entry
    }
}
