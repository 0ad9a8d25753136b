//! The flags by which a command brings along what its question is asked with: values for conditions, and
//! tuples that count for it alone.

use super::CliError;
use super::tuple_text::{parse_context, parse_tuples};
use crate::api::pb::v1 as pb;
use crate::api::values::Values;

/// Values for conditions.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ContextArgs {
    /// Values for conditions: `hour=9`, or a JSON object; may be repeated
    #[arg(long, value_name = "NAME=VALUE|JSON")]
    context: Vec<String>,
}

impl ContextArgs {
    /// The request's field.
    pub(super) fn to_wire(&self) -> Result<Option<Values>, CliError> {
        parse_context(&self.context)
    }
}

/// Tuples that count as if they were stored.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TuplesArgs {
    /// Count a tuple `scope#role@subject` for this question only, as if it were stored; may be repeated
    #[arg(long, value_name = "TUPLE")]
    with_tuple: Vec<String>,
}

impl TuplesArgs {
    /// The request's field.
    pub(super) fn to_wire(&self) -> Result<Vec<pb::Tuple>, CliError> {
        parse_tuples(&self.with_tuple)
    }
}
