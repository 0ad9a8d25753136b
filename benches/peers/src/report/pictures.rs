//! Which pictures there are, and what each shows.

use super::figures::{nanoseconds, number, size};
use super::plot::{Line, Plot};
use crate::inprocess::{Done, Figure};
use crate::served::Served;

/// File name and picture.
pub(super) fn all(services: &[Served], libraries: &[Figure]) -> Vec<(&'static str, String)> {
    vec![
        ("check.svg", growth(libraries, "Time a check", nanoseconds, |done, _| done.check_ns)),
        ("memory.svg", growth(libraries, "Resident memory", megabytes, |done, _| done.resident_mb)),
        (
            "ready.svg",
            growth(
                libraries,
                "Ready to answer: recovered from disk, or loaded from memory",
                nanoseconds,
                |done, _| done.ready_s * 1e9,
            ),
        ),
        ("latency.svg", latency(services)),
    ]
}

fn megabytes(mb: f64) -> String {
    if mb < 1e3 {
        format!("{mb:.0} MB")
    } else {
        format!("{} GB", number(mb / 1e3).trim_end_matches(".00"))
    }
}

fn growth(
    libraries: &[Figure],
    title: &str,
    y_mark: fn(f64) -> String,
    of: fn(&Done, &Figure) -> f64,
) -> String {
    let mut sizes: Vec<u64> = libraries.iter().map(|figure| figure.tuples).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut lines: Vec<Line> = Vec::new();
    for figure in libraries {
        let Some(done) = &figure.done else { continue };
        let point = (figure.tuples as f64, of(done, figure));
        match lines.iter_mut().find(|line| line.name == figure.peer) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: figure.peer.clone(), points: vec![point] }),
        }
    }
    let x_marks = sizes.iter().map(|tuples| (*tuples as f64, size(*tuples))).collect();
    Plot { title, x_name: "tuples", x_marks, x_logarithmic: true, y_mark, lines }.svg()
}

fn latency(services: &[Served]) -> String {
    let marks = ["p50", "p90", "p95", "p99", "p99.9"];
    let x_marks =
        marks.iter().enumerate().map(|(at, mark)| (at as f64, (*mark).to_owned())).collect();
    let lines = services.iter().map(|one| {
        let held = &one.held;
        let us = [held.p50_us, held.p90_us, held.p95_us, held.p99_us, held.p999_us];
        let points = us.iter().enumerate().map(|(at, us)| (at as f64, us * 1e3)).collect();
        Line { name: format!("{}, {}k/s", one.peer, number(held.per_s / 1e3)), points }
    });
    Plot {
        title: "Latency at 85 % of each service's highest rate",
        x_name: "share of the requests that took at most so long, from the moment each was due",
        x_marks,
        x_logarithmic: false,
        y_mark: nanoseconds,
        lines: lines.collect(),
    }
    .svg()
}
