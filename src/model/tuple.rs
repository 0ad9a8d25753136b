//! The stored fact and a change of it. Knows no model: whether a tuple may be stored is
//! [`admission`](super::admission)'s business.

use std::collections::BTreeMap;
use std::fmt;

use super::names::{Name, Object, ObjectRef, Subject, SubjectRef, SyntaxError};

/// A moment, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

impl Time {
    /// Reads an RFC 3339 text such as `2026-01-01T00:00:00Z`; finer than microseconds is cut off.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // The library also takes a date alone, or a time without a zone: whose midnight?
        let (_, time) = text.split_once(['T', 't'])?;
        if !time.contains(['Z', 'z', '+', '-']) {
            return None;
        }
        let time: prost_types::Timestamp = text.parse().ok()?;
        let micros = time.seconds.checked_mul(1_000_000)?;
        micros.checked_add(i64::from(time.nanos / 1_000)).map(Self)
    }
}

/// The number of a commit: dense, from 1 on; 0 is the empty store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Values for the parameters of conditions: a request's, or those stored on a tuple. JSON, because
/// that is what `google.protobuf.Struct`, YAML and the command line all carry.
pub type Context = BTreeMap<String, serde_json::Value>;

/// The identity of a tuple: `scope#role@subject`, and the other system it came from, if any.
/// `role` is a role, a parent relation, an arrow, or `has`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TupleKey {
    /// Where.
    pub scope: Object,
    /// Which role or relation.
    pub role: Name,
    /// Who.
    pub subject: Subject,
    /// Empty for what is granted here, else the name of the other system.
    pub source: String,
}

impl TupleKey {
    /// Reads `scope#role@subject`, with an empty source. It splits at the first `#`, then at the first
    /// `@` after it.
    ///
    /// # Errors
    /// A separator is missing, or one of the three parts is malformed.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let [scope, role, subject] = Self::parts(text)?;
        Ok(Self {
            scope: Object::parse(scope)?,
            role: Name::parse(role)?,
            subject: Subject::parse(subject)?,
            source: String::new(),
        })
    }

    /// The three texts of what [`parse`](Self::parse) reads. Costs a look at each byte.
    ///
    /// # Errors
    /// The same.
    pub fn split(text: &str) -> Result<[&str; 3], SyntaxError> {
        let [scope, role, subject] = Self::parts(text)?;
        ObjectRef::parse(scope)?;
        Name::check(role)?;
        SubjectRef::parse(subject)?;
        Ok([scope, role, subject])
    }

    fn parts(text: &str) -> Result<[&str; 3], SyntaxError> {
        let wrong = |reason| SyntaxError::new(text, "a tuple `scope#role@subject`", reason);
        let (scope, rest) = text.split_once('#').ok_or_else(|| wrong("there is no `#`"))?;
        let (role, subject) = rest.split_once('@').ok_or_else(|| wrong("there is no `@`"))?;
        Ok([scope, role, subject])
    }
}

impl fmt::Display for TupleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.scope, self.role, self.subject)
    }
}

/// A condition on a tuple, with the values stored beside it. They win over the request's.
#[derive(Debug, Clone, PartialEq)]
pub struct TupleCondition {
    /// The condition's name in the model.
    pub name: Name,
    /// Values for some of its parameters.
    pub context: Context,
}

/// A stored fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuple {
    /// Its identity.
    pub key: TupleKey,
    /// From this moment on it is absent; `None`: it stays.
    pub expires_at: Option<Time>,
    /// What must hold for it to count; `None`: nothing.
    pub condition: Option<TupleCondition>,
    /// Who gave it, if somebody said so; only carried.
    pub grantor: String,
    /// Why, if somebody said so; only carried.
    pub reason: String,
    /// When it was granted, if that is known; only carried.
    pub granted_at: Option<Time>,
}

impl Tuple {
    /// A tuple that stays, without a condition.
    #[must_use]
    pub fn plain(key: TupleKey) -> Self {
        Self {
            key,
            expires_at: None,
            condition: None,
            grantor: String::new(),
            reason: String::new(),
            granted_at: None,
        }
    }

    /// Whether it counts at this moment: `now < expires_at`.
    #[must_use]
    pub fn is_live(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

/// One change of the stored tuples, as a commit holds it: what to do is decided already.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Store this tuple, in place of one with the same key.
    Put(Tuple),
    /// Remove the tuple with this key.
    Delete(TupleKey),
}
