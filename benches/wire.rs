//! Check over loopback beside a bare tonic handler of the same messages, at a million tuples, in one run
//! and in turns: the ratio is what Bailiwick itself adds. Over TCP and over a Unix socket; the same questions
//! over one CheckStream, beside Check; and in a process of its own, as a subscriber is one for a process, with
//! one request in a hundred recorded as a span.
//! Processor time a call, client and server together, hardly depends on what else the machine does.
//!
//! `--only bare|tcp|unix|aside|stream CONNECTIONS CALLERS SECONDS` runs one of them alone, for a profiler.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod bare;
mod clock;
mod served;
mod streamed;
mod target;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bailiwick::api::pb::v1 as pb;
use bailiwick::pdp::Pdp;
use bailiwick::server::{BoundServer, UnixConfig};
use bailiwick::telemetry::export::Export;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use served::{Client, TUPLES, connect, median, question};
use streamed::Streamed;
use target::verdict;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

const PAIRS: usize = 12;
const TURN: Duration = Duration::from_millis(500);
/// (connections, callers on each).
const SHAPES: [(usize, usize); 3] = [(1, 1), (1, 32), (4, 32)];
/// One request in so many is recorded.
const RECORDED: f64 = 100.0;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let Some(at) = args.iter().position(|arg| arg == "--only") {
        return runtime.block_on(only(&args[at + 1..]));
    }
    if args.iter().any(|arg| arg == "--spans") {
        return runtime.block_on(with_spans());
    }
    println!("wire, {TUPLES} tuples, {PAIRS} rounds of turns of {} ms each", TURN.as_millis());
    runtime.block_on(without_spans());
    drop(runtime);
    let status = std::process::Command::new(std::env::current_exe().expect("this program"))
        .arg("--spans")
        .env("OTEL_TRACES_SAMPLER", "traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", (1.0 / RECORDED).to_string())
        .status()
        .expect("the child runs");
    assert!(status.success());
}

/// Where everything is served that is measured.
struct Places {
    bare: String,
    tcp: String,
    unix: String,
    /// Of the Unix socket.
    _dir: tempfile::TempDir,
}

impl Places {
    async fn open() -> Self {
        let pdp = tokio::task::spawn_blocking(|| served::pdp(TUPLES)).await.expect("it opens");
        let dir = tempfile::tempdir().expect("a temporary directory");
        let unix = on_unix(pdp.clone(), &dir.path().join("socket")).await;
        Self { bare: bare::serve(0).await, tcp: served::tcp(pdp).await, unix, _dir: dir }
    }
}

/// Serves Bailiwick on a Unix socket at this path; where.
async fn on_unix(pdp: Pdp, path: &Path) -> String {
    let config = UnixConfig { path: path.to_owned(), mode: 0o600 };
    let server = BoundServer::bind_unix(&config).await.expect("a free path");
    tokio::spawn(server.serve(Box::new(move || Ok(pdp)), std::future::pending::<()>()));
    format!("unix:{}", path.display())
}

async fn only(args: &[String]) {
    let number = |at: usize| args[at].parse::<usize>().expect("a number");
    let places = Places::open().await;
    let (url, asked): (_, fn(usize) -> pb::CheckRequest) = match args[0].as_str() {
        "bare" => (&places.bare, question),
        "unix" => (&places.unix, question),
        "aside" => (&places.tcp, aside),
        _ => (&places.tcp, question),
    };
    let side = Side { streams: args[0] == "stream", ..Side::of(url, number(1), asked).await };
    let got = side.turn(number(2), Duration::from_secs(number(3) as u64)).await;
    println!("p50 {:.1} us, {:.0}/s, processor {:.2} us", got.p50, got.rate, got.cpu);
}

async fn without_spans() {
    let places = Places::open().await;
    for (connections, callers) in SHAPES {
        let sides = [
            Side::of(&places.bare, connections, question).await,
            Side::of(&places.tcp, connections, question).await,
            Side::of(&places.unix, connections, question).await,
            Side::of(&places.tcp, connections, aside).await,
        ];
        let [bare, tcp, unix, aside] = rounds(&sides, callers).await;
        let shape = format!("{connections} x {callers}");
        told(&shape, "bare", &bare, &bare);
        told(&shape, "tcp", &tcp, &bare);
        told(&shape, "unix", &unix, &bare);
        told(&shape, "aside", &aside, &bare);
        against_bare(&format!("Check, {shape}"), &tcp, &bare);
        let of_tcp = unix.ratio(&tcp);
        verdict(&format!("Check, {shape}, Unix socket, p50"), of_tcp.p50, "x TCP's", ..=1.0);
        verdict(&format!("Check, {shape}, Unix socket, rate"), of_tcp.rate, "x TCP's", 1.0..);
    }
    for (connections, callers) in SHAPES {
        streamed(&places, connections, callers).await;
    }
}

/// CheckStream beside Check, each of Bailiwick's and of the bare handler's.
async fn streamed(places: &Places, connections: usize, callers: usize) {
    let of = |url| Side::of(url, connections, question);
    let stream = async |url| Side { streams: true, ..of(url).await };
    let sides = [
        of(&places.bare).await,
        stream(&places.bare).await,
        of(&places.tcp).await,
        stream(&places.tcp).await,
    ];
    let [bare, bare_stream, unary, stream] = rounds(&sides, callers).await;
    let shape = format!("{connections} x {callers}");
    told(&shape, "bare stream", &bare_stream, &bare);
    told(&shape, "stream", &stream, &unary);
    let rate = stream.ratio(&unary).rate;
    verdict(&format!("CheckStream, {shape}, rate"), rate, "x Check's", 2.0..);
}

async fn with_spans() {
    let received = Arc::new(AtomicUsize::new(0));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let collector = TraceServiceServer::new(Collector { received: Arc::clone(&received) });
    let server = Server::builder().add_service(collector);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let export = Export::start(&url).expect("spans can be sent");
    tracing_subscriber::registry().with(export.layer()).init();
    let places = Places::open().await;
    let mut calls = 0.0;
    for (connections, callers) in SHAPES {
        let sides = [
            Side::of(&places.bare, connections, question).await,
            Side::of(&places.tcp, connections, question).await,
        ];
        let [bare, tcp] = rounds(&sides, callers).await;
        calls += tcp.0.iter().map(|turn| turn.calls).sum::<f64>();
        let shape = format!("{connections} x {callers}");
        told(&shape, "tcp, 1 % spans", &tcp, &bare);
        against_bare(&format!("Check, {shape}, 1 % of spans recorded"), &tcp, &bare);
    }
    tokio::task::spawn_blocking(move || export.flush()).await.expect("it ends");
    let share = received.load(Ordering::Relaxed) as f64 / calls * 100.0;
    println!("       {share:.2} % of the calls came to the collector as spans");
}

fn against_bare(what: &str, ours: &Turns, bare: &Turns) {
    let of_bare = ours.ratio(bare);
    verdict(&format!("{what}, p50"), of_bare.p50, "x a bare handler's", ..=1.15);
    verdict(&format!("{what}, rate"), of_bare.rate, "x a bare handler's", 0.90..);
}

/// Takes what is sent, and counts it.
#[derive(Debug)]
struct Collector {
    received: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let spans = scopes.map(|scope| scope.spans.len()).sum();
        self.received.fetch_add(spans, Ordering::Relaxed);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A question that the engine answers in next to nothing: what is left is the wire's.
fn aside(at: usize) -> pb::CheckRequest {
    pb::CheckRequest { scope: format!("org:d{}", at % 10), ..question(at) }
}

/// Who is asked, and what.
struct Side {
    clients: Vec<Client>,
    asked: fn(usize) -> pb::CheckRequest,
    /// Over one CheckStream on each connection.
    streams: bool,
}

/// Each side in its turn, again and again; the first round counts for nothing.
async fn rounds<const N: usize>(sides: &[Side; N], callers: usize) -> [Turns; N] {
    let mut all = [const { Turns(Vec::new()) }; N];
    for round in 0..=PAIRS {
        for (turns, side) in all.iter_mut().zip(sides) {
            let turn = side.turn(callers, TURN).await;
            if round > 0 {
                turns.0.push(turn);
            }
        }
    }
    all
}

/// What the turns of one side measured.
struct Turns(Vec<Turn>);

impl Turns {
    fn median(&self, figure: impl Fn(&Turn) -> f64) -> f64 {
        median(self.0.iter().map(figure).collect())
    }

    /// The median of the ratios of turns that were beside each other.
    fn ratio(&self, floor: &Self) -> Turn {
        let of = |figure: fn(&Turn) -> f64| {
            median(self.0.iter().zip(&floor.0).map(|(a, b)| figure(a) / figure(b)).collect())
        };
        Turn { p50: of(|t| t.p50), rate: of(|t| t.rate), cpu: of(|t| t.cpu), calls: 0.0 }
    }
}

fn told(shape: &str, side: &str, turns: &Turns, bare: &Turns) {
    let of_bare = turns.ratio(bare);
    println!(
        "{shape:<7}{side:<15} p50 {:>5.0} us ({:.2} x)  {:>7.0}/s ({:.2} x)  processor {:>5.1} us ({:.2} x)",
        turns.median(|turn| turn.p50),
        of_bare.p50,
        turns.median(|turn| turn.rate),
        of_bare.rate,
        turns.median(|turn| turn.cpu),
        of_bare.cpu,
    );
}

/// What one turn measured.
struct Turn {
    /// Median latency, in microseconds.
    p50: f64,
    /// Calls a second.
    rate: f64,
    /// Processor time a call, of client and server, in microseconds.
    cpu: f64,
    /// How many there were.
    calls: f64,
}

/// A way to ask.
#[derive(Clone)]
enum Way {
    Unary(Client),
    Stream(Streamed, u64),
}

impl Way {
    async fn check(&mut self, question: pb::CheckRequest) {
        match self {
            Self::Unary(client) => drop(client.check(question).await.expect("an answer")),
            Self::Stream(stream, caller) => stream.check(*caller, question).await,
        }
    }
}

impl Side {
    async fn of(url: &str, connections: usize, asked: fn(usize) -> pb::CheckRequest) -> Self {
        Self { clients: connect(url, connections).await, asked, streams: false }
    }

    /// For each connection and each of its callers.
    async fn ways(&self, callers: usize) -> Vec<Vec<Way>> {
        let mut ways = Vec::new();
        for client in &self.clients {
            let stream = if self.streams { Some(Streamed::begin(client).await) } else { None };
            let way = |caller| match &stream {
                None => Way::Unary(client.clone()),
                Some(stream) => Way::Stream(stream.clone(), caller),
            };
            ways.push((0..callers as u64).map(way).collect());
        }
        ways
    }

    async fn turn(&self, callers: usize, length: Duration) -> Turn {
        let ways = self.ways(callers).await;
        let (started, cpu, asked) = (Instant::now(), cpu_seconds(), self.asked);
        let mut tasks = Vec::new();
        for (at, ways) in ways.into_iter().enumerate() {
            for (caller, mut way) in ways.into_iter().enumerate() {
                tasks.push(tokio::spawn(async move {
                    let mut took = Vec::new();
                    let mut next = at * 1_009 + caller * 31;
                    while started.elapsed() < length {
                        let began = Instant::now();
                        way.check(asked(next)).await;
                        took.push(began.elapsed().as_secs_f64() * 1e6);
                        next += 1;
                    }
                    took
                }));
            }
        }
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.expect("the caller ends"));
        }
        let calls = all.len() as f64;
        let rate = calls / started.elapsed().as_secs_f64();
        let cpu = (cpu_seconds() - cpu) / calls * 1e6;
        Turn { p50: median(all), rate, cpu, calls }
    }
}

/// Processor time of this process, in seconds; the system counts in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit_once(')').expect("the name's end").1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}
