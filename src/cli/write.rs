//! `bailiwick write`: changes of tuples, committed together.

use std::io::{Read, Write};
use std::path::PathBuf;

use prost_types::Timestamp;
use serde_json::json;

use super::client::ClientArgs;
use super::tuple_text::parse_tuple;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::tuple_service_client::TupleServiceClient;
use crate::model::limits::REQUEST_BYTES_MAX;

/// Create, touch or delete tuples, all or none
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick write --touch org:acme#engineer@user:zoe --delete org:acme#viewer@user:zoe
  printf 'touch org:acme#viewer@user:bob\\n' | bailiwick write --file -")]
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
    /// The system that the tuples come from; empty is what is granted here
    #[arg(long, default_value = "")]
    source: String,
    /// When the stored tuples end: `2027-01-01T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Who gives it; only carried
    #[arg(long, default_value = "")]
    grantor: String,
    /// Why; only carried
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let changes = changes(args)?;
    if changes.is_empty() {
        return Err(CliError::Usage(
            "nothing to write: give --create, --touch, --delete or --file".to_owned(),
        ));
    }
    let count = changes.len();
    let request = pb::WriteTuplesRequest { changes, ..pb::WriteTuplesRequest::default() };
    let answer = args.client.run(async |channel| {
        let answer = TupleServiceClient::new(channel).write_tuples(request).await;
        answer.map_err(|status| args.client.refused(status))
    })?;
    let pb::WriteTuplesResponse { revision, token, changed } = answer.into_inner();
    if args.client.is_json() {
        writeln!(out, "{}", json!({ "revision": revision, "token": token, "changed": changed }))?;
    } else if changed == 0 {
        writeln!(out, "nothing to commit: what was to be deleted is not there")?;
    } else {
        let of = format!("{changed} of {count} changes changed something");
        writeln!(out, "committed as revision {revision}; {of}")?;
    }
    Ok(Exit::Done)
}

fn changes(args: &Args) -> Result<Vec<pb::TupleChange>, CliError> {
    let common = pb::Tuple {
        source: args.source.clone(),
        expires_at: args.expires_at.as_deref().map(parse_time).transpose()?,
        grantor: args.grantor.clone(),
        reason: args.reason.clone(),
        ..pb::Tuple::default()
    };
    let listed = [
        (pb::Operation::Delete, &args.delete),
        (pb::Operation::Create, &args.create),
        (pb::Operation::Touch, &args.touch),
    ];
    let mut changes = Vec::new();
    for (operation, tuples) in listed {
        for text in tuples {
            changes.push(change(operation, text, &common)?);
        }
    }
    let Some(path) = &args.file else { return Ok(changes) };
    let text = read_lines(path)?;
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |what: &dyn std::fmt::Display| {
            CliError::Usage(format!("{}:{number}: {what}", path.display()))
        };
        let (verb, tuple) = line.split_once(' ').unwrap_or((line, ""));
        let operation = match verb {
            "create" => pb::Operation::Create,
            "touch" => pb::Operation::Touch,
            "delete" => pb::Operation::Delete,
            _ => return Err(at(&"a line begins with `create`, `touch` or `delete`")),
        };
        changes.push(change(operation, tuple.trim(), &common).map_err(|error| at(&error))?);
    }
    Ok(changes)
}

fn change(
    operation: pb::Operation,
    text: &str,
    common: &pb::Tuple,
) -> Result<pb::TupleChange, CliError> {
    let pb::Tuple { scope, role, subject, .. } = parse_tuple(text)?;
    let tuple = pb::Tuple { scope, role, subject, ..common.clone() };
    Ok(pb::TupleChange { operation: operation.into(), tuple: Some(tuple) })
}

fn parse_time(text: &str) -> Result<Timestamp, CliError> {
    let expected = "a moment such as 2027-01-01T00:00:00Z";
    text.parse().map_err(|_| CliError::Usage(format!("--expires-at: `{text}` is not {expected}")))
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
