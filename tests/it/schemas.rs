//! The JSON Schemas of `model.yaml` and `tests.yaml` and the parser say the same: of the repository's
//! models, of every key, and of documents with every kind of wrong shape.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use bailiwick::model::scenario::Scenarios;
use bailiwick::model::{Problems, SourceFiles, load};
use jsonschema::Validator;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

const MODEL: &str = include_str!("../../docs/schemas/model.schema.json");
const TESTS: &str = include_str!("../../docs/schemas/tests.schema.json");
const PAGE: &str = include_str!("../../docs/model.md");
/// The matrix of the page's example.
const MATRIX: &str = "permission,engineer,site_owner\norg.edit,x,\norg.edit_child,x,\norg.audit,,\nusers.create,x,x\n";

/// A schema, and the parser that it must agree with.
struct Pair {
    schema: Value,
    validator: Validator,
    /// The files beside the one that is tried.
    beside: SourceFiles,
    file: &'static str,
}

impl Pair {
    fn new(text: &str, file: &'static str, beside: SourceFiles) -> Self {
        let schema: Value = serde_json::from_str(text).unwrap();
        jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{file}: {error}"));
        let validator = jsonschema::validator_for(&schema).unwrap();
        Self { schema, validator, beside, file }
    }

    fn model(beside: SourceFiles) -> Self {
        Self::new(MODEL, "model.yaml", beside)
    }

    fn tests() -> Self {
        Self::new(TESTS, "tests.yaml", SourceFiles::default())
    }

    fn admits(&self, document: &Value) -> bool {
        self.validator.is_valid(document)
    }

    /// What the parser has against a document; JSON is YAML.
    fn problems(&self, document: &Value) -> Vec<String> {
        let mut files = self.beside.clone();
        files.insert(self.file, document.to_string());
        let outcome: Result<(), Problems> = if self.file == "model.yaml" {
            load(&files, &BTreeMap::new()).map(drop)
        } else {
            Scenarios::parse(&files).map(drop)
        };
        let messages = |problems: Problems| {
            problems.as_slice().iter().map(|problem| problem.message.clone()).collect()
        };
        outcome.err().map_or_else(Vec::new, messages)
    }
}

/// A problem of the document's shape, not of what its names mean.
fn is_shape(message: &str) -> bool {
    let marks = ["is no key of", "needs the key", "needs at least one", "without a condition"];
    message.contains("expected ") && message.contains(", found ")
        || marks.iter().any(|mark| message.contains(mark))
}

fn json_of(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(entries) => {
            let entry =
                |(key, value): (&Yaml<'_>, _)| (key.as_str().unwrap().to_owned(), json_of(value));
            Value::Object(entries.iter().map(entry).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn document(text: &str) -> Value {
    json_of(&Yaml::load_from_str(text).unwrap()[0])
}

fn directories() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let inside = |parent: &str| fs::read_dir(root.join(parent)).unwrap();
    let entries = inside("models").chain(inside("tests/models"));
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

fn fence(number: usize) -> &'static str {
    PAGE.split("```yaml\n").nth(number).unwrap().split("```").next().unwrap()
}

/// The delegation table of the page.
fn csv_fence() -> &'static str {
    PAGE.split("```csv\n").nth(1).unwrap().split("```").next().unwrap()
}

fn documented() -> SourceFiles {
    [("permissions.csv", MATRIX), ("delegation.csv", csv_fence())].into_iter().collect()
}

#[test]
fn every_model_of_the_repository_is_admitted_and_names_its_schema() {
    let (model, tests) = (Pair::model(documented()), Pair::tests());
    assert!(model.admits(&document(fence(1))) && tests.admits(&document(fence(2))));
    let directories = directories();
    assert!(directories.len() >= 3, "{directories:?}");
    for dir in directories {
        for pair in [&model, &tests] {
            let text = fs::read_to_string(dir.join(pair.file)).unwrap();
            let errors = document(&text);
            let errors: Vec<_> =
                pair.validator.iter_errors(&errors).map(|error| error.to_string()).collect();
            assert_eq!(errors, Vec::<String>::new(), "{}", dir.display());
            let named = text.lines().next().unwrap();
            let named =
                named.strip_prefix("# yaml-language-server: $schema=").unwrap_or_else(|| {
                    panic!("{}/{} names no schema on its first line", dir.display(), pair.file)
                });
            let schema = fs::read_to_string(dir.join(named)).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&schema).unwrap(), pair.schema);
        }
    }
}

/// A place with keys: a document that has nothing but what must be there, and the way to the place.
struct Spot {
    document: Value,
    way: &'static str,
}

fn spots(model: bool) -> Vec<Spot> {
    let base = json!({ "model": "m", "types": { "user": {}, "org": {} } });
    let with = |key: &str, value: Value| {
        let mut document = base.clone();
        document[key] = value;
        document
    };
    let scenario = |key: &str, value: Value| json!({ "scenarios": [{ "name": "s", key: value }] });
    let asked = || json!({ "rows": { "parameter": "p" }, "gate": "yes" });
    let list: Vec<(Value, &'static str)> = if model {
        vec![
            (base.clone(), ""),
            (base.clone(), "/types/org"),
            (
                with("types", json!({ "org": { "parents": { "org": {} } } })),
                "/types/org/parents/org",
            ),
            (
                with("types", json!({ "org": { "relations": { "r": { "to": ["org"] } } } })),
                "/types/org/relations/r",
            ),
            (with("facts", json!({ "org": {} })), "/facts/org"),
            (with("conditions", json!({ "c": { "when": "true" } })), "/conditions/c"),
            (with("roles", json!([{ "at": ["org"], "names": ["r"] }])), "/roles/0"),
            (with("matrices", json!([{ "name": "m", "file": "m.csv" }])), "/matrices/0"),
            (
                with("matrices", json!([{ "name": "m", "file": "m.csv", "rows": { "*": {} } }])),
                "/matrices/0/rows/*",
            ),
            (with("asked", json!([asked()])), "/asked/0"),
            (with("asked", json!([asked()])), "/asked/0/rows"),
            (with("permissions", json!({ "p": { "at": ["org"], "is": "yes" } })), "/permissions/p"),
            (with("names", json!({ "n": { "at": ["org"], "is": "yes" } })), "/names/n"),
            (with("delegation", json!({ "file": "d.csv", "verbs": { "v": {} } })), "/delegation"),
            (
                with("delegation", json!({ "file": "d.csv", "verbs": { "v": {} } })),
                "/delegation/verbs/v",
            ),
            (
                with("constraints", json!([{ "name": "c", "at": ["org"], "one_role": true }])),
                "/constraints/0",
            ),
        ]
    } else {
        let tuple = json!([{ "tuple": "org:a#r@user:u", "condition": "c" }]);
        let question = json!([{ "expect": "allow", "ask": "user:u p org:a" }]);
        let delegated = json!([{ "expect": "deny", "actor": "user:u", "verb": "v", "role": "r", "scope": "org:a" }]);
        vec![
            (json!({}), ""),
            (json!({ "scenarios": [{ "name": "s" }] }), "/scenarios/0"),
            (scenario("tuples", tuple.clone()), "/scenarios/0/tuples/0"),
            (scenario("refused", tuple), "/scenarios/0/refused/0"),
            (scenario("questions", question), "/scenarios/0/questions/0"),
            (scenario("questions", delegated), "/scenarios/0/questions/0"),
            (
                scenario("questions", json!([{ "expect": ["org:a#r"], "roles_of": "user:u" }])),
                "/scenarios/0/questions/0",
            ),
        ]
    };
    list.into_iter().map(|(document, way)| Spot { document, way }).collect()
}

/// Every word that the parser's own text has in quotes: the keys are among them.
fn words_of_the_parser() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model");
    let texts = ["read.rs", "read_delegation.rs", "read_types.rs", "scenario.rs"]
        .map(|name| fs::read_to_string(root.join(name)).unwrap());
    let is_key =
        |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    texts.iter().flat_map(|text| text.split('"')).filter(is_key).map(str::to_owned).collect()
}

/// Every key that the schema names, wherever.
fn keys_of_the_schema(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get("properties") {
                found.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| keys_of_the_schema(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| keys_of_the_schema(item, found)),
        _ => {}
    }
}

/// One of these is right under any key.
fn values() -> Vec<Value> {
    let of_org = json!({ "org": ["a"] });
    vec![
        Value::Null,
        json!(true),
        json!(1),
        json!("self"),
        json!("allow"),
        json!("a b c"),
        json!(["org"]),
        json!(["org", "user"]),
        json!({}),
        of_org,
        json!("grant"),
        json!({ "file": "d.csv", "verbs": {} }),
    ]
}

#[test]
fn schema_and_parser_know_the_same_keys() {
    for pair in [Pair::model(SourceFiles::default()), Pair::tests()] {
        let mut words = words_of_the_parser();
        keys_of_the_schema(&pair.schema, &mut words);
        words.insert("nobody_knows_this".to_owned());
        let mut known_by_both = BTreeSet::new();
        for Spot { document, way } in spots(pair.file == "model.yaml") {
            assert!(pair.admits(&document), "{way}: {document}");
            for word in &words {
                let with = |value: Value| {
                    let mut document = document.clone();
                    document.pointer_mut(way).unwrap()[word] = value;
                    document
                };
                let told = format!("`{word}` is no key of");
                let problems = pair.problems(&with(Value::Null));
                let parser = !problems.iter().any(|message| message.starts_with(&told));
                let schema = values().into_iter().any(|value| pair.admits(&with(value)));
                assert_eq!(parser, schema, "{} {way}: does the parser know `{word}`?", pair.file);
                if parser {
                    known_by_both.insert(word.clone());
                }
            }
        }
        // No key of the schema stands at a place that was not looked at.
        let mut keys = BTreeSet::new();
        keys_of_the_schema(&pair.schema, &mut keys);
        assert_eq!(known_by_both, keys, "{}", pair.file);
        assert!(!keys.contains("nobody_knows_this"));
    }
}

/// The document with one thing wrong, or only other, at every place; and what was done there.
fn mutants(document: &Value) -> Vec<(String, Value)> {
    let mut ways = Vec::new();
    collect_ways(document, String::new(), &mut ways);
    let others = [
        Value::Null,
        json!(true),
        json!(7),
        json!(1.5),
        json!("word"),
        json!([]),
        json!(["word"]),
        json!([7]),
        json!([null]),
        json!({}),
        json!({ "word": "word" }),
        json!({ "word": null }),
        json!({ "word": ["word"] }),
    ];
    let mut found = Vec::new();
    for way in ways {
        for other in &others {
            let mut mutant = document.clone();
            *mutant.pointer_mut(&way).unwrap() = other.clone();
            found.push((format!("{way} = {other}"), mutant));
        }
        let Value::Object(map) = document.pointer(&way).unwrap() else { continue };
        for key in map.keys() {
            let mut mutant = document.clone();
            object_at(&mut mutant, &way).remove(key);
            found.push((format!("{way} without {key}"), mutant));
        }
        let mut mutant = document.clone();
        object_at(&mut mutant, &way).insert("wrod".to_owned(), json!("word"));
        found.push((format!("{way} with wrod"), mutant));
    }
    found
}

fn object_at<'v>(document: &'v mut Value, way: &str) -> &'v mut Map<String, Value> {
    document.pointer_mut(way).unwrap().as_object_mut().unwrap()
}

fn collect_ways(value: &Value, way: String, ways: &mut Vec<String>) {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| {
                collect_ways(value, format!("{way}/{}", escaped(key)), ways);
            });
        }
        Value::Array(items) => {
            // The first shows what holds of all, where all are alike.
            items.iter().take(2).enumerate().for_each(|(at, value)| {
                collect_ways(value, format!("{way}/{at}"), ways);
            });
        }
        _ => {}
    }
    ways.push(way);
}

fn agree(pair: &Pair, base: &Value) {
    assert_eq!(pair.problems(base), Vec::<String>::new(), "{}", pair.file);
    let (mut shape, mut admitted) = (0, 0);
    for (what, mutant) in mutants(base) {
        let problems = pair.problems(&mutant);
        let is_wrong = problems.iter().any(|message| is_shape(message));
        shape += usize::from(is_wrong);
        if pair.admits(&mutant) {
            admitted += 1;
            assert!(!is_wrong, "the schema admits {what}, the parser says {problems:?}");
        } else {
            assert!(!problems.is_empty(), "the schema refuses {what}, the parser does not");
        }
    }
    assert!(shape > 100 && admitted > 20, "{shape} of wrong shape, {admitted} admitted");
}

#[test]
fn what_the_parser_refuses_for_its_shape_the_schema_refuses_and_nothing_that_loads() {
    agree(&Pair::model(documented()), &document(fence(1)));
    agree(&Pair::tests(), &document(fence(2)));
    // What the page's example of a scenario has no place for.
    let more = json!({ "scenarios": [{
        "name": "more",
        "parameters": { "flag": true, "rows": ["a.*"] },
        "facts": { "user:ana": null },
        "tuples": [{ "tuple": "org:a#r@user:u", "condition": "c", "context": { "x": [1, { "y": null }] } }],
        "questions": [{ "expect": "deny", "ask": " a  b c ", "reason": "NOT_GRANTED", "context": { "x": 1 } }],
        "refused": [{ "tuple": "org:a#r@user:u", "source": "hr" }],
    }] });
    agree(&Pair::tests(), &more);
    let delegated = json!({ "scenarios": [{ "name": "delegated", "questions": [{
        "expect": "deny", "actor": "user:u", "verb": "v", "role": "r", "scope": "org:a",
        "target": "user:t", "reason": "NOT_DELEGATED", "context": { "x": 1 },
    }] }] });
    agree(&Pair::tests(), &delegated);
    let roles = json!({ "scenarios": [{ "name": "roles", "questions": [{
        "expect": ["org:a#r", "org:b#r"], "roles_of": "user:u", "scope": "org:a", "context": { "x": 1 },
    }, { "expect": null, "roles_of": "user:v" }] }] });
    agree(&Pair::tests(), &roles);
}

#[test]
fn every_key_is_explained() {
    fn unexplained(schema: &Value, root: &Value, way: &str, found: &mut Vec<String>) {
        let Value::Object(map) = schema else { return };
        let properties = map.get("properties").and_then(Value::as_object);
        for (key, value) in properties.into_iter().flatten() {
            let target = value["$ref"].as_str().map(|to| root.pointer(&to[1..]).unwrap());
            let explained = iter::once(value).chain(target).any(|at| at["description"].is_string());
            if !explained {
                found.push(format!("{way}/{key}"));
            }
        }
        for (key, value) in map {
            unexplained(value, root, &format!("{way}/{key}"), found);
        }
    }
    for text in [MODEL, TESTS] {
        let schema: Value = serde_json::from_str(text).unwrap();
        let mut found = Vec::new();
        unexplained(&schema, &schema, "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
