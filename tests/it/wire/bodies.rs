//! Request messages that come in part, or are many and large at once: what they take is bounded, and small
//! questions find room beside them. And deadlines that are none.

use std::net::SocketAddr;
use std::time::Duration;

use bailiwick::api::Patience;
use bailiwick::model::limits::{
    BODIES_BYTES_MAX, CONNECTION_BODIES_BYTES_MAX, MESSAGE_FIELDS_MAX, REQUEST_BYTES_MAX,
    SIDE_REQUEST_BYTES_MAX, SMALL_BODY_BYTES_MAX,
};
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::codegen::Bytes;

use super::client::ask;
use super::hostile::{CHECK, begin, serve, status_of};
use super::raw::{Connection, bytes_field, framed};
use crate::support::service::{assert_refused, refusal};

const SHORT: Duration = Duration::from_millis(20);

/// A question that takes about so many bytes, most of them in a field that nobody reads.
fn question(bytes: usize) -> Bytes {
    let message = ask("user:ana doc.view doc:d1").encode_to_vec();
    framed(&[message, bytes_field(1_000, &vec![0; bytes])].concat())
}

/// A connection with as much room as the service gives it, and its end.
async fn connect(address: SocketAddr) -> (SendRequest<Bytes>, tokio::task::AbortHandle) {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) =
        h2::client::Builder::new().max_send_buffer_size(1 << 30).handshake(socket).await.unwrap();
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    (client.ready().await.unwrap(), task.abort_handle())
}

/// Begins a question of the largest size and keeps its end back.
fn begin_large(client: &mut SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let whole = question(REQUEST_BYTES_MAX - 1_000);
    let (response, mut body) = begin(client, CHECK, Some("5M"));
    body.send_data(whole.slice(..whole.len() - 100), false).unwrap();
    (response, body)
}

const LARGE_PER_CONNECTION: usize = CONNECTION_BODIES_BYTES_MAX / REQUEST_BYTES_MAX;

#[tokio::test]
async fn half_sent_messages_of_one_connection_take_their_share_and_no_more() {
    let address = serve(Patience { body: Duration::from_secs(600), ..Patience::default() }).await;
    let (mut client, _) = connect(address).await;
    let (mut responses, mut bodies) = (JoinSet::new(), Vec::new());
    for _ in 0..=LARGE_PER_CONNECTION {
        let (response, body) = begin_large(&mut client);
        responses.spawn(status_of(response));
        bodies.push(body);
    }
    let status = responses.join_next().await.unwrap().unwrap();
    assert_refused(&status, Code::ResourceExhausted, "OVERLOADED", "");
    assert_eq!(refusal(&status).2["limit_bytes"], CONNECTION_BODIES_BYTES_MAX.to_string());
    // Beside them small questions are answered, and on another connection the largest.
    let (response, mut body) = begin(&mut client, CHECK, None);
    body.send_data(question(SMALL_BODY_BYTES_MAX / 2), true).unwrap();
    assert!(response.await.unwrap().headers().get("grpc-status").is_none(), "a refusal");
    let other = Connection::open(address).await;
    let answer = other.call(CHECK, &[], question(REQUEST_BYTES_MAX - 1_000)).await.unwrap();
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn half_sent_messages_of_all_connections_are_bounded_and_give_back_what_they_took() {
    let address = serve(Patience { body: Duration::from_secs(600), ..Patience::default() }).await;
    let mut held = Vec::new();
    for _ in 0..BODIES_BYTES_MAX / CONNECTION_BODIES_BYTES_MAX {
        let (mut client, end) = connect(address).await;
        let begun: Vec<_> = (0..LARGE_PER_CONNECTION).map(|_| begin_large(&mut client)).collect();
        held.push((client, begun, end));
    }
    let other = Connection::open(address).await;
    let mut attempts = 0..100_000;
    // They are taken as they arrive.
    let status = loop {
        attempts.next().expect("a bound on what all connections hold");
        let answer = other.call(CHECK, &[], question(2 * SMALL_BODY_BYTES_MAX)).await.unwrap();
        if !answer.is_ok() {
            break answer.status;
        }
    };
    assert_refused(&status, Code::ResourceExhausted, "OVERLOADED", "");
    assert_eq!(refusal(&status).2["limit_bytes"], BODIES_BYTES_MAX.to_string());
    let answer = other.call(CHECK, &[], question(SMALL_BODY_BYTES_MAX / 2)).await.unwrap();
    assert!(answer.is_ok(), "{answer:?}");
    held.iter().for_each(|(.., end)| end.abort());
    while !other.call(CHECK, &[], question(REQUEST_BYTES_MAX - 1_000)).await.unwrap().is_ok() {
        attempts.next().expect("what was held is given back");
    }
}

#[tokio::test]
async fn a_message_that_stalls_loses_its_place_long_before_its_deadline() {
    let address = serve(Patience { body: SHORT, ..Patience::default() }).await;
    let (mut client, _) = connect(address).await;
    for sent in [0, 3, 40] {
        let (response, mut body) = begin(&mut client, CHECK, Some("5M"));
        body.send_data(question(SMALL_BODY_BYTES_MAX).slice(..sent), false).unwrap();
        let status = status_of(response).await;
        assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "");
        assert!(status.message().contains("did not arrive"), "{status:?}");
    }
    let answer = Connection::open(address).await.call(CHECK, &[], question(0)).await.unwrap();
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn health_and_reflection_take_small_messages() {
    let connection = Connection::open(serve(Patience::default()).await).await;
    let name = |bytes: usize| framed(&bytes_field(1, &vec![b'n'; bytes]));
    let (fits, over) = (name(SIDE_REQUEST_BYTES_MAX - 10), name(SIDE_REQUEST_BYTES_MAX));
    let health = "/grpc.health.v1.Health/Check";
    let status = connection.call(health, &[], fits.clone()).await.unwrap().status;
    assert_refused(&status, Code::NotFound, "NOT_FOUND", "");
    let status = connection.call(health, &[], over.clone()).await.unwrap().status;
    assert_refused(&status, Code::ResourceExhausted, "REQUEST_TOO_LARGE", "");
    assert_eq!(refusal(&status).2["limit_bytes"], SIDE_REQUEST_BYTES_MAX.to_string());
    let services =
        |bytes| framed(&[bytes_field(1, &vec![b'h'; bytes]), bytes_field(7, b"")].concat());
    let (fits, over) = (services(SIDE_REQUEST_BYTES_MAX - 10), services(SIDE_REQUEST_BYTES_MAX));
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // Its library ends the stream without a word, whatever is wrong with a message.
        for (body, answers) in [(&fits, 1), (&over, 0)] {
            let answer = connection.call(&path, &[], body.clone()).await.unwrap();
            assert_eq!(answer.messages.len(), answers, "{path}");
        }
    }
}

#[tokio::test]
async fn a_deadline_that_is_no_time_is_refused() {
    let connection = Connection::open(serve(Patience::default()).await).await;
    for path in [CHECK, "/grpc.health.v1.Health/Check"] {
        for wrong in ["abc", "1", "S", "-1S", "+1S", "1 S", "1.5S", "123456789S", "5x", ""] {
            let headers = [("grpc-timeout", wrong)];
            let answer = connection.call(path, &headers, question(0)).await.unwrap();
            let (code, reason) = (Code::InvalidArgument, "PROTOCOL_ERROR");
            assert_refused(&answer.status, code, reason, "grpc-timeout");
            assert!(answer.status.message().contains(&format!("`{wrong}`")), "{answer:?}");
        }
    }
    for right in ["1M", "00000005S", "99999999H"] {
        let headers = [("grpc-timeout", right)];
        let answer = connection.call(CHECK, &headers, question(0)).await.unwrap();
        assert!(answer.is_ok(), "{right}: {answer:?}");
    }
}

#[tokio::test]
async fn a_message_of_nothing_but_empty_items_is_refused_before_it_is_read() {
    let connection = Connection::open(serve(Patience::default()).await).await;
    let empty = bytes_field(1, b"");
    for (path, reason) in [
        ("/bailiwick.v1.AuthorizationService/BatchCheck", "BATCH_TOO_LARGE"),
        ("/bailiwick.v1.TupleService/WriteTuples", "COMMIT_TOO_LARGE"),
    ] {
        // Behind a field that nobody knows, of each kind: a group is one too.
        let unknown = [&[0x78, 1][..], &[0x7a, 1, 0], &[0x7b, 0x7c], &[0x7d, 0, 0, 0, 0]];
        for unknown in unknown {
            let message = [unknown, &empty.repeat(MESSAGE_FIELDS_MAX)].concat();
            let status = connection.ask(path, &message).await.status;
            assert_refused(&status, Code::ResourceExhausted, "REQUEST_TOO_LARGE", "");
        }
        let so_many = async |count: usize| connection.ask(path, &empty.repeat(count)).await.status;
        let status = so_many(MESSAGE_FIELDS_MAX).await;
        assert_refused(&status, Code::InvalidArgument, reason, "");
        for count in [MESSAGE_FIELDS_MAX + 1, (REQUEST_BYTES_MAX - 10) / empty.len()] {
            let status = so_many(count).await;
            assert_refused(&status, Code::ResourceExhausted, "REQUEST_TOO_LARGE", "");
            assert_eq!(refusal(&status).2["limit"], MESSAGE_FIELDS_MAX.to_string());
        }
    }
}
