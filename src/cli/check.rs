//! `bailiwick check`: one question to a running service.

use std::io::Write;

use serde_json::json;

use super::brought::{ContextArgs, TuplesArgs};
use super::client::ClientArgs;
use super::consistency::ConsistencyArgs;
use super::console::Stream;
use super::render;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::authorization_service_client::AuthorizationServiceClient;

/// Ask whether a subject may do something at a scope
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick check user:eve alarms.create location:plant1 --with-grant
  bailiwick check user:zoe alarms.view location:plant1 --with-tuple org:acme#viewer@user:zoe \\
    --with-tuple org:acme#data_access@user:zoe

Exits with 0 if it is allowed, 2 if it is denied, 1 if there is no answer, 64 if the command line is
wrong.")]
pub(super) struct Args {
    /// Who: `user:ana`, `group:ops#member`
    subject: String,
    /// What: a permission of the model, `stations.reboot`
    permission: String,
    /// Where: `station:s1`
    scope: String,
    #[command(flatten)]
    context: ContextArgs,
    /// The second subject that the question is about: `target` in the model
    #[arg(long, value_name = "SUBJECT", default_value = "", hide_default_value = true)]
    target: String,
    #[command(flatten)]
    tuples: TuplesArgs,
    /// Show the tuple and the role behind an ALLOW
    #[arg(long)]
    with_grant: bool,
    #[command(flatten)]
    consistency: ConsistencyArgs,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(args: Args, out: &mut Stream<'_>) -> Result<Exit, CliError> {
    let request = pb::CheckRequest {
        subject: args.subject,
        permission: args.permission,
        scope: args.scope,
        context: args.context.to_wire()?,
        contextual_tuples: args.tuples.to_wire()?,
        target: args.target,
        with_grant: args.with_grant,
        consistency: args.consistency.to_wire(),
    };
    let mut request = tonic::Request::new(request);
    // The service then says what it waited for before the time is over.
    request.set_timeout(args.client.service.patience());
    let answer = args.client.run(async |channel| {
        let answer = AuthorizationServiceClient::new(channel).check(request).await;
        answer.map_err(|status| args.client.refused(status))
    })?;
    let answer = answer.into_inner();
    if args.client.is_json() {
        let grant = answer.grant.as_ref().map(|grant| {
            let tuple = grant.tuple.as_ref().map(render::tuple_json).transpose()?;
            Ok::<_, CliError>(json!({ "role": grant.role, "tuple": tuple }))
        });
        let grant = grant.transpose()?;
        let value = json!({
            "decision": render::decision(answer.decision),
            "reason": render::reason(answer.reason),
            "missing": answer.missing,
            "grant": grant,
            "revision": answer.revision,
            "token": answer.token,
        });
        writeln!(out, "{value}")?;
    } else {
        let (decision, reason) = (render::decision(answer.decision), render::reason(answer.reason));
        let decision = out.decision(decision);
        writeln!(out, "{decision} {reason} at revision {}", answer.revision)?;
        if !answer.missing.is_empty() {
            writeln!(out, "missing: {}", answer.missing.join(", "))?;
        }
        if let Some(grant) = &answer.grant {
            let tuple =
                grant.tuple.as_ref().map(render::tuple_line).transpose()?.unwrap_or_default();
            writeln!(out, "granted by the role {}: {tuple}", grant.role)?;
        }
    }
    // Anything but a clear yes is a no, unknown numbers of later versions too.
    let allowed = answer.decision == i32::from(pb::Decision::Allow);
    Ok(if allowed { Exit::Done } else { Exit::Denied })
}
