//! Callers that keep the service waiting: what they hold is given back, and others are served.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{
    CARRIED_BYTES_MAX, IN_FLIGHT_REQUESTS_MAX, STREAM_BUFFER_ENTRIES, STREAM_PART_ENTRIES,
    STREAMS_MAX, STREAMS_PER_CONNECTION_MAX,
};
use bailiwick::server::{BoundServer, ListenConfig};
use bailiwick::store::memory::MemoryStore;
use h2::client::{ResponseFuture, SendRequest};
use pb::tuple_service_client::TupleServiceClient;
use tokio::sync::oneshot;
use tonic::codegen::Bytes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::client::{ask, change, item, tuple};
use super::raw::unframed;
use crate::support::SetClock;
use crate::support::service::{assert_refused, pdp};

pub(super) const CHECK: &str = "/bailiwick.v1.AuthorizationService/Check";
const BATCH_CHECK: &str = "/bailiwick.v1.AuthorizationService/BatchCheck";
pub(super) const READ_TUPLES: &str = "/bailiwick.v1.TupleService/ReadTuples";
const SHORT: Duration = Duration::from_millis(20);

/// A service that waits for its callers as long as told; ends with the runtime.
pub(super) async fn serve(patience: Patience) -> SocketAddr {
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = BoundServer::bind(&ListenConfig { address, insecure: false }).await.unwrap();
    let address = server.local_addr();
    let open = || Ok(pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default())));
    let server = server.with_patience(patience);
    tokio::spawn(server.serve(Box::new(open), std::future::pending()));
    let mut health = HealthClient::new(channel(address).await);
    let whole = HealthCheckRequest { service: String::new() };
    let mut changes = health.watch(whole).await.unwrap().into_inner();
    while changes.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    address
}

async fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// A message as it is on the wire.
pub(super) fn framed(message: &impl prost::Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat().into()
}

fn question() -> Bytes {
    framed(&ask("user:ana doc.view doc:d1"))
}

/// A client of HTTP/2 itself, which may break off where tonic's goes on.
pub(super) async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Begins a call with its headers; the body is the caller's.
pub(super) fn begin(
    client: &mut SendRequest<Bytes>,
    path: &str,
    timeout: Option<&str>,
) -> (ResponseFuture, h2::SendStream<Bytes>) {
    let mut request = http::Request::post(format!("http://localhost{path}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    client.send_request(request.body(()).unwrap(), false).unwrap()
}

/// The status of an answer that is nothing but its status.
pub(super) async fn status_of(response: ResponseFuture) -> Status {
    Status::from_header_map(response.await.unwrap().headers()).expect("a status in the headers")
}

/// What the service logs on the threads that this is the dispatcher of.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn dispatch(&self) -> tracing::Dispatch {
        let log = self.clone();
        tracing_subscriber::fmt()
            .with_env_filter("bailiwick=debug")
            .with_ansi(false)
            .with_writer(move || log.clone())
            .into()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_is_no_fault_of_the_service() {
    let log = Log::default();
    let _logging = tracing::dispatcher::set_default(&log.dispatch());
    let address = serve(Patience::default()).await;
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    let connection = tokio::spawn(connection);
    // Half a question is sent, and the service has it: it answers what comes after it.
    let (half, mut half_body) = begin(&mut client, CHECK, None);
    half_body.send_data(question().slice(..9), false).unwrap();
    let (whole, mut body) = begin(&mut client, CHECK, None);
    body.send_data(question(), true).unwrap();
    whole.await.unwrap();
    connection.abort();
    half.await.unwrap_err();
    while !log.text().contains("a caller went away") {
        assert!(!log.text().contains("ERROR"), "{}", log.text());
        tokio::task::yield_now().await;
    }
    assert!(!log.text().contains("ERROR"), "{}", log.text());
}

#[tokio::test]
async fn one_connection_has_a_part_of_the_places() {
    let mut client = connect(serve(Patience::default()).await).await;
    let (response, mut body) = begin(&mut client, CHECK, None);
    body.send_data(question(), true).unwrap();
    assert!(response.await.unwrap().headers().get("grpc-status").is_none(), "a refusal");
    let most = client.current_max_send_streams();
    assert_eq!(most, STREAMS_PER_CONNECTION_MAX as usize);
    assert!(most < IN_FLIGHT_REQUESTS_MAX, "{most}");
}

#[tokio::test]
async fn whoever_asks_for_a_tunnel_is_refused_at_once() {
    let mut client = connect(serve(Patience::default()).await).await;
    for _ in 0..3 {
        let request = http::Request::connect("localhost:80").body(()).unwrap();
        let (response, _body) = client.send_request(request, false).unwrap();
        let response = response.await.unwrap();
        let status = Status::from_header_map(response.headers()).expect("a status");
        assert_refused(&status, Code::Unimplemented, "UNKNOWN_METHOD", "");
        // To its end, one way or the other.
        let mut body = response.into_body();
        while let Some(Ok(_)) = body.data().await {}
    }
    answered(&mut client).await;
}

#[tokio::test]
async fn headers_without_a_body_lose_their_place() {
    let address = serve(Patience { request: SHORT, ..Patience::default() }).await;
    let mut client = connect(address).await;
    let (patient, mut patient_body) = begin(&mut client, CHECK, Some("1M"));
    let mut held = Vec::new();
    for _ in 0..IN_FLIGHT_REQUESTS_MAX / 8 {
        held.push(begin(&mut client, CHECK, None));
    }
    for (response, _body) in held {
        let status = status_of(response).await;
        assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "");
    }
    // A deadline of the caller's own counts, even where it is longer.
    patient_body.send_data(question(), true).unwrap();
    assert!(patient.await.unwrap().headers().get("grpc-status").is_none(), "a refusal");
}

#[tokio::test]
async fn a_deadline_of_the_callers_own_is_bounded() {
    let patience = Patience { request: SHORT, request_max: SHORT, ..Patience::default() };
    let mut client = connect(serve(patience).await).await;
    let (response, _body) = begin(&mut client, CHECK, Some("99999999H"));
    let status = status_of(response).await;
    assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "");
}

/// Reads a list to its end: how many entries came, and the status there.
pub(super) async fn end_of(mut body: h2::RecvStream) -> (usize, Status) {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let trailers = body.trailers().await.unwrap().expect("trailers");
    (unframed(&bytes).len(), Status::from_header_map(&trailers).expect("a status in the trailers"))
}

#[tokio::test]
async fn lists_that_nobody_reads_lose_their_place() {
    let address = serve(Patience { stream_stall: SHORT, ..Patience::default() }).await;
    let mut tuples = TupleServiceClient::new(channel(address).await);
    // Large entries, so that the transport's own buffers hold few of them.
    let name = |i: usize| {
        let mut tuple = tuple(&format!("doc:d{i}#viewer@user:ana"));
        tuple.reason = "r".repeat(CARRIED_BYTES_MAX);
        change(pb::Operation::Touch, tuple)
    };
    let changes = (0..3 * STREAM_BUFFER_ENTRIES).map(name).collect();
    let request = pb::WriteTuplesRequest { changes, ..Default::default() };
    tuples.write_tuples(request).await.unwrap();

    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut nobody_reads = h2::client::Builder::new();
    nobody_reads.initial_window_size(0).initial_connection_window_size(1 << 24);
    let (mut client, mut connection) = nobody_reads.handshake(socket).await.unwrap();
    let (read_now, mut reading) = oneshot::channel();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                size = &mut reading, if !reading.is_terminated() => {
                    connection.set_initial_window_size(size.unwrap()).unwrap();
                }
                ended = &mut connection => return ended,
            }
        }
    });
    let mut lists = Vec::new();
    for _ in 0..STREAMS_MAX {
        let (response, mut body) = begin(&mut client, READ_TUPLES, None);
        body.send_data(framed(&pb::ReadTuplesRequest::default()), true).unwrap();
        lists.push(response.await.unwrap().into_body());
    }
    // Every place is taken until the first is given back.
    let filter = Some(pb::TupleFilter { scope: "doc:d1".into(), ..Default::default() });
    let request = pb::ReadTuplesRequest { filter, ..Default::default() };
    let mut attempts = 0..50_000;
    while tuples.read_tuples(request.clone()).await.is_err() {
        attempts.next().expect("the places of lists that nobody reads");
    }
    // A list that lost its place says so to whoever reads it after all.
    read_now.send(1 << 20).unwrap();
    let mut cut = Vec::new();
    for list in lists {
        let (entries, status) = end_of(list).await;
        if status.code() != Code::Ok {
            assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "");
            cut.push(entries);
        }
    }
    // What had been made when it was cut is what waits at most, and one of the transport's buffers. Others
    // may have been read a little before they were cut.
    let fewest = *cut.iter().min().expect("no list was cut short");
    let made = STREAM_BUFFER_ENTRIES + STREAM_PART_ENTRIES;
    let buffered = STREAM_BUFFER_ENTRIES..made + 64;
    assert!(buffered.contains(&fewest), "{fewest} entries were made for nobody");
}

#[test]
fn a_batch_ends_where_its_caller_goes_away() {
    let log = Log::default();
    let dispatch = log.dispatch();
    // With one thread for jobs, the test decides when the batch begins, and learns when it has ended.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&dispatch)))
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut client = connect(serve(Patience::default()).await).await;
        let (begin_job, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let before = tokio::task::spawn_blocking(move || wait.recv());
        let item = item("user:ana doc.view doc:d1");
        let request = pb::BatchCheckRequest { items: vec![item; 100], ..Default::default() };
        let (response, mut body) = begin(&mut client, BATCH_CHECK, None);
        body.send_data(framed(&request), true).unwrap();
        // One frame holds the batch. What is answered is behind the batch, and then behind the cancellation.
        answered(&mut client).await;
        drop((response, body));
        answered(&mut client).await;
        begin_job.send(()).unwrap();
        before.await.unwrap().unwrap();
        tokio::task::spawn_blocking(|| ()).await.unwrap();
    });
    assert!(log.text().contains("a batch ends early"), "{}", log.text());
}

/// Asks a question and waits for its answer.
async fn answered(client: &mut SendRequest<Bytes>) {
    let (response, mut body) = begin(client, CHECK, None);
    body.send_data(question(), true).unwrap();
    let response = response.await.unwrap();
    assert!(response.headers().get("grpc-status").is_none(), "a refusal");
}
