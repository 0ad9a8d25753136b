//! Everybody of a type who may do this here: candidates from the tuples that the permission leads to,
//! each then asked as Check would ask, but for those of whom gathering them has told already.

use std::sync::Arc;

use super::EngineError;
use super::check::may;
use super::gather::{Gathered, gather};
use super::in_order::InOrder;
use super::objects::Objects;
use super::plan::Plan;
use super::question::{self, CheckedContext, QuestionError};
use super::view::View;
use crate::index::{ObjectId, Snapshot, SubjectKey};
use crate::model::form::{DefKind, Model, NameId, TypeId};
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::Time;

/// Who of `subject_type` may do `permission` at `scope`?
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuestion {
    permission: NameId,
    scope: Object,
    scope_type: TypeId,
    subject_type: TypeId,
    subject_type_name: Name,
    context: CheckedContext,
}

impl ListQuestion {
    /// Reads and resolves the question.
    ///
    /// # Errors
    /// A field is malformed, or names what the model does not have.
    pub fn parse(
        model: &Model,
        permission: &str,
        scope: &str,
        subject_type: &str,
        context: CheckedContext,
    ) -> Result<Self, QuestionError> {
        let permission = question::parse_permission(model, permission)?;
        let (scope, scope_type) = question::parse_scope(model, scope)?;
        let subject_type_name = Name::parse(subject_type)
            .map_err(|error| QuestionError::Syntax { field: "subject_type", error })?;
        let subject_type = question::parse_type(model, "subject_type", subject_type)?;
        Ok(Self { permission, scope, scope_type, subject_type, subject_type_name, context })
    }
}

/// The answer, computed as it is consumed: an item per candidate, in byte order, its name if it may and
/// `None` if not, so that whoever consumes it can stop between any two. An error ends it. First comes
/// `type:*`, for all of the type, those that no tuple names too.
#[derive(Debug)]
pub struct SubjectList {
    snapshot: Snapshot,
    plan: Arc<Plan>,
    question: ListQuestion,
    now: Time,
    everyone_next: bool,
    /// The permission can hold for objects that no tuple names.
    is_open: bool,
    candidates: InOrder,
    /// Those of them who may for certain.
    sure: Objects,
    failed: bool,
}

impl SubjectList {
    /// Gathers the candidates. Costs the tuples that the permission leads to; all objects of the type
    /// where it can hold without a binding, or is bound to all of the type. Takes two bits for each object
    /// of the store at most, and about four bytes for each candidate.
    #[must_use]
    pub fn new(snapshot: Snapshot, plan: Arc<Plan>, question: ListQuestion, now: Time) -> Self {
        let def = snapshot.model().def(question.scope_type, question.permission);
        let applies = def.is_some_and(|def| def.kind == DefKind::Permission);
        let mut view = View::new(&snapshot);
        let scope = if applies { view.object(&question.scope) } else { None };
        let mut gathered = match scope {
            Some(scope) => {
                let place = (question.permission, scope);
                let context = question.context.values();
                gather(&view, &plan, place, question.subject_type, context, now)
            }
            None => Gathered::none(&snapshot),
        };
        if gathered.everyone {
            // The scope may be a subject of its own permission, and known to the question alone.
            let own = scope.filter(|id| view.type_of(*id) == Some(question.subject_type));
            let stored = snapshot.objects_of(question.subject_type).map(|(id, _)| id);
            stored.chain(own).for_each(|id| gathered.add_one_of_all(id));
        }
        let Gathered { everyone, found, sure, .. } = gathered;
        let common = question.subject_type_name.as_str().len() + ":".len();
        Self {
            plan,
            question,
            now,
            everyone_next: applies,
            is_open: everyone,
            candidates: InOrder::new(found, common),
            sure,
            failed: false,
            snapshot,
        }
    }

    /// Goes on after this name, which an earlier list of the same question, revision and moment gave.
    /// Nobody before it is asked about again. Costs a look at the name of each candidate.
    pub fn go_on_after(&mut self, name: &str) {
        self.everyone_next = false;
        // `type:*` stands before all others, whatever the byte order of their names.
        if name != self.everyone() {
            let Self { candidates, snapshot, question, .. } = self;
            candidates.go_on_after(name, |id| text(snapshot, question, id));
        }
    }

    fn everyone(&self) -> String {
        format!("{}:*", self.question.subject_type_name)
    }

    /// Whether all of the type may. If not, but an object that no tuple names may, there is no complete
    /// list: an error.
    fn everyone_may(&self) -> Result<bool, EngineError> {
        let everyone = Subject::All(self.question.subject_type_name.clone());
        if self.may(|view| view.subject(&everyone))? {
            return Ok(true);
        }
        let of = self.question.subject_type;
        if self.is_open && self.may(|view| view.nameless(of).map(SubjectKey::Object))? {
            let subject_type = self.question.subject_type_name.to_string();
            return Err(EngineError::OpenList { subject_type });
        }
        Ok(false)
    }

    fn may(
        &self,
        subject: impl FnOnce(&mut View<'_>) -> Option<SubjectKey>,
    ) -> Result<bool, EngineError> {
        let mut view = View::new(&self.snapshot);
        let (Some(scope), Some(subject)) = (view.object(&self.question.scope), subject(&mut view))
        else {
            return Ok(false);
        };
        let asked = (subject, self.question.permission, scope);
        may(&view, &self.plan, asked, self.question.context.values(), self.now)
    }
}

impl Iterator for SubjectList {
    type Item = Result<Option<String>, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if std::mem::take(&mut self.everyone_next) {
            let may = self.everyone_may();
            self.failed = may.is_err();
            return Some(may.map(|may| may.then(|| self.everyone())));
        }
        let Self { candidates, snapshot, question, .. } = self;
        let id = candidates.next(|id| text(snapshot, question, id))?;
        let is_sure = self.sure.contains(id);
        let may = if is_sure { Ok(true) } else { self.may(|_| Some(SubjectKey::Object(id))) };
        self.failed = may.is_err();
        let name = || text(&self.snapshot, &self.question, id).to_owned();
        Some(may.map(|may| may.then(name)))
    }
}

/// A candidate's name: that of the scope, if no tuple names it.
fn text<'a>(snapshot: &'a Snapshot, question: &'a ListQuestion, id: ObjectId) -> &'a str {
    snapshot.text_of(id).unwrap_or(question.scope.as_str())
}

#[cfg(test)]
mod tests;
