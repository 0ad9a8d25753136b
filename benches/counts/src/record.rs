//! The record, `operation,instructions` by line, and its comparison with what was counted. Knows no files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Deserializer, Value};

/// Instructions by operation.
pub(crate) type Counts = BTreeMap<String, u64>;

const HEADER: &str = "operation,instructions";
/// An operation may be so far off its record.
const OFF_MAX_PERCENT: u128 = 5;

/// What became of one operation.
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) is_near: bool,
}

/// Reads the harness' output: an object by benchmark, one after the other.
pub(crate) fn counted(printed: &str) -> Result<Counts, String> {
    let mut counts = Counts::new();
    for summary in Deserializer::from_str(printed).into_iter::<Value>() {
        let summary = summary.map_err(|error| format!("the harness' output: {error}"))?;
        let text = |field: &str| summary[field].as_str().unwrap_or_default();
        let operation = format!("{}.{}", text("function_name"), text("id"));
        let count =
            summary["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"]["new"].as_u64();
        match count {
            Some(count) if count > 0 => counts.insert(operation, count),
            _ => return Err(format!("`{operation}`: the harness counted no instructions")),
        };
    }
    if counts.is_empty() { Err("the harness counted nothing".to_owned()) } else { Ok(counts) }
}

pub(crate) fn read(text: &str) -> Result<Counts, String> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err(format!("the record does not begin with `{HEADER}`"));
    }
    let read = |line: &str| {
        let (operation, count) = line.split_once(',')?;
        Some((operation.to_owned(), count.parse().ok()?))
    };
    lines.map(|line| read(line).ok_or_else(|| format!("`{line}` is no line of a record"))).collect()
}

pub(crate) fn written(counts: &Counts) -> String {
    let mut text = format!("{HEADER}\n");
    for (operation, count) in counts {
        let _ = writeln!(text, "{operation},{count}");
    }
    text
}

/// A line by operation that was recorded or counted.
pub(crate) fn compared(recorded: &Counts, counted: &Counts) -> Vec<Line> {
    let operations: BTreeSet<&String> = recorded.keys().chain(counted.keys()).collect();
    let line = |operation: &String| match (recorded.get(operation), counted.get(operation)) {
        (Some(before), Some(now)) => near(operation, *before, *now),
        (None, _) => off(format!("{operation}: counted, but not recorded")),
        (_, None) => off(format!("{operation}: recorded, but not counted")),
    };
    operations.into_iter().map(line).collect()
}

fn off(text: String) -> Line {
    Line { text, is_near: false }
}

fn near(operation: &str, before: u64, now: u64) -> Line {
    let is_near = u128::from(before.abs_diff(now)) * 100 <= u128::from(before) * OFF_MAX_PERCENT;
    let percent = (now as f64 / before as f64 - 1.0) * 100.0;
    let verdict = match (is_near, now > before) {
        (true, _) => "ok",
        (false, true) => "GREW",
        (false, false) => "FELL",
    };
    let text = format!("{operation:<52} {before:>12} -> {now:>12} {percent:>+7.2} %  {verdict}");
    Line { text, is_near }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> Counts {
        of.iter().map(|(operation, count)| ((*operation).to_owned(), *count)).collect()
    }

    fn is_near(before: u64, now: u64) -> bool {
        compared(&counts(&[("a", before)]), &counts(&[("a", now)])).iter().all(|line| line.is_near)
    }

    #[test]
    fn five_percent_pass_and_one_more_fails_either_way() {
        assert!(is_near(1_000, 1_050) && is_near(1_000, 950) && is_near(1_000, 1_000));
        assert!(!is_near(1_000, 1_051) && !is_near(1_000, 949));
        assert!(!is_near(0, 1) && !is_near(1, 0));
    }

    #[test]
    fn an_operation_that_only_one_side_has_fails() {
        let (one, two) = (counts(&[("a", 1)]), counts(&[("a", 1), ("b", 1)]));
        assert!(compared(&one, &two).iter().any(|line| !line.is_near));
        assert!(compared(&two, &one).iter().any(|line| !line.is_near));
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let some = counts(&[("check.deny", 7), ("load_model.x", 12_345_678)]);
        assert_eq!(read(&written(&some)), Ok(some));
        assert!(read("check.deny,7").is_err());
        assert!(read("operation,instructions\ncheck.deny,many").is_err());
    }

    #[test]
    fn an_output_without_counts_is_refused() {
        assert!(counted("").is_err());
        assert!(counted(r#"{ "function_name": "check", "id": "deny", "profiles": [] }"#).is_err());
    }
}
