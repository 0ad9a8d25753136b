//! What the system says of this process. Reads `/proc`; elsewhere it knows nothing.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::histogram::as_f64;

/// The resident memory, in bytes.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024)
}

/// Seconds since 1970.
#[must_use]
pub fn unix_seconds(moment: SystemTime) -> f64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    as_f64(since.as_secs()) + f64::from(since.subsec_millis()) / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_some_memory() {
        assert!(resident_bytes().unwrap() > 100_000);
    }
}
