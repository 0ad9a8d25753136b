//! A `google.protobuf.Struct` as it came: in its bytes, until its values are asked for. A list of empty values takes
//! two bytes each on the wire and seventy once it is read, so a message of a few MiB would be hundreds in memory,
//! before anybody could say that its context is too large. Knows no bound and no field.

use std::fmt;

use prost::bytes::{Buf, BufMut};
use prost::encoding::{
    DecodeContext, WireType, check_wire_type, decode_varint, encode_key, encode_varint, skip_field,
};
use prost::{DecodeError, Message};
use prost_types::Struct;

/// The one field of a `Struct`: its entries.
const ENTRIES: u32 = 1;

/// Values by name. Two are equal if they came in the same bytes.
#[derive(Clone, PartialEq, Default)]
pub struct Values {
    /// The entries, each with its key and its length before it.
    encoded: Vec<u8>,
}

impl Values {
    /// Reads them. Costs what they take, and up to a hundred times their memory.
    ///
    /// # Errors
    /// They are no `Struct`, or are nested more deeply than prost reads.
    pub fn read(&self) -> Result<Struct, DecodeError> {
        Struct::decode(self.encoded.as_slice())
    }

    /// The same in the order of their names, at all levels: a client may send the same values in any. As they are, if
    /// they cannot be read. Costs what [`read`](Self::read) does: the caller has bounded them.
    #[must_use]
    pub fn in_order(self) -> Self {
        self.read().map_or(self, Self::from)
    }
}

impl From<Struct> for Values {
    fn from(values: Struct) -> Self {
        Self { encoded: values.encode_to_vec() }
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Values({} bytes)", self.encoded.len())
    }
}

impl Message for Values {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.encoded);
    }

    fn encoded_len(&self) -> usize {
        self.encoded.len()
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        if tag != ENTRIES {
            return skip_field(wire_type, tag, buf, context);
        }
        check_wire_type(WireType::LengthDelimited, wire_type)?;
        let length = decode_varint(buf)?;
        let whole = usize::try_from(length).ok().filter(|length| *length <= buf.remaining());
        let Some(whole) = whole else {
            // Says what prost says where a message ends early.
            return skip_field(WireType::SixtyFourBit, tag, &mut [].as_slice(), context);
        };
        encode_key(ENTRIES, WireType::LengthDelimited, &mut self.encoded);
        encode_varint(length, &mut self.encoded);
        self.encoded.put(buf.take(whole));
        Ok(())
    }

    fn clear(&mut self) {
        self.encoded.clear();
    }
}

#[cfg(test)]
mod tests {
    use prost_types::value::Kind;
    use prost_types::{ListValue, Value};

    use super::*;

    fn entry(name: &str, kind: Kind) -> Struct {
        Struct { fields: [(name.to_owned(), Value { kind: Some(kind) })].into() }
    }

    #[test]
    fn values_are_read_as_prost_reads_them_whatever_became_of_their_bytes() {
        let mut random = fastrand::Rng::with_seed(31);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..random.usize(..4) {
                let name = ["a", "b", ""][random.usize(..3)];
                let inner = entry("in", Kind::NumberValue(random.f64()));
                let kind = match random.u8(..3) {
                    0 => Kind::StringValue("text".into()),
                    1 => Kind::ListValue(ListValue { values: vec![Value::default(); 3] }),
                    _ => Kind::StructValue(inner),
                };
                bytes.extend(entry(name, kind).encode_to_vec());
            }
            for _ in 0..random.usize(..3) {
                let at = random.usize(..=bytes.len());
                match random.u8(..3) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, random.u8(..)),
                    _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(..)),
                }
            }
            let expected = Struct::decode(bytes.as_slice()).ok();
            let values = Values::decode(bytes.as_slice());
            let read = values.as_ref().ok().and_then(|values| values.read().ok());
            assert_eq!(read, expected, "{bytes:?}");
            if let (Some(expected), Ok(values)) = (&read, values) {
                assert_eq!(values.in_order(), Values::from(expected.clone()));
                taken += 1;
            } else {
                refused += 1;
            }
        }
        assert!(taken > 5_000 && refused > 2_000, "{taken} {refused}");
    }

    #[test]
    fn values_take_no_more_memory_than_their_bytes_until_they_are_read() {
        let many = ListValue { values: vec![Value::default(); 100_000] };
        let bytes = entry("many", Kind::ListValue(many)).encode_to_vec();
        let mut values = Values::default();
        let taken = allocation_counter::measure(|| {
            values = Values::decode(bytes.as_slice()).unwrap();
        });
        assert!(taken.bytes_max <= 3 * bytes.len() as u64, "{taken:?} for {}", bytes.len());
        assert_eq!(values.read().unwrap().fields.len(), 1);
    }

    #[test]
    fn the_order_in_which_values_came_is_nothing() {
        let (a, b) = (entry("a", Kind::BoolValue(true)), entry("b", Kind::BoolValue(false)));
        let [ab, ba] = [[&a, &b], [&b, &a]].map(|entries| {
            let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.encode_to_vec()).collect();
            Values::decode(bytes.as_slice()).unwrap()
        });
        assert_ne!(ab, ba);
        assert_eq!(ab.in_order(), ba.in_order());
    }
}
