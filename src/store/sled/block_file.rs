//! The file of a checkpoint: blocks one after the other, each with its length before it, and an end that
//! says how many they are. Written once, never changed. Knows nothing of what the blocks hold, nor the
//! head file, which names their seal.
//!
//! ```text
//! 0   8  magic "BLWKCKPT" | 8  4  format, 1 | blocks | end           integers big-endian
//! block  length, 4 | so many bytes
//! end    0, 4 | number of blocks, 8 | number of entries, 8 | seal, 4
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::Syncer;
use super::files::io_error;
use crate::store::StoreError;

const MAGIC: &[u8; 8] = b"BLWKCKPT";
const FORMAT: u32 = 1;
const START: u64 = 12;
const END_BYTES: usize = 24;
/// Longest block that can be one of ours, in bytes: far more than is written.
const BLOCK_LARGEST: u32 = 1 << 20;
/// After so many bytes they are synced: one sync of all would keep the commits of other callers waiting.
const SYNCED_AT_ONCE: u64 = 16 << 20;

/// A file on its way.
#[derive(Debug)]
pub(super) struct Writing {
    path: PathBuf,
    file: File,
    sync: Syncer,
    blocks: u64,
    unsynced: u64,
}

impl Writing {
    pub(super) fn create(path: &Path, sync: &Syncer) -> Result<Self, StoreError> {
        let file = File::options().read(true).write(true).create_new(true).open(path);
        let file = file.map_err(|e| io_error("create", path, e))?;
        let sync = sync.clone();
        let mut writing = Self { path: path.to_owned(), file, sync, blocks: 0, unsynced: 0 };
        writing.write(&[MAGIC.as_slice(), &FORMAT.to_be_bytes()].concat())?;
        Ok(writing)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|e| io_error("write", &self.path, e))?;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNCED_AT_ONCE {
            self.sync.sync(&self.file, &self.path)?;
            self.unsynced = 0;
        }
        Ok(())
    }

    pub(super) fn put(&mut self, block: &[u8]) -> Result<(), StoreError> {
        let length = u32::try_from(block.len()).ok().filter(|length| *length <= BLOCK_LARGEST);
        let length = length.ok_or_else(|| StoreError::unstorable("a block is too long"))?;
        let mut bytes = Vec::with_capacity(4 + block.len());
        bytes.extend(length.to_be_bytes());
        bytes.extend_from_slice(block);
        self.blocks += 1;
        self.write(&bytes)
    }

    /// Ends it, durably but for its name.
    pub(super) fn finish(mut self, entries: u64, seal: u32) -> Result<BlockFile, StoreError> {
        let mut end = 0_u32.to_be_bytes().to_vec();
        end.extend(self.blocks.to_be_bytes());
        end.extend(entries.to_be_bytes());
        end.extend(seal.to_be_bytes());
        self.write(&end)?;
        self.sync.sync(&self.file, &self.path)?;
        Ok(BlockFile { path: self.path, file: Arc::new(self.file), blocks: self.blocks, seal })
    }
}

/// A whole file, open; readable also when its name is gone.
#[derive(Debug)]
pub(super) struct BlockFile {
    path: PathBuf,
    file: Arc<File>,
    blocks: u64,
    seal: u32,
}

impl BlockFile {
    /// # Errors
    /// `Io`; `Corrupt`: it is not whole, or of another format.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|e| io_error("open", path, e))?;
        let (mut start, mut end) = ([0; 12], [0; END_BYTES]);
        let length = file.metadata().map_err(|e| io_error("read", path, e))?.len();
        let end_at = length.checked_sub(END_BYTES as u64).filter(|at| *at >= START);
        let end_at = end_at.ok_or_else(|| broken(path, "it is cut short"))?;
        read_at(&file, path, &mut start, 0)?;
        read_at(&file, path, &mut end, end_at)?;
        let [magic, format] = [start.get(..8), start.get(8..)].map(Option::unwrap_or_default);
        if magic != MAGIC {
            return Err(broken(path, "it is none"));
        }
        if format != FORMAT.to_be_bytes() {
            return Err(broken(
                path,
                &format!("it has not format {FORMAT}, which this program reads"),
            ));
        }
        let (blocks, seal) = parse_end(&end).ok_or_else(|| broken(path, "it has no end"))?;
        Ok(Self { path: path.to_owned(), file: Arc::new(file), blocks, seal })
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> u64 {
        self.blocks
    }

    pub(super) fn seal(&self) -> u32 {
        self.seal
    }

    /// Says where it lies after it was renamed.
    pub(super) fn moved_to(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// The blocks, in order; an error ends them.
    pub(super) fn blocks(&self) -> Blocks {
        let (path, file) = (self.path.clone(), Arc::clone(&self.file));
        Blocks { path, file, at: START, left: self.blocks }
    }
}

/// The blocks of a file.
pub(super) struct Blocks {
    path: PathBuf,
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Blocks {
    fn read_one(&mut self) -> Result<Vec<u8>, StoreError> {
        let mut length = [0; 4];
        read_at(&self.file, &self.path, &mut length, self.at)?;
        let length = u32::from_be_bytes(length);
        if length == 0 || length > BLOCK_LARGEST {
            return Err(broken(&self.path, "a block has an impossible length"));
        }
        let mut block = vec![0; length as usize];
        read_at(&self.file, &self.path, &mut block, self.at + 4)?;
        self.at += 4 + u64::from(length);
        Ok(block)
    }
}

impl Iterator for Blocks {
    type Item = Result<Vec<u8>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let block = self.read_one();
        if block.is_err() {
            self.left = 0;
        }
        Some(block)
    }
}

fn read_at(file: &File, path: &Path, bytes: &mut [u8], at: u64) -> Result<(), StoreError> {
    file.read_exact_at(bytes, at).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => broken(path, "it is cut short"),
        _ => io_error("read", path, e),
    })
}

fn broken(path: &Path, how: &str) -> StoreError {
    StoreError::corrupt(format!("checkpoint `{}`: {how}", path.display()))
}

fn parse_end(end: &[u8; END_BYTES]) -> Option<(u64, u32)> {
    let (none, rest) = end.split_first_chunk::<4>()?;
    let (blocks, rest) = rest.split_first_chunk::<8>()?;
    let (_entries, seal) = rest.split_first_chunk::<8>()?;
    let seal = u32::from_be_bytes(seal.try_into().ok()?);
    (*none == [0; 4]).then_some((u64::from_be_bytes(*blocks), seal))
}
