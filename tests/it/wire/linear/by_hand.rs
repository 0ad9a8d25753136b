//! The checkers against histories made by hand, whose judgement is plain, and against a third opinion
//! that tries every order.

use super::history::{Answer, Ask, Call, Change, Register};
use super::history::{Change::Create, Change::Delete, Change::Touch};
use super::{revisions, search};

/// A write in group 0 that was done.
fn wrote(time: (u64, u64), changes: &[(usize, Change)], revision: u64, changed: u64) -> Call {
    call(time, write(changes), Answer::Written { revision, changed })
}

fn write(changes: &[(usize, Change)]) -> Ask {
    Ask::Write(changes.iter().map(|(member, change)| ((0, *member), *change)).collect())
}

/// A read of members of group 0.
fn read(time: (u64, u64), asked: &[usize], there: &[usize], revision: u64) -> Call {
    let all = |members: &[usize]| members.iter().map(|member| (0, *member)).collect::<Vec<_>>();
    call(time, Ask::Read(all(asked)), Answer::Seen { revision, there: all(there) })
}

fn call((begun, ended): (u64, u64), ask: Ask, answer: Answer) -> Call {
    Call { begun, ended, ask, answer }
}

/// Both accept it; revision 1 is the first.
#[track_caller]
fn assert_fine(history: &[Call]) {
    assert_eq!(search::check(history, 2), Ok(()));
    assert_eq!(revisions::check(history, 1), Ok(()));
}

/// The search finds no order; whatever revisions say.
#[track_caller]
fn assert_no_order(history: &[Call]) -> String {
    let error = search::check(history, 2).expect_err("an order was found");
    assert!(error.starts_with("no order explains group 0"), "{error}");
    let wrong = revisions::check(history, 1);
    assert!(wrong.is_err(), "revisions that no order bears out were believed");
    error
}

/// An order could explain it, but not the one that the revisions name.
#[track_caller]
fn assert_wrong_revisions(history: &[Call], words: &str) {
    assert_eq!(search::check(history, 2), Ok(()));
    let error = revisions::check(history, 1).expect_err("the revisions were believed");
    assert!(error.contains(words), "{error}");
}

#[test]
fn nothing_and_one_after_the_other_are_fine() {
    assert_fine(&[]);
    assert_fine(&[
        read((0, 1), &[0, 1], &[], 1),
        wrote((2, 3), &[(0, Create)], 2, 1),
        read((4, 5), &[0, 1], &[0], 2),
        wrote((6, 7), &[(0, Delete), (1, Touch), (2, Delete)], 3, 2),
        read((8, 9), &[0, 1], &[1], 3),
        wrote((10, 11), &[(0, Delete)], 3, 0),
        call((12, 13), write(&[(1, Create)]), Answer::Exists),
        wrote((14, 15), &[(1, Touch)], 3, 0),
    ]);
}

#[test]
fn what_overlaps_may_be_in_either_order() {
    let both = |there: &[usize], revision| {
        [wrote((0, 10), &[(0, Create)], 2, 1), read((1, 2), &[0], there, revision)]
    };
    assert_fine(&both(&[], 1));
    assert_fine(&both(&[0], 2));
    // Three at once, and what came of them.
    assert_fine(&[
        wrote((0, 10), &[(0, Create)], 3, 1),
        wrote((1, 11), &[(0, Delete)], 2, 0).with_revision(1),
        wrote((2, 12), &[(1, Touch)], 2, 1),
        read((13, 14), &[0, 1], &[0, 1], 3),
    ]);
}

impl Call {
    /// The same with another revision.
    fn with_revision(mut self, new: u64) -> Self {
        if let Answer::Written { revision, .. } | Answer::Seen { revision, .. } = &mut self.answer {
            *revision = new;
        }
        self
    }
}

#[test]
fn a_stale_read_is_found() {
    let error = assert_no_order(&[wrote((0, 1), &[(0, Create)], 2, 1), read((2, 3), &[0], &[], 1)]);
    assert!(error.contains("[2, 3] Read"), "{error}");
    // After another's read of the new state, too, though the write has not ended.
    assert_no_order(&[
        wrote((0, 9), &[(0, Create)], 2, 1),
        read((1, 2), &[0], &[0], 2),
        read((3, 4), &[0], &[], 1),
    ]);
}

#[test]
fn a_lost_update_is_found() {
    // Two creates succeed, and nobody deletes between them.
    assert_no_order(&[wrote((0, 5), &[(0, Create)], 2, 1), wrote((1, 6), &[(0, Create)], 3, 1)]);
    // A write that succeeded is not there.
    assert_no_order(&[
        wrote((0, 5), &[(0, Touch)], 2, 1),
        wrote((1, 6), &[(1, Touch)], 3, 1),
        read((7, 8), &[0, 1], &[1], 3),
    ]);
    // Both deletes say that they deleted it.
    assert_no_order(&[
        wrote((0, 1), &[(0, Create)], 2, 1),
        wrote((2, 5), &[(0, Delete)], 3, 1),
        wrote((3, 6), &[(0, Delete)], 4, 1),
    ]);
    // A create is refused where nothing was ever there.
    assert_no_order(&[call((0, 1), write(&[(0, Create)]), Answer::Exists)]);
}

#[test]
fn a_torn_write_and_a_torn_read_are_found() {
    assert_no_order(&[
        wrote((0, 9), &[(0, Create), (1, Create)], 2, 2),
        read((1, 2), &[0, 1], &[0], 2),
    ]);
    // Of two reads of one member each, one before the other, either order of halves is wrong.
    assert_no_order(&[
        wrote((0, 9), &[(0, Create), (1, Create)], 2, 2),
        read((1, 2), &[0], &[0], 2),
        read((3, 4), &[1], &[], 1),
    ]);
    // Half of a refused write.
    assert_no_order(&[
        wrote((0, 1), &[(0, Create)], 2, 1),
        call((2, 3), write(&[(1, Touch), (0, Create)]), Answer::Exists),
        read((4, 5), &[1], &[1], 2),
    ]);
}

#[test]
fn an_unknown_outcome_may_be_either_and_late_but_not_both() {
    let unknown = || call((0, 3), write(&[(0, Create)]), Answer::Unknown);
    let search = |history: &[Call]| search::check(history, 1);
    assert_eq!(search(&[unknown(), read((4, 5), &[0], &[], 1)]), Ok(()));
    assert_eq!(search(&[unknown(), read((4, 5), &[0], &[0], 1)]), Ok(()));
    let late = [unknown(), read((4, 5), &[0], &[], 1), read((6, 7), &[0], &[0], 1)];
    assert_eq!(search(&late), Ok(()));
    let gone = [unknown(), read((4, 5), &[0], &[0], 1), read((6, 7), &[0], &[], 1)];
    assert!(search(&gone).is_err());
    let early = [read((4, 5), &[0], &[0], 1), call((6, 9), write(&[(0, Create)]), Answer::Unknown)];
    assert!(search(&early).is_err());
}

#[test]
fn revisions_are_dense_and_in_step_with_time() {
    let one = || wrote((0, 1), &[(0, Touch)], 2, 1);
    assert_wrong_revisions(
        &[one(), wrote((2, 3), &[(1, Touch)], 4, 1)],
        "revision 3 is no write's",
    );
    assert_wrong_revisions(
        &[one(), wrote((2, 3), &[(1, Touch)], 2, 1)],
        "two writes have revision 2",
    );
    // The second began when the first had ended.
    let swapped = [one().with_revision(3), wrote((2, 3), &[(1, Touch)], 2, 1)];
    assert_wrong_revisions(&swapped, "revisions run against time");
    // Right in itself, but of another member's past: 1 was not there before revision 3.
    let elsewhere = [one(), wrote((2, 3), &[(1, Touch)], 3, 1), read((4, 5), &[0], &[0], 2)];
    assert_wrong_revisions(&elsewhere, "revisions run against time");
    let unknown = [one(), read((2, 3), &[0], &[0], 7)];
    assert_wrong_revisions(&unknown, "a read at a revision that nobody wrote");
    let future = [read((0, 1), &[1], &[], 2), wrote((2, 3), &[(0, Touch)], 2, 1)];
    assert_wrong_revisions(&future, "revisions run against time");
    // Two reads of one revision that differ; while the write is under way each alone would be fine.
    let under_way = [
        wrote((0, 9), &[(0, Touch)], 2, 1),
        read((1, 2), &[0], &[], 2),
        read((3, 4), &[0], &[0], 2),
    ];
    assert_wrong_revisions(&under_way, "at its revision {(0, 0)} are there");
}

#[test]
fn a_commit_across_groups_is_whole_at_its_revision() {
    let across = |there: Vec<Register>| {
        let changes = vec![((0, 0), Touch), ((1, 0), Touch)];
        let asked = vec![(0, 0), (1, 0)];
        [
            call((0, 9), Ask::Write(changes), Answer::Written { revision: 2, changed: 2 }),
            call((1, 2), Ask::Read(asked), Answer::Seen { revision: 2, there }),
        ]
    };
    assert_fine(&across(vec![(0, 0), (1, 0)]));
    // Each group for itself has an order; the revision tells.
    assert_wrong_revisions(&across(vec![(1, 0)]), "at its revision");
}

#[test]
fn an_old_revision_may_be_read_as_it_was() {
    let old = |there: Vec<Register>, revision| {
        let asked = Ask::ReadOld(vec![(0, 0)]);
        [
            wrote((0, 1), &[(0, Touch)], 2, 1),
            wrote((2, 3), &[(0, Delete)], 3, 1),
            call((4, 5), asked, Answer::Seen { revision, there }),
            read((6, 7), &[0], &[], 3),
        ]
    };
    assert_fine(&old(vec![(0, 0)], 2));
    assert_fine(&old(vec![], 1));
    assert_wrong_revisions(&old(vec![], 2), "at its revision");
}

// The third opinion.

/// Whether some order of the calls on group 0 explains them: tries them all.
fn has_order(history: &[Call], state: u8, left: u32) -> bool {
    let open = || (0..history.len()).filter(|at| left & 1 << at != 0);
    if open().next().is_none() {
        return true;
    }
    let first_end = open().map(|at| history[at].ended).min().unwrap();
    open().filter(|at| history[*at].begun < first_end).any(|at| {
        after(&history[at], state).is_some_and(|after| has_order(history, after, left & !(1 << at)))
    })
}

/// The state of group 0 after a call, if the call can come there; written anew, from the definition.
fn after(call: &Call, state: u8) -> Option<u8> {
    let is_there = |(_, member): &Register| state >> member & 1 == 1;
    match (&call.ask, &call.answer) {
        (Ask::Read(asked), Answer::Seen { there, .. }) => {
            let seen: Vec<_> = asked.iter().copied().filter(is_there).collect();
            (seen == *there).then_some(state)
        }
        (Ask::Write(changes), answer) => {
            let refused = changes.iter().any(|(r, c)| *c == Create && is_there(r));
            match answer {
                Answer::Exists => refused.then_some(state),
                Answer::Written { changed, .. } if !refused => {
                    let idle = idle(changes, is_there);
                    let mut next = state;
                    for ((_, member), change) in changes {
                        next &= !(1 << member);
                        next |= u8::from(*change != Delete) << member;
                    }
                    (*changed == (changes.len() - idle) as u64).then_some(next)
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// How many of these changes find what they would make.
fn idle(changes: &[(Register, Change)], is_there: impl Fn(&Register) -> bool) -> usize {
    changes.iter().filter(|(r, c)| (*c == Delete) != is_there(r)).count()
}

/// A few calls at random times whose answers are those of some order, or nearly.
fn random_history(random: &mut fastrand::Rng, calls: usize, members: usize) -> Vec<Call> {
    let mut times: Vec<u64> = (0..2 * calls as u64).collect();
    let mut history = Vec::new();
    for _ in 0..calls {
        // Neighbours in time overlap, the others follow one another.
        let begun = times.remove(0);
        let ended = times.remove(random.usize(..times.len().min(5)));
        let mut all: Vec<usize> = (0..members).collect();
        random.shuffle(&mut all);
        all.truncate(random.usize(1..=members));
        let registers: Vec<Register> = all.iter().map(|member| (0, *member)).collect();
        let ask = if random.bool() {
            Ask::Read(registers)
        } else {
            let change = |r| (r, *random.choice([Create, Touch, Delete].iter()).unwrap());
            Ask::Write(registers.into_iter().map(change).collect())
        };
        history.push(call((begun, ended), ask, Answer::Exists));
    }
    answer_in_some_order(&mut history, random);
    if random.bool() {
        spoil(&mut history, random);
    }
    history
}

/// Gives each call the answer that it has in an order that time allows.
fn answer_in_some_order(history: &mut [Call], random: &mut fastrand::Rng) {
    let mut state: u8 = 0;
    let mut left: Vec<usize> = (0..history.len()).collect();
    let mut revision = 1;
    while !left.is_empty() {
        let first_end = left.iter().map(|at| history[*at].ended).min().unwrap();
        let next: Vec<usize> =
            (0..left.len()).filter(|i| history[left[*i]].begun < first_end).collect();
        let at = left.remove(*random.choice(&next).unwrap());
        let is_there = |(_, member): &Register| state >> member & 1 == 1;
        let answer = match &history[at].ask {
            Ask::Read(asked) | Ask::ReadOld(asked) => {
                let there = asked.iter().copied().filter(is_there).collect();
                Answer::Seen { revision, there }
            }
            Ask::Write(changes) if changes.iter().any(|(r, c)| *c == Create && is_there(r)) => {
                Answer::Exists
            }
            Ask::Write(changes) => {
                let idle = idle(changes, is_there);
                let changed = (changes.len() - idle) as u64;
                revision += u64::from(changed > 0);
                Answer::Written { revision, changed }
            }
        };
        history[at].answer = answer;
        if matches!(history[at].answer, Answer::Written { .. }) {
            state = after(&history[at], state).unwrap();
        }
    }
}

/// Makes one answer another one.
fn spoil(history: &mut [Call], random: &mut fastrand::Rng) {
    let at = random.usize(..history.len());
    let Call { ask, answer, .. } = &mut history[at];
    match (ask, answer) {
        (Ask::Read(asked), Answer::Seen { there, .. }) => {
            let flipped = asked[random.usize(..asked.len())];
            let was = there.contains(&flipped);
            let seen = |r: &Register| if *r == flipped { !was } else { there.contains(r) };
            *there = asked.iter().copied().filter(seen).collect();
        }
        (_, Answer::Written { changed, .. }) => *changed = changed.wrapping_sub(1),
        (Ask::Write(changes), answer) => {
            *answer = Answer::Written { revision: 2, changed: changes.len() as u64 };
        }
        _ => {}
    }
}

#[test]
fn the_search_agrees_with_trying_every_order() {
    let (mut fine, mut wrong) = (0, 0);
    for seed in 0..4_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let calls = random.usize(1..=7);
        let history = random_history(&mut random, calls, 2);
        let expected = has_order(&history, 0, (1 << calls) - 1);
        let found = search::check(&history, 1);
        assert_eq!(found.is_ok(), expected, "seed {seed}: {history:#?} {found:?}");
        *(if expected { &mut fine } else { &mut wrong }) += 1;
    }
    assert!(fine > 500 && wrong > 500, "{fine} fine, {wrong} wrong");
}

#[test]
fn long_histories_are_judged_too() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut found = 0;
    for _ in 0..20 {
        let mut history = random_history(&mut random, 1_000, super::history::MEMBERS);
        answer_in_some_order(&mut history, &mut random);
        assert_eq!(search::check(&history, 1), Ok(()));
        assert_eq!(revisions::check(&history, 1), Ok(()));
        spoil(&mut history, &mut random);
        found += u32::from(search::check(&history, 1).is_err());
    }
    assert!(found > 10, "only {found} of 20 mistakes were found");
}
