//! One model per answer while models come into force, and one winner where a write and a model exclude
//! each other.
#![expect(clippy::print_stdout, reason = "a run says what it counted")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::SourceFiles;
use bailiwick::pdp::{Proposal, ProposalError};
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::tuple_service_client::TupleServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use super::super::client::{change, item, tuple};
use super::{Models, propose, serve};
use crate::support::service::assert_refused;

/// Two models that give `one` and `two` to nobody and everybody, the other way round; only the first has
/// viewers.
fn pair() -> [SourceFiles; 2] {
    let model = |name: &str, roles: &str, one: &str, two: &str| {
        let yaml = format!(
            "model: {name}\ntypes: {{ user: {{}}, {name}_only: {{}}, doc: {{}} }}\n\
             roles: [ {{ at: [doc], names: [{roles}], bound_by: [user] }} ]\n\
             permissions: {{ one: {{ at: [doc], is: '{one}' }}, two: {{ at: [doc], is: '{two}' }} }}\n"
        );
        SourceFiles::from_iter([("model.yaml", yaml)])
    };
    [model("first", "owner, viewer", "yes", "no"), model("second", "owner", "no", "yes")]
}

async fn read_until(stop: Arc<AtomicBool>, channel: Channel) -> u64 {
    let mut questions = AuthorizationServiceClient::new(channel.clone());
    let mut models = Models::new(channel);
    // Which model each revision belongs to; an answer that mixes two contradicts it.
    let mut names: BTreeMap<u64, bool> = BTreeMap::new();
    let (mut seen, mut reads) = (0, 0);
    while !stop.load(Ordering::SeqCst) {
        let items = [item("user:a one doc:d"), item("user:a two doc:d"), item("user:a one doc:e")];
        let items = items.into_iter().cycle().take(48).collect();
        let request = pb::BatchCheckRequest { items, ..Default::default() };
        let answer = questions.batch_check(request).await.unwrap().into_inner();
        let allowed: Vec<bool> = answer
            .results
            .into_iter()
            .map(|result| match result.result.unwrap() {
                pb::batch_check_result::Result::Decision(decision) => {
                    decision.decision() == pb::Decision::Allow
                }
                pb::batch_check_result::Result::Error(error) => panic!("{error:?}"),
            })
            .collect();
        let is_first = allowed[0];
        let whole = [is_first, !is_first, is_first].into_iter().cycle().take(48);
        assert!(allowed.iter().copied().eq(whole), "two models in one answer: {allowed:?}");
        assert!(answer.revision >= seen, "revisions run back");
        seen = answer.revision;
        assert_eq!(*names.entry(seen).or_insert(is_first), is_first, "revision {seen}");

        let model = models.get_model(pb::GetModelRequest {}).await.unwrap().into_inner();
        let only = format!("{}_only", model.name);
        assert!(model.types.iter().any(|def| def.name == only), "{model:?}");
        assert!(model.active_revision <= model.revision && model.revision >= seen);
        assert!(
            model.last_proposal.is_some_and(|last| !last.accepted || last.digest == model.digest)
        );
        seen = model.revision;
        let is_first = model.name == "first";
        assert_eq!(*names.entry(seen).or_insert(is_first), is_first, "revision {seen}");
        reads += 1;
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_races_of_a_write_and_a_model_have_one_winner() {
    let [first, second] = pair();
    let (service, pdp) = serve(first.clone()).await;
    let [first, second] = [first, second].map(|files| Proposal::compile(&files).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [service.channel().await, service.channel().await]
        .into_iter()
        .map(|channel| tokio::spawn(read_until(Arc::clone(&stop), channel)))
        .collect();
    let tuples = TupleServiceClient::new(service.channel().await);
    let write = |operation, text: &str| {
        let (mut tuples, changes) = (tuples.clone(), vec![change(operation, tuple(text))]);
        async move {
            let request = pb::WriteTuplesRequest { changes, ..Default::default() };
            tuples.write_tuples(request).await.map(|written| written.into_inner().revision)
        }
    };
    let (wrote, activated) = (AtomicU64::new(0), AtomicU64::new(0));
    for round in 0..1_000 {
        let text = format!("doc:d{round}#viewer@user:ana");
        // Either may come first by more than chance has it.
        let (head_start, late) = (round % 7, round % 2 == 0);
        let delay = |is_late| async move {
            for _ in 0..if is_late { head_start * 20 } else { 0 } {
                tokio::task::yield_now().await;
            }
        };
        let (written, model) = tokio::join!(
            async {
                delay(late).await;
                write(pb::Operation::Create, &text).await
            },
            async {
                delay(!late).await;
                propose(&pdp, second.clone()).await
            }
        );
        match (written, model) {
            (Ok(_), Err(ProposalError::Misfits(misfits))) => {
                assert!(misfits.to_string().contains(&text), "{misfits}");
                write(pb::Operation::Delete, &text).await.unwrap();
                wrote.fetch_add(1, Ordering::SeqCst);
            }
            (Err(status), Ok(_)) => {
                assert_refused(&status, Code::InvalidArgument, "UNKNOWN_ROLE", "");
                propose(&pdp, first.clone()).await.unwrap();
                activated.fetch_add(1, Ordering::SeqCst);
            }
            (written, model) => panic!("round {round}: {written:?}, {model:?}"),
        }
    }
    stop.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    let (wrote, activated) = (wrote.into_inner(), activated.into_inner());
    assert_eq!(wrote + activated, 1_000);
    println!("{wrote} writes and {activated} models came first");
    assert!(wrote > 0 && activated > 0, "no race");
}
