//! `bailiwick serve` as the process that an operator starts: what it says, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A path in the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `bailiwick serve` on any free port. `runner` are the words of a program that runs it, if one is
/// needed.
pub(crate) fn serve(runner: &[&str], model: &Path, data: &Path) -> Command {
    let mut words = runner.iter().copied().chain([env!("CARGO_BIN_EXE_bailiwick")]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["serve", "--listen", "127.0.0.1:0"]);
    command.arg("--model").arg(model).arg("--data").arg(data);
    command.env_remove("RUST_LOG");
    command
}

/// What became of a process that was started to serve.
pub(crate) enum Started {
    /// It serves.
    Serving(Process),
    /// It ended by itself.
    Ended(Ended),
}

impl Started {
    /// Starts it and waits until it serves or has ended.
    pub(crate) fn new(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).unwrap();
            String::from_utf8_lossy(&log).into_owned()
        });
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let serves = address.as_ref().is_some_and(|address| comes_to_serve(address));
        let process =
            Process { child, address: address.unwrap_or_default(), log: Some(log), ended: false };
        if serves { Self::Serving(process) } else { Self::Ended(process.wait()) }
    }

    /// A process that must serve.
    #[track_caller]
    pub(crate) fn serving(self) -> Process {
        match self {
            Self::Serving(process) => process,
            Self::Ended(ended) => panic!("it ended: {ended:?}"),
        }
    }

    /// A process that must have ended by itself; what it wrote to the standard error.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        match self {
            Self::Serving(_) => panic!("it serves"),
            Self::Ended(ended) => {
                assert_eq!(ended.code, Some(1), "{}", ended.log);
                ended.log
            }
        }
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; none after a signal.
    pub(crate) code: Option<i32>,
    /// Its standard error.
    pub(crate) log: String,
}

/// A process that serves; killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    log: Option<JoinHandle<String>>,
    ended: bool,
}

impl Process {
    /// Ends it as an operator does, and waits for it.
    pub(crate) fn terminate(self) -> Ended {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.wait()
    }

    fn wait(mut self) -> Ended {
        let code = self.child.wait().unwrap().code();
        self.ended = true;
        let log = self.log.take().unwrap().join().unwrap();
        Ended { code, log }
    }

    pub(crate) async fn channel(&self) -> Channel {
        connect(&self.address).await.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

async fn connect(address: &str) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await
}

/// Watches health until it says SERVING; false if the process ends before.
fn comes_to_serve(address: &str) -> bool {
    let watch = async {
        let Ok(channel) = connect(address).await else { return false };
        let whole = HealthCheckRequest { service: String::new() };
        let Ok(changes) = HealthClient::new(channel).watch(whole).await else { return false };
        let mut changes = changes.into_inner();
        while let Ok(Some(change)) = changes.message().await {
            if change.status() == ServingStatus::Serving {
                return true;
            }
        }
        false
    };
    // On a thread of its own: the caller may be within a runtime.
    std::thread::scope(|scope| {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        scope.spawn(move || runtime().unwrap().block_on(watch)).join().unwrap()
    })
}
