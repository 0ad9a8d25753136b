//! Another model put in force at 100k and 1M tuples, while one writer and one reader go on: how long it
//! takes, and how long they wait for it at most. Each size in a fresh process.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod clock;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bailiwick::engine::CheckedContext;
use bailiwick::model::tuple::{Tuple, TupleKey};
use bailiwick::pdp::{Pdp, Proposal, WriteChange};
use bailiwick::store::ModelFiles;
use bailiwick::store::sled::SledStore;
use clock::Fixed;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--child") {
        let tuples = args[at + 1].parse().expect("a number of tuples");
        measure(tuples, Path::new(&args[at + 2]));
        return;
    }
    for tuples in ["100000", "1000000"] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let status = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--child", tuples, dir.path().to_str().expect("a UTF-8 path")])
            .status()
            .expect("the child runs");
        assert!(status.success());
    }
}

fn proposal(name: &str) -> Proposal {
    let mut files = world::files();
    let text = files.get("model.yaml").expect("a model").replace("bench", name);
    files.insert("model.yaml", text);
    Proposal::compile(&files).expect("the benchmark's model loads")
}

fn measure(tuples: u64, dir: &Path) {
    let store = Arc::new(SledStore::open_or_create(dir).expect("the store opens"));
    let model = world::model();
    let files = ModelFiles { digest: model.digest.clone(), files: Vec::new() };
    let pdp = Pdp::open(store, model, files, Arc::new(Fixed)).expect("an empty store opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for commit in world::tuples(tuples).chunks(5_000) {
        let changes = commit.iter().cloned().map(WriteChange::Touch).collect();
        runtime.block_on(pdp.write(changes)).expect("the commit is durable");
    }
    let stored = pdp.read().tuple_count();
    let resident = resident_mb();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&pdp, &stop));
        let reader = scope.spawn(|| read_until(&pdp, tuples, &stop));
        for what in ["second", "third"] {
            let started = Instant::now();
            pdp.propose(proposal(what)).expect("every tuple fits");
            println!(
                "activate  {stored} tuples: {:.2} s; resident {} MB, before it {resident} MB",
                started.elapsed().as_secs_f64(),
                resident_mb(),
            );
        }
        stop.store(true, Ordering::SeqCst);
        println!("  meanwhile {}", writer.join().expect("the writer ends"));
        println!("  meanwhile {}", reader.join().expect("the reader ends"));
    });
    stop.store(false, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&pdp, &stop));
        let reader = scope.spawn(|| read_until(&pdp, tuples, &stop));
        let busy = Instant::now();
        while busy.elapsed() < Duration::from_secs(2) {
            std::hint::black_box(proposal("compiled only"));
        }
        stop.store(true, Ordering::SeqCst);
        println!("  beside other work {}", writer.join().expect("the writer ends"));
        println!("  beside other work {}", reader.join().expect("the reader ends"));
    });
    pdp.close();
}

fn write_until(pdp: &Pdp, stop: &AtomicBool) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut times = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let text = format!("org:d0#viewer@user:new{}", times.len());
        let tuple = Tuple::plain(TupleKey::parse(&text).expect("a tuple"));
        let started = Instant::now();
        runtime.block_on(pdp.write(vec![WriteChange::Touch(tuple)])).expect("it is durable");
        times.push(started.elapsed());
    }
    told("writes", times)
}

fn read_until(pdp: &Pdp, tuples: u64, stop: &AtomicBool) -> String {
    let questions = world::questions(tuples, 10_000);
    let mut times = Vec::new();
    for (subject, permission, scope) in questions.iter().cycle() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let started = Instant::now();
        let reading = pdp.read();
        let question = reading.question(subject, permission, scope, CheckedContext::default());
        std::hint::black_box(reading.check(&question.expect("well-formed"), false).is_ok());
        drop(reading);
        times.push(started.elapsed());
    }
    told("checks", times)
}

fn told(what: &str, mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |of_10_000: usize| times[(times.len() - 1) * of_10_000 / 10_000];
    format!(
        "{} {what}: p50 {:?}, p99 {:?}, p99.99 {:?}, longest {:?}",
        times.len(),
        at(5_000),
        at(9_900),
        at(9_999),
        at(10_000)
    )
}

/// From `/proc/self/statm`: the second field is the resident set in pages of 4 KiB.
fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * 4_096 / 1_000_000
}
