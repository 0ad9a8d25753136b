//! Opening a data directory, and making one: what it must prove, in which order it is made, and what is
//! cleared away. Knows nothing of what happens to it afterwards.

use std::fs::{self, OpenOptions};
use std::path::Path;

use super::checkpoint::{self, Checkpoint};
use super::engine::{Engine, Syncer};
use super::head_file::{self, HeadFile, HeadRecord, Stage};
use super::log;
use super::{EMPTY, LOG, files, trial};
use crate::model::tuple::Revision;
use crate::store::{CheckpointEntry, CheckpointHead, Identity, RESTORE, StoreError};

/// A directory that has proved itself.
pub(super) struct Opened {
    pub(super) head_file: HeadFile,
    pub(super) engine: Engine,
    pub(super) checkpoint: Option<Checkpoint>,
}

/// Opens the store in this directory, or makes an empty one there if it may.
///
/// # Errors
/// `Locked`, `Refused`, `Corrupt`, `Io`.
pub(super) fn open(dir: &Path, may_create: bool, sync: &Syncer) -> Result<Opened, StoreError> {
    if may_create {
        files::create_dir_all(dir)?;
    }
    if !dir.is_dir() {
        return Err(refused(dir, "it is not a directory", "choose one that holds a store"));
    }
    let mut head_file = match HeadFile::open(dir, sync)? {
        Some(head_file) => head_file,
        None => {
            demand_empty(dir)?;
            if !may_create {
                return Err(refused(dir, "it is empty", "choose one that holds a store"));
            }
            HeadFile::create(dir, first_record(Identity::fresh()), sync)?
        }
    };
    match head_file.record().stage {
        Stage::Whole => open_whole(dir, head_file, sync),
        Stage::Creating => {
            files::remove_dir(&dir.join(LOG))?;
            let engine = Engine::create(&dir.join(LOG), sync)?;
            files::sync_dir(dir)?;
            head_file.replace(|record| record.stage = Stage::Whole)?;
            Ok(Opened { head_file, engine, checkpoint: None })
        }
        Stage::Restoring => Err(refused(
            dir,
            "a restore into it was cut off",
            "empty the directory and restore again",
        )),
    }
}

fn open_whole(dir: &Path, mut head_file: HeadFile, sync: &Syncer) -> Result<Opened, StoreError> {
    let record = head_file.record().clone();
    if let Some(mark) = record.checkpoint {
        demand_engine(dir, &checkpoint::path(dir, mark.head.revision))?;
    }
    demand_engine(dir, &dir.join(LOG))?;
    let head = trial::prove(dir, &record)?;
    let (checkpoint, engine) = open_engines(dir, dir, &record, sync)?;
    // The last records may be there only because the process died and not the machine.
    engine.sync()?;
    head_file.replace(|record| record.head = head)?;
    remove_leftovers(dir, &record)?;
    log::remove_before(&engine, record.first)?;
    Ok(Opened { head_file, engine, checkpoint })
}

/// Opens the checkpoint in force and the log below `dir`; errors name `named`, of which it may be a copy.
///
/// # Errors
/// `Corrupt`, `Io`. By then sled may have written to the directory.
pub(super) fn open_engines(
    dir: &Path,
    named: &Path,
    record: &HeadRecord,
    sync: &Syncer,
) -> Result<(Option<Checkpoint>, Engine), StoreError> {
    let open = |mark| Checkpoint::open(dir, named, mark, sync);
    let checkpoint = record.checkpoint.map(open).transpose()?;
    let log = Engine::open_as(&dir.join(LOG), &named.join(LOG), sync)?;
    Ok((checkpoint, log))
}

/// Makes a store in an empty directory that begins with this checkpoint.
///
/// # Errors
/// `Refused`, `Unstorable`, `Locked`, `Io`.
pub(super) fn restore(
    dir: &Path,
    identity: &Identity,
    state: &CheckpointHead,
    entries: &mut dyn Iterator<Item = CheckpointEntry>,
    sync: &Syncer,
) -> Result<Opened, StoreError> {
    if state.head.revision == EMPTY.revision {
        return Err(StoreError::unstorable("a checkpoint of revision 0, which has no state"));
    }
    files::create_dir_all(dir)?;
    demand_empty(dir)?;
    let record = HeadRecord { stage: Stage::Restoring, ..first_record(identity.clone()) };
    let mut head_file = HeadFile::create(dir, record, sync)?;
    let engine = Engine::create(&dir.join(LOG), sync)?;
    let checkpoint = Checkpoint::write(dir, state, entries, sync)?;
    head_file.replace(|record| {
        record.stage = Stage::Whole;
        record.head = state.head;
        record.checkpoint = Some(checkpoint.mark());
        record.first = state.head.revision.next();
    })?;
    Ok(Opened { head_file, engine, checkpoint: Some(checkpoint) })
}

pub(super) fn refused(dir: &Path, reason: impl Into<String>, remedy: &'static str) -> StoreError {
    StoreError::Refused { dir: dir.to_owned(), reason: reason.into(), remedy }
}

pub(super) fn first_record(identity: Identity) -> HeadRecord {
    let first = Revision(1);
    HeadRecord { identity, stage: Stage::Creating, head: EMPTY, checkpoint: None, first }
}

/// A directory that has no head file must be empty: anything else in it is somebody's.
fn demand_empty(dir: &Path) -> Result<(), StoreError> {
    let is_ours = |name: &str| name == LOG || name.starts_with(checkpoint::NAME_PREFIX);
    // The root of a volume has `lost+found`.
    let is_nothing = |name: &str| matches!(name, head_file::NAME_NEW | "lost+found");
    let names = files::names(dir)?;
    let (reason, remedy) = if names.iter().any(|name| is_ours(name)) {
        (format!("it holds data and no file `{}`", head_file::NAME), RESTORE)
    } else if names.iter().any(|name| name == head_file::NAME) {
        ("it holds a store already".to_owned(), "choose an empty directory")
    } else if let Some(name) = names.iter().find(|name| !is_nothing(name)) {
        (format!("it is no store, and holds `{name}`"), "choose an empty directory")
    } else {
        return Ok(());
    };
    Err(refused(dir, reason, remedy))
}

/// The engine's file is there and may be written.
fn demand_engine(dir: &Path, engine: &Path) -> Result<(), StoreError> {
    let file = engine.join("db");
    if file.is_file() {
        let opened = OpenOptions::new().read(true).write(true).open(&file);
        return opened.map(drop).map_err(|e| files::io_error("open", &file, e));
    }
    let reason = format!("`{}` is missing", file.display());
    Err(refused(dir, reason, RESTORE))
}

/// Removes what was cut off while being made, and checkpoints that are not in force.
fn remove_leftovers(dir: &Path, record: &HeadRecord) -> Result<(), StoreError> {
    let in_force = record.checkpoint.map(|mark| checkpoint::path(dir, mark.head.revision));
    for name in files::names(dir)? {
        let path = dir.join(&name);
        let is_checkpoint =
            name.starts_with(checkpoint::NAME_PREFIX) && Some(&path) != in_force.as_ref();
        if name == head_file::NAME_NEW {
            fs::remove_file(&path).map_err(|e| files::io_error("remove", &path, e))?;
        } else if is_checkpoint || name == checkpoint::NAME_NEW || name == trial::NAME {
            files::remove_dir(&path)?;
        }
    }
    Ok(())
}
