//! Directories and files as the store's other files need them: durable, and errors that name the
//! path. Knows no format.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::engine::Syncer;
use crate::store::StoreError;

/// Bytes that are read and written in one go.
const COPIED_AT_ONCE: usize = 1 << 20;

/// An error that says what was being done to which file.
pub(super) fn io_error(doing: &str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { doing: format!("{doing} `{}`", path.display()), source: Arc::new(source) }
}

/// Makes the names in a directory durable: files created, renamed and removed.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| io_error("sync", dir, e))
}

/// Makes the directory and its parents, durably.
pub(super) fn create_dir_all(dir: &Path) -> Result<(), StoreError> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_dir_all(parent)?;
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(io_error("create", dir, e)),
        _ => sync_dir(parent),
    }
}

/// Removes a directory that may not be there.
pub(super) fn remove_dir(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", dir, e)),
        _ => Ok(()),
    }
}

/// Copies a file, or a directory with the files and directories in it; not durably. Where the file system
/// can, the copy shares its blocks with the original.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    if from.is_dir() {
        fs::create_dir(to).map_err(|e| io_error("create", to, e))?;
        return names(from)?.iter().try_for_each(|name| copy(&from.join(name), &to.join(name)));
    }
    if from.is_file() {
        let doing = || format!("copy `{}` to", from.display());
        fs::copy(from, to).map_err(|e| io_error(&doing(), to, e))?;
    }
    Ok(())
}

/// Removes a file or a directory that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::IsADirectory => remove_dir(path),
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path, e)),
        _ => Ok(()),
    }
}

/// The number behind this prefix, if that is all and it is written as we write it.
pub(super) fn number_after(prefix: &str, name: &str) -> Option<u64> {
    let text = name.strip_prefix(prefix)?;
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Writes a file again, byte for byte, durably. Nobody else may write to it.
pub(super) fn write_again(path: &Path, sync: &Syncer) -> Result<(), StoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|e| io_error("open", path, e))?;
    let (mut chunk, mut at) = (vec![0; COPIED_AT_ONCE], 0);
    loop {
        let read = file.read_at(&mut chunk, at).map_err(|e| io_error("read", path, e))?;
        let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else {
            return sync.sync(&file, path);
        };
        file.write_all_at(bytes, at).map_err(|e| io_error("write", path, e))?;
        at += read as u64;
    }
}

/// The names in a directory.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let wrong = |e| io_error("read", dir, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(wrong)? {
        names.push(entry.map_err(wrong)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}
