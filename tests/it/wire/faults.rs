//! Errors that no handler makes: bytes, sizes, methods, panics, deadlines, and a service that is not
//! ready. Each has a code, a reason and an ErrorInfo, as every other error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{
    IN_FLIGHT_REQUESTS_MAX, REQUEST_BYTES_MAX, STREAMS_PER_CONNECTION_MAX,
};
use bailiwick::model::tuple::Time;
use bailiwick::pdp::Clock;
use bailiwick::server::{BoundServer, ListenConfig, ServeError};
use bailiwick::store::memory::MemoryStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::Service as _;

use crate::support::SetClock;
use crate::support::service::{Service, assert_refused, pdp};
use crate::support::store::HookedStore;

const CHECK: &str = "/bailiwick.v1.AuthorizationService/Check";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const WRITE: &str = "/bailiwick.v1.TupleService/WriteTuples";

/// Sends a body as it is and returns the status of a response that is nothing but its status.
async fn send(channel: &mut Channel, path: &str, headers: &[(&str, &str)], body: String) -> Status {
    let mut request = http::Request::post(path)
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    let response = channel.call(request.body(Body::new(body)).unwrap()).await.unwrap();
    Status::from_header_map(response.headers()).expect("a status in the headers")
}

/// A gRPC frame of these bytes.
fn frame(message: &str) -> String {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let header: String = std::iter::once(0)
        .chain(length)
        .map(|b| if b < 128 { b as char } else { panic!() })
        .collect();
    header + message
}

#[tokio::test]
async fn bytes_that_are_no_protobuf_are_the_callers_error() {
    let service = Service::start().await;
    let mut channel = service.channel().await;
    // Field 1, four bytes long, of which one comes; and a wire type that does not exist.
    for bytes in ["\x0a\x04x", "\x0f"] {
        for path in [CHECK, WRITE] {
            let status = send(&mut channel, path, &[], frame(bytes)).await;
            assert_refused(&status, Code::InvalidArgument, "MALFORMED_REQUEST", "");
        }
    }
    // So large that it is read elsewhere; each byte of its length is one that `frame` can write.
    let large = "\x0f".repeat(0x1_7f7f);
    let status = send(&mut channel, WRITE, &[], frame(&large)).await;
    assert_refused(&status, Code::InvalidArgument, "MALFORMED_REQUEST", "");
    // Behind the one message that a call has.
    for path in [CHECK, WRITE] {
        let status = send(&mut channel, path, &[], frame("") + &frame("\x0f")).await;
        assert_refused(&status, Code::InvalidArgument, "MALFORMED_REQUEST", "");
    }
    // The codec of health is tonic's own: the outermost layer corrects it.
    let status = send(&mut channel, HEALTH, &[], frame("\x0a\x04x")).await;
    assert_refused(&status, Code::InvalidArgument, "MALFORMED_REQUEST", "");
}

#[tokio::test]
async fn broken_framing_is_a_protocol_error() {
    let service = Service::start().await;
    let mut channel = service.channel().await;
    let cut = frame("\x0a\x04user").chars().take(7).collect::<String>();
    for body in [String::new(), cut, "\x01\0\0\0\0".to_owned(), "\x07\0\0\0\0".to_owned()] {
        let status = send(&mut channel, CHECK, &[], body.clone()).await;
        assert_refused(&status, Code::InvalidArgument, "PROTOCOL_ERROR", "");
    }
    // No body at all: the stream ends with the headers.
    let request = http::Request::post(CHECK).header("content-type", "application/grpc");
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    let response = channel.call(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = Status::from_header_map(response.headers()).expect("a status in the headers");
    assert_refused(&status, Code::InvalidArgument, "PROTOCOL_ERROR", "");
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_is_read() {
    let service = Service::start().await;
    let mut channel = service.channel().await;
    let length = u32::try_from(REQUEST_BYTES_MAX + 1).unwrap().to_be_bytes();
    let header: String = std::iter::once(0).chain(length).map(char::from).collect();
    let status = send(&mut channel, CHECK, &[], header).await;
    assert_refused(&status, Code::ResourceExhausted, "REQUEST_TOO_LARGE", "");
    assert!(status.message().contains(&REQUEST_BYTES_MAX.to_string()), "{status:?}");
}

#[tokio::test]
async fn unknown_methods_and_encodings_are_unimplemented() {
    let service = Service::start().await;
    let mut channel = service.channel().await;
    for path in ["/bailiwick.v1.AuthorizationService/Chekc", "/bailiwick.v2.X/Y", "/", "/x"] {
        let status = send(&mut channel, path, &[], frame("")).await;
        assert_refused(&status, Code::Unimplemented, "UNKNOWN_METHOD", "");
    }
    let status = send(&mut channel, CHECK, &[("grpc-encoding", "gzip")], frame("")).await;
    assert_refused(&status, Code::Unimplemented, "UNSUPPORTED_ENCODING", "");
}

#[tokio::test]
async fn health_says_what_it_does_not_know() {
    let service = Service::start().await;
    let mut health = HealthClient::new(service.channel().await);
    for name in ["", "bailiwick.v1.AuthorizationService", "bailiwick.v1.DelegationService"] {
        let request = HealthCheckRequest { service: name.into() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    let request = HealthCheckRequest { service: "nobody".into() };
    let status = health.check(request).await.unwrap_err();
    assert_refused(&status, Code::NotFound, "NOT_FOUND", "");
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let service = Service::start().await;
    let channel = service.channel().await;
    let expected = [
        "bailiwick.v1.AuthorizationService",
        "bailiwick.v1.DelegationService",
        "bailiwick.v1.ModelService",
        "bailiwick.v1.TupleService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ];
    macro_rules! ask {
        ($version:ident) => {{
            use tonic_reflection::pb::$version as wire;
            use wire::server_reflection_client::ServerReflectionClient;
            use wire::server_reflection_request::MessageRequest;
            use wire::server_reflection_response::MessageResponse;
            let ask = |message_request| {
                tokio_stream::once(wire::ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(message_request),
                })
            };
            let mut client = ServerReflectionClient::new(channel.clone());
            let list = ask(MessageRequest::ListServices(String::new()));
            let mut answers = client.server_reflection_info(list).await.unwrap().into_inner();
            let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
            let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
            let mut names: Vec<_> = list.service.into_iter().map(|entry| entry.name).collect();
            names.sort();
            assert_eq!(names, expected);
            // What the details of every error are made of: clients show them by it.
            let symbol = "google.rpc.ErrorInfo".to_owned();
            let symbol = ask(MessageRequest::FileContainingSymbol(symbol));
            let mut answers = client.server_reflection_info(symbol).await.unwrap().into_inner();
            let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
            let MessageResponse::FileDescriptorResponse(found) = answer else {
                panic!("{answer:?}")
            };
            let file = found.file_descriptor_proto.first().unwrap().as_slice();
            let file = <prost_types::FileDescriptorProto as prost::Message>::decode(file).unwrap();
            assert!(file.message_type.iter().any(|message| message.name() == "ErrorInfo"));
            for import in &file.dependency {
                let import = ask(MessageRequest::FileByFilename(import.clone()));
                let mut answers = client.server_reflection_info(import).await.unwrap().into_inner();
                answers.message().await.expect("an import of the file");
            }
            // The error comes in the trailers of a stream: it is explained there too.
            let symbol = ask(MessageRequest::FileContainingSymbol("no.Such".to_owned()));
            let mut answers = client.server_reflection_info(symbol).await.unwrap().into_inner();
            let status = answers.message().await.unwrap_err();
            assert_refused(&status, Code::NotFound, "NOT_FOUND", "");
        }};
    }
    ask!(v1);
    ask!(v1alpha);
}

fn question() -> pb::CheckRequest {
    pb::CheckRequest {
        subject: "user:ana".into(),
        permission: "doc.view".into(),
        scope: "doc:d1".into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn nothing_but_health_answers_before_recovery_ends() {
    let (recover, wait) = mpsc::sync_channel::<()>(1);
    let service = Service::open(Box::new(move || {
        wait.recv()?;
        Ok(pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default())))
    }))
    .await;
    service.wait_until(ServingStatus::NotServing).await;
    let mut channel = service.channel().await;
    let mut client = AuthorizationServiceClient::new(channel.clone());
    let status = client.check(question()).await.unwrap_err();
    assert_refused(&status, Code::Unavailable, "NOT_READY", "");
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for path in [reflection, "/bailiwick.v1.TupleService/WriteTuples", "/nothing/here"] {
        let status = send(&mut channel, path, &[], frame("")).await;
        assert_refused(&status, Code::Unavailable, "NOT_READY", "");
    }
    recover.send(()).unwrap();
    service.wait_until(ServingStatus::Serving).await;
    assert_eq!(client.check(question()).await.unwrap().into_inner().revision, 1);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_ends_the_service() {
    let service = Service::open(Box::new(|| Err("the disk is on fire".into()))).await;
    let error = service.failed().await;
    assert!(matches!(&error, ServeError::Open(_)), "{error}");
    assert_eq!(error.to_string(), "the disk is on fire");
}

#[derive(Debug, Default)]
struct FaultyClock(AtomicBool);

impl Clock for FaultyClock {
    fn now(&self) -> Time {
        assert!(!self.0.load(Ordering::SeqCst), "a secret of the service");
        Time(0)
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_service_goes_on() {
    let clock = Arc::new(FaultyClock::default());
    let service =
        Service::start_on(Arc::new(MemoryStore::new()), Arc::clone(&clock) as Arc<dyn Clock>).await;
    let mut client = AuthorizationServiceClient::new(service.channel().await);
    clock.0.store(true, Ordering::SeqCst);
    let status = client.check(question()).await.unwrap_err();
    assert_refused(&status, Code::Internal, "INTERNAL", "");
    assert!(!status.message().contains("secret"), "{status:?}");
    clock.0.store(false, Ordering::SeqCst);
    client.check(question()).await.unwrap();
}

/// The same over HTTP/2 itself: tonic's client has a timer of its own, which would answer first.
async fn send_bare(
    address: std::net::SocketAddr,
    path: &str,
    timeout: &str,
    body: String,
) -> Status {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("http://{address}{path}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", timeout)
        .body(())
        .unwrap();
    let (response, mut sender) = client.send_request(request, false).unwrap();
    sender.send_data(body.into(), true).unwrap();
    let response = response.await.unwrap();
    Status::from_header_map(response.headers()).expect("a status in the headers")
}

#[tokio::test]
async fn the_callers_deadline_is_kept_and_explained() {
    let (open, gate) = mpsc::sync_channel(4);
    open.send(()).unwrap();
    // Appends wait until they are let through.
    let gate = Mutex::new(gate);
    let store = HookedStore::new(move || {
        let _ = gate.lock().unwrap().recv();
        Ok(())
    });
    let service = Service::start_on(Arc::new(store), Arc::new(SetClock::default())).await;
    // One change: TOUCH doc:d1#viewer@user:ana.
    let tuple = "\x0a\x06doc:d1\x12\x06viewer\x1a\x08user:ana";
    let change = format!("\x08\x02\x12{}{tuple}", char::from(u8::try_from(tuple.len()).unwrap()));
    let body = format!("\x0a{}{change}", char::from(u8::try_from(change.len()).unwrap()));
    let path = "/bailiwick.v1.TupleService/WriteTuples";
    let status = send_bare(service.address, path, "20m", frame(&body)).await;
    assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "");
    open.send(()).unwrap();
    service.stop().await.unwrap();
}

/// Calls that stay under way until they are dropped, as their requests end no sooner.
async fn open_calls(service: &Service, count: usize) -> Vec<impl Sized> {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    let mut client = ServerReflectionClient::new(service.channel().await);
    let mut calls = Vec::new();
    for _ in 0..count {
        let (end, requests) = tokio::sync::mpsc::channel(1);
        let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
        let call = client.server_reflection_info(requests).await.unwrap();
        calls.push((end, call.into_inner()));
    }
    calls
}

#[tokio::test]
async fn more_requests_than_the_limit_are_shed_and_health_goes_on() {
    let service = Service::start().await;
    let mut client = AuthorizationServiceClient::new(service.channel().await);
    let per_connection = STREAMS_PER_CONNECTION_MAX as usize;
    let mut calls = Vec::new();
    for _ in 1..IN_FLIGHT_REQUESTS_MAX / per_connection {
        calls.extend(open_calls(&service, per_connection).await);
    }
    let last = open_calls(&service, per_connection).await;
    let status = client.check(question()).await.unwrap_err();
    assert_refused(&status, Code::ResourceExhausted, "OVERLOADED", "");
    service.wait_until(ServingStatus::Serving).await;
    // The service learns of the hang-up when it comes to it.
    calls.clear();
    while client.check(question()).await.is_err() {
        tokio::task::yield_now().await;
    }
    drop(last);
}

#[tokio::test]
async fn stopping_drains_and_ends_the_watchers() {
    let service = Service::start().await;
    let mut health = HealthClient::new(service.channel().await);
    let request = HealthCheckRequest { service: String::new() };
    let mut changes = health.watch(request).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let address = service.address;
    service.stop().await.unwrap();
    let mut last = None;
    while let Ok(Some(change)) = changes.message().await {
        last = Some(change.status());
    }
    assert_eq!(last, Some(ServingStatus::NotServing));
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test]
async fn other_hosts_are_kept_out_unless_asked_for() {
    let everybody = ListenConfig { address: ([0, 0, 0, 0], 0).into(), insecure: false };
    let error = BoundServer::bind(&everybody).await.unwrap_err();
    assert!(matches!(error, ServeError::NotLoopback { .. }), "{error}");
    assert!(error.to_string().contains("--insecure-listen"), "{error}");
    let accepted = ListenConfig { insecure: true, ..everybody };
    assert!(BoundServer::bind(&accepted).await.is_ok());
}
