//! Callers that keep the service waiting: what they hold is given back, and others are served.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick::api::Patience;
use bailiwick::model::limits::{IN_FLIGHT_REQUESTS_MAX, STREAMS_PER_CONNECTION_MAX};
use bailiwick::server::{BoundServer, ListenConfig};
use bailiwick::store::memory::MemoryStore;
use h2::client::{ResponseFuture, SendRequest};
use tonic::codegen::Bytes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::client::ask;
use crate::support::SetClock;
use crate::support::service::{assert_refused, pdp};

const CHECK: &str = "/bailiwick.v1.AuthorizationService/Check";
const SHORT: Duration = Duration::from_millis(20);

/// A service that waits for its callers as long as told; ends with the runtime.
async fn serve(patience: Patience) -> SocketAddr {
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
fn framed(message: &impl prost::Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat().into()
}

fn question() -> Bytes {
    framed(&ask("user:ana doc.view doc:d1"))
}

/// A client of HTTP/2 itself, which may break off where tonic's goes on.
async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Begins a call with its headers; the body is the caller's.
fn begin(
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
async fn status_of(response: ResponseFuture) -> Status {
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
    let patience = Patience { request: SHORT, request_max: SHORT };
    let mut client = connect(serve(patience).await).await;
    let (response, _body) = begin(&mut client, CHECK, Some("99999999H"));
    let status = status_of(response).await;
    assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "");
}
