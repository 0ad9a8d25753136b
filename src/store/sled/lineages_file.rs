//! The file of the lineages that led to this directory's content. Knows neither the log nor the head file.
//!
//! Written whole at each opening, durably, under another name that is then changed. Integers big-endian:
//!
//! ```text
//!   0  8  magic "BLWKLINE"     8  4  format, 1     12 32  store id, hex     44  4  how many
//!  48 40  each: id, hex, 32 | first revision, 8                  then  4  crc32 of everything before
//! ```
//!
//! Without it, or if it is damaged, the store is whole all the same; but every token from before this
//! opening is then refused.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::engine::Syncer;
use super::files::{io_error, sync_dir};
use crate::model::limits::LINEAGES_KEPT_MAX;
use crate::model::tuple::Revision;
use crate::store::StoreError;
use crate::store::lineage::{Lineage, Lineages};

/// Its name in the data directory.
pub(super) const NAME: &str = "lineages";
/// Its name while it is being written.
pub(super) const NAME_NEW: &str = "lineages.new";

const MAGIC: &[u8; 8] = b"BLWKLINE";
const FORMAT: u32 = 1;
const ID_BYTES: usize = 32;
const ENTRY_BYTES: usize = ID_BYTES + 8;
const HEADER_BYTES: usize = 48;
const FILE_BYTES_LONGEST: usize = HEADER_BYTES + LINEAGES_KEPT_MAX * ENTRY_BYTES + 4;

/// What the file says of this store; `None`: it is not there, or not whole, or another store's.
///
/// # Errors
/// `Io`.
pub(super) fn read(dir: &Path, store_id: &str) -> Result<Option<Lineages>, StoreError> {
    let path = dir.join(NAME);
    let length = match fs::metadata(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|e| io_error("read", &path, e))?.len(),
    };
    if length > FILE_BYTES_LONGEST as u64 {
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(|e| io_error("read", &path, e))?;
    let known = decode(&bytes, store_id);
    if known.is_none() {
        tracing::warn!(path = %path.display(), "it is damaged: tokens handed out so far are refused");
    }
    Ok(known)
}

/// Puts these in its place, durably.
///
/// # Errors
/// `Io`.
pub(super) fn write(
    dir: &Path,
    store_id: &str,
    lineages: &Lineages,
    sync: &Syncer,
) -> Result<(), StoreError> {
    let (path, new) = (dir.join(NAME), dir.join(NAME_NEW));
    let mut file = File::create(&new).map_err(|e| io_error("create", &new, e))?;
    file.write_all(&encode(store_id, lineages)).map_err(|e| io_error("write", &new, e))?;
    sync.sync(&file, &new)?;
    fs::rename(&new, &path).map_err(|e| io_error("rename", &new, e))?;
    sync_dir(dir)
}

fn encode(store_id: &str, lineages: &Lineages) -> Vec<u8> {
    let all = lineages.iter();
    let mut bytes = Vec::with_capacity(HEADER_BYTES + all.len() * ENTRY_BYTES + 4);
    let id = |bytes: &mut Vec<u8>, id: &str| {
        let mut id = id.as_bytes().to_vec();
        id.resize(ID_BYTES, 0);
        bytes.extend(id);
    };
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_be_bytes());
    id(&mut bytes, store_id);
    // Fits: there are at most LINEAGES_KEPT_MAX.
    bytes.extend(u32::try_from(all.len()).unwrap_or(u32::MAX).to_be_bytes());
    for lineage in all {
        id(&mut bytes, &lineage.id);
        bytes.extend(lineage.first.0.to_be_bytes());
    }
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8], store_id: &str) -> Option<Lineages> {
    let (body, sum) = bytes.split_last_chunk::<4>()?;
    let (magic, rest) = body.split_first_chunk::<8>()?;
    let (format, rest) = rest.split_first_chunk::<4>()?;
    let (store, rest) = rest.split_first_chunk::<ID_BYTES>()?;
    let (count, entries) = rest.split_first_chunk::<4>()?;
    let is_whole = crc32fast::hash(body) == u32::from_be_bytes(*sum)
        && magic == MAGIC
        && u32::from_be_bytes(*format) == FORMAT
        && store == store_id.as_bytes()
        && usize::try_from(u32::from_be_bytes(*count)).ok()? * ENTRY_BYTES == entries.len();
    if !is_whole {
        return None;
    }
    let lineages = entries.chunks_exact(ENTRY_BYTES).map(|entry| {
        let (id, first) = entry.split_first_chunk::<ID_BYTES>()?;
        let id: Arc<str> = std::str::from_utf8(id).ok()?.into();
        Some(Lineage { id, first: Revision(u64::from_be_bytes(first.try_into().ok()?)) })
    });
    Lineages::of_file(lineages.collect::<Option<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_written_and_never_otherwise() {
        let store_id = "0123456789abcdef0123456789abcdef";
        let lineages = Lineages::fresh().reopened(Revision(3)).reopened(Revision(u64::MAX - 1));
        let good = encode(store_id, &lineages);
        assert_eq!(decode(&good, store_id), Some(lineages));
        assert_eq!(decode(&good, &store_id.replace('0', "1")), None, "another store's");
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert_eq!(decode(&bytes, store_id), None, "byte {at}");
            assert_eq!(decode(&good[..at], store_id), None, "cut at {at}");
        }
    }
}
