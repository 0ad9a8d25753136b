//! What a command line says about tuples and contexts, as wire values.

use serde_json::Value as Json;

use super::CliError;
use super::input::object;
use crate::api::convert::context_to_wire;
use crate::api::pb::v1 as pb;
use crate::api::values::Values;
use crate::model::suggest::did_you_mean;
use crate::model::tuple::{Context, TupleKey};

/// Reads `scope#role@subject`.
pub(super) fn parse_tuple(text: &str) -> Result<pb::Tuple, CliError> {
    let parts = TupleKey::split(text).map_err(|error| CliError::Usage(error.to_string()))?;
    let [scope, role, subject] = parts.map(str::to_owned);
    Ok(pb::Tuple { scope, role, subject, ..pb::Tuple::default() })
}

/// Reads the `--with-tuple` arguments.
pub(super) fn parse_tuples(texts: &[String]) -> Result<Vec<pb::Tuple>, CliError> {
    texts.iter().map(|text| parse_tuple(text)).collect()
}

/// Reads a filter: `scope=org:acme role=owner`, or `any` for every tuple.
pub(super) fn parse_filter(text: &str) -> Result<pb::TupleFilter, CliError> {
    const FIELDS: [&str; 6] = ["scope", "scope_type", "role", "subject", "subject_type", "source"];
    let wrong = |what: String| CliError::Usage(format!("`{text}` is no filter: {what}"));
    let mut filter = pb::TupleFilter::default();
    if text.trim() == "any" {
        return Ok(filter);
    }
    let mut seen = Vec::new();
    for word in text.split_whitespace() {
        let Some((name, value)) = word.split_once('=') else {
            return Err(wrong(format!("`{word}` is not `name=value`")));
        };
        let field = name.replace('-', "_");
        if seen.contains(&field) {
            return Err(wrong(format!("`{name}` is there twice")));
        }
        // On the wire an empty field matches everything, which nobody means who writes it out.
        if value.is_empty() && field != "source" {
            return Err(wrong(format!("`{name}` is empty; leave it out to match every value")));
        }
        let value = value.to_owned();
        match field.as_str() {
            "scope" => filter.scope = value,
            "scope_type" => filter.scope_type = value,
            "role" => filter.role = value,
            "subject" => filter.subject = value,
            "subject_type" => filter.subject_type = value,
            "source" => filter.source = Some(value),
            _ => {
                let near = did_you_mean(&field, FIELDS);
                return Err(wrong(format!("it has no `{name}`{near}")));
            }
        }
        seen.push(field);
    }
    if seen.is_empty() {
        return Err(wrong("it is empty; `any` matches every tuple".to_owned()));
    }
    Ok(filter)
}

/// Reads the `--context` arguments: JSON objects, and `name=value` where the value is JSON, or else a
/// string. Later ones win.
pub(super) fn parse_context(texts: &[String]) -> Result<Option<Values>, CliError> {
    let mut context = Context::new();
    for text in texts {
        if text.trim_start().starts_with('{') {
            let object =
                object(text).map_err(|what| CliError::Usage(format!("--context: {what}")))?;
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
    fn a_filter_is_words_of_name_and_value() {
        let all =
            "scope-type=org scope=org:a role=admin subject_type=user subject=user:a source=hr";
        let filter = parse_filter(all).unwrap();
        let pb::TupleFilter { scope_type, scope, role, subject_type, subject, source } = filter;
        assert_eq!([scope_type, scope, role], ["org", "org:a", "admin"].map(str::to_owned));
        assert_eq!([subject_type, subject], ["user", "user:a"].map(str::to_owned));
        assert_eq!(source.as_deref(), Some("hr"));
        assert_eq!(parse_filter(" any ").unwrap(), pb::TupleFilter::default());
        assert_eq!(parse_filter("source=").unwrap().source.as_deref(), Some(""));
        // An id may have the separator.
        assert_eq!(parse_filter("scope=org:a=b").unwrap().scope, "org:a=b");
        for (bad, why) in [
            ("", "`any` matches every tuple"),
            ("scope=", "leave it out"),
            ("org:acme", "is not `name=value`"),
            ("role=a role=b", "is there twice"),
            ("any role=a", "is not `name=value`"),
            ("rol=a", "did you mean `role`?"),
        ] {
            let error = parse_filter(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

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
