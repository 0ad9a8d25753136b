//! What stands in `deploy/`: the manifest's own flags start the service, its own probes find it ready, and
//! the model in it compiles. Kubernetes' schemas are CI's to check.

use std::path::Path;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::Value;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::operated::Process;
use bailiwick::model::limits::SPAN_FLUSH_SECONDS;

const MANIFEST: &str = include_str!("../../../deploy/kubernetes/sidecar.yaml");
const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");

/// A YAML document as JSON, which has paths.
fn json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(json).collect(),
        Yaml::Mapping(pairs) => {
            let key = |key: &Yaml<'_>| json(key).as_str().unwrap().to_owned();
            pairs.iter().map(|(name, value)| (key(name), json(value))).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The object of this kind.
fn object(kind: &str) -> Value {
    let documents = Yaml::load_from_str(MANIFEST).unwrap();
    let mut objects = documents.iter().map(json).filter(|object| object["kind"] == kind);
    let object = objects.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(objects.next().is_none(), "{kind} is there twice");
    object
}

fn pod() -> Value {
    object("StatefulSet")["spec"]["template"]["spec"].clone()
}

fn sidecar() -> Value {
    let containers = pod()["initContainers"].clone();
    assert_eq!(containers.as_array().unwrap().len(), 1);
    containers[0].clone()
}

/// The value of `--flag=value`.
fn flag<'a>(args: &'a [String], name: &str) -> &'a str {
    let prefix = format!("--{name}=");
    let found = args.iter().find_map(|arg| arg.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("no {prefix} in {args:?}"))
}

fn args() -> Vec<String> {
    let words = sidecar()["args"].clone();
    words.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_sidecar_starts_with_its_flags_and_its_probes_find_it() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    std::fs::create_dir(&model).unwrap();
    let files = object("ConfigMap")["data"].clone();
    for (name, text) in files.as_object().unwrap() {
        std::fs::write(model.join(name), text.as_str().unwrap()).unwrap();
    }
    let mut words = args();
    assert_eq!(words.remove(0), "serve");
    let admin = flag(&words, "admin").to_owned();
    assert!(flag(&words, "listen").starts_with("127.0.0.1:"), "other pods reach the API");
    let here = |word: &String| match word.split_once('=') {
        Some(("--model", _)) => format!("--model={}", model.display()),
        Some(("--data", path)) => format!("--data={}{path}", dir.path().display()),
        Some(("--listen", _)) => "--listen=127.0.0.1:0".to_owned(),
        Some(("--admin", _)) => "--admin=127.0.0.1:0".to_owned(),
        _ => word.clone(),
    };
    let words: Vec<String> = words.iter().map(here).collect();
    std::fs::create_dir_all(dir.path().join("var/lib/bailiwick")).unwrap();
    let mut process = Process::with(&words);
    process.wait_until(ServingStatus::Serving).await;

    let address = process.admin.clone().unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let (_, port) = admin.rsplit_once(':').unwrap();
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let grpc = sidecar()[probe]["grpc"].clone();
        assert_eq!(grpc["port"].to_string(), port, "{probe}");
        let service = grpc["service"].as_str().unwrap_or_default().to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{probe}");
    }
    process.signal("TERM");
    let (status, log) = tokio::task::spawn_blocking(move || process.end()).await.unwrap();
    assert!(status.success(), "{log}");
}

#[test]
fn the_pod_waits_longer_than_the_sidecar_takes_to_end() {
    let drain: u64 = flag(&args(), "drain-seconds").parse().unwrap();
    let grace = pod()["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(grace > drain + SPAN_FLUSH_SECONDS, "{grace} seconds");
}

#[test]
fn every_container_is_as_restricted_as_can_be() {
    let pod = pod();
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    let of = |list: &str| pod[list].as_array().unwrap().clone();
    let containers = [of("initContainers"), of("containers")].concat();
    assert_eq!(containers.len(), 2);
    for container in containers {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"]["drop"][0], "ALL");
        assert!(container["resources"]["limits"]["memory"].is_string());
    }
    assert_eq!(
        sidecar()["restartPolicy"],
        "Always",
        "it would have to end before the backend starts"
    );
    assert_eq!(sidecar()["image"], format!("bailiwick:{}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_image_is_the_binary_and_nothing_else() {
    let lines = DOCKERFILE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let lines: Vec<_> = lines.collect();
    let last = lines.iter().rposition(|line| line.starts_with("FROM ")).unwrap();
    let image = &lines[last..];
    assert_eq!(image[0], "FROM scratch");
    let user = image.iter().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
    assert_eq!(pod()["securityContext"]["runAsUser"].to_string(), user.split(':').next().unwrap());
    for line in image {
        assert!(!line.starts_with("RUN "), "an empty image runs nothing: {line}");
        if let Some(words) = line.strip_prefix("ENTRYPOINT ").or(line.strip_prefix("CMD ")) {
            let words: Vec<String> = serde_json::from_str(words).expect("no shell is there");
            let flags = words.iter().filter(|word| word.starts_with("--"));
            let help = super::operated::help();
            assert!(flags.into_iter().all(|flag| help.contains(flag.as_str())), "{line}");
        }
    }
    let toolchain =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-toolchain.toml"));
    let version = DOCKERFILE.split("FROM rust:").nth(1).unwrap().split('-').next().unwrap();
    assert!(toolchain.unwrap().contains(&format!("channel = \"{version}\"")), "{version}");
}
