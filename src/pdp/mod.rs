//! Layer 3: the service without a wire. Binds each read to one revision and one moment, and owns the
//! one writer. Knows nothing of protobuf, sockets or settings.

mod activate;
mod background;
mod base64;
mod checkpoint;
mod company;
mod consistency;
mod cursor;
mod delegation;
mod error;
mod grantable;
mod history;
mod keys;
mod merger;
mod pending;
mod pins;
mod precondition;
mod proposal;
mod reading;
mod recover;
mod replay;
mod request;
mod token;
mod waiting;
mod writer;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

pub use activate::Activated;
pub(crate) use background::{BULK_CHANGES, give_way, offer_turn};
pub use checkpoint::Upkeep;
pub use consistency::{Consistency, Difference, ReadError};
pub use cursor::{CursorError, Cursors, Fingerprint, Listing, Place};
pub use delegation::{
    DelegatedChange, DelegatedRequest, DelegationError, Operation, Parent, Terms,
};
pub(crate) use error::precondition_path;
pub use error::{FilterError, Must, OpenError, TupleIdentity, WriteError};
pub use grantable::GrantQuestion;
pub use keys::IdempotencyKey;
pub use pins::Lease;
pub use proposal::{LastProposal, Misfits, ModelStatus, Proposal, ProposalError, stored_files};
pub use reading::{Reading, Series, TupleFilter, TupleList};
pub use request::{Precondition, Prepared, WriteChange, WriteRequest, Written};
pub use token::{Token, TokenError};

use crate::engine::Plan;
pub use crate::index::KeepOne;
use crate::index::Snapshot;
use crate::model::form::Model;
use crate::model::limits::WAITING_COMMITS_MAX;
use crate::model::tuple::Time;
use crate::store::{Head, Identity, ModelFiles, ModelSince, Store};
use crate::telemetry::figures::Work;
use crate::telemetry::span;
use activate::Models;
use checkpoint::{Checkpointer, LogInUse};
use cursor::SealKey;
pub use history::Bound;
use history::{Forgotten, History, State};
use merger::Merger;
use pins::Pins;
use recover::Recovered;
use request::Job;
use waiting::Waiting;
use writer::{Task, Writer};

/// Where `now` comes from. The service never lets it run back.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The wall clock's moment.
    fn now(&self) -> Time;
}

/// What readers see: one revision, whole.
///
/// Invariant *durable first*: a value is published only after the store has made its head durable.
#[derive(Debug)]
struct Published {
    snapshot: Snapshot,
    plan: Arc<Plan>,
    /// The model's files, for the checkpoint.
    files: Arc<ModelFiles>,
    /// The commit that put the model in force, if the store says which.
    model_since: Option<ModelSince>,
    head: Head,
    /// The time of the last commit.
    time: Time,
    /// How many changes this process has committed up to here. What two states do not share grows
    /// with the difference, but for a base that was replaced between them; a state that shares nothing
    /// with the one before counts all its tuples.
    changes: u64,
    /// One for all revisions.
    work: Arc<Work>,
    /// One for all revisions.
    identity: Arc<Identity>,
    /// Made for the first answer that names the revision.
    named: OnceLock<Named>,
}

/// A revision's token, and its text: what every answer carries.
#[derive(Debug)]
struct Named {
    token: Token,
    text: String,
}

impl Published {
    /// The same state on another snapshot, which holds the same tuples.
    fn on(&self, snapshot: Snapshot) -> Self {
        let Self { plan, files, model_since, head, time, changes, work, identity, .. } = self;
        Self {
            snapshot,
            plan: Arc::clone(plan),
            files: Arc::clone(files),
            model_since: *model_since,
            head: *head,
            time: *time,
            changes: *changes,
            work: Arc::clone(work),
            identity: Arc::clone(identity),
            named: OnceLock::new(),
        }
    }

    fn named(&self) -> &Named {
        self.named.get_or_init(|| {
            let token = token_of(&self.identity, self.head);
            Named { text: token.to_string(), token }
        })
    }
}

fn token_of(identity: &Identity, head: Head) -> Token {
    Token {
        store_id: Arc::clone(&identity.store_id),
        lineage: Arc::clone(identity.lineages.of(head.revision)),
        revision: head.revision,
        checksum: head.checksum,
    }
}

/// What readers and the writer share.
#[derive(Debug)]
struct Shared {
    published: ArcSwap<Published>,
    history: History,
    waiting: Waiting,
    pins: Pins,
    seal: SealKey,
    identity: Arc<Identity>,
    clock: Arc<dyn Clock>,
    last_now: AtomicI64,
}

impl Shared {
    /// The latest of the wall clock, the last `now` used, and the last commit's time.
    fn now(&self, commit: Time) -> Time {
        let now = self.clock.now().max(commit);
        let before = self.last_now.fetch_max(now.0, Ordering::Relaxed);
        now.max(Time(before))
    }

    /// The latest `now` used.
    fn last_now(&self) -> Time {
        Time(self.last_now.load(Ordering::Relaxed))
    }

    /// Binds a read to this state and to now. `now` is the request's own also where the state is an
    /// older one: the revision fixes the tuples and the model, not the time.
    fn bind(&self, published: Arc<Published>) -> Reading {
        let now = self.now(published.time);
        span::note_revision(published.head.revision.0);
        Reading::new(published, now)
    }

    /// Publishes the state after the last commit of a group; those between it and the one before the group can be
    /// asked for exactly. What is forgotten for it is its caller's to let go.
    fn publish(&self, between: Vec<State>, newest: &Arc<Published>) -> Forgotten {
        let now = self.now(newest.time);
        // First the past, then the newest, then those who wait for it: whoever sees a revision
        // published finds every earlier one.
        let forgotten = self.history.supersede(&self.published.load(), between, newest, now);
        self.published.store(Arc::clone(newest));
        self.waiting.wake(newest.head.revision);
        self.pins.sweep(newest, now);
        forgotten
    }

    fn token(&self, head: Head) -> Token {
        token_of(&self.identity, head)
    }
}

/// The service without a wire. Cheap to clone; all clones are one service.
#[derive(Debug, Clone)]
pub struct Pdp {
    shared: Arc<Shared>,
    writer: Arc<WriterHandle>,
    models: Arc<Models>,
}

/// The way to the writer's thread. Both are taken away by [`Pdp::close`].
#[derive(Debug)]
struct WriterHandle {
    tasks: Mutex<Option<mpsc::Sender<Task>>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Pdp {
    /// [`start_strictly`](Self::start_strictly), with a model and its files.
    ///
    /// # Errors
    /// The same.
    pub fn open(
        store: Arc<dyn Store>,
        model: Model,
        files: ModelFiles,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::start_strictly(store, Proposal::new(model, files), clock)
    }

    /// The same with checkpoints as often as told.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(
        store: Arc<dyn Store>,
        model: Model,
        files: ModelFiles,
        clock: Arc<dyn Clock>,
        upkeep: Upkeep,
    ) -> Result<Self, OpenError> {
        let proposal = Proposal::new(model, files);
        let opened = Self::recover(store, Some(&proposal), clock, upkeep)?;
        opened.or_refuse(proposal)
    }

    /// [`start`](Self::start)s, and demands that this model is in force then.
    ///
    /// # Errors
    /// The store fails, or the model is refused: nothing was changed.
    pub fn start_strictly(
        store: Arc<dyn Store>,
        proposal: Proposal,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::recover(store, Some(&proposal), clock, Upkeep::default())?.or_refuse(proposal)
    }

    fn or_refuse(self, proposal: Proposal) -> Result<Self, OpenError> {
        if let Err(error) = self.propose(proposal) {
            self.close();
            return Err(OpenError::Refused(error));
        }
        Ok(self)
    }

    /// Reads the store into memory under its own model, starts the writer, and then proposes this model,
    /// if one is given. If it is refused the service starts all the same, and
    /// [`model_status`](Self::model_status) says why. Blocks; costs what the store holds.
    ///
    /// # Errors
    /// The store fails; or it has no model yet and none is given.
    pub fn start(
        store: Arc<dyn Store>,
        proposal: Option<Proposal>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let started = Self::recover(store, proposal.as_ref(), clock, Upkeep::default())?;
        if let Some(proposal) = proposal {
            // The log and the status tell of a refusal.
            let _refused = started.propose(proposal);
        }
        Ok(started)
    }

    fn recover(
        store: Arc<dyn Store>,
        proposal: Option<&Proposal>,
        clock: Arc<dyn Clock>,
        upkeep: Upkeep,
    ) -> Result<Self, OpenError> {
        let Recovered { published, keyed, checksums, replayed } =
            recover::recover(store.as_ref(), proposal, clock.as_ref())?;
        let in_use = LogInUse::default();
        let models = Arc::new(Models::new(&store, in_use.clone(), &published));
        let shared = Arc::new(Shared {
            history: History::starting_at(published.head.revision, checksums),
            identity: Arc::clone(&published.identity),
            published: ArcSwap::from_pointee(published),
            waiting: Waiting::default(),
            pins: Pins::default(),
            seal: SealKey::random()?,
            clock,
            last_now: AtomicI64::new(store.noted_time().0),
        });
        let (tasks, waiting) = mpsc::channel(WAITING_COMMITS_MAX);
        let checkpointer = Checkpointer::new(Arc::clone(&store), upkeep, in_use, replayed);
        let merger = Merger::new(tasks.downgrade());
        let writer = Writer::new(store, Arc::clone(&shared), waiting, keyed, checkpointer, merger);
        let thread = std::thread::Builder::new()
            .name("bailiwick-writer".into())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        let writer = Arc::new(WriterHandle {
            tasks: Mutex::new(Some(tasks)),
            thread: Mutex::new(Some(thread)),
        });
        Ok(Self { shared, writer, models })
    }

    /// Binds a read to the newest published revision and to now.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.shared.bind(self.shared.published.load_full())
    }

    /// What it has decided and written since it was opened.
    #[must_use]
    pub fn work(&self) -> Arc<Work> {
        Arc::clone(&self.shared.published.load().work)
    }

    /// Commits all changes or none; returns when they are durable and every later read sees them.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(&self, changes: Vec<WriteChange>) -> Result<Written, WriteError> {
        self.commit(WriteRequest { changes, ..WriteRequest::default() }).await
    }

    /// The same on the request's terms: its preconditions are judged in the order of the log, and a
    /// repeat of its key is answered as the first request was, without a second commit.
    ///
    /// # Errors
    /// See [`WriteError`]. Whoever drops the future does not know the outcome either; a repeat with the
    /// same key tells.
    pub async fn commit(&self, request: WriteRequest) -> Result<Written, WriteError> {
        self.commit_prepared(request.prepare()?).await
    }

    /// The same of a request that has been prepared, elsewhere perhaps.
    ///
    /// # Errors
    /// The same.
    pub async fn commit_prepared(&self, prepared: Prepared) -> Result<Written, WriteError> {
        let Prepared { job, answer } = prepared;
        self.written(job, answer).await
    }

    /// Commits a delegated change, if the model lets the actor where the commit stands in the order of
    /// the log. Returns when it is durable and every later read sees it.
    ///
    /// # Errors
    /// See [`WriteError`]; as of [`commit`](Self::commit).
    pub async fn delegate(&self, request: DelegatedRequest) -> Result<Written, WriteError> {
        let (job, answer) = Job::delegated(request);
        self.written(job, answer).await
    }

    async fn written(
        &self,
        job: Job,
        answer: oneshot::Receiver<request::Reply>,
    ) -> Result<Written, WriteError> {
        self.send(job)?;
        match answer.await {
            Ok(outcome) => outcome.map(|(head, changed)| {
                span::note_revision(head.revision.0);
                Written { token: self.shared.token(head), changed }
            }),
            // The writer's thread is gone: whether it came to this commit is not known.
            Err(_) => Err(WriteError::OutcomeUnknown("the writer has ended".into())),
        }
    }

    fn send(&self, job: Job) -> Result<(), WriteError> {
        let Some(tasks) = self.sender() else {
            return Err(WriteError::Unavailable("the service is stopping".into()));
        };
        tasks.try_send(Task::Write(job)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                WriteError::Overloaded { limit: WAITING_COMMITS_MAX }
            }
            mpsc::error::TrySendError::Closed(_) => {
                WriteError::Unavailable("the writer has ended".into())
            }
        })
    }

    fn sender(&self) -> Option<mpsc::Sender<Task>> {
        self.writer.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the writer after the commits that wait; later writes are refused. Blocks until the writer
    /// has ended. Reads go on.
    pub fn close(&self) {
        drop(self.writer.tasks.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.writer.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the writer has been reported by the panic hook; there is nothing to add.
            let _ended = thread.join();
        }
    }
}
