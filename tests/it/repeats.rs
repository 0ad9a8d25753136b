//! Idempotency keys without a wire: one effect however many callers repeat at once, whoever else is in
//! their group, and also where the caller has gone.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bailiwick::model::limits::{COMMIT_BYTES_MAX, IDEMPOTENCY_KEY_SECONDS};
use bailiwick::model::tuple::{Revision, Tuple};
use bailiwick::pdp::{IdempotencyKey, WriteChange, WriteError, WriteRequest, Written};
use bailiwick::store::Store;
use bailiwick::store::memory::MemoryStore;

use crate::support::faulty::{Fault, FaultyStore, Plan};
use crate::support::{World, create, delete, touch, tuple};

const MODEL: &str = "
model: repeats
types: { user: {}, org: {} }
roles: [ { at: [org], names: [admin, viewer], bound_by: [user] } ]
permissions: { act: { at: [org], is: admin } }
";

fn keyed(key: &str, changes: Vec<WriteChange>) -> WriteRequest {
    let key = Some(IdempotencyKey::parse(key).unwrap());
    WriteRequest { changes, key, ..WriteRequest::default() }
}

impl World {
    fn commit(&self, request: WriteRequest) -> Result<Written, WriteError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.pdp.commit(request))
    }
}

#[test]
fn callers_who_repeat_at_once_share_one_commit() {
    let world = World::new(MODEL);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let answers = runtime.block_on(async {
        let callers: Vec<_> = (0..64)
            .map(|i| {
                let pdp = world.pdp.clone();
                let request = keyed(&format!("k{}", i % 8), vec![create(&one(i % 8))]);
                tokio::spawn(async move { (i % 8, pdp.commit(request).await.unwrap()) })
            })
            .collect();
        let mut answers = Vec::new();
        for caller in callers {
            answers.push(caller.await.unwrap());
        }
        answers
    });
    assert_eq!(world.pdp.read().token().revision, Revision(9), "the model and one for each key");
    for key in 0..8 {
        let of_key: Vec<_> = answers.iter().filter(|(k, _)| *k == key).map(|(_, a)| a).collect();
        assert_eq!(of_key.len(), 8);
        assert!(of_key.iter().all(|answer| *answer == of_key[0] && answer.changed == 1));
    }
}

fn one(i: u64) -> String {
    format!("org:o{i}#admin@user:ana")
}

#[test]
fn whoever_asks_for_too_much_spoils_nobodys_repeat() {
    let plan = Plan::new(0, Fault::Before, false);
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), Arc::clone(&plan));
    let world = World::on(Arc::new(store), MODEL);
    let huge = || {
        let tuple = Tuple { reason: "r".repeat(COMMIT_BYTES_MAX), ..tuple(&one(99)) };
        keyed("huge", vec![WriteChange::Touch(tuple)])
    };
    let requests = [
        keyed("first", vec![create(&one(1))]),
        // From here on one group.
        keyed("a", vec![create(&one(2))]),
        huge(),
        keyed("a", vec![create(&one(2))]),
        keyed("b", vec![delete(&one(3))]),
        huge(),
        keyed("a", vec![create(&one(4))]),
        keyed("first", vec![create(&one(1))]),
    ];
    plan.hold();
    let mut futures: Vec<_> =
        requests.into_iter().map(|request| Box::pin(world.pdp.commit(request))).collect();
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(futures[0].as_mut().poll(&mut context), Poll::Pending));
    while !plan.is_waiting() {
        std::thread::yield_now();
    }
    for future in &mut futures[1..] {
        assert!(matches!(future.as_mut().poll(&mut context), Poll::Pending));
    }
    plan.release();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcomes: Vec<_> = futures.into_iter().map(|future| runtime.block_on(future)).collect();
    let answers: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(written) => Ok((written.token.revision.0, written.changed)),
            Err(WriteError::TooLarge { .. }) => Err("too large"),
            Err(WriteError::KeyReused { revision: 3 }) => Err("reused"),
            Err(other) => panic!("{other}"),
        })
        .collect();
    let large = Err("too large");
    let expected =
        [Ok((2, 1)), Ok((3, 1)), large, Ok((3, 1)), Ok((4, 0)), large, Err("reused"), Ok((2, 1))];
    assert_eq!(answers, expected);
    assert_eq!(world.pdp.read().token().revision, Revision(4));
    assert_eq!(world.pdp.read().tuple_count(), 2);
    // What was refused did not use up its key.
    assert_eq!(world.commit(keyed("huge", vec![touch(&one(5))])).unwrap().changed, 1);
}

#[test]
fn a_caller_who_has_gone_learns_the_answer_by_its_key() {
    let world = World::new(MODEL);
    let request = || keyed("k", vec![create(&one(1))]);
    {
        let mut gone = Box::pin(world.pdp.commit(request()));
        let _ = gone.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
    let answer = world.commit(request()).unwrap();
    assert_eq!((answer.token.revision, answer.changed), (Revision(2), 1));
}

#[test]
fn a_restart_forgets_no_key_and_keeps_none_longer() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let day = i64::try_from(IDEMPOTENCY_KEY_SECONDS).unwrap() * 1_000_000;
    let world = World::on(Arc::clone(&store), MODEL);
    world.clock.set(5);
    let first = world.commit(keyed("k", vec![create(&one(1))])).unwrap();
    world.clock.set(7);
    world.commit(keyed("l", vec![create(&one(2))])).unwrap();
    world.pdp.close();

    let world = World::on(Arc::clone(&store), MODEL);
    world.clock.set(5 + day - 1);
    assert_eq!(world.commit(keyed("k", vec![create(&one(1))])).unwrap(), first);
    world.clock.set(5 + day);
    let error = world.commit(keyed("k", vec![create(&one(1))])).unwrap_err();
    assert!(matches!(error, WriteError::AlreadyExists { .. }), "{error}");
    let error = world.commit(keyed("l", vec![create(&one(1))])).unwrap_err();
    assert!(matches!(error, WriteError::KeyReused { revision: 3 }), "{error}");
    let second = world.commit(keyed("k", vec![create(&one(3))])).unwrap();
    assert_eq!(second.token.revision, Revision(4));
    world.pdp.close();

    let world = World::on(store, MODEL);
    assert_eq!(world.commit(keyed("k", vec![create(&one(3))])).unwrap(), second);
}
