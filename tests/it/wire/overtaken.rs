//! Lists that writes overtake: what is kept for them is bounded, and they say so when they end early.

use std::sync::Arc;
use std::time::Duration;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{
    CARRIED_BYTES_MAX, COMMIT_CHANGES_MAX, OVERTAKEN_LIST_SECONDS, PINNED_CHANGES_MAX,
    STREAM_BUFFER_ENTRIES,
};
use bailiwick::model::tuple::Tuple;
use bailiwick::pdp::WriteChange;
use bailiwick::store::memory::MemoryStore;
use pb::tuple_service_client::TupleServiceClient;
use tokio::sync::oneshot;
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::asked::Asked;
use super::hostile::{READ_TUPLES, begin, end_of, framed};
use crate::support::service::{assert_refused, refusal};
use crate::support::{touch, tuple};

/// More than waits for a slow reader, here and in the transport.
const ENTRIES: usize = 4 * STREAM_BUFFER_ENTRIES;

/// A service with a list that is long, and a clock that stands.
async fn with_a_long_list() -> Asked {
    let patience = Patience { stream_stall: Duration::from_secs(600), ..Patience::default() };
    let asked = Asked::on(Arc::new(MemoryStore::new()), patience).await;
    let large = |at: usize| {
        let reason = "r".repeat(CARRIED_BYTES_MAX);
        WriteChange::Touch(Tuple { reason, ..tuple(&format!("doc:d{at}#viewer@user:ana")) })
    };
    // Two commits: one alone would take too many bytes.
    for part in (0..ENTRIES).collect::<Vec<_>>().chunks(ENTRIES / 2) {
        asked.commit(part.iter().map(|at| large(*at)).collect()).await;
    }
    asked
}

/// Commits so many changes that what stood before is still kept for a list, and one more is not.
async fn changes(asked: &Asked, round: usize) {
    for part in 0..usize::try_from(PINNED_CHANGES_MAX).unwrap() / COMMIT_CHANGES_MAX {
        let one = |at| touch(&format!("group:b{at}#member@user:u{round}x{part}"));
        asked.commit((0..COMMIT_CHANGES_MAX).map(one).collect()).await;
    }
}

async fn one_more(asked: &Asked, name: &str) {
    asked.commit(vec![touch(&format!("group:more#member@user:{name}"))]).await;
}

/// A list that nobody reads until told.
struct Slow {
    read_now: oneshot::Sender<u32>,
    list: h2::RecvStream,
}

impl Slow {
    async fn open(asked: &Asked) -> Self {
        let socket = tokio::net::TcpStream::connect(asked.wire.service.address).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(0).initial_connection_window_size(1 << 24);
        let (mut client, mut connection) = builder.handshake(socket).await.unwrap();
        let (read_now, mut reading) = oneshot::channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    Ok(size) = &mut reading, if !reading.is_terminated() => {
                        connection.set_initial_window_size(size).unwrap();
                    }
                    ended = &mut connection => return ended,
                }
            }
        });
        let (response, mut body) = begin(&mut client, READ_TUPLES, None);
        let filter = Some(pb::TupleFilter { role: "viewer".into(), ..Default::default() });
        let request = pb::ReadTuplesRequest { filter, ..Default::default() };
        body.send_data(framed(&request), true).unwrap();
        Self { read_now, list: response.await.unwrap().into_body() }
    }

    /// Reads it to its end: how many messages came, and the status.
    async fn read(self) -> (usize, Status) {
        self.read_now.send(1 << 20).unwrap();
        end_of(self.list).await
    }
}

#[track_caller]
fn assert_overtaken((count, status): &(usize, Status), revision: u64) {
    assert_refused(status, Code::Aborted, "LIST_OVERTAKEN", "");
    assert_eq!(refusal(status).2["revision"], revision.to_string());
    assert!(*count < ENTRIES, "{count} entries: it was not cut short");
}

#[tokio::test]
async fn of_lists_that_are_overtaken_those_of_one_revision_go_on() {
    let asked = with_a_long_list().await;
    let head = || asked.pdp.read().token().revision.0;
    let (first, began) = (Slow::open(&asked).await, head());
    one_more(&asked, "between").await;
    let second = Slow::open(&asked).await;
    let third = Slow::open(&asked).await;
    changes(&asked, 0).await;
    one_more(&asked, "after").await;
    assert_overtaken(&first.read().await, began);
    for kept in [second, third] {
        let (count, status) = kept.read().await;
        assert_eq!((count, status.code()), (ENTRIES + 1, Code::Ok), "{status:?}");
    }
}

#[tokio::test]
async fn a_list_that_is_overtaken_may_take_so_long() {
    let asked = with_a_long_list().await;
    let (list, began) = (Slow::open(&asked).await, asked.pdp.read().token().revision.0);
    changes(&asked, 0).await;
    asked.clock.set(OVERTAKEN_LIST_SECONDS.cast_signed() * 1_000_000);
    one_more(&asked, "late").await;
    assert_overtaken(&list.read().await, began);
}

#[tokio::test]
async fn a_list_that_was_cut_short_goes_on_while_so_much_has_changed() {
    let mut asked = with_a_long_list().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", asked.wire.service.address)).unwrap();
    let channel = endpoint.initial_stream_window_size(1 << 16).connect().await.unwrap();
    let filter = Some(pb::TupleFilter { role: "viewer".into(), ..Default::default() });
    let request = pb::ReadTuplesRequest { filter, ..Default::default() };
    let mut list = TupleServiceClient::new(channel).read_tuples(request.clone()).await.unwrap();
    let first = list.get_mut().message().await.unwrap().unwrap();
    drop(list);
    let Some(pb::read_tuples_response::Part::Tuple(entry)) = first.part else { panic!("no entry") };
    let request = pb::ReadTuplesRequest { cursor: entry.cursor, ..request };
    changes(&asked, 0).await;
    let (rest, _) = asked.wire.read_entries(request.clone()).await.unwrap();
    assert_eq!(rest.len(), ENTRIES - 1);
    one_more(&asked, "more").await;
    let status = asked.wire.read_entries(request).await.unwrap_err();
    assert_refused(&status, Code::OutOfRange, "CURSOR_EXPIRED", "cursor");
}
