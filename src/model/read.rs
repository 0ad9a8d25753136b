//! Reads `model.yaml` into [`Source`]: which keys there are and what each may hold. Knows the shape of
//! the file, not what its names mean.

use super::files::MODEL_FILE;
use super::problem::{Position, Report};
use super::source::{
    AskedSource, CellSource, DefinitionSource, MatrixSource, ParameterSource, RowSource,
    RowsSource, Source,
};
use super::yaml::{Fields, Kind, Node, Word};
use super::{read_delegation, read_types, yaml};

const KEYS: [&str; 13] = [
    "model",
    "parameters",
    "types",
    "facts",
    "conditions",
    "roles",
    "gates",
    "matrices",
    "asked",
    "permissions",
    "names",
    "delegation",
    "constraints",
];

/// Reads the file's text; what cannot be read is reported and left out.
pub(super) fn read(text: &str, report: &mut Report) -> Source {
    let mut source = Source::default();
    let Some(root) = yaml::parse(MODEL_FILE, text, report) else { return source };
    let fields = root.fields("a model", &KEYS, report);
    if let Some(node) = fields.need("model", "a model", report)
        && let Some(name) = node.text("the model's name", report)
    {
        // It stands in single lines: of logs, of pages for probes.
        if name.text.chars().any(char::is_control) {
            report.push(
                &name.at,
                format!("`{}` is no name: it has control characters", name.quoted()),
            );
        }
        source.name.clone_from(&name.text);
    }
    if let Some(node) = fields.need("types", "a model", report) {
        source.types = read_types::types(node, report);
    }
    read_types::read(&fields, &mut source, report);
    if let Some(node) = fields.get("parameters") {
        source.parameters = parameters(node, report);
    }
    if let Some(node) = fields.get("gates") {
        source.gates = word_pairs(node, "a map of gates", "the expression of a gate", report);
    }
    if let Some(node) = fields.get("matrices") {
        let items = node.list("a list of matrices", report);
        source.matrices = items.iter().filter_map(|item| matrix(item, report)).collect();
    }
    if let Some(node) = fields.get("asked") {
        let items = node.list("a list of gates at the scope asked", report);
        source.asked = items.iter().filter_map(|item| asked(item, report)).collect();
    }
    if let Some(node) = fields.get("permissions") {
        source.permissions = definitions(node, "a permission", report);
    }
    if let Some(node) = fields.get("names") {
        source.names = definitions(node, "a computed name", report);
    }
    read_delegation::read(&fields, &mut source, report);
    source
}

/// A list of type names.
pub(super) fn type_list(node: &Node, report: &mut Report) -> Vec<Word> {
    node.words("a list of types", "a type", report)
}

/// A map of texts to texts.
pub(super) fn word_pairs(
    node: &Node,
    expected: &str,
    value: &str,
    report: &mut Report,
) -> Vec<(Word, Word)> {
    let mut pairs = Vec::new();
    for (key, node) in node.entries(expected, report) {
        if let Some(word) = node.text(value, report) {
            pairs.push((key.clone(), word.clone()));
        }
    }
    pairs
}

fn parameters(node: &Node, report: &mut Report) -> Vec<(Word, ParameterSource)> {
    let mut parameters = Vec::new();
    for (name, node) in node.entries("a map of parameters", report) {
        let value = if matches!(node.kind, Kind::List(_)) {
            ParameterSource::Patterns(node.words("a list of patterns", "a pattern", report))
        } else {
            // A parameter with a fault is declared nonetheless: its uses are not faults.
            let value = node.boolean("a boolean or a list of row patterns", report);
            ParameterSource::Bool(value.unwrap_or(false))
        };
        parameters.push((name.clone(), value));
    }
    parameters
}

fn matrix(node: &Node, report: &mut Report) -> Option<MatrixSource> {
    let known = ["name", "file", "at", "bound", "columns", "gate", "whole_matrix", "rows", "cells"];
    let fields = node.fields("a matrix", &known, report);
    let name = fields.need("name", "a matrix", report);
    let name = name.and_then(|node| node.text("the matrix' name", report)).cloned();
    let file = fields.need("file", "a matrix", report);
    let file = file.and_then(|node| node.text("the name of a CSV file", report)).cloned();
    let word = |key, expected, report: &mut Report| {
        fields.get(key).and_then(|node: &Node| node.text(expected, report)).cloned()
    };
    Some(MatrixSource {
        name: name?,
        file: file?,
        at: fields.get("at").map_or_else(Vec::new, |node| type_list(node, report)),
        bound: word("bound", "the type that the columns' roles are bound on", report),
        columns: fields.get("columns").map_or_else(Vec::new, |node| {
            word_pairs(node, "a map of columns", "`role@type`", report)
        }),
        gate: word("gate", "the expression of a gate", report),
        whole: fields
            .get("whole_matrix")
            .map_or_else(Vec::new, |node| node.words("a list of columns", "a column", report)),
        rows: rows(&fields, report),
        cells: cells(&fields, report),
    })
}

fn rows(matrix: &Fields<'_>, report: &mut Report) -> Vec<RowSource> {
    let Some(node) = matrix.get("rows") else { return Vec::new() };
    let mut rows = Vec::new();
    for (pattern, node) in node.entries("a map of row patterns", report) {
        let fields = node.fields("a row", &["at", "reach", "levels"], report);
        rows.push(RowSource {
            pattern: pattern.clone(),
            at: fields.get("at").map(|node| type_list(node, report)),
            reach: fields.get("reach").and_then(|node| node.text("a reach", report)).cloned(),
            levels: fields
                .get("levels")
                .and_then(|node| Some((node.integer("a number of levels", report)?, node.clone()))),
        });
    }
    rows
}

fn cells(matrix: &Fields<'_>, report: &mut Report) -> Vec<CellSource> {
    let Some(node) = matrix.get("cells") else { return Vec::new() };
    let mut cells = Vec::new();
    for (row, node) in node.entries("a map of rows", report) {
        for (column, node) in node.entries("a map of columns", report) {
            // `yes` is a text in YAML 1.2, `true` a boolean; both say the same.
            let value = match &node.kind {
                Kind::Bool(value) => {
                    let text = if *value { "yes" } else { "no" };
                    Some(Word::on_line(text, &node.at))
                }
                _ => node.text("`yes`, `no` or a boolean parameter", report).cloned(),
            };
            if let Some(value) = value {
                cells.push(CellSource { row: row.clone(), column: column.clone(), value });
            }
        }
    }
    cells
}

fn asked(node: &Node, report: &mut Report) -> Option<AskedSource> {
    let fields = node.fields("an entry of `asked`", &["rows", "gate"], report);
    let rows = fields.need("rows", "an entry of `asked`", report);
    let rows = rows.and_then(|node| asked_rows(node, report));
    let gate = fields.need("gate", "an entry of `asked`", report);
    let gate = gate.and_then(|node| node.text("the expression of a gate", report)).cloned();
    Some(AskedSource { rows: rows?, gate: gate? })
}

fn asked_rows(node: &Node, report: &mut Report) -> Option<RowsSource> {
    Some(match &node.kind {
        Kind::Text(word) => RowsSource::Patterns(vec![word.clone()]),
        Kind::Map(_) => {
            let fields = node.fields("`rows`", &["parameter"], report);
            let parameter = fields.need("parameter", "`rows`", report)?;
            RowsSource::Parameter(parameter.text("a parameter", report)?.clone())
        }
        _ => {
            let expected = "a pattern, a list of patterns or `{ parameter: name }`";
            RowsSource::Patterns(node.words(expected, "a pattern", report))
        }
    })
}

fn definitions(node: &Node, what: &str, report: &mut Report) -> Vec<DefinitionSource> {
    let mut definitions = Vec::new();
    for (name, node) in node.entries(&format!("a map of {}s", &what_plural(what)), report) {
        let fields = node.fields(what, &["at", "is"], report);
        let at = fields.need("at", what, report).map(|node| type_list(node, report));
        let is = fields.need("is", what, report);
        let is = is.and_then(|node| node.text("an expression", report)).cloned();
        if let (Some(at), Some(is)) = (at, is) {
            check_some(&at, fields.at, what, report);
            definitions.push(DefinitionSource { name: name.clone(), at, is });
        }
    }
    definitions
}

fn what_plural(what: &str) -> String {
    what.trim_start_matches("a ").to_owned()
}

/// An empty list of types says that a thing is nowhere: a slip.
pub(super) fn check_some(at: &[Word], place: &Position, what: &str, report: &mut Report) {
    if at.is_empty() {
        report.push(place, format!("{what} needs at least one type in `at`"));
    }
}
