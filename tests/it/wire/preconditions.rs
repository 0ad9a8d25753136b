//! Preconditions over a real socket: what they match, when they are judged, how they are refused.

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{COMMIT_CHANGES_MAX, PRECONDITION_TUPLES_MAX, PRECONDITIONS_MAX};
use tonic::{Code, Status};

use super::client::{Wire, change, touch, tuple};
use super::terms::{MICROS, at, changes, create, delete, must, must_not, seconds, timed};
use crate::support::service::{assert_refused, refusal};

#[tokio::test]
async fn a_commit_waits_on_its_preconditions() {
    let mut wire = Wire::with(&["org:acme#admin@user:ana"]).await;
    let with = |preconditions, list| pb::WriteTuplesRequest { preconditions, ..changes(list) };
    let bob = || vec![create("org:acme#admin@user:bob")];

    let none = with(vec![must_not(at("org:acme", "admin"))], bob());
    let status = wire.commit(none).await.unwrap_err();
    let field = "preconditions[0].must_not_match";
    assert_refused(&status, Code::FailedPrecondition, "PRECONDITION_FAILED", field);
    let (_, _, metadata) = refusal(&status);
    assert_eq!(metadata["precondition"], "0");
    assert_eq!(metadata["tuple"], "org:acme#admin@user:ana");
    assert!(status.message().contains("`org:acme#admin@user:ana` is there"), "{status:?}");

    let second = vec![must(at("org:acme", "admin")), must(at("org:acme", "guest"))];
    let status = wire.commit(with(second, bob())).await.unwrap_err();
    let field = "preconditions[1].must_match";
    assert_refused(&status, Code::FailedPrecondition, "PRECONDITION_FAILED", field);
    assert_eq!(refusal(&status).2["precondition"], "1");
    assert!(!refusal(&status).2.contains_key("tuple"));
    assert_eq!(wire.stored().await, ["org:acme#admin@user:ana"], "a refused commit wrote");

    // Judged before the commit's own changes, either way.
    let own = vec![must_not(at("org:acme", "guest"))];
    wire.commit(with(own, vec![create("org:acme#guest@user:gus")])).await.unwrap();
    let ana = pb::TupleFilter { subject: "user:ana".into(), ..at("org:acme", "admin") };
    let moved = vec![delete("org:acme#admin@user:ana"), create("org:acme#admin@user:bob")];
    let moving = with(vec![must(ana)], moved);
    wire.commit(moving.clone()).await.unwrap();
    let status = wire.commit(moving).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, "PRECONDITION_FAILED", "");
    assert_eq!(wire.stored().await, ["org:acme#admin@user:bob", "org:acme#guest@user:gus"]);

    let status = wire.commit(with(vec![must(at("org:acme", "admin"))], vec![])).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "EMPTY_COMMIT", "changes");
}

#[tokio::test]
async fn a_precondition_matches_what_read_tuples_reads() {
    let mut wire = Wire::with(&[
        "doc:d1#viewer@user:ana",
        "doc:d1#editor@group:ops#member",
        "doc:d2#viewer@user:*",
        "org:acme#admin@user:ana",
    ])
    .await;
    let of_hr = pb::Tuple { source: "hr".into(), ..tuple("org:acme#guest@user:gus") };
    wire.write(vec![change(pb::Operation::Create, of_hr)]).await.unwrap();
    let pick = |bits: usize, at: u32, values: [&str; 2]| match (bits >> (2 * at)) & 3 {
        0 => String::new(),
        n => values.get(n - 1).copied().unwrap_or_default().to_owned(),
    };
    let (mut some, mut none, mut never) = (0, 0, 0);
    for bits in 0..4_usize.pow(6) {
        // The fourth value of a field is the first again: unset.
        let filter = pb::TupleFilter {
            scope_type: pick(bits, 0, ["doc", "org"]),
            scope: pick(bits, 1, ["doc:d1", "org:acme"]),
            role: pick(bits, 2, ["viewer", "admin"]),
            subject_type: pick(bits, 3, ["user", "group"]),
            subject: pick(bits, 4, ["user:ana", "group:ops#member"]),
            source: (bits >> 10 < 3).then(|| pick(bits, 5, ["hr", "ldap"])),
        };
        if (0..5).any(|field| (bits >> (2 * field)) & 3 == 3) {
            continue;
        }
        let read = wire.read(filter.clone()).await;
        let is_there = read.as_ref().is_ok_and(|found| !found.is_empty());
        *match &read {
            Ok(_) if is_there => &mut some,
            Ok(_) => &mut none,
            Err(status) => {
                assert_refused(status, Code::InvalidArgument, "FILTER_NEVER_MATCHES", "");
                &mut never
            }
        } += 1;
        for (precondition, holds) in
            [(must(filter.clone()), is_there), (must_not(filter), !is_there)]
        {
            let request = pb::WriteTuplesRequest {
                preconditions: vec![precondition],
                validate_only: true,
                ..changes(vec![touch("doc:d1#viewer@user:ana")])
            };
            let outcome = wire.commit(request.clone()).await;
            assert_eq!(outcome.is_ok(), holds && read.is_ok(), "{request:?}: {outcome:?}");
            if read.is_err() {
                let status = outcome.unwrap_err();
                assert_refused(&status, Code::InvalidArgument, "FILTER_NEVER_MATCHES", "");
            }
        }
    }
    assert!(some > 50 && none > 20 && never > 300, "{some} match, {none} do not, {never} cannot");
}

#[tokio::test]
async fn a_filter_that_no_tuple_can_match_is_refused_and_holds_for_nothing() {
    let mut wire = Wire::with(&["org:acme#admin@group:ops#member"]).await;
    let filter = |fields: [&str; 5]| {
        let [scope_type, scope, role, subject_type, subject] = fields.map(str::to_owned);
        pb::TupleFilter { scope_type, scope, role, subject_type, subject, source: None }
    };
    let unknown = "UNKNOWN_NAME";
    let never = "FILTER_NEVER_MATCHES";
    let cases = [
        (["", "org:acme", "", "", "group:ops#membr"], unknown, "subject", "member"),
        (["", "", "", "", "group:ops#membr"], unknown, "subject", "member"),
        (["", "", "", "", "grup:ops#member"], "UNKNOWN_TYPE", "subject", "group"),
        // Each name is known, and no tuple has them together.
        (["", "org:acme", "viewer", "", ""], never, "role", "`viewer` cannot be bound on `org`"),
        (["org", "", "viewer", "", ""], never, "role", "`viewer` cannot be bound on `org`"),
        (["doc", "org:acme", "", "", ""], never, "scope_type", "`org:acme` is no `doc`"),
        (["", "group:ops", "admin", "", ""], never, "role", "`admin` cannot be bound on `group`"),
        (["", "platform:p", "", "", ""], never, "scope", "no tuples on `platform`"),
        (["", "", "", "", "org:acme#admin"], never, "subject", "`org:acme#admin` cannot be bound"),
        (["", "", "", "", "doc:d1"], never, "subject", "`doc:d1` cannot be bound to anything"),
        (
            ["org", "", "", "", "user:*"],
            never,
            "subject",
            "`user:*` cannot be bound to anything on",
        ),
        (["", "", "admin", "", "user:*"], never, "subject", "`user:*` cannot be bound to `admin`"),
        (["", "", "", "user", "group:ops"], never, "subject", "`group:ops` cannot be bound"),
        (["", "", "", "user", "group:ops#member"], never, "subject_type", "is of another type"),
        (["", "", "member", "org", ""], never, "subject_type", "no `org` can be bound to `member`"),
        (["", "", "has", "", "feature:modul:x"], never, "subject", "cannot be bound to `has`"),
        (["", "group:ops", "has", "", ""], never, "role", "`has` cannot be bound on `group`"),
    ];
    for (fields, reason, field, words) in cases {
        let status = wire.read(filter(fields)).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, reason, &format!("filter.{field}"));
        assert!(status.message().contains(words), "{status:?}");
        for (precondition, kind) in
            [(must(filter(fields)), "must_match"), (must_not(filter(fields)), "must_not_match")]
        {
            let request = pb::WriteTuplesRequest {
                preconditions: vec![precondition],
                ..changes(vec![touch("org:acme#guest@user:gus")])
            };
            let status = wire.commit(request).await.unwrap_err();
            let path = format!("preconditions[0].{kind}.{field}");
            assert_refused(&status, Code::InvalidArgument, reason, &path);
            assert!(status.message().contains(words), "{status:?}");
        }
    }
    assert_eq!(wire.stored().await.len(), 1, "a refused commit wrote");
    // What is known and only not there: nothing matches, and a precondition holds.
    for fields in [
        ["", "org:other", "admin", "", ""],
        ["", "", "viewer", "", "org:acme#staff"],
        ["", "", "has", "", "feature:module:x"],
        ["org", "", "partner", "org", "org:acme"],
        ["", "folder:f", "parent", "", "folder:g"],
    ] {
        assert_eq!(wire.read(filter(fields)).await.unwrap(), [], "{fields:?}");
        let request = pb::WriteTuplesRequest {
            preconditions: vec![must_not(filter(fields))],
            validate_only: true,
            ..changes(vec![touch("org:acme#guest@user:gus")])
        };
        wire.commit(request).await.unwrap();
    }
}

#[tokio::test]
async fn an_expired_tuple_is_absent_for_a_precondition() {
    let (mut wire, clock) = timed().await;
    let until_100 = pb::Tuple { expires_at: seconds(100), ..tuple("org:acme#admin@user:ana") };
    wire.write(vec![change(pb::Operation::Create, until_100)]).await.unwrap();
    let request = |condition| pb::WriteTuplesRequest {
        preconditions: vec![condition],
        ..changes(vec![touch("org:acme#guest@user:gus")])
    };
    clock.set(100 * MICROS - 1);
    wire.commit(request(must(at("org:acme", "admin")))).await.unwrap();
    assert!(wire.commit(request(must_not(at("org:acme", "admin")))).await.is_err());
    clock.set(100 * MICROS);
    wire.commit(request(must_not(at("org:acme", "admin")))).await.unwrap();
    assert!(wire.commit(request(must(at("org:acme", "admin")))).await.is_err());
}

#[tokio::test]
async fn a_malformed_precondition_is_refused_with_its_path() {
    let mut wire = Wire::with(&[]).await;
    let none = pb::TupleFilter::default;
    let cases = [
        (
            pb::TupleFilter { scope_type: "dok".into(), ..none() },
            "UNKNOWN_TYPE",
            "scope_type",
            "doc",
        ),
        (pb::TupleFilter { scope: "dok:d1".into(), ..none() }, "UNKNOWN_TYPE", "scope", "doc"),
        (pb::TupleFilter { scope: "doc".into(), ..none() }, "INVALID_FIELD", "scope", ""),
        (pb::TupleFilter { role: "veiwer".into(), ..none() }, "UNKNOWN_ROLE", "role", "viewer"),
        (
            pb::TupleFilter { subject_type: "usr".into(), ..none() },
            "UNKNOWN_TYPE",
            "subject_type",
            "user",
        ),
        (pb::TupleFilter { subject: "a b".into(), ..none() }, "INVALID_FIELD", "subject", ""),
    ];
    for (filter, reason, field, nearest) in cases {
        for (precondition, kind) in
            [(must(filter.clone()), "must_match"), (must_not(filter), "must_not_match")]
        {
            let request = pb::WriteTuplesRequest {
                preconditions: vec![must_not(pb::TupleFilter::default()), precondition],
                ..changes(vec![touch("doc:d1#viewer@user:ana")])
            };
            let status = wire.commit(request).await.unwrap_err();
            let path = format!("preconditions[1].{kind}.{field}");
            assert_refused(&status, Code::InvalidArgument, reason, &path);
            let found = refusal(&status).2.get("nearest").cloned().unwrap_or_default();
            assert_eq!(found, nearest, "{status:?}");
            assert!(status.message().contains(nearest), "{status:?}");
        }
    }
    let request = pb::WriteTuplesRequest {
        preconditions: vec![pb::Precondition { condition: None }],
        ..changes(vec![touch("doc:d1#viewer@user:ana")])
    };
    let status = wire.commit(request).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", "preconditions[0]");
    assert!(wire.stored().await.is_empty());
}

#[tokio::test]
async fn preconditions_are_bounded_in_number_and_in_cost() {
    let mut wire = Wire::with(&[]).await;
    let request = |preconditions| pb::WriteTuplesRequest {
        preconditions,
        validate_only: true,
        ..changes(vec![touch("doc:d1#viewer@user:ana")])
    };
    let empty = must_not(pb::TupleFilter::default());
    wire.commit(request(vec![empty.clone(); PRECONDITIONS_MAX])).await.unwrap();
    let status = wire.commit(request(vec![empty; PRECONDITIONS_MAX + 1])).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "COMMIT_TOO_LARGE", "preconditions");
    assert_eq!(refusal(&status).2["limit"], PRECONDITIONS_MAX.to_string());

    let viewers = (0..PRECONDITION_TUPLES_MAX).map(|i| touch(&format!("doc:d{i}#viewer@user:ana")));
    for part in viewers.collect::<Vec<_>>().chunks(COMMIT_CHANGES_MAX) {
        wire.write(part.to_vec()).await.unwrap();
    }
    let editors = || pb::TupleFilter { role: "editor".into(), ..Default::default() };
    wire.commit(request(vec![must_not(editors())])).await.unwrap();
    let reach = |status: &Status, at: usize| {
        let field = format!("preconditions[{at}].must_not_match");
        assert_refused(status, Code::ResourceExhausted, "PRECONDITION_TOO_BROAD", &field);
        assert_eq!(refusal(status).2["limit"], PRECONDITION_TUPLES_MAX.to_string());
    };
    // The bound is on all of them together.
    let both = request(vec![must_not(editors()), must_not(editors())]);
    reach(&wire.commit(both).await.unwrap_err(), 1);
    wire.write(vec![touch("doc:one-more#viewer@user:ana")]).await.unwrap();
    reach(&wire.commit(request(vec![must_not(editors())])).await.unwrap_err(), 0);
    let message = wire.commit(request(vec![must_not(editors())])).await.unwrap_err();
    assert!(message.message().contains("name a scope or a subject, so"), "{message:?}");
    // What names a scope or a subject with the role looks at what it names.
    let narrow = [
        must_not(at("doc:d1", "editor")),
        must_not(pb::TupleFilter { subject: "user:ana".into(), ..editors() }),
        must_not(pb::TupleFilter { subject: "user:ana".into(), ..at("doc:d1", "editor") }),
        must(pb::TupleFilter { subject: "user:ana".into(), ..at("doc:d1", "viewer") }),
        must(pb::TupleFilter::default()),
    ];
    wire.commit(request(vec![narrow; 20].concat())).await.unwrap();
}

#[tokio::test]
async fn what_is_there_is_named_with_its_source() {
    let mut wire = Wire::with(&["org:acme#guest@user:gus"]).await;
    let of_hr = || pb::Tuple { source: "hr".into(), ..tuple("org:acme#guest@user:gus") };
    let made = || vec![change(pb::Operation::Create, of_hr())];
    wire.write(made()).await.unwrap();
    let named = |status: &Status, source: Option<&str>| {
        let metadata = refusal(status).2;
        assert_eq!(metadata["tuple"], "org:acme#guest@user:gus");
        assert_eq!(metadata.get("source").map(String::as_str), source, "{status:?}");
        assert_eq!(status.message().contains("of the source `hr`"), source.is_some(), "{status:?}");
    };
    named(&wire.write(made()).await.unwrap_err(), Some("hr"));
    named(&wire.write(vec![create("org:acme#guest@user:gus")]).await.unwrap_err(), None);
    named(&wire.write([made(), made()].concat()).await.unwrap_err(), Some("hr"));
    let none_of_hr = pb::TupleFilter { source: Some("hr".into()), ..at("org:acme", "guest") };
    let request =
        pb::WriteTuplesRequest { preconditions: vec![must_not(none_of_hr)], ..changes(made()) };
    named(&wire.commit(request).await.unwrap_err(), Some("hr"));
}
