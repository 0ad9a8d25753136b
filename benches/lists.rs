//! Lists over loopback, in entries a second, and commits a second beside them: what a cursor on each
//! entry costs a list, and what keeping the latest revisions costs a write.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::tuple::{Time, Tuple, TupleKey};
use bailiwick::pdp::{Clock, Pdp, WriteChange};
use bailiwick::server::{BoundServer, ListenConfig};
use bailiwick::store::ModelFiles;
use bailiwick::store::memory::MemoryStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::tuple_service_client::TupleServiceClient;
use tonic::transport::{Channel, Endpoint};

const TUPLES: u64 = 200_000;
const TURNS: usize = 7;
const WRITERS: u64 = 32;
const TURN: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Time {
        Time(0)
    }
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let model = world::model();
        let files = ModelFiles { digest: model.digest.clone(), files: Vec::new() };
        let store = Arc::new(MemoryStore::new());
        let pdp = Pdp::open(store, model, files, Arc::new(Fixed)).expect("an empty store opens");
        for commit in world::tuples(TUPLES).chunks(5_000) {
            let changes = commit.iter().cloned().map(WriteChange::Touch).collect();
            pdp.write(changes).await.expect("the commit is accepted");
        }
        // A scope where many may, for ListSubjects.
        for part in 0..10 {
            let viewer = |i| touch(&format!("org:full#viewer@user:u{}", part * 5_000 + i));
            pdp.write((0..5_000).map(viewer).collect()).await.expect("the commit is accepted");
        }
        pdp.write(vec![touch("device:full#parent@line:full")]).await.expect("is accepted");
        for edge in ["line:full#parent@area:full", "area:full#parent@site:full"] {
            pdp.write(vec![touch(edge)]).await.expect("the commit is accepted");
        }
        pdp.write(vec![touch("site:full#parent@org:full")]).await.expect("is accepted");
        let channel = serve(pdp.clone()).await;
        read(&channel).await;
        list(&channel).await;
        write(&pdp).await;
    });
}

async fn serve(pdp: Pdp) -> Channel {
    let address = "127.0.0.1:0".parse().expect("an address");
    let config = ListenConfig { address, insecure: false };
    let server = BoundServer::bind(&config).await.expect("a free port");
    let url = format!("http://{}", server.local_addr());
    tokio::spawn(server.serve(Box::new(move || Ok(pdp)), std::future::pending::<()>()));
    let channel = Endpoint::from_shared(url).expect("a URL").connect().await.expect("connects");
    // The service may still be opening its store.
    for (subject, permission, scope) in world::questions(TUPLES, 1) {
        let permission = permission.to_owned();
        let asked = pb::CheckRequest { subject, permission, scope, ..Default::default() };
        let mut client = AuthorizationServiceClient::new(channel.clone());
        while client.check(asked.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    channel
}

async fn read(channel: &Channel) {
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let started = Instant::now();
        let request = pb::ReadTuplesRequest::default();
        let mut client = TupleServiceClient::new(channel.clone());
        let mut stream = client.read_tuples(request).await.expect("a list").into_inner();
        let mut entries: u32 = 0;
        while stream.message().await.expect("an entry").is_some() {
            entries += 1;
        }
        rates.push(f64::from(entries) / started.elapsed().as_secs_f64());
    }
    println!("ReadTuples    {:>8.0} entries/s", median(rates));
}

async fn list(channel: &Channel) {
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let started = Instant::now();
        let request = pb::ListSubjectsRequest {
            permission: "device.view".into(),
            scope: "device:full".into(),
            subject_type: "user".into(),
            ..Default::default()
        };
        let mut client = AuthorizationServiceClient::new(channel.clone());
        let mut stream = client.list_subjects(request).await.expect("a list").into_inner();
        let mut entries: u32 = 0;
        while stream.message().await.expect("an entry").is_some() {
            entries += 1;
        }
        rates.push(f64::from(entries) / started.elapsed().as_secs_f64());
    }
    println!("ListSubjects  {:>8.0} entries/s", median(rates));
}

async fn write(pdp: &Pdp) {
    let mut rates = Vec::new();
    for turn in 0..TURNS {
        let started = Instant::now();
        let writers = (0..WRITERS).map(|writer| {
            let pdp = pdp.clone();
            tokio::spawn(async move {
                let mut commits: u32 = 0;
                while started.elapsed() < TURN {
                    let device = u64::from(commits) * WRITERS + writer;
                    let tuple = format!("device:d{device}#operator@user:t{turn}w{writer}");
                    pdp.write(vec![touch(&tuple)]).await.expect("the commit is accepted");
                    commits += 1;
                }
                commits
            })
        });
        let mut commits = 0;
        for writer in writers.collect::<Vec<_>>() {
            commits += writer.await.expect("the writer ends");
        }
        rates.push(f64::from(commits) / started.elapsed().as_secs_f64());
    }
    println!("write         {:>8.0} commits/s of one change, in memory", median(rates));
}

fn touch(text: &str) -> WriteChange {
    WriteChange::Touch(Tuple::plain(TupleKey::parse(text).expect("a tuple")))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
