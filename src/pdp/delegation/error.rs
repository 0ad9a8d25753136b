//! Why a delegated change is refused. Knows no wire.

use crate::engine::{EngineError, QuestionError, Reason};
use crate::index::{ConstraintError, HierarchyError};
use crate::model::admission::NotAdmitted;
use crate::model::form::DelegatedOp;
use crate::model::tuple::Time;

/// Why a delegated change was refused; nothing was written. `field` is the request's. Values are cut for
/// quoting.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationError {
    /// A field names what the model does not have.
    #[error(transparent)]
    Question(#[from] QuestionError),
    /// The model lets nobody do this: none of its verbs does it.
    #[error("the model has no verb that does `{operation}`, so nobody may")]
    OperationNotDelegated {
        /// Which.
        operation: Operation,
    },
    /// The model does not let the actor, or not for this target.
    #[error("{field}: `{actor}` may not {verb} `{role}` at `{scope}`: {}", why(*.reason, .missing))]
    Denied {
        /// The field of the role.
        field: &'static str,
        /// Why.
        reason: Reason,
        /// What is not known, for [`Reason::MissingContext`].
        missing: Vec<String>,
        /// Who.
        actor: Box<str>,
        /// The model's verb.
        verb: Box<str>,
        /// The role.
        role: Box<str>,
        /// Where.
        scope: Box<str>,
    },
    /// Whether the actor may is beyond a limit.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The role that the target would lose was granted by another system.
    #[error("role: `{tuple}` was granted by `{source_name}`, which alone can take it")]
    HasSource {
        /// The tuple.
        tuple: String,
        /// The other system.
        source_name: String,
    },
    /// The role that was to be replaced is not held.
    #[error("role: there is no `{tuple}` to be replaced")]
    NotHeld {
        /// The tuple.
        tuple: String,
    },
    /// The target has the role on terms that this would silently weaken, or lift; or the actor would give
    /// themselves a role on other terms than they have it on.
    #[error("{field}: `{tuple}` {terms}")]
    OtherTerms {
        /// The field of the role.
        field: &'static str,
        /// The tuple.
        tuple: String,
        /// Its terms.
        terms: Terms,
    },
    /// A verb that replaces nothing was asked about with a role in the place of another.
    #[error("new_role: `{verb}` replaces nothing")]
    NothingReplaced {
        /// The verb.
        verb: String,
    },
    /// A role was to be replaced by itself.
    #[error("new_role: `{role}` is the role that is to be replaced")]
    SameRole {
        /// The role.
        role: String,
    },
    /// The end lies in the past.
    #[error("expires_at: that moment is over")]
    Ended,
    /// The model does not admit the edge of the new scope.
    #[error("{}: {error}", edge_field(.error))]
    Parent {
        /// Why.
        error: Box<NotAdmitted>,
    },
    /// The edge of the new scope is of a relation that is no part of the hierarchy.
    #[error("parent.relation: `{relation}` is no parent relation")]
    NotAParent {
        /// The relation.
        relation: String,
    },
    /// A scope that was to be made is there already.
    #[error("scope: `{scope}` is not new: a tuple names it; grant without `parent`")]
    ScopeExists {
        /// The scope.
        scope: String,
    },
    /// The edge of the new scope breaks a rule of the hierarchy.
    #[error("parent: {0}")]
    Hierarchy(HierarchyError),
    /// The tuples afterwards would break a constraint of the model.
    #[error("{field}: {error}")]
    Constraint {
        /// The field of the role.
        field: &'static str,
        /// Which constraint, and where.
        error: ConstraintError,
    },
    /// Something that should never fail did. The words are for the log.
    #[error("the service failed: {0}")]
    Fault(String),
    /// Object ids are used up.
    #[error("the service holds more objects than it has ids for")]
    IndexFull,
}

impl DelegationError {
    /// Whether it is a plain no to a question that was well asked.
    #[must_use]
    pub fn is_denial(&self) -> bool {
        match self {
            Self::Denied { .. }
            | Self::HasSource { .. }
            | Self::NotHeld { .. }
            | Self::OtherTerms { .. } => true,
            Self::Constraint { error, .. } => !matches!(error, ConstraintError::TooLarge { .. }),
            _ => false,
        }
    }
}

/// Where the request has what does not fit in the edge.
fn edge_field(error: &NotAdmitted) -> &'static str {
    match error.misfit().field {
        "role" => "parent.relation",
        "subject" => "parent.object",
        _ => "scope",
    }
}

fn why(reason: Reason, missing: &[String]) -> String {
    match reason {
        Reason::NotBindable => "it cannot be bound there, or not for that target".to_owned(),
        Reason::TargetNotEligible => "the target does not fulfil the role's own gate".to_owned(),
        Reason::MissingContext => format!("not known: {}", missing.join(", ")),
        _ => "the model does not let them".to_owned(),
    }
}

/// What a request would do, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation(pub DelegatedOp);

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            DelegatedOp::Grant => "grant",
            DelegatedOp::Revoke => "revoke",
            DelegatedOp::Replace => "replace",
        })
    }
}

const REVOKE_FIRST: &str = "revoke it first if that is meant";

/// On which terms a tuple is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terms {
    /// Under a condition, which would be lifted.
    Condition {
        /// Its name.
        name: String,
    },
    /// For longer, which would be cut short.
    Longer {
        /// Until when; `None`: for good.
        until: Option<Time>,
    },
    /// By a tuple of any source, or through a set, and the target is the actor.
    Own,
}

impl std::fmt::Display for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Condition { name } => {
                write!(f, "is there under the condition `{name}`; {REVOKE_FIRST}")
            }
            Self::Longer { until: None } => write!(f, "is there for good; {REVOKE_FIRST}"),
            Self::Longer { until: Some(_) } => write!(f, "is there for longer; {REVOKE_FIRST}"),
            Self::Own => f.write_str(
                "says what the actor has there already, for a while, from another system or through a \
                 set; nobody gives themselves a role that they have on other terms, somebody else may",
            ),
        }
    }
}
