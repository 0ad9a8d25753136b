//! A BatchCheckRequest as it is answered: its items' texts stay in the bytes that came, and nothing is allocated
//! for an item that brings no values along. What is taken and what is refused is what prost takes and refuses of
//! the generated message, which is asked wherever a message is out of the ordinary. Knows no question.

use std::ops::Range;

use prost::bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_varint, skip_field};
use prost::{DecodeError, Message};

use crate::api::pb::v1 as pb;
use crate::api::values::Values;
use crate::model::limits::BATCH_ITEMS_MAX;

/// The request.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// All but the items.
    pub(in crate::api) rest: pb::BatchCheckRequest,
    message: Bytes,
    items: Vec<Item>,
}

/// One of its questions.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Question<'q> {
    pub(in crate::api) subject: &'q str,
    pub(in crate::api) permission: &'q str,
    pub(in crate::api) scope: &'q str,
    pub(in crate::api) context: Option<&'q Values>,
    pub(in crate::api) target: &'q str,
}

/// Where the texts of an item stand in the message.
#[derive(Debug, Default)]
struct Item {
    subject: Span,
    permission: Span,
    scope: Span,
    target: Span,
    context: Option<Box<Values>>,
}

/// A message has at most 4 GiB: its length is of 32 bits on the wire.
#[derive(Debug, Default, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Questions {
    /// How many there are.
    pub(in crate::api) fn len(&self) -> usize {
        self.items.len()
    }

    /// They, in order, as texts.
    pub(in crate::api) fn all(&self) -> All<'_> {
        All { message: &self.message, text: str::from_utf8(&self.message).ok(), items: &self.items }
    }

    /// `None`: the message is malformed, or out of the ordinary.
    fn read(message: Bytes) -> Option<Self> {
        let mut rest = pb::BatchCheckRequest::default();
        let text = str::from_utf8(&message).ok();
        let mut reader = Reader { message: &message, text, at: 0, end: message.len() };
        // An item of a few names takes some fifty bytes.
        let mut items = Vec::with_capacity((message.len() / 48).min(BATCH_ITEMS_MAX));
        while reader.at < reader.end {
            let start = reader.at;
            match reader.key()? {
                (1, WireType::LengthDelimited) => {
                    let span = reader.span()?;
                    items.push(reader.within(span).item()?);
                }
                (tag, wire_type) => {
                    reader.skip(wire_type)?;
                    let mut field = message.get(start..reader.at)?;
                    let _key = decode_varint(&mut field).ok()?;
                    let context = DecodeContext::default();
                    rest.merge_field(tag, wire_type, &mut field, context).ok()?;
                }
            }
        }
        Some(Self { rest, message, items })
    }
}

/// The questions of a message.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct All<'q> {
    message: &'q Bytes,
    /// The whole message, where that is text: mostly so, as short lengths are.
    text: Option<&'q str>,
    items: &'q [Item],
}

impl<'q> All<'q> {
    /// From the first on.
    pub(in crate::api) fn iter(self) -> impl Iterator<Item = Question<'q>> {
        // Each span was found to be text when the message was read.
        let text = move |span: Span| match self.text {
            Some(text) => text.get(span.range()).unwrap_or_default(),
            None => {
                let bytes = self.message.get(span.range()).unwrap_or_default();
                str::from_utf8(bytes).unwrap_or_default()
            }
        };
        self.items.iter().map(move |item| Question {
            subject: text(item.subject),
            permission: text(item.permission),
            scope: text(item.scope),
            context: item.context.as_deref(),
            target: text(item.target),
        })
    }
}

/// A part of a message, and how far it was read.
#[derive(Clone, Copy)]
struct Reader<'m> {
    message: &'m [u8],
    text: Option<&'m str>,
    at: usize,
    end: usize,
}

impl<'m> Reader<'m> {
    fn within(&self, span: Span) -> Self {
        Self { at: span.start as usize, end: span.end as usize, ..*self }
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        let mut rest = self.message.get(self.at..self.end)?;
        // Mostly it is one byte.
        if let Some(byte) = rest.first().filter(|byte| **byte < 0x80) {
            self.at += 1;
            return Some(u64::from(*byte));
        }
        let value = decode_varint(&mut rest).ok()?;
        self.at = self.end - rest.len();
        Some(value)
    }

    #[inline]
    fn key(&mut self) -> Option<(u32, WireType)> {
        let key = u32::try_from(self.varint()?).ok()?;
        let wire_type = WireType::try_from(u64::from(key & 7)).ok()?;
        Some((key >> 3, wire_type)).filter(|(tag, _)| *tag > 0)
    }

    /// What is as long as is said next.
    #[inline]
    fn span(&mut self) -> Option<Span> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (start, end) = (self.at, self.at.checked_add(length)?);
        if end > self.end {
            return None;
        }
        self.at = end;
        Some(Span { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
    }

    /// The same, if it is text.
    #[inline]
    fn text(&mut self) -> Option<Span> {
        let span = self.span()?;
        let is_text = match self.text {
            // What begins and ends between characters of a text is text, and nothing else is.
            Some(text) => text.get(span.range()).is_some(),
            None => str::from_utf8(self.message.get(span.range())?).is_ok(),
        };
        is_text.then_some(span)
    }

    fn skip(&mut self, wire_type: WireType) -> Option<()> {
        match wire_type {
            WireType::LengthDelimited => {
                self.span()?;
            }
            WireType::Varint => {
                self.varint()?;
            }
            // A group ends where its own end is found.
            WireType::StartGroup | WireType::EndGroup => return None,
            WireType::SixtyFourBit => self.at = self.at.checked_add(8)?,
            WireType::ThirtyTwoBit => self.at = self.at.checked_add(4)?,
        }
        (self.at <= self.end).then_some(())
    }

    fn item(mut self) -> Option<Item> {
        let (start, mut item, mut has_context) = (self.at, Item::default(), false);
        while self.at < self.end {
            match self.key()? {
                (1, WireType::LengthDelimited) => item.subject = self.text()?,
                (2, WireType::LengthDelimited) => item.permission = self.text()?,
                (3, WireType::LengthDelimited) => item.scope = self.text()?,
                (5, WireType::LengthDelimited) => item.target = self.text()?,
                (4, WireType::LengthDelimited) => {
                    self.span()?;
                    has_context = true;
                }
                (1..=5, _) => return None,
                (_, wire_type) => self.skip(wire_type)?,
            }
        }
        if has_context {
            let whole = pb::BatchCheckItem::decode(self.message.get(start..self.end)?).ok()?;
            item.context = whole.context.map(Box::new);
        }
        Some(item)
    }
}

impl Message for Questions {
    /// What it was read from.
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.message);
    }

    fn encoded_len(&self) -> usize {
        self.message.len()
    }

    fn merge(&mut self, mut buf: impl Buf) -> Result<(), DecodeError> {
        let message = buf.copy_to_bytes(buf.remaining());
        if let Some(read) = Self::read(message.clone()) {
            *self = read;
            return Ok(());
        }
        // What prost takes all the same, it writes in the ordinary way.
        let ordinary = pb::BatchCheckRequest::decode(message)?.encode_to_vec();
        match Self::read(ordinary.into()) {
            Some(read) => *self = read,
            // It is not what prost writes.
            None => {
                skip_field(WireType::EndGroup, 0, &mut [].as_slice(), DecodeContext::default())?
            }
        }
        Ok(())
    }

    /// A part of a message says nothing here: it is read as a whole.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, buf, context)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What prost reads.
    fn expected(bytes: &[u8]) -> Result<pb::BatchCheckRequest, String> {
        pb::BatchCheckRequest::decode(bytes).map_err(|error| error.to_string())
    }

    /// What is read here, as the generated message.
    fn read(bytes: &[u8]) -> Result<pb::BatchCheckRequest, String> {
        let read = Questions::decode(bytes).map_err(|error| error.to_string())?;
        let items = read.all().iter().map(|item| pb::BatchCheckItem {
            subject: item.subject.to_owned(),
            permission: item.permission.to_owned(),
            scope: item.scope.to_owned(),
            context: item.context.cloned(),
            target: item.target.to_owned(),
        });
        let items = items.collect();
        Ok(pb::BatchCheckRequest { items, ..read.rest })
    }

    fn some_request(random: &mut fastrand::Rng) -> pb::BatchCheckRequest {
        let text = |random: &mut fastrand::Rng| match random.u8(..6) {
            0 => String::new(),
            1 => "ü".repeat(random.usize(..9)),
            2 => "x".repeat(random.usize(100..300)),
            _ => format!("user:u{}", random.u32(..1_000)),
        };
        let context = |random: &mut fastrand::Rng| {
            let kind = Some(prost_types::value::Kind::StringValue(text(random)));
            let fields = [(text(random), prost_types::Value { kind })].into();
            (random.u8(..4) == 0).then(|| prost_types::Struct { fields }.into())
        };
        let items = (0..random.usize(..6)).map(|_| pb::BatchCheckItem {
            subject: text(random),
            permission: text(random),
            scope: text(random),
            context: context(random),
            target: text(random),
        });
        let items = items.collect();
        let mut request = pb::BatchCheckRequest { items, ..Default::default() };
        request.context = context(random);
        if random.bool() {
            let scope = text(random);
            request.contextual_tuples.push(pb::Tuple { scope, ..Default::default() });
        }
        request
    }

    #[test]
    fn a_message_is_read_as_prost_reads_it_whatever_became_of_it() {
        let mut random = fastrand::Rng::with_seed(23);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..40_000 {
            let mut bytes = some_request(&mut random).encode_to_vec();
            for _ in 0..random.usize(..4) {
                let at = random.usize(..=bytes.len());
                match random.u8(..4) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, random.u8(..)),
                    2 => bytes
                        .splice(at..at, some_request(&mut random).encode_to_vec())
                        .for_each(drop),
                    _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.u8(..)),
                }
            }
            let (expected, read) = (expected(&bytes), read(&bytes));
            assert_eq!(read, expected, "{bytes:?}");
            if read.is_ok() { taken += 1 } else { refused += 1 }
        }
        assert!(taken > 10_000 && refused > 5_000, "{taken} {refused}");
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_read_too() {
        let item = [0x0a, 3, b'u', b':', b'a'];
        // An unknown group before the item's subject, and an unknown field of each kind after it.
        let mut odd = vec![0x53, 0x54];
        odd.extend(item);
        odd.extend([0x48, 1, 0x4d, 1, 2, 3, 4, 0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x4a, 1, 9]);
        let mut message = vec![0x0a, u8::try_from(odd.len()).unwrap()];
        message.extend(odd);
        let read = read(&message).unwrap();
        assert_eq!(Ok(&read), expected(&message).as_ref());
        assert_eq!(read.items[0].subject, "u:a");
    }

    #[test]
    fn an_item_without_values_is_not_allocated_for() {
        let item = pb::BatchCheckItem { subject: "user:ana".into(), ..Default::default() };
        let request = pb::BatchCheckRequest { items: vec![item; 1_000], ..Default::default() };
        let message = Bytes::from(request.encode_to_vec());
        let counted = allocation_counter::measure(|| {
            assert_eq!(Questions::decode(message).unwrap().len(), 1_000);
        });
        assert!(counted.count_total < 10, "{counted:?}");
    }
}
