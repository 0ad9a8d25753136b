//! Processes that this run starts: what memory one has, and ending one that takes too long or too much. Only
//! its own children are ever ended, through their handles.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fault::{Fault, fault};

/// How often a bounded child is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A figure of a process' memory, in kB: `VmRSS` is what is resident, `VmHWM` the most that ever was.
pub(crate) fn memory_kb(pid: u32, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Why a child came to no end of its own.
#[derive(Debug)]
pub(crate) enum Stopped {
    TooLong(Duration),
    TooMuch(u64),
    Failed(String),
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(limit) => write!(f, "not done in {} s", limit.as_secs()),
            Self::TooMuch(mb) => write!(f, "more than {mb} MB resident"),
            Self::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

/// Runs this program again with these arguments and gives what it prints, unless it takes longer or more.
pub(crate) fn bounded(
    args: &[&str],
    limit: Duration,
    mb: u64,
) -> Result<Result<String, Stopped>, Fault> {
    let mut child = Ending(
        Command::new(std::env::current_exe()?)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?,
    );
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.0.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            return Ok(Err(Stopped::TooLong(limit)));
        }
        if memory_kb(child.0.id(), "VmRSS") > mb * 1_000 {
            return Ok(Err(Stopped::TooMuch(mb)));
        }
        std::thread::sleep(LOOK);
    };
    // What a child prints fits into a pipe, so nobody has to read along.
    let (mut told, mut complaint) = (String::new(), String::new());
    if let Some(mut out) = child.0.stdout.take() {
        out.read_to_string(&mut told)?;
    }
    if let Some(mut out) = child.0.stderr.take() {
        out.read_to_string(&mut complaint)?;
    }
    if status.success() { Ok(Ok(told)) } else { Ok(Err(Stopped::Failed(complaint.trim().into()))) }
}

/// A child that does not outlive its handle.
#[derive(Debug)]
pub(crate) struct Ending(pub(crate) Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

/// A port that was free just now.
pub(crate) fn free_port() -> Result<u16, Fault> {
    match std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port() {
        0 => fault("the system gave no port"),
        port => Ok(port),
    }
}

/// What directories and files below take, in bytes.
pub(crate) fn disk_bytes(dir: &std::path::Path) -> Result<u64, Fault> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let told = entry.metadata()?;
        bytes += if told.is_dir() { disk_bytes(&entry.path())? } else { told.len() };
    }
    Ok(bytes)
}
