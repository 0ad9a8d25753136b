//! Tokens over a real socket: they prove the history that they are of, and no other text is one.

use std::sync::Arc;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{HISTORY_CHECKSUMS_MAX, HISTORY_REVISIONS_MAX};
use bailiwick::model::tuple::Revision;
use bailiwick::pdp::Token;
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::sled::SledStore;
use pb::consistency::Requirement;
use tonic::Code;

use super::asked::{Asked, QUESTION, at_least, exactly, field_of, hasty, require};
use super::client::ask;
use crate::support::service::{assert_refused, refusal};
use crate::support::touch;

#[tokio::test]
async fn a_token_of_another_history_is_refused() {
    let mut asked = Asked::on(Arc::new(MemoryStore::new()), hasty()).await;
    let mut tokens = vec![asked.pdp.read().token().clone()];
    for i in 0..HISTORY_REVISIONS_MAX + 5 {
        tokens.push(asked.commit(vec![touch(&format!("doc:d{}#viewer@user:u{i}", i % 7))]).await);
    }
    let head = tokens.last().unwrap().clone();
    let other = |digit: &str| digit.repeat(32).into();
    let future = Token { revision: head.revision.next(), ..head.clone() };
    let mut cases = vec![
        (Token { store_id: other("a"), ..head.clone() }, "store"),
        (Token { lineage: other("b"), ..head.clone() }, "lineage"),
        (Token { store_id: other("a"), lineage: other("b"), ..head.clone() }, "store"),
        // They cannot come, so nobody waits for them.
        (Token { store_id: other("a"), ..future.clone() }, "store"),
        (Token { lineage: other("b"), ..future }, "lineage"),
        (Token { revision: Revision(0), checksum: 1, ..head.clone() }, "checksum"),
    ];
    // The newest, one that can be read exactly, one that is only remembered.
    for known in [&head, &tokens[500], &tokens[1]] {
        cases.push((Token { checksum: known.checksum ^ 1, ..known.clone() }, "checksum"));
    }
    for (token, difference) in cases {
        for fresh in [at_least(&token), exactly(&token)] {
            let field = field_of(&fresh);
            for (method, answer) in asked.all(fresh.clone()).await {
                let status = answer.expect_err(method);
                assert_refused(&status, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY", field);
                let (_, _, metadata) = refusal(&status);
                assert_eq!(metadata["difference"], difference, "{token}: {status:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_from_the_future_is_proved_when_its_revision_comes() {
    let mut asked = Asked::new().await;
    let head = asked.pdp.read().token().clone();
    let forged = Token { revision: head.revision.next(), ..head };
    let waiting = [at_least(&forged), exactly(&forged)].map(|fresh| {
        let mut client = asked.wire.questions.clone();
        let request = pb::CheckRequest { consistency: require(fresh), ..ask(QUESTION) };
        tokio::spawn(async move { client.check(request).await })
    });
    for _ in 0..20 {
        asked.check(QUESTION, Requirement::Latest(true)).await.unwrap();
    }
    asked.commit(vec![touch("doc:d1#viewer@user:ana")]).await;
    for waiting in waiting {
        let status = waiting.await.unwrap().unwrap_err();
        assert_refused(&status, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY", "");
    }
}

#[tokio::test]
async fn a_restored_store_has_another_history() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    let open = || Arc::new(SledStore::open_or_create(&data).unwrap());
    let ana = || vec![touch("doc:d1#viewer@user:ana")];
    let before = Asked::on(open(), Patience::default()).await;
    let saved = before.commit(ana()).await;
    before.pdp.close();
    drop(before);
    // Whoever answered last may still hold the store for a moment.
    while SledStore::copy(&data, &backup, false).is_err() {
        tokio::task::yield_now().await;
    }
    let mut lost = Vec::new();
    for _ in 0..2 {
        let after = Asked::on(open(), Patience::default()).await;
        lost.push(after.commit(vec![touch("doc:d1#viewer@user:eve")]).await);
        after.pdp.close();
        drop(after);
        while SledStore::open_or_create(&data).is_err() {
            tokio::task::yield_now().await;
        }
    }
    SledStore::copy(&backup, &data, true).unwrap();

    let mut after = Asked::on(open(), hasty()).await;
    assert_eq!(after.check(QUESTION, at_least(&saved)).await.unwrap(), (true, 2));
    // They cannot come, and where their numbers do, those are others.
    for _ in 0..3 {
        for lost in &lost {
            for fresh in [at_least(lost), exactly(lost)] {
                for (method, answer) in after.all(fresh).await {
                    let status = answer.expect_err(method);
                    assert_refused(&status, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY", "");
                    assert_eq!(refusal(&status).2["difference"], "lineage");
                }
            }
        }
        after.commit(ana()).await;
    }
    assert!(after.check(QUESTION, at_least(&saved)).await.is_ok());
}

#[tokio::test]
async fn what_is_no_token_is_refused_before_anything_is_done() {
    let mut asked = Asked::new().await;
    let good = asked.pdp.read().token().to_string();
    let texts = [
        String::new(),
        "latest".into(),
        "bw1....".into(),
        good[..good.len() - 1].into(),
        format!("{good}0"),
        good.to_uppercase(),
        good.replace(".1.", ".01."),
        good.replace(".1.", ".+1."),
        good.replace("bw1", "bw2"),
        "\u{1f600}".repeat(60),
        "x".repeat((4 << 20) - 4_000),
    ];
    for text in texts {
        for fresh in [Requirement::AtLeast(text.clone()), Requirement::Exactly(text)] {
            let field = field_of(&fresh);
            for (method, answer) in asked.all(fresh.clone()).await {
                let status = answer.expect_err(method);
                assert_refused(&status, Code::InvalidArgument, "INVALID_TOKEN", field);
                assert!(status.message().len() < 250, "{} bytes", status.message().len());
            }
        }
    }
}

#[tokio::test]
async fn checksums_are_remembered_for_longer_than_revisions_and_not_for_ever() {
    let mut asked = Asked::new().await;
    let first = asked.commit(vec![touch("doc:d1#viewer@user:ana")]).await;
    let forged = Token { checksum: first.checksum ^ 1, ..first };
    // In groups, as far as they go: this many commits are slow one by one.
    let mut left = HISTORY_CHECKSUMS_MAX;
    while left > 0 {
        let status = asked.check(QUESTION, at_least(&forged)).await.unwrap_err();
        assert_refused(&status, Code::FailedPrecondition, "TOKEN_OTHER_HISTORY", "");
        let group = left.min(1_000);
        let writes = (0..group).map(|i| {
            let pdp = asked.pdp.clone();
            let change = touch(&format!("doc:d{}#viewer@user:u{}", i % 3, left - i));
            tokio::spawn(async move { pdp.write(vec![change]).await.unwrap() })
        });
        for write in writes.collect::<Vec<_>>() {
            write.await.unwrap();
        }
        left -= group;
    }
    // Now its store and its lineage are all the proof there is.
    assert!(asked.check(QUESTION, at_least(&forged)).await.is_ok());
    let status = asked.check(QUESTION, exactly(&forged)).await.unwrap_err();
    assert_refused(&status, Code::OutOfRange, "REVISION_EXPIRED", "");
}
