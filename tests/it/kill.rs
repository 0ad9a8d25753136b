//! kill -9 of the built service while callers write over gRPC: nothing acknowledged is missing
//! afterwards, no commit is there by half, and whoever got no answer and repeats has one effect.
#![expect(clippy::print_stdout, reason = "a run says its seed and what it counted")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bailiwick::api::pb::v1 as pb;
use pb::tuple_service_client::TupleServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const KILLS: u64 = 100;
const WRITERS: usize = 4;
/// Tuples of one commit, each with the commit's number.
const ROLES: [&str; 3] = ["admin", "engineer", "viewer"];

fn serve(data: &Path) -> (Child, String) {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/energyhub");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["serve", "--listen", "127.0.0.1:0", "--model"])
        .arg(model)
        .arg("--data")
        .arg(data)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
    (child, format!("http://{address}"))
}

async fn ready(endpoint: &str) -> Channel {
    let channel = Endpoint::from_shared(endpoint.to_owned()).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: String::new() };
    let watched = HealthClient::new(channel.clone()).watch(request).await;
    let mut changes = watched.unwrap().into_inner();
    while let Some(change) = changes.message().await.unwrap() {
        if change.status() == ServingStatus::Serving {
            return channel;
        }
    }
    panic!("the service ended before it served: its data was refused");
}

fn commit(number: u64) -> pb::WriteTuplesRequest {
    let change = |role: &&str| pb::TupleChange {
        operation: pb::Operation::Create.into(),
        tuple: Some(pb::Tuple {
            scope: format!("org:o{number}"),
            role: (*role).into(),
            // One role a person: the model's constraint.
            subject: format!("user:{role}-{number}"),
            ..Default::default()
        }),
    };
    pb::WriteTuplesRequest {
        changes: ROLES.iter().map(change).collect(),
        idempotency_key: format!("commit {number}"),
        ..Default::default()
    }
}

/// Answers by the number of the commit.
type Answers = BTreeMap<u64, pb::WriteTuplesResponse>;

/// Writes until the service is gone; what was answered, and the number of what was not.
async fn write(channel: Channel, numbers: Arc<AtomicU64>, acks: Arc<AtomicU64>) -> (Answers, u64) {
    let mut client = TupleServiceClient::new(channel);
    let mut answered = Answers::new();
    loop {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        match client.write_tuples(commit(number)).await {
            Ok(answer) => answered.insert(number, answer.into_inner()),
            Err(_) => return (answered, number),
        };
        acks.fetch_add(1, Ordering::SeqCst);
    }
}

/// Repeats a commit with its key: a `create` of what is there already is no error then.
async fn repeat(channel: &Channel, number: u64) -> pb::WriteTuplesResponse {
    let answer = TupleServiceClient::new(channel.clone()).write_tuples(commit(number)).await;
    let answer = answer.unwrap_or_else(|status| panic!("{number}: {status}")).into_inner();
    assert_eq!(answer.changed, ROLES.len() as u64, "{number}");
    answer
}

/// Commit number to the roles of it that are there, and the revision.
async fn stored(channel: Channel) -> (BTreeMap<u64, BTreeSet<String>>, u64) {
    let mut found: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    let request = pb::ReadTuplesRequest::default();
    let mut parts =
        TupleServiceClient::new(channel).read_tuples(request).await.unwrap().into_inner();
    let mut revision = None;
    while let Some(part) = parts.message().await.unwrap() {
        match part.part.unwrap() {
            pb::read_tuples_response::Part::Tuple(read) => {
                let tuple = read.tuple.unwrap();
                let number = tuple.scope.strip_prefix("org:o").unwrap().parse().unwrap();
                assert!(found.entry(number).or_default().insert(tuple.role));
            }
            pb::read_tuples_response::Part::Complete(end) => revision = Some(end.revision),
        }
    }
    (found, revision.expect("the end mark"))
}

/// Every answered commit is there, and no commit by half.
fn assert_whole(found: &BTreeMap<u64, BTreeSet<String>>, answered: &Answers, when: &str) {
    let missing: Vec<_> = answered.keys().filter(|number| !found.contains_key(number)).collect();
    assert!(missing.is_empty(), "{when}: commits {missing:?} are gone");
    for (number, roles) in found {
        assert_eq!(roles.len(), ROLES.len(), "{when}: {number} is half there");
    }
}

#[test]
fn a_hundred_kills_lose_nothing_answered_and_a_repeat_has_one_effect() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let data = tempfile::tempdir().unwrap();
    let numbers = Arc::new(AtomicU64::new(0));
    let mut answered = Answers::new();
    let mut unanswered: Vec<u64> = Vec::new();
    let (mut done_before, mut done_anew) = (0, 0);
    for round in 0..=KILLS {
        let (mut child, endpoint) = serve(data.path());
        let channel = runtime.block_on(ready(&endpoint));
        let (found, mut head) = runtime.block_on(stored(channel.clone()));
        assert_whole(&found, &answered, &format!("seed {seed}, kill {round}"));
        for number in unanswered.drain(..) {
            let answer = runtime.block_on(repeat(&channel, number));
            if found.contains_key(&number) {
                done_before += 1;
                assert!(answer.revision <= head, "seed {seed}, kill {round}: {number} twice");
            } else {
                done_anew += 1;
                head += 1;
                assert_eq!(answer.revision, head, "seed {seed}, kill {round}: {number}");
            }
            answered.insert(number, answer);
        }
        for _ in 0..3.min(answered.len()) {
            let Some((number, first)) = answered.iter().nth(random.usize(..answered.len())) else {
                continue;
            };
            let again = runtime.block_on(repeat(&channel, *number));
            assert_eq!(again, *first, "seed {seed}, kill {round}: {number}");
        }
        if round < KILLS {
            let wanted = random.u64(1..20);
            let acks = Arc::new(AtomicU64::new(0));
            runtime.block_on(async {
                let tasks: Vec<_> = (0..WRITERS)
                    .map(|_| {
                        let (numbers, acks) = (Arc::clone(&numbers), Arc::clone(&acks));
                        tokio::spawn(write(channel.clone(), numbers, acks))
                    })
                    .collect();
                while acks.load(Ordering::SeqCst) < wanted {
                    assert!(!tasks.iter().all(|task| task.is_finished()), "no write is taken");
                    tokio::task::yield_now().await;
                }
                child.kill().unwrap();
                for task in tasks {
                    let (answers, number) = task.await.unwrap();
                    answered.extend(answers);
                    unanswered.push(number);
                }
            });
        }
        // Ends the last one too; `kill` sends SIGKILL.
        let _gone = child.kill();
        child.wait().unwrap();
    }
    println!(
        "{KILLS} kills, {} commits answered; of those repeated after a kill {done_before} had been \
         made durable before it, {done_anew} had not",
        answered.len()
    );
    assert!(answered.len() as u64 >= KILLS);
    assert_eq!(done_before + done_anew, KILLS * WRITERS as u64);
    assert!(done_before > 0, "no kill came between a commit and its answer");
}
