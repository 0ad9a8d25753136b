//! The flags that say how fresh an answer must be, for every command that reads.

use crate::api::pb::v1 as pb;
use crate::api::pb::v1::consistency::Requirement;

/// How fresh the answer must be; without a flag, the newest revision.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ConsistencyArgs {
    /// Answer at least as fresh as this token says; waits for it if need be
    #[arg(long, value_name = "TOKEN", conflicts_with = "exactly")]
    at_least: Option<String>,
    /// Answer at exactly the revision of this token, which must be a recent one
    #[arg(long, value_name = "TOKEN")]
    exactly: Option<String>,
}

impl ConsistencyArgs {
    /// The request's field.
    pub(super) fn to_wire(&self) -> Option<pb::Consistency> {
        let at_least = self.at_least.clone().map(Requirement::AtLeast);
        let requirement = at_least.or_else(|| self.exactly.clone().map(Requirement::Exactly));
        requirement.map(|requirement| pb::Consistency { requirement: Some(requirement) })
    }
}
