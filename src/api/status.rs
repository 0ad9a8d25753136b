//! The one table from errors to gRPC statuses: each refusal has a stable reason code and a gRPC code.
//! Knows no transport, no request and no layer below; `refused` says which row each of their errors is.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::pb;
use crate::model::limits::{ERROR_MESSAGE_BYTES_MAX, ERROR_VALUE_BYTES_MAX};
use crate::model::names::SyntaxError;
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
    /// A field names a verb of delegation that the model does not have.
    UnknownVerb = InvalidArgument "UNKNOWN_VERB",
    /// A field uses a name that has no meaning at its type.
    UnknownName = InvalidArgument "UNKNOWN_NAME",
    /// A field names a matrix that the model does not have.
    UnknownMatrix = InvalidArgument "UNKNOWN_MATRIX",
    /// No tuple that the model admits can match the filter.
    FilterNeverMatches = InvalidArgument "FILTER_NEVER_MATCHES",
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
    /// Too many changes have come since the revision that a list stood on, while it was read.
    ListOvertaken = Aborted "LIST_OVERTAKEN",
    /// The parents of a scope would lead back to it.
    HierarchyCycle = FailedPrecondition "HIERARCHY_CYCLE",
    /// The chain of parents would be longer than the limit.
    HierarchyTooDeep = FailedPrecondition "HIERARCHY_TOO_DEEP",
    /// The scope has a parent by this relation, which allows one.
    SecondParent = FailedPrecondition "SECOND_PARENT",
    /// Too much lies above and below new parents to know whether they may stand.
    HierarchyTooLarge = ResourceExhausted "HIERARCHY_TOO_LARGE",
    /// The model lets nobody have the role at that scope, or not such a target.
    NotBindable = PermissionDenied "NOT_BINDABLE",
    /// The model does not let the actor do this with the role at that scope.
    NotDelegated = PermissionDenied "NOT_DELEGATED",
    /// The target does not fulfil the gate of the role.
    TargetNotEligible = PermissionDenied "TARGET_NOT_ELIGIBLE",
    /// Another system granted what was to be taken.
    TargetHasSource = PermissionDenied "TARGET_HAS_SOURCE",
    /// Whether the actor may depends on what is not known.
    MissingContext = PermissionDenied "MISSING_CONTEXT",
    /// None of the model's verbs grants, revokes or replaces, whichever was asked for.
    OperationNotDelegated = FailedPrecondition "OPERATION_NOT_DELEGATED",
    /// The target does not have the role that was to be replaced.
    RoleNotHeld = FailedPrecondition "ROLE_NOT_HELD",
    /// The target has the role for longer than asked for, or under a condition.
    HeldOnOtherTerms = FailedPrecondition "HELD_ON_OTHER_TERMS",
    /// A scope that was to be made is named by a tuple already.
    ScopeExists = FailedPrecondition "SCOPE_EXISTS",
    /// A subject would have two roles of which a constraint lets it have one.
    ConstraintExclusive = FailedPrecondition "CONSTRAINT_EXCLUSIVE",
    /// More subjects would have a role at a scope than a constraint lets have it.
    ConstraintAtMost = FailedPrecondition "CONSTRAINT_AT_MOST",
    /// The last holder of a role would go that a constraint keeps.
    ConstraintKeepOne = FailedPrecondition "CONSTRAINT_KEEP_ONE",
    /// More tuples would have to be looked at than the limit to know whether a constraint holds.
    ConstraintTooLarge = ResourceExhausted "CONSTRAINT_TOO_LARGE",
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
    /// The request message is larger than the limit, or has more fields.
    RequestTooLarge = ResourceExhausted "REQUEST_TOO_LARGE",
    /// One question takes more evaluation steps than the limit.
    StepsExceeded = ResourceExhausted "STEPS_EXCEEDED",
    /// Too many requests, streams or commits are under way, or too many bytes of requests; nothing was done.
    Overloaded = ResourceExhausted "OVERLOADED",
    /// The caller's deadline passed, or the service's own, or the request did not arrive or the answer was
    /// not read in time.
    DeadlineExceeded = DeadlineExceeded "DEADLINE_EXCEEDED",
    /// The service is still reading its store, or is stopping.
    NotReady = Unavailable "NOT_READY",
    /// The commit may or may not be durable; no more are taken.
    OutcomeUnknown = Unavailable "OUTCOME_UNKNOWN",
    /// The store takes no more writes; nothing was written.
    StoreUnavailable = Unavailable "STORE_UNAVAILABLE",
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
        let message = cut(message.into(), ERROR_MESSAGE_BYTES_MAX);
        Self { refusal, message, metadata: Vec::new() }
    }

    /// A refusal about one field; the message begins with the field's path.
    pub fn field(refusal: Refusal, field: &str, what: impl std::fmt::Display) -> Self {
        Self::new(refusal, format!("{field}: {what}")).with("field", &field)
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

    /// A message whose bytes are none.
    pub(super) fn malformed(error: &prost::DecodeError) -> Self {
        Self::new(Refusal::MalformedRequest, error.to_string())
    }

    /// A fault of the service. What happened goes to the log, never to the caller.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(Refusal::Internal, "the service failed; its log says why")
    }

    /// Adds a pair to the metadata of the `ErrorInfo`.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: &impl ToString) -> Self {
        self.metadata.push((key, cut(value.to_string(), ERROR_VALUE_BYTES_MAX)));
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

/// What does not fit ends in an ellipsis.
fn cut(mut text: String, limit: usize) -> String {
    const ELLIPSIS: &str = "...";
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
    text
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
        "verb" => Refusal::UnknownVerb,
        "matrix" => Refusal::UnknownMatrix,
        _ => Refusal::UnknownName,
    }
}

/// A name that the model does not have; `value` is cut for quoting.
pub(super) fn unknown(
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
