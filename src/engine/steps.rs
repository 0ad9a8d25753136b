//! What a question has cost: nodes of the form, and tuples looked at. Knows no value of any of them.

use super::eval::Eval;
use super::value::{Value, Why};
use crate::model::limits::CHECK_STEPS_MAX;

/// The steps taken, and the most that may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    taken: u64,
    most: u64,
}

impl Default for Steps {
    fn default() -> Self {
        Self { taken: 0, most: CHECK_STEPS_MAX }
    }
}

impl Steps {
    /// None taken, and so many at most.
    pub(super) fn within(most: u64) -> Self {
        Self { taken: 0, most: most.min(CHECK_STEPS_MAX) }
    }

    /// How many are left; `None` if more were wanted than there were.
    pub(super) fn left(self) -> Option<u64> {
        self.most.checked_sub(self.taken)
    }

    /// How many were taken.
    pub(super) fn taken(self) -> u64 {
        self.taken
    }

    pub(super) fn add(&mut self, steps: u64) {
        self.taken = self.taken.saturating_add(steps);
    }
}

impl Eval<'_> {
    /// Counts a step; a value if it is one too many.
    pub(super) fn step(&mut self) -> Option<Value> {
        self.look().err().map(Value::Unknown)
    }

    /// The same, for whoever gathers and has no value to give.
    ///
    /// # Errors
    /// It is one too many.
    pub(super) fn look(&mut self) -> Result<(), Why> {
        self.steps.add(1);
        if self.steps.taken > self.steps.most { Err(Why::STEPS) } else { Ok(()) }
    }
}
