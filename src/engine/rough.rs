//! A set in one word that is never wrongly without somebody: what most of those who are asked about are not in
//! shows it in one look. Knows not what it is of.

use crate::index::Packed;
use crate::model::form::NameId;

/// Of each member a bit, which others may have too.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rough(u64);

/// What has a bit: the same for the same.
pub(super) trait Slot: Copy {
    /// Its place; only the last six bits count.
    fn slot(self) -> u32;
}

impl Slot for NameId {
    #[inline]
    fn slot(self) -> u32 {
        self.0
    }
}

impl Slot for Packed {
    #[inline]
    fn slot(self) -> u32 {
        self.fold()
    }
}

impl Rough {
    pub(super) fn of<T: Slot>(members: impl IntoIterator<Item = T>) -> Self {
        members.into_iter().fold(Self::default(), Self::with)
    }

    /// The same and one more.
    #[inline]
    pub(super) fn with<T: Slot>(self, member: T) -> Self {
        Self(self.0 | 1 << (member.slot() & 63))
    }

    /// Whether it may be a member. Never wrongly no.
    #[inline]
    pub(super) fn may_have<T: Slot>(self, member: T) -> bool {
        self.0 >> (member.slot() & 63) & 1 != 0
    }
}
