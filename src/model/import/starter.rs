//! The first `model.yaml` and `tests.yaml` around a matrix: as little as checks, tests and serves.

use std::collections::{BTreeMap, BTreeSet};

use super::Import;
use super::merge::NewRow;
use crate::model::names::Name;

/// Where permissions are asked if nothing else is said.
const SCOPE: &str = "org";

/// A new model.
pub(super) struct Starter<'a> {
    pub(super) import: &'a Import<'a>,
    pub(super) name: &'a str,
    pub(super) file: &'a str,
    pub(super) roles: Vec<&'a str>,
    pub(super) rows: &'a [NewRow],
}

/// What a model says of a matrix that its `model.yaml` does not know yet.
pub(super) fn matrix(name: &str, file: &str) -> String {
    let (name, file) = (word(name), word(file));
    format!("  - {{ name: {name}, file: {file}, at: [TYPE], bound: TYPE }}")
}

impl Starter<'_> {
    fn scopes(&self) -> Vec<&str> {
        let said: Vec<&str> = self.import.at.iter().map(String::as_str).collect();
        if said.is_empty() { vec![SCOPE] } else { said }
    }

    pub(super) fn model(&self) -> String {
        let scopes = self.scopes();
        let first = word(scopes.first().copied().unwrap_or(SCOPE));
        let mut text = format!("model: {}\n\ntypes:\n  user: {{}}\n", word(self.import.model));
        let mut above: Option<&str> = None;
        for scope in &scopes {
            let parents = above.map_or_else(
                || "{}".to_owned(),
                |above| format!("{{ parents: [{}] }}", word(above)),
            );
            text.push_str(&format!("  {}: {parents}\n", word(scope)));
            above = Some(scope);
        }
        let (flags, sets) = self.facts();
        if !flags.is_empty() || !sets.is_empty() {
            let list = |words: &BTreeSet<String>| {
                words.iter().map(|name| word(name)).collect::<Vec<_>>().join(", ")
            };
            text.push_str(&format!(
                "\nfacts:\n  {first}: {{ flags: [{}], sets: [{}] }}\n",
                list(&flags),
                list(&sets)
            ));
        }
        text.push_str(&format!("\nroles:\n  - at: [{first}]\n    names:\n"));
        for role in &self.roles {
            text.push_str(&format!("      - {}\n", word(role)));
        }
        let at = scopes.iter().map(|scope| word(scope)).collect::<Vec<_>>().join(", ");
        text.push_str(&format!(
            "    bound_by: [user]\n\nmatrices:\n  - name: {}\n    file: {}\n    at: [{at}]\n    bound: {first}\n",
            word(self.name),
            word(self.file)
        ));
        text
    }

    /// The words of the gates: a flag, or a set for `set:member`.
    fn facts(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut flags, mut sets) = (BTreeSet::new(), BTreeSet::new());
        let permissions: BTreeSet<&str> =
            self.rows.iter().map(|row| row.permission.as_str()).collect();
        let own = self.rows.iter().map(|row| row.gate.as_str());
        let of_cells = self.rows.iter().flat_map(|row| &row.cells).map(|cell| cell.gate.as_str());
        for gate in own.chain(of_cells).collect::<BTreeSet<&str>>() {
            for text in gate.split(|c: char| c.is_whitespace() || "(),&".contains(c)) {
                let is_name = self.roles.contains(&text) || permissions.contains(text);
                let is_word = crate::model::expression::RESERVED.contains(&text) || is_name;
                match text.split_once(':') {
                    Some((set, _)) if Name::parse(set).is_ok() => {
                        sets.insert(set.to_owned());
                    }
                    None if !is_word && Name::parse(text).is_ok() => {
                        flags.insert(text.to_owned());
                    }
                    _ => {}
                }
            }
        }
        flags.retain(|flag| !sets.contains(flag));
        (flags, sets)
    }

    /// A scenario: for each role a row that it has and one that it has not.
    pub(super) fn tests(&self, kept: &[usize]) -> String {
        let scope = self.scopes().first().copied().unwrap_or(SCOPE).to_owned();
        let mut people = Vec::new();
        let mut questions = Vec::new();
        for (n, (role, field)) in self.roles.iter().zip(kept).enumerate() {
            let person = format!("user:u{}", n + 1);
            people.push(format!("{scope}:first#{role}@{person}"));
            let cell = |row: &&NewRow, wanted: bool| {
                let cell = row.cells.get(*field);
                cell.is_some_and(|cell| cell.is_granted == wanted && cell.gate.is_empty())
            };
            for (wanted, expect) in [(true, "allow"), (false, "deny")] {
                if let Some(row) = self.rows.iter().find(|row| cell(row, wanted)) {
                    let permission = &row.permission;
                    questions.push((expect, format!("{person} {permission} {scope}:first")));
                }
            }
        }
        // Nobody may do anything where no role is held: something is asked in any case.
        if let Some(row) = self.rows.first() {
            questions.push(("deny", format!("user:nobody {} {scope}:first", row.permission)));
        }
        let mut text = "scenarios:\n  - name: each role has its own rows\n    tuples:\n".to_owned();
        for tuple in people {
            text.push_str(&format!("      - \"{tuple}\"\n"));
        }
        text.push_str("    questions:\n");
        for (expect, ask) in questions {
            text.push_str(&format!("      - {{ expect: {expect}, ask: \"{ask}\" }}\n"));
        }
        text
    }
}

/// A word that YAML takes for a text, whatever it is.
fn word(text: &str) -> String {
    let others: BTreeMap<&str, ()> =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].map(|w| (w, ())).into();
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-/".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !others.contains_key(text.to_ascii_lowercase().as_str());
    if is_plain {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
