//! Snapshots made in bulk: every change noted as it comes, sorted once at the end. For what is read
//! whole, such as a store at the start. Knows neither layers nor who asks.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::base::Making;
use super::binding::LOCAL;
use super::layer::Held;
use super::names::{Names, ObjectId};
use super::part::ByScope;
use super::rows::{Carried, Packed};
use super::snapshot::{NotIndexable, Snapshot};
use super::sources::Sources;
use super::translate::{carried, keyed, known};
use crate::model::form::{Model, NameId};
use crate::model::tuple::Change;

/// So many changes are noted before the first look for those that later ones have overtaken.
const NOTED_MIN: usize = 1 << 20;

/// Changes on their way to a snapshot. Costs 24 bytes a change, and a name each once; a log that
/// overwrites itself is folded as it grows, so it costs what is left of it.
#[derive(Debug)]
pub struct Builder {
    model: Arc<Model>,
    sources: Sources,
    names: Names,
    noted: Vec<Noted>,
    said: Said,
    /// So many make the next fold due.
    fold_at: usize,
}

/// A change: what became of the tuple with this identity.
#[derive(Debug, Clone, Copy)]
struct Noted {
    subject: Packed,
    scope: ObjectId,
    role: NameId,
    said: u32,
}

/// Sources of changes, and what they say of their tuples.
#[derive(Debug)]
struct Said {
    all: Vec<(u32, Held)>,
    /// The places of those that are the same for many tuples: nothing carried, by source.
    plain: FxHashMap<u32, u32>,
}

impl Said {
    fn new() -> Self {
        Self { all: Vec::new(), plain: FxHashMap::default() }
    }

    fn add(&mut self, source: u32, held: Held) -> Option<u32> {
        let is_plain = held == Held::Put(None);
        if is_plain && let Some(place) = self.plain.get(&source) {
            return Some(*place);
        }
        let place = u32::try_from(self.all.len()).ok()?;
        self.all.push((source, held));
        if is_plain {
            self.plain.insert(source, place);
        }
        Some(place)
    }

    fn source(&self, place: u32) -> u32 {
        self.all.get(place as usize).map_or(LOCAL, |(source, _)| *source)
    }

    fn carried(&self, place: u32) -> Option<Carried> {
        match self.all.get(place as usize)? {
            (_, Held::Put(carried)) => Some(carried.clone()),
            (_, Held::Deleted) => None,
        }
    }
}

impl Builder {
    /// No tuples.
    #[must_use]
    pub fn new(model: Arc<Model>) -> Self {
        Self {
            model,
            sources: Sources::with("".into()),
            names: Names::default(),
            noted: Vec::new(),
            said: Said::new(),
            fold_at: NOTED_MIN,
        }
    }

    /// The model that the ids belong to.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Makes one change, after those before it. The caller has checked that the model admits the tuple.
    ///
    /// # Errors
    /// The tuple names what the model does not have, or ids are used up; nothing was changed.
    pub fn apply(&mut self, change: &Change) -> Result<(), NotIndexable> {
        let Self { model, sources, names, .. } = self;
        let (key, held) = match change {
            Change::Put(tuple) => {
                let carried = carried(model, tuple).ok_or(NotIndexable)?;
                let key = keyed(model, sources, &tuple.key, |object, of| {
                    names.intern(object.as_str(), of)
                });
                (key.ok_or(NotIndexable)?, Held::Put(carried))
            }
            // Of what no change named before, there is nothing to delete.
            Change::Delete(key) => match known(model, sources, key, |text| names.find(text)) {
                Some(key) => (key, Held::Deleted),
                None => return Ok(()),
            },
        };
        let ByScope { scope, role, subject, source } = key;
        let said = self.said.add(source, held).ok_or(NotIndexable)?;
        self.noted.push(Noted { subject: Packed::of(subject), scope, role, said });
        if self.noted.len() >= self.fold_at {
            self.fold()?;
            self.fold_at = self.noted.len().saturating_mul(2).max(NOTED_MIN);
        }
        Ok(())
    }

    /// Puts what is noted in order, and leaves of each identity the last word, if that is a put.
    pub(super) fn fold(&mut self) -> Result<(), NotIndexable> {
        let Self { noted, said, .. } = self;
        let identity = |a: &Noted, b: &Noted| {
            let place = (a.scope, a.role, a.subject).cmp(&(b.scope, b.role, b.subject));
            place.then_with(|| said.source(a.said).cmp(&said.source(b.said)))
        };
        // Stable: of one identity, the last stays last.
        noted.sort_by(identity);
        noted.reverse();
        noted.dedup_by(|earlier, later| identity(earlier, later).is_eq());
        noted.reverse();
        let mut left = Said::new();
        let mut is_full = false;
        noted.retain_mut(|one| {
            let source = said.source(one.said);
            let Some(carried) = said.carried(one.said) else { return false };
            match left.add(source, Held::Put(carried)) {
                Some(place) => one.said = place,
                None => is_full = true,
            }
            true
        });
        self.said = left;
        if is_full { Err(NotIndexable) } else { Ok(()) }
    }

    /// The snapshot that the changes make, one after the other.
    ///
    /// # Errors
    /// There are more tuples than the index can hold: four billion.
    pub fn build(mut self) -> Result<Snapshot, NotIndexable> {
        self.fold()?;
        let Self { model, sources, names, noted, said, .. } = self;
        let mut making = Making::with_capacity(noted.len());
        for Noted { subject, scope, role, said: place } in noted {
            let subject = subject.subject();
            let key = ByScope { scope, role, subject, source: said.source(place) };
            let carried = said.carried(place).unwrap_or_default();
            making.push(&key, carried).map_err(|_| NotIndexable)?;
        }
        let base = making.finish(names).map_err(|_| NotIndexable)?;
        Ok(Snapshot::of(model, sources, base))
    }
}
