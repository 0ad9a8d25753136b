//! Opening a data directory, and making one: what it must prove, in which order it is made, and what is
//! cleared away. Knows nothing of what happens to it afterwards.

use std::fs::OpenOptions;
use std::path::Path;

use super::checkpoint::{self, Checkpoint};
use super::engine::{Engine, Item, Syncer};
use super::head_file::{self, HeadFile, HeadRecord, Stage};
use super::journal::{self, Journal};
use super::volumes::{self, LOG, Place, Volumes};
use super::{EMPTY, backup, files, lineages_file, log, trial};
use crate::model::tuple::{Revision, Time};
use crate::store::lineage::{Lineages, random_id};
use crate::store::{RESTORE, StoreError};

/// A directory that has proved itself.
pub(super) struct Opened {
    pub(super) head_file: HeadFile,
    pub(super) log: Volumes,
    pub(super) journal: Journal,
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
            let place = Place { start: Revision(1), name: LOG.to_owned() };
            let log = Volumes::new(dir, &[place], engine, sync);
            let journal = Journal::create(dir, sync)?;
            let lineages = Lineages::fresh();
            lineages_file::write(dir, &head_file.record().store_id, &lineages, sync)?;
            head_file.replace(|record| record.stage = Stage::Whole)?;
            Ok(Opened { head_file, log, journal, checkpoint: None, lineages })
        }
    }
}

fn open_whole(dir: &Path, mut head_file: HeadFile, sync: &Syncer) -> Result<Opened, StoreError> {
    let record = head_file.record().clone();
    let places = demand_engines(dir, &record)?;
    let known = lineages_file::read(dir, &record.store_id)?;
    let journaled = journaled(dir, &record, &places)?;
    let head = trial::prove(dir, &record, &places, &journaled)?;
    let open = |mark| Checkpoint::open(dir, dir, mark, sync);
    let checkpoint = record.checkpoint.map(open).transpose()?;
    // `demand_engines` has found one.
    let newest = places.last().map_or(LOG, |place| &place.name);
    // A process before may have failed to sync it: then the disk lacks what the system shows, and says so no more. Of what
    // was acknowledged only the journal has that.
    files::write_again(&dir.join(newest).join("db"), sync)?;
    let engine = Engine::open(&dir.join(newest), sync)?;
    engine.sync()?;
    engine.hold_rest(&journaled)?;
    engine.settle()?;
    let journal = if record.has_journal {
        Journal::open_emptied(dir, sync)?
    } else {
        Journal::create(dir, sync)?
    };
    let log = Volumes::new(dir, &places, engine, sync);
    let volume = places.last().map_or(Revision(0), |place| place.start);
    // The newest volume may have its name only because the machine did not die.
    files::sync_dir(dir)?;
    head_file.replace(|record| {
        record.head = head;
        record.volume = volume;
        record.has_journal = true;
    })?;
    remove_leftovers(dir, &record, &places)?;
    let lineages = known.map_or_else(Lineages::fresh, |known| known.reopened(head.revision));
    // Before anything is committed: no token may name a lineage that a power cut takes away.
    lineages_file::write(dir, &record.store_id, &lineages, sync)?;
    Ok(Opened { head_file, log, journal, checkpoint, lineages })
}

/// What the journal holds of the newest of these volumes, in order; some of it may be there.
pub(super) fn journaled(
    dir: &Path,
    record: &HeadRecord,
    places: &[Place],
) -> Result<Vec<Item>, StoreError> {
    if !record.has_journal {
        return Ok(Vec::new());
    }
    let mut items = journal::read(dir)?;
    // What is left of blocks from before the volume was begun, other volumes have.
    let start = places.last().map_or(Revision(0), |place| place.start);
    Ok(items.split_off(log::key(start, 0).as_slice()).into_iter().collect())
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
        volume: Revision(0),
        has_journal: true,
        noted: Time(i64::MIN),
    }
}

/// A directory that has no head file must be empty: anything else in it is somebody's.
fn demand_empty(dir: &Path) -> Result<(), StoreError> {
    let is_ours = |name: &str| {
        let files = [journal::NAME, lineages_file::NAME];
        volumes::is_volume(name) || checkpoint::is_name(name) || files.contains(&name)
    };
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

/// The files of the checkpoint and of the log are there and may be written. Where the log's volumes are.
pub(super) fn demand_engines(dir: &Path, record: &HeadRecord) -> Result<Vec<Place>, StoreError> {
    if let Some(mark) = record.checkpoint {
        let path = checkpoint::path(dir, mark.head.revision);
        if path.is_dir() { demand_file(dir, &path.join("db"))? } else { demand_file(dir, &path)? }
    }
    let places = volumes::places(dir, record.first)?;
    // One that begins later than the log does proves nothing of what came before it.
    let oldest = places.first().filter(|place| place.start <= record.first);
    let oldest = oldest.map_or(LOG, |place| &place.name);
    let newest = volumes::name(record.volume);
    let all = places.iter().map(|place| place.name.as_str());
    for name in [oldest, &newest].into_iter().chain(all) {
        demand_file(dir, &dir.join(name).join("db"))?;
    }
    if record.has_journal {
        demand_file(dir, &dir.join(journal::NAME))?;
    }
    Ok(places)
}

fn demand_file(dir: &Path, file: &Path) -> Result<(), StoreError> {
    if file.is_file() {
        let opened = OpenOptions::new().read(true).write(true).open(file);
        return opened.map(drop).map_err(|e| files::io_error("open", file, e));
    }
    let reason = format!("`{}` is missing", file.display());
    Err(refused(dir, reason, RESTORE))
}

/// Removes what was cut off while being made, checkpoints that are not in force, and what the log has let go.
fn remove_leftovers(dir: &Path, record: &HeadRecord, places: &[Place]) -> Result<(), StoreError> {
    let in_force = record.checkpoint.map(|mark| checkpoint::name(mark.head.revision));
    for name in files::names(dir)? {
        let is_checkpoint = checkpoint::is_name(&name) && Some(&name) != in_force.as_ref();
        let is_volume = volumes::is_volume(&name) && places.iter().all(|place| place.name != name);
        let unfinished =
            [head_file::NAME_NEW, journal::NAME_NEW, lineages_file::NAME_NEW, checkpoint::NAME_NEW];
        let copies = [trial::NAME, backup::NAME_NEW];
        let is_leftover = unfinished.iter().chain(&copies).any(|leftover| *leftover == name);
        if is_checkpoint || is_volume || is_leftover {
            files::remove(&dir.join(&name))?;
        }
    }
    Ok(())
}
