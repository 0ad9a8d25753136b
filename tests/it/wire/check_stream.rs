//! Many questions on one call: each is answered as Check answers it, and what keeps the call waiting, or never
//! ends it, takes nothing from others.

use std::collections::BTreeMap;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::{
    CHECK_STREAM_QUESTION_BYTES_MAX, CHECK_STREAMS_MAX, CONTEXTUAL_TUPLES_MAX,
    IN_FLIGHT_REQUESTS_MAX, SMALL_BODY_BYTES_MAX,
};
use bailiwick::model::tuple::Revision;
use bailiwick::pdp::Token;
use bailiwick::store::memory::MemoryStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::check_stream_response::Result as Told;
use pb::consistency::Requirement;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Bytes;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

use super::asked::{Asked, at_least, require};
use super::client::{ask, tuple};
use super::consistency::foretold;
use super::hostile::{begin, connect, framed, status_of};
use super::raw::{bytes_field, unframed};
use crate::support::service::{assert_refused, refusal};
use crate::support::touch;

const CHECK_STREAM: &str = "/bailiwick.v1.AuthorizationService/CheckStream";

/// A call under way.
struct Call {
    questions: Sender<pb::CheckStreamRequest>,
    answers: Streaming<pb::CheckStreamResponse>,
}

impl Call {
    async fn begin(client: &AuthorizationServiceClient<Channel>) -> Result<Self, Status> {
        let (questions, receiver) = channel(1_000);
        let request = Request::new(ReceiverStream::new(receiver));
        let answers = client.clone().check_stream(request).await?.into_inner();
        Ok(Self { questions, answers })
    }

    async fn ask(&self, id: u64, question: pb::CheckRequest) {
        let question = Some(question);
        self.questions.send(pb::CheckStreamRequest { id, question }).await.unwrap();
    }

    async fn next(&mut self) -> (u64, Told) {
        let answer = self.answers.message().await.unwrap().expect("an answer");
        (answer.id, answer.result.expect("one of both"))
    }

    async fn refused(&mut self) -> Status {
        self.answers.message().await.expect_err("an error")
    }

    /// Everything that is left, once nothing more is asked.
    async fn finish(self) -> BTreeMap<u64, Told> {
        let Self { questions, mut answers } = self;
        drop(questions);
        let mut all = BTreeMap::new();
        while let Some(answer) = answers.message().await.unwrap() {
            let before = all.insert(answer.id, answer.result.unwrap());
            assert!(before.is_none(), "{} is answered twice", answer.id);
        }
        all
    }
}

fn allowed(told: &Told) -> bool {
    matches!(told, Told::Answer(answer) if answer.decision() == pb::Decision::Allow)
}

fn plain() -> pb::CheckRequest {
    ask("user:ana doc.view doc:d1")
}

/// A token of a revision that nothing reaches.
fn never(asked: &Asked) -> Requirement {
    at_least(&Token { revision: Revision(999), ..asked.pdp.read().token().clone() })
}

#[tokio::test]
async fn each_question_is_answered_as_check_answers_it() {
    let mut asked = Asked::new().await;
    let changes = ["doc:d1#viewer@user:ana", "doc:d2#viewer@user:*"].map(touch);
    let token = asked.commit(changes.into()).await;
    let fresh = |requirement| pb::CheckRequest { consistency: require(requirement), ..plain() };
    let questions = [
        plain(),
        ask("user:bob doc.view doc:d1"),
        ask("user:bob doc.view doc:d2"),
        ask("user:bob doc.view nobody:d2"),
        ask("user:bob doc.veiw doc:d2"),
        pb::CheckRequest::default(),
        pb::CheckRequest { with_grant: true, ..plain() },
        pb::CheckRequest { target: "user:bob".into(), ..plain() },
        pb::CheckRequest { target: "user bob".into(), ..plain() },
        pb::CheckRequest { context: Some(prost_types::Struct::default().into()), ..plain() },
        fresh(Requirement::Latest(true)),
        fresh(Requirement::Latest(false)),
        fresh(at_least(&token)),
        fresh(Requirement::AtLeast("no token".into())),
        pb::CheckRequest {
            contextual_tuples: vec![tuple("doc:d1#viewer@user:bob")],
            ..ask("user:bob doc.view doc:d1")
        },
        pb::CheckRequest { contextual_tuples: vec![tuple("doc:d1#viewer@bob")], ..plain() },
    ];
    let call = Call::begin(&asked.wire.questions).await.unwrap();
    for (id, question) in (0..).zip(&questions) {
        call.ask(id, question.clone()).await;
    }
    call.questions.send(pb::CheckStreamRequest { id: u64::MAX, question: None }).await.unwrap();
    let mut told = call.finish().await;
    assert_eq!(told.remove(&u64::MAX), told.get(&5).cloned(), "no question is an empty one");
    assert_eq!(told.len(), questions.len());
    let mut refused = 0;
    for ((id, told), question) in told.into_iter().zip(questions) {
        match (told, asked.wire.check(question).await) {
            (Told::Answer(told), Ok(answer)) => assert_eq!(told, answer, "{id}"),
            (Told::Error(told), Err(status)) => {
                let (code, reason, metadata) = refusal(&status);
                assert_eq!((told.code, told.reason), (code.into(), reason), "{id}");
                assert_eq!(told.message, status.message());
                assert_eq!(told.metadata.into_iter().collect::<BTreeMap<_, _>>(), metadata);
                refused += 1;
            }
            other => panic!("{id}: {other:?}"),
        }
    }
    assert_eq!(refused, 7);
}

#[tokio::test]
async fn a_caller_that_waits_for_each_answer_gets_them_in_turn_and_sees_what_is_written() {
    let asked = Asked::new().await;
    let mut call = Call::begin(&asked.wire.questions).await.unwrap();
    for id in 0..200 {
        let user = format!("user:u{id}");
        let question = ask(&format!("{user} doc.view doc:d1"));
        call.ask(id, question.clone()).await;
        let (answered, told) = call.next().await;
        assert!(answered == id && !allowed(&told), "{id}: {told:?}");
        asked.commit(vec![touch(&format!("doc:d1#viewer@{user}"))]).await;
        call.ask(id, question).await;
        assert!(allowed(&call.next().await.1), "{id}");
    }
    assert!(call.finish().await.is_empty());
}

#[tokio::test]
async fn more_questions_than_a_turn_takes_are_all_answered() {
    let asked = Asked::new().await;
    let call = Call::begin(&asked.wire.questions).await.unwrap();
    let questions = call.questions.clone();
    let asking = tokio::spawn(async move {
        for id in 0..5_000 {
            let question = Some(plain());
            questions.send(pb::CheckStreamRequest { id, question }).await.unwrap();
        }
    });
    let told = call.finish().await;
    asking.await.unwrap();
    assert!(told.into_keys().eq(0..5_000));
}

#[tokio::test]
async fn a_question_that_waits_lets_others_pass_and_a_second_one_does_not() {
    let asked = Asked::new().await;
    let next = vec![touch("doc:d1#viewer@user:ana")];
    let token = foretold(&asked.pdp, std::slice::from_ref(&next)).await;
    let waits = || pb::CheckRequest { consistency: require(at_least(&token)), ..plain() };
    let mut call = Call::begin(&asked.wire.questions).await.unwrap();
    call.ask(0, waits()).await;
    for id in 1..100 {
        call.ask(id, plain()).await;
        assert_eq!(call.next().await.0, id, "it waits behind the first");
    }
    call.ask(100, waits()).await;
    call.ask(101, plain()).await;
    // Behind it on the connection: had it been read, it would be answered.
    for _ in 0..20 {
        asked.wire.questions.clone().check(plain()).await.unwrap();
    }
    asked.commit(next).await;
    for id in [0, 100, 101] {
        let (answered, told) = call.next().await;
        assert!(answered == id && allowed(&told), "{id}: {answered} {told:?}");
    }
    assert!(call.finish().await.is_empty());
}

#[tokio::test]
async fn what_waits_is_answered_in_time_and_the_call_goes_on() {
    let patience =
        Patience { request: std::time::Duration::from_millis(300), ..Patience::default() };
    let asked = Asked::on(std::sync::Arc::new(MemoryStore::new()), patience).await;
    let mut call = Call::begin(&asked.wire.questions).await.unwrap();
    let waits = pb::CheckRequest { consistency: require(never(&asked)), ..plain() };
    call.ask(1, waits).await;
    let (_, told) = call.next().await;
    assert!(matches!(&told, Told::Error(e) if e.reason == "REVISION_NOT_REACHED"), "{told:?}");
    call.ask(2, plain()).await;
    assert!(!allowed(&call.next().await.1));
}

#[tokio::test]
async fn bytes_that_are_no_question_end_the_call_after_what_came_before() {
    let asked = Asked::new().await;
    let mut client = connect(asked.wire.service.address).await;
    let question = framed(&pb::CheckStreamRequest { id: 7, question: Some(plain()) });
    let malformed = [&[0, 0, 0, 0, 2][..], &[0xff, 0xff]].concat();
    let compressed = [&[1, 0, 0, 0, 2][..], &[0xff, 0xff]].concat();
    let cut = question.slice(..question.len() - 1).to_vec();
    for (wrong, code, reason) in [
        (malformed, Code::InvalidArgument, "MALFORMED_REQUEST"),
        (compressed, Code::InvalidArgument, "PROTOCOL_ERROR"),
        (cut, Code::InvalidArgument, "PROTOCOL_ERROR"),
    ] {
        let (response, mut body) = begin(&mut client, CHECK_STREAM, None);
        let all = [&question[..], &question, &wrong].concat();
        body.send_data(all.into(), true).unwrap();
        let (answers, status) = read(response.await.unwrap().into_body()).await;
        assert_eq!(answers, 2, "{reason}");
        assert_refused(&status, code, reason, "");
    }
}

/// Reads an answer to its end: how many messages came, and the status there.
async fn read(mut body: h2::RecvStream) -> (usize, Status) {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        bytes.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    let trailers = body.trailers().await.unwrap().expect("trailers");
    (unframed(&bytes).len(), Status::from_header_map(&trailers).expect("a status in the trailers"))
}

#[tokio::test]
async fn a_question_that_is_too_large_ends_the_call_and_says_where_to_ask() {
    assert_eq!(CHECK_STREAM_QUESTION_BYTES_MAX, SMALL_BODY_BYTES_MAX);
    let asked = Asked::new().await;
    let mut client = connect(asked.wire.service.address).await;
    // A field that nobody knows makes a question as large as one likes.
    let question =
        prost::Message::encode_to_vec(&pb::CheckStreamRequest { id: 1, question: Some(plain()) });
    let padded = |bytes: usize| {
        let head = bytes_field(15, &vec![7; 300]).len() - 300 + 1;
        let padding = bytes_field(15, &vec![7; bytes - question.len() - head]);
        let message = [&question[..], &padding].concat();
        let spare = bytes - message.len();
        assert!(spare <= 1, "{spare}");
        message
    };
    let framed = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        Bytes::from([&[0][..], &length, message].concat())
    };
    let fits = framed(&padded(CHECK_STREAM_QUESTION_BYTES_MAX));
    let over = framed(&padded(CHECK_STREAM_QUESTION_BYTES_MAX + 2));
    let (response, mut body) = begin(&mut client, CHECK_STREAM, None);
    body.send_data(fits.clone(), false).unwrap();
    body.send_data(fits, false).unwrap();
    // Its length is enough.
    body.send_data(over.slice(..5), false).unwrap();
    let (answers, status) = read(response.await.unwrap().into_body()).await;
    assert_eq!(answers, 2);
    assert_refused(&status, Code::ResourceExhausted, "REQUEST_TOO_LARGE", "");
    let (_, _, metadata) = refusal(&status);
    assert_eq!(metadata["limit_bytes"], CHECK_STREAM_QUESTION_BYTES_MAX.to_string());
    assert!(status.message().contains("Check takes larger ones"), "{}", status.message());
}

#[tokio::test]
async fn so_many_calls_are_open_at_once() {
    let asked = Asked::new().await;
    let mut open = Vec::new();
    let refused = |status: Option<Status>, limit: usize| {
        let status = status.expect("one too many");
        assert_refused(&status, Code::ResourceExhausted, "OVERLOADED", "");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata["limit"], limit.to_string());
    };
    for _ in 0..4 {
        let one = AuthorizationServiceClient::new(asked.wire.service.channel().await);
        for _ in 0..CHECK_STREAMS_MAX / 4 {
            open.push(Call::begin(&one).await.unwrap());
        }
        refused(Call::begin(&one).await.err(), CHECK_STREAMS_MAX / 4);
    }
    let other = AuthorizationServiceClient::new(asked.wire.service.channel().await);
    refused(Call::begin(&other).await.err(), CHECK_STREAMS_MAX);
    // Others have places left.
    const { assert!(CHECK_STREAMS_MAX * 4 <= IN_FLIGHT_REQUESTS_MAX) };
    other.clone().check(plain()).await.unwrap();
    open.pop();
    let mut again = loop {
        match Call::begin(&other).await {
            Ok(call) => break call,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    again.ask(1, plain()).await;
    again.next().await;
    assert!(open.pop().unwrap().finish().await.is_empty());
}

#[tokio::test]
async fn the_deadline_of_the_call_ends_it() {
    let asked = Asked::new().await;
    let mut client = connect(asked.wire.service.address).await;
    let (response, mut body) = begin(&mut client, CHECK_STREAM, Some("400m"));
    let question = pb::CheckStreamRequest { id: 1, question: Some(plain()) };
    body.send_data(framed(&question), false).unwrap();
    let waits = pb::CheckRequest { consistency: require(never(&asked)), ..plain() };
    let waits = pb::CheckStreamRequest { id: 2, question: Some(waits) };
    body.send_data(framed(&waits), false).unwrap();
    let (answers, status) = read(response.await.unwrap().into_body()).await;
    assert_eq!(answers, 2);
    assert_refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", "");
    let (response, _body) = begin(&mut client, CHECK_STREAM, Some("soon"));
    let status = status_of(response).await;
    assert_refused(&status, Code::InvalidArgument, "PROTOCOL_ERROR", "grpc-timeout");
}

#[tokio::test]
async fn a_service_that_stops_answers_what_it_has_read_and_ends_the_call() {
    let asked = Asked::new().await;
    let mut call = Call::begin(&asked.wire.questions).await.unwrap();
    call.ask(1, plain()).await;
    call.next().await;
    let waits = pb::CheckRequest { consistency: require(never(&asked)), ..plain() };
    call.ask(2, waits).await;
    call.ask(3, plain()).await;
    assert_eq!(call.next().await.0, 3, "the second one is read");
    let stopping = tokio::spawn(asked.wire.service.stop());
    let (id, told) = call.next().await;
    assert!(id == 2 && matches!(&told, Told::Error(e) if e.reason == "NOT_READY"), "{told:?}");
    assert_refused(&call.refused().await, Code::Unavailable, "NOT_READY", "");
    // The caller has not ended it: it is not waited for.
    stopping.await.unwrap().unwrap();
    drop(call);
}

#[tokio::test]
async fn who_never_reads_is_not_read_from() {
    let asked = Asked::new().await;
    let socket = tokio::net::TcpStream::connect(asked.wire.service.address).await.unwrap();
    let mut nobody_reads = h2::client::Builder::new();
    nobody_reads.initial_window_size(0);
    let (mut client, connection) = nobody_reads.handshake::<_, Bytes>(socket).await.unwrap();
    tokio::spawn(connection);
    let (response, mut body) = begin(&mut client, CHECK_STREAM, None);
    let question = framed(&pb::CheckStreamRequest { id: 1, question: Some(plain()) });
    body.send_data(question.repeat(2_000).into(), false).unwrap();
    let _unread = response.await.unwrap();
    let decided = || asked.pdp.work().decisions().map(|(_, count)| count).sum::<u64>();
    while decided() == 0 {
        tokio::task::yield_now().await;
    }
    const OTHERS: u64 = 200;
    for _ in 0..OTHERS {
        asked.wire.questions.clone().check(plain()).await.unwrap();
    }
    // What fits into one part of an answer may have been made.
    let decided = decided() - OTHERS;
    assert!(decided < 1_000, "{decided} of 2,000 questions are answered for nobody");
}

#[tokio::test]
async fn small_parts_that_wait_behind_others_do_not_end_the_connection() {
    let asked = Asked::new().await;
    let next = vec![touch("doc:d1#viewer@user:ana")];
    let token = foretold(&asked.pdp, std::slice::from_ref(&next)).await;
    let waits = pb::CheckRequest { consistency: require(at_least(&token)), ..plain() };
    let mut client = connect(asked.wire.service.address).await;
    let (response, mut body) = begin(&mut client, CHECK_STREAM, None);
    for id in 0..2 {
        let question = Some(waits.clone());
        body.send_data(framed(&pb::CheckStreamRequest { id, question }), false).unwrap();
    }
    // More than the HTTP/2 library lets wait, each in a frame of its own.
    const SMALL: u64 = 20_000;
    for id in 2..SMALL {
        let question = Some(plain());
        body.send_data(framed(&pb::CheckStreamRequest { id, question }), false).unwrap();
    }
    body.send_trailers(http::HeaderMap::new()).unwrap();
    // Meanwhile they come, as far as they are let.
    for _ in 0..300 {
        asked.wire.questions.clone().check(plain()).await.unwrap();
    }
    asked.commit(next).await;
    let (answers, status) = read(response.await.unwrap().into_body()).await;
    assert_eq!((answers as u64, status.code()), (SMALL, Code::Ok), "{status}");
}

#[tokio::test]
async fn others_have_their_turn_while_many_questions_are_answered() {
    let asked = Asked::new().await;
    let socket = tokio::net::TcpStream::connect(asked.wire.service.address).await.unwrap();
    let mut reads_all = h2::client::Builder::new();
    reads_all.initial_window_size(16 << 20).initial_connection_window_size(16 << 20);
    let (mut client, connection) = reads_all.handshake::<_, Bytes>(socket).await.unwrap();
    tokio::spawn(connection);
    let (response, mut body) = begin(&mut client, CHECK_STREAM, None);
    const QUESTIONS: usize = 3_000;
    let question = framed(&pb::CheckStreamRequest { id: 1, question: Some(plain()) });
    body.send_data(question.repeat(QUESTIONS).into(), true).unwrap();
    let pdp = asked.pdp.clone();
    // All tasks run on one thread by turns: what is decided between two of this one's is one turn's work.
    let (mut before, mut most) = (0, 0);
    let observer = tokio::spawn(std::future::poll_fn(move |cx| {
        let now = pdp.work().decisions().map(|(_, count)| count).sum::<u64>();
        (before, most) = (now, most.max(now - before));
        if now == QUESTIONS as u64 {
            return std::task::Poll::Ready(most);
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    }));
    let most = observer.await.unwrap();
    assert!(most <= 256, "{most} questions were answered in a row");
    assert_eq!(read(response.await.unwrap().into_body()).await.0, QUESTIONS);
}

#[tokio::test]
async fn what_a_question_brings_along_is_bounded_before_it_waits() {
    let mut asked = Asked::new().await;
    let mut call = Call::begin(&asked.wire.questions).await.unwrap();
    let question = pb::CheckRequest {
        contextual_tuples: vec![pb::Tuple::default(); CONTEXTUAL_TUPLES_MAX + 1],
        consistency: require(never(&asked)),
        ..plain()
    };
    // It would be answered last, if it waited.
    call.ask(1, question.clone()).await;
    let (_, told) = call.next().await;
    assert!(
        matches!(&told, Told::Error(e) if e.reason == "TOO_MANY_CONTEXTUAL_TUPLES"),
        "{told:?}"
    );
    let status = asked.wire.check(question).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "TOO_MANY_CONTEXTUAL_TUPLES", "");
}
