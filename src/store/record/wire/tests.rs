//! What is written and read by hand is what the messages make and read.

use super::super::{
    ChangeRecord, CommitRecord, FORMAT, TupleRecord, decode_bulk_commit, decode_commit,
    encode_commit, framed, model_record, request_record,
};
use super::*;
use crate::model::names::Name;
use crate::model::tuple::{Revision, Time, TupleCondition};
use crate::store::{Commit, Fingerprint, Head, KeyedRequest, ModelFiles};

fn key_record(key: &TupleKey) -> TupleRecord {
    TupleRecord {
        scope: key.scope.as_str().to_owned(),
        role: key.role.as_str().to_owned(),
        subject: key.subject.to_string(),
        source: key.source.clone(),
        ..TupleRecord::default()
    }
}

fn tuple_record(tuple: &Tuple) -> TupleRecord {
    TupleRecord {
        expires_at: tuple.expires_at.map(|time| time.0),
        condition: tuple.condition.as_ref().map(|condition| condition_record(condition).unwrap()),
        grantor: tuple.grantor.clone(),
        reason: tuple.reason.clone(),
        granted_at: tuple.granted_at.map(|time| time.0),
        ..key_record(&tuple.key)
    }
}

fn by_message(commit: &Commit) -> Vec<u8> {
    let changes = commit.changes.iter().map(|change| match change {
        Change::Put(tuple) => {
            ChangeRecord { put: Some(tuple_record(tuple)), ..ChangeRecord::default() }
        }
        Change::Delete(key) => {
            ChangeRecord { delete: Some(key_record(key)), ..ChangeRecord::default() }
        }
    });
    let record = CommitRecord {
        time: commit.time.0,
        changes: changes.collect(),
        model: commit.model.as_ref().map(model_record),
        request: commit.request.as_ref().map(request_record),
    };
    framed(FORMAT, &record)
}

/// A tuple with any of what one can carry.
fn drawn(random: &mut fastrand::Rng) -> Tuple {
    let subject = ["user:ana", "user:*", "group:ops#member", "user:\u{e9}t\u{e9}"];
    let scope = format!("org:{}", "x".repeat(random.usize(1..300)));
    let text = format!("{scope}#viewer@{}", subject[random.usize(..4)]);
    let mut tuple = Tuple::plain(TupleKey::parse(&text).unwrap());
    let times = [i64::MIN, -1, 0, 1, 1_700_000_000_000_000, i64::MAX];
    let time = |random: &mut fastrand::Rng| Time(times[random.usize(..times.len())]);
    if random.u8(..3) == 0 {
        tuple.key.source = "ldap".to_owned();
    }
    if random.u8(..4) == 0 {
        tuple.expires_at = Some(time(random));
    }
    if random.u8(..4) == 0 {
        let context = serde_json::from_str(r#"{"a":[0.1,null,{"b":"c"}]}"#).unwrap();
        tuple.condition = Some(TupleCondition { name: Name::parse("hours").unwrap(), context });
    }
    if random.u8(..4) == 0 {
        (tuple.grantor, tuple.reason) = ("user:bob".to_owned(), "on call".to_owned());
    }
    if random.u8(..4) == 0 {
        tuple.granted_at = Some(time(random));
    }
    tuple
}

fn commit(random: &mut fastrand::Rng) -> Commit {
    let changes = (0..random.usize(..20)).map(|_| match random.u8(..3) {
        0 => Change::Delete(drawn(random).key),
        _ => Change::Put(drawn(random)),
    });
    let changes = changes.collect();
    let files = vec![("model.yaml".to_owned(), "model: x\n".to_owned())];
    let model = random.bool().then(|| ModelFiles { digest: "d1".to_owned(), files });
    let request = random.bool().then(|| {
        let (key, body) = (Fingerprint(random.u128(..).to_be_bytes()), Fingerprint([7; 16]));
        KeyedRequest { key, body, changed: random.u32(..) }
    });
    Commit { time: Time(random.i64(..)), changes, model, request }
}

#[test]
fn a_commit_is_written_and_read_as_its_message_is() {
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..500 {
        let commit = commit(&mut random);
        let bytes = encode_commit(&commit).unwrap();
        assert_eq!(bytes, by_message(&commit), "round {round}");
        assert_eq!(decode_commit(&bytes).unwrap(), commit, "round {round}");
        let head = Head { revision: Revision(round), checksum: 3 };
        let bulk = decode_bulk_commit(head, &bytes).unwrap();
        let changes: Vec<_> = bulk.changes.iter().map(|seen| seen.to_change().unwrap()).collect();
        assert_eq!(changes, commit.changes, "round {round}");
        assert_eq!((bulk.head, bulk.time), (head, commit.time));
        assert_eq!((bulk.model, bulk.request), (commit.model, commit.request));
    }
}

#[test]
fn what_the_message_refuses_or_reads_is_refused_or_read_in_bulk_too() {
    let mut random = fastrand::Rng::with_seed(6);
    let head = Head { revision: Revision(1), checksum: 3 };
    let (mut read, mut refused) = (0, 0);
    for round in 0..4_000 {
        let mut bytes = encode_commit(&commit(&mut random)).unwrap();
        let at = random.usize(1..bytes.len());
        match round % 3 {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << random.u8(..8),
            _ => bytes.insert(at, random.u8(..)),
        }
        let in_bulk = decode_bulk_commit(head, &bytes).and_then(|bulk| {
            let changes: Result<Vec<_>, _> = bulk.changes.iter().map(|s| s.to_change()).collect();
            Ok((changes?, bulk.time, bulk.model, bulk.request))
        });
        match (decode_commit(&bytes), in_bulk) {
            (Ok(Commit { time, changes, model, request }), Ok(bulk)) => {
                assert_eq!((changes, time, model, request), bulk, "round {round}");
                read += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            // Stricter it may be: no program of ours has written such fields.
            (Ok(_), Err(_)) => refused += 1,
            (Err(error), Ok(_)) => panic!("round {round}: read in bulk, though {error}"),
        }
    }
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
}

/// Fields that no program writes yet, one of each kind that protobuf has.
const LATER: [&[u8]; 5] = [
    &[0x78, 0x96, 0x01],
    &[0x79, 1, 2, 3, 4, 5, 6, 7, 8],
    &[0x7a, 2, 0x12, 0x00],
    &[0x7d, 1, 2, 3, 4],
    &[0x7b, 0x12, 0x01, 0xff, 0x7c],
];

#[test]
fn fields_of_later_programs_are_passed_over_whatever_their_kind() {
    let head = Head { revision: Revision(7), checksum: 7 };
    let key = TupleKey::parse("org:acme#viewer@user:ana").unwrap();
    let changes = vec![Change::Put(Tuple::plain(key.clone())), Change::Delete(key)];
    let commit = Commit { time: Time(9), changes, model: None, request: None };
    let ours = encode_commit(&commit).unwrap();
    for later in LATER {
        // In front of all fields, and behind them.
        let before = [&ours[..1], later, &ours[1..]].concat();
        for bytes in [before, [&ours, later].concat()] {
            assert_eq!(decode_commit(&bytes).unwrap(), commit);
            let bulk = decode_bulk_commit(head, &bytes).unwrap();
            let changes: Vec<_> = bulk.changes.iter().map(|c| c.to_change().unwrap()).collect();
            assert_eq!((bulk.time, changes), (commit.time, commit.changes.clone()));
        }
        for end in 1..later.len() {
            let cut = [&ours, &later[..end]].concat();
            assert!(decode_bulk_commit(head, &cut).is_err(), "{cut:?}");
        }
    }
}
