//! Snapshots made in bulk: every change noted as it comes, sorted once at the end. For what is read
//! whole, such as a store at the start. Knows neither layers nor who asks.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::base::Making;
use super::binding::{LOCAL, SubjectKey};
use super::hints::NameUses;
use super::layer::Held;
use super::names::{Names, ObjectId};
use super::part::ByScope;
use super::rows::{Carried, Packed};
use super::snapshot::{NotIndexable, Snapshot};
use super::sources::Sources;
use super::translate::{carried, keyed, known};
use crate::model::form::{Model, NameId, SubjectForm, TypeId};
use crate::model::names::Object;
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
    /// The scope of the last plain put: tuples that are read whole often follow each other by scope.
    last: Option<(String, ObjectId)>,
}

/// A tuple that carries nothing, by the texts of its objects. Nobody has checked yet that these are
/// well-formed; but the model admits it.
#[derive(Debug, Clone, Copy)]
pub struct PlainTuple<'a> {
    /// Where, and its type.
    pub scope: (&'a str, TypeId),
    /// Which role or relation.
    pub role: NameId,
    /// The object that stands in it.
    pub subject: &'a str,
    /// Whether as itself or by a set; never all of a type.
    pub form: SubjectForm,
    /// Empty for what is granted here.
    pub source: &'a str,
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
            last: None,
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
        self.note(key, held)
    }

    /// Puts a tuple that carries nothing; false: one of its objects is malformed, and nothing was put.
    /// Costs no allocation where its names are known.
    ///
    /// # Errors
    /// Ids are used up.
    pub fn put_plain(&mut self, tuple: &PlainTuple<'_>) -> Result<bool, NotIndexable> {
        let PlainTuple { scope: (scope, of), role, subject, form, source } = *tuple;
        let Some(subject) = self.plain_subject(subject, form)? else { return Ok(false) };
        let last = self.last.as_ref().filter(|(text, _)| text == scope).map(|(_, id)| *id);
        let scope = match last {
            Some(id) => id,
            None => {
                let Some(id) = self.intern(scope, of)? else { return Ok(false) };
                let (text, last) = self.last.get_or_insert_with(|| (String::new(), id));
                text.clear();
                text.push_str(scope);
                *last = id;
                id
            }
        };
        let source = match source {
            "" => LOCAL,
            source => self.sources.intern(source).ok_or(NotIndexable)?,
        };
        self.note(ByScope { scope, role, subject, source }, Held::Put(None))?;
        Ok(true)
    }

    fn plain_subject(
        &mut self,
        text: &str,
        form: SubjectForm,
    ) -> Result<Option<SubjectKey>, NotIndexable> {
        Ok(match form {
            SubjectForm::Object(of) => self.intern(text, of)?.map(SubjectKey::Object),
            SubjectForm::Set(of, name) => {
                self.intern(text, of)?.map(|object| SubjectKey::Set(object, name))
            }
            SubjectForm::All(_) => None,
        })
    }

    /// `None`: the text is no object's.
    fn intern(&mut self, text: &str, of: TypeId) -> Result<Option<ObjectId>, NotIndexable> {
        let known = self.names.count();
        let Some(id) = self.names.intern(text, of) else {
            return if Object::is_well_formed(text) { Err(NotIndexable) } else { Ok(None) };
        };
        // A known one was well-formed when it was new. What is not stays among the names: whoever reads
        // a store ends there.
        let is_well_formed = id.0 < known || Object::is_well_formed(text);
        Ok(is_well_formed.then_some(id))
    }

    fn note(&mut self, key: ByScope, held: Held) -> Result<(), NotIndexable> {
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
        let mut making = Making::with_capacity(noted.len(), NameUses::of(&model));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{SourceFiles, load};

    const MODEL: &str = "
model: built
types: { user: {}, org: {} }
roles: [ { at: [org], names: [viewer], bound_by: [user] } ]
permissions: { see: { at: [org], is: viewer } }
";

    #[test]
    fn a_tuple_of_a_malformed_object_is_not_put_and_ids_are_not_said_to_be_used_up() {
        let mut files = SourceFiles::default();
        files.insert("model.yaml", MODEL);
        let model = Arc::new(load(&files, &BTreeMap::new()).unwrap());
        let of = |name: &str| model.type_id(name).unwrap();
        let mut builder = Builder::new(Arc::clone(&model));
        let mut put = |scope, subject| {
            let role = model.name_id("viewer").unwrap();
            let (scope, form) = ((scope, of("org")), SubjectForm::Object(of("user")));
            builder.put_plain(&PlainTuple { scope, role, subject, form, source: "" })
        };
        assert_eq!(put("org:acme", "user:ana"), Ok(true));
        for malformed in ["user:a b", "user:a\nb", "user:ana\norg:acme", "user:"] {
            assert_eq!(put("org:acme", malformed), Ok(false), "{malformed:?}");
        }
        assert_eq!(put("org:acme\nuser:ana", "user:bob"), Ok(false));
        assert_eq!(builder.build().unwrap().len(), 1);
    }
}
