//! Who gains and who loses by a new model, over stored tuples, for people and for programs. Knows neither
//! where the tuples come from nor how questions are answered.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::stored::Stored;
use crate::api::convert::time_to_wire;
use crate::cli::CliError;
use crate::cli::console::{Stream, Tone};
use crate::cli::progress::{Progress, counted, grouped};
use crate::engine::compare::{Answer, Difference, LeftOut, Party, Refuses, Told, Worlds, compare};
use crate::model::diff::Concern;
use crate::model::limits::DIFF_NOTED_MAX;
use crate::model::tuple::Time;

/// How much is told, and asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) lines: u64,
    pub(super) questions: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Effect {
    revision: u64,
    now: Time,
    tuples: usize,
    left_out: usize,
    breaking: usize,
    gained: u64,
    lost: u64,
    unknown: u64,
    unanswered: u64,
    questions: u64,
    is_cut: bool,
    /// Lines for which there was no room.
    untold: u64,
    asks_context: Vec<String>,
    asks_target: Vec<String>,
    /// What was told, for programs.
    entries: Vec<Value>,
    refused: Vec<Value>,
}

impl Effect {
    /// Whether anything is different over these tuples.
    pub(super) fn is_none(&self) -> bool {
        let Self { gained, lost, unknown, left_out, breaking, .. } = self;
        *gained + *lost + *unknown == 0 && *left_out + *breaking == 0
    }

    /// Why it is not complete, in words.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.is_cut {
            let asked = grouped(self.questions);
            missing.push(format!("only {asked} questions were asked; --questions asks more"));
        }
        if self.unanswered > 0 {
            missing.push(format!("{} had no answer", counted(self.unanswered, "question")));
        }
        if self.untold > 0 {
            missing.push(format!("{} left out; --limit tells more", lines(self.untold)));
        }
        missing
    }
}

fn lines(count: u64) -> String {
    if count == 1 { "1 line is".to_owned() } else { format!("{} lines are", grouped(count)) }
}

/// Compares and tells. `is_text`: each line as it is found.
pub(super) fn tell(
    worlds: &Worlds,
    (concerns, stored): (&[Concern], &Stored),
    bounds: Bounds,
    is_text: bool,
    mut progress: Progress,
    (out, err): (&mut Stream<'_>, &mut Stream<'_>),
) -> Result<Effect, CliError> {
    let asking = |asks: fn(&Concern) -> bool| {
        let asking = concerns.iter().filter(|concern| asks(concern));
        asking.map(|concern| format!("{} at {}", concern.permission, concern.at)).collect()
    };
    let mut effect = Effect {
        revision: stored.revision,
        now: stored.now,
        tuples: worlds.tuples,
        left_out: worlds.left_out.len(),
        breaking: worlds.breaking.len(),
        asks_context: asking(|concern| concern.asks_context),
        asks_target: asking(|concern| concern.asks_target),
        ..Effect::default()
    };
    let mut teller = Teller { effect: &mut effect, left: bounds.lines, is_text, out };
    teller.begin()?;
    teller.refused(&worlds.left_out, true)?;
    teller.refused(&worlds.breaking, false)?;
    let compared =
        compare(worlds, concerns, stored.now, bounds.questions, &mut |told| match told {
            Told::Difference(difference) => teller.difference(&difference),
            Told::Unanswered { subject, permission, scope, error } => {
                let error = error.to_string();
                teller.unanswered((&subject, &permission, &scope), &error)
            }
            Told::Asked(questions) => progress.set(questions, 0, err),
        });
    progress.end();
    let compared = compared?;
    (effect.questions, effect.is_cut) = (compared.questions, compared.is_cut);
    if is_text {
        write_end(&effect, out)?;
    }
    Ok(effect)
}

struct Teller<'a, 'o> {
    effect: &'a mut Effect,
    left: u64,
    is_text: bool,
    out: &'a mut Stream<'o>,
}

impl Teller<'_, '_> {
    fn begin(&mut self) -> io::Result<()> {
        let Effect { revision, now, tuples, .. } = &self.effect;
        if !self.is_text {
            return Ok(());
        }
        let (tuples, now) = (counted(*tuples as u64, "tuple"), time_to_wire(*now));
        writeln!(self.out, "over {tuples} of revision {revision} at {now}:")
    }

    /// Whether there is room for one more line.
    fn take(&mut self) -> bool {
        let has_room = self.left > 0;
        if has_room {
            self.left -= 1;
        } else {
            self.effect.untold += 1;
        }
        has_room
    }

    fn refused(&mut self, refused: &[LeftOut], is_left_out: bool) -> io::Result<()> {
        for LeftOut { key, refuses, reason } in refused {
            if !self.take() {
                continue;
            }
            let model = if *refuses == Refuses::New { "new" } else { "old" };
            if self.is_text {
                let (sign, source) = (self.out.paint(Tone::Bad, "!"), of_source(&key.source));
                let what = if is_left_out { "left out: " } else { "" };
                writeln!(
                    self.out,
                    "{sign} {key}{source}: {what}refused by the {model} model: {reason}"
                )?;
            } else {
                self.effect.refused.push(json!({
                    "tuple": key.to_string(),
                    "source": key.source,
                    "model": model,
                    "reason": reason,
                    "left_out": is_left_out,
                }));
            }
        }
        Ok(())
    }

    fn difference(&mut self, difference: &Difference) -> io::Result<()> {
        let Difference { subject, permission, scope, old, new } = difference;
        let effect = &mut self.effect;
        let (sign, tone, change, count) = match (old, new) {
            (_, Answer::Yes) => ("+", Tone::Good, "gained", &mut effect.gained),
            (Answer::Yes, _) => ("-", Tone::Bad, "lost", &mut effect.lost),
            _ => ("?", Tone::Aside, "unknown", &mut effect.unknown),
        };
        *count += 1;
        if !self.take() {
            return Ok(());
        }
        if !self.is_text {
            self.effect.entries.push(json!({
                "change": change,
                "subject": subject.to_string(),
                "permission": permission,
                "scope": scope.to_string(),
                "old": old.text(),
                "new": new.text(),
            }));
            return Ok(());
        }
        let sign = self.out.paint(tone, sign);
        // Plain answers need no words.
        let words = match old.min(new) {
            Answer::No if *old.max(new) == Answer::Yes => String::new(),
            _ => format!(" ({} -> {})", old.text(), new.text()),
        };
        writeln!(self.out, "{sign} {subject} {permission} {scope}{words}")
    }

    fn unanswered(
        &mut self,
        (subject, permission, scope): (&Party, &str, &Party),
        error: &str,
    ) -> io::Result<()> {
        self.effect.unanswered += 1;
        if !self.take() {
            return Ok(());
        }
        if self.is_text {
            let sign = self.out.paint(Tone::Bad, "!");
            return writeln!(self.out, "{sign} {subject} {permission} {scope}: no answer: {error}");
        }
        self.effect.entries.push(json!({
            "change": "unanswered",
            "subject": subject.to_string(),
            "permission": permission,
            "scope": scope.to_string(),
            "reason": error,
        }));
        Ok(())
    }
}

fn of_source(source: &str) -> String {
    if source.is_empty() { String::new() } else { format!(" source={source}") }
}

/// The sums, what was taken for granted, and whether this is all.
fn write_end(effect: &Effect, out: &mut Stream<'_>) -> io::Result<()> {
    for (what, names) in [
        ("asked without a context, which they ask for", &effect.asks_context),
        ("asked without a target, which they ask for", &effect.asks_target),
    ] {
        if !names.is_empty() {
            let shown = names.iter().take(DIFF_NOTED_MAX).cloned().collect::<Vec<_>>().join(", ");
            let more = names.len().saturating_sub(DIFF_NOTED_MAX);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            writeln!(out, "{what}: {shown}{more}")?;
        }
    }
    if effect.left_out > 0 {
        let tuples = counted(effect.left_out as u64, "tuple");
        writeln!(out, "{tuples} left out; compared is what remains")?;
    }
    if effect.breaking > 0 {
        let tuples = counted(effect.breaking as u64, "tuple");
        writeln!(out, "the new model would be refused: {tuples} in the way of its constraints")?;
    }
    let Effect { gained, lost, unknown, questions, .. } = effect;
    let (gained, lost, unknown) = (grouped(*gained), grouped(*lost), grouped(*unknown));
    let sums = format!("gained {gained}, lost {lost}, not known {unknown}");
    let missing = effect.missing();
    if missing.is_empty() {
        writeln!(out, "complete: {sums}; {}", counted(*questions, "question"))
    } else {
        writeln!(out, "NOT COMPLETE: {sums}; {}", missing.join("; "))
    }
}

/// The same for programs.
pub(super) fn json(effect: &Effect) -> Value {
    let missing = effect.missing();
    json!({
        "revision": effect.revision,
        "now": time_to_wire(effect.now).to_string(),
        "tuples": effect.tuples,
        "left_out": effect.left_out,
        "breaking_constraints": effect.breaking,
        "refused": effect.refused,
        "gained": effect.gained,
        "lost": effect.lost,
        "unknown": effect.unknown,
        "unanswered": effect.unanswered,
        "entries": effect.entries,
        "asks_context": effect.asks_context,
        "asks_target": effect.asks_target,
        "questions": effect.questions,
        "complete": missing.is_empty(),
        "missing": missing,
    })
}
