//! A tuple's names into ids, and what it carries. Knows no snapshot: whoever calls gives the ids of
//! objects and sources.

use std::sync::Arc;

use super::binding::{Details, LOCAL, SubjectKey};
use super::names::ObjectId;
use super::part::ByScope;
use super::rows::Carried;
use super::sources::Sources;
use crate::model::form::{Model, TypeId};
use crate::model::names::{Object, Subject};
use crate::model::tuple::{Tuple, TupleKey};

/// An identity in ids; a source that is new gets one.
pub(super) fn keyed(
    model: &Model,
    sources: &mut Sources,
    key: &TupleKey,
    mut intern: impl FnMut(&Object, TypeId) -> Option<ObjectId>,
) -> Option<ByScope> {
    let mut object = |object: &Object| intern(object, model.type_id(object.type_name())?);
    let role = model.name_id(key.role.as_str())?;
    let subject = match &key.subject {
        Subject::Object(one) => SubjectKey::Object(object(one)?),
        Subject::All(type_name) => SubjectKey::All(model.type_id(type_name.as_str())?),
        Subject::Set(of, name) => {
            let name = model.name_id(name.as_str())?;
            SubjectKey::Set(object(of)?, name)
        }
    };
    let scope = object(&key.scope)?;
    let source = match key.source.as_str() {
        "" => LOCAL,
        source => sources.intern(source)?,
    };
    Some(ByScope { scope, role, subject, source })
}

/// An identity in ids that are known. `None`: no tuple names all of it.
pub(super) fn known(
    model: &Model,
    sources: &Sources,
    key: &TupleKey,
    find: impl Fn(&str) -> Option<ObjectId>,
) -> Option<ByScope> {
    let source = match key.source.as_str() {
        "" => LOCAL,
        source => sources.find(source)?,
    };
    let subject = known_subject(model, &key.subject, &find)?;
    let role = model.name_id(key.role.as_str())?;
    Some(ByScope { scope: find(key.scope.as_str())?, role, subject, source })
}

/// The same of a subject.
pub(super) fn known_subject(
    model: &Model,
    subject: &Subject,
    find: impl Fn(&str) -> Option<ObjectId>,
) -> Option<SubjectKey> {
    Some(match subject {
        Subject::Object(object) => SubjectKey::Object(find(object.as_str())?),
        Subject::All(type_name) => SubjectKey::All(model.type_id(type_name.as_str())?),
        Subject::Set(object, name) => {
            SubjectKey::Set(find(object.as_str())?, model.name_id(name.as_str())?)
        }
    })
}

/// What the tuple carries beside its identity. `None`: a condition that the model does not have.
pub(super) fn carried(model: &Model, tuple: &Tuple) -> Option<Carried> {
    let Tuple { key: _, expires_at, condition, grantor, reason, granted_at } = tuple;
    let condition = match condition {
        None => None,
        Some(c) => Some((model.condition_id(c.name.as_str())?, c.context.clone())),
    };
    let plain = expires_at.is_none() && condition.is_none();
    if plain && grantor.is_empty() && reason.is_empty() && granted_at.is_none() {
        return Some(None);
    }
    let (grantor, reason) = (grantor.clone(), reason.clone());
    let (expires_at, granted_at) = (*expires_at, *granted_at);
    Some(Some(Arc::new(Details { expires_at, condition, grantor, reason, granted_at })))
}
