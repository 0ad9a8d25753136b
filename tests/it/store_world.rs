//! What the store's tests write: commits and tuples that follow from their number alone.

use bailiwick::model::names::{Name, Subject};
use bailiwick::model::tuple::{Change, Context, Revision, Time, Tuple, TupleCondition, TupleKey};
use bailiwick::store::{
    CheckpointEntry, CheckpointHead, Commit, Fingerprint, Head, KeyedCommit, KeyedRequest,
    ModelFiles, ModelSince, Store, StoreError,
};

/// Tuple number `n`; the numbers' order is the keys' order.
pub(crate) fn tuple(n: u64) -> Tuple {
    let text = format!("station:s{:09}#technician@user:u{:09}", n / 4, n);
    Tuple::plain(TupleKey::parse(&text).unwrap())
}

/// A tuple with every field set.
pub(crate) fn rich_tuple(n: u64) -> Tuple {
    let mut tuple = tuple(n);
    tuple.key.subject = Subject::parse("group:ops#member").unwrap();
    tuple.key.source = "ldap".to_owned();
    tuple.expires_at = Some(Time(-1 - n as i64));
    let json = r#"{"a": 0.1, "b": 1e-7, "c": 18446744073709551615, "d": -3, "e": 4.0,
        "f": [null, true, {"g": "h"}], "i": 123456.78901234567, "j": 5e-324}"#;
    let context: Context = serde_json::from_str(json).unwrap();
    tuple.condition = Some(TupleCondition { name: Name::parse("office_hours").unwrap(), context });
    tuple.grantor = "user:ana".to_owned();
    tuple.reason = "on call".to_owned();
    tuple
}

/// A request with an idempotency key.
pub(crate) fn request(n: u64) -> KeyedRequest {
    let fingerprint = |n: u64| Fingerprint(u128::from(n).wrapping_mul(u128::MAX / 7).to_be_bytes());
    KeyedRequest {
        key: fingerprint(n),
        body: fingerprint(n + 1),
        changed: u32::from(n.to_be_bytes()[7]),
    }
}

/// What a checkpoint keeps of a commit with an idempotency key.
fn keyed(n: u64) -> KeyedCommit {
    let head = Head { revision: Revision(n + 1), checksum: n.wrapping_mul(0x9e37_79b9_7f4a_7c15) };
    KeyedCommit { request: request(n), head, time: Time(n as i64) }
}

/// What a checkpoint of this head holds.
pub(crate) fn entries(state: &CheckpointHead) -> impl Iterator<Item = CheckpointEntry> + use<> {
    let tuples = (0..state.tuple_count).map(|n| CheckpointEntry::Tuple(tuple(n)));
    tuples.chain((0..state.keyed_count).map(|n| CheckpointEntry::Keyed(keyed(n))))
}

/// The commit of this revision. Every seventh spans several parts of the log, some carry a model, some
/// an idempotency key.
pub(crate) fn commit(revision: u64) -> Commit {
    let count = if revision.is_multiple_of(7) { 150 } else { 1 + revision % 3 };
    let mut changes: Vec<Change> =
        (0..count).map(|i| Change::Put(tuple(revision * 1_000 + i))).collect();
    if revision.is_multiple_of(2) {
        changes.push(Change::Delete(tuple((revision - 1) * 1_000).key));
        changes.push(Change::Put(rich_tuple(revision)));
    }
    let model = revision.is_multiple_of(11).then(|| ModelFiles {
        digest: format!("{revision:064x}"),
        files: vec![
            ("model.yaml".to_owned(), format!("model: m{revision}\n").repeat(400)),
            ("tests.yaml".to_owned(), String::new()),
        ],
    });
    let request = revision.is_multiple_of(5).then(|| request(revision));
    Commit { time: Time(1_000 + revision as i64), changes, model, request }
}

/// The commits of these revisions.
pub(crate) fn commits(revisions: impl IntoIterator<Item = u64>) -> Vec<Commit> {
    revisions.into_iter().map(commit).collect()
}

/// Appends the next `count` commits as one group.
pub(crate) fn grow(store: &dyn Store, count: u64) -> Head {
    let at = store.head().revision;
    let heads = store.append(at, &commits(at.0 + 1..=at.0 + count)).unwrap();
    heads.last().copied().unwrap_or(store.head())
}

/// A checkpoint's head at the store's head.
pub(crate) fn state_at_head(store: &dyn Store, tuple_count: u64) -> CheckpointHead {
    let head = store.head();
    let keyed_count = tuple_count / 3;
    let model_since = Some(ModelSince { revision: Revision(1), time: Time(3) });
    let model = commit(11).model;
    CheckpointHead { head, time: Time(5), model, model_since, tuple_count, keyed_count }
}

/// Writes a checkpoint of `count` tuples, and a third as many keyed commits, at the head.
pub(crate) fn checkpoint(store: &dyn Store, count: u64) -> CheckpointHead {
    let state = state_at_head(store, count);
    store.write_checkpoint(&state, &mut entries(&state)).unwrap();
    state
}

/// Reads everything from `from` on and compares it with what was written.
pub(crate) fn compare_log(store: &dyn Store, from: u64) -> Result<(), StoreError> {
    let mut next = from;
    for item in store.read(Revision(from))? {
        let (head, found) = item?;
        assert_eq!(head.revision, Revision(next));
        assert!(found == commit(next), "commit {next} came back as another");
        next += 1;
    }
    assert_eq!(Revision(next), store.head().revision.next(), "the log ends early");
    Ok(())
}

/// Reads the checkpoint and compares it with what [`checkpoint`] wrote.
pub(crate) fn compare_checkpoint(
    store: &dyn Store,
    expected: &CheckpointHead,
) -> Result<(), StoreError> {
    let (head, found) = store.checkpoint()?.expect("there is a checkpoint");
    assert_eq!(head, *expected);
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    assert!(found.into_iter().eq(entries(expected)), "other entries came back");
    Ok(())
}
