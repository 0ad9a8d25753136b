//! What happened, as the checkers see it: calls on registers, with what came back. Knows no wire.
//!
//! A register is a tuple, there or not. Registers come in groups; a write within one group and a read
//! of a whole group are each a single call on one object, the group.

use std::fmt;

/// Registers of a group. A group's state is a set of those that are there, a bit each.
pub(super) const MEMBERS: usize = 6;

/// A set of registers of one group.
pub(super) type Present = u8;

/// What a write does to one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Refuses the whole write if it is there.
    Create,
    Touch,
    Delete,
}

/// A register: group and member.
pub(super) type Register = (usize, usize);

/// What a call asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// All of these or none; no register twice.
    Write(Vec<(Register, Change)>),
    /// Which of these are there?
    Read(Vec<Register>),
    /// The same of an older revision, which is named in the answer: no news is expected.
    ReadOld(Vec<Register>),
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The write was done, as this revision, and so many of its changes changed something.
    Written { revision: u64, changed: u64 },
    /// The write was refused, as a register to create is there.
    Exists,
    /// The write was refused, and nothing was done.
    NotDone,
    /// Nobody knows whether the write was done, or will be.
    Unknown,
    /// Those that are there, at this revision.
    Seen { revision: u64, there: Vec<Register> },
}

/// A call. The moments are of one clock that all callers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) begun: u64,
    pub(super) ended: u64,
    pub(super) ask: Ask,
    pub(super) answer: Answer,
}

impl Call {
    /// The revision that the answer names.
    pub(super) fn revision(&self) -> Option<u64> {
        match self.answer {
            Answer::Written { revision, .. } | Answer::Seen { revision, .. } => Some(revision),
            Answer::Exists | Answer::NotDone | Answer::Unknown => None,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { begun, ended, ask, answer } = self;
        write!(f, "[{begun}, {ended}] {ask:?} -> {answer:?}")
    }
}
