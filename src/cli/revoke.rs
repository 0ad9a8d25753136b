//! `bailiwick revoke`: takes a role from a target, if the model lets the actor.

use std::io::Write;

use super::delegated::DelegatedArgs;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::delegation_service_client::DelegationServiceClient;

/// Revoke a role on behalf of an actor, if the model lets the actor
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick revoke org:acme#technician@user:tom --actor user:ana

Exits with 0 if the target does not have the role from here any more, 2 if the model does not let the
actor, 1 if there is another error, 64 if the command line is wrong.")]
pub(super) struct Args {
    #[command(flatten)]
    delegated: DelegatedArgs,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let delegated = &args.delegated;
    let pb::Tuple { scope, role, subject, .. } = delegated.tuple()?;
    let request = pb::RevokeRequest {
        actor: delegated.actor.clone(),
        target: subject,
        role,
        scope,
        context: delegated.context()?,
        idempotency_key: delegated.key()?,
    };
    let answer = delegated.client.run(async |channel| {
        let answer = DelegationServiceClient::new(channel).revoke(request).await;
        answer.map_err(|status| delegated.client.refused(status))
    })?;
    let pb::RevokeResponse { revision, token, changed } = answer.into_inner();
    delegated.tell((revision, &token, changed), "the target does not have the role", out)
}
