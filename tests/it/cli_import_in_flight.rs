//! `bailiwick import` with two chunks under way: when the second is sent, whose answer counts, and what is
//! said when it stops. The service answers as it is told; `cli_import_served.rs` has the real one.

use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bailiwick::api::pb::v1 as pb;
use bailiwick::api::status::{ApiError, Refusal};
use serde_json::{Value, json};
use tonic::Status;

use crate::cli::{assert_exit, stderr, stdout};
use crate::cli_import::{about, begin_import, chunk_of, commit, import, lines, text};
use crate::support::stand_in::{Scripts, StandIn};

/// The chunks that have come, in order. Clones are of the same.
#[derive(Clone, Default)]
struct Arrivals(Arc<(Mutex<Vec<usize>>, Condvar)>);

impl Arrivals {
    /// How often this chunk had come before.
    fn note(&self, chunk: usize) -> usize {
        let (come, changed) = &*self.0;
        let mut come = come.lock().unwrap();
        let before = come.iter().filter(|other| **other == chunk).count();
        come.push(chunk);
        changed.notify_all();
        before
    }

    /// Waits until this chunk has come so often; fails rather than for ever.
    fn wait_for(&self, chunk: usize, times: usize) -> Result<(), Status> {
        let (come, changed) = &*self.0;
        let lacks =
            |come: &mut Vec<usize>| come.iter().filter(|other| **other == chunk).count() < times;
        let come = come.lock().unwrap();
        let (_come, waited) =
            changed.wait_timeout_while(come, Duration::from_secs(20), lacks).unwrap();
        if waited.timed_out() { Err(Status::internal("it did not come")) } else { Ok(()) }
    }

    fn in_order(&self) -> Vec<usize> {
        self.0.0.lock().unwrap().clone()
    }
}

type Answer = Result<(), Status>;

/// Commits what this lets through. It is told the chunk, and how often that had come before.
fn answering(
    arrivals: &Arrivals,
    answer: impl Fn(&Arrivals, usize, usize) -> Answer + Send + Sync + 'static,
) -> StandIn {
    let arrivals = arrivals.clone();
    StandIn::start(Scripts {
        write: Box::new(move |_, request: &pb::WriteTuplesRequest| {
            let chunk = chunk_of(request);
            let before = arrivals.note(chunk);
            answer(&arrivals, chunk, before).map(|()| commit(request))
        }),
        batch: Box::new(|_, _| Ok(pb::BatchCheckResponse { revision: 7, ..<_>::default() })),
        ..Scripts::default()
    })
}

/// Answers each chunk but the last of so many only when the next one has come.
fn when_the_next_has_come(arrivals: &Arrivals, chunk: usize, chunks: usize) -> Answer {
    if chunk + 1 < chunks { arrivals.wait_for(chunk + 1, 1) } else { Ok(()) }
}

#[test]
fn the_next_chunk_is_sent_before_the_one_before_it_is_answered() {
    for operation in [&[][..], &["--delete"]] {
        let arrivals = Arrivals::default();
        let stand_in =
            answering(&arrivals, |arrivals, chunk, _| when_the_next_has_come(arrivals, chunk, 4));
        let output = import(&stand_in.endpoint, &text("10", operation), &lines(40));
        assert_exit(&output, 0);
        assert!(stdout(&output).starts_with("40 of 40 tuples "), "{}", stdout(&output));
        assert!(stdout(&output).ends_with(" in 4 commits, revision 11\n"), "{}", stdout(&output));
        assert_eq!(stderr(&output), "");
    }
}

#[test]
fn no_more_than_two_are_under_way() {
    // Were a third sent, it would have come while the first, which the service could not take, waits to be
    // sent again.
    let arrivals = Arrivals::default();
    let stand_in = answering(&arrivals, |arrivals, chunk, before| match (chunk, before) {
        (0, 0) => {
            arrivals.wait_for(1, 1)?;
            Err(Status::unavailable("away"))
        }
        _ => Ok(()),
    });
    let output = import(&stand_in.endpoint, &text("10", &[]), &lines(30));
    assert_exit(&output, 0);
    let order = arrivals.in_order();
    assert_eq!((order.len(), &order[2..]), (4, &[0, 2][..]), "{order:?}");
}

/// The next line may be long in coming: a chunk that was refused before the one before it was in is sent again at once.
#[test]
fn a_refused_chunk_does_not_wait_for_the_next_line() {
    let (arrivals, told) = (Arrivals::default(), Arrivals::default());
    let stand_in = answering(&arrivals, move |_, chunk, before| match (chunk, before) {
        (0, 0) => told.wait_for(1, 1),
        (1, 0) => {
            told.note(1);
            Err(about(Refusal::SecondParent, 3, "it has a parent"))
        }
        _ => Ok(()),
    });
    let mut child = begin_import(&stand_in.endpoint, &text("10", &[]));
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, lines(21).as_bytes()).unwrap();
    arrivals.wait_for(1, 2).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(arrivals.in_order().len(), 4);
}

#[test]
fn what_may_depend_on_the_order_is_not_under_way_together() {
    let again = format!("{}org:acme#admin@user:u17\n", lines(10).replace("user:u9", "user:u17"));
    let past =
        "scope,role,subject,expires_at\norg:a,r,user:u0,2020-01-01T00:00:00Z\norg:a,r,user:u10,\n";
    let to_come = past.replace("2020", "2999");
    let later =
        "scope,role,subject,expires_at\norg:a,r,user:u0,\norg:a,r,user:u10,2020-01-01T00:00:00Z\n";
    let csv = ["-", "--format", "csv", "--chunk", "1"];
    for (args, input) in [
        // A tuple of both.
        (text("10", &[]), again.as_str()),
        // Taken away, if it has ended by the service's clock.
        (csv.to_vec(), past),
        (csv.to_vec(), to_come.as_str()),
        (csv.to_vec(), later),
        // Perhaps committed by an earlier run.
        (text("10", &["--create"]), &lines(20)),
    ] {
        // While the first waits to be sent again, the second would come.
        let arrivals = Arrivals::default();
        let stand_in = answering(&arrivals, |_, chunk, before| match (chunk, before) {
            (0, 0) => Err(Status::unavailable("away")),
            _ => Ok(()),
        });
        let output = import(&stand_in.endpoint, &args, input);
        assert_exit(&output, 0);
        assert_eq!(arrivals.in_order(), [0, 0, 1], "{input}");
    }
}

#[test]
fn a_refusal_of_the_second_counts_only_once_the_first_is_in() {
    let refusals: [fn() -> Status; 3] = [
        || about(Refusal::SecondParent, 3, "it has a parent"),
        || ApiError::new(Refusal::DeadlineExceeded, "it took too long").into(),
        || ApiError::new(Refusal::OutcomeUnknown, "the outcome is unknown").into(),
    ];
    for refusal in refusals {
        let arrivals = Arrivals::default();
        let stand_in = answering(&arrivals, move |arrivals, chunk, before| match (chunk, before) {
            (1, 0) => Err(refusal()),
            _ => when_the_next_has_come(arrivals, chunk, 2),
        });
        let args = text("10", &["--retries", "0"]);
        let output = import(&stand_in.endpoint, &args, &lines(20));
        assert_exit(&output, 0);
        assert_eq!(stdout(&output), "20 of 20 tuples written in 2 commits, revision 9\n");
        let seen = stand_in.seen();
        let second: Vec<_> = seen.writes.iter().filter(|write| chunk_of(write) == 1).collect();
        assert_eq!((seen.writes.len(), second.len()), (3, 2));
        assert_eq!(second[0], second[1], "it has the same key");
    }
}

#[test]
fn what_is_refused_once_more_is_refused() {
    let lost = || Status::from(ApiError::new(Refusal::OutcomeUnknown, "the outcome is unknown"));
    let out = || Status::from(ApiError::new(Refusal::StoreUnavailable, "latched"));
    let bad = || about(Refusal::SecondParent, 3, "it has a parent");
    type Say = fn() -> Status;
    let cases: [(Say, Say, &str); 3] = [
        (lost, bad, "; not in: lines 11 to 20; mend line 14, then "),
        (bad, out, "; not in: lines 11 to 20; run "),
        // What the last attempt says of itself says nothing of the one before.
        (lost, out, "; not known: lines 11 to 20, and sending them again does no harm; run "),
    ];
    for (first, then, told) in cases {
        let arrivals = Arrivals::default();
        let stand_in = answering(&arrivals, move |arrivals, chunk, before| match (chunk, before) {
            (1, 0) => Err(first()),
            (1, _) => Err(then()),
            _ => when_the_next_has_come(arrivals, chunk, 2),
        });
        let args = text("10", &["--retries", "0"]);
        let output = import(&stand_in.endpoint, &args, &lines(20));
        assert_exit(&output, 1);
        let said = stderr(&output);
        assert!(
            said.contains(&format!("in: lines 1 to 10 (10 tuples, revision 8){told}")),
            "{said}"
        );
        assert!(said.contains("--from-line 11"), "{said}");
        assert_eq!(arrivals.in_order().len(), 3);
    }
}

/// Refuses the first chunk once the second has come, and answers that so.
fn first_refused(second: fn() -> Answer) -> StandIn {
    answering(&Arrivals::default(), move |arrivals, chunk, _| match chunk {
        0 => {
            arrivals.wait_for(1, 1)?;
            Err(about(Refusal::TupleNotAdmitted, 3, "`admin` is not bound there"))
        }
        _ => second(),
    })
}

#[test]
fn of_a_chunk_beside_one_that_is_refused_is_told_what_became_of_it() {
    type Say = fn() -> Answer;
    let cases: [(Say, &str, bool); 3] = [
        (|| Ok(()), "in: no line; not in: lines 1 to 10; in, too: lines 11 to 20; ", false),
        (
            || Err(about(Refusal::SecondParent, 0, "it has a parent")),
            "in: no line; not in: lines 1 to 20; ",
            true,
        ),
        (
            || Err(ApiError::new(Refusal::OutcomeUnknown, "the outcome is unknown").into()),
            "in: no line; not in: lines 1 to 10; not known: lines 11 to 20, and sending them again does no \
             harm; ",
            false,
        ),
    ];
    for (second, told, is_known) in cases {
        let args = text("10", &["--retries", "0"]);
        let output = import(&first_refused(second).endpoint, &args, &lines(20));
        assert_exit(&output, 1);
        assert_eq!(
            stderr(&output),
            format!(
                "error: line 4: INVALID_ARGUMENT TUPLE_NOT_ADMITTED: `admin` is not bound there\n\
                 {told}mend line 4, then run the same command again, or go on with --from-line 1\n"
            )
        );
        let args = text("10", &["--retries", "0", "--output", "json"]);
        let output = import(&first_refused(second).endpoint, &args, &lines(20));
        let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
        let error = &error["error"];
        assert_eq!((&error["line"], &error["from_line"]), (&json!(4), &json!(1)));
        assert_eq!(
            (&error["in_through_line"], &error["outcome_known"]),
            (&Value::Null, &json!(is_known))
        );
    }
}

#[test]
fn an_import_that_is_interrupted_says_what_is_in() {
    // How many chunks are answered, and what is told when the two after them never are.
    for (answered, told) in [
        (0, "in: no line; not known: lines 1 to 20, and sending them again does no harm"),
        (
            1,
            "in: lines 1 to 10 (10 tuples, revision 8); not known: lines 11 to 30, and sending them again \
             does no harm",
        ),
    ] {
        let arrivals = Arrivals::default();
        let over = Arrivals::default();
        let is_over = over.clone();
        let stand_in =
            answering(
                &arrivals,
                move |_, chunk, _| {
                    if chunk < answered { Ok(()) } else { is_over.wait_for(0, 1) }
                },
            );
        let mut child = begin_import(&stand_in.endpoint, &text("10", &[]));
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), lines(40).as_bytes()).unwrap();
        // It was sent after those before the two were known to be in.
        arrivals.wait_for(answered, 1).unwrap();
        arrivals.wait_for(answered + 1, 1).unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        over.note(0);
        assert_exit(&output, 1);
        let from = answered * 10 + 1;
        let again = format!("run the same command again, or go on with --from-line {from}");
        assert_eq!(stderr(&output), format!("error: interrupted\n{told}; {again}\n"));
    }
}
