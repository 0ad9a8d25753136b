//! The three values, and a condition's value: CEL over what is present and declared. Must not know the
//! tuples nor how a decision is made.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Not;
use std::sync::Arc;

use bailiwick::model::form::{Condition, ParameterType};
use bailiwick::model::tuple::Context;
use cel::ExecutionError;
use cel::extractors::This;
use cel::objects::Opaque;
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
    /// CEL's own functions and ours, made once: a scope within it is cheap.
    static FUNCTIONS: cel::Context<'static, 'static> = {
        let mut functions = cel::Context::default();
        functions.add_function("in_cidr", in_cidr).unwrap();
        functions
    };
}

/// An address as 128 bits; IPv4 is where IPv6 has a place for it.
#[derive(Debug, PartialEq, Eq)]
struct Bits(u128);

impl Opaque for Bits {
    fn runtime_type_name(&self) -> &str {
        "the oracle's address"
    }
}

/// Where IPv4 begins: `::ffff:0:0`.
const MAPPED: u128 = 0xffff_0000_0000;

fn bits(text: &str) -> Option<u128> {
    match text.parse::<Ipv4Addr>() {
        Ok(v4) => Some(v4.octets().iter().fold(0xffff, |sum, octet| sum << 8 | u128::from(*octet))),
        Err(_) => {
            let v6 = text.parse::<Ipv6Addr>().ok()?;
            Some(v6.segments().iter().fold(0, |sum, segment| sum << 16 | u128::from(*segment)))
        }
    }
}

/// Compares bit by bit. A range wider than all of IPv4 is one of IPv6, and has no IPv4 in it.
#[expect(clippy::needless_pass_by_value, reason = "CEL gives what it calls with")]
fn in_cidr(
    This(address): This<Arc<dyn Opaque>>,
    range: Arc<String>,
) -> Result<bool, ExecutionError> {
    let wrong = || ExecutionError::function_error("in_cidr", "no range");
    let Bits(address) = address.downcast_ref().ok_or_else(wrong)?;
    let (base, count) = range.split_once('/').ok_or_else(wrong)?;
    let count: usize = count.parse().map_err(|_| wrong())?;
    let count = if base.contains(':') { count } else { count + 96 };
    let base = bits(base).ok_or_else(wrong)?;
    let bit = |of: u128, at: usize| of >> (127 - at) & 1;
    if count > 128 || (count..128).any(|at| bit(base, at) == 1) {
        return Err(wrong());
    }
    let v4_in_v6 = address >> 32 == MAPPED >> 32 && count < 96;
    Ok(!v4_in_v6 && (0..count).all(|at| bit(base, at) == bit(*address, at)))
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
        (ParameterType::Double, Json::String(s)) => {
            let is_json = serde_json::from_str::<Json>(s).is_ok_and(|v| v.is_number());
            s.parse().ok().filter(|_| is_json).map(cel::Value::Float)
        }
        (ParameterType::String, Json::String(s)) => Some(cel::Value::String(Arc::new(s.clone()))),
        (ParameterType::IpAddress, Json::String(s)) => {
            bits(s).map(|bits| cel::Value::Opaque(Arc::new(Bits(bits))))
        }
        (
            ParameterType::Bool
            | ParameterType::Int
            | ParameterType::Double
            | ParameterType::String
            | ParameterType::IpAddress,
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
