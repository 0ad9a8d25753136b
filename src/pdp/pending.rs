//! What the commits of one group make of the published state, one after the other, and what each is to
//! be answered. Knows neither the store nor who asked.
//!
//! Invariant *unseen*: what depends on a commit of the group is told to nobody before that commit is
//! durable, and to nobody at all if it is not.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashSet};

use super::background::offer_turn;
use super::delegation::{DelegatedRequest, DelegationError, Judge};
use super::keys::KeyedCommits;
use super::request::{Asked, Job, Reply, WriteChange, WriteRequest};
use super::{Published, WriteError, precondition};
use crate::engine::Plan;
use crate::index::{
    KeepOne, NotIndexable, Position, READ_AHEAD_TUPLES, Snapshot, Spot, check_placed_constraints,
    check_placed_parents,
};
use crate::model::admission::admit;
use crate::model::form::Model;
use crate::model::limits::{CONSTRAINT_TUPLES_MAX, HIERARCHY_WALK_TUPLES_MAX};
use crate::model::tuple::{Change, Revision, Time, Tuple, TupleKey};
use crate::store::{Commit, Fingerprint, Head, KeyedRequest, StoreError, check_storable};

/// What the group's commits make of the published state; nobody reads it before it is durable.
pub(super) struct Pending {
    pub(super) snapshot: Snapshot,
    plan: Arc<Plan>,
    pub(super) time: Time,
    pub(super) commits: Vec<Commit>,
    /// The tuples after each of the commits; `None`: what it makes of those before it.
    pub(super) snapshots: Vec<Option<Snapshot>>,
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

    /// The same to ask what a request would come to, and to drop it then.
    pub(super) fn to_try(published: &Published, time: Time) -> Self {
        let pending = Self::new(published, time);
        Self { snapshot: pending.snapshot.to_try(), ..pending }
    }

    /// Judges one request at this moment, which runs not back, against what is pending, and adds its commit; refused,
    /// nothing changes.
    pub(super) fn judge(&mut self, job: &Job, durable: &KeyedCommits, now: Time) -> Judged {
        self.time = now;
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
                match only_change(request, self.snapshot.model()) {
                    Some(change) => (None, self.apply_in_place(change)?),
                    None => {
                        let start = if request.validate_only {
                            self.snapshot.to_try()
                        } else {
                            self.snapshot.clone()
                        };
                        let applied = self.apply(start, &request.changes, request.keep_one)?;
                        (Some(applied.0), applied.1)
                    }
                }
            }
            Asked::Delegated(request) => {
                let applied = self.delegate(request)?;
                (Some(applied.0), applied.1)
            }
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
        let snapshot = snapshot.map(|mut snapshot| {
            snapshot.settle();
            self.snapshot = snapshot.clone();
            snapshot
        });
        // That of a change made in place.
        self.snapshot.settle();
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
        self.apply(self.snapshot.clone(), &changes, KeepOne::Obeyed).map_err(|error| match error {
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

    /// Makes the one change of a request that [`only_change`] has passed, and says what the log will hold of it. A
    /// copy of the state for each commit costs more than all else that a small one does: the next change pays for
    /// whatever it shares with this one.
    fn apply_in_place(&mut self, change: &WriteChange) -> Result<Vec<Change>, WriteError> {
        self.admit(0, change)?;
        // No name is new where something is there that could be in the way.
        let spot = spot(change, self.time, &mut self.snapshot);
        let spot = spot.map_err(|NotIndexable| WriteError::IndexFull { change: 0 })?;
        let Some(spot) = spot else { return Ok(Vec::new()) };
        let Some(change) = self.resolve(0, change, &spot, &self.snapshot)? else {
            return Ok(Vec::new());
        };
        match &change {
            Change::Put(tuple) => {
                let indexed = self.snapshot.put(&spot, tuple);
                indexed.map_err(|NotIndexable| WriteError::IndexFull { change: 0 })?;
            }
            Change::Delete(_) => self.snapshot.delete(&spot),
        }
        Ok(vec![change])
    }

    /// The state with these changes, and what the log will hold of them. `next` is the state as it is.
    fn apply(
        &self,
        mut next: Snapshot,
        changes: &[WriteChange],
        keep_one: KeepOne,
    ) -> Result<(Snapshot, Vec<Change>), WriteError> {
        let count = changes.len();
        let mut seen = Seen::of(count);
        let (mut resolved, mut placed) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut put = Vec::with_capacity(count);
        let reads_ahead = next.is_worth_reading_ahead() && changes.len() > 1;
        for (at, change) in changes.iter().enumerate() {
            offer_turn(at);
            if reads_ahead && at.is_multiple_of(READ_AHEAD_TUPLES) {
                let soon = changes.iter().skip(at).take(READ_AHEAD_TUPLES);
                next.read_ahead(soon.map(WriteChange::key));
            }
            self.admit(at, change)?;
            let key = change.key();
            let spot = spot(change, self.time, &mut next);
            let spot = spot.map_err(|NotIndexable| WriteError::IndexFull { change: at })?;
            if !seen.is_new(key, spot.as_ref().map(Spot::position)) {
                return Err(WriteError::Repeated { change: at, tuple: key.into() });
            }
            // Nothing is there, and nothing is put.
            let Some(spot) = spot else { continue };
            placed.push((at, spot.position()));
            let Some(change) = self.resolve(at, change, &spot, &next)? else { continue };
            match &change {
                Change::Put(tuple) => {
                    let indexed = next.put(&spot, tuple);
                    indexed.map_err(|NotIndexable| WriteError::IndexFull { change: at })?;
                    put.push((at, key, spot.position()));
                }
                Change::Delete(_) => next.delete(&spot),
            }
            resolved.push(change);
        }
        // After all changes, so that a parent can be moved in one commit, in any order.
        check_placed_parents(&next, put, self.time, HIERARCHY_WALK_TUPLES_MAX)
            .map_err(|(change, error)| WriteError::Hierarchy { change, error })?;
        let states = (&self.snapshot, &next);
        check_placed_constraints(states, placed, self.time, keep_one, CONSTRAINT_TUPLES_MAX)
            .map_err(|(change, error)| WriteError::Constraint { change, error })?;
        Ok((next, resolved))
    }

    /// What the log will hold for one change; nothing for a delete of what is not there, or a touch of what
    /// is there just so. No other change of the commit is of its identity, so its spot is as it was before.
    fn resolve(
        &self,
        at: usize,
        change: &WriteChange,
        spot: &Spot,
        next: &Snapshot,
    ) -> Result<Option<Change>, WriteError> {
        let delete = |key: &TupleKey| spot.is_taken().then(|| Change::Delete(key.clone()));
        let (tuple, create) = match change {
            WriteChange::Delete(key) => return Ok(delete(key)),
            WriteChange::Create(tuple) => (tuple, true),
            WriteChange::Touch(tuple) => (tuple, false),
        };
        if create && spot.is_live(self.time) {
            return Err(WriteError::AlreadyExists { change: at, tuple: (&tuple.key).into() });
        }
        // `now` never runs back: what has ended is never seen, and need not be stored to be absent.
        if !tuple.is_live(self.time) {
            return Ok(delete(&tuple.key));
        }
        // What is there already is no change: a sync that repeats itself must cost no history.
        if next.holds_at(spot, tuple) {
            return Ok(None);
        }
        Ok(Some(Change::Put(tuple.clone())))
    }

    fn admit(&self, at: usize, change: &WriteChange) -> Result<(), WriteError> {
        let model = self.snapshot.model();
        let admitted = match change {
            WriteChange::Create(tuple) | WriteChange::Touch(tuple) => admit(model, tuple),
            // A misspelt delete must not look like a revocation.
            WriteChange::Delete(key) => admit(model, &Tuple::plain(key.clone())),
        };
        admitted.map_err(|error| WriteError::NotAdmitted { change: at, error: Box::new(error) })
    }
}

/// Where the tuple of a change stands, if it is there or will be.
fn spot(
    change: &WriteChange,
    now: Time,
    next: &mut Snapshot,
) -> Result<Option<Spot>, NotIndexable> {
    match change {
        WriteChange::Create(tuple) | WriteChange::Touch(tuple) if tuple.is_live(now) => {
            next.spot_for(&tuple.key).map(Some)
        }
        _ => Ok(next.spot(change.key())),
    }
}

/// The change of a request that has one alone, if nothing can refuse that once it is made: neither a constraint nor
/// the hierarchy, and no condition that the model lacks.
fn only_change<'a>(request: &'a WriteRequest, model: &Model) -> Option<&'a WriteChange> {
    let [change] = request.changes.as_slice() else { return None };
    let TupleKey { scope, role, .. } = change.key();
    let edge =
        || model.type_def(model.type_id(scope.type_name())?)?.edge(model.name_id(role.as_str())?);
    let is_plain = match change {
        WriteChange::Create(tuple) | WriteChange::Touch(tuple) => tuple.condition.is_none(),
        WriteChange::Delete(_) => true,
    };
    let is_only = is_plain && !request.validate_only && model.constraints.is_empty();
    (is_only && edge().is_none()).then_some(change)
}

/// The identities of a commit so far, by their places where they have one.
struct Seen<'a> {
    placed: FxHashSet<Position>,
    /// Those whose names were not all known when they came.
    unplaced: HashSet<&'a TupleKey>,
}

impl<'a> Seen<'a> {
    /// None, of so many.
    fn of(count: usize) -> Self {
        let placed = FxHashSet::with_capacity_and_hasher(count, FxBuildHasher);
        Self { placed, unplaced: HashSet::new() }
    }

    fn is_new(&mut self, key: &'a TupleKey, position: Option<Position>) -> bool {
        match position {
            Some(position) => {
                let is_unplaced = !self.unplaced.is_empty() && self.unplaced.contains(key);
                !is_unplaced && self.placed.insert(position)
            }
            None => self.unplaced.insert(key),
        }
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
