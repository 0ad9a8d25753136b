//! `bailiwick list-subjects`: who may do this here?

use std::io::Write;

use serde_json::json;

use super::client::ClientArgs;
use super::tuple_text::parse_context;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::authorization_service_client::AuthorizationServiceClient;
use crate::api::pb::v1::list_subjects_response::Part;

/// List everybody of a type who may do something at a scope
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick list-subjects alarms.view location:plant1 --type user

`user:*` in the list stands for every user, those too that the service does not know.")]
pub(super) struct Args {
    /// What: a permission of the model, `stations.reboot`
    permission: String,
    /// Where: `station:s1`
    scope: String,
    /// The type of the subjects to list
    #[arg(long = "type", value_name = "TYPE", default_value = "user")]
    subject_type: String,
    /// Values for conditions: `hour=9`, or a JSON object; may be repeated
    #[arg(long, value_name = "NAME=VALUE|JSON")]
    context: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let request = pb::ListSubjectsRequest {
        permission: args.permission,
        scope: args.scope,
        subject_type: args.subject_type,
        context: parse_context(&args.context)?,
        ..pb::ListSubjectsRequest::default()
    };
    let refused = |status| args.client.refused(status);
    args.client.run(async |channel| {
        let mut client = AuthorizationServiceClient::new(channel);
        let mut stream = client.list_subjects(request).await.map_err(refused)?.into_inner();
        let mut subjects = Vec::new();
        while let Some(message) = stream.message().await.map_err(refused)? {
            match message.part {
                Some(Part::Subject(entry)) if args.client.is_json() => subjects.push(entry.subject),
                Some(Part::Subject(entry)) => writeln!(out, "{}", entry.subject)?,
                Some(Part::Complete(end)) if args.client.is_json() => {
                    let (revision, token) = (end.revision, end.token);
                    let value =
                        json!({ "subjects": subjects, "revision": revision, "token": token });
                    writeln!(out, "{value}")?;
                    return Ok(Exit::Done);
                }
                Some(Part::Complete(_)) => return Ok(Exit::Done),
                None => {}
            }
        }
        Err(CliError::Failed("the list ended without its end mark: it is cut short".to_owned()))
    })
}
