//! The body of a response on its way through a layer: what the layer does with each part of it. Knows
//! no layer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::Status;
use tonic::codegen::Bytes;

/// What a layer does with the parts of a body. Dropped with the body, whether it came to its end or not.
pub(crate) trait Passing {
    /// The next part is asked for: the one before has been taken.
    fn asked(&mut self) {}

    /// A part of the message or messages.
    fn data(&mut self, data: Bytes) -> Bytes {
        data
    }

    /// The trailers, the last part of all.
    fn trailers(&mut self, _trailers: &mut HeaderMap) {}

    /// The body has come to its end.
    fn end(&mut self) {}
}

/// Nothing is done with it.
impl Passing for () {}

impl<P: Passing> Passing for Option<P> {
    fn asked(&mut self) {
        if let Some(passing) = self {
            passing.asked();
        }
    }

    fn data(&mut self, data: Bytes) -> Bytes {
        match self {
            Some(passing) => passing.data(data),
            None => data,
        }
    }

    fn trailers(&mut self, trailers: &mut HeaderMap) {
        if let Some(passing) = self {
            passing.trailers(trailers);
        }
    }

    fn end(&mut self) {
        if let Some(passing) = self {
            passing.end();
        }
    }
}

/// A body and what is done with it; without a body, the response is nothing but its headers.
#[derive(Debug)]
pub(crate) struct Passed<B, P> {
    body: Option<B>,
    passing: P,
}

/// A response whose body passes.
pub(super) fn pass<B, P>(response: Response<B>, passing: P) -> Response<Passed<B, P>> {
    response.map(|body| Passed { body: Some(body), passing })
}

/// A response that is nothing but this status.
pub(super) fn refuse<B, P>(status: Status, passing: P) -> Response<Passed<B, P>> {
    status.into_http::<()>().map(|()| Passed { body: None, passing })
}

impl<B, P> Body for Passed<B, P>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
    P: Passing + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Self { body, passing } = &mut *self;
        passing.asked();
        let Some(body) = body.as_mut() else { return Poll::Ready(None) };
        Poll::Ready(match ready!(Pin::new(body).poll_frame(cx)) {
            None => {
                passing.end();
                None
            }
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(frame)) => Some(Ok(match frame.into_data() {
                Ok(data) => Frame::data(passing.data(data)),
                Err(frame) => match frame.into_trailers() {
                    Ok(mut trailers) => {
                        passing.trailers(&mut trailers);
                        Frame::trailers(trailers)
                    }
                    Err(frame) => frame,
                },
            })),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
