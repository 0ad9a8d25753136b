//! The parent relations between types: which lead where, which let roles pass, and from where a type
//! can be reached. Knows no roles and no objects.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::model::form::{NameId, TypeDef, TypeId};

/// Which parent edges count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Edges {
    /// Those that let roles pass.
    Passing,
    /// Every one.
    All,
}

/// A parent relation of a type, and those of its targets that count.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) relation: NameId,
    pub(super) counted: Vec<TypeId>,
    pub(super) others: Vec<TypeId>,
}

/// Both views of the edges, upwards and downwards, by type.
#[derive(Debug, Default)]
pub(super) struct Hierarchy {
    passing: View,
    all: View,
}

#[derive(Debug, Default)]
struct View {
    up: Vec<Rc<[Step]>>,
    down: Vec<Vec<TypeId>>,
}

impl Hierarchy {
    /// `passes` says whether roles pass from the third type to the first along the relation.
    pub(super) fn new(types: &[TypeDef], passes: impl Fn(TypeId, NameId, TypeId) -> bool) -> Self {
        Self { passing: View::new(types, passes), all: View::new(types, |_, _, _| true) }
    }

    fn view(&self, edges: Edges) -> &View {
        match edges {
            Edges::Passing => &self.passing,
            Edges::All => &self.all,
        }
    }

    /// The steps up from a type.
    pub(super) fn steps(&self, at: TypeId, edges: Edges) -> Rc<[Step]> {
        let steps = self.view(edges).up.get(usize::from(at.0));
        steps.map_or_else(|| Rc::from([]), Rc::clone)
    }

    /// The types from which at most `levels` edges lead to a type of `to`, these included.
    pub(super) fn reached(
        &self,
        to: &[TypeId],
        edges: Edges,
        levels: Option<u32>,
    ) -> BTreeSet<TypeId> {
        let down = &self.view(edges).down;
        let mut found: BTreeSet<TypeId> = to.iter().copied().collect();
        let mut last: Vec<TypeId> = found.iter().copied().collect();
        let mut left = levels;
        while left != Some(0) && !last.is_empty() {
            let below = last.iter().filter_map(|at| down.get(usize::from(at.0))).flatten();
            last = below.copied().filter(|at| found.insert(*at)).collect();
            left = left.map(|left| left.saturating_sub(1));
        }
        found
    }
}

impl View {
    fn new(types: &[TypeDef], counts: impl Fn(TypeId, NameId, TypeId) -> bool) -> Self {
        let mut view = Self { up: Vec::new(), down: vec![Vec::new(); types.len()] };
        for (at, def) in types.iter().enumerate() {
            let Ok(at) = u16::try_from(at).map(TypeId) else { break };
            let parents = def.edges.iter().filter(|edge| edge.is_parent);
            let steps = parents.map(|edge| {
                let is_counted = |target: &&TypeId| counts(at, edge.relation, **target);
                let (counted, others): (Vec<&TypeId>, Vec<&TypeId>) =
                    edge.targets.iter().partition(is_counted);
                let owned = |types: Vec<&TypeId>| types.into_iter().copied().collect();
                Step { relation: edge.relation, counted: owned(counted), others: owned(others) }
            });
            let steps: Rc<[Step]> = steps.collect();
            for target in steps.iter().flat_map(|step| &step.counted) {
                if let Some(below) = view.down.get_mut(usize::from(target.0)) {
                    below.push(at);
                }
            }
            view.up.push(steps);
        }
        view
    }
}
