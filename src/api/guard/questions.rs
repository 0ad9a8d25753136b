//! The body of a call that takes many messages: it stays open as long as its caller likes, and is never held
//! as a whole, so neither its bytes nor its time are metered. Instead each message is small, and is refused by the
//! length that its frame tells, before the rest of it comes. Knows frames, no message.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http_body::{Body, Frame};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::codegen::{Bytes, StdError};

use crate::api::status::{ApiError, Refusal};
use crate::model::limits::CHECK_STREAM_QUESTION_BYTES_MAX;

/// What stands before a message: whether it is compressed, and how long it is.
const HEADER_BYTES: usize = 5;

/// Places for such calls on one connection.
#[derive(Debug, Clone)]
pub(in crate::api) struct CallPlaces(pub(in crate::api) Arc<Semaphore>);

impl Default for CallPlaces {
    /// None: only who comes through the layers has any.
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

/// A body of messages of which none is large.
#[derive(Debug)]
pub(crate) struct Questions<B> {
    inner: B,
    place: Place,
}

/// Where in the frames the next byte stands.
#[derive(Debug, Default)]
struct Place {
    /// So much of a header has come.
    header: usize,
    /// The length that it tells, as far as it has come.
    length: usize,
    /// So many bytes of the message are still to come.
    left: usize,
}

impl Place {
    /// Goes on by these bytes.
    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), ApiError> {
        loop {
            let (message, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= message.len();
            let Some((byte, rest)) = rest.split_first() else { return Ok(()) };
            bytes = rest;
            if self.header > 0 {
                self.length = self.length << 8 | usize::from(*byte);
            }
            self.header += 1;
            if self.header == HEADER_BYTES {
                *self = Self { left: self.length, ..Self::default() };
                if self.left > CHECK_STREAM_QUESTION_BYTES_MAX {
                    return Err(too_large(self.left));
                }
            }
        }
    }
}

fn too_large(bytes: usize) -> ApiError {
    let limit = CHECK_STREAM_QUESTION_BYTES_MAX;
    let what = format!(
        "a question on a CheckStream has {bytes} bytes, the limit is {limit}; Check takes larger ones"
    );
    ApiError::new(Refusal::RequestTooLarge, what).with("limit_bytes", &limit)
}

impl<B> Questions<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    pub(super) fn of(inner: B) -> Self {
        Self { inner, place: Place::default() }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(Status::from_error(error.into())))),
            Some(Ok(frame)) => frame,
        };
        let passed = frame.data_ref().map_or(Ok(()), |data| self.place.pass(data));
        Poll::Ready(Some(passed.map(|()| frame).map_err(Status::from)))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(length: usize) -> Vec<u8> {
        let header = u32::try_from(length).unwrap().to_be_bytes();
        [&[0][..], &header, &vec![7; length]].concat()
    }

    #[test]
    fn each_message_is_measured_however_the_bytes_come() {
        let most = CHECK_STREAM_QUESTION_BYTES_MAX;
        let good = [framed(0), framed(1), framed(most), framed(0), framed(300)].concat();
        let bad = [good.clone(), framed(most + 1)[..HEADER_BYTES].to_vec()].concat();
        for part in [1, 2, 3, 5, 7, 4_096, usize::MAX] {
            let pass = |bytes: &[u8]| {
                let mut place = Place::default();
                bytes.chunks(part.min(bytes.len())).try_for_each(|bytes| place.pass(bytes))
            };
            assert_eq!(pass(&good), Ok(()), "in parts of {part}");
            let refused = pass(&bad).map_err(|error| error.refusal());
            assert_eq!(refused, Err(Refusal::RequestTooLarge), "in parts of {part}");
            assert_eq!(pass(&bad[..bad.len() - 1]), Ok(()), "its length is not known yet");
        }
        let mut place = Place::default();
        let told = place.pass(&[0, 0xff, 0xff, 0xff, 0xff]).map_err(|error| error.refusal());
        assert_eq!(told, Err(Refusal::RequestTooLarge));
    }
}
