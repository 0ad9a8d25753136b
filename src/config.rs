//! Layer 1: what an operator may set, checked once against the hard bounds. Knows no command line and
//! no environment.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::limits::{
    ADMIN_IDLE_SECONDS, BODY_SECONDS, CHECK_STREAMS_MAX, CONNECTIONS_MAX, CONNECTIONS_SETTABLE,
    DRAIN_SECONDS, DRAIN_SECONDS_SETTABLE, GREETING_SECONDS, IN_FLIGHT_REQUESTS_MAX,
    IN_FLIGHT_REQUESTS_SETTABLE, KEEPALIVE_ANSWER_SECONDS, KEEPALIVE_SECONDS,
    REQUEST_SECONDS_DEFAULT, REQUEST_SECONDS_MAX, REQUEST_SECONDS_SETTABLE, STALL_SECONDS_SETTABLE,
    STREAM_STALL_SECONDS, STREAMS_MAX, STREAMS_PER_CONNECTION_MAX, UNREAD_SECONDS,
};

/// How long the service waits for its callers. A caller that keeps it waiting longer loses its place,
/// so that nobody holds the places of others for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until the answer to a request without a deadline begins.
    pub request: Duration,
    /// Until the answer to any request begins, whatever deadline it brings.
    pub request_max: Duration,
    /// Until a request's message has arrived.
    pub body: Duration,
    /// While a list is not read, its buffer full.
    pub stream_stall: Duration,
    /// While a part of an answer is not read; then its connection is closed, after twice as long at
    /// the latest.
    pub unread: Duration,
    /// Until a new connection says anything.
    pub greeting: Duration,
    /// While nothing comes from a connection to the admin page; then it is closed, after twice as long at
    /// the latest.
    pub admin_idle: Duration,
    /// Between two pings of a connection.
    pub keepalive: Duration,
    /// Until a ping is answered.
    pub keepalive_answer: Duration,
    /// Until the requests under way have ended, once the service is told to stop.
    pub drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(REQUEST_SECONDS_DEFAULT),
            request_max: Duration::from_secs(REQUEST_SECONDS_MAX),
            body: Duration::from_secs(BODY_SECONDS),
            stream_stall: Duration::from_secs(STREAM_STALL_SECONDS),
            unread: Duration::from_secs(UNREAD_SECONDS),
            greeting: Duration::from_secs(GREETING_SECONDS),
            admin_idle: Duration::from_secs(ADMIN_IDLE_SECONDS),
            keepalive: Duration::from_secs(KEEPALIVE_SECONDS),
            keepalive_answer: Duration::from_secs(KEEPALIVE_ANSWER_SECONDS),
            drain: Duration::from_secs(DRAIN_SECONDS),
        }
    }
}

/// The settings as an operator gives them. Each field's range is the `SETTABLE` one of
/// [`limits`](crate::model::limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Most requests under way at once.
    pub in_flight_requests: u64,
    /// Most connections at once.
    pub connections: u64,
    /// How long a request without a deadline may take until its answer begins.
    pub default_deadline_seconds: u64,
    /// How long any request may take until its answer begins.
    pub max_deadline_seconds: u64,
    /// How long a list waits for its reader.
    pub stream_stall_seconds: u64,
    /// How long an answer may lie unread until its connection is closed.
    pub unread_seconds: u64,
    /// How long requests under way may take to end once the service is told to stop.
    pub drain_seconds: u64,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            in_flight_requests: IN_FLIGHT_REQUESTS_MAX as u64,
            connections: CONNECTIONS_MAX as u64,
            default_deadline_seconds: REQUEST_SECONDS_DEFAULT,
            max_deadline_seconds: REQUEST_SECONDS_MAX,
            stream_stall_seconds: STREAM_STALL_SECONDS,
            unread_seconds: UNREAD_SECONDS,
            drain_seconds: DRAIN_SECONDS,
        }
    }
}

/// A setting that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {value} is out of range, expected {least} to {most}")]
pub struct SettingError {
    /// The field of [`Given`].
    pub field: &'static str,
    /// What was given.
    pub value: u64,
    /// The smallest value allowed.
    pub least: u64,
    /// The largest value allowed.
    pub most: u64,
}

/// Settings within their bounds. The defaults are those of [`limits`](crate::model::limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    in_flight: usize,
    connections: usize,
    patience: Patience,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            in_flight: IN_FLIGHT_REQUESTS_MAX,
            connections: CONNECTIONS_MAX,
            patience: Patience::default(),
        }
    }
}

impl Settings {
    /// Checks what was given.
    ///
    /// # Errors
    /// The first field that is out of its range. A default deadline is never longer than the longest
    /// one.
    pub fn check(given: &Given) -> Result<Self, SettingError> {
        let longest =
            within("max_deadline_seconds", given.max_deadline_seconds, &REQUEST_SECONDS_SETTABLE)?;
        let deadlines = *REQUEST_SECONDS_SETTABLE.start()..=longest;
        let seconds = |field, value, range: &RangeInclusive<u64>| {
            within(field, value, range).map(Duration::from_secs)
        };
        Ok(Self {
            in_flight: count(
                "in_flight_requests",
                given.in_flight_requests,
                &IN_FLIGHT_REQUESTS_SETTABLE,
            )?,
            connections: count("connections", given.connections, &CONNECTIONS_SETTABLE)?,
            patience: Patience {
                request: seconds(
                    "default_deadline_seconds",
                    given.default_deadline_seconds,
                    &deadlines,
                )?,
                request_max: Duration::from_secs(longest),
                stream_stall: seconds(
                    "stream_stall_seconds",
                    given.stream_stall_seconds,
                    &STALL_SECONDS_SETTABLE,
                )?,
                unread: seconds("unread_seconds", given.unread_seconds, &STALL_SECONDS_SETTABLE)?,
                drain: seconds("drain_seconds", given.drain_seconds, &DRAIN_SECONDS_SETTABLE)?,
                ..Patience::default()
            },
        })
    }

    /// The same with another patience, as short as a test wants it.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Most requests under way at once.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Most requests under way at once on one connection: one alone cannot shed those of all others.
    #[must_use]
    pub fn in_flight_per_connection(&self) -> u32 {
        let share = u32::try_from(self.in_flight / 4).unwrap_or(u32::MAX);
        share.clamp(1, STREAMS_PER_CONNECTION_MAX)
    }

    /// Most lists that are streamed at once; they leave places to others.
    #[must_use]
    pub fn streams(&self) -> usize {
        (self.in_flight / 2).clamp(1, STREAMS_MAX)
    }

    /// Most CheckStreams open at once; they and the lists leave places to others.
    #[must_use]
    pub fn check_streams(&self) -> usize {
        (self.in_flight / 4).clamp(1, CHECK_STREAMS_MAX)
    }

    /// Most CheckStreams open at once on one connection: one alone cannot keep out those of all others.
    #[must_use]
    pub fn check_streams_per_connection(&self) -> usize {
        (self.check_streams() / 4).max(1)
    }

    /// Most connections at once.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// How long the service waits for its callers.
    #[must_use]
    pub fn patience(&self) -> Patience {
        self.patience
    }
}

fn within(
    field: &'static str,
    value: u64,
    range: &RangeInclusive<u64>,
) -> Result<u64, SettingError> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(SettingError { field, value, least: *range.start(), most: *range.end() })
}

fn count(
    field: &'static str,
    value: u64,
    range: &RangeInclusive<u64>,
) -> Result<usize, SettingError> {
    // A range that this machine cannot count to has no such value.
    within(field, value, range).map(|value| usize::try_from(value).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Field = (fn(&mut Given) -> &mut u64, &'static str, RangeInclusive<u64>);

    fn fields() -> [Field; 7] {
        [
            (|g| &mut g.in_flight_requests, "in_flight_requests", IN_FLIGHT_REQUESTS_SETTABLE),
            (|g| &mut g.connections, "connections", CONNECTIONS_SETTABLE),
            (
                |g| &mut g.default_deadline_seconds,
                "default_deadline_seconds",
                1..=REQUEST_SECONDS_MAX,
            ),
            (|g| &mut g.max_deadline_seconds, "max_deadline_seconds", REQUEST_SECONDS_SETTABLE),
            (|g| &mut g.stream_stall_seconds, "stream_stall_seconds", STALL_SECONDS_SETTABLE),
            (|g| &mut g.unread_seconds, "unread_seconds", STALL_SECONDS_SETTABLE),
            (|g| &mut g.drain_seconds, "drain_seconds", DRAIN_SECONDS_SETTABLE),
        ]
    }

    #[test]
    fn what_is_out_of_range_is_named_with_its_range() {
        for (field, name, range) in fields() {
            for value in [range.start() - 1, range.end() + 1, u64::MAX] {
                let mut given = Given::default();
                *field(&mut given) = value;
                let (least, most) = (*range.start(), *range.end());
                let error = SettingError { field: name, value, least, most };
                assert_eq!(Settings::check(&given), Err(error.clone()));
                let text = error.to_string();
                assert!(text.contains(name) && text.contains(&value.to_string()), "{text}");
            }
            let mut given = Given { default_deadline_seconds: 1, ..Given::default() };
            for value in [*range.start(), *range.end()] {
                *field(&mut given) = value;
                assert!(Settings::check(&given).is_ok(), "{name} {value}");
            }
        }
    }

    #[test]
    fn nothing_given_is_the_default() {
        assert_eq!(Settings::check(&Given::default()), Ok(Settings::default()));
    }

    #[test]
    fn one_connection_and_the_streams_leave_places_to_others() {
        for in_flight in [16, 20, 100, 1_024, 65_536] {
            let given = Given { in_flight_requests: in_flight, ..Given::default() };
            let settings = Settings::check(&given).unwrap();
            let all = settings.in_flight();
            assert!(settings.in_flight_per_connection() as usize * 4 <= all, "{in_flight}");
            assert!(settings.streams() * 2 <= all, "{in_flight}");
            assert!(settings.check_streams() * 4 <= all, "{in_flight}");
        }
    }
}
