//! From an object's text to its id in a snapshot: in the base, in what was written since, and in what a request
//! brought along. Knows no tuple.

use super::names::{NameHash, ObjectId};
use super::snapshot::Snapshot;

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

    /// The same of one that is stored.
    pub(super) fn find_stored(&self, text: &str) -> Option<ObjectId> {
        let names = self.base().names();
        let hash = names.hash(text);
        names.find_hashed(hash, text).or_else(|| self.find_in_layers(hash, text))
    }

    fn find_in_layers(&self, hash: NameHash, text: &str) -> Option<ObjectId> {
        self.layers().find_map(|layer| layer.names.find(hash, text))
    }
}
