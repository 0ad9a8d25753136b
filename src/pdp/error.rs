//! What can go wrong without a wire: typed, one enum per operation.

use super::delegation::DelegationError;
use super::proposal::ProposalError;
use crate::index::{ConstraintError, HierarchyError};
use crate::model::admission::NotAdmitted;
use crate::model::names::{SyntaxError, quoted};
use crate::model::tuple::TupleKey;
use crate::store::StoreError;

/// Why a commit was refused. `change` and `precondition` are positions in the request, from 0.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// There is nothing to write.
    #[error("changes: there are none")]
    Empty,
    /// Too many changes.
    #[error("changes: there are {count}, the limit is {limit}")]
    TooManyChanges {
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// Too many preconditions.
    #[error("preconditions: there are {count}, the limit is {limit}")]
    TooManyPreconditions {
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// A precondition's filter is malformed, or names what the model does not have.
    #[error("{}", .error.at(&precondition_path(*precondition, *must)))]
    Filter {
        /// Which precondition.
        precondition: usize,
        /// Which kind of it.
        must: Must,
        /// What is wrong with its filter.
        error: FilterError,
    },
    /// A precondition does not hold.
    #[error("{}: {}", precondition_path(*precondition, *must), not_held(.tuple.as_ref()))]
    PreconditionFailed {
        /// Which precondition.
        precondition: usize,
        /// Which kind of it.
        must: Must,
        /// A tuple that matches and must not.
        tuple: Option<TupleIdentity>,
    },
    /// Whether the preconditions hold takes more tuples than may be looked at.
    #[error(
        "{}: {limit} tuples do not decide whether the preconditions hold; name a scope or a subject, so \
         that fewer have to be looked at",
        precondition_path(*precondition, *must)
    )]
    PreconditionTooBroad {
        /// The precondition at which the bound was reached.
        precondition: usize,
        /// Which kind of it.
        must: Must,
        /// The bound.
        limit: usize,
    },
    /// The idempotency key stands for another request.
    #[error(
        "idempotency_key: it was used for another request, committed as revision {revision}; \
         a new request takes a new key"
    )]
    KeyReused {
        /// What the first request was committed as.
        revision: u64,
    },
    /// The same identity twice in one commit.
    #[error("changes[{change}].tuple: {tuple} is changed twice")]
    Repeated {
        /// Which change.
        change: usize,
        /// The identity.
        tuple: TupleIdentity,
    },
    /// The model does not admit the tuple.
    #[error("changes[{change}].tuple.{}: {error}", .error.misfit().field)]
    NotAdmitted {
        /// Which change.
        change: usize,
        /// Why, naming the value.
        error: Box<NotAdmitted>,
    },
    /// Object ids are used up; nothing was written.
    #[error("changes[{change}].tuple: the service holds more objects than it has ids for")]
    IndexFull {
        /// Which change.
        change: usize,
    },
    /// A tuple to create is there already.
    #[error("changes[{change}].tuple: {tuple} exists already")]
    AlreadyExists {
        /// Which change.
        change: usize,
        /// The identity.
        tuple: TupleIdentity,
    },
    /// Parents would be cyclic, too deep, or more than one.
    #[error("changes[{change}].tuple: {error}")]
    Hierarchy {
        /// Which change.
        change: usize,
        /// Which rule, with the path.
        error: HierarchyError,
    },
    /// The tuples after the commit would break a constraint of the model.
    #[error("changes[{change}].tuple: {error}")]
    Constraint {
        /// Which change.
        change: usize,
        /// Which constraint, and where.
        error: ConstraintError,
    },
    /// A delegated change is refused.
    #[error(transparent)]
    Delegation(Box<DelegationError>),
    /// The encoded commit is too large.
    #[error("the commit takes {bytes} bytes encoded, the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// A value cannot be stored; nothing was written.
    #[error("changes: cannot be stored: {reason}")]
    Unstorable {
        /// Which value, and what was expected.
        reason: String,
    },
    /// Too many commits wait already; nothing was written.
    #[error("{limit} commits are waiting already")]
    Overloaded {
        /// The bound.
        limit: usize,
    },
    /// The sync failed: the commit may or may not be durable, and nothing more is written until the
    /// service is started anew.
    #[error("the outcome of the commit is unknown: {0}")]
    OutcomeUnknown(String),
    /// An earlier sync failed, or the service is stopping; nothing was written.
    #[error("the store takes no more writes: {0}")]
    Unavailable(String),
}

impl From<DelegationError> for WriteError {
    fn from(error: DelegationError) -> Self {
        Self::Delegation(Box::new(error))
    }
}

/// What a precondition asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Must {
    /// Some live tuple matches.
    Match,
    /// No live tuple matches.
    NotMatch,
}

impl std::fmt::Display for Must {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Match => "must_match",
            Self::NotMatch => "must_not_match",
        })
    }
}

/// Where a precondition stands in the request.
pub(crate) fn precondition_path(precondition: usize, must: Must) -> String {
    format!("preconditions[{precondition}].{must}")
}

/// A tuple's identity as errors name it: without its source another tuple would be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TupleIdentity {
    /// `scope#role@subject`, cut for quoting.
    pub tuple: String,
    /// Empty for what is granted here.
    pub source: String,
}

impl From<&TupleKey> for TupleIdentity {
    fn from(key: &TupleKey) -> Self {
        Self { tuple: quoted(&key.to_string()), source: quoted(&key.source) }
    }
}

impl std::fmt::Display for TupleIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tuple, source } = self;
        match source.as_str() {
            "" => write!(f, "`{tuple}`"),
            source => write!(f, "`{tuple}` of the source `{source}`"),
        }
    }
}

fn not_held(tuple: Option<&TupleIdentity>) -> String {
    match tuple {
        Some(tuple) => format!("{tuple} is there"),
        None => "no live tuple matches".to_owned(),
    }
}

/// Why a list cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A field is malformed.
    #[error("{field}: {error}")]
    Syntax {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: SyntaxError,
    },
    /// A field names what the model does not have.
    #[error("{field}: the model has no {kind} `{value}`")]
    Unknown {
        /// The field.
        field: &'static str,
        /// `type`, `role` or `name`.
        kind: &'static str,
        /// The value, cut for quoting.
        value: String,
        /// The nearest known name.
        nearest: Option<String>,
    },
    /// Each field is known, and yet no tuple that the model admits can match.
    #[error("{field}: no tuple can match: {why}")]
    Never {
        /// The field that does not go with those before it.
        field: &'static str,
        /// The value, cut for quoting.
        value: String,
        /// Why not.
        why: String,
    },
}

impl FilterError {
    /// The field, where the filter stands at this path and not at `filter`.
    #[must_use]
    pub fn field_at(&self, path: &str) -> String {
        let (Self::Syntax { field, .. } | Self::Unknown { field, .. } | Self::Never { field, .. }) =
            self;
        format!("{path}{}", field.strip_prefix("filter").unwrap_or_default())
    }

    /// The text, where the filter stands at this path and not at `filter`.
    #[must_use]
    pub fn at(&self, path: &str) -> String {
        let field = self.field_at(path);
        match self {
            Self::Syntax { error, .. } => format!("{field}: {error}"),
            Self::Unknown { kind, value, .. } => {
                format!("{field}: the model has no {kind} `{value}`")
            }
            Self::Never { why, .. } => format!("{field}: no tuple can match: {why}"),
        }
    }
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writer's thread could not be started.
    #[error("the writer's thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The store has no model in force yet, and none was given.
    #[error("the store has no model in force yet, and none is proposed")]
    NoModel,
    /// The model was to be put in force, and was refused.
    #[error(
        "the model is refused: {0}; start with the one that is in force and delete what does not fit, \
         or extend the new one"
    )]
    Refused(ProposalError),
    /// This program cannot read the model that is in force.
    #[error(
        "the store's model (digest {digest}) is beyond this program: {what}; run the version that put it \
         in force, or a newer one"
    )]
    StoredModel {
        /// Of the model.
        digest: String,
        /// What is wrong with it here.
        what: String,
    },
    /// The system gave no random bytes, which the cursors' key is made of.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// What the store holds does not fit the model that is in force, or the first one.
    #[error(
        "the store does not fit its own model: {0}; run the version that wrote it, or restore the \
         directory from a backup"
    )]
    Unfit(ProposalError),
    /// Object ids are used up.
    #[error("the store holds more objects than the index has ids for")]
    IndexFull,
}
