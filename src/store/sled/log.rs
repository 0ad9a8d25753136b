//! The log: commits as items of an engine, each proved by its predecessor. Knows no head file, no
//! checkpoint and no other volume.
//!
//! A commit's body (see `record`) is cut into parts; or several commits of a group that are small stand in one item, as
//! an item costs the engine more than its bytes do. Integers are big-endian:
//!
//! ```text
//! key    revision, 8 bytes | part from 0 on, 2 bytes
//! value  0 | up to 4,085 bytes of the body                         more parts follow
//!        1 | the rest of the body | trailer                        the last part
//!        2 | (length, 2 bytes | body) ... | trailer                several commits, from the key's revision on
//! trailer, 22 bytes: number of parts or commits, 2 | length of the body or of what stands before, 4 |
//!                    predecessor's checksum, 8 | the last commit's checksum, 8
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use super::engine::{Engine, ITEM_BYTES_MAX, Item, Items};
use crate::model::limits::MODEL_COMMIT_BYTES_MAX;
use crate::model::tuple::Revision;
use crate::store::record::chained;
use crate::store::{Head, StoreError};

/// Items after which a batch is given to the engine; a commit is always within one. To the engine a batch costs more than
/// what is in it.
const BATCH_ITEMS: usize = 1_000;
const KEY_BYTES: usize = 10;
const TRAILER_BYTES: usize = 22;
const PART_BODY_BYTES: usize = ITEM_BYTES_MAX - KEY_BYTES - 1;
const MORE: u8 = 0;
const LAST: u8 = 1;
const SEVERAL: u8 = 2;
/// What stands before the body of one of several.
const LENGTH_BYTES: usize = 2;

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

/// The items of the commits that follow `previous`, in batches, each of whole commits; and the head after each
/// commit.
pub(super) fn items(previous: Head, bodies: &[Vec<u8>]) -> (Vec<Vec<Item>>, Vec<Head>) {
    let (mut batches, mut items) = (Vec::new(), Vec::new());
    let mut heads = Vec::with_capacity(bodies.len());
    let (mut head, mut rest) = (previous, bodies);
    while let Some((body, after)) = rest.split_first() {
        if items.len() >= BATCH_ITEMS {
            batches.push(std::mem::take(&mut items));
        }
        let several = packed(rest);
        if several.len() > 1 {
            items.push(item_of(&mut head, several, &mut heads));
            rest = rest.get(several.len()..).unwrap_or_default();
        } else {
            let before = head;
            head = chained(before, body);
            heads.push(head);
            add_parts(&mut items, (before, head), body);
            rest = after;
        }
    }
    batches.push(items);
    (batches, heads)
}

/// The item of these, which it holds; adds the head after each.
fn item_of(head: &mut Head, bodies: &[Vec<u8>], heads: &mut Vec<Head>) -> Item {
    let before = *head;
    let mut value = vec![SEVERAL];
    for body in bodies {
        *head = chained(*head, body);
        heads.push(*head);
        // Fits: several are shorter together than one item.
        value.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
        value.extend_from_slice(body);
    }
    let length = value.len() - 1;
    add_trailer(&mut value, (bodies.len(), length), (before.checksum, head.checksum));
    (key(before.revision.next(), 0).to_vec(), value)
}

/// As many of these, from the first on, as one item holds.
fn packed(bodies: &[Vec<u8>]) -> &[Vec<u8>] {
    let mut room = PART_BODY_BYTES - TRAILER_BYTES;
    let fits = |body: &&Vec<u8>| {
        let left = room.checked_sub(LENGTH_BYTES + body.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let count = bodies.iter().take_while(fits).count();
    bodies.get(..count).unwrap_or_default()
}

/// Adds the items of one commit.
fn add_parts(items: &mut Vec<Item>, (previous, head): (Head, Head), body: &[u8]) {
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
    let counts = (usize::from(part) + 1, body.len());
    add_trailer(&mut last, counts, (previous.checksum, head.checksum));
    items.push((key(head.revision, part).to_vec(), last));
}

fn add_trailer(value: &mut Vec<u8>, (count, length): (usize, usize), (previous, own): (u64, u64)) {
    // Both fit: a body is at most BODY_BYTES_MAX, and reading checks them.
    value.extend(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
    value.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    value.extend(previous.to_be_bytes());
    value.extend(own.to_be_bytes());
}

/// The key of a part of the commit with this number.
pub(super) fn key(revision: Revision, part: u16) -> [u8; KEY_BYTES] {
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
    /// Those from `next` on, once it has begun. Let go before the engine that they are of.
    items: Option<Items>,
    engine: Arc<Engine>,
    /// Those of an item of several that come next.
    several: VecDeque<Record>,
    next: Revision,
    /// The checksum that `next` must carry as its predecessor's, if it is known.
    previous: Option<u64>,
}

/// Reads from `from` on, whose predecessor has the checksum `previous`, if that is known.
pub(super) fn records(engine: &Arc<Engine>, from: Revision, previous: Option<u64>) -> Records {
    let engine = Arc::clone(engine);
    let several = VecDeque::new();
    UntilError::new(Reader { engine, items: None, several, next: from, previous })
}

impl ReadRecord for Reader {
    fn read_one(&mut self) -> Result<Option<Record>, StoreError> {
        if let Some(record) = self.several.pop_front() {
            return Ok(Some(record));
        }
        let mut items = match self.items.take() {
            Some(items) => items,
            None => self.begin()?,
        };
        if self.several.is_empty() && !self.read_item(&mut items)? {
            return Ok(None);
        }
        self.items = Some(items);
        Ok(self.several.pop_front())
    }
}

fn wrong<T>(at: Revision, what: &str) -> Result<T, StoreError> {
    Err(StoreError::corrupt(format!("commit {}: {what}", at.0)))
}

impl Reader {
    /// Goes to the item that holds the first commit that is asked for.
    fn begin(&mut self) -> Result<Items, StoreError> {
        let (from, known) = (self.next, self.previous);
        self.next = start_of(&self.engine, from)?.unwrap_or(from);
        let mut items = self.engine.range(&key(self.next, 0));
        if self.next < from {
            // Of what stands before it nobody has said what that follows.
            self.previous = None;
            if !self.read_item(&mut items)? {
                return wrong(from, "its item is missing");
            }
            let mut before = None;
            while let Some(one) = self.several.pop_front_if(|one| one.head.revision < from) {
                before = Some(one.head.checksum);
            }
            if known.is_some() && known != before {
                return wrong(from, "it does not follow the commit before it");
            }
        }
        Ok(items)
    }

    /// Reads the next commit, or those of the next item; whether there was one.
    fn read_item(&mut self, items: &mut Items) -> Result<bool, StoreError> {
        let at = self.next;
        let mut body = Vec::new();
        let mut part: u16 = 0;
        let trailer = loop {
            let Some(item) = items.next() else {
                return if part == 0 { Ok(false) } else { wrong(at, "its last parts are missing") };
            };
            let (found, value) = item?;
            match parse_key(&found) {
                Some(place) if place == (at, part) => {}
                Some((revision, _)) => {
                    let what = format!("a part is missing, commit {} follows", revision.0);
                    return wrong(at, &what);
                }
                None => return wrong(at, "a key of another kind follows"),
            }
            part += 1;
            let (trailer, data) = match value.split_first() {
                Some((&MORE, data)) => (None, data),
                Some((&SEVERAL, rest)) if part == 1 => match rest.split_last_chunk() {
                    Some((data, trailer)) => {
                        return self.prove_several(data, trailer).map(|()| true);
                    }
                    None => return wrong(at, "its item is short"),
                },
                Some((&LAST, rest)) => match rest.split_last_chunk::<TRAILER_BYTES>() {
                    Some((data, trailer)) => (Some(*trailer), data),
                    None => return wrong(at, "its last part is short"),
                },
                _ => return wrong(at, "a part is of no known kind"),
            };
            body.extend_from_slice(data);
            if body.len() > BODY_BYTES_MAX {
                return wrong(at, "it is longer than any commit");
            }
            if let Some(trailer) = trailer {
                break trailer;
            }
        };
        self.prove(part, body, &trailer).map(|()| true)
    }

    /// Of a commit in so many parts.
    fn prove(
        &mut self,
        parts: u16,
        body: Vec<u8>,
        trailer: &[u8; TRAILER_BYTES],
    ) -> Result<(), StoreError> {
        let before = self.before(parts, body.len(), trailer, 1)?;
        let head = chained(before, &body);
        self.go_on(head, trailer, [Record { head, body }].into())
    }

    /// Of several commits in one item.
    fn prove_several(
        &mut self,
        mut data: &[u8],
        trailer: &[u8; TRAILER_BYTES],
    ) -> Result<(), StoreError> {
        let at = self.next;
        let (length, mut records) = (data.len(), VecDeque::new());
        if length > PART_BODY_BYTES - TRAILER_BYTES {
            return wrong(at, "its item is longer than any");
        }
        let count = parse_trailer(trailer).map_or(0, |(count, ..)| count);
        let mut head = self.before(count, length, trailer, count)?;
        while !data.is_empty() {
            let Some((body, rest)) = one_of_several(data) else {
                return wrong(at, "one of the commits of its item is short");
            };
            head = chained(head, body);
            records.push_back(Record { head, body: body.to_vec() });
            data = rest;
        }
        if records.len() != usize::from(count) {
            return wrong(at, "its item does not hold as many commits as its trailer says");
        }
        self.go_on(head, trailer, records)
    }

    /// The head before the next commit, as the trailer has it; that it says so many parts or commits and bytes.
    fn before(
        &self,
        count: u16,
        bytes: usize,
        trailer: &[u8; TRAILER_BYTES],
        commits: u16,
    ) -> Result<Head, StoreError> {
        let at = self.next;
        let Some((said, length, previous, _)) = parse_trailer(trailer) else {
            return wrong(at, "its trailer is malformed");
        };
        if said != count || commits == 0 || usize::try_from(length) != Ok(bytes) {
            return wrong(at, "it has not the length that its trailer says");
        }
        Ok(Head { revision: Revision(at.0.saturating_sub(1)), checksum: previous })
    }

    /// Takes these for read, if they are what the trailer says and follow what was read before.
    fn go_on(
        &mut self,
        head: Head,
        trailer: &[u8; TRAILER_BYTES],
        records: VecDeque<Record>,
    ) -> Result<(), StoreError> {
        let at = self.next;
        let Some((_, _, previous, checksum)) = parse_trailer(trailer) else {
            return wrong(at, "its trailer is malformed");
        };
        if head.checksum != checksum {
            return wrong(at, "it does not match its checksum");
        }
        if self.previous.is_some_and(|known| known != previous) {
            return wrong(at, "it does not follow the commit before it");
        }
        self.previous = Some(checksum);
        self.next = head.revision.next();
        self.several = records;
        Ok(())
    }
}

/// The first body of several, and what stands behind it.
fn one_of_several(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
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

/// The revision of the item that holds this commit, as it says itself: whoever reads it proves it. `None`: none says so.
pub(super) fn start_of(
    engine: &Engine,
    revision: Revision,
) -> Result<Option<Revision>, StoreError> {
    let at = key(revision, 0);
    if engine.get(&at)?.is_some() {
        return Ok(Some(revision));
    }
    let Some((found, value)) = engine.last_before(&at)? else { return Ok(None) };
    let several = match value.split_first() {
        Some((&SEVERAL, rest)) => rest.split_last_chunk::<TRAILER_BYTES>(),
        _ => None,
    };
    let count = several.and_then(|(_, trailer)| parse_trailer(trailer)).map(|(count, ..)| count);
    let start = parse_key(&found).map(|(start, _)| start);
    Ok(start.zip(count).and_then(|(start, count)| {
        (revision.0 - start.0.min(revision.0) < u64::from(count)).then_some(start)
    }))
}
