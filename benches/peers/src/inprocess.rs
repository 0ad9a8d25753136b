//! The peers that are libraries, and ours as one: each in a process of its own, at growing sizes, until one
//! takes too long or too much memory. A figure counts only if every decision agreed before.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::fault::{DISAGREES, Fault, fault};
use crate::matrix::Matrix;
use crate::peer::{self, OURS, Peer};
use crate::process::{bounded, disk_bytes, memory_kb};
use crate::world::{Question, World};

/// Turns that the median is of.
const TURNS: usize = 11;

/// How far to go.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Tuples, growing.
    pub(crate) sizes: Vec<u64>,
    /// Questions that must agree, and are then asked in turn.
    pub(crate) questions: usize,
    /// For the timing of one peer at one size.
    pub(crate) timing: Duration,
    /// For one peer at one size in all; ours gets the time to write ten million besides.
    pub(crate) limit: Duration,
    pub(crate) writing_limit: Duration,
    /// Resident.
    pub(crate) limit_mb: u64,
}

/// What one peer did at one size.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) peer: String,
    pub(crate) tuples: u64,
    /// Nothing if it was stopped.
    pub(crate) done: Option<Done>,
    pub(crate) stopped: Option<String>,
    pub(crate) written: Option<Wrote>,
}

/// Times and memory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// Until the first answer: recovery from disk where there is one, else loading from memory.
    pub(crate) ready_s: f64,
    /// After that.
    pub(crate) resident_mb: f64,
    /// Of which before anything was loaded.
    pub(crate) idle_mb: f64,
    pub(crate) check_ns: f64,
    pub(crate) allow_ns: f64,
    pub(crate) deny_ns: f64,
    pub(crate) questions: usize,
    pub(crate) allowed: usize,
}

/// What it took to make the store.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Wrote {
    pub(crate) seconds: f64,
    pub(crate) disk_mb: f64,
}

/// Every peer at every size.
pub(crate) fn compare(root: &Path, bounds: &Bounds) -> Result<Vec<Figure>, Fault> {
    let mut figures = Vec::new();
    for name in peer::NAMES {
        for size in &bounds.sizes {
            let figure = one(root, name, *size, bounds)?;
            eprintln!("{}", told(&figure));
            let stopped = figure.stopped.is_some();
            figures.push(figure);
            if stopped {
                break;
            }
        }
    }
    Ok(figures)
}

fn one(root: &Path, name: &str, size: u64, bounds: &Bounds) -> Result<Figure, Fault> {
    let tuples = World::of(size).tuples();
    let mut figure = Figure { peer: name.into(), tuples, done: None, stopped: None, written: None };
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let (root, data_path) = (path(root), path(&data));
    let (size, questions) = (size.to_string(), bounds.questions.to_string());
    if name == OURS {
        let started = Instant::now();
        let args = ["child-write", &root, &size, &data_path];
        if let Err(stopped) = bounded(&args, bounds.writing_limit, bounds.limit_mb)? {
            figure.stopped = Some(format!("writing: {stopped}"));
            return Ok(figure);
        }
        let seconds = started.elapsed().as_secs_f64();
        figure.written = Some(Wrote { seconds, disk_mb: disk_bytes(&data)? as f64 / 1e6 });
    }
    let timing = bounds.timing.as_millis().to_string();
    let args = ["child-ask", &root, name, &size, &questions, &timing, &data_path];
    match bounded(&args, bounds.limit, bounds.limit_mb)? {
        Ok(told) => figure.done = Some(serde_json::from_str(&told)?),
        Err(stopped) => figure.stopped = Some(stopped.to_string()),
    }
    match &figure.stopped {
        Some(why) if why.contains(DISAGREES) => fault(format!("{name}: {why}")),
        _ => Ok(figure),
    }
}

fn told(figure: &Figure) -> String {
    let Figure { peer, tuples, .. } = figure;
    match (&figure.done, &figure.stopped) {
        (Some(done), _) => format!(
            "{peer:<13} {tuples:>9} tuples  {:>9.0} ns a check  ready in {:.2} s, {:.0} MB",
            done.check_ns, done.ready_s, done.resident_mb
        ),
        (None, why) => {
            format!("{peer:<13} {tuples:>9} tuples  {}", why.as_deref().unwrap_or_default())
        }
    }
}

/// The child that writes our store.
pub(crate) fn child_write(args: &[String]) -> Result<(), Fault> {
    let [root, size, data] = args else { return fault("child-write ROOT SIZE DATA") };
    let matrix = Matrix::read(&crate::matrix_path(Path::new(root)))?;
    peer::write_bailiwick(&matrix, World::of(size.parse()?), Path::new(data))
}

/// The child that loads one peer, has it agree, and times it.
pub(crate) fn child_ask(args: &[String]) -> Result<(), Fault> {
    let [root, name, size, questions, timing, data] = args else {
        return fault("child-ask ROOT PEER SIZE QUESTIONS MILLISECONDS DATA");
    };
    let matrix = Matrix::read(&crate::matrix_path(Path::new(root)))?;
    let world = World::of(size.parse()?);
    let first = world.questions(&matrix, 1);
    let resident = || memory_kb(std::process::id(), "VmRSS") as f64 * 1_024.0 / 1e6;
    let idle_mb = resident();
    let started = Instant::now();
    let mut peer = peer::open(name, &matrix, world, &PathBuf::from(data))?;
    agree(peer.as_mut(), &first)?;
    let ready_s = started.elapsed().as_secs_f64();
    let resident_mb = resident();
    let questions = world.questions(&matrix, questions.parse()?);
    agree(peer.as_mut(), &questions)?;
    let timing = Duration::from_millis(timing.parse()?);
    let (allowed, denied): (Vec<_>, Vec<_>) =
        questions.iter().partition(|question| question.allowed);
    let all: Vec<&Question> = questions.iter().collect();
    let [check_ns, allow_ns, deny_ns] = times(peer.as_mut(), [&all, &allowed, &denied], timing)?;
    let done = Done {
        ready_s,
        resident_mb,
        idle_mb,
        check_ns,
        allow_ns,
        deny_ns,
        questions: questions.len(),
        allowed: allowed.len(),
    };
    print!("{}", serde_json::to_string(&done)?);
    Ok(())
}

fn agree(peer: &mut dyn Peer, questions: &[Question]) -> Result<(), Fault> {
    for question in questions {
        if peer.allows(question)? != question.allowed {
            return fault(format!("{DISAGREES} on {question:?}"));
        }
    }
    Ok(())
}

/// The median over the turns of the nanoseconds that one question takes, for each of the lists, in turns.
fn times<const N: usize>(
    peer: &mut dyn Peer,
    lists: [&[&Question]; N],
    timing: Duration,
) -> Result<[f64; N], Fault> {
    let turn = timing / u32::try_from(TURNS * N)?;
    let mut figures = [(); N].map(|()| Vec::new());
    let mut next = [0_usize; N];
    for _ in 0..TURNS {
        for ((list, figures), next) in lists.iter().zip(&mut figures).zip(&mut next) {
            let started = Instant::now();
            let mut asked = 0_u32;
            // The clock is looked at once in 64 questions.
            while started.elapsed() < turn {
                for _ in 0..64 {
                    let question = list[*next % list.len()];
                    std::hint::black_box(peer.allows(std::hint::black_box(question))?);
                    *next += 1;
                }
                asked += 64;
            }
            figures.push(started.elapsed().as_nanos() as f64 / f64::from(asked));
        }
    }
    Ok(figures.map(|mut turns| {
        turns.sort_by(f64::total_cmp);
        turns[turns.len() / 2]
    }))
}
