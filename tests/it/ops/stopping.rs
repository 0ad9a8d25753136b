//! The end of the process, as an orchestrator brings it about: what is under way is answered, what comes
//! after is refused, and a second signal ends it at once.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::ACCEPT_PAUSE_MILLIS;
use h2::client::{ResponseFuture, SendRequest};
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::Status;
use tonic::codegen::Bytes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::get;
use super::operated::Process;

/// A question under way: its headers and half of its body are sent.
struct Half {
    _client: SendRequest<Bytes>,
    response: ResponseFuture,
    body: h2::SendStream<Bytes>,
    rest: Bytes,
}

impl Half {
    async fn ask(address: &str) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let check = pb::CheckRequest {
            subject: "user:ana".into(),
            permission: "doc.view".into(),
            scope: "doc:d1".into(),
            ..Default::default()
        };
        let message = check.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let bytes = Bytes::from([&[0][..], &length, &message].concat());
        let path = "/bailiwick.v1.AuthorizationService/Check";
        let request = http::Request::post(format!("http://{address}{path}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc");
        let (response, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(bytes.slice(..9), false).unwrap();
        Self { _client: client, response, body, rest: bytes.slice(9..) }
    }

    /// Sends the rest; the code of the answer.
    async fn finish(mut self) -> tonic::Code {
        self.body.send_data(self.rest, true).unwrap();
        let mut answer = self.response.await.unwrap().into_body();
        while let Some(data) = answer.data().await {
            let length = data.unwrap().len();
            answer.flow_control().release_capacity(length).unwrap();
        }
        let trailers = answer.trailers().await.unwrap().expect("trailers");
        Status::from_header_map(&trailers).expect("a status").code()
    }
}

async fn in_flight(admin: &str, count: u64) {
    let wanted = format!("\nbailiwick_requests_in_flight {count}\n");
    while !get(admin, "/metrics").await.2.contains(&wanted) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn sigterm_answers_what_is_under_way_and_takes_nothing_more() {
    let data = tempfile::tempdir().unwrap();
    let mut process = Process::ready(data.path(), &["--admin", "127.0.0.1:0"], &[]).await;
    let address = process.endpoint.strip_prefix("http://").unwrap().to_owned();
    let admin = process.admin.clone().unwrap();
    let mut health = HealthClient::new(process.channel().await);
    let whole = HealthCheckRequest { service: String::new() };
    let mut changes = health.watch(whole).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let half = Half::ask(&address).await;
    in_flight(&admin, 1).await;

    process.signal("TERM");
    assert_eq!(changes.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    while TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let (status, _, text) = get(&admin, "/readyz").await;
    assert!(status == 503 && text.starts_with("draining\n"), "{text}");
    assert_eq!(get(&admin, "/healthz").await.0, 200);
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{admin}")).unwrap();
    let mut probe = HealthClient::new(endpoint.connect().await.unwrap());
    for (name, wanted) in [("", ServingStatus::NotServing), ("liveness", ServingStatus::Serving)] {
        let request = HealthCheckRequest { service: name.into() };
        assert_eq!(probe.check(request).await.unwrap().into_inner().status(), wanted, "{name}");
    }
    assert_eq!(half.finish().await, tonic::Code::Ok);
    let (status, log) = tokio::task::spawn_blocking(move || process.end()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped") && !log.contains("still under way"), "{log}");
}

#[tokio::test]
async fn a_drain_ends_even_if_a_request_does_not() {
    let data = tempfile::tempdir().unwrap();
    let args = ["--admin", "127.0.0.1:0", "--drain-seconds", "1"];
    let mut process = Process::ready(data.path(), &args, &[]).await;
    let address = process.endpoint.strip_prefix("http://").unwrap().to_owned();
    let _half = Half::ask(&address).await;
    in_flight(&process.admin.clone().unwrap(), 1).await;
    process.signal("INT");
    let (status, log) = tokio::task::spawn_blocking(move || process.end()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("still under way"), "{log}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let data = tempfile::tempdir().unwrap();
    let args = ["--admin", "127.0.0.1:0", "--drain-seconds", "600"];
    let mut process = Process::ready(data.path(), &args, &[]).await;
    let address = process.endpoint.strip_prefix("http://").unwrap().to_owned();
    let mut health = HealthClient::new(process.channel().await);
    let whole = HealthCheckRequest { service: String::new() };
    let mut changes = health.watch(whole).await.unwrap().into_inner();
    changes.message().await.unwrap().unwrap();
    let _half = Half::ask(&address).await;
    in_flight(&process.admin.clone().unwrap(), 1).await;
    process.signal("TERM");
    assert_eq!(changes.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    process.signal("TERM");
    let (status, log) = tokio::task::spawn_blocking(move || process.end()).await.unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("at once"), "{log}");
    // Nothing is harmed by it.
    let again = Process::ready(data.path(), &[], &[]).await;
    assert_eq!(again.ask(&["check", "user:ana", "doc.view", "doc:d1"]).status.code(), Some(2));
}

#[tokio::test]
async fn a_service_out_of_files_waits_and_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let began = std::time::Instant::now();
    let under = ["sh", "-c", "ulimit -n 48; exec \"$@\"", "sh"];
    let mut process = Process::under(&under, data.path(), &["--listen", "127.0.0.1:0"], &[]);
    process.wait_until(ServingStatus::Serving).await;
    let address = process.endpoint.strip_prefix("http://").unwrap().to_owned();
    let mut kept = Vec::new();
    for _ in 0..64 {
        kept.push(TcpStream::connect(&address).await.unwrap());
    }
    while !process.log().contains("cannot accept connections") {
        tokio::task::yield_now().await;
    }
    drop(kept);
    process.wait_until(ServingStatus::Serving).await;
    process.signal("TERM");
    let (status, log) = tokio::task::spawn_blocking(move || process.end()).await.unwrap();
    assert!(status.success(), "{log}");
    let told = log.matches("cannot accept connections").count();
    let pauses = began.elapsed().as_millis() / u128::from(ACCEPT_PAUSE_MILLIS);
    assert!(told > 0 && told as u128 <= pauses + 1, "{told} in {pauses} pauses: {log}");
}
