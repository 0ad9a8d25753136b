//! The settings of `serve`, from flags and the environment.

use super::CliError;
use crate::config::{Given, SettingError, Settings};
use crate::model::limits::{
    CONNECTIONS_MAX, DRAIN_SECONDS, IN_FLIGHT_REQUESTS_MAX, REQUEST_SECONDS_DEFAULT,
    REQUEST_SECONDS_MAX, STREAM_STALL_SECONDS, UNREAD_SECONDS,
};

/// The prefix of variables of the environment.
const VARIABLES: &str = "BAILIWICK_";

/// Bounds that can be set, within bounds of their own.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct SettingsArgs {
    /// Most requests under way at once; further ones are shed
    #[arg(long, value_name = "COUNT", env = "BAILIWICK_IN_FLIGHT_REQUESTS",
        default_value_t = IN_FLIGHT_REQUESTS_MAX as u64)]
    in_flight_requests: u64,
    /// Most connections at once; further ones are closed
    #[arg(long, value_name = "COUNT", env = "BAILIWICK_CONNECTIONS",
        default_value_t = CONNECTIONS_MAX as u64)]
    connections: u64,
    /// How long a request without a deadline may take until its answer begins
    #[arg(long, value_name = "SECONDS", env = "BAILIWICK_DEFAULT_DEADLINE_SECONDS",
        default_value_t = REQUEST_SECONDS_DEFAULT)]
    default_deadline_seconds: u64,
    /// How long any request may take until its answer begins
    #[arg(long, value_name = "SECONDS", env = "BAILIWICK_MAX_DEADLINE_SECONDS",
        default_value_t = REQUEST_SECONDS_MAX)]
    max_deadline_seconds: u64,
    /// How long a list waits for its reader
    #[arg(long, value_name = "SECONDS", env = "BAILIWICK_STREAM_STALL_SECONDS",
        default_value_t = STREAM_STALL_SECONDS)]
    stream_stall_seconds: u64,
    /// How long an answer may lie unread until its connection is closed
    #[arg(long, value_name = "SECONDS", env = "BAILIWICK_UNREAD_SECONDS",
        default_value_t = UNREAD_SECONDS)]
    unread_seconds: u64,
    /// How long requests under way may take to end once the service is told to stop
    #[arg(long, value_name = "SECONDS", env = "BAILIWICK_DRAIN_SECONDS",
        default_value_t = DRAIN_SECONDS)]
    drain_seconds: u64,
}

impl SettingsArgs {
    /// The settings, within their bounds.
    pub(super) fn check(&self) -> Result<Settings, CliError> {
        let given = Given {
            in_flight_requests: self.in_flight_requests,
            connections: self.connections,
            default_deadline_seconds: self.default_deadline_seconds,
            max_deadline_seconds: self.max_deadline_seconds,
            stream_stall_seconds: self.stream_stall_seconds,
            unread_seconds: self.unread_seconds,
            drain_seconds: self.drain_seconds,
        };
        Settings::check(&given).map_err(|error| {
            let SettingError { field, value, least, most } = error;
            let (flag, variable) = (field.replace('_', "-"), field.to_uppercase());
            CliError::Usage(format!(
                "--{flag} ({VARIABLES}{variable}): {value} is out of range, expected {least} to {most}"
            ))
        })
    }
}
