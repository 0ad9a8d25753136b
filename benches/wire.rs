//! Check over loopback beside a bare tonic handler of the same messages, in one run and in turns: the
//! ratio is what Bailiwick itself adds. 1 caller; 4 connections with 32 callers each. Processor time a
//! call, client and server together, hardly depends on what else the machine does.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::tuple::Time;
use bailiwick::pdp::{Clock, Pdp, WriteChange};
use bailiwick::server::{BoundServer, ListenConfig};
use bailiwick::store::ModelFiles;
use bailiwick::store::memory::MemoryStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

const TUPLES: u64 = 100_000;
const PAIRS: usize = 10;
const TURN: Duration = Duration::from_millis(1_000);

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Time {
        Time(0)
    }
}

/// What the wire alone costs: the same messages, nothing decided.
#[derive(Debug)]
struct Bare;

#[tonic::async_trait]
impl AuthorizationService for Bare {
    async fn check(
        &self,
        request: Request<pb::CheckRequest>,
    ) -> Result<Response<pb::CheckResponse>, Status> {
        let request = request.into_inner();
        Ok(Response::new(pb::CheckResponse {
            decision: if request.subject.is_empty() { 2 } else { 1 },
            reason: 1,
            revision: 1,
            token: "bw1.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef.1.0123456789abcdef".into(),
            ..Default::default()
        }))
    }

    async fn batch_check(
        &self,
        _request: Request<pb::BatchCheckRequest>,
    ) -> Result<Response<pb::BatchCheckResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    type ListSubjectsStream = tokio_stream::Empty<Result<pb::ListSubjectsResponse, Status>>;

    async fn list_subjects(
        &self,
        _request: Request<pb::ListSubjectsRequest>,
    ) -> Result<Response<Self::ListSubjectsStream>, Status> {
        Err(Status::unimplemented("bare"))
    }

    type ListRolesStream = tokio_stream::Empty<Result<pb::ListRolesResponse, Status>>;

    async fn list_roles(
        &self,
        _request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<Self::ListRolesStream>, Status> {
        Err(Status::unimplemented("bare"))
    }
}

fn pdp() -> Pdp {
    let model = world::model();
    let files = ModelFiles { digest: model.digest.clone(), files: Vec::new() };
    let store = Arc::new(MemoryStore::new());
    let pdp = Pdp::open(store, model, files, Arc::new(Fixed)).expect("an empty store opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for commit in world::tuples(TUPLES).chunks(5_000) {
        let changes = commit.iter().cloned().map(WriteChange::Touch).collect();
        runtime.block_on(pdp.write(changes)).expect("the commit is accepted");
    }
    pdp
}

fn main() {
    let pdp = pdp();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let config =
            ListenConfig { address: "127.0.0.1:0".parse().expect("an address"), insecure: false };
        let server = BoundServer::bind(&config).await.expect("a free port");
        let ours = server.local_addr();
        tokio::spawn(server.serve(Box::new(move || Ok(pdp)), std::future::pending::<()>()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let bare = listener.local_addr().expect("its address");
        let incoming =
            tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(AuthorizationServiceServer::new(Bare))
                .serve_with_incoming(incoming),
        );
        println!("wire, {PAIRS} pairs of turns of {} ms each", TURN.as_millis());
        for (connections, callers) in [(1, 1), (1, 32), (4, 32)] {
            compare(bare, ours, connections, callers).await;
        }
    });
}

async fn compare(bare: SocketAddr, ours: SocketAddr, connections: usize, callers: usize) {
    let bare = connect(bare, connections).await;
    let ours = connect(ours, connections).await;
    turn(&bare, callers).await;
    turn(&ours, callers).await;
    let (mut p50, mut rate) = (Vec::new(), Vec::new());
    let (mut bare_p50, mut bare_rate) = (Vec::new(), Vec::new());
    let (mut cpu, mut bare_cpu) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let floor = turn(&bare, callers).await;
        let figure = turn(&ours, callers).await;
        bare_p50.push(floor.p50);
        bare_rate.push(floor.rate);
        bare_cpu.push(floor.cpu);
        p50.push(figure.p50 / floor.p50);
        rate.push(figure.rate / floor.rate);
        cpu.push(figure.cpu);
    }
    println!(
        "{connections} x {callers:<3} bare p50 {:>5.0} us, {:>7.0}/s   bailiwick p50 x {:.2}, throughput x {:.2}   processor {:.1} us, bare {:.1} us",
        median(bare_p50),
        median(bare_rate),
        median(p50),
        median(rate),
        median(cpu),
        median(bare_cpu),
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
}

/// Processor time of this process, in seconds; the system counts in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit_once(')').expect("the name's end").1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

async fn connect(to: SocketAddr, many: usize) -> Vec<AuthorizationServiceClient<Channel>> {
    let mut clients = Vec::new();
    for _ in 0..many {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{to}"))
            .expect("a URL")
            .tcp_nodelay(true);
        let mut client =
            AuthorizationServiceClient::new(endpoint.connect().await.expect("connects"));
        // The service may still be opening its store.
        while client.check(question(0)).await.is_err() {
            tokio::task::yield_now().await;
        }
        clients.push(client);
    }
    clients
}

fn question(at: usize) -> pb::CheckRequest {
    static QUESTIONS: std::sync::LazyLock<Vec<(String, &'static str, String)>> =
        std::sync::LazyLock::new(|| world::questions(TUPLES, 4_096));
    let (subject, permission, scope) = &QUESTIONS[at % QUESTIONS.len()];
    pb::CheckRequest {
        subject: subject.clone(),
        permission: (*permission).into(),
        scope: scope.clone(),
        ..Default::default()
    }
}

async fn turn(clients: &[AuthorizationServiceClient<Channel>], callers: usize) -> Turn {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let mut tasks = Vec::new();
    for (at, client) in clients.iter().enumerate() {
        for caller in 0..callers {
            let mut client = client.clone();
            tasks.push(tokio::spawn(async move {
                let mut took = Vec::new();
                let mut next = at * 1_009 + caller * 31;
                while started.elapsed() < TURN {
                    let asked = Instant::now();
                    client.check(question(next)).await.expect("an answer");
                    took.push(asked.elapsed().as_secs_f64() * 1e6);
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
    Turn { p50: median(all), rate, cpu }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
