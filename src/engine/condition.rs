//! A condition's value: CEL over the declared parameters, with the values that are there.

use std::collections::BTreeSet;

use cel::Value as CelValue;

use super::value::Value;
use crate::model::form::Condition;
use crate::model::tuple::Context;
use crate::model::values::{convert, standard_scope};

/// Evaluates a condition. `stored` values win over the request's. A value that is not there, or not
/// of the declared type, is missing; if the result is then unknown, the missing names are added to
/// `missing`.
pub(super) fn evaluate(
    condition: &Condition,
    stored: Option<&Context>,
    request: &Context,
    missing: &mut BTreeSet<String>,
) -> Value {
    let mut scope = standard_scope();
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
