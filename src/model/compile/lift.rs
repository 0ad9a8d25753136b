//! How roles reach scopes: a role held here or above, and a matrix row over the roles that give it.
//! Makes helpers for what the parents contribute. Knows no files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;

use super::build::{all, any, except, here_any, is_yes, linked, no, nodes, refers_to, yes};
use super::draft::Draft;
use super::hierarchy::{Edges, Step};
use super::rows::{Reach, RowPlan};
use crate::model::form::{Def, DefKind, Expr, NameId, TypeId};
use crate::model::problem::Position;

/// The definitions made so far, and where the author caused each.
#[derive(Debug, Default)]
pub(super) struct Defs {
    pub(super) places: HashMap<(TypeId, NameId), Position>,
}

impl Defs {
    /// Adds a definition. A model that would grow too large gets no more of them, and a problem.
    pub(super) fn add(
        &mut self,
        key: (TypeId, NameId),
        kind: DefKind,
        expr: Expr,
        place: &Position,
        draft: &mut Draft,
    ) {
        if !draft.spend(nodes(&expr), place) {
            return;
        }
        if let Some(def) = draft.type_def_mut(key.0) {
            def.defs.insert(key.1, Def { expr, kind });
            self.places.insert(key, place.clone());
        }
    }
}

/// An expression where it stands: `here(role)` is no where the role is not bound (a tuple of an older
/// model may still be stored), and counts the role's own gate.
pub(super) fn stand(expr: &Expr, at: TypeId, draft: &Draft) -> Expr {
    match expr {
        Expr::Here(role) if !draft.is_bound(at, *role) => no(),
        Expr::Here(role) => {
            draft.here.get(&(at, *role)).map_or_else(|| expr.clone(), |helper| Expr::Ref(*helper))
        }
        Expr::Any(terms) => any(terms.iter().map(|term| stand(term, at, draft))),
        Expr::All(terms) => all(terms.iter().map(|term| stand(term, at, draft))),
        Expr::Except(term, taken) => except(stand(term, at, draft), stand(taken, at, draft)),
        Expr::As { link, expr } => linked(*link, stand(expr, at, draft)),
        Expr::OfTarget(inner) => Expr::OfTarget(Box::new(stand(inner, at, draft))),
        other => other.clone(),
    }
}

/// The gate of a role at the type it is bound on.
fn role_gate(at: TypeId, role: NameId, draft: &Draft) -> Expr {
    draft.gated.get(&(at, role)).map_or_else(yes, |gate| stand(gate, at, draft))
}

/// Defines `within(target)` at every type where it is asked and a role is held: the target has some role
/// here, and each that it may have the subject has for certain. Where no role is held it has no meaning,
/// so it is no. All other definitions are there by now; where none asks it, it would only bring the roles
/// under the right side of `except`, which some may not stand under.
pub(super) fn within(defs: &mut Defs, draft: &mut Draft) {
    let Some((helper, place)) = draft.within.clone() else { return };
    let asks = |at: TypeId| {
        let mut all = draft.type_def(at).into_iter().flat_map(|def| def.defs.values());
        all.any(|def| refers_to(&def.expr, helper))
    };
    let asked: BTreeSet<TypeId> = draft.type_ids().filter(|at| asks(*at)).collect();
    let mut held: BTreeMap<TypeId, Vec<NameId>> = BTreeMap::new();
    for ((at, name), meaning) in &draft.meanings {
        if meaning.kind == DefKind::Role && asked.contains(at) {
            held.entry(*at).or_default().push(*name);
        }
    }
    for (at, roles) in held {
        let of_target = |role: &NameId| Expr::OfTarget(Box::new(Expr::Ref(*role)));
        let some = any(roles.iter().map(of_target));
        let each = roles.iter().map(|role| any([Expr::Ref(*role), except(yes(), of_target(role))]));
        let expr = all([some].into_iter().chain(each));
        defs.add((at, helper), DefKind::Helper, expr, &place, draft);
    }
}

/// The types where something is defined.
type Types = Rc<BTreeSet<TypeId>>;

/// Makes definitions that go up.
pub(super) struct Lift<'d> {
    pub(super) draft: &'d mut Draft,
    pub(super) defs: &'d mut Defs,
    /// A name that is there for the counted targets only, by the name and these targets.
    narrowed: HashMap<(NameId, Vec<TypeId>), NameId>,
    /// The rows of a matrix mostly reach the same types.
    reached: HashMap<(Vec<TypeId>, Edges, Option<u32>), Types>,
}

impl<'d> Lift<'d> {
    pub(super) fn new(draft: &'d mut Draft, defs: &'d mut Defs) -> Self {
        Self { draft, defs, narrowed: HashMap::new(), reached: HashMap::new() }
    }

    /// Defines a role wherever it is held, and what `here(role)` is where it has a gate.
    pub(super) fn role(&mut self, role: NameId, bound: &[TypeId], place: &Position) {
        for &at in bound {
            if let Some(&helper) = self.draft.here.get(&(at, role)) {
                let expr = all([Expr::Here(role), role_gate(at, role, self.draft)]);
                self.defs.add((at, helper), DefKind::Helper, expr, place, self.draft);
            }
        }
        let held = self.draft.hierarchy.reached(bound, Edges::Passing, None);
        for &at in &held {
            let mut terms = Vec::new();
            if bound.contains(&at) {
                terms.push(all([Expr::Here(role), role_gate(at, role, self.draft)]));
            }
            for step in self.draft.hierarchy.steps(at, Edges::Passing).iter() {
                let meanings = &self.draft.meanings;
                let foreign =
                    step.others.iter().any(|other| meanings.contains_key(&(*other, role)))
                        || step.counted.iter().any(|target| {
                            !held.contains(target) && meanings.contains_key(&(*target, role))
                        });
                terms.extend(self.up(step, role, &held, foreign, place));
            }
            // A name with another meaning here is a problem already.
            let meaning = self.draft.meanings.get(&(at, role));
            if meaning.is_some_and(|meaning| meaning.kind == DefKind::Role) {
                self.defs.add((at, role), DefKind::Role, any(terms), place, self.draft);
            }
        }
    }

    /// A step up to `name`, which is there for the types of `there`. `foreign`: it is there for a target
    /// that does not count as well, so that a name of the counted ones alone is asked.
    fn up(
        &mut self,
        step: &Step,
        name: NameId,
        there: &BTreeSet<TypeId>,
        foreign: bool,
        place: &Position,
    ) -> Option<Expr> {
        let mut targets: Vec<TypeId> =
            step.counted.iter().copied().filter(|target| there.contains(target)).collect();
        if targets.is_empty() {
            return None;
        }
        let relation = step.relation;
        if !foreign {
            return Some(Expr::Up { relation, name });
        }
        targets.sort_unstable();
        if let Some(&name) = self.narrowed.get(&(name, targets.clone())) {
            return Some(Expr::Up { relation, name });
        }
        let helper = self.draft.names.helper(name, "passing");
        for &at in &targets {
            let expr = Expr::Ref(name);
            self.defs.add((at, helper), DefKind::Helper, expr, place, self.draft);
        }
        self.narrowed.insert((name, targets), helper);
        Some(Expr::Up { relation, name: helper })
    }

    /// The value of a row at each of these types.
    pub(super) fn row(&mut self, plan: &RowPlan, at: &[TypeId]) -> Vec<(TypeId, Expr)> {
        let mut bound: Vec<TypeId> = plan.grants.iter().map(|grant| grant.bound).collect();
        bound.sort_unstable();
        bound.dedup();
        let edges = if plan.reach == Reach::Passing { Edges::Passing } else { Edges::All };
        let mut row = RowLift { plan, bound, edges, levels: HashMap::new(), open: VecDeque::new() };
        if plan.reach == Reach::Anywhere {
            let value = self.anywhere(&row);
            return at.iter().map(|&at| (at, value.clone())).collect();
        }
        let mut values = Vec::new();
        for &at in at {
            let local = local(plan, at, self.draft);
            let value = match plan.reach {
                Reach::Itself | Reach::Anywhere => local,
                Reach::Passing => any([local, self.above(&mut row, at, None)]),
                Reach::Parents(levels) => self.above(&mut row, at, levels),
                Reach::Both(levels) => any([local, self.above(&mut row, at, levels)]),
            };
            values.push((at, value));
        }
        self.helpers(&mut row);
        values
    }

    fn anywhere(&mut self, row: &RowLift<'_>) -> Expr {
        let helper = self.draft.names.helper(row.plan.permission, "bound");
        let terms: Vec<Expr> = row
            .bound
            .iter()
            .map(|&at| {
                let expr = local(row.plan, at, self.draft);
                let place = &row.plan.place;
                self.defs.add((at, helper), DefKind::Helper, expr, place, self.draft);
                Expr::Anywhere { scopes: at, name: helper }
            })
            .collect();
        any(terms)
    }

    /// What the parents of a type contribute, over at most `levels` edges.
    fn above(&mut self, row: &mut RowLift<'_>, at: TypeId, levels: Option<u32>) -> Expr {
        let left = levels.map(|levels| levels.saturating_sub(1));
        let (bound, edges, permission) = (&row.bound, row.edges, row.plan.permission);
        let level = row.levels.entry(left).or_insert_with(|| {
            let what = left.map_or_else(|| "above".to_owned(), |left| format!("above-{left}"));
            let name = self.draft.names.helper(permission, &what);
            let key = (bound.clone(), edges, left);
            let there = self.reached.entry(key);
            let there =
                there.or_insert_with(|| Rc::new(self.draft.hierarchy.reached(bound, edges, left)));
            let there = Rc::clone(there);
            Level { name, there, asked: HashSet::new() }
        });
        let steps = self.draft.hierarchy.steps(at, edges);
        for target in steps.iter().flat_map(|step| &step.counted) {
            if level.there.contains(target) && level.asked.insert(*target) {
                row.open.push_back((*target, left));
            }
        }
        let (name, there) = (level.name, Rc::clone(&level.there));
        let terms: Vec<Expr> = steps
            .iter()
            .filter_map(|step| {
                let foreign = step.others.iter().any(|other| there.contains(other));
                self.up(step, name, &there, foreign, &row.plan.place)
            })
            .collect();
        any(terms)
    }

    /// Defines the helpers asked for so far, and those that they ask for.
    fn helpers(&mut self, row: &mut RowLift<'_>) {
        while let Some((at, left)) = row.open.pop_front() {
            let local = local(row.plan, at, self.draft);
            let above = if left == Some(0) { no() } else { self.above(row, at, left) };
            let Some(name) = row.levels.get(&left).map(|level| level.name) else { continue };
            let expr = any([local, above]);
            self.defs.add((at, name), DefKind::Helper, expr, &row.plan.place, self.draft);
        }
    }
}

/// A row while it is lifted.
struct RowLift<'p> {
    plan: &'p RowPlan,
    bound: Vec<TypeId>,
    edges: Edges,
    /// The helper for each number of edges left.
    levels: HashMap<Option<u32>, Level>,
    /// Helpers asked for and not defined yet.
    open: VecDeque<(TypeId, Option<u32>)>,
}

struct Level {
    name: NameId,
    /// Where it has a meaning.
    there: Types,
    /// Where somebody asks it.
    asked: HashSet<TypeId>,
}

/// Roles of a row under the same gates: their cells', and their own.
struct Together {
    cell: Rc<Expr>,
    role_gate: Option<Rc<Expr>>,
    roles: Vec<NameId>,
}

/// The roles of a row bound at this very scope. Those under the same gates stand together, so that
/// they can be answered as one set.
fn local(plan: &RowPlan, at: TypeId, draft: &mut Draft) -> Expr {
    let mut groups: Vec<Together> = Vec::new();
    let mut known: HashMap<(*const Expr, Option<*const Expr>), usize> = HashMap::new();
    for grant in plan.grants.iter().filter(|grant| grant.bound == at) {
        let role_gate = draft.gated.get(&(at, grant.role)).cloned();
        let key = (Rc::as_ptr(&grant.gate), role_gate.as_ref().map(Rc::as_ptr));
        let group = *known.entry(key).or_insert(groups.len());
        if group == groups.len() {
            let cell = Rc::clone(&grant.gate);
            groups.push(Together { cell, role_gate, roles: Vec::new() });
        }
        if let Some(group) = groups.get_mut(group) {
            group.roles.push(grant.role);
        }
    }
    let Some(shared) = groups.first().map(|group| Rc::clone(&group.cell)) else {
        return no();
    };
    // The row's own gate is said once, around the roles.
    let is_shared = groups.iter().all(|group| Rc::ptr_eq(&group.cell, &shared));
    // Long gates times many roles are refused before they are made.
    let size = |gate: &Option<Rc<Expr>>| gate.as_ref().map_or(0, |gate| nodes(gate));
    let gates = groups
        .iter()
        .map(|group| size(&group.role_gate) + if is_shared { 0 } else { nodes(&group.cell) });
    if !draft.can_spend(gates.sum(), &plan.place) {
        return no();
    }
    let draft = &*draft;
    let terms = groups.into_iter().map(|group| {
        let cell =
            if is_shared || is_yes(&group.cell) { yes() } else { stand(&group.cell, at, draft) };
        let role_gate = group.role_gate.map_or_else(yes, |gate| stand(&gate, at, draft));
        all([here_any(group.roles), role_gate, cell])
    });
    let roles = any(terms.collect::<Vec<_>>());
    let shared = if is_shared { stand(&shared, at, draft) } else { yes() };
    all([roles, stand(&plan.gate, at, draft), shared])
}
