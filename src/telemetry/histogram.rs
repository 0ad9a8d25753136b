//! A distribution that many threads add to: one atomic per bucket. Knows nothing of what it measures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts values in buckets. Adding takes no lock; reading it meanwhile may miss what is being added.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds, inclusive, rising.
    bounds: &'static [u64],
    /// One for each bound, and the rest.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// How many of the bounds' units make one of the page's.
    per_unit: f64,
}

/// A histogram as it stands: not cumulative.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The sum of all values.
    pub sum: f64,
    /// How many there are.
    pub count: u64,
    /// (upper bound, how many above the bound before); the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
}

/// Bounds of durations, in nanoseconds: from what a check costs to what a caller gives up at.
pub const DURATION_NANOS: &[u64] = &[
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
    60_000_000_000,
];

/// Bounds of how many commits one group has.
pub const GROUP_COMMITS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];

impl Histogram {
    /// Counts durations, shown in seconds.
    #[must_use]
    pub fn of_durations() -> Self {
        Self::new(DURATION_NANOS, 1e9)
    }

    /// Counts whole numbers.
    #[must_use]
    pub fn of_counts(bounds: &'static [u64]) -> Self {
        Self::new(bounds, 1.0)
    }

    fn new(bounds: &'static [u64], per_unit: f64) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0), per_unit }
    }

    /// Adds a value, in the unit of the bounds.
    pub fn add(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// Adds a duration, to a histogram of durations.
    pub fn add_duration(&self, value: Duration) {
        self.add(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What it holds.
    #[must_use]
    pub fn read(&self) -> Read {
        let counts: Vec<u64> = self.counts.iter().map(|n| n.load(Ordering::Relaxed)).collect();
        let shown = |value: u64| as_f64(value) / self.per_unit;
        let bounds = self.bounds.iter().map(|bound| shown(*bound)).chain([f64::INFINITY]);
        Read {
            sum: shown(self.sum.load(Ordering::Relaxed)),
            count: counts.iter().sum(),
            buckets: bounds.zip(counts).collect(),
        }
    }
}

/// The nearest float: a page of figures needs no more.
pub(super) fn as_f64(value: u64) -> f64 {
    let (high, low) = (u32::try_from(value >> 32), u32::try_from(value & u64::from(u32::MAX)));
    f64::from(high.unwrap_or(u32::MAX)) * 4_294_967_296.0 + f64::from(low.unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_under_the_first_bound_that_holds_it() {
        let histogram = Histogram::of_counts(&[1, 4, 16]);
        for value in [0, 1, 2, 4, 5, 16, 17, 1_000_000] {
            histogram.add(value);
        }
        let read = histogram.read();
        assert_eq!(read.count, 8);
        assert_eq!(read.sum, 1_000_045.0);
        assert_eq!(read.buckets, [(1.0, 2), (4.0, 2), (16.0, 2), (f64::INFINITY, 2)]);
    }

    #[test]
    fn durations_are_shown_in_seconds() {
        let histogram = Histogram::of_durations();
        histogram.add_duration(Duration::from_millis(1_500));
        let read = histogram.read();
        assert_eq!(read.sum, 1.5);
        assert_eq!(read.buckets.iter().find(|(_, count)| *count == 1).unwrap().0, 2.5);
        histogram.add_duration(Duration::MAX);
        assert_eq!(histogram.read().buckets.last(), Some(&(f64::INFINITY, 1)));
    }

    #[test]
    fn bounds_rise() {
        for bounds in [DURATION_NANOS, GROUP_COMMITS] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
    }
}
