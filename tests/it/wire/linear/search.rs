//! The search for an order, after Wing and Gong, with Lowe's memory of what was tried. It believes
//! nothing but beginnings, ends and answers. Linearizability is local: a history is linearizable if
//! that of each group is.

use std::collections::HashSet;

use super::history::{Answer, Ask, Call, Change, MEMBERS, Present};

/// Every state that a group may be in, a bit for each.
type States = u64;

const _: () = assert!(1 << MEMBERS == States::BITS as usize);

/// What a call did to one group.
#[derive(Debug, Clone)]
struct Part<'h> {
    call: &'h Call,
    step: Step,
}

#[derive(Debug, Clone)]
enum Step {
    /// `changed` is known if the whole write was within this group.
    Written { changes: Vec<(usize, Change)>, changed: Option<u64> },
    /// One of these is there.
    Exists { creates: Present },
    /// It was done or not, at any time from its beginning on.
    Perhaps { changes: Vec<(usize, Change)> },
    /// Of `asked`, those in `there` are there.
    Seen { asked: Present, there: Present },
}

/// The state after a write and how many of its changes changed something; `None` if it is refused.
fn written(state: Present, changes: &[(usize, Change)]) -> Option<(Present, u64)> {
    let (mut after, mut changed) = (state, 0);
    for (member, change) in changes {
        let bit = 1 << member;
        let is_there = state & bit != 0;
        match change {
            Change::Create if is_there => return None,
            Change::Create | Change::Touch => {
                after |= bit;
                changed += u64::from(!is_there);
            }
            Change::Delete => {
                after &= !bit;
                changed += u64::from(is_there);
            }
        }
    }
    Some((after, changed))
}

impl Step {
    /// The states after it, given that one of these was before. None: it cannot come here.
    fn after(&self, before: States) -> States {
        let mut after = 0;
        for state in 0..1_u8 << MEMBERS {
            if before & 1 << state == 0 {
                continue;
            }
            match self {
                Self::Written { changes, changed } => {
                    if let Some((next, count)) = written(state, changes)
                        && changed.is_none_or(|said| said == count)
                    {
                        after |= 1 << next;
                    }
                }
                Self::Exists { creates } if state & creates != 0 => after |= 1 << state,
                Self::Exists { .. } => {}
                Self::Perhaps { changes } => {
                    after |= 1 << state;
                    after |= written(state, changes).map_or(0, |(next, _)| 1 << next);
                }
                Self::Seen { asked, there } if state & asked == *there => after |= 1 << state,
                Self::Seen { .. } => {}
            }
        }
        after
    }
}

/// What the calls did to one group; calls that say nothing of it are left out.
fn parts_of(history: &[Call], group: usize) -> Vec<Part<'_>> {
    let members = |registers: &[(usize, usize)]| -> Present {
        registers.iter().filter(|(of, _)| *of == group).fold(0, |set, (_, m)| set | 1 << m)
    };
    let mut parts = Vec::new();
    for call in history {
        let step = match (&call.ask, &call.answer) {
            (Ask::Write(all), answer) => {
                let here = all.iter().filter(|((of, _), _)| *of == group);
                let changes: Vec<_> =
                    here.map(|((_, member), change)| (*member, *change)).collect();
                let whole = changes.len() == all.len();
                match answer {
                    _ if changes.is_empty() => None,
                    Answer::Written { changed, .. } => {
                        Some(Step::Written { changes, changed: whole.then_some(*changed) })
                    }
                    // With several groups it may have been in another one.
                    Answer::Exists if whole => {
                        let creates = changes.iter().filter(|(_, c)| *c == Change::Create);
                        let creates = creates.fold(0, |set, (member, _)| set | 1 << member);
                        Some(Step::Exists { creates })
                    }
                    Answer::Unknown => Some(Step::Perhaps { changes }),
                    _ => None,
                }
            }
            (Ask::Read(registers), Answer::Seen { there, .. }) => {
                let asked = members(registers);
                (asked != 0).then(|| Step::Seen { asked, there: members(there) })
            }
            _ => None,
        };
        parts.extend(step.map(|step| Part { call, step }));
    }
    parts
}

/// Looks for an order of the calls on each of these groups, which are empty at first.
///
/// # Errors
/// There is none: how far the best attempt came, and what could not follow.
pub(super) fn check(history: &[Call], groups: usize) -> Result<(), String> {
    for group in 0..groups {
        let parts = parts_of(history, group);
        if let Some(best) = Search::new(&parts).run() {
            return Err(describe(group, &parts, &best));
        }
    }
    Ok(())
}

fn describe(group: usize, parts: &[Part<'_>], best: &[usize]) -> String {
    let mut text = format!("no order explains group {group}. So far it goes:\n");
    let mut states: States = 1;
    for (at, part) in best.iter().enumerate() {
        states = parts[*part].step.after(states);
        if at + 12 > best.len() {
            text += &format!("  {}\n", parts[*part].call);
        }
    }
    let is_possible = |state: &u32| states & 1 << state != 0;
    let there: Vec<_> =
        (0..States::BITS).filter(is_possible).map(|state| format!("{state:06b}")).collect();
    text += &format!("  then the members are there as in {there:?}, and none of these follows:\n");
    let rest = || (0..parts.len()).filter(|part| !best.contains(part));
    let first_end = rest().map(|part| parts[part].end()).min().unwrap_or(u64::MAX);
    for part in rest().filter(|part| parts[*part].call.begun <= first_end) {
        text += &format!("  {}\n", parts[part].call);
    }
    text
}

impl Part<'_> {
    /// When it was over at the latest.
    fn end(&self) -> u64 {
        if matches!(self.step, Step::Perhaps { .. }) { u64::MAX } else { self.call.ended }
    }
}

/// Beginnings and ends of all parts in the order of time, as a list from which a part that has been
/// placed is taken, and to which it is given back.
struct Search<'s, 'h> {
    parts: &'s [Part<'h>],
    /// `2 * part` begins it, `2 * part + 1` ends it; `HEAD` is before the first.
    next: Vec<usize>,
    previous: Vec<usize>,
    head: usize,
}

impl<'s, 'h> Search<'s, 'h> {
    fn new(parts: &'s [Part<'h>]) -> Self {
        let mut events: Vec<usize> = (0..2 * parts.len()).collect();
        let time = |event: &usize| {
            let part = &parts[event / 2];
            if event.is_multiple_of(2) { part.call.begun } else { part.end() }
        };
        // What never ended comes last, in any order.
        events.sort_by_key(time);
        let head = 2 * parts.len();
        let (mut next, mut previous) = (vec![head; head + 1], vec![head; head + 1]);
        let mut last = head;
        for event in events {
            next[last] = event;
            previous[event] = last;
            last = event;
        }
        previous[head] = last;
        Self { parts, next, previous, head }
    }

    fn take(&mut self, part: usize) {
        for event in [2 * part, 2 * part + 1] {
            let (before, after) = (self.previous[event], self.next[event]);
            self.next[before] = after;
            self.previous[after] = before;
        }
    }

    fn give_back(&mut self, part: usize) {
        for event in [2 * part + 1, 2 * part] {
            let (before, after) = (self.previous[event], self.next[event]);
            self.next[before] = event;
            self.previous[after] = event;
        }
    }

    /// `None` if there is an order; else the longest beginning of one that was found.
    fn run(mut self) -> Option<Vec<usize>> {
        let words = self.parts.len().div_ceil(64);
        let mut placed = vec![0_u64; words];
        let mut tried: HashSet<(Vec<u64>, States)> = HashSet::new();
        let mut order: Vec<(usize, States)> = Vec::new();
        let mut best: Vec<usize> = Vec::new();
        let mut states: States = 1;
        let mut event = self.next[self.head];
        while self.next[self.head] != self.head {
            let part = event / 2;
            if event != self.head && event.is_multiple_of(2) {
                let after = self.parts[part].step.after(states);
                placed[part / 64] |= 1 << (part % 64);
                if after != 0 && tried.insert((placed.clone(), after)) {
                    order.push((part, states));
                    if order.len() > best.len() {
                        best = order.iter().map(|(part, _)| *part).collect();
                    }
                    states = after;
                    self.take(part);
                    event = self.next[self.head];
                } else {
                    placed[part / 64] &= !(1 << (part % 64));
                    event = self.next[event];
                }
                continue;
            }
            // Something ended that has no place yet: the last choice was wrong.
            let Some((part, before)) = order.pop() else { return Some(best) };
            self.give_back(part);
            placed[part / 64] &= !(1 << (part % 64));
            states = before;
            event = self.next[2 * part];
        }
        None
    }
}
