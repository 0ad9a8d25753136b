//! The changes between two models, for people and for programs. Knows no tuples.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::console::{Stream, Tone};
use crate::cli::progress::counted;
use crate::model::diff::{Change, Side};

/// A line per change, and a last one that counts them.
pub(super) fn write(changes: &[Change], out: &mut Stream<'_>) -> io::Result<()> {
    for change in changes {
        let of = format!("{} {}", change.what.text(), change.name);
        let text = |text: &str| if text.is_empty() { String::new() } else { format!(": {text}") };
        match (&change.old, &change.new) {
            (None, new) => {
                let new = text(new.as_deref().unwrap_or_default());
                let sign = out.paint(Tone::Good, "+");
                writeln!(out, "{sign} {of}{new}")?;
            }
            (Some(old), None) => {
                let sign = out.paint(Tone::Bad, "-");
                writeln!(out, "{sign} {of}{}", text(old))?;
            }
            // The texts do not say it: what they name does.
            (Some(old), Some(new)) if old == new => {
                writeln!(out, "~ {of}: by what it refers to{}", text(new))?;
            }
            (Some(old), Some(new)) => {
                writeln!(out, "~ {of}\n    old: {old}\n    new: {new}")?;
            }
        }
    }
    if changes.is_empty() {
        return writeln!(out, "the models have no difference");
    }
    let count = |kind| changes.iter().filter(|change| kind_of(change) == kind).count();
    writeln!(
        out,
        "{}: added {}, removed {}, changed {}",
        counted(changes.len() as u64, "change"),
        count("added"),
        count("removed"),
        count("changed")
    )
}

fn kind_of(change: &Change) -> &'static str {
    match (&change.old, &change.new) {
        (None, _) => "added",
        (Some(_), None) => "removed",
        (Some(_), Some(_)) => "changed",
    }
}

/// The changes as an array.
pub(super) fn json(changes: &[Change]) -> Value {
    let change = |change: &Change| {
        json!({
            "change": kind_of(change),
            "what": change.what.text(),
            "name": change.name,
            "old": change.old,
            "new": change.new,
        })
    };
    changes.iter().map(change).collect()
}

/// Which model it is.
pub(super) fn model_json(side: &Side) -> Value {
    json!({ "name": side.model.name, "digest": side.model.digest })
}
