//! Whoever asks little is answered while others ask much: probes, new callers, cheap questions.

use std::sync::Arc;

use bailiwick::api::pb::v1 as pb;
use bailiwick::config::{Patience, Settings};
use bailiwick::model::limits::{COMMIT_CHANGES_MAX, INLINE_STEPS_MAX};
use bailiwick::store::memory::MemoryStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::Observed;
use crate::support::service::pdp;
use crate::support::{SetClock, touch};

/// In so many groups is `user:ana`: her questions take far more steps than are taken inline.
const GROUPS: u64 = 20 * INLINE_STEPS_MAX;
const BATCHES: usize = 3;

async fn client(observed: &Observed) -> AuthorizationServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", observed.address)).unwrap();
    AuthorizationServiceClient::new(endpoint.connect().await.unwrap())
}

/// A service where `user:ana` is in many groups, and documents are seen by groups.
async fn crowded() -> Observed {
    let pdp = pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default()));
    let groups = (0..GROUPS).map(|at| touch(&format!("group:g{at}#member@user:ana")));
    for part in groups.collect::<Vec<_>>().chunks(COMMIT_CHANGES_MAX) {
        pdp.write(part.to_vec()).await.unwrap();
    }
    let last = GROUPS - 1;
    let seen = [
        "doc:closed#viewer@group:none#member".to_owned(),
        format!("doc:open#viewer@group:g{last}#member"),
        "doc:open#viewer@user:bob".to_owned(),
    ];
    pdp.write(seen.iter().map(|text| touch(text)).collect()).await.unwrap();
    let open = Box::new(|| Ok(pdp));
    let observed = Observed::serve(Settings::default(), Patience::default(), open).await;
    observed.wait_until(200).await;
    observed
}

fn item(subject: &str, scope: &str) -> pb::BatchCheckItem {
    let (subject, permission) = (subject.into(), "doc.view".into());
    pb::BatchCheckItem { subject, permission, scope: scope.into(), ..Default::default() }
}

fn ask(subject: &str, scope: &str) -> pb::CheckRequest {
    let pb::BatchCheckItem { subject, permission, scope, .. } = item(subject, scope);
    pb::CheckRequest { subject, permission, scope, with_grant: true, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn probes_and_cheap_questions_are_answered_while_dear_ones_are_under_way() {
    let observed = crowded().await;
    let mut batches = Vec::new();
    for _ in 0..BATCHES {
        let mut client = client(&observed).await;
        let items = vec![item("user:ana", "doc:closed"); 32];
        let request = pb::BatchCheckRequest { items, ..Default::default() };
        batches.push(tokio::spawn(async move { client.batch_check(request).await }));
    }
    let under_way = format!("\nbailiwick_requests_in_flight {BATCHES}\n");
    while !observed.get("/metrics").await.1.contains(&under_way) {
        assert!(!batches.iter().any(|batch| batch.is_finished()), "nobody was answered meanwhile");
    }
    assert_eq!(observed.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(observed.get("/readyz").await.0, 200);
    let mut other = client(&observed).await;
    let decided = other.check(ask("user:bob", "doc:open")).await.unwrap().into_inner();
    assert_eq!(decided.decision(), pb::Decision::Allow);
    let endpoint = Endpoint::from_shared(format!("http://{}", observed.address)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    health.check(HealthCheckRequest::default()).await.unwrap();
    assert!(!batches.iter().any(|batch| batch.is_finished()), "none of it was dear");
    // Nobody waits for them any more, and they end.
    batches.iter().for_each(|batch| batch.abort());
}

#[tokio::test]
async fn a_dear_question_is_answered_as_a_cheap_one_would_be() {
    let observed = crowded().await;
    let mut client = client(&observed).await;
    let decided = client.check(ask("user:ana", "doc:open")).await.unwrap().into_inner();
    assert_eq!(decided.decision(), pb::Decision::Allow);
    let grant = decided.grant.unwrap().tuple.unwrap();
    assert_eq!(grant.subject, format!("group:g{}#member", GROUPS - 1));
    // Where a batch is taken up elsewhere, nothing is left out and nothing comes twice.
    let asked = [
        ("user:bob", "doc:open", true),
        ("user:ana", "doc:open", true),
        ("user:bob", "doc:closed", false),
        ("user:ana", "doc:closed", false),
        ("user:bob", "doc:open", true),
    ];
    let mut items: Vec<_> = asked.iter().map(|(who, scope, _)| item(who, scope)).collect();
    items.push(item("user:bob", "dok:open"));
    let request = pb::BatchCheckRequest { items, ..Default::default() };
    let results = client.batch_check(request).await.unwrap().into_inner().results;
    let decided: Vec<_> = results.into_iter().map(|result| result.result.unwrap()).collect();
    assert_eq!(decided.len(), asked.len() + 1);
    for ((who, scope, may), result) in asked.iter().zip(&decided) {
        let pb::batch_check_result::Result::Decision(decision) = result else {
            panic!("{result:?}")
        };
        let allowed = decision.decision() == pb::Decision::Allow;
        assert_eq!(allowed, *may, "{who} {scope}");
    }
    let Some(pb::batch_check_result::Result::Error(error)) = decided.last() else { panic!() };
    assert_eq!(error.reason, "UNKNOWN_TYPE");
}
