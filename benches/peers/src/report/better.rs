//! Where somebody else has the better figure: said by the program, so that no run can leave it out.

use super::figures::{nanoseconds, number, size};
use super::tables::{at, micro};
use crate::inprocess::{Done, Figure};
use crate::peer::OURS;
use crate::served::Served;

/// One thing that is compared.
struct Measure<T> {
    what: &'static str,
    of: fn(&T) -> f64,
    /// Else less is.
    more_is_better: bool,
    as_text: fn(f64) -> String,
}

impl<T> Measure<T> {
    const fn least(what: &'static str, of: fn(&T) -> f64, as_text: fn(f64) -> String) -> Self {
        Self { what, of, more_is_better: false, as_text }
    }

    /// The line, if theirs is better and reads so.
    fn line(&self, who: &str, theirs: &T, ours: &T) -> Option<String> {
        let (theirs, ours) = ((self.of)(theirs), (self.of)(ours));
        let better = if self.more_is_better { theirs > ours } else { theirs < ours };
        let (theirs, ours) = ((self.as_text)(theirs), (self.as_text)(ours));
        (better && theirs != ours).then(|| format!("- {who}, {}: {theirs}, ours {ours}", self.what))
    }
}

const SERVICES: [Measure<Served>; 7] = [
    Measure {
        what: "highest rate, checks a second",
        of: |one| one.fastest.iter().map(|load| load.per_s).fold(0.0, f64::max),
        more_is_better: true,
        as_text: number,
    },
    Measure::least(
        "p50 of one caller",
        |one| one.fastest.first().map_or(f64::NAN, |load| load.p50_us),
        micro,
    ),
    Measure::least("p50 at 85 % of its highest rate", |one| one.held.p50_us, micro),
    Measure::least("p99 at 85 % of its highest rate", |one| one.held.p99_us, micro),
    Measure::least("p99.9 at 85 % of its highest rate", |one| one.held.p999_us, micro),
    Measure::least("peak memory, MB", |one| one.peak_mb, number),
    Measure::least("processor a check, us", |one| one.processor_us, number),
];
const LIBRARIES: [Measure<Done>; 3] = [
    Measure::least("time a check", |done| done.check_ns, nanoseconds),
    Measure::least("ready in", |done| done.ready_s * 1e9, nanoseconds),
    Measure::least("resident, MB", |done| done.resident_mb, number),
];
const EVERYDAY: [Measure<crate::load::Load>; 3] = [
    Measure::least("p50 at the everyday rate", |load| load.p50_us, micro),
    Measure::least("p99 at the everyday rate", |load| load.p99_us, micro),
    Measure::least("p99.9 at the everyday rate", |load| load.p999_us, micro),
];

/// One line for each figure in which another is better.
pub(super) fn better(services: &[Served], libraries: &[Figure]) -> String {
    let mut lines = Vec::new();
    if let Some(ours) = services.iter().find(|one| one.peer == OURS) {
        for theirs in services.iter().filter(|one| one.peer != OURS) {
            lines.extend(SERVICES.iter().filter_map(|what| what.line(&theirs.peer, theirs, ours)));
            let (Some(load), Some(ours)) = (&theirs.everyday, &ours.everyday) else { continue };
            lines.extend(EVERYDAY.iter().filter_map(|what| what.line(&theirs.peer, load, ours)));
        }
    }
    for figure in libraries.iter().filter(|figure| figure.peer != OURS) {
        let ours = at(libraries, OURS, figure.tuples).and_then(|ours| ours.done.as_ref());
        let (Some(theirs), Some(ours)) = (&figure.done, ours) else { continue };
        let who = format!("{} at {} tuples", figure.peer, size(figure.tuples));
        lines.extend(LIBRARIES.iter().filter_map(|what| what.line(&who, theirs, ours)));
    }
    if lines.is_empty() {
        "In nothing that was measured in this run.".into()
    } else {
        lines.join("\n")
    }
}
