//! Which row of the table each error of the layers below is, and the metadata that a program needs of
//! it. Knows no transport and no request.

use super::convert::time_to_wire;
use super::status::{ApiError, Refusal, unknown};
use crate::engine::{ContextualError, EngineError, QuestionError, Reason};
use crate::index::{ConstraintError, HierarchyError};
use crate::model::admission::NotAdmitted;
use crate::pdp::{
    Bound, CursorError, DelegationError, Difference, FilterError, ReadError, Terms, TupleIdentity,
    WriteError, precondition_path,
};

impl From<QuestionError> for ApiError {
    fn from(error: QuestionError) -> Self {
        let message = error.to_string();
        match error {
            QuestionError::Syntax { field, .. } => {
                Self::new(Refusal::InvalidField, message).with("field", &field)
            }
            QuestionError::Unknown { field, kind, value, nearest } => {
                unknown(message, field, kind, &value, nearest.as_deref())
            }
            QuestionError::ContextTooLarge { limit, .. } => {
                Self::new(Refusal::ContextTooLarge, message)
                    .with("field", &"context")
                    .with("limit_bytes", &limit)
            }
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::DepthExceeded { limit } => {
                Self::new(Refusal::DepthExceeded, message).with("limit", &limit)
            }
            EngineError::NestingExceeded { limit } => {
                Self::new(Refusal::NestingExceeded, message).with("limit", &limit)
            }
            EngineError::OpenList { subject_type } => {
                Self::new(Refusal::ListHasNoEnd, message).with("subject_type", &subject_type)
            }
            EngineError::StepsExceeded { limit } => {
                Self::new(Refusal::StepsExceeded, message).with("limit", &limit)
            }
        }
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        of_filter(&error, "filter")
    }
}

/// A fault of the filter that stands at this path.
fn of_filter(error: &FilterError, path: &str) -> ApiError {
    let (field, message) = (error.field_at(path), error.at(path));
    match error {
        FilterError::Syntax { .. } => {
            ApiError::new(Refusal::InvalidField, message).with("field", &field)
        }
        FilterError::Unknown { kind, value, nearest, .. } => {
            let hint = nearest.as_ref().map(|name| format!("; did you mean `{name}`?"));
            let message = message + &hint.unwrap_or_default();
            unknown(message, &field, kind, value, nearest.as_deref())
        }
        FilterError::Never { value, .. } => ApiError::new(Refusal::FilterNeverMatches, message)
            .with("field", &field)
            .with("value", value),
    }
}

/// A tuple that the model does not admit, at `path`. A misspelt name is told as in a question.
fn of_tuple(message: String, path: &str, error: &NotAdmitted) -> ApiError {
    of_misfit(message, &format!("{path}.{}", error.misfit().field), error)
}

fn of_misfit(message: String, field: &str, error: &NotAdmitted) -> ApiError {
    let misfit = error.misfit();
    let nearest = misfit.nearest.as_deref();
    if matches!(error, NotAdmitted::Unknown(_)) {
        return unknown(message, field, misfit.kind, &misfit.value, nearest);
    }
    let refused = ApiError::new(Refusal::TupleNotAdmitted, message)
        .with("field", &field)
        .with("kind", &misfit.kind)
        .with("value", &misfit.value);
    match nearest {
        Some(nearest) => refused.with("nearest", &nearest),
        None => refused,
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        let about =
            |refusal, field: &'static str| Self::new(refusal, message).with("field", &field);
        match error {
            ReadError::OtherHistory { field, difference } => {
                let difference = match difference {
                    Difference::Store => "store",
                    Difference::Lineage => "lineage",
                    Difference::Checksum => "checksum",
                };
                about(Refusal::TokenOtherHistory, field).with("difference", &difference)
            }
            ReadError::Expired { field, revision, bound, oldest } => {
                let bound = match bound {
                    Bound::Revisions => "revisions",
                    Bound::Seconds => "seconds",
                    Bound::Changes => "changes",
                    Bound::Process => "process",
                };
                about(Refusal::RevisionExpired, field)
                    .with("revision", &revision)
                    .with("bound", &bound)
                    .with("oldest_revision", &oldest.revision.0)
                    .with("oldest_token", &oldest)
            }
            ReadError::NotReached { field, revision, head } => {
                about(Refusal::RevisionNotReached, field)
                    .with("revision", &revision)
                    .with("head_revision", &head)
            }
            ReadError::Stopping { field, revision, head } => about(Refusal::NotReady, field)
                .with("revision", &revision)
                .with("head_revision", &head),
            ReadError::TooManyWait { field, limit } => {
                about(Refusal::Overloaded, field).with("limit", &limit)
            }
        }
    }
}

impl From<CursorError> for ApiError {
    fn from(error: CursorError) -> Self {
        let message = error.to_string();
        let about = |refusal| Self::new(refusal, message.clone()).with("field", &"cursor");
        match error {
            CursorError::Invalid { .. } => about(Refusal::InvalidCursor),
            CursorError::OtherRequest => about(Refusal::CursorOfOtherRequest),
            CursorError::Expired { revision } => {
                about(Refusal::CursorExpired).with("revision", &revision)
            }
            CursorError::Overtaken { revision } => {
                Self::new(Refusal::ListOvertaken, message).with("revision", &revision)
            }
        }
    }
}

impl From<ContextualError> for ApiError {
    fn from(error: ContextualError) -> Self {
        let message = error.to_string();
        let about = |refusal, position: usize| {
            Self::new(refusal, message.clone())
                .with("field", &format!("contextual_tuples[{position}]"))
        };
        match error {
            ContextualError::TooMany { limit, .. } => {
                Self::new(Refusal::TooManyContextualTuples, message)
                    .with("field", &"contextual_tuples")
                    .with("limit", &limit)
            }
            ContextualError::Repeated { position, tuple } => {
                about(Refusal::RepeatedTuple, position).with("tuple", &tuple)
            }
            ContextualError::NotAdmitted { position, error } => {
                of_tuple(message, &format!("contextual_tuples[{position}]"), &error)
            }
            ContextualError::Hierarchy { position, error } => {
                let (refusal, key, value) = of_hierarchy(&error);
                about(refusal, position).with(key, &value)
            }
            ContextualError::Constraint { position, error } => {
                of_constraint(message, &format!("contextual_tuples[{position}]"), error)
            }
            ContextualError::NotIndexable(_) => {
                Self::new(Refusal::IndexFull, message).with("field", &"contextual_tuples")
            }
        }
    }
}

/// With the tuple that it is about.
fn named(refused: ApiError, identity: &TupleIdentity) -> ApiError {
    let refused = refused.with("tuple", &identity.tuple);
    if identity.source.is_empty() { refused } else { refused.with("source", &identity.source) }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        let about = |refusal, change: usize| {
            Self::new(refusal, message.clone()).with("field", &format!("changes[{change}].tuple"))
        };
        let on = |refusal, precondition: usize, must| {
            Self::new(refusal, message.clone())
                .with("field", &precondition_path(precondition, must))
                .with("precondition", &precondition)
        };
        let too_large = |field: &'static str, unit, limit: usize| {
            Self::new(Refusal::CommitTooLarge, message.clone())
                .with("field", &field)
                .with(unit, &limit)
        };
        match error {
            WriteError::Empty => Self::new(Refusal::EmptyCommit, message).with("field", &"changes"),
            WriteError::TooManyChanges { limit, .. } => too_large("changes", "limit", limit),
            WriteError::TooManyPreconditions { limit, .. } => {
                too_large("preconditions", "limit", limit)
            }
            WriteError::TooLarge { limit, .. } => too_large("changes", "limit_bytes", limit),
            WriteError::Filter { precondition, must, error } => {
                of_filter(&error, &precondition_path(precondition, must))
                    .with("precondition", &precondition)
            }
            WriteError::PreconditionFailed { precondition, must, tuple } => {
                let refused = on(Refusal::PreconditionFailed, precondition, must);
                tuple.iter().fold(refused, named)
            }
            WriteError::PreconditionTooBroad { precondition, must, limit } => {
                on(Refusal::PreconditionTooBroad, precondition, must).with("limit", &limit)
            }
            WriteError::KeyReused { revision } => Self::new(Refusal::IdempotencyKeyReused, message)
                .with("field", &"idempotency_key")
                .with("revision", &revision),
            WriteError::Repeated { change, tuple } => {
                named(about(Refusal::RepeatedTuple, change), &tuple)
            }
            WriteError::NotAdmitted { change, error } => {
                of_tuple(message, &format!("changes[{change}].tuple"), &error)
            }
            WriteError::IndexFull { change } => about(Refusal::IndexFull, change),
            WriteError::AlreadyExists { change, tuple } => {
                named(about(Refusal::TupleExists, change), &tuple)
            }
            WriteError::Hierarchy { change, error } => {
                let (refusal, key, value) = of_hierarchy(&error);
                about(refusal, change).with(key, &value)
            }
            WriteError::Constraint { change, error } => {
                of_constraint(message, &format!("changes[{change}].tuple"), error)
            }
            WriteError::Delegation(error) => (*error).into(),
            WriteError::Unstorable { .. } => {
                Self::new(Refusal::InvalidField, message).with("field", &"changes")
            }
            WriteError::Overloaded { limit } => {
                Self::new(Refusal::Overloaded, message).with("limit", &limit)
            }
            // The store's own words are for the log: they name paths and drivers.
            WriteError::OutcomeUnknown(cause) => {
                tracing::error!(%cause, "the outcome of a commit is unknown");
                Self::new(Refusal::OutcomeUnknown, "the outcome of the commit is unknown")
            }
            WriteError::Unavailable(cause) => {
                tracing::warn!(%cause, "a write was refused");
                Self::new(Refusal::StoreUnavailable, "the store takes no more writes")
            }
        }
    }
}

impl From<DelegationError> for ApiError {
    fn from(error: DelegationError) -> Self {
        let message = error.to_string();
        let about =
            |refusal, field: &str| Self::new(refusal, message.clone()).with("field", &field);
        match error {
            DelegationError::Question(error) => error.into(),
            DelegationError::Engine(error) => error.into(),
            DelegationError::OperationNotDelegated { operation } => {
                Self::new(Refusal::OperationNotDelegated, message).with("operation", &operation)
            }
            DelegationError::Denied { field, reason, missing, actor, verb, role, scope } => {
                let denied = about(denial(reason), field)
                    .with("actor", &actor)
                    .with("verb", &verb)
                    .with("role", &role)
                    .with("scope", &scope);
                let missing = (!missing.is_empty()).then(|| missing.join(","));
                missing.iter().fold(denied, |denied, missing| denied.with("missing", missing))
            }
            DelegationError::HasSource { tuple, source_name } => {
                about(Refusal::TargetHasSource, "role")
                    .with("tuple", &tuple)
                    .with("source", &source_name)
            }
            DelegationError::NotHeld { tuple } => {
                about(Refusal::RoleNotHeld, "role").with("tuple", &tuple)
            }
            DelegationError::OtherTerms { field, tuple, terms } => {
                let refused = about(Refusal::HeldOnOtherTerms, field).with("tuple", &tuple);
                match terms {
                    Terms::Condition { name } => refused.with("condition", &name),
                    Terms::Longer { until: Some(end) } => {
                        refused.with("expires_at", &time_to_wire(end))
                    }
                    Terms::Longer { until: None } | Terms::Own => refused,
                }
            }
            DelegationError::NothingReplaced { .. } | DelegationError::SameRole { .. } => {
                about(Refusal::InvalidField, "new_role")
            }
            DelegationError::Ended => about(Refusal::InvalidField, "expires_at"),
            DelegationError::Parent { error } => of_edge(message, &error),
            DelegationError::NotAParent { .. } => about(Refusal::InvalidField, "parent.relation"),
            DelegationError::ScopeExists { scope } => {
                about(Refusal::ScopeExists, "scope").with("scope", &scope)
            }
            DelegationError::Hierarchy(error) => {
                let (refusal, key, value) = of_hierarchy(&error);
                about(refusal, "parent").with(key, &value)
            }
            DelegationError::Constraint { field, error } => of_constraint(message, field, error),
            DelegationError::Fault(cause) => Self::internal(&cause),
            DelegationError::IndexFull => Self::new(Refusal::IndexFull, message),
        }
    }
}

/// The row of a denial.
fn denial(reason: Reason) -> Refusal {
    match reason {
        Reason::NotBindable => Refusal::NotBindable,
        Reason::TargetNotEligible => Refusal::TargetNotEligible,
        Reason::MissingContext => Refusal::MissingContext,
        _ => Refusal::NotDelegated,
    }
}

/// The edge of a new scope that the model does not admit, by the fields of the request.
fn of_edge(message: String, error: &NotAdmitted) -> ApiError {
    let misfit = error.misfit();
    let field = match misfit.field {
        "role" => "parent.relation",
        "subject" => "parent.object",
        _ => "scope",
    };
    of_misfit(message, field, error)
}

/// The row of a broken rule of the hierarchy, and the pair that a program needs of it.
fn of_hierarchy(error: &HierarchyError) -> (Refusal, &'static str, String) {
    match error {
        HierarchyError::Cycle { path, .. } => (Refusal::HierarchyCycle, "path", path.clone()),
        HierarchyError::TooDeep { limit, .. } => {
            (Refusal::HierarchyTooDeep, "limit", limit.to_string())
        }
        HierarchyError::SecondParent { other, .. } => {
            (Refusal::SecondParent, "parent", other.clone())
        }
        HierarchyError::TooLarge { limit, .. } => {
            (Refusal::HierarchyTooLarge, "limit", limit.to_string())
        }
    }
}

/// A broken constraint, for the tuple at `path`.
fn of_constraint(message: String, path: &str, error: ConstraintError) -> ApiError {
    let about = |refusal, constraint: &str, scope: &str| {
        ApiError::new(refusal, message)
            .with("field", &path)
            .with("constraint", &constraint)
            .with("scope", &scope)
    };
    match error {
        ConstraintError::Exclusive { constraint, scope, subject, role, other } => {
            about(Refusal::ConstraintExclusive, &constraint, &scope)
                .with("role", &role)
                .with("other_role", &other)
                .with("subject", &subject)
        }
        ConstraintError::AtMost { constraint, scope, role, limit } => {
            about(Refusal::ConstraintAtMost, &constraint, &scope)
                .with("role", &role)
                .with("limit", &limit)
        }
        ConstraintError::KeepOne { constraint, scope, role } => {
            about(Refusal::ConstraintKeepOne, &constraint, &scope).with("role", &role)
        }
        ConstraintError::TooLarge { constraint, scope, limit } => {
            about(Refusal::ConstraintTooLarge, &constraint, &scope).with("limit", &limit)
        }
    }
}

#[cfg(test)]
mod tests;
