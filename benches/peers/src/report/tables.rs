//! The tables. The best of a column is set in bold, whoever has it.

use super::figures::{grouped, nanoseconds, number, size};
use crate::inprocess::Figure;
use crate::machine::Machine;
use crate::peer::OURS;
use crate::served::Served;

/// A table: its head, and rows of cells.
fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = head.iter().map(|cell| (*cell).into()).collect();
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
            "\n**Other work was running on the machine: take the ratios, not the times.**\n",
        );
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
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    table(&head, rows)
}

fn micro(us: f64) -> String {
    nanoseconds(us * 1e3)
}

fn service(one: &Served) -> String {
    match one.tuples {
        0 => format!("{}, roles in the request", one.peer),
        many => format!("{}, {} tuples", one.peer, grouped(many)),
    }
}

pub(super) fn held(services: &[Served]) -> String {
    let latencies: [fn(&Served) -> f64; 5] = [
        |one| one.held.p50_us,
        |one| one.held.p90_us,
        |one| one.held.p95_us,
        |one| one.held.p99_us,
        |one| one.held.p999_us,
    ];
    let column =
        |of: fn(&Served) -> f64, more, text| Column::new(services.iter().map(of), more, text);
    let rate = column(|one| one.held.per_s, true, number);
    let latency: Vec<Column> = latencies.iter().map(|of| column(*of, false, micro)).collect();
    let peak = column(|one| one.peak_mb, false, number);
    let processor = column(|one| one.processor_us, false, number);
    let head = [
        "",
        "rate held",
        "asked for",
        "p50",
        "p90",
        "p95",
        "p99",
        "p99.9",
        "peak memory, MB",
        "processor a check, us",
        "errors",
    ];
    let rows = services.iter().map(|one| {
        let mut row = vec![
            service(one),
            format!("{}/s", rate.cell(one.held.per_s)),
            format!("{}/s", number(one.held.wanted_per_s.unwrap_or(f64::NAN))),
        ];
        row.extend(latencies.iter().zip(&latency).map(|(of, column)| column.cell(of(one))));
        row.push(peak.cell(one.peak_mb));
        row.push(processor.cell(one.processor_us));
        row.push(grouped(one.held.errors));
        row
    });
    let mut text = table(&head, rows);
    let Some(first) = services.first() else { return text };
    text.push_str(&format!(
        "\nHeld for {:.0} s. {} questions, {} of them allowed; every decision agreed.\n",
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

fn at<'f>(libraries: &'f [Figure], peer: &str, tuples: u64) -> Option<&'f Figure> {
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
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
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
            number(more),
            wrote.map_or("-".into(), |wrote| nanoseconds(wrote.seconds * 1e9)),
            wrote.map_or("-".into(), |wrote| number(wrote.disk_mb)),
        ])
    });
    table(&head, rows)
}

/// Where somebody else has the better figure.
pub(super) fn better(services: &[Served], libraries: &[Figure]) -> String {
    let mut lines = Vec::new();
    if let Some(ours) = services.iter().find(|one| one.peer == OURS) {
        let measures: [(&str, fn(&Served) -> f64, bool, fn(f64) -> String); 6] = [
            (
                "highest rate, checks a second",
                |one| one.fastest.iter().map(|load| load.per_s).fold(0.0, f64::max),
                true,
                number,
            ),
            ("p50 of one caller", |one| one.fastest[0].p50_us, false, micro),
            ("p99 at 85 % of its highest rate", |one| one.held.p99_us, false, micro),
            ("p99.9 at 85 % of its highest rate", |one| one.held.p999_us, false, micro),
            ("peak memory, MB", |one| one.peak_mb, false, number),
            ("processor a check, us", |one| one.processor_us, false, number),
        ];
        for (what, of, more, text) in measures {
            let beats = |one: &&Served| if more { of(one) > of(ours) } else { of(one) < of(ours) };
            for one in services.iter().filter(beats) {
                lines.push(format!(
                    "- {}, {what}: {}, ours {}",
                    one.peer,
                    text(of(one)),
                    text(of(ours))
                ));
            }
        }
    }
    for figure in libraries.iter().filter(|figure| figure.peer != OURS) {
        let ours = at(libraries, OURS, figure.tuples).and_then(|ours| ours.done.as_ref());
        let (Some(theirs), Some(ours)) = (figure.done.as_ref(), ours) else { continue };
        for (what, theirs, ours) in [
            ("time a check", nanoseconds_if_less(theirs.check_ns, ours.check_ns), ours.check_ns),
            (
                "ready in",
                nanoseconds_if_less(theirs.ready_s * 1e9, ours.ready_s * 1e9),
                ours.ready_s * 1e9,
            ),
        ] {
            if let Some(theirs) = theirs {
                let at = size(figure.tuples);
                lines.push(format!(
                    "- {} at {at} tuples, {what}: {theirs}, ours {}",
                    figure.peer,
                    nanoseconds(ours)
                ));
            }
        }
        if theirs.resident_mb < ours.resident_mb {
            let (theirs, ours) = (number(theirs.resident_mb), number(ours.resident_mb));
            lines.push(format!(
                "- {} at {} tuples, resident: {theirs} MB, ours {ours} MB",
                figure.peer,
                size(figure.tuples)
            ));
        }
    }
    if lines.is_empty() {
        "In nothing that was measured in this run.".into()
    } else {
        lines.join("\n")
    }
}

fn nanoseconds_if_less(theirs: f64, ours: f64) -> Option<String> {
    (theirs < ours).then(|| nanoseconds(theirs))
}
