//! The tables. The best of a column is set in bold, whoever has it.

use super::figures::{grouped, nanoseconds, number, size};
use crate::inprocess::Figure;
use crate::load::Load;
use crate::machine::Machine;
use crate::served::Served;

/// The percentiles that are told.
const LATENCIES: [(&str, fn(&Load) -> f64); 5] = [
    ("p50", |load| load.p50_us),
    ("p90", |load| load.p90_us),
    ("p95", |load| load.p95_us),
    ("p99", |load| load.p99_us),
    ("p99.9", |load| load.p999_us),
];
/// With fewer tuples than this, what the program itself takes hides what a tuple takes.
const BYTES_FROM: u64 = 100_000;

/// A table: its head, and rows of cells.
fn table<S: AsRef<str>>(head: &[S], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| cell.as_ref().to_owned()).collect();
    let mut text = line(&head);
    text.push_str(&format!("|{}\n", "---|".repeat(head.len())));
    for row in rows {
        text.push_str(&line(&row));
    }
    text
}

/// Columns of figures as text, the best of each in bold.
struct Column {
    best: f64,
    as_text: fn(f64) -> String,
}

impl Column {
    fn new(
        figures: impl Iterator<Item = f64>,
        more_is_better: bool,
        as_text: fn(f64) -> String,
    ) -> Self {
        let better = if more_is_better { f64::max } else { f64::min };
        Self { best: figures.reduce(better).unwrap_or(f64::NAN), as_text }
    }

    fn cell(&self, figure: f64) -> String {
        let text = (self.as_text)(figure);
        if figure.to_bits() == self.best.to_bits() { format!("**{text}**") } else { text }
    }
}

pub(super) fn machine(machine: &Machine) -> String {
    let versions: Vec<String> =
        machine.versions.iter().map(|(peer, version)| format!("{peer} {version}")).collect();
    let rows = [
        (
            "processor",
            format!(
                "{}, {} cores, all shared by client and service",
                machine.processor, machine.cores
            ),
        ),
        ("memory", format!("{:.0} GB", machine.memory_gb)),
        ("kernel", format!("Linux {}", machine.kernel)),
        ("versions", versions.join(", ")),
        ("commit", machine.commit.clone()),
        (
            "load before",
            format!("{:.1} threads wanted to run in the minute before", machine.load_before),
        ),
        (
            "run",
            format!(
                "{}, {:.0} minutes",
                if machine.quick { "`run --quick`: short turns, up to 1M tuples" } else { "`run`" },
                machine.minutes
            ),
        ),
    ];
    let mut text = table(&["", ""], rows.map(|(what, is)| vec![what.into(), is]));
    if machine.load_before > 0.5 * machine.cores as f64 {
        text.push_str(
            "\n**Other work was running on the machine: all times are inflated, those under load most. Take \
             the ratios of rates and of processor time.**\n",
        );
    }
    for missing in &machine.left_out {
        text.push_str(&format!("\n**{missing}**\n"));
    }
    text
}

pub(super) fn rates(services: &[Served]) -> String {
    let Some(first) = services.first() else { return String::new() };
    let mut head = vec!["checks a second".to_owned(), "p50, 1 caller".to_owned()];
    head.extend(
        first.fastest.iter().map(|load| format!("{} x {}", load.connections, load.callers_each)),
    );
    let columns: Vec<Column> = (0..first.fastest.len())
        .map(|at| Column::new(services.iter().map(|one| one.fastest[at].per_s), true, number))
        .collect();
    let alone = Column::new(services.iter().map(|one| one.fastest[0].p50_us), false, micro);
    let rows = services.iter().map(|one| {
        let mut row = vec![service(one), alone.cell(one.fastest[0].p50_us)];
        row.extend(one.fastest.iter().zip(&columns).map(|(load, column)| column.cell(load.per_s)));
        row
    });
    table(&head, rows)
}

pub(super) fn micro(us: f64) -> String {
    nanoseconds(us * 1e3)
}

fn service(one: &Served) -> String {
    match one.tuples {
        0 => format!("{}, roles in the request", one.peer),
        many => format!("{}, {} tuples", one.peer, grouped(many)),
    }
}

/// The same at the rate that all can hold.
pub(super) fn everyday(services: &[Served]) -> String {
    let loads: Vec<(&Served, &Load)> =
        services.iter().filter_map(|one| Some((one, one.everyday.as_ref()?))).collect();
    let Some((_, first)) = loads.first() else { return String::new() };
    let columns =
        LATENCIES.map(|(_, of)| Column::new(loads.iter().map(|(_, load)| of(load)), false, micro));
    let mut head = vec![format!("at {}/s", number(first.wanted_per_s.unwrap_or(f64::NAN)))];
    head.extend(LATENCIES.map(|(name, _)| name.to_owned()));
    let rows = loads.iter().map(|(one, load)| {
        let mut row = vec![service(one)];
        row.extend(LATENCIES.iter().zip(&columns).map(|((_, of), column)| column.cell(of(load))));
        row
    });
    let mut text = table(&head, rows);
    text.push_str(&format!("\nHeld for {:.0} s.", first.seconds));
    let slower = services.iter().filter(|one| one.everyday.is_none()).map(|one| one.peer.as_str());
    let slower: Vec<&str> = slower.collect();
    if !slower.is_empty() {
        text.push_str(&format!(" Too much for {}.", slower.join(" and ")));
    }
    text
}

pub(super) fn held(services: &[Served]) -> String {
    let column =
        |of: fn(&Served) -> f64, more, text| Column::new(services.iter().map(of), more, text);
    let rate = column(|one| one.held.per_s, true, number);
    let latency = LATENCIES
        .map(|(_, of)| Column::new(services.iter().map(|one| of(&one.held)), false, micro));
    let peak = column(|one| one.peak_mb, false, number);
    let processor = column(|one| one.processor_us, false, number);
    let mut head = vec!["", "rate held", "asked for"];
    head.extend(LATENCIES.map(|(name, _)| name));
    head.extend(["peak memory, MB", "processor a check, us", "errors"]);
    let rows = services.iter().map(|one| {
        let mut row = vec![
            service(one),
            format!("{}/s", rate.cell(one.held.per_s)),
            format!("{}/s", number(one.held.wanted_per_s.unwrap_or(f64::NAN))),
        ];
        row.extend(
            LATENCIES.iter().zip(&latency).map(|((_, of), column)| column.cell(of(&one.held))),
        );
        row.push(peak.cell(one.peak_mb));
        row.push(processor.cell(one.processor_us));
        row.push(grouped(one.held.errors));
        row
    });
    let mut text = table(&head, rows);
    let Some(first) = services.first() else { return text };
    let (cells, all) = first.cells;
    text.push_str(&format!(
        "\nHeld for {:.0} s. {} questions, {} of them allowed; {cells} of the matrix' {all} cells decide some \
         question alone. Every decision of every service was the right one, before and under load.\n",
        first.held.seconds,
        grouped(first.questions as u64),
        grouped(first.allowed as u64)
    ));
    text
}

/// The sizes that any library was asked at, growing.
fn sizes(libraries: &[Figure]) -> Vec<u64> {
    let mut sizes: Vec<u64> = libraries.iter().map(|figure| figure.tuples).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

fn peers(libraries: &[Figure]) -> Vec<&str> {
    let mut peers: Vec<&str> = libraries.iter().map(|figure| figure.peer.as_str()).collect();
    peers.dedup();
    peers
}

pub(super) fn at<'f>(libraries: &'f [Figure], peer: &str, tuples: u64) -> Option<&'f Figure> {
    libraries.iter().find(|figure| figure.peer == peer && figure.tuples == tuples)
}

/// A row a peer, a column a size; what stopped a peer stands where it stopped.
pub(super) fn libraries(libraries: &[Figure]) -> String {
    let sizes = sizes(libraries);
    let mut head = vec!["time a check, at tuples".to_owned()];
    head.extend(sizes.iter().map(|tuples| size(*tuples)));
    let columns: Vec<Column> = sizes
        .iter()
        .map(|tuples| {
            let here = libraries.iter().filter(|figure| figure.tuples == *tuples);
            let times = here.filter_map(|figure| Some(figure.done.as_ref()?.check_ns));
            Column::new(times, false, nanoseconds)
        })
        .collect();
    let rows = peers(libraries).into_iter().map(|peer| {
        let mut row = vec![peer.to_owned()];
        for (tuples, column) in sizes.iter().zip(&columns) {
            let figure = at(libraries, peer, *tuples);
            row.push(match figure.map(|figure| (&figure.done, &figure.stopped)) {
                Some((Some(done), _)) => column.cell(done.check_ns),
                Some((None, why)) => why.clone().unwrap_or_default(),
                None => "-".into(),
            });
        }
        row
    });
    table(&head, rows)
}

/// Everything of each peer at each size.
pub(super) fn growth(libraries: &[Figure]) -> String {
    let head = [
        "",
        "tuples",
        "a check",
        "allow",
        "deny",
        "ready in",
        "resident, MB",
        "bytes a tuple",
        "written in",
        "disk, MB",
    ];
    let rows = libraries.iter().filter_map(|figure| {
        let done = figure.done.as_ref()?;
        let more = (done.resident_mb - done.idle_mb).max(0.0) * 1e6 / figure.tuples as f64;
        let wrote = figure.written.as_ref();
        Some(vec![
            figure.peer.clone(),
            grouped(figure.tuples),
            nanoseconds(done.check_ns),
            nanoseconds(done.allow_ns),
            nanoseconds(done.deny_ns),
            nanoseconds(done.ready_s * 1e9),
            number(done.resident_mb),
            if figure.tuples < BYTES_FROM { "-".into() } else { number(more) },
            wrote.map_or("-".into(), |wrote| nanoseconds(wrote.seconds * 1e9)),
            wrote.map_or("-".into(), |wrote| number(wrote.disk_mb)),
        ])
    });
    table(&head, rows)
}
