//! Idempotency keys: what one is, which request it stands for, and which are remembered. Knows neither
//! the log nor a snapshot.
//!
//! Invariant *from the log alone*: which keys are remembered after a commit follows from the commits up
//! to it. So a process that starts anew, from a checkpoint or not, and a follower remember the same.

use std::collections::HashMap;

use imbl::Vector;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::delegation::{DelegatedChange, DelegatedRequest, Parent};
use super::error::Must;
use super::request::{Precondition, WriteChange, WriteRequest};
use crate::index::KeepOne;
use crate::model::limits::{
    IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEY_SECONDS, IDEMPOTENCY_KEYS_MAX,
};
use crate::model::names::{Subject, SyntaxError};
use crate::model::tuple::{Context, Time, Tuple, TupleKey};
use crate::store::{Commit, Fingerprint, Head, KeyedCommit, KeyedRequest};

/// A caller's name for one request. Only its fingerprint is kept, so that each takes the same room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdempotencyKey(Fingerprint);

impl IdempotencyKey {
    /// Reads 1 to 128 bytes of printable ASCII, the space included.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        const _: () = assert!(IDEMPOTENCY_KEY_BYTES_MAX == 128);
        let wrong = |reason| {
            Err(SyntaxError::new(
                text,
                "an idempotency key of 1 to 128 printable ASCII bytes",
                reason,
            ))
        };
        if text.is_empty() {
            return wrong("it is empty");
        }
        if text.len() > IDEMPOTENCY_KEY_BYTES_MAX {
            return wrong("it is longer");
        }
        if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return wrong("it has another character");
        }
        let mut canon = Canon::new("bailiwick key 1");
        canon.text(text);
        Ok(Self(canon.fingerprint()))
    }

    pub(super) fn fingerprint(self) -> Fingerprint {
        self.0
    }
}

/// The fingerprint of what a request does, which is all of it but the key and whether it is only
/// validated. It is stored: what it is made of must not change, and a later field of the request adds
/// to it only where it is set.
pub(super) fn body_of(request: &WriteRequest) -> Fingerprint {
    let WriteRequest { changes, preconditions, keep_one, key: _, validate_only: _ } = request;
    let mut canon = Canon::new("bailiwick write 1");
    canon.count(changes.len());
    for change in changes {
        match change {
            WriteChange::Create(tuple) => canon.byte(1).tuple(tuple),
            WriteChange::Touch(tuple) => canon.byte(2).tuple(tuple),
            WriteChange::Delete(key) => canon.byte(3).key(key),
        }
    }
    canon.count(preconditions.len());
    for Precondition { must, filter } in preconditions {
        canon.byte(match must {
            Must::Match => 1,
            Must::NotMatch => 2,
        });
        let super::TupleFilter { scope_type, scope, role, subject_type, subject, source } = filter;
        for field in [scope_type, scope, role, subject_type, subject, source] {
            canon.optional(field.as_deref());
        }
    }
    if *keep_one == KeepOne::Waived {
        canon.byte(1);
    }
    canon.fingerprint()
}

/// The same of a delegated request. No changes of tuples have it.
pub(super) fn body_of_delegated(request: &DelegatedRequest) -> Fingerprint {
    let DelegatedRequest { actor, target, scope, change, context, key: _ } = request;
    let mut canon = Canon::new("bailiwick delegated 1");
    for text in [actor.as_str(), &target.to_string(), scope.as_str()] {
        canon.text(text);
    }
    match change {
        DelegatedChange::Grant { role, expires_at, reason, parent } => {
            canon.byte(1).text(role.as_str());
            canon.end(*expires_at).text(reason);
            canon.byte(u8::from(parent.is_some()));
            if let Some(Parent { relation, object }) = parent {
                canon.text(relation.as_str());
                canon.text(object.as_str());
            }
        }
        DelegatedChange::Revoke { role } => canon.byte(2).text(role.as_str()),
        DelegatedChange::Replace { role, new_role, expires_at, reason } => {
            canon.byte(3).text(role.as_str());
            canon.text(new_role.as_str());
            canon.end(*expires_at).text(reason);
        }
    }
    canon.context(context.values());
    canon.fingerprint()
}

/// Begins what only some tuples have. What can follow a tuple without it, a change or the count of
/// preconditions, begins otherwise.
const GRANTED_AT: u8 = 9;

/// Values in a form in which no two different sequences of them are the same bytes.
struct Canon(Sha256);

impl Canon {
    fn new(what: &str) -> Self {
        let mut canon = Self(Sha256::new());
        canon.text(what);
        canon
    }

    fn fingerprint(self) -> Fingerprint {
        let digest = self.0.finalize();
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Fingerprint(bytes)
    }

    fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.update([byte]);
        self
    }

    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text);
    }

    fn optional(&mut self, text: Option<&str>) {
        self.byte(u8::from(text.is_some()));
        if let Some(text) = text {
            self.text(text);
        }
    }

    fn end(&mut self, end: Option<Time>) -> &mut Self {
        self.byte(u8::from(end.is_some()));
        if let Some(Time(end)) = end {
            self.0.update(end.to_be_bytes());
        }
        self
    }

    fn context(&mut self, context: &Context) {
        self.count(context.len());
        for (name, value) in context {
            self.text(name);
            self.value(value);
        }
    }

    fn key(&mut self, key: &TupleKey) {
        let TupleKey { scope, role, subject, source } = key;
        self.text(scope.as_str());
        self.text(role.as_str());
        match subject {
            // Mostly, and ten thousand times in an import's commit.
            Subject::Object(object) => self.text(object.as_str()),
            other => self.text(&other.to_string()),
        }
        self.text(source);
    }

    fn tuple(&mut self, tuple: &Tuple) {
        let Tuple { key, expires_at, condition, grantor, reason, granted_at } = tuple;
        self.key(key);
        self.end(*expires_at);
        self.byte(u8::from(condition.is_some()));
        if let Some(condition) = condition {
            self.text(condition.name.as_str());
            self.context(&condition.context);
        }
        self.text(grantor);
        self.text(reason);
        // A later field: after all others, and where it is set alone.
        if let Some(Time(at)) = granted_at {
            self.byte(GRANTED_AT).0.update(at.to_be_bytes());
        }
    }

    /// The recursion ends where the edge of the API bounds the nesting.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => drop(self.byte(0)),
            Value::Bool(value) => drop(self.byte(1).byte(u8::from(*value))),
            Value::Number(number) => self.byte(2).text(&number.to_string()),
            Value::String(text) => self.byte(3).text(text),
            Value::Array(items) => {
                self.byte(4).count(items.len());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Object(fields) => {
                self.byte(5).count(fields.len());
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_unstable_by_key(|(name, _)| *name);
                for (name, value) in fields {
                    self.text(name);
                    self.value(value);
                }
            }
        }
    }
}

/// The commits whose requests may be repeated. What must be remembered is a run of the log, so they
/// stand in its order, and the oldest is forgotten first.
#[derive(Debug)]
pub(super) struct KeyedCommits {
    /// Persistent: a checkpoint is written from a clone, which costs nothing.
    commits: Vector<KeyedCommit>,
    /// How many were forgotten: the number of the first of `commits`.
    forgotten: u64,
    /// Of each key, the number of its commit.
    numbers: HashMap<Fingerprint, u64>,
    max: usize,
}

impl Default for KeyedCommits {
    fn default() -> Self {
        Self::with_max(IDEMPOTENCY_KEYS_MAX)
    }
}

impl KeyedCommits {
    fn with_max(max: usize) -> Self {
        Self { commits: Vector::new(), forgotten: 0, numbers: HashMap::new(), max }
    }

    /// The commit of this key, if it is still kept at this moment.
    pub(super) fn find(&self, key: Fingerprint, now: Time) -> Option<&KeyedCommit> {
        let place = self.numbers.get(&key)?.checked_sub(self.forgotten)?;
        let commit = self.commits.get(usize::try_from(place).ok()?)?;
        is_kept(commit, now).then_some(commit)
    }

    /// Takes note of a durable commit: of its key, and of the time that has passed.
    pub(super) fn note(&mut self, head: Head, commit: &Commit) {
        self.note_request(head, commit.time, commit.request);
    }

    /// The same of a commit at this time, for this request.
    pub(super) fn note_request(&mut self, head: Head, time: Time, request: Option<KeyedRequest>) {
        while self.commits.front().is_some_and(|oldest| !is_kept(oldest, time)) {
            self.forget_oldest();
        }
        if let Some(request) = request {
            self.keep(KeyedCommit { request, head, time });
        }
    }

    /// Keeps a commit that is newer than all before it.
    pub(super) fn keep(&mut self, commit: KeyedCommit) {
        while self.commits.len() >= self.max {
            self.forget_oldest();
        }
        let number = self.forgotten.saturating_add(self.commits.len() as u64);
        self.numbers.insert(commit.request.key, number);
        self.commits.push_back(commit);
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Vector<KeyedCommit> {
        self.commits.clone()
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.commits.pop_front() else { return };
        // A newer commit may have the key by now.
        if self.numbers.get(&oldest.request.key) == Some(&self.forgotten) {
            self.numbers.remove(&oldest.request.key);
        }
        self.forgotten = self.forgotten.saturating_add(1);
    }
}

fn is_kept(commit: &KeyedCommit, now: Time) -> bool {
    const LIFE_MICROS: i64 = IDEMPOTENCY_KEY_SECONDS.cast_signed() * 1_000_000;
    now.0.saturating_sub(commit.time.0) < LIFE_MICROS
}

#[cfg(test)]
mod tests;
