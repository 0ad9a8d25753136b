//! A model as entries that can be compared one by one: each has a kind, a name and a text, all in the
//! author's names. What stands in any order is sorted. Knows one model only.

use std::collections::{BTreeMap, BTreeSet};

use super::classes::{condition_text, form_text, keys, kind_text, sorted, types};
use super::text::{Written as Words, text_of};
use super::{Side, What};
use crate::model::form::{
    Cell, ConstraintRule, DefKind, DelegatedOp, EdgeDef, Expr, NameId, RoleDef, TypeId,
};

/// The text of each entry, by its kind and name.
pub(super) type Inventory = BTreeMap<(What, String), String>;

/// All entries of a model. Costs what it holds.
pub(super) fn inventory(side: &Side) -> Inventory {
    let mut taker = Taker { side, found: Inventory::new() };
    taker.found.insert((What::Model, "name".to_owned()), side.model.name.clone());
    taker.types();
    taker.conditions();
    taker.words();
    taker.permissions();
    taker.cells();
    taker.matrices();
    taker.delegation();
    taker.constraints();
    taker.found
}

struct Taker<'a> {
    side: &'a Side,
    found: Inventory,
}

impl Taker<'_> {
    fn put(&mut self, what: What, name: impl Into<String>, text: impl Into<String>) {
        self.found.insert((what, name.into()), text.into());
    }

    fn expr(&self, expr: &Expr) -> String {
        text_of(expr, &Words(&self.side.model))
    }

    fn type_names(&self, types: impl IntoIterator<Item = TypeId>) -> String {
        let model = &self.side.model;
        sorted(types.into_iter().map(|id| model.type_name(id).to_owned())).join(", ")
    }

    fn role(&self, role: NameId, bound: TypeId) -> String {
        let model = &self.side.model;
        format!("{}@{}", model.name_of(role), model.type_name(bound))
    }

    fn types(&mut self) {
        let model = &self.side.model;
        let mut facts: BTreeMap<String, (String, Vec<TypeId>)> = BTreeMap::new();
        for (id, def) in types(model) {
            let name = model.type_name(id);
            self.put(What::Type, name, "");
            for edge in &def.edges {
                let relation = format!("{name}.{}", model.name_of(edge.relation));
                let text = self.edge(id, edge);
                self.put(What::Relation, relation, text);
            }
            for role in &def.roles {
                let text = self.bound(id, role);
                self.put(What::Role, self.role(role.name, id), text);
            }
            for fact in def.facts.iter().filter_map(|fact| model.fact(*fact)) {
                let entry = facts.entry(fact.name.to_string());
                entry.or_insert_with(|| (kind_text(&fact.kind), Vec::new())).1.push(id);
            }
        }
        for (name, (kind, at)) in facts {
            let text = format!("{kind}, of {}", self.type_names(at));
            self.put(What::Fact, name, text);
        }
    }

    fn edge(&self, at: TypeId, edge: &EdgeDef) -> String {
        let Side { model, written } = self.side;
        let kind = if edge.is_parent { "parent" } else { "arrow" };
        let mut text = format!("{kind} {}", self.type_names(edge.targets.iter().copied()));
        if edge.many {
            text.push_str(", many");
        }
        if edge.is_parent && !edge.acyclic {
            text.push_str(", may be cyclic");
        }
        let passing = edge.targets.iter().copied();
        let passing = passing
            .filter(|target| written.passing.contains(&(at, edge.relation, *target)))
            .collect::<Vec<_>>();
        if !passing.is_empty() {
            text.push_str(&format!("; roles pass from {}", self.type_names(passing)));
        }
        let conditions = edge.conditions.iter().filter_map(|id| model.condition(*id));
        let conditions = sorted(conditions.map(|condition| condition.name.to_string()));
        if !conditions.is_empty() {
            text.push_str(&format!("; conditions {}", conditions.join(", ")));
        }
        text
    }

    fn bound(&self, at: TypeId, role: &RoleDef) -> String {
        let Side { model, written } = self.side;
        let forms = sorted(role.bound_by.iter().map(|form| form_text(model, *form)));
        let mut text = format!("bound by {}", forms.join(", "));
        let conditions = role.conditions.iter().filter_map(|id| model.condition(*id));
        let conditions = sorted(conditions.map(|condition| condition.name.to_string()));
        if !conditions.is_empty() {
            text.push_str(&format!("; conditions {}", conditions.join(", ")));
        }
        if let Some(gate) = written.role_gates.get(&(at, role.name)) {
            text.push_str(&format!("; if {}", self.expr(gate)));
        }
        text
    }

    fn conditions(&mut self) {
        let model = &self.side.model;
        for (id, condition) in (0u16..).zip(&model.conditions) {
            let text = condition_text(model, crate::model::form::ConditionId(id));
            self.put(What::Condition, condition.name.to_string(), text);
        }
    }

    /// What the author gave a name of its own, and the general form has at each place of its use.
    fn words(&mut self) {
        let Side { model, written } = self.side;
        for (name, text) in &written.parameters {
            self.put(What::Parameter, name, text);
        }
        for (name, text) in &written.gates {
            self.put(What::Gate, name, text);
        }
        for ((at, name), def) in keys(model).filter(|(_, def)| def.kind == DefKind::Computed) {
            let place = format!("{} at {}", model.name_of(name), model.type_name(at));
            let text = self.expr(&def.expr);
            self.put(What::Name, place, text);
        }
    }

    fn permissions(&mut self) {
        let Side { model, written } = self.side;
        for (name, permission) in &model.permissions {
            let at = self.type_names(permission.at.iter().copied());
            self.put(What::Permission, name.to_string(), format!("at {at}"));
        }
        for (permission, gate) in &written.asked {
            let text = self.expr(gate);
            self.put(What::Asked, model.name_of(*permission), text);
        }
    }

    fn cells(&mut self) {
        let model = &self.side.model;
        let mut cells: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for cell in &self.side.written.cells {
            let mut text = format!("at {}", self.type_names(cell.at.iter().copied()));
            text.push_str(&format!("; reach {}", cell.reach));
            if !matches!(&cell.gate, Expr::All(parts) if parts.is_empty()) {
                text.push_str(&format!("; if {}", self.expr(&cell.gate)));
            }
            let name = cell_name(&self.role(cell.role, cell.bound), model.name_of(cell.permission));
            cells.entry(name).or_default().insert(text);
        }
        for (name, texts) in cells {
            let text = texts.into_iter().collect::<Vec<_>>().join(" | ");
            self.put(What::Cell, name, text);
        }
    }

    fn matrices(&mut self) {
        let model = &self.side.model;
        for matrix in &model.matrices {
            let columns = matrix.columns.iter();
            let columns = sorted(columns.map(|column| self.role(column.role, column.bound)));
            self.put(What::Matrix, matrix.name.clone(), format!("columns {}", columns.join(", ")));
            for row in &matrix.rows {
                let permission = model.name_of(row.permission);
                self.put(What::Row, format!("{} {permission}", matrix.name), "");
            }
        }
    }

    fn delegation(&mut self) {
        let delegation = &self.side.model.delegation;
        for verb in &delegation.verbs {
            let op = match verb.op {
                Some(DelegatedOp::Grant) => "grant",
                Some(DelegatedOp::Revoke) => "revoke",
                Some(DelegatedOp::Replace) => "replace",
                None => "only asked about",
            };
            self.put(What::Verb, verb.name.to_string(), op);
        }
        for row in &delegation.rows {
            let Some(verb) = delegation.verbs.get(row.verb) else { continue };
            for cell in &row.cells {
                let text = match &cell.cell {
                    Cell::No => continue,
                    Cell::Yes => String::new(),
                    Cell::If(gate) => format!("if {gate}"),
                };
                let (actor, target) =
                    (self.role(cell.role, cell.bound), self.role(row.role, row.bound));
                let name = format!("{actor} {} {target}", verb.name);
                self.put(What::Delegation, name, text);
            }
        }
    }

    fn constraints(&mut self) {
        let model = &self.side.model;
        for constraint in &model.constraints {
            let role = |role: &NameId| model.name_of(*role).to_owned();
            let text = match &constraint.rule {
                ConstraintRule::Exclusive(roles) => {
                    format!("exclusive {}", sorted(roles.iter().map(role)).join(", "))
                }
                ConstraintRule::AtMost { role: of, count } => {
                    format!("at most {count} {}", role(of))
                }
                ConstraintRule::KeepOne { role: of } => format!("keep one {}", role(of)),
            };
            let at = model.type_name(constraint.at);
            self.put(What::Constraint, format!("{} at {at}", constraint.name), text);
        }
    }
}

/// A cell's name: `admin@org stations.reboot`.
pub(super) fn cell_name(role: &str, permission: &str) -> String {
    format!("{role} {permission}")
}
