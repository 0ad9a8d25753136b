//! The peers that are services, ours among them, one after the other: agree on every question, find the
//! highest rate, then hold a share of it, in the form of the load reports that users of these services know.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::load::{Callers, Load, Requests, agree, fastest, held};
use crate::matrix::Matrix;
use crate::process::memory_kb;
use crate::service::{Checks, Running, bailiwick, cerbos, connect, openfga};
use crate::world::{Question, World};

/// Connections and callers on each that the highest rate is looked for with.
const SHAPES: [(usize, usize); 4] = [(1, 1), (1, 32), (4, 8), (4, 32)];
/// How much of the highest rate is held.
const HELD: f64 = 0.85;

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
    /// For each shape.
    pub(crate) fastest: Duration,
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
    /// Resident before the first load.
    pub(crate) resident_mb: f64,
    /// By shape.
    pub(crate) fastest: Vec<Load>,
    pub(crate) held: Load,
    /// The most that was ever resident.
    pub(crate) peak_mb: f64,
    /// Processor time of the service for one check while the rate was held.
    pub(crate) processor_us: f64,
}

/// Every service.
pub(crate) async fn compare(
    programs: &Programs,
    matrix: &Matrix,
    spans: &Spans,
) -> Result<Vec<Served>, Fault> {
    let world = World::of(spans.tuples);
    let questions = world.questions(matrix, spans.questions);
    let mut all = Vec::new();
    let mut note = |served: Served| {
        eprintln!("{}", told(&served));
        all.push(served);
    };
    let dir = || tempfile::tempdir();
    {
        let dir = dir()?;
        let running =
            bailiwick::run(&programs.bailiwick, matrix, world, &questions, dir.path()).await?;
        note(measure("bailiwick", world.tuples(), running, &questions, spans).await?);
    }
    {
        let dir = dir()?;
        let running = cerbos::run(&programs.cerbos, matrix, &questions, dir.path()).await?;
        note(measure("Cerbos", 0, running, &questions, spans).await?);
    }
    if let Some(openfga) = &programs.openfga {
        let dir = dir()?;
        let running = openfga::run(openfga, matrix, world, &questions, dir.path()).await?;
        note(measure("OpenFGA", world.tuples(), running, &questions, spans).await?);
    }
    Ok(all)
}

async fn measure<C: Checks>(
    peer: &str,
    tuples: u64,
    running: Running<C>,
    questions: &[Question],
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
    agree::<C>(&widest, &requests).await?;
    fastest::<C>(&widest, &requests, spans.warming).await?;
    let mut rates = Vec::new();
    for shape in SHAPES {
        rates.push(fastest::<C>(&callers(shape), &requests, spans.fastest).await?);
    }
    let best = rates.iter().map(|load| load.per_s).fold(0.0, f64::max);
    let before = processor_seconds(pid);
    let held = held::<C>(&widest, &requests, best * HELD, spans.held).await?;
    let processor = processor_seconds(pid) - before;
    Ok(Served {
        peer: peer.into(),
        tuples,
        questions: questions.len(),
        allowed: questions.iter().filter(|question| question.allowed).count(),
        resident_mb,
        fastest: rates,
        processor_us: processor / (held.per_s * held.seconds) * 1e6,
        held,
        peak_mb: megabytes("VmHWM"),
    })
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
