//! `exactly` over a real socket: every recent revision is what it was, and an older one is refused with
//! the name of the oldest that is left.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use bailiwick::api::Patience;
use bailiwick::model::limits::{HISTORY_CHANGES_MAX, HISTORY_REVISIONS_MAX, HISTORY_SECONDS};
use bailiwick::model::tuple::{Revision, Time, Tuple};
use bailiwick::pdp::{
    Consistency, Difference, ReadError, Token, TupleFilter, WriteChange, WriteError,
};
use bailiwick::store::memory::MemoryStore;
use tokio::time::{Duration, Instant};
use tonic::{Code, Status};

use super::asked::{Asked, QUESTION, at_least, exactly};
use super::client::Wire;
use crate::support::service::{Service, assert_refused, pdp, refusal};
use crate::support::store::HookedStore;
use crate::support::{SetClock, create, delete, touch, tuple};

const SECOND: i64 = 1_000_000;

/// A history of random commits: each token beside what was stored then.
async fn history(asked: &Asked, commits: usize) -> Vec<(Token, BTreeSet<String>)> {
    let mut random = fastrand::Rng::with_seed(5);
    let mut stored = BTreeSet::new();
    let mut history = vec![(asked.pdp.read().token().clone(), stored.clone())];
    for _ in 0..commits {
        let mut changes = Vec::new();
        for at in 0..random.usize(1..4) {
            let role = ["viewer", "editor", "blocked"][at];
            let text = format!("doc:d{}#{role}@user:u{}", random.u8(..3), random.u8(..4));
            if stored.contains(&text) && random.bool() {
                stored.remove(&text);
                changes.push(delete(&text));
            } else {
                stored.insert(text.clone());
                changes.push(touch(&text));
            }
        }
        history.push((asked.commit(changes).await, stored.clone()));
    }
    history
}

#[tokio::test]
async fn every_recent_revision_can_be_read_exactly() {
    let mut asked = Asked::new().await;
    let history = history(&asked, 80).await;
    for (token, stored) in history.iter().rev() {
        assert_eq!(asked.tuples(token).await.unwrap(), *stored, "{token}");
        for user in 0..4 {
            let may = |role| stored.contains(&format!("doc:d1#{role}@user:u{user}"));
            let expected = (may("viewer") || may("editor")) && !may("blocked");
            let question = format!("user:u{user} doc.view doc:d1");
            let answer = asked.check(&question, exactly(token)).await.unwrap();
            assert_eq!(answer, (expected, token.revision.0), "{question} at {token}");
        }
        for (method, revision) in asked.all(exactly(token)).await {
            assert_eq!(revision.unwrap(), token.revision.0, "{method}");
        }
    }
}

#[tokio::test]
async fn a_revision_within_a_group_of_commits_can_be_read_exactly() {
    let (open, gate) = mpsc::sync_channel(8);
    let (gate, appends) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
    let told = Arc::clone(&appends);
    let store = HookedStore::new(move || {
        let _ = gate.lock().unwrap().recv();
        told.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    // The model's commit, the first write, and all others together.
    for _ in 0..3 {
        open.send(()).unwrap();
    }
    let opening =
        tokio::task::spawn_blocking(move || pdp(Arc::new(store), Arc::new(SetClock::default())));
    let pdp = opening.await.unwrap();
    drop(open);
    let wire = Wire::to(Service::serve(&pdp, Patience::default()).await).await;
    let mut asked = Asked { wire, pdp, clock: Arc::new(SetClock::default()) };
    // On this thread the writes are all sent before the first is answered.
    let viewer = |at: u64, user: u64| format!("doc:d{at}#viewer@user:u{user}");
    let changes = |i: u64| match i % 5 {
        1 => vec![touch(&viewer(1, i)), touch(&viewer(2, i))],
        2 => vec![delete(&viewer(1, i - 1))],
        // It is there already.
        3 => vec![create(&viewer(1, i - 3))],
        _ => vec![touch(&viewer(1, i))],
    };
    let write = |changes: Vec<WriteChange>| {
        let pdp = asked.pdp.clone();
        tokio::spawn(async move { pdp.write(changes).await })
    };
    let writes: Vec<_> = (0..50).map(|i| write(changes(i))).collect();
    let (mut states, mut stored) = (Vec::new(), BTreeSet::new());
    for (i, write) in (0..).zip(writes) {
        let outcome = write.await.unwrap();
        if i % 5 == 3 {
            assert!(matches!(outcome, Err(WriteError::AlreadyExists { .. })), "{outcome:?}");
            continue;
        }
        for change in changes(i) {
            match change {
                WriteChange::Delete(key) => assert!(stored.remove(&key.to_string())),
                WriteChange::Create(tuple) | WriteChange::Touch(tuple) => {
                    assert!(stored.insert(tuple.key.to_string()));
                }
            }
        }
        states.push((outcome.unwrap().token, stored.clone()));
    }
    let appends = appends.load(Ordering::SeqCst);
    assert!(appends < states.len(), "no two of 40 commits were made durable together");
    // Each twice: what is made when it is first asked for stays.
    let all = states.iter().enumerate();
    for (at, (token, stored)) in all.clone().rev().chain(all) {
        assert_eq!(token.revision, Revision(2 + at as u64));
        assert_eq!(asked.tuples(token).await.unwrap(), *stored, "{at}");
    }
}

#[track_caller]
fn assert_expired(status: &Status, bound: &str, oldest: &Token) {
    assert_refused(status, Code::OutOfRange, "REVISION_EXPIRED", "consistency.exactly");
    let (_, _, metadata) = refusal(status);
    assert_eq!(metadata["bound"], bound, "{status}");
    assert_eq!(metadata["oldest_revision"], oldest.revision.0.to_string());
    assert_eq!(metadata["oldest_token"], oldest.to_string());
}

#[tokio::test]
async fn revisions_expire_by_number() {
    let mut asked = Asked::new().await;
    let mut tokens = vec![asked.pdp.read().token().clone()];
    for i in 0..HISTORY_REVISIONS_MAX + 3 {
        tokens.push(asked.commit(vec![touch(&format!("doc:d{}#viewer@user:u{i}", i % 7))]).await);
    }
    let oldest = &tokens[tokens.len() - HISTORY_REVISIONS_MAX];
    assert_eq!(asked.check(QUESTION, exactly(oldest)).await.unwrap().1, oldest.revision.0);
    for gone in &tokens[..tokens.len() - HISTORY_REVISIONS_MAX] {
        let status = asked.check(QUESTION, exactly(gone)).await.unwrap_err();
        assert_expired(&status, "revisions", oldest);
        // As a lower bound it is as good as ever.
        assert!(asked.check(QUESTION, at_least(gone)).await.is_ok());
    }
    for (method, answer) in asked.all(exactly(&tokens[0])).await {
        assert_expired(&answer.expect_err(method), "revisions", oldest);
    }
    // The empty store is a revision too, though nobody can read it exactly.
    let empty = Token { revision: Revision(0), checksum: 0, ..oldest.clone() };
    assert!(asked.check(QUESTION, at_least(&empty)).await.is_ok());
    assert_expired(&asked.check(QUESTION, exactly(&empty)).await.unwrap_err(), "process", oldest);
}

#[tokio::test]
async fn revisions_expire_by_age_counted_from_the_next_one() {
    let life = i64::try_from(HISTORY_SECONDS).unwrap() * SECOND;
    let mut asked = Asked::new().await;
    let first = asked.commit(vec![touch("doc:d1#viewer@user:ana")]).await;
    asked.clock.set(5 * life);
    assert!(asked.check(QUESTION, exactly(&first)).await.is_ok(), "the newest has no age");
    let second = asked.commit(vec![touch("doc:d1#viewer@user:bob")]).await;
    asked.clock.set(5 * life + 7);
    let third = asked.commit(vec![touch("doc:d1#viewer@user:cat")]).await;
    asked.clock.set(6 * life - 1);
    assert_eq!(asked.check(QUESTION, exactly(&first)).await.unwrap().1, first.revision.0);
    // No write is needed for it to be gone.
    asked.clock.set(6 * life);
    assert_expired(&asked.check(QUESTION, exactly(&first)).await.unwrap_err(), "seconds", &second);
    asked.clock.set(6 * life + 7);
    assert_expired(&asked.check(QUESTION, exactly(&second)).await.unwrap_err(), "seconds", &third);
    assert_eq!(asked.check(QUESTION, exactly(&third)).await.unwrap().1, third.revision.0);
}

#[tokio::test]
async fn revisions_expire_by_what_has_changed_since() {
    let mut asked = Asked::new().await;
    let first = asked.commit(vec![touch("doc:d1#viewer@user:ana")]).await;
    let half = HISTORY_CHANGES_MAX / 2;
    let bulk = |round| {
        (0..half).map(|i| touch(&format!("doc:b{i}#viewer@user:u{round}"))).collect::<Vec<_>>()
    };
    let second = asked.commit(bulk(1)).await;
    asked.commit(bulk(2)).await;
    assert_eq!(asked.check(QUESTION, exactly(&first)).await.unwrap().1, first.revision.0);
    asked.commit(vec![touch("doc:d1#viewer@user:bob")]).await;
    assert_expired(&asked.check(QUESTION, exactly(&first)).await.unwrap_err(), "changes", &second);
}

#[tokio::test]
async fn the_time_is_the_requests_own_at_every_revision() {
    let mut asked = Asked::new().await;
    let expiring = Tuple { expires_at: Some(Time(100)), ..tuple("doc:d1#viewer@user:ana") };
    let token = asked.commit(vec![WriteChange::Touch(expiring)]).await;
    asked.clock.set(50);
    asked.commit(vec![delete("doc:d1#viewer@user:ana")]).await;
    assert_eq!(asked.check(QUESTION, exactly(&token)).await.unwrap(), (true, 2));
    asked.clock.set(100);
    assert_eq!(asked.check(QUESTION, exactly(&token)).await.unwrap(), (false, 2));
    asked.clock.set(60);
    assert_eq!(asked.check(QUESTION, exactly(&token)).await.unwrap(), (false, 2), "it ran back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_and_readers_race_and_none_is_forgotten() {
    const WRITERS: u64 = 8;
    const COMMITS: u64 = 100;
    let world = pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default()));
    let in_a_minute = Instant::now() + Duration::from_secs(60);
    let head = world.read().token().clone();
    // Each waits for a revision of its own. Its checksum cannot be known beforehand, so who is woken
    // is told of another history, and who is forgotten, that it took too long.
    let waiting: Vec<_> = (0..200)
        .map(|i| {
            let (pdp, revision) = (world.clone(), Revision(2 + i * (WRITERS * COMMITS - 1) / 199));
            let token = Token { revision, checksum: 0, ..head.clone() };
            let consistency = match i % 2 {
                0 => Consistency::AtLeast(token),
                _ => Consistency::Exactly(token),
            };
            tokio::spawn(async move { pdp.read_at(&consistency, in_a_minute).await.unwrap_err() })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let pdp = world.clone();
            tokio::spawn(async move {
                for commit in 0..COMMITS {
                    let text = format!("doc:w{writer}#viewer@user:u{commit}");
                    let token = pdp.write(vec![touch(&text)]).await.unwrap().token;
                    let filter =
                        TupleFilter { scope: Some(format!("doc:w{writer}")), ..Default::default() };
                    let exactly = Consistency::Exactly(token.clone());
                    let reading = pdp.read_at(&exactly, in_a_minute).await.unwrap();
                    assert_eq!(*reading.token(), token);
                    let own = reading.tuples(&filter).unwrap().flatten().count() as u64;
                    assert_eq!(own, commit + 1);
                    let everything = reading.tuples(&TupleFilter::default()).unwrap().flatten();
                    assert_eq!(everything.count() as u64, token.revision.0 - 1);
                    let at_least = Consistency::AtLeast(token.clone());
                    let reading = pdp.read_at(&at_least, in_a_minute).await.unwrap();
                    assert!(reading.token().revision >= token.revision);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    for waiting in waiting {
        let error = waiting.await.unwrap();
        let woken =
            matches!(error, ReadError::OtherHistory { difference: Difference::Checksum, .. });
        assert!(woken, "{error}");
    }
}
