//! Cursors over a real socket: a list that is resumed anywhere is the list that it would have been,
//! whatever is written meanwhile, and no other text or request goes on with it.

use std::sync::Arc;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::api::values::Values;
use bailiwick::model::limits::{
    COMPLETED_CHANGES_MAX, CURSOR_BYTES_MAX, CURSOR_SECONDS, HISTORY_REVISIONS_MAX, ID_BYTES_MAX,
    PINNED_REVISIONS_MAX,
};
use bailiwick::model::tuple::{Time, Tuple};
use bailiwick::pdp::WriteChange;
use bailiwick::store::Store;
use bailiwick::store::memory::MemoryStore;
use pb::consistency::Requirement;
use prost::Message as _;
use tonic::{Code, Status};

use super::asked::Asked;
use super::client::context;
use crate::support::service::{assert_refused, refusal};
use crate::support::{delete, touch, tuple};

const LIFE: i64 = CURSOR_SECONDS.cast_signed() * 1_000_000;

/// A service that the test also writes to without the wire, with lists to go on with.
struct Listed(Asked);

impl Listed {
    async fn on(store: Arc<dyn Store>) -> Self {
        Self(Asked::on(store, Patience::default()).await)
    }

    async fn with(tuples: &[&str]) -> Self {
        let listed = Self::on(Arc::new(MemoryStore::new())).await;
        listed.commit(tuples.iter().map(|text| touch(text)).collect()).await;
        listed
    }

    async fn commit(&self, changes: Vec<WriteChange>) {
        self.0.commit(changes).await;
    }

    async fn go_on(
        &mut self,
        request: &pb::ReadTuplesRequest,
        cursor: &str,
    ) -> Result<(Vec<pb::ReadTuple>, pb::ReadTuplesComplete), Status> {
        let request = pb::ReadTuplesRequest { cursor: cursor.into(), ..request.clone() };
        self.0.wire.read_entries(request).await
    }

    async fn go_on_listing(
        &mut self,
        request: &pb::ListSubjectsRequest,
        cursor: &str,
    ) -> Result<(Vec<pb::ListedSubject>, pb::ListComplete), Status> {
        let request = pb::ListSubjectsRequest { cursor: cursor.into(), ..request.clone() };
        self.0.wire.list_entries(request).await
    }
}

fn viewers(scope: &str) -> pb::ListSubjectsRequest {
    pb::ListSubjectsRequest {
        permission: "doc.view".into(),
        scope: scope.into(),
        subject_type: "user".into(),
        ..Default::default()
    }
}

fn read(filter: pb::TupleFilter) -> pb::ReadTuplesRequest {
    pb::ReadTuplesRequest { filter: Some(filter), ..Default::default() }
}

const TUPLES: [&str; 14] = [
    "doc:d1#viewer@user:ana",
    "doc:d1#viewer@user:bob",
    "doc:d1#editor@user:ana",
    "doc:d1#viewer@user:*",
    "doc:d1#viewer@group:ops#member",
    "doc:d1#folder@folder:f1",
    "doc:d2#viewer@user:ana",
    "doc:d2#viewer@user:!before-the-star",
    "doc:d2#viewer@user:a:*",
    "doc:d2#viewer@user:zoe",
    "doc:d2#editor@group:ops#member",
    "group:ops#member@user:ana",
    "group:ops#member@user:eve",
    "org:acme#admin@user:ana",
];

#[tokio::test]
async fn tuples_go_on_after_every_entry_while_writes_go_on() {
    let mut listed = Listed::with(&TUPLES).await;
    let sourced = |source: &str| {
        let mut tuple = tuple("doc:d1#viewer@user:ana");
        tuple.key.source = source.into();
        tuple
    };
    let expiring = Tuple { expires_at: Some(Time(50)), ..tuple("doc:d1#blocked@user:ana") };
    let more = [sourced("hr"), sourced("crm"), expiring].map(WriteChange::Touch);
    listed.commit(more.into()).await;
    let none = pb::TupleFilter::default;
    let filters = [
        (none(), 17),
        (pb::TupleFilter { scope: "doc:d1".into(), ..none() }, 9),
        (pb::TupleFilter { subject: "user:ana".into(), ..none() }, 8),
        (pb::TupleFilter { subject: "group:ops#member".into(), ..none() }, 2),
        (pb::TupleFilter { subject: "user:*".into(), ..none() }, 1),
        (pb::TupleFilter { role: "viewer".into(), ..none() }, 10),
        (pb::TupleFilter { subject_type: "user".into(), scope: "doc:d2".into(), ..none() }, 4),
        (pb::TupleFilter { source: Some("hr".into()), ..none() }, 1),
        (pb::TupleFilter { scope: "doc:none".into(), ..none() }, 0),
    ];
    let mut lists = Vec::new();
    for (filter, count) in filters {
        let request = read(filter);
        let whole = listed.0.wire.read_entries(request.clone()).await.unwrap();
        assert_eq!((whole.0.len(), whole.1.count), (count, count as u64), "{request:?}");
        lists.push((request, whole));
    }
    // By now one of them has expired; for a list that began before, it has not.
    listed.0.clock.set(60);
    for (round, (request, (entries, end))) in lists.into_iter().enumerate() {
        for (at, entry) in entries.iter().enumerate() {
            let noise = [
                touch(&format!("doc:d{}#viewer@user:new{round}x{at}", at % 3)),
                delete(TUPLES[(round + at) % TUPLES.len()]),
            ];
            listed.commit(noise.into()).await;
            let (rest, again) = listed.go_on(&request, &entry.cursor).await.unwrap();
            assert_eq!(rest, entries[at + 1..], "after {at} of {request:?}");
            assert_eq!(again, end, "after {at} of {request:?}");
        }
    }
}

#[tokio::test]
async fn subjects_go_on_after_every_entry_while_writes_go_on() {
    let mut listed = Listed::with(&TUPLES).await;
    let expiring = Tuple { expires_at: Some(Time(50)), ..tuple("doc:d2#viewer@user:temp") };
    listed.commit(vec![WriteChange::Touch(expiring)]).await;
    let mut lists = Vec::new();
    for (scope, names) in [
        ("doc:d1", vec!["user:*", "user:ana", "user:bob", "user:eve"]),
        (
            "doc:d2",
            vec![
                "user:!before-the-star",
                "user:a:*",
                "user:ana",
                "user:eve",
                "user:temp",
                "user:zoe",
            ],
        ),
    ] {
        let request = viewers(scope);
        let (entries, end) = listed.0.wire.list_entries(request.clone()).await.unwrap();
        let found: Vec<&str> = entries.iter().map(|entry| entry.subject.as_str()).collect();
        // All of a type come first; who may because all may is asked for by name as well.
        assert!(names.iter().all(|name| found.contains(name)), "{found:?}");
        assert_eq!(end.count, entries.len() as u64);
        lists.push((request, (entries, end)));
    }
    listed.0.clock.set(60);
    for (round, (request, (entries, end))) in lists.into_iter().enumerate() {
        for (at, entry) in entries.iter().enumerate() {
            let noise = [
                touch(&format!("doc:d{}#viewer@user:new{round}x{at}", 1 + at % 2)),
                delete(TUPLES[(round + at) % TUPLES.len()]),
            ];
            listed.commit(noise.into()).await;
            let (rest, again) = listed.go_on_listing(&request, &entry.cursor).await.unwrap();
            assert_eq!(rest, entries[at + 1..], "after {at} of {request:?}");
            assert_eq!(again, end, "after {at} of {request:?}");
        }
    }
}

#[track_caller]
fn assert_invalid(status: &Status) {
    assert_refused(status, Code::InvalidArgument, "INVALID_CURSOR", "cursor");
    assert!(status.message().len() < 300, "{} bytes", status.message().len());
}

#[tokio::test]
async fn no_byte_of_a_cursor_can_be_changed() {
    let mut listed = Listed::with(&TUPLES).await;
    let (reading, listing) = (read(pb::TupleFilter::default()), viewers("doc:d1"));
    let (tuples, _) = listed.0.wire.read_entries(reading.clone()).await.unwrap();
    let (subjects, _) = listed.0.wire.list_entries(listing.clone()).await.unwrap();
    let cursor = &tuples[3].cursor;
    for at in 0..cursor.len() {
        let old = cursor.as_bytes()[at];
        // A neighbour in the alphabet, one far off, and none of it.
        for new in [if old == b'A' { b'B' } else { b'A' }, old ^ 1, b'=', b' '] {
            if new == old {
                continue;
            }
            let mut forged = cursor.clone().into_bytes();
            forged[at] = new;
            let forged = String::from_utf8(forged).unwrap();
            assert_invalid(&listed.go_on(&reading, &forged).await.unwrap_err());
        }
        // Cut at either end; an empty text would be no cursor at all.
        for cut in [&cursor[..at], &cursor[at + 1..]] {
            if !cut.is_empty() {
                assert_invalid(&listed.go_on(&reading, cut).await.unwrap_err());
            }
        }
    }
    let cursor = &subjects[1].cursor;
    for at in 0..cursor.len() {
        let mut forged = cursor.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_invalid(&listed.go_on_listing(&listing, &forged).await.unwrap_err());
    }
    for text in [
        "x".to_owned(),
        format!("{cursor}A"),
        format!("{cursor}{cursor}"),
        format!("{cursor}\n"),
        "\u{1f600}".repeat(60),
        "A".repeat((4 << 20) - 4_000),
    ] {
        assert_invalid(&listed.go_on(&reading, &text).await.unwrap_err());
        assert_invalid(&listed.go_on_listing(&listing, &text).await.unwrap_err());
    }
}

#[tokio::test]
async fn a_cursor_of_another_process_is_no_cursor_here() {
    let store = Arc::new(MemoryStore::new());
    let mut before = Listed::on(Arc::clone(&store) as Arc<_>).await;
    before.commit(vec![touch(TUPLES[0]), touch(TUPLES[1])]).await;
    let request = read(pb::TupleFilter::default());
    let (entries, _) = before.0.wire.read_entries(request.clone()).await.unwrap();
    before.0.pdp.close();
    let mut after = Listed::on(store).await;
    assert_eq!(after.0.pdp.read().token(), before.0.pdp.read().token());
    assert_invalid(&after.go_on(&request, &entries[0].cursor).await.unwrap_err());
}

#[tokio::test]
async fn a_cursor_goes_on_with_its_own_request_only() {
    let mut listed = Listed::with(&TUPLES).await;
    let token = listed.0.pdp.read().token().to_string();
    let latest = |latest| Some(pb::Consistency { requirement: Some(latest) });
    let reading = read(pb::TupleFilter { role: "viewer".into(), ..Default::default() });
    let (entries, _) = listed.0.wire.read_entries(reading.clone()).await.unwrap();
    let tuple_cursor = entries[0].cursor.clone();
    let other = |edit: &dyn Fn(&mut pb::TupleFilter)| {
        let mut filter = reading.filter.clone().unwrap();
        edit(&mut filter);
        read(filter)
    };
    let others = [
        read(pb::TupleFilter::default()),
        pb::ReadTuplesRequest::default(),
        other(&|filter| filter.role = "editor".into()),
        other(&|filter| filter.scope = "doc:d1".into()),
        other(&|filter| filter.scope_type = "doc".into()),
        other(&|filter| filter.subject = "user:ana".into()),
        other(&|filter| filter.subject_type = "user".into()),
        other(&|filter| filter.source = Some(String::new())),
        pb::ReadTuplesRequest { consistency: latest(Requirement::Latest(true)), ..reading.clone() },
        pb::ReadTuplesRequest {
            consistency: latest(Requirement::AtLeast(token.clone())),
            ..reading.clone()
        },
    ];
    let refused = |status: Status| {
        assert_refused(&status, Code::InvalidArgument, "CURSOR_OF_OTHER_REQUEST", "cursor");
    };
    for request in others {
        refused(listed.go_on(&request, &tuple_cursor).await.unwrap_err());
    }

    let listing = pb::ListSubjectsRequest {
        context: context(r#"{"hour": 9, "zone": 1}"#),
        consistency: latest(Requirement::Exactly(token)),
        ..viewers("doc:d1")
    };
    let (entries, _) = listed.0.wire.list_entries(listing.clone()).await.unwrap();
    let cursor = entries[0].cursor.clone();
    let others = [
        pb::ListSubjectsRequest { permission: "doc.edit".into(), ..listing.clone() },
        pb::ListSubjectsRequest { scope: "doc:d2".into(), ..listing.clone() },
        pb::ListSubjectsRequest { subject_type: "group".into(), ..listing.clone() },
        pb::ListSubjectsRequest { context: None, ..listing.clone() },
        pb::ListSubjectsRequest {
            context: context(r#"{"hour": 10, "zone": 1}"#),
            ..listing.clone()
        },
        pb::ListSubjectsRequest { consistency: None, ..listing.clone() },
    ];
    for request in others {
        refused(listed.go_on_listing(&request, &cursor).await.unwrap_err());
    }
    // Neither method goes on with the other's.
    refused(listed.go_on_listing(&listing, &tuple_cursor).await.unwrap_err());
    refused(listed.go_on(&reading, &cursor).await.unwrap_err());
    // And an empty request of the one looks like an empty request of the other.
    let (entries, _) = listed.0.wire.read_entries(Default::default()).await.unwrap();
    let request = pb::ListSubjectsRequest::default();
    refused(listed.go_on_listing(&request, &entries[0].cursor).await.unwrap_err());
    assert!(listed.go_on_listing(&listing, &cursor).await.is_ok());
    // Some clients send the same values in another order each time.
    let reversed = [r#"{"zone": 1}"#, r#"{"hour": 9}"#].into_iter().flat_map(context);
    let reversed: Vec<u8> = reversed.flat_map(|values| values.encode_to_vec()).collect();
    let reversed = Some(Values::decode(reversed.as_slice()).unwrap());
    assert_ne!(reversed, listing.context);
    let request = pb::ListSubjectsRequest { context: reversed, ..listing };
    assert!(listed.go_on_listing(&request, &cursor).await.is_ok());
}

#[track_caller]
fn assert_expired(status: &Status, revision: u64) {
    assert_refused(status, Code::OutOfRange, "CURSOR_EXPIRED", "cursor");
    assert_eq!(refusal(status).2["revision"], revision.to_string());
}

#[tokio::test]
async fn a_cursor_outlives_the_history_on_a_busy_store() {
    let mut listed = Listed::with(&TUPLES).await;
    let request = read(pb::TupleFilter::default());
    let (entries, end) = listed.0.wire.read_entries(request.clone()).await.unwrap();
    for i in 0..HISTORY_REVISIONS_MAX + 1 {
        listed.commit(vec![touch(&format!("doc:d1#viewer@user:u{i}"))]).await;
    }
    let exactly = pb::ReadTuplesRequest {
        consistency: Some(pb::Consistency {
            requirement: Some(Requirement::Exactly(end.token.clone())),
        }),
        ..request.clone()
    };
    let status = listed.0.wire.read_entries(exactly).await.unwrap_err();
    assert_refused(&status, Code::OutOfRange, "REVISION_EXPIRED", "");
    let (rest, again) = listed.go_on(&request, &entries[5].cursor).await.unwrap();
    assert_eq!((&rest[..], &again), (&entries[6..], &end));
}

#[tokio::test]
async fn a_cursor_lives_for_a_time_after_its_list_was_read() {
    let mut listed = Listed::with(&TUPLES).await;
    let request = read(pb::TupleFilter::default());
    let (entries, _) = listed.0.wire.read_entries(request.clone()).await.unwrap();
    let cursor = &entries[2].cursor;
    listed.0.clock.set(LIFE - 1);
    assert!(listed.go_on(&request, cursor).await.is_ok());
    // To go on with it was to read it again.
    listed.commit(vec![touch("doc:d1#viewer@user:new")]).await;
    listed.0.clock.set(2 * LIFE - 2);
    assert!(listed.go_on(&request, cursor).await.is_ok());
    listed.0.clock.set(3 * LIFE - 2);
    assert_expired(&listed.go_on(&request, cursor).await.unwrap_err(), 2);
    // Also where nothing was written, and its revision is still the newest.
    let (entries, _) = listed.0.wire.read_entries(request.clone()).await.unwrap();
    listed.0.clock.set(4 * LIFE - 2);
    assert_expired(&listed.go_on(&request, &entries[2].cursor).await.unwrap_err(), 3);
}

#[tokio::test]
async fn the_lists_that_were_read_last_can_be_resumed_longest() {
    let mut listed = Listed::with(&TUPLES).await;
    listed.commit(vec![touch("doc:d9#viewer@user:a"), touch("doc:d9#viewer@user:b")]).await;
    let request = viewers("doc:d9");
    let mut cursors = Vec::new();
    for i in 0..PINNED_REVISIONS_MAX + 20 {
        listed.commit(vec![touch(&format!("doc:d2#viewer@user:u{i}"))]).await;
        let (entries, end) = listed.0.wire.list_entries(request.clone()).await.unwrap();
        cursors.push((entries[0].cursor.clone(), end));
    }
    // Until here all of them are recent; from now on only what is kept for cursors is left.
    for i in 0..HISTORY_REVISIONS_MAX {
        listed.commit(vec![touch(&format!("doc:d2#viewer@user:v{i}"))]).await;
    }
    let (gone, kept) = cursors.split_at(20);
    for (cursor, end) in kept {
        let (_, again) = listed.go_on_listing(&request, cursor).await.unwrap();
        assert_eq!(again, *end);
    }
    for (cursor, end) in gone {
        assert_expired(&listed.go_on_listing(&request, cursor).await.unwrap_err(), end.revision);
    }
}

#[tokio::test]
async fn the_longest_names_have_cursors_too() {
    let long = format!("doc:d1#viewer@user:{}", "x".repeat(ID_BYTES_MAX));
    let mut listed = Listed::with(&[&long, "doc:d1#viewer@user:y"]).await;
    let request = viewers("doc:d1");
    let (entries, end) = listed.0.wire.list_entries(request.clone()).await.unwrap();
    assert!(entries[0].cursor.len() > ID_BYTES_MAX && entries[0].cursor.len() < CURSOR_BYTES_MAX);
    let (rest, again) = listed.go_on_listing(&request, &entries[0].cursor).await.unwrap();
    assert_eq!((&rest[..], again), (&entries[1..], end));
}

#[tokio::test]
async fn a_cursor_of_a_list_that_was_read_expires_by_what_has_changed_since() {
    let mut listed = Listed::with(&TUPLES).await;
    let request = read(pb::TupleFilter { scope: "doc:d1".into(), ..Default::default() });
    let (entries, _) = listed.0.wire.read_entries(request.clone()).await.unwrap();
    let one = |round, i| touch(&format!("group:b{i}#member@user:u{round}"));
    let bulk = |round| (0..10_000).map(|i| one(round, i)).collect();
    for round in 0..COMPLETED_CHANGES_MAX / 10_000 {
        listed.commit(bulk(round)).await;
    }
    assert!(listed.go_on(&request, &entries[2].cursor).await.is_ok());
    listed.commit(vec![touch("doc:d1#viewer@user:new")]).await;
    assert_expired(&listed.go_on(&request, &entries[2].cursor).await.unwrap_err(), 2);
}

#[tokio::test]
async fn a_list_at_an_older_revision_goes_on_there() {
    let mut listed = Listed::with(&TUPLES).await;
    let token = listed.0.pdp.read().token().to_string();
    listed.commit(vec![touch("doc:d1#viewer@user:new"), delete(TUPLES[0])]).await;
    let exactly =
        || Some(pb::Consistency { requirement: Some(Requirement::Exactly(token.clone())) });
    let request = pb::ListSubjectsRequest { consistency: exactly(), ..viewers("doc:d1") };
    let (entries, end) = listed.0.wire.list_entries(request.clone()).await.unwrap();
    assert_eq!(end.token, token);
    for (at, entry) in entries.iter().enumerate() {
        let (rest, again) = listed.go_on_listing(&request, &entry.cursor).await.unwrap();
        assert_eq!((&rest[..], &again), (&entries[at + 1..], &end));
    }
}
