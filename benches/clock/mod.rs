//! The clock of the benchmarks: it stands still, so that every run decides the same.

use bailiwick::model::tuple::Time;
use bailiwick::pdp::Clock;

/// Always 1970.
#[derive(Debug)]
pub(crate) struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Time {
        Time(0)
    }
}
