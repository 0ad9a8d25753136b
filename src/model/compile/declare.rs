//! Declares what expressions will name: parameters, types, relations, facts, roles. Knows no
//! expressions.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::draft::{BoundRole, Draft, Meaning};
use super::hierarchy::{Edges, Hierarchy};
use super::{ParameterValue, chains};
use crate::model::form::{
    ConditionId, DefKind, EdgeDef, Expr, FactDef, FactId, FactKind, NameId, RoleDef, SubjectForm,
    TypeDef, TypeId,
};
use crate::model::names::{Name, Object};
use crate::model::problem::Position;
use crate::model::source::{
    EdgeSource, FactForm, FactSource, ParameterSource, RoleGroup, Source, TypeSource,
};
use crate::model::suggest::did_you_mean;
use crate::model::yaml::Word;

/// The file that faults of overrides are reported in.
const OVERRIDES: &str = "parameters";

pub(super) fn parameters(
    source: &[(Word, ParameterSource)],
    overrides: &BTreeMap<String, ParameterValue>,
    draft: &mut Draft,
) {
    for (word, default) in source {
        let Some(name) = draft.new_name(word) else { continue };
        let default = match default {
            ParameterSource::Bool(value) => ParameterValue::Bool(*value),
            ParameterSource::Patterns(words) => {
                ParameterValue::Patterns(words.iter().map(|word| word.text.clone()).collect())
            }
        };
        let value = match (overrides.get(name.as_str()), &default) {
            (None, _) => default,
            (Some(value), default) if value.is_bool() == default.is_bool() => value.clone(),
            (Some(_), _) => {
                let expected = if default.is_bool() { "a boolean" } else { "a list of patterns" };
                let message = format!("`{name}`: expected {expected}");
                draft.report.push(&Position::start(OVERRIDES), message);
                default
            }
        };
        draft.parameters.insert(name.to_string(), value);
    }
    for name in overrides.keys() {
        if !source.iter().any(|(word, _)| word.text == *name) {
            let near = did_you_mean(name, source.iter().map(|(word, _)| word.text.as_str()));
            draft.unknown(name, &Position::start(OVERRIDES), "parameter of this model", &near);
        }
    }
}

pub(super) fn types(source: &[TypeSource], draft: &mut Draft) {
    let mut declared = Vec::new();
    for entry in source {
        let Some(name) = draft.new_name(&entry.name) else { continue };
        if name.as_str() == "feature" {
            let message = "`feature` is there in every model and cannot be declared";
            draft.report.push(&entry.name.at, message);
            continue;
        }
        let Ok(id) = u16::try_from(draft.types.len()) else {
            draft.report.push(&entry.name.at, "a model has at most 65535 types");
            break;
        };
        draft.types.push(TypeDef { name: Some(name.clone()), ..TypeDef::default() });
        draft.type_ids.insert(name, TypeId(id));
        declared.push((TypeId(id), entry));
    }
    let mut passes = HashSet::new();
    for (id, entry) in declared {
        edges(id, &entry.edges, &mut passes, draft);
    }
    chains::bound(&mut draft.types);
    let passes = |at, relation, target| passes.contains(&(at, relation, target));
    draft.hierarchy = Hierarchy::new(&draft.types, passes);
}

/// An edge whose unsaid properties are still open.
struct OpenEdge {
    def: EdgeDef,
    many: Option<bool>,
    acyclic: Option<bool>,
    conditions_said: bool,
}

fn edges(
    at: TypeId,
    source: &[EdgeSource],
    passes: &mut HashSet<(TypeId, NameId, TypeId)>,
    draft: &mut Draft,
) {
    let mut open: Vec<OpenEdge> = Vec::new();
    for entry in source {
        let Some(name) = draft.new_name(&entry.relation) else { continue };
        let relation = draft.names.intern(&name);
        let targets = draft.types_of(&entry.targets);
        if entry.roles_pass {
            passes.extend(targets.iter().map(|target| (at, relation, *target)));
        }
        let conditions = entry.conditions.as_ref().map(|words| draft.conditions_of(words));
        match open.iter_mut().find(|edge| edge.def.relation == relation) {
            Some(edge) => merge(edge, entry, targets, conditions, draft),
            None => open.push(OpenEdge {
                many: entry.many,
                acyclic: entry.acyclic,
                conditions_said: conditions.is_some(),
                def: EdgeDef {
                    relation,
                    targets,
                    passing: Vec::new(),
                    is_parent: entry.is_parent,
                    many: false,
                    acyclic: false,
                    longest_chain: None,
                    conditions: conditions.unwrap_or_default(),
                },
            }),
        }
    }
    let Some(def) = draft.type_def_mut(at) else { return };
    let passing = |edge: &EdgeDef| {
        let targets = edge.targets.iter().copied();
        targets.filter(|target| passes.contains(&(at, edge.relation, *target))).collect()
    };
    def.edges.extend(open.into_iter().map(|edge| EdgeDef {
        passing: passing(&edge.def),
        many: edge.many.unwrap_or(false),
        acyclic: edge.acyclic.unwrap_or(edge.def.is_parent),
        ..edge.def
    }));
}

/// Several parent types may be reached by one relation; what they say of it must agree.
fn merge(
    edge: &mut OpenEdge,
    entry: &EdgeSource,
    targets: Vec<TypeId>,
    conditions: Option<Vec<ConditionId>>,
    draft: &mut Draft,
) {
    let relation = entry.relation.quoted();
    let at = entry.targets.first().map_or(&entry.relation.at, |word| &word.at);
    if !(edge.def.is_parent && entry.is_parent) {
        let message = format!("the relation `{relation}` is declared twice");
        draft.report.push(&entry.relation.at, message);
        return;
    }
    for target in targets {
        if edge.def.targets.contains(&target) {
            let message = format!("`{}` is named twice", draft.type_name(target));
            draft.report.push(at, message);
        } else {
            edge.def.targets.push(target);
        }
    }
    for (said, held, what) in
        [(entry.many, &mut edge.many, "many"), (entry.acyclic, &mut edge.acyclic, "acyclic")]
    {
        match (said, *held) {
            (Some(said), Some(held)) if said != held => {
                let message = format!(
                    "`{what}` of the relation `{relation}` is {held} for another parent, {said} here"
                );
                draft.report.push(at, message);
            }
            (Some(said), None) => *held = Some(said),
            _ => {}
        }
    }
    if let Some(conditions) = conditions {
        if edge.conditions_said && edge.def.conditions != conditions {
            let message =
                format!("`conditions` of the relation `{relation}` differ between parents");
            draft.report.push(at, message);
        }
        edge.def.conditions = conditions;
        edge.conditions_said = true;
    }
}

pub(super) fn facts(source: &[FactSource], draft: &mut Draft) {
    for entry in source {
        let at = draft.type_of(&entry.at);
        let Some(name) = draft.new_name(&entry.name) else { continue };
        let kind = fact_kind(entry, draft);
        let id = match draft.fact_of(name.as_str()) {
            Some(id) => {
                let held = draft.facts.get(usize::from(id.0)).map(|fact| &fact.kind);
                if held.is_some_and(|held| !same_kind(held, &kind)) {
                    let message = format!("the fact `{name}` has another form at another type");
                    draft.report.push(&entry.name.at, message);
                }
                id
            }
            None => {
                let Ok(id) = u16::try_from(draft.facts.len()) else {
                    draft.report.push(&entry.name.at, "a model has at most 65536 facts");
                    return;
                };
                draft.facts.push(FactDef { name: name.clone(), kind });
                draft.fact_ids.insert(name.clone(), FactId(id));
                FactId(id)
            }
        };
        let Some(def) = at.and_then(|at| draft.type_def_mut(at)) else { continue };
        if def.facts.contains(&id) {
            let message = format!("the fact `{name}` is declared twice for one type");
            draft.report.push(&entry.name.at, message);
        } else {
            def.facts.push(id);
        }
    }
}

fn same_kind(held: &FactKind, kind: &FactKind) -> bool {
    match (held, kind) {
        (FactKind::OneOf(held), FactKind::OneOf(values)) => {
            held.len() == values.len() && values.iter().all(|value| held.contains(value))
        }
        _ => held == kind,
    }
}

fn fact_kind(entry: &FactSource, draft: &mut Draft) -> FactKind {
    let FactForm::OneOf(words) = &entry.form else {
        return if matches!(entry.form, FactForm::Set) { FactKind::Set } else { FactKind::Flag };
    };
    let mut values = Vec::new();
    for word in words {
        match Object::parse(&format!("feature:{}:{}", entry.name.text, word.text)) {
            Ok(value) if values.contains(&value) => {
                draft.report.push(&word.at, format!("`{}` is named twice", word.quoted()));
            }
            Ok(value) => values.push(value),
            Err(error) => draft.report.push(&word.at, error.to_string()),
        }
    }
    FactKind::OneOf(values)
}

/// The roles and where they are held. Who may hold them waits until every name is known.
pub(super) fn roles(source: &[RoleGroup], draft: &mut Draft) {
    name_sets(source, draft);
    for group in source {
        let at = draft.types_of(&group.at);
        let conditions = draft.conditions_of(&group.conditions);
        for (word, _) in &group.gates {
            if !group.names.iter().any(|name| name.text == word.text) {
                let near = did_you_mean(&word.text, group.names.iter().map(|n| n.text.as_str()));
                draft.unknown(&word.text, &word.at, "role of this entry", &near);
            }
        }
        for word in &group.names {
            let Some(name) = draft.new_name(word) else { continue };
            let role = draft.names.intern(&name);
            let own = group.gates.iter().filter(|(of, _)| of.text == word.text);
            let gates: Rc<[Word]> =
                group.gate.iter().chain(own.map(|(_, gate)| gate)).cloned().collect();
            for &at in &at {
                if !draft.spend(1, &word.at) {
                    return;
                }
                if let Some(index) = bind(at, role, word, &conditions, draft) {
                    draft.roles.insert((at, role), BoundRole { index, gates: Rc::clone(&gates) });
                }
            }
        }
    }
    hold(source, draft);
}

/// Gives the roles that tuples carry as sets their ids before all others: a subject's tuples stand in the order of
/// ids, and those by which it comes into sets then stand first.
fn name_sets(source: &[RoleGroup], draft: &mut Draft) {
    let words = source.iter().flat_map(|group| &group.bound_by).flatten();
    let sets: HashSet<&str> = words.filter_map(|word| Some(word.text.split_once('#')?.1)).collect();
    for word in source.iter().flat_map(|group| &group.names) {
        if sets.contains(word.text.as_str())
            && let Ok(name) = Name::parse(&word.text)
        {
            draft.names.intern(&name);
        }
    }
}

/// Puts a role on a type: its index there, unless the name is taken.
fn bind(
    at: TypeId,
    role: NameId,
    word: &Word,
    conditions: &[ConditionId],
    draft: &mut Draft,
) -> Option<usize> {
    let (name, on) = (word.quoted(), draft.type_name(at).to_owned());
    if draft.is_bound(at, role) {
        draft.report.push(&word.at, format!("the role `{name}` is bound on `{on}` already"));
        return None;
    }
    if draft.type_def(at).is_some_and(|def| def.edge(role).is_some()) {
        draft.report.push(&word.at, format!("the role `{name}` is a relation of `{on}` too"));
        return None;
    }
    let def = draft.type_def_mut(at)?;
    def.add_role(RoleDef {
        name: role,
        bound_by: Vec::new(),
        conditions: conditions.to_vec(),
        bound_here: Expr::Here(role),
    });
    def.roles.len().checked_sub(1)
}

/// Gives each role its meaning: where it is bound, and below as far as roles pass.
fn hold(source: &[RoleGroup], draft: &mut Draft) {
    let mut places: BTreeMap<NameId, Position> = BTreeMap::new();
    for word in source.iter().flat_map(|group| &group.names) {
        if let Some(role) = draft.names.get(&word.text) {
            places.entry(role).or_insert_with(|| word.at.clone());
        }
    }
    let mut bound: BTreeMap<NameId, Vec<TypeId>> = BTreeMap::new();
    for (at, role) in draft.roles.keys() {
        bound.entry(*role).or_default().push(*at);
    }
    for (role, at) in places {
        let meaning = Meaning { kind: DefKind::Role, at, shared: false };
        let bound = bound.remove(&role).unwrap_or_default();
        for at in draft.hierarchy.reached(&bound, Edges::Passing, None) {
            draft.claim(at, role, &meaning);
        }
    }
}

/// Who may hold each role; every name has its meaning by now.
pub(super) fn bound_by(source: &Source, draft: &mut Draft) {
    let anybody: Vec<SubjectForm> = draft.type_ids().map(SubjectForm::Object).collect();
    for group in &source.roles {
        let forms = match &group.bound_by {
            None => anybody.clone(),
            Some(words) => words.iter().filter_map(|word| subject_form(word, draft)).collect(),
        };
        for word in &group.names {
            let Some(role) = draft.names.get(&word.text) else { continue };
            for at in &group.at {
                let Some(&at) = draft.type_ids.get(at.text.as_str()) else { continue };
                if !draft.spend(forms.len(), &word.at) {
                    return;
                }
                let index = draft.roles.get(&(at, role)).map(|role| role.index);
                let def = draft.type_def_mut(at);
                let found = def.and_then(|def| def.roles.get_mut(index?));
                if let Some(found) = found {
                    found.bound_by.clone_from(&forms);
                }
            }
        }
    }
}

fn subject_form(word: &Word, draft: &mut Draft) -> Option<SubjectForm> {
    if let Some((type_name, name)) = word.text.split_once('#') {
        let at = draft.type_of(&Word::on_line(type_name, &word.at))?;
        let id = draft.names.get(name).filter(|id| draft.meanings.contains_key(&(at, *id)));
        if id.is_none() {
            let near = did_you_mean(name, draft.names_at(at));
            let what = format!("name on `{type_name}`");
            let place = word.place(type_name.chars().count() + 1);
            draft.unknown(name, &place, &what, &near);
        }
        return id.map(|id| SubjectForm::Set(at, id));
    }
    if let Some(type_name) = word.text.strip_suffix(":*") {
        return draft.type_of(&Word::on_line(type_name, &word.at)).map(SubjectForm::All);
    }
    if word.text.contains(':') {
        let expected = "expected `type`, `type:*` or `type#name`";
        draft.report.push(&word.at, format!("`{}`: {expected}", word.quoted()));
        return None;
    }
    draft.type_of(word).map(SubjectForm::Object)
}
