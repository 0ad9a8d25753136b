//! Changes read in bulk: the texts of many, end to end, and where each of them stands. For whoever reads a
//! whole store, where a tuple made of its own texts would cost more than all that is done with it. Knows
//! neither bytes nor an engine.
//!
//! Only what has no more than its four texts is *plain*; any other change is kept whole. The texts are as
//! they were stored: nobody has checked yet that they are well-formed.

use super::{CheckpointHead, Commit, Head, KeyedCommit, KeyedRequest, ModelFiles, StoreError};
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::{Change, Time, Tuple, TupleKey};

/// An identity as its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainKey<'a> {
    /// Where.
    pub scope: &'a str,
    /// Which role or relation.
    pub role: &'a str,
    /// Who.
    pub subject: &'a str,
    /// Empty for what is granted here.
    pub source: &'a str,
}

impl PlainKey<'_> {
    /// The identity of its own.
    ///
    /// # Errors
    /// `Corrupt`: a text is malformed.
    pub fn to_key(self) -> Result<TupleKey, StoreError> {
        let wrong = |e| StoreError::corrupt(format!("a tuple: {e}"));
        Ok(TupleKey {
            scope: Object::parse(self.scope).map_err(wrong)?,
            role: Name::parse(self.role).map_err(wrong)?,
            subject: Subject::parse(self.subject).map_err(wrong)?,
            source: self.source.to_owned(),
        })
    }
}

/// One change of a bulk.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// Store a tuple that carries nothing beside its identity.
    Put(PlainKey<'a>),
    /// Remove the tuple with this identity.
    Delete(PlainKey<'a>),
    /// Any other.
    Whole(&'a Change),
}

impl Seen<'_> {
    /// The change of its own.
    ///
    /// # Errors
    /// `Corrupt`: a text is malformed.
    pub fn to_change(&self) -> Result<Change, StoreError> {
        Ok(match self {
            Seen::Put(key) => Change::Put(Tuple::plain(key.to_key()?)),
            Seen::Delete(key) => Change::Delete(key.to_key()?),
            Seen::Whole(change) => (*change).clone(),
        })
    }
}

/// Changes in order.
#[derive(Debug, Default)]
pub struct Bulk {
    texts: String,
    noted: Vec<Noted>,
}

#[derive(Debug)]
enum Noted {
    /// The lengths of its four texts.
    Put([u16; 4]),
    Delete([u16; 4]),
    Whole(Box<Change>),
}

impl Bulk {
    /// Adds a plain put; false: a text is longer than any that can be stored.
    pub(super) fn put(&mut self, texts: [&str; 4]) -> bool {
        self.push(texts).map(|lengths| self.noted.push(Noted::Put(lengths))).is_some()
    }

    /// The same of a deletion.
    pub(super) fn delete(&mut self, texts: [&str; 4]) -> bool {
        self.push(texts).map(|lengths| self.noted.push(Noted::Delete(lengths))).is_some()
    }

    /// Adds any change.
    pub(super) fn whole(&mut self, change: Change) {
        self.noted.push(Noted::Whole(Box::new(change)));
    }

    fn push(&mut self, texts: [&str; 4]) -> Option<[u16; 4]> {
        let mut lengths = [0; 4];
        for (length, text) in lengths.iter_mut().zip(texts) {
            *length = u16::try_from(text.len()).ok()?;
        }
        texts.iter().for_each(|text| self.texts.push_str(text));
        Some(lengths)
    }

    /// How many changes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.noted.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.noted.is_empty()
    }

    /// The changes, in order.
    pub fn iter(&self) -> impl Iterator<Item = Seen<'_>> {
        let mut rest = self.texts.as_str();
        let mut take = move |length: u16| {
            let (text, after) = rest.split_at_checked(usize::from(length)).unwrap_or((rest, ""));
            rest = after;
            text
        };
        let mut key = move |[scope, role, subject, source]: [u16; 4]| PlainKey {
            scope: take(scope),
            role: take(role),
            subject: take(subject),
            source: take(source),
        };
        self.noted.iter().map(move |noted| match noted {
            Noted::Put(lengths) => Seen::Put(key(*lengths)),
            Noted::Delete(lengths) => Seen::Delete(key(*lengths)),
            Noted::Whole(change) => Seen::Whole(change),
        })
    }
}

impl FromIterator<Change> for Bulk {
    fn from_iter<I: IntoIterator<Item = Change>>(changes: I) -> Self {
        let mut bulk = Self::default();
        changes.into_iter().for_each(|change| bulk.whole(change));
        bulk
    }
}

/// A commit of the log, its changes in bulk.
#[derive(Debug)]
pub struct BulkCommit {
    /// Where the log stood after it.
    pub head: Head,
    /// When.
    pub time: Time,
    /// What changes.
    pub changes: Bulk,
    /// The model that is in force from it on, if it changes.
    pub model: Option<ModelFiles>,
    /// What it was asked for with.
    pub request: Option<KeyedRequest>,
}

impl BulkCommit {
    /// A commit that was read as such.
    pub(super) fn of(head: Head, commit: Commit) -> Self {
        let Commit { time, changes, model, request } = commit;
        Self { head, time, changes: changes.into_iter().collect(), model, request }
    }
}

/// What a whole store is read as: the head of its checkpoint, what that holds, the commits after it.
#[derive(Debug)]
pub enum Recalled {
    /// The head of the checkpoint, if there is one.
    Checkpoint(Box<CheckpointHead>),
    /// Some of its tuples, all of them puts; before or after its keyed commits.
    Tuples(Bulk),
    /// A keyed commit of it.
    Keyed(KeyedCommit),
    /// A commit after it.
    Commit(Box<BulkCommit>),
}

/// So many tuples of a checkpoint come together.
pub(super) const BULK_TUPLES: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_gives_back_what_was_put_into_it_in_order() {
        let key = |text: &str| TupleKey::parse(text).unwrap();
        let expiring =
            Tuple { expires_at: Some(Time(5)), ..Tuple::plain(key("org:b#admin@user:bob")) };
        let mut bulk = Bulk::default();
        assert!(bulk.put(["org:a", "viewer", "group:ops#member", "ldap"]));
        bulk.whole(Change::Put(expiring.clone()));
        assert!(bulk.delete(["org:a", "viewer", "user:*", ""]));
        assert!(!bulk.put([&"x".repeat(70_000), "viewer", "user:ana", ""]));
        let mut first = Tuple::plain(key("org:a#viewer@group:ops#member"));
        first.key.source = "ldap".to_owned();
        let changes: Vec<_> = bulk.iter().map(|seen| seen.to_change().unwrap()).collect();
        let last = Change::Delete(key("org:a#viewer@user:*"));
        assert_eq!(changes, [Change::Put(first), Change::Put(expiring), last]);
        assert_eq!((bulk.len(), bulk.is_empty()), (3, false));
    }

    #[test]
    fn what_is_malformed_is_found_when_it_becomes_a_change() {
        let mut bulk = Bulk::default();
        assert!(bulk.put(["org a", "viewer", "user:ana", ""]));
        let error = bulk.iter().next().unwrap().to_change().unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
}
