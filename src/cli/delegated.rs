//! What the commands share that change a role on behalf of an actor: who, which tuple, and how the commit
//! is told. Knows no method.

use std::io::Write;

use serde_json::json;

use super::brought::ContextArgs;
use super::client::ClientArgs;
use super::tuple_text::parse_tuple;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::values::Values;

/// Who does it, to which tuple.
#[derive(Debug, clap::Args)]
pub(super) struct DelegatedArgs {
    /// Scope, role and target: `org:acme#viewer@user:bob`
    tuple: String,
    /// Who does it: `user:ana`
    #[arg(long, value_name = "OBJECT")]
    pub(super) actor: String,
    #[command(flatten)]
    context: ContextArgs,
    /// Makes a repeat of this very command harmless: it is answered as the first was
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

impl DelegatedArgs {
    /// The tuple's parts.
    pub(super) fn tuple(&self) -> Result<pb::Tuple, CliError> {
        parse_tuple(&self.tuple)
    }

    pub(super) fn context(&self) -> Result<Option<Values>, CliError> {
        self.context.to_wire()
    }

    pub(super) fn key(&self) -> Result<String, CliError> {
        if self.key.as_deref() == Some("") {
            return Err(CliError::Usage("--key: it is empty, which is no key".to_owned()));
        }
        Ok(self.key.clone().unwrap_or_default())
    }

    /// Tells of the commit.
    pub(super) fn tell(
        &self,
        (revision, token, changed): (u64, &str, u64),
        unchanged: &str,
        out: &mut dyn Write,
    ) -> Result<Exit, CliError> {
        if self.client.is_json() {
            let value = json!({ "revision": revision, "token": token, "changed": changed });
            writeln!(out, "{value}")?;
        } else if changed == 0 {
            writeln!(out, "nothing changed: {unchanged}")?;
        } else {
            writeln!(out, "committed as revision {revision}")?;
        }
        Ok(Exit::Done)
    }
}
