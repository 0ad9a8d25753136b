//! Callers that do not read their answers, and those that say nothing: their connections end, and what
//! they held is given back.

use std::net::SocketAddr;
use std::time::Duration;

use bailiwick::api::pb::v1 as pb;
use bailiwick::config::{Given, Patience, Settings};
use bailiwick::model::limits::{
    BATCH_ITEMS_MAX, CONNECTIONS_MAX, GREETING_SECONDS, UNREAD_PART_BYTES, UNREAD_SECONDS,
};
use h2::client::SendRequest;
use prost::Message as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tonic::codegen::Bytes;

use super::Observed;

const SHORT: Duration = Duration::from_millis(20);

fn question(items: usize) -> (&'static str, Bytes) {
    let (subject, permission, scope) = ("user:ana", "doc.view", "doc:d1");
    let item = pb::BatchCheckItem {
        subject: subject.into(),
        permission: permission.into(),
        scope: scope.into(),
        ..Default::default()
    };
    let batch = pb::BatchCheckRequest { items: vec![item; items], ..Default::default() };
    let message = batch.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let framed = [&[0][..], &length, &message].concat().into();
    ("/bailiwick.v1.AuthorizationService/BatchCheck", framed)
}

/// A client of HTTP/2 itself that reads so many bytes of each answer, and what becomes of its
/// connection.
async fn connect(
    address: SocketAddr,
    window: u32,
) -> (SendRequest<Bytes>, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let socket = TcpStream::connect(address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(window);
    let (client, connection) = builder.handshake(socket).await.unwrap();
    (client, tokio::spawn(connection))
}

fn send(
    client: &mut SendRequest<Bytes>,
    (path, framed): (&str, Bytes),
) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let request = http::Request::post(format!("http://localhost{path}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    let (response, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(framed, true).unwrap();
    (response, body)
}

async fn until_page_says(observed: &Observed, line: &str) {
    while !observed.get("/metrics").await.1.contains(&format!("\n{line}\n")) {
        tokio::task::yield_now().await;
    }
}

async fn closed_unread(window: u32, items: usize) {
    assert_eq!(Patience::default().unread.as_secs(), UNREAD_SECONDS);
    let patience = Patience { unread: SHORT, ..Patience::default() };
    let observed = Observed::start(Settings::default(), patience).await;
    let (mut client, connection) = connect(observed.address, window).await;
    let calls: Vec<_> = (0..4).map(|_| send(&mut client, question(items))).collect();
    let mut answers = Vec::new();
    for (response, body) in calls {
        answers.push((response.await.unwrap().into_body(), body));
    }
    // The answers have begun, and nobody reads on.
    let _ended = connection.await.unwrap();
    until_page_says(&observed, "bailiwick_connections_closed_total{why=\"unread\"} 1").await;
    until_page_says(&observed, "bailiwick_requests_in_flight 0").await;
    until_page_says(&observed, "bailiwick_connections_open 0").await;
}

#[tokio::test]
async fn answers_that_nobody_reads_end_their_connection() {
    closed_unread(0, 1).await;
}

#[tokio::test]
async fn answers_that_the_transport_holds_count_too() {
    // The transport takes all of an answer as soon as one byte of it can be sent.
    let smallest = BATCH_ITEMS_MAX * 4;
    assert!(smallest > UNREAD_PART_BYTES);
    closed_unread(1, BATCH_ITEMS_MAX).await;
}

#[tokio::test]
async fn whoever_reads_keeps_the_connection() {
    let patience = Patience { unread: Duration::from_millis(1), ..Patience::default() };
    let observed = Observed::start(Settings::default(), patience).await;
    let (mut client, connection) = connect(observed.address, 1 << 20).await;
    for _ in 0..200 {
        let (response, _body) = send(&mut client, question(100));
        let mut answer = response.await.unwrap().into_body();
        while let Some(data) = answer.data().await {
            let length = data.unwrap().len();
            answer.flow_control().release_capacity(length).unwrap();
        }
        assert_eq!(answer.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    }
    assert!(!connection.is_finished());
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    assert_eq!(Patience::default().greeting.as_secs(), GREETING_SECONDS);
    let patience = Patience { greeting: SHORT, ..Patience::default() };
    let observed = Observed::start(Settings::default(), patience).await;
    let mut silent = TcpStream::connect(observed.address).await.unwrap();
    let mut all = Vec::new();
    // The service greets first, and hangs up on whoever does not answer.
    let _ended = silent.read_to_end(&mut all).await;
    until_page_says(&observed, "bailiwick_connections_closed_total{why=\"silent\"} 1").await;
    until_page_says(&observed, "bailiwick_connections_open 0").await;
}

#[tokio::test]
async fn connections_over_the_bound_are_closed() {
    assert_eq!(Settings::default().connections(), CONNECTIONS_MAX);
    let settings = Settings::check(&Given { connections: 2, ..Given::default() }).unwrap();
    let observed = Observed::start(settings, Patience::default()).await;
    let first = connect(observed.address, 1 << 16).await;
    let (mut second, _connection) = connect(observed.address, 1 << 16).await;
    until_page_says(&observed, "bailiwick_connections_open 2").await;
    let socket = TcpStream::connect(observed.address).await.unwrap();
    let (_client, third) = h2::client::handshake(socket).await.unwrap();
    // It ends by itself; with which error is the system's choice.
    let _ended = third.await;
    until_page_says(&observed, "bailiwick_connections_closed_total{why=\"full\"} 1").await;
    let (response, _body) = send(&mut second, question(1));
    response.await.unwrap();
    first.1.abort();
    until_page_says(&observed, "bailiwick_connections_open 1").await;
    let (mut fourth, _connection) = connect(observed.address, 1 << 16).await;
    let (response, _body) = send(&mut fourth, question(1));
    response.await.unwrap();
}
