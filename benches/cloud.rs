//! A role list of cloud size against a small one of the same shape: how long it takes to compile, what it
//! takes of memory, and what a check costs. Each list in a fresh process for its memory; the checks in one
//! process, by turns, so that a busy machine is busy for both.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod clock;
#[path = "../tests/it/cloud/list.rs"]
mod list;
mod target;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bailiwick::engine::CheckedContext;
use bailiwick::model::tuple::{Tuple, TupleKey};
use bailiwick::model::{SourceFiles, load};
use bailiwick::pdp::{Pdp, WriteChange};
use bailiwick::store::ModelFiles;
use bailiwick::store::memory::MemoryStore;

use clock::Fixed;
use list::List;
use target::verdict;

const COMPILE_SECONDS: f64 = 2.0;
const RESIDENT_MB: f64 = 64.0;
const CHECK_RATIO: f64 = 1.5;

const USERS: usize = 200;
const SCOPES: usize = 5;

fn main() {
    if std::env::args().any(|arg| arg == "--child") {
        compile();
        return;
    }
    let status = std::process::Command::new(std::env::current_exe().expect("this program"))
        .arg("--child")
        .status()
        .expect("the child runs");
    assert!(status.success());
    check();
}

fn files(list: &List) -> SourceFiles {
    [("model.yaml", list.yaml()), ("permissions.csv", list.csv())].into_iter().collect()
}

fn compile() {
    let list = List::cloud();
    let (roles, permissions) = (list.roles.len(), list.permissions.len());
    let files = files(&list);
    let bytes: usize = files.names().filter_map(|name| files.get(name)).map(str::len).sum();
    println!(
        "list: {roles} roles, {permissions} permissions, {} cells, {bytes} bytes",
        list.cells()
    );
    drop(list);
    let before = resident_mb();
    let mut seconds = Vec::new();
    let started = Instant::now();
    let model = load(&files, &BTreeMap::new()).expect("the list compiles");
    seconds.push(started.elapsed().as_secs_f64());
    let resident = resident_mb() - before;
    for _ in 0..4 {
        let started = Instant::now();
        std::hint::black_box(load(&files, &BTreeMap::new()).expect("the list compiles"));
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    verdict("compile, longest of 5", seconds[4], "s", ..=COMPILE_SECONDS);
    verdict("compiled, resident beside the files", resident, "MB", ..=RESIDENT_MB);
    println!("compiled, peak of the process: {:.0} MB", peak_mb());
    drop(model);
}

/// A service of this list, and questions of which the first half is allowed, the second denied.
fn opened(list: &List) -> (Pdp, Vec<(String, String, String)>) {
    let model = load(&files(list), &BTreeMap::new()).expect("the list compiles");
    let stored = ModelFiles { digest: model.digest.clone(), files: Vec::new() };
    let pdp = Pdp::open(Arc::new(MemoryStore::new()), model, stored, Arc::new(Fixed));
    let pdp = pdp.expect("an empty store opens");
    let mut random = fastrand::Rng::with_seed(11);
    let mut tuples: Vec<String> =
        (1..SCOPES).map(|depth| format!("scope:s{depth}#parent@scope:s{}", depth - 1)).collect();
    let (mut allowed, mut denied) = (Vec::new(), Vec::new());
    for user in 0..USERS {
        let group = format!("group:g{}#member", user % 20);
        tuples.push(format!("group:g{}#member@user:u{user}", user % 20));
        // Three roles: two of its own near the scope asked, one of its group at the top.
        let held: Vec<usize> = (0..3).map(|_| random.usize(4..list.roles.len())).collect();
        for (role, scope, holder) in [
            (held[0], SCOPES - 1, format!("user:u{user}")),
            (held[1], SCOPES - 2, format!("user:u{user}")),
            (held[2], 0, group),
        ] {
            tuples.push(format!("scope:s{scope}#{}@{holder}", list.roles[role]));
        }
        let scope = format!("scope:s{}", SCOPES - 1);
        let question = |permission: usize| {
            (format!("user:u{user}"), list.permissions[permission].clone(), scope.clone())
        };
        allowed.push(question(*random.choice(&list.granted[held[0]]).expect("a permission")));
        // What the group has by its other members counts too; that is seen when all is written.
        let lacks = |permission: &usize| {
            held.iter().all(|role| list.granted[*role].binary_search(permission).is_err())
        };
        let found = (0..10_000).map(|_| random.usize(..list.permissions.len())).find(lacks);
        denied.extend(found.map(question));
    }
    tuples.sort();
    tuples.dedup();
    let tuple = |text: &String| Tuple::plain(TupleKey::parse(text).expect("a tuple"));
    let changes = tuples.iter().map(|text| WriteChange::Touch(tuple(text))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(pdp.write(changes)).expect("the commit is durable");
    // Later users share the groups of earlier ones, and what those were given since: ask what holds now.
    let reading = pdp.read();
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    for asked in allowed.into_iter().chain(denied) {
        let question = reading.question(&asked.0, &asked.1, &asked.2, CheckedContext::default());
        let decision = reading.check(&question.expect("well-formed"), false).expect("no limit");
        if decision.is_allow() { &mut yes } else { &mut no }.push(asked);
    }
    assert!(yes.len() >= USERS / 2 && no.len() >= USERS / 4, "{} {}", yes.len(), no.len());
    drop(reading);
    yes.truncate(USERS / 2);
    no.truncate(USERS / 4);
    yes.extend(no);
    (pdp, yes)
}

fn check() {
    let small = opened(&List::sized(40, 3, 2_000));
    let cloud = opened(&List::cloud());
    let mut times = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for _ in 0..40 {
        for (list, (pdp, questions)) in [&small, &cloud].into_iter().enumerate() {
            let (yes, no) = questions.split_at(USERS / 2);
            for (kind, questions) in [yes, no].into_iter().enumerate() {
                let reading = pdp.read();
                let parsed: Vec<_> = questions
                    .iter()
                    .map(|(subject, permission, scope)| {
                        let context = CheckedContext::default();
                        reading.question(subject, permission, scope, context).expect("well-formed")
                    })
                    .collect();
                let started = Instant::now();
                for _ in 0..10 {
                    for question in &parsed {
                        std::hint::black_box(reading.check(question, false).is_ok());
                    }
                }
                let asked = (10 * parsed.len()) as f64;
                times[list][kind].push(started.elapsed().as_nanos() as f64 / asked);
            }
        }
    }
    for (kind, what) in ["allow", "deny"].into_iter().enumerate() {
        let mut middle = [0.0, 0.0];
        for list in 0..2 {
            times[list][kind].sort_by(f64::total_cmp);
            middle[list] = times[list][kind][times[list][kind].len() / 2];
        }
        println!("check, {what}: small {:.0} ns, cloud {:.0} ns", middle[0], middle[1]);
        verdict(
            &format!("check, {what}, cloud to small"),
            middle[1] / middle[0],
            "x",
            ..=CHECK_RATIO,
        );
    }
    small.0.close();
    cloud.0.close();
}

fn resident_mb() -> f64 {
    status_mb("VmRSS:")
}

fn peak_mb() -> f64 {
    status_mb("VmHWM:")
}

/// From `/proc/self/status`, which says it in KiB.
fn status_mb(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1_024.0 / 1_000_000.0
}
