//! A Check is answered where it was read if it came whole and needs little; else it takes the way of every
//! other method. Both ways give the same answer to the byte: here each request is sent whole, and once more in
//! two parts, of which the service has the first before the second is sent.

use std::collections::BTreeMap;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use h2::client::SendRequest;
use http::HeaderMap;
use pb::tuple_service_client::TupleServiceClient;
use prost::Message as _;
use tonic::Status;
use tonic::codegen::Bytes;
use tonic::transport::Endpoint;
use tonic_types::StatusExt as _;

use super::client::{ask, touch, tuple};
use super::hostile::{CHECK, connect, framed, serve};

/// Everything that came: the headers, the bytes of the body, and the trailers. The pairs of an error's details
/// have no order, so they are read.
#[derive(Debug, PartialEq)]
struct Came {
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: Option<HeaderMap>,
    details: Option<(String, String, BTreeMap<String, String>)>,
}

async fn call(client: &mut SendRequest<Bytes>, headers: &[(&str, &str)], parts: &[Bytes]) -> Came {
    let mut request = http::Request::post(format!("http://localhost{CHECK}"))
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (response, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let (last, first) = parts.split_last().unwrap();
    for part in first {
        body.send_data(part.clone(), false).unwrap();
        // What is answered on the same connection is behind it.
        let (whole, mut other) = super::hostile::begin(client, CHECK, None);
        other.send_data(framed(&pb::CheckRequest::default()), true).unwrap();
        whole.await.unwrap();
    }
    // What the headers refuse is over by now.
    let _ = body.send_data(last.clone(), true);
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        bytes.extend_from_slice(&data.unwrap());
    }
    let trailers = body.trailers().await.unwrap();
    let mut headers = head.headers;
    let status = Status::from_header_map(&headers);
    let info = status.and_then(|status| status.get_details_error_info());
    let details = info.map(|info| (info.reason, info.domain, info.metadata.into_iter().collect()));
    headers.remove("grpc-status-details-bin");
    Came { headers, body: bytes, trailers, details }
}

fn whole_and_in_two(message: &Bytes) -> [Vec<Bytes>; 2] {
    let at = message.len().min(3);
    [vec![message.clone()], vec![message.slice(..at), message.slice(at..)]]
}

#[tokio::test]
async fn a_check_is_answered_the_same_whichever_way_it_takes() {
    let address = serve(Patience::default()).await;
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let mut tuples = TupleServiceClient::new(channel);
    let changes = vec![touch("doc:d1#viewer@user:ana"), touch("doc:d2#viewer@user:*")];
    let written = pb::WriteTuplesRequest { changes, ..Default::default() };
    let token = tuples.write_tuples(written).await.unwrap().into_inner().token;

    use pb::consistency::Requirement;
    let consistency = |requirement| Some(pb::Consistency { requirement: Some(requirement) });
    let plain = || ask("user:ana doc.view doc:d1");
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
        pb::CheckRequest { consistency: consistency(Requirement::Latest(true)), ..plain() },
        pb::CheckRequest { consistency: consistency(Requirement::Latest(false)), ..plain() },
        pb::CheckRequest { consistency: consistency(Requirement::AtLeast(token)), ..plain() },
        pb::CheckRequest {
            contextual_tuples: vec![tuple("doc:d1#viewer@user:bob")],
            ..ask("user:bob doc.view doc:d1")
        },
    ];
    let mut client = connect(address).await;
    for question in &questions {
        let [whole, parts] = whole_and_in_two(&framed(question));
        let at_once = call(&mut client, &[], &whole).await;
        assert_eq!(at_once, call(&mut client, &[], &parts).await, "{question:?}");
    }
    let answer = call(&mut client, &[], &whole_and_in_two(&framed(&plain()))[0]).await;
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    let answer = pb::CheckResponse::decode(&answer.body[5..]).unwrap();
    assert_eq!(answer.decision(), pb::Decision::Allow);
}

#[tokio::test]
async fn bytes_that_are_no_question_are_refused_the_same_whichever_way_they_take() {
    let mut client = connect(serve(Patience::default()).await).await;
    let question = framed(&ask("user:ana doc.view doc:d1"));
    let with = |edit: fn(&mut Vec<u8>)| {
        let mut bytes = question.to_vec();
        edit(&mut bytes);
        Bytes::from(bytes)
    };
    let wrong = [
        Bytes::from_static(&[0, 0, 0, 0]),
        Bytes::from_static(&[0, 0, 0, 0, 0]),
        with(|bytes| bytes[0] = 1),
        with(|bytes| bytes[0] = 7),
        with(|bytes| bytes[1] = 0xff),
        with(|bytes| bytes[4] -= 1),
        with(|bytes| bytes[4] += 1),
        with(|bytes| bytes[5] = 0xff),
        with(|bytes| bytes[7] = 0xff),
        with(|bytes| bytes.push(0)),
        with(|bytes| bytes.extend(bytes.clone())),
    ];
    for bytes in wrong {
        let [whole, parts] = whole_and_in_two(&bytes);
        let at_once = call(&mut client, &[], &whole).await;
        assert_eq!(at_once, call(&mut client, &[], &parts).await, "{whole:?}");
    }
    let headers =
        [("grpc-encoding", "gzip"), ("grpc-encoding", "identity"), ("grpc-timeout", "soon")];
    for headers in headers.map(|header| [header]) {
        let [whole, parts] = whole_and_in_two(&question);
        let at_once = call(&mut client, &headers, &whole).await;
        assert_eq!(at_once, call(&mut client, &headers, &parts).await, "{headers:?}");
    }
}

#[tokio::test]
async fn what_came_together_is_answered_each_for_itself() {
    let mut client = connect(serve(Patience::default()).await).await;
    let good = framed(&ask("user:ana doc.view doc:d1"));
    let bad = framed(&ask("user:ana doc.veiw doc:d1"));
    let mut begun = Vec::new();
    for at in 0..100 {
        let message = if at % 3 == 0 { &bad } else { &good };
        let (response, mut body) = super::hostile::begin(&mut client, CHECK, None);
        match at % 5 {
            // Goes away at once.
            0 => continue,
            // In two parts, the end by itself.
            1 => {
                body.send_data(message.clone(), false).unwrap();
                body.send_data(Bytes::new(), true).unwrap();
            }
            _ => body.send_data(message.clone(), true).unwrap(),
        }
        begun.push((at, response));
    }
    for (at, response) in begun {
        let refused = response.await.unwrap().headers().contains_key("grpc-status");
        assert_eq!(refused, at % 3 == 0, "the {at}th");
    }
}
