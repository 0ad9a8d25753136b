//! Who writes at present, and how long a group waits for them. Callers that write again and again come in two halves
//! otherwise: one is made durable while the other is answered and comes back, and each sync serves half of them.
//! Knows no commit.

use std::time::Duration;

/// Of the time that the last group took to be made durable, such a part is waited at most: what is lost by it where
/// nobody comes back.
const PART: u32 = 8;
/// And not more than this: waiting takes a processor.
const LONGEST_WAIT: Duration = Duration::from_millis(1);

/// Those who write again and again, as far as it shows.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Company {
    callers: usize,
    patience: Duration,
}

impl Company {
    /// So many are being answered, whose group took so long, and so many wait.
    pub(super) fn of(answered: usize, waiting: usize, took: Duration) -> Self {
        let patience = (took / PART).min(LONGEST_WAIT);
        Self { callers: answered.saturating_add(waiting), patience }
    }

    /// How long a group of so many waits for others in all. `None`: they are all there.
    pub(super) fn patience_with(&self, group: usize) -> Option<Duration> {
        (group < self.callers).then_some(self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_those_who_were_answered_and_those_who_waited_and_not_for_long() {
        let took = Duration::from_micros(240);
        let both = Company::of(40, 24, took);
        assert_eq!(both.patience_with(63), Some(Duration::from_micros(30)));
        assert_eq!(both.patience_with(64), None);
        assert_eq!(Company::of(1, 0, took).patience_with(1), None, "one caller is alone");
        assert_eq!(Company::default().patience_with(1), None);
        let slow = Company::of(2, 0, Duration::from_secs(9));
        assert_eq!(slow.patience_with(1), Some(LONGEST_WAIT));
    }
}
