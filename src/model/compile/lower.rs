//! Everything that has a name gets its definition in the general form. Knows no files and no syntax.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::ParameterValue;
use super::build::{all, any, is_yes};
use super::delegation::{DelegationPlan, OpenDelegation};
use super::draft::{Draft, Meaning};
use super::lift::{Defs, Lift, stand};
use super::resolve::Resolver;
use super::rows::{Listed, MatrixPlan, RowPlan, check_pattern};
use crate::model::form::{DefKind, Expr, Matrix, NameId, TypeId};
use crate::model::limits::PERMISSIONS_MAX;
use crate::model::names::quoted;
use crate::model::pattern::matches;
use crate::model::problem::Position;
use crate::model::source::{DefinitionSource, RowsSource, Source};
use crate::model::suggest::did_you_mean;
use crate::model::yaml::Word;

/// A definition of `permissions` or `names`, with its types.
#[derive(Debug)]
pub(super) struct Entry<'s> {
    name: NameId,
    kind: DefKind,
    at: Vec<TypeId>,
    source: &'s DefinitionSource,
}

/// Declares the entries of `permissions` or `names`.
pub(super) fn declare<'s>(
    source: &'s [DefinitionSource],
    kind: DefKind,
    listed: &mut BTreeMap<NameId, Listed>,
    draft: &mut Draft,
) -> Vec<Entry<'s>> {
    let mut entries = Vec::new();
    for entry in source {
        let types = draft.types_of(&entry.at);
        let Some(name) = draft.new_name(&entry.name) else { continue };
        let name = draft.names.intern(&name);
        let meaning = Meaning { kind, at: entry.name.at.clone(), shared: false };
        let mut at = Vec::new();
        for id in types {
            if draft.claim(id, name, &meaning) {
                at.push(id);
            }
        }
        if kind == DefKind::Permission {
            let before = listed.len();
            listed.entry(name).or_default().at.extend(&at);
            if listed.len() > PERMISSIONS_MAX {
                if before <= PERMISSIONS_MAX {
                    let message = format!("a model has at most {PERMISSIONS_MAX} permissions");
                    draft.report.push(&entry.name.at, message);
                }
                break;
            }
        }
        entries.push(Entry { name, kind, at, source: entry });
    }
    entries
}

/// What every expression of the model says.
pub(super) struct Resolved<'s> {
    pub(super) rows: Vec<RowPlan>,
    pub(super) matrices: Vec<Matrix>,
    pub(super) delegation: DelegationPlan,
    entries: Vec<(Entry<'s>, Rc<Expr>)>,
    /// The gates at the scope asked, by permission; all of them must hold.
    pub(super) asked: HashMap<NameId, Vec<Rc<Expr>>>,
}

pub(super) fn resolve<'s>(
    source: &Source,
    plans: Vec<MatrixPlan<'_>>,
    delegation: OpenDelegation<'_>,
    entries: Vec<Entry<'s>>,
    listed: &BTreeMap<NameId, Listed>,
    draft: &mut Draft,
) -> Resolved<'s> {
    let mut resolver = Resolver::new(&source.gates, draft);
    let gates = resolver.draft.roles.iter().filter(|(_, role)| !role.gates.is_empty());
    let gates: Vec<_> = gates.map(|(key, role)| (*key, Rc::clone(&role.gates))).collect();
    // Roles with the same gates share them: that is how `lift` knows that they stand together.
    let mut known: HashMap<Vec<String>, Rc<Expr>> = HashMap::new();
    for (key, words) in gates {
        let texts = words.iter().map(|word| word.text.clone()).collect();
        let gate = Rc::clone(known.entry(texts).or_insert_with(|| {
            Rc::new(all(words.iter().map(|word| (*resolver.text(word)).clone())))
        }));
        if !is_yes(&gate) {
            resolver.draft.gated.insert(key, gate);
        }
    }
    let (mut rows, mut matrices) = (Vec::new(), Vec::new());
    for plan in plans {
        let (plans, matrix) = plan.finish(&mut resolver);
        rows.extend(plans);
        matrices.push(matrix);
    }
    let delegation = delegation.finish(&mut resolver);
    let resolve_entry = |entry: Entry<'s>| {
        let expr = resolver.text(&entry.source.is);
        (entry, expr)
    };
    let entries = entries.into_iter().map(resolve_entry).collect();
    let mut asked: HashMap<NameId, Vec<Rc<Expr>>> = HashMap::new();
    for entry in &source.asked {
        let gate = resolver.text(&entry.gate);
        for permission in asked_of(&entry.rows, listed, resolver.draft) {
            if resolver.draft.spend(1, &entry.gate.at) {
                asked.entry(permission).or_default().push(Rc::clone(&gate));
            }
        }
    }
    Resolved { rows, matrices, delegation, entries, asked }
}

/// The permissions that an entry of `asked` is about.
fn asked_of(
    rows: &RowsSource,
    listed: &BTreeMap<NameId, Listed>,
    draft: &mut Draft,
) -> Vec<NameId> {
    let patterns = match rows {
        RowsSource::Patterns(words) => words.clone(),
        RowsSource::Parameter(word) => match draft.parameters.get(&word.text) {
            Some(ParameterValue::Patterns(texts)) => {
                texts.iter().map(|text| Word::on_line(text, &word.at)).collect()
            }
            Some(ParameterValue::Bool(_)) => {
                let message = format!("the parameter `{}` is no list of patterns", word.quoted());
                draft.report.push(&word.at, message);
                return Vec::new();
            }
            None => {
                let near = did_you_mean(&word.text, draft.parameters.keys().map(String::as_str));
                draft.unknown(&word.text, &word.at, "parameter", &near);
                return Vec::new();
            }
        },
    };
    let names: Vec<(NameId, String)> =
        listed.keys().map(|id| (*id, draft.names.text(*id).to_owned())).collect();
    let mut found = BTreeSet::new();
    for pattern in &patterns {
        check_pattern(pattern, names.iter().map(|(_, text)| text.as_str()), draft);
        found.extend(
            names.iter().filter(|(_, text)| matches(&pattern.text, text)).map(|(id, _)| *id),
        );
    }
    found.into_iter().collect()
}

/// Makes every definition.
pub(super) fn define(
    resolved: &Resolved<'_>,
    listed: &BTreeMap<NameId, Listed>,
    draft: &mut Draft,
) -> Defs {
    let mut defs = Defs::default();
    roles(&mut defs, draft);
    let mut values: BTreeMap<(NameId, TypeId), (Vec<Expr>, DefKind, Position)> = BTreeMap::new();
    let mut lift = Lift::new(draft, &mut defs);
    for plan in &resolved.rows {
        let everywhere = || listed.get(&plan.permission).map(|listed| &listed.at);
        let everywhere: Vec<TypeId> = everywhere().into_iter().flatten().copied().collect();
        let at = if plan.at.is_empty() { &everywhere } else { &plan.at };
        for (at, value) in lift.row(plan, at) {
            let empty = || (Vec::new(), DefKind::Permission, plan.place.clone());
            values.entry((plan.permission, at)).or_insert_with(empty).0.push(value);
        }
    }
    for (entry, expr) in &resolved.entries {
        for &at in &entry.at {
            let value = stand(expr, at, draft);
            let place = entry.source.name.at.clone();
            values.insert((entry.name, at), (vec![value], entry.kind, place));
        }
    }
    for ((name, at), (terms, kind, place)) in values {
        // A claim that failed is a problem already; what was claimed first stays.
        if draft.meanings.get(&(at, name)).is_none_or(|meaning| meaning.kind != kind) {
            continue;
        }
        let gates = if kind == DefKind::Permission { resolved.asked.get(&name) } else { None };
        // What grants comes first: it is what an answer names as its grant.
        let gates = gates.into_iter().flatten().map(|gate| stand(gate, at, draft));
        let expr = all([any(terms)].into_iter().chain(gates.collect::<Vec<_>>()));
        defs.add((at, name), kind, expr, &place, draft);
    }
    defs
}

fn roles(defs: &mut Defs, draft: &mut Draft) {
    let mut bound: BTreeMap<NameId, Vec<TypeId>> = BTreeMap::new();
    for at in draft.type_ids() {
        for role in draft.type_def(at).into_iter().flat_map(|def| &def.roles) {
            bound.entry(role.name).or_default().push(at);
        }
    }
    // The helpers are named first: a gate may ask any of them.
    for (role, bound) in &bound {
        let gated: Vec<TypeId> =
            bound.iter().copied().filter(|at| draft.gated.contains_key(&(*at, *role))).collect();
        if !gated.is_empty() {
            let helper = draft.names.helper(*role, "here");
            draft.here.extend(gated.into_iter().map(|at| ((at, *role), helper)));
        }
    }
    for (at, role) in draft.here.keys().copied().collect::<Vec<_>>() {
        let bound_here = stand(&Expr::Here(role), at, draft);
        let index = draft.roles.get(&(at, role)).map(|role| role.index);
        let found = draft.type_def_mut(at).and_then(|def| def.roles.get_mut(index?));
        if let Some(found) = found {
            found.bound_here = bound_here;
        }
    }
    let mut lift = Lift::new(draft, defs);
    for (role, bound) in &bound {
        let place = bound
            .iter()
            .find_map(|at| lift.draft.meanings.get(&(*at, *role)))
            .map_or_else(|| Position::start(crate::model::files::MODEL_FILE), |m| m.at.clone());
        lift.role(*role, bound, &place);
    }
}

/// A permission that no entry says where to ask is a slip.
pub(super) fn check_listed(listed: &BTreeMap<NameId, Listed>, draft: &mut Draft) {
    if draft.is_full() {
        return;
    }
    for (permission, entry) in listed {
        let Some(place) = entry.place.as_ref().filter(|_| entry.at.is_empty()) else { continue };
        if !draft.report.has(place) {
            let text = quoted(draft.names.text(*permission));
            let message = format!("nothing says where `{text}` may be asked: `at` is missing");
            draft.report.push(place, message);
        }
    }
}
