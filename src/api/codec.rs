//! The wire codec: prost, but bytes that are no protobuf are the caller's error, with a reason code.
//! Knows no message.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use super::status::{ApiError, Refusal};

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
        U::decode(bytes).map(Some).map_err(|error| {
            // tonic's own codec says INTERNAL here, which callers take for a fault of the service.
            ApiError::new(Refusal::MalformedRequest, error.to_string()).into()
        })
    }
}
