//! How long a chain of parent edges can be by the types alone. Knows no object.

use crate::model::form::{EdgeDef, TypeDef};

/// Writes into each acyclic edge the most edges that a chain through it can have. Where the types recur,
/// an org below an org, they set no bound. Costs one walk over the types and their edges, each way.
pub(super) fn bound(types: &mut [TypeDef]) {
    let above: Vec<Vec<usize>> = types.iter().map(|def| parents(def).collect()).collect();
    let (up, down) = (longest(&above), longest(&reversed(&above)));
    let length = |lengths: &[Option<usize>], at: usize| lengths.get(at).copied().flatten();
    for (at, def) in types.iter_mut().enumerate() {
        for edge in def.edges.iter_mut().filter(|edge| edge.acyclic) {
            let above = edge.targets.iter().map(|to| length(&up, usize::from(to.0)));
            let above = above.max_by_key(|length| length.unwrap_or(usize::MAX)).flatten();
            edge.longest_chain =
                above.zip(length(&down, at)).map(|(above, below)| above + 1 + below);
        }
    }
}

fn parents(def: &TypeDef) -> impl Iterator<Item = usize> {
    let acyclic = def.edges.iter().filter(|edge: &&EdgeDef| edge.acyclic);
    acyclic.flat_map(|edge| &edge.targets).map(|target| usize::from(target.0))
}

fn reversed(next: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut before = vec![Vec::new(); next.len()];
    for (at, nexts) in next.iter().enumerate() {
        for to in nexts {
            if let Some(before) = before.get_mut(*to) {
                before.push(at);
            }
        }
    }
    before
}

/// The longest way from each node, in edges; `None` where a circle can be reached. From the ends back, not
/// by recursion: a model may have thousands of types, one above the other.
fn longest(next: &[Vec<usize>]) -> Vec<Option<usize>> {
    let before = reversed(next);
    let mut left: Vec<usize> = next.iter().map(Vec::len).collect();
    let mut so_far = vec![0_usize; next.len()];
    let mut settled = vec![None; next.len()];
    let mut ends: Vec<usize> = (0..next.len()).filter(|at| left.get(*at) == Some(&0)).collect();
    while let Some(end) = ends.pop() {
        let length = so_far.get(end).copied().unwrap_or_default();
        if let Some(settled) = settled.get_mut(end) {
            *settled = Some(length);
        }
        for at in before.get(end).into_iter().flatten().copied() {
            if let Some(so_far) = so_far.get_mut(at) {
                *so_far = length.saturating_add(1).max(*so_far);
            }
            if let Some(left) = left.get_mut(at) {
                *left -= 1;
                if *left == 0 {
                    ends.push(at);
                }
            }
        }
    }
    settled
}
