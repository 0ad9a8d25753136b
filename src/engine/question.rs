//! A question, parsed and resolved against the model: the edge where a caller's text becomes values
//! that cannot be wrong. A misspelt name of the model is an error here, never a denial later.

use std::sync::Arc;

use crate::model::form::{Model, NameId, TypeId};
use crate::model::limits::CONTEXT_BYTES_MAX;
use crate::model::names::{Name, Object, ObjectRef, Subject, SubjectRef, SyntaxError, quoted};
use crate::model::suggest::nearest;
use crate::model::tuple::Context;

/// One question: may `subject` do `permission` at `scope`, perhaps about a `target`? Its names stand in
/// the caller's text.
#[derive(Debug, Clone, PartialEq)]
pub struct Question<'q> {
    pub(super) subject: SubjectRef<'q>,
    pub(super) permission: NameId,
    pub(super) scope: ObjectRef<'q>,
    pub(super) scope_type: TypeId,
    pub(super) context: CheckedContext,
    /// Seldom named, and large.
    pub(super) target: Option<Box<SubjectRef<'q>>>,
}

/// Why a question cannot be asked. `field` is the request's field, as the API names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// A field is malformed.
    #[error("{field}: {error}")]
    Syntax {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: SyntaxError,
    },
    /// A field names something that the model does not have.
    #[error("{field}: the model has no {kind} `{value}`{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The field.
        field: &'static str,
        /// `type`, `permission`, `name`, `verb` or `role`.
        kind: &'static str,
        /// The value, cut for quoting.
        value: String,
        /// The nearest known name.
        nearest: Option<String>,
    },
    /// The context is too large.
    #[error("context: it takes {bytes} bytes, the limit is {limit}")]
    ContextTooLarge {
        /// Its size as JSON.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
}

/// Values for conditions, within their bound. A clone shares them: a batch's questions do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckedContext(Option<Arc<Context>>);

static NO_VALUES: Context = Context::new();

impl CheckedContext {
    /// Checks the bound. Costs what the values take as JSON.
    ///
    /// # Errors
    /// They take more than [`CONTEXT_BYTES_MAX`].
    pub fn new(context: Context) -> Result<Self, QuestionError> {
        if context.is_empty() {
            return Ok(Self(None));
        }
        let bytes = serde_json::to_string(&context).map_or(usize::MAX, |text| text.len());
        if bytes > CONTEXT_BYTES_MAX {
            return Err(QuestionError::ContextTooLarge { bytes, limit: CONTEXT_BYTES_MAX });
        }
        Ok(Self(Some(Arc::new(context))))
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> &Context {
        self.0.as_deref().unwrap_or(&NO_VALUES)
    }
}

fn did_you_mean(name: Option<&str>) -> String {
    name.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

impl<'q> Question<'q> {
    /// Reads and resolves a question. Costs a look at each byte, and three look-ups in the model.
    ///
    /// # Errors
    /// A field is malformed, or names what the model does not have.
    pub fn parse(
        model: &Model,
        subject: &'q str,
        permission: &str,
        scope: &'q str,
        context: CheckedContext,
    ) -> Result<Self, QuestionError> {
        let subject = read_subject(model, "subject", subject)?;
        let permission = parse_permission(model, permission)?;
        let scope = ObjectRef::parse(scope)
            .map_err(|error| QuestionError::Syntax { field: "scope", error })?;
        let scope_type = parse_type(model, "scope", scope.type_name())?;
        Ok(Self { subject, permission, scope, scope_type, context, target: None })
    }

    /// The same question about a second subject; empty text names none.
    ///
    /// # Errors
    /// The target is malformed, or names what the model does not have.
    pub fn with_target(self, model: &Model, target: &'q str) -> Result<Self, QuestionError> {
        if target.is_empty() {
            return Ok(self);
        }
        let target = read_subject(model, "target", target)?;
        Ok(Self { target: Some(Box::new(target)), ..self })
    }
}

pub(super) fn parse_permission(model: &Model, text: &str) -> Result<NameId, QuestionError> {
    if let Some(permission) = model.permission_id(text) {
        return Ok(permission);
    }
    Name::parse(text).map_err(|error| QuestionError::Syntax { field: "permission", error })?;
    let known = model.permissions.keys().map(Name::as_str);
    Err(unknown("permission", "permission", text, known))
}

pub(super) fn parse_scope(model: &Model, text: &str) -> Result<(Object, TypeId), QuestionError> {
    let scope =
        Object::parse(text).map_err(|error| QuestionError::Syntax { field: "scope", error })?;
    let scope_type = parse_type(model, "scope", scope.type_name())?;
    Ok((scope, scope_type))
}

pub(super) fn parse_type(
    model: &Model,
    field: &'static str,
    text: &str,
) -> Result<TypeId, QuestionError> {
    let known = (0..model.types.len()).filter_map(|i| u16::try_from(i).ok());
    model
        .type_id(text)
        .ok_or_else(|| unknown(field, "type", text, known.map(|i| model.type_name(TypeId(i)))))
}

pub(super) fn parse_subject(
    model: &Model,
    field: &'static str,
    text: &str,
) -> Result<Subject, QuestionError> {
    read_subject(model, field, text)?;
    Subject::parse(text).map_err(|error| QuestionError::Syntax { field, error })
}

fn read_subject<'q>(
    model: &Model,
    field: &'static str,
    text: &'q str,
) -> Result<SubjectRef<'q>, QuestionError> {
    let subject =
        SubjectRef::parse(text).map_err(|error| QuestionError::Syntax { field, error })?;
    match subject {
        SubjectRef::Object(object) => {
            parse_type(model, field, object.type_name())?;
        }
        SubjectRef::All(type_name) => {
            parse_type(model, field, type_name)?;
        }
        SubjectRef::Set(object, name) => {
            let at = parse_type(model, field, object.type_name())?;
            let defined = model.name_id(name).and_then(|id| model.def(at, id));
            if defined.is_none() {
                let known = model.type_def(at).into_iter().flat_map(|def| def.defs.keys());
                let known = known.map(|id| model.name_of(*id));
                return Err(unknown(field, "name", name, known));
            }
        }
    }
    Ok(subject)
}

pub(super) fn unknown<'a>(
    field: &'static str,
    kind: &'static str,
    value: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> QuestionError {
    let nearest = nearest(value, known).map(str::to_owned);
    QuestionError::Unknown { field, kind, value: quoted(value), nearest }
}
