//! A condition's value: CEL over the declared parameters, with the values that are there.

use std::collections::BTreeSet;

use cel::{Context as CelContext, ExecutionError, Value as CelValue};

use super::value::Value;
use crate::model::form::Condition;
use crate::model::tuple::Context;
use crate::model::values::{convert, standard_scope, weight};

/// The request's values as one condition has them, converted once for all tuples that carry it.
pub(super) struct Requested {
    scope: CelContext<'static, 'static>,
    /// The parameters of which the request has no value, or none of the declared type.
    absent: Vec<String>,
    /// What converting cost, in about bytes looked at.
    pub(super) cost: u64,
}

impl std::fmt::Debug for Requested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requested").field("absent", &self.absent).finish_non_exhaustive()
    }
}

impl Requested {
    pub(super) fn new(condition: &Condition, request: &Context) -> Self {
        let (mut scope, mut absent, mut cost) = (standard_scope(), Vec::new(), 0);
        for (name, parameter) in &condition.parameters {
            let given = request.get(name);
            cost += given.map_or(0, weight);
            match given.and_then(|value| convert(value, parameter)) {
                Some(value) => scope.add_variable_from_value(name.clone(), value),
                None => absent.push(name.clone()),
            }
        }
        Self { scope, absent, cost }
    }

    /// The condition's value with the request's values alone. What was missing is added to `missing` if
    /// the value is unknown.
    pub(super) fn evaluate(&self, condition: &Condition, missing: &mut BTreeSet<String>) -> Value {
        let outcome = condition.program.execute(&self.scope);
        value_of(&outcome, condition, self.absent.iter(), missing)
    }

    /// The same with the values stored on a tuple, which win.
    pub(super) fn evaluate_with(
        &self,
        condition: &Condition,
        stored: &Context,
        missing: &mut BTreeSet<String>,
    ) -> Value {
        let mut scope = self.scope.new_inner_scope();
        for (name, parameter) in &condition.parameters {
            let Some(given) = stored.get(name) else { continue };
            let Some(value) = convert(given, parameter) else {
                // Admission lets no such value be stored; the request's must not stand in for it.
                missing.insert(name.clone());
                return Value::MISSING;
            };
            scope.add_variable_from_value(name.clone(), value);
        }
        let absent = self.absent.iter().filter(|name| !stored.contains_key(*name));
        value_of(&condition.program.execute(&scope), condition, absent, missing)
    }
}

/// What looking at stored values costs, in about bytes looked at.
pub(super) fn stored_cost(stored: &Context) -> u64 {
    stored.values().map(weight).sum()
}

fn value_of<'a>(
    outcome: &Result<CelValue, ExecutionError>,
    condition: &Condition,
    absent: impl Iterator<Item = &'a String>,
    missing: &mut BTreeSet<String>,
) -> Value {
    match outcome {
        Ok(CelValue::Bool(yes)) => Value::from_bool(*yes),
        Ok(_) | Err(_) => {
            let mut absent = absent.peekable();
            if absent.peek().is_none() {
                missing.insert(format!("condition:{}", condition.name));
            }
            missing.extend(absent.cloned());
            Value::MISSING
        }
    }
}
