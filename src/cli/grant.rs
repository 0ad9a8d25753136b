//! `bailiwick grant`: a role for a target, if the model lets the actor give it.

use std::io::Write;

use super::delegated::DelegatedArgs;
use super::end::EndArgs;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::delegation_service_client::DelegationServiceClient;

/// Grant a role on behalf of an actor, if the model lets the actor
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick grant org:acme#engineer@user:gus --actor user:ana --reason 'runs plant 2'
  bailiwick grant org:acme#viewer@user:tim --actor user:ana --expires-in 90d

Exits with 0 if the target has the role now, 2 if the model does not let the actor, 1 if there is another
error, 64 if the command line is wrong.")]
pub(super) struct Args {
    #[command(flatten)]
    delegated: DelegatedArgs,
    /// Why; stored with the tuple
    #[arg(long, default_value = "")]
    reason: String,
    /// Make the scope, below this parent, in the same commit: `parent=org:acme`
    #[arg(long, value_name = "RELATION=OBJECT")]
    parent: Option<String>,
    #[command(flatten)]
    end: EndArgs,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let delegated = &args.delegated;
    let pb::Tuple { scope, role, subject, .. } = delegated.tuple()?;
    let request = pb::GrantRequest {
        actor: delegated.actor.clone(),
        target: subject,
        role,
        scope,
        expires_at: args.end.to_wire()?,
        reason: args.reason.clone(),
        context: delegated.context()?,
        idempotency_key: delegated.key()?,
        parent: args.parent.as_deref().map(parent).transpose()?,
    };
    let answer = delegated.client.run(async |channel| {
        let answer = DelegationServiceClient::new(channel).grant(request).await;
        answer.map_err(|status| delegated.client.refused(status))
    })?;
    let pb::GrantResponse { revision, token, changed } = answer.into_inner();
    delegated.tell((revision, &token, changed), "the target has the role just so", out)
}

fn parent(text: &str) -> Result<pb::ScopeParent, CliError> {
    let Some((relation, object)) = text.split_once('=') else {
        let what = "expected a relation and an object, `parent=org:acme`";
        return Err(CliError::Usage(format!("--parent `{text}`: {what}")));
    };
    Ok(pb::ScopeParent { relation: relation.to_owned(), object: object.to_owned() })
}
