//! Changes of a snapshot, and the merges that make its next base. A change looks its names up once, and
//! once what is stored there: a commit of an import has ten thousand. Knows no commit and no rule of the
//! model.

use std::sync::Arc;

use super::{NotIndexable, Snapshot};
use crate::index::binding::binding;
use crate::index::layer::{Held, standing};
use crate::index::merge::{BaseUse, Merge, Merged};
use crate::index::part::{ByScope, Position};
use crate::index::rows::Carried;
use crate::index::translate::{carried, keyed};
use crate::model::tuple::{Change, Time, Tuple, TupleKey};

/// Where a tuple stands in a snapshot, or would stand, and what is stored there. Good until a tuple with
/// this identity is put or deleted.
#[derive(Debug, Clone)]
pub struct Spot {
    key: ByScope,
    /// What the stored tuple carries; `None`: there is none.
    stored: Option<Carried>,
    /// Whether one would be there without the top layer.
    beneath: bool,
}

impl Spot {
    /// The place, which stays the same in later snapshots of the same process.
    #[must_use]
    pub fn position(&self) -> Position {
        Position(self.key)
    }

    /// Whether a tuple is stored here, expired or not.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.stored.is_some()
    }

    /// Whether a tuple is stored here that counts at this moment.
    #[must_use]
    pub fn is_live(&self, now: Time) -> bool {
        let is_live = |carried: &Carried| binding(&self.key, carried.as_deref()).is_live(now);
        self.stored.as_ref().is_some_and(is_live)
    }
}

impl Snapshot {
    /// A copy to try changes on that will never be published: other versions are not slower for them.
    #[must_use]
    pub fn to_try(&self) -> Self {
        let mut copy = self.clone();
        copy.top.try_out();
        copy
    }

    /// Says that later versions will be made from this one: what it added to the names is shared with them from now
    /// on. Without it a clone is a copy of that. The tuples stay the same. Of the versions
    /// of a layer one thread alone may: of two at once one could find no room.
    pub fn settle(&mut self) {
        self.top.names.settle();
    }

    /// Where the tuple with this identity stands. `None`: no tuple ever named all of it, so none is there.
    #[must_use]
    pub fn spot(&self, key: &TupleKey) -> Option<Spot> {
        self.find_key(key).map(|key| self.spot_at(key))
    }

    /// The same for one that is to be put: names that are new get ids. The caller has checked that the
    /// model admits it.
    ///
    /// # Errors
    /// The tuple names what the model does not have, or ids are used up; no tuple was changed.
    pub fn spot_for(&mut self, key: &TupleKey) -> Result<Spot, NotIndexable> {
        let known = self.stored_objects();
        let key = self.intern_key(key).ok_or(NotIndexable)?;
        let is_new = key.scope.0 >= known || standing(key.subject).is_some_and(|of| of.0 >= known);
        Ok(if is_new { Spot { key, stored: None, beneath: false } } else { self.spot_at(key) })
    }

    fn spot_at(&self, key: ByScope) -> Spot {
        let held = |held: &Held| match held {
            Held::Put(carried) => Some(carried.clone()),
            Held::Deleted => None,
        };
        let beneath = match self.frozen.as_ref().and_then(|layer| layer.get(&key)) {
            Some(found) => held(found),
            None => self.base.get(&key).map(|carried| carried.map(Arc::clone)),
        };
        let (is_beneath, top) = (beneath.is_some(), self.top.get(&key));
        Spot { key, stored: top.map_or(beneath, held), beneath: is_beneath }
    }

    /// Whether just this tuple is stored at its spot, with all that it carries.
    #[must_use]
    pub fn holds_at(&self, spot: &Spot, tuple: &Tuple) -> bool {
        spot.stored.is_some() && carried(&self.model, tuple) == spot.stored
    }

    /// Stores a tuple at its spot.
    ///
    /// # Errors
    /// It carries a condition that the model does not have; nothing was changed.
    pub fn put(&mut self, spot: &Spot, tuple: &Tuple) -> Result<(), NotIndexable> {
        let carried = carried(&self.model, tuple).ok_or(NotIndexable)?;
        self.top.note(spot.key, Held::Put(carried), spot.is_taken(), spot.beneath);
        self.count += usize::from(!spot.is_taken());
        Ok(())
    }

    /// Removes the tuple at this spot, if there is one.
    pub fn delete(&mut self, spot: &Spot) {
        if spot.is_taken() {
            self.top.note(spot.key, Held::Deleted, true, spot.beneath);
            self.count -= 1;
        }
    }

    /// Makes one change. The caller has checked that the model admits the tuple.
    ///
    /// # Errors
    /// The tuple names what the model does not have, or ids are used up; no tuple was changed.
    pub fn apply(&mut self, change: &Change) -> Result<(), NotIndexable> {
        match change {
            Change::Put(tuple) => {
                let spot = self.spot_for(&tuple.key)?;
                self.put(&spot, tuple)?;
            }
            Change::Delete(key) => {
                if let Some(spot) = self.spot(key) {
                    self.delete(&spot);
                }
            }
        }
        Ok(())
    }

    fn intern_key(&mut self, key: &TupleKey) -> Option<ByScope> {
        let Self { model, sources, base, frozen, top, .. } = self;
        keyed(model, sources, key, |object, of| {
            let text = object.as_str();
            let hash = base.names().hash(text);
            let frozen = || frozen.as_ref().and_then(|layer| layer.names.find(hash, text));
            let layered = || top.names.find(hash, text).or_else(frozen);
            let known = base.names().find_hashed(hash, text).or_else(layered);
            known.or_else(|| top.names.add(hash, &object.shared_text(), of))
        })
    }

    /// How many changes and names lie over the base and in no merge.
    #[must_use]
    pub fn unmerged(&self) -> usize {
        self.top.len()
    }

    /// How many tuples and names lie in the base.
    #[must_use]
    pub fn merged(&self) -> usize {
        self.base.len() + self.base.names().count() as usize
    }

    /// The base, to see later whether anybody still needs it.
    #[must_use]
    pub fn base_use(&self) -> BaseUse {
        BaseUse(Arc::downgrade(&self.base))
    }

    /// Begins the merge of what was written since the base was made; if one was begun before and not
    /// adopted, begins that anew. The tuples stay the same. Costs nothing.
    #[must_use]
    pub fn begin_merge(&mut self) -> Merge {
        let Self { base, frozen, top, .. } = self;
        let frozen = frozen.get_or_insert_with(|| {
            let above = top.above_this();
            Arc::new(std::mem::replace(top, above))
        });
        Merge { base: Arc::clone(base), frozen: Arc::clone(frozen) }
    }

    /// Stands on the base that a merge made, if it was begun from this snapshot or one before it; whether
    /// it was. The tuples stay the same. Costs nothing.
    pub fn adopt(&mut self, merged: &Merged) -> bool {
        let Merged { of, base } = merged;
        let is_frozen = |frozen: &Arc<_>| Arc::ptr_eq(frozen, &of.frozen);
        let is_of =
            Arc::ptr_eq(&self.base, &of.base) && self.frozen.as_ref().is_some_and(is_frozen);
        if is_of {
            self.base = Arc::clone(base);
            self.frozen = None;
        }
        is_of
    }
}
