//! The built program in a process of its own, as the benchmarks that ask for its memory, its disk or its
//! first answer need it. Knows no figure.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// `bailiwick serve` on a data directory.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    endpoint: String,
    /// Its admin page, `IP:PORT`.
    admin: String,
    /// From its start until it said SERVING.
    pub(crate) served_after: Duration,
}

impl Service {
    /// Starts it and waits until it serves.
    pub(crate) fn start(model: &Path, data: &Path) -> Self {
        let started = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--model"])
            .arg(model)
            .arg("--data")
            .arg(data)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.as_mut().expect("its output")).lines();
        let mut told = |what: &str| {
            let line = lines.next().expect("a line").expect("UTF-8");
            line.strip_prefix(what).expect("where it listens").to_owned()
        };
        let endpoint = format!("http://{}", told("listening on "));
        let admin = told("admin on ");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(ready(&endpoint));
        let served_after = started.elapsed();
        Self { child, endpoint, admin, served_after }
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident(&self) -> f64 {
        status(self.child.id(), "VmRSS:")
    }

    /// The most that was ever resident, in bytes.
    pub(crate) fn peak(&self) -> f64 {
        status(self.child.id(), "VmHWM:")
    }

    /// Where it answers: gRPC, and its admin page.
    pub(crate) fn places(&self) -> (&str, &str) {
        (&self.endpoint, &self.admin)
    }

    /// Ends it as an orchestrator would.
    pub(crate) fn stop(mut self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(told.success());
        assert!(self.child.wait().expect("it ends").success());
    }
}

async fn ready(endpoint: &str) {
    let channel = connect(endpoint).await;
    let request = HealthCheckRequest { service: String::new() };
    let watched = HealthClient::new(channel).watch(request).await;
    let mut changes = watched.expect("the health service").into_inner();
    let mut is_serving = false;
    while !is_serving {
        let change = changes.message().await.expect("it lives");
        is_serving = change.expect("it serves before it ends").status() == ServingStatus::Serving;
    }
}

/// A connection to a service.
pub(crate) async fn connect(endpoint: &str) -> Channel {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("an address");
    endpoint.connect().await.expect("the service listens")
}

/// A line of `/proc/PID/status`, in bytes.
fn status(pid: u32, key: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("the line");
    let kib = line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number");
    kib * 1_024.0
}

/// What the files of a directory hold on the disk, in bytes: as many blocks as they have.
pub(crate) fn disk_bytes(dir: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt;
    let size = |path: std::path::PathBuf| {
        if path.is_dir() {
            return disk_bytes(&path);
        }
        path.metadata().map_or(0.0, |meta| meta.blocks() as f64 * 512.0)
    };
    std::fs::read_dir(dir).expect("a directory").map(|e| size(e.expect("an entry").path())).sum()
}
