//! ListSubjects of a million users, members of a thousand groups that are bound four levels above the
//! scope: entries a second in the engine and over loopback, each with its cursor there, how soon the
//! first is there, and the memory that a list takes while it is read. Beside them what tonic alone makes
//! of the same messages, ReadTuples, and commits a second, which pay for keeping the latest revisions.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod bare;
mod clock;
mod target;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bailiwick::api::pb::v1 as pb;
use bailiwick::engine::{CheckedContext, ListQuestion, Plan, SubjectList};
use bailiwick::index::{Builder, Snapshot};
use bailiwick::model::form::Model;
use bailiwick::model::tuple::{Change, Time, Tuple, TupleKey};
use bailiwick::pdp::{Pdp, WriteChange};
use bailiwick::server::{BoundServer, ListenConfig};
use bailiwick::store::ModelFiles;
use bailiwick::store::memory::MemoryStore;
use clock::Fixed;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::tuple_service_client::TupleServiceClient;
use target::verdict;
use tonic::transport::{Channel, Endpoint};

const USERS: u32 = 1_000_000;
const GROUPS: u32 = 1_000;
/// Tuples of the world around them.
const TUPLES: u64 = 100_000;
const TURNS: usize = 10;
const WRITERS: u64 = 32;
const TURN: Duration = Duration::from_secs(1);

fn main() {
    if std::env::args().any(|arg| arg == "--memory") {
        memory();
        return;
    }
    engine();
    in_a_process_of_its_own();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pdp = pdp().await;
        let channel = serve(pdp.clone()).await;
        list(&channel).await;
        read(&channel).await;
        write(&pdp).await;
    });
}

/// The world, the groups with their members, and where they are bound.
fn tuples() -> impl Iterator<Item = Tuple> {
    let edges = ["device:full#parent@line:full", "line:full#parent@area:full"].into_iter();
    let edges = edges.chain(["area:full#parent@site:full", "site:full#parent@org:full"]);
    let members = (0..USERS).map(|user| format!("group:n{}#member@user:n{user}", user % GROUPS));
    let bound = (0..GROUPS).map(|group| format!("org:full#viewer@group:n{group}#member"));
    let texts = edges.map(str::to_owned).chain(members).chain(bound);
    let plain = |text: String| Tuple::plain(TupleKey::parse(&text).expect("a tuple"));
    world::tuples(TUPLES).into_iter().chain(texts.map(plain))
}

fn snapshot(model: &Arc<Model>) -> Snapshot {
    let mut builder = Builder::new(Arc::clone(model));
    for tuple in tuples() {
        builder.apply(&Change::Put(tuple)).expect("the model admits it");
    }
    builder.build().expect("there is room")
}

/// Goes through the list once, `at_each` entry.
fn through(snapshot: &Snapshot, plan: &Arc<Plan>, mut at_each: impl FnMut()) {
    let context = CheckedContext::default();
    let model = snapshot.model();
    let question = ListQuestion::parse(model, "device.view", "device:full", "user", context);
    let question = question.expect("well-formed");
    let list = SubjectList::new(snapshot.clone(), Arc::clone(plan), question, Time(0));
    let mut entries = 0;
    for item in list {
        if std::hint::black_box(item.expect("no limit is hit")).is_some() {
            entries += 1;
            at_each();
        }
    }
    assert_eq!(entries, USERS, "the list is complete");
}

fn engine() {
    let model = Arc::new(world::model());
    let plan = Arc::new(Plan::new(&model));
    let snapshot = snapshot(&model);
    let (mut rates, mut firsts) = (Vec::new(), Vec::new());
    let (mut cpu, mut first_cpu) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (started, began, mut first) = (Instant::now(), thread_seconds(), None);
        through(&snapshot, &plan, || {
            first.get_or_insert_with(|| (started.elapsed(), thread_seconds() - began));
        });
        rates.push(f64::from(USERS) / started.elapsed().as_secs_f64());
        cpu.push((thread_seconds() - began) / f64::from(USERS) * 1e9);
        let (after, busy) = first.expect("an entry");
        firsts.push(after.as_secs_f64() * 1e3);
        first_cpu.push(busy * 1e3);
    }
    println!(
        "engine        {:>8.0} ns of processor an entry; {:.0} ms to the first, {:.0} ms of processor",
        median(cpu),
        median(firsts),
        median(first_cpu),
    );
    verdict("ListSubjects in the engine", median(rates), "entries/s", 1_000_000.0..);
}

/// Processor time of this thread, in seconds: what else the machine does hardly counts.
fn thread_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds = stat.split(' ').next().and_then(|field| field.parse::<f64>().ok());
    nanoseconds.expect("a number") / 1e9
}

/// The same once more, where nothing that was freed before hides what it takes.
fn in_a_process_of_its_own() {
    let program = std::env::current_exe().expect("this program");
    let mut child = std::process::Command::new(program);
    // What is freed goes back to the system at once.
    child.env("MALLOC_MMAP_THRESHOLD_", "65536").env("MALLOC_TRIM_THRESHOLD_", "65536");
    assert!(child.arg("--memory").status().expect("the child runs").success());
}

fn memory() {
    let model = Arc::new(world::model());
    let plan = Arc::new(Plan::new(&model));
    let snapshot = snapshot(&model);
    // From here on the peak is that of the list.
    std::fs::write("/proc/self/clear_refs", "5").expect("Linux");
    let before = peak_mb();
    through(&snapshot, &plan, || {});
    verdict("memory of a list of a million", peak_mb() - before, "MB", ..=8.0);
}

/// The most that was resident since the peak was last reset.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.expect("a number") * 1_024.0 / 1e6
}

/// The service over a store that it has just been opened on.
async fn pdp() -> Pdp {
    let store = Arc::new(MemoryStore::new());
    let open = || {
        let model = world::model();
        let files = ModelFiles { digest: model.digest.clone(), files: Vec::new() };
        Pdp::open(Arc::clone(&store) as _, model, files, Arc::new(Fixed)).expect("the store opens")
    };
    let pdp = open();
    let mut changes = tuples().map(WriteChange::Touch).peekable();
    while changes.peek().is_some() {
        let commit = changes.by_ref().take(5_000).collect();
        pdp.write(commit).await.expect("the commit is accepted");
    }
    pdp.close();
    drop(pdp);
    open()
}

async fn serve(pdp: Pdp) -> Channel {
    let address = "127.0.0.1:0".parse().expect("an address");
    let config = ListenConfig { address, insecure: false };
    let server = BoundServer::bind(&config).await.expect("a free port");
    let url = format!("http://{}", server.local_addr());
    tokio::spawn(server.serve(Box::new(move || Ok(pdp)), std::future::pending::<()>()));
    let channel = Endpoint::from_shared(url).expect("a URL").connect().await.expect("connects");
    // The service may still be opening its store.
    for (subject, permission, scope) in world::questions(TUPLES, 1) {
        let permission = permission.to_owned();
        let asked = pb::CheckRequest { subject, permission, scope, ..Default::default() };
        let mut client = AuthorizationServiceClient::new(channel.clone());
        while client.check(asked.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    channel
}

/// What one reading of the list showed.
struct Listed {
    /// Entries a second.
    rate: f64,
    /// To the first entry, in milliseconds.
    first: f64,
    /// Processor time an entry, of client and server, in nanoseconds.
    cpu: f64,
}

async fn list_once(channel: &Channel) -> Listed {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    let request = pb::ListSubjectsRequest {
        permission: "device.view".into(),
        scope: "device:full".into(),
        subject_type: "user".into(),
        ..Default::default()
    };
    let mut client = AuthorizationServiceClient::new(channel.clone());
    let mut stream = client.list_subjects(request).await.expect("a list").into_inner();
    let (mut entries, mut first) = (0, None);
    while let Some(message) = stream.message().await.expect("an entry") {
        first.get_or_insert_with(|| started.elapsed());
        entries +=
            u32::from(matches!(message.part, Some(pb::list_subjects_response::Part::Subject(_))));
    }
    assert_eq!(entries, USERS, "the list is complete");
    Listed {
        rate: f64::from(entries) / started.elapsed().as_secs_f64(),
        first: first.expect("a message").as_secs_f64() * 1e3,
        cpu: (cpu_seconds() - cpu) / f64::from(entries) * 1e9,
    }
}

/// In turns with a handler that makes the same messages of nothing: the limit of tonic itself.
async fn list(channel: &Channel) {
    let bare = Endpoint::from_shared(bare::serve(USERS).await).expect("a URL");
    let bare = bare.connect().await.expect("connects");
    list_once(channel).await;
    list_once(&bare).await;
    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.push(list_once(channel).await);
        floor.push(list_once(&bare).await);
    }
    let of =
        |listed: &[Listed], figure: fn(&Listed) -> f64| median(listed.iter().map(figure).collect());
    let ratios = ours.iter().zip(&floor).map(|(ours, floor)| ours.rate / floor.rate);
    println!(
        "bare tonic    {:>8.0} entries/s, {:.0} ns of processor an entry; Bailiwick {:.2} x, {:.0} ns",
        of(&floor, |listed| listed.rate),
        of(&floor, |listed| listed.cpu),
        median(ratios.collect()),
        of(&ours, |listed| listed.cpu),
    );
    verdict("ListSubjects over loopback", of(&ours, |l| l.rate), "entries/s", 300_000.0..);
    verdict("ListSubjects, the first message", of(&ours, |l| l.first), "ms", ..=50.0);
}

/// Processor time of this process, in seconds; the system counts in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit_once(')').expect("the name's end").1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

async fn read(channel: &Channel) {
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let started = Instant::now();
        let request = pb::ReadTuplesRequest::default();
        let mut client = TupleServiceClient::new(channel.clone());
        let mut stream = client.read_tuples(request).await.expect("a list").into_inner();
        let mut entries: u32 = 0;
        while stream.message().await.expect("an entry").is_some() {
            entries += 1;
        }
        rates.push(f64::from(entries) / started.elapsed().as_secs_f64());
    }
    println!("ReadTuples    {:>8.0} entries/s", median(rates));
}

async fn write(pdp: &Pdp) {
    let mut rates = Vec::new();
    for turn in 0..TURNS {
        let started = Instant::now();
        let writers = (0..WRITERS).map(|writer| {
            let pdp = pdp.clone();
            tokio::spawn(async move {
                let mut commits: u32 = 0;
                while started.elapsed() < TURN {
                    let device = u64::from(commits) * WRITERS + writer;
                    let tuple = format!("device:d{device}#operator@user:t{turn}w{writer}");
                    pdp.write(vec![touch(&tuple)]).await.expect("the commit is accepted");
                    commits += 1;
                }
                commits
            })
        });
        let mut commits = 0;
        for writer in writers.collect::<Vec<_>>() {
            commits += writer.await.expect("the writer ends");
        }
        rates.push(f64::from(commits) / started.elapsed().as_secs_f64());
    }
    println!("write         {:>8.0} commits/s of one change, in memory", median(rates));
}

fn touch(text: &str) -> WriteChange {
    WriteChange::Touch(Tuple::plain(TupleKey::parse(text).expect("a tuple")))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
