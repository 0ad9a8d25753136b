//! `bailiwick can-grant`: may an actor do something with a role?

use std::io::Write;

use serde_json::json;

use super::brought::ContextArgs;
use super::client::ClientArgs;
use super::consistency::ConsistencyArgs;
use super::console::Stream;
use super::render;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::delegation_service_client::DelegationServiceClient;

/// Ask whether an actor may do something with a role at a scope
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick can-grant user:ana invite engineer org:acme --target user:gus

Exits with 0 if it is allowed, 2 if it is denied, 1 if there is no answer, 64 if the command line is
wrong.")]
pub(super) struct Args {
    /// Who: `user:ana`
    actor: String,
    /// What: a verb of the model's delegation, `invite`
    verb: String,
    /// With which role
    role: String,
    /// Where: `org:acme`
    scope: String,
    /// For whom: with a target the answer is that of the change itself, if it came now
    #[arg(long, value_name = "SUBJECT", default_value = "")]
    target: String,
    /// The role that a verb that replaces would give for the other
    #[arg(long, value_name = "ROLE", default_value = "")]
    with: String,
    #[command(flatten)]
    context: ContextArgs,
    #[command(flatten)]
    consistency: ConsistencyArgs,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(args: Args, out: &mut Stream<'_>) -> Result<Exit, CliError> {
    let request = pb::CanGrantRequest {
        actor: args.actor,
        verb: args.verb,
        role: args.role,
        scope: args.scope,
        target: args.target,
        new_role: args.with,
        context: args.context.to_wire()?,
        consistency: args.consistency.to_wire(),
    };
    let mut request = tonic::Request::new(request);
    // The service then says what it waited for before the time is over.
    request.set_timeout(args.client.service.patience());
    let answer = args.client.run(async |channel| {
        let answer = DelegationServiceClient::new(channel).can_grant(request).await;
        answer.map_err(|status| args.client.refused(status))
    })?;
    let answer = answer.into_inner();
    let (decision, reason) = (render::decision(answer.decision), render::reason(answer.reason));
    if args.client.is_json() {
        let value = json!({
            "decision": decision,
            "reason": reason,
            "missing": answer.missing,
            "message": answer.message,
            "revision": answer.revision,
            "token": answer.token,
        });
        writeln!(out, "{value}")?;
    } else {
        let decision = out.decision(decision);
        writeln!(out, "{decision} {reason} at revision {}", answer.revision)?;
        if !answer.message.is_empty() {
            writeln!(out, "{}", answer.message)?;
        }
    }
    // Anything but a clear yes is a no, unknown numbers of later versions too.
    let allowed = answer.decision == i32::from(pb::Decision::Allow);
    Ok(if allowed { Exit::Done } else { Exit::Denied })
}
