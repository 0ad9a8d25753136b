//! `bailiwick batch`: the three forms, errors with their line, exit codes, and chunks at one revision.

use std::io::{BufRead, BufReader, Write};
use std::process::{Output, Stdio};

use bailiwick::api::pb::v1 as pb;
use bailiwick::api::status::{ApiError, Refusal};
use bailiwick::model::limits::{
    BATCH_ANSWER_BYTES_MAX, BATCH_CHUNK_BYTES_MAX, BATCH_ITEMS_MAX, INPUT_LINE_BYTES_MAX,
    REQUEST_BYTES_MAX,
};
use pb::consistency::Requirement;
use prost::Message;
use serde_json::Value;
use tonic::Status;

use crate::cli::{Served, assert_exit, bailiwick, run, stderr, stdout};
use crate::support::stand_in::{Scripts, StandIn};

/// Runs `bailiwick batch ARGS` with this on its standard input.
fn batch(endpoint: &str, args: &[&str], input: impl Into<Vec<u8>>) -> Output {
    let mut child = bailiwick(&["batch", "--endpoint", endpoint])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.into();
    // Beside the reading of the answers, so that neither waits for the other.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn served() -> Served {
    let served = Served::start("tests/models/everything");
    served.ok(&["write", "--touch", "doc:d1#viewer@user:ana", "--touch", "doc:d1#editor@user:eve"]);
    served
}

fn json_lines(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_answers_stand_in_the_order_and_the_form_of_the_questions() {
    let served = served();
    let text = "# who\r\nuser:ana doc.view doc:d1\n\n  user:bob  doc.view doc:d1 \nuser:ana doc.export doc:d1\n";
    let output = batch(&served.endpoint, &[], text);
    assert_exit(&output, 0);
    let expected = "\
DECISION  REASON              QUESTION
ALLOW     GRANTED             user:ana doc.view doc:d1
DENY      NOT_GRANTED         user:bob doc.view doc:d1
DENY      MISSING_CONTEXT     user:ana doc.export doc:d1  missing: network
";
    assert_eq!(stdout(&output), expected);
    let summary = stderr(&output);
    assert!(summary.starts_with("3 questions: 1 allowed, 2 denied, 0 errors at revision 2; "));
    assert!(summary.ends_with(" a second\n") && summary.lines().count() == 1, "{summary}");

    let csv = "scope,subject,context,permission\n\
               doc:d1,user:ana,\"{\"\"network\"\": \"\"office\"\"}\",doc.export\n\
               doc:d1,user:ana,,doc.export\n";
    let output = batch(&served.endpoint, &["--format", "csv", "--quiet"], csv);
    assert_exit(&output, 0);
    let expected = "\
line,subject,permission,scope,decision,reason,missing,error
2,user:ana,doc.export,doc:d1,ALLOW,GRANTED,,
3,user:ana,doc.export,doc:d1,DENY,MISSING_CONTEXT,network,
";
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), (expected, ""));

    let lines = "{\"subject\": \"user:ana\", \"permission\": \"doc.export\", \"scope\": \"doc:d1\", \"context\": {\"network\": \"office\"}}\n\
                 {\"subject\": \"user:ana\", \"permission\": \"doc.export\", \"scope\": \"doc:d1\"}\n";
    let output = batch(&served.endpoint, &["--format", "jsonl"], lines);
    assert_exit(&output, 0);
    let answers = json_lines(&output);
    assert_eq!((&answers[0]["decision"], &answers[0]["line"]), (&"ALLOW".into(), &1.into()));
    assert_eq!(answers[1]["missing"], serde_json::json!(["network"]));
    assert_eq!(answers[1]["error"], Value::Null);

    // Values for all; an item's own win.
    let args = ["--format", "jsonl", "--context", "network=home"];
    let answers = json_lines(&batch(&served.endpoint, &args, lines));
    assert_eq!(
        (&answers[0]["decision"], &answers[1]["decision"]),
        (&"ALLOW".into(), &"DENY".into())
    );
    assert_eq!(answers[1]["reason"], "NOT_GRANTED");
}

#[test]
fn an_error_has_its_place_and_its_line_and_the_others_are_answered() {
    let served = served();
    let bytes = b"user:ana doc.view doc:d1\n\
        user:ana doc.veiw doc:d1\n\
        # a comment\n\
        user:ana doc.view\n\
        user:ana doc.view doc:\xff\n\
        us\x1b[2Jer:ana doc.view doc:d1\n\
        user:eve doc.view doc:d1\n";
    let output = batch(&served.endpoint, &[], bytes.as_slice());
    assert_exit(&output, 1);
    let text = stdout(&output);
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(lines[0].starts_with("ALLOW ") && lines[5].starts_with("ALLOW "), "{text}");
    let wrong =
        "ERROR     UNKNOWN_PERMISSION  user:ana doc.veiw doc:d1  line 2: INVALID_ARGUMENT: ";
    assert!(lines[1].starts_with(wrong) && lines[1].contains("`doc.view`"), "{text}");
    assert!(lines[2].starts_with("ERROR     MALFORMED_LINE      line 4: "), "{text}");
    assert!(lines[2].contains("expected `SUBJECT PERMISSION SCOPE`"), "{text}");
    assert!(lines[3].contains("line 5: INVALID_ARGUMENT: it is not UTF-8 text: byte 23"), "{text}");
    assert!(lines[4].starts_with("ERROR     INVALID_FIELD ") && lines[4].contains("line 6"));
    assert!(!text.contains('\x1b'), "what was asked in vain steers the terminal: {text:?}");
    assert!(stderr(&output).starts_with("6 questions: 2 allowed, 0 denied, 4 errors"));

    let csv = "subject,permission,scope\nuser:ana,doc.veiw,doc:d1\nuser:ana,doc.view\nuser:ana,\"doc\"x,doc:d1\n,doc.view,doc:d1\n";
    let output = batch(&served.endpoint, &["--format", "csv"], csv);
    assert_exit(&output, 1);
    let text = stdout(&output);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let errors: Vec<_> = reader.records().map(|row| row.unwrap()[7].to_owned()).collect();
    for (error, (start, part)) in errors.iter().zip([
        ("line 2: ", "did you mean `doc.view`"),
        ("line 3: ", "expected 3 fields as in the header, found 2"),
        ("line 4: ", "goes on after its closing quote"),
        ("line 5: ", "there is no subject"),
    ]) {
        assert!(error.starts_with(start) && error.contains(part), "{error}");
    }
    assert_eq!(errors.len(), 4);

    let lines = "{\"subject\": \"user:ana\"}\n[1]\nnonsense\n{\"subjct\": \"\"}\n{\"subject\":\"user:ana\",\"permission\":\"doc.veiw\",\"scope\":\"doc:d1\"}\n";
    let output = batch(&served.endpoint, &["--format", "jsonl"], lines);
    assert_exit(&output, 1);
    let answers = json_lines(&output);
    let told = |at: usize| answers[at]["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        told(0).contains("there is no permission") && told(1).contains("expected a JSON object")
    );
    assert!(told(2).contains("not JSON") && told(2).contains("--format"), "{}", told(2));
    assert!(told(3).contains("did you mean `subject`?"), "{}", told(3));
    assert_eq!(answers[4]["error"]["metadata"]["nearest"], "doc.view");
    assert!(answers.iter().all(|answer| answer["decision"] == "ERROR"), "{answers:?}");
}

#[test]
fn exit_codes_say_what_was_found() {
    let served = served();
    let (allowed, denied) = ("user:ana doc.view doc:d1\n", "user:bob doc.view doc:d1\n");
    let both = format!("{allowed}{denied}");
    let wrong = format!("{denied}user:bob doc.veiw doc:d1\n");
    for (args, input, code) in [
        (&[][..], both.as_str(), 0),
        (&["--fail-on-deny"], allowed, 0),
        (&["--fail-on-deny"], &both, 2),
        (&["--fail-on-deny"], &wrong, 1),
        (&[], &wrong, 1),
        (&[], "# nothing\n", 0),
        (&["--fail-on-deny"], "# nothing\n", 1),
    ] {
        let output = batch(&served.endpoint, args, input);
        assert_exit(&output, code);
    }
    let nothing = batch(&served.endpoint, &["--fail-on-deny"], "");
    assert!(stderr(&nothing).contains("there is no question in the standard input"), "{nothing:?}");
}

#[test]
fn a_file_says_its_form_by_its_name() {
    let served = served();
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("q.csv", "\u{feff}subject,permission,scope\r\nuser:ana,doc.view,doc:d1\r\n"),
        ("q.jsonl", "{\"subject\":\"user:ana\",\"permission\":\"doc.view\",\"scope\":\"doc:d1\"}"),
        ("q.txt", "user:ana doc.view doc:d1"),
        ("questions", "user:ana doc.view doc:d1"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let output = served.run(&["batch", "--fail-on-deny", path.to_str().unwrap()]);
        assert_exit(&output, 0);
        assert!(stdout(&output).contains("ALLOW"), "{output:?}");
    }
    let missing = run(&["batch", "no/such/file"]);
    assert_exit(&missing, 1);
    assert!(stderr(&missing).contains("cannot read `no/such/file`"), "{missing:?}");
    for (text, part) in [
        ("subject,permision,scope\n", "did you mean `permission`?"),
        ("subject,scope\n", "the header has no column `permission`"),
        ("user:ana doc.view doc:d1\n", "--format says another form"),
        ("subject,permission,scope\n\"user:ana,x,y\n", "line 2: a quote is open here"),
    ] {
        let output = batch(&served.endpoint, &["--format", "csv"], text);
        assert_exit(&output, 1);
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

/// Allows whatever is asked, at revision 7.
fn allow_all(request: &pb::BatchCheckRequest) -> pb::BatchCheckResponse {
    let decision = pb::BatchCheckDecision {
        decision: pb::Decision::Allow.into(),
        reason: pb::Reason::Granted.into(),
        missing: Vec::new(),
    };
    let result = Some(pb::batch_check_result::Result::Decision(decision));
    let results = vec![pb::BatchCheckResult { result }; request.items.len()];
    pb::BatchCheckResponse { results, revision: 7, token: "the-first".to_owned() }
}

fn questions(count: usize) -> String {
    (0..count).map(|at| format!("user:u{at} doc.view doc:d{at}\n")).collect()
}

#[test]
fn all_chunks_are_asked_at_the_revision_of_the_first() {
    let stand_in = StandIn::start(Scripts {
        batch: Box::new(|_, request| Ok(allow_all(request))),
        ..Scripts::default()
    });
    let output = batch(&stand_in.endpoint, &["--chunk", "10", "--fail-on-deny"], questions(25));
    assert_exit(&output, 0);
    assert_eq!(stdout(&output).lines().count(), 26);
    assert!(stdout(&output).lines().last().unwrap().ends_with("user:u24 doc.view doc:d24"));
    let seen = stand_in.seen();
    let sizes: Vec<_> = seen.batches.iter().map(|batch| batch.items.len()).collect();
    assert_eq!(sizes, [10, 10, 5]);
    let asked: Vec<_> = seen.batches.iter().map(|batch| batch.consistency.clone()).collect();
    let exactly = Requirement::Exactly("the-first".to_owned());
    let exactly = Some(pb::Consistency { requirement: Some(exactly) });
    assert_eq!(asked, [None, exactly.clone(), exactly]);
}

#[test]
fn chunks_hold_as_many_questions_and_bytes_as_a_request_may() {
    let stand_in = StandIn::start(Scripts {
        batch: Box::new(|_, request| Ok(allow_all(request))),
        ..Scripts::default()
    });
    let output = batch(&stand_in.endpoint, &["--quiet"], questions(2 * BATCH_ITEMS_MAX + 1));
    assert_exit(&output, 0);
    let long = "x".repeat(3_000);
    let many: String = (0..3_000).map(|at| format!("user:{long} doc.view doc:{at}\n")).collect();
    let context = format!("note={}", "y".repeat(60_000));
    let output = batch(&stand_in.endpoint, &["--quiet", "--context", &context], many);
    assert_exit(&output, 0);
    assert_eq!(stdout(&output).lines().count(), 3_001);
    let seen = stand_in.seen();
    let sizes: Vec<_> = seen.batches.iter().map(|batch| batch.items.len()).collect();
    assert_eq!(sizes[..3], [BATCH_ITEMS_MAX, BATCH_ITEMS_MAX, 1]);
    assert!(sizes.len() >= 6 && sizes[3..].iter().sum::<usize>() == 3_000, "{sizes:?}");
    for request in &seen.batches {
        assert!(request.encoded_len() <= REQUEST_BYTES_MAX, "{}", request.encoded_len());
    }
    assert!(seen.batches[3].encoded_len() > BATCH_CHUNK_BYTES_MAX - 16_000, "a chunk is filled");
}

#[test]
fn an_answer_may_be_larger_than_a_request() {
    let error = pb::ItemError {
        code: 3,
        reason: "UNKNOWN_PERMISSION".to_owned(),
        message: "x".repeat(500),
        metadata: [("value".to_owned(), "y".repeat(500))].into(),
    };
    let stand_in = StandIn::start(Scripts {
        batch: Box::new(move |_, request| {
            let mut answer = allow_all(request);
            for result in &mut answer.results {
                result.result = Some(pb::batch_check_result::Result::Error(error.clone()));
            }
            assert!(answer.encoded_len() > 2 * REQUEST_BYTES_MAX);
            assert!(answer.encoded_len() < BATCH_ANSWER_BYTES_MAX / 2);
            Ok(answer)
        }),
        ..Scripts::default()
    });
    let output = batch(&stand_in.endpoint, &["--quiet"], questions(BATCH_ITEMS_MAX));
    assert_exit(&output, 1);
    assert_eq!(stdout(&output).lines().count(), BATCH_ITEMS_MAX + 1);
}

#[test]
fn what_fits_no_request_is_that_lines_error() {
    let stand_in = StandIn::start(Scripts {
        batch: Box::new(|_, request| Ok(allow_all(request))),
        ..Scripts::default()
    });
    // Short as text, long on the wire.
    let list = vec!["1"; INPUT_LINE_BYTES_MAX / 2 - 200].join(",");
    let wide = format!(
        "{{\"subject\":\"user:a\",\"permission\":\"p\",\"scope\":\"doc:d\",\"context\":{{\"l\":[{list}]}}}}"
    );
    assert!(wide.len() <= INPUT_LINE_BYTES_MAX);
    let good = "{\"subject\":\"user:a\",\"permission\":\"p\",\"scope\":\"doc:d\"}";
    let long = format!("{{\"subject\":\"{}\"}}", "x".repeat(INPUT_LINE_BYTES_MAX));
    let input = format!("{wide}\n{long}\n{good}\n");
    let output = batch(&stand_in.endpoint, &["--format", "jsonl"], input);
    assert_exit(&output, 1);
    let answers = json_lines(&output);
    let told = |at: usize| answers[at]["error"]["message"].as_str().unwrap().to_owned();
    assert!(told(0).contains("a request has room for"), "{}", told(0));
    assert!(told(1).contains("longer than 1048576 bytes"), "{}", told(1));
    assert_eq!((&answers[2]["decision"], &answers[2]["line"]), (&"ALLOW".into(), &3.into()));
}

#[test]
fn a_chunk_without_an_answer_ends_it_and_says_where() {
    let busy = |number| {
        let error = ApiError::new(Refusal::Overloaded, "too much to do");
        if number == 1 { Err(Status::from(error)) } else { Ok(()) }
    };
    let stand_in = StandIn::start(Scripts {
        batch: Box::new(move |number, request| busy(number).map(|()| allow_all(request))),
        ..Scripts::default()
    });
    let args = ["--chunk", "10", "--retries", "0"];
    let output = batch(&stand_in.endpoint, &args, questions(25));
    assert_exit(&output, 1);
    assert_eq!(stdout(&output).lines().count(), 11, "what was answered is printed");
    let told = stderr(&output);
    let expected =
        "error: no answer to lines 11 to 20: RESOURCE_EXHAUSTED OVERLOADED: too much to do";
    assert!(told.starts_with(expected) && told.contains("go on with --from-line 11,"), "{told}");

    let stand_in = StandIn::start(Scripts {
        batch: Box::new(move |number, request| busy(number).map(|()| allow_all(request))),
        ..Scripts::default()
    });
    let output = batch(&stand_in.endpoint, &["--chunk", "10"], questions(25));
    assert_exit(&output, 0);
    assert_eq!(stdout(&output).lines().count(), 26);
    assert!(stderr(&output).contains("OVERLOADED: too much to do; asking again in 0.1 s"));
}

#[test]
fn a_revision_that_is_no_longer_kept_ends_it_and_the_rest_is_asked_at_another() {
    let gone = |number| match number {
        2 => Err(ApiError::new(Refusal::RevisionExpired, "it is gone").into()),
        _ => Ok(()),
    };
    let stand_in = StandIn::start(Scripts {
        batch: Box::new(move |number, request| gone(number).map(|()| allow_all(request))),
        ..Scripts::default()
    });
    let output = batch(&stand_in.endpoint, &["--chunk", "10"], questions(25));
    assert_exit(&output, 1);
    let told = stderr(&output);
    assert!(told.starts_with("error: no answer to lines 21 to 25: OUT_OF_RANGE REVISION_EXPIRED"));
    assert!(told.contains("stand at revision "), "{told}");
    assert!(told.contains("--from-line 21 asks the rest at a newer one"), "{told}");
    let rest = batch(&stand_in.endpoint, &["--from-line", "21"], questions(25));
    assert_exit(&rest, 0);
    assert_eq!(stdout(&rest).lines().count(), 1 + 5);
    let seen = stand_in.seen();
    let last = seen.batches.last().unwrap();
    assert_eq!((last.items.len(), &last.consistency), (5, &None));
}

#[test]
fn answers_that_do_not_fit_the_questions_are_an_error() {
    type Change = fn(usize, &mut pb::BatchCheckResponse);
    let fewer: Change = |_, answer| drop(answer.results.pop());
    let moved: Change = |number, answer| answer.revision += number as u64;
    for (change, part) in [(fewer, "were asked and 9 answered"), (moved, "another revision")] {
        let stand_in = StandIn::start(Scripts {
            batch: Box::new(move |number, request| {
                let mut answer = allow_all(request);
                change(number, &mut answer);
                Ok(answer)
            }),
            ..Scripts::default()
        });
        let output = batch(&stand_in.endpoint, &["--chunk", "10"], questions(20));
        assert_exit(&output, 1);
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

#[test]
fn a_pipe_is_answered_while_it_is_still_open() {
    let stand_in = StandIn::start(Scripts {
        batch: Box::new(|_, request| Ok(allow_all(request))),
        ..Scripts::default()
    });
    let mut child = bailiwick(&["batch", "--endpoint", &stand_in.endpoint, "--chunk", "10"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    stdin.write_all(questions(10).as_bytes()).unwrap();
    stdin.flush().unwrap();
    assert_eq!(lines.by_ref().take(11).count(), 11);
    stdin.write_all(questions(1).as_bytes()).unwrap();
    drop(stdin);
    assert_eq!(lines.count(), 1);
    assert!(child.wait().unwrap().success());
}

#[test]
fn answers_that_nobody_reads_are_an_error() {
    let served = served();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = bailiwick(&["batch", "--endpoint", &served.endpoint])
        .stdin(Stdio::piped())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"user:ana doc.view doc:d1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_exit(&output, 1);
    assert!(stderr(&output).contains("cannot write the output"), "{output:?}");
}

#[test]
fn a_question_about_a_target_names_it_in_its_column_or_field() {
    let served = Served::start("tests/models/everything");
    let touch = ["org:acme#admin@user:ana", "org:acme#admin@user:bob", "org:acme#guest@user:cy"];
    served.ok(&["write", "--touch", touch[0], "--touch", touch[1], "--touch", touch[2]]);
    let csv = "subject,target,permission,scope\n\
               user:ana,user:bob,org.edit_member,org:acme\n\
               user:ana,user:cy,org.edit_member,org:acme\n\
               user:ana,,org.edit_member,org:acme\n";
    let output = batch(&served.endpoint, &["--format", "csv", "--quiet"], csv);
    assert_exit(&output, 0);
    let expected = "\
line,subject,permission,scope,decision,reason,missing,error
2,user:ana,org.edit_member,org:acme,ALLOW,GRANTED,,
3,user:ana,org.edit_member,org:acme,DENY,NOT_GRANTED,,
4,user:ana,org.edit_member,org:acme,DENY,MISSING_CONTEXT,target,
";
    assert_eq!(stdout(&output), expected);
    let line = |target: &str| {
        let question = "\"subject\": \"user:ana\", \"permission\": \"org.edit_member\", \"scope\": \"org:acme\"";
        format!("{{{question}, \"target\": {target}}}\n")
    };
    let lines = [line("\"user:bob\""), line("7"), line("\"bob\"")].concat();
    let output = batch(&served.endpoint, &["--format", "jsonl"], lines);
    assert_exit(&output, 1);
    let answers = json_lines(&output);
    assert_eq!(answers[0]["decision"], "ALLOW");
    assert!(answers[1]["error"].to_string().contains("target: expected a text"), "{answers:?}");
    assert_eq!(answers[2]["reason"], "INVALID_FIELD");

    let check = |target: &[&str]| {
        let asked = ["check", "user:ana", "org.edit_member", "org:acme", "--endpoint"];
        run(&[&asked[..], &[served.endpoint.as_str()], target].concat())
    };
    assert_exit(&check(&["--target", "user:bob"]), 0);
    assert_exit(&check(&["--target", "user:cy"]), 2);
    let output = check(&[]);
    assert_exit(&output, 2);
    assert!(stdout(&output).ends_with("missing: target\n"), "{}", stdout(&output));
    assert_exit(&check(&["--target", "cy"]), 1);
}
