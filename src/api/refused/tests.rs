//! Every variant of every error has a row in the table, and every row is fit to be sent.

use std::collections::{BTreeMap, HashSet};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::*;
use crate::api::pb;
use crate::api::status::ERROR_DOMAIN;
use crate::index::NotIndexable;
use crate::model::admission::{NotAdmitted, admit};
use crate::model::form::DelegatedOp;
use crate::model::names::{Name, SyntaxError};
use crate::model::tuple::{Revision, Time, Tuple, TupleKey};
use crate::model::{SourceFiles, load};
use crate::pdp::{Must, Operation, Token};

/// Every variant of an error beside its row. The match has no other use than to fail to compile when
/// a variant is added that the list lacks.
macro_rules! table {
    ($error:ty { $($pattern:pat => $example:expr => $code:ident $reason:literal,)+ }) => {{
        let cover = |error: &$error| match error { $($pattern => (),)+ };
        $({
            let example: $error = $example;
            cover(&example);
            let message = example.to_string();
            assert_sent(ApiError::from(example), Code::$code, $reason, &message);
        })+
    }};
}

#[track_caller]
fn assert_sent(error: ApiError, code: Code, reason: &str, message: &str) {
    let item = pb::v1::ItemError::from(error.clone());
    let status = Status::from(error);
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{message}");
    assert_eq!(info.domain, ERROR_DOMAIN);
    assert_eq!((item.code, item.reason.as_str()), (i32::from(code), reason));
    assert_eq!(item.message, status.message());
    assert_eq!(item.metadata, info.metadata);
}

fn syntax() -> SyntaxError {
    Name::parse("").expect_err("an empty name")
}

#[test]
fn every_error_of_a_question_has_its_row() {
    let unknown = |kind| QuestionError::Unknown {
        field: "scope",
        kind,
        value: "x".into(),
        nearest: Some("y".into()),
    };
    table!(QuestionError {
        QuestionError::Syntax { .. } => QuestionError::Syntax { field: "scope", error: syntax() }
            => InvalidArgument "INVALID_FIELD",
        QuestionError::Unknown { .. } => unknown("type") => InvalidArgument "UNKNOWN_TYPE",
        QuestionError::ContextTooLarge { .. } => QuestionError::ContextTooLarge { bytes: 2, limit: 1 }
            => InvalidArgument "CONTEXT_TOO_LARGE",
    });
    for (kind, reason) in [
        ("type", "UNKNOWN_TYPE"),
        ("permission", "UNKNOWN_PERMISSION"),
        ("role", "UNKNOWN_ROLE"),
        ("verb", "UNKNOWN_VERB"),
        ("name", "UNKNOWN_NAME"),
    ] {
        assert_sent(unknown(kind).into(), Code::InvalidArgument, reason, kind);
    }
}

#[test]
fn every_error_of_the_engine_has_its_row() {
    table!(EngineError {
        EngineError::DepthExceeded { .. } => EngineError::DepthExceeded { limit: 32 }
            => FailedPrecondition "DEPTH_EXCEEDED",
        EngineError::NestingExceeded { .. } => EngineError::NestingExceeded { limit: 9 }
            => FailedPrecondition "NESTING_EXCEEDED",
        EngineError::OpenList { .. } => EngineError::OpenList { subject_type: "user".into() }
            => FailedPrecondition "LIST_HAS_NO_END",
        EngineError::StepsExceeded { .. } => EngineError::StepsExceeded { limit: 9 }
            => ResourceExhausted "STEPS_EXCEEDED",
    });
}

#[test]
fn every_error_of_a_filter_has_its_row() {
    let unknown = FilterError::Unknown {
        field: "role",
        kind: "role",
        value: "x".into(),
        nearest: Some("viewer".into()),
    };
    assert!(Status::from(ApiError::from(unknown.clone())).message().contains("`viewer`"));
    table!(FilterError {
        FilterError::Syntax { .. } => FilterError::Syntax { field: "scope", error: syntax() }
            => InvalidArgument "INVALID_FIELD",
        FilterError::Unknown { .. } => unknown => InvalidArgument "UNKNOWN_ROLE",
        FilterError::Never { .. } => FilterError::Never {
            field: "filter.role",
            value: "x".into(),
            why: "`x` cannot be bound on `org`".into(),
        } => InvalidArgument "FILTER_NEVER_MATCHES",
    });
}

/// What a small model says of a tuple that it does not admit.
fn not_admitted(tuple: &str) -> Box<NotAdmitted> {
    let mut files = SourceFiles::default();
    let types = "types: { user: {}, org: {} }";
    let roles = "roles: [ { at: [org], names: [admin], bound_by: [user] } ]";
    files.insert("model.yaml", format!("model: m\n{types}\n{roles}\n"));
    let model = load(&files, &BTreeMap::new()).expect("a model");
    let tuple = Tuple::plain(TupleKey::parse(tuple).expect("a tuple"));
    Box::new(admit(&model, &tuple).expect_err("it does not fit"))
}

#[test]
fn a_misspelt_name_in_a_tuple_is_told_as_in_a_question() {
    let cases = [
        ("ogr:a#admin@user:b", "UNKNOWN_TYPE", "scope", "type", "ogr", Some("org")),
        ("org:a#amdin@user:b", "UNKNOWN_ROLE", "role", "role", "amdin", Some("admin")),
        ("org:a#admin@usr:b", "UNKNOWN_TYPE", "subject", "type", "usr", Some("user")),
        ("org:a#admin@org:b#zzz", "UNKNOWN_NAME", "subject", "name", "zzz", None),
        ("org:a#admin@org:b", "TUPLE_NOT_ADMITTED", "subject", "subject", "org:b", None),
    ];
    for (tuple, reason, field, kind, value, nearest) in cases {
        let error = WriteError::NotAdmitted { change: 1, error: not_admitted(tuple) };
        let status = Status::from(ApiError::from(error));
        let info = status.get_details_error_info().expect("an ErrorInfo");
        assert_eq!((status.code(), info.reason.as_str()), (Code::InvalidArgument, reason));
        let path = format!("changes[1].tuple.{field}");
        assert!(status.message().starts_with(&format!("{path}: `{value}` ")), "{status:?}");
        let mut expected = vec![("field", path.as_str()), ("kind", kind), ("value", value)];
        expected.extend(nearest.map(|nearest| ("nearest", nearest)));
        let expected = expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        assert_eq!(info.metadata, expected, "{tuple}");
    }
}

#[test]
fn every_error_of_a_read_has_its_row() {
    let field = "consistency.exactly";
    let token = || Token {
        store_id: "a".repeat(32).into(),
        lineage: "b".repeat(32).into(),
        revision: Revision(7),
        checksum: 1,
    };
    table!(ReadError {
        ReadError::OtherHistory { .. }
            => ReadError::OtherHistory { field, difference: Difference::Lineage }
            => FailedPrecondition "TOKEN_OTHER_HISTORY",
        ReadError::Expired { .. }
            => ReadError::Expired { field, revision: 1, bound: Bound::Changes, oldest: Box::new(token()) }
            => OutOfRange "REVISION_EXPIRED",
        ReadError::NotReached { .. } => ReadError::NotReached { field, revision: 9, head: 7 }
            => DeadlineExceeded "REVISION_NOT_REACHED",
        ReadError::Stopping { .. } => ReadError::Stopping { field, revision: 9, head: 7 }
            => Unavailable "NOT_READY",
        ReadError::TooManyWait { .. } => ReadError::TooManyWait { field, limit: 1 }
            => ResourceExhausted "OVERLOADED",
    });
    table!(CursorError {
        CursorError::Invalid { .. } => CursorError::Invalid { value: "x".into() }
            => InvalidArgument "INVALID_CURSOR",
        CursorError::OtherRequest => CursorError::OtherRequest
            => InvalidArgument "CURSOR_OF_OTHER_REQUEST",
        CursorError::Expired { .. } => CursorError::Expired { revision: 7 }
            => OutOfRange "CURSOR_EXPIRED",
        CursorError::Overtaken { .. } => CursorError::Overtaken { revision: 7 }
            => Aborted "LIST_OVERTAKEN",
    });
}

fn too_many() -> ConstraintError {
    ConstraintError::TooLarge { constraint: "few".into(), scope: "org:a".into(), limit: 9 }
}

#[test]
fn every_error_of_a_write_has_its_row() {
    let tuple = || "org:a#admin@user:b".to_owned();
    let of_hr = || TupleIdentity { tuple: tuple(), source: "hr".into() };
    let hierarchy = |error| WriteError::Hierarchy { change: 1, error };
    let constraint = |error| WriteError::Constraint { change: 1, error };
    let must = Must::NotMatch;
    table!(WriteError {
        WriteError::Empty => WriteError::Empty => InvalidArgument "EMPTY_COMMIT",
        WriteError::TooManyChanges { .. } => WriteError::TooManyChanges { count: 2, limit: 1 }
            => InvalidArgument "COMMIT_TOO_LARGE",
        WriteError::TooManyPreconditions { .. }
            => WriteError::TooManyPreconditions { count: 2, limit: 1 }
            => InvalidArgument "COMMIT_TOO_LARGE",
        WriteError::Filter { .. } => WriteError::Filter {
                precondition: 1,
                must: Must::Match,
                error: FilterError::Syntax { field: "filter.scope", error: syntax() },
            } => InvalidArgument "INVALID_FIELD",
        WriteError::PreconditionFailed { .. }
            => WriteError::PreconditionFailed { precondition: 1, must, tuple: Some(of_hr()) }
            => FailedPrecondition "PRECONDITION_FAILED",
        WriteError::PreconditionTooBroad { .. }
            => WriteError::PreconditionTooBroad { precondition: 1, must, limit: 9 }
            => ResourceExhausted "PRECONDITION_TOO_BROAD",
        WriteError::KeyReused { .. } => WriteError::KeyReused { revision: 7 }
            => AlreadyExists "IDEMPOTENCY_KEY_REUSED",
        WriteError::Repeated { .. } => WriteError::Repeated { change: 1, tuple: of_hr() }
            => InvalidArgument "REPEATED_TUPLE",
        WriteError::NotAdmitted { .. }
            => WriteError::NotAdmitted { change: 1, error: not_admitted("org:a#admin@org:b") }
            => InvalidArgument "TUPLE_NOT_ADMITTED",
        WriteError::IndexFull { .. } => WriteError::IndexFull { change: 1 }
            => ResourceExhausted "INDEX_FULL",
        WriteError::AlreadyExists { .. } => WriteError::AlreadyExists { change: 1, tuple: of_hr() }
            => AlreadyExists "TUPLE_EXISTS",
        WriteError::Hierarchy { error: HierarchyError::Cycle { .. }, .. }
            => hierarchy(HierarchyError::Cycle { tuple: tuple(), path: tuple() })
            => FailedPrecondition "HIERARCHY_CYCLE",
        WriteError::Hierarchy { error: HierarchyError::TooDeep { .. }, .. }
            => hierarchy(HierarchyError::TooDeep { tuple: tuple(), depth: 33, limit: 32 })
            => FailedPrecondition "HIERARCHY_TOO_DEEP",
        WriteError::Hierarchy { error: HierarchyError::SecondParent { .. }, .. }
            => hierarchy(HierarchyError::SecondParent { tuple: tuple(), other: tuple() })
            => FailedPrecondition "SECOND_PARENT",
        WriteError::Hierarchy { error: HierarchyError::TooLarge { .. }, .. }
            => hierarchy(HierarchyError::TooLarge { tuple: tuple(), limit: 9 })
            => ResourceExhausted "HIERARCHY_TOO_LARGE",
        WriteError::Constraint { .. } => constraint(too_many())
            => ResourceExhausted "CONSTRAINT_TOO_LARGE",
        WriteError::Delegation(_) => WriteError::Delegation(Box::new(DelegationError::Ended))
            => InvalidArgument "INVALID_FIELD",
        WriteError::TooLarge { .. } => WriteError::TooLarge { bytes: 2, limit: 1 }
            => InvalidArgument "COMMIT_TOO_LARGE",
        WriteError::Unstorable { .. } => WriteError::Unstorable { reason: tuple() }
            => InvalidArgument "INVALID_FIELD",
        WriteError::Overloaded { .. } => WriteError::Overloaded { limit: 1 }
            => ResourceExhausted "OVERLOADED",
        WriteError::OutcomeUnknown(_) => WriteError::OutcomeUnknown("/a/path".into())
            => Unavailable "OUTCOME_UNKNOWN",
        WriteError::Unavailable(_) => WriteError::Unavailable("/a/path".into())
            => Unavailable "STORE_UNAVAILABLE",
    });
}

#[test]
fn every_constraint_has_its_row() {
    let text = |text: &str| -> Box<str> { text.into() };
    let (constraint, scope, role) = (text("c"), text("org:a"), text("payer"));
    let (subject, other) = (text("user:b"), text("approver"));
    let keep_one = ConstraintError::KeepOne { constraint, scope, role };
    let (constraint, scope, role) = (text("c"), text("org:a"), text("payer"));
    let at_most = ConstraintError::AtMost { constraint, scope, role, limit: 3 };
    let (constraint, scope, role) = (text("c"), text("org:a"), text("payer"));
    let exclusive = ConstraintError::Exclusive { constraint, scope, subject, role, other };
    let code = Code::FailedPrecondition;
    for (error, code, reason) in [
        (exclusive, code, "CONSTRAINT_EXCLUSIVE"),
        (at_most, code, "CONSTRAINT_AT_MOST"),
        (keep_one, code, "CONSTRAINT_KEEP_ONE"),
        (too_many(), Code::ResourceExhausted, "CONSTRAINT_TOO_LARGE"),
    ] {
        let text = error.to_string();
        assert_sent(WriteError::Constraint { change: 1, error }.into(), code, reason, &text);
    }
}

fn denied(reason: Reason) -> DelegationError {
    DelegationError::Denied {
        field: "role",
        reason,
        missing: vec!["hour".into()],
        actor: "user:a".into(),
        verb: "invite".into(),
        role: "admin".into(),
        scope: "org:a".into(),
    }
}

#[test]
fn every_denial_of_a_delegated_change_has_its_row() {
    for (reason, text) in [
        (Reason::NotDelegated, "NOT_DELEGATED"),
        (Reason::NotBindable, "NOT_BINDABLE"),
        (Reason::TargetNotEligible, "TARGET_NOT_ELIGIBLE"),
        (Reason::MissingContext, "MISSING_CONTEXT"),
    ] {
        assert_sent(denied(reason).into(), Code::PermissionDenied, text, text);
    }
}

#[test]
fn every_error_of_a_delegated_change_has_its_row() {
    let tuple = || "org:a#admin@user:b".to_owned();
    let question = || QuestionError::Syntax { field: "role", error: syntax() };
    let terms = DelegationError::OtherTerms {
        field: "role",
        tuple: tuple(),
        terms: Terms::Longer { until: Some(Time(7)) },
    };
    table!(DelegationError {
        DelegationError::Question(_) => DelegationError::Question(question())
            => InvalidArgument "INVALID_FIELD",
        DelegationError::OperationNotDelegated { .. } => DelegationError::OperationNotDelegated {
                operation: Operation(DelegatedOp::Grant),
            } => FailedPrecondition "OPERATION_NOT_DELEGATED",
        DelegationError::Denied { .. } => denied(Reason::NotDelegated)
            => PermissionDenied "NOT_DELEGATED",
        DelegationError::Engine(_)
            => DelegationError::Engine(EngineError::DepthExceeded { limit: 32 })
            => FailedPrecondition "DEPTH_EXCEEDED",
        DelegationError::HasSource { .. }
            => DelegationError::HasSource { tuple: tuple(), source_name: "idp".into() }
            => PermissionDenied "TARGET_HAS_SOURCE",
        DelegationError::NotHeld { .. } => DelegationError::NotHeld { tuple: tuple() }
            => FailedPrecondition "ROLE_NOT_HELD",
        DelegationError::OtherTerms { .. } => terms => FailedPrecondition "HELD_ON_OTHER_TERMS",
        DelegationError::NothingReplaced { .. }
            => DelegationError::NothingReplaced { verb: "invite".into() }
            => InvalidArgument "INVALID_FIELD",
        DelegationError::SameRole { .. } => DelegationError::SameRole { role: "admin".into() }
            => InvalidArgument "INVALID_FIELD",
        DelegationError::Ended => DelegationError::Ended => InvalidArgument "INVALID_FIELD",
        DelegationError::Parent { .. }
            => DelegationError::Parent { error: not_admitted("org:a#admin@org:b") }
            => InvalidArgument "TUPLE_NOT_ADMITTED",
        DelegationError::NotAParent { .. }
            => DelegationError::NotAParent { relation: "twin".into() }
            => InvalidArgument "INVALID_FIELD",
        DelegationError::ScopeExists { .. }
            => DelegationError::ScopeExists { scope: "org:a".into() }
            => FailedPrecondition "SCOPE_EXISTS",
        DelegationError::Hierarchy(_)
            => DelegationError::Hierarchy(HierarchyError::Cycle { tuple: tuple(), path: tuple() })
            => FailedPrecondition "HIERARCHY_CYCLE",
        DelegationError::Constraint { .. }
            => DelegationError::Constraint { field: "role", error: too_many() }
            => ResourceExhausted "CONSTRAINT_TOO_LARGE",
        DelegationError::Fault(_) => DelegationError::Fault("/a/path".into())
            => Internal "INTERNAL",
        DelegationError::IndexFull => DelegationError::IndexFull
            => ResourceExhausted "INDEX_FULL",
    });
}

#[test]
fn every_error_of_contextual_tuples_has_its_row() {
    let tuple = || "org:a#admin@user:b".to_owned();
    let too_deep = || HierarchyError::TooDeep { tuple: tuple(), depth: 33, limit: 32 };
    table!(ContextualError {
        ContextualError::TooMany { .. } => ContextualError::TooMany { count: 101, limit: 100 }
            => InvalidArgument "TOO_MANY_CONTEXTUAL_TUPLES",
        ContextualError::Repeated { .. }
            => ContextualError::Repeated { position: 1, tuple: tuple() }
            => InvalidArgument "REPEATED_TUPLE",
        ContextualError::NotAdmitted { .. }
            => ContextualError::NotAdmitted { position: 1, error: not_admitted("org:a#admin@org:b") }
            => InvalidArgument "TUPLE_NOT_ADMITTED",
        ContextualError::Hierarchy { .. }
            => ContextualError::Hierarchy { position: 1, error: too_deep() }
            => FailedPrecondition "HIERARCHY_TOO_DEEP",
        ContextualError::Constraint { .. }
            => ContextualError::Constraint { position: 1, error: too_many() }
            => ResourceExhausted "CONSTRAINT_TOO_LARGE",
        ContextualError::NotIndexable(_) => ContextualError::NotIndexable(NotIndexable)
            => ResourceExhausted "INDEX_FULL",
    });
}

#[test]
fn what_the_store_says_never_reaches_a_caller() {
    for error in [
        ApiError::from(WriteError::OutcomeUnknown("/a/path".into())),
        ApiError::from(WriteError::Unavailable("/a/path".into())),
        ApiError::internal(&"/a/path"),
    ] {
        assert!(!format!("{error:?}").contains("/a/path"), "{error:?}");
    }
}

#[test]
fn the_reason_codes_are_fit_to_be_kept() {
    let mut seen = HashSet::new();
    for refusal in Refusal::ALL {
        let text = refusal.text();
        assert!(seen.insert(text), "{text} is there twice");
        assert!(text.len() <= 63, "{text}");
        assert!(text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{text}");
        assert_ne!(refusal.code(), Code::Ok, "{text}");
    }
}
