//! `bailiwick read`: the stored tuples that match.

use std::io::Write;

use serde_json::json;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};

use super::lists::{End, ListArgs, ListRequest, Part};
use super::tuple_filter::FilterArgs;
use super::{CliError, Exit, render};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::read_tuples_response::Part as Wire;
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
    list: ListArgs,
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let filter = args.filter.into_wire();
    let request =
        pb::ReadTuplesRequest { filter: Some(filter), ..pb::ReadTuplesRequest::default() };
    let is_json = args.list.is_json();
    let mut tuples = Vec::new();
    let End { revision, token } = args.list.read(request, |tuple| {
        if is_json {
            tuples.push(render::tuple_json(&tuple)?);
        } else {
            writeln!(out, "{}", render::tuple_line(&tuple)?)?;
        }
        Ok(())
    })?;
    if is_json {
        let value = json!({ "tuples": tuples, "revision": revision, "token": token });
        writeln!(out, "{value}")?;
    }
    Ok(Exit::Done)
}

impl ListRequest for pb::ReadTuplesRequest {
    type Message = pb::ReadTuplesResponse;
    type Entry = pb::Tuple;

    async fn ask(
        channel: Channel,
        request: Request<Self>,
    ) -> Result<Streaming<Self::Message>, Status> {
        let answer = TupleServiceClient::new(channel).read_tuples(request).await;
        answer.map(tonic::Response::into_inner)
    }

    fn part(message: Self::Message) -> Option<Part<pb::Tuple>> {
        Some(match message.part? {
            Wire::Tuple(entry) => Part::Entry(entry.tuple.unwrap_or_default(), entry.cursor),
            Wire::Complete(end) => Part::End(end.revision, end.token),
        })
    }

    fn with(self, cursor: String, consistency: Option<pb::Consistency>) -> Self {
        Self { cursor, consistency, ..self }
    }
}
