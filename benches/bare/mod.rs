//! What tonic alone costs: the API's messages, made of nothing. Decides and seals nothing.

use std::pin::Pin;

use bailiwick::api::pb::v1 as pb;
use pb::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use pb::check_stream_response::Result as Told;
use pb::list_subjects_response::Part;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::{Server, server::TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

const TOKEN: &str =
    "bw1.0123456789abcdef0123456789abcdef.0123456789abcdef0123456789abcdef.1.0123456789abcdef";

/// The handler; its lists have so many entries.
#[derive(Debug)]
struct Bare(u32);

/// Serves it over loopback; where.
pub(crate) async fn serve(entries: u32) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = AuthorizationServiceServer::new(Bare(entries));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    url
}

/// Whatever is asked is allowed, if anybody asks.
fn decision(subject: &str) -> i32 {
    if subject.is_empty() { 2 } else { 1 }
}

fn answer(request: &pb::CheckRequest) -> pb::CheckResponse {
    pb::CheckResponse {
        decision: decision(&request.subject),
        reason: 1,
        revision: 1,
        token: TOKEN.into(),
        ..Default::default()
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AuthorizationService for Bare {
    async fn check(
        &self,
        request: Request<pb::CheckRequest>,
    ) -> Result<Response<pb::CheckResponse>, Status> {
        Ok(Response::new(answer(&request.into_inner())))
    }

    type CheckStreamStream = Answers<pb::CheckStreamResponse>;

    async fn check_stream(
        &self,
        request: Request<Streaming<pb::CheckStreamRequest>>,
    ) -> Result<Response<Self::CheckStreamStream>, Status> {
        let answers = request.into_inner().map(|asked| {
            let pb::CheckStreamRequest { id, question } = asked?;
            let told = Told::Answer(answer(&question.unwrap_or_default()));
            Ok(pb::CheckStreamResponse { id, result: Some(told) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn batch_check(
        &self,
        request: Request<pb::BatchCheckRequest>,
    ) -> Result<Response<pb::BatchCheckResponse>, Status> {
        use pb::batch_check_result::Result as Answer;
        let items = request.into_inner().items;
        let results = items.iter().map(|item| {
            let decision = decision(&item.subject);
            let made = pb::BatchCheckDecision { decision, reason: 1, ..Default::default() };
            pb::BatchCheckResult { result: Some(Answer::Decision(made)) }
        });
        let results = results.collect();
        Ok(Response::new(pb::BatchCheckResponse { results, revision: 1, token: TOKEN.into() }))
    }

    type ListSubjectsStream = Answers<pb::ListSubjectsResponse>;

    async fn list_subjects(
        &self,
        _request: Request<pb::ListSubjectsRequest>,
    ) -> Result<Response<Self::ListSubjectsStream>, Status> {
        // As long as a cursor of such a list.
        let cursor = "c".repeat(96);
        let entries = tokio_stream::iter(0..self.0).map(move |user| {
            let subject = format!("user:n{user}");
            let part = Part::Subject(pb::ListedSubject { subject, cursor: cursor.clone() });
            Ok(pb::ListSubjectsResponse { part: Some(part) })
        });
        Ok(Response::new(Box::pin(entries)))
    }

    type ListRolesStream = tokio_stream::Empty<Result<pb::ListRolesResponse, Status>>;

    async fn list_roles(
        &self,
        _request: Request<pb::ListRolesRequest>,
    ) -> Result<Response<Self::ListRolesStream>, Status> {
        Err(Status::unimplemented("bare"))
    }
}
