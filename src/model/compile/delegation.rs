//! Delegation: the table of who may do which verb with which role, made into one helper per verb and
//! role at the type that the role is bound on, as a matrix' row is made into a permission. Knows files
//! and settings; how roles reach scopes is for `lift`.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::build::{all, is_no, is_yes, linked, yes};
use super::constraints::bound_role;
use super::draft::Draft;
use super::lift::{Defs, Lift, stand};
use super::resolve::Resolver;
use super::rows::{Grant, Reach, RowPlan, cell_value, joined};
use crate::model::delegation_table::{self, DelegationLine};
use crate::model::files::SourceFiles;
use crate::model::form::{
    Cell, DefKind, DelegatedOp, DelegatedVerb, Delegation, DelegationCell, DelegationRow, Expr,
    NameId, RoleGate, TypeId,
};
use crate::model::limits::DELEGATED_VERBS_MAX;
use crate::model::names::Name;
use crate::model::problem::Position;
use crate::model::source::{DelegationSource, VerbSource};
use crate::model::suggest::did_you_mean;
use crate::model::yaml::Word;

/// A role at a type that it is bound on.
type Bound = (TypeId, NameId);

/// The table with its names resolved; its gates are not looked at yet.
#[derive(Debug, Default)]
pub(super) struct OpenDelegation<'s> {
    verbs: Vec<OpenVerb<'s>>,
    rows: Vec<OpenRow>,
    /// Every line was understood: what no row is about is a slip then.
    is_whole: bool,
}

#[derive(Debug)]
struct OpenVerb<'s> {
    name: Name,
    op: Option<DelegatedOp>,
    source: &'s VerbSource,
}

#[derive(Debug)]
struct OpenRow {
    verb: usize,
    target: Bound,
    place: Position,
    cells: Vec<OpenCell>,
}

#[derive(Debug)]
struct OpenCell {
    actor: Bound,
    given: bool,
    gate: Option<Word>,
    line: u32,
}

/// Reads the table, and resolves its verbs, roles and types.
pub(super) fn open<'s>(
    source: Option<&'s DelegationSource>,
    files: &SourceFiles,
    draft: &mut Draft,
) -> OpenDelegation<'s> {
    let Some(source) = source else { return OpenDelegation::default() };
    let verbs = verbs(&source.verbs, draft);
    let mut delegation = OpenDelegation { verbs, ..OpenDelegation::default() };
    let Some(text) = files.get(&source.file.text) else {
        let known = files.names().filter(|name| name.ends_with(".csv"));
        let near = did_you_mean(&source.file.text, known);
        let message = format!("there is no file `{}`{near}", source.file.quoted());
        draft.report.push(&source.file.at, message);
        return delegation;
    };
    let before = draft.report.count();
    let lines = delegation_table::read(&source.file.text, text, &mut draft.report);
    let mut reader = Reader::new(&delegation.verbs, draft);
    for line in &lines {
        reader.line(line, draft);
    }
    delegation.rows = reader.rows;
    delegation.is_whole = draft.report.count() == before;
    delegation
}

fn verbs<'s>(source: &'s [VerbSource], draft: &mut Draft) -> Vec<OpenVerb<'s>> {
    let mut verbs: Vec<OpenVerb<'s>> = Vec::new();
    for entry in source {
        let Some(name) = draft.new_name(&entry.name) else { continue };
        if verbs.len() >= DELEGATED_VERBS_MAX {
            let message = format!("a model has at most {DELEGATED_VERBS_MAX} verbs of delegation");
            draft.report.push(&entry.name.at, message);
            break;
        }
        let op = entry.op.as_ref().and_then(|word| op(word, draft));
        let rival = verbs.iter().find(|verb| op.is_some() && verb.op == op);
        if let (Some(rival), Some(word)) = (rival, &entry.op) {
            let message = format!("`{}` is the op of the verb `{}` already", word.text, rival.name);
            draft.report.push(&word.at, message);
        }
        verbs.push(OpenVerb { name, op, source: entry });
    }
    verbs
}

fn op(word: &Word, draft: &mut Draft) -> Option<DelegatedOp> {
    const KNOWN: [(&str, DelegatedOp); 3] = [
        ("grant", DelegatedOp::Grant),
        ("revoke", DelegatedOp::Revoke),
        ("replace", DelegatedOp::Replace),
    ];
    let found = KNOWN.iter().find(|(text, _)| *text == word.text).map(|(_, op)| *op);
    if found.is_none() {
        let near = did_you_mean(&word.text, KNOWN.iter().map(|(text, _)| *text));
        let message =
            format!("`{}` is no op: expected grant, revoke or replace{near}", word.quoted());
        draft.report.push(&word.at, message);
    }
    found
}

/// Reads lines into rows.
struct Reader {
    verbs: HashMap<String, usize>,
    /// Where each role is bound.
    bound: HashMap<NameId, Vec<TypeId>>,
    rows: Vec<OpenRow>,
    by_key: HashMap<(usize, Bound), usize>,
    by_actor: HashMap<(usize, Bound), usize>,
}

impl Reader {
    fn new(verbs: &[OpenVerb<'_>], draft: &Draft) -> Self {
        let verbs = verbs.iter().enumerate().map(|(at, verb)| (verb.name.to_string(), at));
        let mut bound: HashMap<NameId, Vec<TypeId>> = HashMap::new();
        for (at, role) in draft.roles.keys() {
            bound.entry(*role).or_default().push(*at);
        }
        Self {
            verbs: verbs.collect(),
            bound,
            rows: Vec::new(),
            by_key: HashMap::new(),
            by_actor: HashMap::new(),
        }
    }

    fn line(&mut self, line: &DelegationLine, draft: &mut Draft) {
        // Every field is looked at, so that all problems of a line are told at once.
        let scope = line.scope.as_ref().map(|word| draft.type_of(word));
        let is_lost = scope == Some(None);
        let scope = scope.flatten();
        let verb = self.verb(&line.verb, draft);
        let (actor, target) = if is_lost {
            (None, None)
        } else {
            (
                self.actor(&line.actor_role, scope, draft),
                self.target(&line.target_role, scope, draft),
            )
        };
        let given = cell_value(&line.allowed, draft);
        let (Some(verb), Some(actor), Some(target), Some(given)) = (verb, actor, target, given)
        else {
            return;
        };
        let row = *self.by_key.entry((verb, target)).or_insert(self.rows.len());
        if row == self.rows.len() {
            let place = line.target_role.at.clone();
            self.rows.push(OpenRow { verb, target, place, cells: Vec::new() });
        }
        let Some(open) = self.rows.get_mut(row) else { return };
        if let Some(first) = self.by_actor.insert((row, actor), open.cells.len()) {
            let first = open.cells.get(first).map_or(0, |cell| cell.line);
            let message = format!(
                "`{}`, `{}`, `{}` is said already, on line {first}",
                line.actor_role.quoted(),
                line.verb.quoted(),
                line.target_role.quoted(),
            );
            draft.report.push(&line.actor_role.at, message);
            return;
        }
        let gate = line.gate.clone();
        open.cells.push(OpenCell { actor, given, gate, line: line.actor_role.at.line });
    }

    fn verb(&self, word: &Word, draft: &mut Draft) -> Option<usize> {
        let found = self.verbs.get(&word.text).copied();
        if found.is_none() {
            let near = did_you_mean(&word.text, self.verbs.keys().map(String::as_str));
            draft.unknown(&word.text, &word.at, "verb of `delegation`", &near);
        }
        found
    }

    /// A role with its type said: `role@type`. `None`: it is not.
    fn typed(word: &Word, draft: &mut Draft) -> Option<Option<Bound>> {
        let (role, type_name) = word.text.split_once('@')?;
        let place = word.place(role.chars().count() + 1);
        let at = draft.type_of(&Word::on_line(type_name, &place));
        let role = Word::on_line(role, &word.at);
        Some(at.and_then(|at| Some((at, bound_role(&role, at, draft)?))))
    }

    fn actor(&self, word: &Word, scope: Option<TypeId>, draft: &mut Draft) -> Option<Bound> {
        if let Some(bound) = Self::typed(word, draft) {
            return bound;
        }
        let Some(at) = scope else {
            let text = word.quoted();
            let message = format!("`{text}` needs a scope on its line, or its type: `{text}@TYPE`");
            draft.report.push(&word.at, message);
            return None;
        };
        Some((at, bound_role(word, at, draft)?))
    }

    /// A bare target's role is bound on the scope's type, or on the only type that binds it.
    fn target(&self, word: &Word, scope: Option<TypeId>, draft: &mut Draft) -> Option<Bound> {
        if let Some(bound) = Self::typed(word, draft) {
            return bound;
        }
        let role = draft.names.get(&word.text).filter(|role| self.bound.contains_key(role));
        let Some(role) = role else {
            let known = self.bound.keys().map(|role| draft.names.text(*role));
            let near = did_you_mean(&word.text, known);
            draft.unknown(&word.text, &word.at, "role", &near);
            return None;
        };
        let types = self.bound.get(&role).map_or(&[][..], Vec::as_slice);
        match (scope, types) {
            (Some(at), types) if types.contains(&at) => Some((at, role)),
            (_, [only]) => Some((*only, role)),
            (_, types) => {
                let types: Vec<&str> = types.iter().map(|at| draft.type_name(*at)).collect();
                let message = format!(
                    "`{}` is bound on several types: write `{}@TYPE` with one of {}",
                    word.quoted(),
                    word.quoted(),
                    types.join(", "),
                );
                draft.report.push(&word.at, message);
                None
            }
        }
    }
}

/// The table with all that it says resolved.
#[derive(Debug, Default)]
pub(super) struct DelegationPlan {
    verbs: Vec<VerbPlan>,
    rows: Vec<(DelegationRow, TargetPlan)>,
}

#[derive(Debug)]
struct VerbPlan {
    name: Name,
    op: Option<DelegatedOp>,
}

/// How a row is answered.
#[derive(Debug)]
struct TargetPlan {
    grants: Vec<Grant>,
    /// What must hold at the scope asked.
    gates: Vec<Rc<Expr>>,
    /// The relation that leads to the actor's other accounts, if they count.
    link: Option<NameId>,
    place: Position,
}

/// What a verb says of some or all of its rows: whose accounts count, and the gates with their texts.
struct VerbGates<'s> {
    link: Option<NameId>,
    all: Option<(Rc<Expr>, &'s str)>,
    by_role: HashMap<Bound, Vec<(Rc<Expr>, &'s str)>>,
}

impl OpenDelegation<'_> {
    /// Resolves the gates, also those of cells that are not given: a fault there is a fault.
    pub(super) fn finish(self, resolver: &mut Resolver<'_>) -> DelegationPlan {
        let gates: Vec<VerbGates<'_>> =
            (0..self.verbs.len()).filter_map(|verb| self.gates_of(verb, resolver)).collect();
        let mut rows = Vec::new();
        for row in &self.rows {
            if let Some(gates) = gates.get(row.verb) {
                rows.push(finish_row(row, gates, resolver));
            }
        }
        let verbs = self.verbs.into_iter();
        let verbs = verbs.map(|verb| VerbPlan { name: verb.name, op: verb.op }).collect();
        DelegationPlan { verbs, rows }
    }

    fn gates_of(&self, at: usize, resolver: &mut Resolver<'_>) -> Option<VerbGates<'_>> {
        let verb = self.verbs.get(at)?;
        let link = verb.source.link.as_ref().and_then(|word| resolver.link(word));
        let gate = verb.source.gate.as_ref();
        let all = gate.map(|word| (resolver.text(word), word.text.as_str()));
        let mut by_role: HashMap<Bound, Vec<_>> = HashMap::new();
        for (role, gate) in &verb.source.roles {
            let expr = resolver.text(gate);
            let targets = self.rows.iter().filter(|row| row.verb == at).map(|row| row.target);
            let fit = targets.filter(|(bound, id)| {
                let (name, on) = (resolver.draft.names.text(*id), resolver.draft.type_name(*bound));
                match role.text.split_once('@') {
                    Some((role, type_name)) => name == role && on == type_name,
                    None => name == role.text,
                }
            });
            let fit: Vec<Bound> = fit.collect();
            if fit.is_empty() && self.is_whole {
                let known = self.rows.iter().filter(|row| row.verb == at);
                let known = known.map(|row| resolver.draft.names.text(row.target.1));
                let near = did_you_mean(&role.text, known);
                let what = format!("target's role of the verb `{}`", verb.name);
                resolver.draft.unknown(&role.text, &role.at, &what, &near);
            }
            for target in fit {
                by_role.entry(target).or_default().push((Rc::clone(&expr), gate.text.as_str()));
            }
        }
        Some(VerbGates { link, all, by_role })
    }
}

fn finish_row(
    row: &OpenRow,
    gates: &VerbGates<'_>,
    resolver: &mut Resolver<'_>,
) -> (DelegationRow, TargetPlan) {
    let own = gates.by_role.get(&row.target).map_or(&[][..], Vec::as_slice);
    let asked: Vec<_> = gates.all.iter().chain(own).collect();
    let (mut cells, mut grants) = (Vec::new(), Vec::new());
    for cell in &row.cells {
        let (bound, role) = cell.actor;
        let gate = cell.gate.as_ref();
        let expr = gate.map_or_else(|| Rc::new(yes()), |word| resolver.cell(word));
        let role_gate = resolver.draft.gated.get(&cell.actor).map(Rc::as_ref);
        let all = || asked.iter().map(|(gate, _)| &**gate).chain([&*expr]).chain(role_gate);
        let shown = if !cell.given || all().any(is_no) {
            Cell::No
        } else if all().all(is_yes) {
            Cell::Yes
        } else {
            let texts = asked.iter().map(|(_, text)| *text);
            let texts = gate.iter().map(|word| word.text.as_str()).chain(texts);
            let roles = resolver.draft.roles.get(&cell.actor);
            let roles = roles.into_iter().flat_map(|role| role.gates.iter());
            Cell::If(joined(texts.chain(roles.map(|word| word.text.as_str()))).into())
        };
        if shown != Cell::No {
            grants.push(Grant { role, bound, gate: expr });
        }
        cells.push(DelegationCell { role, bound, cell: shown });
    }
    let (bound, role) = row.target;
    let asked = asked.iter().map(|(gate, _)| Rc::clone(gate)).collect();
    let plan = TargetPlan { grants, gates: asked, link: gates.link, place: row.place.clone() };
    (DelegationRow { verb: row.verb, role, bound, cells }, plan)
}

/// Makes the helpers that answer the rows.
pub(super) fn define(plan: DelegationPlan, defs: &mut Defs, draft: &mut Draft) -> Delegation {
    let verbs = plan.verbs.into_iter();
    let verbs = verbs.map(|v| DelegatedVerb { name: v.name, op: v.op, rows: BTreeMap::new() });
    let mut delegation = Delegation { verbs: verbs.collect(), ..Delegation::default() };
    let mut lift = Lift::new(draft, defs);
    for (row, target) in plan.rows {
        let key = (row.bound, row.role);
        if let Some(gate) = lift.draft.gated.get(&key).cloned()
            && !delegation.role_gates.contains_key(&key)
        {
            let gate = role_gate(key, &gate, &target.place, &mut lift);
            delegation.role_gates.insert(key, gate);
        }
        if let Some(verb) = delegation.verbs.get_mut(row.verb)
            && !target.grants.is_empty()
        {
            let helper = lift.draft.names.helper(row.role, verb.name.as_str());
            verb.rows.insert(key, helper);
            define_row(helper, row.bound, target, &mut lift);
        }
        delegation.rows.push(row);
    }
    delegation
}

fn define_row(helper: NameId, at: TypeId, target: TargetPlan, lift: &mut Lift<'_>) {
    let TargetPlan { grants, gates, link, place } = target;
    let row = RowPlan {
        permission: helper,
        at: vec![at],
        reach: Reach::Passing,
        gate: Rc::new(yes()),
        grants,
        place,
    };
    let values = lift.row(&row, &[at]).into_iter().map(|(_, value)| value);
    let gates = gates.iter().map(|gate| stand(gate, at, lift.draft));
    let expr = all(values.chain(gates).collect::<Vec<_>>());
    let expr = match link {
        Some(link) => linked(link, expr),
        None => expr,
    };
    lift.defs.add((at, helper), DefKind::Helper, expr, &row.place, lift.draft);
}

/// The gate of a role in its two parts, each as a helper.
fn role_gate((at, role): Bound, gate: &Expr, place: &Position, lift: &mut Lift<'_>) -> RoleGate {
    let terms = match gate {
        Expr::All(terms) => terms.clone(),
        gate => vec![gate.clone()],
    };
    let (of_scope, of_subject): (Vec<Expr>, Vec<Expr>) = terms.into_iter().partition(is_of_scope);
    let mut part = |terms: Vec<Expr>, what: &str| {
        if terms.is_empty() {
            return None;
        }
        let expr = stand(&all(terms), at, lift.draft);
        let helper = lift.draft.names.helper(role, what);
        lift.defs.add((at, helper), DefKind::Helper, expr, place, lift.draft);
        Some(helper)
    };
    RoleGate { scope: part(of_scope, "bindable"), subject: part(of_subject, "eligible") }
}

/// Whether its value is the same whoever asks.
fn is_of_scope(expr: &Expr) -> bool {
    match expr {
        Expr::Fact(_) | Expr::Condition(_) => true,
        Expr::Any(terms) | Expr::All(terms) => terms.iter().all(is_of_scope),
        Expr::Except(term, taken) => is_of_scope(term) && is_of_scope(taken),
        _ => false,
    }
}
