//! The engine alone: nanoseconds a check, at 1k and 1M tuples, for allow and for deny, and with
//! contextual tuples. No wire, no store; names are given as a caller gives them, already parsed.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod world;

use std::sync::Arc;
use std::time::Instant;

use bailiwick::engine::{CheckedContext, Plan, Question, check, with_contextual};
use bailiwick::index::{Builder, Snapshot};
use bailiwick::model::tuple::{Change, Time, Tuple, TupleKey};

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
    let mut builder = Builder::new(Arc::clone(&model));
    for tuple in world::tuples(count) {
        builder.apply(&Change::Put(tuple)).expect("the model admits it");
    }
    let snapshot = builder.build().expect("there is room");
    let ask = |question: &Question| {
        check(&snapshot, &plan, question, Time(0), false).expect("within the limits").is_allow()
    };
    let questions = world::questions(count, QUESTIONS * 20).into_iter().map(|(user, what, at)| {
        Question::parse(&model, &user, what, &at, CheckedContext::default()).expect("well-formed")
    });
    let (allowed, denied): (Vec<_>, Vec<_>) = questions.partition(ask);
    let tuples = snapshot.len();
    for (label, questions) in [("allow", &allowed), ("deny", &denied)] {
        let distinct = questions.len();
        let time = median(QUESTIONS, |round| ask(&questions[round % distinct]));
        println!(
            "{tuples:>9} tuples  {label:<5}  {time:>8.0} ns   ({distinct} distinct questions)"
        );
    }
    contextual(&plan, &snapshot, &denied, count);
}

/// A check that brings tuples along: the user's roles and groups of this request.
fn contextual(plan: &Plan, snapshot: &Snapshot, questions: &[Question], count: u64) {
    for brought in [0, 1, 10, 100] {
        let asked = QUESTIONS / brought.clamp(1, 10);
        let tuples: Vec<Vec<Tuple>> = brought_along(count, brought, 1_000);
        let time = median(asked, |round| {
            let merged;
            let seen = match brought {
                0 => snapshot,
                _ => {
                    merged = with_contextual(snapshot, &tuples[round % tuples.len()], Time(0))
                        .expect("the model admits them");
                    &merged
                }
            };
            let question = &questions[round % questions.len()];
            check(seen, plan, question, Time(0), false).expect("within the limits").is_allow()
        });
        println!(
            "{:>9} tuples  deny, {brought:>3} contextual tuples  {time:>8.0} ns",
            snapshot.len()
        );
    }
}

/// The median, over the rounds, of the nanoseconds that one of so many calls takes.
fn median(calls: usize, mut call: impl FnMut(usize) -> bool) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for at in 0..calls {
                std::hint::black_box(call(std::hint::black_box(at)));
            }
            started.elapsed().as_nanos() as f64 / calls as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

/// So many requests' contextual tuples: memberships of known and new users, roles, and a parent of a
/// device that nothing stored names.
fn brought_along(count: u64, each: usize, requests: usize) -> Vec<Vec<Tuple>> {
    let sizes = world::Sizes::of(count);
    let mut random = fastrand::Rng::with_seed(13);
    let mut one = |at: usize| {
        let user = random.u64(..sizes.users);
        let text = match at % 4 {
            0 => format!("device:d{}#viewer@user:u{user}", random.u64(..sizes.devices)),
            1 => format!("group:g{}#member@user:new{user}", random.u64(..sizes.groups)),
            2 => format!("device:new{at}#parent@line:d{}", random.u64(..sizes.lines)),
            _ => format!("line:d{}#admin@user:u{user}", random.u64(..sizes.lines)),
        };
        Tuple::plain(TupleKey::parse(&text).expect("a well-formed tuple"))
    };
    (0..requests)
        .map(|_| {
            let mut made: Vec<Tuple> = (0..each).map(&mut one).collect();
            made.sort_by(|a, b| a.key.cmp(&b.key));
            made.dedup_by(|a, b| a.key == b.key);
            made
        })
        .collect()
}
