//! Reads the part of `model.yaml` about who may give which roles: delegation and constraints. Knows
//! the shape of the file, not what its names mean.

use super::problem::Report;
use super::read::{check_some, type_list, word_pairs};
use super::source::{ConstraintSource, DelegationSource, RuleSource, Source, VerbSource};
use super::yaml::{Fields, Node, Word};

pub(super) fn read(model: &Fields<'_>, source: &mut Source, report: &mut Report) {
    if let Some(node) = model.get("delegation") {
        source.delegation = delegation(node, report);
    }
    if let Some(node) = model.get("constraints") {
        let items = node.list("a list of constraints", report);
        source.constraints = items.iter().filter_map(|item| constraint(item, report)).collect();
    }
}

fn delegation(node: &Node, report: &mut Report) -> Option<DelegationSource> {
    let fields = node.fields("`delegation`", &["file", "verbs"], report);
    let file = fields.need("file", "`delegation`", report);
    let file = file.and_then(|node| node.text("the name of a CSV file", report)).cloned();
    let verbs = fields.need("verbs", "`delegation`", report);
    let verbs = verbs.map(|node| node.entries("a map of verbs", report));
    let verbs = verbs.into_iter().flatten().map(|(name, node)| verb(name, node, report)).collect();
    Some(DelegationSource { file: file?, verbs })
}

fn verb(name: &Word, node: &Node, report: &mut Report) -> VerbSource {
    let fields = node.fields("a verb", &["op", "as", "gate", "roles"], report);
    let word = |key, expected, report: &mut Report| {
        fields.get(key).and_then(|node: &Node| node.text(expected, report)).cloned()
    };
    VerbSource {
        name: name.clone(),
        op: word("op", "`grant`, `revoke` or `replace`", report),
        link: word("as", "a relation that leads to a person's accounts", report),
        gate: word("gate", "the expression of a gate", report),
        roles: fields.get("roles").map_or_else(Vec::new, |node| {
            word_pairs(node, "a map of roles and their gates", "the expression of a gate", report)
        }),
    }
}

fn constraint(node: &Node, report: &mut Report) -> Option<ConstraintSource> {
    const WHAT: &str = "a constraint";
    let known = ["name", "at", "one_role", "exclusive", "role", "at_most", "keep_one"];
    let fields = node.fields(WHAT, &known, report);
    let name = fields.need("name", WHAT, report);
    let name = name.and_then(|node| node.text("the constraint's name", report)).cloned();
    let at = fields.need("at", WHAT, report).map(|node| type_list(node, report));
    if let Some(at) = &at {
        check_some(at, fields.at, WHAT, report);
    }
    let rule = rule(&fields, report);
    Some(ConstraintSource { name: name?, at: at?, rule: rule? })
}

/// The one rule that a constraint says.
fn rule(fields: &Fields<'_>, report: &mut Report) -> Option<RuleSource> {
    const RULES: [&str; 4] = ["one_role", "exclusive", "at_most", "keep_one"];
    let said: Vec<&str> = RULES.into_iter().filter(|key| fields.get(key).is_some()).collect();
    let [rule] = said.as_slice() else {
        let rules = "`one_role`, `exclusive`, `at_most`, `keep_one`";
        let found = if said.is_empty() { "none".to_owned() } else { said.join(" and ") };
        report.push(fields.at, format!("a constraint: expected one of {rules}, found {found}"));
        return None;
    };
    let role_counts = matches!(*rule, "at_most" | "keep_one");
    if let Some(node) = fields.get("role").filter(|_| !role_counts) {
        report.push(&node.at, format!("`role` says nothing beside `{rule}`"));
    }
    let role = |report: &mut Report| {
        let node = fields.need("role", &format!("a constraint with `{rule}`"), report)?;
        node.text("a role", report).cloned()
    };
    let node = fields.get(rule)?;
    match *rule {
        "one_role" => is_true(node, rule, report).then_some(RuleSource::OneRole),
        "exclusive" => {
            let roles = node.words("a list of roles", "a role", report);
            Some(RuleSource::Exclusive(roles, node.at.clone()))
        }
        "at_most" => {
            let role = role(report);
            let count = node.integer("a number of holders", report);
            Some(RuleSource::AtMost { role: role?, count: count?, at: node.at.clone() })
        }
        _ => {
            let role = role(report);
            is_true(node, rule, report).then_some(RuleSource::KeepOne(role?))
        }
    }
}

/// A rule is there or not: `false` would look like one.
fn is_true(node: &Node, key: &str, report: &mut Report) -> bool {
    let value = node.boolean("`true`", report);
    if value == Some(false) {
        report.push(&node.at, format!("expected `true`, found `false`: leave `{key}` out instead"));
    }
    value == Some(true)
}
