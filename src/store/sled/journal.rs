//! The journal: items that are durable here and not in the engine yet. Knows no engine, and not what an item
//! says.
//!
//! To make a group durable in sled's file takes two waits for the disk, and makes that file longer; to write over a
//! place that is there already takes one. So small groups come here, and from here to the engine, many at once.
//!
//! A file of 262,144 bytes; what is not written is zero. A header, and from 512 on a block for each group, at a multiple
//! of 512 each; integers big-endian:
//!
//! ```text
//! header   magic "BLWKJRNL", 8 | id, random, 16 | crc32 of what stands before, 4
//! block    the same id, 16 | length of the items, 4 | items | crc32 of the id, the length and the items, 4
//! item     length of the key, 2 | length of the value, 2 | key | value
//! ```
//!
//! The head file's format says which one this is.
//!
//! Blocks follow one another; once the engine has them all, the next is the first again. *Older ones do no harm*: what is
//! left of a block from before that is what the engine has. *One torn at most*: each is synced before the next is
//! written, so a power cut tears only the last, of which nobody has been told; and the whole file, as it is emptied, when
//! the engine has everything. *No block within a block*: the id is made at each opening and told to nobody, so that no
//! text that somebody stores is taken for a block.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::engine::{Item, Syncer};
use super::files::{io_error, sync_dir};
use super::open::refused;
use crate::model::limits::JOURNAL_GROUP_BYTES_MAX;
use crate::store::{RESTORE, StoreError};

/// Its name in the data directory.
pub(super) const NAME: &str = "journal";
/// Its name while it is being made.
pub(super) const NAME_NEW: &str = "journal.new";

const MAGIC: &[u8; 8] = b"BLWKJRNL";
const FILE_BYTES: usize = 256 << 10;
const ALIGNMENT: usize = 512;
const HEADER_BYTES: usize = ALIGNMENT;
const ID_BYTES: usize = 16;
type Id = [u8; ID_BYTES];
const SUM_BYTES: usize = 4;
/// A block but for its items.
const FRAME_BYTES: usize = ID_BYTES + 4 + SUM_BYTES;
/// An item but for its key and its value.
const ITEM_FRAME_BYTES: usize = 4;

/// The open file.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    sync: Syncer,
    id: Id,
    /// Where the next block goes.
    at: usize,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The id is told to nobody.
        f.debug_struct("Journal").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Journal {
    /// Makes an empty one, durably, in the place of any that is there.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn create(dir: &Path, sync: &Syncer) -> Result<Self, StoreError> {
        let (path, new) = (dir.join(NAME), dir.join(NAME_NEW));
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&new);
        let file = file.map_err(|e| io_error("create", &new, e))?;
        let made = Self::blank(path, file, sync)?;
        fs::rename(&new, &made.path).map_err(|e| io_error("rename", &new, e))?;
        sync_dir(dir)?;
        Ok(made)
    }

    /// Opens the one that is there and empties it, durably: the engine has what [`read`] has found in it.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn open_emptied(dir: &Path, sync: &Syncer) -> Result<Self, StoreError> {
        let path = dir.join(NAME);
        let file = OpenOptions::new().write(true).open(&path);
        let file = file.map_err(|e| io_error("open", &path, e))?;
        Self::blank(path, file, sync)
    }

    /// Writes an empty one: all the room that it will ever take is taken now.
    fn blank(path: PathBuf, file: File, sync: &Syncer) -> Result<Self, StoreError> {
        let mut id = Id::default();
        let wrong = |e: getrandom::Error| io::Error::other(e.to_string());
        getrandom::fill(&mut id).map_err(|e| io_error("find a random id for", &path, wrong(e)))?;
        let mut bytes = header(id);
        bytes.resize(FILE_BYTES, 0);
        let journal = Self { path, file, sync: sync.clone(), id, at: HEADER_BYTES };
        journal.write(&bytes, 0)?;
        Ok(journal)
    }

    /// Whether these are few enough for a block.
    pub(super) fn is_for(items: &[Item]) -> bool {
        FRAME_BYTES + length_of(items) <= JOURNAL_GROUP_BYTES_MAX
    }

    /// Whether there is no room left for a block of these.
    pub(super) fn is_full_for(&self, items: &[Item]) -> bool {
        FILE_BYTES.saturating_sub(self.at) < FRAME_BYTES + length_of(items)
    }

    /// Adds a block of these, durably: one sync.
    ///
    /// # Errors
    /// `Io`: what of it is on the disk is not known. `Unstorable`: there is no room for them.
    pub(super) fn append(&mut self, items: &[Item]) -> Result<(), StoreError> {
        if self.is_full_for(items) {
            return Err(StoreError::unstorable("the journal has no room for a group".to_owned()));
        }
        let block = encode(self.id, items);
        self.write(&block, self.at)?;
        self.at = (self.at + block.len()).next_multiple_of(ALIGNMENT);
        Ok(())
    }

    /// The engine has everything: the next block is the first again.
    pub(super) fn begin_anew(&mut self) {
        self.at = HEADER_BYTES;
    }

    fn write(&self, bytes: &[u8], at: usize) -> Result<(), StoreError> {
        let written = self.file.write_all_at(bytes, at as u64);
        written.map_err(|e| io_error("write", &self.path, e))?;
        self.sync.sync(&self.file, &self.path)
    }
}

/// The items of all blocks that are whole, in the order of their keys. Some of them the engine has.
///
/// # Errors
/// `Refused`: it is not of its length, or its header is not whole; `Io`.
pub(super) fn read(dir: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, StoreError> {
    let path = dir.join(NAME);
    let wrong = |what: String| refused(dir, format!("its file `{NAME}` {what}"), RESTORE);
    let length = fs::metadata(&path).map_err(|e| io_error("read", &path, e))?.len();
    if length != FILE_BYTES as u64 {
        return Err(wrong(format!("has {length} bytes, expected {FILE_BYTES}")));
    }
    let bytes = fs::read(&path).map_err(|e| io_error("read", &path, e))?;
    let id = id_of(&bytes).ok_or_else(|| wrong("has a damaged header".to_owned()))?;
    let places = (HEADER_BYTES..bytes.len()).step_by(ALIGNMENT);
    Ok(places.filter_map(|at| decode(id, bytes.get(at..)?)).flatten().collect())
}

fn header(id: Id) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &id].concat();
    add_sum(&mut bytes);
    bytes
}

/// The id in the header of these; `None`: it is not whole.
fn id_of(bytes: &[u8]) -> Option<Id> {
    let (id, _) = bytes.get(MAGIC.len()..)?.split_first_chunk()?;
    bytes.starts_with(&header(*id)).then_some(*id)
}

fn add_sum(bytes: &mut Vec<u8>) {
    bytes.extend(crc32fast::hash(bytes).to_be_bytes());
}

fn length_of(items: &[Item]) -> usize {
    items.iter().map(|(key, value)| ITEM_FRAME_BYTES + key.len() + value.len()).sum()
}

fn encode(id: Id, items: &[Item]) -> Vec<u8> {
    let length = length_of(items);
    let mut block = Vec::with_capacity(length + FRAME_BYTES);
    block.extend(id);
    // All fit: a block is shorter than the file, and an item at most ITEM_BYTES_MAX.
    block.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for (key, value) in items {
        block.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
        block.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        block.extend_from_slice(key);
        block.extend_from_slice(value);
    }
    add_sum(&mut block);
    block
}

/// The items of the block that begins here; `None`: no whole one does.
fn decode(id: Id, bytes: &[u8]) -> Option<Vec<Item>> {
    let (length, _) = bytes.strip_prefix(&id)?.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (body, rest) = bytes.split_at_checked(length.checked_add(ID_BYTES + 4)?)?;
    let (sum, _) = rest.split_first_chunk::<SUM_BYTES>()?;
    if crc32fast::hash(body) != u32::from_be_bytes(*sum) {
        return None;
    }
    let (mut rest, mut items) = (body.get(ID_BYTES + 4..)?, Vec::new());
    while !rest.is_empty() {
        let (key, after) = rest.split_first_chunk::<2>()?;
        let (value, after) = after.split_first_chunk::<2>()?;
        let (key, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*key)))?;
        let (value, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*value)))?;
        items.push((key.to_vec(), value.to_vec()));
        rest = after;
    }
    Some(items)
}
