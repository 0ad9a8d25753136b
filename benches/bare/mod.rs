//! ListSubjects as tonic alone serves it: a list of so many entries as long as Bailiwick's, made of
//! nothing. Decides and seals nothing.

use bailiwick::api::pb::v1 as pb;
use pb::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use pb::list_subjects_response::Part;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint, Server, server::TcpIncoming};
use tonic::{Request, Response, Status};

type Listed = Result<pb::ListSubjectsResponse, Status>;

/// So many entries in a list.
#[derive(Debug)]
struct Bare(u32);

/// Serves lists of so many entries over loopback.
pub(crate) async fn serve(entries: u32) -> Channel {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let service = AuthorizationServiceServer::new(Bare(entries));
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    let url = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
    url.connect().await.expect("connects")
}

#[tonic::async_trait]
impl AuthorizationService for Bare {
    async fn check(
        &self,
        _request: Request<pb::CheckRequest>,
    ) -> Result<Response<pb::CheckResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    async fn batch_check(
        &self,
        _request: Request<pb::BatchCheckRequest>,
    ) -> Result<Response<pb::BatchCheckResponse>, Status> {
        Err(Status::unimplemented("bare"))
    }

    type ListSubjectsStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Listed> + Send>>;

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
