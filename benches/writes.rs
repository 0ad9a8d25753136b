//! Durable commits of 1, 16 and 64 callers at once, without a wire, on one disk and by turns beside
//!
//! - a loop that only appends and syncs: the same bytes a group, as many groups as the writer made, one
//!   `fdatasync` a group, no callers and no sled;
//! - the least that serves callers by sled: as many tasks, a channel, one thread, one batch a group with the same
//!   bytes in as few items, `flush()`, `fdatasync`, an answer to each, and a short wait for those who were answered
//!   last, as ours has. It validates and indexes nothing.
//!
//! What the second lacks to the first is the limit that tokio and sled set. Ours validates and indexes, and waits for sled
//! once for many groups.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod clock;
mod target;
mod world;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bailiwick::model::limits::WAITING_COMMITS_MAX;
use bailiwick::model::tuple::{Tuple, TupleKey};
use bailiwick::pdp::{Pdp, WriteChange, stored_files};
use bailiwick::store::sled::SledStore;
use clock::Fixed;
use target::verdict;
use tokio::sync::{mpsc, oneshot};

/// Not needed of the world here.
const _: fn(u64, usize) -> Vec<world::Question> = world::questions;

/// How many write at once, and how many commits each makes in one turn. The target is of the last.
const WRITERS: [(usize, usize); 3] = [(1, 1_000), (16, 400), (64, 150)];
const PAIRS: usize = 11;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let store = SledStore::open_or_create(&dir.path().join("data")).expect("the store opens");
    let model = world::model();
    let files = stored_files(&world::files(), &model);
    let pdp = Pdp::open(Arc::new(store), model, files, Arc::new(Fixed)).expect("it fits");
    let tuples: Vec<Tuple> = world::tuples(100_000);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    for commit in tuples.chunks(10_000) {
        let changes = commit.iter().cloned().map(WriteChange::Touch).collect();
        runtime.block_on(pdp.write(changes)).expect("the commit is durable");
    }
    let least = Least::start(&dir.path().join("least"));
    let (mut ratio, mut share) = (0.0, 0.0);
    for (writers, commits) in WRITERS {
        (ratio, share) = measure(dir.path(), &runtime, &pdp, &least, (writers, commits));
    }
    verdict("durable writes of 64 callers", ratio, "x append+fsync", 0.7..);
    verdict("durable writes of 64 callers, time", share, "x the least with sled", ..=1.2);
    least.stop();
    pdp.close();
}

/// So many writers with so many commits each, by turns: how fast ours are beside appending alone, and how long they take
/// beside the least.
fn measure(
    dir: &Path,
    runtime: &tokio::runtime::Runtime,
    pdp: &Pdp,
    least: &Least,
    (writers, each): (usize, usize),
) -> (f64, f64) {
    let commits = (writers * each) as f64;
    let [mut ours, mut leasts, mut bare] = [const { Vec::new() }; 3];
    let [mut ratios, mut limits, mut shares] = [const { Vec::new() }; 3];
    let (mut groups_all, mut least_groups) = (0, 0);
    for turn in 0..PAIRS {
        let before = pdp.work().groups().count;
        let seconds = runtime.block_on(write(pdp, turn, (writers, each)));
        let groups = pdp.work().groups().count - before;
        let floor = append(dir, groups, (writers * each) as u64);
        let before = least.groups.load(Ordering::Relaxed);
        let least_seconds = runtime.block_on(least.write((writers, each)));
        least_groups += least.groups.load(Ordering::Relaxed) - before;
        groups_all += groups;
        ratios.push(floor / seconds);
        limits.push(floor / least_seconds);
        shares.push(seconds / least_seconds);
        ours.push(commits / seconds);
        leasts.push(commits / least_seconds);
        bare.push(commits / floor);
    }
    let (ratio, share) = (median(&mut ratios), median(&mut shares));
    let all = commits * PAIRS as f64;
    println!(
        "{writers} writers: {:.0} commits/s in groups of {:.0}, {ratio:.2} x append and sync alone, {:.0}/s",
        median(&mut ours),
        all / groups_all as f64,
        median(&mut bare)
    );
    println!(
        "  the least with callers and sled: {:.0} commits/s in groups of {:.0}, {:.2} x; ours takes {share:.2} x its time",
        median(&mut leasts),
        all / least_groups as f64,
        median(&mut limits)
    );
    (ratio, share)
}

/// So many bytes at most stand in one item of sled's.
const ITEM_BYTES: usize = 4_000;

fn key(revision: u64) -> Vec<u8> {
    [&revision.to_be_bytes()[..], &[0, 0]].concat()
}

/// A group's answers, each with what it is for.
type Asked = (Vec<u8>, oneshot::Sender<u64>);

/// The least that makes callers' bytes durable by sled.
struct Least {
    tasks: mpsc::Sender<Asked>,
    thread: std::thread::JoinHandle<()>,
    groups: Arc<AtomicU64>,
}

impl Least {
    fn start(dir: &Path) -> Self {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(16 << 20)
            .mode(sled::Mode::HighThroughput)
            .use_compression(false)
            .flush_every_ms(None);
        let db = config.open().expect("sled opens");
        let file = File::open(dir.join("db")).expect("sled's file");
        let (tasks, mut asked) = mpsc::channel::<Asked>(WAITING_COMMITS_MAX);
        let groups = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&groups);
        let thread = std::thread::spawn(move || {
            let (mut revision, mut company, mut patience) = (0_u64, 0, Duration::ZERO);
            while let Some(first) = asked.blocking_recv() {
                let (mut batch, mut answers) = (sled::Batch::default(), Vec::new());
                let (mut next, mut item, mut until) = (Some(first), Vec::new(), None);
                while let Some((bytes, answer)) = next {
                    if item.len() + bytes.len() > ITEM_BYTES {
                        batch.insert(key(revision), std::mem::take(&mut item));
                    }
                    revision += 1;
                    item.extend(bytes);
                    answers.push((revision, answer));
                    next = asked.try_recv().ok();
                    while next.is_none() && answers.len() < company {
                        if Instant::now() > *until.get_or_insert_with(|| Instant::now() + patience)
                        {
                            break;
                        }
                        std::thread::yield_now();
                        next = asked.try_recv().ok();
                    }
                }
                batch.insert(key(revision), item);
                let began = Instant::now();
                db.apply_batch(batch).expect("sled takes it");
                db.flush().expect("sled flushes");
                file.sync_data().expect("it is synced");
                counted.fetch_add(1, Ordering::Relaxed);
                (company, patience) = (answers.len() + asked.len(), began.elapsed() / 8);
                for (revision, answer) in answers {
                    answer.send(revision).expect("the caller waits");
                }
            }
        });
        Self { tasks, thread, groups }
    }

    /// As [`write`].
    async fn write(&self, (writers, commits): (usize, usize)) -> f64 {
        let started = Instant::now();
        let writers = (0..writers).map(|_| {
            let tasks = self.tasks.clone();
            tokio::spawn(async move {
                for _ in 0..commits {
                    let (answer, answered) = oneshot::channel();
                    let bytes = vec![b'x'; usize::try_from(COMMIT_BYTES).expect("few bytes")];
                    tasks.try_send((bytes, answer)).expect("there is room");
                    answered.await.expect("it is answered");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("no writer panics");
        }
        started.elapsed().as_secs_f64()
    }

    fn stop(self) {
        drop(self.tasks);
        self.thread.join().expect("it ends");
    }
}

/// Every writer's commits, one after the other each; the seconds that took.
async fn write(pdp: &Pdp, turn: usize, (all, commits): (usize, usize)) -> f64 {
    let started = Instant::now();
    let writers = (0..all).map(|writer| {
        let pdp = pdp.clone();
        tokio::spawn(async move {
            for at in 0..commits {
                let text = format!("device:d{}#viewer@user:w{turn}-{all}-{writer}", at * 7);
                let tuple = Tuple::plain(TupleKey::parse(&text).expect("a well-formed tuple"));
                let written = pdp.write(vec![WriteChange::Touch(tuple)]).await;
                written.expect("the commit is durable");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("no writer panics");
    }
    started.elapsed().as_secs_f64()
}

/// Bytes of one such commit in the log, with its part of its item's key and trailer.
const COMMIT_BYTES: u64 = 50;

/// Appends as many bytes in as many groups; the seconds that took.
fn append(dir: &Path, groups: u64, commits: u64) -> f64 {
    let path = dir.join("floor");
    let mut file = File::create(&path).expect("a file");
    let bytes = (commits * COMMIT_BYTES).div_ceil(groups);
    let group = vec![b'x'; usize::try_from(bytes).expect("a small group")];
    let started = Instant::now();
    for _ in 0..groups {
        file.write_all(&group).expect("it is written");
        file.sync_data().expect("it is synced");
    }
    let seconds = started.elapsed().as_secs_f64();
    std::fs::remove_file(path).expect("it goes");
    seconds
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
