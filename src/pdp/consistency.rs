//! How fresh a read must be, and what binds it to the revision that is fresh enough. The revision fixes
//! the tuples and the model; `now` is the request's own, taken when the read is bound.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::history::Bound;
use super::waiting::NoPlace;
use super::{Pdp, Published, Reading, Shared, Token};
use crate::model::limits::WAITING_READS_MAX;
use crate::model::tuple::Revision;

/// How fresh a read must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The newest published revision.
    #[default]
    Latest,
    /// The newest published revision, which must be this one or a later one of its history.
    AtLeast(Token),
    /// This revision and no other, as long as it is served.
    Exactly(Token),
}

/// Why a read cannot be bound. `field` is the request's field, as the API names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The token's revision never was in this store's history.
    #[error("{field}: the token is of another history: {difference}")]
    OtherHistory {
        /// The field.
        field: &'static str,
        /// What tells the histories apart.
        difference: Difference,
    },
    /// The revision is no longer at hand.
    #[error(
        "{field}: revision {revision} is no longer served, as {bound}; the oldest that is served is {}",
        .oldest.revision.0
    )]
    Expired {
        /// The field.
        field: &'static str,
        /// The token's revision.
        revision: u64,
        /// Which bound it has passed.
        bound: Bound,
        /// The oldest that is still served.
        oldest: Box<Token>,
    },
    /// The revision was not there when the wait ended.
    #[error(
        "{field}: revision {revision} was not reached in time, the newest is {head}; \
         wait longer, or read `latest`"
    )]
    NotReached {
        /// The field.
        field: &'static str,
        /// The token's revision.
        revision: u64,
        /// The newest one.
        head: u64,
    },
    /// Too many reads wait for their revision already.
    #[error("{field}: {limit} reads wait for a later revision already")]
    TooManyWait {
        /// The field.
        field: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The revision is not there, and the service is stopping.
    #[error(
        "{field}: revision {revision} is not there, the newest is {head}, and the service is stopping; ask \
         again where it goes on"
    )]
    Stopping {
        /// The field.
        field: &'static str,
        /// The token's revision.
        revision: u64,
        /// The newest one.
        head: u64,
    },
}

/// What tells a token's history from the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The token is of another store.
    #[error("it is of another store")]
    Store,
    /// The token is of the same store, from what a restore has left behind, or is of another copy of it.
    #[error("this store was restored from a backup, and the token is not of what came of it")]
    Lineage,
    /// The store has another commit at the token's revision.
    #[error("this store has another commit at that revision")]
    Checksum,
}

impl Pdp {
    /// Binds a read to a revision that is fresh enough and to now. Where the revision is yet to come,
    /// waits for it until `until` or [`stop_waiting`](Pdp::stop_waiting); nothing is polled and no lock is held meanwhile, and whoever drops
    /// the future stops waiting.
    ///
    /// # Errors
    /// See [`ReadError`]; never for `Latest`.
    pub async fn read_at(
        &self,
        consistency: &Consistency,
        until: Instant,
    ) -> Result<Reading, ReadError> {
        // What waits is boxed, so that a read of the newest does not carry the room for it.
        let published = match consistency {
            Consistency::Latest => return Ok(self.read()),
            Consistency::AtLeast(token) => {
                let asked = Asked { shared: &self.shared, field: "consistency.at_least", token };
                Box::pin(asked.at_least(until)).await?
            }
            Consistency::Exactly(token) => {
                let asked = Asked { shared: &self.shared, field: "consistency.exactly", token };
                Box::pin(asked.exactly(until)).await?
            }
        };
        Ok(self.shared.bind(published))
    }

    /// Ends every wait for a revision yet to come, also of those who ask later: the service is stopping.
    /// Other reads go on.
    pub fn stop_waiting(&self) {
        self.shared.waiting.close();
    }
}

/// A token and what it is asked of.
struct Asked<'a> {
    shared: &'a Shared,
    field: &'static str,
    token: &'a Token,
}

impl Asked<'_> {
    async fn at_least(&self, until: Instant) -> Result<Arc<Published>, ReadError> {
        let newest = self.reached(until).await?;
        self.prove(&newest)?;
        Ok(newest)
    }

    async fn exactly(&self, until: Instant) -> Result<Arc<Published>, ReadError> {
        let newest = self.reached(until).await?;
        self.prove(&newest)?;
        if newest.head.revision == self.token.revision {
            return Ok(newest);
        }
        let now = self.shared.now(newest.time);
        let found = self.shared.history.find(self.token.revision, now);
        found.ok_or_else(|| {
            let oldest = self.shared.history.oldest(now).unwrap_or(newest.head);
            ReadError::Expired {
                field: self.field,
                revision: self.token.revision.0,
                bound: self.shared.history.bound(self.token.revision, newest.head.revision),
                oldest: Box::new(self.shared.token(oldest)),
            }
        })
    }

    /// The newest published state once it is not older than the token.
    async fn reached(&self, until: Instant) -> Result<Arc<Published>, ReadError> {
        let (field, wanted) = (self.field, self.token.revision);
        self.prove_identity()?;
        if let Ok(newest) = self.newest_from(wanted) {
            return Ok(newest);
        }
        let place = match self.shared.waiting.place(wanted) {
            Ok(place) => place,
            Err(NoPlace::Full) => {
                return Err(ReadError::TooManyWait { field, limit: WAITING_READS_MAX });
            }
            Err(NoPlace::Closed) => {
                return self.newest_from(wanted).map_err(|at| self.not_there(at));
            }
        };
        // What was published before the place was taken wakes nobody.
        if let Ok(newest) = self.newest_from(wanted) {
            return Ok(newest);
        }
        let _timed_out = timeout_at(until, place.woken()).await;
        self.newest_from(wanted).map_err(|newest| self.not_there(newest))
    }

    /// Why the wait has ended before the revision was there.
    fn not_there(&self, newest: Revision) -> ReadError {
        let (field, revision, head) = (self.field, self.token.revision.0, newest.0);
        if self.shared.waiting.is_closed() {
            return ReadError::Stopping { field, revision, head };
        }
        ReadError::NotReached { field, revision, head }
    }

    /// The newest published state, or its revision if that is older than `wanted`.
    fn newest_from(&self, wanted: Revision) -> Result<Arc<Published>, Revision> {
        let newest = self.shared.published.load_full();
        let head = newest.head.revision;
        if head >= wanted { Ok(newest) } else { Err(head) }
    }

    fn prove_identity(&self) -> Result<(), ReadError> {
        let identity = &self.shared.identity;
        if self.token.store_id != identity.store_id {
            return Err(self.of_other_history(Difference::Store));
        }
        if self.token.lineage != *identity.lineages.of(self.token.revision) {
            return Err(self.of_other_history(Difference::Lineage));
        }
        Ok(())
    }

    /// Refuses a token with another checksum than the one that is known of its revision. Of revisions
    /// long past none is: there, store and lineage are the proof.
    fn prove(&self, newest: &Published) -> Result<(), ReadError> {
        let Token { revision, checksum, .. } = *self.token;
        let known = if newest.head.revision == revision {
            Some(newest.head.checksum)
        } else {
            self.shared.history.checksum(revision)
        };
        match known {
            Some(known) if known != checksum => Err(self.of_other_history(Difference::Checksum)),
            _ => Ok(()),
        }
    }

    fn of_other_history(&self, difference: Difference) -> ReadError {
        ReadError::OtherHistory { field: self.field, difference }
    }
}
