//! Ten fixed operations, each run once under callgrind. What is set up before, and asked once to prove that
//! the answer is the expected one, is not counted; nor is what is freed after.
//!
//! Hash tables draw their keys anew in every process, so where a question looks names up, several of
//! the same kind are asked: how often two names collide then evens out.

mod answer;
mod asked;
mod grown;
#[path = "../../../world/mod.rs"]
mod world;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use bailiwick::engine::SubjectList;
use bailiwick::index::{Builder, Snapshot};
use bailiwick::model::form::Model;
use bailiwick::model::tuple::{Change, Time};
use bailiwick::model::{SourceFiles, load};
use gungraun::Callgrind;
use gungraun::prelude::*;

use answer::{Asked, Listed};

// From text to decision, so many times as there are questions.
#[library_benchmark]
#[bench::allow_here(asked::allowed_here())]
#[bench::allow_four_levels_above_through_a_group(asked::allowed_above())]
#[bench::deny(asked::denied())]
#[bench::deny_by_a_gate(asked::denied_by_a_gate())]
#[bench::allow_under_a_condition(asked::allowed_under_a_condition())]
#[bench::with_ten_contextual_tuples(asked::with_contextual_tuples())]
fn check(asked: &'static Asked) -> usize {
    asked.allowed()
}

// To the end, from a question that was read.
#[library_benchmark]
#[bench::a_thousand(asked::listed())]
fn list_subjects(listed: Listed) -> (usize, SubjectList) {
    listed.consumed()
}

// What the writer does to the pending snapshot for one commit, but for its checks.
#[library_benchmark]
#[bench::a_hundred_tuples(grown::hundred_changes())]
fn apply(begun: (Snapshot, &'static [Change])) -> Snapshot {
    let (mut snapshot, changes) = begun;
    for change in changes {
        snapshot.apply(black_box(change)).expect("there is room");
    }
    snapshot
}

// A frozen base from changes in the order of a log.
#[library_benchmark]
#[bench::ten_thousand_tuples(grown::ten_thousand_changes())]
fn build(begun: (Arc<Model>, &'static [Change])) -> Snapshot {
    let (model, changes) = begun;
    let mut builder = Builder::new(model);
    for change in changes {
        builder.apply(black_box(change)).expect("there is room");
    }
    builder.build().expect("there is room")
}

// From the files' text to the compiled model. YAML is parsed on a thread of its own, which counts too: what
// is set up before begins none.
#[library_benchmark]
#[bench::chargeplatform(args = (grown::chargeplatform()), config = with_threads())]
fn load_model(files: &'static SourceFiles) -> Model {
    load(black_box(files), &BTreeMap::new()).expect("the model loads")
}

library_benchmark_group!(name = ten, benchmarks = [check, list_subjects, apply, build, load_model]);

/// Counts also all that the threads do that are begun; where the standard library begins them.
fn with_threads() -> LibraryBenchmarkConfig {
    let args = ["--cache-sim=no", "--toggle-collect=*::Thread>::new::thread_start"];
    LibraryBenchmarkConfig::default().tool(Callgrind::with_args(args)).clone()
}

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = ten
);

/// All operations stand at one moment, which no tuple of theirs expires before.
const NOW: Time = Time(0);
