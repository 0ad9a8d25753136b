//! The rules of the hierarchy, checked for a parent edge against the snapshot that already has it:
//! acyclic together, at most 32 deep, one parent each unless declared `many`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::objects::ObjectId;
use super::snapshot::{Binding, Snapshot, SubjectKey};
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
    /// Whether the edge may stand is not known: too much lies above the parent or below the scope.
    #[error("to check `{tuple}`, more than {limit} tuples above and below it must be looked at")]
    TooLarge {
        /// The edge.
        tuple: String,
        /// The bound, in tuples.
        limit: usize,
    },
}

/// Checks those of these tuples that are parent edges of this snapshot; any other passes. An error
/// comes with the position of its tuple. Costs what lies above the parents and below the scopes.
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
    let mut walk = Walk { snapshot, now, limit, left: limit, heights: HashMap::new() };
    let mut acyclic = Vec::new();
    for (at, key) in keys.into_iter().enumerate() {
        // The model first: most tuples are no edges, and need not be looked up.
        let Some(def) = edge_def_of(snapshot.model(), key).filter(|def| def.is_parent) else {
            continue;
        };
        let Some(edge) = snapshot.get(key).filter(|edge| edge.is_live(now)) else {
            continue;
        };
        let SubjectKey::Object(parent) = edge.subject else {
            continue;
        };
        if !def.many {
            check_single(snapshot, key, &edge, now).map_err(|error| (at, error))?;
        }
        if def.acyclic {
            walk.check_acyclic(key, edge.scope, parent).map_err(|error| (at, error))?;
            acyclic.push((at, key, edge.scope, parent));
        }
    }
    // Depth is defined only where there is no circle.
    for (at, key, scope, parent) in acyclic {
        walk.check_depth(key, scope, parent).map_err(|error| (at, error))?;
    }
    Ok(())
}

fn edge_def_of<'m>(model: &'m Model, key: &TupleKey) -> Option<&'m EdgeDef> {
    let relation = model.name_id(key.role.as_str())?;
    model.type_def(model.type_id(key.scope.type_name())?)?.edge(relation)
}

fn edge_def(snapshot: &Snapshot, scope: ObjectId, relation: NameId) -> Option<&EdgeDef> {
    snapshot.model().type_def(snapshot.type_of(scope)?)?.edge(relation)
}

fn check_single(
    snapshot: &Snapshot,
    key: &TupleKey,
    edge: &Binding<'_>,
    now: Time,
) -> Result<(), HierarchyError> {
    // The same parent by another source is no second parent.
    let other = snapshot
        .all_bound(edge.scope, edge.role)
        .find(|other| other.subject != edge.subject && other.is_live(now));
    let Some(SubjectKey::Object(other)) = other.map(|other| other.subject) else {
        return Ok(());
    };
    let other = text(snapshot, other);
    Err(HierarchyError::SecondParent { tuple: quoted(&key.to_string()), other })
}

/// More tuples would have to be looked at than is allowed.
struct Exhausted;

struct Walk<'a> {
    snapshot: &'a Snapshot,
    now: Time,
    limit: usize,
    /// How many more tuples may be looked at.
    left: usize,
    heights: HashMap<ObjectId, usize>,
}

impl Walk<'_> {
    fn spend(&mut self, tuples: usize) -> Result<(), Exhausted> {
        self.left = self.left.checked_sub(tuples).ok_or(Exhausted)?;
        Ok(())
    }

    fn too_large(&self, key: &TupleKey) -> HierarchyError {
        HierarchyError::TooLarge { tuple: quoted(&key.to_string()), limit: self.limit }
    }

    fn parents(&mut self, of: ObjectId) -> Result<Vec<ObjectId>, Exhausted> {
        let snapshot = self.snapshot;
        let def = snapshot.type_of(of).and_then(|t| snapshot.model().type_def(t));
        let edges = def.into_iter().flat_map(|def| &def.edges).filter(|edge| edge.acyclic);
        let mut parents = Vec::new();
        for edge in edges.flat_map(|edge| snapshot.all_bound(of, edge.relation)) {
            self.spend(1)?;
            if let SubjectKey::Object(parent) = edge.subject
                && edge.is_live(self.now)
            {
                parents.push(parent);
            }
        }
        Ok(parents)
    }

    fn children(&mut self, of: ObjectId, found: &mut Vec<ObjectId>) -> Result<(), Exhausted> {
        let snapshot = self.snapshot;
        for edge in snapshot.scopes_of(SubjectKey::Object(of)) {
            self.spend(1)?;
            let def = edge_def(snapshot, edge.scope, edge.role);
            if edge.is_live(self.now) && def.is_some_and(|def| def.acyclic) {
                found.push(edge.scope);
            }
        }
        Ok(())
    }

    fn check_acyclic(
        &mut self,
        key: &TupleKey,
        scope: ObjectId,
        parent: ObjectId,
    ) -> Result<(), HierarchyError> {
        match self.way_up(parent, scope) {
            Ok(None) => Ok(()),
            Ok(Some(path)) => Err(HierarchyError::Cycle { tuple: quoted(&key.to_string()), path }),
            Err(Exhausted) => Err(self.too_large(key)),
        }
    }

    /// Looks for the scope above its new parent, breadth-first, so that the path shown is shortest.
    fn way_up(&mut self, parent: ObjectId, scope: ObjectId) -> Result<Option<String>, Exhausted> {
        let mut reached: HashMap<ObjectId, ObjectId> = HashMap::from([(parent, scope)]);
        let mut queue = VecDeque::from([parent]);
        while let Some(at) = queue.pop_front() {
            if at == scope {
                return Ok(Some(self.path(&reached, scope)));
            }
            for next in self.parents(at)? {
                if let Entry::Vacant(entry) = reached.entry(next) {
                    entry.insert(at);
                    queue.push_back(next);
                }
            }
        }
        Ok(None)
    }

    fn path(&self, reached: &HashMap<ObjectId, ObjectId>, scope: ObjectId) -> String {
        let mut names = vec![text(self.snapshot, scope)];
        let mut at = scope;
        while let Some(below) = reached.get(&at) {
            names.push(text(self.snapshot, *below));
            at = *below;
            if at == scope || names.len() > DEPTH_MAX + 2 {
                break;
            }
        }
        names.reverse();
        names.join(" -> ")
    }

    fn check_depth(
        &mut self,
        key: &TupleKey,
        scope: ObjectId,
        parent: ObjectId,
    ) -> Result<(), HierarchyError> {
        let depth = self.depth_through(scope, parent);
        let depth = depth.map_err(|Exhausted| self.too_large(key))?;
        if depth <= DEPTH_MAX {
            return Ok(());
        }
        Err(HierarchyError::TooDeep { tuple: quoted(&key.to_string()), depth, limit: DEPTH_MAX })
    }

    fn depth_through(&mut self, scope: ObjectId, parent: ObjectId) -> Result<usize, Exhausted> {
        Ok(self.height(parent, 0)? + 1 + self.depth_below(scope)?)
    }

    /// The longest chain of parent edges that begins here. `steps` bounds the recursion.
    fn height(&mut self, of: ObjectId, steps: usize) -> Result<usize, Exhausted> {
        if let Some(height) = self.heights.get(&of) {
            return Ok(*height);
        }
        if steps > DEPTH_MAX {
            return Ok(0);
        }
        let mut height = 0;
        for parent in self.parents(of)? {
            height = height.max(self.height(parent, steps + 1)? + 1);
        }
        self.heights.insert(of, height);
        Ok(height)
    }

    /// The longest chain that ends here, level by level; stops once the limit is passed.
    fn depth_below(&mut self, of: ObjectId) -> Result<usize, Exhausted> {
        let mut level = vec![of];
        let mut depth = 0;
        while depth <= DEPTH_MAX {
            let mut next = Vec::new();
            for at in level {
                self.children(at, &mut next)?;
            }
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                break;
            }
            level = next;
            depth += 1;
        }
        Ok(depth)
    }
}

fn text(snapshot: &Snapshot, id: ObjectId) -> String {
    snapshot.text_of(id).map(|text| quoted(text)).unwrap_or_default()
}
