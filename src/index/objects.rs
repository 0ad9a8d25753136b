//! The names of objects, interned: text to id and back. Ids are never reused within a process, and
//! a question's unknown names are never interned.

use std::sync::Arc;

use imbl::{GenericHashMap, GenericVector, shared_ptr::DefaultSharedPtr};

use crate::model::form::TypeId;

/// From here on ids name what one request brought along: contextual tuples' objects from here upwards,
/// a question's own from the top downwards.
pub(super) const OVERLAY_IDS: u32 = u32::MAX / 2;

/// An object of a snapshot. Ids of the upper half of the range name what one request brought along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub u32);

/// The interned objects: persistent, so that a clone costs nothing and shares all.
#[derive(Debug, Clone, Default)]
pub(super) struct Objects {
    ids: GenericHashMap<Arc<str>, ObjectId, std::hash::RandomState, DefaultSharedPtr>,
    texts: GenericVector<(Arc<str>, TypeId), DefaultSharedPtr>,
}

impl Objects {
    pub(super) fn find(&self, text: &str) -> Option<ObjectId> {
        self.ids.get(text).copied()
    }

    /// The id of this object, a new one if it has none. `None` when four billion are used up.
    pub(super) fn intern(&mut self, text: &Arc<str>, type_id: TypeId) -> Option<ObjectId> {
        if let Some(id) = self.find(text) {
            return Some(id);
        }
        let id = u32::try_from(self.texts.len()).ok().filter(|id| *id < OVERLAY_IDS)?;
        self.ids.insert(Arc::clone(text), ObjectId(id));
        self.texts.push_back((Arc::clone(text), type_id));
        Some(ObjectId(id))
    }

    pub(super) fn get(&self, id: ObjectId) -> Option<&(Arc<str>, TypeId)> {
        self.texts.get(id.0 as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ObjectId, &Arc<str>, TypeId)> {
        (0u32..).zip(self.texts.iter()).map(|(id, (text, type_id))| (ObjectId(id), text, *type_id))
    }
}
