//! Opening a data directory, and making one: what it must prove, in which order it is made, and what is
//! cleared away. Knows nothing of what happens to it afterwards.

use std::fs::{self, OpenOptions};
use std::path::Path;

use super::checkpoint::{self, Checkpoint};
use super::engine::{Engine, Syncer};
use super::head_file::{self, HeadFile, HeadRecord, Stage};
use super::log;
use super::{EMPTY, LOG, backup, files, lineages_file, trial};
use crate::model::tuple::{Revision, Time};
use crate::store::lineage::{Lineages, random_id};
use crate::store::{RESTORE, StoreError};

/// A directory that has proved itself.
pub(super) struct Opened {
    pub(super) head_file: HeadFile,
    pub(super) engine: Engine,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) lineages: Lineages,
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
            HeadFile::create(dir, first_record(), sync)?
        }
    };
    match head_file.record().stage {
        Stage::Whole => open_whole(dir, head_file, sync),
        Stage::Creating => {
            files::remove_dir(&dir.join(LOG))?;
            let engine = Engine::create(&dir.join(LOG), sync)?;
            let lineages = Lineages::fresh();
            lineages_file::write(dir, &head_file.record().store_id, &lineages, sync)?;
            head_file.replace(|record| record.stage = Stage::Whole)?;
            Ok(Opened { head_file, engine, checkpoint: None, lineages })
        }
    }
}

fn open_whole(dir: &Path, mut head_file: HeadFile, sync: &Syncer) -> Result<Opened, StoreError> {
    let record = head_file.record().clone();
    demand_engines(dir, &record)?;
    let known = lineages_file::read(dir, &record.store_id)?;
    let head = trial::prove(dir, &record)?;
    let (checkpoint, engine) = open_engines(dir, dir, &record, sync)?;
    // The last records may be there only because the process died and not the machine.
    engine.sync()?;
    head_file.replace(|record| record.head = head)?;
    remove_leftovers(dir, &record)?;
    log::remove_before(&engine, record.first)?;
    let lineages = known.map_or_else(Lineages::fresh, |known| known.reopened(head.revision));
    // Before anything is committed: no token may name a lineage that a power cut takes away.
    lineages_file::write(dir, &record.store_id, &lineages, sync)?;
    Ok(Opened { head_file, engine, checkpoint, lineages })
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

pub(super) fn refused(dir: &Path, reason: impl Into<String>, remedy: &'static str) -> StoreError {
    StoreError::Refused { dir: dir.to_owned(), reason: reason.into(), remedy }
}

pub(super) fn first_record() -> HeadRecord {
    let (stage, head, first) = (Stage::Creating, EMPTY, Revision(1));
    HeadRecord {
        store_id: random_id(),
        stage,
        head,
        checkpoint: None,
        first,
        noted: Time(i64::MIN),
    }
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

/// The engines' files are there and may be written.
pub(super) fn demand_engines(dir: &Path, record: &HeadRecord) -> Result<(), StoreError> {
    if let Some(mark) = record.checkpoint {
        demand_engine(dir, &checkpoint::path(dir, mark.head.revision))?;
    }
    demand_engine(dir, &dir.join(LOG))
}

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
        if name == head_file::NAME_NEW || name == lineages_file::NAME_NEW {
            fs::remove_file(&path).map_err(|e| files::io_error("remove", &path, e))?;
        } else if is_checkpoint
            || [checkpoint::NAME_NEW, trial::NAME, backup::NAME_NEW].contains(&name.as_str())
        {
            files::remove_dir(&path)?;
        }
    }
    Ok(())
}
