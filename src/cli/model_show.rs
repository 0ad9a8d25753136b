//! `bailiwick model show`: the model that a service has in force.

use std::io::Write;

use serde_json::{Map, Value, json};
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use super::client::ClientArgs;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::model_service_client::ModelServiceClient;
use crate::api::status::Refusal;
use crate::model::limits::MODEL_PAGE_ENTRIES_MAX;

/// How often a matrix is read anew because another model came into force meanwhile.
const ATTEMPTS: u32 = 5;

/// Show the model that a service has in force
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick model show
  bailiwick model show --matrix roles
  bailiwick model show --delegation

Prints its name, its digest, since when it is in force, and what became of the last proposal. With
--matrix it prints that matrix as `bailiwick model matrix` prints a directory's, so that the two can be
compared. With --delegation it prints who may give, take and change which roles, a line per actor's
role, verb and target's role.")]
pub(super) struct Args {
    /// Print the rows of this matrix instead
    #[arg(long, value_name = "NAME")]
    matrix: Option<String>,
    /// Print the delegation table instead
    #[arg(long, conflicts_with = "matrix")]
    delegation: bool,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let refused = |status| args.client.refused(status);
    args.client.run(async |channel| {
        let mut client = ModelServiceClient::new(channel);
        match &args.matrix {
            Some(name) => {
                let matrix = whole_matrix(&mut client, name).await.map_err(refused)?;
                if args.client.is_json() {
                    writeln!(out, "{}", matrix.json())?;
                } else {
                    write!(out, "{}", matrix.csv()?)?;
                }
            }
            None if args.delegation => {
                let lines = whole_delegation(&mut client).await.map_err(refused)?;
                if args.client.is_json() {
                    writeln!(out, "{}", delegation_json(&lines))?;
                } else {
                    write!(out, "{}", delegation_csv(&lines)?)?;
                }
            }
            None => {
                let model = client.get_model(pb::GetModelRequest {}).await.map_err(refused)?;
                let model = model.into_inner();
                if args.client.is_json() {
                    writeln!(out, "{}", summary_json(&model))?;
                } else {
                    write_summary(out, &model)?;
                }
            }
        }
        Ok(Exit::Done)
    })
}

fn write_summary(out: &mut dyn Write, model: &pb::GetModelResponse) -> Result<(), CliError> {
    writeln!(out, "model {}", model.name)?;
    writeln!(out, "digest {}", model.digest)?;
    match &model.active_time {
        Some(time) => {
            writeln!(out, "in force since revision {}, {time}", model.active_revision)?;
        }
        None => writeln!(out, "in force since before the oldest commit that is kept")?,
    }
    let counts = model.counts.unwrap_or_default();
    writeln!(
        out,
        "types {}, roles {}, permissions {}, matrices {} with {} rows, facts {}, conditions {}, \
         delegation {} lines, constraints {}",
        counts.types,
        counts.roles,
        counts.permissions,
        counts.matrices,
        counts.matrix_rows,
        counts.facts,
        counts.conditions,
        counts.delegation_lines,
        counts.constraints
    )?;
    let Some(last) = &model.last_proposal else { return Ok(()) };
    let when = last.time.as_ref().map(ToString::to_string).unwrap_or_default();
    if last.accepted {
        writeln!(out, "last proposal accepted at {when}")?;
    } else {
        writeln!(out, "last proposal REFUSED at {when}: {}", last.reason)?;
        if !last.digest.is_empty() {
            writeln!(out, "its digest {}", last.digest)?;
        }
    }
    Ok(())
}

fn summary_json(model: &pb::GetModelResponse) -> Value {
    let time = |time: Option<prost_types::Timestamp>| time.map(|time| time.to_string());
    let last = model.last_proposal.as_ref().map(|last| {
        json!({
            "digest": last.digest,
            "time": time(last.time),
            "accepted": last.accepted,
            "reason": last.reason,
        })
    });
    let counts = model.counts.unwrap_or_default();
    json!({
        "name": model.name,
        "digest": model.digest,
        "active_revision": model.active_revision,
        "active_time": time(model.active_time),
        "counts": {
            "types": counts.types,
            "roles": counts.roles,
            "permissions": counts.permissions,
            "matrices": counts.matrices,
            "matrix_rows": counts.matrix_rows,
            "facts": counts.facts,
            "conditions": counts.conditions,
            "delegation_lines": counts.delegation_lines,
            "constraints": counts.constraints,
        },
        "last_proposal": last,
        "revision": model.revision,
        "token": model.token,
    })
}

/// A matrix, all of its rows under one model.
struct Whole {
    name: String,
    digest: String,
    columns: Vec<pb::ModelColumn>,
    rows: Vec<pb::ModelRow>,
}

/// Reads it to the end; anew if another model came into force meanwhile.
async fn whole_matrix(
    client: &mut ModelServiceClient<Channel>,
    name: &str,
) -> Result<Whole, Status> {
    let mut attempt = 1;
    loop {
        match read_matrix(client, name).await {
            Err(status) if attempt < ATTEMPTS && is_changed(&status) => attempt += 1,
            read => return read,
        }
    }
}

fn is_changed(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| info.reason == Refusal::ModelChanged.text())
}

async fn read_matrix(
    client: &mut ModelServiceClient<Channel>,
    name: &str,
) -> Result<Whole, Status> {
    let page_size = u32::try_from(MODEL_PAGE_ENTRIES_MAX).unwrap_or_default();
    let mut request = pb::ListModelMatrixRowsRequest {
        matrix: name.to_owned(),
        page_size,
        page_token: String::new(),
    };
    let mut rows = Vec::new();
    let digest = loop {
        let page = client.list_model_matrix_rows(request.clone()).await?.into_inner();
        rows.extend(page.rows);
        if page.next_page_token.is_empty() {
            break page.digest;
        }
        request.page_token = page.next_page_token;
    };
    let mut request = pb::ListModelMatricesRequest { page_size, page_token: String::new() };
    loop {
        let page = client.list_model_matrices(request.clone()).await?.into_inner();
        if page.digest != digest {
            let reason = Refusal::ModelChanged;
            let what = "another model came into force meanwhile";
            return Err(crate::api::status::ApiError::new(reason, what).into());
        }
        if let Some(matrix) = page.matrices.into_iter().find(|matrix| matrix.name == name) {
            let (name, columns) = (matrix.name, matrix.columns);
            return Ok(Whole { name, digest, columns, rows });
        }
        if page.next_page_token.is_empty() {
            return Err(Status::internal("the service lists the rows of a matrix that it lacks"));
        }
        request.page_token = page.next_page_token;
    }
}

/// The lines of the delegation table, all under one model.
async fn whole_delegation(
    client: &mut ModelServiceClient<Channel>,
) -> Result<Vec<pb::ModelDelegationLine>, Status> {
    let mut attempt = 1;
    loop {
        match read_delegation(client).await {
            Err(status) if attempt < ATTEMPTS && is_changed(&status) => attempt += 1,
            read => return read,
        }
    }
}

async fn read_delegation(
    client: &mut ModelServiceClient<Channel>,
) -> Result<Vec<pb::ModelDelegationLine>, Status> {
    let page_size = u32::try_from(MODEL_PAGE_ENTRIES_MAX).unwrap_or_default();
    let mut request = pb::ListModelDelegationRequest { page_size, page_token: String::new() };
    let mut lines = Vec::new();
    loop {
        let page = client.list_model_delegation(request.clone()).await?.into_inner();
        lines.extend(page.lines);
        if page.next_page_token.is_empty() {
            return Ok(lines);
        }
        request.page_token = page.next_page_token;
    }
}

fn delegation_csv(lines: &[pb::ModelDelegationLine]) -> Result<String, CliError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = ["actor_role", "verb", "op", "target_role", "allowed"];
    writer.write_record(header).map_err(CliError::failed)?;
    for line in lines {
        let actor = format!("{}@{}", line.actor_role, line.actor_bound);
        let target = format!("{}@{}", line.target_role, line.target_bound);
        let record = [&actor, &line.verb, &line.op, &target, &line.cell];
        writer.write_record(record).map_err(CliError::failed)?;
    }
    let bytes = writer.into_inner().map_err(CliError::failed)?;
    String::from_utf8(bytes).map_err(CliError::failed)
}

fn delegation_json(lines: &[pb::ModelDelegationLine]) -> Value {
    let role = |name: &str, bound: &str| json!({ "role": name, "bound": bound });
    let lines = lines.iter().map(|line| {
        json!({
            "actor": role(&line.actor_role, &line.actor_bound),
            "verb": line.verb,
            "op": line.op,
            "target": role(&line.target_role, &line.target_bound),
            "allowed": line.cell,
        })
    });
    json!({ "delegation": lines.collect::<Vec<_>>() })
}

impl Whole {
    /// Fails where a row has another number of cells than there are columns.
    fn csv(&self) -> Result<String, CliError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let labels = self.columns.iter().map(|column| column.label.as_str());
        let header = ["permission"].into_iter().chain(labels);
        writer.write_record(header).map_err(CliError::failed)?;
        for row in &self.rows {
            let cells = row.cells.iter().map(String::as_str);
            let record = [row.permission.as_str()].into_iter().chain(cells);
            writer.write_record(record).map_err(CliError::failed)?;
        }
        let bytes = writer.into_inner().map_err(CliError::failed)?;
        String::from_utf8(bytes).map_err(CliError::failed)
    }

    fn json(&self) -> Value {
        let columns = self.columns.iter().map(
            |column| json!({ "label": column.label, "role": column.role, "bound": column.bound }),
        );
        let rows = self.rows.iter().map(|row| {
            let labels = self.columns.iter().map(|column| column.label.clone());
            let cells = row.cells.iter().map(|cell| json!(cell));
            let cells: Map<String, Value> = labels.zip(cells).collect();
            json!({ "permission": row.permission, "section": row.section, "cells": cells })
        });
        json!({
            "matrix": self.name,
            "digest": self.digest,
            "columns": columns.collect::<Vec<_>>(),
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}
