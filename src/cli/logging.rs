//! Logs and spans of the commands that serve: logs go to the standard error, filtered by `RUST_LOG`;
//! spans to a collector, if there is one.

use tracing::Subscriber;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

use super::CliError;
use crate::telemetry::export::Export;

/// Starts logging; `default` is the filter where `RUST_LOG` says nothing. Counts once per process.
pub(super) fn start(default: &str) -> Result<(), CliError> {
    // A second start in one process is a test's; the first one's filter stays. Without a collector the
    // filter stands before everything, and a request's span costs nothing.
    let _ = registry().with(filter(default)?).with(lines()).try_init();
    Ok(())
}

/// Starts logging, and sends spans to the collector at `endpoint`. Needs a runtime around it.
pub(super) fn start_exporting(default: &str, endpoint: &str) -> Result<Export, CliError> {
    // What the libraries have to say about their settings is said while they are read.
    let early = registry().with(filter(default)?).with(lines());
    let export = tracing::subscriber::with_default(early, || Export::start(endpoint));
    let export = export
        .map_err(|error| CliError::Usage(format!("--otlp-endpoint `{endpoint}`: {error}")))?;
    let logged = lines().with_filter(filter(default)?);
    let _ = registry().with(logged).with(export.layer()).try_init();
    Ok(export)
}

fn filter(default: &str) -> Result<EnvFilter, CliError> {
    match std::env::var_os(EnvFilter::DEFAULT_ENV) {
        None => Ok(EnvFilter::new(default)),
        Some(_) => EnvFilter::try_from_default_env()
            .map_err(|error| CliError::Usage(format!("RUST_LOG: {error}"))),
    }
}

fn lines<S>() -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fmt::layer().with_writer(std::io::stderr)
}
