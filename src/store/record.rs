//! The bytes of a commit, of a tuple and of a checkpoint's head, and the checksum that chains
//! commits. Knows no engine and no file.
//!
//! An encoded commit or checkpoint head is one byte of format, then a protobuf message. A field is
//! only ever added, with a number that was never used; anything else is a new format byte, whose
//! reader stands beside this one. `FROZEN` in the tests must decode for ever.
//!
//! A checkpoint in which keyed commits follow the tuples has format 2, so that a program that does not
//! know of them says so, and does not take them for tuples.

use prost::Message;
use sha2::{Digest, Sha256};

use super::{
    CheckpointHead, Commit, Fingerprint, Head, KeyedCommit, KeyedRequest, ModelFiles, ModelSince,
    StoreError,
};
use crate::model::limits::{COMMIT_BYTES_MAX, MODEL_COMMIT_BYTES_MAX, STORED_CONTEXT_DEPTH_MAX};
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::{Change, Context, Revision, Time, Tuple, TupleCondition, TupleKey};
use crate::store::bulk::{Bulk, BulkCommit};

mod wire;

/// The format that this file writes.
const FORMAT: u8 = 1;
/// The format of the head of a checkpoint with keyed commits.
const FORMAT_KEYED: u8 = 2;

#[derive(Clone, PartialEq, Message)]
struct CommitRecord {
    #[prost(sint64, tag = "1")]
    time: i64,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<ChangeRecord>,
    #[prost(message, optional, tag = "3")]
    model: Option<ModelRecord>,
    #[prost(message, optional, tag = "4")]
    request: Option<RequestRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestRecord {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    body: Vec<u8>,
    #[prost(uint32, tag = "3")]
    changed: u32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyedRecord {
    #[prost(message, optional, tag = "1")]
    request: Option<RequestRecord>,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(fixed64, tag = "3")]
    checksum: u64,
    #[prost(sint64, tag = "4")]
    time: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ChangeRecord {
    #[prost(message, optional, tag = "1")]
    put: Option<TupleRecord>,
    #[prost(message, optional, tag = "2")]
    delete: Option<TupleRecord>,
}

/// Flat, the key's fields first: sorted tuples then share long prefixes, byte for byte.
#[derive(Clone, PartialEq, Message)]
struct TupleRecord {
    #[prost(string, tag = "1")]
    scope: String,
    #[prost(string, tag = "2")]
    role: String,
    #[prost(string, tag = "3")]
    subject: String,
    #[prost(string, tag = "4")]
    source: String,
    #[prost(sint64, optional, tag = "5")]
    expires_at: Option<i64>,
    #[prost(message, optional, tag = "6")]
    condition: Option<ConditionRecord>,
    #[prost(string, tag = "7")]
    grantor: String,
    #[prost(string, tag = "8")]
    reason: String,
    #[prost(sint64, optional, tag = "9")]
    granted_at: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct ConditionRecord {
    #[prost(string, tag = "1")]
    name: String,
    /// JSON text; empty for an empty context.
    #[prost(string, tag = "2")]
    context: String,
}

#[derive(Clone, PartialEq, Message)]
struct ModelRecord {
    #[prost(string, tag = "1")]
    digest: String,
    #[prost(message, repeated, tag = "2")]
    files: Vec<FileRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct FileRecord {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct CheckpointRecord {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(fixed64, tag = "2")]
    checksum: u64,
    #[prost(sint64, tag = "3")]
    time: i64,
    #[prost(message, optional, tag = "4")]
    model: Option<ModelRecord>,
    #[prost(uint64, tag = "5")]
    tuple_count: u64,
    #[prost(uint64, tag = "6")]
    keyed_count: u64,
    #[prost(message, optional, tag = "7")]
    model_since: Option<SinceRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct SinceRecord {
    #[prost(uint64, tag = "1")]
    revision: u64,
    #[prost(sint64, tag = "2")]
    time: i64,
}

/// The checksum of a commit: it covers the predecessor's, the number and every byte. It guards
/// against damage and mix-ups, not against a forger.
pub(super) fn chained(previous: Head, body: &[u8]) -> Head {
    let revision = previous.revision.next();
    let digest = Sha256::new()
        .chain_update(previous.checksum.to_be_bytes())
        .chain_update(revision.0.to_be_bytes())
        .chain_update(body)
        .finalize();
    let checksum = digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    Head { revision, checksum }
}

/// The encoded commit.
///
/// # Errors
/// `CommitTooLarge`; `Unstorable` for a context nested too deep to be read back.
pub(super) fn encode_commit(commit: &Commit) -> Result<Vec<u8>, StoreError> {
    // In the order of the fields: the time, the changes, the rest.
    let time = CommitRecord { time: commit.time.0, ..CommitRecord::default() };
    let rest = CommitRecord {
        model: commit.model.as_ref().map(model_record),
        request: commit.request.as_ref().map(request_record),
        ..CommitRecord::default()
    };
    let mut bytes = framed(FORMAT, &time);
    let mut scratch = Vec::new();
    for change in &commit.changes {
        wire::put_change(&mut bytes, &mut scratch, change)?;
    }
    bytes.extend(rest.encode_to_vec());
    let limit = if commit.model.is_some() { MODEL_COMMIT_BYTES_MAX } else { COMMIT_BYTES_MAX };
    if bytes.len() > limit {
        return Err(StoreError::CommitTooLarge { bytes: bytes.len(), limit });
    }
    Ok(bytes)
}

/// The commit of these bytes.
///
/// # Errors
/// `Corrupt`: another format, or not what [`encode_commit`] makes.
pub(super) fn decode_commit(bytes: &[u8]) -> Result<Commit, StoreError> {
    let record: CommitRecord = unframed(bytes, "a commit", FORMAT)?;
    let changes = record.changes.into_iter().map(|change| match (change.put, change.delete) {
        (Some(put), None) => Ok(Change::Put(tuple(put)?)),
        (None, Some(delete)) => Ok(Change::Delete(tuple(delete)?.key)),
        _ => Err(StoreError::corrupt("a change is neither a put nor a delete")),
    });
    Ok(Commit {
        time: Time(record.time),
        changes: changes.collect::<Result<_, StoreError>>()?,
        model: record.model.map(model_files),
        request: record.request.as_ref().map(request).transpose()?,
    })
}

/// The same, its changes in bulk.
///
/// # Errors
/// As [`decode_commit`].
pub(super) fn decode_bulk_commit(head: Head, bytes: &[u8]) -> Result<BulkCommit, StoreError> {
    let message = message(bytes, "a commit", FORMAT)?;
    let mut changes = Bulk::default();
    let rest = wire::read_changes(&mut changes, message)?;
    let wrong = |e| StoreError::corrupt(format!("a commit: {e}"));
    let CommitRecord { time, changes: odd, model, request: asked } =
        CommitRecord::decode(rest.as_slice()).map_err(wrong)?;
    if !odd.is_empty() {
        return Err(StoreError::corrupt("a commit: a change is not written as ours are"));
    }
    Ok(BulkCommit {
        head,
        time: Time(time),
        changes,
        model: model.map(model_files),
        request: asked.as_ref().map(request).transpose()?,
    })
}

/// The encoded tuple, without a format byte: the checkpoint's head carries it for all of them.
///
/// # Errors
/// `Unstorable` for a context nested too deep to be read back.
pub(super) fn encode_tuple(tuple: &Tuple) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    wire::put_tuple(&mut bytes, tuple)?;
    Ok(bytes)
}

/// Adds the put of the tuple of these bytes.
///
/// # Errors
/// `Corrupt`: not what [`encode_tuple`] makes.
pub(super) fn decode_tuple_into(bulk: &mut Bulk, bytes: &[u8]) -> Result<(), StoreError> {
    wire::read_put(bulk, bytes)
}

/// The tuple of these bytes.
///
/// # Errors
/// `Corrupt`: not what [`encode_tuple`] makes.
pub(super) fn decode_tuple(bytes: &[u8]) -> Result<Tuple, StoreError> {
    tuple(TupleRecord::decode(bytes).map_err(|e| StoreError::corrupt(format!("a tuple: {e}")))?)
}

/// The encoded keyed commit of a checkpoint, without a format byte.
pub(super) fn encode_keyed(commit: &KeyedCommit) -> Vec<u8> {
    let record = KeyedRecord {
        request: Some(request_record(&commit.request)),
        revision: commit.head.revision.0,
        checksum: commit.head.checksum,
        time: commit.time.0,
    };
    record.encode_to_vec()
}

/// The keyed commit of these bytes.
///
/// # Errors
/// `Corrupt`: not what [`encode_keyed`] makes.
pub(super) fn decode_keyed(bytes: &[u8]) -> Result<KeyedCommit, StoreError> {
    let wrong = |e| StoreError::corrupt(format!("a keyed commit: {e}"));
    let record = KeyedRecord::decode(bytes).map_err(wrong)?;
    let missing = || StoreError::corrupt("a keyed commit has no request");
    Ok(KeyedCommit {
        request: request(record.request.as_ref().ok_or_else(missing)?)?,
        head: Head { revision: Revision(record.revision), checksum: record.checksum },
        time: Time(record.time),
    })
}

/// The encoded head of a checkpoint.
pub(super) fn encode_checkpoint(state: &CheckpointHead) -> Vec<u8> {
    let format = if state.keyed_count == 0 { FORMAT } else { FORMAT_KEYED };
    let record = CheckpointRecord {
        revision: state.head.revision.0,
        checksum: state.head.checksum,
        time: state.time.0,
        model: state.model.as_ref().map(model_record),
        tuple_count: state.tuple_count,
        keyed_count: state.keyed_count,
        model_since: state
            .model_since
            .map(|since| SinceRecord { revision: since.revision.0, time: since.time.0 }),
    };
    framed(format, &record)
}

/// The head of a checkpoint of these bytes.
///
/// # Errors
/// `Corrupt`: another format, or not what [`encode_checkpoint`] makes.
pub(super) fn decode_checkpoint(bytes: &[u8]) -> Result<CheckpointHead, StoreError> {
    let record: CheckpointRecord = unframed(bytes, "a checkpoint", FORMAT_KEYED)?;
    Ok(CheckpointHead {
        head: Head { revision: Revision(record.revision), checksum: record.checksum },
        time: Time(record.time),
        model: record.model.map(model_files),
        model_since: record
            .model_since
            .map(|since| ModelSince { revision: Revision(since.revision), time: Time(since.time) }),
        tuple_count: record.tuple_count,
        keyed_count: record.keyed_count,
    })
}

fn framed(format: u8, record: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + record.encoded_len());
    bytes.push(format);
    bytes.extend(record.encode_to_vec());
    bytes
}

fn unframed<M: Message + Default>(bytes: &[u8], what: &str, newest: u8) -> Result<M, StoreError> {
    M::decode(message(bytes, what, newest)?)
        .map_err(|e| StoreError::corrupt(format!("{what}: {e}")))
}

/// The bytes of the message behind the byte of its format.
fn message<'a>(bytes: &'a [u8], what: &str, newest: u8) -> Result<&'a [u8], StoreError> {
    match bytes.split_first() {
        Some((format, message)) if (FORMAT..=newest).contains(format) => Ok(message),
        Some((format, _)) => Err(StoreError::corrupt(format!(
            "{what} has format {format}, this program reads up to {newest}"
        ))),
        None => Err(StoreError::corrupt(format!("{what} has no bytes"))),
    }
}

fn condition_record(condition: &TupleCondition) -> Result<ConditionRecord, StoreError> {
    if condition.context.values().any(|value| is_deeper(value, STORED_CONTEXT_DEPTH_MAX)) {
        return Err(StoreError::unstorable(format!(
            "the context of condition `{}` is nested deeper than {STORED_CONTEXT_DEPTH_MAX} levels",
            condition.name
        )));
    }
    let context = if condition.context.is_empty() {
        String::new()
    } else {
        serde_json::to_string(&condition.context).map_err(|e| {
            StoreError::unstorable(format!("the context of condition `{}`: {e}", condition.name))
        })?
    };
    Ok(ConditionRecord { name: condition.name.as_str().to_owned(), context })
}

fn is_deeper(value: &serde_json::Value, levels: usize) -> bool {
    // The recursion ends at STORED_CONTEXT_DEPTH_MAX.
    let Some(below) = levels.checked_sub(1) else { return true };
    match value {
        serde_json::Value::Array(items) => items.iter().any(|item| is_deeper(item, below)),
        serde_json::Value::Object(fields) => fields.values().any(|item| is_deeper(item, below)),
        _ => false,
    }
}

fn tuple(record: TupleRecord) -> Result<Tuple, StoreError> {
    let wrong = |e| StoreError::corrupt(format!("a tuple: {e}"));
    Ok(Tuple {
        key: TupleKey {
            scope: Object::parse(&record.scope).map_err(wrong)?,
            role: Name::parse(&record.role).map_err(wrong)?,
            subject: Subject::parse(&record.subject).map_err(wrong)?,
            source: record.source,
        },
        expires_at: record.expires_at.map(Time),
        condition: record.condition.as_ref().map(condition).transpose()?,
        grantor: record.grantor,
        reason: record.reason,
        granted_at: record.granted_at.map(Time),
    })
}

fn condition(record: &ConditionRecord) -> Result<TupleCondition, StoreError> {
    let name = Name::parse(&record.name)
        .map_err(|e| StoreError::corrupt(format!("a tuple's condition: {e}")))?;
    let context = if record.context.is_empty() {
        Context::new()
    } else {
        serde_json::from_str(&record.context)
            .map_err(|e| StoreError::corrupt(format!("a tuple's context: {e}")))?
    };
    Ok(TupleCondition { name, context })
}

fn request_record(request: &KeyedRequest) -> RequestRecord {
    let KeyedRequest { key, body, changed } = request;
    RequestRecord { key: key.0.to_vec(), body: body.0.to_vec(), changed: *changed }
}

fn request(record: &RequestRecord) -> Result<KeyedRequest, StoreError> {
    let fingerprint = |bytes: &[u8]| {
        let wrong = |_| StoreError::corrupt("a request's fingerprint has not 16 bytes");
        bytes.try_into().map(Fingerprint).map_err(wrong)
    };
    let (key, body) = (fingerprint(&record.key)?, fingerprint(&record.body)?);
    Ok(KeyedRequest { key, body, changed: record.changed })
}

fn model_record(model: &ModelFiles) -> ModelRecord {
    let file =
        |(name, text): &(String, String)| FileRecord { name: name.clone(), text: text.clone() };
    ModelRecord { digest: model.digest.clone(), files: model.files.iter().map(file).collect() }
}

fn model_files(record: ModelRecord) -> ModelFiles {
    let file = |file: FileRecord| (file.name, file.text);
    ModelFiles { digest: record.digest, files: record.files.into_iter().map(file).collect() }
}

#[cfg(test)]
mod tests;
