//! The peers that are services, ours among them, one after the other: agree on every question, find the
//! highest rate, then hold a share of it, in the form of the load reports that users of these services know.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::{DISAGREES, Fault};
use crate::load::{Callers, Load, Requests, agree, fastest, held};
use crate::matrix::Matrix;
use crate::process::memory_kb;
use crate::service::{Checks, Running, bailiwick, cerbos, connect, openfga};
use crate::world::{Question, World};

/// Connections and callers on each that the highest rate is looked for with.
const SHAPES: [(usize, usize); 4] = [(1, 1), (1, 32), (4, 8), (4, 32)];
/// Who compares the decisions: few, so that a slow service need not refuse any.
const COMPARING: (usize, usize) = (1, 8);
/// How often each shape is tried, in turns; the one with the median rate counts.
const TURNS: u32 = 3;
/// How much of the highest rate is held.
const HELD: f64 = 0.85;
/// A rate that a sidecar sees every day, the same for all that can hold it.
const EVERYDAY: f64 = 1_000.0;

/// Where the services' programs are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) bailiwick: PathBuf,
    pub(crate) cerbos: PathBuf,
    /// Nothing where it could not be built.
    pub(crate) openfga: Option<PathBuf>,
}

/// How long to look.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    pub(crate) tuples: u64,
    pub(crate) questions: usize,
    pub(crate) warming: Duration,
    /// For each shape, all its turns.
    pub(crate) fastest: Duration,
    pub(crate) everyday: Duration,
    pub(crate) held: Duration,
}

/// What one service did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) peer: String,
    /// Zero where it holds no data.
    pub(crate) tuples: u64,
    pub(crate) questions: usize,
    pub(crate) allowed: usize,
    /// Cells of the matrix that some question hangs on alone, and all that there are.
    pub(crate) cells: (usize, usize),
    /// Resident before the first load.
    pub(crate) resident_mb: f64,
    /// By shape.
    pub(crate) fastest: Vec<Load>,
    /// Nothing where the service is slower than that.
    pub(crate) everyday: Option<Load>,
    pub(crate) held: Load,
    /// The most that was ever resident.
    pub(crate) peak_mb: f64,
    /// Processor time of the service for one check while the rate was held.
    pub(crate) processor_us: f64,
}

/// What every service is asked.
struct Asked {
    questions: usize,
    allowed: usize,
    cells: (usize, usize),
}

/// Every service, ours first; and why one is not there. Only a wrong decision of another, or a failure of
/// ours, ends the run.
pub(crate) async fn compare(
    programs: &Programs,
    matrix: &Matrix,
    spans: &Spans,
) -> Result<(Vec<Served>, Vec<String>), Fault> {
    let world = World::of(spans.tuples);
    let questions = world.questions(matrix, spans.questions);
    let asked = Asked {
        questions: questions.len(),
        allowed: questions.iter().filter(|question| question.allowed).count(),
        cells: (cells(&questions), matrix.roles.len() * matrix.permissions.len()),
    };
    let (mut all, mut left_out) = (Vec::new(), Vec::new());
    let dir = tempfile::tempdir()?;
    let ours = dir.path().join("bailiwick");
    std::fs::create_dir(&ours)?;
    let running = bailiwick::run(&programs.bailiwick, matrix, world, &questions, &ours).await?;
    note(measure("bailiwick", world.tuples(), running, &asked, spans).await, &mut all)?;
    let cerbos = async {
        let running = cerbos::run(&programs.cerbos, matrix, &questions, dir.path()).await?;
        measure("Cerbos", 0, running, &asked, spans).await
    };
    let noted = note(cerbos.await, &mut all);
    note_missing("Cerbos", noted, &mut left_out)?;
    let Some(openfga) = &programs.openfga else {
        left_out.push("OpenFGA was left out: it was not built.".into());
        return Ok((all, left_out));
    };
    let openfga = async {
        let running = openfga::run(openfga, matrix, world, &questions, dir.path()).await?;
        measure("OpenFGA", world.tuples(), running, &asked, spans).await
    };
    let noted = note(openfga.await, &mut all);
    note_missing("OpenFGA", noted, &mut left_out)?;
    Ok((all, left_out))
}

fn note(served: Result<Served, Fault>, all: &mut Vec<Served>) -> Result<(), Fault> {
    let served = served?;
    eprintln!("{}", told(&served));
    all.push(served);
    Ok(())
}

fn note_missing(
    peer: &str,
    noted: Result<(), Fault>,
    left_out: &mut Vec<String>,
) -> Result<(), Fault> {
    match noted {
        Err(why) if !why.to_string().contains(DISAGREES) => {
            eprintln!("{peer} is left out: {why}");
            left_out.push(format!("{peer} was left out: {why}."));
            Ok(())
        }
        noted => noted,
    }
}

async fn measure<C: Checks>(
    peer: &str,
    tuples: u64,
    running: Running<C>,
    asked: &Asked,
    spans: &Spans,
) -> Result<Served, Fault> {
    let Running { process, address, requests } = running;
    let pid = process.0.id();
    let requests: Requests<C> = Arc::new(requests);
    let megabytes = |figure| memory_kb(pid, figure) as f64 * 1_024.0 / 1e6;
    let resident_mb = megabytes("VmRSS");
    let mut connections = Vec::new();
    for _ in 0..SHAPES.iter().map(|(connections, _)| *connections).max().unwrap_or(1) {
        connections.push(connect(address).await?);
    }
    let callers = |(many, each): (usize, usize)| Callers {
        connections: connections.iter().take(many).cloned().collect(),
        each,
    };
    let widest = callers(SHAPES[SHAPES.len() - 1]);
    agree::<C>(&callers(COMPARING), &requests).await?;
    fastest::<C>(&widest, &requests, spans.warming).await?;
    let mut turns = SHAPES.map(|_| Vec::new());
    for _ in 0..TURNS {
        for (shape, turns) in SHAPES.into_iter().zip(&mut turns) {
            turns.push(fastest::<C>(&callers(shape), &requests, spans.fastest / TURNS).await?);
        }
    }
    let rates: Vec<Load> = turns.into_iter().filter_map(median).collect();
    let best = rates.iter().map(|load| load.per_s).fold(0.0, f64::max);
    let everyday = if best * HELD > EVERYDAY {
        Some(held::<C>(&widest, &requests, EVERYDAY, spans.everyday).await?)
    } else {
        None
    };
    let before = processor_seconds(pid);
    let held = held::<C>(&widest, &requests, best * HELD, spans.held).await?;
    let processor = processor_seconds(pid) - before;
    Ok(Served {
        peer: peer.into(),
        tuples,
        questions: asked.questions,
        allowed: asked.allowed,
        cells: asked.cells,
        resident_mb,
        fastest: rates,
        everyday,
        processor_us: processor / (held.per_s * held.seconds) * 1e6,
        held,
        peak_mb: megabytes("VmHWM"),
    })
}

/// The turn with the median rate.
fn median(mut turns: Vec<Load>) -> Option<Load> {
    turns.sort_by(|a, b| a.per_s.total_cmp(&b.per_s));
    let middle = turns.len() / 2;
    turns.into_iter().nth(middle)
}

/// How many cells (role, permission) some question hangs on alone, as the user holds just that role there.
fn cells(questions: &[Question]) -> usize {
    let alone = questions.iter().filter_map(|question| match question.held[..] {
        [role] => Some((role, question.permission)),
        _ => None,
    });
    alone.collect::<HashSet<_>>().len()
}

/// Processor time that a process has had, in seconds; the system counts in hundredths.
fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    let stat = stat.unwrap_or_default();
    // The name in brackets may hold anything, so the fields are counted from its end.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn told(served: &Served) -> String {
    let best = served.fastest.iter().map(|load| load.per_s).fold(0.0, f64::max);
    let held = &served.held;
    format!(
        "{:<10} at most {best:.0}/s; at {:.0}/s p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us; {:.0} MB at most; {:.1} us of processor",
        served.peer,
        held.per_s,
        held.p50_us,
        held.p99_us,
        held.p999_us,
        served.peak_mb,
        served.processor_us
    )
}
