//! Layer 2: the decision, a pure function of (model, view, request, now). Does no I/O, knows no clock,
//! no store, no wire.

mod anywhere;
mod asker;
mod check;
mod closure;
pub mod compare;
mod condition;
mod contextual;
mod delegated;
mod eval;
mod fact;
mod gather;
mod here_any;
mod in_order;
mod list;
mod objects;
mod plan;
mod question;
mod reach;
mod roles;
mod rough;
mod series;
mod short;
mod steps;
mod value;
mod view;
mod witness;

pub use check::{Ids, check, check_ids, check_within};
pub use contextual::{ContextualError, with_contextual, with_contextual_within};
pub use delegated::{DelegatedQuestion, delegated, may_hold_here};
pub use list::{ListQuestion, SubjectList};
pub use plan::Plan;
pub use question::{CheckedContext, Question, QuestionError};
pub use roles::{BoundRole, RoleList, RolesQuestion};
pub use series::{SERIES_WINDOW, Series};

use crate::model::tuple::Tuple;

/// Why a decision is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// ALLOW: the value is yes.
    Granted,
    /// DENY: the value is no.
    NotGranted,
    /// DENY: the permission does not apply at the scope's type.
    NotApplicable,
    /// DENY: the value is unknown.
    MissingContext,
    /// DENY, of a delegated question: nobody can have the role there, or not such a target.
    NotBindable,
    /// DENY, of a delegated question: the model does not let the actor do this with this role.
    NotDelegated,
    /// DENY, of a delegated question: the role's own gate refuses the target.
    TargetNotEligible,
}

/// The tuple and the role that gave an allow.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// The role that was held.
    pub role: String,
    /// The tuple that binds it.
    pub tuple: Tuple,
}

/// A decision. Only the engine makes one, so that an allow cannot be made up elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    reason: Reason,
    missing: Vec<String>,
    /// Seldom asked for, and large.
    grant: Option<Box<Grant>>,
}

impl Decision {
    /// Whether the answer is yes.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.reason == Reason::Granted
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What was missing, sorted; empty unless the reason is [`Reason::MissingContext`].
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// What gave an allow, if it was asked for and a role gave it.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.as_deref()
    }
}

/// Why there is no decision. Never an allow and never a plain denial.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Subject sets are nested deeper than the limit, and what lies beyond decides.
    #[error("subject sets are nested more than {limit} deep, and what lies beyond would decide")]
    DepthExceeded {
        /// The bound, in sets.
        limit: usize,
    },
    /// Names lead to names in too long a chain, and what lies beyond decides.
    #[error("names and expressions lead to one another more than {limit} deep")]
    NestingExceeded {
        /// The bound, in expressions.
        limit: usize,
    },
    /// A list without an end: objects that no tuple names may, though not all of the type.
    #[error(
        "every object of type `{subject_type}` that no tuple names may, and some others may not; \
         such a list has no end"
    )]
    OpenList {
        /// The type that was to be listed.
        subject_type: String,
    },
    /// The question takes more steps than the limit.
    #[error("the question takes more than {limit} evaluation steps")]
    StepsExceeded {
        /// The bound, in steps.
        limit: u64,
    },
}
