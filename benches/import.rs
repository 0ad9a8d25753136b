//! An import by the built program into the built service, both on this machine: tuples a second, durable;
//! and what a check takes inside the server meanwhile, asked at a quarter of what it can answer, beside the
//! same when nothing is written. `-- 1000000` imports so many.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod process;
mod target;
mod world;

use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::tuple::Tuple;
use pb::authorization_service_client::AuthorizationServiceClient;
use process::{Service, connect, disk_bytes};
use target::verdict;

/// Not needed of the world here.
const _: fn(u64) -> Vec<Tuple> = world::tuples;
const _: fn() -> bailiwick::model::form::Model = world::model;

/// How long the capacity, and the quiet server, are measured.
const QUIET: Duration = Duration::from_secs(5);
/// Calls at once while the capacity is measured.
const CALLERS: usize = 32;
const MB: f64 = 1e6;

fn main() {
    let asked = std::env::args().find_map(|arg| arg.parse().ok());
    let count: u64 = asked.unwrap_or(10_000_000);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let model = dir.path().join("model");
    std::fs::create_dir(&model).expect("a directory");
    let files = world::files();
    for name in files.names() {
        std::fs::write(model.join(name), files.get(name).expect("its text")).expect("a file");
    }
    let (input, reads) = (dir.path().join("tuples.txt"), dir.path().join("reads.txt"));
    let lines = write_file(&input, count, u64::MAX);
    // What the questions are about, as the import will find it.
    write_file(&reads, count, 200_000);
    alone(&model, &dir.path().join("alone"), &input, lines);
    beside_reads(&model, &dir.path().join("beside"), &reads, &input);
}

/// The world as a file, no more than its first so many lines; how many it has.
fn write_file(path: &Path, count: u64, most: u64) -> u64 {
    let mut file = BufWriter::new(std::fs::File::create(path).expect("a file"));
    let mut lines = 0;
    world::each(count, |text| {
        if lines < most {
            lines += 1;
            writeln!(file, "{text}").expect("it is written");
        }
    });
    file.flush().expect("it is written");
    lines
}

fn import(service: &Service, input: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_bailiwick"))
        .args(["import", "--quiet", "--endpoint", service.places().0])
        .arg(input)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts")
}

fn alone(model: &Path, data: &Path, input: &Path, lines: u64) {
    let service = Service::start(model, data);
    let started = Instant::now();
    assert!(import(&service, input).wait().expect("it ends").success());
    let rate = lines as f64 / started.elapsed().as_secs_f64();
    verdict(&format!("import of {lines} tuples, durable"), rate, "tuples/s", 200_000.0..);
    println!(
        "after it: resident {:.0} MB, peak {:.0} MB, disk {:.0} MB",
        service.resident() / MB,
        service.peak() / MB,
        disk_bytes(data) / MB
    );
    service.stop();
    std::fs::remove_dir_all(data).expect("the data goes");
}

fn beside_reads(model: &Path, data: &Path, reads: &Path, input: &Path) {
    let service = Service::start(model, data);
    assert!(import(&service, reads).wait().expect("it ends").success());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    println!("served after {:.1} s", service.served_after.as_secs_f64());
    let channel = runtime.block_on(connect(service.places().0));
    let client = AuthorizationServiceClient::new(channel);
    let questions = Arc::new(world::questions(100_000, 10_000));
    let capacity = runtime.block_on(capacity(&client, &questions));
    let rate = capacity / 4.0;
    println!("capacity {capacity:.0} checks/s, so {rate:.0}/s are asked");
    let admin = service.places().1;
    let mut figures = Vec::new();
    let mut importing: Option<Child> = None;
    for is_quiet in [true, false] {
        if !is_quiet {
            importing = Some(import(&service, input));
        }
        let before = durations(admin);
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let asked = runtime.spawn(ask(client.clone(), Arc::clone(&questions), rate, stopping));
        match &mut importing {
            None => std::thread::sleep(QUIET),
            Some(import) => assert!(import.wait().expect("it ends").success()),
        }
        stop.store(true, Ordering::Relaxed);
        runtime.block_on(asked).expect("no caller panics");
        figures.push(p99(&before, &durations(admin)) * 1e6);
    }
    println!("p99 inside the server: {:.0} us quiet, {:.0} us importing", figures[0], figures[1]);
    verdict("p99 of reads while importing", figures[1] / figures[0], "x the quiet", ..=5.0);
    service.stop();
}

type Questions = Arc<Vec<world::Question>>;
type Client = AuthorizationServiceClient<tonic::transport::Channel>;

async fn check(mut client: Client, questions: Questions, at: usize) {
    let (subject, permission, scope) = &questions[at % questions.len()];
    let request = pb::CheckRequest {
        subject: subject.clone(),
        permission: (*permission).to_owned(),
        scope: scope.clone(),
        ..Default::default()
    };
    client.check(request).await.expect("an answer");
}

/// Checks a second with all callers busy.
async fn capacity(client: &Client, questions: &Questions) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let callers = (0..CALLERS).map(|caller| {
        let (client, questions, done) = (client.clone(), Arc::clone(questions), Arc::clone(&done));
        tokio::spawn(async move {
            let mut at = caller * 311;
            while started.elapsed() < QUIET {
                check(client.clone(), Arc::clone(&questions), at).await;
                done.fetch_add(1, Ordering::Relaxed);
                at += 1;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no caller panics");
    }
    done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// Asks at this rate, whatever the answers take, until told to stop.
async fn ask(client: Client, questions: Questions, rate: f64, stop: Arc<AtomicBool>) {
    let started = Instant::now();
    let mut asked = 0_usize;
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    while !stop.load(Ordering::Relaxed) {
        tick.tick().await;
        let due = started.elapsed().as_secs_f64() * rate;
        let mut missed = due - asked as f64;
        while missed >= 1.0 {
            // What a stalled machine has missed is not asked all at once.
            if missed > 200.0 {
                missed -= 1.0;
                asked += 1;
                continue;
            }
            tokio::spawn(check(client.clone(), Arc::clone(&questions), asked));
            asked += 1;
            missed -= 1.0;
        }
    }
}

/// The admin page's histogram of how long a Check took inside the server: upper bounds, rising, each with
/// how many took no longer.
fn durations(admin: &str) -> Vec<(f64, u64)> {
    let mut page = TcpStream::connect(admin).expect("the admin page");
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    page.write_all(request.as_bytes()).expect("it is asked");
    let mut text = String::new();
    page.read_to_string(&mut text).expect("it answers");
    let lines = text.lines().filter(|line| {
        // Health has a Check too.
        line.starts_with("bailiwick_request_duration_seconds_bucket")
            && line.contains("AuthorizationService/Check\"")
    });
    let bucket = |line: &str| {
        let bound = line.split("le=\"").nth(1)?.split('"').next()?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        let count = line.rsplit(' ').next()?.parse().ok()?;
        Some((bound, count))
    };
    let found: Vec<_> = lines.filter_map(bucket).collect();
    assert!(!found.is_empty(), "no durations of Check on the page:\n{text}");
    found
}

/// In seconds, drawn out evenly within its bucket.
fn p99(before: &[(f64, u64)], after: &[(f64, u64)]) -> f64 {
    let pairs = before.iter().zip(after);
    let counts: Vec<_> =
        pairs.map(|((_, old), (bound, new))| (*bound, (new - old) as f64)).collect();
    let wanted = counts.last().expect("a bucket").1 * 0.99;
    assert!(wanted > 0.0, "nothing was asked meanwhile");
    let (mut low, mut below) = (0.0, 0.0);
    for (bound, count) in counts {
        if count >= wanted {
            return low + (bound - low) * (wanted - below) / (count - below).max(1.0);
        }
        (low, below) = (bound, count);
    }
    f64::INFINITY
}
