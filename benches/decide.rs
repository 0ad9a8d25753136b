//! The engine alone, at 1k, 1M and 10M tuples: with ids, and with names, most questions about few of them, each
//! beside the least program that can answer the same; deny beside allow; and with contextual tuples. No wire, no
//! store. Times are medians of turns, each beside its floor in the same run.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a benchmark prints, and ends where something fails"
)]

mod floor;
mod target;
mod world;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bailiwick::engine::{CheckedContext, Ids, Plan, Question, check, check_ids, with_contextual};
use bailiwick::index::{Builder, ObjectId, Snapshot};
use bailiwick::model::form::Model;
use bailiwick::model::tuple::{Change, Time, Tuple, TupleKey};

use floor::{Asked, Floor, PERMISSIONS};
use target::verdict;

const QUESTIONS: usize = 50_000;
const TURNS: usize = 11;

fn main() {
    let model = Arc::new(world::model());
    let plan = Plan::new(&model);
    let asked: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    for count in if asked.is_empty() { vec![1_000, 1_000_000, 10_000_000] } else { asked } {
        let mut builder = Builder::new(Arc::clone(&model));
        for tuple in world::tuples(count) {
            builder.apply(&Change::Put(tuple)).expect("the model admits it");
        }
        let snapshot = builder.build().expect("there is room");
        println!("{} tuples", snapshot.len());
        let bench = Bench { model: &model, plan: &plan, snapshot: &snapshot, count };
        let floor = Floor::of(count);
        bench.with_ids(&floor);
        bench.with_names(&floor);
        if count == 1_000_000 {
            bench.contextual();
        }
    }
}

struct Bench<'a> {
    model: &'a Model,
    plan: &'a Plan,
    snapshot: &'a Snapshot,
    count: u64,
}

impl Bench<'_> {
    fn id(&self, text: &str) -> ObjectId {
        self.snapshot.find(text).expect("some tuple names it")
    }

    /// Drawn evenly from all users and devices.
    fn asked(&self, how_many: usize) -> Vec<Asked> {
        let sizes = world::Sizes::of(self.count);
        let mut random = fastrand::Rng::with_seed(11);
        let mut one =
            || (random.u64(..sizes.users), random.usize(..3), random.u64(..sizes.devices));
        (0..how_many).map(|_| one()).collect()
    }

    /// Ids given, all names evenly: what the memory allows beside what the engine takes.
    fn with_ids(&self, floor: &Floor) {
        let asked = self.asked(QUESTIONS);
        let ids: Vec<Ids> = asked.iter().map(|asked| self.ids(asked)).collect();
        let by_floor = asked.iter().map(|asked| floor.may(*asked));
        let by_engine = ids.iter().map(|ids| Some(self.may(ids)));
        assert!(by_floor.eq(by_engine), "the floor does the same work");
        let (mut ratios, mut floors, mut engines) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let floor = each(QUESTIONS, |at| floor.may(asked[at]) == Some(true));
            let engine = each(QUESTIONS, |at| self.may(&ids[at]));
            floors.push(floor);
            engines.push(engine);
            ratios.push(engine / floor);
        }
        println!(
            "  ids given: {:.0} ns, the reads alone {:.0} ns",
            median(engines),
            median(floors)
        );
        verdict(&self.what("ids given, beside the reads alone"), median(ratios), "x", ..=1.5);
        let (allowed, denied) = self.pairs();
        let mut ratios = Vec::new();
        for _ in 0..TURNS {
            let allow = each(QUESTIONS, |at| self.may(&allowed[at % allowed.len()]));
            let deny = each(QUESTIONS, |at| self.may(&denied[at % denied.len()]));
            ratios.push(deny / allow);
        }
        verdict(&self.what("deny beside allow"), median(ratios), "x", ..=1.3);
    }

    /// As many questions that are allowed as ones that are denied, about the same devices: each device by
    /// somebody who is bound at some level above it, and by somebody who is not.
    fn pairs(&self) -> (Vec<Ids>, Vec<Ids>) {
        let sizes = world::Sizes::of(self.count);
        let mut bound: HashMap<String, Vec<u64>> = HashMap::new();
        world::each(self.count, |text| {
            let (scope, rest) = text.split_once('#').expect("a tuple");
            if let Some((role, user)) = rest.split_once("@user:u")
                && role != "member"
            {
                bound.entry(scope.to_owned()).or_default().push(user.parse().expect("a number"));
            }
        });
        let mut random = fastrand::Rng::with_seed(14);
        let (mut allowed, mut denied) = (Vec::new(), Vec::new());
        while allowed.len() < QUESTIONS || denied.len() < QUESTIONS {
            let device = random.u64(..sizes.devices);
            let line = device % sizes.lines;
            let area = line % sizes.areas;
            let site = area % sizes.sites;
            let levels = [
                format!("device:d{device}"),
                format!("line:d{line}"),
                format!("area:d{area}"),
                format!("site:d{site}"),
                format!("org:d{}", site % sizes.orgs),
            ];
            let users = bound.get(&levels[random.usize(..levels.len())]);
            let Some(user) = users.map(|users| users[random.usize(..users.len())]) else {
                continue;
            };
            allowed.push(self.ids(&(user, 0, device)));
            let stranger = self.ids(&(random.u64(..sizes.users), 0, device));
            if !self.may(&stranger) {
                denied.push(stranger);
            }
        }
        assert!(allowed.iter().all(|ids| self.may(ids)), "a binding above allows to view");
        (allowed, denied)
    }

    fn what(&self, what: &str) -> String {
        format!("{} tuples, {what}", self.snapshot.len())
    }

    fn ids(&self, (user, permission, device): &Asked) -> Ids {
        Ids {
            subject: self.id(&format!("user:u{user}")),
            permission: self.model.permission_id(PERMISSIONS[*permission]).expect("it is one"),
            scope: self.id(&format!("device:d{device}")),
        }
    }

    fn may(&self, ids: &Ids) -> bool {
        check_ids(self.snapshot, self.plan, ids, Time(0)).expect("within the limits") == Some(true)
    }

    /// From text to decision; nine of ten questions about one name in a hundred.
    fn with_names(&self, floor: &Floor) {
        let sizes = world::Sizes::of(self.count);
        let mut random = fastrand::Rng::with_seed(12);
        let mut one = |all: u64| match random.u8(..10) {
            0 => random.u64(..all),
            _ => random.u64(..(all / 100).max(1)) * 100 % all,
        };
        let asked: Vec<(String, &str, String)> = (0..QUESTIONS)
            .map(|at| {
                let (user, device) = (one(sizes.users), one(sizes.devices));
                (format!("user:u{user}"), PERMISSIONS[at % 3], format!("device:d{device}"))
            })
            .collect();
        let ask = |at: usize| {
            let (user, what, device): &(String, &str, String) = &asked[at];
            let context = CheckedContext::default();
            let question = Question::parse(self.model, user, what, device, context);
            let question = question.expect("well-formed");
            let decided = check(self.snapshot, self.plan, &question, Time(0), false);
            decided.expect("within the limits").is_allow()
        };
        let by_floor = |at: usize| {
            let (user, what, device): &(String, &str, String) = &asked[at];
            floor.may_named(user, what, device) == Some(true)
        };
        assert!((0..QUESTIONS).all(|at| by_floor(at) == ask(at)), "the floor does the same work");
        // Each question alone, less what it takes to look at the clock.
        let alone = |call: &dyn Fn(usize) -> bool| {
            median((0..QUESTIONS).map(|at| each(1, |_| call(at))).collect())
        };
        let (mut means, mut floors, mut engines) = (Vec::new(), Vec::new(), Vec::new());
        let mut ratios = Vec::new();
        for _ in 0..TURNS {
            means.push(each(QUESTIONS, ask));
            let clock = alone(&|_| true);
            let (floor, engine) = (alone(&by_floor) - clock, alone(&ask) - clock);
            floors.push(floor);
            engines.push(engine);
            ratios.push(engine / floor);
        }
        let chain = Chain::over(256 << 20);
        let (engine, floor) = (median(engines), median(floors));
        println!(
            "  with names: {engine:.0} ns, mean {:.0}; the least that can read them: {floor:.0} ns; \
             one read from memory after the other: {:.0} ns",
            median(means),
            chain.nanoseconds()
        );
        // Of a small world there is nothing to read from memory, and no target.
        if self.count < 1_000_000 {
            println!("  with names, beside the least that can read them: {:.2} x", median(ratios));
            return;
        }
        let most = if self.count > 1_000_000 { 600.0 } else { 200.0 };
        verdict(&self.what("with names, median"), engine, "ns", ..=most);
        let what = self.what("with names, beside the least that can read them");
        verdict(&what, median(ratios), "x", ..=1.2);
    }

    /// A check that brings tuples along: the user's roles and groups of this request.
    fn contextual(&self) {
        let asked = world::questions(self.count, QUESTIONS);
        let questions: Vec<Question<'_>> = asked
            .iter()
            .map(|(user, what, at)| {
                let context = CheckedContext::default();
                Question::parse(self.model, user, what, at, context).expect("well-formed")
            })
            .collect();
        for brought in [0, 1, 10, 100] {
            let calls = QUESTIONS / brought.clamp(1, 10);
            let tuples: Vec<Vec<Tuple>> = brought_along(self.count, brought, 1_000);
            let ask = |at: usize| {
                let merged;
                let seen = match brought {
                    0 => self.snapshot,
                    _ => {
                        let tuples = &tuples[at % tuples.len()];
                        merged = with_contextual(self.snapshot, tuples, Time(0))
                            .expect("the model admits them");
                        &merged
                    }
                };
                let question = &questions[at % questions.len()];
                check(seen, self.plan, question, Time(0), false)
                    .expect("within the limits")
                    .is_allow()
            };
            let times = (0..TURNS).map(|_| each(calls, ask)).collect();
            println!("  {brought:>3} contextual tuples: {:.0} ns", median(times));
        }
    }
}

/// The nanoseconds that one of so many calls takes.
fn each(calls: usize, mut call: impl FnMut(usize) -> bool) -> f64 {
    let started = Instant::now();
    for at in 0..calls {
        black_box(call(black_box(at)));
    }
    started.elapsed().as_nanos() as f64 / calls as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Reads that each depend on the one before, over more memory than any cache holds.
struct Chain {
    next: Vec<u32>,
}

impl Chain {
    fn over(bytes: usize) -> Self {
        let mut next: Vec<u32> = (0..(bytes / 4) as u32).collect();
        let mut random = fastrand::Rng::with_seed(5);
        // One circle through all of them.
        for at in (1..next.len()).rev() {
            next.swap(at, random.usize(..at));
        }
        Self { next }
    }

    fn nanoseconds(&self) -> f64 {
        let mut at = 0;
        each(1_000_000, |_| {
            at = self.next[at as usize];
            at == 0
        })
    }
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
