//! What differs between two models: by role and permission where it is a cell, else by definition. Knows
//! no tuples: who gains and who loses is for the engine.
//!
//! Invariant *nothing is missed*: two models without a change between them have the same general form but
//! for ids, order, labels and sections. The entries of `inventory` tell what people look for; `classes`
//! sees every definition, and what no entry told is told as a definition.

mod classes;
mod concern;
mod inventory;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use self::classes::{Classes, Depth};
pub use self::concern::{Concern, concerns};
use super::compile::{Written, load_written};
use super::files::SourceFiles;
use super::form::{DefKind, Model, NameId, TypeId};
use super::problem::Problems;

/// One of the two models, with what its author wrote.
#[derive(Debug)]
pub struct Side {
    /// As it is compiled.
    pub model: Model,
    written: Written,
}

impl Side {
    /// Checks and compiles a model directory.
    ///
    /// # Errors
    /// Every problem of the model.
    pub fn load(files: &SourceFiles) -> Result<Self, Problems> {
        let (model, written) = load_written(files, &BTreeMap::new())?;
        Ok(Self { model, written })
    }
}

/// What a change is about, in the order in which changes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// A role gives a permission: `admin@org stations.reboot`.
    Cell,
    /// A permission, and where it may be asked.
    Permission,
    /// The gates of a permission at the scope asked.
    Asked,
    /// What a permission, a role or a row of the delegation means, where nothing else says it.
    Definition,
    /// A role at the type that it is bound on.
    Role,
    /// A named gate.
    Gate,
    /// A parameter's value.
    Parameter,
    /// A computed name.
    Name,
    /// A type.
    Type,
    /// A parent relation or an arrow: `station.parent`.
    Relation,
    /// A fact, and which types declare it.
    Fact,
    /// A condition.
    Condition,
    /// An actor's role, a verb, a target's role: `owner@org invite admin@org`.
    Delegation,
    /// A verb of delegation.
    Verb,
    /// A rule over the tuples of a scope.
    Constraint,
    /// A matrix, and the roles of its columns.
    Matrix,
    /// The matrix that a row stands in, of a permission that both models have.
    Row,
    /// The model's name.
    Model,
}

impl What {
    /// The word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Cell => "cell",
            Self::Permission => "permission",
            Self::Asked => "asked",
            Self::Definition => "definition",
            Self::Role => "role",
            Self::Gate => "gate",
            Self::Parameter => "parameter",
            Self::Name => "name",
            Self::Type => "type",
            Self::Relation => "relation",
            Self::Fact => "fact",
            Self::Condition => "condition",
            Self::Delegation => "delegation",
            Self::Verb => "verb",
            Self::Constraint => "constraint",
            Self::Matrix => "matrix",
            Self::Row => "row",
            Self::Model => "model",
        }
    }
}

/// Something that is not the same in both models.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// What it is about.
    pub what: What,
    /// Which one.
    pub name: String,
    /// What the old model says of it; `None`: the old model does not have it.
    pub old: Option<String>,
    /// The same of the new one.
    pub new: Option<String>,
}

/// Every change from one model to another, sorted; empty if there is none. Costs what both hold, and the
/// definitions times the longest way of references between two that differ.
#[must_use]
pub fn changes(old: &Side, new: &Side) -> Vec<Change> {
    let mut before = inventory::inventory(old);
    let mut changes = Vec::new();
    for ((what, name), new) in inventory::inventory(new) {
        let old = before.remove(&(what, name.clone()));
        if old.as_ref() != Some(&new) {
            changes.push(Change { what, name, old, new: Some(new) });
        }
    }
    for ((what, name), old) in before {
        changes.push(Change { what, name, old: Some(old), new: None });
    }
    let told = Told::of(&changes);
    // A row comes and goes with its permission.
    changes.retain(|change| change.what != What::Row || !told.of_row(&change.name));
    changes.extend(definitions(old, new, &told));
    changes.sort_unstable();
    changes
}

/// The names of what has been told already.
struct Told {
    /// Permissions with a changed cell or gate, roles, computed names: their definitions changed by that.
    names: BTreeSet<String>,
    /// Permissions that came or went.
    permissions: BTreeSet<String>,
}

impl Told {
    fn of(changes: &[Change]) -> Self {
        let (mut names, mut permissions) = (BTreeSet::new(), BTreeSet::new());
        for Change { what, name, old, new } in changes {
            match what {
                What::Cell => names.extend(name.split(' ').nth(1).map(permission_name)),
                What::Asked => {
                    names.insert(permission_name(name));
                }
                What::Permission if old.is_none() || new.is_none() => {
                    permissions.insert(name.clone());
                    names.insert(permission_name(name));
                }
                What::Role => {
                    names.insert(format!("role {}", name.replace('@', " at ")));
                }
                What::Name => {
                    names.insert(format!("name {name}"));
                }
                What::Delegation => {
                    let row: Vec<&str> = name.split(' ').skip(1).collect();
                    names.insert(format!("delegation {}", row.join(" ")));
                }
                _ => {}
            }
        }
        Self { names, permissions }
    }

    fn of_row(&self, row: &str) -> bool {
        // A matrix' name may have spaces in it, a permission's not.
        row.rsplit(' ').next().is_some_and(|permission| self.permissions.contains(permission))
    }
}

fn permission_name(permission: &str) -> String {
    format!("permission {permission}")
}

/// The definitions that differ and that nothing told so far says.
fn definitions(old: &Side, new: &Side, told: &Told) -> Vec<Change> {
    let classes = Classes::of([&old.model, &new.model], Depth::Named);
    let (mut before, after) = (named(old, told), named(new, told));
    let class = |side, found: &Found| classes.get(side, found.at, found.definition);
    let mut changes = Vec::new();
    for (name, found) in after {
        let was = before.remove(&name);
        if was.as_ref().is_some_and(|was| class(0, was) == class(1, &found)) {
            continue;
        }
        let old = was.map(|was| was.text(old));
        changes.push(Change { what: What::Definition, name, old, new: Some(found.text(new)) });
    }
    for (name, was) in before {
        let old = Some(was.text(old));
        changes.push(Change { what: What::Definition, name, old, new: None });
    }
    changes
}

/// A definition that people can name.
struct Found {
    at: TypeId,
    definition: NameId,
}

impl Found {
    fn text(&self, side: &Side) -> String {
        let words = text::Written(&side.model);
        let def = side.model.def(self.at, self.definition);
        def.map_or_else(String::new, |def| text::text_of(&def.expr, &words))
    }
}

fn named(side: &Side, told: &Told) -> BTreeMap<String, Found> {
    let model = &side.model;
    let mut found = BTreeMap::new();
    let mut put = |known: &str, name: String, at, definition| {
        if !told.names.contains(known) {
            found.insert(name, Found { at, definition });
        }
    };
    for ((at, name), def) in classes::keys(model) {
        let (text, at_type) = (model.name_of(name), model.type_name(at));
        let place = |what: &str| format!("{what} {text} at {at_type}");
        match def.kind {
            DefKind::Permission => {
                put(&permission_name(text), place("permission"), at, name);
            }
            DefKind::Role => put(&place("role"), place("role"), at, name),
            DefKind::Computed => put(&place("name"), place("name"), at, name),
            DefKind::Helper => {}
        }
    }
    let role = |at, role| format!("{}@{}", model.name_of(role), model.type_name(at));
    for verb in &model.delegation.verbs {
        for ((at, target), helper) in &verb.rows {
            let name = format!("delegation {} {}", verb.name, role(*at, *target));
            put(&name, name.clone(), *at, *helper);
        }
    }
    for ((at, target), gate) in &model.delegation.role_gates {
        for (part, helper) in [("scope", gate.scope), ("subject", gate.subject)] {
            let Some(helper) = helper else { continue };
            let name = format!("gate of {} on the {part}", role(*at, *target));
            put(
                &format!("role {} at {}", model.name_of(*target), model.type_name(*at)),
                name,
                *at,
                helper,
            );
        }
    }
    found
}
