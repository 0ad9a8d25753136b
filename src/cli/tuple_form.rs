//! Tuples as files hold them: lines `scope#role@subject`, JSON objects, CSV rows. What `export` writes
//! `import` reads back, exactly. Knows no service.

use std::time::SystemTime;

use prost_types::Timestamp;
use serde_json::{Map, Value as Json};

use super::CliError;
use super::input::csv::Row;
use super::input::{Form, object, only_known, text_of};
use super::render;
use super::tuple_text::parse_tuple;
use crate::api::convert::{context_to_wire, time_to_wire};
use crate::api::pb::v1 as pb;
use crate::model::names::{Name, Object, Subject, SyntaxError, quoted};
use crate::model::tuple::Time;

/// The columns of the CSV form, in the order in which they are written.
pub(super) const COLUMNS: [&str; 10] = [
    "scope",
    "role",
    "subject",
    "source",
    "expires_at",
    "condition",
    "context",
    "grantor",
    "reason",
    "granted_at",
];
/// The keys of the JSON form.
const KEYS: [&str; 9] = [
    "scope",
    "role",
    "subject",
    "source",
    "expires_at",
    "condition",
    "grantor",
    "reason",
    "granted_at",
];

/// A tuple of a file. Well-formed; whether the model admits it is the service's to say.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FileTuple(pub(super) pb::Tuple);

/// The end of a tuple that a change would store, if it has one.
pub(super) fn end_of(change: &pb::TupleChange) -> Option<Timestamp> {
    let end = change.tuple.as_ref().and_then(|tuple| tuple.expires_at);
    end.filter(|_| change.operation() != pb::Operation::Delete)
}

/// Whether an end has passed by this machine's clock: the service then stores nothing, and removes what is
/// there in its place.
pub(super) fn is_past(end: Timestamp) -> bool {
    SystemTime::try_from(end).is_ok_and(|end| end <= SystemTime::now())
}

/// Whether a change would store a tuple whose end has passed.
pub(super) fn has_ended(change: &pb::TupleChange) -> bool {
    end_of(change).is_some_and(is_past)
}

impl Form for FileTuple {
    const COLUMNS: &'static [&'static str] = &COLUMNS;
    const REQUIRED: usize = 3;

    fn from_text(line: &str) -> Result<Self, String> {
        parse_tuple(line).map(Self).map_err(|error| error.to_string())
    }

    fn from_json(mut object: Map<String, Json>) -> Result<Self, String> {
        only_known(&object, &KEYS)?;
        let condition = match object.remove("condition") {
            None => None,
            Some(Json::Object(mut condition)) => {
                only_known(&condition, &["name", "context"]).map_err(of("condition"))?;
                let context = match condition.remove("context") {
                    None => Map::new(),
                    Some(Json::Object(context)) => context,
                    Some(_) => return Err("condition.context: expected an object".to_owned()),
                };
                Some((text_of(&mut condition, "name").map_err(of("condition"))?, context))
            }
            Some(_) => {
                return Err("condition: expected an object with `name` and `context`".to_owned());
            }
        };
        let mut text = |key| text_of(&mut object, key);
        let key = [text("scope")?, text("role")?, text("subject")?, text("source")?];
        let times = [text("expires_at")?, text("granted_at")?];
        tuple(key, times, condition, [text("grantor")?, text("reason")?])
    }

    fn from_row(mut row: Row<'_>) -> Result<Self, String> {
        let condition = row.take("condition");
        let context = row.take("context");
        let condition = if condition.is_empty() {
            if !context.is_empty() {
                return Err("context: there is no condition that it could be for".to_owned());
            }
            None
        } else if context.is_empty() {
            Some((condition, Map::new()))
        } else {
            Some((condition, object(&context).map_err(of("context"))?))
        };
        let mut text = |column| row.take(column);
        let key = [text("scope"), text("role"), text("subject"), text("source")];
        let times = [text("expires_at"), text("granted_at")];
        tuple(key, times, condition, [text("grantor"), text("reason")])
    }
}

fn of(field: &str) -> impl Fn(String) -> String {
    move |error| format!("{field}: {error}")
}

fn tuple(
    [scope, role, subject, source]: [String; 4],
    [expires_at, granted_at]: [String; 2],
    condition: Option<(String, Map<String, Json>)>,
    [grantor, reason]: [String; 2],
) -> Result<FileTuple, String> {
    let wrong = |field: &'static str| move |error: SyntaxError| format!("{field}: {error}");
    Object::parse(&scope).map_err(wrong("scope"))?;
    Name::parse(&role).map_err(wrong("role"))?;
    Subject::parse(&subject).map_err(wrong("subject"))?;
    if !source.is_empty() {
        Name::parse(&source).map_err(wrong("source"))?;
    }
    let time = |field: &str, text: &str| {
        if text.is_empty() {
            return Ok(None);
        }
        let time = Time::parse(text).ok_or_else(|| {
            let expected = "a moment such as 2027-01-01T00:00:00Z";
            format!("{field}: `{}` is not {expected}", quoted(text))
        });
        time.map(time_to_wire).map(Some)
    };
    let expires_at = time("expires_at", &expires_at)?;
    let granted_at = time("granted_at", &granted_at)?;
    let condition = condition.map(|(name, context)| {
        Name::parse(&name).map_err(wrong("condition"))?;
        let context = context_to_wire(&context.into_iter().collect());
        Ok::<_, String>(pb::TupleCondition { name, context: Some(context) })
    });
    let condition = condition.transpose()?;
    Ok(FileTuple(pb::Tuple {
        scope,
        role,
        subject,
        source,
        expires_at,
        condition,
        grantor,
        reason,
        granted_at,
    }))
}

/// The fields of the CSV form.
///
/// # Errors
/// It carries values that are none.
pub(super) fn csv_fields(tuple: &pb::Tuple) -> Result<[String; 10], CliError> {
    let condition = tuple.condition.as_ref();
    let context = condition.and_then(|condition| condition.context.as_ref());
    let context = context.map(render::context_json).transpose()?;
    let context = context.filter(|context| !context.is_empty());
    Ok([
        tuple.scope.clone(),
        tuple.role.clone(),
        tuple.subject.clone(),
        tuple.source.clone(),
        tuple.expires_at.as_ref().map(ToString::to_string).unwrap_or_default(),
        condition.map(|condition| condition.name.clone()).unwrap_or_default(),
        context.map(|context| Json::Object(context).to_string()).unwrap_or_default(),
        tuple.grantor.clone(),
        tuple.reason.clone(),
        tuple.granted_at.as_ref().map(ToString::to_string).unwrap_or_default(),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn full() -> pb::Tuple {
        let context = json!({
            "hour": 9, "load": 0.1, "big": 1e300, "tiny": -5e-324, "text": "a,\"b\"\n\u{7f}é",
            "list": [1, null, true, {"x": []}], "long": "9223372036854775807", "": {},
        });
        let context: crate::model::tuple::Context = serde_json::from_value(context).unwrap();
        pb::Tuple {
            scope: "doc:a,\"b\";'=1+1:x@y".to_owned(),
            role: "viewer".to_owned(),
            subject: "group:größe/\u{1f511}#member".to_owned(),
            source: "hr.system/eu-1".to_owned(),
            expires_at: Some(time_to_wire(Time(-62_135_596_800_000_000 + 1))),
            condition: Some(pb::TupleCondition {
                name: "office".to_owned(),
                context: Some(context_to_wire(&context)),
            }),
            grantor: " user:ana, \"the\" boss ".to_owned(),
            reason: "on call; see #17, \u{feff}ok".to_owned(),
            granted_at: Some(time_to_wire(Time(-1))),
        }
    }

    fn some() -> Vec<pb::Tuple> {
        let plain = parse_tuple("org:acme#admin@user:*").unwrap();
        let empty = pb::TupleCondition { name: "office".to_owned(), context: Some(<_>::default()) };
        let bare = pb::Tuple { condition: Some(empty), ..plain.clone() };
        let last = Some(time_to_wire(Time(253_402_300_799_999_999)));
        vec![full(), plain.clone(), bare, pb::Tuple { expires_at: last, ..plain }]
    }

    #[test]
    fn the_json_form_is_read_back() {
        for tuple in some() {
            let line = render::tuple_json(&tuple).unwrap().to_string();
            let read = FileTuple::from_json(object(&line).unwrap());
            assert_eq!(read, Ok(FileTuple(tuple)), "{line}");
        }
    }

    #[test]
    fn every_field_has_a_column_and_a_key() {
        let json = render::tuple_json(&full()).unwrap();
        for key in KEYS {
            assert!(!json[key].is_null(), "{key}");
        }
        assert_eq!(json.as_object().unwrap().len(), KEYS.len());
        assert!(csv_fields(&full()).unwrap().iter().all(|field| !field.is_empty()));
    }

    #[test]
    fn what_is_no_tuple_is_told_by_its_field() {
        for (line, wrong) in [
            (r#"{"scope": "org:a", "role": "r"}"#, "subject: `` is not"),
            (r#"{"scope": 1, "role": "r", "subject": "user:a"}"#, "scope: expected a text"),
            (r#"{"scope": "a", "role": "r", "subject": "user:a"}"#, "scope: `a` is not an object"),
            (r#"{"scope": "org:a", "role": "", "subject": "user:a"}"#, "role: `` is not a name"),
            (r#"{"scope": "org:a", "role": "r", "subjct": "user:a"}"#, "did you mean `subject`?"),
            (
                r#"{"scope": "org:a", "role": "r", "subject": "user:a", "source": "a b"}"#,
                "source: `a b`",
            ),
            (
                r#"{"scope": "org:a", "role": "r", "subject": "user:a", "expires_at": "2027-01-01"}"#,
                "expires_at: `2027-01-01` is not a moment such as",
            ),
            (
                r#"{"scope": "org:a", "role": "r", "subject": "user:a", "condition": "office"}"#,
                "condition: expected an object",
            ),
            (
                r#"{"scope": "org:a", "role": "r", "subject": "user:a", "condition": {"context": {}}}"#,
                "condition: `` is not a name",
            ),
            (
                r#"{"scope": "org:a", "role": "r", "subject": "user:a", "condition": {"nam": "x"}}"#,
                "condition: `nam` is no key; did you mean `name`?",
            ),
        ] {
            let error = object(line).and_then(FileTuple::from_json).unwrap_err();
            assert!(error.contains(wrong), "{line}: {error}");
        }
    }
}
