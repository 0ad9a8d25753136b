//! The options that say when what is granted ends, for every command that grants.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

use super::CliError;

/// When it ends; without an option, never.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct EndArgs {
    /// When the stored tuples end: `2027-01-01T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// How long from now the stored tuples last: `90d`, `12h`, `30m`, `45s`
    // With a key each repeat would ask for another end.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["expires_at", "key"])]
    expires_in: Option<String>,
}

impl EndArgs {
    /// The end as the wire has it.
    pub(super) fn to_wire(&self) -> Result<Option<Timestamp>, CliError> {
        if let Some(text) = &self.expires_in {
            let wrong = || {
                let expected = "a time such as 90d, 12h, 30m or 45s";
                CliError::Usage(format!("--expires-in: `{text}` is not {expected}"))
            };
            let seconds = seconds_of(text).ok_or_else(wrong)?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(CliError::failed)?;
            let end = i64::try_from(now.as_secs()).ok().and_then(|now| now.checked_add(seconds));
            return Ok(Some(Timestamp { seconds: end.ok_or_else(wrong)?, nanos: 0 }));
        }
        let Some(text) = &self.expires_at else { return Ok(None) };
        let expected = "a moment such as 2027-01-01T00:00:00Z";
        let wrong = |_| CliError::Usage(format!("--expires-at: `{text}` is not {expected}"));
        text.parse().map(Some).map_err(wrong)
    }
}

fn seconds_of(text: &str) -> Option<i64> {
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        assert_eq!(seconds_of("90d"), Some(90 * 86_400));
        assert_eq!(seconds_of("12h"), Some(43_200));
        assert_eq!(seconds_of("30m"), Some(1_800));
        assert_eq!(seconds_of("45s"), Some(45));
        for wrong in
            ["", "d", "90", "1.5h", "-1h", "+1h", "1w", "9999999999999999999d", "1 d", "1é"]
        {
            assert_eq!(seconds_of(wrong), None, "{wrong}");
        }
    }
}
