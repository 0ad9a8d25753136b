//! `bailiwick replace`: one role for another, if the model lets the actor replace both.

use std::io::Write;

use super::delegated::DelegatedArgs;
use super::end::EndArgs;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::delegation_service_client::DelegationServiceClient;

/// Give a target one role for another on behalf of an actor, if the model lets the actor
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick replace org:acme#viewer@user:vic --with engineer --actor user:ana

Without an end the new role lasts as long as the old one would have. Exits with 0 if it is done, 2 if the
model does not let the actor, 1 if there is another error, 64 if the command line is wrong.")]
pub(super) struct Args {
    #[command(flatten)]
    delegated: DelegatedArgs,
    /// The role that the target gets
    #[arg(long, value_name = "ROLE")]
    with: String,
    /// Why; stored with the tuple
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    end: EndArgs,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let delegated = &args.delegated;
    let pb::Tuple { scope, role, subject, .. } = delegated.tuple()?;
    let request = pb::ReplaceRequest {
        actor: delegated.actor.clone(),
        target: subject,
        role,
        new_role: args.with.clone(),
        scope,
        expires_at: args.end.to_wire()?,
        reason: args.reason.clone(),
        context: delegated.context()?,
        idempotency_key: delegated.key()?,
    };
    let answer = delegated.client.run(async |channel| {
        let answer = DelegationServiceClient::new(channel).replace(request).await;
        answer.map_err(|status| delegated.client.refused(status))
    })?;
    let pb::ReplaceResponse { revision, token, changed } = answer.into_inner();
    delegated.tell((revision, &token, changed), "the target has just the new role", out)
}
