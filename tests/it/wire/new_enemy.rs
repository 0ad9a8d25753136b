//! The "new enemy": somebody who lost access must not get at what came after, by an answer that puts
//! two changes in the wrong order or judges new content by old tuples. Both cases of the Zanzibar
//! paper (section 2.2), among other traffic: a caller that keeps the token of what it wrote or checked
//! is answered from then on, whichever connection asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bailiwick::api::pb::v1 as pb;
use bailiwick::server::SystemClock;
use bailiwick::store::sled::SledStore;
use pb::Decision::{Allow, Deny};
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::consistency::Requirement::{self, AtLeast, Exactly};
use pb::tuple_service_client::TupleServiceClient;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use super::client::{ask, change, item, touch, tuple};
use crate::support::service::Service;

/// Times that each case is played, a few at once.
const ROUNDS: usize = 80;
const AT_ONCE: usize = 4;

/// Somebody on a connection of their own.
#[derive(Clone)]
struct Person {
    questions: AuthorizationServiceClient<Channel>,
    tuples: TupleServiceClient<Channel>,
}

impl Person {
    async fn on(service: &Service) -> Self {
        let channel = service.channel().await;
        Self {
            questions: AuthorizationServiceClient::new(channel.clone()),
            tuples: TupleServiceClient::new(channel),
        }
    }

    /// Writes, and keeps the token.
    async fn write(&mut self, changes: Vec<pb::TupleChange>) -> String {
        let request = pb::WriteTuplesRequest { changes, ..Default::default() };
        self.tuples.write_tuples(request).await.unwrap().into_inner().token
    }

    async fn remove(&mut self, text: &str) -> String {
        self.write(vec![change(pb::Operation::Delete, tuple(text))]).await
    }

    /// Asks as fresh as required, and keeps the token.
    async fn ask(&mut self, question: &str, fresh: Option<Requirement>) -> (pb::Decision, String) {
        let consistency = fresh.map(|r| pb::Consistency { requirement: Some(r) });
        let request = pb::CheckRequest { consistency, ..ask(question) };
        let answer = self.questions.check(request).await.unwrap().into_inner();
        (answer.decision(), answer.token)
    }

    async fn decide(&mut self, question: &str, fresh: Option<Requirement>) -> pb::Decision {
        self.ask(question, fresh).await.0
    }
}

/// Traffic that has nothing to do with it, until it is told to stop.
struct Traffic {
    stop: Arc<AtomicBool>,
    commits: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Traffic {
    async fn on(service: &Service) -> Self {
        let mut traffic = Self { stop: Arc::default(), commits: Arc::default(), tasks: Vec::new() };
        for writer in 0..4 {
            let mut person = Person::on(service).await;
            let (stop, commits) = (Arc::clone(&traffic.stop), Arc::clone(&traffic.commits));
            traffic.tasks.push(tokio::spawn(async move {
                for at in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let text = format!("doc:other{writer}#viewer@user:u{}", at % 50);
                    let operation =
                        if at % 3 == 0 { pb::Operation::Delete } else { pb::Operation::Touch };
                    person.write(vec![change(operation, tuple(&text))]).await;
                    commits.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        traffic
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let commits = self.commits.load(Ordering::Relaxed);
        assert!(commits > ROUNDS, "only {commits} other commits: there was no traffic");
    }
}

async fn service(dir: &tempfile::TempDir) -> Service {
    let store = SledStore::open_or_create(dir.path()).unwrap();
    Service::start_on(Arc::new(store), Arc::new(SystemClock)).await
}

/// Asks over and over, newest first, until told to stop: it must never be allowed.
fn watch(mut person: Person, question: String, stop: Arc<AtomicBool>) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let mut asked = 0;
        while !stop.load(Ordering::Relaxed) {
            assert_eq!(
                person.decide(&question, None).await,
                Deny,
                "{question}, the {asked}th time"
            );
            asked += 1;
        }
        asked
    })
}

/// Alice takes Bob out of the organization; then Charlie moves a document into its folder. Bob, who
/// never had both, must never edit it.
async fn neglected_order(service: &Service, round: usize) {
    let (mut alice, mut charlie) = (Person::on(service).await, Person::on(service).await);
    let mut backend = Person::on(service).await;
    let admin = format!("org:o{round}#admin@user:bob");
    alice.write(vec![touch(&admin), touch(&format!("folder:f{round}#parent@org:o{round}"))]).await;
    let question = format!("user:bob doc.edit doc:d{round}");
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = watch(backend.clone(), question.clone(), Arc::clone(&stop));

    alice.remove(&admin).await;
    // Charlie is told, not given a token.
    let moved = charlie.write(vec![touch(&format!("doc:d{round}#folder@folder:f{round}"))]).await;

    assert_eq!(backend.decide(&question, Some(AtLeast(moved.clone()))).await, Deny);
    assert_eq!(backend.decide(&question, Some(Exactly(moved.clone()))).await, Deny);
    // In one batch the two facts stand beside each other: the document is there, and Bob is not.
    alice.write(vec![touch(&format!("org:o{round}#admin@user:alice"))]).await;
    let consistency = Some(pb::Consistency { requirement: Some(AtLeast(moved)) });
    let items = vec![item(&question), item(&format!("user:alice doc.edit doc:d{round}"))];
    let request = pb::BatchCheckRequest { items, consistency, ..Default::default() };
    let answer = backend.questions.batch_check(request).await.unwrap().into_inner();
    let decided = |result: pb::BatchCheckResult| match result.result.unwrap() {
        pb::batch_check_result::Result::Decision(decision) => decision.decision(),
        pb::batch_check_result::Result::Error(error) => panic!("{error:?}"),
    };
    let allowed: Vec<_> = answer.results.into_iter().map(decided).collect();
    assert_eq!(allowed, [Deny, Allow]);
    stop.store(true, Ordering::Relaxed);
    watcher.await.unwrap();
}

/// Alice takes Bob off the document; then Charlie writes new content, and its token is stored with the
/// content. Bob may see what he could see, and never the new content.
async fn old_acl_and_new_content(service: &Service, round: usize) {
    let (mut alice, mut charlie) = (Person::on(service).await, Person::on(service).await);
    let mut backend = Person::on(service).await;
    let viewer = format!("doc:e{round}#viewer@user:bob");
    let editor = format!("doc:e{round}#editor@user:charlie");
    let old_content = alice.write(vec![touch(&viewer), touch(&editor)]).await;
    let question = format!("user:bob doc.view doc:e{round}");
    assert_eq!(backend.decide(&question, Some(AtLeast(old_content.clone()))).await, Allow);

    alice.remove(&viewer).await;
    // The check before the content is written gives the token that the content is stored with.
    let may_write = format!("user:charlie doc.edit doc:e{round}");
    let (decision, new_content) = charlie.ask(&may_write, None).await;
    assert_eq!(decision, Allow);

    assert_eq!(backend.decide(&question, Some(AtLeast(new_content.clone()))).await, Deny);
    assert_eq!(backend.decide(&question, Some(Exactly(new_content))).await, Deny);
    // The old content may be judged as it was then, or as it is now.
    assert_eq!(backend.decide(&question, Some(Exactly(old_content.clone()))).await, Allow);
    assert_eq!(backend.decide(&question, Some(AtLeast(old_content))).await, Deny);
}

async fn play<'s, F: Future<Output = ()> + Send + 's>(
    service: &'s Service,
    case: impl Fn(&'s Service, usize) -> F,
) {
    let traffic = Traffic::on(service).await;
    for round in (0..ROUNDS).step_by(AT_ONCE) {
        tokio::join!(
            case(service, round),
            case(service, round + 1),
            case(service, round + 2),
            case(service, round + 3),
        );
    }
    traffic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_changes_is_not_neglected() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(&dir).await;
    play(&service, neglected_order).await;
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_tuples_do_not_judge_new_content() {
    let dir = tempfile::tempdir().unwrap();
    let service = service(&dir).await;
    play(&service, old_acl_and_new_content).await;
    service.stop().await.unwrap();
}
