//! `bailiwick list-roles`: where is somebody assigned?

use std::io::Write;

use serde_json::json;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::brought::{ContextArgs, TuplesArgs};
use super::lists::{End, ListArgs, ListRequest, Part};
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::authorization_service_client::AuthorizationServiceClient;
use crate::api::pb::v1::list_roles_response::Part as Wire;

/// List the roles that are bound for somebody, and where
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick list-roles user:ana
  bailiwick list-roles user:ana --scope location:plant1

Roles that come through groups, through other sets and through `user:*` are in the list.")]
pub(super) struct Args {
    /// Whose roles: `user:ana`; of `group:ops#member` or `user:*` those that all of them have by it
    subject: String,
    /// Only the roles that count here: bound here, or above where roles pass down
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    tuples: TuplesArgs,
    #[command(flatten)]
    list: ListArgs,
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let request = pb::ListRolesRequest {
        subject: args.subject,
        scope: args.scope.unwrap_or_default(),
        context: args.context.to_wire()?,
        contextual_tuples: args.tuples.to_wire()?,
        ..pb::ListRolesRequest::default()
    };
    let is_json = args.list.is_json();
    let mut roles = Vec::new();
    let End { revision, token } = args.list.read(request, |(scope, role)| {
        if is_json {
            roles.push(json!({ "scope": scope, "role": role }));
        } else {
            writeln!(out, "{scope}#{role}")?;
        }
        Ok(())
    })?;
    if is_json {
        let value = json!({ "roles": roles, "revision": revision, "token": token });
        writeln!(out, "{value}")?;
    }
    Ok(Exit::Done)
}

impl ListRequest for pb::ListRolesRequest {
    type Message = pb::ListRolesResponse;
    /// A scope and a role.
    type Entry = (String, String);

    async fn ask(
        channel: Channel,
        request: Request<Self>,
    ) -> Result<Streaming<Self::Message>, Status> {
        let answer = AuthorizationServiceClient::new(channel).list_roles(request).await;
        answer.map(tonic::Response::into_inner)
    }

    fn part(message: Self::Message) -> Option<Part<Self::Entry>> {
        Some(match message.part? {
            Wire::Role(entry) => Part::Entry((entry.scope, entry.role), entry.cursor),
            Wire::Complete(end) => Part::End(end.revision, end.token),
        })
    }

    fn with(self, cursor: String, consistency: Option<pb::Consistency>) -> Self {
        Self { cursor, consistency, ..self }
    }
}
