//! The three values no < unknown < yes, and why one is unknown.

/// A value of the general form. What makes it unknown is carried along, for the answer's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    No,
    Unknown(Why),
    Yes,
}

/// Why a value is unknown: a set of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Why(u8);

impl Why {
    /// A missing name, an evaluation error, or an ambiguous fact: DENY / MISSING_CONTEXT.
    pub(super) const MISSING: Self = Self(1);
    /// Subject sets nested past the limit: an error.
    pub(super) const DEPTH: Self = Self(2);
    /// Too many steps: an error.
    pub(super) const STEPS: Self = Self(4);
    /// Evaluation nested past what a thread's stack holds: an error.
    pub(super) const NESTING: Self = Self(8);
    /// Too many names open at once: an error.
    pub(super) const NAMES: Self = Self(16);

    pub(super) fn has(self, cause: Self) -> bool {
        self.0 & cause.0 != 0
    }

    /// Whether a limit is among the causes.
    pub(super) fn is_limit(self) -> bool {
        self.0 & !Self::MISSING.0 != 0
    }
}

impl Value {
    /// Unknown for want of a name.
    pub(super) const MISSING: Self = Self::Unknown(Why::MISSING);

    pub(super) fn from_bool(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::No, value) | (value, Self::No) => value,
            (Self::Unknown(a), Self::Unknown(b)) => Self::Unknown(Why(a.0 | b.0)),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, value) | (value, Self::Yes) => value,
            (Self::Unknown(a), Self::Unknown(b)) => Self::Unknown(Why(a.0 | b.0)),
        }
    }

    /// No for yes, yes for no, unknown for unknown.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unknown(why) => Self::Unknown(why),
            Self::Yes => Self::No,
        }
    }

    /// Whether the value came about because a limit was hit.
    pub(super) fn is_limited(self) -> bool {
        matches!(self, Self::Unknown(why) if why.is_limit())
    }

    /// The place in the order, without the causes.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::No => 0,
            Self::Unknown(_) => 1,
            Self::Yes => 2,
        }
    }
}
