//! What a store costs at rest: resident memory, the time from its start until the built program serves,
//! and the disk, each at 1M and at 10M tuples (`-- 1000000` asks for one size). Each figure in a fresh
//! process, so that none carries another's memory.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod clock;
mod process;
mod target;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bailiwick::model::tuple::{Tuple, TupleKey};
use bailiwick::pdp::{Pdp, Upkeep, WriteChange, stored_files};
use bailiwick::store::Store;
use bailiwick::store::sled::SledStore;
use clock::Fixed;
use process::{Service, disk_bytes};
use target::verdict;

/// Not needed of the world here.
const _: fn(u64, usize) -> Vec<world::Question> = world::questions;
const _: fn(u64) -> Vec<Tuple> = world::tuples;

const MB: f64 = 1e6;
/// Changes of one commit.
const COMMIT: usize = 10_000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--child") {
        let (dir, count) = (Path::new(&args[at + 2]), args[at + 3].parse().expect("a number"));
        match args[at + 1].as_str() {
            "write" => write(dir, count),
            "delete" => delete(dir, count),
            _ => checkpoint(dir),
        }
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let model = dir.path().join("model");
    std::fs::create_dir(&model).expect("a directory");
    let files = world::files();
    for name in files.names() {
        std::fs::write(model.join(name), files.get(name).expect("its text")).expect("a file");
    }
    size(&dir.path().join("stripped"));
    idle(&model, &dir.path().join("empty"));
    let asked: Vec<u64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if asked.is_empty() { vec![1_000_000, 10_000_000] } else { asked };
    for count in sizes {
        let data = dir.path().join("data");
        at_rest(&model, &data, count);
        std::fs::remove_dir_all(&data).expect("the data goes");
    }
}

fn child(what: &str, data: &Path, count: u64) {
    let status = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--child", what, data.to_str().expect("a UTF-8 path"), &count.to_string()])
        .status()
        .expect("the child runs");
    assert!(status.success());
}

/// Benchmarks are built with their symbols; the release is not.
fn size(stripped: &Path) {
    let status = std::process::Command::new("strip")
        .args(["--strip-all", "-o", stripped.to_str().expect("a UTF-8 path")])
        .arg(env!("CARGO_BIN_EXE_bailiwick"))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "binutils' strip is needed");
    let bytes = stripped.metadata().expect("a file").len();
    verdict("release binary, stripped", bytes as f64 / MB, "MB", ..=20.0);
}

fn idle(model: &Path, data: &Path) {
    let service = Service::start(model, data);
    println!("serves on {:?}", service.places());
    verdict("resident memory, idle", service.resident() / MB, "MB", ..=20.0);
    service.stop();
}

fn at_rest(model: &Path, data: &Path, count: u64) {
    let (most_resident, most_seconds) =
        if count > 1_000_000 { (1_200.0, 15.0) } else { (150.0, f64::INFINITY) };
    child("write", data, count);
    println!("disk   {:.0} MB after writing", disk_bytes(data) / MB);
    let service = Service::start(model, data);
    let seconds = service.served_after.as_secs_f64();
    verdict(&format!("recovery of {count} tuples to SERVING"), seconds, "s", ..=most_seconds);
    let resident = service.resident() / MB;
    verdict(&format!("resident memory, {count} tuples"), resident, "MB", ..=most_resident);
    println!("peak   {:.0} MB while recovering", service.peak() / MB);
    service.stop();
    child("checkpoint", data, count);
    let full = disk_bytes(data);
    let each = full / count as f64;
    verdict(&format!("disk after a checkpoint, {count} tuples"), each, "bytes a tuple", ..=60.0);
    let service = Service::start(model, data);
    println!(
        "open   {count} tuples from a checkpoint alone: {:.2} s, resident {:.0} MB, peak {:.0} MB",
        service.served_after.as_secs_f64(),
        service.resident() / MB,
        service.peak() / MB
    );
    service.stop();
    child("delete", data, count);
    child("checkpoint", data, count);
    let left = disk_bytes(data) / full;
    verdict("disk after three of four tuples were deleted", left, "of before", ..=0.5);
}

fn open(dir: &Path, upkeep: Upkeep) -> Pdp {
    let store: Arc<dyn Store> = Arc::new(SledStore::open_or_create(dir).expect("the store opens"));
    let model = world::model();
    let files = stored_files(&world::files(), &model);
    Pdp::open_with(store, model, files, Arc::new(Fixed), upkeep).expect("the store fits")
}

/// Commits what is handed to it.
struct Commits<'a> {
    pdp: &'a Pdp,
    runtime: tokio::runtime::Runtime,
    changes: Vec<WriteChange>,
}

impl<'a> Commits<'a> {
    fn new(pdp: &'a Pdp) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        Self { pdp, runtime, changes: Vec::new() }
    }

    fn add(&mut self, change: WriteChange) {
        self.changes.push(change);
        if self.changes.len() >= COMMIT {
            self.commit();
        }
    }

    fn commit(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        if !changes.is_empty() {
            self.runtime.block_on(self.pdp.write(changes)).expect("the commit is durable");
        }
    }
}

fn key(text: &str) -> TupleKey {
    TupleKey::parse(text).expect("a well-formed tuple")
}

fn write(dir: &Path, count: u64) {
    let pdp = open(dir, Upkeep::default());
    let mut commits = Commits::new(&pdp);
    let started = Instant::now();
    world::each(count, |text| commits.add(WriteChange::Touch(Tuple::plain(key(&text)))));
    commits.commit();
    pdp.close();
    let seconds = started.elapsed().as_secs_f64();
    let tuples = pdp.read().tuple_count();
    println!(
        "write  {tuples} tuples in commits of {COMMIT}, one after the other: {seconds:.1} s, {:.0}/s",
        tuples as f64 / seconds
    );
}

fn delete(dir: &Path, count: u64) {
    let pdp = open(dir, Upkeep::default());
    let mut commits = Commits::new(&pdp);
    let mut at = 0_u64;
    world::each(count, |text| {
        at += 1;
        if !at.is_multiple_of(4) {
            commits.add(WriteChange::Delete(key(&text)));
        }
    });
    commits.commit();
    pdp.close();
}

/// Makes one checkpoint, after one commit, and keeps of the log what is kept by default.
fn checkpoint(dir: &Path) {
    let pdp = open(dir, Upkeep { checkpoint_changes: 1, checkpoint_share: 0, ..Upkeep::default() });
    let mut commits = Commits::new(&pdp);
    let at = pdp.read().token().revision.0;
    commits.add(WriteChange::Touch(Tuple::plain(key(&format!("org:d0#admin@user:extra{at}")))));
    commits.commit();
    pdp.close();
}
