//! The three values, and a condition's value: CEL over what is present and declared. Must not know the
//! tuples nor how a decision is made.

use std::ops::Not;
use std::sync::Arc;

use bailiwick::model::form::{Condition, ParameterType};
use bailiwick::model::tuple::Context;
use serde_json::Value as Json;

use super::coverage::{Mark, Marks};
use super::eval::Outcome;

/// no < unknown < yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    No,
    Unknown,
    Yes,
}

impl Not for Value {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown => Self::Unknown,
            Self::Yes => Self::No,
        }
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

thread_local! {
    /// CEL's own functions, made once: a scope within it is cheap.
    static FUNCTIONS: cel::Context<'static, 'static> = cel::Context::default();
}

/// A condition over the values stored beside it, which win, and the request's.
pub(super) fn condition(def: &Condition, stored: &Context, request: &Context) -> Outcome {
    FUNCTIONS.with(|functions| {
        let mut marks = Marks::NONE;
        let mut bound = functions.new_inner_scope();
        for (name, of) in &def.parameters {
            marks.add_if(stored.contains_key(name), Mark::StoredContext);
            let given = stored.get(name).or_else(|| request.get(name));
            match given.and_then(|json| convert(json, of)) {
                Some(value) => bound.add_variable_from_value(name.as_str(), value),
                None => marks.add(Mark::MissingContext),
            }
        }
        let value = match def.program.execute(&bound) {
            Ok(cel::Value::Bool(yes)) => Value::from(yes),
            Ok(_) | Err(_) => Value::Unknown,
        };
        Outcome { value, marks }
    })
}

/// A value as its declared type; nothing if it is of another.
fn convert(json: &Json, of: &ParameterType) -> Option<cel::Value> {
    match (of, json) {
        (ParameterType::Bool, Json::Bool(b)) => Some(cel::Value::Bool(*b)),
        (ParameterType::Int, Json::Number(_)) => {
            json.as_i64().or_else(|| integral(json)).map(cel::Value::Int)
        }
        (ParameterType::Int, Json::String(s)) => s.parse().ok().map(cel::Value::Int),
        (ParameterType::Double, Json::Number(n)) => n.as_f64().map(cel::Value::Float),
        (ParameterType::String, Json::String(s)) => Some(cel::Value::String(Arc::new(s.clone()))),
        (
            ParameterType::Bool
            | ParameterType::Int
            | ParameterType::Double
            | ParameterType::String,
            _,
        ) => None,
        // Worlds have none of the others; guessing at them would only look like an oracle.
        _ => panic!("the oracle converts no {of:?}"),
    }
}

/// 9.0 is the integer 9: numbers of a request are doubles on the wire.
fn integral(json: &Json) -> Option<i64> {
    let double = json.as_f64()?;
    if double.fract() != 0.0 {
        return None;
    }
    format!("{double:.0}").parse().ok()
}
