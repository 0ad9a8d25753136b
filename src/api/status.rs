//! The one table from errors to gRPC statuses: each refusal has a stable reason code and a gRPC code,
//! and each error of the layers below becomes one of them here. Knows no transport and no request.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::pb;
use crate::engine::{ContextualError, EngineError, QuestionError};
use crate::index::HierarchyError;
use crate::model::admission::NotAdmitted;
use crate::model::names::SyntaxError;
use crate::pdp::{CursorError, Difference, FilterError, ReadError, WriteError, precondition_path};
use crate::telemetry::figures::Ending;

/// The domain of every `google.rpc.ErrorInfo` that the service sends.
pub const ERROR_DOMAIN: &str = "bailiwick.dev";

macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:ident $text:literal,)+) => {
        /// Why a request is refused. The reason codes are part of the API: they are never renamed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Refusal { $($(#[doc = $doc])+ $name,)+ }

        impl Refusal {
            /// The whole table.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The gRPC code.
            #[must_use]
            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)+ }
            }

            /// The stable reason code, `ErrorInfo.reason`.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The row with this reason code.
            pub(super) fn by_text(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)+ _ => None }
            }

            /// What it means, in a sentence; `docs/errors.md` says it in the same words.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

refusals! {
    /// The bytes are not the protobuf message of the method.
    MalformedRequest = InvalidArgument "MALFORMED_REQUEST",
    /// A field is missing, malformed, or out of its range.
    InvalidField = InvalidArgument "INVALID_FIELD",
    /// A field names a type that the model does not have.
    UnknownType = InvalidArgument "UNKNOWN_TYPE",
    /// A field names a permission that the model does not have.
    UnknownPermission = InvalidArgument "UNKNOWN_PERMISSION",
    /// A field names a role that the model does not have.
    UnknownRole = InvalidArgument "UNKNOWN_ROLE",
    /// A field uses a name that has no meaning at its type.
    UnknownName = InvalidArgument "UNKNOWN_NAME",
    /// A field names a matrix that the model does not have.
    UnknownMatrix = InvalidArgument "UNKNOWN_MATRIX",
    /// The values for conditions are too large or nested too deep.
    ContextTooLarge = InvalidArgument "CONTEXT_TOO_LARGE",
    /// A batch has too many items.
    BatchTooLarge = InvalidArgument "BATCH_TOO_LARGE",
    /// A request brings along too many contextual tuples.
    TooManyContextualTuples = InvalidArgument "TOO_MANY_CONTEXTUAL_TUPLES",
    /// A commit has too many changes or preconditions, or takes too many bytes.
    CommitTooLarge = InvalidArgument "COMMIT_TOO_LARGE",
    /// A commit changes nothing.
    EmptyCommit = InvalidArgument "EMPTY_COMMIT",
    /// A commit changes one tuple twice, or a request brings one along twice.
    RepeatedTuple = InvalidArgument "REPEATED_TUPLE",
    /// The model does not admit the tuple.
    TupleNotAdmitted = InvalidArgument "TUPLE_NOT_ADMITTED",
    /// A precondition of the commit does not hold; nothing was written.
    PreconditionFailed = FailedPrecondition "PRECONDITION_FAILED",
    /// The text is not a token of this service.
    InvalidToken = InvalidArgument "INVALID_TOKEN",
    /// The token is of another store, of this store before or after a restore, or of a commit that
    /// this store does not have.
    TokenOtherHistory = FailedPrecondition "TOKEN_OTHER_HISTORY",
    /// The token's revision is too old to be read exactly.
    RevisionExpired = OutOfRange "REVISION_EXPIRED",
    /// The token's revision was not there when the request's time was nearly over.
    RevisionNotReached = DeadlineExceeded "REVISION_NOT_REACHED",
    /// The text is not a cursor, or not one that this process made.
    InvalidCursor = InvalidArgument "INVALID_CURSOR",
    /// The cursor is of a list that answered another request.
    CursorOfOtherRequest = InvalidArgument "CURSOR_OF_OTHER_REQUEST",
    /// The revision that the cursor's list stands on is no longer kept.
    CursorExpired = OutOfRange "CURSOR_EXPIRED",
    /// The parents of a scope would lead back to it.
    HierarchyCycle = FailedPrecondition "HIERARCHY_CYCLE",
    /// The chain of parents would be longer than the limit.
    HierarchyTooDeep = FailedPrecondition "HIERARCHY_TOO_DEEP",
    /// The scope has a parent by this relation, which allows one.
    SecondParent = FailedPrecondition "SECOND_PARENT",
    /// Too much lies above and below a contextual parent to know whether it may stand.
    HierarchyTooLarge = ResourceExhausted "HIERARCHY_TOO_LARGE",
    /// Subject sets are nested deeper than the limit, and what lies beyond decides.
    DepthExceeded = FailedPrecondition "DEPTH_EXCEEDED",
    /// Names lead to names in too long a chain, and what lies beyond decides.
    NestingExceeded = FailedPrecondition "NESTING_EXCEEDED",
    /// Those who may include every object that the service does not know, though not all of the type.
    ListHasNoEnd = FailedPrecondition "LIST_HAS_NO_END",
    /// A tuple to create is there already.
    TupleExists = AlreadyExists "TUPLE_EXISTS",
    /// The idempotency key was used for another request; nothing was written.
    IdempotencyKeyReused = AlreadyExists "IDEMPOTENCY_KEY_REUSED",
    /// More tuples would have to be looked at than the limit to know whether preconditions hold.
    PreconditionTooBroad = ResourceExhausted "PRECONDITION_TOO_BROAD",
    /// The service holds more objects than it has ids for.
    IndexFull = ResourceExhausted "INDEX_FULL",
    /// A list was begun under a model that is not in force any more.
    ModelChanged = Aborted "MODEL_CHANGED",
    /// The request message is larger than the limit.
    RequestTooLarge = ResourceExhausted "REQUEST_TOO_LARGE",
    /// One question takes more evaluation steps than the limit.
    StepsExceeded = ResourceExhausted "STEPS_EXCEEDED",
    /// Too many requests, streams or commits are under way; nothing was done.
    Overloaded = ResourceExhausted "OVERLOADED",
    /// The caller's deadline passed, or the service's own, or the answer was not read.
    DeadlineExceeded = DeadlineExceeded "DEADLINE_EXCEEDED",
    /// The service is still reading its store, or it is stopping.
    NotReady = Unavailable "NOT_READY",
    /// The commit may or may not be durable; no more are taken.
    OutcomeUnknown = Unavailable "OUTCOME_UNKNOWN",
    /// The store takes no more writes; nothing was written.
    StoreUnavailable = Unavailable "STORE_UNAVAILABLE",
    /// A field of the API that this version does not serve.
    NotSupportedYet = Unimplemented "NOT_SUPPORTED_YET",
    /// There is no such method.
    UnknownMethod = Unimplemented "UNKNOWN_METHOD",
    /// The request is compressed in a way that is not served.
    UnsupportedEncoding = Unimplemented "UNSUPPORTED_ENCODING",
    /// Health or reflection was asked about something that is not here.
    NotFound = NotFound "NOT_FOUND",
    /// The caller went away.
    Cancelled = Cancelled "CANCELLED",
    /// The caller breaks the gRPC protocol below the message.
    ProtocolError = InvalidArgument "PROTOCOL_ERROR",
    /// A fault of the service.
    Internal = Internal "INTERNAL",
}

impl Refusal {
    /// Its place in [`endings`].
    pub(super) fn ending(self) -> usize {
        1 + self as usize
    }
}

/// Every way that a request can end, for the figures: OK, then each row of the table.
pub(super) fn endings() -> Vec<Ending> {
    let refused =
        |refusal: &Refusal| Ending { code: code_name(refusal.code()), reason: refusal.text() };
    let ok = Ending { code: code_name(Code::Ok), reason: "" };
    std::iter::once(ok).chain(Refusal::ALL.iter().map(refused)).collect()
}

/// A gRPC code as the protocol writes it.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// An error as the wire shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    refusal: Refusal,
    message: String,
    metadata: Vec<(&'static str, String)>,
}

impl ApiError {
    /// A refusal with its message for people.
    pub fn new(refusal: Refusal, message: impl Into<String>) -> Self {
        Self { refusal, message: message.into(), metadata: Vec::new() }
    }

    /// A refusal about one field; the message begins with the field's path.
    pub fn field(refusal: Refusal, field: &str, what: impl std::fmt::Display) -> Self {
        Self::new(refusal, format!("{field}: {what}")).with("field", &field)
    }

    /// A part of the API that this version does not serve.
    #[must_use]
    pub fn not_supported(field: &str) -> Self {
        Self::field(Refusal::NotSupportedYet, field, "this version does not serve it yet")
    }

    /// A malformed noun in a field.
    #[must_use]
    pub fn syntax(field: &str, error: &SyntaxError) -> Self {
        Self::field(Refusal::InvalidField, field, error)
    }

    /// A matrix that the model does not have. `value` is cut for quoting.
    pub(super) fn unknown_matrix(value: &str, nearest: Option<&str>) -> Self {
        let hint = nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let message = format!("matrix: the model has no matrix `{value}`{hint}");
        unknown(message, "matrix", "matrix", value, nearest)
    }

    /// A fault of the service. What happened goes to the log, never to the caller.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(Refusal::Internal, "the service failed; its log says why")
    }

    /// Adds a pair to the metadata of the `ErrorInfo`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: &impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// Which row of the table.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        self.refusal
    }

    fn metadata(self) -> HashMap<String, String> {
        self.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let (refusal, message) = (error.refusal, error.message.clone());
        let details = ErrorDetails::with_error_info(refusal.text(), ERROR_DOMAIN, error.metadata());
        Self::with_error_details(refusal.code(), message, details)
    }
}

impl From<ApiError> for pb::v1::ItemError {
    fn from(error: ApiError) -> Self {
        Self {
            code: i32::from(error.refusal.code()),
            reason: error.refusal.text().to_owned(),
            message: error.message.clone(),
            metadata: error.metadata(),
        }
    }
}

fn unknown_of(kind: &str) -> Refusal {
    match kind {
        "type" => Refusal::UnknownType,
        "permission" => Refusal::UnknownPermission,
        "role" => Refusal::UnknownRole,
        "matrix" => Refusal::UnknownMatrix,
        _ => Refusal::UnknownName,
    }
}

fn unknown(
    message: String,
    field: &str,
    kind: &'static str,
    value: &str,
    nearest: Option<&str>,
) -> ApiError {
    let error = ApiError::new(unknown_of(kind), message)
        .with("field", &field)
        .with("kind", &kind)
        .with("value", &value);
    match nearest {
        Some(nearest) => error.with("nearest", &nearest),
        None => error,
    }
}

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
    }
}

/// A tuple that the model does not admit, at `path`. A misspelt name is told as in a question.
fn of_tuple(message: String, path: &str, error: &NotAdmitted) -> ApiError {
    let misfit = error.misfit();
    let field = format!("{path}.{}", misfit.field);
    let nearest = misfit.nearest.as_deref();
    if matches!(error, NotAdmitted::Unknown(_)) {
        return unknown(message, &field, misfit.kind, &misfit.value, nearest);
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
            ReadError::Expired { field, revision, oldest } => {
                about(Refusal::RevisionExpired, field)
                    .with("revision", &revision)
                    .with("oldest_revision", &oldest.revision.0)
                    .with("oldest_token", &oldest)
            }
            ReadError::NotReached { field, revision, head } => {
                about(Refusal::RevisionNotReached, field)
                    .with("revision", &revision)
                    .with("head_revision", &head)
            }
            ReadError::TooManyWait { field, limit } => {
                about(Refusal::Overloaded, field).with("limit", &limit)
            }
        }
    }
}

impl From<CursorError> for ApiError {
    fn from(error: CursorError) -> Self {
        let message = error.to_string();
        let about = |refusal| Self::new(refusal, message).with("field", &"cursor");
        match error {
            CursorError::Invalid { .. } => about(Refusal::InvalidCursor),
            CursorError::OtherRequest => about(Refusal::CursorOfOtherRequest),
            CursorError::Expired { revision } => {
                about(Refusal::CursorExpired).with("revision", &revision)
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
            ContextualError::NotIndexable(_) => {
                Self::new(Refusal::IndexFull, message).with("field", &"contextual_tuples")
            }
        }
    }
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
                tuple.iter().fold(refused, |refused, tuple| refused.with("tuple", tuple))
            }
            WriteError::PreconditionTooBroad { precondition, must, limit } => {
                on(Refusal::PreconditionTooBroad, precondition, must).with("limit", &limit)
            }
            WriteError::KeyReused { revision } => Self::new(Refusal::IdempotencyKeyReused, message)
                .with("field", &"idempotency_key")
                .with("revision", &revision),
            WriteError::Repeated { change, tuple } => {
                about(Refusal::RepeatedTuple, change).with("tuple", &tuple)
            }
            WriteError::NotAdmitted { change, error } => {
                of_tuple(message, &format!("changes[{change}].tuple"), &error)
            }
            WriteError::IndexFull { change } => about(Refusal::IndexFull, change),
            WriteError::AlreadyExists { change, tuple } => {
                about(Refusal::TupleExists, change).with("tuple", &tuple)
            }
            WriteError::Hierarchy { change, error } => {
                let (refusal, key, value) = of_hierarchy(&error);
                about(refusal, change).with(key, &value)
            }
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

#[cfg(test)]
mod tests;
