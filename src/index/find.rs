//! From an object's text to its id in a snapshot: in the base, in what was written since, and in what a request
//! brought along. Knows no tuple but by its names.

use std::hint::black_box;

use smallvec::SmallVec;

use super::names::{NameHash, ObjectId};
use super::snapshot::Snapshot;
use crate::model::names::Subject;
use crate::model::tuple::TupleKey;

/// So many tuples are best read ahead for at a time.
pub const READ_AHEAD_TUPLES: usize = 32;
/// Of fewer tuples and names, what is looked at is near the processor as it is.
const READ_AHEAD_FROM: usize = 50_000;

impl Snapshot {
    /// The id of an object that some tuple names or named.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<ObjectId> {
        self.find_stored(text).or_else(|| self.over()?.find(text))
    }

    /// Adds to `found` what [`Snapshot::find`] says of each text, in their order. Costs less for many than to find
    /// one after the other: the waits for memory overlap.
    pub fn find_each(&self, texts: &[&str], found: &mut Vec<Option<ObjectId>>) {
        let before = found.len();
        let names = self.base().names();
        names.find_each(texts, found);
        let added = found.iter_mut().skip(before);
        for (id, text) in added.zip(texts).filter(|(id, _)| id.is_none()) {
            let layered = self.find_in_layers(names.hash(text), text);
            *id = layered.or_else(|| self.over()?.find(text));
        }
    }

    /// Whether so much is stored that whoever looks up many names had better read ahead.
    #[must_use]
    pub fn is_worth_reading_ahead(&self) -> bool {
        self.merged() >= READ_AHEAD_FROM
    }

    /// Reads from memory what looking these tuples up will read, for all of them at once: one after the other, each
    /// would wait for memory several times. Changes nothing, and says nothing.
    pub fn read_ahead<'k>(&self, keys: impl Iterator<Item = &'k TupleKey>) {
        let mut texts: SmallVec<[&str; 2 * READ_AHEAD_TUPLES]> = SmallVec::new();
        for key in keys {
            texts.push(key.scope.as_str());
            if let Subject::Object(object) | Subject::Set(object, _) = &key.subject {
                texts.push(object.as_str());
            }
        }
        let mut found = Vec::with_capacity(texts.len());
        self.base().names().find_each(&texts, &mut found);
        let places: SmallVec<[_; 2 * READ_AHEAD_TUPLES]> =
            found.into_iter().flatten().map(|object| self.base().rows(object)).collect();
        let first = places.iter().flatten().filter_map(|rows| rows.all.first());
        black_box(first.filter(|row| row.is_bare()).count());
    }

    /// What [`Snapshot::find`] says of one that is stored.
    pub(super) fn find_stored(&self, text: &str) -> Option<ObjectId> {
        let names = self.base().names();
        let hash = names.hash(text);
        names.find_hashed(hash, text).or_else(|| self.find_in_layers(hash, text))
    }

    fn find_in_layers(&self, hash: NameHash, text: &str) -> Option<ObjectId> {
        self.layers().find_map(|layer| layer.names.find(hash, text))
    }
}
