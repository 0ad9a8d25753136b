//! Many questions on one call, each answered as Check would answer it. Plain ones, which bring no context, no
//! tuples and no wish for freshness and take few steps, are answered where they were read. Any other waits for its
//! answer beside the rest, one at a time, as a call is one request under way whatever is asked on it. What is not
//! read stays with the transport, which keeps the caller from sending on. Decides nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Extensions;
use pb::check_stream_response::Result as Told;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::coop::poll_proceed;
use tokio::time::{Instant, timeout_at};
use tokio_stream::Stream;
use tonic::{Status, Streaming};

use super::convert::few_contextual;
use super::guard::{AnswerBy, CallPlaces, Deadline, deadline_exceeded};
use super::methods::CHECK;
use super::pb::v1 as pb;
use super::status::{ApiError, Refusal};
use super::{Adapter, Shared};
use crate::telemetry::figures::MethodId;

/// What a question that is not plain takes of the task's turn, where a plain one takes 1 of some 128: it may have
/// taken a millisecond.
const SHARE_OF_TURN: usize = 16;

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The answers to the questions of one call.
pub(super) struct Answers {
    asker: Asker,
    questions: Streaming<pb::CheckStreamRequest>,
    /// The answer to one that is not plain.
    waiting: Option<Waiting<pb::CheckStreamResponse>>,
    /// Another such, whose turn comes then; no more are read before.
    next: Option<Waiting<pb::CheckStreamResponse>>,
    /// What else ends the call than its questions.
    end: Waiting<ApiError>,
    /// How the call ends, once all that was read is answered.
    last: Option<Result<(), Status>>,
    _places: [OwnedSemaphorePermit; 2],
}

impl Answers {
    /// Takes questions until the deadline, if there is one.
    ///
    /// # Errors
    /// So many calls of this kind are open already.
    pub(super) fn to(
        adapter: &Adapter,
        questions: Streaming<pb::CheckStreamRequest>,
        deadline: Option<Deadline>,
        of_connection: &CallPlaces,
    ) -> Result<Self, ApiError> {
        let shared = &adapter.shared;
        let place = |places: &Arc<Semaphore>, limit: usize, whose: &str| {
            Arc::clone(places).try_acquire_owned().map_err(|_| {
                let what = format!("{limit} CheckStreams are open{whose} already");
                ApiError::new(Refusal::Overloaded, what).with("limit", &limit)
            })
        };
        let limit = shared.settings.check_streams_per_connection();
        let places = [
            place(&of_connection.0, limit, " on one connection")?,
            place(&shared.check_streams, shared.settings.check_streams(), "")?,
        ];
        let end = Box::pin(end(shared.stopping.subscribe(), deadline));
        let method = shared.requests.method(CHECK);
        Ok(Self {
            asker: Asker { adapter: adapter.clone(), method, deadline },
            questions,
            waiting: None,
            next: None,
            end,
            last: None,
            _places: places,
        })
    }

    /// The answer that was waited for; `None`: there was none to wait for.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Option<pb::CheckStreamResponse>> {
        let Some(waiting) = &mut self.waiting else { return Poll::Ready(None) };
        let answer = ready!(waiting.as_mut().poll(cx));
        self.waiting = self.next.take();
        for _ in 1..SHARE_OF_TURN {
            let Poll::Ready(turn) = poll_proceed(cx) else { break };
            turn.made_progress();
        }
        Poll::Ready(Some(answer))
    }

    /// The next question that may be read now; `None` after the last.
    fn poll_question(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<pb::CheckStreamRequest>, Status>> {
        if self.next.is_some() {
            return Poll::Pending;
        }
        // Whoever writes the answers polls again and again while the questions last: only the task's own turn
        // ends that, and wakes it.
        let turn = ready!(poll_proceed(cx));
        let question = ready!(Pin::new(&mut self.questions).poll_next(cx));
        turn.made_progress();
        Poll::Ready(question.transpose())
    }

    /// The answer to a question, if it is plain; else it will be waited for.
    fn ask(&mut self, asked: pb::CheckStreamRequest) -> Option<pb::CheckStreamResponse> {
        let began = Instant::now();
        let pb::CheckStreamRequest { id, question } = asked;
        let question = question.unwrap_or_default();
        // What it holds while it waits is to be small.
        let few = few_contextual(&question.contextual_tuples);
        let answer = few.map_or_else(
            |error| Some(Err(error)),
            |()| self.asker.adapter.check_at_once(&question),
        );
        let mut counted = self.asker.counted(began);
        if let Some(answer) = answer {
            return Some(counted.told(id, answer));
        }
        let asker = self.asker.clone();
        let answer = Box::pin(async move {
            let answer = asker.wait(question, began).await;
            counted.told(id, answer)
        });
        match self.waiting {
            None => self.waiting = Some(answer),
            Some(_) => self.next = Some(answer),
        }
        None
    }
}

/// Who asks for the answers, and counts them: a question is a request of Check, whichever way it comes.
#[derive(Clone)]
struct Asker {
    adapter: Adapter,
    method: MethodId,
    /// Of the call.
    deadline: Option<Deadline>,
}

impl Asker {
    /// The answer to a question that was read then.
    async fn wait(
        &self,
        question: pb::CheckRequest,
        began: Instant,
    ) -> Result<pb::CheckResponse, ApiError> {
        let patience = self.adapter.shared.settings.patience();
        let own = began + patience.request.min(patience.request_max);
        let due = self.deadline.map_or(own, |Deadline(end)| own.min(end));
        let mut extensions = Extensions::new();
        extensions.insert(AnswerBy(due));
        let answer = self.adapter.answer(question, &extensions);
        timeout_at(due, answer).await.unwrap_or_else(|_| Err(deadline_exceeded()))
    }

    fn counted(&self, began: Instant) -> Counted {
        let (shared, method) = (Arc::clone(&self.adapter.shared), self.method);
        Counted { shared, method, began, ended: Some(Refusal::Cancelled) }
    }
}

/// A question under way. It is counted when this goes, as cancelled unless it was answered.
struct Counted {
    shared: Arc<Shared>,
    method: MethodId,
    began: Instant,
    /// How; `None`: with an answer.
    ended: Option<Refusal>,
}

impl Counted {
    fn told(
        &mut self,
        id: u64,
        answer: Result<pb::CheckResponse, ApiError>,
    ) -> pb::CheckStreamResponse {
        self.ended = answer.as_ref().err().map(ApiError::refusal);
        let told = answer.map_or_else(|error| Told::Error(error.into()), Told::Answer);
        pb::CheckStreamResponse { id, result: Some(told) }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let ending = self.ended.map_or(0, Refusal::ending);
        self.shared.requests.ended(self.method, ending, self.began.elapsed());
    }
}

/// Why a call ends before its caller ends it.
async fn end(mut stopping: watch::Receiver<bool>, deadline: Option<Deadline>) -> ApiError {
    let stopped = async {
        // What would tell is gone only with the process.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    match deadline {
        None => stopped.await,
        Some(Deadline(end)) => {
            if timeout_at(end, stopped).await.is_err() {
                return deadline_exceeded();
            }
        }
    }
    let what = "the service is stopping; it has not looked at the questions without an answer";
    ApiError::new(Refusal::NotReady, what)
}

impl Stream for Answers {
    type Item = Result<pb::CheckStreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let waiting = this.poll_waiting(cx);
            if let Poll::Ready(Some(answer)) = waiting {
                return Poll::Ready(Some(Ok(answer)));
            }
            if let Some(last) = &mut this.last {
                ready!(waiting);
                // An error is said once, and then there is nothing more.
                let last = std::mem::replace(last, Ok(()));
                return Poll::Ready(last.err().map(Err));
            }
            match this.poll_question(cx) {
                Poll::Ready(Ok(Some(asked))) => {
                    if let Some(answer) = this.ask(asked) {
                        return Poll::Ready(Some(Ok(answer)));
                    }
                }
                Poll::Ready(Ok(None)) => this.last = Some(Ok(())),
                Poll::Ready(Err(error)) => this.last = Some(Err(error)),
                Poll::Pending => {
                    let error = ready!(this.end.as_mut().poll(cx));
                    this.last = Some(Err(error.into()));
                }
            }
        }
    }
}
