//! `bailiwick list-subjects`: who may do this here?

use std::io::Write;

use serde_json::json;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::brought::{ContextArgs, TuplesArgs};
use super::lists::{End, ListArgs, ListRequest, Part};
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::authorization_service_client::AuthorizationServiceClient;
use crate::api::pb::v1::list_subjects_response::Part as Wire;

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
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    tuples: TuplesArgs,
    #[command(flatten)]
    list: ListArgs,
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let request = pb::ListSubjectsRequest {
        permission: args.permission,
        scope: args.scope,
        subject_type: args.subject_type,
        context: args.context.to_wire()?,
        contextual_tuples: args.tuples.to_wire()?,
        ..pb::ListSubjectsRequest::default()
    };
    let is_json = args.list.is_json();
    let mut subjects = Vec::new();
    let End { revision, token } = args.list.read(request, |subject| {
        if is_json {
            subjects.push(subject);
        } else {
            writeln!(out, "{subject}")?;
        }
        Ok(())
    })?;
    if is_json {
        let value = json!({ "subjects": subjects, "revision": revision, "token": token });
        writeln!(out, "{value}")?;
    }
    Ok(Exit::Done)
}

impl ListRequest for pb::ListSubjectsRequest {
    type Message = pb::ListSubjectsResponse;
    type Entry = String;

    async fn ask(
        channel: Channel,
        request: Request<Self>,
    ) -> Result<Streaming<Self::Message>, Status> {
        let answer = AuthorizationServiceClient::new(channel).list_subjects(request).await;
        answer.map(tonic::Response::into_inner)
    }

    fn part(message: Self::Message) -> Option<Part<String>> {
        Some(match message.part? {
            Wire::Subject(entry) => Part::Entry(entry.subject, entry.cursor),
            Wire::Complete(end) => Part::End(end.revision, end.token),
        })
    }

    fn with(self, cursor: String, consistency: Option<pb::Consistency>) -> Self {
        Self { cursor, consistency, ..self }
    }
}
