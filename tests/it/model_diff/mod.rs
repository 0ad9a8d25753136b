//! `bailiwick model diff`: nothing that changed is missed, and what only looks different is no difference.

mod changed;
mod effect;

use std::collections::BTreeMap;
use std::path::Path;

use bailiwick::model::diff::{Change, Side, What, changes};
use bailiwick::model::form::{FactId, Model, NameId, TypeId};
use bailiwick::model::{SourceFiles, load};

use crate::support::process::repository;

/// A model directory's files, by name, to be changed.
pub(crate) type Files = BTreeMap<String, String>;

pub(crate) fn files(dir: &str) -> Files {
    let files = SourceFiles::read_dir(&repository(dir)).unwrap();
    files.names().map(|name| (name.to_owned(), files.get(name).unwrap().to_owned())).collect()
}

pub(crate) fn source(files: &Files) -> SourceFiles {
    files.iter().map(|(name, text)| (name.as_str(), text)).collect()
}

pub(crate) fn side(files: &Files) -> Side {
    Side::load(&source(files)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The files with one text in the place of another, which must be there.
#[track_caller]
pub(crate) fn with(files: &Files, name: &str, from: &str, to: &str) -> Files {
    let mut files = files.clone();
    let text = files.get_mut(name).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    *text = text.replacen(from, to, 1);
    files
}

pub(crate) fn diff(old: &Files, new: &Files) -> Vec<Change> {
    changes(&side(old), &side(new))
}

/// The changes of a kind, `+`, `-` or `~` before each name.
fn of(changes: &[Change], what: What) -> Vec<String> {
    let sign = |change: &Change| match (&change.old, &change.new) {
        (None, _) => '+',
        (_, None) => '-',
        _ => '~',
    };
    let of = changes.iter().filter(|change| change.what == what);
    of.map(|change| format!("{} {}", sign(change), change.name)).collect()
}

/// A model of one file: a few types, and the rest.
pub(crate) fn small(rest: &str) -> Files {
    let types = "model: base
types:
  user: {}
  group: {}
  org: { parents: [org] }
  doc: { parents: [org] }
";
    Files::from([("model.yaml".to_owned(), format!("{types}{rest}"))])
}

/// Writes the files into a directory.
pub(crate) fn put(files: &Files, dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    for (name, text) in files {
        std::fs::write(dir.join(name), text).unwrap();
    }
}

/// All that a model means, as text without an order of its own, and with names in the place of ids.
fn dump(files: &Files) -> Option<Vec<String>> {
    let model = load(&source(files), &BTreeMap::new()).ok()?;
    let mut lines = Vec::new();
    for def in &model.types {
        let of = def.name.as_ref().unwrap();
        lines.extend(def.edges.iter().map(|edge| format!("{of} {edge:?}")));
        lines.extend(def.roles.iter().map(|role| format!("{of} {role:?}")));
        lines.extend(def.facts.iter().map(|fact| format!("{of} {:?}", model.fact(*fact))));
        lines.extend(def.defs.iter().map(|(name, def)| format!("{of} {name:?} {def:?}")));
    }
    lines.extend(model.facts.iter().map(|fact| format!("{fact:?}")));
    for condition in &model.conditions {
        lines.push(format!("{} {:?} {}", condition.name, condition.parameters, condition.when));
    }
    lines.extend(model.permissions.values().map(|p| format!("{:?} {:?}", p.name, p.at)));
    for verb in &model.delegation.verbs {
        lines.push(format!("{} {:?}", verb.name, verb.op));
        lines.extend(verb.rows.iter().map(|row| format!("{} {row:?}", verb.name)));
    }
    lines.extend(model.constraints.iter().map(|constraint| format!("{constraint:?}")));
    lines.push(model.name.clone());
    for line in &mut lines {
        *line = named(&model, line);
    }
    lines.sort();
    Some(lines)
}

/// `NameId(7)` and `TypeId(2)` in the names of the model.
fn named(model: &Model, line: &str) -> String {
    let mut parts = line.split("Id(");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (number, rest) = part.split_once(')').unwrap();
        let id = number.parse::<u16>().unwrap();
        let name = match text.rsplit(|c: char| !c.is_alphanumeric()).next().unwrap() {
            "Name" => model.name_of(NameId(id.into())).to_owned(),
            "Type" => model.type_name(TypeId(id)).to_owned(),
            "Fact" => format!("{:?}", model.fact(FactId(id))),
            _ => number.to_owned(),
        };
        text.push_str(&format!("({name}){rest}"));
    }
    text
}
