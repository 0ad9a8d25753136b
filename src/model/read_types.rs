//! Reads the part of `model.yaml` about types: types, facts, conditions, roles. Knows the shape of the
//! file, not what its names mean.

use super::form::ParameterType;
use super::limits::PARAMETER_DEPTH_MAX;
use super::problem::Report;
use super::read::{check_some, type_list, word_pairs};
use super::source::{
    ConditionSource, EdgeSource, FactForm, FactSource, RoleGroup, Source, TypeSource,
};
use super::suggest::did_you_mean;
use super::yaml::{Fields, Kind, Node, Word};

pub(super) fn read(model: &Fields<'_>, source: &mut Source, report: &mut Report) {
    if let Some(node) = model.get("facts") {
        for (at, node) in node.entries("a map of types and their facts", report) {
            facts(at, node, &mut source.facts, report);
        }
    }
    if let Some(node) = model.get("conditions") {
        for (name, node) in node.entries("a map of conditions", report) {
            source.conditions.extend(condition(name, node, report));
        }
    }
    if let Some(node) = model.get("roles") {
        let items = node.list("a list of roles", report);
        source.roles = items.iter().filter_map(|item| role_group(item, report)).collect();
    }
}

pub(super) fn types(node: &Node, report: &mut Report) -> Vec<TypeSource> {
    let mut types = Vec::new();
    for (name, node) in node.entries("a map of types", report) {
        let fields = node.fields("a type", &["parents", "relations"], report);
        let mut edges = Vec::new();
        if let Some(node) = fields.get("parents") {
            parents(node, &mut edges, report);
        }
        if let Some(node) = fields.get("relations") {
            for (relation, node) in node.entries("a map of relations", report) {
                edges.push(arrow(relation, node, report));
            }
        }
        types.push(TypeSource { name: name.clone(), edges });
    }
    types
}

fn parents(node: &Node, edges: &mut Vec<EdgeSource>, report: &mut Report) {
    if matches!(node.kind, Kind::List(_)) {
        for target in type_list(node, report) {
            edges.push(parent(&target, None, report));
        }
        return;
    }
    for (target, node) in node.entries("a list or a map of parent types", report) {
        edges.push(parent(target, Some(node), report));
    }
}

fn parent(target: &Word, node: Option<&Node>, report: &mut Report) -> EdgeSource {
    let mut edge = EdgeSource {
        relation: Word::on_line("parent", &target.at),
        targets: vec![target.clone()],
        is_parent: true,
        roles_pass: true,
        many: None,
        acyclic: None,
        conditions: None,
    };
    let Some(node) = node else { return edge };
    let known = ["relation", "roles_pass", "many", "acyclic", "conditions"];
    let fields = node.fields("a parent", &known, report);
    if let Some(word) = fields.get("relation").and_then(|n| n.text("a relation", report)) {
        edge.relation = word.clone();
    }
    let boolean = |key, report: &mut Report| {
        fields.get(key).and_then(|node: &Node| node.boolean("`true` or `false`", report))
    };
    edge.roles_pass = boolean("roles_pass", report).unwrap_or(true);
    edge.many = boolean("many", report);
    edge.acyclic = boolean("acyclic", report);
    edge.conditions = fields.get("conditions").map(|node| conditions(node, report));
    edge
}

fn arrow(relation: &Word, node: &Node, report: &mut Report) -> EdgeSource {
    let (targets, conditions) = if matches!(node.kind, Kind::Map(_)) {
        let fields = node.fields("a relation", &["to", "conditions"], report);
        let to = fields.need("to", "a relation", report);
        let named = fields.get("conditions").map(|node| conditions(node, report));
        (to.map_or_else(Vec::new, |node| type_list(node, report)), named)
    } else {
        (type_list(node, report), None)
    };
    if targets.is_empty() {
        report.push(&relation.at, format!("the relation `{}` leads to no type", relation.quoted()));
    }
    EdgeSource {
        relation: relation.clone(),
        targets,
        is_parent: false,
        roles_pass: false,
        many: Some(true),
        acyclic: Some(false),
        conditions,
    }
}

fn conditions(node: &Node, report: &mut Report) -> Vec<Word> {
    node.words("a list of conditions", "a condition", report)
}

fn facts(at: &Word, node: &Node, facts: &mut Vec<FactSource>, report: &mut Report) {
    let fields = node.fields("a type's facts", &["flags", "sets", "one_of"], report);
    let fact = |name: &Word, form| FactSource { at: at.clone(), name: name.clone(), form };
    if let Some(node) = fields.get("flags") {
        let words = node.words("a list of flags", "a flag", report);
        facts.extend(words.iter().map(|word| fact(word, FactForm::Flag)));
    }
    if let Some(node) = fields.get("sets") {
        let words = node.words("a list of sets", "a set", report);
        facts.extend(words.iter().map(|word| fact(word, FactForm::Set)));
    }
    if let Some(node) = fields.get("one_of") {
        for (name, node) in node.entries("a map of enumerations", report) {
            let values = node.words("a list of values", "a value", report);
            if values.is_empty() {
                report.push(&name.at, format!("`{}` has no values", name.quoted()));
            }
            facts.push(fact(name, FactForm::OneOf(values)));
        }
    }
}

fn condition(name: &Word, node: &Node, report: &mut Report) -> Option<ConditionSource> {
    let fields = node.fields("a condition", &["parameters", "when"], report);
    let mut parameters = Vec::new();
    if let Some(node) = fields.get("parameters") {
        for (name, node) in node.entries("a map of parameters and their types", report) {
            let Some(word) = node.text("the type of a parameter", report) else { continue };
            // A parameter of an unknown type is kept, so that its uses are not problems too.
            let kind = parameter_type(&word.text, 0);
            if kind.is_none() {
                report.push(&word.at, unknown_parameter_type(word));
            }
            parameters.push((name.clone(), kind));
        }
    }
    let when = fields.need("when", "a condition", report)?;
    let when = when.text("a CEL expression", report)?.clone();
    Some(ConditionSource { name: name.clone(), parameters, when })
}

const PARAMETER_TYPES: [&str; 10] = [
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "timestamp",
    "duration",
    "ipaddress",
    "list",
    "map",
];

fn unknown_parameter_type(word: &Word) -> String {
    let near = did_you_mean(&word.text, PARAMETER_TYPES);
    let known = PARAMETER_TYPES.join(", ");
    format!("`{}` is no type of a parameter: expected one of {known}{near}", word.quoted())
}

/// `list` and `map` alone hold strings; `list<int>`, `map<bool>` say what else.
fn parameter_type(text: &str, depth: usize) -> Option<ParameterType> {
    let of = |name: &str| {
        let inner = text.strip_prefix(name)?.strip_prefix('<')?.strip_suffix('>')?;
        (depth < PARAMETER_DEPTH_MAX).then(|| parameter_type(inner, depth + 1)).flatten()
    };
    Some(match text {
        "bool" => ParameterType::Bool,
        "int" => ParameterType::Int,
        "uint" => ParameterType::Uint,
        "double" => ParameterType::Double,
        "string" => ParameterType::String,
        "timestamp" => ParameterType::Timestamp,
        "duration" => ParameterType::Duration,
        "ipaddress" => ParameterType::IpAddress,
        "list" => ParameterType::List(Box::new(ParameterType::String)),
        "map" => ParameterType::Map(Box::new(ParameterType::String)),
        _ => match of("list") {
            Some(inner) => ParameterType::List(Box::new(inner)),
            None => ParameterType::Map(Box::new(of("map")?)),
        },
    })
}

fn role_group(node: &Node, report: &mut Report) -> Option<RoleGroup> {
    let known = ["at", "names", "bound_by", "conditions", "gate", "gates"];
    let fields = node.fields("an entry of `roles`", &known, report);
    let at = fields.need("at", "an entry of `roles`", report);
    let at = at.map(|node| type_list(node, report));
    let names = fields.need("names", "an entry of `roles`", report);
    let names = names.map(|node| node.words("a list of roles", "a role", report));
    let group = RoleGroup {
        at: at?,
        names: names?,
        bound_by: fields
            .get("bound_by")
            .map(|node| node.words("a list of subjects", "a subject", report)),
        conditions: fields.get("conditions").map_or_else(Vec::new, |node| conditions(node, report)),
        gate: fields.get("gate").and_then(|node| node.text("a gate", report)).cloned(),
        gates: fields.get("gates").map_or_else(Vec::new, |node| {
            word_pairs(node, "a map of roles and their gates", "a gate", report)
        }),
    };
    check_some(&group.at, fields.at, "an entry of `roles`", report);
    Some(group)
}
