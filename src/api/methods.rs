//! All methods as one service, as the guard calls it. A Check that needs nothing but the newest revision, few
//! steps and no waiting is answered where it was read; everything else is tonic's to read, to call and to
//! answer, a Check included that is not as plain as that. Both ways end in the same code.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName, Method, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::service::Service;
use pin_project_lite::pin_project;
use prost::Message as _;
use prost::bytes::BufMut as _;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Bytes, StdError};
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::service::Routes;
use tower::Service as _;

use super::Adapter;
use super::guard::{Message, Timed};
use super::pb::v1 as pb;

/// The method that is asked more often than all others.
pub(super) const CHECK: &str = "/bailiwick.v1.AuthorizationService/Check";
const GRPC_ENCODING: &str = "grpc-encoding";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const OK: HeaderValue = HeaderValue::from_static("0");
/// A plain question is no longer than this, with its frame. No bound: what is longer is answered too, but not
/// read on the task of its connection.
const PLAIN_BYTES: usize = 4 << 10;
/// What stands before a message: whether it is compressed, and how long it is.
const FRAME_BYTES: usize = 5;

/// Every method.
#[derive(Debug, Clone)]
pub(crate) struct Methods {
    adapter: Adapter,
    routes: Routes,
}

impl Methods {
    pub(super) fn new(adapter: Adapter, routes: Routes) -> Self {
        Self { adapter, routes }
    }

    /// The answer to a plain Check. `None`: it is none, and nothing was done.
    fn answered_at_once<B>(&self, request: &Request<Message<B>>) -> Option<Response<Answer>> {
        let is_check = request.method() == Method::POST && request.uri().path() == CHECK;
        if !is_check || request.headers().contains_key(GRPC_ENCODING) {
            return None;
        }
        let Message::Whole(Some(bytes)) = request.body() else { return None };
        if bytes.len() > PLAIN_BYTES {
            return None;
        }
        let asked = pb::CheckRequest::decode(framed(bytes)?).ok()?;
        Some(match self.adapter.check_at_once(&asked)? {
            Ok(answer) => answered(&answer),
            Err(error) => Status::from(error).into_http::<Body>().map(Answer::Routed),
        })
    }
}

/// The one message in these bytes, if it is whole and not compressed.
fn framed(bytes: &[u8]) -> Option<&[u8]> {
    let (frame, message) = bytes.split_at_checked(FRAME_BYTES)?;
    let [0, length @ ..] = frame else { return None };
    let length = u32::from_be_bytes(length.try_into().ok()?);
    (usize::try_from(length) == Ok(message.len())).then_some(message)
}

/// OK with this message, as tonic would send it.
fn answered(message: &pb::CheckResponse) -> Response<Answer> {
    let length = message.encoded_len();
    let mut bytes = Vec::with_capacity(FRAME_BYTES + length);
    bytes.put_u8(0);
    // An answer to one question is some hundred bytes.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut bytes);
    let mut response = Response::new(Answer::Whole { message: Some(bytes.into()), is_over: false });
    response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

impl<B> Service<Timed<Message<B>>> for Methods
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<StdError>,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Answering<<Routes as tower::Service<Request<Message<B>>>>::Future>;

    fn call(&self, timed: Timed<Message<B>>) -> Self::Future {
        if let Some(response) = self.answered_at_once(timed.request()) {
            return Answering::AtOnce { response: Some(response) };
        }
        let answer = self.routes.clone().call(timed.into_request());
        Answering::Routed { answer, has_yielded: false }
    }
}

pin_project! {
    /// The answer of a method.
    #[project = Projected]
    pub(crate) enum Answering<F> {
        /// It is there.
        AtOnce {
            response: Option<Response<Answer>>,
        },
        /// It is tonic's to make.
        Routed {
            #[pin]
            answer: F,
            has_yielded: bool,
        },
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::AtOnce { response } => {
                response.take().map(Ok).map_or(Poll::Pending, Poll::Ready)
            }
            Projected::Routed { answer, has_yielded } => {
                if !std::mem::replace(has_yielded, true) {
                    // Not on the task of the connection, which has others to serve.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                answer.poll(cx).map_ok(|response| response.map(Answer::Routed))
            }
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One message, and OK.
    Whole {
        message: Option<Bytes>,
        /// The trailers were sent.
        is_over: bool,
    },
    /// tonic's.
    Routed(Body),
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match &mut *self {
            Self::Routed(body) => Pin::new(body).poll_frame(cx),
            Self::Whole { message, is_over } => Poll::Ready(match message.take() {
                Some(message) => Some(Ok(Frame::data(message))),
                None if std::mem::replace(is_over, true) => None,
                None => {
                    let mut trailers = HeaderMap::with_capacity(1);
                    trailers.insert(GRPC_STATUS, OK);
                    Some(Ok(Frame::trailers(trailers)))
                }
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole { is_over, .. } => *is_over,
            Self::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            // Of a body with trailers no length is told.
            Self::Whole { .. } => SizeHint::default(),
            Self::Routed(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::api::Shared;
    use crate::config::Settings;
    use crate::model::limits::CONNECTION_STEPS_MAX;
    use crate::model::tuple::{Time, Tuple, TupleKey};
    use crate::model::{SourceFiles, load};
    use crate::pdp::{Clock, Pdp, WriteChange};
    use crate::store::ModelFiles;
    use crate::store::memory::MemoryStore;

    const MODEL: &str = "
model: at_once
types: { user: {}, group: {}, doc: {} }
roles:
  - { at: [group], names: [member], bound_by: [user] }
  - { at: [doc], names: [viewer], bound_by: [user, 'group#member'] }
matrices: [ { name: docs, file: docs.csv, at: [doc], bound: doc } ]
";

    #[derive(Debug)]
    struct Epoch;

    impl Clock for Epoch {
        fn now(&self) -> Time {
            Time(0)
        }
    }

    async fn adapter(tuples: impl Iterator<Item = String>) -> Adapter {
        let mut files = SourceFiles::default();
        files.insert("model.yaml", MODEL);
        files.insert("docs.csv", "permission,viewer\ndoc.view,1\n");
        let model = load(&files, &BTreeMap::new()).unwrap();
        let files = ModelFiles { digest: model.digest.clone(), files: Vec::new() };
        let store = Arc::new(MemoryStore::new());
        let pdp = Pdp::open(store, model, files, Arc::new(Epoch)).unwrap();
        let touch =
            |text: String| WriteChange::Touch(Tuple::plain(TupleKey::parse(&text).unwrap()));
        pdp.write(tuples.map(touch).collect()).await.unwrap();
        let shared = Arc::new(Shared::new(Settings::default()));
        shared.make_ready(pdp);
        Adapter { shared }
    }

    #[tokio::test]
    async fn what_takes_many_steps_does_not_hold_up_a_connection() {
        let few = (0..3).map(|at| format!("group:g{at}#member@user:few"));
        // In many groups, at a place where many others have the role: whichever is walked takes its time.
        let each = 0..2 * CONNECTION_STEPS_MAX;
        let many = each.clone().map(|at| format!("group:g{at}#member@user:many"));
        let others = each.map(|at| format!("doc:d2#viewer@group:other{at}#member"));
        let adapter = adapter(few.chain(many).chain(others)).await;
        let asked = |subject: &str, scope: &str| {
            let (subject, permission, scope) = (subject.into(), "doc.view".into(), scope.into());
            pb::CheckRequest { subject, permission, scope, ..Default::default() }
        };
        let answer = adapter.check_at_once(&asked("user:few", "doc:d1")).unwrap().unwrap();
        assert_eq!(answer.decision(), pb::Decision::Deny);
        assert!(adapter.check_at_once(&asked("user:many", "doc:d2")).is_none());
        let work = adapter.shared.ready().unwrap().work();
        let counted: u64 = work.decisions().map(|(_, count)| count).sum();
        assert_eq!(counted, 1, "what was not answered counts once it is");
    }

    #[test]
    fn a_message_that_is_not_whole_is_none() {
        assert_eq!(framed(&[0, 0, 0, 0, 2, 7, 8]), Some(&[7, 8][..]));
        assert_eq!(framed(&[0, 0, 0, 0, 0]), Some(&[][..]));
        let not: [&[u8]; 6] = [
            &[],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 2, 7, 8],
            &[0, 0, 0, 0, 3, 7, 8],
            &[0, 0, 0, 0, 1, 7, 8],
            &[0, 0xff, 0, 0, 2, 7, 8],
        ];
        for bytes in not {
            assert_eq!(framed(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_method_that_is_answered_at_once_is_there() {
        assert!(crate::api::methods().iter().any(|name| CHECK.strip_prefix('/') == Some(name)));
    }
}
