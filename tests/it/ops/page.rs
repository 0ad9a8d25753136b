//! `docs/operations.md` says of metrics and flags what the program says.

use std::collections::BTreeSet;

use bailiwick::config::Given;
use bailiwick::model::limits::{
    CONNECTIONS_SETTABLE, DRAIN_SECONDS_SETTABLE, IN_FLIGHT_REQUESTS_SETTABLE,
    REQUEST_SECONDS_SETTABLE, STALL_SECONDS_SETTABLE,
};
use bailiwick::telemetry::names::{self, Kind};

use super::operated::help;

const PAGE: &str = include_str!("../../../docs/operations.md");

/// The rows of the tables under a heading, cell by cell, without the backquotes.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = PAGE.split(&format!("\n## {heading}\n")).nth(1);
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ");
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect()
}

#[test]
fn every_metric_has_its_row_in_the_words_of_the_program() {
    let expected: Vec<Vec<String>> = names::ALL
        .iter()
        .map(|metric| {
            let kind = match metric.kind() {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
                Kind::Info => "info",
            };
            vec![metric.name(), kind.into(), metric.labels.join(", "), metric.help.into()]
        })
        .collect();
    assert_eq!(rows("Metrics"), expected);
}

#[test]
fn every_limit_has_its_row_with_default_and_range() {
    let given = Given::default();
    let deadlines = REQUEST_SECONDS_SETTABLE;
    let expected = [
        ("in-flight-requests", given.in_flight_requests, IN_FLIGHT_REQUESTS_SETTABLE),
        ("connections", given.connections, CONNECTIONS_SETTABLE),
        ("default-deadline-seconds", given.default_deadline_seconds, deadlines.clone()),
        ("max-deadline-seconds", given.max_deadline_seconds, deadlines),
        ("stream-stall-seconds", given.stream_stall_seconds, STALL_SECONDS_SETTABLE),
        ("unread-seconds", given.unread_seconds, STALL_SECONDS_SETTABLE),
        ("drain-seconds", given.drain_seconds, DRAIN_SECONDS_SETTABLE),
    ];
    let expected: Vec<Vec<String>> = expected
        .into_iter()
        .map(|(flag, default, range)| {
            let variable = format!("BAILIWICK_{}", flag.replace('-', "_").to_uppercase());
            let range = format!("{} to {}", range.start(), range.end());
            vec![format!("--{flag}"), variable, default.to_string(), range]
        })
        .collect();
    let rows = rows("Limits").into_iter().map(|row| row[..4].to_vec());
    assert_eq!(rows.collect::<Vec<_>>(), expected);
}

#[test]
fn every_flag_of_serve_is_on_the_page_with_its_variable() {
    let help = help();
    let mut flags: BTreeSet<String> = BTreeSet::new();
    let mut variables: BTreeSet<String> = BTreeSet::new();
    for word in help.split(|c: char| c.is_whitespace() || "[]=,".contains(c)) {
        if let Some(flag) = word.strip_prefix("--") {
            flags.insert(flag.to_owned());
        }
        if word.starts_with("BAILIWICK_") || word.starts_with("OTEL_") {
            variables.insert(word.to_owned());
        }
    }
    // What all commands have stands in docs/cli.md.
    flags.retain(|flag| !matches!(flag.as_str(), "help" | "color"));
    let rows = [rows("Where it listens"), rows("Limits")].concat();
    let told: BTreeSet<String> =
        rows.iter().map(|row| row[0].trim_start_matches("--").to_owned()).collect();
    assert_eq!(told, flags);
    let told: BTreeSet<String> =
        rows.iter().map(|row| row[1].clone()).filter(|name| name != "none").collect();
    assert_eq!(told, variables);
}
