//! Which questions two models may answer differently over the same tuples, and whom to ask about. Knows
//! no tuples.

use std::collections::{BTreeMap, BTreeSet};

use super::classes::{Classes, Depth, types};
use crate::model::form::{DefKind, Expr, Model, NameId, SubjectForm, TypeDef, TypeId};

/// A permission at a type of scope that the models may answer differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// The permission.
    pub permission: String,
    /// The type of the scopes.
    pub at: String,
    /// The types of the subjects that may have it.
    pub subjects: BTreeSet<String>,
    /// The answer may depend on the context of the request, which nobody knows beforehand.
    pub asks_context: bool,
    /// The answer may depend on the target of the question.
    pub asks_target: bool,
}

/// What a name means at a type of each model.
type Sides = [Option<(TypeId, NameId)>; 2];

/// Every permission at every type whose definitions, down to all that they depend on, are not the same in
/// both models, sorted. What is not among them is answered alike over all tuples that both admit. Costs
/// what both hold times the longest way of references.
#[must_use]
pub fn concerns(old: &Model, new: &Model) -> Vec<Concern> {
    let classes = Classes::of([old, new], Depth::All);
    let mut found: BTreeMap<(&str, &str), Sides> = BTreeMap::new();
    for (side, model) in [old, new].into_iter().enumerate() {
        for ((at, name), def) in super::classes::keys(model) {
            if def.kind == DefKind::Permission {
                let key = (model.name_of(name), model.type_name(at));
                if let Some(place) = found.entry(key).or_default().get_mut(side) {
                    *place = Some((at, name));
                }
            }
        }
    }
    found.retain(|_, sides| match sides {
        [Some(old), Some(new)] => classes.get(0, old.0, old.1) != classes.get(1, new.0, new.1),
        _ => true,
    });
    let everybody = [old, new].map(everybody);
    let mut concerns = Vec::new();
    for ((permission, at), sides) in found {
        let mut walk = Walk::default();
        for ((model, place), everybody) in [old, new].into_iter().zip(sides).zip(&everybody) {
            if let Some((at, name)) = place {
                walk.of(model, at, name, everybody);
            }
        }
        concerns.push(Concern {
            permission: permission.to_owned(),
            at: at.to_owned(),
            subjects: walk.subjects,
            asks_context: walk.asks_context,
            asks_target: walk.asks_target,
        });
    }
    concerns
}

/// The types of all who can be subjects of a question: any object may be, but nobody asks for a feature,
/// the first of the types.
fn everybody(model: &Model) -> BTreeSet<String> {
    types(model).skip(1).filter_map(|(_, def)| Some(def.name.as_ref()?.to_string())).collect()
}

/// All that a definition leads to.
#[derive(Debug, Default)]
struct Walk {
    subjects: BTreeSet<String>,
    asks_context: bool,
    asks_target: bool,
    /// It may hold without a binding, or through others: then for anybody.
    is_open: bool,
}

impl Walk {
    fn of(&mut self, model: &Model, at: TypeId, name: NameId, everybody: &BTreeSet<String>) {
        let mut seen = BTreeSet::new();
        let mut open = vec![(at, name)];
        while let Some(place) = open.pop() {
            if seen.insert(place)
                && let Some(def) = model.def(place.0, place.1)
            {
                self.expr(model, place.0, &def.expr, &mut open);
            }
        }
        if self.is_open {
            self.subjects.extend(everybody.iter().cloned());
        }
    }

    fn expr(&mut self, model: &Model, at: TypeId, expr: &Expr, open: &mut Vec<(TypeId, NameId)>) {
        let def = model.type_def(at);
        match expr {
            Expr::Here(role) => {
                if let Some(def) = def {
                    self.bound_by(model, def, *role, open);
                }
            }
            Expr::HereAny(roles) => {
                for role in roles {
                    if let Some(def) = def {
                        self.bound_by(model, def, *role, open);
                    }
                }
            }
            Expr::Ref(name) => open.push((at, *name)),
            Expr::Up { relation, name } | Expr::UpAll { relation, name } => {
                if let Some(def) = def {
                    let edge = def.edge(*relation).map(|edge| &edge.conditions);
                    let conditions = edge.or_else(|| Some(&def.role(*relation)?.conditions));
                    self.asks_context |= conditions.is_some_and(|some| !some.is_empty());
                    open.extend(def.leads_to(*relation).map(|target| (target, *name)));
                }
            }
            Expr::Any(parts) => parts.iter().for_each(|part| self.expr(model, at, part, open)),
            Expr::All(parts) => {
                // Nothing at all must hold.
                self.is_open |= parts.is_empty();
                parts.iter().for_each(|part| self.expr(model, at, part, open));
            }
            Expr::Except(left, right) => {
                self.expr(model, at, left, open);
                self.expr(model, at, right, open);
            }
            Expr::Fact(_) => self.along_parents(model),
            Expr::Standing(test) => {
                self.along_parents(model);
                let declaring = types(model).filter(|(_, def)| def.facts.contains(&test.fact));
                self.subjects.extend(declaring.map(|(id, _)| model.type_name(id).to_owned()));
            }
            Expr::SelfIs => {
                self.subjects.insert(model.type_name(at).to_owned());
            }
            Expr::Condition(_) => (self.is_open, self.asks_context) = (true, true),
            Expr::Anywhere { scopes, name } => {
                self.is_open = true;
                open.push((*scopes, *name));
                if let Some(def) = model.type_def(*scopes) {
                    for role in &def.roles {
                        self.bound_by(model, def, role.name, open);
                    }
                }
            }
            Expr::As { link, expr } => {
                self.is_open = true;
                for edge in model.types.iter().filter_map(|def| def.edge(*link)) {
                    self.asks_context |= !edge.conditions.is_empty();
                    let names = edge.targets.iter().map(|id| model.type_name(*id).to_owned());
                    self.subjects.extend(names);
                }
                self.expr(model, at, expr, open);
            }
            Expr::OfTarget(inner) => {
                self.asks_target = true;
                self.expr(model, at, inner, open);
            }
        }
    }

    /// A fact is asked, which anybody may have and which is looked for along all parent edges.
    fn along_parents(&mut self, model: &Model) {
        self.is_open = true;
        let mut edges = model.types.iter().flat_map(|def| &def.edges);
        self.asks_context |= edges.any(|edge| edge.is_parent && !edge.conditions.is_empty());
    }

    fn bound_by(
        &mut self,
        model: &Model,
        def: &TypeDef,
        role: NameId,
        open: &mut Vec<(TypeId, NameId)>,
    ) {
        let Some(role) = def.role(role) else { return };
        self.asks_context |= !role.conditions.is_empty();
        for form in &role.bound_by {
            match form {
                SubjectForm::Object(of) | SubjectForm::All(of) => {
                    self.subjects.insert(model.type_name(*of).to_owned());
                }
                SubjectForm::Set(at, name) => open.push((*at, *name)),
            }
        }
    }
}
