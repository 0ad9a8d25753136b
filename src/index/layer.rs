//! What was written since a base was made: puts and deletions by identity, both ways, and the names that
//! came with them. Persistent, so that a clone costs nothing. Knows not what lies beneath it.
//!
//! Invariant *touched*: a scope or subject that some change of the layer names is among the touched; so
//! of all others the layer need not be asked. Some that no change of this version names may be among them.

use std::hash::RandomState;

use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, OrdMap};
use rustc_hash::FxBuildHasher;

use super::binding::SubjectKey;
use super::names::{NewNames, ObjectId};
use super::part::{ByScope, BySubject, by_subject};
use super::rows::Carried;
use super::touched::Touched;
use crate::model::form::NameId;

/// What the newest layer that names a tuple says of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Held {
    /// It is there, with what it carries.
    Put(Carried),
    /// It is not, though one beneath is.
    Deleted,
}

type Counts = GenericHashMap<(ObjectId, NameId), i64, FxBuildHasher, DefaultSharedPtr>;

/// Changes on top of what lies beneath.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    pub(super) names: NewNames,
    by_scope: OrdMap<ByScope, Held>,
    by_subject: OrdMap<BySubject, Held>,
    scopes: Touched,
    /// The objects that stand in its changes, plain or by their sets.
    subjects: Touched,
    /// All of some type stand in one.
    everyone: bool,
    /// How many more subject sets are bound at a scope in a role than beneath; may be fewer.
    sets: Counts,
}

/// The object that stands in a tuple, plain or by one of its sets; `None`: all of a type.
pub(super) fn standing(subject: SubjectKey) -> Option<ObjectId> {
    match subject {
        SubjectKey::Object(object) | SubjectKey::Set(object, _) => Some(object),
        SubjectKey::All(_) => None,
    }
}

impl Layer {
    /// No changes, on top of so many names that are hashed so.
    pub(super) fn above(names: u32, hasher: &RandomState) -> Self {
        Self { names: NewNames::above(names, hasher), ..Self::default() }
    }

    /// No changes, on top of this layer.
    pub(super) fn above_this(&self) -> Self {
        Self { names: self.names.above_these(), ..Self::default() }
    }

    /// From now on its changes are tried only, and mark nothing for other versions.
    pub(super) fn try_out(&mut self) {
        self.scopes.try_out();
        self.subjects.try_out();
    }

    /// How many changes and names it holds.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.by_scope.len() + self.names.len()
    }

    /// Whether some change may be of this scope.
    #[inline]
    pub(super) fn touches_scope(&self, scope: ObjectId) -> bool {
        !self.by_scope.is_empty() && self.scopes.contains(scope)
    }

    /// Whether this object, or one of its sets, may stand in some change.
    #[inline]
    pub(super) fn touches_subject(&self, object: ObjectId) -> bool {
        !self.by_subject.is_empty() && self.subjects.contains(object)
    }

    /// Whether all of some type may stand in some change.
    pub(super) fn touches_everyone(&self) -> bool {
        self.everyone
    }

    pub(super) fn get(&self, key: &ByScope) -> Option<&Held> {
        if !self.touches_scope(key.scope) {
            return None;
        }
        self.by_scope.get(key)
    }

    /// The changes from one key on up to another, unless there are none. One range of keys is of one
    /// scope, or of all.
    pub(super) fn by_scope(&self, low: &ByScope, high: &ByScope) -> Option<Changes<'_, ByScope>> {
        let is_touched = low.scope != high.scope || self.scopes.contains(low.scope);
        let is_asked = !self.by_scope.is_empty() && is_touched;
        is_asked.then(|| Changes::new(&self.by_scope, low, *high))
    }

    /// The same; one range is of one subject, of the sets of one object, or of all sets.
    pub(super) fn by_subject(
        &self,
        low: &BySubject,
        high: &BySubject,
    ) -> Option<Changes<'_, BySubject>> {
        let (from, to) = (standing(low.subject), standing(high.subject));
        let is_touched = from != to
            || match from {
                Some(object) => self.subjects.contains(object),
                None => self.everyone,
            };
        let is_asked = !self.by_subject.is_empty() && is_touched;
        is_asked.then(|| Changes::new(&self.by_subject, low, *high))
    }

    /// All changes, in the order of scopes.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&ByScope, &Held)> {
        self.by_scope.iter()
    }

    pub(super) fn sets_added(&self, scope: ObjectId, role: NameId) -> i64 {
        if self.sets.is_empty() || !self.scopes.contains(scope) {
            return 0;
        }
        self.sets.get(&(scope, role)).copied().unwrap_or(0)
    }

    /// Notes a change. `before`: the tuple is there now; `beneath`: it is without this layer.
    pub(super) fn note(&mut self, key: ByScope, held: Held, before: bool, beneath: bool) {
        let after = held != Held::Deleted;
        if let SubjectKey::Set(..) = key.subject
            && before != after
        {
            let more = if after { 1 } else { -1 };
            let count = self.sets.entry((key.scope, key.role)).or_insert(0);
            *count += more;
            if *count == 0 {
                self.sets.remove(&(key.scope, key.role));
            }
        }
        if held == Held::Deleted && !beneath {
            self.by_scope.remove(&key);
            self.by_subject.remove(&by_subject(&key));
            return;
        }
        self.scopes.insert(key.scope);
        match standing(key.subject) {
            Some(object) => self.subjects.insert(object),
            None => self.everyone = true,
        }
        self.by_subject.insert(by_subject(&key), held.clone());
        self.by_scope.insert(key, held);
    }
}

/// The changes of a layer in a range of keys.
#[derive(Debug)]
pub(super) struct Changes<'a, K> {
    rest: imbl::ordmap::RangedIter<'a, K, Held, DefaultSharedPtr>,
    next: Option<(&'a K, &'a Held)>,
    high: K,
}

impl<'a, K: Ord + Copy> Changes<'a, K> {
    fn new(map: &'a OrdMap<K, Held>, low: &K, high: K) -> Self {
        // Open above: a range of this map pays for an upper bound with a second descent.
        let mut changes = Self { rest: map.range::<_, K>(low..), next: None, high };
        changes.advance();
        changes
    }

    fn advance(&mut self) {
        self.next = self.rest.next().filter(|(key, _)| **key <= self.high);
    }

    /// The next change's key.
    pub(super) fn key(&self) -> Option<K> {
        self.next.map(|(key, _)| *key)
    }

    /// The next change, if it is of this key; goes on after it then.
    pub(super) fn take(&mut self, key: &K) -> Option<&'a Held> {
        let (_, held) = self.next.filter(|(at, _)| *at == key)?;
        self.advance();
        Some(held)
    }
}
