//! A commit as its caller asks for it, and what it is answered. Knows neither the store nor a snapshot.

use tokio::sync::oneshot;

use super::delegation::DelegatedRequest;
use super::error::Must;
use super::keys::{self, IdempotencyKey};
use super::{Token, TupleFilter, WriteError};
use crate::index::KeepOne;
use crate::model::limits::{COMMIT_CHANGES_MAX, PRECONDITIONS_MAX};
use crate::model::tuple::{Tuple, TupleKey};
use crate::store::{Fingerprint, Head};

/// What to do with one tuple. A tuple whose end has come by the time of the commit is absent from the
/// start: storing it removes the one with its identity.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteChange {
    /// Store it; refused if a live one with its identity is there.
    Create(Tuple),
    /// Store it, in place of one with its identity.
    Touch(Tuple),
    /// Remove the one with this identity; nothing happens if there is none.
    Delete(TupleKey),
}

impl WriteChange {
    pub(super) fn key(&self) -> &TupleKey {
        match self {
            Self::Create(tuple) | Self::Touch(tuple) => &tuple.key,
            Self::Delete(key) => key,
        }
    }
}

/// What must hold for a commit, of the live tuples as they are before its own changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Precondition {
    /// Whether some tuple must match, or none may.
    pub must: Must,
    /// Which tuples. An empty filter matches every tuple.
    pub filter: TupleFilter,
}

/// Changes that are committed together, and on which terms.
#[derive(Debug, Clone, Default)]
pub struct WriteRequest {
    /// At least one; no identity twice.
    pub changes: Vec<WriteChange>,
    /// What must hold.
    pub preconditions: Vec<Precondition>,
    /// Makes a repeat harmless: it is answered as the first was.
    pub key: Option<IdempotencyKey>,
    /// Whether the constraints hold that keep the last holder of a role.
    pub keep_one: KeepOne,
    /// Whether to answer only what would be done. The key is then looked up, and not used.
    pub validate_only: bool,
}

/// What a commit did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The revision from which on every read sees it.
    pub token: Token,
    /// How many of its changes changed something: a delete of what is not there does not.
    pub changed: usize,
}

/// What a commit is asked for with.
#[derive(Debug)]
pub(super) enum Asked {
    /// Changes of tuples.
    Write(WriteRequest),
    /// A change of roles, if the model lets the actor.
    Delegated(Box<DelegatedRequest>),
}

impl Asked {
    /// How many changes of tuples it asks for.
    pub(super) fn changes(&self) -> usize {
        match self {
            Self::Write(request) => request.changes.len(),
            Self::Delegated(_) => 1,
        }
    }
}

/// A commit that waits for the writer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Asked,
    /// The fingerprints of the key and of the rest.
    pub(super) keyed: Option<(Fingerprint, Fingerprint)>,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// A commit that can be handed to the writer: what of it costs with its changes is done. To prepare one of ten thousand
/// changes takes milliseconds if it has a key.
#[derive(Debug)]
pub struct Prepared {
    pub(super) job: Job,
    pub(super) answer: oneshot::Receiver<Reply>,
}

impl WriteRequest {
    /// The commit that this asks for.
    ///
    /// # Errors
    /// `Empty`, `TooManyChanges`, `TooManyPreconditions`.
    pub fn prepare(self) -> Result<Prepared, WriteError> {
        let (job, answer) = Job::new(self)?;
        Ok(Prepared { job, answer })
    }
}

/// Where the log stands after a commit and how many of its changes changed something, or why not.
pub(super) type Reply = Result<(Head, usize), WriteError>;

impl Job {
    /// # Errors
    /// The request is empty or has too many parts.
    pub(super) fn new(
        request: WriteRequest,
    ) -> Result<(Self, oneshot::Receiver<Reply>), WriteError> {
        let count = request.changes.len();
        if count == 0 {
            return Err(WriteError::Empty);
        }
        if count > COMMIT_CHANGES_MAX {
            return Err(WriteError::TooManyChanges { count, limit: COMMIT_CHANGES_MAX });
        }
        let count = request.preconditions.len();
        if count > PRECONDITIONS_MAX {
            return Err(WriteError::TooManyPreconditions { count, limit: PRECONDITIONS_MAX });
        }
        // Here and not in the writer's thread, which everybody waits for.
        let keyed = request.key.map(|key| (key.fingerprint(), keys::body_of(&request)));
        let (reply, answer) = oneshot::channel();
        Ok((Self { request: Asked::Write(request), keyed, reply }, answer))
    }

    pub(super) fn delegated(request: DelegatedRequest) -> (Self, oneshot::Receiver<Reply>) {
        let body = |key: IdempotencyKey| (key.fingerprint(), keys::body_of_delegated(&request));
        let keyed = request.key.map(body);
        let (reply, answer) = oneshot::channel();
        (Self { request: Asked::Delegated(Box::new(request)), keyed, reply }, answer)
    }
}
