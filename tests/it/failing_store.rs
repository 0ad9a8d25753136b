//! A store that fails at its n-th call, for every n of a scenario: nothing acknowledged is lost, nothing
//! is seen by half or before it is durable, each refusal has the right code, and a repeat with the same
//! key has one effect.
#![expect(clippy::print_stdout, reason = "a run says how many calls it went through")]

mod truth;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bailiwick::pdp::{Clock, Pdp, TupleFilter, Upkeep, WriteError, Written};
use bailiwick::store::Store;
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::sled::SledStore;

use crate::support::faulty::{Fault, FaultyStore, Plan};
use crate::support::{SetClock, files_of, model};
use truth::{Answer, Ask, By, Fate, First, Truth, answer_of, ask};

const MODEL: &str = "
model: failing
types: { user: {}, org: {} }
roles: [ { at: [org], names: [admin, viewer], bound_by: [user] } ]
permissions: { act: { at: [org], is: admin } }
";

/// The commit of 20 changes reaches it, and nothing before that.
const UPKEEP: Upkeep = Upkeep { checkpoint_changes: 21, checkpoint_share: 0, log_kept_commits: 1 };

enum Step {
    /// One request alone.
    One(Ask),
    /// The first alone; the others, which come meanwhile, are one group.
    Group(Vec<Ask>),
    /// The checkpoint is written and the log cut short, or not.
    Upkeep,
    /// The process ends and starts anew.
    Reopen,
}

fn scenario() -> Vec<Step> {
    use Step::{Group, One, Reopen, Upkeep};
    let many: Vec<String> = (0..20).map(|i| format!("=org:m#viewer@user:u{i}")).collect();
    vec![
        One(ask("k1", "+org:a#admin@user:ana +org:a#viewer@user:ana")),
        One(ask("", "=org:a#viewer@user:bob")),
        One(ask("k2", "!org:a#admin +org:a#admin@user:eve")),
        One(ask("k2", "?org:a#admin +org:a#admin@user:eve -org:a#viewer@user:ana")),
        One(ask("k1", "+org:a#admin@user:ana +org:a#viewer@user:ana")),
        Group(vec![
            ask("", "=org:b#viewer@user:bob -org:b#viewer@user:nobody"),
            // It depends on nothing that is pending: its answer is the same whatever becomes of the rest.
            ask("", "+org:b#viewer@user:bob"),
            ask("k3", "+org:c#admin@user:ana"),
            ask("k3", "+org:c#admin@user:ana"),
            ask("", "+org:c#admin@user:ana"),
            ask("k4", "?org:c#admin -org:b#viewer@user:bob +org:c#viewer@user:bob"),
            ask("", "!org:c#admin =org:c#viewer@user:eve"),
            ask("k3", "+org:c#admin@user:eve"),
            ask("k1", "+org:a#admin@user:ana +org:a#viewer@user:ana"),
            ask("", "only =org:d#admin@user:ana"),
            ask("", "-org:d#admin@user:ana"),
            ask("", "=org:d#viewer@user:ana"),
            ask("k5", "-org:d#admin@user:nobody"),
        ]),
        One(ask("k6", "only +org:e#admin@user:ana")),
        Reopen,
        One(ask("k3", "+org:c#admin@user:ana")),
        One(ask("k4", "=org:a#viewer@user:ana")),
        One(ask("k7", &many.join(" "))),
        Upkeep,
        One(ask("k10", "=org:g#viewer@user:ana")),
        Group(vec![
            ask("", "=org:g#viewer@user:eve"),
            ask("k11", "=org:g#viewer@user:bob"),
            ask("k10", "=org:g#viewer@user:ana"),
        ]),
        Reopen,
        One(ask("k7", &many.join(" "))),
        One(ask("k2", "?org:a#admin +org:a#admin@user:eve -org:a#viewer@user:ana")),
        One(ask("k8", "-org:c#admin@user:ana +org:e#admin@user:ana")),
        One(ask("", "=org:f#viewer@user:ana")),
        Reopen,
        One(ask("k3", "+org:c#admin@user:ana")),
        One(ask("k9", "!org:c#admin +org:c#admin@user:ana")),
    ]
}

type Outcome = Result<Written, WriteError>;

/// A request that was sent; its answer may have come at once.
struct Sent {
    future: Pin<Box<dyn Future<Output = Outcome>>>,
    outcome: Option<Outcome>,
}

impl Sent {
    fn new(pdp: &Pdp, ask: &Ask) -> Self {
        let (pdp, request) = (pdp.clone(), ask.request());
        let mut sent =
            Self { future: Box::pin(async move { pdp.commit(request).await }), outcome: None };
        sent.is_answered();
        sent
    }

    fn is_answered(&mut self) -> bool {
        if self.outcome.is_none()
            && let Poll::Ready(outcome) =
                self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            self.outcome = Some(outcome);
        }
        self.outcome.is_some()
    }

    fn outcome(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        self.outcome.unwrap_or_else(|| runtime.block_on(self.future))
    }
}

/// One run of the scenario.
struct Run<'a> {
    name: String,
    plan: Arc<Plan>,
    fault: Fault,
    open: &'a dyn Fn() -> Arc<dyn Store>,
    pdp: Option<Pdp>,
    truth: Truth,
    /// Whether the fault has been taken account of.
    is_seen: bool,
    /// Whether this process' writer takes no more.
    is_latched: bool,
    /// What may or may not have been committed, in order.
    doubt: Vec<Ask>,
    /// What was not answered, and may be repeated.
    unanswered: Vec<Ask>,
}

impl<'a> Run<'a> {
    fn new(
        name: String,
        plan: Arc<Plan>,
        fault: Fault,
        open: &'a dyn Fn() -> Arc<dyn Store>,
    ) -> Self {
        Self {
            name,
            plan,
            fault,
            open,
            pdp: None,
            truth: Truth::default(),
            is_seen: false,
            is_latched: false,
            doubt: Vec::new(),
            unanswered: Vec::new(),
        }
    }

    fn pdp(&self) -> &Pdp {
        self.pdp.as_ref().unwrap()
    }

    /// Whether the fault has come since the last call of this.
    fn has_struck(&mut self) -> bool {
        let has_struck = !self.is_seen && self.plan.struck().is_some();
        self.is_seen |= has_struck;
        has_struck
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Reopen => return self.reopen(),
            Step::Upkeep => {
                if !self.is_latched {
                    self.plan.wait_for_upkeep();
                }
            }
            Step::One(ask) => self.send(vec![ask], Vec::new()),
            Step::Group(mut asks) => {
                let others = asks.split_off(1);
                self.send(asks, others);
            }
        }
        self.compare();
    }

    /// Sends one request, and others while it is being made durable, so that they are one group.
    fn send(&mut self, first: Vec<Ask>, others: Vec<Ask>) {
        // Upkeep that failed has latched the store, which nobody has noticed yet.
        let is_refused = self.has_struck() && self.fault == Fault::AfterLatching;
        self.plan.hold();
        let mut sent = Sent::new(self.pdp(), &first[0]);
        while !self.plan.is_waiting() && !sent.is_answered() {
            std::thread::yield_now();
        }
        let rest: Vec<_> = others.iter().map(|ask| Sent::new(self.pdp(), ask)).collect();
        self.plan.release();
        let outcomes = vec![sent.outcome()];
        let rest: Vec<_> = rest.into_iter().map(Sent::outcome).collect();

        // Whoever is latched only tells what it knows already.
        let is_latched = self.is_latched;
        let is_unknown = |outcomes: &[Outcome]| {
            !is_latched
                && outcomes
                    .iter()
                    .any(|outcome| matches!(outcome, Err(WriteError::OutcomeUnknown(_))))
        };
        let unknown = (is_unknown(&outcomes), is_unknown(&rest));
        // What upkeep does meanwhile is seen at the next call.
        let failed = !self.is_seen && self.plan.struck() == Some("append");
        self.is_seen |= failed;
        assert_eq!(failed, unknown.0 != unknown.1, "{}", self.name);
        for (asks, outcomes, unknown) in [(first, outcomes, unknown.0), (others, rest, unknown.1)] {
            let fate = match unknown {
                true => Fate::Unknown,
                false if is_refused => Fate::Unwritten,
                false => Fate::Durable,
            };
            self.judge(&asks, &outcomes, fate);
        }
    }

    /// Holds each answer of a group against what it must be.
    fn judge(&mut self, asks: &[Ask], outcomes: &[Outcome], fate: Fate) {
        let answers: Vec<Answer> = outcomes.iter().map(answer_of).collect();
        let base = self.truth.head;
        let mut pending = self.truth.clone();
        for (ask, answer) in asks.iter().zip(&answers) {
            let (judged, by) = pending.judge(ask);
            let lost = if fate == Fate::Unknown { "unknown" } else { "unavailable" };
            let expected = match by {
                // What is durable is told as ever, and what is in doubt as such.
                By::Repeat(_) if self.is_latched => judged,
                By::Nothing if self.is_latched && judged == Err("reused") => judged,
                _ if self.is_latched && self.is_in_doubt(ask.key) => Err("unknown"),
                _ if self.is_latched => Err("unavailable"),
                _ if fate == Fate::Durable => judged,
                By::Own => Err(lost),
                By::Repeat(revision) if revision > base => Err(lost),
                By::Nothing if pending.head > base => Err("unavailable"),
                By::Repeat(_) | By::Nothing => judged,
            };
            assert_eq!(*answer, expected, "{}: {ask:?} of {asks:?}: {answers:?}", self.name);
            if by == By::Own && !self.is_latched {
                pending.apply(ask, judged.unwrap());
                if fate == Fate::Unknown {
                    self.doubt.push(ask.clone());
                }
            }
            if matches!(answer, Err("unknown" | "unavailable")) {
                self.unanswered.push(ask.clone());
            }
        }
        let has_commits = pending.head > base;
        if fate == Fate::Durable {
            self.truth = pending;
        }
        self.is_latched |= fate != Fate::Durable && has_commits;
        for (ask, outcome) in asks.iter().zip(outcomes) {
            let (Ok(written), Some(first)) = (outcome, self.truth.keys.get_mut(ask.key)) else {
                continue;
            };
            let known = first.token.get_or_insert_with(|| written.token.clone());
            assert_eq!(*known, written.token, "{}: {ask:?}: another token", self.name);
        }
    }

    fn is_in_doubt(&self, key: &str) -> bool {
        !key.is_empty() && self.doubt.iter().any(|ask| ask.key == key)
    }

    /// Every read sees what was acknowledged, and nothing else.
    fn compare(&self) {
        let reading = self.pdp().read();
        assert_eq!(reading.token().revision.0, self.truth.head, "{}", self.name);
        let tuples = reading.tuples(&TupleFilter::default()).unwrap().flatten();
        let tuples: BTreeSet<String> = tuples.map(|tuple| tuple.key.to_string()).collect();
        assert_eq!(tuples, self.truth.tuples, "{}", self.name);
    }

    /// Ends the process and starts it anew, which may fail once.
    fn reopen(&mut self) {
        if let Some(pdp) = self.pdp.take() {
            pdp.close();
        }
        let _upkeep = self.has_struck();
        let open = || {
            let store = Arc::new(FaultyStore::new((self.open)(), Arc::clone(&self.plan)));
            let (model, clock) = (model(MODEL), Arc::new(SetClock::default()));
            let files = files_of(&model);
            Pdp::open_with(store, model, files, clock as Arc<dyn Clock>, UPKEEP)
        };
        let mut opened = open();
        if opened.is_err() && self.plan.struck().is_some() && !self.is_seen {
            opened = open();
        }
        self.pdp = Some(opened.unwrap_or_else(|error| panic!("{}: {error}", self.name)));
        let _opening = self.has_struck();
        self.is_latched = false;
        self.settle();
        self.compare();
        self.repeat();
        self.compare();
    }

    /// What was in doubt is there as far as the fault let it: whole commits, in order.
    fn settle(&mut self) {
        let there = match self.fault {
            Fault::Before => 0,
            Fault::Halfway => self.doubt.len() / 2,
            Fault::After | Fault::AfterLatching => self.doubt.len(),
        };
        // The model's own commit is the first.
        self.truth.head = self.truth.head.max(1);
        for ask in std::mem::take(&mut self.doubt).iter().take(there) {
            let (answer, by) = self.truth.judge(ask);
            assert_eq!(by, By::Own, "{}: {ask:?}", self.name);
            self.truth.apply(ask, answer.unwrap());
        }
    }

    /// Everybody who has a key asks again, whether answered or not: one effect, and always one answer.
    fn repeat(&mut self) {
        for ask in std::mem::take(&mut self.unanswered) {
            if !ask.key.is_empty() && !ask.is_validated_only() {
                self.send(vec![ask], Vec::new());
            }
        }
        for (key, First { words, .. }) in self.truth.keys.clone() {
            self.send(vec![Ask { key, words }], Vec::new());
        }
    }
}

/// Runs the scenario with a fault at call 1, 2, and so on, until it ends without one.
fn exhaust(
    name: &str,
    fault: Fault,
    counts_items: bool,
    fresh: &dyn Fn() -> Opener,
) -> BTreeSet<&'static str> {
    let mut struck = BTreeSet::new();
    for n in 1.. {
        let plan = Plan::new(n, fault, counts_items);
        let open = fresh();
        let name = format!("{name}, {fault:?}, call {n}");
        let mut run = Run::new(name, Arc::clone(&plan), fault, &*open);
        run.reopen();
        for step in scenario() {
            run.step(step);
        }
        run.reopen();
        if let Some(pdp) = run.pdp.take() {
            pdp.close();
        }
        match plan.struck() {
            Some(call) => struck.insert(call),
            None => {
                println!("{fault:?}: {} calls, {struck:?}", n - 1);
                break;
            }
        };
    }
    struck
}

type Opener = Box<dyn Fn() -> Arc<dyn Store>>;

#[test]
fn a_store_in_memory_may_fail_at_any_call() {
    for fault in [Fault::Before, Fault::Halfway, Fault::After, Fault::AfterLatching] {
        let struck = exhaust("memory", fault, true, &|| {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            Box::new(move || Arc::clone(&store))
        });
        let calls = [
            "a commit read",
            "an entry read",
            "append",
            "checkpoint",
            "read",
            "truncate",
            "write_checkpoint",
        ];
        assert!(struck.into_iter().eq(calls), "a call of the store was never struck");
    }
}

#[test]
fn a_store_on_disk_may_fail_at_any_call() {
    // Each call is some syncs here, so the faults that the others include are left out.
    for fault in [Fault::Before, Fault::Halfway, Fault::AfterLatching] {
        let struck = exhaust("sled", fault, false, &|| {
            let dir = tempfile::tempdir().unwrap();
            Box::new(move || Arc::new(SledStore::open_or_create(dir.path()).unwrap()))
        });
        assert_eq!(struck.len(), 5, "a call of the store was never struck: {struck:?}");
    }
}
