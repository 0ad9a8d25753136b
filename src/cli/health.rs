//! `bailiwick health`: whether a service lives or serves, for probes that run a command.

use std::io::Write;

use serde_json::json;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::client::ClientArgs;
use super::{CliError, Exit};

/// Ask a service whether it serves
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick health
  bailiwick health liveness --timeout 2

Exits with 0 if the answer is SERVING, otherwise with 1. The name `liveness` serves as long as the
process does; without a name, or with that of a service of the API, it has to be ready.")]
pub(super) struct Args {
    /// What to ask about: nothing, `liveness`, or a service of the API
    #[arg(default_value = "")]
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let Args { name, client } = args;
    let answer = client.run(|channel| async {
        let request = HealthCheckRequest { service: name };
        let answer = HealthClient::new(channel).check(request).await;
        Ok(answer.map_err(|status| client.refused(status))?.into_inner())
    })?;
    let status = answer.status();
    let text = status.as_str_name();
    if client.is_json() {
        writeln!(out, "{}", json!({ "status": text }))?;
    } else {
        writeln!(out, "{text}")?;
    }
    let serving = tonic_health::pb::health_check_response::ServingStatus::Serving;
    Ok(if status == serving { Exit::Done } else { Exit::Failed })
}
