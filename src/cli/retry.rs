//! Asking again where the service could not take a request. Knows no message: whether repeating it is
//! harmless is the caller's business.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use tonic::{Code, Response, Status, TimeoutExpired};
use tonic_types::StatusExt;

use crate::api::status::Refusal;
use crate::model::limits::{CLIENT_BACKOFF_MILLIS, CLIENT_BACKOFF_MILLIS_MAX};

/// Asks, and asks again up to `retries` times while the service is not there or has too much to do.
/// `failed` hears of each such failure, and how long it is until the next attempt.
pub(super) async fn retried<T, F>(
    retries: u32,
    mut ask: impl FnMut() -> F,
    mut failed: impl FnMut(&Status, Duration),
) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    for attempt in 0..retries {
        match ask().await {
            Err(status) if may_pass(&status) => {
                let wait = backoff(attempt);
                failed(&status, wait);
                tokio::time::sleep(wait).await;
            }
            answer => return answer.map(Response::into_inner),
        }
    }
    ask().await.map(Response::into_inner)
}

/// Whether the same request may be answered a little later: the service is away, starts, stops, or has
/// too much to do.
pub(super) fn may_pass(status: &Status) -> bool {
    let overloaded = || {
        let reason = status.get_details_error_info().map(|info| info.reason);
        reason.as_deref() == Some(Refusal::Overloaded.text())
    };
    status.code() == Code::Unavailable || overloaded() || is_broken_off(status)
}

/// Whether the connection broke under the request. The client's own library says so, with one of several
/// codes by what it was doing; what comes over the wire has no source.
fn is_broken_off(status: &Status) -> bool {
    if !matches!(status.code(), Code::Unknown | Code::Cancelled | Code::Internal) {
        return false;
    }
    let mut cause = Error::source(status);
    let has_cause = cause.is_some();
    while let Some(inner) = cause {
        if inner.is::<TimeoutExpired>() {
            return false;
        }
        cause = inner.source();
    }
    has_cause
}

fn backoff(attempt: u32) -> Duration {
    let factor = 2_u64.saturating_pow(attempt);
    let millis = CLIENT_BACKOFF_MILLIS.saturating_mul(factor).min(CLIENT_BACKOFF_MILLIS_MAX);
    Duration::from_millis(millis)
}

/// Whether this answer proves that the request did nothing.
pub(super) fn did_nothing(status: &Status) -> bool {
    !matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::Aborted
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::api::status::ApiError;

    /// The answers one after the other; how often was asked, and the waits.
    fn asked(retries: u32, answers: Vec<Status>) -> (Result<u8, Code>, usize, Vec<Duration>) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().build().unwrap();
        let count = answers.len();
        let left = RefCell::new(answers.into_iter());
        let mut waits = Vec::new();
        let ask = || {
            let next = left.borrow_mut().next();
            async move { next.map_or(Ok(Response::new(7)), Err) }
        };
        let answer = runtime.block_on(retried(retries, ask, |_, wait| waits.push(wait)));
        (answer.map_err(|status| status.code()), count - left.borrow().len(), waits)
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let away = || Status::unavailable("away");
        let busy = || Status::from(ApiError::new(Refusal::Overloaded, "busy"));
        let (answer, asks, waits) = asked(3, vec![away(), busy()]);
        assert_eq!((answer, asks), (Ok(7), 2));
        assert_eq!(waits, [100, 200].map(Duration::from_millis));
        let (answer, asks, _) = asked(1, vec![away(), away(), away()]);
        assert_eq!((answer, asks), (Err(Code::Unavailable), 2));
        let too_large = || Status::from(ApiError::new(Refusal::RequestTooLarge, "large"));
        for status in [too_large(), Status::invalid_argument("no"), Status::internal("oh")] {
            let code = status.code();
            assert_eq!(asked(3, vec![status]), (Err(code), 1, vec![]));
        }
    }

    #[test]
    fn a_connection_that_breaks_is_not_the_end() {
        let broken = || {
            let mut status = Status::unknown("transport error");
            status.set_source(std::sync::Arc::new(std::io::Error::other("reset by peer")));
            status
        };
        assert_eq!(asked(1, vec![broken()]).0, Ok(7));
        // The service's own words have no source, and a time limit is none of the connection's.
        assert!(!may_pass(&Status::unknown("transport error")));
        let mut late = Status::cancelled("Timeout expired");
        late.set_source(std::sync::Arc::new(TimeoutExpired(())));
        assert!(!may_pass(&late));
    }

    #[test]
    fn waits_are_bounded() {
        assert_eq!(backoff(0), Duration::from_millis(CLIENT_BACKOFF_MILLIS));
        let longest = Duration::from_millis(CLIENT_BACKOFF_MILLIS_MAX);
        assert_eq!((backoff(9), backoff(u32::MAX)), (longest, longest));
    }
}
