//! A snapshot as one question sees it: with the names that only the question knows.

use std::sync::Arc;

use crate::index::{Binding, ObjectId, Snapshot, SubjectKey};
use crate::model::form::{Model, NameId, TypeId};
use crate::model::names::{Object, ObjectRef, Subject, SubjectRef};

/// A snapshot, and ids for the question's names that it does not have. Those have a type and no
/// tuples.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    strangers: Vec<(Arc<str>, TypeId)>,
}

impl<'a> View<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, strangers: Vec::new() }
    }

    pub(super) fn model(&self) -> &'a Model {
        self.snapshot.model()
    }

    /// The object's id, a stranger's if the snapshot does not know it. `None`: its type is not of this
    /// model.
    pub(super) fn object(&mut self, object: &Object) -> Option<ObjectId> {
        self.named(object.as_str(), object.type_name())
    }

    fn named(&mut self, text: &str, type_name: &str) -> Option<ObjectId> {
        if let Some(id) = self.snapshot.find(text) {
            return Some(id);
        }
        let known = self.strangers.iter().position(|(stranger, _)| **stranger == *text);
        let at = match known {
            Some(at) => at,
            None => {
                let type_id = self.model().type_id(type_name)?;
                self.strangers.push((text.into(), type_id));
                self.strangers.len() - 1
            }
        };
        // From the top of the range downwards, where the index never hands out ids.
        u32::try_from(at).ok().map(|at| ObjectId(u32::MAX - at))
    }

    /// The id of an object that a question names; as of [`View::object`].
    pub(super) fn asked_object(&mut self, object: ObjectRef<'_>) -> Option<ObjectId> {
        self.named(object.as_str(), object.type_name())
    }

    /// The key of a subject that a question names; as of [`View::subject`].
    pub(super) fn asked_subject(&mut self, subject: SubjectRef<'_>) -> Option<SubjectKey> {
        Some(match subject {
            SubjectRef::Object(object) => SubjectKey::Object(self.asked_object(object)?),
            SubjectRef::All(type_name) => SubjectKey::All(self.model().type_id(type_name)?),
            SubjectRef::Set(object, name) => {
                let name: NameId = self.model().name_id(name)?;
                SubjectKey::Set(self.asked_object(object)?, name)
            }
        })
    }

    /// An object of this type that nothing names, neither a tuple nor the question.
    pub(super) fn nameless(&mut self, type_id: TypeId) -> Option<ObjectId> {
        let at = u32::try_from(self.strangers.len()).ok()?;
        self.strangers.push(("".into(), type_id));
        Some(ObjectId(u32::MAX - at))
    }

    pub(super) fn subject(&mut self, subject: &Subject) -> Option<SubjectKey> {
        Some(match subject {
            Subject::Object(object) => SubjectKey::Object(self.object(object)?),
            Subject::All(type_name) => SubjectKey::All(self.model().type_id(type_name.as_str())?),
            Subject::Set(object, name) => {
                let name: NameId = self.model().name_id(name.as_str())?;
                SubjectKey::Set(self.object(object)?, name)
            }
        })
    }

    /// Whether the tuple's role is a relation of its scope's type, not a role of the same name.
    pub(super) fn is_edge(&self, binding: &Binding<'_>) -> bool {
        let def = self.type_of(binding.scope).and_then(|at| self.model().type_def(at));
        def.is_some_and(|def| def.edge(binding.role).is_some())
    }

    pub(super) fn text_of(&self, id: ObjectId) -> Option<&str> {
        let stranger = self.strangers.get((u32::MAX - id.0) as usize);
        stranger.map(|(text, _)| &**text).or_else(|| self.snapshot.text_of(id))
    }

    pub(super) fn type_of(&self, id: ObjectId) -> Option<TypeId> {
        let stranger = self.strangers.get((u32::MAX - id.0) as usize);
        stranger.map(|(_, type_id)| *type_id).or_else(|| self.snapshot.type_of(id))
    }
}
