//! What holds for every method, whoever made the answer: one tower layer for each promise. Outermost
//! first:
//!
//! | layer | its one job |
//! |---|---|
//! | [`unread`] | knows what of its answers a connection has not read |
//! | [`watch`] | counts, times and traces each request, by how it ended |
//! | [`explain`] | an `ErrorInfo` on every error status |
//! | [`admission`] | nothing before the service is ready; a bound on requests under way, the rest shed |
//! | [`deadline`] | an answer begins in time |
//! | [`panics`] | a panic is an INTERNAL of one request |
//!
//! tower's own concurrency limit, load shedding and timeout do not fit: they count a request as done
//! when its answer begins, where a stream holds its place to its end; they know no exception for
//! health; and their errors carry no reason. Layers know paths, headers and statuses, no message.

mod admission;
mod deadline;
mod explain;
mod panics;
mod passing;
mod unread;
mod watch;

use std::sync::Arc;

use tower::Layer;

use self::admission::{Admission, Admitting};
use self::deadline::{Deadlines, WithDeadline};
use self::explain::{Explain, Explaining};
use self::panics::{Catching, Panics};
use self::unread::{CountUnread, CountingUnread};
use self::watch::{Watch, Watching};
use super::Shared;

pub(super) use self::deadline::{AnswerBy, Deadline, deadline_exceeded};
pub use self::unread::Unread;

const HEALTH: &str = "/grpc.health.v1.Health/";
const GRPC_STATUS: &str = "grpc-status";
const GRPC_MESSAGE: &str = "grpc-message";
const GRPC_DETAILS: &str = "grpc-status-details-bin";

fn is_health(path: &str) -> bool {
    path.starts_with(HEALTH)
}

/// All layers, around the routes.
#[derive(Debug, Clone)]
pub(crate) struct GuardLayer {
    shared: Arc<Shared>,
}

impl GuardLayer {
    /// Guards the routes of this service.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = CountingUnread<Watching<Explaining<Admitting<WithDeadline<Catching<S>>>>>>;

    fn layer(&self, routes: S) -> Self::Service {
        let shared = || Arc::clone(&self.shared);
        let caught = Panics.layer(routes);
        let in_time = Deadlines { patience: self.shared.settings.patience() }.layer(caught);
        let admitted = Admission { shared: shared() }.layer(in_time);
        let explained = Explain.layer(admitted);
        let watched = Watch { shared: shared() }.layer(explained);
        CountUnread.layer(watched)
    }
}
