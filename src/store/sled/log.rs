//! The log: commits as items of an engine, each proved by its predecessor. Knows no head file, no
//! checkpoint and no other volume.
//!
//! A commit's body (see `record`) is cut into parts. Integers are big-endian:
//!
//! ```text
//! key    revision, 8 bytes | part from 0 on, 2 bytes
//! value  0 | up to 4,085 bytes of the body                         more parts follow
//!        1 | the rest of the body | trailer                        the last part
//! trailer, 22 bytes: number of parts, 2 | length of the body, 4 |
//!                    predecessor's checksum, 8 | own checksum, 8
//! ```

use std::sync::Arc;

use super::engine::{Engine, ITEM_BYTES_MAX, Item, Items};
use crate::model::limits::MODEL_COMMIT_BYTES_MAX;
use crate::model::tuple::Revision;
use crate::store::record::chained;
use crate::store::{Head, StoreError};

const KEY_BYTES: usize = 10;
const TRAILER_BYTES: usize = 22;
const PART_BODY_BYTES: usize = ITEM_BYTES_MAX - KEY_BYTES - 1;
const MORE: u8 = 0;
const LAST: u8 = 1;

/// Longest body, in bytes: no other commit may be as large as one with a model.
const BODY_BYTES_MAX: usize = MODEL_COMMIT_BYTES_MAX;

const _: () = assert!(BODY_BYTES_MAX / PART_BODY_BYTES < u16::MAX as usize);

/// A commit as stored, its own checksum proved.
pub(super) struct Record {
    /// Its revision and checksum.
    pub(super) head: Head,
    /// The encoded commit.
    pub(super) body: Vec<u8>,
}

/// The items of the commit that follows `previous`, and its head.
pub(super) fn items(previous: Head, body: &[u8]) -> (Vec<Item>, Head) {
    let head = chained(previous, body);
    let mut items = Vec::new();
    let mut rest = body;
    let mut part: u16 = 0;
    while rest.len() > PART_BODY_BYTES - TRAILER_BYTES {
        let (data, after) = rest.split_at(rest.len().min(PART_BODY_BYTES));
        items.push((key(head.revision, part).to_vec(), [&[MORE], data].concat()));
        rest = after;
        part += 1;
    }
    let mut last = Vec::with_capacity(1 + rest.len() + TRAILER_BYTES);
    last.push(LAST);
    last.extend_from_slice(rest);
    last.extend((part + 1).to_be_bytes());
    // Fits: a body is at most BODY_BYTES_MAX, and reading checks this length.
    last.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    last.extend(previous.checksum.to_be_bytes());
    last.extend(head.checksum.to_be_bytes());
    items.push((key(head.revision, part).to_vec(), last));
    (items, head)
}

fn key(revision: Revision, part: u16) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    let bytes = revision.0.to_be_bytes().into_iter().chain(part.to_be_bytes());
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    key
}

fn parse_key(key: &[u8]) -> Option<(Revision, u16)> {
    let (revision, part) = key.split_first_chunk::<8>()?;
    let part = u16::from_be_bytes(part.try_into().ok()?);
    Some((Revision(u64::from_be_bytes(*revision)), part))
}

/// What gives one record after the other.
pub(super) trait ReadRecord {
    /// The next one; `None` after the last.
    fn read_one(&mut self) -> Result<Option<Record>, StoreError>;
}

/// Records up to the first error, which ends them.
pub(super) struct UntilError<R> {
    reader: R,
    is_over: bool,
}

impl<R> UntilError<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, is_over: false }
    }
}

impl<R: ReadRecord> Iterator for UntilError<R> {
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let record = self.reader.read_one().transpose();
        self.is_over = !matches!(record, Some(Ok(_)));
        record
    }
}

/// The commits of an engine from a revision on. *Dense*: the first missing or damaged one ends it in an
/// error; where nothing follows, it ends.
pub(super) type Records = UntilError<Reader>;

/// Reads [`Records`].
pub(super) struct Reader {
    items: Items,
    /// Open as long as it is read.
    _engine: Arc<Engine>,
    next: Revision,
    /// The checksum that `next` must carry as its predecessor's, if it is known.
    previous: Option<u64>,
}

/// Reads from `from` on, whose predecessor has the checksum `previous`, if that is known.
pub(super) fn records(engine: &Arc<Engine>, from: Revision, previous: Option<u64>) -> Records {
    let items = engine.range(&key(from, 0));
    UntilError::new(Reader { items, _engine: Arc::clone(engine), next: from, previous })
}

impl ReadRecord for Reader {
    fn read_one(&mut self) -> Result<Option<Record>, StoreError> {
        let wrong = |what| Err(StoreError::corrupt(format!("commit {}: {what}", self.next.0)));
        let mut body = Vec::new();
        let mut part: u16 = 0;
        let trailer = loop {
            let Some(item) = self.items.next() else {
                return if part == 0 { Ok(None) } else { wrong("its last parts are missing") };
            };
            let (found, value) = item?;
            match parse_key(&found) {
                Some(at) if at == (self.next, part) => {}
                Some((revision, _)) => {
                    return wrong(&format!("a part is missing, commit {} follows", revision.0));
                }
                None => return wrong("a key of another kind follows"),
            }
            part += 1;
            let (trailer, data) = match value.split_first() {
                Some((&MORE, data)) => (None, data),
                Some((&LAST, rest)) => match rest.split_last_chunk::<TRAILER_BYTES>() {
                    Some((data, trailer)) => (Some(*trailer), data),
                    None => return wrong("its last part is short"),
                },
                _ => return wrong("a part is of no known kind"),
            };
            body.extend_from_slice(data);
            if body.len() > BODY_BYTES_MAX {
                return wrong("it is longer than any commit");
            }
            if let Some(trailer) = trailer {
                break trailer;
            }
        };
        self.prove(part, body, &trailer).map(Some)
    }
}

impl Reader {
    fn prove(
        &mut self,
        parts: u16,
        body: Vec<u8>,
        trailer: &[u8; TRAILER_BYTES],
    ) -> Result<Record, StoreError> {
        let wrong = |what| Err(StoreError::corrupt(format!("commit {}: {what}", self.next.0)));
        let Some((count, length, previous, checksum)) = parse_trailer(trailer) else {
            return wrong("its trailer is malformed");
        };
        if count != parts || usize::try_from(length) != Ok(body.len()) {
            return wrong("it has not the length that its trailer says");
        }
        let before = Revision(self.next.0.saturating_sub(1));
        let head = chained(Head { revision: before, checksum: previous }, &body);
        if head.checksum != checksum {
            return wrong("it does not match its checksum");
        }
        if self.previous.is_some_and(|known| known != previous) {
            return wrong("it does not follow the commit before it");
        }
        self.previous = Some(checksum);
        self.next = self.next.next();
        Ok(Record { head, body })
    }
}

fn parse_trailer(trailer: &[u8; TRAILER_BYTES]) -> Option<(u16, u32, u64, u64)> {
    let (count, rest) = trailer.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (previous, rest) = rest.split_first_chunk::<8>()?;
    let (checksum, _) = rest.split_first_chunk::<8>()?;
    Some((
        u16::from_be_bytes(*count),
        u32::from_be_bytes(*length),
        u64::from_be_bytes(*previous),
        u64::from_be_bytes(*checksum),
    ))
}

/// Whether an engine holds the first part of this commit.
pub(super) fn holds(engine: &Engine, revision: Revision) -> Result<bool, StoreError> {
    Ok(engine.get(&key(revision, 0))?.is_some())
}
