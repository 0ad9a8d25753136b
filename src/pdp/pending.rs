//! What the commits of one group make of the published state, one after the other, and what each is to
//! be answered. Knows neither the store nor who asked.
//!
//! Invariant *unseen*: what depends on a commit of the group is told to nobody before that commit is
//! durable, and to nobody at all if it is not.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::delegation::{DelegatedRequest, DelegationError, Judge};
use super::keys::KeyedCommits;
use super::request::{Asked, Job, Reply, WriteChange};
use super::{Published, WriteError, precondition};
use crate::engine::Plan;
use crate::index::{KeepOne, NotIndexable, Snapshot, check_constraints, check_parents_within};
use crate::model::admission::admit;
use crate::model::limits::{CONSTRAINT_TUPLES_MAX, HIERARCHY_WALK_TUPLES_MAX};
use crate::model::tuple::{Change, Revision, Time, Tuple, TupleKey};
use crate::store::{Commit, Fingerprint, Head, KeyedRequest, StoreError, check_storable};

/// What the group's commits make of the published state; nobody reads it before it is durable.
pub(super) struct Pending {
    pub(super) snapshot: Snapshot,
    plan: Arc<Plan>,
    pub(super) time: Time,
    pub(super) commits: Vec<Commit>,
    /// The tuples after each of the commits.
    pub(super) snapshots: Vec<Snapshot>,
    /// The head that they follow.
    base: Head,
    /// Of each key in the group, its commit.
    keys: HashMap<Fingerprint, usize>,
}

/// A request of the group, judged.
pub(super) struct Judged {
    /// How many commits of the group it was judged after.
    after: usize,
    outcome: Result<Accepted, WriteError>,
}

struct Accepted {
    answer: Answer,
    /// How many of its changes change something.
    changed: usize,
}

/// Which head a request is answered with.
#[derive(Clone, Copy)]
enum Answer {
    /// That of this commit of the group: its own, or the one that it repeats.
    Commit(usize),
    /// That of an earlier commit, which it repeats.
    Durable(Head),
    /// The last before it: it commits nothing.
    Last,
}

impl Pending {
    pub(super) fn new(published: &Published, time: Time) -> Self {
        Self {
            snapshot: published.snapshot.clone(),
            plan: Arc::clone(&published.plan),
            time,
            commits: Vec::new(),
            snapshots: Vec::new(),
            base: published.head,
            keys: HashMap::new(),
        }
    }

    /// Judges one request against what is pending, and adds its commit; refused, nothing changes.
    pub(super) fn judge(&mut self, job: &Job, durable: &KeyedCommits) -> Judged {
        let after = self.commits.len();
        Judged { after, outcome: self.accept(job, durable) }
    }

    fn accept(&mut self, job: &Job, durable: &KeyedCommits) -> Result<Accepted, WriteError> {
        let Job { request, keyed, .. } = job;
        // Before anything else: what the first one found may hold no more.
        if let Some((key, body)) = *keyed
            && let Some(repeated) = self.repeated(key, body, durable)?
        {
            return Ok(repeated);
        }
        let (snapshot, changes) = match request {
            Asked::Write(request) => {
                precondition::check(&request.preconditions, &self.snapshot, self.time)?;
                self.apply(&request.changes, request.keep_one)?
            }
            Asked::Delegated(request) => self.delegate(request)?,
        };
        let changed = changes.len();
        let keyed = keyed.map(|(key, body)| {
            // At most COMMIT_CHANGES_MAX.
            KeyedRequest { key, body, changed: u32::try_from(changed).unwrap_or(u32::MAX) }
        });
        let commit = Commit { time: self.time, changes, model: None, request: keyed };
        if matches!(request, Asked::Write(request) if request.validate_only) {
            check_storable(&commit).map_err(|error| refused_by_store(&error))?;
            return Ok(Accepted { answer: Answer::Last, changed });
        }
        // A key is used up even if nothing changes: a late repeat must not change what came after.
        if changed == 0 && keyed.is_none() {
            return Ok(Accepted { answer: Answer::Last, changed });
        }
        let place = self.commits.len();
        if let Some(KeyedRequest { key, .. }) = keyed {
            self.keys.insert(key, place);
        }
        self.snapshot = snapshot.clone();
        self.snapshots.push(snapshot);
        self.commits.push(commit);
        Ok(Accepted { answer: Answer::Commit(place), changed })
    }

    /// What a request with this key is answered, if there was one before.
    fn repeated(
        &self,
        key: Fingerprint,
        body: Fingerprint,
        durable: &KeyedCommits,
    ) -> Result<Option<Accepted>, WriteError> {
        let place = self.keys.get(&key).copied();
        let pending = place.and_then(|place| {
            let request = self.commits.get(place)?.request?;
            let revision = self.base.revision.0.saturating_add(place as u64 + 1);
            Some((request, Answer::Commit(place), Revision(revision)))
        });
        let found = pending.or_else(|| {
            let commit = durable.find(key, self.time)?;
            Some((commit.request, Answer::Durable(commit.head), commit.head.revision))
        });
        let Some((first, answer, revision)) = found else { return Ok(None) };
        Ok(Some(Accepted { answer, changed: changed_by(&first, body, revision)? }))
    }

    /// The same of a delegated request, if the actor may.
    ///
    /// # Errors
    /// Those of the delegation, and nothing but.
    pub(super) fn delegate(
        &self,
        request: &DelegatedRequest,
    ) -> Result<(Snapshot, Vec<Change>), WriteError> {
        let changes = self.judge_of_delegation().changes(request)?;
        let (changes, fields): (Vec<_>, Vec<_>) = changes.into_iter().unzip();
        let field = |change: usize| fields.get(change).copied().unwrap_or("role");
        self.apply(&changes, KeepOne::Obeyed).map_err(|error| match error {
            WriteError::Constraint { change, error } => {
                DelegationError::Constraint { field: field(change), error }.into()
            }
            WriteError::IndexFull { .. } => DelegationError::IndexFull.into(),
            other => other,
        })
    }

    /// Who judges delegated requests against what is pending.
    pub(super) fn judge_of_delegation(&self) -> Judge<'_> {
        Judge { snapshot: &self.snapshot, plan: &self.plan, now: self.time }
    }

    /// The state with these changes, and what the log will hold of them.
    fn apply(
        &self,
        changes: &[WriteChange],
        keep_one: KeepOne,
    ) -> Result<(Snapshot, Vec<Change>), WriteError> {
        let mut next = self.snapshot.clone();
        let mut seen = HashSet::new();
        let mut resolved = Vec::with_capacity(changes.len());
        for (at, change) in changes.iter().enumerate() {
            let key = change.key();
            if !seen.insert(key) {
                return Err(WriteError::Repeated { change: at, tuple: key.into() });
            }
            if let Some(change) = self.resolve(at, change)? {
                next.apply(&change).map_err(|NotIndexable| WriteError::IndexFull { change: at })?;
                resolved.push(change);
            }
        }
        // After all changes, so that a parent can be moved in one commit, in any order.
        let keys = changes.iter().map(WriteChange::key);
        check_parents_within(&next, keys, self.time, HIERARCHY_WALK_TUPLES_MAX)
            .map_err(|(change, error)| WriteError::Hierarchy { change, error })?;
        let (states, keys) = ((&self.snapshot, &next), changes.iter().map(WriteChange::key));
        check_constraints(states, keys, self.time, keep_one, CONSTRAINT_TUPLES_MAX)
            .map_err(|(change, error)| WriteError::Constraint { change, error })?;
        Ok((next, resolved))
    }

    /// What the log will hold for one change; nothing for a delete of what is not there, or a touch of what
    /// is there just so.
    fn resolve(&self, at: usize, change: &WriteChange) -> Result<Option<Change>, WriteError> {
        let (tuple, create) = match change {
            WriteChange::Delete(key) => {
                // A misspelt delete must not look like a revocation.
                self.admit(at, &Tuple::plain(key.clone()))?;
                return Ok(self.delete(key));
            }
            WriteChange::Create(tuple) => (tuple, true),
            WriteChange::Touch(tuple) => (tuple, false),
        };
        self.admit(at, tuple)?;
        if create && self.snapshot.get(&tuple.key).is_some_and(|b| b.is_live(self.time)) {
            return Err(WriteError::AlreadyExists { change: at, tuple: (&tuple.key).into() });
        }
        // `now` never runs back: what has ended is never seen, and need not be stored to be absent.
        if !tuple.is_live(self.time) {
            return Ok(self.delete(&tuple.key));
        }
        // What is there already is no change: a sync that repeats itself must cost no history.
        if self.snapshot.holds(tuple) {
            return Ok(None);
        }
        Ok(Some(Change::Put(tuple.clone())))
    }

    fn delete(&self, key: &TupleKey) -> Option<Change> {
        self.snapshot.get(key).map(|_| Change::Delete(key.clone()))
    }

    fn admit(&self, at: usize, tuple: &Tuple) -> Result<(), WriteError> {
        admit(self.snapshot.model(), tuple)
            .map_err(|error| WriteError::NotAdmitted { change: at, error: Box::new(error) })
    }
}

impl Judged {
    /// Whether its answer is that of a commit of the group.
    pub(super) fn is_commit(&self) -> bool {
        matches!(self.outcome, Ok(Accepted { answer: Answer::Commit(_), .. }))
    }

    /// What to answer once the group is durable; `heads` has where the log stood after each commit.
    pub(super) fn settled(self, base: Head, heads: &[Head]) -> Reply {
        let Accepted { answer, changed } = self.outcome?;
        let place = match answer {
            Answer::Commit(place) => Some(place),
            Answer::Durable(head) => return Ok((head, changed)),
            Answer::Last => self.after.checked_sub(1),
        };
        let head = place.and_then(|place| heads.get(place));
        Ok((head.copied().unwrap_or(base), changed))
    }

    /// What to answer if the group is not durable: `failed` is what became of a commit of it.
    pub(super) fn failed(self, base: Head, failed: WriteError, cause: &str) -> Reply {
        match &self.outcome {
            Ok(Accepted { answer: Answer::Commit(_), .. }) => Err(failed),
            Ok(Accepted { answer: Answer::Durable(_), .. }) => self.settled(base, &[]),
            // It saw nothing that is lost now.
            _ if self.after == 0 => self.settled(base, &[]),
            _ => Err(WriteError::Unavailable(cause.to_owned())),
        }
    }
}

/// How many changes the first request with this key made, if its repeat asks for the same.
pub(super) fn changed_by(
    first: &KeyedRequest,
    body: Fingerprint,
    at: Revision,
) -> Result<usize, WriteError> {
    if first.body != body {
        return Err(WriteError::KeyReused { revision: at.0 });
    }
    Ok(first.changed as usize)
}

/// Why the store would refuse a commit of its own.
pub(super) fn refused_by_store(error: &StoreError) -> WriteError {
    match error {
        StoreError::CommitTooLarge { bytes, limit } => {
            WriteError::TooLarge { bytes: *bytes, limit: *limit }
        }
        StoreError::Unstorable { reason } => WriteError::Unstorable { reason: reason.clone() },
        other => WriteError::Unavailable(other.to_string()),
    }
}
