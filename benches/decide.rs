//! The engine alone: nanoseconds a check, at 1k and 1M tuples, for allow and for deny. No wire, no
//! store; names are given as a caller gives them, already parsed.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod world;

use std::sync::Arc;
use std::time::Instant;

use bailiwick::engine::{CheckedContext, Plan, Question, check};
use bailiwick::index::Snapshot;
use bailiwick::model::tuple::{Change, Time};

const QUESTIONS: usize = 20_000;
const ROUNDS: usize = 5;

fn main() {
    println!("engine, ns per check (median of {ROUNDS} rounds of {QUESTIONS} questions)");
    for tuples in [1_000, 1_000_000] {
        measure(tuples);
    }
}

fn measure(count: u64) {
    let model = Arc::new(world::model());
    let plan = Plan::new(&model);
    let mut snapshot = Snapshot::empty(Arc::clone(&model));
    for tuple in world::tuples(count) {
        snapshot.apply(&Change::Put(tuple)).expect("the model admits it");
    }
    let ask = |question: &Question| {
        check(&snapshot, &plan, question, Time(0), false).expect("within the limits").is_allow()
    };
    let questions = world::questions(count, QUESTIONS * 20).into_iter().map(|(user, what, at)| {
        Question::parse(&model, &user, what, &at, CheckedContext::default()).expect("well-formed")
    });
    let (mut allowed, mut denied): (Vec<_>, Vec<_>) = questions.partition(ask);
    for (label, questions) in [("allow", &mut allowed), ("deny", &mut denied)] {
        let distinct = questions.len();
        let mut rounds: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let started = Instant::now();
                for question in questions.iter().cycle().take(QUESTIONS) {
                    std::hint::black_box(ask(std::hint::black_box(question)));
                }
                started.elapsed().as_nanos() as f64 / QUESTIONS as f64
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        println!(
            "{:>9} tuples  {label:<5}  {:>8.0} ns   ({distinct} distinct questions)",
            snapshot.len(),
            rounds[ROUNDS / 2]
        );
    }
}
