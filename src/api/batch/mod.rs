//! BatchCheck: the questions as they came, their answers as they are sent, and how one becomes the other. Each
//! answer is that of a Check at the batch's revision and moment.

mod answers;
mod questions;

use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use self::answers::Answers;
pub(crate) use self::questions::Questions;
use super::authorization::checked;
use super::convert::context_from_wire;
use super::guard::{Deadline, deadline_exceeded};
use super::status::{ApiError, Refusal};
use super::values::Values;
use crate::engine::{self, CheckedContext, SERIES_WINDOW};
use crate::model::limits::{BATCH_ITEMS_MAX, CONNECTION_STEPS_MAX};
use crate::pdp::Reading;

/// What is wrong with the batch as a whole; an item's own errors come later, in its place.
pub(super) fn check_batch(count: usize) -> Result<(), ApiError> {
    if count > BATCH_ITEMS_MAX {
        let what = format!("there are {count}, the limit is {BATCH_ITEMS_MAX}");
        let error = ApiError::field(Refusal::BatchTooLarge, "items", what);
        return Err(error.with("limit", &BATCH_ITEMS_MAX));
    }
    Ok(())
}

/// Says when it is dropped that nobody waits for an answer any more.
#[derive(Default)]
pub(super) struct Caller {
    gone: Arc<AtomicBool>,
}

impl Caller {
    /// Whether this caller still waits, and until when.
    pub(super) fn wait(&self, deadline: Option<Deadline>) -> Wait {
        Wait { deadline, gone: Arc::clone(&self.gone) }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

/// Whether a caller still waits; asked by a job on another thread, which nothing else can stop.
pub(super) struct Wait {
    deadline: Option<Deadline>,
    gone: Arc<AtomicBool>,
}

impl Wait {
    fn goes_on(&self, answered: usize) -> Result<(), ApiError> {
        if self.deadline.is_some_and(|Deadline(end)| tokio::time::Instant::now() >= end) {
            return Err(deadline_exceeded());
        }
        if self.gone.load(Ordering::Relaxed) {
            tracing::debug!(answered, "a batch ends early, as nobody waits for it");
            return Err(ApiError::new(Refusal::Cancelled, "the caller went away"));
        }
        Ok(())
    }
}

/// A batch, answered from its first item on.
pub(super) struct Batch {
    reading: Reading,
    context: CheckedContext,
    questions: Questions,
    /// Those to the first questions.
    answers: Answers,
    wait: Wait,
}

impl Batch {
    pub(super) fn new(
        reading: Reading,
        mut questions: Questions,
        wait: Wait,
    ) -> Result<Self, ApiError> {
        let context = checked("context", questions.rest.context.take())?;
        let mut answers = Answers::with_room(questions.len());
        answers.revision = reading.token().revision.0;
        reading.token_text().clone_into(&mut answers.token);
        Ok(Self { reading, context, questions, answers, wait })
    }

    /// Answers as many as so many steps suffice for; whether those were all.
    ///
    /// # Errors
    /// Nobody waits for the batch any more.
    pub(super) fn answer_within(&mut self, mut left: u64) -> Result<bool, ApiError> {
        let mut answers = take(&mut self.answers);
        let mut is_whole = true;
        for asked in self.questions.all().iter() {
            self.wait.goes_on(answers.len())?;
            let decided = match self.question(asked) {
                Ok(question) => match self.reading.check_within(&question, false, &mut left) {
                    Some(decided) => decided.map_err(ApiError::from),
                    None => {
                        is_whole = false;
                        break;
                    }
                },
                Err(error) => Err(error),
            };
            answers.add(decided);
        }
        self.answers = answers;
        Ok(is_whole)
    }

    /// Answers the rest.
    ///
    /// # Errors
    /// Nobody waits for the batch any more.
    pub(super) fn answer_all(&mut self) -> Result<(), ApiError> {
        let (mut answers, mut series) = (take(&mut self.answers), self.reading.series());
        let (mut questions, mut refused) = (Vec::with_capacity(SERIES_WINDOW), Vec::new());
        let mut asked = self.questions.all().iter().skip(answers.len());
        while answers.len() < self.questions.len() {
            self.wait.goes_on(answers.len())?;
            questions.clear();
            for (at, asked) in asked.by_ref().take(SERIES_WINDOW).enumerate() {
                let has_values = asked.context.is_some();
                let question = self.question(asked);
                if has_values || question.is_err() {
                    // To read values, and to find what was meant, may take a while.
                    self.wait.goes_on(answers.len())?;
                }
                match question {
                    Ok(question) => questions.push(question),
                    Err(error) => refused.push((at, error)),
                }
                // The batch's values are copied for it: one such copy is held at a time.
                if has_values {
                    break;
                }
            }
            self.answer(&mut series, &questions, refused.drain(..), &mut answers)?;
        }
        self.answers = answers;
        Ok(())
    }

    /// What is sent.
    pub(super) fn answers(self) -> Answers {
        self.answers
    }

    /// Answers a few: decisions where there is a question, and errors in the places of those that are none.
    fn answer(
        &self,
        series: &mut crate::pdp::Series<'_>,
        questions: &[engine::Question<'_>],
        refused: impl Iterator<Item = (usize, ApiError)>,
        answers: &mut Answers,
    ) -> Result<(), ApiError> {
        let (before, mut refused, mut steps) = (answers.len(), refused.peekable(), 0);
        series.decide(questions, |decided, taken| {
            while let Some((_, error)) = refused.next_if(|(at, _)| before + at == answers.len()) {
                answers.add(Err(error));
            }
            answers.add(decided.map_err(ApiError::from));
            steps += taken;
            if steps < CONNECTION_STEPS_MAX {
                return Ok(());
            }
            steps = 0;
            self.wait.goes_on(answers.len())
        })?;
        refused.for_each(|(_, error)| answers.add(Err(error)));
        Ok(())
    }

    fn question<'q>(
        &self,
        asked: questions::Question<'q>,
    ) -> Result<engine::Question<'q>, ApiError> {
        let questions::Question { subject, permission, scope, context, target } = asked;
        let context = merged(&self.context, context)?;
        let question = self.reading.question(subject, permission, scope, context)?;
        if target.is_empty() {
            return Ok(question);
        }
        Ok(question.with_target(self.reading.model(), target)?)
    }
}

fn merged(shared: &CheckedContext, own: Option<&Values>) -> Result<CheckedContext, ApiError> {
    if own.is_none() {
        return Ok(shared.clone());
    }
    let mut context = shared.values().clone();
    context.extend(context_from_wire("context", own.cloned())?);
    Ok(CheckedContext::new(context)?)
}
