//! What a command line says about tuples and contexts, as wire values.

use serde_json::Value as Json;

use super::CliError;
use crate::api::convert::context_to_wire;
use crate::api::pb::v1 as pb;
use crate::model::tuple::{Context, TupleKey};

/// Reads `scope#role@subject`.
pub(super) fn parse_tuple(text: &str) -> Result<pb::Tuple, CliError> {
    let key = TupleKey::parse(text).map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(pb::Tuple {
        scope: key.scope.to_string(),
        role: key.role.to_string(),
        subject: key.subject.to_string(),
        ..pb::Tuple::default()
    })
}

/// Reads the `--with-tuple` arguments.
pub(super) fn parse_tuples(texts: &[String]) -> Result<Vec<pb::Tuple>, CliError> {
    texts.iter().map(|text| parse_tuple(text)).collect()
}

/// Reads the `--context` arguments: JSON objects, and `name=value` where the value is JSON, or else a
/// string. Later ones win.
pub(super) fn parse_context(texts: &[String]) -> Result<Option<prost_types::Struct>, CliError> {
    let mut context = Context::new();
    for text in texts {
        if text.trim_start().starts_with('{') {
            let object: Context = serde_json::from_str(text)
                .map_err(|error| CliError::Usage(format!("--context: {error}")))?;
            context.extend(object);
        } else if let Some((name, value)) = text.split_once('=') {
            let value = serde_json::from_str(value).unwrap_or_else(|_| Json::from(value));
            context.insert(name.to_owned(), value);
        } else {
            let what = "it is neither `name=value` nor a JSON object";
            return Err(CliError::Usage(format!("--context `{text}`: {what}")));
        }
    }
    Ok((!context.is_empty()).then(|| context_to_wire(&context)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_json_or_pairs_and_later_ones_win() {
        let texts = ["{\"hour\": 9, \"ip\": \"10.0.0.1\"}", "hour=10", "name=ana", "ok=true"];
        let texts: Vec<_> = texts.iter().map(ToString::to_string).collect();
        let wire = parse_context(&texts).unwrap().unwrap();
        let expected = serde_json::json!(
            { "hour": 10, "ip": "10.0.0.1", "name": "ana", "ok": true }
        );
        let expected: Context = serde_json::from_value(expected).unwrap();
        assert_eq!(wire, context_to_wire(&expected));
        assert!(parse_context(&["hour".to_owned()]).is_err());
    }
}
