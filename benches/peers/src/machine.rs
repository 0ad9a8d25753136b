//! What the figures were measured on and with: said beside them, because they mean nothing without.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

/// Machine, commit and versions.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gb: f64,
    pub(crate) kernel: String,
    /// Of the product, with `+` where files differ from it.
    pub(crate) commit: String,
    /// How many threads wanted to run, over the minute before the first figure.
    pub(crate) load_before: f64,
    pub(crate) quick: bool,
    pub(crate) minutes: f64,
    /// Peers that are missing, and why.
    pub(crate) left_out: Vec<String>,
    /// Peer to version.
    pub(crate) versions: Vec<(String, String)>,
}

impl Machine {
    /// As it is now.
    pub(crate) fn look(
        root: &Path,
        quick: bool,
        services: &[(&str, String)],
    ) -> Result<Self, Fault> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kb: f64 = memory.trim_end_matches(" kB").parse().unwrap_or(0.0);
        let load = read("/proc/loadavg");
        let lock = std::fs::read_to_string("Cargo.lock")?;
        let mut versions: Vec<(String, String)> =
            services.iter().map(|(name, version)| ((*name).into(), version.clone())).collect();
        for name in crate::peer::NAMES {
            versions.push((name.into(), locked(&lock, name)));
        }
        Ok(Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gb: kb * 1_024.0 / 1e9,
            kernel: read("/proc/sys/kernel/osrelease").trim().into(),
            commit: commit(root),
            load_before: load.split(' ').next().and_then(|one| one.parse().ok()).unwrap_or(0.0),
            quick,
            minutes: 0.0,
            left_out: Vec::new(),
            versions,
        })
    }
}

/// The version that the lock file has of a crate.
fn locked(lock: &str, name: &str) -> String {
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{name}\"")).skip(1);
    let line = lines.next().unwrap_or_default();
    line.trim_start_matches("version = ").trim_matches('"').to_owned()
}

fn commit(root: &Path) -> String {
    let git = |args: &[&str]| {
        let told = std::process::Command::new("git").arg("-C").arg(root).args(args).output();
        told.map(|told| String::from_utf8_lossy(&told.stdout).trim().to_owned()).unwrap_or_default()
    };
    let mut commit = git(&["rev-parse", "--short", "HEAD"]);
    if !git(&["status", "--porcelain", "--untracked-files=no", "src", "Cargo.lock"]).is_empty() {
        commit.push('+');
    }
    commit
}
