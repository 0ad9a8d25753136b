//! The one table of metrics: names, kinds, units, labels, and what each means.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// The name without unit and suffix.
    pub(super) stem: &'static str,
    /// What it does over time.
    pub(super) kind: Kind,
    /// Its unit; `None` counts things.
    pub(super) unit: Option<Unit>,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// What a metric does over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A distribution.
    Histogram,
    /// 1, with labels that say something.
    Info,
}

impl Metric {
    /// The name that a query uses.
    #[must_use]
    pub fn name(&self) -> String {
        let unit = self.unit.as_ref().map(|unit| format!("_{}", unit.as_str()));
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{}{suffix}", self.stem, unit.unwrap_or_default())
    }

    /// What it does over time.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn metric_type(&self) -> MetricType {
        match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        }
    }
}

macro_rules! metrics {
    (@unit) => { None };
    (@unit $unit:ident) => { Some(Unit::$unit) };
    ($($name:ident = $kind:ident $stem:literal $(in $unit:ident)? [$($label:literal),*] $help:literal,)+) => {
        $(#[doc = $help] pub static $name: Metric = Metric {
            stem: $stem,
            kind: Kind::$kind,
            unit: metrics!(@unit $($unit)?),
            labels: &[$($label),*],
            help: $help,
        };)+

        /// The whole table.
        pub static ALL: &[&Metric] = &[$(&$name,)+];
    };
}

metrics! {
    READY = Gauge "bailiwick_ready" []
        "1 while the service answers: its store is read and it is not stopping.",
    REQUESTS = Counter "bailiwick_requests" ["method", "code", "reason"]
        "Requests that have ended, by method, gRPC code and reason code (empty for OK).",
    REQUEST_DURATION = Histogram "bailiwick_request_duration" in Seconds ["method"]
        "Time from the headers of a request to the end of its answer; of a stream, its whole life.",
    REQUESTS_IN_FLIGHT = Gauge "bailiwick_requests_in_flight" []
        "Requests under way, answers that are not read yet included.",
    REQUESTS_IN_FLIGHT_LIMIT = Gauge "bailiwick_requests_in_flight_limit" []
        "Requests under way from which on more are shed.",
    REQUESTS_SHED = Counter "bailiwick_requests_shed" []
        "Requests refused because too many were under way.",
    LISTS_OPEN = Gauge "bailiwick_lists_open" []
        "Lists that are being streamed.",
    LISTS_OPEN_LIMIT = Gauge "bailiwick_lists_open_limit" []
        "Lists being streamed from which on more are refused.",
    CHECK_STREAMS_OPEN = Gauge "bailiwick_check_streams_open" []
        "CheckStreams that are open. A question on one counts as a request of Check.",
    CHECK_STREAMS_OPEN_LIMIT = Gauge "bailiwick_check_streams_open_limit" []
        "CheckStreams open from which on more are refused.",
    CONNECTIONS_OPEN = Gauge "bailiwick_connections_open" []
        "Connections of callers.",
    CONNECTIONS_OPEN_LIMIT = Gauge "bailiwick_connections_open_limit" []
        "Connections from which on more are closed at once.",
    CONNECTIONS_CLOSED = Counter "bailiwick_connections_closed" ["why"]
        "Connections that the service closed: full (too many), silent (said nothing), unread (did not read its answers).",
    DECISIONS = Counter "bailiwick_decisions" ["decision", "reason"]
        "Decisions of Check and of the items of BatchCheck; decision ERROR is a limit that was hit.",
    TUPLES = Gauge "bailiwick_tuples" []
        "Tuples stored, expired ones included.",
    REVISION = Gauge "bailiwick_revision" []
        "The newest revision that readers see.",
    MODEL = Info "bailiwick_model" ["name", "digest"]
        "The model in force.",
    COMMITS = Counter "bailiwick_commits" []
        "Commits made durable.",
    COMMIT_GROUP = Histogram "bailiwick_commit_group_size" []
        "Commits that were made durable together, by one sync.",
    APPEND_DURATION = Histogram "bailiwick_append_duration" in Seconds []
        "Time to make a group of commits durable, its sync included.",
    GROUPS_REFUSED = Counter "bailiwick_commit_groups_refused" []
        "Groups of commits that the store could not take, with nothing written; it is asked again with the next.",
    WRITER_LATCHED = Gauge "bailiwick_writer_latched" []
        "1 after a failed sync: nothing more is written until a restart.",
    BUILD = Info "bailiwick_build" ["version"]
        "The version of this program.",
    PROCESS_START = Gauge "process_start_time" in Seconds []
        "Start time of the process since the unix epoch in seconds.",
    PROCESS_MEMORY = Gauge "process_resident_memory" in Bytes []
        "Resident memory size in bytes.",
}
