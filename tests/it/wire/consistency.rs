//! `latest` and `at_least` over a real socket: which revision answers, and how long a read waits for one.

use std::sync::Arc;
use std::time::Duration;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{STREAMS_PER_CONNECTION_MAX, WAITING_READS_MAX};
use bailiwick::model::tuple::Revision;
use bailiwick::pdp::{Consistency, Pdp, ReadError, Token, WriteChange};
use bailiwick::store::memory::MemoryStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::consistency::Requirement;
use tonic::Code;

use super::asked::{Asked, at_least, exactly, field_of, hasty, require};
use super::client::{Wire, ask};
use super::hostile;
use crate::support::service::{assert_refused, pdp, refusal};
use crate::support::{SetClock, touch};

/// The token that a service will hand out after a commit that it has not made yet: a checksum covers
/// the commits and not the store's name, so another store tells it.
pub(super) async fn foretold(of: &Pdp, commits: &[Vec<WriteChange>]) -> Token {
    let twin = pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default()));
    let mut token = twin.read().token().clone();
    for changes in commits {
        token = twin.write(changes.clone()).await.unwrap().token;
    }
    let Token { revision, checksum, .. } = token;
    Token { revision, checksum, ..of.read().token().clone() }
}

#[tokio::test]
async fn a_write_is_seen_by_every_read_that_carries_its_token() {
    let mut asked = Asked::new().await;
    for round in 2..30 {
        let token = asked.commit(vec![touch(&format!("doc:d1#viewer@user:u{round}"))]).await;
        for (method, revision) in asked.all(at_least(&token)).await {
            assert_eq!(revision.unwrap(), round, "{method}");
        }
        let question = format!("user:u{round} doc.view doc:d1");
        assert_eq!(asked.check(&question, at_least(&token)).await.unwrap(), (true, round));
    }
    // An older token is answered at the newest revision, unset and `latest` too.
    let first = foretold(&asked.pdp, &[vec![touch("doc:d1#viewer@user:u2")]]).await;
    for fresh in [at_least(&first), Requirement::Latest(true)] {
        for (method, revision) in asked.all(fresh).await {
            assert_eq!(revision.unwrap(), 29, "{method}");
        }
    }
    let unset = pb::CheckRequest {
        consistency: Some(pb::Consistency { requirement: None }),
        ..ask("user:u9 doc.view doc:d1")
    };
    assert_eq!(asked.wire.check(unset).await.unwrap().revision, 29);
}

#[tokio::test]
async fn a_read_ahead_of_the_newest_waits_for_it() {
    let mut asked = Asked::new().await;
    let commits: Vec<Vec<_>> =
        (0..4).map(|i| vec![touch(&format!("doc:d1#viewer@user:u{i}"))]).collect();
    let last = foretold(&asked.pdp, &commits).await;
    let third = foretold(&asked.pdp, &commits[..3]).await;
    let ahead = |fresh, question: &str| {
        let mut client = asked.wire.questions.clone();
        let request = pb::CheckRequest { consistency: require(fresh), ..ask(question) };
        tokio::spawn(async move { client.check(request).await.map(tonic::Response::into_inner) })
    };
    let waiting = [
        ahead(at_least(&last), "user:u3 doc.view doc:d1"),
        ahead(exactly(&last), "user:u3 doc.view doc:d1"),
        ahead(at_least(&third), "user:u2 doc.view doc:d1"),
        ahead(exactly(&third), "user:u2 doc.view doc:d1"),
    ];
    // They are behind these on the connection, and would have been answered by now.
    for _ in 0..20 {
        asked.check("user:u3 doc.view doc:d1", Requirement::Latest(true)).await.unwrap();
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    for changes in commits {
        asked.commit(changes).await;
    }
    let mut revisions = Vec::new();
    for waiting in waiting {
        let answer = waiting.await.unwrap().unwrap();
        assert_eq!(answer.decision(), pb::Decision::Allow);
        revisions.push(answer.revision);
    }
    assert_eq!((revisions[0], revisions[1], revisions[3]), (5, 5, 4));
    assert!(revisions[2] >= 4);
}

#[tokio::test]
async fn a_wait_that_is_too_long_says_what_it_waited_for() {
    let mut asked = Asked::on(Arc::new(MemoryStore::new()), hasty()).await;
    let head = asked.pdp.read().token().clone();
    let token = Token { revision: Revision(7), ..head };
    for fresh in [at_least(&token), exactly(&token)] {
        let field = field_of(&fresh);
        for (method, answer) in asked.all(fresh.clone()).await {
            let status = answer.expect_err(method);
            assert_refused(&status, Code::DeadlineExceeded, "REVISION_NOT_REACHED", field);
            let (_, _, metadata) = refusal(&status);
            assert_eq!((&*metadata["revision"], &*metadata["head_revision"]), ("7", "1"));
        }
    }
}

#[tokio::test]
async fn the_callers_own_deadline_ends_a_wait_before_it_passes() {
    let asked = Asked::new().await;
    let token = Token { revision: Revision(9), ..asked.pdp.read().token().clone() };
    let request =
        pb::CheckRequest { consistency: require(at_least(&token)), ..ask("user:a doc.view doc:d") };
    // A client without a timer of its own, which might answer in place of the service.
    let mut client = hostile::connect(asked.wire.service.address).await;
    let (response, mut body) = hostile::begin(&mut client, hostile::CHECK, Some("1000m"));
    body.send_data(hostile::framed(&request), true).unwrap();
    let status = hostile::status_of(response).await;
    assert_refused(&status, Code::DeadlineExceeded, "REVISION_NOT_REACHED", "consistency.at_least");
}

#[tokio::test]
async fn reads_that_wait_are_bounded_and_leave_their_place() {
    let mut asked = Asked::new().await;
    let token = Token { revision: Revision(9), ..asked.pdp.read().token().clone() };
    let request =
        pb::CheckRequest { consistency: require(at_least(&token)), ..ask("user:a doc.view doc:d") };
    let per_connection = STREAMS_PER_CONNECTION_MAX as usize / 2;
    let mut waiting = Vec::new();
    for _ in 0..WAITING_READS_MAX / per_connection {
        let client = AuthorizationServiceClient::new(asked.wire.service.channel().await);
        for _ in 0..per_connection {
            let (mut client, request) = (client.clone(), request.clone());
            waiting.push(tokio::spawn(async move { client.check(request).await }));
        }
    }
    // One more than the limit: somebody is refused at once, everybody else is served.
    waiting.push(tokio::spawn({
        let (mut client, request) = (asked.wire.questions.clone(), request.clone());
        async move { client.check(request).await }
    }));
    let refused = loop {
        if let Some(at) = waiting.iter().position(tokio::task::JoinHandle::is_finished) {
            break waiting.swap_remove(at).await.unwrap().unwrap_err();
        }
        asked.check("user:a doc.view doc:d", Requirement::Latest(true)).await.unwrap();
    };
    assert_refused(&refused, Code::ResourceExhausted, "OVERLOADED", "consistency.at_least");
    let (_, _, metadata) = refusal(&refused);
    assert_eq!(metadata["limit"], WAITING_READS_MAX.to_string());
    // Callers that hang up stop waiting.
    for waiting in waiting {
        waiting.abort();
    }
    loop {
        let (mut client, request) = (asked.wire.questions.clone(), request.clone());
        let waiting = tokio::spawn(async move { client.check(request).await });
        for _ in 0..20 {
            asked.check("user:a doc.view doc:d", Requirement::Latest(true)).await.unwrap();
        }
        if !waiting.is_finished() {
            break;
        }
        let status = waiting.await.unwrap().unwrap_err();
        assert_refused(&status, Code::ResourceExhausted, "OVERLOADED", "");
    }
}

#[tokio::test]
async fn reads_that_wait_are_told_at_once_that_the_service_stops() {
    let long = Duration::from_secs(600);
    let asked =
        Asked::on(Arc::new(MemoryStore::new()), Patience { drain: long, ..Patience::default() });
    let mut asked = asked.await;
    let token = Token { revision: Revision(9), ..asked.pdp.read().token().clone() };
    let waiting = [at_least(&token), exactly(&token)].map(|fresh| {
        let (field, mut client) = (field_of(&fresh), asked.wire.questions.clone());
        let request =
            pb::CheckRequest { consistency: require(fresh), ..ask("user:a doc.view doc:d") };
        (field, tokio::spawn(async move { client.check(request).await }))
    });
    // They are behind these on the connection, and wait by now.
    for _ in 0..20 {
        asked.check("user:a doc.view doc:d", Requirement::Latest(true)).await.unwrap();
    }
    assert!(waiting.iter().all(|(_, waiting)| !waiting.is_finished()));
    let Asked { wire, pdp, .. } = asked;
    let Wire { service, .. } = wire;
    let stopped = tokio::spawn(service.stop());
    for (field, waiting) in waiting {
        let status = waiting.await.unwrap().unwrap_err();
        assert_refused(&status, Code::Unavailable, "NOT_READY", field);
        let (_, _, metadata) = refusal(&status);
        assert_eq!((&*metadata["revision"], &*metadata["head_revision"]), ("9", "1"));
    }
    stopped.await.unwrap().unwrap();
    // Whoever asks later does not wait either, and what is there is read as ever.
    let until = tokio::time::Instant::now() + long;
    let late = pdp.read_at(&Consistency::AtLeast(token), until).await.unwrap_err();
    assert!(matches!(late, ReadError::Stopping { .. }), "{late}");
    let head = pdp.read().token().clone();
    assert!(pdp.read_at(&Consistency::AtLeast(head), until).await.is_ok());
}
