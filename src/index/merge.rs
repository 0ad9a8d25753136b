//! The next base: an older one and the layer that was frozen over it, made into one. Done beside whoever
//! writes; knows neither threads nor when it is due.

use std::sync::{Arc, Weak};

use super::base::{Base, Full, Making};
use super::layer::Layer;
use super::part::{Bounds, Part};

/// A base and the layer over it, to be made into the next base. Both stay as they are.
#[derive(Debug)]
pub struct Merge {
    pub(super) base: Arc<Base>,
    pub(super) frozen: Arc<Layer>,
}

/// What a merge made, for the snapshots that still stand on what it was made of.
#[derive(Debug)]
pub struct Merged {
    pub(super) of: Merge,
    pub(super) base: Arc<Base>,
}

/// The base of a snapshot, to see whether anybody still needs it.
#[derive(Debug, Clone)]
pub struct BaseUse(pub(super) Weak<Base>);

impl BaseUse {
    /// Whether a snapshot somewhere stands on it.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// The index does not reach further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the index is full")]
pub struct MergeError;

impl Merge {
    /// Makes the next base. Costs a copy of what the base holds, and for each change a look-up and a look at its scope's tuples;
    /// meanwhile both are in memory, and three where most of what tuples had carried is there no more.
    ///
    /// # Errors
    /// There are more tuples or names than the index can hold; nothing was changed.
    pub fn run(self) -> Result<Merged, MergeError> {
        let Self { base, frozen } = &self;
        let next = next_base(base, frozen).map_err(|Full| MergeError)?;
        Ok(Merged { base: Arc::new(next), of: self })
    }
}

fn next_base(base: &Base, frozen: &Layer) -> Result<Base, Full> {
    let mut names = base.names().clone();
    for (id, text, type_id) in frozen.names.iter() {
        // Ids are given in order, here and there; should one differ, its tuples would be another's.
        if names.intern(text, type_id) != Some(id) {
            return Err(Full);
        }
    }
    let spliced = base.spliced(names, frozen.changes())?;
    if spliced.is_worn() { made_anew(spliced) } else { Ok(spliced) }
}

/// The same base without what its tuples do not need any more.
fn made_anew(worn: Base) -> Result<Base, Full> {
    let mut making = Making::with_capacity(worn.len(), worn.uses().clone());
    if let Bounds::Scope(low, high) = Part::All.bounds() {
        for (key, carried) in worn.by_scope(&low, &high) {
            making.push(&key, carried.map(Arc::clone))?;
        }
    }
    making.finish(worn.into_names())
}
