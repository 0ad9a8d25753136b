//! Bounds of the wire that no single request shows: windows, pings, the drain; and those of a commit and
//! of what a message quotes, to the number.

use std::sync::Arc;
use std::time::Duration;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{
    ADMIN_IDLE_SECONDS, BODY_SECONDS, COMMIT_BYTES_MAX, COMMIT_CHANGES_MAX,
    CONNECTION_WINDOW_BYTES, DRAIN_SECONDS, GREETING_SECONDS, KEEPALIVE_ANSWER_SECONDS,
    KEEPALIVE_SECONDS, NAME_BYTES_MAX, QUOTED_BYTES_MAX, REQUEST_SECONDS_DEFAULT,
    REQUEST_SECONDS_MAX, STREAM_STALL_SECONDS, STREAM_WINDOW_BYTES, UNREAD_SECONDS,
};
use bailiwick::store::memory::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::codegen::Bytes;
use tonic_health::pb::health_check_response::ServingStatus;

use super::client::{Wire, ask, touch};
use super::hostile::serve;
use crate::support::SetClock;
use crate::support::service::{Service, assert_refused, pdp, refusal};

const CHECK: &str = "http://localhost/bailiwick.v1.AuthorizationService/Check";
const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(3_600);

/// The tests wait with shorter ones; these are what a service waits.
#[test]
fn the_services_patience_is_what_the_limits_say() {
    let seconds = Duration::from_secs;
    let expected = Patience {
        request: seconds(REQUEST_SECONDS_DEFAULT),
        request_max: seconds(REQUEST_SECONDS_MAX),
        body: seconds(BODY_SECONDS),
        stream_stall: seconds(STREAM_STALL_SECONDS),
        unread: seconds(UNREAD_SECONDS),
        greeting: seconds(GREETING_SECONDS),
        admin_idle: seconds(ADMIN_IDLE_SECONDS),
        keepalive: seconds(KEEPALIVE_SECONDS),
        keepalive_answer: seconds(KEEPALIVE_ANSWER_SECONDS),
        drain: seconds(DRAIN_SECONDS),
    };
    assert_eq!(Patience::default(), expected);
}

/// Begins a call that never sends its body.
fn begin(
    client: &mut h2::client::SendRequest<Bytes>,
) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let request = http::Request::post(CHECK).header("content-type", "application/grpc");
    client.send_request(request.body(()).unwrap(), false).unwrap()
}

#[tokio::test]
async fn so_many_bytes_of_bodies_wait_to_be_read() {
    let socket = TcpStream::connect(serve(Patience::default()).await).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder.max_send_buffer_size(1 << 30);
    let (client, mut connection) = builder.handshake::<_, Bytes>(socket).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    // Its answer comes behind the service's settings, which are in force then.
    pings.ping(h2::Ping::opaque()).await.unwrap();
    let mut client = client.ready().await.unwrap();
    let (stream, whole) = (STREAM_WINDOW_BYTES as usize, CONNECTION_WINDOW_BYTES as usize);
    let mut calls = Vec::new();
    for _ in 0..whole / stream + 1 {
        let (response, mut body) = begin(&mut client);
        body.reserve_capacity(2 * whole);
        calls.push((response, body));
    }
    pings.ping(h2::Ping::opaque()).await.unwrap();
    let granted: Vec<usize> = calls.iter().map(|(_, body)| body.capacity()).collect();
    let (last, others) = granted.split_last().unwrap();
    assert!(others.iter().all(|bytes| *bytes == stream), "{granted:?}");
    assert_eq!(*last, whole % stream, "{granted:?}");
}

/// HTTP/2 by hand: a client that answers pings or does not.
struct Frames(TcpStream);

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;

impl Frames {
    async fn open(address: std::net::SocketAddr) -> Self {
        let mut frames = Self(TcpStream::connect(address).await.unwrap());
        frames.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        frames.send(SETTINGS, 0, &[]).await;
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).unwrap();
        let head = [0, 0, length, kind, flags, 0, 0, 0, 0];
        self.0.write_all(&[&head, payload].concat()).await.unwrap();
    }

    /// Kind, flags and payload of the next frame; `None` where the connection ends.
    async fn next(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((head[3], head[4], payload))
    }
}

#[tokio::test]
async fn a_connection_whose_pings_nobody_answers_is_dead() {
    let patience = Patience { keepalive: SHORT, keepalive_answer: SHORT, ..Patience::default() };
    let address = serve(patience).await;
    let mut silent = Frames::open(address).await;
    let mut pings = 0;
    while let Some((kind, flags, _)) = silent.next().await {
        pings += u32::from(kind == PING && flags & ACK == 0);
    }
    assert_eq!(pings, 1, "it ended at the first ping that was not answered");
    // Answered in time, they go on.
    let patience = Patience { keepalive: SHORT, keepalive_answer: LONG, ..Patience::default() };
    let mut lively = Frames::open(serve(patience).await).await;
    let mut pings = 0;
    while pings < 5 {
        let (kind, flags, payload) = lively.next().await.expect("a connection that lives");
        if kind == PING && flags & ACK == 0 {
            lively.send(PING, ACK, &payload).await;
            pings += 1;
        }
    }
}

#[tokio::test]
async fn a_drain_ends_though_requests_do_not() {
    let patience =
        Patience { request: LONG, request_max: LONG, drain: SHORT, ..Patience::default() };
    let open = || Ok(pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default())));
    let service = Service::open_with(Box::new(open), patience).await;
    service.wait_until(ServingStatus::Serving).await;
    let socket = TcpStream::connect(service.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let (response, _body) = begin(&mut client);
    service.stop().await.unwrap();
    drop(response);
}

#[tokio::test]
async fn a_commit_has_so_many_changes_and_so_many_bytes() {
    let mut wire = Wire::with(&[]).await;
    let change = |i: usize| touch(&format!("doc:d{i}#viewer@user:ana"));
    let most: Vec<_> = (0..COMMIT_CHANGES_MAX).map(change).collect();
    let written = wire.write(most.clone()).await.unwrap();
    assert_eq!(written.changed, COMMIT_CHANGES_MAX as u64);
    let over = [most, vec![change(COMMIT_CHANGES_MAX)]].concat();
    let status = wire.write(over).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "COMMIT_TOO_LARGE", "changes");
    assert_eq!(refusal(&status).2["limit"], COMMIT_CHANGES_MAX.to_string());
    assert!(status.message().contains(&COMMIT_CHANGES_MAX.to_string()), "{status:?}");

    // The store's own tests know the bytes of a commit exactly; here, that the wire says so.
    let long = |i: usize| touch(&format!("doc:{i}-{}#viewer@user:ana", "x".repeat(1_000)));
    let kibibytes = COMMIT_BYTES_MAX >> 10;
    let fits = kibibytes * 9 / 10;
    wire.write((0..fits).map(long).collect()).await.unwrap();
    // Others: what is there already would take no room.
    let over = (fits..fits + kibibytes * 11 / 10).map(long);
    let status = wire.write(over.collect()).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "COMMIT_TOO_LARGE", "");
    assert_eq!(refusal(&status).2["limit_bytes"], COMMIT_BYTES_MAX.to_string());
    assert!(status.message().contains(&COMMIT_BYTES_MAX.to_string()), "{status:?}");
}

#[tokio::test]
async fn what_a_message_quotes_is_cut() {
    let mut wire = Wire::with(&[]).await;
    let value = |permission: &str| ask(&format!("user:ana {permission} doc:d"));
    let quoted = async |wire: &mut Wire, length: usize| {
        let status = wire.check(value(&"p".repeat(length))).await.unwrap_err();
        let shown = refusal(&status).2["value"].clone();
        assert!(status.message().contains(&format!("`{shown}`")), "{status:?}");
        shown
    };
    assert_eq!(quoted(&mut wire, QUOTED_BYTES_MAX).await, "p".repeat(QUOTED_BYTES_MAX));
    let cut = format!("{}...", "p".repeat(QUOTED_BYTES_MAX));
    assert_eq!(quoted(&mut wire, QUOTED_BYTES_MAX + 1).await, cut);
    // At a character's boundary: of these each takes three bytes.
    let subject = format!("{}:ana", "\u{20ac}".repeat(NAME_BYTES_MAX));
    let request = pb::CheckRequest { subject, ..ask("x doc.view doc:d") };
    let status = wire.check(request).await.unwrap_err();
    let cut = format!("`{}...`", "\u{20ac}".repeat(QUOTED_BYTES_MAX / 3));
    assert!(status.message().contains(&cut), "{status:?}");
}
