//! Durable commits of 64 callers at once, without a wire, beside a loop that only appends and syncs: the
//! same bytes a group, as many groups as the writer made, one `fdatasync` a group, on the same disk and by
//! turns. What the ratio lacks to one is what validating, indexing and sled cost.
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
use std::time::Instant;

use bailiwick::model::tuple::{Tuple, TupleKey};
use bailiwick::pdp::{Pdp, WriteChange, stored_files};
use bailiwick::store::sled::SledStore;
use clock::Fixed;
use target::verdict;

/// Not needed of the world here.
const _: fn(u64, usize) -> Vec<world::Question> = world::questions;

const WRITERS: usize = 64;
/// Commits of each writer in one turn.
const COMMITS: usize = 150;
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
    let (mut ratios, mut ours, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let mut groups_all = 0.0;
    for turn in 0..PAIRS {
        let before = pdp.work().groups();
        let seconds = runtime.block_on(write(&pdp, turn));
        let groups = pdp.work().groups().count - before.count;
        let commits = (WRITERS * COMMITS) as f64;
        let floor = append(dir.path(), groups, (WRITERS * COMMITS) as u64);
        groups_all += groups as f64;
        ratios.push(floor / seconds);
        ours.push(commits / seconds);
        bare.push(commits / floor);
    }
    let mean = (WRITERS * COMMITS * PAIRS) as f64 / groups_all;
    println!(
        "{WRITERS} writers: {:.0} commits/s in groups of {mean:.0}; append and sync alone {:.0}/s",
        median(&mut ours),
        median(&mut bare)
    );
    verdict("durable writes of 64 callers", median(&mut ratios), "x append+fsync", 0.7..);
    pdp.close();
}

/// Every writer's commits, one after the other each; the seconds that took.
async fn write(pdp: &Pdp, turn: usize) -> f64 {
    let started = Instant::now();
    let writers = (0..WRITERS).map(|writer| {
        let pdp = pdp.clone();
        tokio::spawn(async move {
            for at in 0..COMMITS {
                let text = format!("device:d{}#viewer@user:w{turn}-{writer}", at * 7);
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

/// Bytes of one such commit in the log, its key and its trailer included.
const COMMIT_BYTES: u64 = 80;

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
