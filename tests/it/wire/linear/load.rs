//! The run: callers on several connections write and read the same few tuples, and note when each call
//! began and ended and what came back.
#![expect(clippy::print_stdout, reason = "a run says its seed and what it counted")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bailiwick::api::pb::v1 as pb;
use bailiwick::server::SystemClock;
use bailiwick::store::sled::SledStore;
use bailiwick::store::{Store, StoreError};
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::tuple_service_client::TupleServiceClient;
use tonic::Status;
use tonic::transport::Channel;

use super::history::{Answer, Ask, Call, Change, MEMBERS, Register};
use super::{revisions, search};
use crate::support::service::{Service, refusal};
use crate::support::store::HookedStore;
use crate::wire::client;

const CONNECTIONS: usize = 4;
const CALLERS: usize = 12;
/// Of each caller, unless `BAILIWICK_CALLS` asks for more.
const CALLS: u64 = 250;
const GROUPS: usize = 4;

/// What all callers share.
#[derive(Default)]
struct Shared {
    /// The one clock: each beginning and each end is a moment of its own.
    clock: AtomicU64,
    /// The newest token that anybody has seen.
    token: Mutex<(u64, String)>,
    /// Reads at a token that were answered, and that this version does not serve.
    served: AtomicUsize,
}

impl Shared {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn saw(&self, revision: u64, token: &str) {
        let mut newest = self.token.lock().unwrap();
        if revision > newest.0 {
            *newest = (revision, token.to_owned());
        }
    }
}

struct Caller {
    questions: AuthorizationServiceClient<Channel>,
    tuples: TupleServiceClient<Channel>,
    shared: Arc<Shared>,
    random: fastrand::Rng,
    /// Tokens that this caller has seen, for reads of what was.
    tokens: Vec<String>,
    history: Vec<Call>,
}

/// What a read came to: revision, token, who is there.
type Seen = (u64, String, Vec<Register>);

fn text((group, member): Register) -> String {
    format!("doc:d{member}#viewer@user:u{group}")
}

fn register(scope: &str, subject: &str) -> Register {
    let group = subject.strip_prefix("user:u").unwrap().parse().unwrap();
    (group, scope.strip_prefix("doc:d").unwrap().parse().unwrap())
}

fn all_registers() -> Vec<Register> {
    (0..GROUPS).flat_map(|group| (0..MEMBERS).map(move |member| (group, member))).collect()
}

impl Caller {
    fn some_register(&mut self) -> Register {
        (self.random.usize(..GROUPS), self.random.usize(..MEMBERS))
    }

    /// One to three registers, mostly of one group.
    fn some_registers(&mut self) -> Vec<Register> {
        let (group, _) = self.some_register();
        let mut chosen = Vec::new();
        for _ in 0..self.random.usize(1..=3) {
            let (elsewhere, member) = self.some_register();
            let group = if self.random.u8(..10) == 0 { elsewhere } else { group };
            if !chosen.contains(&(group, member)) {
                chosen.push((group, member));
            }
        }
        chosen
    }

    async fn write(&mut self) {
        let change = |random: &mut fastrand::Rng| match random.u8(..10) {
            0..4 => Change::Create,
            4..6 => Change::Touch,
            _ => Change::Delete,
        };
        let chosen = self.some_registers();
        let changes: Vec<_> = chosen.into_iter().map(|r| (r, change(&mut self.random))).collect();
        let on_wire = changes.iter().map(|(register, change)| {
            let operation = match change {
                Change::Create => pb::Operation::Create,
                Change::Touch => pb::Operation::Touch,
                Change::Delete => pb::Operation::Delete,
            };
            client::change(operation, client::tuple(&text(*register)))
        });
        let request = pb::WriteTuplesRequest { changes: on_wire.collect(), ..Default::default() };
        let begun = self.shared.now();
        let outcome = self.tuples.write_tuples(request).await;
        let ended = self.shared.now();
        let answer = match outcome.map(tonic::Response::into_inner) {
            Ok(pb::WriteTuplesResponse { revision, token, changed }) => {
                self.shared.saw(revision, &token);
                self.tokens.push(token);
                Answer::Written { revision, changed }
            }
            Err(status) => match refusal(&status).1.as_str() {
                "TUPLE_EXISTS" => Answer::Exists,
                "OUTCOME_UNKNOWN" => Answer::Unknown,
                "STORE_UNAVAILABLE" => Answer::NotDone,
                _ => panic!("a write: {status:?}"),
            },
        };
        self.history.push(Call { begun, ended, ask: Ask::Write(changes), answer });
    }

    /// Reads by one of the ways there are, as fresh as some choice says.
    async fn read(&mut self) {
        use pb::consistency::Requirement;
        let (asked, way) = self.some_read();
        let requirement = match self.random.u8(..10) {
            0..6 => None,
            6..9 => {
                let (_, token) = self.shared.token.lock().unwrap().clone();
                (!token.is_empty()).then_some(Requirement::AtLeast(token))
            }
            _ => {
                let recent = self.tokens.len().saturating_sub(20)..self.tokens.len();
                let at = (!recent.is_empty()).then(|| self.random.usize(recent));
                at.map(|at| Requirement::Exactly(self.tokens[at].clone()))
            }
        };
        let is_old = matches!(requirement, Some(Requirement::Exactly(_)));
        let has_token = requirement.is_some();
        let consistency = requirement.map(|r| pb::Consistency { requirement: Some(r) });
        let begun = self.shared.now();
        let outcome = self.ask(way, &asked, consistency).await;
        let ask = if is_old { Ask::ReadOld(asked) } else { Ask::Read(asked) };
        if has_token {
            match &outcome {
                Ok(_) => self.shared.served.fetch_add(1, Ordering::Relaxed),
                Err(status) if refusal(status).1 == "REVISION_EXPIRED" => return,
                Err(status) => panic!("a read at a token: {status:?}"),
            };
        }
        let ended = self.shared.now();
        let (revision, token, there) =
            outcome.unwrap_or_else(|status| panic!("a read: {status:?}"));
        self.shared.saw(revision, &token);
        self.tokens.push(token);
        self.history.push(Call { begun, ended, ask, answer: Answer::Seen { revision, there } });
    }

    fn some_read(&mut self) -> (Vec<Register>, Way) {
        let (group, member) = self.some_register();
        match self.random.u8(..10) {
            0..3 => (vec![(group, member)], Way::Check),
            3..5 => ((0..MEMBERS).map(|member| (group, member)).collect(), Way::Batch),
            5..7 => ((0..MEMBERS).map(|member| (group, member)).collect(), Way::TuplesOf(group)),
            7..8 => (self.some_registers(), Way::Batch),
            8..9 => ((0..GROUPS).map(|group| (group, member)).collect(), Way::Subjects(member)),
            _ => (all_registers(), Way::AllTuples),
        }
    }

    async fn ask(
        &mut self,
        way: Way,
        asked: &[Register],
        consistency: Option<pb::Consistency>,
    ) -> Result<Seen, Status> {
        let question = |(group, member): Register| {
            client::ask(&format!("user:u{group} doc.view doc:d{member}"))
        };
        match way {
            Way::Check => {
                let request = pb::CheckRequest { consistency, ..question(asked[0]) };
                let answer = self.questions.check(request).await?.into_inner();
                let there = answer.decision() == pb::Decision::Allow;
                Ok((answer.revision, answer.token, if there { asked.to_vec() } else { vec![] }))
            }
            Way::Batch => {
                let item = |register: &Register| {
                    let pb::CheckRequest { subject, permission, scope, .. } = question(*register);
                    pb::BatchCheckItem { subject, permission, scope, ..Default::default() }
                };
                let items = asked.iter().map(item).collect();
                let request = pb::BatchCheckRequest { items, consistency, ..Default::default() };
                let answer = self.questions.batch_check(request).await?.into_inner();
                let allowed = |result: &pb::BatchCheckResult| match &result.result {
                    Some(pb::batch_check_result::Result::Decision(decision)) => {
                        decision.decision() == pb::Decision::Allow
                    }
                    other => panic!("{other:?}"),
                };
                let answers = asked.iter().zip(&answer.results);
                let there = answers.filter(|(_, result)| allowed(result)).map(|(r, _)| *r);
                let there = there.collect();
                Ok((answer.revision, answer.token, there))
            }
            Way::TuplesOf(group) => self.tuples(format!("user:u{group}"), consistency).await,
            Way::AllTuples => self.tuples(String::new(), consistency).await,
            Way::Subjects(member) => self.subjects(member, consistency).await,
        }
    }

    async fn tuples(
        &mut self,
        subject: String,
        consistency: Option<pb::Consistency>,
    ) -> Result<Seen, Status> {
        use pb::read_tuples_response::Part;
        let filter = pb::TupleFilter { role: "viewer".into(), subject, ..Default::default() };
        let filter = Some(filter);
        let request = pb::ReadTuplesRequest { filter, consistency, ..Default::default() };
        let mut parts = self.tuples.read_tuples(request).await?.into_inner();
        let mut there = Vec::new();
        while let Some(part) = parts.message().await? {
            match part.part.unwrap() {
                Part::Tuple(entry) => {
                    let tuple = entry.tuple.unwrap();
                    there.push(register(&tuple.scope, &tuple.subject));
                }
                Part::Complete(end) => {
                    assert_eq!(end.count, there.len() as u64);
                    return Ok((end.revision, end.token, there));
                }
            }
        }
        panic!("a list without an end");
    }

    async fn subjects(
        &mut self,
        member: usize,
        consistency: Option<pb::Consistency>,
    ) -> Result<Seen, Status> {
        use pb::list_subjects_response::Part;
        let scope = format!("doc:d{member}");
        let request = client::list("doc.view", &scope, "user");
        let request = pb::ListSubjectsRequest { consistency, ..request };
        let mut parts = self.questions.list_subjects(request).await?.into_inner();
        let mut there = Vec::new();
        while let Some(part) = parts.message().await? {
            match part.part.unwrap() {
                Part::Subject(entry) => there.push(register(&scope, &entry.subject)),
                Part::Complete(end) => return Ok((end.revision, end.token, there)),
            }
        }
        panic!("a list without an end");
    }

    async fn run(mut self, calls: u64) -> Vec<Call> {
        for _ in 0..calls {
            // Half of the writes are looked at as soon as they are answered.
            match self.random.u8(..10) {
                0..4 => self.read().await,
                4..7 => self.write().await,
                _ => {
                    self.write().await;
                    self.read().await;
                }
            }
        }
        self.history
    }
}

/// How a read is made.
#[derive(Debug, Clone, Copy)]
enum Way {
    Check,
    Batch,
    TuplesOf(usize),
    AllTuples,
    Subjects(usize),
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn seed() -> u64 {
    let seed = number("BAILIWICK_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("BAILIWICK_SEED={seed}");
    seed
}

/// Every caller's calls against this store.
async fn run(store: Arc<dyn Store>, seed: u64, calls: u64) -> (Vec<Call>, Arc<Shared>) {
    let service = Service::start_on(store, Arc::new(SystemClock)).await;
    let shared = Arc::new(Shared::default());
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(service.channel().await);
    }
    let mut tasks = Vec::new();
    for at in 0..CALLERS {
        let channel = &channels[at % CONNECTIONS];
        let caller = Caller {
            questions: AuthorizationServiceClient::new(channel.clone()),
            tuples: TupleServiceClient::new(channel.clone()),
            shared: Arc::clone(&shared),
            random: fastrand::Rng::with_seed(seed.wrapping_add(at as u64)),
            tokens: Vec::new(),
            history: Vec::new(),
        };
        tasks.push(tokio::spawn(caller.run(calls)));
    }
    let mut history = Vec::new();
    for task in tasks {
        history.extend(task.await.unwrap());
    }
    service.stop().await.unwrap();
    history.sort_by_key(|call| call.begun);
    (history, shared)
}

/// Says what a run did, and asserts that it was one in which mistakes would show.
fn assert_busy(history: &[Call], wanted: &[&str]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for call in history {
        let kind = match (&call.ask, &call.answer) {
            (_, Answer::Written { changed: 0, .. }) => "written, nothing changed",
            (_, Answer::Written { .. }) => "written",
            (_, Answer::Exists) => "exists",
            (_, Answer::NotDone) => "not done",
            (_, Answer::Unknown) => "unknown",
            (Ask::ReadOld(_), _) => "read of old",
            (_, Answer::Seen { there, .. }) if there.is_empty() => "read, none there",
            (_, Answer::Seen { .. }) => "read, some there",
        };
        *counts.entry(kind).or_default() += 1;
    }
    // Begun before the call before it had ended.
    let overlaps = history.windows(2).filter(|pair| pair[1].begun < pair[0].ended).count();
    println!("{} calls, {overlaps} begun while another was under way: {counts:?}", history.len());
    for kind in wanted {
        assert!(counts.get(kind).is_some_and(|count| *count > 10), "too few: {kind}");
    }
    assert!(overlaps > history.len() / 4, "hardly anything was at the same time");
}

/// Both checkers have their say.
#[track_caller]
fn judge(history: &[Call], seed: u64) {
    let (revisions, search) = (revisions::check(history, 1), search::check(history, GROUPS));
    let wrong: Vec<String> = [revisions, search].into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "BAILIWICK_SEED={seed}\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_callers_see_has_one_order_and_it_is_that_of_the_revisions() {
    let seed = seed();
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open_or_create(dir.path()).unwrap());
    let calls = number("BAILIWICK_CALLS").unwrap_or(CALLS);
    let (history, shared) = run(store, seed, calls).await;
    let served = shared.served.load(Ordering::Relaxed);
    println!("{served} reads at a token");
    assert!(served > history.len() / 10);
    let kinds =
        ["written", "written, nothing changed", "exists", "read, none there", "read, some there"];
    assert_busy(&history, &kinds);
    judge(&history, seed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_sync_failed_is_never_half_seen() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    // The groups of one run are few; the failure must come while there is more to do.
    let (left, failed) =
        (AtomicUsize::new(random.usize(20..150)), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&failed);
    let store = HookedStore::new(move || {
        if left.fetch_sub(1, Ordering::SeqCst) > 1 {
            return Ok(());
        }
        told.store(true, Ordering::SeqCst);
        let source = Arc::new(std::io::Error::other("no more disk"));
        Err(StoreError::Io { doing: "sync".into(), source })
    });
    let (history, _) = run(Arc::new(store), seed, 100).await;
    assert!(failed.load(Ordering::SeqCst), "BAILIWICK_SEED={seed}: the store did not fail");
    assert_busy(&history, &["written", "not done", "read, some there"]);
    let unknown = history.iter().filter(|call| call.answer == Answer::Unknown).count();
    assert!(unknown > 0, "BAILIWICK_SEED={seed}: no outcome was unknown");
    // Pending is dropped: of what is unknown, nothing was seen in this life of the process, and the
    // revisions go on without it.
    judge(&history, seed);
}
