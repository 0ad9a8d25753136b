//! The figures: each thing that happens is counted once, under its name; nothing that callers make up is
//! a label; and the page is one that others can read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bailiwick::api::pb::v1 as pb;
use bailiwick::config::{Given, Patience, Settings};
use bailiwick::model::limits::UNREAD_SECONDS;
use bailiwick::model::tuple::Revision;
use bailiwick::pdp::Token;
use bailiwick::store::StoreError;
use bailiwick::telemetry::names;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::consistency::Requirement;
use pb::tuple_service_client::TupleServiceClient;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tower::Service as _;

use super::exposition::{self, Family};
use super::{Observed, get};
use crate::support::SetClock;
use crate::support::service::pdp;
use crate::support::store::HookedStore;

type Page = BTreeMap<String, Family>;

async fn page(observed: &Observed) -> Page {
    let (status, head, text) = get(&observed.admin.to_string(), "/metrics").await;
    assert_eq!(status, 200, "{text}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    exposition::read(&text)
}

/// The figure with these labels; 0 if it is not on the page.
fn figure(page: &Page, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: BTreeMap<_, _> =
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let stem = name.strip_suffix("_total").unwrap_or(name);
    let family = page.get(stem).unwrap_or_else(|| panic!("{name} is not among {:?}", page.keys()));
    let found = family.samples.iter().find(|sample| sample.labels == wanted);
    found.map_or(0.0, |sample| sample.value)
}

fn requests(page: &Page, method: &str, code: &str, reason: &str) -> f64 {
    let labels = [("method", method), ("code", code), ("reason", reason)];
    figure(page, "bailiwick_requests_total", &labels)
}

async fn channel(observed: &Observed) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", observed.address)).unwrap();
    endpoint.connect().await.unwrap()
}

fn ask(question: &str) -> pb::CheckRequest {
    let words: Vec<_> = question.split(' ').map(str::to_owned).collect();
    let [subject, permission, scope] = words.try_into().unwrap();
    pb::CheckRequest { subject, permission, scope, ..Default::default() }
}

const SERVICE: &str = "bailiwick.v1.AuthorizationService";
const CHECK: &str = "bailiwick.v1.AuthorizationService/Check";

#[tokio::test]
async fn requests_decisions_and_commits_are_counted_once() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    let channel = channel(&observed).await;
    let mut tuples = TupleServiceClient::new(channel.clone());
    let tuple = pb::Tuple {
        scope: "doc:d1".into(),
        role: "viewer".into(),
        subject: "user:ana".into(),
        ..Default::default()
    };
    let change = pb::TupleChange { operation: pb::Operation::Touch.into(), tuple: Some(tuple) };
    let write = pb::WriteTuplesRequest { changes: vec![change], ..Default::default() };
    tuples.write_tuples(write).await.unwrap();
    let mut client = AuthorizationServiceClient::new(channel);
    for question in [
        "user:ana doc.view doc:d1",
        "user:ana doc.view doc:d1",
        "user:bob doc.view doc:d1",
        "user:ana doc.view org:acme",
        "user:ana doc.export doc:d1",
    ] {
        client.check(ask(question)).await.unwrap();
    }
    client.check(ask("user:ana doc.veiw doc:d1")).await.unwrap_err();
    let item = |question| {
        let pb::CheckRequest { subject, permission, scope, .. } = ask(question);
        pb::BatchCheckItem { subject, permission, scope, ..Default::default() }
    };
    let items = vec![item("user:ana doc.view doc:d1"), item("user:bob doc.view doc:d1")];
    let batch = pb::BatchCheckRequest { items, ..Default::default() };
    client.batch_check(batch).await.unwrap();
    let list = pb::ListSubjectsRequest {
        permission: "doc.view".into(),
        scope: "doc:d1".into(),
        subject_type: "user".into(),
        ..Default::default()
    };
    let mut listed = client.list_subjects(list).await.unwrap().into_inner();
    while listed.message().await.unwrap().is_some() {}
    let roles = pb::ListRolesRequest { subject: "user:ana".into(), ..Default::default() };
    let mut listed = client.list_roles(roles).await.unwrap().into_inner();
    while listed.message().await.unwrap().is_some() {}

    let page = page(&observed).await;
    assert_eq!(requests(&page, CHECK, "OK", ""), 5.0);
    assert_eq!(requests(&page, CHECK, "INVALID_ARGUMENT", "UNKNOWN_PERMISSION"), 1.0);
    let batch = "bailiwick.v1.AuthorizationService/BatchCheck";
    assert_eq!(requests(&page, batch, "OK", ""), 1.0);
    let list = |name: &str| requests(&page, &format!("{SERVICE}/{name}"), "OK", "");
    assert_eq!([list("ListSubjects"), list("ListRoles")], [1.0, 1.0]);
    let timed = page["bailiwick_request_duration_seconds"].samples.iter();
    let timed = timed.filter(|s| s.suffix == "_count" && s.labels["method"] == CHECK);
    assert_eq!(timed.map(|sample| sample.value).collect::<Vec<_>>(), [6.0]);
    let decided = |decision: &str, reason: &str| {
        let labels = [("decision", decision), ("reason", reason)];
        figure(&page, "bailiwick_decisions_total", &labels)
    };
    assert_eq!(decided("ALLOW", "GRANTED"), 3.0);
    assert_eq!(decided("DENY", "NOT_GRANTED"), 2.0);
    assert_eq!(decided("DENY", "NOT_APPLICABLE"), 1.0);
    assert_eq!(decided("DENY", "MISSING_CONTEXT"), 1.0);
    assert_eq!(figure(&page, "bailiwick_commits_total", &[]), 1.0);
    assert_eq!(figure(&page, "bailiwick_tuples", &[]), 1.0);
    assert_eq!(figure(&page, "bailiwick_revision", &[]), 2.0);
    assert_eq!(figure(&page, "bailiwick_ready", &[]), 1.0);
    assert_eq!(figure(&page, "bailiwick_requests_in_flight", &[]), 0.0);
    assert_eq!(figure(&page, "bailiwick_connections_open", &[]), 1.0);
    assert!(figure(&page, "process_start_time_seconds", &[]) > 1_700_000_000.0);
    assert!(figure(&page, "process_resident_memory_bytes", &[]) > 1_000_000.0);
    let model = &page["bailiwick_model"].samples[0].labels;
    assert_eq!(model["name"], "everything");
}

#[tokio::test]
async fn questions_on_a_stream_count_as_checks_and_the_stream_once() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    let mut client = AuthorizationServiceClient::new(channel(&observed).await);
    let questions = ["user:ana doc.view doc:d1", "user:ana doc.veiw doc:d1"].map(ask);
    let asked =
        questions.map(|question| pb::CheckStreamRequest { id: 0, question: Some(question) });
    let mut answers = client.check_stream(tokio_stream::iter(asked)).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    let page = page(&observed).await;
    assert_eq!(requests(&page, CHECK, "OK", ""), 1.0);
    assert_eq!(requests(&page, CHECK, "INVALID_ARGUMENT", "UNKNOWN_PERMISSION"), 1.0);
    assert_eq!(requests(&page, &format!("{SERVICE}/CheckStream"), "OK", ""), 1.0);
    let timed = page["bailiwick_request_duration_seconds"].samples.iter();
    let timed = timed.filter(|s| s.suffix == "_count" && s.value > 0.0);
    let timed = timed.map(|s| (s.labels["method"].rsplit_once('/').unwrap().1, s.value));
    assert_eq!(timed.collect::<Vec<_>>(), [("Check", 2.0), ("CheckStream", 1.0)]);
    assert_eq!(figure(&page, "bailiwick_check_streams_open", &[]), 0.0);
    assert_eq!(figure(&page, "bailiwick_check_streams_open_limit", &[]), 256.0);
}

#[tokio::test]
async fn a_question_that_its_caller_gives_up_is_counted_as_cancelled() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    let mut client = AuthorizationServiceClient::new(channel(&observed).await);
    let token = client.check(ask("user:ana doc.view doc:d1")).await.unwrap().into_inner().token;
    let later = Token { revision: Revision(999), ..token.parse().unwrap() };
    let requirement = Some(Requirement::AtLeast(later.to_string()));
    let waits = pb::CheckRequest {
        consistency: Some(pb::Consistency { requirement }),
        ..ask("user:ana doc.view doc:d1")
    };
    let (questions, receiver) = tokio::sync::mpsc::channel(2);
    let receiver = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut answers = client.check_stream(receiver).await.unwrap().into_inner();
    for question in [waits, ask("user:ana doc.view doc:d1")] {
        let asked = pb::CheckStreamRequest { id: 0, question: Some(question) };
        questions.send(asked).await.unwrap();
    }
    answers.message().await.unwrap().expect("the second is answered, so the first waits");
    drop((answers, questions));
    let page = loop {
        let page = page(&observed).await;
        if figure(&page, "bailiwick_check_streams_open", &[]) == 0.0 {
            break page;
        }
    };
    assert_eq!(requests(&page, CHECK, "CANCELLED", "CANCELLED"), 1.0);
    assert_eq!(requests(&page, CHECK, "OK", ""), 2.0);
}

#[tokio::test]
async fn every_alert_of_the_page_has_its_line_before_there_is_a_fault() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    let page = page(&observed).await;
    let requests = &page["bailiwick_requests"].samples;
    for reason in ["INTERNAL", "NOT_READY", "OUTCOME_UNKNOWN", "STORE_UNAVAILABLE"] {
        let of = |method: &str| {
            requests.iter().find(|s| s.labels["reason"] == reason && s.labels["method"] == method)
        };
        for method in [CHECK, "bailiwick.v1.TupleService/WriteTuples", "other"] {
            assert_eq!(of(method).map(|sample| sample.value), Some(0.0), "{method} {reason}");
        }
    }
    for (stem, label) in [("bailiwick_requests_shed", ""), ("bailiwick_connections_closed", "full")]
    {
        let mut samples = page[stem].samples.iter();
        let found = samples.any(|s| label.is_empty() || s.labels["why"] == label);
        assert!(found, "{stem}");
    }
}

#[tokio::test]
async fn the_page_shows_the_table_and_nothing_else() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    let page = page(&observed).await;
    let shown: BTreeSet<_> = page
        .iter()
        .map(|(name, family)| {
            let suffix = match family.kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            format!("{name}{suffix}")
        })
        .collect();
    let table: BTreeSet<_> = names::ALL.iter().map(|metric| metric.name()).collect();
    assert_eq!(shown, table);
    for metric in names::ALL {
        let name = metric.name();
        let stem = name.strip_suffix("_total").or(name.strip_suffix("_info")).unwrap_or(&name);
        let samples = &page[stem].samples;
        let labels = samples.iter().flat_map(|sample| sample.labels.keys());
        let labels: BTreeSet<_> =
            labels.filter(|label| *label != "le").map(String::as_str).collect();
        let said: BTreeSet<_> = metric.labels.iter().copied().collect();
        assert!(samples.is_empty() || labels == said, "{}: {labels:?}", metric.name());
    }
}

#[tokio::test]
async fn what_callers_make_up_is_no_label() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    let mut channel = channel(&observed).await;
    let lines = |page: &Page| page.values().map(|family| family.samples.len()).sum::<usize>();
    let mut seen = None;
    for round in 0..3 {
        for call in 0..50 {
            let path = format!("/made.up.Service{round}/Method{call}");
            let request = http::Request::post(path).header("content-type", "application/grpc");
            std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
            channel.call(request.body(Body::empty()).unwrap()).await.unwrap();
            let question = format!("user:u{round}-{call} doc.view doc:d{round}-{call}");
            let mut client = AuthorizationServiceClient::new(channel.clone());
            client.check(ask(&question)).await.unwrap();
        }
        let page = page(&observed).await;
        let other = requests(&page, "other", "UNIMPLEMENTED", "UNKNOWN_METHOD");
        assert_eq!(other, 50.0 * f64::from(round + 1));
        assert_eq!(*seen.get_or_insert(lines(&page)), lines(&page), "the page has grown");
        let values = page.values().flat_map(|f| f.samples.iter().flat_map(|s| s.labels.values()));
        for value in values {
            assert!(!value.contains(':') && !value.contains("made"), "{value}");
        }
    }
}

#[tokio::test]
async fn what_is_shed_and_who_goes_away_is_counted() {
    let given = Given { in_flight_requests: 16, ..Given::default() };
    let settings = Settings::check(&given).unwrap();
    let observed = Observed::start(settings, Patience::default()).await;
    // One connection has a fourth of the places: four fill them all, with calls that do not end.
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut client = ServerReflectionClient::new(channel(&observed).await);
        for _ in 0..4 {
            let (end, requests) = tokio::sync::mpsc::channel(1);
            let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
            let call = client.server_reflection_info(requests).await.unwrap();
            held.push((end, call.into_inner()));
        }
    }
    let in_flight = |page: &Page| figure(page, "bailiwick_requests_in_flight", &[]);
    assert_eq!(in_flight(&page(&observed).await), 16.0);
    let mut client = AuthorizationServiceClient::new(channel(&observed).await);
    let status = client.check(ask("user:ana doc.view doc:d1")).await.unwrap_err();
    assert!(status.message().contains("16 requests"), "{status:?}");
    let full = page(&observed).await;
    assert_eq!(figure(&full, "bailiwick_requests_in_flight_limit", &[]), 16.0);
    assert_eq!(figure(&full, "bailiwick_requests_shed_total", &[]), 1.0);
    assert_eq!(requests(&full, CHECK, "RESOURCE_EXHAUSTED", "OVERLOADED"), 1.0);
    held.clear();
    let reflection = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    while requests(&page(&observed).await, reflection, "CANCELLED", "CANCELLED") < 16.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(in_flight(&page(&observed).await), 0.0);
    client.check(ask("user:ana doc.view doc:d1")).await.unwrap();
}

#[tokio::test]
async fn a_store_that_failed_is_seen() {
    let appends = std::sync::atomic::AtomicUsize::new(0);
    let store =
        HookedStore::new(move || match appends.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Ok(()),
            _ => Err(StoreError::Latched { cause: "the disk is on fire".into() }),
        });
    let open = || Ok(pdp(Arc::new(store), Arc::new(SetClock::default())));
    let patience = Patience::default();
    assert_eq!(patience.unread.as_secs(), UNREAD_SECONDS);
    let observed = Observed::serve(Settings::default(), patience, Box::new(open)).await;
    observed.wait_until(200).await;
    assert_eq!(figure(&page(&observed).await, "bailiwick_writer_latched", &[]), 0.0);
    let tuple = pb::Tuple {
        scope: "doc:d1".into(),
        role: "viewer".into(),
        subject: "user:ana".into(),
        ..Default::default()
    };
    let change = pb::TupleChange { operation: pb::Operation::Touch.into(), tuple: Some(tuple) };
    let write = pb::WriteTuplesRequest { changes: vec![change], ..Default::default() };
    TupleServiceClient::new(channel(&observed).await).write_tuples(write).await.unwrap_err();
    assert_eq!(figure(&page(&observed).await, "bailiwick_writer_latched", &[]), 1.0);
    let (status, text) = observed.get("/readyz").await;
    assert!(status == 200 && text.contains("writes: refused"), "{text}");
}
