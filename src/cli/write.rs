//! `bailiwick write`: changes of tuples, committed together.

use std::io::{Read, Write};
use std::path::PathBuf;

use serde_json::json;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use super::client::ClientArgs;
use super::end::EndArgs;
use super::retry::did_nothing;
use super::tuple_form::has_ended;
use super::tuple_text::{parse_filter, parse_tuple};
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::precondition::Condition;
use crate::api::pb::v1::tuple_service_client::TupleServiceClient;
use crate::model::limits::REQUEST_BYTES_MAX;

/// Create, touch or delete tuples, all or none
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick write --touch org:acme#engineer@user:zoe --delete org:acme#viewer@user:zoe
  bailiwick write --create org:new#admin@user:zoe --must-not-match 'scope=org:new role=admin'
  bailiwick write --create org:acme#viewer@user:bob --key bob-joins-acme
  printf 'touch org:acme#viewer@user:bob\\n' | bailiwick write --file -

A filter is words of `name=value`: scope, scope_type, role, subject, subject_type, source; all must
match. `any` matches every tuple.")]
pub(super) struct Args {
    /// Store a tuple `scope#role@subject`; refused if it is there already
    #[arg(long, value_name = "TUPLE")]
    create: Vec<String>,
    /// Store a tuple, whether it is there or not
    #[arg(long, value_name = "TUPLE")]
    touch: Vec<String>,
    /// Remove a tuple; nothing happens if it is not there
    #[arg(long, value_name = "TUPLE")]
    delete: Vec<String>,
    /// Lines `create TUPLE`, `touch TUPLE` or `delete TUPLE`; `-` is the standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Commit only if some tuple matches: `scope=org:acme role=owner`
    #[arg(long, value_name = "FILTER")]
    must_match: Vec<String>,
    /// Commit only if no tuple matches
    #[arg(long, value_name = "FILTER")]
    must_not_match: Vec<String>,
    /// Makes a repeat of this very command harmless: it is answered as the first was
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Only check, and say what would change
    #[arg(long, visible_alias = "dry-run")]
    validate_only: bool,
    /// Let the last holder of a role go where the model keeps one, as when an organization is deleted
    #[arg(long)]
    waive_keep_one: bool,
    /// The system that the tuples come from; empty is what is granted here
    #[arg(long, default_value = "")]
    source: String,
    #[command(flatten)]
    end: EndArgs,
    /// Who gives it; only carried
    #[arg(long, default_value = "")]
    grantor: String,
    /// Why; only carried
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// What is to be done where no answer came.
const NOT_KNOWN: &str = "whether it was committed is not known: a repeat with the same --key has one effect, \
                         without one read first";

/// What becomes of a create or touch that comes too late.
const HAS_ENDED: &str =
    "the end has passed: nothing is stored, what is there in its place is removed";

/// What was typed, as the wire has it, and where each part of it was typed.
#[derive(Default)]
struct Typed {
    changes: Vec<pb::TupleChange>,
    changes_at: Vec<String>,
    preconditions: Vec<pb::Precondition>,
    preconditions_at: Vec<String>,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let mut typed = typed(args)?;
    if typed.changes.is_empty() {
        return Err(CliError::Usage(
            "nothing to write: give --create, --touch, --delete or --file".to_owned(),
        ));
    }
    if args.key.as_deref() == Some("") {
        return Err(CliError::Usage("--key: it is empty, which is no key".to_owned()));
    }
    let count = typed.changes.len();
    let has_ended = typed.changes.iter().any(has_ended);
    let request = pb::WriteTuplesRequest {
        changes: std::mem::take(&mut typed.changes),
        preconditions: std::mem::take(&mut typed.preconditions),
        idempotency_key: args.key.clone().unwrap_or_default(),
        validate_only: args.validate_only,
        waive_keep_one: args.waive_keep_one,
    };
    let answer = args.client.run(async |channel| {
        let answer = TupleServiceClient::new(channel).write_tuples(request).await;
        answer.map_err(|status| args.client.refused(typed.located(with_outcome(args, status))))
    });
    let answer = answer.map_err(|error| match error {
        CliError::Late(what) if !args.validate_only => {
            CliError::Late(format!("{what}; {NOT_KNOWN}"))
        }
        error => error,
    })?;
    let pb::WriteTuplesResponse { revision, token, changed } = answer.into_inner();
    let of = format!("{changed} of {count} changes");
    if args.client.is_json() {
        writeln!(out, "{}", json!({ "revision": revision, "token": token, "changed": changed }))?;
        return Ok(Exit::Done);
    }
    if args.validate_only {
        writeln!(out, "valid at revision {revision}; {of} would change something")?;
    } else if changed == 0 && args.key.is_none() {
        writeln!(out, "nothing to commit: there is nothing to remove")?;
    } else {
        writeln!(out, "committed as revision {revision}; {of} changed something")?;
    }
    if has_ended {
        writeln!(out, "{HAS_ENDED}")?;
    }
    if !args.validate_only {
        writeln!(out, "token {token}")?;
    }
    Ok(Exit::Done)
}

/// The status with what it leaves open, where the service itself did not say it.
fn with_outcome(args: &Args, status: Status) -> Status {
    let is_told = status.get_details_error_info().is_some() || did_nothing(&status);
    if is_told || args.validate_only {
        return status;
    }
    Status::new(status.code(), format!("{}; {NOT_KNOWN}", status.message()))
}

impl Typed {
    fn change(
        &mut self,
        operation: pb::Operation,
        text: &str,
        common: &pb::Tuple,
        at: String,
    ) -> Result<(), CliError> {
        let tuple = parse_tuple(text).map_err(|error| CliError::Usage(format!("{at}: {error}")))?;
        let pb::Tuple { scope, role, subject, .. } = tuple;
        let tuple = pb::Tuple { scope, role, subject, ..common.clone() };
        self.changes.push(pb::TupleChange { operation: operation.into(), tuple: Some(tuple) });
        self.changes_at.push(at);
        Ok(())
    }

    fn precondition(
        &mut self,
        option: &str,
        text: &str,
        of: impl FnOnce(pb::TupleFilter) -> Condition,
    ) -> Result<(), CliError> {
        let filter =
            parse_filter(text).map_err(|error| CliError::Usage(format!("{option}: {error}")))?;
        self.preconditions.push(pb::Precondition { condition: Some(of(filter)) });
        self.preconditions_at.push(format!("{option} `{text}`"));
        Ok(())
    }

    /// The refusal with what it is about in the words that were typed: positions in the request mean
    /// nothing to whoever typed it.
    fn located(&self, status: Status) -> Status {
        let Some(info) = status.get_details_error_info() else { return status };
        let field = info.metadata.get("field").map_or("", String::as_str);
        let place = |list: &str, at: &[String]| {
            let (position, _) = field.strip_prefix(list)?.split_once(']')?;
            at.get(position.parse::<usize>().ok()?).cloned()
        };
        let place = place("changes[", &self.changes_at)
            .or_else(|| place("preconditions[", &self.preconditions_at));
        let Some(place) = place else { return status };
        let message = format!("{place}: {}", status.message());
        let mut metadata = info.metadata;
        metadata.insert("input".to_owned(), place);
        let details = ErrorDetails::with_error_info(info.reason, info.domain, metadata);
        Status::with_error_details(status.code(), message, details)
    }
}

fn typed(args: &Args) -> Result<Typed, CliError> {
    let common = pb::Tuple {
        source: args.source.clone(),
        expires_at: args.end.to_wire()?,
        grantor: args.grantor.clone(),
        reason: args.reason.clone(),
        ..pb::Tuple::default()
    };
    let mut typed = Typed::default();
    let listed = [
        ("--delete", pb::Operation::Delete, &args.delete),
        ("--create", pb::Operation::Create, &args.create),
        ("--touch", pb::Operation::Touch, &args.touch),
    ];
    for (option, operation, tuples) in listed {
        for text in tuples {
            typed.change(operation, text, &common, format!("{option} `{text}`"))?;
        }
    }
    for text in &args.must_match {
        typed.precondition("--must-match", text, Condition::MustMatch)?;
    }
    for text in &args.must_not_match {
        typed.precondition("--must-not-match", text, Condition::MustNotMatch)?;
    }
    let Some(path) = &args.file else { return Ok(typed) };
    let text = read_lines(path)?;
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = format!("{}:{number}", path.display());
        let (verb, tuple) = line.split_once(' ').unwrap_or((line, ""));
        let operation = match verb {
            "create" => pb::Operation::Create,
            "touch" => pb::Operation::Touch,
            "delete" => pb::Operation::Delete,
            _ => {
                let what = "a line begins with `create`, `touch` or `delete`";
                return Err(CliError::Usage(format!("{at}: {what}")));
            }
        };
        typed.change(operation, tuple.trim(), &common, at)?;
    }
    Ok(typed)
}

/// What does not fit into one request need not be read.
fn read_lines(path: &std::path::Path) -> Result<String, CliError> {
    let wrong = |error| CliError::Failed(format!("cannot read `{}`: {error}", path.display()));
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(wrong)?)
    };
    let limit = u64::try_from(REQUEST_BYTES_MAX).unwrap_or(u64::MAX);
    let mut text = String::new();
    let read = source.take(limit.saturating_add(1)).read_to_string(&mut text).map_err(wrong)?;
    if read > REQUEST_BYTES_MAX {
        let what = format!("larger than {REQUEST_BYTES_MAX} bytes; split it into several commits");
        return Err(CliError::Failed(format!("`{}` is {what}", path.display())));
    }
    Ok(text)
}
