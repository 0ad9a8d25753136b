//! The order that the service itself names: its revisions. Each answer must be the one of its revision,
//! and revisions must agree with time.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Answer, Ask, Call, Change, Register};

/// The registers that are there.
type State = BTreeSet<Register>;

/// Holds every answer to its revision.
///
/// # Errors
/// The first rule that is broken, and by which calls.
pub(super) fn check(history: &[Call], first: u64) -> Result<(), String> {
    let commits = commits_of(history, first)?;
    let states = replay(&commits, first);
    in_step_with_time(history)?;
    for call in history {
        let wrong = |what: String| Err(format!("{what}: {call}"));
        match (&call.ask, &call.answer) {
            (Ask::Read(asked) | Ask::ReadOld(asked), Answer::Seen { revision, there }) => {
                let Some(state) = states.get(revision) else {
                    return wrong("a read at a revision that nobody wrote".to_owned());
                };
                let expected: State = asked.iter().copied().filter(|r| state.contains(r)).collect();
                let seen: State = there.iter().copied().collect();
                if seen != expected {
                    return wrong(format!("at its revision {expected:?} are there"));
                }
            }
            (Ask::Write(changes), Answer::Written { revision, changed }) => {
                let before = if *changed == 0 { *revision } else { revision - 1 };
                let Some(state) = states.get(&before) else {
                    return wrong("a write after a revision that nobody wrote".to_owned());
                };
                let expected = count(state, changes);
                if expected != Some(*changed) {
                    return wrong(format!("after {state:?} it changes {expected:?}"));
                }
            }
            (Ask::Write(changes), Answer::Exists) => {
                let (from, to) = window(history, call, first);
                let refused = |state: &State| count(state, changes).is_none();
                if !states.range(from..=to).any(|(_, state)| refused(state)) {
                    return wrong(format!("from revision {from} to {to} nothing of it was there"));
                }
            }
            (Ask::Write(_), Answer::NotDone | Answer::Unknown) => {}
            _ => return wrong("an answer to another question".to_owned()),
        }
    }
    Ok(())
}

/// The writes that changed something, by revision: dense from `first` on.
fn commits_of(history: &[Call], first: u64) -> Result<BTreeMap<u64, &Call>, String> {
    let mut commits: BTreeMap<u64, &Call> = BTreeMap::new();
    for call in history {
        if let Answer::Written { revision, changed: 1.. } = call.answer
            && let Some(other) = commits.insert(revision, call)
        {
            return Err(format!("two writes have revision {revision}: {call} and {other}"));
        }
    }
    let dense = commits.keys().copied().eq(first + 1..=first + commits.len() as u64);
    if dense {
        return Ok(commits);
    }
    let gap = (first + 1..).find(|revision| !commits.contains_key(revision)).unwrap_or(first);
    Err(format!("revision {gap} is no write's, though there are later ones"))
}

/// The state at each revision.
fn replay(commits: &BTreeMap<u64, &Call>, first: u64) -> BTreeMap<u64, State> {
    let mut state = State::new();
    let mut states = BTreeMap::from([(first, state.clone())]);
    for (revision, call) in commits {
        let Ask::Write(changes) = &call.ask else { continue };
        for (register, change) in changes {
            match change {
                Change::Create | Change::Touch => state.insert(*register),
                Change::Delete => state.remove(register),
            };
        }
        states.insert(*revision, state.clone());
    }
    states
}

/// How many changes of a write change something after this state; `None` if it is refused there.
fn count(state: &State, changes: &[(Register, Change)]) -> Option<u64> {
    let mut changed = 0;
    for (register, change) in changes {
        let is_there = state.contains(register);
        match change {
            Change::Create if is_there => return None,
            Change::Delete => changed += u64::from(is_there),
            Change::Create | Change::Touch => changed += u64::from(!is_there),
        }
    }
    Some(changed)
}

/// The revisions that a call may have met: not before what had ended when it began, and not after what
/// had begun when it ended.
fn window(history: &[Call], call: &Call, first: u64) -> (u64, u64) {
    let news = || history.iter().filter(|other| !matches!(other.ask, Ask::ReadOld(_)));
    let before = news().filter(|other| other.ended < call.begun).filter_map(Call::revision);
    let until =
        news().filter(|other| other.begun < call.ended).filter_map(|other| match other.ask {
            Ask::Write(_) => other.revision(),
            _ => None,
        });
    (before.max().unwrap_or(first), until.max().unwrap_or(first))
}

/// What begins after something has ended has no lower revision, a commit a higher one; and what ends
/// before a commit begins does not have its revision.
fn in_step_with_time(history: &[Call]) -> Result<(), String> {
    let mut ends: Vec<&Call> = history.iter().filter(|call| call.revision().is_some()).collect();
    let mut begins = ends.clone();
    begins.retain(|call| !matches!(call.ask, Ask::ReadOld(_)));
    ends.sort_by_key(|call| call.ended);
    begins.sort_by_key(|call| call.begun);
    let mut ended = ends.into_iter().peekable();
    let mut newest: Option<&Call> = None;
    for call in begins {
        while let Some(before) = ended.next_if(|before| before.ended < call.begun) {
            if newest.is_none_or(|newest| before.revision() > newest.revision()) {
                newest = Some(before);
            }
        }
        let Some(newest) = newest else { continue };
        let is_commit = matches!(call.answer, Answer::Written { changed: 1.., .. });
        let (mine, theirs) = (call.revision(), newest.revision());
        if mine < theirs || (is_commit && mine == theirs) {
            return Err(format!(
                "revisions run against time: {call} began after {newest} had ended"
            ));
        }
    }
    Ok(())
}
