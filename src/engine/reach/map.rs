//! Which roles give a name, at an object and at those above it, where that is all there is to it: no
//! fact, no condition of the model's own, no `except`. Found once for a model. Knows no tuple.
//!
//! Invariant *reach*: for a name with a [`Stage`], V(u, name, s) is the greatest, over the ways that start
//! at that stage and s and go from a stage up a relation to the next stage and what stands there, of the
//! least of the conditions on the way and here() of one of the last stage's roles. The tuples of those roles
//! carry plain sets only.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::form::{Expr, Model, NameId, SubjectForm, TypeId};
use crate::model::limits::{REACH_ROLES_MAX, REACH_STAGES_MAX};

/// Some names asked at an object of one type, by its place in a [`Map`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct StageId(u32);

/// What some names ask of an object of one type.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// Some of these roles bound here, in order.
    pub(super) here: Box<[NameId]>,
    /// Or what stands above: by relation, and by the type that it leads to, what is asked there.
    pub(super) up: Box<[Up]>,
}

/// A relation, and what is asked where it leads.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) relation: NameId,
    to: Box<[(TypeId, StageId)]>,
}

impl Up {
    /// What is asked of an object of this type; `None`: nothing, which is no.
    #[inline]
    pub(super) fn at(&self, type_id: TypeId) -> Option<StageId> {
        self.to.iter().find(|(of, _)| *of == type_id).map(|(_, stage)| *stage)
    }
}

/// The stages of a model.
#[derive(Debug, Default)]
pub(in crate::engine) struct Map {
    stages: Vec<Stage>,
    first: FxHashMap<(TypeId, NameId), StageId>,
}

impl Map {
    /// Where a name of a type starts. `None`: there is more to it, and it has to be evaluated.
    #[inline]
    pub(in crate::engine) fn start(&self, at: TypeId, name: NameId) -> Option<StageId> {
        self.first.get(&(at, name)).copied()
    }

    #[inline]
    pub(super) fn stage(&self, id: StageId) -> Option<&Stage> {
        self.stages.get(id.0 as usize)
    }

    /// Finds them. `plain`: the sets that can be found from a subject upwards. Costs a few passes over the
    /// model's definitions, and what the stages hold, which is bounded: names past that have none.
    pub(in crate::engine) fn new(model: &Model, plain: &FxHashSet<(TypeId, NameId)>) -> Self {
        let simple = simple_names(model, plain);
        let mut making = Making { model, map: Self::default(), ids: FxHashMap::default(), roles: 0 };
        let mut names: Vec<_> = simple.into_iter().collect();
        names.sort_unstable();
        for (at, name) in names {
            // A stage that was begun and not ended would say no: none is used after that.
            let Some(stage) = making.stages_of(at, name) else { break };
            making.map.first.insert((at, name), stage);
        }
        making.map
    }
}

type Names = BTreeSet<NameId>;

struct Making<'a> {
    model: &'a Model,
    map: Map,
    ids: FxHashMap<(TypeId, Names), StageId>,
    /// How many roles the stages hold in all.
    roles: usize,
}

impl Making<'_> {
    /// The stage of one name, with all that it leads to. `None`: there are too many.
    fn stages_of(&mut self, at: TypeId, name: NameId) -> Option<StageId> {
        let mut waiting = Vec::new();
        let first = self.id(at, Names::from([name]), &mut waiting)?;
        while let Some((id, at, names)) = waiting.pop() {
            let stage = self.stage(at, &names, &mut waiting)?;
            self.roles += stage.here.len() + stage.up.len();
            *self.map.stages.get_mut(id.0 as usize)? = stage;
        }
        Some(first)
    }

    fn id(
        &mut self,
        at: TypeId,
        names: Names,
        waiting: &mut Vec<(StageId, TypeId, Names)>,
    ) -> Option<StageId> {
        if let Some(id) = self.ids.get(&(at, names.clone())) {
            return Some(*id);
        }
        if self.map.stages.len() >= REACH_STAGES_MAX || self.roles >= REACH_ROLES_MAX {
            return None;
        }
        let id = StageId(u32::try_from(self.map.stages.len()).ok()?);
        self.map.stages.push(Stage::default());
        self.ids.insert((at, names.clone()), id);
        waiting.push((id, at, names));
        Some(id)
    }

    fn stage(
        &mut self,
        at: TypeId,
        names: &Names,
        waiting: &mut Vec<(StageId, TypeId, Names)>,
    ) -> Option<Stage> {
        let mut asked = Asked::default();
        for name in names {
            asked.name(self.model, at, *name);
        }
        let mut up = Vec::new();
        for (relation, names) in asked.up {
            let edge = self.model.type_def(at).and_then(|def| def.edge(relation));
            let mut to = Vec::new();
            for target in edge.into_iter().flat_map(|edge| edge.targets.iter().copied()) {
                let has = |name: &NameId| self.model.def(target, *name).is_some();
                let there: Names = names.iter().copied().filter(has).collect();
                if !there.is_empty() {
                    to.push((target, self.id(target, there, waiting)?));
                }
            }
            up.push(Up { relation, to: to.into() });
        }
        Some(Stage { here: asked.here.into_iter().collect(), up: up.into() })
    }
}

/// What simple names come down to at one type.
#[derive(Default)]
struct Asked {
    here: Names,
    up: BTreeMap<NameId, Names>,
    seen: Names,
}

impl Asked {
    fn name(&mut self, model: &Model, at: TypeId, name: NameId) {
        let mut waiting = vec![name];
        while let Some(name) = waiting.pop() {
            if let Some(def) = model.def(at, name).filter(|_| self.seen.insert(name)) {
                self.expr(&def.expr, &mut waiting);
            }
        }
    }

    fn expr(&mut self, expr: &Expr, names: &mut Vec<NameId>) {
        match expr {
            Expr::Here(role) => {
                self.here.insert(*role);
            }
            Expr::HereAny(roles) => self.here.extend(roles.iter().copied()),
            Expr::Ref(name) => names.push(*name),
            Expr::Up { relation, name } => {
                self.up.entry(*relation).or_default().insert(*name);
            }
            // Of one part only, as its place among the simple names says.
            Expr::Any(parts) | Expr::All(parts) => {
                for part in parts {
                    self.expr(part, names);
                }
            }
            _ => {}
        }
    }
}

/// The names whose value is such a union, and so is that of all names that they lead to.
fn simple_names(
    model: &Model,
    plain: &FxHashSet<(TypeId, NameId)>,
) -> FxHashSet<(TypeId, NameId)> {
    let mut simple = FxHashSet::default();
    let mut users: FxHashMap<(TypeId, NameId), Vec<(TypeId, NameId)>> = FxHashMap::default();
    let mut dropped = Vec::new();
    for (at, def) in (0..).map(TypeId).zip(&model.types) {
        for (name, def) in &def.defs {
            let mut used = Vec::new();
            if is_simple(model, plain, at, &def.expr, &mut used) {
                simple.insert((at, *name));
                for other in used {
                    users.entry(other).or_default().push((at, *name));
                }
            } else {
                dropped.push((at, *name));
            }
        }
    }
    while let Some(name) = dropped.pop() {
        for user in users.remove(&name).unwrap_or_default() {
            if simple.remove(&user) {
                dropped.push(user);
            }
        }
    }
    simple
}

/// Whether an expression is a union of roles here and of names; those names are added to `used`.
fn is_simple(
    model: &Model,
    plain: &FxHashSet<(TypeId, NameId)>,
    at: TypeId,
    expr: &Expr,
    used: &mut Vec<(TypeId, NameId)>,
) -> bool {
    let carries_plain = |role: &NameId| {
        let def = model.type_def(at).and_then(|def| def.role(*role));
        def.into_iter().flat_map(|def| &def.bound_by).all(|form| match form {
            SubjectForm::Set(of, name) => plain.contains(&(*of, *name)),
            SubjectForm::Object(_) | SubjectForm::All(_) => true,
        })
    };
    match expr {
        Expr::Here(role) => carries_plain(role),
        Expr::HereAny(roles) => roles.iter().all(carries_plain),
        Expr::Ref(name) => {
            used.push((at, *name));
            true
        }
        Expr::Up { relation, name } => {
            let edge = model.type_def(at).and_then(|def| def.edge(*relation));
            let targets = edge.into_iter().flat_map(|edge| &edge.targets);
            used.extend(targets.map(|target| (*target, *name)));
            true
        }
        Expr::Any(parts) => parts.iter().all(|part| is_simple(model, plain, at, part, used)),
        Expr::All(parts) => match parts.as_slice() {
            [only] => is_simple(model, plain, at, only, used),
            _ => false,
        },
        _ => false,
    }
}
