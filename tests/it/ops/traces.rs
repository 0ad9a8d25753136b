//! Spans as a collector gets them: a receiver of the OTLP proto on a free port, and the built service
//! that sends to it.

use std::collections::BTreeMap;

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{SPAN_FLUSH_SECONDS, SPANS_WAITING_MAX};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use pb::authorization_service_client::AuthorizationServiceClient;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;

use super::operated::Process;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const SERVICE: &str = "bailiwick.v1.AuthorizationService";

#[derive(Debug)]
struct Receiver(mpsc::Sender<ResourceSpans>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            self.0.send(spans).await.map_err(|_| Status::unavailable("the test has ended"))?;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector: its URL, and what it is sent.
struct Collector {
    url: String,
    sent: mpsc::Receiver<ResourceSpans>,
    waiting: Vec<Span>,
    resource: BTreeMap<String, Value>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, sent) = mpsc::channel(64);
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Receiver(sender)))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(server);
        Self { url, sent, waiting: Vec::new(), resource: BTreeMap::new() }
    }

    /// The next span, in the order in which they ended.
    async fn next(&mut self) -> Span {
        while self.waiting.is_empty() {
            let ResourceSpans { resource, scope_spans, .. } = self.sent.recv().await.unwrap();
            self.resource = attributes(&resource.unwrap().attributes);
            self.waiting.extend(scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        self.waiting.remove(0)
    }
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, Value> {
    let value = |value: &Option<AnyValue>| value.clone().unwrap().value.unwrap();
    pairs.iter().map(|pair| (pair.key.clone(), value(&pair.value))).collect()
}

fn text(text: &str) -> Value {
    Value::StringValue(text.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ask(question: &str, headers: &[(&'static str, &str)]) -> Request<pb::CheckRequest> {
    let words: Vec<_> = question.split(' ').map(str::to_owned).collect();
    let [subject, permission, scope] = words.try_into().unwrap();
    let mut request =
        Request::new(pb::CheckRequest { subject, permission, scope, ..Default::default() });
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

fn caller(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "20");

#[tokio::test]
async fn a_request_is_a_span_of_its_callers_trace() {
    let mut collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let args = ["--otlp-endpoint", &collector.url];
    let mut process = Process::ready(data.path(), &args, &[SOON]).await;
    let mut client = AuthorizationServiceClient::new(process.channel().await);
    let parent = caller("01");
    let headers = [("traceparent", parent.as_str()), ("tracestate", "vendor=a1,other=b2")];
    client.check(ask("user:ana doc.view doc:d1", &headers)).await.unwrap();
    let span = collector.next().await;
    assert_eq!(span.name, format!("{SERVICE}/Check"));
    assert_eq!(span.kind(), SpanKind::Server);
    assert_eq!(hex(&span.trace_id), TRACE);
    assert_eq!(hex(&span.parent_span_id), PARENT);
    assert_eq!(span.trace_state, "vendor=a1,other=b2");
    assert!(span.span_id.len() == 8 && hex(&span.span_id) != PARENT);
    assert!(0 < span.start_time_unix_nano && span.start_time_unix_nano <= span.end_time_unix_nano);
    assert_eq!(span.status.clone().unwrap_or_default().code(), StatusCode::Unset);
    // All of them: nothing says about whom or where.
    let expected = [
        ("rpc.system", text("grpc")),
        ("rpc.service", text(SERVICE)),
        ("rpc.method", text("Check")),
        ("rpc.grpc.status_code", Value::IntValue(0)),
        ("bailiwick.revision", Value::IntValue(1)),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value));
    assert_eq!(attributes(&span.attributes), BTreeMap::from(expected));
    assert!(span.events.is_empty() && span.links.is_empty());
    assert_eq!(collector.resource["service.name"], text("bailiwick"));
    assert_eq!(collector.resource["service.version"], text(env!("CARGO_PKG_VERSION")));
    process.signal("TERM");
    assert!(process.end().0.success());
}

#[tokio::test]
async fn errors_show_on_the_span_and_faults_mark_it() {
    let mut collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let environment =
        [SOON, ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url), ("OTEL_SERVICE_NAME", "pdp-7")];
    let process = Process::ready(data.path(), &[], &environment).await;
    let channel = process.channel().await;
    let mut client = AuthorizationServiceClient::new(channel.clone());
    client.check(ask("user:ana doc.veiw doc:d1", &[])).await.unwrap_err();
    let span = collector.next().await;
    let got = attributes(&span.attributes);
    assert_eq!(got["rpc.grpc.status_code"], Value::IntValue(3));
    assert_eq!(got["error.type"], text("UNKNOWN_PERMISSION"));
    // By the conventions a caller's mistake is no error of the server's.
    assert_eq!(span.status.clone().unwrap_or_default().code(), StatusCode::Unset);
    assert_eq!(span.parent_span_id, Vec::<u8>::new());
    assert!(!format!("{span:?}").contains("doc.veiw"), "{span:?}");
    assert_eq!(collector.resource["service.name"], text("pdp-7"));

    let mut nothing = tonic::client::Grpc::new(channel);
    nothing.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/made.up.Service/Method");
    let codec = tonic_prost::ProstCodec::<pb::CheckRequest, pb::CheckResponse>::default();
    let request = Request::new(pb::CheckRequest::default());
    nothing.unary(request, path, codec).await.unwrap_err();
    let span = collector.next().await;
    assert_eq!(span.name, "other");
    let got = attributes(&span.attributes);
    assert_eq!(got["error.type"], text("UNKNOWN_METHOD"));
    assert!(!got.contains_key("rpc.service") && !got.contains_key("rpc.method"), "{got:?}");
    let status = span.status.unwrap();
    assert_eq!((status.code(), status.message.as_str()), (StatusCode::Error, "UNKNOWN_METHOD"));

    // A list's span ends with its stream; without a caller's context, each is a trace of its own.
    let list = pb::ListSubjectsRequest {
        permission: "doc.view".into(),
        scope: "doc:d1".into(),
        subject_type: "user".into(),
        ..Default::default()
    };
    let mut listed = client.list_subjects(list).await.unwrap().into_inner();
    while listed.message().await.unwrap().is_some() {}
    let list = collector.next().await;
    assert_eq!(list.name, format!("{SERVICE}/ListSubjects"));
    assert_eq!(attributes(&list.attributes)["rpc.grpc.status_code"], Value::IntValue(0));
    assert_ne!(list.trace_id, span.trace_id);
    let roles = pb::ListRolesRequest { subject: "user:ana".into(), ..Default::default() };
    let mut listed = client.list_roles(roles).await.unwrap().into_inner();
    while listed.message().await.unwrap().is_some() {}
    let list = collector.next().await;
    assert_eq!(list.name, format!("{SERVICE}/ListRoles"));
    assert_eq!(attributes(&list.attributes)["rpc.grpc.status_code"], Value::IntValue(0));
}

#[tokio::test]
async fn what_the_caller_does_not_sample_and_what_probes_ask_is_not_sent() {
    let mut collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let args = ["--otlp-endpoint", &collector.url];
    let environment = [SOON, ("OTEL_TRACES_SAMPLER", "parentbased_always_off")];
    let process = Process::ready(data.path(), &args, &environment).await;
    let mut client = AuthorizationServiceClient::new(process.channel().await);
    process.wait_until(ServingStatus::Serving).await;
    let (unsampled, sampled) = (caller("00"), caller("01"));
    client.check(ask("user:a doc.view doc:d1", &[("traceparent", &unsampled)])).await.unwrap();
    client.check(ask("user:a doc.view doc:d1", &[])).await.unwrap();
    client.check(ask("user:a doc.view doc:d1", &[("traceparent", "00-garbage")])).await.unwrap();
    client.check(ask("user:a doc.view doc:d1", &[("traceparent", &sampled)])).await.unwrap();
    let span = collector.next().await;
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert!(collector.waiting.is_empty(), "{:?}", collector.waiting);
}

#[tokio::test]
async fn the_last_spans_are_sent_at_the_end() {
    let mut collector = Collector::start().await;
    let data = tempfile::tempdir().unwrap();
    let args = ["--otlp-endpoint", &collector.url];
    let environment = [("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let mut process = Process::ready(data.path(), &args, &environment).await;
    let mut client = AuthorizationServiceClient::new(process.channel().await);
    client.check(ask("user:ana doc.view doc:d1", &[])).await.unwrap();
    process.signal("TERM");
    let (status, log) = tokio::task::spawn_blocking(move || process.end()).await.unwrap();
    assert!(status.success(), "{log}");
    assert_eq!(collector.next().await.name, format!("{SERVICE}/Check"));
}

#[tokio::test]
async fn a_dead_collector_holds_up_nobody() {
    // It takes connections and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let data = tempfile::tempdir().unwrap();
    let args = ["--otlp-endpoint", &url];
    let mut process = Process::ready(data.path(), &args, &[SOON]).await;
    let channel = process.channel().await;
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let mut client = AuthorizationServiceClient::new(channel.clone());
            tokio::spawn(async move {
                for _ in 0..SPANS_WAITING_MAX / 2 {
                    client.check(ask("user:ana doc.view doc:d1", &[])).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    process.signal("TERM");
    let (status, log) = tokio::task::spawn_blocking(move || process.end()).await.unwrap();
    assert!(status.success(), "{log}");
    // Twice as many spans as there is room for: what is lost is not lost in silence.
    assert!(log.contains("dropped") && log.contains("did not reach the collector"), "{log}");
    assert!(log.contains(&format!("Timeout({SPAN_FLUSH_SECONDS}s)")), "{log}");
    drop(silent);
}

#[test]
fn an_endpoint_that_makes_no_sense_is_refused() {
    let data = tempfile::tempdir().unwrap();
    for endpoint in ["https://collector:4317", "not a url"] {
        let args = ["--listen", "127.0.0.1:0", "--otlp-endpoint", endpoint];
        let output = super::operated::serve(data.path(), &args, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("--otlp-endpoint") && told.contains(endpoint), "{told}");
    }
}
