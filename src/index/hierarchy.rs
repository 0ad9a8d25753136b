//! The rules of the hierarchy, checked for a parent edge against the snapshot that already has it:
//! acyclic together, at most 32 deep, one parent each unless declared `many`.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::objects::ObjectId;
use super::snapshot::{Binding, Snapshot, SubjectKey};
use crate::model::form::{EdgeDef, NameId};
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
    let mut walk = Walk { snapshot, now, heights: HashMap::new() };
    let mut acyclic = Vec::new();
    for (at, key) in keys.into_iter().enumerate() {
        let Some(edge) = snapshot.get(key).filter(|edge| edge.is_live(now)) else {
            continue;
        };
        let SubjectKey::Object(parent) = edge.subject else {
            continue;
        };
        let Some(def) = edge_def(snapshot, edge.scope, edge.role).filter(|def| def.is_parent)
        else {
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

struct Walk<'a> {
    snapshot: &'a Snapshot,
    now: Time,
    heights: HashMap<ObjectId, usize>,
}

impl Walk<'_> {
    fn parents(&self, of: ObjectId) -> Vec<ObjectId> {
        let def = self.snapshot.type_of(of).and_then(|t| self.snapshot.model().type_def(t));
        let edges = def.into_iter().flat_map(|def| &def.edges).filter(|edge| edge.acyclic);
        edges
            .flat_map(|edge| self.snapshot.all_bound(of, edge.relation))
            .filter(|edge| edge.is_live(self.now))
            .filter_map(|edge| match edge.subject {
                SubjectKey::Object(parent) => Some(parent),
                _ => None,
            })
            .collect()
    }

    fn children(&self, of: ObjectId) -> Vec<ObjectId> {
        self.snapshot
            .scopes_of(SubjectKey::Object(of))
            .filter(|edge| edge.is_live(self.now))
            .filter(|edge| {
                edge_def(self.snapshot, edge.scope, edge.role).is_some_and(|def| def.acyclic)
            })
            .map(|edge| edge.scope)
            .collect()
    }

    /// Looks for the scope above its new parent, breadth-first, so that the path shown is shortest.
    fn check_acyclic(
        &self,
        key: &TupleKey,
        scope: ObjectId,
        parent: ObjectId,
    ) -> Result<(), HierarchyError> {
        let mut reached: HashMap<ObjectId, ObjectId> = HashMap::from([(parent, scope)]);
        let mut queue = VecDeque::from([parent]);
        while let Some(at) = queue.pop_front() {
            if at == scope {
                let path = self.path(&reached, scope);
                return Err(HierarchyError::Cycle { tuple: quoted(&key.to_string()), path });
            }
            for next in self.parents(at) {
                if let Entry::Vacant(entry) = reached.entry(next) {
                    entry.insert(at);
                    queue.push_back(next);
                }
            }
        }
        Ok(())
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
        let depth = self.height(parent, 0) + 1 + self.depth_below(scope);
        if depth <= DEPTH_MAX {
            return Ok(());
        }
        Err(HierarchyError::TooDeep { tuple: quoted(&key.to_string()), depth, limit: DEPTH_MAX })
    }

    /// The longest chain of parent edges that begins here. `steps` bounds the recursion.
    fn height(&mut self, of: ObjectId, steps: usize) -> usize {
        if let Some(height) = self.heights.get(&of) {
            return *height;
        }
        if steps > DEPTH_MAX {
            return 0;
        }
        let above = self.parents(of);
        let height = above.into_iter().map(|p| self.height(p, steps + 1) + 1).max().unwrap_or(0);
        self.heights.insert(of, height);
        height
    }

    /// The longest chain that ends here, level by level; stops once the limit is passed.
    fn depth_below(&self, of: ObjectId) -> usize {
        let mut level = vec![of];
        let mut depth = 0;
        while depth <= DEPTH_MAX {
            let mut next: Vec<ObjectId> = level.iter().flat_map(|at| self.children(*at)).collect();
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                break;
            }
            level = next;
            depth += 1;
        }
        depth
    }
}

fn text(snapshot: &Snapshot, id: ObjectId) -> String {
    snapshot.text_of(id).map(|text| quoted(text)).unwrap_or_default()
}
