//! A difference as a reader needs it: ready to paste into a model directory. Must not know how it was
//! found.

use std::fmt::Write as _;

use bailiwick::model::tuple::{Time, Tuple};
use bailiwick::model::{MODEL_FILE, TESTS_FILE};

use super::eval::Question;
use super::models::MATRIX_FILE;
use super::values::Value;
use super::worlds::{NOW, World};

/// A question on which the two differ, with as few tuples as still show it.
#[derive(Debug)]
pub(super) struct Disagreement {
    pub(super) question: Question,
    pub(super) tuples: Vec<Tuple>,
    pub(super) oracle: Value,
    pub(super) answer: Value,
}

/// Everything that is needed to see the difference again.
pub(super) fn report(world: &World, found: &Disagreement) -> String {
    let (seed, oracle, answer) = (world.seed, found.oracle, found.answer);
    let (yaml, csv) = (&world.text.yaml, &world.text.csv);
    format!(
        "the oracle says {oracle:?}, under test {answer:?}\n\
         BAILIWICK_SEED={seed} makes this world the first\n\
         ---- {MODEL_FILE}\n{yaml}---- {MATRIX_FILE}\n{csv}---- {TESTS_FILE}\n{}----\n",
        scenario(world, found),
    )
}

/// The text of a `tests.yaml` with the tuples and the question, expecting what the oracle says.
pub(super) fn scenario(world: &World, found: &Disagreement) -> String {
    let mut text =
        format!("scenarios:\n  - name: found\n    now: \"{}\"\n    tuples: [", rfc3339(NOW));
    for (i, tuple) in found.tuples.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n      {{ {} }}", fields(tuple).join(", "));
    }
    text.push_str(" ]\n");
    let question = &found.question;
    for own in &question.contextual {
        // A scenario has no place for them; stored, they mean the same.
        let _ = writeln!(text, "    # contextual: {{ {} }}", fields(own).join(", "));
    }
    let (expect, reason) = match found.oracle {
        Value::Yes => ("allow", ""),
        Value::No => ("deny", ""),
        Value::Unknown => ("deny", ", reason: MISSING_CONTEXT"),
    };
    let target = question.target.as_ref();
    let target = target.map(|target| format!(", target: \"{target}\"")).unwrap_or_default();
    let _ = write!(
        text,
        "    questions:\n      - {{ expect: {expect}, ask: \"{} {} {}\"{reason}{target}, context: {} }}\n",
        question.subject,
        world.model.name_of(question.permission),
        question.scope,
        serde_json::to_string(&question.context).unwrap(),
    );
    text
}

pub(super) fn fields(tuple: &Tuple) -> Vec<String> {
    let mut fields = vec![format!("tuple: \"{}\"", tuple.key)];
    if let Some(end) = tuple.expires_at {
        fields.push(format!("expires_at: \"{}\"", rfc3339(end)));
    }
    if let Some(condition) = &tuple.condition {
        let context = serde_json::to_string(&condition.context).unwrap();
        fields.push(format!("condition: {}, context: {context}", condition.name));
    }
    if !tuple.key.source.is_empty() {
        fields.push(format!("source: {}", tuple.key.source));
    }
    fields
}

/// A moment of the day of [`NOW`], which is at noon.
fn rfc3339(time: Time) -> String {
    let seconds = 12 * 3_600 + (time.0 - NOW.0) / 1_000_000;
    assert!((0..86_400).contains(&seconds), "worlds stay within one day");
    format!("2026-01-15T{:02}:{:02}:{:02}Z", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}
