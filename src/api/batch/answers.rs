//! A BatchCheckResponse as it is made: each result is written as it is known, in the form that it is sent in.
//! Knows no question.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, skip_field, string, uint64};
use prost::{DecodeError, Message};

use super::super::convert::{decision_to_wire, reason_to_wire};
use super::super::pb::v1 as pb;
use super::super::status::ApiError;
use crate::engine::Decision;

/// The field of [`pb::BatchCheckResponse`] that the results are.
const RESULTS: u32 = 1;
const REVISION: u32 = 2;
const TOKEN: u32 = 3;
/// A result that is a decision with a reason and no more takes so many bytes.
const PLAIN_BYTES: usize = 8;
/// The values of decisions and reasons that take one byte.
const ONE_BYTE: u8 = 0x7f;

/// The response.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Each with its key and its length before it.
    results: Vec<u8>,
    count: usize,
    pub(in crate::api) revision: u64,
    pub(in crate::api) token: String,
}

impl Answers {
    /// None yet, and room for so many.
    pub(in crate::api) fn with_room(results: usize) -> Self {
        let results = Vec::with_capacity(results * PLAIN_BYTES);
        Self { results, ..Self::default() }
    }

    /// How many results there are.
    pub(in crate::api) fn len(&self) -> usize {
        self.count
    }

    /// Adds the next result.
    pub(in crate::api) fn add(&mut self, result: Result<Decision, ApiError>) {
        use pb::batch_check_result::Result as Wire;
        self.count += 1;
        let result = match result {
            Ok(decision) => {
                if self.add_plain(&decision).is_some() {
                    return;
                }
                Wire::Decision(pb::BatchCheckDecision {
                    decision: decision_to_wire(&decision).into(),
                    reason: reason_to_wire(decision.reason()).into(),
                    missing: decision.missing().to_vec(),
                })
            }
            Err(error) => Wire::Error(error.into()),
        };
        let result = pb::BatchCheckResult { result: Some(result) };
        prost::encoding::message::encode(RESULTS, &result, &mut self.results);
    }

    /// A decision of which nothing is missing, in the bytes that prost writes for it.
    fn add_plain(&mut self, decision: &Decision) -> Option<()> {
        let one_byte =
            |value: i32| u8::try_from(value).ok().filter(|value| (1..=ONE_BYTE).contains(value));
        let made = one_byte(decision_to_wire(decision).into())?;
        let reason = one_byte(reason_to_wire(decision.reason()).into())?;
        if !decision.missing().is_empty() {
            return None;
        }
        // results: { decision: { decision, reason } }
        self.results.extend_from_slice(&[0x0a, 6, 0x0a, 4, 0x08, made, 0x10, reason]);
        Some(())
    }
}

impl Message for Answers {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.results);
        if self.revision != 0 {
            uint64::encode(REVISION, &self.revision, buf);
        }
        if !self.token.is_empty() {
            string::encode(TOKEN, &self.token, buf);
        }
    }

    fn encoded_len(&self) -> usize {
        let revision = match self.revision {
            0 => 0,
            revision => uint64::encoded_len(REVISION, &revision),
        };
        let token = match self.token.as_str() {
            "" => 0,
            _ => string::encoded_len(TOKEN, &self.token),
        };
        self.results.len() + revision + token
    }

    /// It is only ever sent.
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
