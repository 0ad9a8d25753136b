//! What a few unions will look at, read ahead of them: step by step for all of them, so that the waits for memory
//! overlap, where one walk after the other would wait for each read. Decides nothing and is asked nothing.

use std::hint::black_box;

use smallvec::SmallVec;

use super::map::{StageId, Up};
use super::{FEW_TUPLES, Ground};
use crate::engine::plan::Plan;
use crate::index::{ObjectId, Row};

/// So many questions are read ahead for at once.
pub(in crate::engine) const WINDOW: usize = 32;
/// So many levels above a scope are read: what stands higher is above much else, and mostly at hand.
const LEVELS: usize = 3;
/// So many groups of a subject.
const GROUPS: usize = 4;

type Few<T> = SmallVec<[T; WINDOW]>;

/// Reads what stands at these scopes and a little above, and in which groups these subjects are.
pub(in crate::engine) fn read_ahead(
    ground: Ground<'_>,
    plan: &Plan,
    subjects: &[ObjectId],
    scopes: &[(StageId, ObjectId)],
) {
    let (settled, map) = (ground.settled(), plan.map());
    let stage = |(id, scope): &(StageId, ObjectId)| (map.stage(*id), *scope);
    let mut at: Few<_> = scopes.iter().map(stage).collect();
    let rows = |(_, scope): &(_, ObjectId)| settled.rows(*scope);
    let mut here: Few<_> = at.iter().map(rows).collect();
    let entries: Few<_> = subjects.iter().map(|subject| settled.entries(*subject)).collect();
    let mut seen = 0;
    let mut groups: SmallVec<[ObjectId; GROUPS * WINDOW]> = SmallVec::new();
    if plan.has_nested_sets() {
        for entries in entries.into_iter().flatten() {
            let plain = entries.iter().take(FEW_TUPLES);
            let plain = plain.filter(|entry| plan.plain_roles().contains(&entry.role));
            groups.extend(plain.take(GROUPS).map(|entry| entry.scope));
        }
    } else {
        seen += entries.iter().flatten().filter(|entries| !entries.is_empty()).count();
    }
    let sets: SmallVec<[_; GROUPS * WINDOW]> =
        groups.iter().map(|group| settled.sets_of(*group)).collect();
    for _ in 0..LEVELS {
        let above: Few<(&Up, ObjectId)> = at
            .iter()
            .zip(&here)
            .filter_map(|((stage, _), here)| {
                let up = stage.as_ref()?.up.first()?;
                Some((up, parent(up, (*here)?.1)?))
            })
            .collect();
        here = above.iter().map(|(_, target)| settled.rows(*target)).collect();
        let stage = |((up, target), here): (&(&Up, ObjectId), &Option<(_, &[Row])>)| {
            let id = here.as_ref().and_then(|(of, _)| up.at(*of));
            (id.and_then(|id| map.stage(id)), *target)
        };
        at = above.iter().zip(&here).map(stage).collect();
    }
    seen += here.iter().flatten().filter(|(_, rows)| first_role(rows)).count();
    seen +=
        sets.iter().flatten().filter(|sets| sets.first().is_some_and(|set| set.is_bare())).count();
    black_box(seen);
}

/// Where a relation leads first.
fn parent(up: &Up, rows: &[Row]) -> Option<ObjectId> {
    let mut rows = rows.iter().take(FEW_TUPLES);
    rows.find(|row| row.role == up.relation)?.subject.object()
}

fn first_role(rows: &[Row]) -> bool {
    rows.first().is_some_and(Row::is_bare)
}
