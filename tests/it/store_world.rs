//! What the store's tests write: commits and tuples that follow from their number alone.

use bailiwick::model::names::{Name, Subject};
use bailiwick::model::tuple::{Change, Context, Revision, Time, Tuple, TupleCondition, TupleKey};
use bailiwick::store::{CheckpointHead, Commit, Head, ModelFiles, Store, StoreError};

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

/// The commit of this revision. Every seventh spans several parts of the log, some carry a model.
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
    Commit { time: Time(1_000 + revision as i64), changes, model }
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
    CheckpointHead { head, time: Time(5), model: commit(11).model, tuple_count }
}

/// Writes a checkpoint of `count` tuples at the head.
pub(crate) fn checkpoint(store: &dyn Store, count: u64) -> CheckpointHead {
    let state = state_at_head(store, count);
    store.write_checkpoint(&state, &mut (0..count).map(tuple)).unwrap();
    state
}

/// Reads everything from `from` on and compares it with what was written.
pub(crate) fn compare_log(store: &dyn Store, from: u64) -> Result<(), StoreError> {
    let mut next = from;
    for item in store.read(Revision(from))? {
        let (revision, found) = item?;
        assert_eq!(revision, Revision(next));
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
    let (head, tuples) = store.checkpoint()?.expect("there is a checkpoint");
    assert_eq!(head, *expected);
    let mut count = 0;
    for found in tuples {
        assert_eq!(found?, tuple(count));
        count += 1;
    }
    assert_eq!(count, expected.tuple_count);
    Ok(())
}
