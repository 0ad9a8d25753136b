//! Which definitions of two models mean the same: those that are built alike, down to what they refer
//! to, whatever ids and helpers compilation gave them. Knows no author's words and decides nothing.
//!
//! Classes are refined until nothing splits any more. First all definitions are alike; then two are alike
//! if their texts are, in which what they refer to is named by its class. What is told apart in the end
//! differs in something that can be pointed at; what is not, no question can tell apart.

use std::collections::{BTreeMap, HashMap};

use super::text::{self, Words};
use crate::model::form::{
    ConditionId, Def, DefKind, FactKind, FactTest, Model, NameId, RoleDef, SubjectForm, TypeDef,
    TypeId,
};
use crate::model::names::Object;

/// How far a definition is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Down to what has a name of its own: what changed there is told there.
    Named,
    /// All that it depends on: only what is alike then answers alike over all tuples.
    All,
}

/// The classes of two models' definitions.
#[derive(Debug)]
pub(super) struct Classes {
    of: [BTreeMap<(TypeId, NameId), u32>; 2],
}

impl Classes {
    /// Costs the definitions of both, times the longest way of references between two that differ.
    pub(super) fn of(models: [&Model; 2], depth: Depth) -> Self {
        let [old, new] = models.map(surroundings);
        // Where they are the same, they tell nothing apart.
        let around = if old == new { ["", ""] } else { [" old", " new"] };
        let start = |model: &Model| keys(model).map(|(key, _)| (key, 0)).collect();
        let mut classes = Self { of: models.map(start) };
        let mut count = 0;
        loop {
            let (next, found) = classes.refined(models, depth, around);
            // A class only ever splits, so as many as before are the same ones.
            if found == count {
                return classes;
            }
            (classes, count) = (next, found);
        }
    }

    fn refined(&self, models: [&Model; 2], depth: Depth, around: [&str; 2]) -> (Self, usize) {
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut side = |model: &Model, held: &BTreeMap<(TypeId, NameId), u32>, around: &str| {
            let mut classes = BTreeMap::new();
            for ((at, name), def) in keys(model) {
                let words = Signature { model, at, held, depth, around };
                let before = held.get(&(at, name)).copied().unwrap_or_default();
                let text = text::text_of(&def.expr, &words);
                let text = format!("{before} {} {:?} {text}", model.type_name(at), def.kind);
                let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
                classes.insert((at, name), *known.entry(text).or_insert(next));
            }
            classes
        };
        let [old, new] = &self.of;
        let ([one, other], [old_around, new_around]) = (models, around);
        let of = [side(one, old, old_around), side(other, new, new_around)];
        (Self { of }, known.len())
    }

    /// The class of a name of the old model (0) or of the new one (1).
    pub(super) fn get(&self, side: usize, at: TypeId, name: NameId) -> Option<u32> {
        self.of.get(side)?.get(&(at, name)).copied()
    }
}

/// Every definition of a model, in the order of its ids.
pub(super) fn keys(model: &Model) -> impl Iterator<Item = ((TypeId, NameId), &Def)> {
    types(model).flat_map(|(at, def)| def.defs.iter().map(move |(name, def)| ((at, *name), def)))
}

pub(super) fn types(model: &Model) -> impl Iterator<Item = (TypeId, &TypeDef)> {
    (0u16..).map(TypeId).zip(&model.types)
}

/// The words by which two definitions are told apart.
struct Signature<'a> {
    model: &'a Model,
    at: TypeId,
    held: &'a BTreeMap<(TypeId, NameId), u32>,
    depth: Depth,
    around: &'a str,
}

impl Signature<'_> {
    /// A name at a type: by its class, or by its name if it has one of its own.
    fn name(&self, at: TypeId, name: NameId) -> String {
        let Some(class) = self.held.get(&(at, name)) else { return "-".to_owned() };
        let is_helper = self.model.def(at, name).is_some_and(|def| def.kind == DefKind::Helper);
        match self.depth {
            Depth::Named if !is_helper => format!("{:?}", self.model.name_of(name)),
            Depth::Named | Depth::All => format!("#{class}"),
        }
    }

    /// What lies around every definition, if that is to be looked at.
    fn around(&self) -> &str {
        if self.depth == Depth::All { self.around } else { "" }
    }

    /// Who may hold a role, and on which conditions.
    fn role(&self, role: &RoleDef) -> String {
        let forms = sorted(role.bound_by.iter().map(|form| self.form(*form)));
        let conditions = role.conditions.iter().map(|id| condition_text(self.model, *id));
        let conditions = sorted(conditions);
        format!("{}{forms:?}{conditions:?}", self.model.name_of(role.name))
    }

    fn form(&self, form: SubjectForm) -> String {
        match form {
            SubjectForm::Set(at, name) => {
                format!("{}{}", form_text(self.model, form), self.name(at, name))
            }
            SubjectForm::Object(_) | SubjectForm::All(_) => form_text(self.model, form),
        }
    }
}

impl Words for Signature<'_> {
    fn reference(&self, name: NameId) -> String {
        format!("ref({})", self.name(self.at, name))
    }

    fn here(&self, role: NameId) -> String {
        let def = self.model.type_def(self.at).and_then(|def| def.role(role));
        let name = self.model.name_of(role);
        match def.filter(|_| self.depth == Depth::All) {
            Some(def) => format!("here({name}{})", self.role(def)),
            None => format!("here({name})"),
        }
    }

    fn step(&self, function: &str, relation: NameId, name: NameId) -> String {
        let def = self.model.type_def(self.at);
        let mut targets = Vec::new();
        for target in def.into_iter().flat_map(|def| def.leads_to(relation)) {
            targets.push(format!("{} {}", self.model.type_name(target), self.name(target, name)));
        }
        targets.sort_unstable();
        // Where a role has the relation's name, its tuples are what is followed.
        let role = def.and_then(|def| def.role(relation)).filter(|_| self.depth == Depth::All);
        let role = role.map(|def| self.role(def)).unwrap_or_default();
        format!("{function}({}{targets:?}{role}{})", self.model.name_of(relation), self.around())
    }

    fn anywhere(&self, scopes: TypeId, name: NameId) -> String {
        let mut roles = Vec::new();
        if self.depth == Depth::All {
            let def = self.model.type_def(scopes);
            roles.extend(def.into_iter().flat_map(|def| &def.roles).map(|role| self.role(role)));
            roles.sort_unstable();
        }
        let name = self.name(scopes, name);
        format!("anywhere({} {name}{roles:?}{})", self.model.type_name(scopes), self.around())
    }

    fn fact(&self, function: &str, test: &FactTest) -> String {
        format!("{function}({}{})", text::feature(test), self.around())
    }

    fn condition(&self, id: ConditionId) -> String {
        match self.depth {
            Depth::Named => {
                let name = self.model.condition(id).map_or("", |def| def.name.as_str());
                format!("condition({name})")
            }
            Depth::All => format!("condition({})", condition_text(self.model, id)),
        }
    }

    fn link(&self, link: NameId) -> String {
        format!("{}{}", self.model.name_of(link), self.around())
    }
}

/// The relations and facts of all types: what is looked up along the hierarchy depends on any of them.
fn surroundings(model: &Model) -> Vec<String> {
    let mut lines = Vec::new();
    for (_, def) in types(model) {
        let name = def.name.as_ref().map_or("", |name| name.as_str());
        for edge in &def.edges {
            let targets = sorted(edge.targets.iter().map(|id| model.type_name(*id).to_owned()));
            let conditions = sorted(edge.conditions.iter().map(|id| condition_text(model, *id)));
            let (relation, is_parent) = (model.name_of(edge.relation), edge.is_parent);
            lines.push(format!("{name}.{relation} {targets:?} {is_parent} {conditions:?}"));
        }
        for fact in def.facts.iter().filter_map(|fact| model.fact(*fact)) {
            lines.push(format!("{name} {} {}", fact.name, kind_text(&fact.kind)));
        }
    }
    lines.sort_unstable();
    lines
}

pub(super) fn sorted(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// `user`, `user:*` or `group#member`.
pub(super) fn form_text(model: &Model, form: SubjectForm) -> String {
    match form {
        SubjectForm::Object(at) => model.type_name(at).to_owned(),
        SubjectForm::All(at) => format!("{}:*", model.type_name(at)),
        SubjectForm::Set(at, name) => format!("{}#{}", model.type_name(at), model.name_of(name)),
    }
}

/// A condition with all that its value depends on.
pub(super) fn condition_text(model: &Model, id: ConditionId) -> String {
    let Some(condition) = model.condition(id) else { return String::new() };
    let parameters = condition.parameters.iter();
    let parameters = parameters.map(|(name, kind)| format!("{name}: {kind:?}"));
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    format!("{}({parameters}) {:?}", condition.name, condition.when)
}

/// `flag`, `set`, or `one of` and the values.
pub(super) fn kind_text(kind: &FactKind) -> String {
    match kind {
        FactKind::Flag => "flag".to_owned(),
        FactKind::Set => "set".to_owned(),
        FactKind::OneOf(values) => {
            let value = |value: &Object| value.as_str().splitn(3, ':').nth(2).map(str::to_owned);
            format!("one of {}", sorted(values.iter().filter_map(value)).join(", "))
        }
    }
}
