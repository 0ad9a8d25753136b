//! Who writes at present, and how long a group waits for them. Callers that write again and again come in two halves
//! otherwise: one is made durable while the other is answered and comes back, and each sync serves half of them.
//! Knows no commit.

use std::time::Duration;

/// Of the time that the last group took to be made durable, such a part is waited at most: what is lost by it where
/// nobody comes back.
const PART: u32 = 8;
/// And not more than this: waiting takes a processor.
const LONGEST_WAIT: Duration = Duration::from_millis(1);
/// So many groups do not wait after one that did in vain.
const GROUPS_AFTER_VAIN: u32 = 31;

/// Those who write again and again, as far as it shows.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Company {
    callers: usize,
    patience: Duration,
    /// So many groups do not wait.
    hurried: u32,
}

impl Company {
    /// So many are being answered, whose group took so long, and so many wait.
    pub(super) fn note(&mut self, answered: usize, waiting: usize, took: Duration) {
        *self = Self {
            callers: answered.saturating_add(waiting),
            patience: (took / PART).min(LONGEST_WAIT),
            hurried: self.hurried.saturating_sub(1),
        };
    }

    /// Nobody came who was waited for, or waiting took longer than was meant: who comes does not come back, or the
    /// processors have other work.
    pub(super) fn in_vain(&mut self) {
        self.hurried = GROUPS_AFTER_VAIN + 1;
    }

    /// How long a group of so many waits for others in all. `None`: they are all there, or it is in vain.
    pub(super) fn patience_with(&self, group: usize) -> Option<Duration> {
        (group < self.callers && self.hurried == 0).then_some(self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_those_who_were_answered_and_those_who_waited_and_not_for_long() {
        let took = Duration::from_micros(240);
        let of = |answered, waiting, took| {
            let mut company = Company::default();
            company.note(answered, waiting, took);
            company
        };
        let both = of(40, 24, took);
        assert_eq!(both.patience_with(63), Some(Duration::from_micros(30)));
        assert_eq!(both.patience_with(64), None);
        assert_eq!(of(1, 0, took).patience_with(1), None, "one caller is alone");
        assert_eq!(Company::default().patience_with(1), None);
        assert_eq!(of(2, 0, Duration::from_secs(9)).patience_with(1), Some(LONGEST_WAIT));
    }

    #[test]
    fn after_one_that_waited_in_vain_groups_do_not_wait_for_a_while() {
        let mut company = Company::default();
        let mut note = |is_vain: bool| {
            if is_vain {
                company.in_vain();
            }
            company.note(2, 0, Duration::from_millis(1));
            company.patience_with(1).is_some()
        };
        assert!(note(false) && !note(true));
        let waits: Vec<bool> = (0..GROUPS_AFTER_VAIN).map(|_| note(false)).collect();
        assert_eq!(waits.iter().position(|waits| *waits), Some(waits.len() - 1));
    }
}
