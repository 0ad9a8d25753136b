//! Binds the reads of the wire to a revision: what `consistency` and `cursor` ask for, and how long the
//! request may wait for it. Knows no method.

use http::Extensions;
use prost::Message;
use tokio::time::{Duration, Instant};

use super::Shared;
use super::convert::consistency_from_wire;
use super::guard::AnswerBy;
use super::pb::v1 as pb;
use super::status::ApiError;
use crate::model::limits::WAIT_MARGIN_MILLISECONDS;
use crate::pdp::{Consistency, Fingerprint, Listing, Reading};

/// How fresh the answer to one request must be, and how long that may take.
pub(super) struct Fresh<'a> {
    consistency: Option<&'a pb::Consistency>,
    extensions: &'a Extensions,
}

impl<'a> Fresh<'a> {
    /// The request's own field, and its extensions, which hold its deadline.
    pub(super) fn new(
        consistency: Option<&'a pb::Consistency>,
        extensions: &'a Extensions,
    ) -> Self {
        Self { consistency, extensions }
    }
}

/// What tells a list's request from others. Its cursor must have been taken out.
pub(super) fn fingerprint(method: &str, request: &impl Message) -> Fingerprint {
    // One request has one encoding: the only maps in it are those of its values, which the caller has put in order.
    Fingerprint::of(method, &request.encode_to_vec())
}

impl Shared {
    /// Binds a read.
    pub(super) async fn read_at(&self, fresh: Fresh<'_>) -> Result<Reading, ApiError> {
        let pdp = self.pdp()?;
        match consistency_from_wire(fresh.consistency)? {
            // Asked before the clock: nobody waits for the newest.
            Consistency::Latest => Ok(pdp.read()),
            other => Ok(pdp.read_at(&other, Self::wait_until(fresh.extensions)).await?),
        }
    }

    /// Binds a list: from its start, or from where a cursor stands, which fixes revision and moment,
    /// and goes on with no other request than the one it came from.
    pub(super) async fn list_at(
        &self,
        fresh: Fresh<'_>,
        cursor: &str,
        request: Fingerprint,
    ) -> Result<Listing, ApiError> {
        let pdp = self.pdp()?;
        let consistency = consistency_from_wire(fresh.consistency)?;
        if !cursor.is_empty() {
            return Ok(pdp.resume(cursor, request)?);
        }
        let until = Self::wait_until(fresh.extensions);
        Ok(pdp.list_at(&consistency, until, request).await?)
    }

    /// When a request must stop waiting, so that the answer that says so arrives in time.
    fn wait_until(extensions: &Extensions) -> Instant {
        let now = Instant::now();
        // The layer of deadlines stands before every method; without it nothing would end the wait.
        let end = extensions.get::<AnswerBy>().map_or(now, |AnswerBy(end)| *end);
        let left = end.saturating_duration_since(now);
        now + left.saturating_sub((left / 10).min(Duration::from_millis(WAIT_MARGIN_MILLISECONDS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_before_the_answer_is_due_and_never_later() {
        let until = |end: Instant| {
            let mut extensions = Extensions::new();
            extensions.insert(AnswerBy(end));
            Shared::wait_until(&extensions)
        };
        let now = Instant::now();
        let due = now + Duration::from_secs(3_600);
        assert!(until(due) > now && until(due) < due);
        // A body that came late leaves no time: the wait is over when it begins.
        assert!(until(now) <= Instant::now());
        assert!(Shared::wait_until(&Extensions::new()) <= Instant::now());
    }
}
