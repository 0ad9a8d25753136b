//! Layer 3: the service without a wire. Binds each read to one revision and one moment, and owns the
//! one writer. Knows nothing of protobuf, sockets or settings.

mod token;

use std::sync::Arc;

pub use token::{Token, TokenError};

use crate::engine::{Decision, EngineError, Question, QuestionError};
use crate::model::form::Model;
use crate::model::names::SyntaxError;
use crate::model::tuple::{Context, Time, Tuple, TupleKey};
use crate::store::{ModelFiles, Store, StoreError};

/// Where `now` comes from. The service never lets it run back.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock's moment.
    fn now(&self) -> Time;
}

/// The service without a wire. Cheap to clone; all clones are one service.
#[derive(Debug, Clone)]
pub struct Pdp {}

/// A read bound to one revision and one moment: everything asked of it has one answer.
#[derive(Debug)]
pub struct Reading {}

/// What to do with one tuple.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteChange {
    /// Store it; refused if a live one with its identity is there.
    Create(Tuple),
    /// Store it, in place of one with its identity.
    Touch(Tuple),
    /// Remove the one with this identity; nothing happens if there is none.
    Delete(TupleKey),
}

/// Which tuples. `None` matches all; what is set must all match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TupleFilter {
    /// The type of the scope.
    pub scope_type: Option<String>,
    /// The scope.
    pub scope: Option<String>,
    /// The role or relation.
    pub role: Option<String>,
    /// The type of the subject, of whatever form.
    pub subject_type: Option<String>,
    /// The subject, as it stands in the tuple.
    pub subject: Option<String>,
    /// The source.
    pub source: Option<String>,
}

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
    #[error("changes[{change}]: {reason}")]
    Hierarchy {
        /// Which change.
        change: usize,
        /// Why, with the path.
        reason: String,
    },
    /// The encoded commit is too large.
    #[error("the commit takes {bytes} bytes encoded, the limit is {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
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
    /// A stored tuple does not fit the model.
    #[error("the stored tuple `{tuple}` does not fit the model: {reason}")]
    ModelMismatch {
        /// The tuple.
        tuple: String,
        /// Why.
        reason: String,
    },
}

impl Pdp {
    /// Reads the store into memory, puts the model in force if it is another one than the store's,
    /// and starts the writer. Blocks; costs what the store holds.
    ///
    /// # Errors
    /// The store fails, or a stored tuple does not fit the model: nothing was changed.
    pub fn open(
        _store: Arc<dyn Store>,
        _model: Model,
        _files: ModelFiles,
        _clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        todo!()
    }

    /// Binds a read to the newest published revision and to now.
    #[must_use]
    pub fn read(&self) -> Reading {
        todo!()
    }

    /// Commits all changes or none; returns when they are durable and every later read sees them.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(&self, _changes: Vec<WriteChange>) -> Result<Token, WriteError> {
        todo!()
    }

    /// Ends the writer after the commits that wait; later writes are refused. Blocks until the writer
    /// has ended. Reads go on.
    pub fn close(&self) {}
}

impl Reading {
    /// The model in force.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        todo!()
    }

    /// The revision, as a token.
    #[must_use]
    pub fn token(&self) -> Token {
        todo!()
    }

    /// Reads and resolves a question against the model in force.
    ///
    /// # Errors
    /// See [`QuestionError`].
    pub fn question(
        &self,
        _subject: &str,
        _permission: &str,
        _scope: &str,
        _context: Context,
    ) -> Result<Question, QuestionError> {
        todo!()
    }

    /// Decides.
    ///
    /// # Errors
    /// A limit was hit and decides.
    pub fn check(&self, _question: &Question, _with_grant: bool) -> Result<Decision, EngineError> {
        todo!()
    }

    /// Everybody of a type who may do this here, in byte order of their names, one by one. Computed as
    /// it is consumed (blocking work: not on an async thread).
    ///
    /// # Errors
    /// The question's.
    pub fn list_subjects(
        &self,
        _permission: &str,
        _scope: &str,
        _subject_type: &str,
        _context: Context,
    ) -> Result<Box<dyn Iterator<Item = Result<String, EngineError>> + Send>, QuestionError> {
        todo!()
    }

    /// The stored tuples that match, expired ones left out.
    ///
    /// # Errors
    /// The filter names what the model does not have.
    pub fn tuples(
        &self,
        _filter: &TupleFilter,
    ) -> Result<Box<dyn Iterator<Item = Tuple> + Send>, FilterError> {
        todo!()
    }
}
