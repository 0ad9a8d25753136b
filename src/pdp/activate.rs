//! Puts another model in force while the service runs. Knows no directory and no signal.
//!
//! The stored tuples are read and validated under the new model beside the writer, from a snapshot that
//! stays as it is; what is committed meanwhile is then caught up with from the log. Only the last step
//! is the writer's: it catches up with the few commits that are left, makes the model's commit durable,
//! and publishes tuples, model and plan in one swap. So writes wait for that step only, and readers for
//! nothing; while it lasts there are two snapshots in memory that share nothing.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::{oneshot, watch};

use super::checkpoint::LogInUse;
use super::proposal::{LastProposal, ModelStatus, Proposal, ProposalError};
use super::replay::Draft;
use super::writer::Task;
use super::{Pdp, Published, Reading, Token};
use crate::engine::Plan;
use crate::index::Snapshot;
use crate::model::limits::GROUP_COMMITS_MAX;
use crate::model::tuple::{Revision, Time};
use crate::store::{Commit, Head, ModelSince, Store, StoreError};

/// How often a draft is brought nearer to a head that runs away.
const APPROACHES_MAX: usize = 8;

/// What proposals share.
#[derive(Debug)]
pub(super) struct Models {
    /// Gone once the service is closed, whoever still has a clone of it.
    store: Weak<dyn Store>,
    log: LogInUse,
    one_at_a_time: Mutex<()>,
    status: watch::Sender<ModelStatus>,
}

impl Models {
    pub(super) fn new(store: &Arc<dyn Store>, log: LogInUse, published: &Published) -> Self {
        let model = published.snapshot.model();
        let status = ModelStatus {
            name: model.name.clone(),
            digest: model.digest.clone(),
            since: published.model_since,
            last_proposal: None,
        };
        let status = watch::Sender::new(status);
        Self { store: Arc::downgrade(store), log, one_at_a_time: Mutex::new(()), status }
    }
}

/// What an accepted proposal made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activated {
    /// The revision from which on every read sees the model; the newest one if nothing was to be done.
    pub token: Token,
    /// Whether there is a commit: not if the model was in force already.
    pub is_new: bool,
}

impl Pdp {
    /// Puts a model in force, in order with the commits; nothing happens if it is in force already. One
    /// proposal at a time: others wait. Blocks: not for an async task. Costs what the store holds.
    ///
    /// # Errors
    /// See [`ProposalError`]; the model in force stays.
    pub fn propose(&self, proposal: Proposal) -> Result<Activated, ProposalError> {
        // What the lock guards is the order of proposals, not data that a panic could leave half made.
        let _one = self.models.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = proposal.digest().to_owned();
        let outcome = self.activate(proposal);
        let now = self.read().now();
        match &outcome {
            Ok(Activated { token, is_new: true }) => {
                tracing::info!(digest, revision = token.revision.0, "the model is in force");
            }
            Ok(_) => tracing::info!(digest, "the proposed model is in force already"),
            Err(error) => {
                tracing::error!(digest, reason = %error, "the model is refused; the old one stays");
            }
        }
        self.note(match &outcome {
            Ok(_) => LastProposal::accepted(digest, now),
            Err(error) => LastProposal::refused(digest, now, error),
        });
        outcome
    }

    /// Notes a proposal that came to nothing before there was a model: its files cannot be read, or are
    /// faulty. `reason` is for callers too.
    pub fn note_faulty_proposal(&self, reason: String) {
        let _one = self.models.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        self.note(LastProposal::faulty(self.read().now(), reason));
    }

    /// The model in force and the last proposal, for whoever shows them; told of each change.
    #[must_use]
    pub fn model_status(&self) -> watch::Receiver<ModelStatus> {
        self.models.status.subscribe()
    }

    /// Binds a read, with what became of the last proposal: both tell of the same model if it was accepted.
    #[must_use]
    pub fn read_with_last_proposal(&self) -> (Reading, Option<LastProposal>) {
        // A model is published first and noted then, so the reading cannot be the older of the two.
        let ModelStatus { since, last_proposal, .. } = self.models.status.borrow().clone();
        let reading = self.read();
        let revision = |since: Option<ModelSince>| since.map(|since| since.revision);
        let last = match reading.model_since() {
            Some(newer) if revision(since) < Some(newer.revision) => {
                Some(LastProposal::accepted(reading.model().digest.clone(), newer.time))
            }
            _ => last_proposal,
        };
        (reading, last)
    }

    fn note(&self, last: LastProposal) {
        let published = self.shared.published.load();
        let model = published.snapshot.model();
        self.models.status.send_replace(ModelStatus {
            name: model.name.clone(),
            digest: model.digest.clone(),
            since: published.model_since,
            last_proposal: Some(last),
        });
    }

    fn activate(&self, proposal: Proposal) -> Result<Activated, ProposalError> {
        let stopping = || ProposalError::Unavailable("the service is stopping".into());
        // Held to the end: it drops here, and not with the writer, what the new snapshot replaces.
        let published = self.shared.published.load_full();
        if published.snapshot.model().digest == proposal.digest() {
            let token = self.shared.token(published.head);
            return Ok(Activated { token, is_new: false });
        }
        let store = self.models.store.upgrade().ok_or_else(stopping)?;
        // Else a checkpoint could cut what is to be caught up with, and all would begin anew in the writer.
        let _kept = self.models.log.keep_from(published.head.revision);
        let mut next = NextModel::of(&published, proposal, self.shared.now(published.time))?;
        next.approach(store.as_ref())?;
        next.draft.check(self.shared.now(published.time))?;
        let (reply, answer) = oneshot::channel();
        let task = Task::Activate(Box::new(Activation { next, reply }));
        self.sender().and_then(|tasks| tasks.blocking_send(task).ok()).ok_or_else(stopping)?;
        let ended = || ProposalError::OutcomeUnknown("the writer has ended".into());
        let head = answer.blocking_recv().map_err(|_| ended())??;
        Ok(Activated { token: self.shared.token(head), is_new: true })
    }
}

/// A model on its way to the writer.
#[derive(Debug)]
pub(super) struct Activation {
    pub(super) next: NextModel,
    pub(super) reply: oneshot::Sender<Result<Head, ProposalError>>,
}

/// A model with the stored tuples read under it, up to some revision.
#[derive(Debug)]
pub(super) struct NextModel {
    proposal: Proposal,
    plan: Arc<Plan>,
    draft: Draft,
    revision: Revision,
}

/// Why a draft did not come up with the log.
enum Behind {
    /// The commits that it lacks are gone from the log; the snapshot has them.
    Truncated,
    Failed(ProposalError),
}

impl From<StoreError> for Behind {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Truncated { .. } => Self::Truncated,
            error => Self::Failed(ProposalError::Unavailable(error.to_string())),
        }
    }
}

impl From<ProposalError> for Behind {
    fn from(error: ProposalError) -> Self {
        Self::Failed(error)
    }
}

impl From<Behind> for ProposalError {
    fn from(behind: Behind) -> Self {
        match behind {
            Behind::Truncated => Self::Fault("the log was cut while it was read"),
            Behind::Failed(error) => error,
        }
    }
}

impl NextModel {
    /// Reads and validates the published tuples under the proposed model.
    fn of(published: &Published, proposal: Proposal, now: Time) -> Result<Self, ProposalError> {
        let model = Arc::clone(&proposal.model);
        let mut draft = Draft::of(&published.snapshot, model, now)?;
        draft.check(now)?;
        let plan = Arc::new(Plan::new(&proposal.model));
        Ok(Self { proposal, plan, draft, revision: published.head.revision })
    }

    /// Comes near the head, so that little is left to the writer. More is read than is written in a
    /// while; if not, the writer has more to do.
    fn approach(&mut self, store: &dyn Store) -> Result<(), ProposalError> {
        for _ in 0..APPROACHES_MAX {
            match self.catch_up(store) {
                // The writer begins anew.
                Err(Behind::Truncated) => return Ok(()),
                caught_up => caught_up?,
            }
            let left = store.head().revision.0.saturating_sub(self.revision.0);
            if left <= GROUP_COMMITS_MAX as u64 {
                break;
            }
        }
        Ok(())
    }

    /// Makes the changes of the commits that it lacks, up to the head as it stands at this call.
    fn catch_up(&mut self, store: &dyn Store) -> Result<(), Behind> {
        for commit in store.read(self.revision.next())? {
            let (head, commit) = commit?;
            for change in &commit.changes {
                self.draft.apply_unchecked(change)?;
            }
            self.revision = head.revision;
        }
        Ok(())
    }

    /// Catches up with what is published, between two groups of the writer, and validates what came.
    /// Costs what came; what the store holds, if the log has forgotten that already.
    ///
    /// # Errors
    /// It does not fit; then the writer goes on as before.
    pub(super) fn complete(
        mut self,
        store: &dyn Store,
        published: &Published,
        now: Time,
    ) -> Result<ReadyModel, ProposalError> {
        match self.catch_up(store) {
            Err(Behind::Truncated) => return Self::of(published, self.proposal, now)?.ready(),
            caught_up => caught_up?,
        }
        if self.revision != published.head.revision {
            return Err(ProposalError::Fault("the log does not end where the snapshot does"));
        }
        self.draft.check(now)?;
        self.ready()
    }

    fn ready(self) -> Result<ReadyModel, ProposalError> {
        let Self { proposal, plan, draft, .. } = self;
        Ok(ReadyModel { proposal, plan, snapshot: draft.into_snapshot()? })
    }
}

/// A model, and all that is published as it reads it.
pub(super) struct ReadyModel {
    proposal: Proposal,
    plan: Arc<Plan>,
    snapshot: Snapshot,
}

impl ReadyModel {
    /// The commit that puts it in force.
    pub(super) fn commit(&self, time: Time) -> Commit {
        let model = Some(self.proposal.files.as_ref().clone());
        Commit { time, changes: Vec::new(), model, request: None }
    }

    /// What readers see from its commit on.
    pub(super) fn published(self, head: Head, time: Time, before: &Published) -> Published {
        // It shares nothing with the one before.
        let changes = before.changes.saturating_add(self.snapshot.len() as u64);
        Published {
            snapshot: self.snapshot,
            plan: self.plan,
            files: self.proposal.files,
            model_since: Some(ModelSince { revision: head.revision, time }),
            head,
            time,
            changes,
            work: Arc::clone(&before.work),
            identity: Arc::clone(&before.identity),
            named: OnceLock::new(),
        }
    }
}
