//! Questions as files hold them. Knows no service.

use serde_json::{Map, Value as Json};

use crate::api::convert::context_to_wire;
use crate::api::pb::v1 as pb;
use crate::cli::input::csv::Row;
use crate::cli::input::{Form, object, only_known, text_of};

/// One question, as the wire carries it. What it names is checked by the service.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question(pub(super) pb::BatchCheckItem);

const COLUMNS: [&str; 5] = ["subject", "permission", "scope", "context", "target"];

impl Form for Question {
    const COLUMNS: &'static [&'static str] = &COLUMNS;
    const REQUIRED: usize = 3;

    fn from_text(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (Some(subject), Some(permission), Some(scope), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            let expected = "expected `SUBJECT PERMISSION SCOPE`";
            return Err(format!("{expected}, such as `user:ana stations.reboot station:s1`"));
        };
        question([subject, permission, scope], String::new(), None)
    }

    fn from_json(mut object: Map<String, Json>) -> Result<Self, String> {
        only_known(&object, &COLUMNS)?;
        let context = match object.remove("context") {
            None => None,
            Some(Json::Object(context)) => Some(context),
            Some(_) => return Err("context: expected an object".to_owned()),
        };
        let mut text = |key| text_of(&mut object, key);
        let target = text("target")?;
        question([text("subject")?, text("permission")?, text("scope")?], target, context)
    }

    fn from_row(mut row: Row<'_>) -> Result<Self, String> {
        let context = row.take("context");
        let context = if context.is_empty() {
            None
        } else {
            Some(object(&context).map_err(|error| format!("context: {error}"))?)
        };
        let target = row.take("target");
        question(["subject", "permission", "scope"].map(|column| row.take(column)), target, context)
    }
}

fn question(
    [subject, permission, scope]: [String; 3],
    target: String,
    context: Option<Map<String, Json>>,
) -> Result<Question, String> {
    for (field, text) in [("subject", &subject), ("permission", &permission), ("scope", &scope)] {
        if text.is_empty() {
            return Err(format!("there is no {field}"));
        }
    }
    let context = context.map(|context| context_to_wire(&context.into_iter().collect()));
    Ok(Question(pb::BatchCheckItem { subject, permission, scope, context, target }))
}
