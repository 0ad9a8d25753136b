//! What can go wrong without a wire: typed, one enum per operation.

use crate::index::HierarchyError;
use crate::model::names::SyntaxError;
use crate::store::StoreError;

/// Why a commit was refused. `change` is the position of the offending change, from 0.
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
    /// The same identity twice in one commit.
    #[error("changes[{change}]: `{tuple}` is changed twice")]
    Repeated {
        /// Which change.
        change: usize,
        /// The identity.
        tuple: String,
    },
    /// The model does not admit the tuple.
    #[error("changes[{change}]: {reason}")]
    NotAdmitted {
        /// Which change.
        change: usize,
        /// Why, naming the tuple.
        reason: String,
    },
    /// A tuple to create is there already.
    #[error("changes[{change}]: `{tuple}` exists already")]
    AlreadyExists {
        /// Which change.
        change: usize,
        /// The identity.
        tuple: String,
    },
    /// Parents would be cyclic, too deep, or more than one.
    #[error("changes[{change}]: {error}")]
    Hierarchy {
        /// Which change.
        change: usize,
        /// Which rule, with the path.
        error: HierarchyError,
    },
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
        /// `type` or `role`.
        kind: &'static str,
        /// The value, cut for quoting.
        value: String,
        /// The nearest known name.
        nearest: Option<String>,
    },
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
    /// A stored tuple does not fit the model.
    #[error(
        "{count} stored tuples do not fit the model, the first is `{tuple}`: {reason}; \
         start with the model they were written under and delete them, or extend the new model"
    )]
    ModelMismatch {
        /// The first such tuple.
        tuple: String,
        /// Why.
        reason: String,
        /// How many there are.
        count: usize,
    },
    /// Object ids are used up.
    #[error("the store holds more objects than the index has ids for")]
    IndexFull,
}
