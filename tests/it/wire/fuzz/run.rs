//! The run: the built service in a process of its own, callers on several connections, and a few
//! questions whose answers nothing of it may change.
#![expect(clippy::print_stdout, reason = "a run says its seed and what it counted")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bailiwick::api::pb::v1 as pb;
use prost::Message;
use tonic::Code;
use tonic::codegen::Bytes;

use super::judge::{Judge, Tally};
use super::messages::{Kept, Maker, Wildness};
use super::words::{Theme, Words};
use crate::support::process::{Process, Started, repository, serve};
use crate::wire::raw::{Answer, Connection, framed};
use crate::wire::schema::{Method, Schema};

/// Requests of a run, unless `BAILIWICK_REQUESTS` asks for more: half of them for each model.
const REQUESTS: u64 = 100_000;
const MODELS: [&str; 2] = ["models/virta", "tests/models/everything"];
const CONNECTIONS: u64 = 4;
/// Calls under way at once on each connection.
const WORKERS: u64 = 12;

const CHECK: &str = "/bailiwick.v1.AuthorizationService/Check";
const READ_TUPLES: &str = "/bailiwick.v1.TupleService/ReadTuples";
const WRITE_TUPLES: &str = "/bailiwick.v1.TupleService/WriteTuples";

/// A service under fire.
struct Target {
    schema: &'static Schema,
    words: Words,
    kept: Arc<Kept>,
    address: SocketAddr,
    left: AtomicU64,
    failure: Mutex<Option<String>>,
}

/// A request as it goes out, to be shown if its answer is wrong.
struct Request {
    method: Method,
    headers: Vec<(&'static str, String)>,
    message: Vec<u8>,
    /// The message in its frame, or what became of it.
    body: Bytes,
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.body[..self.body.len().min(1_000)];
        let hex: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        write!(f, "{} {:?} {} bytes {hex}", self.method.path, self.headers, self.body.len())
    }
}

/// The methods that end by themselves; those that decide and write many times, as most requests are for
/// them.
fn methods(schema: &Schema) -> Vec<Method> {
    let ends = schema.methods().iter().filter(|method| !method.path.ends_with("/Watch"));
    let mut all: Vec<Method> = ends.cloned().collect();
    for (name, times) in [
        ("Check", 50),
        ("WriteTuples", 20),
        ("BatchCheck", 14),
        ("ListSubjects", 3),
        ("ListRoles", 3),
        ("ReadTuples", 2),
    ] {
        let wanted = format!("/{name}");
        let own = schema.own_methods().find(|method| method.path.ends_with(&wanted)).unwrap();
        all.extend(std::iter::repeat_n(own.clone(), times));
    }
    all
}

impl Maker<'_> {
    fn request(&mut self, methods: &[Method]) -> Request {
        let mut method = methods[self.random.usize(..methods.len())].clone();
        let mut headers = Vec::new();
        let kind = self.random.u8(..100);
        let wildness = match kind {
            0..60 => Wildness::Sound,
            60..80 => Wildness::Slips,
            _ => Wildness::Wild,
        };
        let (mut message, waits) = self.message(&method.input, wildness);
        if waits {
            headers.push(("grpc-timeout", "100m".to_owned()));
        }
        if kind >= 88 {
            message = self.spoiled(message);
        } else if let Some((list, from)) = self.one_in(50).then(|| self.resumed()).flatten() {
            (method, message) = (list, from);
        }
        let mut body = framed(&message);
        if kind >= 96 {
            match self.random.u8(..8) {
                0 => method.path = format!("{}x", method.path),
                1 => headers.push(("grpc-encoding", "gzip".to_owned())),
                2 => body = self.spoiled(body.to_vec()).into(),
                3 => body = Bytes::new(),
                4 => headers
                    .push(("traceparent", self.words.slip("00-0af7-b7ad-01", &mut self.random))),
                5 => headers.push(("x-bin", "!not base64!".to_owned())),
                6 => headers.push(("content-type", "application/json".to_owned())),
                _ => headers.push(("user-agent", "u".repeat(self.random.usize(..4_000)))),
            }
        }
        if !waits && self.one_in(60) {
            let timeouts = ["1n", "200u", "5m", "1S", "0S", "99999999H", "soon", "-1S"];
            headers
                .push(("grpc-timeout", timeouts[self.random.usize(..timeouts.len())].to_owned()));
        }
        Request { method, headers, message, body }
    }
}

impl Target {
    async fn work(&self, connection: Connection, judge: &Judge, seed: u64) {
        let methods = methods(self.schema);
        let random = fastrand::Rng::with_seed(seed);
        let (words, kept) = (&self.words, &*self.kept);
        let mut maker = Maker { schema: self.schema, words, kept, random, waits: false };
        let take = |left: u64| left.checked_sub(1);
        while self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            let request = maker.request(&methods);
            if let Err(what) = Self::ask(&connection, judge, &request, &mut maker).await {
                let what = format!("{what}\n{request}");
                self.failure.lock().unwrap().get_or_insert(what);
                self.left.store(0, Ordering::Relaxed);
            }
        }
    }

    async fn ask(
        connection: &Connection,
        judge: &Judge,
        request: &Request,
        maker: &mut Maker<'_>,
    ) -> Result<(), String> {
        let headers: Vec<_> =
            request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let path = &request.method.path;
        let answering = connection.call(path, &headers, request.body.clone());
        if maker.one_in(100) {
            // Walks away: at once, or after a little while.
            let mut answering = std::pin::pin!(answering);
            for _ in 0..maker.random.usize(1..4) {
                tokio::select! {
                    biased;
                    _ = &mut answering => break,
                    () = tokio::task::yield_now() => {}
                }
            }
            judge.count(path, "walked away");
            return Ok(());
        }
        let answer: Answer = answering.await.map_err(|error| format!("HTTP/2: {error}"))?;
        let deadline = request.headers.iter().any(|(name, _)| *name == "grpc-timeout");
        judge.answer(&request.method, &request.message, &answer, deadline)
    }
}

/// Tuples and questions that the callers' requests never touch, as their ids begin with `keep`.
struct Fixed {
    questions: Vec<Vec<u8>>,
    answers: Vec<Vec<u8>>,
}

fn question(theme: &Theme) -> Vec<u8> {
    let of = |field: &str| theme[field].clone();
    let request = pb::CheckRequest {
        subject: of("subject"),
        permission: of("permission"),
        scope: of("scope"),
        ..Default::default()
    };
    request.encode_to_vec()
}

fn write(themes: &[Theme]) -> Vec<u8> {
    let change = |theme: &Theme| {
        let of = |field: &str| theme[field].clone();
        let tuple = pb::Tuple {
            scope: of("scope"),
            role: of("role"),
            subject: of("subject"),
            ..Default::default()
        };
        pb::TupleChange { operation: pb::Operation::Touch.into(), tuple: Some(tuple) }
    };
    let changes = themes.iter().map(change).collect();
    pb::WriteTuplesRequest { changes, ..Default::default() }.encode_to_vec()
}

impl Fixed {
    /// Stores some tuples, among `keep` ids and among those of the callers, and asks for the first time.
    async fn new(target: &Target, connection: &Connection, mut random: fastrand::Rng) -> Self {
        for at in 0..600 {
            let ids = if at % 2 == 0 { "keep" } else { "i" };
            let tuple = target.words.tuple(ids, &mut random);
            let answer = connection.ask(WRITE_TUPLES, &write(&[tuple])).await;
            if !answer.is_ok() {
                // A circle or a second parent: as random tuples have it.
                assert_eq!(answer.status.code(), Code::FailedPrecondition, "{answer:?}");
            }
        }
        let mut questions = Vec::new();
        while questions.len() < 400 {
            let theme = target.words.question("keep", &mut random);
            if !target.words.looks_elsewhere(&theme["permission"]) {
                questions.push(question(&theme));
            }
        }
        let mut fixed = Self { questions, answers: Vec::new() };
        fixed.answers = fixed.ask(connection).await;
        fixed
    }

    /// Decisions and reasons, and tuples, without what every commit changes.
    async fn ask(&self, connection: &Connection) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        for question in &self.questions {
            let answer = connection.ask(CHECK, question).await;
            assert!(answer.is_ok(), "{answer:?}");
            let mut decided = pb::CheckResponse::decode(answer.messages[0].as_slice()).unwrap();
            (decided.revision, decided.token) = (0, String::new());
            answers.push(decided.encode_to_vec());
        }
        for id in 0..8 {
            let filter =
                pb::TupleFilter { subject: format!("user:keep{id}"), ..Default::default() };
            let request = pb::ReadTuplesRequest { filter: Some(filter), ..Default::default() };
            let answer = connection.ask(READ_TUPLES, &request.encode_to_vec()).await;
            assert!(answer.is_ok(), "{answer:?}");
            for message in answer.messages.split_last().unwrap().1 {
                let entry = pb::ReadTuplesResponse::decode(message.as_slice()).unwrap();
                let Some(pb::read_tuples_response::Part::Tuple(entry)) = entry.part else {
                    panic!("{entry:?}");
                };
                answers.push(entry.tuple.unwrap().encode_to_vec());
            }
        }
        answers
    }

    async fn assert_unchanged(&self, connection: &Connection, seed: &str) {
        let answers = self.ask(connection).await;
        for (at, (before, after)) in self.answers.iter().zip(&answers).enumerate() {
            let question = self.questions.get(at).map(|q| pb::CheckRequest::decode(q.as_slice()));
            assert!(before == after, "{seed}: what nobody touched has changed: {question:?}");
        }
        assert_eq!(answers.len(), self.answers.len(), "{seed}: tuples that nobody touched");
    }

    fn allowed(&self) -> usize {
        let answers = self.answers[..self.questions.len()].iter();
        let decided = answers.map(|answer| pb::CheckResponse::decode(answer.as_slice()).unwrap());
        decided.filter(|answer| answer.decision() == pb::Decision::Allow).count()
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// Fires at a service of this model; what was counted.
async fn fire(model: &Path, requests: u64, seed: u64) -> Tally {
    let data = tempfile::tempdir().unwrap();
    let mut command = serve(&[], model, &data.path().join("store"));
    command.env("RUST_LOG", "error");
    let process = Started::new(command).serving();
    let target = Target {
        schema: Schema::of_the_service(),
        words: Words::of(model),
        kept: Arc::default(),
        address: process.address.parse().unwrap(),
        left: AtomicU64::new(requests),
        failure: Mutex::new(None),
    };
    let first = Connection::open(target.address).await;
    let fixed = Fixed::new(&target, &first, fastrand::Rng::with_seed(seed)).await;
    let allowed = fixed.allowed();
    assert!(allowed > 10 && allowed < 390, "{allowed} of 400 fixed questions are allowed");
    let target = Arc::new(target);
    let tally = all_work(&target, seed).await;
    let failure = target.failure.lock().unwrap().take();
    let seed = format!("BAILIWICK_SEED={seed}, {}", model.display());
    if failure.is_none() {
        fixed.assert_unchanged(&first, &seed).await;
    }
    let log = end(process);
    if let Some(failure) = failure {
        panic!("{seed}: {failure}\nits log:\n{log}");
    }
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{seed}: its log:\n{log}");
    tally
}

fn end(process: Process) -> String {
    let ended = process.terminate();
    assert_eq!(ended.code, Some(0), "it did not end well:\n{}", ended.log);
    ended.log
}

/// Lets every worker have its share.
async fn all_work(target: &Arc<Target>, seed: u64) -> Tally {
    let judge = Arc::new(Judge::new(target.schema, Arc::clone(&target.kept)));
    let mut tasks = Vec::new();
    for at in 0..CONNECTIONS {
        let connection = Connection::open(target.address).await;
        for worker in 0..WORKERS {
            let seed = seed.wrapping_add(1 + at * WORKERS + worker);
            let (target, judge, connection) =
                (Arc::clone(target), Arc::clone(&judge), connection.clone());
            tasks.push(tokio::spawn(async move { target.work(connection, &judge, seed).await }));
        }
    }
    for task in tasks {
        task.await.unwrap();
    }
    Arc::into_inner(judge).unwrap().tally()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_the_service_answers_or_says_why_not() {
    let seed = number("BAILIWICK_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("BAILIWICK_SEED={seed}");
    let each = number("BAILIWICK_REQUESTS").unwrap_or(REQUESTS) / MODELS.len() as u64;
    let [one, other] = MODELS.map(repository);
    let (mut tally, more) = tokio::join!(fire(&one, each, seed), fire(&other, each, seed));
    for (key, count) in more {
        *tally.entry(key).or_default() += count;
    }
    for ((method, outcome), count) in &tally {
        println!("{count:7} {method} {outcome}");
    }
    assert_not_blind(&tally, 2 * each);
}

/// How many of a thousand requests must have ended so, for the others to mean anything.
const ENOUGH: [(&str, &str, u64); 14] = [
    ("AuthorizationService/Check", "OK", 150),
    ("AuthorizationService/Check", "decision 1", 50),
    ("AuthorizationService/Check", "decision 2", 50),
    ("AuthorizationService/Check", "reason 3", 2),
    ("AuthorizationService/Check", "reason 4", 2),
    ("AuthorizationService/BatchCheck", "OK", 40),
    ("AuthorizationService/BatchCheck", "decision 1", 20),
    ("AuthorizationService/ListSubjects", "OK", 10),
    ("AuthorizationService/ListRoles", "OK", 10),
    ("TupleService/WriteTuples", "OK", 40),
    ("TupleService/WriteTuples", "TUPLE_EXISTS", 10),
    ("TupleService/ReadTuples", "OK", 5),
    ("ModelService/GetModel", "OK", 2),
    ("/grpc.health.v1.Health/Check", "OK", 1),
];

/// What must have been met at all, wherever.
const MET: [&str; 17] = [
    "INVALID_FIELD",
    "MALFORMED_REQUEST",
    "PROTOCOL_ERROR",
    "REQUEST_TOO_LARGE",
    "UNKNOWN_TYPE",
    "UNKNOWN_PERMISSION",
    "UNKNOWN_NAME",
    "CONTEXT_TOO_LARGE",
    "EMPTY_COMMIT",
    "REPEATED_TUPLE",
    "TUPLE_NOT_ADMITTED",
    "SECOND_PARENT",
    "HIERARCHY_CYCLE",
    "UNKNOWN_METHOD",
    "UNSUPPORTED_ENCODING",
    "DEADLINE_EXCEEDED",
    "walked away",
];

fn assert_not_blind(tally: &Tally, requests: u64) {
    for (method, outcome, share) in ENOUGH {
        let key = (method.to_owned(), outcome.to_owned());
        let count = tally.get(&key).copied().unwrap_or(0) as u64;
        assert!(count * 1_000 >= share * requests, "{method} {outcome}: only {count} times");
    }
    for outcome in MET {
        let met = tally.keys().any(|(_, met)| met == outcome);
        assert!(met || requests < REQUESTS, "{outcome} was never met");
    }
}
