//! The load generator, the same for every service: first as fast as the callers can (closed loop), then at a
//! given rate (open loop), where latency counts from the moment a request was due, whether or not a caller was
//! free to send it. Every answer is compared with the expected decision.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::fault::{DISAGREES, Fault, fault};
use crate::service::{Checks, call};

/// How long the thread that releases due requests sleeps between two looks; the system makes it some 60 us.
const PACE: Duration = Duration::from_micros(1);

/// How often a question is asked again that was answered by an error, when decisions are compared.
const AGAIN: usize = 3;

/// The questions, as messages, with the expected decisions.
pub(crate) type Requests<C> = Arc<Vec<(<C as Checks>::Request, bool)>>;

/// Who calls: so many connections, and so many callers on each.
#[derive(Debug, Clone)]
pub(crate) struct Callers {
    pub(crate) connections: Vec<Channel>,
    pub(crate) each: usize,
}

impl Callers {
    fn channels(&self) -> impl Iterator<Item = Channel> + '_ {
        self.connections.iter().flat_map(|channel| std::iter::repeat_n(channel.clone(), self.each))
    }

    fn count(&self) -> usize {
        self.connections.len() * self.each
    }
}

/// What a load gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) callers_each: usize,
    /// What was asked for; nothing if as fast as can be.
    pub(crate) wanted_per_s: Option<f64>,
    /// What was answered.
    pub(crate) per_s: f64,
    pub(crate) seconds: f64,
    /// Answers that were an error status.
    pub(crate) errors: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

/// Latencies of the answers, in microseconds, and how many were errors.
#[derive(Debug, Default)]
struct Took {
    us: Vec<f32>,
    errors: u64,
}

/// Asks everything once and fails at the first decision that differs.
pub(crate) async fn agree<C: Checks>(
    callers: &Callers,
    requests: &Requests<C>,
) -> Result<(), Fault> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for channel in callers.channels() {
        let (next, requests) = (Arc::clone(&next), Arc::clone(requests));
        tasks.spawn(async move {
            while let Some(one) =
                requests.get(usize::try_from(next.fetch_add(1, Ordering::Relaxed))?)
            {
                let mut answer = ask::<C>(&channel, one).await?;
                for _ in 0..AGAIN {
                    if answer.is_ok() {
                        break;
                    }
                    answer = ask::<C>(&channel, one).await?;
                }
                answer.map_err(|status| format!("{}: {status}", C::PATH))?;
            }
            Ok::<(), Fault>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// An answer, or an error status; a decision that differs is a fault.
async fn ask<C: Checks>(
    channel: &Channel,
    (request, allowed): &(C::Request, bool),
) -> Result<Result<(), tonic::Status>, Fault> {
    match call::<C::Request, C::Response>(channel, C::PATH, request.clone()).await {
        Ok(answer) if C::allows(&answer) == *allowed => Ok(Ok(())),
        Ok(answer) => fault(format!(
            "{} {DISAGREES}: expected {allowed} for {request:?}, got {answer:?}",
            C::PATH
        )),
        Err(status) => Ok(Err(status)),
    }
}

/// Each caller asks again as soon as it is answered.
pub(crate) async fn fastest<C: Checks>(
    callers: &Callers,
    requests: &Requests<C>,
    lasting: Duration,
) -> Result<Load, Fault> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (caller, channel) in callers.channels().enumerate() {
        let requests = Arc::clone(requests);
        tasks.spawn(async move {
            let mut took = Took::default();
            let mut next = caller * 1_009;
            while started.elapsed() < lasting {
                let sent = Instant::now();
                took.note(ask::<C>(&channel, &requests[next % requests.len()]).await?, sent);
                next += 1;
            }
            Ok::<Took, Fault>(took)
        });
    }
    gather(tasks, callers, started, None).await
}

/// So many requests a second come due, evenly; each goes to the first caller that is free.
pub(crate) async fn held<C: Checks>(
    callers: &Callers,
    requests: &Requests<C>,
    per_s: f64,
    lasting: Duration,
) -> Result<Load, Fault> {
    let total = (per_s * lasting.as_secs_f64()) as u64;
    let (due, next) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU64::new(0)));
    let started = Instant::now() + Duration::from_millis(20);
    let mut tasks = JoinSet::new();
    for channel in callers.channels() {
        let (due, next, requests) = (Arc::clone(&due), Arc::clone(&next), Arc::clone(requests));
        tasks.spawn(async move {
            let mut took = Took::default();
            loop {
                due.acquire().await?.forget();
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return Ok::<Took, Fault>(took);
                }
                let came_due = started + Duration::from_secs_f64(number as f64 / per_s);
                let one = &requests[usize::try_from(number)? % requests.len()];
                took.note(ask::<C>(&channel, one).await?, came_due);
            }
        });
    }
    let ends = callers.count();
    let pacer = std::thread::Builder::new().name("pacer".into()).spawn(move || {
        let mut released = 0;
        while released < total {
            std::thread::sleep(PACE);
            let passed = Instant::now().saturating_duration_since(started).as_secs_f64();
            let by_now = ((passed * per_s) as u64).min(total);
            due.add_permits(usize::try_from(by_now - released).unwrap_or(0));
            released = by_now;
        }
        due.add_permits(ends);
    })?;
    let load = gather(tasks, callers, started, Some(per_s)).await;
    match pacer.join() {
        Ok(()) => load,
        Err(_) => fault("the pacer panicked"),
    }
}

impl Took {
    fn note(&mut self, answer: Result<(), tonic::Status>, since: Instant) {
        match answer {
            Ok(()) => self.us.push(since.elapsed().as_secs_f32() * 1e6),
            Err(_) => self.errors += 1,
        }
    }
}

async fn gather(
    mut tasks: JoinSet<Result<Took, Fault>>,
    callers: &Callers,
    started: Instant,
    wanted_per_s: Option<f64>,
) -> Result<Load, Fault> {
    let mut all = Took::default();
    while let Some(ended) = tasks.join_next().await {
        let took = ended??;
        all.us.extend(took.us);
        all.errors += took.errors;
    }
    let seconds = started.elapsed().as_secs_f64();
    all.us.sort_by(f32::total_cmp);
    let at = |share: f64| {
        let place = (all.us.len() as f64 * share) as usize;
        all.us.get(place.min(all.us.len().saturating_sub(1))).copied().map_or(f64::NAN, f64::from)
    };
    if all.us.is_empty() {
        return fault("a load without a single answer");
    }
    Ok(Load {
        connections: callers.connections.len(),
        callers_each: callers.each,
        wanted_per_s,
        per_s: all.us.len() as f64 / seconds,
        seconds,
        errors: all.errors,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p95_us: at(0.95),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: at(1.0),
    })
}
