//! What a key may be, what its request's fingerprint covers, and which keys are forgotten when.

use std::collections::HashSet;

use super::*;
use crate::model::names::Name;
use crate::model::tuple::{Revision, TupleCondition};
use crate::pdp::TupleFilter;
use crate::store::KeyedRequest;

#[test]
fn a_key_is_1_to_128_printable_ascii_bytes() {
    let longest = "k".repeat(IDEMPOTENCY_KEY_BYTES_MAX);
    for good in ["k", " ", "~", "3f2c-11 {order: 7}", &longest] {
        IdempotencyKey::parse(good).unwrap();
    }
    for (bad, why) in [
        ("", "it is empty"),
        (&format!("{longest}k"), "it is longer"),
        ("a\tb", "it has another character"),
        ("a\u{7f}", "it has another character"),
        ("schlüssel", "it has another character"),
    ] {
        let error = IdempotencyKey::parse(bad).unwrap_err().to_string();
        assert!(
            error.contains("1 to 128 printable ASCII bytes") && error.ends_with(why),
            "{error}"
        );
    }
    assert_ne!(IdempotencyKey::parse("a").unwrap(), IdempotencyKey::parse("a ").unwrap());
}

fn tuple(text: &str) -> Tuple {
    Tuple::plain(TupleKey::parse(text).unwrap())
}

fn rich(context: &str) -> Tuple {
    let (name, context) = (Name::parse("hours").unwrap(), serde_json::from_str(context).unwrap());
    let condition = Some(TupleCondition { name, context });
    let (grantor, reason) = ("user:boss".to_owned(), "on call".to_owned());
    let mut tuple = tuple("org:acme#admin@group:ops#member");
    tuple.key.source = "hr".to_owned();
    Tuple { expires_at: Some(Time(-7)), condition, grantor, reason, ..tuple }
}

const CONTEXT: &str = r#"{"a": [1, 2.5, null, true, {"x": "1", "y": []}], "b": "c"}"#;

fn filter() -> TupleFilter {
    let set = |text: &str| Some(text.to_owned());
    TupleFilter { scope: set("org:acme"), role: set("admin"), ..TupleFilter::default() }
}

fn sample() -> WriteRequest {
    let changes = vec![
        WriteChange::Create(rich(CONTEXT)),
        WriteChange::Touch(tuple("org:acme#viewer@user:*")),
        WriteChange::Delete(TupleKey::parse("org:acme#viewer@user:ana").unwrap()),
    ];
    let preconditions = vec![
        Precondition { must: Must::Match, filter: filter() },
        Precondition { must: Must::NotMatch, filter: TupleFilter::default() },
    ];
    WriteRequest { changes, preconditions, ..WriteRequest::default() }
}

#[test]
fn the_fingerprints_are_the_frozen_ones() {
    // They are in the logs of running services: another one would refuse a repeat after an upgrade.
    let body = body_of(&sample());
    assert_eq!(format!("{body:?}"), "24b273ee8f3c742c4e7b78d945eed34b");
    let key = IdempotencyKey::parse("order-7").unwrap().fingerprint();
    assert_eq!(format!("{key:?}"), "88b13133401015d9e4030c0629be7761");
}

#[test]
fn everything_but_the_key_and_validate_only_is_in_the_fingerprint() {
    let plain = body_of(&sample());
    let key = Some(IdempotencyKey::parse("k").unwrap());
    assert_eq!(body_of(&WriteRequest { key, validate_only: true, ..sample() }), plain);
    let turned = r#"{"b": "c", "a": [1, 2.5, null, true, {"y": [], "x": "1"}]}"#;
    let changed = |change| {
        let mut request = sample();
        request.changes[0] = change;
        request
    };
    assert_eq!(body_of(&changed(WriteChange::Create(rich(turned)))), plain);

    let mut others = Vec::new();
    let mut with = |edit: &dyn Fn(&mut WriteRequest)| {
        let mut request = sample();
        edit(&mut request);
        others.push(request);
    };
    with(&|r| r.changes.swap(0, 1));
    with(&|r| drop(r.changes.pop()));
    with(&|r| drop(r.preconditions.pop()));
    with(&|r| r.preconditions.swap(0, 1));
    with(&|r| r.preconditions[0].must = Must::NotMatch);
    with(&|r| r.keep_one = KeepOne::Waived);
    with(&|r| r.changes[1] = WriteChange::Create(tuple("org:acme#viewer@user:*")));
    with(&|r| {
        r.changes[1] = WriteChange::Delete(TupleKey::parse("org:acme#viewer@user:*").unwrap());
    });
    with(&|r| r.changes[1] = WriteChange::Touch(tuple("org:acme#viewer@user:eve")));
    with(&|r| r.changes[1] = WriteChange::Touch(tuple("org:acme#owner@user:*")));
    with(&|r| r.changes[1] = WriteChange::Touch(tuple("org:acm#eviewer@user:*")));
    for at in 0..6 {
        with(&|r| {
            let TupleFilter { scope_type, scope, role, subject_type, subject, source } =
                &mut r.preconditions[0].filter;
            let fields = [scope_type, scope, role, subject_type, subject, source];
            *fields.into_iter().nth(at).unwrap() = Some("x".to_owned());
        });
    }
    with(&|r| r.preconditions[0].filter.source = Some(String::new()));
    with(&|r| r.preconditions[0].filter.role = None);
    let mut edits: Vec<Tuple> = Vec::new();
    let mut edit = |edit: &dyn Fn(&mut Tuple)| {
        let mut tuple = rich(CONTEXT);
        edit(&mut tuple);
        edits.push(tuple);
    };
    edit(&|t| t.key.source.clear());
    edit(&|t| t.expires_at = None);
    edit(&|t| t.expires_at = Some(Time(-8)));
    edit(&|t| t.condition = None);
    edit(&|t| t.grantor.clear());
    edit(&|t| t.granted_at = Some(Time(-7)));
    edit(&|t| t.granted_at = Some(Time(7)));
    edit(&|t| t.reason.push('!'));
    edit(&|t| (t.grantor, t.reason) = ("user:bosso".to_owned(), "n call".to_owned()));
    edits.extend(
        [
            "{}",
            r#"{"b": "c"}"#,
            &CONTEXT.replace("true", "false"),
            &CONTEXT.replace("[1,", r#"["1","#),
            &CONTEXT.replace("[]", "{}"),
            &CONTEXT.replace("null", "0"),
            &CONTEXT.replace(r#""x": "1""#, r#""x1": """#),
        ]
        .map(rich),
    );
    let tuples = edits.into_iter().map(|tuple| changed(WriteChange::Create(tuple)));
    let seen: Vec<_> = others.into_iter().chain(tuples).map(|request| body_of(&request)).collect();
    let distinct: HashSet<_> = seen.iter().chain([&plain]).collect();
    assert_eq!(distinct.len(), seen.len() + 1, "two different requests have one fingerprint");
}

fn key(n: u64) -> Fingerprint {
    Fingerprint(u128::from(n).to_be_bytes())
}

const SECOND: i64 = 1_000_000;

/// Notes the commit of this revision and time, with the key of this number.
fn note(kept: &mut KeyedCommits, revision: u64, seconds: i64, number: Option<u64>) {
    let request = number.map(|n| KeyedRequest { key: key(n), body: key(revision), changed: 1 });
    let commit = Commit { time: Time(seconds * SECOND), changes: Vec::new(), model: None, request };
    kept.note(Head { revision: Revision(revision), checksum: revision }, &commit);
}

fn found(kept: &KeyedCommits, number: u64, seconds: i64) -> Option<u64> {
    kept.find(key(number), Time(seconds * SECOND)).map(|commit| commit.head.revision.0)
}

#[test]
fn a_key_is_kept_for_24_hours_and_then_free_again() {
    let day = IDEMPOTENCY_KEY_SECONDS.cast_signed();
    let mut kept = KeyedCommits::default();
    note(&mut kept, 1, 100, Some(1));
    note(&mut kept, 2, 200, Some(2));
    assert_eq!(found(&kept, 1, 100), Some(1));
    assert_eq!(found(&kept, 1, 100 + day - 1), Some(1));
    // Not found from its last moment on, whether a commit has come to forget it or not.
    assert_eq!(found(&kept, 1, 100 + day), None);
    assert_eq!(kept.all().len(), 2);
    note(&mut kept, 3, 100 + day, None);
    assert_eq!(kept.all().len(), 1, "a commit without a key lets time pass too");
    assert_eq!(found(&kept, 2, 100 + day), Some(2));
    note(&mut kept, 4, 100 + day, Some(1));
    assert_eq!(found(&kept, 1, 100 + day), Some(4));
    note(&mut kept, 5, 200 + day, Some(3));
    let left: Vec<_> = kept.all().iter().map(|commit| commit.head.revision.0).collect();
    assert_eq!(left, [4, 5]);
    assert_eq!((found(&kept, 1, 200 + day), found(&kept, 2, 200 + day)), (Some(4), None));
}

#[test]
fn the_oldest_key_is_forgotten_for_one_too_many() {
    let mut kept = KeyedCommits::default();
    let max = IDEMPOTENCY_KEYS_MAX as u64;
    for n in 1..=max {
        note(&mut kept, n, 0, Some(n));
    }
    assert_eq!((found(&kept, 1, 0), found(&kept, max, 0)), (Some(1), Some(max)));
    let before = kept.all();
    note(&mut kept, max + 1, 0, Some(max + 1));
    assert_eq!((found(&kept, 1, 0), found(&kept, 2, 0)), (None, Some(2)));
    assert_eq!(found(&kept, max + 1, 0), Some(max + 1));
    assert_eq!(
        (kept.all().len(), kept.numbers.len()),
        (IDEMPOTENCY_KEYS_MAX, IDEMPOTENCY_KEYS_MAX)
    );
    assert_eq!(before.front().map(|commit| commit.head.revision.0), Some(1), "a clone stays");
}

/// What the module promises, said as plainly as it can be.
fn model_of(log: &[(i64, Option<u64>)], max: usize) -> Vec<u64> {
    let mut kept: Vec<(u64, i64)> = Vec::new();
    for (revision, (seconds, number)) in (1..).zip(log) {
        let day = IDEMPOTENCY_KEY_SECONDS.cast_signed();
        kept.retain(|(_, noted)| seconds - noted < day);
        if number.is_some() {
            kept.push((revision, *seconds));
        }
        let extra = kept.len().saturating_sub(max);
        kept.drain(..extra);
    }
    kept.into_iter().map(|(revision, _)| revision).collect()
}

#[test]
fn what_is_kept_follows_from_the_log_wherever_a_checkpoint_cuts_it() {
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..200 {
        let mut now = 0;
        let mut fresh = 0;
        let log: Vec<(i64, Option<u64>)> = (0..random.usize(1..60))
            .map(|_| {
                now += random.i64(0..20_000);
                fresh += 1;
                (now, random.bool().then_some(fresh))
            })
            .collect();
        let max = random.usize(1..12);
        let cut = random.usize(..=log.len());
        let mut whole = KeyedCommits::with_max(max);
        let mut cut_short = KeyedCommits::with_max(max);
        for (revision, (seconds, number)) in (1..).zip(&log) {
            note(&mut whole, revision, *seconds, *number);
            if revision == cut as u64 {
                whole.all().into_iter().for_each(|commit| cut_short.keep(commit));
            } else if revision > cut as u64 {
                note(&mut cut_short, revision, *seconds, *number);
            }
        }
        let revisions = |kept: &KeyedCommits| -> Vec<u64> {
            kept.all().iter().map(|commit| commit.head.revision.0).collect()
        };
        assert_eq!(revisions(&whole), model_of(&log, max), "round {round}");
        assert_eq!(revisions(&cut_short), revisions(&whole), "round {round}, cut at {cut}");
        for (revision, (_, number)) in (1..).zip(&log) {
            let Some(number) = number else { continue };
            let expected = revisions(&whole).contains(&revision).then_some(revision);
            assert_eq!(found(&whole, *number, now), expected, "round {round}");
            assert_eq!(found(&cut_short, *number, now), expected, "round {round}");
        }
    }
}
