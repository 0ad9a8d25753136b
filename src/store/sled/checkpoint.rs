//! Checkpoints: the state as of a revision in an engine of its own, written beside and put in place by
//! a rename. Knows no log; the head file, which names the one in force, is its caller's.
//!
//! Items: block number from 0 on (8 bytes, big-endian) -> block, as `block` makes them. The stream's
//! first entry is the checkpoint's head; it says how many tuples follow, and how many keyed commits
//! after them. The last item proves that all is there:
//! key 2^64-1 -> number of blocks, 8 | number of tuples and keyed commits, 8 | seal, 4.

use std::fs;
use std::path::{Path, PathBuf};

use super::engine::{Engine, Item, Items, Syncer};
use super::files::{io_error, remove_dir, sync_dir};
use super::head_file::CheckpointMark;
use crate::model::tuple::Revision;
use crate::store::block::{BlockReader, BlockWriter};
use crate::store::record::{
    decode_checkpoint, decode_keyed, decode_tuple, encode_checkpoint, encode_keyed, encode_tuple,
};
use crate::store::{CheckpointEntry, CheckpointHead, Promised, StoreError, broken_promise};

/// How the names of checkpoint directories begin; the revision follows.
pub(super) const NAME_PREFIX: &str = "checkpoint-";
/// The name of one that is being written.
pub(super) const NAME_NEW: &str = "checkpoint.new";

const END_KEY: [u8; 8] = u64::MAX.to_be_bytes();
const END_BYTES: usize = 20;
/// Blocks given to the engine in one batch.
const BLOCKS_AT_ONCE: usize = 64;

/// A whole checkpoint on disk.
#[derive(Debug)]
pub(super) struct Checkpoint {
    engine: Engine,
    mark: CheckpointMark,
    blocks: u64,
}

/// Where the checkpoint of this revision lies.
pub(super) fn path(dir: &Path, revision: Revision) -> PathBuf {
    dir.join(name(revision))
}

/// The name of its directory.
pub(super) fn name(revision: Revision) -> String {
    format!("{NAME_PREFIX}{}", revision.0)
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
        remove_dir(&new)?;
        remove_dir(&path)?;
        let written = Self::write_blocks(&new, state, entries, sync);
        let (engine, blocks, seal) = written.inspect_err(|_| {
            // Best effort: a disk that is full needs the room, and the next attempt clears it too.
            let _ = remove_dir(&new);
        })?;
        fs::rename(&new, &path).map_err(|e| io_error("rename", &new, e))?;
        sync_dir(dir)?;
        let engine = engine.moved_to(path);
        Ok(Self { engine, mark: CheckpointMark { head: state.head, seal }, blocks })
    }

    fn write_blocks(
        dir: &Path,
        state: &CheckpointHead,
        entries: &mut dyn Iterator<Item = CheckpointEntry>,
        sync: &Syncer,
    ) -> Result<(Engine, u64, u32), StoreError> {
        let mut sink = Sink {
            engine: Engine::create(dir, sync)?,
            writer: BlockWriter::default(),
            batch: Vec::new(),
            blocks: 0,
        };
        sink.push(encode_checkpoint(state))?;
        let mut promised = Promised::by(state);
        for entry in entries {
            if !promised.take(&entry) {
                return Err(broken_promise(state));
            }
            sink.push(match &entry {
                CheckpointEntry::Tuple(tuple) => encode_tuple(tuple)?,
                CheckpointEntry::Keyed(commit) => encode_keyed(commit),
            })?;
        }
        if !promised.is_kept() {
            return Err(broken_promise(state));
        }
        sink.finish(state.tuple_count.saturating_add(state.keyed_count))
    }

    /// Opens the one that the head file names. Its blocks are proved when they are read. Errors name the
    /// data directory `named`, of which `dir` may be a copy.
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
        let engine = Engine::open_as(&path(dir, revision), &path(named, revision), sync)?;
        let end = engine.get(&END_KEY)?;
        let end = end.as_deref().and_then(parse_end);
        match end {
            Some((blocks, _, seal)) if seal == mark.seal => Ok(Self { engine, mark, blocks }),
            Some(_) => Err(StoreError::corrupt(format!(
                "checkpoint {} is not the one that the head file names",
                mark.head.revision.0
            ))),
            None => Err(StoreError::corrupt(format!(
                "checkpoint {} is not whole",
                mark.head.revision.0
            ))),
        }
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
        self.engine.close();
    }

    fn entries(&self) -> Entries {
        Entries {
            items: self.engine.range(&[]),
            reader: BlockReader::default(),
            next_block: 0,
            blocks: self.blocks,
            seal: self.mark.seal,
        }
    }

    /// Its head, and what it holds.
    ///
    /// # Errors
    /// `Corrupt`, also from the entries, whose end proves the number of blocks and of entries.
    pub(super) fn read(&self) -> Result<(CheckpointHead, Contents), StoreError> {
        let mut entries = self.entries();
        let head = match entries.next_entry()? {
            Some(bytes) => decode_checkpoint(bytes)?,
            None => return Err(StoreError::corrupt("the checkpoint is empty")),
        };
        if head.head != self.mark.head {
            return Err(StoreError::corrupt(
                "the checkpoint is not of the revision it is named for",
            ));
        }
        let left = Promised::by(&head);
        Ok((head, Contents { entries: Some(entries), left }))
    }
}

/// Takes entries, and puts blocks into an engine.
struct Sink {
    engine: Engine,
    writer: BlockWriter,
    batch: Vec<Item>,
    blocks: u64,
}

impl Sink {
    fn push(&mut self, entry: Vec<u8>) -> Result<(), StoreError> {
        for block in self.writer.push(entry)? {
            self.put(block)?;
        }
        Ok(())
    }

    fn put(&mut self, block: Vec<u8>) -> Result<(), StoreError> {
        self.batch.push((self.blocks.to_be_bytes().to_vec(), block));
        self.blocks += 1;
        if self.batch.len() < BLOCKS_AT_ONCE {
            return Ok(());
        }
        self.engine.put(std::mem::take(&mut self.batch))
    }

    fn finish(mut self, entries: u64) -> Result<(Engine, u64, u32), StoreError> {
        let (last, seal) = std::mem::take(&mut self.writer).finish();
        if let Some(block) = last {
            self.put(block)?;
        }
        let mut end = Vec::with_capacity(END_BYTES);
        end.extend(self.blocks.to_be_bytes());
        end.extend(entries.to_be_bytes());
        end.extend(seal.to_be_bytes());
        self.batch.push((END_KEY.to_vec(), end));
        self.engine.put(self.batch)?;
        self.engine.flush()?;
        self.engine.sync_all()?;
        Ok((self.engine, self.blocks, seal))
    }
}

fn parse_end(value: &[u8]) -> Option<(u64, u64, u32)> {
    let (blocks, rest) = value.split_first_chunk::<8>()?;
    let (entries, rest) = rest.split_first_chunk::<8>()?;
    let seal = rest.try_into().ok()?;
    Some((u64::from_be_bytes(*blocks), u64::from_be_bytes(*entries), u32::from_be_bytes(seal)))
}

struct Entries {
    items: Items,
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
            let Some(item) = self.items.next() else {
                return Err(StoreError::corrupt("the checkpoint's last blocks are missing"));
            };
            let (key, block) = item?;
            if key.as_ref() != self.next_block.to_be_bytes().as_slice() {
                return Err(StoreError::corrupt(format!(
                    "block {} of the checkpoint is missing",
                    self.next_block
                )));
            }
            self.next_block += 1;
            self.reader.feed(&block)?;
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
