//! The built service and its model directory: proposed at the start, at SIGHUP and when it is swapped;
//! refused without harm; in force across restarts and kill -9.
#![expect(clippy::print_stdout, reason = "a run says its seed and what it counted")]

mod watched;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::SourceFiles;
use bailiwick::pdp::Proposal;
use pb::model_service_client::ModelServiceClient;
use pb::tuple_service_client::TupleServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A model of this name, with these roles.
fn yaml(name: &str, roles: &str) -> String {
    format!(
        "model: {name}\n\
         types: {{ user: {{}}, org: {{}} }}\n\
         roles:\n\
        \x20 - {{ at: [org], names: [{roles}], bound_by: [user] }}\n\
         matrices:\n\
        \x20 - {{ name: roles, file: roles.csv, at: [org], bound: org }}\n"
    )
}

fn csv(roles: &str) -> String {
    let cells: Vec<_> = roles.split(", ").map(|_| "x").collect();
    format!("section,permission,{}\nmain,org.view,{}\n", roles.replace(", ", ","), cells.join(","))
}

/// Files that make a model; `name` in its two files alike.
fn files(name: &str, roles: &str) -> [(&'static str, String); 2] {
    [("model.yaml", yaml(name, roles)), ("roles.csv", csv(roles))]
}

fn put(dir: &Path, files: &[(&'static str, String)]) {
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
}

fn digest(files: &[(&'static str, String)]) -> String {
    let files = SourceFiles::from_iter(files.iter().cloned());
    Proposal::compile(&files).unwrap().digest().to_owned()
}

/// A store's directory and a model's, and the service's log.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("model")).unwrap();
        Self { dir }
    }

    fn with(files: &[(&'static str, String)]) -> Self {
        let place = Self::new();
        put(&place.model(), files);
        place
    }

    fn model(&self) -> PathBuf {
        self.dir.path().join("model")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(self.dir.path().join("store"))
            .args(args)
            .env("RUST_LOG", "info")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        command
    }

    /// Arguments that name the model directory.
    fn proposing(&self, more: &[&str]) -> Vec<String> {
        let model = self.model().to_str().unwrap().to_owned();
        ["--model".to_owned(), model]
            .into_iter()
            .chain(more.iter().map(|s| (*s).to_owned()))
            .collect()
    }

    /// A service that ends by itself.
    fn ends(&self, args: &[String]) -> Output {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.command(&args).output().unwrap()
    }

    async fn serve(&self, args: &[String]) -> Running {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut child = self.command(&args).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ");
        let address = address.unwrap_or_else(|| panic!("{line}{}", self.log()));
        let endpoint = format!("http://{address}");
        let channel = Endpoint::from_shared(endpoint.clone()).unwrap().connect().await.unwrap();
        let mut running = Running { child, endpoint, channel };
        running.until_health("", ServingStatus::Serving).await;
        running
    }
}

/// A service that runs; killed when dropped.
struct Running {
    child: Child,
    endpoint: String,
    channel: Channel,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    async fn until_health(&mut self, name: &str, wanted: ServingStatus) {
        let request = HealthCheckRequest { service: name.into() };
        let mut client = HealthClient::new(self.channel.clone());
        let mut changes = client.watch(request).await.unwrap().into_inner();
        while let Some(change) = changes.message().await.unwrap() {
            if change.status() == wanted {
                return;
            }
        }
        panic!("health of `{name}` ended before it was {wanted:?}");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    async fn model(&self) -> pb::GetModelResponse {
        let mut client = ModelServiceClient::new(self.channel.clone());
        client.get_model(pb::GetModelRequest {}).await.unwrap().into_inner()
    }

    /// The model, once it is as wanted.
    async fn until(&self, wanted: impl Fn(&pb::GetModelResponse) -> bool) -> pb::GetModelResponse {
        loop {
            let model = self.model().await;
            if wanted(&model) {
                return model;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn write(&self, operation: pb::Operation, role: &str) -> Result<(), tonic::Status> {
        let tuple = pb::Tuple {
            scope: "org:acme".into(),
            role: role.into(),
            subject: "user:ana".into(),
            ..Default::default()
        };
        let change = pb::TupleChange { operation: operation.into(), tuple: Some(tuple) };
        let request = pb::WriteTuplesRequest { changes: vec![change], ..Default::default() };
        let written = TupleServiceClient::new(self.channel.clone()).write_tuples(request).await;
        written.map(drop)
    }

    fn show(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bailiwick"))
            .args(["model", "show", "--endpoint", &self.endpoint])
            .args(args)
            .output()
            .unwrap()
    }

    fn terminate(mut self) {
        self.signal("-TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn last(model: &pb::GetModelResponse) -> &pb::ModelProposal {
    model.last_proposal.as_ref().unwrap()
}

#[tokio::test]
async fn a_signal_proposes_what_the_directory_holds_now() {
    let (one, two) = (files("one", "admin, viewer"), files("two", "admin, guest"));
    let place = Place::with(&one);
    let mut service = place.serve(&place.proposing(&[])).await;
    assert_eq!(service.model().await.digest, digest(&one));
    put(&place.model(), &two);
    service.signal("-HUP");
    let model = service.until(|model| model.name == "two").await;
    assert_eq!((model.digest.as_str(), model.active_revision), (digest(&two).as_str(), 2));
    assert!(last(&model).accepted);

    // The same again is no commit, however often.
    let decided = last(&model).time;
    service.signal("-HUP");
    let model = service.until(|model| last(model).time != decided).await;
    assert!(last(&model).accepted && (model.revision, model.active_revision) == (2, 2));

    // What does not fit the stored tuples leaves the old one in force, and says why.
    service.write(pb::Operation::Create, "guest").await.unwrap();
    put(&place.model(), &one);
    service.signal("-HUP");
    service.until_health("bailiwick.model", ServingStatus::NotServing).await;
    let model = service.model().await;
    assert_eq!((model.name.as_str(), model.active_revision), ("two", 2));
    assert!(!last(&model).accepted && last(&model).digest == digest(&one));
    assert!(last(&model).reason.contains("`org:acme#guest@user:ana`"), "{}", last(&model).reason);
    service.write(pb::Operation::Touch, "guest").await.unwrap();

    // What is no model at all, too: each problem is in the log.
    put(&place.model(), &[("model.yaml", yaml("three", "admin") + "nonsense: 1\nmore: 2\n")]);
    service.signal("-HUP");
    let model = service.until(|model| last(model).digest.is_empty()).await;
    assert!(last(&model).reason.starts_with("the model has problems: "), "{:?}", last(&model));
    assert!(last(&model).reason.contains("model.yaml:7:1: "), "{:?}", last(&model));
    assert!(!last(&model).reason.contains(place.dir.path().to_str().unwrap()));
    fs::remove_file(place.model().join("model.yaml")).unwrap();
    service.signal("-HUP");
    let model = service.until(|model| last(model).reason.contains("cannot be read")).await;
    assert_eq!(model.name, "two");

    // The old one again mends it.
    put(&place.model(), &two);
    service.signal("-HUP");
    service.until_health("bailiwick.model", ServingStatus::Serving).await;
    assert_eq!(service.model().await.active_revision, 2);
    service.terminate();
    let log = place.log();
    let dir = place.model();
    assert!(log.contains(&format!("{}/model.yaml:7:1: ", dir.display())), "{log}");
    assert!(log.contains(&format!("{}/model.yaml:8:1: ", dir.display())), "{log}");
    let in_force = format!("the model is in force digest=\"{}\" revision=2", digest(&two));
    assert!(log.contains(&in_force), "{log}");
    let refused = format!("the model is refused; the old one stays digest=\"{}\"", digest(&one));
    assert!(log.contains(&refused) && log.contains("`org:acme#guest@user:ana`"), "{log}");
}

#[tokio::test]
async fn a_burst_of_signals_ends_with_the_last_content() {
    let place = Place::with(&files("m0", "admin, viewer"));
    let service = place.serve(&place.proposing(&[])).await;
    let mut newest = files("m0", "admin, viewer");
    for round in 1..=30 {
        newest = files(&format!("m{round}"), "admin, viewer");
        put(&place.model(), &newest);
        service.signal("-HUP");
    }
    let model = service.until(|model| model.digest == digest(&newest)).await;
    assert!((2..=31).contains(&model.revision), "{}", model.revision);
    assert!(last(&model).accepted);
}

/// Puts files into a directory as a ConfigMap's volume has them: links through `..data`, which is
/// swapped in one step.
fn put_as_config_map(dir: &Path, files: &[(&'static str, String)], generation: u32) {
    let real = format!("..generation-{generation}");
    fs::create_dir(dir.join(&real)).unwrap();
    put(&dir.join(&real), files);
    symlink(&real, dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    for (name, _) in files {
        let link = dir.join(name);
        if !link.exists() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
}

#[tokio::test]
async fn a_watched_volume_is_proposed_when_it_changes() {
    let (one, two) = (files("one", "admin, viewer"), files("two", "admin, guest"));
    let place = Place::new();
    put_as_config_map(&place.model(), &one, 1);
    let mut service = place.serve(&place.proposing(&["--watch-model"])).await;
    assert_eq!(service.model().await.digest, digest(&one));
    put_as_config_map(&place.model(), &two, 2);
    let model = service.until(|model| model.name == "two").await;
    assert_eq!((model.digest.as_str(), model.revision), (digest(&two).as_str(), 2));
    // A fault is refused once, and the next content is taken again.
    put_as_config_map(&place.model(), &[("model.yaml", "model: [".to_owned())], 3);
    service.until_health("bailiwick.model", ServingStatus::NotServing).await;
    let refused = service.model().await;
    assert_eq!(refused.digest, digest(&two));
    let three = files("three", "admin, guest, viewer");
    put_as_config_map(&place.model(), &three, 4);
    service.until_health("bailiwick.model", ServingStatus::Serving).await;
    let model = service.model().await;
    assert_eq!((model.name.as_str(), model.revision), ("three", 3));
    service.terminate();
    let log = place.log();
    assert_eq!(log.matches("the model has problems; the old one stays").count(), 1, "{log}");
}

#[tokio::test]
async fn a_start_serves_the_stores_own_model_where_the_directorys_is_refused() {
    let (one, stricter) = (files("one", "admin, viewer"), files("stricter", "admin"));
    let place = Place::with(&one);
    let service = place.serve(&place.proposing(&[])).await;
    service.write(pb::Operation::Create, "viewer").await.unwrap();
    service.terminate();

    // Without a directory, and with a file of the model's lost.
    let mut service = place.serve(&[]).await;
    let model = service.model().await;
    assert_eq!((model.digest, model.active_revision), (digest(&one), 1));
    assert_eq!(model.last_proposal, None);
    service.until_health("bailiwick.model", ServingStatus::Serving).await;
    service.signal("-HUP");
    service.write(pb::Operation::Touch, "viewer").await.unwrap();
    service.terminate();

    put(&place.model(), &stricter);
    let mut service = place.serve(&place.proposing(&[])).await;
    service.until_health("bailiwick.model", ServingStatus::NotServing).await;
    let model = service.model().await;
    assert_eq!((model.name.as_str(), model.active_revision), ("one", 1));
    assert!(last(&model).reason.contains("`org:acme#viewer@user:ana`"), "{:?}", last(&model));
    // What was in the way goes; the signal proposes anew.
    service.write(pb::Operation::Delete, "viewer").await.unwrap();
    service.signal("-HUP");
    service.until_health("bailiwick.model", ServingStatus::Serving).await;
    assert_eq!(service.model().await.name, "stricter");
    service.terminate();

    put(&place.model(), &[("model.yaml", yaml("faulty", "admin") + "nonsense: 1\n")]);
    let mut service = place.serve(&place.proposing(&["--watch-model"])).await;
    service.until_health("bailiwick.model", ServingStatus::NotServing).await;
    let model = service.model().await;
    assert_eq!(model.name, "stricter");
    assert!(last(&model).reason.contains("model.yaml:7:1"), "{:?}", last(&model));
    service.terminate();
    assert!(place.log().contains("model.yaml:7:1: "), "{}", place.log());
}

#[tokio::test]
async fn a_start_that_cannot_be_or_must_not_be_ends_with_the_reason() {
    let one = files("one", "admin, viewer");
    let place = Place::with(&[("model.yaml", yaml("faulty", "admin") + "nonsense: 1\n")]);
    // A new store has nothing to fall back on; the directory is not even made.
    let output = place.ends(&place.proposing(&[]));
    assert_eq!(output.status.code(), Some(1));
    assert!(place.log().contains("the model has problems: "), "{}", place.log());
    assert!(place.log().contains("model.yaml:7:1: "), "{}", place.log());
    assert!(!place.dir.path().join("store").exists());
    let output = place.ends(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(place.log().contains("--model DIR"), "{}", place.log());
    assert_eq!(place.ends(&["--watch-model".to_owned()]).status.code(), Some(64));
    assert_eq!(place.ends(&["--strict-model".to_owned()]).status.code(), Some(64));

    put(&place.model(), &one);
    let service = place.serve(&place.proposing(&["--strict-model"])).await;
    service.write(pb::Operation::Create, "viewer").await.unwrap();
    service.terminate();
    put(&place.model(), &files("stricter", "admin"));
    let output = place.ends(&place.proposing(&["--strict-model"]));
    assert_eq!(output.status.code(), Some(1));
    assert!(place.log().contains("`org:acme#viewer@user:ana`"), "{}", place.log());
    put(&place.model(), &[("model.yaml", "model: [".to_owned())]);
    assert_eq!(place.ends(&place.proposing(&["--strict-model"])).status.code(), Some(1));
    // Nothing of it was put in force.
    let service = place.serve(&[]).await;
    assert_eq!((service.model().await.digest, service.model().await.revision), (digest(&one), 2));
}

#[tokio::test]
async fn the_command_shows_the_model_in_force() {
    let place = Place::with(&files("shown", "admin, viewer"));
    let mut service = place.serve(&place.proposing(&[])).await;
    let text = stdout(&service.show(&[]));
    assert!(text.starts_with("model shown\ndigest "), "{text}");
    assert!(text.contains("in force since revision 1, 20"), "{text}");
    assert!(text.contains("matrices 1 with 1 rows"), "{text}");
    assert!(text.contains("last proposal accepted at 20"), "{text}");
    service.write(pb::Operation::Create, "viewer").await.unwrap();
    put(&place.model(), &files("stricter", "admin"));
    service.signal("-HUP");
    service.until_health("bailiwick.model", ServingStatus::NotServing).await;
    let text = stdout(&service.show(&[]));
    assert!(text.contains("last proposal REFUSED at 20"), "{text}");
    assert!(text.contains("`org:acme#viewer@user:ana`"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&service.show(&["--output", "json"]))).unwrap();
    assert_eq!((&json["name"], &json["active_revision"]), (&"shown".into(), &1.into()));
    assert_eq!(json["last_proposal"]["accepted"], false);
    assert_eq!(json["counts"]["roles"], 2);

    // As `model matrix` prints the directory's.
    put(&place.model(), &files("shown", "admin, viewer"));
    let own = Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["model", "matrix", place.model().to_str().unwrap()])
        .output()
        .unwrap();
    let shown = service.show(&["--matrix", "roles"]);
    assert_eq!(stdout(&shown), stdout(&own));
    assert_eq!(stdout(&shown), "permission,admin,viewer\norg.view,yes,yes\n");
    let json = stdout(&service.show(&["--matrix", "roles", "--output", "json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let row = serde_json::json!({
        "permission": "org.view", "section": "main", "cells": { "admin": "yes", "viewer": "yes" },
    });
    assert_eq!((&json["matrix"], &json["rows"]), (&"roles".into(), &serde_json::json!([row])));
    let wrong = service.show(&["--matrix", "rolls"]);
    assert_eq!(wrong.status.code(), Some(1));
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert!(text.contains("UNKNOWN_MATRIX") && text.contains("`roles`"), "{text}");
}

const KILLS: u32 = 15;

/// A model of many parts of the log, so that a kill can fall between them.
fn large_files(round: u32) -> Vec<(&'static str, String)> {
    let note = "n".repeat(400_000);
    let [(model, yaml), (roles, _)] = files(&format!("m{round}"), "admin, viewer");
    let text = format!("section,permission,admin,viewer,note\nmain,org.view,x,x,{note}\n");
    vec![(model, yaml), (roles, text)]
}

#[test]
fn kills_around_an_activation_leave_one_model_or_the_other_whole() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let place = Place::with(&large_files(0));
    let mut may_be = vec![digest(&large_files(0))];
    let (mut new, mut old) = (0, 0);
    for round in 1..=KILLS {
        // The store's own model, whatever the directory holds by now.
        let args =
            if round == 1 { place.proposing(&[]) } else { place.proposing(&["--watch-model"]) };
        if round > 1 {
            let own = runtime.block_on(place.serve(&[]));
            let model = runtime.block_on(own.model());
            assert!(may_be.contains(&model.digest), "seed {seed}, round {round}");
            let is_new = may_be.len() > 1 && model.digest == may_be[1];
            *if is_new { &mut new } else { &mut old } += 1;
            put(&place.model(), &large_files(round - 1));
        }
        let next = large_files(round);
        let known = digest(&next);
        let mut service = runtime.block_on(place.serve(&args));
        let before = runtime.block_on(service.model()).digest;
        put(&place.model(), &next);
        service.signal("-HUP");
        let seen = runtime.block_on(async {
            if random.bool() {
                // The model commits somewhere in this time.
                for _ in 0..random.u32(0..60) {
                    if service.model().await.digest == known {
                        return true;
                    }
                }
                false
            } else {
                service.until(|model| model.digest == known).await;
                true
            }
        });
        service.child.kill().unwrap();
        service.child.wait().unwrap();
        // What was seen in force is durable.
        may_be = if seen { vec![known.clone(), known] } else { vec![before, known] };
    }
    println!("{KILLS} kills, {new} times the new model was in force, {old} times the old one");
}
