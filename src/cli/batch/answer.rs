//! Answers in the form of their questions: a table, CSV, JSON lines. Knows no service.

use std::io::Write;

use serde_json::json;

use crate::api::pb::v1 as pb;
use crate::api::status::code_name;
use crate::cli::console::{Stream, Tone};
use crate::cli::input::Format;
use crate::cli::{CliError, render};
use crate::model::names::quoted;

/// The reason of a line that is no question. Not one of the service's, which never saw it.
const MALFORMED_LINE: &str = "MALFORMED_LINE";

/// How an answer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Allowed,
    Denied,
    Failed,
}

/// What is printed of one entry.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    line: u64,
    /// Subject, permission, scope; empty for what is no question.
    question: [&'a str; 3],
    decision: &'static str,
    reason: &'a str,
    missing: &'a [String],
    error: Option<Fault<'a>>,
}

#[derive(Debug)]
struct Fault<'a> {
    code: &'static str,
    message: &'a str,
    metadata: Option<&'a std::collections::HashMap<String, String>>,
}

impl<'a> Answer<'a> {
    /// Of a line that is no question.
    pub(super) fn malformed(line: u64, message: &'a str) -> Self {
        let error = Some(Fault { code: "INVALID_ARGUMENT", message, metadata: None });
        let (question, decision, reason) = ([""; 3], "ERROR", MALFORMED_LINE);
        Self { line, question, decision, reason, missing: &[], error }
    }

    /// Of a question that was asked.
    pub(super) fn of(
        line: u64,
        item: &'a pb::BatchCheckItem,
        result: &'a pb::BatchCheckResult,
    ) -> Self {
        use pb::batch_check_result::Result as Wire;
        let question = [item.subject.as_str(), item.permission.as_str(), item.scope.as_str()];
        let failed = |code, reason, message, metadata| {
            let error = Some(Fault { code, message, metadata });
            Self { line, question, decision: "ERROR", reason, missing: &[], error }
        };
        match &result.result {
            Some(Wire::Decision(made)) => Self {
                line,
                question,
                decision: render::decision(made.decision),
                reason: render::reason(made.reason),
                missing: &made.missing,
                error: None,
            },
            Some(Wire::Error(error)) => {
                let code = code_name(tonic::Code::from_i32(error.code));
                failed(code, &error.reason, &error.message, Some(&error.metadata))
            }
            None => failed("INTERNAL", "", "the service sent neither decision nor error", None),
        }
    }

    /// Anything but a clear yes is a no, decisions of later versions too.
    pub(super) fn kind(&self) -> Kind {
        match (&self.error, self.decision) {
            (Some(_), _) => Kind::Failed,
            (None, "ALLOW") => Kind::Allowed,
            (None, _) => Kind::Denied,
        }
    }

    fn words(&self) -> String {
        self.error.as_ref().map_or_else(String::new, |Fault { code, message, .. }| {
            format!("line {}: {code}: {message}", self.line)
        })
    }
}

/// Prints answers one after the other.
pub(super) enum Printer<'a, 'o> {
    Text(&'a mut Stream<'o>),
    Csv(Box<csv::Writer<&'a mut Stream<'o>>>),
    Jsonl(&'a mut Stream<'o>),
}

impl<'a, 'o> Printer<'a, 'o> {
    /// Begins with the header, where the form has one.
    pub(super) fn new(format: Format, out: &'a mut Stream<'o>) -> Result<Self, CliError> {
        Ok(match format {
            Format::Text => {
                writeln!(out, "{:<8}  {:<18}  QUESTION", "DECISION", "REASON")?;
                Self::Text(out)
            }
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(out);
                let header = [
                    "line",
                    "subject",
                    "permission",
                    "scope",
                    "decision",
                    "reason",
                    "missing",
                    "error",
                ];
                writer.write_record(header).map_err(render::csv_failed)?;
                Self::Csv(Box::new(writer))
            }
            Format::Jsonl => Self::Jsonl(out),
        })
    }

    pub(super) fn print(&mut self, answer: &Answer<'_>) -> Result<(), CliError> {
        let Answer { line, question, decision, reason, missing, error } = answer;
        match self {
            Self::Text(out) => {
                let decision = out.decision(&format!("{decision:<8}"));
                write!(out, "{decision}  {reason:<18}  ")?;
                // What was asked in vain may hold anything: nothing of it may steer the terminal.
                let asked = question.map(quoted).join(" ");
                match error {
                    Some(_) if asked.trim().is_empty() => writeln!(out, "{}", answer.words())?,
                    Some(_) => writeln!(out, "{asked}  {}", answer.words())?,
                    None => {
                        write!(out, "{}", question.join(" "))?;
                        if !missing.is_empty() {
                            let missing = format!("missing: {}", missing.join(", "));
                            write!(out, "  {}", out.paint(Tone::Aside, &missing))?;
                        }
                        writeln!(out)?;
                    }
                }
            }
            Self::Csv(writer) => {
                let [subject, permission, scope] = question;
                let (line, missing, words) = (line.to_string(), missing.join(" "), answer.words());
                let fields = [
                    line.as_str(),
                    subject,
                    permission,
                    scope,
                    decision,
                    reason,
                    missing.as_str(),
                    words.as_str(),
                ];
                writer.write_record(fields).map_err(render::csv_failed)?;
            }
            Self::Jsonl(out) => {
                let [subject, permission, scope] = question;
                let error = error.as_ref().map(|Fault { code, message, metadata }| {
                    json!({ "code": code, "message": message, "metadata": metadata })
                });
                let value = json!({
                    "line": line,
                    "subject": subject,
                    "permission": permission,
                    "scope": scope,
                    "decision": decision,
                    "reason": reason,
                    "missing": missing,
                    "error": error,
                });
                writeln!(out, "{value}")?;
            }
        }
        Ok(())
    }

    /// Hands over what was printed: whoever reads along sees whole chunks.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        match self {
            Self::Text(out) | Self::Jsonl(out) => out.flush()?,
            Self::Csv(writer) => {
                writer.flush()?;
            }
        }
        Ok(())
    }
}
