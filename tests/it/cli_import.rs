//! `bailiwick import` against a service that answers as it is told: chunks and their keys, what is sent
//! again, and what is said when it stops. `cli_import_served.rs` has the real service.

use std::io::Write;
use std::process::{Child, Output, Stdio};

use bailiwick::api::pb::v1 as pb;
use bailiwick::api::status::{ApiError, Refusal};
use bailiwick::model::limits::{DRY_RUN_PROBLEMS_MAX, IMPORT_CHUNK_BYTES_MAX};
use prost::Message;
use serde_json::Value;
use tonic::Status;

use crate::cli::{assert_exit, bailiwick, stderr, stdout};
use crate::support::stand_in::{Scripts, StandIn};

/// Begins `bailiwick import ARGS`, which waits for its standard input.
pub(crate) fn begin_import(endpoint: &str, args: &[&str]) -> Child {
    bailiwick(&["import", "--endpoint", endpoint])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs `bailiwick import ARGS` with this on its standard input.
pub(crate) fn import(endpoint: &str, args: &[&str], input: &str) -> Output {
    let mut child = begin_import(endpoint, args);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// The chunk of ten of [`lines`] that a request is, from 0; 0 of anything else.
pub(crate) fn chunk_of(request: &pb::WriteTuplesRequest) -> usize {
    let subject = request.changes[0].tuple.clone().unwrap().subject;
    let number = subject.strip_prefix("user:u").and_then(|number| number.parse().ok());
    number.map_or(0, |number: usize| number / 10)
}

/// Commits each chunk as a revision of its own: 8, 9, ...
pub(crate) fn commit(request: &pb::WriteTuplesRequest) -> pb::WriteTuplesResponse {
    let changed = request.changes.len() as u64;
    let revision = chunk_of(request) as u64 + 8;
    pb::WriteTuplesResponse { revision, token: "t".to_owned(), changed }
}

type Refuse = fn(usize, &pb::WriteTuplesRequest) -> Option<Status>;

/// Refuses what this says; the newest revision before is 7.
fn refusing(refuse: Refuse) -> StandIn {
    StandIn::start(Scripts {
        write: Box::new(move |number, request| {
            refuse(number, request).map_or_else(|| Ok(commit(request)), Err)
        }),
        batch: Box::new(|_, _| Ok(pb::BatchCheckResponse { revision: 7, ..<_>::default() })),
        ..Scripts::default()
    })
}

fn accepting() -> StandIn {
    refusing(|_, _| None)
}

pub(crate) fn about(refusal: Refusal, change: usize, what: &str) -> Status {
    let field = format!("changes[{change}].tuple");
    ApiError::new(refusal, format!("changes[{change}]: {what}")).with("field", &field).into()
}

pub(crate) fn lines(count: usize) -> String {
    (0..count).map(|at| format!("org:acme#admin@user:u{at}\n")).collect()
}

const TEXT: [&str; 4] = ["-", "--format", "text", "--chunk"];

pub(crate) fn text<'a>(chunk: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&TEXT, &[chunk][..], more].concat()
}

#[test]
fn tuples_are_sent_in_order_in_chunks_with_keys_of_their_own() {
    let stand_in = accepting();
    let output = import(&stand_in.endpoint, &text("10", &[]), &lines(25));
    assert_exit(&output, 0);
    assert_eq!(stdout(&output), "25 of 25 tuples written in 3 commits, revision 10\n");
    assert_eq!(stderr(&output), "");
    let mut seen = stand_in.seen();
    // Two that are under way together may come in either order.
    seen.writes.sort_by_key(chunk_of);
    let sizes: Vec<_> = seen.writes.iter().map(|write| write.changes.len()).collect();
    assert_eq!(sizes, [10, 10, 5]);
    let subjects = seen.writes.iter().flat_map(|write| &write.changes);
    let subjects: Vec<_> = subjects.map(|change| change.tuple.clone().unwrap().subject).collect();
    assert_eq!(subjects, (0..25).map(|at| format!("user:u{at}")).collect::<Vec<_>>());
    let touch = i32::from(pb::Operation::Touch);
    assert!(seen.writes.iter().all(|write| write.changes[0].operation == touch));
    let mut keys: Vec<_> = seen.writes.iter().map(|write| &write.idempotency_key).collect();
    assert!(keys.iter().all(|key| !key.is_empty() && key.len() <= 128 && key.is_ascii()));
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3);
    assert!(seen.writes.iter().all(|write| !write.validate_only));
}

#[test]
fn a_key_is_the_same_in_the_next_run_only_where_a_repeat_would_be_refused() {
    let keys = |args: &[&str], input: &str| -> Vec<String> {
        let stand_in = accepting();
        assert_exit(&import(&stand_in.endpoint, &text("10", args), input), 0);
        let seen = stand_in.seen();
        seen.writes.iter().map(|write| write.idempotency_key.clone()).collect()
    };
    let all = keys(&["--create"], &lines(25));
    assert_eq!(all, keys(&["--create"], &lines(25)));
    // Begun where an earlier run stopped, the chunks are the same ones.
    assert_eq!(all[1..], keys(&["--create", "--from-line", "11"], &lines(25)));
    assert_ne!(all[0], keys(&["--create"], &lines(9))[0]);
    // Others may have changed the tuples since: what can be repeated is done again.
    for operation in [&[][..], &["--delete"]] {
        assert_ne!(keys(operation, &lines(5)), keys(operation, &lines(5)), "{operation:?}");
    }
}

#[test]
fn of_two_lines_for_one_tuple_the_later_one_comes_in_a_later_chunk() {
    let stand_in = accepting();
    let input = "scope,role,subject,source,reason\n\
                 org:a,r,user:x,,first\norg:a,r,user:x,hr,other\norg:a,r,user:x,,second\n";
    let output = import(&stand_in.endpoint, &["-", "--format", "csv"], input);
    assert_exit(&output, 0);
    let seen = stand_in.seen();
    let reasons = |write: &pb::WriteTuplesRequest| -> Vec<String> {
        write.changes.iter().map(|change| change.tuple.clone().unwrap().reason).collect()
    };
    let reasons: Vec<_> = seen.writes.iter().map(reasons).collect();
    assert_eq!(reasons, [vec!["first", "other"], vec!["second"]]);
}

#[test]
fn a_chunk_that_the_service_could_not_take_is_sent_again_as_it_was() {
    let stand_in = refusing(|number, _| match number {
        0 => Some(Status::unavailable("away")),
        2 => Some(ApiError::new(Refusal::OutcomeUnknown, "the outcome is unknown").into()),
        3 => Some(ApiError::new(Refusal::Overloaded, "too much to do").into()),
        _ => None,
    });
    let output = import(&stand_in.endpoint, &text("10", &["--create"]), &lines(15));
    assert_exit(&output, 0);
    let told = stderr(&output);
    for part in [
        "UNAVAILABLE: away; asking again in 0.1 s",
        "UNAVAILABLE OUTCOME_UNKNOWN: the outcome is unknown; asking again in 0.1 s",
        "RESOURCE_EXHAUSTED OVERLOADED: too much to do; asking again in 0.2 s",
    ] {
        assert!(told.contains(part), "{told}");
    }
    let seen = stand_in.seen();
    assert_eq!(seen.writes.len(), 5);
    assert_eq!(seen.writes[0], seen.writes[1]);
    assert_eq!(seen.writes[2], seen.writes[3]);
    assert_eq!(seen.writes[3], seen.writes[4]);
    assert_ne!(seen.writes[1].idempotency_key, seen.writes[2].idempotency_key);
}

#[test]
fn a_refused_line_ends_it_and_says_what_is_in() {
    let refuse: Refuse = |_, request| {
        (chunk_of(request) == 1)
            .then(|| about(Refusal::TupleNotAdmitted, 3, "`admin` is not bound there"))
    };
    let input = format!("# a comment\n\n{}", lines(20));
    let output = import(&refusing(refuse).endpoint, &text("10", &[]), &input);
    assert_exit(&output, 1);
    assert_eq!(
        stderr(&output),
        "error: line 16: INVALID_ARGUMENT TUPLE_NOT_ADMITTED: `admin` is not bound there\n\
         in: lines 1 to 12 (10 tuples, revision 8); not in: lines 13 to 22; \
         mend line 16, then run the same command again, or go on with --from-line 13\n"
    );
    assert_eq!(stdout(&output), "");

    let refuse: Refuse = |_, _| Some(about(Refusal::SecondParent, 0, "it has a parent"));
    let stand_in = refusing(refuse);
    let output =
        import(&stand_in.endpoint, &text("10", &["--create", "--output", "json"]), &lines(25));
    assert_exit(&output, 1);
    let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
    let error = &error["error"];
    assert_eq!(
        (&error["code"], &error["reason"]),
        (&"FAILED_PRECONDITION".into(), &"SECOND_PARENT".into())
    );
    assert_eq!((&error["line"], &error["from_line"]), (&1.into(), &1.into()));
    assert_eq!((&error["in_through_line"], &error["outcome_known"]), (&Value::Null, &true.into()));
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("in: no line; not in: lines 1 to 10; mend line 1, then")
    );
    assert_eq!(stand_in.seen().writes.len(), 1, "nothing is sent after a refused chunk");
}

#[test]
fn where_the_outcome_is_unknown_that_is_said() {
    let lost: Refuse = |_, request| (chunk_of(request) > 0).then(|| Status::unavailable("away"));
    let args = text("10", &["--retries", "1"]);
    let output = import(&refusing(lost).endpoint, &args, &lines(20));
    assert_exit(&output, 1);
    let told = stderr(&output);
    let expected = "error: UNAVAILABLE: away\nin: lines 1 to 10 (10 tuples, revision 8); not known: \
                    lines 11 to 20, and sending them again does no harm; run the same command again, \
                    or go on with --from-line 11\n";
    assert!(told.ends_with(expected), "{told}");
    for (refusal, known) in [
        (Refusal::OutcomeUnknown, false),
        (Refusal::DeadlineExceeded, false),
        (Refusal::Internal, false),
        (Refusal::NotReady, true),
        (Refusal::StoreUnavailable, true),
        (Refusal::Overloaded, true),
        (Refusal::TupleExists, true),
    ] {
        let stand_in = StandIn::start(Scripts {
            write: Box::new(move |_, _| Err(ApiError::new(refusal, "so").into())),
            ..Scripts::default()
        });
        let args = text("10", &["--retries", "0"]);
        let told = stderr(&import(&stand_in.endpoint, &args, &lines(5)));
        assert_eq!(told.contains("; not known: "), !known, "{told}");
    }
    // What the last attempt says of itself says nothing of the one before.
    let first_lost: Refuse = |number, _| {
        let later = ApiError::new(Refusal::StoreUnavailable, "latched");
        Some(if number == 0 { Status::unavailable("lost") } else { later.into() })
    };
    let told = stderr(&import(&refusing(first_lost).endpoint, &args, &lines(5)));
    assert!(told.contains("; not known: "), "{told}");
}

#[test]
fn a_line_that_is_no_tuple_ends_it_before_its_chunk() {
    let input = format!("{}org:acme#admin\n{}", lines(14), lines(3));
    let stand_in = accepting();
    let output = import(&stand_in.endpoint, &text("10", &[]), &input);
    assert_exit(&output, 1);
    assert_eq!(
        stderr(&output),
        "error: line 15: `org:acme#admin` is not a tuple `scope#role@subject`: there is no `@`\n\
         in: lines 1 to 10 (10 tuples, revision 8); mend line 15, then run the same command \
         again, or go on with --from-line 11\n"
    );
    assert_eq!(stand_in.seen().writes.len(), 1);
    for (format, input, part) in [
        ("jsonl", "{\"scope\":\"org:a\"}\n", "line 1: role: `` is not a name"),
        ("jsonl", "org:a#r@user:x\n", "say --format text or csv"),
        ("text", "{\"scope\":\"org:a\"}\n", "say --format jsonl"),
        ("csv", "scope,role,subjekt\n", "`subjekt` is no column; did you mean `subject`?"),
        ("csv", "scope,role,subject\n\norg:a,r,user:x,\n", "line 3: expected 3 fields"),
        ("csv", "scope,role,subject,context\norg:a,r,user:x,{}\n", "line 2: context: there is no"),
        ("csv", "scope,role,subject,expires_at\norg:a,r,user:x,soon\n", "`soon` is not a moment"),
    ] {
        let output = import(&stand_in.endpoint, &["-", "--format", format], input);
        assert_exit(&output, 1);
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
        let json = ["-", "--format", format, "--output", "json"];
        let told = stderr(&import(&stand_in.endpoint, &json, input));
        assert!(serde_json::from_str::<Value>(&told).unwrap()["error"]["message"].is_string());
    }
    assert_eq!(stand_in.seen().writes.len(), 1, "nothing of these was sent");
}

#[test]
fn a_dry_run_writes_nothing_and_tells_of_every_line() {
    let refuse: Refuse = |_, request| {
        let bad = |change: &pb::TupleChange| {
            change.tuple.as_ref().is_some_and(|tuple| tuple.subject.ends_with('7'))
        };
        let change = request.changes.iter().position(bad)?;
        Some(about(Refusal::TupleNotAdmitted, change, "sevens are not admitted"))
    };
    let stand_in = refusing(refuse);
    let input = lines(20) + "nonsense\n" + "org:acme#admin@user:last\n";
    let output = import(&stand_in.endpoint, &text("10", &["--dry-run"]), &input);
    assert_exit(&output, 1);
    let told = stderr(&output);
    let expected = "\
line 8: INVALID_ARGUMENT TUPLE_NOT_ADMITTED: sevens are not admitted
line 18: INVALID_ARGUMENT TUPLE_NOT_ADMITTED: sevens are not admitted
line 21: `nonsense` is not a tuple `scope#role@subject`: there is no `#`
";
    assert_eq!(sorted(&told), sorted(expected));
    let summary =
        "19 tuples of the standard input could be written, 3 problems; nothing was written\n";
    assert_eq!(stdout(&output), summary);
    assert!(stand_in.seen().writes.iter().all(|write| write.validate_only));

    let stand_in = accepting();
    let args = text("10", &["--dry-run", "--output", "json"]);
    let output = import(&stand_in.endpoint, &args, &lines(12));
    assert_exit(&output, 0);
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&report["tuples"], &report["commits"]), (&12.into(), &0.into()));
    assert_eq!((&report["dry_run"], &report["problems"]), (&true.into(), &0.into()));
}

/// A line that is no tuple may be told before one that the service refuses.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_dry_run_gives_up_where_nothing_is_right() {
    let refuse: Refuse = |_, _| Some(about(Refusal::TupleNotAdmitted, 0, "no"));
    let output = import(&refusing(refuse).endpoint, &text("50", &["--dry-run"]), &lines(500));
    assert_exit(&output, 1);
    let told = stderr(&output);
    assert_eq!(told.lines().filter(|line| line.starts_with("line ")).count(), DRY_RUN_PROBLEMS_MAX);
    assert!(told.contains("the rest was not looked at"), "{told}");
    // An error about the whole chunk is no line's.
    let refuse: Refuse = |_, _| Some(ApiError::new(Refusal::UnsupportedEncoding, "no").into());
    let output = import(&refusing(refuse).endpoint, &text("50", &["--dry-run"]), &lines(5));
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("lines 1 to 5: UNIMPLEMENTED UNSUPPORTED_ENCODING"));
}

#[test]
fn chunks_of_an_earlier_run_are_told_apart() {
    // The first two chunks were committed before this run began, as revisions 5 and 6.
    let stand_in = StandIn::start(Scripts {
        write: Box::new(|number, request| {
            let mut answer = commit(request);
            answer.revision = match number {
                0 => 5,
                2 => 6,
                _ => 8,
            };
            // After each of the two it is asked whether their tuples still stand.
            if request.validate_only {
                assert!(number == 1 || number == 3);
                answer.changed = 0;
            }
            Ok(answer)
        }),
        batch: Box::new(|_, _| Ok(pb::BatchCheckResponse { revision: 7, ..<_>::default() })),
        ..Scripts::default()
    });
    let output = import(&stand_in.endpoint, &text("10", &["--create"]), &lines(25));
    assert_exit(&output, 0);
    assert_eq!(
        stdout(&output),
        "5 of 25 tuples created in 1 commit, revision 8\n\
         20 had been created by an earlier run of this command\n"
    );
    let args = text("10", &["--create", "--output", "json"]);
    let output = import(&stand_in.endpoint, &args, &lines(25));
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(report["tuples"], 25);
}

#[test]
fn every_chunk_is_small_enough_for_a_commit() {
    let stand_in = accepting();
    // Control characters take six bytes each in a commit and one on the wire.
    let tuple = |at: usize| {
        let network = "\\u0001".repeat(5_000);
        format!(
            "{{\"scope\":\"doc:d{at}\",\"role\":\"viewer\",\"subject\":\"user:a\",\"condition\":{{\"name\":\"on_site\",\"context\":{{\"network\":\"{network}\"}}}}}}\n"
        )
    };
    let input: String = (0..100).map(tuple).collect();
    let output = import(&stand_in.endpoint, &[], &input);
    assert_exit(&output, 0);
    let seen = stand_in.seen();
    for write in &seen.writes {
        let json: usize = write.changes.iter().map(|_| 5_000 * 6).sum();
        assert!(write.encoded_len() + json <= IMPORT_CHUNK_BYTES_MAX);
    }
    assert!(seen.writes.len() > 3 && seen.writes.len() < 10, "{}", seen.writes.len());
}
