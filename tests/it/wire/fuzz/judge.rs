//! What every answer must be, whatever was asked: whole, well-formed, and if it is an error one that the
//! table has and that is not the service's fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bailiwick::api::status::{ERROR_DOMAIN, Refusal};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::messages::Kept;
use crate::support::errors_page::described;
use crate::wire::raw::{Answer, BYTES, FIXED64, Field, VARINT, fields};
use crate::wire::schema::{Kind, Method, Schema, is_repeated, kind_of, number_of};

/// What would be a fault of the service, or what it does not do while it is fuzzed.
const NEVER: [&str; 5] =
    ["INTERNAL", "NOT_READY", "OUTCOME_UNKNOWN", "STORE_UNAVAILABLE", "CANCELLED"];

/// Judges answers and counts them.
pub(super) struct Judge {
    pub(super) schema: &'static Schema,
    pub(super) kept: Arc<Kept>,
    tally: Mutex<Tally>,
}

/// How often a method had which outcome.
pub(super) type Tally = BTreeMap<(String, String), usize>;

impl Judge {
    pub(super) fn new(schema: &'static Schema, kept: Arc<Kept>) -> Self {
        Self { schema, kept, tally: Mutex::default() }
    }

    pub(super) fn count(&self, method: &str, outcome: &str) {
        let name = method.strip_prefix("/bailiwick.v1.").unwrap_or(method);
        let key = (name.to_owned(), outcome.to_owned());
        *self.tally.lock().unwrap().entry(key).or_default() += 1;
    }

    pub(super) fn tally(self) -> Tally {
        self.tally.into_inner().unwrap()
    }

    /// Judges an answer of this method to this message; `has_deadline`: the caller gave one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn answer(
        &self,
        method: &Method,
        asked: &[u8],
        answer: &Answer,
        has_deadline: bool,
    ) -> Result<(), String> {
        let (mut complete, mut cursors) = (0, Vec::new());
        for message in &answer.messages {
            let is_end = self.message(method, &method.output, message, &mut cursors)?;
            complete += usize::from(is_end);
        }
        // The middle one stands for all.
        if !cursors.is_empty() {
            let cursor = cursors.swap_remove(cursors.len() / 2);
            self.kept.cursor(&cursor);
            self.kept.list(method, asked, cursor);
        }
        if answer.status.code() != Code::Ok {
            if complete > 0 {
                return Err("a list that is complete and an error".to_owned());
            }
            let reason = error(&answer.status)?;
            if reason == "DEADLINE_EXCEEDED" && !has_deadline {
                return Err("nobody set a deadline".to_owned());
            }
            self.count(&method.path, &reason);
            return Ok(());
        }
        self.count(&method.path, "OK");
        let is_list =
            method.path.starts_with("/bailiwick.") && !method.path.ends_with("/CheckStream");
        match answer.messages.len() {
            1 if !method.streams => Ok(()),
            _ if !method.streams => Err("not one message".to_owned()),
            _ if is_list && complete != 1 => {
                Err("a list that ended well without its end".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether a message is the end of a list; its cursors are added to those.
    fn message(
        &self,
        method: &Method,
        name: &str,
        bytes: &[u8],
        cursors: &mut Vec<String>,
    ) -> Result<bool, String> {
        let of_type = self.schema.fields(name);
        let Some(found) = fields(bytes) else {
            return Err(format!("an answer that is no {name}"));
        };
        let mut is_end = false;
        for field in found {
            let Some(known) = of_type.iter().find(|known| number_of(known) == field.number) else {
                return Err(format!("{name} with an unknown field {}", field.number));
            };
            is_end |= known.name() == "complete";
            self.field(method, known, &field, cursors)?;
        }
        Ok(is_end)
    }

    fn field(
        &self,
        method: &Method,
        known: &prost_types::FieldDescriptorProto,
        field: &Field<'_>,
        cursors: &mut Vec<String>,
    ) -> Result<(), String> {
        let name = known.name();
        let expected = match kind_of(known) {
            // Repeated numbers are packed.
            _ if is_repeated(known) && field.wire == BYTES => BYTES,
            Kind::Text | Kind::Bytes | Kind::Message(_) => BYTES,
            Kind::Double => FIXED64,
            Kind::Bool | Kind::Integer | Kind::Enum(_) => VARINT,
        };
        if field.wire != expected {
            return Err(format!("`{name}` on the wire as {}", field.wire));
        }
        match kind_of(known) {
            Kind::Message(of) => self.message(method, of, field.payload, cursors).map(drop),
            Kind::Text => {
                let text = std::str::from_utf8(field.payload);
                let text = text.map_err(|_| format!("`{name}` is not UTF-8"))?;
                if name == "token" {
                    self.kept.token(text);
                } else if (name.ends_with("cursor") || name.ends_with("token")) && !text.is_empty()
                {
                    cursors.push(text.to_owned());
                } else if name == "reason" && method.path.ends_with("/BatchCheck") {
                    known_reason(text)?;
                    self.count(&method.path, &format!("item {text}"));
                }
                Ok(())
            }
            Kind::Enum(of) if name == "decision" || name == "reason" => {
                let value = i32::try_from(field.value).unwrap_or(-1);
                if value == 0 || !self.schema.values(of).contains(&value) {
                    return Err(format!("`{name}` is {value}"));
                }
                self.count(&method.path, &format!("{name} {value}"));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// A reason that the table has and that may come here.
fn known_reason(reason: &str) -> Result<Refusal, String> {
    let row = Refusal::ALL.iter().find(|row| row.text() == reason);
    let row = row.ok_or_else(|| format!("{reason} is in no row of the table"))?;
    if NEVER.contains(&reason) {
        return Err(format!("{reason}, which is a fault of the service"));
    }
    Ok(*row)
}

/// Judges an error status; its reason.
pub(super) fn error(status: &Status) -> Result<String, String> {
    let info = status.get_details_error_info();
    let info = info.ok_or_else(|| format!("no ErrorInfo: {status:?}"))?;
    let row = known_reason(&info.reason).map_err(|what| format!("{what}: {status:?}"))?;
    if row.code() != status.code() || info.domain != ERROR_DOMAIN {
        return Err(format!("another code or domain than the table's: {status:?}"));
    }
    if status.message().is_empty() || status.message().len() > 8_000 {
        return Err(format!("no words, or too many: {status:?}"));
    }
    described(status.code(), &info.reason, info.metadata.keys())?;
    Ok(info.reason)
}
