//! The wire codec: prost, but bytes that are no protobuf are the caller's error, with a reason code, and what
//! would take far more memory than bytes is refused unread. Knows no message.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::Buf as _;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use super::status::{ApiError, Refusal};
use crate::model::limits::MESSAGE_FIELDS_MAX;

/// Encodes `T`, decodes `U`.
#[derive(Debug)]
pub(super) struct WireCodec<T, U>(PhantomData<fn(T) -> U>);

impl<T, U> Default for WireCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for WireCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = WireDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        WireDecoder(PhantomData)
    }
}

/// Decodes `U`.
#[derive(Debug)]
pub(super) struct WireDecoder<U>(PhantomData<fn() -> U>);

impl<U: Message + Default> Decoder for WireDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if has_too_many_fields(bytes.chunk()) {
            let what = format!("the request message has more than {MESSAGE_FIELDS_MAX} fields");
            let error = ApiError::new(Refusal::RequestTooLarge, what);
            return Err(error.with("limit", &MESSAGE_FIELDS_MAX).into());
        }
        // tonic's own codec says INTERNAL here, which callers take for a fault of the service.
        U::decode(bytes).map(Some).map_err(|error| ApiError::malformed(&error).into())
    }
}

/// Whether a message has more fields, nested ones not counted, than any that is answered: an empty item takes two
/// bytes, and a hundred times as much once it is decoded. Costs a look at each, and nothing for small messages.
fn has_too_many_fields(message: &[u8]) -> bool {
    const LEAST_BYTES: usize = 2;
    message.len() > LEAST_BYTES * MESSAGE_FIELDS_MAX && has_fields(message, MESSAGE_FIELDS_MAX + 1)
}

/// Whether a message has so many fields, nested ones not counted. Costs a look at each of them.
pub(super) fn has_fields(message: &[u8], count: usize) -> bool {
    fields(message).take(count).count() >= count
}

/// Each field of a message, up to what is none: what is wrong there, the decoder says.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = ()> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (tag, kind) = decode_key(&mut rest).ok()?;
        skip_field(kind, tag, &mut rest, DecodeContext::default()).ok()
    })
}
