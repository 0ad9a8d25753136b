//! The rules of the hierarchy, checked for a parent edge against the snapshot that already has it:
//! acyclic together, at most 32 deep, one parent each unless declared `many`.

use rustc_hash::{FxHashMap, FxHashSet};

use super::binding::{Binding, SubjectKey};
use super::names::ObjectId;
use super::part::Position;
use super::snapshot::Snapshot;
use crate::model::form::{EdgeDef, Model, NameId};
use crate::model::limits::DEPTH_MAX;
use crate::model::names::quoted;
use crate::model::tuple::{Time, TupleKey};

/// Why a parent edge cannot stand. The messages name the objects on the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HierarchyError {
    /// The edge closes a circle.
    #[error("`{tuple}` makes a circle of parents: {path}")]
    Cycle {
        /// The edge.
        tuple: String,
        /// The circle, from the scope to itself.
        path: String,
    },
    /// The chain through the edge is too long.
    #[error("`{tuple}` makes a chain of {depth} parent edges or more, the limit is {limit}")]
    TooDeep {
        /// The edge.
        tuple: String,
        /// The length, in edges.
        depth: usize,
        /// The bound.
        limit: usize,
    },
    /// The scope has a parent by this relation already.
    #[error("`{tuple}` would be a second parent beside `{other}`; the relation allows one")]
    SecondParent {
        /// The edge.
        tuple: String,
        /// The other parent.
        other: String,
    },
    /// Whether the edge may stand is not known: too much lies above the parents or below the scopes.
    #[error("to check `{tuple}`, more than {limit} tuples above and below it must be looked at")]
    TooLarge {
        /// The edge.
        tuple: String,
        /// The bound, in tuples.
        limit: usize,
    },
}

/// Checks those of these tuples that are parent edges of this snapshot; any other passes. An error
/// comes with the position of its tuple. Costs what lies above the parents and below the scopes, each
/// object once for all the edges together; where no type lies above itself, nothing of that.
///
/// # Errors
/// An edge breaks a rule of the hierarchy.
pub fn check_parents<'a>(
    snapshot: &Snapshot,
    keys: impl IntoIterator<Item = &'a TupleKey>,
    now: Time,
) -> Result<(), (usize, HierarchyError)> {
    check_parents_within(snapshot, keys, now, usize::MAX)
}

/// The same, looking at no more than so many tuples for all the edges together.
///
/// # Errors
/// An edge breaks a rule of the hierarchy, or it takes more tuples than that to know.
pub fn check_parents_within<'a>(
    snapshot: &Snapshot,
    keys: impl IntoIterator<Item = &'a TupleKey>,
    now: Time,
    limit: usize,
) -> Result<(), (usize, HierarchyError)> {
    // The model first: most tuples are no edges, and need not be looked up.
    let model = snapshot.model();
    let is_edge = |key: &&TupleKey| edge_def_of(model, key).is_some_and(|def| def.is_parent);
    let edges = keys.into_iter().enumerate().filter(|(_, key)| is_edge(key));
    let placed = edges.filter_map(|(at, key)| Some((at, key, snapshot.position(key)?)));
    check_placed_parents(snapshot, placed, now, limit)
}

/// The same for tuples whose places are known; each comes with the position that an error says.
///
/// # Errors
/// As of [`check_parents_within`].
pub fn check_placed_parents<'a>(
    snapshot: &Snapshot,
    placed: impl IntoIterator<Item = (usize, &'a TupleKey, Position)>,
    now: Time,
    limit: usize,
) -> Result<(), (usize, HierarchyError)> {
    let mut walk = Walk::new(snapshot, now, limit);
    let (mut acyclic, mut single) = (Vec::new(), FxHashSet::default());
    for (at, key, position) in placed {
        let (scope, role) = position.scope_and_role();
        let Some(def) = edge_def(snapshot, scope, role).filter(|def| def.is_parent) else {
            continue;
        };
        let Some(edge) = snapshot.binding_at(position).filter(|edge| edge.is_live(now)) else {
            continue;
        };
        let SubjectKey::Object(parent) = edge.subject else {
            continue;
        };
        // Once for a scope: the same parent may be there by any number of sources.
        if !def.many && single.insert((edge.scope, edge.role)) {
            walk.check_single(key, &edge).map_err(|error| (at, error))?;
        }
        // By the types alone it can be in no circle, nor in a chain that is too long: the common case,
        // whatever lies below.
        let is_harmless = def.longest_chain.is_some_and(|longest| longest <= DEPTH_MAX);
        if def.acyclic && !is_harmless {
            acyclic.push(Edge { at, key, scope: edge.scope, parent });
        }
    }
    walk.check_acyclic(&acyclic)
}

/// A parent edge that is to be checked, and its tuple's position.
struct Edge<'a> {
    at: usize,
    key: &'a TupleKey,
    scope: ObjectId,
    parent: ObjectId,
}

/// Whether `next` comes after `at` in this circle.
fn follows(circle: &[ObjectId], at: ObjectId, next: ObjectId) -> bool {
    let after = circle.iter().skip(1).chain(circle.first());
    circle.iter().zip(after).any(|pair| pair == (&at, &next))
}

/// The relations that are acyclic at some type; not at all of them, perhaps.
fn acyclic_relations(model: &Model) -> Vec<NameId> {
    let edges = model.types.iter().flat_map(|def| &def.edges).filter(|edge| edge.acyclic);
    let mut relations: Vec<NameId> = edges.map(|edge| edge.relation).collect();
    relations.sort_unstable();
    relations.dedup();
    relations
}

fn edge_def_of<'m>(model: &'m Model, key: &TupleKey) -> Option<&'m EdgeDef> {
    let relation = model.name_id(key.role.as_str())?;
    model.type_def(model.type_id(key.scope.type_name())?)?.edge(relation)
}

fn edge_def(snapshot: &Snapshot, scope: ObjectId, relation: NameId) -> Option<&EdgeDef> {
    snapshot.model().type_def(snapshot.type_of(scope)?)?.edge(relation)
}

/// Why a walk came to no end.
enum Ended {
    /// More tuples would have to be looked at than is allowed.
    Exhausted,
    /// Each of these leads to the next, and the last to the first.
    Circle(Vec<ObjectId>),
}

/// Which way to go over parent edges.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// The longest chain of parent edges from an object on, one way; `None` while it is being walked.
type Lengths = FxHashMap<ObjectId, Option<usize>>;

/// An object on the way from where a walk began.
struct Step {
    at: ObjectId,
    next: std::vec::IntoIter<ObjectId>,
    longest: usize,
}

struct Walk<'a> {
    snapshot: &'a Snapshot,
    now: Time,
    limit: usize,
    /// How many more tuples may be looked at.
    left: usize,
    relations: Vec<NameId>,
    above: Lengths,
    below: Lengths,
}

impl<'a> Walk<'a> {
    fn new(snapshot: &'a Snapshot, now: Time, limit: usize) -> Self {
        let relations = acyclic_relations(snapshot.model());
        let (above, below) = (Lengths::default(), Lengths::default());
        Self { snapshot, now, limit, left: limit, relations, above, below }
    }

    /// That these edges are in no circle and in no chain that is too long.
    fn check_acyclic(&mut self, acyclic: &[Edge<'_>]) -> Result<(), (usize, HierarchyError)> {
        for edge in acyclic {
            match self.longest(edge.parent, Way::Up) {
                Ok(_) => {}
                Err(Ended::Exhausted) => return Err((edge.at, self.too_large(edge.key))),
                Err(Ended::Circle(circle)) => {
                    // Before these edges there was none, so one of them closes it.
                    let closes = |edge: &&Edge<'_>| follows(&circle, edge.scope, edge.parent);
                    let edge = acyclic.iter().find(closes).unwrap_or(edge);
                    let path = path(self.snapshot, &circle, edge.scope);
                    let tuple = quoted(&edge.key.to_string());
                    return Err((edge.at, HierarchyError::Cycle { tuple, path }));
                }
            }
        }
        // A length is defined only where there is no circle.
        for edge in acyclic {
            let depth =
                self.depth_through(edge).map_err(|_| (edge.at, self.too_large(edge.key)))?;
            if depth > DEPTH_MAX {
                let (tuple, limit) = (quoted(&edge.key.to_string()), DEPTH_MAX);
                return Err((edge.at, HierarchyError::TooDeep { tuple, depth, limit }));
            }
        }
        Ok(())
    }

    fn too_large(&self, key: &TupleKey) -> HierarchyError {
        HierarchyError::TooLarge { tuple: quoted(&key.to_string()), limit: self.limit }
    }

    /// That the scope has no other parent by this relation.
    fn check_single(&mut self, key: &TupleKey, edge: &Binding<'_>) -> Result<(), HierarchyError> {
        for other in self.snapshot.all_bound(edge.scope, edge.role) {
            self.spend().map_err(|_| self.too_large(key))?;
            if let SubjectKey::Object(parent) = other.subject
                && other.subject != edge.subject
                && other.is_live(self.now)
            {
                let (tuple, other) = (quoted(&key.to_string()), text(self.snapshot, parent));
                return Err(HierarchyError::SecondParent { tuple, other });
            }
        }
        Ok(())
    }

    fn spend(&mut self) -> Result<(), Ended> {
        self.left = self.left.checked_sub(1).ok_or(Ended::Exhausted)?;
        Ok(())
    }

    fn parents(&mut self, of: ObjectId) -> Result<Vec<ObjectId>, Ended> {
        let snapshot = self.snapshot;
        let def = snapshot.type_of(of).and_then(|t| snapshot.model().type_def(t));
        let edges = def.into_iter().flat_map(|def| &def.edges).filter(|edge| edge.acyclic);
        let mut parents = Vec::new();
        for edge in edges.flat_map(|edge| snapshot.all_bound(of, edge.relation)) {
            self.spend()?;
            if let SubjectKey::Object(parent) = edge.subject
                && edge.is_live(self.now)
            {
                parents.push(parent);
            }
        }
        Ok(parents)
    }

    fn children(&mut self, of: ObjectId) -> Result<Vec<ObjectId>, Ended> {
        let snapshot = self.snapshot;
        let mut children = Vec::new();
        for at in 0..self.relations.len() {
            let Some(relation) = self.relations.get(at).copied() else { break };
            for edge in snapshot.scopes_in(SubjectKey::Object(of), relation) {
                self.spend()?;
                let def = edge_def(snapshot, edge.scope, edge.role);
                if edge.is_live(self.now) && def.is_some_and(|def| def.acyclic) {
                    children.push(edge.scope);
                }
            }
        }
        Ok(children)
    }

    fn next(&mut self, at: ObjectId, way: Way) -> Result<Step, Ended> {
        self.lengths(way).insert(at, None);
        let next = match way {
            Way::Up => self.parents(at)?,
            Way::Down => self.children(at)?,
        };
        Ok(Step { at, next: next.into_iter(), longest: 0 })
    }

    fn lengths(&mut self, way: Way) -> &mut Lengths {
        match way {
            Way::Up => &mut self.above,
            Way::Down => &mut self.below,
        }
    }

    /// The longest chain from here on. Depth-first and not by recursion, as a commit can make a chain of any
    /// length; what an earlier walk has seen is not looked at again.
    fn longest(&mut self, from: ObjectId, way: Way) -> Result<usize, Ended> {
        if let Some(Some(known)) = self.lengths(way).get(&from) {
            return Ok(*known);
        }
        let mut path = vec![self.next(from, way)?];
        while let Some(step) = path.last_mut() {
            let Some(next) = step.next.next() else {
                let (at, longest) = (step.at, step.longest);
                self.lengths(way).insert(at, Some(longest));
                path.pop();
                match path.last_mut() {
                    Some(before) => before.longest = before.longest.max(longest + 1),
                    None => return Ok(longest),
                }
                continue;
            };
            match self.lengths(way).get(&next).copied() {
                Some(Some(known)) => step.longest = step.longest.max(known + 1),
                Some(None) => {
                    let circle = path.iter().map(|step| step.at).skip_while(|at| *at != next);
                    return Err(Ended::Circle(circle.collect()));
                }
                None => path.push(self.next(next, way)?),
            }
        }
        Ok(0)
    }

    fn depth_through(&mut self, edge: &Edge<'_>) -> Result<usize, Ended> {
        let above = self.longest(edge.parent, Way::Up)?;
        Ok(above + 1 + self.longest(edge.scope, Way::Down)?)
    }
}

/// A circle of parents as people read it: from the scope on, back to it.
fn path(snapshot: &Snapshot, circle: &[ObjectId], scope: ObjectId) -> String {
    let first = circle.iter().position(|at| *at == scope).unwrap_or_default();
    let around = circle.iter().cycle().skip(first).take(circle.len() + 1);
    let mut names: Vec<String> = around.take(DEPTH_MAX + 2).map(|at| text(snapshot, *at)).collect();
    if names.len() <= circle.len() {
        names.push("...".to_owned());
    }
    names.join(" -> ")
}

fn text(snapshot: &Snapshot, id: ObjectId) -> String {
    snapshot.text_of(id).map(quoted).unwrap_or_default()
}
