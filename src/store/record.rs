//! The bytes of a commit, of a tuple and of a checkpoint's head, and the checksum that chains
//! commits. Knows no engine and no file.
//!
//! An encoded commit or checkpoint head is one byte of format, then a protobuf message. A field is
//! only ever added, with a number that was never used; anything else is a new format byte, whose
//! reader stands beside this one. `FROZEN` in the tests must decode for ever.

use prost::Message;
use sha2::{Digest, Sha256};

use super::{CheckpointHead, Commit, Head, ModelFiles, StoreError};
use crate::model::limits::COMMIT_BYTES_MAX;
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::{Change, Context, Revision, Time, Tuple, TupleCondition, TupleKey};

/// The format that this file writes.
const FORMAT: u8 = 1;

/// Deepest nesting of a stored context, in levels. The JSON reader stops at 128; what cannot be read
/// back must not be written.
const CONTEXT_DEPTH_MAX: usize = 64;

#[derive(Clone, PartialEq, Message)]
struct CommitRecord {
    #[prost(sint64, tag = "1")]
    time: i64,
    #[prost(message, repeated, tag = "2")]
    changes: Vec<ChangeRecord>,
    #[prost(message, optional, tag = "3")]
    model: Option<ModelRecord>,
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
    let changes = commit.changes.iter().map(|change| match change {
        Change::Put(tuple) => {
            Ok(ChangeRecord { put: Some(tuple_record(tuple)?), ..ChangeRecord::default() })
        }
        Change::Delete(key) => {
            Ok(ChangeRecord { delete: Some(key_record(key)), ..ChangeRecord::default() })
        }
    });
    let record = CommitRecord {
        time: commit.time.0,
        changes: changes.collect::<Result<_, StoreError>>()?,
        model: commit.model.as_ref().map(model_record),
    };
    let bytes = 1 + record.encoded_len();
    if bytes > COMMIT_BYTES_MAX {
        return Err(StoreError::CommitTooLarge { bytes, limit: COMMIT_BYTES_MAX });
    }
    Ok(framed(&record))
}

/// The commit of these bytes.
///
/// # Errors
/// `Corrupt`: another format, or not what [`encode_commit`] makes.
pub(super) fn decode_commit(bytes: &[u8]) -> Result<Commit, StoreError> {
    let record: CommitRecord = unframed(bytes, "a commit")?;
    let changes = record.changes.into_iter().map(|change| match (change.put, change.delete) {
        (Some(put), None) => Ok(Change::Put(tuple(put)?)),
        (None, Some(delete)) => Ok(Change::Delete(tuple(delete)?.key)),
        _ => Err(StoreError::corrupt("a change is neither a put nor a delete")),
    });
    Ok(Commit {
        time: Time(record.time),
        changes: changes.collect::<Result<_, StoreError>>()?,
        model: record.model.map(model_files),
    })
}

/// The encoded tuple, without a format byte: the checkpoint's head carries it for all of them.
///
/// # Errors
/// `Unstorable` for a context nested too deep to be read back.
pub(super) fn encode_tuple(tuple: &Tuple) -> Result<Vec<u8>, StoreError> {
    Ok(tuple_record(tuple)?.encode_to_vec())
}

/// The tuple of these bytes.
///
/// # Errors
/// `Corrupt`: not what [`encode_tuple`] makes.
pub(super) fn decode_tuple(bytes: &[u8]) -> Result<Tuple, StoreError> {
    tuple(TupleRecord::decode(bytes).map_err(|e| StoreError::corrupt(format!("a tuple: {e}")))?)
}

/// The encoded head of a checkpoint.
pub(super) fn encode_checkpoint(state: &CheckpointHead) -> Vec<u8> {
    framed(&CheckpointRecord {
        revision: state.head.revision.0,
        checksum: state.head.checksum,
        time: state.time.0,
        model: state.model.as_ref().map(model_record),
        tuple_count: state.tuple_count,
    })
}

/// The head of a checkpoint of these bytes.
///
/// # Errors
/// `Corrupt`: another format, or not what [`encode_checkpoint`] makes.
pub(super) fn decode_checkpoint(bytes: &[u8]) -> Result<CheckpointHead, StoreError> {
    let record: CheckpointRecord = unframed(bytes, "a checkpoint")?;
    Ok(CheckpointHead {
        head: Head { revision: Revision(record.revision), checksum: record.checksum },
        time: Time(record.time),
        model: record.model.map(model_files),
        tuple_count: record.tuple_count,
    })
}

fn framed(record: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + record.encoded_len());
    bytes.push(FORMAT);
    bytes.extend(record.encode_to_vec());
    bytes
}

fn unframed<M: Message + Default>(bytes: &[u8], what: &str) -> Result<M, StoreError> {
    match bytes.split_first() {
        Some((&FORMAT, message)) => {
            M::decode(message).map_err(|e| StoreError::corrupt(format!("{what}: {e}")))
        }
        Some((format, _)) => Err(StoreError::corrupt(format!(
            "{what} has format {format}, this program reads {FORMAT}"
        ))),
        None => Err(StoreError::corrupt(format!("{what} has no bytes"))),
    }
}

fn key_record(key: &TupleKey) -> TupleRecord {
    TupleRecord {
        scope: key.scope.as_str().to_owned(),
        role: key.role.as_str().to_owned(),
        subject: key.subject.to_string(),
        source: key.source.clone(),
        ..TupleRecord::default()
    }
}

fn tuple_record(tuple: &Tuple) -> Result<TupleRecord, StoreError> {
    Ok(TupleRecord {
        expires_at: tuple.expires_at.map(|time| time.0),
        condition: tuple.condition.as_ref().map(condition_record).transpose()?,
        grantor: tuple.grantor.clone(),
        reason: tuple.reason.clone(),
        ..key_record(&tuple.key)
    })
}

fn condition_record(condition: &TupleCondition) -> Result<ConditionRecord, StoreError> {
    if condition.context.values().any(|value| is_deeper(value, CONTEXT_DEPTH_MAX)) {
        return Err(StoreError::unstorable(format!(
            "the context of condition `{}` is nested deeper than {CONTEXT_DEPTH_MAX} levels",
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
    // The recursion ends at CONTEXT_DEPTH_MAX.
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
mod tests {
    use super::*;

    fn sample_tuple() -> Tuple {
        let mut tuple =
            Tuple::plain(TupleKey::parse("org:acme#technician@group:ops#member").unwrap());
        tuple.key.source = "ldap".to_owned();
        tuple.expires_at = Some(Time(-7));
        let context = serde_json::from_str(r#"{"a":[0.1,null,true],"b":18446744073709551615}"#);
        tuple.condition =
            Some(TupleCondition { name: Name::parse("hours").unwrap(), context: context.unwrap() });
        tuple.grantor = "user:ana".to_owned();
        tuple.reason = "on call".to_owned();
        tuple
    }

    fn sample_commit() -> Commit {
        let files = vec![("model.yaml".to_owned(), "model: x\n".to_owned())];
        let all = TupleKey::parse("org:acme#viewer@user:*").unwrap();
        Commit {
            time: Time(1_700_000_000_000_000),
            changes: vec![Change::Put(sample_tuple()), Change::Delete(all)],
            model: Some(ModelFiles { digest: "d1".to_owned(), files }),
        }
    }

    fn sample_checkpoint() -> CheckpointHead {
        CheckpointHead {
            head: Head { revision: Revision(300), checksum: 0x0123_4567_89ab_cdef },
            time: Time(1_700_000_000_000_000),
            model: sample_commit().model,
            tuple_count: 1_000,
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    /// Written by format 1. Never change these: they are what lies on users' disks.
    const FROZEN_COMMIT: &str = "\
        01088080f28183898506127e0a7c0a086f72673a61636d65120a746563686e696369616e1a106772\
        6f75703a6f7073236d656d62657222046c646170280d32370a05686f757273122e7b2261223a5b30\
        2e312c6e756c6c2c747275655d2c2262223a31383434363734343037333730393535313631357d3a\
        08757365723a616e6142076f6e2063616c6c121c121a0a086f72673a61636d651206766965776572\
        1a06757365723a2a1a1d0a02643112170a0a6d6f64656c2e79616d6c12096d6f64656c3a20780a";
    const FROZEN_TUPLE: &str = "\
        0a086f72673a61636d65120a746563686e696369616e1a1067726f75703a6f7073236d656d626572\
        22046c646170280d32370a05686f757273122e7b2261223a5b302e312c6e756c6c2c747275655d2c\
        2262223a31383434363734343037333730393535313631357d3a08757365723a616e6142076f6e20\
        63616c6c";
    const FROZEN_CHECKPOINT: &str = "\
        0108ac0211efcdab8967452301188080f28183898506221d0a02643112170a0a6d6f64656c2e7961\
        6d6c12096d6f64656c3a20780a28e807";

    #[test]
    fn old_bytes_decode_for_ever() {
        assert_eq!(decode_commit(&bytes(FROZEN_COMMIT)).unwrap(), sample_commit());
        assert_eq!(decode_tuple(&bytes(FROZEN_TUPLE)).unwrap(), sample_tuple());
        assert_eq!(decode_checkpoint(&bytes(FROZEN_CHECKPOINT)).unwrap(), sample_checkpoint());
    }

    #[test]
    fn the_written_format_is_the_frozen_one() {
        assert_eq!(hex(&encode_commit(&sample_commit()).unwrap()), FROZEN_COMMIT);
        assert_eq!(hex(&encode_tuple(&sample_tuple()).unwrap()), FROZEN_TUPLE);
        assert_eq!(hex(&encode_checkpoint(&sample_checkpoint())), FROZEN_CHECKPOINT);
        let head = chained(sample_checkpoint().head, &bytes(FROZEN_COMMIT));
        assert_eq!(head, Head { revision: Revision(301), checksum: 0xa916_ef5d_2763_b5e1 });
    }

    #[test]
    fn another_format_and_cut_bytes_are_refused() {
        let good = bytes(FROZEN_COMMIT);
        let mut other = good.clone();
        other[0] = 2;
        let e = decode_commit(&other).unwrap_err().to_string();
        assert!(e.contains("format 2, this program reads 1"), "{e}");
        assert!(decode_commit(&[]).is_err());
        // A cut between two fields is a shorter message; the log's checksum is what sees that.
        for length in 1..good.len() {
            assert!(decode_commit(&good[..length]).ok() != Some(sample_commit()), "{length}");
        }
    }

    #[test]
    fn every_double_comes_back_exactly() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let Some(value) = serde_json::Number::from_f64(f64::from_bits(random.u64(..))) else {
                continue;
            };
            let mut tuple = sample_tuple();
            let context = [("x".to_owned(), serde_json::Value::Number(value))].into();
            tuple.condition = Some(TupleCondition { name: Name::parse("c").unwrap(), context });
            assert_eq!(decode_tuple(&encode_tuple(&tuple).unwrap()).unwrap(), tuple);
        }
    }
}
