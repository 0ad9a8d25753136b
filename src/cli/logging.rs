//! Logs of the commands that serve: to the standard error, filtered by `RUST_LOG`.

use tracing_subscriber::EnvFilter;

use super::CliError;

/// Starts logging; `default` is the filter where `RUST_LOG` says nothing. Counts once per process.
pub(super) fn start(default: &str) -> Result<(), CliError> {
    let filter = match std::env::var_os(EnvFilter::DEFAULT_ENV) {
        None => EnvFilter::new(default),
        Some(_) => EnvFilter::try_from_default_env()
            .map_err(|error| CliError::Usage(format!("RUST_LOG: {error}")))?,
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process is a test's; the first one's filter stays.
    let _ = subscriber.try_init();
    Ok(())
}
