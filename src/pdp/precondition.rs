//! Whether the preconditions of a commit hold. Knows one snapshot and one moment.

use super::error::Must;
use super::reading::Matcher;
use super::request::Precondition;
use super::{FilterError, WriteError};
use crate::index::Snapshot;
use crate::model::limits::PRECONDITION_TUPLES_MAX;
use crate::model::tuple::{Time, Tuple};

/// Checks each against the tuples that are live at this moment. Costs what the filters leave to be
/// looked at, up to a bound: the writer, which everybody waits for, is here.
///
/// # Errors
/// One does not hold, cannot be read, or is not decided within the bound.
pub(super) fn check(
    preconditions: &[Precondition],
    snapshot: &Snapshot,
    now: Time,
) -> Result<(), WriteError> {
    let mut left = PRECONDITION_TUPLES_MAX;
    for (precondition, Precondition { must, filter }) in preconditions.iter().enumerate() {
        let must = *must;
        let wrong = |error: FilterError| WriteError::Filter { precondition, must, error };
        let matcher = Matcher::resolve(snapshot.model(), filter).map_err(wrong)?;
        let found = first_match(&matcher, snapshot, now, &mut left).map_err(|Undecided| {
            let limit = PRECONDITION_TUPLES_MAX;
            WriteError::PreconditionTooBroad { precondition, must, limit }
        })?;
        match (must, found) {
            (Must::Match, Some(_)) | (Must::NotMatch, None) => {}
            (_, found) => {
                let tuple = found.map(|tuple| (&tuple.key).into());
                return Err(WriteError::PreconditionFailed { precondition, must, tuple });
            }
        }
    }
    Ok(())
}

/// The tuples that may still be looked at are used up.
struct Undecided;

/// The first live tuple that matches, if there is one.
fn first_match(
    matcher: &Matcher,
    snapshot: &Snapshot,
    now: Time,
    left: &mut usize,
) -> Result<Option<Tuple>, Undecided> {
    let Some(part) = matcher.part(snapshot) else { return Ok(None) };
    for (_, binding) in snapshot.after(part, None) {
        *left = left.checked_sub(1).ok_or(Undecided)?;
        if !binding.is_live(now) || !matcher.may_match(snapshot, &binding) {
            continue;
        }
        let tuple = snapshot.tuple(&binding).filter(|tuple| matcher.matches(&tuple.key));
        if tuple.is_some() {
            return Ok(tuple);
        }
    }
    Ok(None)
}
