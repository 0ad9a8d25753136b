//! The one file that names sled: open, read, write and sync a directory of sled's. Knows keys and
//! values, never what they mean. Whatever sled does, a panic included, comes out as a [`StoreError`].
//!
//! sled 0.34.7 needs care, measured and read in its source:
//! - `flush()` only calls `sync_file_range`; so [`Engine::sync`] syncs sled's file `db` through a
//!   descriptor of ours, opened before sled writes, so that no write error can be reported elsewhere.
//! - Big items go to files under `blobs/` that nobody syncs; so nothing above [`ITEM_BYTES_MAX`] is
//!   ever given to it.
//! - A file cut short opens as a shorter or empty one without an error; whoever opens an engine must
//!   prove its content.
//! - Flipped bytes can panic, in `open` and later; so every call goes through [`guarded`].

use std::cell::RefCell;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Duration;

use super::files::{io_error, sync_dir};
use super::locked;
use crate::store::StoreError;

/// Largest key and value together, in bytes.
pub(super) const ITEM_BYTES_MAX: usize = 4_096;
/// sled's cache of pages, in bytes. The log is read front to back, and the state is elsewhere.
const CACHE_BYTES: u64 = 16 << 20;
/// How often a lock that our own process still holds is tried again, and how long that takes.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A key and its value.
pub(super) type Item = (Vec<u8>, Vec<u8>);

/// Bytes that sled handed out.
pub(super) type Bytes = ::sled::IVec;

type SyncFn = dyn Fn(&File) -> io::Result<()> + Send + Sync;

/// Makes what was written to a file durable; a test's may fail.
#[derive(Clone)]
pub(super) struct Syncer(pub(super) Arc<SyncFn>);

impl Default for Syncer {
    /// The real one. `fdatasync` suffices: it covers the length, and nobody needs the times.
    fn default() -> Self {
        Self(Arc::new(File::sync_data))
    }
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Syncer")
    }
}

impl Syncer {
    /// Returns when the file's data is on the disk.
    pub(super) fn sync(&self, file: &File, path: &Path) -> Result<(), StoreError> {
        (self.0)(file).map_err(|e| io_error("sync", path, e))
    }
}

/// An open sled directory.
pub(super) struct Engine {
    dir: PathBuf,
    db: ::sled::Db,
    /// sled's file `db`.
    file: File,
    sync: Syncer,
    /// Items that sled is yet to be given, in order. *After all of sled's*: each has a key above any there; but while
    /// sled is being given them, when it may have them already.
    held: Mutex<Arc<Vec<(Bytes, Bytes)>>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // sled's own Debug prints every item.
        f.debug_struct("Engine").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes a new directory, durably.
    pub(super) fn create(dir: &Path, sync: &Syncer) -> Result<Self, StoreError> {
        fs::create_dir(dir).map_err(|e| io_error("create", dir, e))?;
        let db = dir.join("db");
        File::create_new(&db).map_err(|e| io_error("create", &db, e))?;
        let engine = Self::open(dir, sync)?;
        engine.flush()?;
        engine.sync_all()?;
        Ok(engine)
    }

    /// Opens an existing directory. What it holds may be less than what was written to it, and sled
    /// makes it so on disk too: whatever follows a damaged place it overwrites.
    ///
    /// # Errors
    /// `Io`: its file is missing; `Corrupt`: sled reports damage, or panics.
    pub(super) fn open(dir: &Path, sync: &Syncer) -> Result<Self, StoreError> {
        Self::open_as(dir, dir, sync)
    }

    /// The same; errors name the directory `named`, of which this one is a copy.
    pub(super) fn open_as(dir: &Path, named: &Path, sync: &Syncer) -> Result<Self, StoreError> {
        let path = dir.join("db");
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(|e| io_error("open", &path, e))?;
        let config = ::sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .mode(::sled::Mode::HighThroughput)
            .use_compression(false)
            .flush_every_ms(None);
        let mut tries = 0;
        let db = loop {
            match guarded(named, "open", || config.open()) {
                // Our own lock keeps other processes out, so this is an engine of this process whose
                // last background task has not ended yet.
                Err(StoreError::Io { source, .. })
                    if tries < LOCK_TRIES && source.to_string().contains("acquire lock") =>
                {
                    tries += 1;
                    thread::sleep(LOCK_PAUSE);
                }
                opened => break opened?,
            }
        };
        let held = Mutex::default();
        Ok(Self { dir: named.to_owned(), db, file, sync: sync.clone(), held })
    }

    /// Closes it, and returns once sled's background tasks have ended too and nothing writes to the
    /// directory any more; or after a while all the same.
    pub(super) fn close(self) {
        let Self { db, file, .. } = self;
        drop(db);
        for _ in 0..LOCK_TRIES {
            // sled holds its lock until the last of them is gone.
            if file.try_lock().is_ok() {
                return;
            }
            thread::sleep(LOCK_PAUSE);
        }
    }

    /// Writes these items, all or none of them; durable after [`flush`](Self::flush) and
    /// [`sync`](Self::sync).
    pub(super) fn put(&self, items: &[Item]) -> Result<(), StoreError> {
        demand_small(items)?;
        let mut batch = ::sled::Batch::default();
        for (key, value) in items {
            batch.insert(key.as_slice(), value.as_slice());
        }
        guarded(&self.dir, "write to", || self.db.apply_batch(batch))
    }

    /// Holds these items, which readers find as if sled had them; their keys are above all others. They are durable
    /// elsewhere, until [`settle`](Self::settle).
    pub(super) fn hold(&self, items: &[Item]) {
        let items =
            items.iter().map(|(key, value)| (key.as_slice().into(), value.as_slice().into()));
        Arc::make_mut(&mut locked(&self.held)).extend(items);
    }

    /// Holds those of these items, in order, that sled has not.
    ///
    /// # Errors
    /// `Corrupt`: another one than sled has, where its items have not ended.
    pub(super) fn hold_rest(&self, items: &[Item]) -> Result<(), StoreError> {
        let last = guarded(&self.dir, "read", || self.db.last())?;
        let last = last.map(|(key, _)| key).unwrap_or_default();
        let known = items.partition_point(|(key, _)| key.as_slice() <= last.as_ref());
        let (known, rest) = items.split_at_checked(known).unwrap_or_default();
        for (key, value) in known {
            if self.get(key)?.as_deref() != Some(value) {
                let what = format!("`{}` and the journal do not agree", self.dir.display());
                return Err(StoreError::corrupt(what));
            }
        }
        demand_small(rest)?;
        self.hold(rest);
        Ok(())
    }

    /// Gives sled what is held, durably; in one batch, so that what a power cut leaves of it ends where it began.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        let held = self.held();
        if held.is_empty() {
            return Ok(());
        }
        let mut batch = ::sled::Batch::default();
        held.iter().for_each(|(key, value)| batch.insert(key.clone(), value.clone()));
        guarded(&self.dir, "write to", || self.db.apply_batch(batch))?;
        self.flush()?;
        self.sync()?;
        // Not before: whoever does not find them here finds them there.
        *locked(&self.held) = Arc::default();
        Ok(())
    }

    /// How many items are held.
    #[cfg(test)]
    pub(super) fn held_items(&self) -> usize {
        self.held().len()
    }

    fn held(&self) -> Arc<Vec<(Bytes, Bytes)>> {
        Arc::clone(&locked(&self.held))
    }

    /// The value of this key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let held = self.held();
        if let Ok(at) = held.binary_search_by(|(held, _)| held.as_ref().cmp(key)) {
            return Ok(held.get(at).map(|(_, value)| value.clone()));
        }
        guarded(&self.dir, "read", || self.db.get(key))
    }

    /// The last item before this key.
    pub(super) fn last_before(&self, key: &[u8]) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let held = self.held();
        let before = held.partition_point(|(held, _)| held.as_ref() < key);
        let held = before.checked_sub(1).and_then(|last| held.get(last)).cloned();
        let found = guarded(&self.dir, "read", || self.db.get_lt(key))?;
        // sled may have been given more meanwhile.
        Ok(held.max(found))
    }

    /// The items from this key on, in order.
    pub(super) fn range(&self, from: &[u8]) -> Items {
        // First what is held: what sled is given meanwhile it then finds twice, and never not at all.
        let held = self.held();
        let next = held.partition_point(|(held, _)| held.as_ref() < from);
        let items = Some(self.db.range(from..));
        Items { dir: self.dir.clone(), items, last: Bytes::default(), held, next }
    }

    /// How large sled's file is.
    pub(super) fn file_bytes(&self) -> Result<u64, StoreError> {
        let meta = self.file.metadata();
        meta.map(|meta| meta.len()).map_err(|e| io_error("read", &self.dir.join("db"), e))
    }

    /// Hands everything written to the operating system.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        guarded(&self.dir, "flush", || self.db.flush()).map(drop)
    }

    /// Makes everything flushed durable: one `fdatasync`.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.sync.sync(&self.file, &self.dir.join("db"))
    }

    /// Makes the directory itself durable, with every file in it.
    ///
    /// # Errors
    /// `Io`; `Corrupt`: sled put something into `blobs/`, which it never syncs.
    pub(super) fn sync_all(&self) -> Result<(), StoreError> {
        self.sync()?;
        for entry in fs::read_dir(&self.dir).map_err(|e| io_error("read", &self.dir, e))? {
            let path = entry.map_err(|e| io_error("read", &self.dir, e))?.path();
            if path.is_dir() {
                let mut inside = fs::read_dir(&path).map_err(|e| io_error("read", &path, e))?;
                if inside.next().is_some() {
                    let what = format!("`{}` should be empty", path.display());
                    return Err(StoreError::corrupt(what));
                }
                sync_dir(&path)?;
            } else {
                File::open(&path)
                    .and_then(|file| file.sync_all())
                    .map_err(|e| io_error("sync", &path, e))?;
            }
        }
        sync_dir(&self.dir)
    }

    /// Says where it lies after its directory was renamed; sled itself only needs its open file.
    pub(super) fn moved_to(self, dir: PathBuf) -> Self {
        Self { dir, ..self }
    }
}

/// Demands that sled may be given these.
///
/// # Errors
/// `Unstorable`: one is too large.
pub(super) fn demand_small(items: &[Item]) -> Result<(), StoreError> {
    let longest = items.iter().map(|(key, value)| key.len() + value.len()).max();
    match longest {
        Some(bytes) if bytes > ITEM_BYTES_MAX => {
            let reason = format!("an item of {bytes} bytes, the limit is {ITEM_BYTES_MAX}");
            Err(StoreError::unstorable(reason))
        }
        _ => Ok(()),
    }
}

/// Items in the order of their keys; an error ends them.
pub(super) struct Items {
    dir: PathBuf,
    /// sled's, until they end.
    items: Option<::sled::Iter>,
    /// The last key of those.
    last: Bytes,
    held: Arc<Vec<(Bytes, Bytes)>>,
    /// Of those held, the next.
    next: usize,
}

impl Iterator for Items {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(items) = self.items.as_mut() {
            let item = guarded(&self.dir, "read", || items.next().transpose()).transpose();
            match &item {
                Some(Ok((key, _))) => self.last = key.clone(),
                Some(Err(_)) => (self.items, self.next) = (None, usize::MAX),
                None => self.items = None,
            }
            if item.is_some() {
                return item;
            }
        }
        loop {
            let item = self.held.get(self.next)?;
            self.next += 1;
            // Those that sled has been given meanwhile are known.
            if item.0 > self.last {
                return Some(Ok(item.clone()));
            }
        }
    }
}

thread_local! {
    /// While set: a panic of this thread is caught, and its message goes here instead of to stderr.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a call of sled's; a panic becomes an error. The program must unwind on panic.
fn guarded<T>(
    dir: &Path,
    doing: &str,
    call: impl FnOnce() -> ::sled::Result<T>,
) -> Result<T, StoreError> {
    silence_caught_panics();
    CAUGHT.set(Some(String::new()));
    // Unwind safe: after a panic the engine is dropped (open), or its writer latches (append).
    let result = catch_unwind(AssertUnwindSafe(call));
    let message = CAUGHT.take().unwrap_or_default();
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(::sled::Error::Io(e))) => Err(io_error(doing, dir, e)),
        Ok(Err(e)) => Err(StoreError::corrupt(format!("cannot {doing} `{}`: {e}", dir.display()))),
        Err(_) => Err(StoreError::corrupt(format!(
            "cannot {doing} `{}`: the engine gave up: {}",
            dir.display(),
            message.lines().collect::<Vec<_>>().join(" ")
        ))),
    }
}

/// Puts a hook before the process' own, once: panics that [`guarded`] catches are not printed.
fn silence_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let caught = CAUGHT.try_with(|caught| match caught.try_borrow_mut() {
                Ok(mut caught) => caught.as_mut().map(|text| *text = info.to_string()).is_some(),
                Err(_) => false,
            });
            if !caught.unwrap_or(false) {
                others(info);
            }
        }));
    });
}
