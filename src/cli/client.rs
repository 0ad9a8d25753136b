//! What every client command shares: the endpoint, the form of the output, the connection, and how a
//! refusal is told.

use std::future::Future;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_types::StatusExt;

use super::CliError;
use crate::api::status::code_name;
use crate::model::limits::CLIENT_TIMEOUT_SECONDS_MAX;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Which service, and how long to wait for it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServiceArgs {
    /// The service to ask: a URL, or unix:PATH of a socket
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8470")]
    pub(super) endpoint: String,
    /// How long to wait for the answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=CLIENT_TIMEOUT_SECONDS_MAX))]
    pub(super) timeout: u64,
}

/// Which service, and how to print.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ClientArgs {
    #[command(flatten)]
    pub(super) service: ServiceArgs,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(super) output: Output,
}

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

impl ClientArgs {
    pub(super) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    pub(super) fn refused(&self, status: Status) -> CliError {
        CliError::Refused { status, json: self.is_json() }
    }

    /// Connects, and runs what is to be asked.
    pub(super) fn run<T, F>(&self, ask: impl FnOnce(Channel) -> F) -> Result<T, CliError>
    where
        F: Future<Output = Result<T, CliError>>,
    {
        let service = &self.service;
        block_on(service.within(async { ask(connect(&service.endpoint).await?).await }))
    }
}

impl ServiceArgs {
    /// How long each answer may take.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// Waits for this, but not longer than the command line allows.
    pub(super) async fn within<T>(
        &self,
        asked: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        tokio::time::timeout(self.patience(), asked).await.unwrap_or_else(|_| {
            let what = format!("no answer within {} seconds", self.timeout);
            Err(CliError::Late(format!("{what}; --timeout says how long to wait")))
        })
    }

    /// Connects, for a command that asks more than once.
    pub(super) async fn connect(&self) -> Result<Channel, CliError> {
        self.within(connect(&self.endpoint)).await
    }
}

/// Runs a client's future to its end.
pub(super) fn block_on<T>(
    future: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::failed)?;
    runtime.block_on(future)
}

pub(super) async fn connect(endpoint: &str) -> Result<Channel, CliError> {
    let url = match endpoint.split_once("://") {
        _ if endpoint.starts_with("unix:") => endpoint.to_owned(),
        None => format!("http://{endpoint}"),
        Some(("http", _)) => endpoint.to_owned(),
        // Without this an https URL would be asked in plain text.
        Some((scheme, _)) => {
            let what = format!("`{scheme}` is not served, only http; there is no TLS yet");
            return Err(CliError::Usage(format!("--endpoint `{endpoint}`: {what}")));
        }
    };
    let wrong = |error| CliError::Usage(format!("--endpoint `{endpoint}`: {error}"));
    let parsed = Endpoint::from_shared(url).map_err(wrong)?;
    let channel = parsed.connect_timeout(CONNECT_TIMEOUT).connect().await;
    channel.map_err(|error| {
        let mut text = format!("cannot connect to `{endpoint}`");
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(inner) = cause {
            let words = inner.to_string();
            // Some repeat the words of what they wrap.
            if !text.ends_with(&words) {
                text = format!("{text}: {words}");
            }
            cause = inner.source();
        }
        CliError::Failed(text)
    })
}

/// A status in one line: code, reason, message.
pub(super) fn describe(status: &Status) -> String {
    let code = code_name(status.code());
    match status.get_details_error_info() {
        Some(info) => format!("{code} {}: {}", info.reason, status.message()),
        None => format!("{code}: {}", status.message()),
    }
}

/// A status for programs.
pub(super) fn describe_json(status: &Status) -> serde_json::Value {
    let info = status.get_details_error_info();
    let (reason, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
    json!({ "error": {
        "code": code_name(status.code()),
        "reason": reason,
        "message": status.message(),
        "metadata": metadata,
    }})
}
