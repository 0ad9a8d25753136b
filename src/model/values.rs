//! JSON values as CEL has them, by the declared type of a parameter, and the functions that conditions
//! have beside CEL's own. One reading for admission, which refuses what cannot be read, and for
//! evaluation, which takes it as missing.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelString, STRING_TYPE, Type};
use cel::common::value::CowVal;
use cel::objects::Opaque;
use cel::{Context as CelContext, Env, ExecutionError, Value as CelValue};
use serde_json::Value as Json;

use super::address::{Address, Range};
use super::form::ParameterType;

/// The largest integer that a double stands for alone: 2^53 - 1. From 2^53 on an integral double may have
/// been another integer before it was rounded.
pub const LARGEST_EXACT_INTEGER: u64 = (1 << 53) - 1;

/// The name of the function `ADDRESS.in_cidr(RANGE)`.
pub(super) const IN_CIDR: &str = "in_cidr";

/// The name by which CEL tells values of the type apart.
const IP_ADDRESS: &str = "ipaddress";

/// The functions, declared once: declaring them costs more than a condition.
static FUNCTIONS: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    let address = Type::new_opaque_type(IP_ADDRESS);
    // Refused is a second declaration only; and what is not declared is an error in each use: unknown.
    let _declared = env.add_member_overload(IN_CIDR, IN_CIDR, address, vec![STRING_TYPE], in_cidr);
    Arc::new(env)
});

/// A scope with the functions of conditions and no variables.
#[must_use]
pub fn standard_scope() -> CelContext<'static, 'static> {
    CelContext::with_env(Arc::clone(&FUNCTIONS))
}

impl Opaque for Address {
    fn runtime_type_name(&self) -> &str {
        IP_ADDRESS
    }
}

/// `ADDRESS.in_cidr(RANGE)`. CEL calls it only with arguments of the declared types; a text that is no
/// range is an error, never a no.
fn in_cidr<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [address, range]: [CowVal<'b, 'v>; 2] = arguments
        .try_into()
        .map_err(|other: Vec<_>| ExecutionError::invalid_argument_count(2, other.len()))?;
    let Ok(CelValue::Opaque(address)) = CelValue::try_from(address.as_ref()) else {
        return Err(ExecutionError::function_error(IN_CIDR, "expected an address"));
    };
    let address = address.downcast_ref::<Address>().copied();
    let (Some(address), Some(range)) = (address, range.downcast_ref::<CelString<'_>>()) else {
        return Err(ExecutionError::function_error(IN_CIDR, "expected an address and a range"));
    };
    let range = Range::parse(range.inner())
        .map_err(|error| ExecutionError::function_error(IN_CIDR, error))?;
    Ok(CowVal::owned(CelBool::from(range.contains(address))))
}

/// Why this text is no pattern of `matches`.
pub(super) fn pattern_error(pattern: &str) -> Option<String> {
    let arguments = vec![text(""), text(pattern)];
    let matches = FUNCTIONS.find_overload("matches", &arguments)?;
    matches(arguments).err().map(|error| match error {
        ExecutionError::FunctionError { message, .. } => message,
        other => other.to_string(),
    })
}

/// The value as the type has it; `None`: it is of another type.
#[must_use]
pub fn convert(value: &Json, wanted: &ParameterType) -> Option<CelValue> {
    Some(match wanted {
        ParameterType::Bool => CelValue::Bool(value.as_bool()?),
        ParameterType::Int => CelValue::Int(integer(value)?),
        ParameterType::Uint => CelValue::UInt(unsigned(value)?),
        ParameterType::Double => CelValue::Float(double(value)?),
        ParameterType::String => CelValue::String(Arc::new(value.as_str()?.to_owned())),
        ParameterType::Timestamp => read("timestamp", value.as_str()?)?,
        ParameterType::Duration => read("duration", value.as_str()?)?,
        ParameterType::IpAddress => CelValue::Opaque(Arc::new(Address::parse(value.as_str()?)?)),
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

/// About how many bytes the value takes as JSON: what looking at all of it costs.
#[must_use]
pub fn weight(value: &Json) -> u64 {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
        Json::String(text) => 2 + text.len() as u64,
        Json::Array(items) => items.iter().fold(2, |sum, item| sum + 1 + weight(item)),
        Json::Object(entries) => {
            entries.iter().fold(2, |sum, (key, item)| sum + 4 + key.len() as u64 + weight(item))
        }
    }
}

/// Struct numbers are doubles: an integral one within the range where doubles are exact is an integer.
fn integer(value: &Json) -> Option<i64> {
    match value {
        Json::Number(number) => number.as_i64().or_else(|| exact_integer(number.as_f64()?)),
        Json::String(text) => decimal(text),
        _ => None,
    }
}

/// Digits, and a minus where the type has one; Rust alone takes a plus too.
fn decimal<T: std::str::FromStr>(text: &str) -> Option<T> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

/// The integer that this double stands for, if it is one and no other integer is rounded to it.
#[must_use]
pub fn exact_integer(double: f64) -> Option<i64> {
    const END: f64 = (LARGEST_EXACT_INTEGER + 1) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "integral and within 2^53")]
    let whole = (double.fract() == 0.0 && double.abs() < END).then_some(double as i64);
    whole
}

/// A number, or one in a string, as the clients write what a double of a Struct would round.
fn double(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        // JSON's own syntax: no `inf`, no `nan`, and no more digits than there are.
        Json::String(text) => text.parse::<serde_json::Number>().ok()?.as_f64(),
        _ => None,
    }
}

fn unsigned(value: &Json) -> Option<u64> {
    match value {
        Json::String(text) => decimal(text),
        Json::Number(number) => {
            number.as_u64().or_else(|| integer(value).and_then(|whole| u64::try_from(whole).ok()))
        }
        _ => None,
    }
}

/// CEL reads its own time formats, so that a value means the same here and in a condition's text.
fn read(function: &str, from: &str) -> Option<CelValue> {
    let arguments = vec![text(from)];
    let function = FUNCTIONS.find_overload(function, &arguments)?;
    CelValue::try_from(function(arguments).ok()?.as_ref()).ok()
}

fn text(from: &str) -> CowVal<'_, '_> {
    CowVal::owned(CelString::from(from))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_weighs_about_what_it_takes_as_json() {
        for value in [
            json!(null),
            json!("x".repeat(1_000)),
            json!(vec![1; 1_000]),
            json!(vec!["ab"; 1_000]),
            json!({ "a": { "b": ["c", 1, true] }, "key".repeat(100): [[[]]] }),
        ] {
            let bytes = value.to_string().len() as u64;
            assert!((bytes..=8 * bytes).contains(&weight(&value)), "{bytes}: {}", weight(&value));
        }
    }
}
