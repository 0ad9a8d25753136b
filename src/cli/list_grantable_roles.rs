//! `bailiwick list-grantable-roles`: which roles may an actor grant here?

use std::io::Write;

use serde_json::json;

use super::brought::ContextArgs;
use super::client::ClientArgs;
use super::consistency::ConsistencyArgs;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::delegation_service_client::DelegationServiceClient;

/// List the roles that an actor may grant at a scope
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick list-grantable-roles user:ana org:acme

A role of which it is not known is printed with what is missing.")]
pub(super) struct Args {
    /// Who: `user:ana`
    actor: String,
    /// Where: `org:acme`
    scope: String,
    /// For whom: with a target only the roles that a grant would give it now
    #[arg(long, value_name = "SUBJECT", default_value = "")]
    target: String,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    consistency: ConsistencyArgs,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let request = pb::ListGrantableRolesRequest {
        actor: args.actor,
        scope: args.scope,
        target: args.target,
        context: args.context.to_wire()?,
        consistency: args.consistency.to_wire(),
    };
    let mut request = tonic::Request::new(request);
    // The service then says what it waited for before the time is over.
    request.set_timeout(args.client.service.patience());
    let answer = args.client.run(async |channel| {
        let answer = DelegationServiceClient::new(channel).list_grantable_roles(request).await;
        answer.map_err(|status| args.client.refused(status))
    })?;
    let pb::ListGrantableRolesResponse { roles, undecided, revision, token } = answer.into_inner();
    if args.client.is_json() {
        let undecided = undecided.iter();
        let undecided = undecided.map(|role| json!({ "role": role.role, "missing": role.missing }));
        let undecided: Vec<_> = undecided.collect();
        let value = json!({
            "roles": roles, "undecided": undecided, "revision": revision, "token": token,
        });
        writeln!(out, "{value}")?;
        return Ok(Exit::Done);
    }
    for role in roles {
        writeln!(out, "{role}")?;
    }
    for pb::UndecidedRole { role, missing } in undecided {
        writeln!(out, "{role}  not known: {}", missing.join(", "))?;
    }
    Ok(Exit::Done)
}
