//! Commands that ask for long while the service is killed and started again under them: they go on, and
//! nothing is lost.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use bailiwick::api::pb::v1 as pb;
use pb::authorization_service_client::AuthorizationServiceClient;
use tonic::transport::Endpoint;

use crate::cli::{assert_exit, bailiwick, repository, stderr, stdout};

/// A service on a port and a data directory that stay the same over its restarts.
struct Restarted {
    child: Child,
    address: String,
    data: tempfile::TempDir,
}

impl Restarted {
    fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let (child, address) = Self::spawn(data.path(), "127.0.0.1:0").unwrap();
        Self { child, address, data }
    }

    fn spawn(data: &Path, listen: &str) -> Option<(Child, String)> {
        let mut child = bailiwick(&["serve", "--listen", listen])
            .arg("--model")
            .arg(repository("tests/models/everything"))
            .arg("--data")
            .arg(data.join("store"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        match line.trim().strip_prefix("listening on ") {
            Some(address) => Some((child, address.to_owned())),
            None => {
                child.wait().unwrap();
                None
            }
        }
    }

    /// SIGKILL, and a new process in its place.
    fn kill_and_start(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // Until the port is free, should another have got hold of it meanwhile.
        self.child = loop {
            if let Some((child, _)) = Self::spawn(self.data.path(), &self.address) {
                break child;
            }
        };
    }

    /// Starts a command that asks this service.
    fn command(&self, args: &[&str]) -> Child {
        let mut command = bailiwick(args);
        command.args(["--endpoint", &self.address]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until this revision is there, which this command brings about.
    fn until_revision(&self, revision: u64, command: &mut Child) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        runtime.block_on(async {
            let mut client = AuthorizationServiceClient::new(endpoint.connect_lazy());
            loop {
                let asked = client.batch_check(pb::BatchCheckRequest::default()).await;
                if asked.is_ok_and(|answer| answer.into_inner().revision >= revision) {
                    return;
                }
                if let Some(ended) = command.try_wait().unwrap() {
                    let told = command.stderr.take().map(std::io::read_to_string);
                    panic!("{ended} before revision {revision}: {told:?}");
                }
            }
        });
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ended(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

#[test]
fn an_import_goes_on_when_the_service_is_killed_and_started_again() {
    let mut service = Restarted::start();
    let file = service.data.path().join("tuples.txt");
    let lines: String = (0..90).map(|at| format!("doc:d1#viewer@user:u{at}\n")).collect();
    std::fs::write(&file, &lines).unwrap();
    let file = file.to_str().unwrap();
    let args = ["import", file, "--format", "text", "--chunk", "1", "--create"];
    let mut import = service.command(&args);
    for revision in [20, 45, 70] {
        service.until_revision(revision, &mut import);
        service.kill_and_start();
    }
    let output = ended(import);
    assert_exit(&output, 0);
    assert!(stdout(&output).starts_with("90 of 90 tuples created in 90 commits"), "{output:?}");
    assert!(stderr(&output).contains("asking again in"), "{output:?}");
    let exported = ended(service.command(&["export", "--quiet"]));
    assert_exit(&exported, 0);
    assert_eq!(stdout(&exported).lines().count(), 90);
}

#[test]
fn a_batch_goes_on_when_the_service_is_killed_and_started_again() {
    const QUESTIONS: usize = 400;
    let mut service = Restarted::start();
    let file = service.data.path().join("questions.txt");
    std::fs::write(&file, "user:ana doc.view doc:d1\n".repeat(QUESTIONS)).unwrap();
    let mut batch = service.command(&["batch", file.to_str().unwrap(), "--chunk", "1"]);
    let mut stderr = batch.stderr.take().unwrap();
    let told = std::thread::spawn(move || std::io::read_to_string(&mut stderr).unwrap());
    let mut answers = BufReader::new(batch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut count = answers.by_ref().take(20).count();
    service.kill_and_start();
    count += answers.count();
    let (ended, told) = (batch.wait().unwrap(), told.join().unwrap());
    assert_eq!(ended.code(), Some(0), "{told}");
    assert!(told.contains("asking again in"), "{told}");
    // A header and an answer to each.
    assert_eq!(count, QUESTIONS + 1);
}
