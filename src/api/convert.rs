//! Wire values to the nouns of `model` and back. The field's path is in each error. Knows no model:
//! whether a name exists is decided below.

use std::fmt::{self, Display};

use prost::{DecodeError, Message as _};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};
use serde_json::Value as Json;

use super::pb::v1 as pb;
use super::status::{ApiError, Refusal};
use super::values::Values;
use crate::engine::{ContextualError, Decision, Grant, Reason};
use crate::model::limits::{
    CARRIED_BYTES_MAX, CONTEXT_BYTES_MAX, CONTEXT_DEPTH_MAX, CONTEXT_WIRE_BYTES_MAX,
    CONTEXTUAL_TUPLES_MAX,
};
use crate::model::names::{Name, Object, Subject, quoted};
use crate::model::tuple::{Context, Time, Tuple, TupleCondition, TupleKey};
use crate::model::values::{LARGEST_EXACT_INTEGER, exact_integer};
use crate::pdp::{
    Consistency, IdempotencyKey, Must, Precondition, TokenError, TupleFilter, WriteChange,
};

/// Seconds of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: the range of a protobuf timestamp.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// A request's values for conditions.
pub(super) fn context_from_wire(field: &str, wire: Option<Values>) -> Result<Context, ApiError> {
    let Some(wire) = wire else { return Ok(Context::new()) };
    let bytes = wire.encoded_len();
    if bytes > CONTEXT_WIRE_BYTES_MAX {
        let what = format!(
            "it takes {bytes} bytes on the wire, the limit is {CONTEXT_WIRE_BYTES_MAX}, and \
             {CONTEXT_BYTES_MAX} as JSON"
        );
        let error = ApiError::field(Refusal::ContextTooLarge, field, what);
        return Err(error.with("limit_bytes", &CONTEXT_BYTES_MAX));
    }
    let malformed =
        |error: DecodeError| ApiError::new(Refusal::MalformedRequest, format!("{field}: {error}"));
    let wire = wire.read().map_err(malformed)?;
    let context = object_from_wire(field, wire, 1)?;
    if context.is_empty() {
        return Ok(context);
    }
    let bytes = serde_json::to_string(&context).map_or(usize::MAX, |text| text.len());
    if bytes > CONTEXT_BYTES_MAX {
        let what = format!("it takes {bytes} bytes, the limit is {CONTEXT_BYTES_MAX}");
        let error = ApiError::field(Refusal::ContextTooLarge, field, what);
        return Err(error.with("limit_bytes", &CONTEXT_BYTES_MAX));
    }
    Ok(context)
}

fn object_from_wire(field: &str, wire: Struct, depth: usize) -> Result<Context, ApiError> {
    // The decoder bounds nesting as well, but at a depth that is its own affair.
    if depth > CONTEXT_DEPTH_MAX {
        let what = format!("it is nested more than {CONTEXT_DEPTH_MAX} deep");
        let error = ApiError::field(Refusal::ContextTooLarge, field, what);
        return Err(error.with("limit_depth", &CONTEXT_DEPTH_MAX));
    }
    let convert = |(key, value): (String, Value)| {
        let path = format!("{field}.{}", quoted(&key));
        value_from_wire(&path, value, depth).map(|value| (key, value))
    };
    wire.fields.into_iter().map(convert).collect()
}

fn value_from_wire(field: &str, wire: Value, depth: usize) -> Result<Json, ApiError> {
    match wire.kind {
        // The JSON form of an empty value is null; only a hand-made message can lack a kind.
        None | Some(Kind::NullValue(_)) => Ok(Json::Null),
        Some(Kind::BoolValue(value)) => Ok(Json::Bool(value)),
        Some(Kind::StringValue(value)) => Ok(Json::String(value)),
        Some(Kind::NumberValue(value)) => number_from_wire(field, value),
        Some(Kind::StructValue(value)) => {
            Ok(Json::Object(object_from_wire(field, value, depth + 1)?.into_iter().collect()))
        }
        Some(Kind::ListValue(list)) => {
            if depth >= CONTEXT_DEPTH_MAX {
                let what = format!("it is nested more than {CONTEXT_DEPTH_MAX} deep");
                let error = ApiError::field(Refusal::ContextTooLarge, field, what);
                return Err(error.with("limit_depth", &CONTEXT_DEPTH_MAX));
            }
            let items = list.values.into_iter().enumerate();
            items
                .map(|(i, value)| value_from_wire(&format!("{field}[{i}]"), value, depth + 1))
                .collect::<Result<_, _>>()
                .map(Json::Array)
        }
    }
}

fn number_from_wire(field: &str, value: f64) -> Result<Json, ApiError> {
    if let Some(integer) = exact_integer(value) {
        return Ok(Json::from(integer));
    }
    serde_json::Number::from_f64(value).map(Json::Number).ok_or_else(|| {
        ApiError::field(
            Refusal::InvalidField,
            field,
            format!("`{value}` is not a number that a condition can use"),
        )
    })
}

/// Values for conditions as the wire carries them.
#[must_use]
pub fn context_to_wire(context: &Context) -> Values {
    let fields = context.iter().map(|(key, value)| (key.clone(), value_to_wire(value)));
    Struct { fields: fields.collect() }.into()
}

fn value_to_wire(value: &Json) -> Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(*value),
        Json::String(value) => Kind::StringValue(value.clone()),
        Json::Number(number) => number_to_wire(number),
        Json::Array(values) => {
            Kind::ListValue(ListValue { values: values.iter().map(value_to_wire).collect() })
        }
        Json::Object(map) => {
            let fields = map.iter().map(|(key, value)| (key.clone(), value_to_wire(value)));
            Kind::StructValue(Struct { fields: fields.collect() })
        }
    };
    Value { kind: Some(kind) }
}

fn number_to_wire(number: &serde_json::Number) -> Kind {
    let integer = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
    match number.as_f64() {
        Some(value) if integer.is_none_or(|integer| integer <= LARGEST_EXACT_INTEGER) => {
            Kind::NumberValue(value)
        }
        // A double would round it; parameters of numbers read decimal strings.
        _ => Kind::StringValue(number.to_string()),
    }
}

/// A moment; what is finer than a microsecond is cut off, towards the past.
pub(super) fn time_from_wire(field: &str, wire: &Timestamp) -> Result<Time, ApiError> {
    if !TIMESTAMP_SECONDS.contains(&wire.seconds) || !(0..1_000_000_000).contains(&wire.nanos) {
        let what = format!(
            "`{} s {} ns` is no moment of the years 1 to 9999 with 0 to 999999999 nanoseconds",
            wire.seconds, wire.nanos
        );
        return Err(ApiError::field(Refusal::InvalidField, field, what));
    }
    Ok(Time(wire.seconds * 1_000_000 + i64::from(wire.nanos / 1_000)))
}

/// A moment as the wire carries it.
#[must_use]
pub fn time_to_wire(time: Time) -> Timestamp {
    let micros = time.0.rem_euclid(1_000_000);
    let nanos = i32::try_from(micros * 1_000).unwrap_or_default();
    Timestamp { seconds: time.0.div_euclid(1_000_000), nanos }
}

pub(super) fn missing(field: &str) -> ApiError {
    ApiError::field(Refusal::InvalidField, field, "it is missing")
}

/// A text that is stored and only carried: bounded, without control characters.
pub(super) fn carried(field: &str, text: String) -> Result<String, ApiError> {
    if text.len() > CARRIED_BYTES_MAX {
        let what = format!("`{}` is longer than {CARRIED_BYTES_MAX} bytes", quoted(&text));
        return Err(ApiError::field(Refusal::InvalidField, field, what));
    }
    if text.chars().any(char::is_control) {
        let what = format!("`{}` has a control character", quoted(&text));
        return Err(ApiError::field(Refusal::InvalidField, field, what));
    }
    Ok(text)
}

/// A source is the name of a system, or empty.
fn source_from_wire(field: impl Fn() -> String, text: &str) -> Result<String, ApiError> {
    if !text.is_empty() {
        Name::check(text).map_err(|error| ApiError::syntax(&field(), &error))?;
    }
    Ok(text.to_owned())
}

fn key_from_wire(path: impl Display, wire: &pb::Tuple) -> Result<TupleKey, ApiError> {
    let at = |field| format!("{path}.{field}");
    Ok(TupleKey {
        scope: Object::parse(&wire.scope).map_err(|e| ApiError::syntax(&at("scope"), &e))?,
        role: Name::parse(&wire.role).map_err(|e| ApiError::syntax(&at("role"), &e))?,
        subject: Subject::parse(&wire.subject).map_err(|e| ApiError::syntax(&at("subject"), &e))?,
        source: source_from_wire(|| at("source"), &wire.source)?,
    })
}

/// A tuple as the model has it; `path` is where it stands, for errors. No path is made where there is none:
/// a commit may have ten thousand tuples.
///
/// # Errors
/// A field is malformed.
pub fn tuple_from_wire(path: impl Display, wire: pb::Tuple) -> Result<Tuple, ApiError> {
    let at = |field| format!("{path}.{field}");
    let key = key_from_wire(&path, &wire)?;
    let carried = |field, text: String| match text.is_empty() {
        true => Ok(text),
        false => carried(&at(field), text),
    };
    let expires_at = wire.expires_at.map(|end| time_from_wire(&at("expires_at"), &end));
    let granted_at = wire.granted_at.map(|time| time_from_wire(&at("granted_at"), &time));
    let condition = wire.condition.map(|condition| {
        let name = Name::parse(&condition.name)
            .map_err(|e| ApiError::syntax(&at("condition.name"), &e))?;
        let context = context_from_wire(&at("condition.context"), condition.context)?;
        Ok::<_, ApiError>(TupleCondition { name, context })
    });
    Ok(Tuple {
        key,
        expires_at: expires_at.transpose()?,
        condition: condition.transpose()?,
        grantor: carried("grantor", wire.grantor)?,
        reason: carried("reason", wire.reason)?,
        granted_at: granted_at.transpose()?,
    })
}

/// Puts a request's values in order, so that the same request is always the same bytes. Values that are too large stay
/// as they are, unread: whoever reads them refuses them.
pub(super) fn values_in_order(context: &mut Option<Values>, tuples: &mut [pb::Tuple]) {
    let conditions = tuples.iter_mut().filter_map(|tuple| tuple.condition.as_mut());
    let of_tuples = conditions.filter_map(|condition| condition.context.as_mut());
    for values in context.iter_mut().chain(of_tuples) {
        if values.encoded_len() <= CONTEXT_WIRE_BYTES_MAX {
            *values = std::mem::take(values).in_order();
        }
    }
}

/// That a request brings no more tuples along than it may.
///
/// # Errors
/// There are more.
pub(super) fn few_contextual(wire: &[pb::Tuple]) -> Result<(), ApiError> {
    let (count, limit) = (wire.len(), CONTEXTUAL_TUPLES_MAX);
    if count > limit {
        return Err(ContextualError::TooMany { count, limit }.into());
    }
    Ok(())
}

/// The tuples that a request brings along.
pub(super) fn contextual_from_wire(wire: Vec<pb::Tuple>) -> Result<Vec<Tuple>, ApiError> {
    few_contextual(&wire)?;
    let tuples = wire.into_iter().enumerate();
    tuples.map(|(at, tuple)| tuple_from_wire(format!("contextual_tuples[{at}]"), tuple)).collect()
}

/// The `position`th change of a commit.
pub(super) fn change_from_wire(
    position: usize,
    wire: pb::TupleChange,
) -> Result<WriteChange, ApiError> {
    let field = || format!("changes[{position}].operation");
    let path = fmt::from_fn(|f| write!(f, "changes[{position}].tuple"));
    let operation = pb::Operation::try_from(wire.operation).map_err(|_| {
        let what = format!("`{}` is no operation of this version", wire.operation);
        ApiError::field(Refusal::InvalidField, &field(), what)
    })?;
    let tuple = wire.tuple.ok_or_else(|| missing(&path.to_string()))?;
    match operation {
        pb::Operation::Unspecified => Err(missing(&field())),
        pb::Operation::Create => Ok(WriteChange::Create(tuple_from_wire(path, tuple)?)),
        pb::Operation::Touch => Ok(WriteChange::Touch(tuple_from_wire(path, tuple)?)),
        // Only the identity counts, so that what was read can be sent back as it is.
        pb::Operation::Delete => Ok(WriteChange::Delete(key_from_wire(path, &tuple)?)),
    }
}

/// The `position`th precondition of a commit.
pub(super) fn precondition_from_wire(
    position: usize,
    wire: pb::Precondition,
) -> Result<Precondition, ApiError> {
    use pb::precondition::Condition;
    let (must, filter) = match wire.condition {
        Some(Condition::MustMatch(filter)) => (Must::Match, filter),
        Some(Condition::MustNotMatch(filter)) => (Must::NotMatch, filter),
        None => {
            let what = "it is empty: expected `must_match` or `must_not_match`";
            let field = format!("preconditions[{position}]");
            return Err(ApiError::field(Refusal::InvalidField, &field, what));
        }
    };
    Ok(Precondition { must, filter: filter_from_wire(filter) })
}

/// An idempotency key; on the wire an empty one is none.
pub(super) fn key_of_request(wire: &str) -> Result<Option<IdempotencyKey>, ApiError> {
    if wire.is_empty() {
        return Ok(None);
    }
    let key = IdempotencyKey::parse(wire);
    key.map(Some).map_err(|error| ApiError::syntax("idempotency_key", &error))
}

/// A filter; on the wire an empty field is one that is not set.
pub(super) fn filter_from_wire(wire: pb::TupleFilter) -> TupleFilter {
    let set = |text: String| (!text.is_empty()).then_some(text);
    TupleFilter {
        scope_type: set(wire.scope_type),
        scope: set(wire.scope),
        role: set(wire.role),
        subject_type: set(wire.subject_type),
        subject: set(wire.subject),
        source: wire.source,
    }
}

/// A tuple as the wire carries it.
#[must_use]
pub fn tuple_to_wire(tuple: &Tuple) -> pb::Tuple {
    pb::Tuple {
        scope: tuple.key.scope.to_string(),
        role: tuple.key.role.to_string(),
        subject: tuple.key.subject.to_string(),
        source: tuple.key.source.clone(),
        expires_at: tuple.expires_at.map(time_to_wire),
        condition: tuple.condition.as_ref().map(|condition| pb::TupleCondition {
            name: condition.name.to_string(),
            context: Some(context_to_wire(&condition.context)),
        }),
        grantor: tuple.grantor.clone(),
        reason: tuple.reason.clone(),
        granted_at: tuple.granted_at.map(time_to_wire),
    }
}

/// How fresh a read must be; where nothing is said, the newest. `latest: false` is refused: it names
/// none of the others, and to answer as for `true` would turn what was said into its opposite.
pub(super) fn consistency_from_wire(
    wire: Option<&pb::Consistency>,
) -> Result<Consistency, ApiError> {
    use pb::consistency::Requirement;
    let token = |field, text: &str| {
        text.parse()
            .map_err(|error: TokenError| ApiError::field(Refusal::InvalidToken, field, error))
    };
    match wire.and_then(|consistency| consistency.requirement.as_ref()) {
        None | Some(Requirement::Latest(true)) => Ok(Consistency::Latest),
        Some(Requirement::Latest(false)) => Err(ApiError::field(
            Refusal::InvalidField,
            "consistency.latest",
            "`false` asks for nothing; leave it out or say `true`",
        )),
        Some(Requirement::AtLeast(text)) => {
            token("consistency.at_least", text).map(Consistency::AtLeast)
        }
        Some(Requirement::Exactly(text)) => {
            token("consistency.exactly", text).map(Consistency::Exactly)
        }
    }
}

pub(super) fn decision_to_wire(decision: &Decision) -> pb::Decision {
    if decision.is_allow() { pb::Decision::Allow } else { pb::Decision::Deny }
}

/// A reason as the wire carries it.
#[must_use]
pub fn reason_to_wire(reason: Reason) -> pb::Reason {
    match reason {
        Reason::Granted => pb::Reason::Granted,
        Reason::NotGranted => pb::Reason::NotGranted,
        Reason::NotApplicable => pb::Reason::NotApplicable,
        Reason::MissingContext => pb::Reason::MissingContext,
        Reason::NotBindable => pb::Reason::NotBindable,
        Reason::NotDelegated => pb::Reason::NotDelegated,
        Reason::TargetNotEligible => pb::Reason::TargetNotEligible,
    }
}

pub(super) fn grant_to_wire(grant: &Grant) -> pb::Grant {
    pb::Grant { role: grant.role.clone(), tuple: Some(tuple_to_wire(&grant.tuple)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(entries: &[(&str, Kind)]) -> Values {
        let one = |(name, kind): &(&str, Kind)| {
            let fields = [((*name).to_owned(), Value { kind: Some(kind.clone()) })].into();
            Struct { fields }.encode_to_vec()
        };
        let bytes: Vec<u8> = entries.iter().flat_map(one).collect();
        Values::decode(bytes.as_slice()).unwrap()
    }

    fn tuple(context: Values) -> pb::Tuple {
        let condition = pb::TupleCondition { name: "office".into(), context: Some(context) };
        pb::Tuple { condition: Some(condition), ..Default::default() }
    }

    #[test]
    fn values_are_put_in_order_in_the_request_and_in_its_tuples() {
        let [a, b] = [("a", Kind::BoolValue(true)), ("b", Kind::NumberValue(1.0))];
        let (ab, ba) = (values(&[a.clone(), b.clone()]), values(&[b, a]));
        assert_ne!(ab, ba);
        let ordered = |of: &Values| {
            let (mut context, mut tuples) = (Some(of.clone()), [tuple(of.clone())]);
            values_in_order(&mut context, &mut tuples);
            (context, tuples)
        };
        assert_eq!(ordered(&ab), ordered(&ba));
    }

    #[test]
    fn values_that_are_too_large_are_not_read_to_put_them_in_order() {
        let many = ListValue { values: vec![Value::default(); CONTEXT_WIRE_BYTES_MAX] };
        let many = values(&[("many", Kind::ListValue(many))]);
        let (mut context, mut tuples) = (Some(many.clone()), [tuple(many.clone())]);
        let taken = allocation_counter::measure(|| values_in_order(&mut context, &mut tuples));
        assert_eq!((taken.count_total, &context), (0, &Some(many)));
        assert_eq!(
            context_from_wire("context", context).unwrap_err().refusal(),
            Refusal::ContextTooLarge
        );
    }
}
