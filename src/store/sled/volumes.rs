//! The log's volumes: engines one after the other, each with the commits from a revision on. What the log
//! lets go is a whole directory, as sled's files never shrink. Knows no head file, which names the newest.
//!
//! ```text
//! log/      the commits from the first on       log-N/    those from N on
//! log.new/  one that is being made              only the newest is written to
//! ```
//!
//! Invariant *one after the other*: a volume ends where the next one begins; a commit is in one only.
//!
//! The newest is open always. The others are closed, and opened for whoever reads them: an engine takes
//! some memory for each megabyte of its file.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::engine::{Engine, Syncer};
use super::files::{self, io_error, sync_dir};
use super::locked;
use super::log::{ReadRecord, Record, Records, UntilError, records};
use crate::model::limits::LOG_VOLUME_BYTES_MAX;
use crate::model::tuple::Revision;
use crate::store::StoreError;

/// The name of the first.
pub(super) const LOG: &str = "log";
/// How the names of the others begin; the revision follows.
const NAME_PREFIX: &str = "log-";
/// The name of one that is being made.
pub(super) const NAME_NEW: &str = "log.new";

/// Where a volume of the log begins, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) start: Revision,
    pub(super) name: String,
}

/// Whether a name in a data directory is that of a volume, whole or not. Whatever else begins like one is
/// somebody's, as a copy that was put aside.
pub(super) fn is_volume(name: &str) -> bool {
    name == NAME_NEW || start_of(name).is_some()
}

/// Where the volume of this name begins; `None`: it is none of ours.
fn start_of(text: &str) -> Option<Revision> {
    if text == LOG {
        return Some(Revision(1));
    }
    let start = files::number_after(NAME_PREFIX, text).map(Revision)?;
    (name(start) == text).then_some(start)
}

/// The name of the volume that begins here; 0 counts as the first.
pub(super) fn name(start: Revision) -> String {
    if start <= Revision(1) { LOG.to_owned() } else { format!("{NAME_PREFIX}{}", start.0) }
}

/// The volumes in a directory that hold a commit from `first` on, in order.
///
/// # Errors
/// `Io`.
pub(super) fn places(dir: &Path, first: Revision) -> Result<Vec<Place>, StoreError> {
    let place = |name: String| start_of(&name).map(|start| Place { start, name });
    let mut all: Vec<_> = files::names(dir)?.into_iter().filter_map(place).collect();
    all.sort_unstable();
    let before = all.iter().skip(1).take_while(|next| next.start <= first).count();
    Ok(all.split_off(before))
}

/// One of them.
#[derive(Debug)]
pub(super) struct Volume {
    start: Revision,
    path: PathBuf,
    sync: Syncer,
    engine: Mutex<Held>,
}

/// What is known of a volume's engine.
#[derive(Debug, Default)]
struct Held {
    /// While somebody has it open.
    engine: Weak<Engine>,
    /// The log has let it go: sled, which makes what it does not find, must not be asked for it any more.
    is_gone: bool,
}

impl Volume {
    /// The first one to ask opens it, in place. Nothing was written to it since it was proved at the opening
    /// of the store, or closed: so sled has nothing to repair. Where the disk has lost some of it meanwhile,
    /// sled cuts off what follows in place, as it always does, and the reader misses a commit that it knows
    /// must be there: that is found, and what lay behind the damage is lost to whoever looks for it later.
    fn engine(&self) -> Result<Arc<Engine>, StoreError> {
        let mut held = locked(&self.engine);
        if let Some(engine) = held.engine.upgrade() {
            return Ok(engine);
        }
        if held.is_gone {
            return Err(io_error("open", &self.path, io::ErrorKind::NotFound.into()));
        }
        let engine = Arc::new(Engine::open(&self.path, &self.sync)?);
        held.engine = Arc::downgrade(&engine);
        Ok(engine)
    }

    /// Removes it. Whoever still reads it has its file open; nobody opens it any more.
    fn remove(&self) -> Result<(), StoreError> {
        locked(&self.engine).is_gone = true;
        files::remove_dir(&self.path)
    }

    fn note(&self, engine: &Arc<Engine>) {
        locked(&self.engine).engine = Arc::downgrade(engine);
    }
}

/// All of them, oldest first.
#[derive(Debug)]
pub(super) struct Volumes {
    dir: PathBuf,
    sync: Syncer,
    open: Mutex<Open>,
    /// A file of so many bytes is full.
    pub(super) full_at: u64,
    /// So long after one that could not be begun none is.
    pub(super) pause: Duration,
}

/// A full disk is full a moment later too, and each attempt makes and removes files.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Open {
    all: VecDeque<Arc<Volume>>,
    /// That of the last.
    newest: Arc<Engine>,
    /// When one could not be begun, and why, if none was since.
    failed: Option<(Instant, StoreError)>,
}

impl Volumes {
    /// The volumes at these places of a directory, of which the last is open.
    pub(super) fn new(dir: &Path, places: &[Place], newest: Engine, sync: &Syncer) -> Self {
        let volume = |place: &Place| {
            let (start, path, sync) = (place.start, dir.join(&place.name), sync.clone());
            Arc::new(Volume { start, path, sync, engine: Mutex::default() })
        };
        let all: VecDeque<_> = places.iter().map(volume).collect();
        let newest = Arc::new(newest);
        if let Some(last) = all.back() {
            last.note(&newest);
        }
        let open = Mutex::new(Open { all, newest, failed: None });
        let (dir, sync, full_at) = (dir.to_owned(), sync.clone(), LOG_VOLUME_BYTES_MAX);
        Self { dir, sync, open, full_at, pause: PAUSE }
    }

    /// The one that is written to.
    pub(super) fn newest(&self) -> Arc<Engine> {
        Arc::clone(&locked(&self.open).newest)
    }

    /// Whether the commit with this number, the next, belongs into a new one.
    pub(super) fn is_full(&self, next: Revision) -> Result<bool, StoreError> {
        let is_empty = locked(&self.open).all.back().is_some_and(|newest| newest.start >= next);
        Ok(!is_empty && self.newest().file_bytes()? >= self.full_at)
    }

    /// Makes a new one, durably, in which the commit with this number will be the first. Until the head file
    /// names it nothing may be written to it.
    ///
    /// # Errors
    /// `Unwritten`: it has not come to its name, and may be begun again; at once after one that could not be, for
    /// the same reason. Any other: whether its name is on the disk is not known.
    pub(super) fn begin(&self, start: Revision) -> Result<Arc<Engine>, StoreError> {
        let failed = locked(&self.open).failed.clone();
        if let Some((at, why)) = failed
            && at.elapsed() < self.pause
        {
            return Err(StoreError::unwritten(why));
        }
        let path = self.dir.join(name(start));
        let made = self.make(&path);
        locked(&self.open).failed = made.as_ref().err().map(|why| (Instant::now(), why.clone()));
        let engine = made.map_err(StoreError::unwritten)?;
        sync_dir(&self.dir)?;
        let engine = Arc::new(engine.moved_to(path.clone()));
        let (sync, engine_of) = (self.sync.clone(), Mutex::default());
        let volume = Volume { start, path, sync, engine: engine_of };
        volume.note(&engine);
        let mut open = locked(&self.open);
        open.all.push_back(Arc::new(volume));
        open.newest = Arc::clone(&engine);
        Ok(engine)
    }

    /// An empty one at this path. Where this fails, nothing of what it made is ever used.
    fn make(&self, path: &Path) -> Result<Engine, StoreError> {
        let new = self.dir.join(NAME_NEW);
        // A leftover of an attempt that was cut off.
        files::remove_dir(&new)?;
        let engine = Engine::create(&new, &self.sync)?;
        if let Err(e) = fs::rename(&new, path) {
            // Nothing may write into its directory while the next attempt removes it.
            engine.close();
            return Err(io_error("rename", &new, e));
        }
        Ok(engine)
    }

    /// The commits from a revision on, whose predecessor has the checksum `previous`, if that is known.
    pub(super) fn records(&self, from: Revision, previous: Option<u64>) -> Chain {
        let open = locked(&self.open);
        let before = open.all.iter().skip(1).take_while(|next| next.start <= from).count();
        let volumes = open.all.iter().skip(before).map(Arc::clone).collect();
        UntilError::new(Chained { volumes, records: None, next: from, previous })
    }

    /// The checksum of one commit, if the log holds it.
    pub(super) fn checksum_of(&self, revision: Revision) -> Result<Option<u64>, StoreError> {
        let volume = {
            let open = locked(&self.open);
            let before = open.all.iter().rev().find(|volume| volume.start <= revision);
            before.map(Arc::clone)
        };
        let Some(volume) = volume else { return Ok(None) };
        if super::log::start_of(volume.engine()?.as_ref(), revision)?.is_none() {
            return Ok(None);
        }
        let record = self.records(revision, None).next().transpose()?;
        Ok(record.map(|record| record.head.checksum))
    }

    /// Removes those that hold no commit from `first` on; the newest stays. Whoever still reads one has its
    /// file open.
    pub(super) fn remove_before(&self, first: Revision) -> Result<(), StoreError> {
        loop {
            let mut open = locked(&self.open);
            if open.all.get(1).is_none_or(|next| next.start > first) {
                return Ok(());
            }
            let oldest = open.all.pop_front();
            drop(open);
            if let Some(oldest) = oldest {
                oldest.remove()?;
            }
        }
    }
}

/// Commits over all volumes; see [`Records`].
pub(super) type Chain = UntilError<Chained>;

/// Reads a [`Chain`].
pub(super) struct Chained {
    volumes: VecDeque<Arc<Volume>>,
    records: Option<Records>,
    next: Revision,
    previous: Option<u64>,
}

impl ReadRecord for Chained {
    fn read_one(&mut self) -> Result<Option<Record>, StoreError> {
        loop {
            if self.records.is_none() {
                let Some(volume) = self.volumes.pop_front() else { return Ok(None) };
                let engine = volume.engine()?;
                self.records = Some(records(&engine, self.next, self.previous));
            }
            let record = self.records.as_mut().and_then(Iterator::next).transpose()?;
            if let Some(record) = record {
                self.next = record.head.revision.next();
                self.previous = Some(record.head.checksum);
                return Ok(Some(record));
            }
            self.records = None;
        }
    }
}
