//! `bailiwick read`: the stored tuples that match.

use std::io::Write;

use serde_json::json;

use super::client::ClientArgs;
use super::render;
use super::tuple_filter::FilterArgs;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::read_tuples_response::Part;
use crate::api::pb::v1::tuple_service_client::TupleServiceClient;

/// Read the stored tuples that match; without a filter, all
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick read --scope org:acme --subject-type user")]
pub(super) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let filter = args.filter.into_wire();
    let request =
        pb::ReadTuplesRequest { filter: Some(filter), ..pb::ReadTuplesRequest::default() };
    let refused = |status| args.client.refused(status);
    args.client.run(async |channel| {
        let mut client = TupleServiceClient::new(channel);
        let mut stream = client.read_tuples(request).await.map_err(refused)?.into_inner();
        let mut tuples = Vec::new();
        while let Some(message) = stream.message().await.map_err(refused)? {
            match message.part {
                Some(Part::Tuple(entry)) => {
                    let tuple = entry.tuple.unwrap_or_default();
                    if args.client.is_json() {
                        tuples.push(render::tuple_json(&tuple));
                    } else {
                        writeln!(out, "{}", render::tuple_line(&tuple))?;
                    }
                }
                Some(Part::Complete(end)) => {
                    if args.client.is_json() {
                        let (revision, token) = (end.revision, end.token);
                        let value =
                            json!({ "tuples": tuples, "revision": revision, "token": token });
                        writeln!(out, "{value}")?;
                    }
                    return Ok(Exit::Done);
                }
                None => {}
            }
        }
        Err(CliError::Failed("the list ended without its end mark: it is cut short".to_owned()))
    })
}
