//! What an import did, for people and for programs: at its end, or where it had to stop. Knows no
//! service.

use std::io::Write;

use serde_json::{Map, Value as Json, json};

use super::Args;
use super::chunk::Chunk;
use super::send::Refused;
use crate::api::pb::v1 as pb;
use crate::api::status::{Refusal, code_name};
use crate::cli::console::Stream;
use crate::cli::input::place;
use crate::cli::progress::{counted, grouped};
use crate::cli::{CliError, Exit};

/// What an import did so far.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The line that it began with, and the last one that is in.
    from: u64,
    through: u64,
    pub(super) tuples: u64,
    commits: u64,
    /// How many tuples changed; in a dry run, would change.
    changed: u64,
    /// The newest revision when it began, if that is known.
    before: u64,
    /// How many tuples an earlier run had committed.
    known: u64,
    /// How many of these are not there any more, or not just so.
    gone: u64,
    /// How many were not stored, as their end has passed.
    ended: u64,
    revision: u64,
    token: String,
    /// Lines that could not be written; a dry run only.
    pub(super) problems: usize,
}

/// Why an import had to stop.
pub(super) enum Why<'a> {
    Interrupted,
    /// The input cannot be read further.
    Unreadable(CliError),
    /// A line is no tuple.
    Malformed {
        line: u64,
        error: String,
    },
    /// The service.
    Refused(&'a Refused),
}

/// What became of a chunk that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    In,
    Out,
    Unknown,
}

impl Done {
    /// Nothing yet: begins with this line, when `before` was the newest revision.
    pub(super) fn begin(from: u64, before: u64) -> Self {
        Self { from, before, ..Self::default() }
    }

    /// A chunk is in.
    pub(super) fn add(&mut self, chunk: &Chunk, answer: pb::WriteTuplesResponse) {
        let count = chunk.changes.len() as u64;
        self.through = chunk.last();
        if self.knows(&answer) {
            self.tuples += count;
            self.known += count;
            self.reach(answer);
        } else {
            self.commits += 1;
            self.could(chunk, answer);
        }
    }

    /// Whether an earlier run had committed a chunk that was answered so.
    pub(super) fn knows(&self, answer: &pb::WriteTuplesResponse) -> bool {
        answer.revision <= self.before
    }

    /// Whether a chunk was answered with the revision that was the newest when this began.
    pub(super) fn began_at(&self, answer: &pb::WriteTuplesResponse) -> bool {
        answer.revision == self.before
    }

    /// So many tuples of a chunk that an earlier run had committed are not there any more.
    pub(super) fn miss(&mut self, gone: u64) {
        self.gone += gone;
    }

    /// A chunk could be written.
    pub(super) fn could(&mut self, chunk: &Chunk, answer: pb::WriteTuplesResponse) {
        self.tuples += chunk.changes.len() as u64;
        self.changed += answer.changed;
        self.ended += chunk.ended();
        self.reach(answer);
    }

    /// Keeps the newest revision: of two chunks under way together, the second may be in first.
    fn reach(&mut self, answer: pb::WriteTuplesResponse) {
        if answer.revision >= self.revision {
            (self.revision, self.token) = (answer.revision, answer.token);
        }
    }

    /// Why it ended, which lines are in, and how to go on. `under_way`: the chunks that were sent beyond
    /// those, in order; a refusal is of the first. It is gone on with the first of them, or with `next`.
    pub(super) fn stopped(
        &self,
        args: &Args,
        why: &Why<'_>,
        under_way: &[(&Chunk, Fate)],
        next: u64,
    ) -> CliError {
        let next = under_way.first().map_or(next, |(chunk, _)| chunk.first());
        let (code, reason, line, what) = match why {
            Why::Interrupted => {
                ("CANCELLED", "INTERRUPTED".to_owned(), None, "interrupted".to_owned())
            }
            Why::Unreadable(error) => ("UNKNOWN", "UNREADABLE".to_owned(), None, error.to_string()),
            Why::Malformed { line, error } => {
                ("INVALID_ARGUMENT", "MALFORMED_LINE".to_owned(), Some(*line), error.clone())
            }
            Why::Refused(refused) => {
                let change = refused.change();
                let line = change.and_then(|at| under_way.first()?.0.lines.get(at).copied());
                let (code, reason) = refused.code_and_reason();
                (code, reason, line, refused.words(line.and(change)))
            }
        };
        let what = line.map_or_else(|| what.clone(), |line| format!("line {line}: {what}"));
        let exists = reason == Refusal::TupleExists.text();
        let mend = match line {
            Some(line) if exists => format!("remove line {line} or leave out --create, then "),
            Some(line) => format!("mend line {line}, then "),
            None => String::new(),
        };
        let again = format!("run the same command again, or go on with --from-line {next}");
        let message = format!("{what}\n{}; {mend}{again}", self.lines_in(under_way));
        if !args.client.is_json() {
            return CliError::Failed(message);
        }
        let metadata = match why {
            Why::Refused(refused) => refused.metadata(),
            _ => Map::new(),
        };
        let through = (self.tuples > 0).then_some(self.through);
        CliError::Json(json!({ "error": {
            "code": code,
            "reason": reason,
            "message": message,
            "metadata": metadata,
            "line": line,
            "in_through_line": through,
            // Whether a program may take all later lines to be out.
            "outcome_known": under_way.iter().all(|(_, fate)| *fate == Fate::Out),
            "from_line": next,
        }}))
    }

    fn lines_in(&self, under_way: &[(&Chunk, Fate)]) -> String {
        let mut told = if self.tuples == 0 {
            "in: no line".to_owned()
        } else {
            let (lines, tuples) = (place(self.from, self.through), counted(self.tuples, "tuple"));
            format!("in: {lines} ({tuples}, revision {})", self.revision)
        };
        for alike in under_way.chunk_by(|(_, one), (_, next)| one == next) {
            let [(first, fate), ..] = alike else { continue };
            let last = alike.last().map_or(*first, |(last, _)| *last);
            let lines = place(first.first(), last.last());
            told.push_str(&match fate {
                Fate::In => format!("; in, too: {lines}"),
                Fate::Out => format!("; not in: {lines}"),
                Fate::Unknown => {
                    format!("; not known: {lines}, and sending them again does no harm")
                }
            });
        }
        told
    }

    /// Prints what was done, or could be.
    pub(super) fn tell(
        &self,
        args: &Args,
        name: &str,
        out: &mut Stream<'_>,
    ) -> Result<Exit, CliError> {
        if args.client.is_json() {
            writeln!(out, "{}", self.json(args))?;
        } else {
            writeln!(out, "{}", self.words(args, name))?;
        }
        let is_done = self.problems == 0 && self.gone == 0;
        Ok(if is_done { Exit::Done } else { Exit::Failed })
    }

    fn json(&self, args: &Args) -> Json {
        json!({
            "tuples": self.tuples,
            "changed": self.changed,
            "commits": self.commits,
            "committed_before": self.known,
            "gone_since": self.gone,
            "problems": self.problems,
            "dry_run": args.dry_run,
            "revision": self.revision,
            "token": self.token,
        })
    }

    fn words(&self, args: &Args, name: &str) -> String {
        let tuples = counted(self.tuples, "tuple");
        if args.dry_run {
            let problems = counted(self.problems as u64, "problem");
            let mut words =
                format!("{tuples} of {name} could be written, {problems}; nothing was written");
            self.tell_known(&mut words);
            return words;
        }
        if self.tuples == 0 {
            return format!("there is no tuple in {name}; nothing was written");
        }
        let verb = match args.operation() {
            pb::Operation::Create => "created",
            pb::Operation::Delete => "deleted",
            _ => "written",
        };
        let sent = self.tuples - self.known;
        let count = self.changed.min(sent.saturating_sub(self.ended));
        // The service's clock decides: what it did not store was late by that.
        let is_late = args.operation() != pb::Operation::Delete && self.changed < sent;
        let ended = if is_late { self.ended.max(sent - self.changed) } else { self.ended };
        let (count, commits) = (grouped(count), counted(self.commits, "commit"));
        let mut words =
            format!("{count} of {tuples} {verb} in {commits}, revision {}", self.revision);
        if ended > 0 {
            words.push_str(&format!(
                "\n{} had ended already: not stored, and what was there in their place is removed",
                grouped(ended)
            ));
        }
        self.tell_known(&mut words);
        words
    }

    fn tell_known(&self, words: &mut String) {
        if self.known > 0 {
            let known = grouped(self.known);
            words
                .push_str(&format!("\n{known} had been created by an earlier run of this command"));
        }
        if self.gone > 0 {
            let gone = grouped(self.gone);
            words.push_str(&format!(
                "\n{gone} of them have been removed or changed since, and are left so; without --create they \
                 are written"
            ));
        }
    }
}

impl Refused {
    fn code_and_reason(&self) -> (&'static str, String) {
        let info = self.info();
        let reason = info.map(|info| info.reason).unwrap_or_default();
        (code_name(self.status.code()), reason)
    }

    fn metadata(&self) -> Map<String, Json> {
        let metadata = self.info().map(|info| info.metadata).unwrap_or_default();
        metadata.into_iter().map(|(key, value)| (key, Json::from(value))).collect()
    }
}
