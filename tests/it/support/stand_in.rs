//! A service that answers as a test tells it to, over real sockets: for what the real one does only
//! when something is broken.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bailiwick::api::pb::v1 as pb;
use bailiwick::api::pb::v1::authorization_service_server::{
    AuthorizationService, AuthorizationServiceServer,
};
use bailiwick::api::pb::v1::tuple_service_server::{TupleService, TupleServiceServer};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

type Answer<T> = Result<T, Status>;
type Script<Q, A> = Box<dyn Fn(usize, &Q) -> Answer<A> + Send + Sync>;
type Stream<T> = tokio_stream::Iter<std::vec::IntoIter<Answer<T>>>;

/// What to answer: the number of the request, from 0, and the request are known.
pub(crate) struct Scripts {
    pub(crate) write: Script<pb::WriteTuplesRequest, pb::WriteTuplesResponse>,
    pub(crate) batch: Script<pb::BatchCheckRequest, pb::BatchCheckResponse>,
    pub(crate) read: Vec<Answer<pb::ReadTuplesResponse>>,
}

impl Default for Scripts {
    fn default() -> Self {
        let unused = |what: &str| Status::unimplemented(format!("{what} is in no script"));
        Self {
            write: Box::new(move |_, _| Err(unused("WriteTuples"))),
            batch: Box::new(move |_, _| Err(unused("BatchCheck"))),
            read: Vec::new(),
        }
    }
}

/// What was asked, in order.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) writes: Vec<pb::WriteTuplesRequest>,
    pub(crate) batches: Vec<pb::BatchCheckRequest>,
}

/// The stand-in. Ends when it is dropped.
pub(crate) struct StandIn {
    pub(crate) endpoint: String,
    seen: Arc<Mutex<Seen>>,
    _runtime: tokio::runtime::Runtime,
}

impl StandIn {
    pub(crate) fn start(scripts: Scripts) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let adapter = Adapter { scripts: Arc::new(scripts), seen: Arc::clone(&seen) };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let served = tonic::transport::Server::builder()
            .add_service(TupleServiceServer::new(adapter.clone()))
            .add_service(AuthorizationServiceServer::new(adapter))
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(served);
        Self { endpoint, seen, _runtime: runtime }
    }

    pub(crate) fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

#[derive(Clone)]
struct Adapter {
    scripts: Arc<Scripts>,
    seen: Arc<Mutex<Seen>>,
}

#[tonic::async_trait]
impl TupleService for Adapter {
    async fn write_tuples(
        &self,
        request: Request<pb::WriteTuplesRequest>,
    ) -> Result<Response<pb::WriteTuplesResponse>, Status> {
        let request = request.into_inner();
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.writes.push(request.clone());
            seen.writes.len() - 1
        };
        // The script of one may wait for another request to come.
        let scripts = Arc::clone(&self.scripts);
        let answer = tokio::task::spawn_blocking(move || (scripts.write)(number, &request));
        answer.await.unwrap().map(Response::new)
    }

    type ReadTuplesStream = Stream<pb::ReadTuplesResponse>;

    async fn read_tuples(
        &self,
        _: Request<pb::ReadTuplesRequest>,
    ) -> Result<Response<Self::ReadTuplesStream>, Status> {
        Ok(Response::new(tokio_stream::iter(self.scripts.read.clone())))
    }
}

#[tonic::async_trait]
impl AuthorizationService for Adapter {
    async fn check(
        &self,
        _: Request<pb::CheckRequest>,
    ) -> Result<Response<pb::CheckResponse>, Status> {
        Err(Status::unimplemented("Check is in no script"))
    }

    type CheckStreamStream = Stream<pb::CheckStreamResponse>;

    async fn check_stream(
        &self,
        _: Request<tonic::Streaming<pb::CheckStreamRequest>>,
    ) -> Result<Response<Self::CheckStreamStream>, Status> {
        Err(Status::unimplemented("CheckStream is in no script"))
    }

    async fn batch_check(
        &self,
        request: Request<pb::BatchCheckRequest>,
    ) -> Result<Response<pb::BatchCheckResponse>, Status> {
        let mut seen = self.seen.lock().unwrap();
        let number = seen.batches.len();
        seen.batches.push(request.into_inner());
        (self.scripts.batch)(number, &seen.batches[number]).map(Response::new)
    }

    type ListSubjectsStream = Stream<pb::ListSubjectsResponse>;

    async fn list_subjects(
        &self,
        _: Request<pb::ListSubjectsRequest>,
    ) -> Result<Response<Self::ListSubjectsStream>, Status> {
        Err(Status::unimplemented("ListSubjects is in no script"))
    }

    type ListRolesStream = Stream<pb::ListRolesResponse>;

    async fn list_roles(
        &self,
        _: Request<pb::ListRolesRequest>,
    ) -> Result<Response<Self::ListRolesStream>, Status> {
        Err(Status::unimplemented("ListRoles is in no script"))
    }
}
