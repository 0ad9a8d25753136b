//! JSON values as CEL has them, by the declared type of a parameter. One reading for admission, which
//! refuses what cannot be read, and for evaluation, which takes it as missing.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::{Context as CelContext, Env, Program, Value as CelValue};
use serde_json::Value as Json;

use super::form::ParameterType;

/// CEL's own functions, built once: building them costs more than a condition.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A scope with CEL's own functions and no variables.
#[must_use]
pub fn standard_scope() -> CelContext<'static, 'static> {
    CelContext::with_env(Arc::clone(&STANDARD))
}

/// The value as the type has it; `None`: it is of another type.
#[must_use]
pub fn convert(value: &Json, wanted: &ParameterType) -> Option<CelValue> {
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
    let mut scope = standard_scope();
    scope.add_variable_from_value("text", text.to_owned());
    program.execute(&scope).ok()
}
