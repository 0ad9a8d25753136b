//! The whole service without a wire at 1M tuples: time to write them, disk, time to open again, and
//! resident memory after that. Each figure in a fresh process, so that none carries another's memory.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bailiwick::engine::CheckedContext;
use bailiwick::model::tuple::Time;
use bailiwick::pdp::{Clock, Pdp, WriteChange};
use bailiwick::store::sled::SledStore;
use bailiwick::store::{ModelFiles, Store};

const TUPLES: u64 = 1_000_000;

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Time {
        Time(0)
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--child") {
        let (what, dir) = (args[at + 1].as_str(), Path::new(&args[at + 2]));
        match what {
            "write" => write(dir),
            _ => reopen(dir),
        }
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    for what in ["write", "open"] {
        let status = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--child", what, data.to_str().expect("a UTF-8 path")])
            .status()
            .expect("the child runs");
        assert!(status.success());
    }
}

fn open(dir: &Path) -> Pdp {
    let store: Arc<dyn Store> = Arc::new(SledStore::open_or_create(dir).expect("the store opens"));
    let model = world::model();
    let files = ModelFiles { digest: model.digest.clone(), files: Vec::new() };
    Pdp::open(store, model, files, Arc::new(Fixed)).expect("the store fits the model")
}

fn write(dir: &Path) {
    let pdp = open(dir);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let started = Instant::now();
    let tuples = world::tuples(TUPLES);
    for commit in tuples.chunks(5_000) {
        let changes = commit.iter().cloned().map(WriteChange::Touch).collect();
        runtime.block_on(pdp.write(changes)).expect("the commit is durable");
    }
    pdp.close();
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "write  {} tuples in commits of 5,000: {seconds:.1} s, {:.0} tuples/s; resident {} MB",
        tuples.len(),
        tuples.len() as f64 / seconds,
        resident_mb()
    );
}

fn reopen(dir: &Path) {
    println!("disk   {} MB", disk_bytes(dir) / 1_000_000);
    println!("idle   resident {} MB before opening", resident_mb());
    let started = Instant::now();
    let pdp = open(dir);
    println!(
        "open   {} tuples: {:.2} s; resident {} MB",
        pdp.read().tuple_count(),
        started.elapsed().as_secs_f64(),
        resident_mb()
    );
    let reading = pdp.read();
    let started = Instant::now();
    for (subject, permission, scope) in world::questions(TUPLES, 10_000) {
        let question = reading.question(&subject, permission, &scope, CheckedContext::default());
        std::hint::black_box(reading.check(&question.expect("well-formed"), false).is_ok());
    }
    println!(
        "ask    10,000 questions, each once: {} ns each",
        started.elapsed().as_nanos() / 10_000
    );
    pdp.close();
}

fn disk_bytes(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() { disk_bytes(&path) } else { path.metadata().map_or(0, |m| m.len()) }
        })
        .sum()
}

/// From `/proc/self/statm`: the second field is the resident set in pages of 4 KiB.
fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * 4_096 / 1_000_000
}
