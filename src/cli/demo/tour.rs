//! The demo's caller: waits until the services serve, writes the tuples, asks, and prints. Talks gRPC
//! like any other client.

use std::io::Write;
use std::net::SocketAddr;

use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::platforms::{Ask, Expected, PLATFORMS, Platform};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::authorization_service_client::AuthorizationServiceClient;
use crate::api::pb::v1::tuple_service_client::TupleServiceClient;
use crate::cli::client::{connect, describe};
use crate::cli::console::Stream;
use crate::cli::tuple_text::parse_tuple;
use crate::cli::{CliError, render};

/// The column of the decision.
const DECISION: usize = 3;

/// Shows every platform, then what to paste.
pub(super) async fn show(
    addresses: &[SocketAddr; 2],
    out: &mut Stream<'_>,
) -> Result<(), CliError> {
    for (platform, address) in PLATFORMS.iter().zip(addresses) {
        let channel = connect(&address.to_string()).await?;
        wait_until_serving(channel.clone()).await?;
        let revision = write(channel.clone(), platform).await?;
        let count = platform.tuples.len();
        writeln!(out, "\n{}", platform.title)?;
        writeln!(out, "served at {address}; {count} tuples, revision {revision}\n")?;
        let answers = ask_all(channel, platform).await?;
        let paint = |column, cell: String| match column {
            DECISION => out.decision(&cell),
            _ => cell,
        };
        let table = render::table(&answers, paint);
        write!(out, "{table}")?;
    }
    writeln!(out, "\nAsk again, with the command:\n")?;
    for (platform, address) in PLATFORMS.iter().zip(addresses) {
        let question = platform.examples.allowed.join(" ");
        writeln!(out, "bailiwick check {question} --with-grant --endpoint http://{address}")?;
    }
    writeln!(out, "\nor with grpcurl:\n")?;
    for (platform, address) in PLATFORMS.iter().zip(addresses) {
        write!(out, "{}", grpcurl(platform, *address))?;
    }
    out.flush()?;
    Ok(())
}

async fn wait_until_serving(channel: Channel) -> Result<(), CliError> {
    let failed = |status| CliError::Failed(describe(&status));
    let request = HealthCheckRequest { service: String::new() };
    let mut changes = HealthClient::new(channel).watch(request).await.map_err(failed)?.into_inner();
    while let Some(change) = changes.message().await.map_err(failed)? {
        if change.status() == ServingStatus::Serving {
            return Ok(());
        }
    }
    Err(CliError::Failed("the service ended before it was ready".to_owned()))
}

async fn write(channel: Channel, platform: &Platform) -> Result<u64, CliError> {
    let change = |text: &&str| {
        let tuple = Some(parse_tuple(text)?);
        Ok::<_, CliError>(pb::TupleChange { operation: pb::Operation::Create.into(), tuple })
    };
    let changes = platform.tuples.iter().map(change).collect::<Result<_, _>>()?;
    let request = pb::WriteTuplesRequest { changes, ..pb::WriteTuplesRequest::default() };
    let written = TupleServiceClient::new(channel).write_tuples(request).await;
    let written = written.map_err(|status| CliError::Failed(describe(&status)))?;
    Ok(written.into_inner().revision)
}

async fn ask_all(channel: Channel, platform: &Platform) -> Result<Vec<[String; 6]>, CliError> {
    let mut client = AuthorizationServiceClient::new(channel);
    let header = [
        "SUBJECT",
        "PERMISSION",
        "SCOPE",
        "DECISION",
        "REASON",
        "GRANTED BY, or what is not there",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for ask in platform.asks {
        let request = pb::CheckRequest {
            subject: ask.subject.to_owned(),
            permission: ask.permission.to_owned(),
            scope: ask.scope.to_owned(),
            with_grant: true,
            ..pb::CheckRequest::default()
        };
        let [decision, reason, why] = match client.check(request).await {
            Ok(answer) => answered(ask, &answer.into_inner())?,
            Err(status) => refused(ask, &status)?,
        };
        let [subject, permission, scope] =
            [ask.subject, ask.permission, ask.scope].map(str::to_owned);
        rows.push([subject, permission, scope, decision, reason, why]);
    }
    Ok(rows)
}

fn answered(ask: &Ask, answer: &pb::CheckResponse) -> Result<[String; 3], CliError> {
    let (decision, reason) = (render::decision(answer.decision), render::reason(answer.reason));
    let as_expected = match ask.expected {
        Expected::Allow => decision == "ALLOW",
        Expected::Deny(expected) => decision == "DENY" && reason == expected,
        Expected::Refused(_) => false,
    };
    if !as_expected {
        return Err(unexpected(ask, &format!("{decision} {reason}")));
    }
    let why = match &answer.grant {
        Some(grant) => grant.tuple.as_ref().map(render::tuple).unwrap_or_default(),
        None if !answer.missing.is_empty() => answer.missing.join(", "),
        None => ask.why.to_owned(),
    };
    Ok([decision.to_owned(), reason.to_owned(), why])
}

fn refused(ask: &Ask, status: &tonic::Status) -> Result<[String; 3], CliError> {
    let info = status.get_details_error_info();
    let reason = info.as_ref().map(|info| info.reason.clone()).unwrap_or_default();
    if !matches!(ask.expected, Expected::Refused(expected) if expected == reason) {
        return Err(unexpected(ask, &describe(status)));
    }
    let nearest = info.and_then(|info| info.metadata.get("nearest").cloned());
    let why = match nearest {
        Some(nearest) => format!("did you mean {nearest}? {}", ask.why),
        None => ask.why.to_owned(),
    };
    Ok(["ERROR".to_owned(), reason, why])
}

fn unexpected(ask: &Ask, answer: &str) -> CliError {
    let Ask { subject, permission, scope, expected, .. } = ask;
    let question = format!("{subject} {permission} {scope}");
    CliError::Failed(format!("`{question}` was answered {answer}; the policy says {expected:?}"))
}

fn grpcurl(platform: &Platform, address: SocketAddr) -> String {
    let [subject, permission, scope] = platform.examples.allowed;
    let [listed, at] = platform.examples.listed;
    let [where_to, role, who] = platform.examples.written;
    // Written by hand, so that a request reads like the sentence it is.
    let calls = [
        (
            "AuthorizationService/Check",
            format!(
                r#"{{"subject": "{subject}", "permission": "{permission}", "scope": "{scope}", "with_grant": true}}"#
            ),
        ),
        (
            "AuthorizationService/ListSubjects",
            format!(r#"{{"permission": "{listed}", "scope": "{at}", "subject_type": "user"}}"#),
        ),
        (
            "TupleService/WriteTuples",
            format!(
                r#"{{"changes": [{{"operation": "OPERATION_TOUCH", "tuple": {{"scope": "{where_to}", "role": "{role}", "subject": "{who}"}}}}]}}"#
            ),
        ),
        ("TupleService/ReadTuples", format!(r#"{{"filter": {{"subject": "{who}"}}}}"#)),
    ];
    let mut text = format!("grpcurl -plaintext {address} list\n");
    for (method, request) in calls {
        text.push_str(&format!(
            "grpcurl -plaintext -d '{request}' {address} bailiwick.v1.{method}\n"
        ));
    }
    text
}
