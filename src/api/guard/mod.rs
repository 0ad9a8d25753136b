//! What holds for every method, whoever made the answer: one tower layer for each promise. Outermost
//! first:
//!
//! | layer | its one job |
//! |---|---|
//! | [`unread`] | knows what of its answers a connection has not read |
//! | [`watch`] | counts, times and traces each request, by how it ended |
//! | [`explain`] | an `ErrorInfo` on every error status |
//! | [`admission`] | nothing before the service is ready; a bound on requests under way, the rest shed |
//! | [`bodies`] | a bound on the bytes of requests under way; a body arrives in time; where many messages come, each is small |
//! | [`deadline`] | an answer begins in time |
//! | [`panics`] | a panic is an INTERNAL of one request |
//!
//! tower's own concurrency limit, load shedding and timeout do not fit: they count a request as done
//! when its answer begins, where a stream holds its place to its end; they know no exception for
//! health; and their errors carry no reason. Layers know paths, headers and statuses, no message.

mod admission;
mod bodies;
mod deadline;
mod explain;
mod panics;
mod passing;
mod questions;
mod unread;
mod watch;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tower::Layer;

pub(super) use self::admission::Places;
use self::admission::{Admission, Admitting};
pub(super) use self::bodies::Message;
use self::bodies::{Account, Meter, Metering};
use self::deadline::{Deadlines, WithDeadline};
use self::explain::{Explain, Explaining};
use self::panics::{Catching, Panics};
use self::unread::{CountUnread, CountingUnread};
use self::watch::{Watch, Watching};
use super::Shared;

pub use self::bodies::Budget;
pub(super) use self::deadline::{AnswerBy, Deadline, Timed, deadline_exceeded};
pub(super) use self::questions::CallPlaces;
pub use self::unread::Unread;

const HEALTH: &str = "/grpc.health.v1.Health/";
const API: &str = "/bailiwick.";
/// The method that takes many messages.
const CHECK_STREAM: &str = "/bailiwick.v1.AuthorizationService/CheckStream";
const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
const GRPC_DETAILS: &str = "grpc-status-details-bin";

fn is_health(path: &str) -> bool {
    path.starts_with(HEALTH)
}

fn is_of_the_api(path: &str) -> bool {
    path.starts_with(API)
}

/// What is known of one connection, beside its requests.
#[derive(Debug, Clone)]
pub struct PerConnection {
    unread: Arc<Unread>,
    bodies: Arc<Account>,
}

impl PerConnection {
    /// Of a new connection of this process.
    #[must_use]
    pub fn new(process: &Arc<Budget>) -> Self {
        let bodies = Arc::new(Account::of(Arc::clone(process)));
        Self { unread: Arc::default(), bodies }
    }

    /// What of its answers it has not read.
    #[must_use]
    pub fn unread(&self) -> &Arc<Unread> {
        &self.unread
    }
}

/// Methods with all layers around them, for one connection.
pub(crate) type Guarded<S> =
    CountingUnread<Watching<Explaining<Admitting<Metering<WithDeadline<Catching<S>>>>>>>;

/// Puts all layers around the methods, for this connection.
pub(super) fn guard<S>(shared: &Arc<Shared>, connection: &PerConnection, methods: S) -> Guarded<S> {
    let another = || Arc::clone(shared);
    let patience = shared.settings.patience();
    let caught = Panics.layer(methods);
    let in_time = Deadlines { patience }.layer(caught);
    let account = Arc::clone(&connection.bodies);
    let calls = Semaphore::new(shared.settings.check_streams_per_connection());
    let calls = CallPlaces(Arc::new(calls));
    let metered = Meter { patience: patience.body, account, calls }.layer(in_time);
    let admitted = Admission { shared: another() }.layer(metered);
    let explained = Explain.layer(admitted);
    let watched = Watch { shared: another() }.layer(explained);
    CountUnread { unread: Arc::clone(&connection.unread) }.layer(watched)
}
