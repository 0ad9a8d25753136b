//! Which pictures there are, and what each shows.

use super::figures::{nanoseconds, number, size};
use super::plot::{Line, Plot};
use crate::inprocess::{Done, Figure};
use crate::load::Load;
use crate::served::Served;

/// File name and picture.
pub(super) fn all(services: &[Served], libraries: &[Figure]) -> Vec<(&'static str, String)> {
    vec![
        ("check.svg", growth(libraries, "Time a check", time, |done, _| done.check_ns)),
        ("memory.svg", growth(libraries, "Resident memory", megabytes, |done, _| done.resident_mb)),
        (
            "ready.svg",
            growth(
                libraries,
                "Ready to answer: recovered from disk, or loaded from memory",
                time,
                |done, _| done.ready_s * 1e9,
            ),
        ),
        (
            "latency.svg",
            latency(services, "Latency at 85 % of each service's highest rate", |one| {
                Some(&one.held)
            }),
        ),
        (
            "everyday.svg",
            latency(services, "Latency at the same everyday rate", |one| one.everyday.as_ref()),
        ),
    ]
}

/// Marks of an axis are powers of ten, so that digits after the point say nothing.
fn time(ns: f64) -> String {
    nanoseconds(ns).replace(".00", "").replace(".0", "")
}

fn megabytes(mb: f64) -> String {
    if mb < 1e3 { format!("{mb:.0} MB") } else { format!("{:.0} GB", mb / 1e3) }
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

fn latency(services: &[Served], title: &str, of: fn(&Served) -> Option<&Load>) -> String {
    let marks = ["p50", "p90", "p95", "p99", "p99.9"];
    let x_marks =
        marks.iter().enumerate().map(|(at, mark)| (at as f64, (*mark).to_owned())).collect();
    let lines = services.iter().filter_map(|one| {
        let load = of(one)?;
        let us = [load.p50_us, load.p90_us, load.p95_us, load.p99_us, load.p999_us];
        let points = us.iter().enumerate().map(|(at, us)| (at as f64, us * 1e3)).collect();
        Some(Line { name: format!("{}, {}k/s", one.peer, number(load.per_s / 1e3)), points })
    });
    Plot {
        title,
        x_name: "share of the requests that took at most so long, from the moment each was due",
        x_marks,
        x_logarithmic: false,
        y_mark: time,
        lines: lines.collect(),
    }
    .svg()
}
