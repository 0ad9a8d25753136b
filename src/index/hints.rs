//! What can be said of a base's tuples in a few bits, so that most questions need not read them: of which objects
//! some set stands in another set, and roughly who stands in the tuples of a scope, by two bytes where these are few and
//! by a Bloom filter where they are many. None is ever wrongly no. Knows no layer.

use std::sync::Arc;

use super::binding::SubjectKey;
use super::names::ObjectId;
use super::rows::{Other, Packed, Row};
use crate::model::form::{Model, NameId, SubjectForm};

/// What tuples of a model use its names for, by their ids.
#[derive(Debug, Clone, Default)]
pub(super) struct NameUses(Arc<[NameUse]>);

#[derive(Debug, Clone, Copy, Default)]
struct NameUse {
    /// Some tuple may carry it as a set.
    is_carried: bool,
    /// It is a role of some type: not only a relation.
    is_role: bool,
}

impl NameUses {
    pub(super) fn of(model: &Model) -> Self {
        let mut uses = vec![NameUse::default(); model.names.len()];
        for role in model.types.iter().flat_map(|def| &def.roles) {
            if let Some(used) = uses.get_mut(role.name.0 as usize) {
                used.is_role = true;
            }
            for form in &role.bound_by {
                if let SubjectForm::Set(_, name) = form
                    && let Some(used) = uses.get_mut(name.0 as usize)
                {
                    used.is_carried = true;
                }
            }
        }
        Self(uses.into())
    }

    /// Of the first three names: a role and a set, a role, and a relation.
    #[cfg(test)]
    pub(super) fn of_each_kind() -> Self {
        let used = |is_carried, is_role| NameUse { is_carried, is_role };
        Self([used(true, true), used(false, true), used(false, false)].into())
    }

    fn of_name(&self, name: NameId) -> NameUse {
        self.0.get(name.0 as usize).copied().unwrap_or_default()
    }
}

/// The objects of which some set stands in a tuple of a role that tuples may carry as a set: a bit for each, up to
/// the last of them.
#[derive(Debug, Default)]
pub(super) struct Nested(Vec<u64>);

impl Nested {
    /// Those of these tuples. Costs a look at each.
    pub(super) fn of(uses: &NameUses, others: &[Other]) -> Self {
        let mut words = Vec::new();
        for other in others.iter().filter(|other| uses.of_name(other.entry.role).is_carried) {
            if let SubjectKey::Set(object, _) = other.subject.subject() {
                let (word, bit) = place(object);
                if words.len() <= word {
                    words.resize(word + 1, 0);
                }
                words.get_mut(word).into_iter().for_each(|word| *word |= bit);
            }
        }
        words.shrink_to_fit();
        Self(words)
    }

    #[inline]
    pub(super) fn has(&self, object: ObjectId) -> bool {
        let (word, bit) = place(object);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// The word, and the bit in it.
fn place(object: ObjectId) -> (usize, u64) {
    ((object.0 / u64::BITS) as usize, 1 << (object.0 % u64::BITS))
}

/// Some subjects, each by a bit that others may have too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crowd(u16);

impl Crowd {
    /// Who stands in these tuples, but for those of relations.
    pub(super) fn of(uses: &NameUses, rows: &[Row]) -> Self {
        let of_roles = rows.iter().filter(|row| uses.of_name(row.role).is_role);
        of_roles.fold(Self::default(), |crowd, row| crowd.with(row.subject))
    }

    /// The same and one more.
    #[must_use]
    #[inline]
    pub fn with(self, subject: Packed) -> Self {
        Self(self.0 | 1 << (subject.fold() % u16::BITS))
    }

    /// Whether somebody may be in both. Never wrongly no.
    #[must_use]
    #[inline]
    pub fn may_meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// So many tuples of a scope are few: two bytes say enough of who stands in them.
pub const FEW_ROWS: usize = 24;
/// Of so many subjects one is wrongly taken for there, some two of a hundred.
const BITS_A_ROW: usize = 12;

/// Who stands in the tuples of a scope that are not few: a Bloom filter in which each subject has two bits of one word.
#[derive(Debug, PartialEq, Eq)]
pub struct Bloom(Box<[u64]>);

impl Bloom {
    /// Of these tuples, but for those of relations.
    pub(super) fn of(uses: &NameUses, rows: &[Row]) -> Self {
        let mut words = vec![0; (rows.len() * BITS_A_ROW).div_ceil(u64::BITS as usize)];
        for row in rows.iter().filter(|row| uses.of_name(row.role).is_role) {
            let (word, bits) = two_bits(row.subject, words.len());
            words.get_mut(word).into_iter().for_each(|word| *word |= bits);
        }
        Self(words.into())
    }

    /// Whether the subject may stand there. Never wrongly no.
    #[must_use]
    #[inline]
    pub fn may_have(&self, subject: Packed) -> bool {
        let (word, bits) = two_bits(subject, self.0.len());
        self.0.get(word).is_some_and(|word| word & bits == bits)
    }
}

/// The word of a subject among so many, and its bits there.
#[inline]
fn two_bits(subject: Packed, words: usize) -> (usize, u64) {
    // The golden ratio's: numbers that follow each other come far apart, in the upper bits.
    let spread = u64::from(subject.fold()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let place = ((spread >> 32) * words as u64) >> 32;
    // Less than the number of words.
    let word = usize::try_from(place).unwrap_or_default();
    (word, 1 << (spread >> 20 & 63) | 1 << (spread >> 26 & 63))
}

#[cfg(test)]
mod tests {
    use super::super::rows::NO_EXTRA;
    use super::*;

    #[test]
    fn whoever_stands_there_is_never_missed_and_few_others_are_taken_for_there() {
        let uses = NameUses::of_each_kind();
        let mut random = fastrand::Rng::with_seed(31);
        for count in [1, 25, 200, 5_000] {
            let mut subject = || {
                let object = ObjectId(random.u32(..1_000_000));
                let set = SubjectKey::Set(object, NameId(3));
                Packed::of(if random.bool() { SubjectKey::Object(object) } else { set })
            };
            let row = |subject| Row { subject, role: NameId(0), extra: NO_EXTRA };
            let rows: Vec<Row> = (0..count).map(|_| row(subject())).collect();
            let (bloom, crowd) = (Bloom::of(&uses, &rows), Crowd::of(&uses, &rows));
            let none = Crowd::default();
            for Row { subject, .. } in &rows {
                assert!(bloom.may_have(*subject) && crowd.may_meet(none.with(*subject)));
            }
            let taken = (0..10_000).filter(|_| bloom.may_have(subject())).count();
            assert!(taken < 600, "{taken} of 10,000 are taken for some of {count}");
            let relations = Bloom::of(&NameUses::default(), &rows);
            assert!(!rows.iter().any(|row| relations.may_have(row.subject)));
        }
        assert!(!Crowd::default().may_meet(Crowd(u16::MAX)));
    }
}
