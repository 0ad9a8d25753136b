//! Cursors: where a list goes on, as a text that nobody but this process can make or change. Carries
//! the revision, the moment, which request it is of, how many entries came before and the last of
//! them. Knows no request: it is told a fingerprint.
//!
//! The bytes, big-endian, written in base64 for URLs:
//!
//! ```text
//! head   version, 1 | revision, 8 | now, 8 | fingerprint, 16      the same in all cursors of a list
//! tail   entries before, 8 | 0 and a subject's text, 1 and a place among the tuples, or 2 and `scope#role`
//! seal   the first 16 bytes of HMAC-SHA256 of LABEL, head and tail
//! ```

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::pins::{Lease, Pin};
use super::{Consistency, OpenError, Pdp, Published, ReadError, Reading, base64};
use crate::index::Position;
use crate::model::limits::{
    COMPLETED_CHANGES_MAX, CURSOR_BYTES_MAX, CURSOR_SECONDS, OVERTAKEN_LIST_SECONDS,
    PINNED_CHANGES_MAX, PINNED_REVISIONS_MAX,
};
use crate::model::names::quoted;
use crate::model::tuple::{Revision, Time};
use crate::telemetry::span;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 33;
const SEAL_BYTES: usize = 16;
const SUBJECT: u8 = 0;
const TUPLE: u8 = 1;
const ROLE: u8 = 2;
/// Fills, with the head, one block of the hash: what all cursors of a list share is hashed once.
const LABEL: &[u8; 64 - HEAD_BYTES] = b"bailiwick: a cursor of one list";

const _: () =
    assert!(HEAD_BYTES.is_multiple_of(3), "the head's text must not depend on the tail's");

type Seal = Hmac<Sha256>;

/// Which request a list answers: a digest of all of it but the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of a method's request, encoded. Costs what the request is long.
    #[must_use]
    pub fn of(method: &str, request: &[u8]) -> Self {
        let length = (method.len() as u64).to_be_bytes();
        let digest = Sha256::new().chain_update(length).chain_update(method).chain_update(request);
        let mut first = [0; 16];
        first.iter_mut().zip(digest.finalize()).for_each(|(to, from)| *to = from);
        Self(first)
    }
}

/// The entry that a list goes on after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A subject, by its text.
    Subject(String),
    /// A tuple.
    Tuple(Position),
    /// A role bound at a scope, by their texts.
    Role {
        /// The scope.
        scope: String,
        /// The role.
        role: String,
    },
}

/// Why a list cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// This process did not make it.
    #[error("cursor: `{value}` is not a cursor of this process; start the list anew")]
    Invalid {
        /// The text, cut for quoting.
        value: String,
    },
    /// It is of a list that answered another request.
    #[error(
        "cursor: it is of another request; send the request that it came from, \
         unchanged in all but the cursor"
    )]
    OtherRequest,
    /// The revision that the list stands on is no longer kept.
    #[error(
        "cursor: revision {revision} is no longer kept for it: cursors are good for {CURSOR_SECONDS} \
         seconds after their list was last read, while no more than {PINNED_CHANGES_MAX} changes have come \
         since ({COMPLETED_CHANGES_MAX} if the list was read to its end) and no more than \
         {PINNED_REVISIONS_MAX} revisions are being listed; start the list anew"
    )]
    Expired {
        /// The list's revision.
        revision: u64,
    },
    /// While the list was read, its revision fell too far behind.
    #[error(
        "more than {PINNED_CHANGES_MAX} changes have come since revision {revision}, on which the list \
         stands, and a later list is as far behind, or this one has been for {OVERTAKEN_LIST_SECONDS} \
         seconds; start the list anew, and read it faster"
    )]
    Overtaken {
        /// The list's revision.
        revision: u64,
    },
}

/// A list to be made: what it reads, where it begins, and the cursors of its entries.
#[derive(Debug)]
pub struct Listing {
    /// The revision and the moment.
    pub reading: Reading,
    /// The entry to begin after; `None`: at the start.
    pub after: Option<Place>,
    /// Makes the cursors of the entries that follow.
    pub cursors: Cursors,
}

impl Pdp {
    /// Binds a list's beginning, as [`read_at`](Pdp::read_at) does.
    ///
    /// # Errors
    /// Those of [`read_at`](Pdp::read_at).
    pub async fn list_at(
        &self,
        consistency: &Consistency,
        until: tokio::time::Instant,
        request: Fingerprint,
    ) -> Result<Listing, ReadError> {
        let reading = self.read_at(consistency, until).await?;
        Ok(self.listing(reading, request, 0, None))
    }

    /// Binds the rest of a list: the revision, the moment and the number of entries are the ones that
    /// the list began with. However long the text is, it costs what a cursor costs.
    ///
    /// # Errors
    /// See [`CursorError`].
    pub fn resume(&self, cursor: &str, request: Fingerprint) -> Result<Listing, CursorError> {
        let Contents { revision, now, request: of, count, place } =
            self.shared.seal.open(cursor)?;
        if of != request {
            return Err(CursorError::OtherRequest);
        }
        let kept = self.kept(revision, now);
        let published = kept.ok_or(CursorError::Expired { revision: revision.0 })?;
        span::note_revision(published.head.revision.0);
        let reading = Reading::new(published, now);
        Ok(self.listing(reading, of, count, Some(place)))
    }

    /// A revision that lists are resumed on: pinned, or recent while the list itself is.
    fn kept(&self, revision: Revision, began: Time) -> Option<Arc<Published>> {
        let newest = self.shared.published.load_full();
        let now = self.shared.now(newest.time);
        if let Some(pinned) = self.shared.pins.find(revision, now) {
            return Some(pinned);
        }
        let life = i64::try_from(CURSOR_SECONDS * 1_000_000).unwrap_or(i64::MAX);
        if now.0.saturating_sub(began.0) >= life {
            return None;
        }
        if newest.head.revision == revision {
            return Some(newest);
        }
        self.shared.history.find(revision, now)
    }

    fn listing(
        &self,
        reading: Reading,
        request: Fingerprint,
        count: u64,
        after: Option<Place>,
    ) -> Listing {
        let pin = Pin::new(&self.shared, reading.published());
        let head = head(reading.token().revision, reading.now(), request);
        let mut seal = self.shared.seal.0.clone();
        seal.update(&head);
        let mut text = String::with_capacity(4 * HEAD_BYTES / 3);
        base64::encode(&head, &mut text);
        let cursors = Cursors { pin, head: text, seal, count, tail: Vec::new() };
        Listing { reading, after, cursors }
    }
}

/// Makes the cursors of one list, in its order. Keeps the list's revision for as long as they live.
#[derive(Debug)]
pub struct Cursors {
    pin: Pin,
    /// The text that all of them begin with.
    head: String,
    /// The seal with the head in it.
    seal: Seal,
    count: u64,
    /// The last cursor's, to write the next one into.
    tail: Vec<u8>,
}

impl Cursors {
    /// How many entries of the list came before the next one.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long the list may go on.
    #[must_use]
    pub fn lease(&self) -> Arc<Lease> {
        Arc::clone(self.pin.lease())
    }

    /// There is no further entry.
    pub fn complete(&mut self) {
        self.pin.complete();
    }

    /// The cursor that stands after the next entry, this subject.
    pub fn after_subject(&mut self, subject: &str) -> String {
        self.next(SUBJECT, &[subject.as_bytes()])
    }

    /// The cursor that stands after the next entry, this role bound at this scope.
    pub fn after_role(&mut self, scope: &str, role: &str) -> String {
        self.next(ROLE, &[scope.as_bytes(), b"#", role.as_bytes()])
    }

    /// The cursor that stands after the next entry, the tuple at this place.
    pub fn after_tuple(&mut self, at: Position) -> String {
        self.next(TUPLE, &[&at.to_bytes()])
    }

    fn next(&mut self, kind: u8, place: &[&[u8]]) -> String {
        self.pin.keep();
        self.count += 1;
        let Self { head, seal, count, tail, .. } = self;
        tail.clear();
        tail.extend(count.to_be_bytes());
        tail.push(kind);
        place.iter().for_each(|part| tail.extend_from_slice(part));
        sealed(seal, head, tail)
    }
}

/// The text of a cursor; `seal` has the head in it already, and `text` is the head's. Leaves the seal after
/// the tail.
fn sealed(seal: &Seal, text: &str, tail: &mut Vec<u8>) -> String {
    let seal = seal.clone().chain_update(&tail).finalize().into_bytes();
    tail.extend(seal.into_iter().take(SEAL_BYTES));
    let mut cursor = String::with_capacity(text.len() + tail.len().div_ceil(3) * 4);
    cursor.push_str(text);
    base64::encode(tail, &mut cursor);
    cursor
}

/// The key of this process, with the label in it.
#[derive(Debug)]
pub(super) struct SealKey(Seal);

impl SealKey {
    /// A new key.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(super) fn random() -> Result<Self, OpenError> {
        let mut key = [0; 64];
        getrandom::fill(&mut key).map_err(OpenError::Random)?;
        Ok(Self(Seal::new(&key.into()).chain_update(LABEL)))
    }

    fn open(&self, text: &str) -> Result<Contents, CursorError> {
        let contents = if text.len() <= CURSOR_BYTES_MAX { self.unseal(text) } else { None };
        contents.ok_or_else(|| CursorError::Invalid { value: quoted(text) })
    }

    fn unseal(&self, text: &str) -> Option<Contents> {
        let bytes = base64::decode(text)?;
        let (sealed, seal) = bytes.split_last_chunk::<SEAL_BYTES>()?;
        // In constant time: how much of a forged seal is right must not show.
        self.0.clone().chain_update(sealed).verify_truncated_left(seal).ok()?;
        Contents::parse(sealed)
    }
}

/// What a cursor says.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    revision: Revision,
    now: Time,
    request: Fingerprint,
    count: u64,
    place: Place,
}

impl Contents {
    fn parse(sealed: &[u8]) -> Option<Self> {
        let rest = sealed.strip_prefix(&[VERSION])?;
        let (revision, rest) = rest.split_first_chunk()?;
        let (now, rest) = rest.split_first_chunk()?;
        let (request, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let place = match rest.split_first()? {
            (&SUBJECT, text) => Place::Subject(str::from_utf8(text).ok()?.to_owned()),
            (&TUPLE, at) => Place::Tuple(Position::from_bytes(at)?),
            (&ROLE, text) => {
                // Neither a scope nor a role has a `#` in it.
                let (scope, role) = str::from_utf8(text).ok()?.split_once('#')?;
                Place::Role { scope: scope.to_owned(), role: role.to_owned() }
            }
            _ => return None,
        };
        Some(Self {
            revision: Revision(u64::from_be_bytes(*revision)),
            now: Time(i64::from_be_bytes(*now)),
            request: Fingerprint(*request),
            count: u64::from_be_bytes(*count),
            place,
        })
    }
}

fn head(revision: Revision, now: Time, request: Fingerprint) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.push(VERSION);
    head.extend(revision.0.to_be_bytes());
    head.extend(now.0.to_be_bytes());
    head.extend(request.0);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(place: Place) -> Contents {
        let request = Fingerprint::of("ReadTuples", b"request");
        Contents { revision: Revision(7), now: Time(-1), request, count: u64::MAX, place }
    }

    fn written(key: &SealKey, of: &Contents, kind: u8, place: &[u8]) -> String {
        let head = head(of.revision, of.now, of.request);
        let mut text = String::new();
        base64::encode(&head, &mut text);
        let mut tail = [&of.count.to_be_bytes()[..], &[kind], place].concat();
        sealed(&key.0.clone().chain_update(&head), &text, &mut tail)
    }

    #[test]
    fn a_cursor_is_read_back_as_it_was_written() {
        let key = SealKey::random().unwrap();
        let position = Position::from_bytes(&[0; Position::BYTES]).unwrap();
        for (place, kind, bytes) in [
            (Place::Subject("user:\u{e9}".into()), SUBJECT, "user:\u{e9}".as_bytes()),
            (Place::Subject(String::new()), SUBJECT, b""),
            (Place::Tuple(position), TUPLE, &position.to_bytes()),
            (Place::Role { scope: "doc:d".into(), role: "r".into() }, ROLE, b"doc:d#r"),
        ] {
            let contents = contents(place);
            let text = written(&key, &contents, kind, bytes);
            assert_eq!(key.open(&text), Ok(contents));
        }
    }

    #[test]
    fn no_bit_of_a_cursor_can_be_changed_and_no_other_key_opens_it() {
        let key = SealKey::random().unwrap();
        let contents = contents(Place::Subject("user:ana".into()));
        let text = written(&key, &contents, SUBJECT, b"user:ana");
        let bytes = base64::decode(&text).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let mut text = String::new();
            base64::encode(&forged, &mut text);
            assert!(key.open(&text).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            let mut text = String::new();
            base64::encode(&bytes[..length], &mut text);
            assert!(key.open(&text).is_err(), "{length} bytes");
        }
        assert!(SealKey::random().unwrap().open(&text).is_err());
        assert_eq!(key.open(&text), Ok(contents));
    }

    #[test]
    fn what_a_later_version_might_seal_is_refused() {
        let key = SealKey::random().unwrap();
        let contents = contents(Place::Subject(String::new()));
        for (kind, place) in [(SUBJECT, &[0xff][..]), (TUPLE, b"short"), (ROLE, b"doc:d"), (9, b"")]
        {
            let text = written(&key, &contents, kind, place);
            assert!(key.open(&text).is_err(), "kind {kind}");
        }
    }

    #[test]
    fn a_fingerprint_tells_method_and_request_apart() {
        let of = Fingerprint::of;
        assert_eq!(of("a", b"b"), of("a", b"b"));
        for other in [of("ab", b""), of("", b"ab"), of("b", b"a"), of("a", b"c"), of("c", b"b")] {
            assert_ne!(of("a", b"b"), other);
        }
    }
}
