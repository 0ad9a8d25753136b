//! Wire values as people and programs read them. Knows no connection.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use serde_json::{Map, Value as Json, json};

use super::CliError;
use crate::api::pb::v1 as pb;
use crate::api::values::Values;
use crate::model::values::exact_integer;

/// `ALLOW` or `DENY`.
pub(super) fn decision(wire: i32) -> &'static str {
    bare(pb::Decision::try_from(wire).unwrap_or_default().as_str_name(), "DECISION_")
}

/// `GRANTED`, `NOT_GRANTED` ...
pub(super) fn reason(wire: i32) -> &'static str {
    bare(pb::Reason::try_from(wire).unwrap_or_default().as_str_name(), "REASON_")
}

fn bare(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

/// `scope#role@subject`.
pub(super) fn tuple(tuple: &pb::Tuple) -> String {
    format!("{}#{}@{}", tuple.scope, tuple.role, tuple.subject)
}

/// A tuple on one line, with all that it carries.
///
/// # Errors
/// It carries values that are none.
pub(super) fn tuple_line(wire: &pb::Tuple) -> Result<String, CliError> {
    let mut line = tuple(wire);
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            line.push_str(&format!("  {name}={value}"));
        }
    };
    add("source", &wire.source);
    if let Some(end) = &wire.expires_at {
        add("expires_at", &end.to_string());
    }
    if let Some(condition) = &wire.condition {
        let context = condition.context.as_ref().map(context_json).transpose()?.unwrap_or_default();
        let context = if context.is_empty() { String::new() } else { json!(context).to_string() };
        add("condition", &format!("{}{context}", condition.name));
    }
    // Free texts are quoted, so that none can look like another field.
    let quoted = |text: &str| if text.is_empty() { String::new() } else { format!("{text:?}") };
    add("grantor", &quoted(&wire.grantor));
    add("reason", &quoted(&wire.reason));
    if let Some(at) = &wire.granted_at {
        add("granted_at", &at.to_string());
    }
    Ok(line)
}

/// A tuple for programs; what is not set is left out.
///
/// # Errors
/// It carries values that are none.
pub(super) fn tuple_json(wire: &pb::Tuple) -> Result<Json, CliError> {
    let mut map = Map::new();
    map.insert("scope".into(), json!(wire.scope));
    map.insert("role".into(), json!(wire.role));
    map.insert("subject".into(), json!(wire.subject));
    for (name, value) in
        [("source", &wire.source), ("grantor", &wire.grantor), ("reason", &wire.reason)]
    {
        if !value.is_empty() {
            map.insert(name.into(), json!(value));
        }
    }
    for (name, time) in [("expires_at", &wire.expires_at), ("granted_at", &wire.granted_at)] {
        if let Some(time) = time {
            map.insert(name.into(), json!(time.to_string()));
        }
    }
    if let Some(condition) = &wire.condition {
        let context = condition.context.as_ref().map(context_json).transpose()?.unwrap_or_default();
        map.insert("condition".into(), json!({ "name": condition.name, "context": context }));
    }
    Ok(Json::Object(map))
}

/// Values as a JSON object.
///
/// # Errors
/// They are none: nothing that is shown may lack what is there.
pub(super) fn context_json(wire: &Values) -> Result<Map<String, Json>, CliError> {
    let failed = |error| CliError::failed(format!("the values of a condition: {error}"));
    Ok(fields_json(&wire.read().map_err(failed)?))
}

fn fields_json(wire: &Struct) -> Map<String, Json> {
    wire.fields.iter().map(|(key, value)| (key.clone(), value_json(value))).collect()
}

fn value_json(wire: &Value) -> Json {
    match &wire.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(value)) => json!(value),
        Some(Kind::NumberValue(value)) => number_json(*value),
        Some(Kind::StringValue(value)) => json!(value),
        Some(Kind::ListValue(list)) => list.values.iter().map(value_json).collect(),
        Some(Kind::StructValue(value)) => Json::Object(fields_json(value)),
    }
}

/// A double as JSON; an exact integer without a fraction, as people write it.
fn number_json(value: f64) -> Json {
    exact_integer(value).map_or_else(|| json!(value), |integer| json!(integer))
}

/// Rows in columns that are as wide as they must be, nothing cut; the first row is the header. Each
/// padded cell below it is painted by its column.
pub(super) fn table<const N: usize>(
    rows: &[[String; N]],
    paint: impl Fn(usize, String) -> String,
) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (column, (width, cell)) in widths.iter().zip(row).enumerate() {
            let cell = format!("{cell:<width$}");
            line.push_str(&if number == 0 { cell } else { paint(column, cell) });
            line.push_str("  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Why a CSV record could not be written.
pub(super) fn csv_failed(error: csv::Error) -> CliError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => CliError::Output(error),
        other => CliError::Failed(format!("cannot write CSV: {other:?}")),
    }
}
