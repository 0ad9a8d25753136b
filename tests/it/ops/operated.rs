//! The built service as a process of its own, and what an operator does to it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// `bailiwick serve` with the model of every feature; killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// What `--endpoint` takes.
    pub(crate) endpoint: String,
    /// Where the admin page is, if it was asked for.
    pub(crate) admin: Option<String>,
    log: Arc<Mutex<String>>,
    logging: Option<JoinHandle<()>>,
}

/// `bailiwick serve` with what every test says; `args` come last.
pub(crate) fn serve(data: &Path, args: &[&str], environment: &[(&str, &str)]) -> Command {
    serve_under(&[], data, args, environment)
}

/// The same, run by a program that is given these words.
fn serve_under(
    runner: &[&str],
    data: &Path,
    args: &[&str],
    environment: &[(&str, &str)],
) -> Command {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/everything");
    let mut words = runner.iter().copied().chain([env!("CARGO_BIN_EXE_bailiwick")]);
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .arg("serve")
        .arg("--model")
        .arg(model)
        .arg("--data")
        .arg(data)
        .args(args)
        .env_remove("RUST_LOG")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What `serve` says of itself, without any variable that is set here.
pub(crate) fn help() -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    let output = command.args(["serve", "--help"]).env_clear().output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

impl Process {
    /// `serve` with these words and no others.
    pub(crate) fn with(words: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command
            .arg("serve")
            .args(words)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self::spawn(command, true)
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(data: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::under(&[], data, args, environment)
    }

    /// The same, run by a program that is given these words.
    pub(crate) fn under(
        runner: &[&str],
        data: &Path,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::spawn(serve_under(runner, data, args, environment), args.contains(&"--admin"))
    }

    fn spawn(mut command: Command, has_admin: bool) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&log);
        let logging = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut told = told.lock().unwrap();
                told.push_str(&line);
                told.push('\n');
            }
        });
        let mut process =
            Self { child, endpoint: String::new(), admin: None, log, logging: Some(logging) };
        let mut lines = BufReader::new(process.child.stdout.take().unwrap()).lines();
        let mut place = |what: &str| {
            let line = lines.next().map(Result::unwrap).unwrap_or_default();
            line.strip_prefix(what).map(str::to_owned)
        };
        let listening = place("listening on ");
        let listening = listening.unwrap_or_else(|| panic!("{}", process.end().1));
        process.endpoint = match listening.starts_with("unix:") {
            true => listening,
            false => format!("http://{listening}"),
        };
        if has_admin {
            process.admin =
                Some(place("admin on ").unwrap_or_else(|| panic!("{}", process.end().1)));
        }
        process
    }

    /// Starts it on a free port and waits until it serves.
    pub(crate) async fn ready(data: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let args = [&["--listen", "127.0.0.1:0"], args].concat();
        let process = Self::start(data, &args, environment);
        process.wait_until(ServingStatus::Serving).await;
        process
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(self.endpoint.clone()).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn wait_until(&self, wanted: ServingStatus) {
        let request = HealthCheckRequest { service: String::new() };
        let mut health = HealthClient::new(self.channel().await);
        let mut changes = health.watch(request).await.unwrap().into_inner();
        while changes.message().await.unwrap().unwrap().status() != wanted {}
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; its exit status and its log.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        if let Some(logging) = self.logging.take() {
            logging.join().unwrap();
        }
        (status, self.log())
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Runs a client command against it.
    pub(crate) fn ask(&self, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command.args(args).args(["--endpoint", &self.endpoint]).env_remove("RUST_LOG");
        command.output().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
