//! A condition's value: CEL over the declared parameters, with the values that are there.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use cel::{Context as CelContext, Env, Program, Value as CelValue};
use serde_json::Value as Json;

use super::value::Value;
use crate::model::form::{Condition, ParameterType};
use crate::model::tuple::Context;

/// CEL's own functions, built once: building them costs more than a condition.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Evaluates a condition. `stored` values win over the request's. A value that is not there, or not
/// of the declared type, is missing; if the result is then unknown, the missing names are added to
/// `missing`.
pub(super) fn evaluate(
    condition: &Condition,
    stored: Option<&Context>,
    request: &Context,
    missing: &mut BTreeSet<String>,
) -> Value {
    let mut scope = CelContext::with_env(Arc::clone(&STANDARD));
    let mut absent = Vec::new();
    for (name, parameter) in &condition.parameters {
        let given = stored.and_then(|values| values.get(name)).or_else(|| request.get(name));
        match given.and_then(|value| convert(value, parameter)) {
            Some(value) => {
                scope.add_variable_from_value(name.clone(), value);
            }
            None => absent.push(name),
        }
    }
    match condition.program.execute(&scope) {
        Ok(CelValue::Bool(yes)) => Value::from_bool(yes),
        Ok(_) | Err(_) => {
            if absent.is_empty() {
                missing.insert(format!("condition:{}", condition.name));
            } else {
                missing.extend(absent.into_iter().cloned());
            }
            Value::MISSING
        }
    }
}

fn convert(value: &Json, wanted: &ParameterType) -> Option<CelValue> {
    Some(match wanted {
        ParameterType::Bool => CelValue::Bool(value.as_bool()?),
        ParameterType::Int => CelValue::Int(integer(value)?),
        ParameterType::Uint => CelValue::UInt(unsigned(value)?),
        ParameterType::Double => CelValue::Float(value.as_f64()?),
        ParameterType::String => CelValue::String(Arc::new(value.as_str()?.to_owned())),
        ParameterType::Timestamp => by_cel("timestamp(text)", value.as_str()?)?,
        ParameterType::Duration => by_cel("duration(text)", value.as_str()?)?,
        ParameterType::List(of) => {
            let items: Option<Vec<CelValue>> =
                value.as_array()?.iter().map(|item| convert(item, of)).collect();
            CelValue::List(Arc::new(items?))
        }
        ParameterType::Map(of) => {
            let entries: Option<HashMap<String, CelValue>> = value
                .as_object()?
                .iter()
                .map(|(key, item)| Some((key.clone(), convert(item, of)?)))
                .collect();
            CelValue::Map(entries?.into())
        }
    })
}

/// Struct numbers are doubles: an integral one within the range where doubles are exact is an integer.
fn integer(value: &Json) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Json::Number(number) => number.as_i64().or_else(|| {
            let double = number.as_f64()?;
            #[expect(clippy::cast_possible_truncation, reason = "integral and within 2^53")]
            let whole = (double.fract() == 0.0 && double.abs() <= EXACT).then_some(double as i64);
            whole
        }),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn unsigned(value: &Json) -> Option<u64> {
    match value {
        Json::String(text) => text.parse().ok(),
        Json::Number(number) => {
            number.as_u64().or_else(|| integer(value).and_then(|whole| u64::try_from(whole).ok()))
        }
        _ => None,
    }
}

/// CEL reads its own time formats, so that a value means the same here and in a condition's text.
fn by_cel(reader: &str, text: &str) -> Option<CelValue> {
    let program = Program::compile(reader).ok()?;
    let mut scope = CelContext::with_env(Arc::clone(&STANDARD));
    scope.add_variable_from_value("text", text.to_owned());
    program.execute(&scope).ok()
}
