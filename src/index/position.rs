//! A place among the tuples of a snapshot, and its bytes: what a list remembers to go on after it.

use super::binding::SubjectKey;
use super::names::ObjectId;
use super::part::{ByScope, Position};
use crate::model::form::{NameId, TypeId};

const OBJECT: u8 = 0;
const ALL: u8 = 1;
const SET: u8 = 2;

impl Position {
    /// The length of the bytes.
    pub const BYTES: usize = 21;

    /// The bytes that [`from_bytes`](Self::from_bytes) reads. They say nothing outside this process.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let ByScope { scope, role, subject, source } = self.0;
        let (kind, object, name) = match subject {
            SubjectKey::Object(object) => (OBJECT, object.0, 0),
            SubjectKey::All(of) => (ALL, u32::from(of.0), 0),
            SubjectKey::Set(object, name) => (SET, object.0, name.0),
        };
        let numbers = [scope.0, role.0, object, name, source].map(u32::to_be_bytes);
        let mut bytes = [kind; Self::BYTES];
        bytes.iter_mut().zip(numbers.as_flattened()).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// The position of these bytes. `None`: they are no position's.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, numbers) = bytes.split_last()?;
        let (numbers, rest) = numbers.as_chunks::<4>();
        let [scope, role, object, name, source] = *<&[_; 5]>::try_from(numbers).ok()?;
        let [scope, role, object, name, source] =
            [scope, role, object, name, source].map(u32::from_be_bytes);
        let subject = match *kind {
            OBJECT => SubjectKey::Object(ObjectId(object)),
            ALL => SubjectKey::All(TypeId(u16::try_from(object).ok()?)),
            SET => SubjectKey::Set(ObjectId(object), NameId(name)),
            _ => return None,
        };
        let (scope, role) = (ObjectId(scope), NameId(role));
        rest.is_empty().then_some(Self(ByScope { scope, role, subject, source }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_as_it_was_written() {
        for subject in [
            SubjectKey::Object(ObjectId(7)),
            SubjectKey::All(TypeId(u16::MAX)),
            SubjectKey::Set(ObjectId(u32::MAX), NameId(3)),
        ] {
            let (scope, role) = (ObjectId(0x0102_0304), NameId(u32::MAX));
            let position = Position(ByScope { scope, role, subject, source: 9 });
            let bytes = position.to_bytes();
            assert_eq!(Position::from_bytes(&bytes), Some(position));
            assert_eq!(Position::from_bytes(&bytes[1..]), None);
            assert_eq!(Position::from_bytes(&[&bytes[..], &[0]].concat()), None);
        }
        assert_eq!(Position::from_bytes(&[9; Position::BYTES]), None);
        assert_eq!(Position::from_bytes(&[]), None);
    }
}
