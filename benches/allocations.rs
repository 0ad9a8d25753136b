//! How often the service allocates to answer one call, beside a bare tonic handler of the same messages.
//! Both are served from this thread, which counts, and asked from another, which does not: so what is
//! counted is the server's, from the socket to the socket.
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and ends where something fails"
)]

mod bare;
mod clock;
mod served;
mod target;
mod world;

use allocation_counter::{AllocationInfo, measure};
use bailiwick::api::pb::v1 as pb;
use served::{Client, TUPLES, connect, median, question};
use target::verdict;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, channel};

const ROUNDS: usize = 5;
const CALLS: u32 = 2_000;
const BATCHES: u32 = 200;
/// Not more than are answered where the request was read: on other threads nothing is counted.
const ITEMS: u32 = 32;

/// What is asked, and how often.
#[derive(Debug, Clone, Copy)]
enum Task {
    Checks(u32),
    Batches(u32),
}

/// Somebody who asks, on a thread of their own.
struct Caller {
    tasks: Sender<Task>,
    done: Receiver<()>,
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let pdp = served::pdp(TUPLES);
    let (bare, ours) = runtime.block_on(async { (bare::serve(0).await, served::tcp(pdp).await) });
    let (mut bare, mut ours) = (Caller::of(bare), Caller::of(ours));
    println!("allocations of the server, one caller, {CALLS} calls");
    let check = |caller: &mut Caller| caller.count(&runtime, Task::Checks(CALLS), CALLS);
    let batch =
        |caller: &mut Caller| caller.count(&runtime, Task::Batches(BATCHES), BATCHES * ITEMS);
    let (of_bare, of_ours) = (check(&mut bare), check(&mut ours));
    told("a Check", &of_bare, &of_ours);
    let (of_bare_item, of_our_item) = (batch(&mut bare), batch(&mut ours));
    told("an item of a BatchCheck", &of_bare_item, &of_our_item);
    let more = of_ours.count - of_bare.count;
    verdict("Check, allocations beside a bare handler's", more, "more", ..=4.0);
    let more = of_our_item.count - of_bare_item.count;
    verdict("BatchCheck, allocations an item beside a bare handler's", more, "more", ..=1.0);
}

/// What one call allocates.
struct Allocated {
    count: f64,
    bytes: f64,
}

fn told(what: &str, bare: &Allocated, ours: &Allocated) {
    println!(
        "{what}: {:.2} ({:.0} bytes), of a bare handler {:.2} ({:.0} bytes)",
        ours.count, ours.bytes, bare.count, bare.bytes
    );
}

impl Caller {
    fn of(url: String) -> Self {
        let (tasks, mut asked) = channel(1);
        let (tell, done) = channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut client = connect(&url, 1).await.remove(0);
                while let Some(task) = asked.recv().await {
                    ask(&mut client, task).await;
                    tell.send(()).await.expect("somebody waits");
                }
            });
        });
        Self { tasks, done }
    }

    /// What each of so many calls allocates on this thread, once everything has been called that often.
    fn count(&mut self, runtime: &Runtime, task: Task, calls: u32) -> Allocated {
        let mut run = || {
            self.tasks.try_send(task).expect("the caller lives, and has nothing to do");
            runtime.block_on(self.done.recv()).expect("the caller lives");
        };
        run();
        let rounds: Vec<_> = (0..ROUNDS).map(|_| measure(&mut run)).collect();
        let each = |total: fn(&AllocationInfo) -> u64| {
            median(rounds.iter().map(|round| total(round) as f64 / f64::from(calls)).collect())
        };
        Allocated { count: each(|round| round.count_total), bytes: each(|round| round.bytes_total) }
    }
}

async fn ask(client: &mut Client, task: Task) {
    match task {
        Task::Checks(calls) => {
            for at in 0..calls as usize {
                client.check(question(at)).await.expect("an answer");
            }
        }
        Task::Batches(calls) => {
            let item = |at: u32| {
                let pb::CheckRequest { subject, permission, scope, .. } = question(at as usize);
                pb::BatchCheckItem { subject, permission, scope, ..Default::default() }
            };
            let items: Vec<_> = (0..ITEMS).map(item).collect();
            let batch = pb::BatchCheckRequest { items, ..Default::default() };
            for _ in 0..calls {
                client.batch_check(batch.clone()).await.expect("an answer");
            }
        }
    }
}
