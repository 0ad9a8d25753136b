//! What requests, decisions and commits are counted in. Everything that can be counted has its place
//! from the start, so that counting is a few atomic additions.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::histogram::{GROUP_COMMITS, Histogram, Read};

/// The method of requests for what is not served: callers make up paths, and no figure grows with them.
pub const OTHER_METHOD: &str = "other";

/// Requests by method and by how they ended.
#[derive(Debug)]
pub struct Requests {
    /// Path to place.
    by_path: FxHashMap<Box<str>, usize>,
    methods: Box<[Method]>,
    endings: Box<[Ending]>,
    shed: AtomicU64,
}

#[derive(Debug)]
struct Method {
    name: Box<str>,
    /// By ending.
    ended: Box<[AtomicU64]>,
    duration: Histogram,
}

/// How a request can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The gRPC code, as the protocol writes it.
    pub code: &'static str,
    /// The reason code; empty for OK.
    pub reason: &'static str,
}

impl Ending {
    /// Whether it is the service's own fault, and no caller's.
    fn is_fault(self) -> bool {
        matches!(self.code, "INTERNAL" | "UNAVAILABLE" | "UNKNOWN" | "DATA_LOSS")
    }
}

/// The place of a method in [`Requests`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodId(usize);

impl Requests {
    /// Lays out every method (`package.Service/Method`) and every ending. Requests for other methods
    /// count as [`OTHER_METHOD`].
    #[must_use]
    pub fn new(methods: impl IntoIterator<Item = String>, endings: Vec<Ending>) -> Self {
        let method = |name: &str| Method {
            name: name.into(),
            ended: endings.iter().map(|_| AtomicU64::new(0)).collect(),
            duration: Histogram::of_durations(),
        };
        let mut all = vec![method(OTHER_METHOD)];
        let mut by_path = FxHashMap::default();
        for name in methods {
            by_path.insert(format!("/{name}").into_boxed_str(), all.len());
            all.push(method(&name));
        }
        Self { by_path, methods: all.into(), endings: endings.into(), shed: AtomicU64::new(0) }
    }

    /// The method that a path names.
    #[must_use]
    pub fn method(&self, path: &str) -> MethodId {
        MethodId(self.by_path.get(path).copied().unwrap_or(0))
    }

    /// The method's name, without the leading slash.
    #[must_use]
    pub fn name(&self, id: MethodId) -> &str {
        self.methods.get(id.0).map_or(OTHER_METHOD, |method| &method.name)
    }

    /// Counts a request that has ended; `ending` is the position in the list given at the start.
    pub fn ended(&self, id: MethodId, ending: usize, took: Duration) {
        let Some(method) = self.methods.get(id.0) else { return };
        if let Some(count) = method.ended.get(ending) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        method.duration.add_duration(took);
    }

    /// Counts a request that was refused because too many were under way; it is counted as ended too.
    pub fn shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were refused because too many were under way.
    #[must_use]
    pub fn shed_count(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// Every method and ending that has been seen, and how often; with the service's own faults from the
    /// start, at 0: a series that begins with 1 shows no increase, and an alert would miss the first.
    pub fn counts(&self) -> impl Iterator<Item = (&str, Ending, u64)> {
        self.methods.iter().flat_map(|method| {
            let ended = method.ended.iter().map(|count| count.load(Ordering::Relaxed));
            let counts = self.endings.iter().zip(ended);
            let shown = counts.filter(|(ending, count)| *count > 0 || ending.is_fault());
            shown.map(|(ending, count)| (&*method.name, *ending, count))
        })
    }

    /// How long the requests of each method took.
    pub fn durations(&self) -> impl Iterator<Item = (&str, Read)> {
        self.methods.iter().map(|method| (&*method.name, method.duration.read()))
    }
}

/// How a question was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// ALLOW.
    Granted,
    /// DENY: nothing grants it.
    NotGranted,
    /// DENY: the permission is not asked at this type.
    NotApplicable,
    /// DENY: something that decides is not known.
    MissingContext,
    /// No decision: a limit was hit.
    Limit,
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Granted, Self::NotGranted, Self::NotApplicable, Self::MissingContext, Self::Limit];

    /// The values of the labels `decision` and `reason`.
    #[must_use]
    pub fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Granted => ["ALLOW", "GRANTED"],
            Self::NotGranted => ["DENY", "NOT_GRANTED"],
            Self::NotApplicable => ["DENY", "NOT_APPLICABLE"],
            Self::MissingContext => ["DENY", "MISSING_CONTEXT"],
            Self::Limit => ["ERROR", "LIMIT"],
        }
    }
}

/// What one store's service has decided and written since the process began.
#[derive(Debug)]
pub struct Work {
    decided: [AtomicU64; Outcome::ALL.len()],
    commits: AtomicU64,
    group: Histogram,
    append: Histogram,
    refused: AtomicU64,
    latched: AtomicBool,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            decided: Default::default(),
            commits: AtomicU64::new(0),
            group: Histogram::of_counts(GROUP_COMMITS),
            append: Histogram::of_durations(),
            refused: AtomicU64::new(0),
            latched: AtomicBool::new(false),
        }
    }
}

impl Work {
    /// Counts a decision.
    pub fn decided(&self, outcome: Outcome) {
        if let Some(count) = self.decided.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts so many decisions of each outcome.
    pub fn decided_each(&self, outcomes: [u64; Outcome::ALL.len()]) {
        for (count, more) in self.decided.iter().zip(outcomes).filter(|(_, more)| *more > 0) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Counts a group of commits that was made durable.
    pub fn appended(&self, commits: usize, took: Duration) {
        let commits = commits as u64;
        self.commits.fetch_add(commits, Ordering::Relaxed);
        self.group.add(commits);
        self.append.add_duration(took);
    }

    /// Counts a group of commits that the store could not take, with nothing written.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that nothing more will be written.
    pub fn latched(&self) {
        self.latched.store(true, Ordering::Relaxed);
    }

    /// Decisions by outcome.
    pub fn decisions(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let counts = self.decided.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::ALL.into_iter().zip(counts)
    }

    /// How many commits were made durable.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// How many commits were made durable together.
    #[must_use]
    pub fn groups(&self) -> Read {
        self.group.read()
    }

    /// How long that took.
    #[must_use]
    pub fn appends(&self) -> Read {
        self.append.read()
    }

    /// How many groups of commits the store could not take, with nothing written.
    #[must_use]
    pub fn groups_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether nothing more is written.
    #[must_use]
    pub fn is_latched(&self) -> bool {
        self.latched.load(Ordering::Relaxed)
    }
}

/// Connections of one listener: how many there are, and which the service closed.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicU64,
    closed: [AtomicU64; Closed::ALL.len()],
}

/// Why the service closed a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// There were too many already.
    Full,
    /// It said nothing.
    Silent,
    /// It did not read its answers.
    Unread,
}

impl Closed {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Full, Self::Silent, Self::Unread];

    /// The value of the label `why`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Silent => "silent",
            Self::Unread => "unread",
        }
    }
}

impl Connections {
    /// Counts one more, unless there are `most` already.
    pub fn open(&self, most: usize) -> bool {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        if before < most as u64 {
            return true;
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Counts one less.
    pub fn ended(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts one that the service closed.
    pub fn closed(&self, why: Closed) {
        if let Some(count) = self.closed.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// How many the service closed, by why.
    pub fn closings(&self) -> impl Iterator<Item = (Closed, u64)> {
        let counts = self.closed.iter().map(|count| count.load(Ordering::Relaxed));
        Closed::ALL.into_iter().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_paths_share_one_place() {
        let ok = Ending { code: "OK", reason: "" };
        let requests = Requests::new(["a.B/C".to_owned()], vec![ok]);
        let known = requests.method("/a.B/C");
        assert_eq!(requests.name(known), "a.B/C");
        for path in ["/a.B/c", "a.B/C", "/", "", "/a.B/C/", "other", "/other"] {
            let id = requests.method(path);
            assert_eq!(requests.name(id), OTHER_METHOD, "{path}");
            requests.ended(id, 0, Duration::ZERO);
        }
        requests.ended(known, 0, Duration::ZERO);
        requests.ended(known, 7, Duration::ZERO);
        let counts: Vec<_> = requests.counts().collect();
        assert_eq!(counts, [(OTHER_METHOD, ok, 7), ("a.B/C", ok, 1)]);
    }

    #[test]
    fn faults_of_the_service_are_shown_before_there_is_one() {
        let fault = Ending { code: "INTERNAL", reason: "INTERNAL" };
        let mistake = Ending { code: "INVALID_ARGUMENT", reason: "INVALID_FIELD" };
        let requests = Requests::new([], vec![fault, mistake]);
        assert_eq!(requests.counts().collect::<Vec<_>>(), [(OTHER_METHOD, fault, 0)]);
        requests.ended(MethodId(0), 0, Duration::ZERO);
        requests.ended(MethodId(0), 1, Duration::ZERO);
        let counts: Vec<_> = requests.counts().collect();
        assert_eq!(counts, [(OTHER_METHOD, fault, 1), (OTHER_METHOD, mistake, 1)]);
    }

    #[test]
    fn no_more_connections_than_told() {
        let connections = Connections::default();
        assert!(connections.open(2) && connections.open(2) && !connections.open(2));
        assert_eq!(connections.count(), 2);
        connections.ended();
        assert!(connections.open(2));
    }

    #[test]
    fn each_outcome_has_its_own_place() {
        let work = Work::default();
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
            work.decided(outcome);
        }
        assert!(work.decisions().all(|(_, count)| count == 1));
        for (at, why) in Closed::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
    }
}
