//! Keeps the index compact beside the writer: when much was written since a snapshot's base was made, a
//! thread makes the next one, and the writer stands on it as soon as it is there. Knows no commit and no
//! store: what is published stays the same tuples at the same revision.
//!
//! A merge that fails or panics changes nothing: the layer that it was to take up stays where it is.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use tokio::sync::mpsc::WeakSender;

use super::background::give_way;
use super::writer::Task;
use crate::index::{BaseUse, Merge, MergeError, Merged, Snapshot};
use crate::model::limits::{MERGE_CHANGES_MIN, MERGE_SHARE};

type Outcome = Result<Merged, MergeError>;

/// Makes bases, one at a time.
#[derive(Debug)]
pub(super) struct Merger {
    /// The way to the writer, which may be asleep when a base is there. Keeps nobody from ending it.
    writer: WeakSender<Task>,
    /// What the thread under way will send.
    under_way: Option<Receiver<Outcome>>,
    /// The bases that were replaced, as long as the past or a list stands on them.
    replaced: Vec<BaseUse>,
    /// So many changes are waited for after a failure, beyond those that would make a merge due.
    held_off: usize,
}

impl Merger {
    pub(super) fn new(writer: WeakSender<Task>) -> Self {
        Self { writer, under_way: None, replaced: Vec::new(), held_off: 0 }
    }

    /// What to publish in place of this snapshot, the newest, at the same revision: it stands on the base
    /// that has been made, or its changes wait for the one that is being made now. `None`: nothing.
    pub(super) fn step(&mut self, newest: &Snapshot) -> Option<Snapshot> {
        let adopted = self.outcome().and_then(|merged| {
            let mut next = newest.clone();
            let is_adopted = next.adopt(&merged);
            if is_adopted {
                self.replaced.push(newest.base_use());
            }
            is_adopted.then_some(next)
        });
        let newest = adopted.as_ref().unwrap_or(newest);
        let begun = self.is_due(newest).then(|| {
            let mut next = newest.clone();
            let merge = next.begin_merge();
            self.begin(merge);
            next
        });
        begun.or(adopted)
    }

    /// What a thread has made, if it has.
    fn outcome(&mut self) -> Option<Merged> {
        let outcome = match self.under_way.as_ref()?.try_recv() {
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err("its thread has ended".to_owned()),
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
        };
        self.under_way = None;
        match outcome {
            Ok(merged) => {
                self.held_off = 0;
                Some(merged)
            }
            Err(error) => {
                tracing::error!(error, "the index was not merged; it answers as before");
                self.held_off = self.held_off.saturating_add(MERGE_CHANGES_MIN);
                None
            }
        }
    }

    /// Whether enough has been written. Bases that are still read are memory, so each but the first
    /// makes the next one twice as rare.
    fn is_due(&mut self, newest: &Snapshot) -> bool {
        if self.under_way.is_some() {
            return false;
        }
        let due = MERGE_CHANGES_MIN.max(newest.merged() / MERGE_SHARE);
        let unmerged = newest.unmerged();
        if unmerged < due {
            return false;
        }
        self.replaced.retain(BaseUse::is_used);
        let doublings = u32::try_from(self.replaced.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let due = due.saturating_mul(2_usize.saturating_pow(doublings));
        unmerged >= due.saturating_add(self.held_off)
    }

    fn begin(&mut self, merge: Merge) {
        let (done, under_way) = sync_channel(1);
        let writer = self.writer.clone();
        let run = move || {
            give_way();
            run(merge, &done, &writer);
        };
        match std::thread::Builder::new().name("bailiwick-merge".into()).spawn(run) {
            Ok(_detached) => self.under_way = Some(under_way),
            Err(error) => {
                tracing::error!(%error, "the merge's thread could not be started");
                self.held_off = self.held_off.saturating_add(MERGE_CHANGES_MIN);
            }
        }
    }
}

/// Makes a base and tells the writer. Ends by itself, whether anybody waits or not: it holds memory only.
fn run(merge: Merge, done: &SyncSender<Outcome>, writer: &WeakSender<Task>) {
    // Whoever has closed the service needs no base.
    let _gone = done.send(merge.run());
    if let Some(writer) = writer.upgrade() {
        // A full queue wakes the writer too.
        let _full = writer.try_send(Task::Merged);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use tokio::sync::mpsc;

    use super::*;
    use crate::index::Builder;
    use crate::model::tuple::{Change, Tuple, TupleKey};
    use crate::model::{SourceFiles, load};

    const MODEL: &str = "
model: merged
types: { user: {}, org: {} }
roles: [ { at: [org], names: [viewer], bound_by: [user] } ]
permissions: { see: { at: [org], is: viewer } }
";

    fn empty() -> Snapshot {
        let mut files = SourceFiles::default();
        files.insert("model.yaml", MODEL);
        Snapshot::empty(Arc::new(load(&files, &BTreeMap::new()).unwrap()))
    }

    /// Puts tuples until so many changes and names are unmerged, or one more: a tuple may bring a name.
    fn write(snapshot: &mut Snapshot, unmerged: usize) {
        for at in 0.. {
            if snapshot.unmerged() >= unmerged {
                return;
            }
            snapshot.apply(&put(at)).unwrap();
        }
    }

    fn put(at: usize) -> Change {
        let text = format!("org:acme#viewer@user:{at}");
        Change::Put(Tuple::plain(TupleKey::parse(&text).unwrap()))
    }

    fn merger() -> (Merger, mpsc::Sender<Task>, mpsc::Receiver<Task>) {
        let (tasks, woken) = mpsc::channel(1);
        (Merger::new(tasks.downgrade()), tasks, woken)
    }

    #[test]
    fn a_merge_is_due_after_so_many_changes_and_wakes_the_writer() {
        let (mut merger, _tasks, mut woken) = merger();
        let mut snapshot = empty();
        write(&mut snapshot, MERGE_CHANGES_MIN - 2);
        assert!(merger.step(&snapshot).is_none());
        write(&mut snapshot, MERGE_CHANGES_MIN);
        let mut frozen = merger.step(&snapshot).unwrap();
        assert_eq!((frozen.unmerged(), frozen.len()), (0, snapshot.len()));
        // What is written meanwhile lies over it, and begins no second merge.
        write(&mut frozen, MERGE_CHANGES_MIN);
        assert!(matches!(woken.blocking_recv(), Some(Task::Merged)));
        let before = frozen.base_use();
        let next = merger.step(&frozen).unwrap();
        assert!(next.merged() > MERGE_CHANGES_MIN && next.len() == frozen.len());
        assert_eq!(next.unmerged(), 0, "the next merge has begun");
        assert!(before.is_used());
    }

    #[test]
    fn a_large_base_is_merged_after_more_changes() {
        let (mut merger, _tasks, _woken) = merger();
        let mut builder = Builder::new(Arc::clone(empty().model()));
        let many = MERGE_CHANGES_MIN * MERGE_SHARE;
        (0..many).for_each(|at| builder.apply(&put(at)).unwrap());
        let mut snapshot = builder.build().unwrap();
        assert!(snapshot.merged() >= 2 * many, "tuples, and a name each");
        write(&mut snapshot, 2 * MERGE_CHANGES_MIN - 2);
        assert!(merger.step(&snapshot).is_none());
        write(&mut snapshot, 2 * MERGE_CHANGES_MIN + 1);
        assert!(merger.step(&snapshot).is_some());
    }

    #[test]
    fn bases_that_are_still_read_make_merges_rarer() {
        let (mut merger, _tasks, mut woken) = merger();
        let (mut snapshot, mut past) = (empty(), Vec::new());
        let mut due = MERGE_CHANGES_MIN;
        for replaced in 0..4 {
            write(&mut snapshot, due - 2);
            assert!(merger.step(&snapshot).is_none());
            write(&mut snapshot, due);
            snapshot = merger.step(&snapshot).unwrap();
            past.push(snapshot.clone());
            assert!(matches!(woken.blocking_recv(), Some(Task::Merged)));
            snapshot = merger.step(&snapshot).unwrap();
            due = MERGE_CHANGES_MIN << replaced;
        }
        past.clear();
        write(&mut snapshot, MERGE_CHANGES_MIN);
        assert!(merger.step(&snapshot).is_some());
    }

    #[test]
    fn a_merge_that_fails_changes_nothing_and_is_tried_again_later() {
        let (mut merger, _tasks, mut woken) = merger();
        let mut snapshot = empty();
        write(&mut snapshot, MERGE_CHANGES_MIN);
        let mut frozen = merger.step(&snapshot).unwrap();
        assert!(matches!(woken.blocking_recv(), Some(Task::Merged)));
        // As if the thread had panicked.
        merger.under_way = Some(sync_channel(1).1);
        assert!(merger.step(&frozen).is_none());
        write(&mut frozen, 2 * MERGE_CHANGES_MIN - 2);
        assert!(merger.step(&frozen).is_none());
        write(&mut frozen, 2 * MERGE_CHANGES_MIN);
        let again = merger.step(&frozen).unwrap();
        assert!(matches!(woken.blocking_recv(), Some(Task::Merged)));
        let merged = merger.step(&again).unwrap();
        assert!(merged.merged() > MERGE_CHANGES_MIN && merged.len() == frozen.len());
    }
}
