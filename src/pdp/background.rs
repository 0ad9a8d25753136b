//! Threads that give way: what they do is done in any case, and whoever waits for the answer to a question comes
//! first. Knows no work.
//!
//! On a machine with as many busy threads as processors a thread that answers is held up for the system's whole
//! turn, milliseconds, by one that computes; unless that one counts for less. A thread can lower its priority and
//! never raise it again, so what is done seldom and takes long gets a thread of its own.

use std::cell::Cell;

/// From so many changes on, a commit, and the group that it is in, is taken in by a thread that gives way: it takes
/// milliseconds, and to begin a thread some ten microseconds.
pub(crate) const BULK_CHANGES: usize = 1_000;

/// So many changes are a turn: a fraction of a millisecond.
const TURN_CHANGES: usize = 128;

thread_local! {
    static GIVES_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Where the thread gives way: offers the processor to whoever waits for it, each time that a turn's changes are done.
/// Otherwise it is taken off only where the system looks for others to run, every few milliseconds. Costs a system
/// call a turn.
pub(crate) fn offer_turn(done: usize) {
    if is_turn(done) {
        std::thread::yield_now();
    }
}

fn is_turn(done: usize) -> bool {
    done > 0 && done.is_multiple_of(TURN_CHANGES) && GIVES_WAY.get()
}

/// The calling thread counts for less than the process' others from now on. Where that cannot be, it goes on as it is.
pub(crate) fn give_way() {
    GIVES_WAY.set(true);
    lower();
}

#[cfg(target_os = "linux")]
fn lower() {
    use rustix::process::{getpid, getpriority_process, setpriority_process};

    /// A tenth of the processor where another thread wants all of it.
    const STEPS: i32 = 10;
    const LOWEST: i32 = 19;
    // That of the first thread: who begins a thread that gives way may have done so too. The first gives way only in a
    // program that does nothing else.
    let lowered = getpriority_process(Some(getpid()))
        .and_then(|process| setpriority_process(None, (process + STEPS).min(LOWEST)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "a thread could not be made to give way");
    }
}

/// Elsewhere a priority is the whole process' own.
#[cfg(not(target_os = "linux"))]
fn lower() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn only_a_thread_that_gives_way_offers_its_turns() {
        let turns = || (0..=300).filter(|done| is_turn(*done)).collect::<Vec<_>>();
        let given = std::thread::spawn(move || {
            let before = turns();
            give_way();
            (before, turns())
        });
        assert_eq!(given.join().unwrap(), (vec![], vec![128, 256]));
        assert!(turns().is_empty());
    }

    #[test]
    fn a_thread_gives_way_alone_and_once() {
        let before = getpriority_process(None).unwrap();
        let given = std::thread::spawn(|| {
            give_way();
            give_way();
            let own = getpriority_process(None).unwrap();
            let begun = std::thread::spawn(|| getpriority_process(None).unwrap());
            (own, begun.join().unwrap())
        });
        let (own, begun) = given.join().unwrap();
        assert_eq!(own, (before + 10).min(19));
        assert_eq!(begun, own, "what it begins gives way too");
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
