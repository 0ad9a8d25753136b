//! Contextual tuples: a view of a snapshot with the tuples that one request brings along, judged and
//! counted as if they had just been committed. Knows no request; what it makes dies with its holder.

use std::collections::HashSet;

use crate::index::{
    ConstraintError, HierarchyError, KeepOne, NotIndexable, Snapshot, check_constraints,
    check_parents_within,
};
use crate::model::admission::{NotAdmitted, admit};
use crate::model::limits::{CONTEXTUAL_TUPLES_MAX, CONTEXTUAL_WALK_TUPLES_MAX};
use crate::model::names::quoted;
use crate::model::tuple::{Time, Tuple};

/// Why contextual tuples are refused. `position` is that of the offending tuple, from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContextualError {
    /// Too many tuples.
    #[error("contextual_tuples: there are {count}, the limit is {limit}")]
    TooMany {
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// The same identity twice.
    #[error("contextual_tuples[{position}]: `{tuple}` is there twice")]
    Repeated {
        /// Which tuple: the second.
        position: usize,
        /// The identity.
        tuple: String,
    },
    /// The model does not admit the tuple.
    #[error("contextual_tuples[{position}].{}: {error}", .error.misfit().field)]
    NotAdmitted {
        /// Which tuple.
        position: usize,
        /// Why, naming the value.
        error: Box<NotAdmitted>,
    },
    /// Parents would be cyclic, too deep, or more than one.
    #[error("contextual_tuples[{position}]: {error}")]
    Hierarchy {
        /// Which tuple.
        position: usize,
        /// Which rule, with the path.
        error: HierarchyError,
    },
    /// The tuples would break a constraint of the model.
    #[error("contextual_tuples[{position}]: {error}")]
    Constraint {
        /// Which tuple.
        position: usize,
        /// Which constraint, and where.
        error: ConstraintError,
    },
    /// Object ids are used up.
    #[error(transparent)]
    NotIndexable(#[from] NotIndexable),
}

/// The snapshot with these tuples as if one commit had touched them all: one with the identity of a
/// stored tuple stands in its place, be it expired or under a condition. The snapshot itself stays as it
/// is. Costs what the tuples cost, and for parents what lies above and below them, within a bound.
///
/// # Errors
/// A commit would refuse them, or there are too many.
pub fn with_contextual(
    snapshot: &Snapshot,
    tuples: &[Tuple],
    now: Time,
) -> Result<Snapshot, ContextualError> {
    with_contextual_within(snapshot, tuples, now, CONTEXTUAL_WALK_TUPLES_MAX)
}

/// The same, looking at no more than so many stored tuples to know whether parents may stand.
///
/// # Errors
/// As of [`with_contextual`], and [`HierarchyError::TooLarge`] if that is too few.
pub fn with_contextual_within(
    snapshot: &Snapshot,
    tuples: &[Tuple],
    now: Time,
    walk: usize,
) -> Result<Snapshot, ContextualError> {
    if tuples.len() > CONTEXTUAL_TUPLES_MAX {
        let (count, limit) = (tuples.len(), CONTEXTUAL_TUPLES_MAX);
        return Err(ContextualError::TooMany { count, limit });
    }
    let mut seen = HashSet::with_capacity(tuples.len());
    for (position, tuple) in tuples.iter().enumerate() {
        if !seen.insert(&tuple.key) {
            let tuple = quoted(&tuple.key.to_string());
            return Err(ContextualError::Repeated { position, tuple });
        }
        admit(snapshot.model(), tuple)
            .map_err(Box::new)
            .map_err(|error| ContextualError::NotAdmitted { position, error })?;
    }
    let next = snapshot.overlaid(tuples)?;
    let keys = tuples.iter().map(|tuple| &tuple.key);
    // Within a bound, unlike a commit's: a question must not cost what the store holds.
    check_parents_within(&next, keys, now, walk)
        .map_err(|(position, error)| ContextualError::Hierarchy { position, error })?;
    let (states, keys) = ((snapshot, &next), tuples.iter().map(|tuple| &tuple.key));
    check_constraints(states, keys, now, KeepOne::Obeyed, CONTEXTUAL_WALK_TUPLES_MAX)
        .map_err(|(position, error)| ContextualError::Constraint { position, error })?;
    Ok(next)
}
