//! Which roles give a name, at an object and at those above it, where that is all there is to it: no
//! fact, no condition of the model's own, no `except`. Found once for a model. Knows no tuple.
//!
//! Invariant *reach*: for a name with a [`Stage`], V(u, name, s) is the greatest, over the ways that start
//! at that stage and s and go from a stage up a relation to the next stage and what stands there, of the
//! least of the conditions on the way and here() of one of the last stage's roles. The tuples of those roles
//! carry plain sets only.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::model::form::{DefKind, Expr, Model, NameId, SubjectForm, TypeId};
use crate::model::limits::{REACH_ROLES_MAX, REACH_STAGES_MAX};

/// Some names asked at an object of one type, by its place in a [`Map`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct StageId(u32);

/// What some names ask of an object of one type.
#[derive(Debug)]
pub(super) struct Stage {
    /// Some of these roles bound here, in order.
    pub(super) here: Box<[NameId]>,
    /// Or what stands above, in the order of relations.
    pub(super) up: Box<[Up]>,
    /// The last of those relations: most tuples are of roles, which have their ids after relations.
    last: NameId,
}

/// A relation, a type that it leads to, and what is asked there.
#[derive(Debug)]
pub(super) struct Up {
    pub(super) relation: NameId,
    of: TypeId,
    to: StageId,
}

impl Stage {
    /// Whether tuples of this role or relation, and of those with greater ids, lead nowhere.
    #[inline]
    pub(super) fn is_past_relations(&self, name: NameId) -> bool {
        name > self.last
    }

    /// Whether something is asked of some of what this relation leads to.
    #[inline]
    pub(super) fn leads_up(&self, relation: NameId) -> bool {
        !self.is_past_relations(relation) && self.up.iter().any(|up| up.relation == relation)
    }

    /// What is asked of an object of this type to which this relation leads; `None`: nothing, which is no.
    #[inline]
    pub(super) fn above(&self, relation: NameId, of: TypeId) -> Option<StageId> {
        self.up.iter().find(|up| up.relation == relation && up.of == of).map(|up| up.to)
    }
}

/// The stages of a model.
#[derive(Debug, Default)]
pub(in crate::engine) struct Map {
    stages: Vec<Stage>,
    first: FxHashMap<(TypeId, NameId), Start>,
}

/// Where a name of a type starts.
#[derive(Debug, Clone, Copy)]
struct Start {
    stage: StageId,
    is_permission: bool,
}

impl Map {
    /// Where a name of a type starts. `None`: there is more to it, and it has to be evaluated.
    #[inline]
    pub(in crate::engine) fn start(&self, at: TypeId, name: NameId) -> Option<StageId> {
        self.first.get(&(at, name)).map(|start| start.stage)
    }

    /// The same for a name that is a permission of the type.
    #[inline]
    pub(in crate::engine) fn start_of_permission(
        &self,
        at: TypeId,
        name: NameId,
    ) -> Option<StageId> {
        let start = self.first.get(&(at, name)).filter(|start| start.is_permission);
        start.map(|start| start.stage)
    }

    #[inline]
    pub(super) fn stage(&self, id: StageId) -> Option<&Stage> {
        self.stages.get(id.0 as usize)
    }

    /// Finds them. `plain`: the sets that can be found from a subject upwards. Costs a few passes over the
    /// model's definitions, and what the stages hold, which is bounded: names past that have none.
    pub(in crate::engine) fn new(model: &Model, plain: &FxHashSet<(TypeId, NameId)>) -> Self {
        Self::within(model, plain, (REACH_STAGES_MAX, REACH_ROLES_MAX))
    }

    /// The same with so many stages at most, and roles in them.
    fn within(model: &Model, plain: &FxHashSet<(TypeId, NameId)>, most: (usize, usize)) -> Self {
        let simple = simple_names(model, plain);
        let (map, ids) = (Self::default(), FxHashMap::default());
        let mut making = Making { model, map, ids, roles: 0, most };
        let mut names: Vec<_> = simple.into_iter().collect();
        names.sort_unstable();
        for (at, name) in names {
            // A stage that was begun and not ended would say no: none is used after that.
            let Some(stage) = making.stages_of(at, name) else { break };
            let def = model.def(at, name);
            let is_permission = def.is_some_and(|def| def.kind == DefKind::Permission);
            making.map.first.insert((at, name), Start { stage, is_permission });
        }
        making.map
    }
}

type Names = BTreeSet<NameId>;

struct Making<'a> {
    model: &'a Model,
    map: Map,
    ids: FxHashMap<(TypeId, Names), StageId>,
    /// How many roles and relations the stages hold in all.
    roles: usize,
    /// The most stages, and roles and relations.
    most: (usize, usize),
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
        if self.map.stages.len() >= self.most.0 || self.roles >= self.most.1 {
            return None;
        }
        let id = StageId(u32::try_from(self.map.stages.len()).ok()?);
        self.map.stages.push(Stage { here: [].into(), up: [].into(), last: NameId(0) });
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
            let def = self.model.type_def(at);
            for target in def.into_iter().flat_map(|def| def.leads_to(relation)) {
                let has = |name: &NameId| self.model.def(target, *name).is_some();
                let there: Names = names.iter().copied().filter(has).collect();
                if !there.is_empty() {
                    up.push(Up { relation, of: target, to: self.id(target, there, waiting)? });
                }
            }
        }
        let last = up.last().map_or(NameId(0), |up| up.relation);
        Some(Stage { here: asked.here.into_iter().collect(), up: up.into(), last })
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
fn simple_names(model: &Model, plain: &FxHashSet<(TypeId, NameId)>) -> FxHashSet<(TypeId, NameId)> {
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
            let targets = model.type_def(at).into_iter().flat_map(|def| def.leads_to(*relation));
            used.extend(targets.map(|target| (target, *name)));
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::engine::{CheckedContext, Plan, Question, check};
    use crate::index::Builder;
    use crate::model::tuple::{Change, Time, Tuple, TupleKey};
    use crate::model::{SourceFiles, load};

    const MODEL: &str = "
model: m
types:
  user: {}
  group: {}
  org: {}
  site: { parents: [org] }
facts:
  org: { flags: [verified] }
roles:
  - { at: [org, site], names: [viewer, admin], bound_by: [user, 'user:*', 'group#member'] }
  - { at: [site], names: [odd], bound_by: [user, 'org#both'] }
  - { at: [group], names: [member], bound_by: [user, 'group#member'] }
names:
  either: { at: [org], is: viewer or admin }
  both: { at: [org], is: viewer and admin }
permissions:
  see: { at: [site], is: 'viewer or up(parent, either)' }
  run: { at: [site], is: viewer and admin }
  own: { at: [site], is: viewer except admin }
  pay: { at: [site], is: 'viewer and fact(verified)' }
  use: { at: [site], is: odd }
  ask: { at: [site], is: 'up(parent, both)' }
  any: { at: [site], is: 'yes' }
  nil: { at: [site], is: 'no' }
";

    fn model() -> Model {
        load(&[("model.yaml", MODEL)].into_iter().collect(), &BTreeMap::new()).unwrap()
    }

    #[test]
    fn unions_of_roles_here_and_above_have_a_stage_and_nothing_else_has() {
        let model = model();
        let plan = Plan::new(&model);
        let short = |at: &str, name: &str| {
            let place = (model.type_id(at).unwrap(), model.name_id(name).unwrap());
            plan.map().start(place.0, place.1).is_some()
        };
        for name in ["see", "viewer", "admin", "nil"] {
            assert!(short("site", name), "{name}");
        }
        assert!(short("org", "either") && short("group", "member"));
        for name in ["run", "own", "pay", "use", "ask", "any", "odd"] {
            assert!(!short("site", name), "{name}");
        }
        assert!(!short("org", "both"));
    }

    #[test]
    fn a_role_with_the_name_of_another_types_relation_leads_up_as_well() {
        let yaml = "
model: m
types:
  user: {}
  team: {}
  site: { parents: { team: { relation: owner, roles_pass: false } } }
  device: {}
roles:
  - { at: [team], names: [member], bound_by: [user] }
  - { at: [device], names: [owner], bound_by: [team] }
  - { at: [device], names: [viewer], bound_by: [user] }
names:
  barred: { at: [site, device], is: 'up(owner, member)' }
permissions:
  see: { at: [site, device], is: 'up(owner, member)' }
  act: { at: [device], is: 'viewer except barred' }
";
        let model = load(&[("model.yaml", yaml)].into_iter().collect(), &BTreeMap::new()).unwrap();
        let model = Arc::new(model);
        let mut builder = Builder::new(Arc::clone(&model));
        for text in ["device:d#owner@team:t", "team:t#member@user:ana", "device:d#viewer@user:ana"]
        {
            let tuple = Tuple::plain(TupleKey::parse(text).unwrap());
            builder.apply(&Change::Put(tuple)).unwrap();
        }
        let snapshot = builder.build().unwrap();
        for plan in [Plan::new(&model), Plan::without_short_ways(&model)] {
            let may = |what| {
                let context = CheckedContext::default();
                let question = Question::parse(&model, "user:ana", what, "device:d", context);
                check(&snapshot, &plan, &question.unwrap(), Time(0), false).unwrap().is_allow()
            };
            assert_eq!((may("see"), may("act")), (true, false));
        }
    }

    #[test]
    fn past_the_bounds_names_have_no_stage_and_no_stage_is_cut_short() {
        let model = model();
        let plain = FxHashSet::from_iter([(
            model.type_id("group").unwrap(),
            model.name_id("member").unwrap(),
        )]);
        let whole = Map::within(&model, &plain, (100, 100));
        let mut counts = Vec::new();
        for stages in 0..20 {
            let map = Map::within(&model, &plain, (stages, 100));
            for (place, id) in &map.first {
                let mut waiting = vec![(id.stage, whole.first[place].stage)];
                let mut seen = BTreeSet::new();
                while let Some((ours, theirs)) = waiting.pop() {
                    if !seen.insert(ours.0) {
                        continue;
                    }
                    let (ours, theirs) = (map.stage(ours).unwrap(), whole.stage(theirs).unwrap());
                    assert_eq!((&ours.here, ours.up.len()), (&theirs.here, theirs.up.len()));
                    for (up, other) in ours.up.iter().zip(&theirs.up) {
                        assert_eq!((up.relation, up.of), (other.relation, other.of));
                        waiting.push((up.to, other.to));
                    }
                }
            }
            counts.push(map.first.len());
        }
        assert!(counts.is_sorted() && counts[0] == 0 && counts.last() == Some(&whole.first.len()));
        assert!(counts.windows(2).any(|pair| pair[0] > 0 && pair[0] < pair[1]), "{counts:?}");
        assert!(Map::within(&model, &plain, (100, 0)).first.is_empty());
    }

    #[test]
    fn most_permissions_of_a_real_platform_without_gates_are_found_the_short_way() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/chargeplatform");
        let model = load(&SourceFiles::read_dir(&dir).unwrap(), &BTreeMap::new()).unwrap();
        let plan = Plan::new(&model);
        let asked = model.permissions.values();
        let asked = asked.flat_map(|p| p.at.iter().map(|at| (*at, p.name)));
        let (short, long): (Vec<_>, Vec<_>) =
            asked.partition(|(at, name)| plan.map().start(*at, *name).is_some());
        assert!(short.len() > 10 * long.len(), "{} of {}", short.len(), long.len());
    }
}
