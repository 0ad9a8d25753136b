//! Bailiwick beside what users would pick instead; the script `run` is the way in. Measures into `results/`,
//! and renders from there into `docs/benchmarks.md`. Works in its own directory.

mod fault;
mod inprocess;
mod load;
mod machine;
mod matrix;
mod peer;
mod process;
mod report;
mod results;
mod served;
mod service;
mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fault::{Fault, fault};
use inprocess::Bounds;
use machine::Machine;
use matrix::Matrix;
use served::{Programs, Spans};

const USAGE: &str = "peers measure [--quick] --bailiwick PROGRAM --cerbos PROGRAM VERSION \
                     [--openfga PROGRAM VERSION] | peers render";
/// The repository, from the directory that this works in.
const ROOT: &str = "../..";

/// The matrix, below the repository's root.
pub(crate) fn matrix_path(root: &Path) -> PathBuf {
    root.join("models/energyhub/permissions.csv")
}

fn main() -> Result<(), Fault> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = args.split_first() else { return fault(USAGE) };
    match command.as_str() {
        "child-write" => inprocess::child_write(rest),
        "child-ask" => inprocess::child_ask(rest),
        "measure" => measure(rest),
        "render" => report::render(Path::new(ROOT)),
        _ => fault(USAGE),
    }
}

fn measure(args: &[String]) -> Result<(), Fault> {
    let started = Instant::now();
    let after = |flag: &str, more: usize| {
        let at = args.iter().position(|arg| arg == flag)?;
        args.get(at + more)
    };
    let (Some(bailiwick), Some(cerbos), Some(cerbos_version)) =
        (after("--bailiwick", 1), after("--cerbos", 1), after("--cerbos", 2))
    else {
        return fault(USAGE);
    };
    let quick = args.iter().any(|arg| arg == "--quick");
    let (spans, bounds) = if quick { quick_terms() } else { full_terms() };
    let mut versions = vec![("Cerbos", cerbos_version.clone())];
    versions.extend(after("--openfga", 2).map(|version| ("OpenFGA", version.clone())));
    let root = Path::new(ROOT);
    let mut machine = Machine::look(root, quick, &versions)?;
    let matrix = Matrix::read(&matrix_path(root))?;
    eprintln!(
        "{} roles x {} permissions, {} cells ticked",
        matrix.roles.len(),
        matrix.permissions.len(),
        matrix.ticks()
    );
    let programs = Programs {
        bailiwick: bailiwick.into(),
        cerbos: cerbos.into(),
        openfga: after("--openfga", 1).map(PathBuf::from),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (services, left_out) = runtime.block_on(served::compare(&programs, &matrix, &spans))?;
    machine.left_out = left_out;
    drop(runtime);
    let libraries = inprocess::compare(root, &bounds)?;
    machine.minutes = started.elapsed().as_secs_f64() / 60.0;
    // All together, so that the page never mixes two runs.
    results::keep("services", &services)?;
    results::keep("libraries", &libraries)?;
    results::keep("machine", &machine)
}

/// Under 3 minutes.
fn quick_terms() -> (Spans, Bounds) {
    let spans = Spans {
        tuples: 10_000,
        questions: 2_000,
        warming: Duration::from_secs(1),
        fastest: Duration::from_millis(1_500),
        everyday: Duration::from_secs(3),
        held: Duration::from_secs(8),
    };
    let bounds = Bounds {
        sizes: vec![1_000, 100_000, 1_000_000],
        questions: 5_000,
        timing: Duration::from_millis(1_500),
        limit: Duration::from_secs(25),
        writing_limit: Duration::from_secs(60),
        limit_mb: 6_000,
    };
    (spans, bounds)
}

/// Under 15 minutes.
fn full_terms() -> (Spans, Bounds) {
    let spans = Spans {
        tuples: 100_000,
        questions: 10_000,
        warming: Duration::from_secs(3),
        fastest: Duration::from_secs(6),
        everyday: Duration::from_secs(15),
        held: Duration::from_secs(60),
    };
    let bounds = Bounds {
        sizes: vec![1_000, 100_000, 1_000_000, 10_000_000],
        questions: 50_000,
        timing: Duration::from_secs(3),
        limit: Duration::from_secs(60),
        writing_limit: Duration::from_secs(240),
        limit_mb: 8_000,
    };
    (spans, bounds)
}
