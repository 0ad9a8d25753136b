//! The bytes of a checkpoint: a stream of entries, each without the prefix that it shares with its
//! predecessor, cut into blocks of bounded size that prove their order. Knows neither what an entry
//! means nor where blocks are kept.
//!
//! ```text
//! stream = entry*     entry = shared length (varint) | rest length (varint) | rest
//! block  = up to 65,532 bytes of the stream | crc32, big-endian
//! ```
//!
//! An entry may span blocks. A block's crc32 continues its predecessor's, so the last one, the *seal*,
//! covers the whole stream.

use std::ops::Range;

use super::StoreError;
use crate::model::limits::MODEL_COMMIT_BYTES_MAX;

/// Largest block that is written, its checksum included, in bytes. Older ones had 4,076.
const BLOCK_BYTES_MAX: usize = 64 << 10;
/// Length of the checksum at a block's end, in bytes.
const SUM_BYTES: usize = 4;
/// Longest entry, in bytes: a model's files as a commit carried them, and some room.
const ENTRY_BYTES_MAX: usize = MODEL_COMMIT_BYTES_MAX + (64 << 10);

/// Cuts entries into blocks.
#[derive(Debug, Default)]
pub(super) struct BlockWriter {
    previous: Vec<u8>,
    pending: Vec<u8>,
    seal: u32,
}

impl BlockWriter {
    /// Adds an entry and hands out the blocks that it fills.
    ///
    /// # Errors
    /// `Unstorable`: the entry is longer than any that can be read back.
    pub(super) fn push(&mut self, entry: Vec<u8>) -> Result<Vec<Vec<u8>>, StoreError> {
        if entry.len() > ENTRY_BYTES_MAX {
            return Err(StoreError::unstorable(format!(
                "an entry of the checkpoint takes {} bytes, the limit is {ENTRY_BYTES_MAX}",
                entry.len()
            )));
        }
        let shared = entry.iter().zip(&self.previous).take_while(|(a, b)| a == b).count();
        let rest = entry.get(shared..).unwrap_or_default();
        put_varint(&mut self.pending, shared);
        put_varint(&mut self.pending, rest.len());
        self.pending.extend_from_slice(rest);
        self.previous = entry;
        let mut blocks = Vec::new();
        if self.pending.len() >= BLOCK_BYTES_MAX - SUM_BYTES {
            let pending = std::mem::take(&mut self.pending);
            let mut full = pending.chunks_exact(BLOCK_BYTES_MAX - SUM_BYTES);
            for data in &mut full {
                blocks.push(self.sealed(data.to_vec()));
            }
            self.pending.extend_from_slice(full.remainder());
        }
        Ok(blocks)
    }

    /// The last block, if one is begun, and the seal.
    pub(super) fn finish(mut self) -> (Option<Vec<u8>>, u32) {
        let data = std::mem::take(&mut self.pending);
        let last = (!data.is_empty()).then(|| self.sealed(data));
        (last, self.seal)
    }

    fn sealed(&mut self, mut data: Vec<u8>) -> Vec<u8> {
        self.seal = continued(self.seal, &data);
        data.extend(self.seal.to_be_bytes());
        data
    }
}

/// Puts entries together again from blocks.
#[derive(Debug, Default)]
pub(super) struct BlockReader {
    previous: Vec<u8>,
    pending: Vec<u8>,
    /// How much of `pending` has been handed out.
    read: usize,
    seal: u32,
}

impl BlockReader {
    /// Takes the next block.
    ///
    /// # Errors
    /// `Corrupt`: it is not the block that follows the last one.
    pub(super) fn feed(&mut self, block: &[u8]) -> Result<(), StoreError> {
        let parts = block.split_last_chunk::<SUM_BYTES>();
        let (data, sum) =
            parts.ok_or_else(|| StoreError::corrupt("a checkpoint's block is short"))?;
        let seal = continued(self.seal, data);
        if seal != u32::from_be_bytes(*sum) {
            return Err(StoreError::corrupt("a checkpoint's block does not match its checksum"));
        }
        self.seal = seal;
        self.pending.drain(..self.read);
        self.read = 0;
        self.pending.extend_from_slice(data);
        Ok(())
    }

    /// Whether an entry is there; if not, it takes another block.
    ///
    /// # Errors
    /// `Corrupt`: the lengths make no sense.
    pub(super) fn has_entry(&self) -> Result<bool, StoreError> {
        Ok(self.locate()?.is_some())
    }

    /// The next entry; `None`: it takes another block.
    ///
    /// # Errors
    /// `Corrupt`: the lengths make no sense.
    pub(super) fn next_entry(&mut self) -> Result<Option<&[u8]>, StoreError> {
        let Some((shared, own)) = self.locate()? else { return Ok(None) };
        self.read = own.end;
        self.previous.truncate(shared);
        self.previous.extend_from_slice(self.pending.get(own).unwrap_or_default());
        Ok(Some(&self.previous))
    }

    /// How much the next entry shares with the previous one, and where its own bytes are.
    fn locate(&self) -> Result<Option<(usize, Range<usize>)>, StoreError> {
        let mut rest = self.pending.get(self.read..).unwrap_or_default();
        let Some(shared) = take_varint(&mut rest)? else { return Ok(None) };
        let Some(length) = take_varint(&mut rest)? else { return Ok(None) };
        if shared > self.previous.len() || length > ENTRY_BYTES_MAX {
            return Err(StoreError::corrupt("an entry of the checkpoint has an impossible length"));
        }
        let start = self.pending.len() - rest.len();
        Ok((length <= rest.len()).then_some((shared, start..start + length)))
    }

    /// The seal over every block so far, if no entry is left half read.
    pub(super) fn seal(&self) -> Option<u32> {
        (self.read == self.pending.len()).then_some(self.seal)
    }
}

fn continued(seal: u32, data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seal.to_be_bytes());
    hasher.update(data);
    hasher.finalize()
}

fn put_varint(out: &mut Vec<u8>, value: usize) {
    prost::encoding::encode_varint(value as u64, out);
}

/// Reads a length; `None`: its bytes are not all there.
fn take_varint(bytes: &mut &[u8]) -> Result<Option<usize>, StoreError> {
    if bytes.iter().take(10).all(|byte| byte & 0x80 != 0) && bytes.len() < 10 {
        return Ok(None);
    }
    prost::encoding::decode_varint(bytes)
        .ok()
        .and_then(|value| usize::try_from(value).ok())
        .map(Some)
        .ok_or_else(|| StoreError::corrupt("a length in the checkpoint is malformed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the entries, reads them back through `damage`, and returns what came out.
    fn round_trip(
        entries: &[Vec<u8>],
        damage: impl FnOnce(&mut Vec<Vec<u8>>),
    ) -> Result<(Vec<Vec<u8>>, bool), StoreError> {
        let mut writer = BlockWriter::default();
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        for entry in entries {
            blocks.extend(writer.push(entry.clone())?);
        }
        let (last, seal) = writer.finish();
        blocks.extend(last);
        assert!(blocks.iter().all(|block| block.len() <= BLOCK_BYTES_MAX));
        damage(&mut blocks);
        let mut reader = BlockReader::default();
        let mut found = Vec::new();
        for block in &blocks {
            reader.feed(block)?;
            while let Some(entry) = reader.next_entry()? {
                found.push(entry.to_vec());
            }
        }
        Ok((found, reader.seal() == Some(seal)))
    }

    fn entries(seed: u64) -> Vec<Vec<u8>> {
        let mut random = fastrand::Rng::with_seed(seed);
        let lengths = [0, 1, 40, 4_072, 65_530, 65_532, 140_000];
        (0..200)
            .map(|i| {
                let length = lengths[random.usize(..lengths.len())];
                let mut entry = format!("station:{:04}", i / 3).into_bytes();
                entry.extend(std::iter::repeat_n(random.u8(..), length));
                entry
            })
            .collect()
    }

    #[test]
    fn entries_of_any_length_come_back() {
        for seed in 0..20 {
            let entries = entries(seed);
            let (found, whole) = round_trip(&entries, |_| {}).unwrap();
            assert!(found == entries && whole, "seed {seed}");
        }
        assert_eq!(round_trip(&[], |_| {}).unwrap(), (vec![], true));
    }

    #[test]
    fn no_damage_passes() {
        let mut random = fastrand::Rng::with_seed(7);
        let entries = entries(1);
        for round in 0..200 {
            let result = round_trip(&entries, |blocks| {
                let count = blocks.len();
                let at = random.usize(..count);
                match round % 4 {
                    0 => drop(blocks.remove(at)),
                    1 => blocks.truncate(at),
                    2 => blocks.swap(at, (at + 1) % count),
                    _ => {
                        let byte = random.usize(..blocks[at].len());
                        blocks[at][byte] ^= 1 << random.u8(..8);
                    }
                }
            });
            assert!(!matches!(result, Ok((_, true))), "round {round} passed");
        }
    }
}
