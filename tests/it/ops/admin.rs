//! The admin page: alive, ready, and why not; for people, for probes over HTTP and for probes over gRPC.

use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, mpsc};

use bailiwick::config::{Patience, Settings};
use bailiwick::model::limits::ADMIN_CONNECTIONS_MAX;
use bailiwick::server::{BoundAdmin, ListenConfig, ModelDir, ServeError};
use bailiwick::store::memory::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{ANYWHERE, Observed};
use crate::support::SetClock;
use crate::support::service::pdp;

#[tokio::test]
async fn readiness_says_where_in_its_life_the_service_is() {
    let (recover, wait) = mpsc::sync_channel::<()>(1);
    let open = move || {
        wait.recv()?;
        Ok(pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default())))
    };
    let observed = Observed::serve(Settings::default(), Patience::default(), Box::new(open)).await;
    assert_eq!(observed.get("/readyz").await, (503, "recovering\n".to_owned()));
    assert_eq!(observed.get("/healthz").await, (200, "ok\n".to_owned()));
    let (_, text) = observed.get("/metrics").await;
    assert!(text.contains("\nbailiwick_ready 0\n") && !text.contains("bailiwick_tuples"), "{text}");
    recover.send(()).unwrap();
    observed.wait_until(200).await;
    let (_, text) = observed.get("/readyz").await;
    assert!(text.starts_with("serving\nrevision: 1\nmodel: everything "), "{text}");
}

#[tokio::test]
async fn a_refused_model_is_told_beside_readiness() {
    let pdp = pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default()));
    let served = pdp.clone();
    let observed =
        Observed::serve(Settings::default(), Patience::default(), Box::new(|| Ok(served))).await;
    observed.wait_until(200).await;
    assert!(!observed.get("/readyz").await.1.contains("refused"));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("model.yaml"),
        "model: m\ntypes: { org: { parents: [nothing] } }\n",
    )
    .unwrap();
    tokio::task::spawn_blocking(move || ModelDir::new(dir.path().to_owned()).propose(&pdp))
        .await
        .unwrap();
    let (status, text) = observed.get("/readyz").await;
    assert!(status == 200 && text.contains("a proposed model was refused: "), "{text}");
    assert!(text.contains("`nothing`") && text.contains("model: everything "), "{text}");
}

#[tokio::test]
async fn a_model_that_never_comes_to_rest_is_refused() {
    let pdp = pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default()));
    let served = pdp.clone();
    let observed =
        Observed::serve(Settings::default(), Patience::default(), Box::new(|| Ok(served))).await;
    observed.wait_until(200).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    std::fs::write(path.join("model.yaml"), "model: m\ntypes: { org: {} }\n").unwrap();
    // To read it takes longer than to change it.
    std::fs::write(path.join("large.csv"), "permission\n".repeat(100_000)).unwrap();
    let (stop, stopped) = mpsc::sync_channel::<()>(1);
    let file = std::fs::File::create(path.join("changing.csv")).unwrap();
    let writer = std::thread::spawn(move || {
        for round in 0_u64.. {
            file.write_all_at(format!("permission\np{round:020}\n").as_bytes(), 0).unwrap();
            if stopped.try_recv() != Err(mpsc::TryRecvError::Empty) {
                break;
            }
        }
    });
    let model = ModelDir::new(path);
    let proposed = tokio::task::spawn_blocking(move || {
        // Between two reads the writer may have had no turn.
        (0..100).any(|_| {
            model.propose(&pdp);
            let status = pdp.model_status();
            let status = status.borrow();
            let refusal = status.last_proposal.as_ref().and_then(|last| last.refusal.as_ref());
            refusal.is_some_and(|refusal| refusal.contains("never came to rest"))
        })
    });
    let refused = proposed.await.unwrap();
    stop.send(()).unwrap();
    writer.join().unwrap();
    assert!(refused, "files of several contents were proposed as one");
    let (status, text) = observed.get("/readyz").await;
    assert!(status == 200 && text.contains("never came to rest"), "{text}");
    assert!(text.contains("model: everything "), "{text}");
}

#[tokio::test]
async fn probes_over_grpc_are_answered_and_nothing_else() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", observed.admin)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut health = HealthClient::new(channel.clone());
    for name in ["", "liveness", "bailiwick.v1.AuthorizationService"] {
        let request = HealthCheckRequest { service: name.into() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    use bailiwick::api::pb::v1 as pb;
    let mut client = pb::model_service_client::ModelServiceClient::new(channel);
    let status = client.get_model(pb::GetModelRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
}

#[tokio::test]
async fn other_paths_and_verbs_are_refused() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    for path in ["/", "/metrics/", "/debug", "/../etc/passwd"] {
        let (status, text) = observed.get(path).await;
        assert!(status == 404 && text.contains("/metrics"), "{path}: {status} {text}");
    }
    let mut stream = TcpStream::connect(observed.admin).await.unwrap();
    let request =
        "POST /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[tokio::test]
async fn the_page_is_kept_from_other_hosts_unless_asked_for() {
    let everybody = ListenConfig { address: ([0, 0, 0, 0], 0).into(), insecure: false };
    let error = BoundAdmin::bind(&everybody).await.unwrap_err();
    assert!(matches!(error, ServeError::NotLoopback { .. }), "{error}");
    assert!(error.to_string().contains("--insecure-admin"), "{error}");
    assert!(BoundAdmin::bind(&ListenConfig { insecure: true, ..everybody }).await.is_ok());
    assert!(BoundAdmin::bind(&ANYWHERE).await.is_ok());
}

/// A connection that sends this and reads nothing.
async fn hold(address: std::net::SocketAddr, bytes: &[u8]) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let stream = socket.connect(address).await.unwrap();
    stream.writable().await.unwrap();
    // What finds no room on its way is not sent: nobody waits for it.
    stream.try_write(bytes).unwrap();
    stream
}

#[tokio::test]
async fn the_page_is_reachable_however_many_hold_its_connections() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    let kinds: [(&str, &[u8]); 5] = [
        ("nothing", b"\n"),
        ("half a header", b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Y: "),
        ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ("an idle connection", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("answers unread", &b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(500)),
    ];
    for (kind, bytes) in kinds {
        let mut held = Vec::new();
        for _ in 0..ADMIN_CONNECTIONS_MAX {
            held.push(hold(observed.admin, bytes).await);
        }
        for path in ["/healthz", "/readyz"] {
            assert_eq!(observed.get(path).await.0, 200, "{kind}");
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", observed.admin)).unwrap();
        let mut health = HealthClient::new(endpoint.connect().await.unwrap());
        let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{kind}");
    }
}

#[tokio::test]
async fn connections_to_the_page_are_bounded() {
    let observed = Observed::start(Settings::default(), Patience::default()).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: bailiwick\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..=ADMIN_CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(observed.admin).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first[..], b"HTTP/1.1 200");
        kept.push(stream);
    }
    // The one that has been silent longest has left for the last, and no other.
    let last = kept.split_off(1);
    let _ = kept.remove(0).read_to_end(&mut Vec::new()).await;
    for mut stream in last {
        stream.write_all(request).await.unwrap();
        let mut answers = [0; 150];
        stream.read_exact(&mut answers).await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_to_the_page_that_says_nothing_more_is_closed() {
    let admin_idle = std::time::Duration::from_secs(2);
    let observed =
        Observed::start(Settings::default(), Patience { admin_idle, ..Patience::default() }).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", observed.admin)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let mut changes = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    changes.message().await.unwrap().unwrap();
    let mut silent = Vec::new();
    for said in ["GET /healthz HTTP/1.1\r\nHost: ", "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut stream = TcpStream::connect(observed.admin).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    for mut stream in silent {
        // Its end, in whichever way.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    // Who answers the pings of HTTP/2 stays.
    let waited = tokio::time::timeout(admin_idle, changes.message()).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn who_connects_and_never_answers_keeps_no_place() {
    let soon = std::time::Duration::from_millis(50);
    let patience = Patience { keepalive: soon, keepalive_answer: soon, ..Patience::default() };
    let observed = Observed::start(Settings::default(), patience).await;
    // HTTP/2's greeting and empty settings, and nothing after.
    let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut idle = Vec::new();
    for _ in 0..ADMIN_CONNECTIONS_MAX {
        let mut socket = TcpStream::connect(observed.admin).await.unwrap();
        socket.write_all(greeting).await.unwrap();
        idle.push(socket);
    }
    for mut socket in idle {
        // Its end, in whichever way.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
    observed.wait_until(200).await;
}
