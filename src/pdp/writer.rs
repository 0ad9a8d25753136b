//! The one writer. Order, here and nowhere else: validate against the pending snapshot, make durable,
//! publish, answer. Commits that arrive together are made durable by one sync.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{self, error::TryRecvError};

use super::activate::{Activation, NextModel};
use super::background::{BULK_CHANGES, give_way};
use super::checkpoint::Checkpointer;
use super::company::Company;
use super::history::{Forgotten, State};
use super::keys::KeyedCommits;
use super::merger::Merger;
use super::pending::{Judged, Pending, changed_by, refused_by_store};
use super::proposal::ProposalError;
use super::request::{Job, Reply};
use super::{Published, Shared, WriteError};
use crate::model::limits::{GROUP_CHANGES_MAX, GROUP_COMMITS_MAX};
use crate::model::tuple::Time;
use crate::store::{Fingerprint, Head, KeyedCommit, Store, StoreError};

/// What the writer is asked to do, in this order.
#[derive(Debug)]
pub(super) enum Task {
    /// A commit of tuples.
    Write(Job),
    /// The commit of a model.
    Activate(Box<Activation>),
    /// Nothing but to look after the index: a base for it has been made.
    Merged,
}

/// The writer's thread.
#[derive(Debug)]
pub(super) struct Writer {
    store: Arc<dyn Store>,
    shared: Arc<Shared>,
    tasks: mpsc::Receiver<Task>,
    /// Set by the first failed sync; from then on nothing is written.
    latched: Option<Latch>,
    /// Durable commits whose requests may be repeated; nobody else looks for them.
    keyed: KeyedCommits,
    checkpointer: Checkpointer,
    merger: Merger,
    refusals: Refusals,
    company: Company,
}

/// How often the log speaks of groups that the store could not take.
const REFUSALS_SAID_EVERY: Duration = Duration::from_secs(10);

/// Groups that the store could not take: the first is told of at once, the next ones together.
#[derive(Debug, Default)]
struct Refusals {
    said: Option<Instant>,
    unsaid: u64,
}

impl Refusals {
    /// Counts one; how many to speak of, if it is time to.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.unsaid = self.unsaid.saturating_add(1);
        let is_recent = |said: Instant| now.saturating_duration_since(said) < REFUSALS_SAID_EVERY;
        if self.said.is_some_and(is_recent) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// Why nothing is written any more.
#[derive(Debug)]
struct Latch {
    cause: String,
    /// The keys of the commits that failed: they may be in.
    doubtful: HashSet<Fingerprint>,
}

impl Latch {
    /// What became of an earlier request is told as ever, as far as it is known.
    fn answer(&self, job: &Job, durable: &KeyedCommits, now: Time) -> Reply {
        if let Some((key, body)) = job.keyed {
            if let Some(KeyedCommit { request, head, .. }) = durable.find(key, now) {
                return Ok((*head, changed_by(request, body, head.revision)?));
            }
            if self.doubtful.contains(&key) {
                return Err(WriteError::OutcomeUnknown(self.cause.clone()));
            }
        }
        Err(WriteError::Unavailable(self.cause.clone()))
    }
}

/// What a group still takes.
#[derive(Debug)]
struct Room {
    commits: usize,
    changes: usize,
    /// Nobody waits long for the others of the group.
    is_bulk: bool,
}

impl Room {
    /// A commit, and others.
    fn beside(first: &Job) -> Self {
        Self { commits: GROUP_COMMITS_MAX, changes: GROUP_CHANGES_MAX, is_bulk: is_bulk(first) }
    }

    /// Whether nobody is waited for.
    fn is_full_or_bulk(&self) -> bool {
        self.is_bulk || self.commits == 0 || self.changes == 0
    }

    /// Whether there is room for this; it is less by that, then. Small commits never wait for a large one that
    /// comes after them.
    fn takes(&mut self, task: &Task) -> bool {
        let Task::Write(job) = task else { return false };
        let changes = self.changes.checked_sub(job.request.changes());
        match (self.commits.checked_sub(1), changes) {
            (Some(commits), Some(changes)) if self.is_bulk || !is_bulk(job) => {
                (self.commits, self.changes) = (commits, changes);
                true
            }
            _ => false,
        }
    }
}

/// How long a group waits for others, and how many have come.
struct Waited {
    until: Instant,
    came: usize,
}

/// A group that is durable and published.
#[derive(Default)]
struct Durable {
    /// Where the log stood after each of its commits.
    heads: Vec<Head>,
    /// How long the store took.
    took: Duration,
    /// The past that it left.
    forgotten: Option<Forgotten>,
}

fn is_bulk(job: &Job) -> bool {
    job.request.changes() >= BULK_CHANGES
}

impl Writer {
    pub(super) fn new(
        store: Arc<dyn Store>,
        shared: Arc<Shared>,
        tasks: mpsc::Receiver<Task>,
        keyed: KeyedCommits,
        checkpointer: Checkpointer,
        merger: Merger,
    ) -> Self {
        let (refusals, company) = (Refusals::default(), Company::default());
        Self { store, shared, tasks, latched: None, keyed, checkpointer, merger, refusals, company }
    }

    /// Serves commits until every sender is gone.
    pub(super) fn run(mut self) {
        let mut next = None;
        while let Some(task) = next.take().or_else(|| self.tasks.blocking_recv()) {
            next = match task {
                Task::Write(job) if is_bulk(&job) => self.serve_giving_way(job),
                Task::Write(job) => self.serve(job),
                Task::Activate(activation) => {
                    self.activate(*activation);
                    None
                }
                Task::Merged => None,
            };
            self.keep_compact();
            let published = self.shared.published.load_full();
            if self.checkpointer.is_due(published.snapshot.len()) && self.latched.is_none() {
                self.checkpointer.begin(published, self.keyed.all());
            }
        }
        self.checkpointer.end();
        if self.latched.is_none()
            && let Err(error) = self.store.note_time(self.shared.last_now())
        {
            tracing::warn!(%error, "the time is not noted: after a start it may run back");
        }
    }

    /// Publishes the newest revision on the next base, if there is one, or with its changes set apart for
    /// it. Readers see the same tuples before and after.
    fn keep_compact(&mut self) {
        let published = self.shared.published.load_full();
        if let Some(snapshot) = self.merger.step(&published.snapshot) {
            self.shared.published.store(Arc::new(published.on(snapshot)));
        }
    }

    /// Serves a group that takes long, on a thread that gives way to those who read. So does the merge that this
    /// makes due: a thread has the priority of the one that begins it.
    fn serve_giving_way(&mut self, first: Job) -> Option<Task> {
        let (mut first, mut next) = (Some(first), None);
        std::thread::scope(|scope| {
            let serve = || {
                give_way();
                if let Some(first) = first.take() {
                    next = self.serve(first);
                    self.keep_compact();
                }
            };
            let thread = std::thread::Builder::new().name("bailiwick-bulk".into());
            if let Err(error) = thread.spawn_scoped(scope, serve) {
                tracing::warn!(%error, "no thread for a large commit; it is made at once");
            }
        });
        match first {
            Some(first) => self.serve(first),
            None => next,
        }
    }

    /// Serves a commit, and in one group with it whatever comes, as far as there is room, before the last of them
    /// is judged, or in the short while that they are waited for: whoever is answered with a group is soon back, and
    /// then needs not wait for a whole one more.
    /// What has come and is none of the group's is to be done next: nobody else has it.
    #[must_use]
    fn serve(&mut self, first: Job) -> Option<Task> {
        let first = self.unless_latched(first)?;
        let published = self.shared.published.load_full();
        let mut pending = Pending::new(&published, published.time);
        let (mut group, mut judged) = (Vec::new(), Vec::new());
        let (mut room, mut waited) = (Room::beside(&first), None);
        let mut next = Some(Task::Write(first));
        while let Some(Task::Write(job)) = next.take_if(|task| room.takes(task)) {
            // Of its own moment: what its caller has seen to have ended has ended for it.
            let now = self.shared.now(pending.time);
            judged.push(pending.judge(&job, &self.keyed, now));
            group.push(job);
            next = self.tasks.try_recv().ok();
            // Where nothing is to be made durable, nobody gains by waiting.
            if next.is_none() && !room.is_full_or_bulk() && !pending.commits.is_empty() {
                next = self.next_of_company(group.len(), &mut waited);
            }
        }
        self.settle(&published, pending, group, judged);
        next
    }

    /// What comes while those who write at present are waited for, if they are not all in this group of so many.
    fn next_of_company(&mut self, group: usize, waited: &mut Option<Waited>) -> Option<Task> {
        let patience = self.company.patience_with(group)?;
        let began = Instant::now();
        let waited = waited.get_or_insert(Waited { until: began + patience, came: 0 });
        loop {
            match self.tasks.try_recv() {
                Err(TryRecvError::Empty) if Instant::now() < waited.until => {
                    std::thread::yield_now();
                }
                Err(_) => break,
                Ok(task) => {
                    waited.came += 1;
                    return Some(task);
                }
            }
        }
        // To yield may take a turn of others, where all processors are busy.
        let is_late = Instant::now() > waited.until + patience;
        if waited.came == 0 || is_late {
            self.company.in_vain();
        }
        None
    }

    /// Serves a commit, and nothing with it.
    fn serve_alone(&mut self, job: Job) {
        let Some(job) = self.unless_latched(job) else { return };
        let published = self.shared.published.load_full();
        let mut pending = Pending::new(&published, published.time);
        let judged = pending.judge(&job, &self.keyed, self.shared.now(published.time));
        self.settle(&published, pending, vec![job], vec![judged]);
    }

    /// Answers a commit if nothing is written any more.
    fn unless_latched(&self, job: Job) -> Option<Job> {
        let Some(latch) = &self.latched else { return Some(job) };
        let now = self.shared.now(self.shared.published.load().time);
        let answer = latch.answer(&job, &self.keyed, now);
        // Whoever does not wait any more needs no answer.
        let _gone = job.reply.send(answer);
        None
    }

    /// Makes a judged group durable, and answers it.
    fn settle(
        &mut self,
        published: &Arc<Published>,
        pending: Pending,
        group: Vec<Job>,
        judged: Vec<Judged>,
    ) {
        match self.make_durable(published, pending) {
            Ok(Durable { heads, took, forgotten }) => {
                // Whoever writes much at once is long in coming back.
                if group.iter().any(is_bulk) {
                    self.company = Company::default();
                } else if !took.is_zero() {
                    self.company.note(group.len(), self.tasks.len(), took);
                }
                for (job, judged) in group.into_iter().zip(judged) {
                    let _gone = job.reply.send(judged.settled(published.head, &heads));
                }
                // While those who were answered come back.
                drop(forgotten);
            }
            // Only whoever asked for what cannot be stored is refused.
            Err(StoreError::CommitTooLarge { .. } | StoreError::Unstorable { .. })
                if group.len() > 1 =>
            {
                group.into_iter().for_each(|job| self.serve_alone(job));
            }
            Err(error) => self.refuse(group, judged, published.head, &error),
        }
    }

    /// Appends and publishes.
    fn make_durable(
        &mut self,
        published: &Arc<Published>,
        pending: Pending,
    ) -> Result<Durable, StoreError> {
        if pending.commits.is_empty() {
            return Ok(Durable::default());
        }
        let began = Instant::now();
        let heads = self.store.append(published.head.revision, &pending.commits)?;
        let took = began.elapsed();
        published.work.appended(pending.commits.len(), took);
        for (head, commit) in heads.iter().zip(&pending.commits) {
            self.keyed.note(*head, commit);
        }
        self.checkpointer.count(&pending.commits);
        let (between, newest) = states(published, pending, &heads);
        let forgotten = Some(self.shared.publish(between, &newest));
        Ok(Durable { heads, took, forgotten })
    }

    fn activate(&mut self, Activation { next, reply }: Activation) {
        // Whoever does not wait any more finds it in the log.
        let _gone = reply.send(self.put_in_force(next));
    }

    /// Validates the model against what is published, makes it durable and publishes it.
    fn put_in_force(&mut self, next: NextModel) -> Result<Head, ProposalError> {
        if let Some(latch) = &self.latched {
            return Err(ProposalError::Unavailable(latch.cause.clone()));
        }
        let published = self.shared.published.load_full();
        let time = self.shared.now(published.time);
        let next = next.complete(self.store.as_ref(), &published, time)?;
        let group = [next.commit(time)];
        let began = Instant::now();
        match self.store.append(published.head.revision, &group) {
            Ok(heads) => {
                published.work.appended(group.len(), began.elapsed());
                let head = heads.last().copied().unwrap_or(published.head);
                for commit in &group {
                    self.keyed.note(head, commit);
                }
                self.checkpointer.count(&group);
                let newest = Arc::new(next.published(head, time, &published));
                drop(self.shared.publish(Vec::new(), &newest));
                Ok(head)
            }
            Err(error) => {
                let is_passing = matches!(error, StoreError::Unwritten { .. });
                let refusal = ProposalError::from(error);
                if is_passing {
                    published.work.refused();
                    tracing::error!(error = %refusal, "the store could not take a model");
                } else if refusal.is_of_the_store() {
                    tracing::error!(error = %refusal, "the store failed; nothing more is written");
                    self.latch(refusal.to_string(), HashSet::new());
                }
                Err(refusal)
            }
        }
    }

    fn latch(&mut self, cause: String, doubtful: HashSet<Fingerprint>) {
        self.shared.published.load().work.latched();
        self.latched = Some(Latch { cause, doubtful });
    }

    /// The append failed. Only where nothing was written is the outcome known.
    fn refuse(&mut self, group: Vec<Job>, judged: Vec<Judged>, base: Head, error: &StoreError) {
        let cause = error.to_string();
        let is_refused_alone =
            matches!(error, StoreError::CommitTooLarge { .. } | StoreError::Unstorable { .. });
        let is_passing = matches!(error, StoreError::Unwritten { .. });
        let is_unwritten =
            is_passing || matches!(error, StoreError::Conflict { .. } | StoreError::Latched { .. });
        if is_passing {
            self.shared.published.load().work.refused();
            if let Some(groups) = self.refusals.note(Instant::now()) {
                tracing::error!(error = %cause, groups, "the store could not take commits");
            }
        } else if !is_refused_alone {
            tracing::error!(error = %cause, "the store failed; nothing more is written");
            let failed = group.iter().zip(&judged).filter(|(_, judged)| judged.is_commit());
            let keys = failed.filter_map(|(job, _)| job.keyed).map(|(key, _)| key);
            let doubtful = keys.filter(|_| !is_unwritten).collect();
            self.latch(cause.clone(), doubtful);
        }
        for (job, judged) in group.into_iter().zip(judged) {
            let failed = if is_refused_alone {
                refused_by_store(error)
            } else if is_unwritten {
                WriteError::Unavailable(cause.clone())
            } else {
                WriteError::OutcomeUnknown(cause.clone())
            };
            let _gone = job.reply.send(judged.failed(base, failed, &cause));
        }
    }
}

/// The states after each commit of a group, the last apart.
fn states(
    published: &Arc<Published>,
    pending: Pending,
    heads: &[Head],
) -> (Vec<State>, Arc<Published>) {
    let Pending { snapshot: last, snapshots, commits, .. } = pending;
    let whole = |snapshot, head, time, changes| {
        Arc::new(Published { head, time, changes, ..published.on(snapshot) })
    };
    let newest = commits.last().map_or(published.time, |commit| commit.time);
    let (mut before, mut between) = (Arc::clone(published), Vec::with_capacity(heads.len()));
    let (mut steps, mut changes) = (Vec::new(), published.changes);
    let end = heads.last().copied().unwrap_or(published.head);
    for ((head, commit), snapshot) in heads.iter().zip(commits).zip(snapshots) {
        changes += commit.changes.len() as u64;
        match snapshot {
            _ if *head == end => break,
            Some(snapshot) => {
                between.extend(State::after(&before, std::mem::take(&mut steps)));
                before = whole(snapshot, *head, commit.time, changes);
                between.push(State::Whole(Arc::clone(&before)));
            }
            None => steps.push((*head, changes, commit)),
        }
    }
    between.extend(State::after(&before, steps));
    (between, whole(last, end, newest, changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refused_group_is_told_of_at_once_and_the_next_ones_together() {
        let mut refusals = Refusals::default();
        let first = Instant::now();
        assert_eq!(refusals.note(first), Some(1));
        let soon = first + REFUSALS_SAID_EVERY - Duration::from_nanos(1);
        assert_eq!((refusals.note(first), refusals.note(soon)), (None, None));
        assert_eq!(refusals.note(first + REFUSALS_SAID_EVERY), Some(3));
        assert_eq!(refusals.note(first + REFUSALS_SAID_EVERY), None);
    }
}
