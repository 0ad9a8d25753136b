//! The changes of a chunk as a request carries them: encoded once, when their lines were read. A chunk has
//! ten thousand, and each message that is kept, copied or freed costs more than its bytes. Knows no line.

use prost::bytes::{Bytes, BytesMut};
use prost::{DecodeError, Message};

use crate::api::pb::v1 as pb;

/// Before each change in a request: the number of its field, and that its length follows.
const TAG: u8 = 0x0a;

/// Changes in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Changes {
    /// Each behind its tag and its length.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Changes {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn push(&mut self, change: &pb::TupleChange) {
        self.bytes.push(TAG);
        prost::encoding::encode_varint(change.encoded_len() as u64, &mut self.bytes);
        change.encode_raw(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Takes one out, if it is there.
    pub(super) fn remove(&mut self, at: usize) {
        let start = at.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let (Some(start), Some(end)) = (start, self.ends.get(at).copied()) else { return };
        self.bytes.drain(start..end);
        self.ends.remove(at);
        self.ends.iter_mut().skip(at).for_each(|later| *later -= end - start);
    }

    /// Each encoded, behind its length.
    pub(super) fn encoded(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let spans = starts.zip(&self.ends);
        spans.map(|(start, end)| self.bytes.get(start + 1..*end).unwrap_or_default())
    }

    /// As messages.
    ///
    /// # Errors
    /// What was encoded here is not read back.
    pub(super) fn messages(&self) -> Result<Vec<pb::TupleChange>, DecodeError> {
        pb::WriteTuplesRequest::decode(self.bytes.as_slice()).map(|request| request.changes)
    }

    /// A request for them, encoded, on these terms.
    pub(super) fn request(&self, terms: &pb::WriteTuplesRequest) -> Bytes {
        let mut request = BytesMut::with_capacity(self.bytes.len() + terms.encoded_len());
        request.extend_from_slice(&self.bytes);
        terms.encode_raw(&mut request);
        request.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tuple_text::parse_tuple;

    #[test]
    fn a_request_is_that_of_its_messages() {
        let change = |id: usize| {
            let tuple = parse_tuple(&format!("org:acme#admin@user:{}", "u".repeat(id + 1)));
            let operation = pb::Operation::Touch.into();
            pb::TupleChange { operation, tuple: Some(tuple.unwrap()) }
        };
        let mut messages: Vec<_> = (0..200).map(change).collect();
        let mut changes = Changes::default();
        assert!(changes.is_empty());
        messages.iter().for_each(|change| changes.push(change));
        for at in [199, 0, 7, 196] {
            changes.remove(at);
            messages.remove(at);
        }
        changes.remove(196);
        assert_eq!((changes.len(), changes.messages().unwrap()), (196, messages.clone()));
        let each: Vec<_> = messages.iter().map(Message::encode_length_delimited_to_vec).collect();
        assert!(changes.encoded().eq(each.iter().map(Vec::as_slice)));
        let terms = pb::WriteTuplesRequest { idempotency_key: "k".to_owned(), ..<_>::default() };
        let whole = pb::WriteTuplesRequest { changes: messages, ..terms.clone() };
        assert_eq!(changes.request(&terms), whole.encode_to_vec());
    }
}
