//! A request's message in the bytes that it came in, for a method that says itself where it is read: to read ten
//! thousand changes takes milliseconds, in which nobody's connection is to wait. Knows no message.

use std::marker::PhantomData;

use prost::bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};
use prost::{DecodeError, Message};

use super::codec::has_fields;
use super::status::ApiError;

/// An `M`, not read yet.
#[derive(Debug)]
pub(crate) struct Encoded<M> {
    message: Bytes,
    of: PhantomData<fn() -> M>,
}

impl<M> Default for Encoded<M> {
    fn default() -> Self {
        Self { message: Bytes::new(), of: PhantomData }
    }
}

impl<M: Message + Default> Encoded<M> {
    /// Whether it has so many bytes, or so many fields, nested ones not counted: what takes long to read. Costs a look at
    /// each of them.
    pub(super) fn is_large(&self, bytes: usize, fields: usize) -> bool {
        self.message.len() >= bytes || has_fields(&self.message, fields)
    }

    /// Reads it.
    ///
    /// # Errors
    /// The bytes are no such message.
    pub(super) fn read(self) -> Result<M, ApiError> {
        M::decode(self.message).map_err(|error| ApiError::malformed(&error))
    }
}

impl<M> Message for Encoded<M> {
    /// What it came in.
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.message);
    }

    fn encoded_len(&self) -> usize {
        self.message.len()
    }

    /// Takes all that is there, as it is, and copies nothing of it where it is in one piece. Goes from field to field, so
    /// that what is no message at all is refused wherever it stands: a second one of a call is never read.
    fn merge(&mut self, mut buf: impl Buf) -> Result<(), DecodeError> {
        let message = buf.copy_to_bytes(buf.remaining());
        let mut rest = message.as_ref();
        while !rest.is_empty() {
            let (tag, wire_type) = decode_key(&mut rest)?;
            skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
        }
        self.message = message;
        Ok(())
    }

    /// A part of a message says nothing here, and nobody asks: it is read as a whole. Says what prost says where a
    /// message ends early.
    fn merge_field(
        &mut self,
        tag: u32,
        _: WireType,
        _: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(WireType::SixtyFourBit, tag, &mut [].as_slice(), context)
    }

    fn clear(&mut self) {
        self.message.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::pb::v1 as pb;

    fn request(changes: usize) -> pb::WriteTuplesRequest {
        let change = |at: usize| {
            let scope = format!("org:{at}");
            let tuple = Some(pb::Tuple { scope, ..Default::default() });
            pb::TupleChange { tuple, ..Default::default() }
        };
        let changes = (0..changes).map(change).collect();
        pb::WriteTuplesRequest { changes, idempotency_key: "k".into(), ..Default::default() }
    }

    #[test]
    fn a_message_is_read_as_it_was_sent_and_is_not_copied_before() {
        let sent = request(1_000);
        let message = Bytes::from(sent.encode_to_vec());
        let came = message.clone();
        let counted = allocation_counter::measure(|| {
            let taken = Encoded::<pb::WriteTuplesRequest>::decode(came).unwrap();
            assert_eq!(taken.encoded_len(), message.len());
        });
        assert_eq!(counted.count_total, 0, "{counted:?}");
        let taken = Encoded::<pb::WriteTuplesRequest>::decode(message.clone()).unwrap();
        assert_eq!(taken.encode_to_vec(), message);
        let (bytes, fields) = (message.len(), 1_001);
        let is_large = [(0, 0), (1, 0), (0, 1), (1, 1)]
            .map(|(more, others)| taken.is_large(bytes + more, fields + others));
        assert_eq!(is_large, [true, true, true, false]);
        assert_eq!(taken.read(), Ok(sent));
        assert!(Encoded::<pb::WriteTuplesRequest>::decode(message.slice(..100)).is_err());
        // A change that is no message, in a message that is one.
        let inside = Encoded::<pb::WriteTuplesRequest>::decode([0x0a, 1, 0x0f].as_slice());
        assert!(inside.unwrap().read().is_err());
        assert_eq!(Encoded::<pb::WriteTuplesRequest>::default().read(), Ok(<_>::default()));
    }
}
