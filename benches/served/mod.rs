//! What the benchmarks of the wire share: a service over a large world, questions about it, and connections.
//! Measures nothing itself.

use std::future::pending;
use std::sync::{Arc, LazyLock};

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::tuple::{Change, Time};
use bailiwick::pdp::Pdp;
use bailiwick::server::{BoundServer, ListenConfig};
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::{Commit, ModelFiles, Store};
use pb::authorization_service_client::AuthorizationServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::clock::Fixed;
use crate::world;

/// A client of either.
pub(crate) type Client = AuthorizationServiceClient<Channel>;

const COMMIT_TUPLES: usize = 10_000;

/// A service over so many tuples: its log is written at once, and read back as after a restart.
pub(crate) fn pdp(tuples: u64) -> Pdp {
    let store = Arc::new(MemoryStore::new());
    let open = || {
        let model = world::model();
        let files = ModelFiles { digest: model.digest.clone(), files: Vec::new() };
        let store = Arc::clone(&store);
        Pdp::open(store, model, files, Arc::new(Fixed)).expect("the model fits the store")
    };
    open().close();
    for tuples in world::tuples(tuples).chunks(COMMIT_TUPLES) {
        let changes = tuples.iter().cloned().map(Change::Put).collect();
        let commit = Commit { time: Time(0), changes, model: None, request: None };
        store.append(store.head().revision, &[commit]).expect("the commit is taken");
    }
    open()
}

/// Serves Bailiwick on a TCP port; where.
pub(crate) async fn tcp(pdp: Pdp) -> String {
    let address = "127.0.0.1:0".parse().expect("an address");
    let config = ListenConfig { address, insecure: false };
    let server = BoundServer::bind(&config).await.expect("a free port");
    let url = format!("http://{}", server.local_addr());
    tokio::spawn(server.serve(Box::new(move || Ok(pdp)), pending::<()>()));
    url
}

/// So many connections to it, once it answers.
pub(crate) async fn connect(url: &str, many: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..many {
        let channel = channel(url).await;
        clients.push(Client::new(channel).max_decoding_message_size(64 << 20));
    }
    clients
}

/// One connection to it, once it answers.
pub(crate) async fn channel(url: &str) -> Channel {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL").tcp_nodelay(true);
    let channel = endpoint.connect().await.expect("connects");
    let mut client = Client::new(channel.clone());
    // The service may still be opening its store.
    while client.check(question(0)).await.is_err() {
        tokio::task::yield_now().await;
    }
    channel
}

/// How many tuples the questions are asked of.
pub(crate) const TUPLES: u64 = 1_000_000;

static QUESTIONS: LazyLock<Vec<(String, &'static str, String)>> =
    LazyLock::new(|| world::questions(TUPLES, 4_096));

/// One of many questions.
pub(crate) fn question(at: usize) -> pb::CheckRequest {
    let (subject, permission, scope) = &QUESTIONS[at % QUESTIONS.len()];
    let (subject, scope) = (subject.clone(), scope.clone());
    pb::CheckRequest { subject, permission: (*permission).into(), scope, ..Default::default() }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
