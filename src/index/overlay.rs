//! Tuples that lie over a snapshot as if they had been committed: those that one request brings along.
//! Few, so sorted lists. Knows nothing of what lies beneath but which of its tuples are replaced.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::binding::SubjectKey;
use super::names::{OVERLAY_IDS, ObjectId};
use super::part::{ByScope, BySubject, by_subject};
use super::rows::Carried;
use crate::model::form::{NameId, TypeId};

/// The tuples, both ways, and the names that only they have.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    texts: Vec<(Arc<str>, TypeId)>,
    ids: FxHashMap<Arc<str>, ObjectId>,
    by_scope: Vec<(ByScope, Carried)>,
    by_subject: Vec<(BySubject, Carried)>,
    /// The tuples beneath in whose place one of these stands; mostly none.
    replaced: Vec<ByScope>,
}

impl Overlay {
    pub(super) fn find(&self, text: &str) -> Option<ObjectId> {
        self.ids.get(text).copied()
    }

    /// The id of a name that what lies beneath does not have.
    pub(super) fn intern(&mut self, text: &Arc<str>, type_id: TypeId) -> Option<ObjectId> {
        if let Some(id) = self.find(text) {
            return Some(id);
        }
        let id = ObjectId(OVERLAY_IDS.checked_add(u32::try_from(self.texts.len()).ok()?)?);
        self.ids.insert(Arc::clone(text), id);
        self.texts.push((Arc::clone(text), type_id));
        Some(id)
    }

    pub(super) fn object(&self, id: ObjectId) -> Option<(&str, TypeId)> {
        let (text, type_id) = self.texts.get(id.0.checked_sub(OVERLAY_IDS)? as usize)?;
        Some((text, *type_id))
    }

    pub(super) fn objects(&self) -> impl Iterator<Item = (ObjectId, &str, TypeId)> {
        let ids = (OVERLAY_IDS..).map(ObjectId);
        ids.zip(&self.texts).map(|(id, (text, type_id))| (id, &**text, *type_id))
    }

    /// Adds a tuple; no other of these has its key. `replaces`: one beneath does.
    pub(super) fn add(&mut self, key: ByScope, details: Carried, replaces: bool) {
        if replaces {
            self.replaced.push(key);
        }
        self.by_subject.push((by_subject(&key), details.clone()));
        self.by_scope.push((key, details));
    }

    /// Puts everything in its order, once all is added.
    pub(super) fn sort(&mut self) {
        self.replaced.sort_unstable();
        self.by_scope.sort_unstable_by_key(|(key, _)| *key);
        self.by_subject.sort_unstable_by_key(|(key, _)| *key);
    }

    /// Whether one of these stands in this tuple's place.
    pub(super) fn replaces(&self, key: &ByScope) -> bool {
        !self.replaced.is_empty() && self.replaced.binary_search(key).is_ok()
    }

    pub(super) fn by_scope(&self, low: &ByScope, high: &ByScope) -> &[(ByScope, Carried)] {
        between(&self.by_scope, low, high)
    }

    pub(super) fn by_subject(&self, low: &BySubject, high: &BySubject) -> &[(BySubject, Carried)] {
        between(&self.by_subject, low, high)
    }

    /// How many more subject sets are bound here than beneath.
    pub(super) fn sets_added(&self, scope: ObjectId, role: NameId) -> usize {
        let here = self.by_scope.iter().filter(|(key, _)| (key.scope, key.role) == (scope, role));
        let sets = here.filter(|(key, _)| matches!(key.subject, SubjectKey::Set(..)));
        sets.filter(|(key, _)| !self.replaces(key)).count()
    }
}

/// The rows whose keys lie between two, both included.
fn between<'a, K: Ord, V>(rows: &'a [(K, V)], low: &K, high: &K) -> &'a [(K, V)] {
    let from = rows.partition_point(|(key, _)| key < low);
    let to = rows.partition_point(|(key, _)| key <= high);
    rows.get(from..to).unwrap_or_default()
}
