//! A copy of a whole store that nobody has open: a backup, and its way back. Knows what belongs to a
//! data directory, not what it means.
//!
//! What is copied has proved itself first, and the head file gets its name last: a copy that was cut off
//! has none, and is refused. The lineages come along; the copy's next opening begins its own, and so
//! forgets what was committed after the copy was made (see `lineage`).

use std::fs::{self, File};
use std::path::Path;

use super::engine::Syncer;
use super::files::{self, io_error, sync_dir};
use super::head_file::{self, HeadFile, Stage};
use super::open::{demand_engines, journaled, refused};
use super::{checkpoint, journal, lineages_file, trial, volumes};
use crate::store::{Head, StoreError};

/// The name of the directory in which a copy lies until it is whole.
pub(super) const NAME_NEW: &str = "copying";

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The store.
    pub store_id: String,
    /// Where its log stands.
    pub head: Head,
}

/// Copies the store in `from` to `to`, durably. Nothing in `from` is changed, and nothing in `to` before
/// `from` has proved itself. If `replaces`, the store in `to` is removed for it.
///
/// # Errors
/// `Locked`: a process has one of them open; `Refused`, `Corrupt`: `from` holds no whole store, or `to`
/// holds one already, or something else; `Io`.
pub(super) fn copy(from: &Path, to: &Path, replaces: bool) -> Result<Copied, StoreError> {
    demand_apart(from, to)?;
    let sync = Syncer::default();
    let Some(source) = HeadFile::open(from, &sync)? else {
        return Err(refused(from, "it holds no store", "choose a directory that holds one"));
    };
    let record = source.record().clone();
    if record.stage != Stage::Whole {
        return Err(refused(from, "its making was cut off", "choose another directory"));
    }
    let places = demand_engines(from, &record)?;
    files::create_dir_all(to)?;
    let replaced = demand_room(to, replaces)?;
    let new = to.join(NAME_NEW);
    files::remove_dir(&new)?;
    let journaled = journaled(from, &record, &places)?;
    let copied = trial::prove_in(from, to, &record, &places, &journaled).and_then(|head| {
        let mut names = vec![head_file::NAME.to_owned()];
        names.extend(places.into_iter().map(|place| place.name));
        names.extend(record.checkpoint.map(|mark| checkpoint::name(mark.head.revision)));
        names.extend(record.has_journal.then(|| journal::NAME.to_owned()));
        names.extend(from.join(lineages_file::NAME).is_file().then(|| lineages_file::NAME.into()));
        fs::create_dir(&new).map_err(|e| io_error("create", &new, e))?;
        for name in &names {
            files::copy(&from.join(name), &new.join(name))?;
        }
        sync_all(&new)?;
        Ok((head, names))
    });
    let (head, mut names) = copied.inspect_err(|_| {
        // Best effort: a disk that is full needs the room.
        let _ = files::remove_dir(&new);
    })?;
    // The head file goes first and comes last: in between, the directory is none that anybody opens.
    names.sort_by_key(|name| name == head_file::NAME);
    for name in [head_file::NAME.to_owned()].into_iter().chain(files::names(to)?) {
        if is_of_a_store(&name) {
            files::remove(&to.join(name))?;
        }
    }
    sync_dir(to)?;
    for name in &names {
        if name == head_file::NAME {
            sync_dir(to)?;
        }
        let path = new.join(name);
        fs::rename(&path, to.join(name)).map_err(|e| io_error("rename", &path, e))?;
    }
    files::remove_dir(&new)?;
    sync_dir(to)?;
    drop(replaced);
    Ok(Copied { store_id: record.store_id.to_string(), head })
}

/// Demands that neither directory is the other or lies within it, whatever names lead to them.
fn demand_apart(from: &Path, to: &Path) -> Result<(), StoreError> {
    // Where `to` is yet to be made, what it will lie in tells.
    let there = to.ancestors().filter(|path| !path.as_os_str().is_empty());
    let real_to = there.chain([Path::new(".")]).find_map(|path| {
        let rest = to.strip_prefix(path).ok().unwrap_or(to);
        Some(fs::canonicalize(path).ok()?.join(rest))
    });
    let (Some(real_to), Ok(real_from)) = (real_to, fs::canonicalize(from)) else { return Ok(()) };
    let remedy = "choose a directory apart from it";
    if real_from == real_to {
        return Err(refused(to, "it is the directory that is to be copied", remedy));
    }
    if real_to.starts_with(&real_from) || real_from.starts_with(&real_to) {
        let reason = format!("one of it and `{}` lies within the other", from.display());
        return Err(refused(to, reason, remedy));
    }
    Ok(())
}

/// Demands that nothing in the directory is somebody's, beside a store that is to be replaced. Returns
/// that one's lock.
fn demand_room(to: &Path, replaces: bool) -> Result<Option<File>, StoreError> {
    let lock = head_file::lock_any(to)?;
    let names = files::names(to)?;
    if let Some(name) = names.iter().find(|name| {
        !is_of_a_store(name) && ![NAME_NEW, trial::NAME, "lost+found"].contains(&name.as_str())
    }) {
        let reason = format!("it is no store, and holds `{name}`");
        return Err(refused(to, reason, "choose an empty directory"));
    }
    if !replaces && names.iter().any(|name| is_of_a_store(name)) {
        let remedy = "choose an empty directory, or say that it is to be replaced";
        return Err(refused(to, "it holds a store already", remedy));
    }
    Ok(lock)
}

fn is_of_a_store(name: &str) -> bool {
    let names = [head_file::NAME, head_file::NAME_NEW, checkpoint::NAME_NEW];
    let others = [lineages_file::NAME, lineages_file::NAME_NEW, journal::NAME, journal::NAME_NEW];
    let is_of_state = volumes::is_volume(name) || checkpoint::is_name(name);
    names.contains(&name) || others.contains(&name) || is_of_state
}

fn sync_all(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        for name in files::names(path)? {
            sync_all(&path.join(name))?;
        }
        return sync_dir(path);
    }
    File::open(path).and_then(|file| file.sync_all()).map_err(|e| io_error("sync", path, e))
}
