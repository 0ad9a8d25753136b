//! Commits chunks as if one after the other, in the order of their lines, while the next one is already
//! on its way: the service's one writer does not wait for it. Knows neither file nor wire.
//!
//! The service may judge two requests that are under way together in either order. So the second goes
//! beside the first only where all comes out as in order if both can be in ([`Chunk::may_go_beside`]).
//! Where they contradict each other one of them is refused, and it may be the first. A refusal of the
//! second counts only once the first is in.

use std::future::{Future, pending};
use std::pin::{Pin, pin};

use tokio::sync::mpsc;

use super::Args;
use super::chunk::{Chunk, Step};
use super::done::{Done, Fate, Why};
use super::notes::Notes;
use super::send::{Answer, Sender};
use crate::api::pb::v1::WriteTuplesResponse;
use crate::cli::CliError;
use crate::server::terminated;

/// A chunk that was sent.
struct UnderWay<'s> {
    chunk: Chunk,
    asked: Pin<Box<dyn Future<Output = Answer> + 's>>,
    /// What came back of it.
    answer: Option<Answer>,
    /// Whether it was sent before the one before it was known to be in.
    is_beside: bool,
}

impl UnderWay<'_> {
    /// Resolves when there is an answer; can be dropped and asked again before that.
    async fn answered(&mut self) {
        if self.answer.is_none() {
            self.answer = Some(self.asked.as_mut().await);
        }
    }

    fn fate(&self) -> (&Chunk, Fate) {
        let fate = match &self.answer {
            Some(Ok(_)) => Fate::In,
            Some(Err(refused)) => refused.fate(),
            None => Fate::Unknown,
        };
        (&self.chunk, fate)
    }
}

/// Resolves when this chunk is answered, or was before; never, if there is none.
async fn answered(chunk: Option<&mut UnderWay<'_>>) {
    match chunk {
        Some(chunk) => chunk.answered().await,
        None => pending().await,
    }
}

/// The same, but never if it was answered before.
async fn newly_answered(chunk: Option<&mut UnderWay<'_>>) {
    answered(chunk.filter(|chunk| chunk.answer.is_none())).await;
}

/// Commits all chunks, or tells where it had to stop.
pub(super) async fn write_all(
    args: &Args,
    sender: &Sender<'_>,
    mut steps: mpsc::Receiver<Step>,
    notes: &Notes<'_, '_>,
) -> Result<Done, CliError> {
    let mut told_to_stop = pin!(terminated().map_err(CliError::failed)?);
    // Only a create can meet a commit of an earlier run.
    let before = if args.create { sender.head().await? } else { 0 };
    let done = Done::begin(args.from_line, before);
    let mut writing = Writing { args, sender, notes, done, next: args.from_line };
    let mut first: Option<UnderWay<'_>> = None;
    loop {
        let step = tokio::select! {
            biased;
            // Though the next line may be long in coming.
            () = answered(first.as_mut()) => {
                writing.settle(first.take(), None, told_to_stop.as_mut()).await?;
                continue;
            }
            step = steps.recv() => step,
            () = &mut told_to_stop => return Err(writing.interrupted(first.as_ref(), None)),
        };
        let Some(Step::Chunk(chunk)) = step else {
            writing.settle(first, None, told_to_stop).await?;
            return writing.end(step);
        };
        let is_beside = first.as_ref().is_some_and(|first| writing.may_go(&chunk, &first.chunk));
        if !is_beside {
            writing.settle(first.take(), None, told_to_stop.as_mut()).await?;
        }
        let mut second = UnderWay { is_beside, ..writing.send(chunk, true) };
        writing.settle(first.take(), Some(&mut second), told_to_stop.as_mut()).await?;
        first = Some(second);
    }
}

/// What an import has committed, and whom it asks.
struct Writing<'s, 'n, 'e> {
    args: &'s Args,
    sender: &'s Sender<'s>,
    notes: &'s Notes<'n, 'e>,
    done: Done,
    /// Where to go on: behind the last line that is in.
    next: u64,
}

impl<'s> Writing<'s, '_, '_> {
    /// Whether a chunk may go beside the one before it. A create may meet the commit of an earlier run: it is
    /// then asked whether those tuples still stand, and what comes later could be in the way of that.
    fn may_go(&self, chunk: &Chunk, before: &Chunk) -> bool {
        !self.args.create && chunk.may_go_beside(before)
    }

    /// Sends a chunk; `is_out`: no earlier attempt can have committed it.
    fn send(&self, chunk: Chunk, is_out: bool) -> UnderWay<'s> {
        let asked = Box::pin(self.sender.commit(&chunk, is_out));
        UnderWay { chunk, asked, answer: None, is_beside: false }
    }

    /// Waits until the first chunk is in, if there is one, with `second` under way beside it.
    async fn settle(
        &mut self,
        first: Option<UnderWay<'s>>,
        mut second: Option<&mut UnderWay<'s>>,
        mut told_to_stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), CliError> {
        let Some(mut first) = first else { return Ok(()) };
        loop {
            tokio::select! {
                biased;
                // Before all else, as it is sent by this.
                () = newly_answered(second.as_deref_mut()) => continue,
                () = first.answered() => {}
                () = &mut told_to_stop => {
                    return Err(self.interrupted(Some(&first), second.as_deref()));
                }
            }
            match first.answer.take() {
                None => {}
                Some(Ok(answer)) => return self.add(&first.chunk, answer).await,
                // It may have been judged before the one before it, or have waited for that too long.
                Some(Err(refused)) if first.is_beside => {
                    first = self.send(first.chunk, refused.is_out);
                }
                Some(Err(refused)) => {
                    // What is told of the second is what became of it, if that comes to be known.
                    if let Some(second) = second.as_deref_mut() {
                        tokio::select! {
                            () = second.answered() => {}
                            () = &mut told_to_stop => {}
                        }
                    }
                    let under_way =
                        [Some((&first.chunk, refused.fate())), second.map(|s| s.fate())];
                    return Err(self.stopped(&Why::Refused(&refused), under_way));
                }
            }
        }
    }

    /// A chunk is in, and all before it.
    async fn add(&mut self, chunk: &Chunk, answer: WriteTuplesResponse) -> Result<(), CliError> {
        if self.done.knows(&answer) {
            // In once, which says nothing of now.
            let lacking = self.sender.lacking(chunk).await.map_err(|refused| {
                self.stopped(&Why::Refused(&refused), [Some((chunk, refused.fate())), None])
            })?;
            self.done.miss(lacking);
        }
        self.done.add(chunk, answer);
        self.next = chunk.last() + 1;
        Ok(self.notes.set(self.done.tuples, chunk.read)?)
    }

    /// All chunks before this are in.
    fn end(self, step: Option<Step>) -> Result<Done, CliError> {
        let why = match step {
            None | Some(Step::Chunk(_)) => return Ok(self.done),
            Some(Step::Bad(line, error)) => Why::Malformed { line, error },
            Some(Step::Failed(error)) => Why::Unreadable(error),
        };
        Err(self.stopped(&why, [None, None]))
    }

    fn interrupted(&self, first: Option<&UnderWay<'_>>, second: Option<&UnderWay<'_>>) -> CliError {
        let under_way = [first.map(UnderWay::fate), second.map(UnderWay::fate)];
        self.stopped(&Why::Interrupted, under_way)
    }

    fn stopped(&self, why: &Why<'_>, under_way: [Option<(&Chunk, Fate)>; 2]) -> CliError {
        let under_way: Vec<_> = under_way.into_iter().flatten().collect();
        self.done.stopped(self.args, why, &under_way, self.next)
    }
}
