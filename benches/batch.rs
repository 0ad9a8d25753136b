//! BatchCheck of 1,000 items over loopback, two in flight, at a million tuples: decisions a second, in turns
//! with a bare tonic handler that is sent the same messages and decides nothing. The client shares the
//! cores: what it takes to write requests, from messages that it holds, and to read answers is in both figures.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod bare;
mod clock;
mod served;
mod target;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick::api::pb::v1 as pb;
use http::uri::PathAndQuery;
use prost::Message as _;
use served::{TUPLES, channel, median};
use target::verdict;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstDecoder;

/// Not needed of what serves here.
const _: fn() = || drop(served::connect("", 0));

const ITEMS: usize = 1_000;
const BATCHES: usize = 64;
const IN_FLIGHT: usize = 2;
const PAIRS: usize = 12;
const TURN: Duration = Duration::from_millis(500);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pdp = tokio::task::spawn_blocking(|| served::pdp(TUPLES)).await.expect("it opens");
        let bare = channel(&bare::serve(0).await).await;
        let ours = channel(&served::tcp(pdp).await).await;
        let (random, page): (Batches, Batches) =
            (batches(&random()).into(), batches(&page()).into());
        // For a profiler: `--only ours SECONDS`.
        if let Some(at) = args.iter().position(|arg| arg == "--only") {
            let client = if args[at + 1] == "bare" { bare } else { ours };
            let seconds = args[at + 2].parse().expect("a number");
            let rate = turn(&client, &random, Duration::from_secs(seconds)).await;
            println!("{rate:.0} decisions/s");
            return;
        }
        println!("BatchCheck of {ITEMS}, {IN_FLIGHT} in flight, {TUPLES} tuples, {PAIRS} pairs");
        let rate = compare("any user at any device", &bare, &ours, &random).await;
        verdict("BatchCheck of 1,000, two in flight", rate, "decisions/s", 1_000_000.0..);
        compare("one user at a thousand devices", &bare, &ours, &page).await;
    });
}

type Batches = Arc<[Arc<pb::BatchCheckRequest>]>;

/// Writes a message that stays where it is: a copy for each call would be most of what this client does.
#[derive(Debug, Clone, Copy)]
struct Kept;

impl Codec for Kept {
    type Encode = Arc<pb::BatchCheckRequest>;
    type Decode = pb::BatchCheckResponse;
    type Encoder = Self;
    type Decoder = ProstDecoder<pb::BatchCheckResponse>;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::default())
    }
}

impl Encoder for Kept {
    type Item = Arc<pb::BatchCheckRequest>;
    type Error = Status;

    fn encode(&mut self, asked: Self::Item, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        asked.encode(out).map_err(|error| Status::internal(error.to_string()))
    }
}

async fn ask(channel: &Channel, asked: &Arc<pb::BatchCheckRequest>) -> pb::BatchCheckResponse {
    const METHOD: &str = "/bailiwick.v1.AuthorizationService/BatchCheck";
    let mut client = Grpc::new(channel.clone());
    client.ready().await.expect("a connection");
    let request = Request::new(Arc::clone(asked));
    let answer = client.unary(request, PathAndQuery::from_static(METHOD), Kept).await;
    answer.expect("an answer").into_inner()
}

/// Items that have nothing to do with each other.
fn random() -> Vec<(String, &'static str, String)> {
    crate::world::questions(TUPLES, ITEMS * BATCHES)
}

/// What a page asks before it shows a list: the same of one user at each entry.
fn page() -> Vec<(String, &'static str, String)> {
    let mut questions = random();
    for page in questions.chunks_mut(ITEMS) {
        let (user, permission, _) = page[0].clone();
        for item in page {
            (item.0, item.1) = (user.clone(), permission);
        }
    }
    questions
}

fn batches(questions: &[(String, &'static str, String)]) -> Vec<Arc<pb::BatchCheckRequest>> {
    let item = |(subject, permission, scope): &(String, &str, String)| pb::BatchCheckItem {
        subject: subject.clone(),
        permission: (*permission).to_owned(),
        scope: scope.clone(),
        ..Default::default()
    };
    let batch = |items: &[_]| {
        let items = items.iter().map(item).collect();
        Arc::new(pb::BatchCheckRequest { items, ..Default::default() })
    };
    questions.chunks(ITEMS).map(batch).collect()
}

async fn compare(what: &str, bare: &Channel, ours: &Channel, asked: &Batches) -> f64 {
    let (mut floors, mut rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..=PAIRS {
        let floor = turn(bare, asked, TURN).await;
        let rate = turn(ours, asked, TURN).await;
        // The first counts for nothing.
        if pair > 0 {
            floors.push(floor);
            rates.push(rate);
            ratios.push(rate / floor);
        }
    }
    let (rate, floor, ratio) = (median(rates), median(floors), median(ratios));
    println!(
        "{what}: {rate:.0} decisions/s; a bare handler answers {floor:.0} items/s: {ratio:.2} x"
    );
    rate
}

/// Items answered a second.
async fn turn(channel: &Channel, batches: &Batches, length: Duration) -> f64 {
    let started = Instant::now();
    let callers = (0..IN_FLIGHT).map(|caller| {
        let (channel, batches) = (channel.clone(), Arc::clone(batches));
        tokio::spawn(async move {
            let (mut answered, mut next) = (0, caller * batches.len() / IN_FLIGHT);
            while started.elapsed() < length {
                let answer = ask(&channel, &batches[next % batches.len()]).await;
                answered += answer.results.len();
                next += 1;
            }
            answered
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.expect("the caller ends");
    }
    answered as f64 / started.elapsed().as_secs_f64()
}
