//! The bytes of changes, written and read without a message in between: a commit of an import has ten
//! thousand, and each message would copy every name. Byte for byte what the messages of `record` make; the
//! tests hold them against each other.

use prost::Message;
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_varint, encoded_len_varint,
    skip_field,
};

use super::{condition_record, decode_tuple, tuple};
use crate::model::names::Subject;
use crate::model::tuple::{Change, Tuple, TupleKey};
use crate::store::StoreError;
use crate::store::bulk::Bulk;

/// Tags of fields, as protobuf writes them: number times eight, plus 2 for what has a length, 0 for numbers.
const SCOPE: u8 = 0x0a;
const ROLE: u8 = 0x12;
const SUBJECT: u8 = 0x1a;
const SOURCE: u8 = 0x22;
const EXPIRES_AT: u8 = 0x28;
const CONDITION: u8 = 0x32;
const GRANTOR: u8 = 0x3a;
const REASON: u8 = 0x42;
const GRANTED_AT: u8 = 0x48;
/// Of a commit: a change.
const CHANGES: u8 = 0x12;
const CHANGES_FIELD: u32 = 2;
/// Of a change: its kind.
const PUT: u8 = 0x0a;
const DELETE: u8 = 0x12;

/// Adds a change as a commit holds it.
pub(super) fn put_change(
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    change: &Change,
) -> Result<(), StoreError> {
    scratch.clear();
    let kind = match change {
        Change::Put(tuple) => {
            put_tuple(scratch, tuple)?;
            PUT
        }
        Change::Delete(key) => {
            put_key(scratch, key);
            DELETE
        }
    };
    let length = scratch.len() as u64;
    out.push(CHANGES);
    encode_varint(1 + encoded_len_varint(length) as u64 + length, out);
    out.push(kind);
    encode_varint(length, out);
    out.extend_from_slice(scratch);
    Ok(())
}

/// Adds a tuple.
pub(super) fn put_tuple(out: &mut Vec<u8>, tuple: &Tuple) -> Result<(), StoreError> {
    let Tuple { key, expires_at, condition, grantor, reason, granted_at } = tuple;
    put_key(out, key);
    if let Some(time) = expires_at {
        put_signed(out, EXPIRES_AT, time.0);
    }
    if let Some(condition) = condition {
        let record = condition_record(condition)?.encode_to_vec();
        out.push(CONDITION);
        encode_varint(record.len() as u64, out);
        out.extend_from_slice(&record);
    }
    put_texts(out, GRANTOR, &[grantor]);
    put_texts(out, REASON, &[reason]);
    if let Some(time) = granted_at {
        put_signed(out, GRANTED_AT, time.0);
    }
    Ok(())
}

fn put_key(out: &mut Vec<u8>, key: &TupleKey) {
    put_texts(out, SCOPE, &[key.scope.as_str()]);
    put_texts(out, ROLE, &[key.role.as_str()]);
    match &key.subject {
        Subject::Object(object) => put_texts(out, SUBJECT, &[object.as_str()]),
        Subject::All(of) => put_texts(out, SUBJECT, &[of.as_str(), ":*"]),
        Subject::Set(object, name) => {
            put_texts(out, SUBJECT, &[object.as_str(), "#", name.as_str()]);
        }
    }
    put_texts(out, SOURCE, &[&key.source]);
}

/// A text in parts; an empty one is not written.
fn put_texts(out: &mut Vec<u8>, tag: u8, parts: &[&str]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > 0 {
        out.push(tag);
        encode_varint(length as u64, out);
        parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    }
}

fn put_signed(out: &mut Vec<u8>, tag: u8, value: i64) {
    out.push(tag);
    // Zigzag: the sign goes last.
    let folded = (value << 1) ^ (value >> 63);
    encode_varint(u64::from_ne_bytes(folded.to_ne_bytes()), out);
}

/// Adds the put of an encoded tuple.
///
/// # Errors
/// `Corrupt`: it is none.
pub(super) fn read_put(bulk: &mut Bulk, bytes: &[u8]) -> Result<(), StoreError> {
    if plain(bytes).is_some_and(|texts| bulk.put(texts)) {
        return Ok(());
    }
    bulk.whole(Change::Put(decode_tuple(bytes)?));
    Ok(())
}

/// Takes the changes out of an encoded commit, and leaves the bytes of what else it has.
///
/// # Errors
/// `Corrupt`: it is none.
pub(super) fn read_changes(bulk: &mut Bulk, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    let cut = |_| StoreError::corrupt("a commit: it is cut off");
    let missing = || StoreError::corrupt("a commit: it is cut off");
    let (mut rest, mut others) = (bytes, Vec::new());
    while !rest.is_empty() {
        let start = rest;
        let (tag, kind) = decode_key(&mut rest).map_err(cut)?;
        if (tag, kind) == (CHANGES_FIELD, WireType::LengthDelimited) {
            read_change(bulk, take(&mut rest).ok_or_else(missing)?)?;
            continue;
        }
        // Any field of a later program is passed over, as the message would: what this program cannot do
        // without is said by the byte of the format.
        skip_field(kind, tag, &mut rest, DecodeContext::default()).map_err(cut)?;
        others.extend_from_slice(start.get(..start.len() - rest.len()).unwrap_or(start));
    }
    Ok(others)
}

fn read_change(bulk: &mut Bulk, bytes: &[u8]) -> Result<(), StoreError> {
    let mut rest = bytes.get(1..).unwrap_or_default();
    let body = take(&mut rest).filter(|_| rest.is_empty());
    match (bytes.first().copied(), body) {
        (Some(PUT), Some(body)) => read_put(bulk, body),
        (Some(DELETE), Some(body)) => {
            if !plain(body).is_some_and(|texts| bulk.delete(texts)) {
                bulk.whole(Change::Delete(decode_tuple(body)?.key));
            }
            Ok(())
        }
        _ => {
            let record = super::ChangeRecord::decode(bytes)
                .map_err(|e| StoreError::corrupt(format!("a change: {e}")))?;
            bulk.whole(match (record.put, record.delete) {
                (Some(put), None) => Change::Put(tuple(put)?),
                (None, Some(delete)) => Change::Delete(tuple(delete)?.key),
                _ => return Err(StoreError::corrupt("a change is neither a put nor a delete")),
            });
            Ok(())
        }
    }
}

/// The four texts of a tuple that has nothing else. `None`: the message decides what it is.
fn plain(bytes: &[u8]) -> Option<[&str; 4]> {
    let mut rest = bytes;
    let mut text = |tag: u8| match rest.split_first() {
        Some((found, after)) if *found == tag => {
            rest = after;
            std::str::from_utf8(take(&mut rest)?).ok()
        }
        _ => Some(""),
    };
    let texts = [text(SCOPE)?, text(ROLE)?, text(SUBJECT)?, text(SOURCE)?];
    rest.is_empty().then_some(texts)
}

/// What has its length before it.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (body, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(body)
}

#[cfg(test)]
mod tests;
