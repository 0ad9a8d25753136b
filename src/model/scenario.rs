//! `tests.yaml`: scenarios as plain data. Knows the shape of the file; whether its names exist in the
//! model shows when a scenario runs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::compile::ParameterValue;
use super::files::{SourceFiles, TESTS_FILE};
use super::names::{Name, Object, quoted};
use super::problem::{Position, Problems, Report};
use super::tuple::{Context, Time, Tuple, TupleCondition, TupleKey};
use super::yaml::{self, Fields, Kind, Node, Word};

/// Reads the scenarios of a model directory.
#[derive(Debug, Clone, Copy)]
pub struct Scenarios;

/// A world, and what must be answered in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub at: Position,
    /// Values for the model's parameters.
    pub parameters: BTreeMap<String, ParameterValue>,
    /// The moment of the questions, if it says one.
    pub now: Option<Time>,
    /// What is stored, facts included.
    pub tuples: Vec<Placed<Tuple>>,
    /// What is asked.
    pub questions: Vec<Question>,
    /// Who is asked to be let give, take or change roles.
    pub delegated: Vec<Delegated>,
    /// Whose roles are asked for.
    pub roles: Vec<RolesAsked>,
    /// What must be refused.
    pub refused: Vec<Placed<Tuple>>,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Position,
}

/// What a question must be answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
    /// Refused as a question: INVALID_ARGUMENT.
    Invalid,
}

/// A question and its answer. The texts are as written: an invalid one may be what is tested.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Where it stands.
    pub at: Position,
    /// The answer.
    pub expect: Expect,
    /// Who asks.
    pub subject: String,
    /// For what.
    pub permission: String,
    /// Where.
    pub scope: String,
    /// The second subject, if it is about one.
    pub target: Option<String>,
    /// The reason code of the answer, if it is tested.
    pub reason: Option<String>,
    /// Values for conditions.
    pub context: Context,
}

/// A delegated question and its answer; the texts are as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Delegated {
    /// Where it stands.
    pub at: Position,
    /// The answer.
    pub expect: Expect,
    /// Who acts.
    pub actor: String,
    /// What: a verb of the model's delegation.
    pub verb: String,
    /// With which role.
    pub role: String,
    /// Where.
    pub scope: String,
    /// For whom; empty: nobody is named.
    pub target: String,
    /// The reason code of the answer, if it is tested.
    pub reason: Option<String>,
    /// Values for conditions.
    pub context: Context,
}

/// A list of roles and what must be in it; the texts are as written.
#[derive(Debug, Clone, PartialEq)]
pub struct RolesAsked {
    /// Where it stands.
    pub at: Position,
    /// Whose roles.
    pub subject: String,
    /// Where they must count; empty: wherever they are bound.
    pub scope: String,
    /// Every scope with a role that is bound there, in byte order.
    pub expect: Vec<(String, String)>,
    /// Values for conditions.
    pub context: Context,
}

impl Scenarios {
    /// Reads `tests.yaml`; no file: no scenarios.
    ///
    /// # Errors
    /// Everything that is not as docs/model.md says, in the order of the text.
    pub fn parse(files: &SourceFiles) -> Result<Vec<Scenario>, Problems> {
        let mut report = Report::default();
        let Some(text) = files.get(TESTS_FILE) else { return Ok(Vec::new()) };
        let mut scenarios = Vec::new();
        if let Some(root) = yaml::parse(TESTS_FILE, text, &mut report) {
            let fields = root.fields("tests.yaml", &["scenarios"], &mut report);
            if let Some(node) = fields.get("scenarios") {
                for item in node.list("a list of scenarios", &mut report) {
                    scenarios.extend(scenario(item, &mut report));
                }
            }
        }
        let mut names = HashSet::new();
        for scenario in &scenarios {
            if !names.insert(scenario.name.as_str()) {
                let message = format!("the scenario `{}` is there twice", quoted(&scenario.name));
                report.push(&scenario.at, message);
            }
        }
        report.finish(Some(scenarios))
    }
}

fn scenario(node: &Node, report: &mut Report) -> Option<Scenario> {
    let known = ["name", "parameters", "now", "facts", "tuples", "questions", "refused"];
    let fields = node.fields("a scenario", &known, report);
    let name = fields.need("name", "a scenario", report);
    let name = name.and_then(|node| node.text("the scenario's name", report)).cloned();
    let mut tuples = Vec::new();
    if let Some(node) = fields.get("facts") {
        facts(node, &mut tuples, report);
    }
    tuples.extend(tuple_list(&fields, "tuples", report));
    let (mut questions, mut asked, mut roles) = (Vec::new(), Vec::new(), Vec::new());
    if let Some(node) = fields.get("questions") {
        for item in node.list("a list of questions", report) {
            if is_delegated(item) {
                asked.extend(delegated(item, report));
            } else if is_of_roles(item) {
                roles.extend(roles_asked(item, report));
            } else {
                questions.extend(question(item, report));
            }
        }
    }
    let name = name?;
    Some(Scenario {
        name: name.text,
        at: name.at,
        parameters: parameters(&fields, report),
        now: fields.get("now").and_then(|node| time(node, report)),
        tuples,
        questions,
        delegated: asked,
        roles,
        refused: tuple_list(&fields, "refused", report),
    })
}

fn parameters(fields: &Fields<'_>, report: &mut Report) -> BTreeMap<String, ParameterValue> {
    let mut parameters = BTreeMap::new();
    let Some(node) = fields.get("parameters") else { return parameters };
    for (name, node) in node.entries("a map of parameters", report) {
        let value = if matches!(node.kind, Kind::List(_)) {
            let words = node.words("a list of patterns", "a pattern", report);
            ParameterValue::Patterns(words.into_iter().map(|word| word.text).collect())
        } else {
            match node.boolean("a boolean or a list of row patterns", report) {
                Some(value) => ParameterValue::Bool(value),
                None => continue,
            }
        };
        parameters.insert(name.text.clone(), value);
    }
    parameters
}

/// An RFC 3339 text.
fn time(node: &Node, report: &mut Report) -> Option<Time> {
    let word = node.text("a time like `2026-01-01T00:00:00Z`", report)?;
    let parsed = Time::parse(&word.text);
    if parsed.is_none() {
        let message = format!("`{}`: expected a time like `2026-01-01T00:00:00Z`", word.quoted());
        report.push(&word.at, message);
    }
    parsed
}

/// `org:acme: [verified]` is the tuple `org:acme#has@feature:verified`.
fn facts(node: &Node, tuples: &mut Vec<Placed<Tuple>>, report: &mut Report) {
    for (object, node) in node.entries("a map of objects and their facts", report) {
        if let Err(error) = Object::parse(&object.text) {
            report.push(&object.at, error.to_string());
            continue;
        }
        for fact in node.words("a list of facts", "a fact", report) {
            match TupleKey::parse(&format!("{}#has@feature:{}", object.text, fact.text)) {
                Ok(key) => tuples.push(Placed { value: Tuple::plain(key), at: fact.at }),
                Err(error) => report.push(&fact.at, error.to_string()),
            }
        }
    }
}

fn tuple_list(fields: &Fields<'_>, key: &str, report: &mut Report) -> Vec<Placed<Tuple>> {
    let Some(node) = fields.get(key) else { return Vec::new() };
    let items = node.list("a list of tuples", report);
    items.iter().filter_map(|item| tuple(item, report)).collect()
}

fn tuple(node: &Node, report: &mut Report) -> Option<Placed<Tuple>> {
    if !matches!(node.kind, Kind::Map(_)) {
        let word =
            node.text("a tuple `scope#role@subject`, or a map with the key `tuple`", report)?;
        let key = tuple_key(word, report)?;
        return Some(Placed { value: Tuple::plain(key), at: word.at.clone() });
    }
    let known = ["tuple", "expires_at", "condition", "context", "source"];
    let fields = node.fields("a tuple", &known, report);
    let word = fields.need("tuple", "a tuple", report)?;
    let word = word.text("a tuple `scope#role@subject`", report)?;
    let mut tuple = Tuple::plain(tuple_key(word, report)?);
    tuple.expires_at = fields.get("expires_at").and_then(|node| time(node, report));
    if let Some(source) = fields.get("source").and_then(|n| n.text("a source", report)) {
        tuple.key.source.clone_from(&source.text);
    }
    let context = fields.get("context").map(|node| context(node, report));
    if let Some(word) = fields.get("condition").and_then(|n| n.text("a condition", report)) {
        match Name::parse(&word.text) {
            Ok(name) => {
                let context = context.unwrap_or_default();
                tuple.condition = Some(TupleCondition { name, context });
            }
            Err(error) => report.push(&word.at, error.to_string()),
        }
    } else if context.is_some() {
        report.push(fields.at, "a context without a condition");
    }
    Some(Placed { value: tuple, at: word.at.clone() })
}

fn tuple_key(word: &Word, report: &mut Report) -> Option<TupleKey> {
    TupleKey::parse(&word.text).map_err(|error| report.push(&word.at, error.to_string())).ok()
}

fn question(node: &Node, report: &mut Report) -> Option<Question> {
    let known = ["expect", "ask", "target", "reason", "context"];
    let fields = node.fields("a question", &known, report);
    let expect = expect(&fields, report);
    let ask = fields.need("ask", "a question", report);
    let ask = ask.and_then(|node| node.text("`SUBJECT PERMISSION SCOPE`", report))?;
    let mut parts = ask.text.split_whitespace().map(str::to_owned);
    let (Some(subject), Some(permission), Some(scope), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        let message = format!("`{}`: expected `SUBJECT PERMISSION SCOPE`", ask.quoted());
        report.push(&ask.at, message);
        return None;
    };
    let target = fields.get("target").and_then(|node| node.text("a subject", report));
    let reason = fields.get("reason").and_then(|node| node.text("a reason code", report));
    let context = fields.get("context").map(|node| context(node, report));
    Some(Question {
        at: ask.at.clone(),
        expect: expect?,
        subject,
        permission,
        scope,
        target: target.map(|word| word.text.clone()),
        reason: reason.map(|word| word.text.clone()),
        context: context.unwrap_or_default(),
    })
}

fn expect(fields: &Fields<'_>, report: &mut Report) -> Option<Expect> {
    let node = fields.need("expect", "a question", report)?;
    let word = node.text("`allow`, `deny` or `invalid`", report)?;
    match word.text.as_str() {
        "allow" => Some(Expect::Allow),
        "deny" => Some(Expect::Deny),
        "invalid" => Some(Expect::Invalid),
        _ => {
            let message = format!("`{}`: expected `allow`, `deny` or `invalid`", word.quoted());
            report.push(&word.at, message);
            None
        }
    }
}

/// The value under a key, whatever else stands beside it.
fn peek<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    let Kind::Map(entries) = &node.kind else { return None };
    let is_it = |key_node: &Node| matches!(&key_node.kind, Kind::Text(word) if word.text == key);
    entries.iter().find(|(key_node, _)| is_it(key_node)).map(|(_, value)| value)
}

/// An actor and a verb make a question a delegated one.
fn is_delegated(node: &Node) -> bool {
    peek(node, "actor").is_some() && peek(node, "verb").is_some()
}

/// Somebody whose roles are asked for makes a question one of roles, unless all else says otherwise.
fn is_of_roles(node: &Node) -> bool {
    let is_word = |node: &Node| matches!(node.kind, Kind::Text(_));
    let is_question = peek(node, "ask").is_some() && peek(node, "expect").is_some_and(is_word);
    peek(node, "roles_of").is_some() && !is_question
}

fn roles_asked(node: &Node, report: &mut Report) -> Option<RolesAsked> {
    const WHAT: &str = "a question about roles";
    const LIST: &str = "a list of roles `scope#role`";
    let fields = node.fields(WHAT, &["expect", "roles_of", "scope", "context"], report);
    let subject = fields.need("roles_of", WHAT, report);
    let subject = subject.and_then(|node| node.text("a subject", report));
    let scope = fields.get("scope").and_then(|node| node.text("an object", report));
    let context = fields.get("context").map(|node| context(node, report));
    let mut expect = BTreeSet::new();
    for word in fields.need("expect", WHAT, report)?.words(LIST, "a role `scope#role`", report) {
        let parts = word.text.split_once('#');
        let parsed = parts.map(|(scope, role)| (Object::parse(scope), Name::parse(role)));
        let Some((Ok(scope), Ok(role))) = parsed else {
            report.push(&word.at, format!("`{}` is not a role `scope#role`", word.quoted()));
            continue;
        };
        if !expect.insert((scope.to_string(), role.to_string())) {
            report.push(&word.at, format!("`{}` is there twice", word.quoted()));
        }
    }
    Some(RolesAsked {
        at: node.at.clone(),
        subject: subject?.text.clone(),
        scope: scope.map(|word| word.text.clone()).unwrap_or_default(),
        expect: expect.into_iter().collect(),
        context: context.unwrap_or_default(),
    })
}

fn delegated(node: &Node, report: &mut Report) -> Option<Delegated> {
    const WHAT: &str = "a delegated question";
    let known = ["expect", "actor", "verb", "role", "scope", "target", "reason", "context"];
    let fields = node.fields(WHAT, &known, report);
    let expect = expect(&fields, report);
    let need = |key, what, report: &mut Report| {
        let node = fields.need(key, WHAT, report)?;
        node.text(what, report).map(|word| word.text.clone())
    };
    let actor = need("actor", "a subject", report);
    let verb = need("verb", "a verb", report);
    let role = need("role", "a role", report);
    let scope = need("scope", "an object", report);
    let target = fields.get("target").and_then(|node| node.text("a subject", report));
    let reason = fields.get("reason").and_then(|node| node.text("a reason code", report));
    let context = fields.get("context").map(|node| context(node, report));
    Some(Delegated {
        at: node.at.clone(),
        expect: expect?,
        actor: actor?,
        verb: verb?,
        role: role?,
        scope: scope?,
        target: target.map(|word| word.text.clone()).unwrap_or_default(),
        reason: reason.map(|word| word.text.clone()),
        context: context.unwrap_or_default(),
    })
}

fn context(node: &Node, report: &mut Report) -> Context {
    let entries = node.entries("a map of values", report);
    entries.into_iter().map(|(name, node)| (name.text.clone(), json(node, report))).collect()
}

fn json(node: &Node, report: &mut Report) -> serde_json::Value {
    use serde_json::Value;
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => Value::Bool(*value),
        Kind::Int(value) => Value::from(*value),
        Kind::Float(value) => Value::from(*value),
        Kind::Text(word) => Value::String(word.text.clone()),
        Kind::List(items) => Value::Array(items.iter().map(|item| json(item, report)).collect()),
        Kind::Map(_) => {
            let entries = node.entries("a map of values", report);
            let entries = entries.into_iter().map(|(k, v)| (k.text.clone(), json(v, report)));
            Value::Object(entries.collect())
        }
    }
}
