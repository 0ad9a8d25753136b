//! Where in its life the service is. Knows no request and no listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where in its life a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It reads its store and answers nothing.
    Recovering,
    /// It answers.
    Serving,
    /// It answers what is under way, and stops.
    Draining,
}

impl Stage {
    /// In one word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Recovering => "recovering",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// The stage, as others see it.
#[derive(Debug, Clone, Default)]
pub(super) struct CurrentStage(Arc<AtomicU8>);

impl CurrentStage {
    pub(super) fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Recovering,
            1 => Stage::Serving,
            _ => Stage::Draining,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_what_it_was_set_to() {
        let current = CurrentStage::default();
        assert_eq!(current.get(), Stage::Recovering);
        for stage in [Stage::Serving, Stage::Draining, Stage::Recovering] {
            current.set(stage);
            assert_eq!(current.get(), stage);
        }
    }
}
