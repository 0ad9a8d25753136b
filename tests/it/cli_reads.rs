//! The commands that read: how fresh an answer they ask for, and lists that go on where their stream
//! breaks off, with no entry lost and none printed twice.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::model::limits::LIST_RESUMES_MAX;
use bailiwick::pdp::Pdp;
use bailiwick::store::memory::MemoryStore;
use h2::server::SendResponse;
use pb::read_tuples_response::Part;
use prost::Message;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::codegen::Bytes;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::support::service::{Service, pdp};
use crate::support::{SetClock, delete, touch};

/// Runs the command while this test serves it.
async fn run(address: SocketAddr, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bailiwick"));
    command.args(args).args(["--endpoint", &format!("http://{address}")]);
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[track_caller]
fn printed(output: &Output, exit: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(exit), "stdout: {stdout}\nstderr: {stderr}");
    (stdout, stderr)
}

async fn served() -> (Service, Pdp) {
    let pdp = pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default()));
    (Service::serve(&pdp, Patience::default()).await, pdp)
}

#[tokio::test]
async fn a_command_reads_at_least_or_exactly_what_a_token_says() {
    let (service, pdp) = served().await;
    let ana = "doc:d1#viewer@user:ana";
    let old = pdp.write(vec![touch(ana)]).await.unwrap().token.to_string();
    let new = pdp.write(vec![delete(ana)]).await.unwrap().token.to_string();
    let check = ["check", "user:ana", "doc.view", "doc:d1"];
    let list = ["list-subjects", "doc.view", "doc:d1"];
    let roles = ["list-roles", "user:ana"];
    for (flag, token, exit, listed, read) in [
        ("--exactly", &old, 0, "user:ana\n", "doc:d1#viewer@user:ana\n"),
        ("--exactly", &new, 2, "", ""),
        ("--at-least", &old, 2, "", ""),
        ("--at-least", &new, 2, "", ""),
    ] {
        let fresh = [flag, token.as_str()];
        let (text, _) = printed(&run(service.address, &[&check[..], &fresh].concat()).await, exit);
        let revision = if exit == 0 { "revision 2" } else { "revision 3" };
        assert!(text.contains(revision), "{text}");
        let output = run(service.address, &[&list[..], &fresh].concat()).await;
        assert_eq!(printed(&output, 0).0, listed);
        let output = run(service.address, &[&roles[..], &fresh].concat()).await;
        let bound = if listed.is_empty() { "" } else { "doc:d1#viewer\n" };
        assert_eq!(printed(&output, 0).0, bound);
        let output = run(service.address, &[&["read"], &fresh[..]].concat()).await;
        assert_eq!(printed(&output, 0).0, read);
        let json = [&["read", "--output", "json"], &fresh[..]].concat();
        let value = printed(&run(service.address, &json).await, 0).0;
        let value: Value = serde_json::from_str(&value).unwrap();
        assert_eq!(value["token"], if exit == 0 { old.as_str() } else { new.as_str() });
    }
    for command in [&check[..], &list, &roles, &["read"]] {
        let args = [command, &["--at-least", "nonsense"]].concat();
        let (_, error) = printed(&run(service.address, &args).await, 1);
        assert!(error.contains("INVALID_ARGUMENT INVALID_TOKEN: consistency.at_least"), "{error}");
        let both = [command, &["--at-least", &old, "--exactly", &old]].concat();
        printed(&run(service.address, &both).await, 64);
        // What is yet to come is waited for as long as the command waits, and named.
        let ahead = old.replace(".2.", ".9.");
        let args = [command, &["--at-least", &ahead, "--timeout", "1"]].concat();
        let (_, error) = printed(&run(service.address, &args).await, 1);
        assert!(error.contains("DEADLINE_EXCEEDED REVISION_NOT_REACHED"), "{error}");
    }
}

#[tokio::test]
async fn a_list_begins_after_a_cursor() {
    let (service, pdp) = served().await;
    let tuples = ["doc:d1#viewer@user:ana", "doc:d1#viewer@user:bob", "doc:d1#viewer@user:cat"];
    pdp.write(tuples.iter().map(|text| touch(text)).collect()).await.unwrap();
    let request = pb::ListSubjectsRequest {
        permission: "doc.view".into(),
        scope: "doc:d1".into(),
        subject_type: "user".into(),
        ..Default::default()
    };
    let channel = service.channel().await;
    let mut client = pb::authorization_service_client::AuthorizationServiceClient::new(channel);
    let mut stream = client.list_subjects(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().part.unwrap();
    let pb::list_subjects_response::Part::Subject(first) = first else { panic!("{first:?}") };
    let list = ["list-subjects", "doc.view", "doc:d1", "--cursor", &first.cursor];
    let (text, _) = printed(&run(service.address, &list).await, 0);
    assert_eq!(text, "user:bob\nuser:cat\n");
    let other = ["list-subjects", "doc.view", "doc:d2", "--cursor", &first.cursor];
    let (_, error) = printed(&run(service.address, &other).await, 1);
    assert!(error.contains("CURSOR_OF_OTHER_REQUEST"), "{error}");
    let request = pb::ListRolesRequest { subject: "group:g#member".into(), ..Default::default() };
    pdp.write(["a", "b"].map(|d| touch(&format!("doc:{d}#viewer@group:g#member"))).into())
        .await
        .unwrap();
    let mut stream = client.list_roles(request).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().part.unwrap();
    let pb::list_roles_response::Part::Role(first) = first else { panic!("{first:?}") };
    let list = ["list-roles", "group:g#member", "--cursor", &first.cursor];
    let (text, _) = printed(&run(service.address, &list).await, 0);
    assert_eq!(text, "doc:b#viewer\n");
}

/// How a stream of [`Broken`] ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Complete,
    Status(Code),
    /// INVALID_CURSOR.
    Gone,
}

/// A service whose lists break off: for each request how many entries it sends, and how it ends then.
/// Entry `n` is `doc:d<n>`, its cursor `after-<n>`.
struct Broken {
    script: Vec<(usize, End)>,
    /// The cursors that it was asked with.
    asked: Mutex<Vec<String>>,
}

impl Broken {
    async fn serve(script: &[(usize, End)]) -> (SocketAddr, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let broken = Arc::new(Self { script: script.into(), asked: Mutex::default() });
        let serving = Arc::clone(&broken);
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move { serving.answer(request.into_body(), respond).await });
            }
        });
        (address, broken)
    }

    async fn answer(&self, mut body: h2::RecvStream, mut respond: SendResponse<Bytes>) {
        let mut request = Vec::new();
        while let Some(data) = body.data().await {
            request.extend_from_slice(&data.unwrap());
        }
        let request = pb::ReadTuplesRequest::decode(&request[5..]).unwrap();
        let before = request.cursor.strip_prefix("after-").map_or(0, |n| n.parse().unwrap());
        let turn = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(request.cursor);
            asked.len() - 1
        };
        let (entries, end) = self.script.get(turn).copied().unwrap_or((0, End::Complete));
        let head = http::Response::builder().header("content-type", "application/grpc");
        let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
        for n in before + 1..=before + entries {
            let (scope, role) = (format!("doc:d{n}"), "viewer".to_owned());
            let tuple = pb::Tuple { scope, role, subject: "user:a".into(), ..Default::default() };
            let cursor = format!("after-{n}");
            let entry = pb::ReadTuple { tuple: Some(tuple), cursor };
            stream.send_data(framed(Part::Tuple(entry)), false).unwrap();
        }
        let code = match end {
            End::Complete => {
                let end = pb::ReadTuplesComplete { token: "t".into(), ..Default::default() };
                stream.send_data(framed(Part::Complete(end)), false).unwrap();
                Code::Ok
            }
            End::Status(code) => code,
            End::Gone => Code::InvalidArgument,
        };
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", i32::from(code).into());
        if matches!(end, End::Gone) {
            let info = ErrorDetails::with_error_info(
                "INVALID_CURSOR",
                "bailiwick",
                std::collections::HashMap::new(),
            );
            let status = Status::with_error_details(code, "it is no cursor", info);
            status.add_header(&mut trailers).unwrap();
        }
        stream.send_trailers(trailers).unwrap();
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn framed(part: Part) -> Bytes {
    let message = pb::ReadTuplesResponse { part: Some(part) }.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat().into()
}

fn lines(count: usize) -> String {
    (1..=count).map(|n| format!("doc:d{n}#viewer@user:a\n")).collect()
}

#[tokio::test]
async fn a_list_that_breaks_off_goes_on_after_its_last_entry() {
    let script = [
        (3, End::Status(Code::Unavailable)),
        (0, End::Status(Code::DeadlineExceeded)),
        (1, End::Status(Code::DeadlineExceeded)),
        (2, End::Complete),
    ];
    let (address, broken) = Broken::serve(&script).await;
    assert_eq!(printed(&run(address, &["read"]).await, 0).0, lines(6));
    assert_eq!(broken.asked(), ["", "after-3", "after-3", "after-4"]);

    let (address, _) = Broken::serve(&script).await;
    let (text, _) = printed(&run(address, &["read", "--output", "json"]).await, 0);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((value["tuples"].as_array().unwrap().len(), &value["token"]), (6, &"t".into()));
}

#[tokio::test]
async fn a_list_that_cannot_go_on_says_where_it_stands() {
    // Nothing was printed: there is nothing to go on after.
    let (address, broken) = Broken::serve(&[(0, End::Status(Code::Unavailable))]).await;
    let (_, error) = printed(&run(address, &["read"]).await, 1);
    assert!(error.contains("UNAVAILABLE") && !error.contains("--cursor"), "{error}");
    assert_eq!(broken.asked().len(), 1);
    // To ask again would not help.
    let script = [(2, End::Status(Code::Internal))];
    let (address, broken) = Broken::serve(&script).await;
    let (text, error) = printed(&run(address, &["read"]).await, 1);
    assert_eq!(text, lines(2));
    assert!(error.contains("INTERNAL") && error.contains("--cursor after-2"), "{error}");
    assert_eq!(broken.asked().len(), 1);
    // The process that made the cursor is gone: nothing goes on after it.
    let (address, _) = Broken::serve(&[(2, End::Status(Code::Unavailable)), (0, End::Gone)]).await;
    let (text, error) = printed(&run(address, &["read"]).await, 1);
    assert_eq!(text, lines(2));
    assert!(error.contains("INVALID_CURSOR") && error.contains("not the whole list"), "{error}");
    assert!(!error.contains("--cursor"), "{error}");
    // It never ends.
    let (address, broken) = Broken::serve(&[(1, End::Status(Code::Unavailable)); 99]).await;
    let (text, error) = printed(&run(address, &["read"]).await, 1);
    assert_eq!(text, lines(1 + LIST_RESUMES_MAX));
    assert!(error.contains(&format!("--cursor after-{}", 1 + LIST_RESUMES_MAX)), "{error}");
    assert_eq!(broken.asked().len(), 1 + LIST_RESUMES_MAX);
}

/// Between the command and a service: hands on so many bytes of each of the first connections, then
/// hangs up.
async fn cutting(to: SocketAddr, cuts: Vec<usize>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        let mut cuts = cuts.into_iter();
        while let Ok((client, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let service = TcpStream::connect(to).await.unwrap();
            let cut = cuts.next().unwrap_or(usize::MAX);
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_service, mut to_service) = service.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_service).await });
            tokio::spawn(async move {
                let (mut left, mut buffer) = (cut, vec![0; 4_096]);
                while left > 0 {
                    let most = left.min(buffer.len());
                    let Ok(read @ 1..) = from_service.read(&mut buffer[..most]).await else {
                        return;
                    };
                    if to_client.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                    left -= read;
                }
            });
        }
    });
    (address, connections)
}

#[tokio::test]
async fn a_list_goes_on_over_a_new_connection() {
    let (service, pdp) = served().await;
    let changes = (0..3_000).map(|i| touch(&format!("doc:d{i}#viewer@user:ana")));
    pdp.write(changes.collect()).await.unwrap();
    let whole = printed(&run(service.address, &["read"]).await, 0).0;
    assert_eq!(whole.lines().count(), 3_000);
    let (address, connections) = cutting(service.address, vec![100_000, 50_000, 150_000]).await;
    let (text, _) = printed(&run(address, &["read"]).await, 0);
    assert_eq!(text, whole);
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}
