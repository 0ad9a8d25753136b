//! Requests in a few words, and what each must be answered: a second opinion by the plainest means.

use std::collections::{BTreeMap, BTreeSet};

use bailiwick::model::tuple::TupleKey;
use bailiwick::pdp::{
    IdempotencyKey, Must, Precondition, Token, TupleFilter, WriteChange, WriteError, WriteRequest,
    Written,
};

use crate::support::{create, touch};

/// A request: its key, and words: `+t` create, `=t` touch, `-t` delete, `?s#r` must match, `!s#r` must
/// not match, `only` to be validated only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) key: &'static str,
    pub(super) words: Vec<String>,
}

pub(super) fn ask(key: &'static str, words: &str) -> Ask {
    Ask { key, words: words.split(' ').map(str::to_owned).collect() }
}

impl Ask {
    pub(super) fn request(&self) -> WriteRequest {
        let key = (!self.key.is_empty()).then(|| IdempotencyKey::parse(self.key).unwrap());
        let mut request = WriteRequest { key, ..WriteRequest::default() };
        for word in &self.words {
            let Some((verb, rest)) = word.split_at_checked(1) else { panic!("{word}") };
            let must = |must| {
                let (scope, role) = rest.split_once('#').unwrap();
                let (scope, role) = (Some(scope.to_owned()), Some(role.to_owned()));
                Precondition { must, filter: TupleFilter { scope, role, ..TupleFilter::default() } }
            };
            match verb {
                "+" => request.changes.push(create(rest)),
                "=" => request.changes.push(touch(rest)),
                "-" => {
                    request.changes.push(WriteChange::Delete(TupleKey::parse(rest).unwrap()));
                }
                "?" => request.preconditions.push(must(Must::Match)),
                "!" => request.preconditions.push(must(Must::NotMatch)),
                _ => request.validate_only = true,
            }
        }
        request
    }

    pub(super) fn is_validated_only(&self) -> bool {
        self.words.iter().any(|word| word == "only")
    }
}

/// What a request is answered: its revision and how many changes, or the reason.
pub(super) type Answer = Result<(u64, usize), &'static str>;

pub(super) fn answer_of(outcome: &Result<Written, WriteError>) -> Answer {
    match outcome {
        Ok(written) => Ok((written.token.revision.0, written.changed)),
        Err(WriteError::AlreadyExists { .. }) => Err("exists"),
        Err(WriteError::PreconditionFailed { .. }) => Err("precondition"),
        Err(WriteError::KeyReused { .. }) => Err("reused"),
        Err(WriteError::Unavailable(_)) => Err("unavailable"),
        Err(WriteError::OutcomeUnknown(_)) => Err("unknown"),
        Err(other) => panic!("{other}"),
    }
}

/// What must be so, kept by the plainest means.
#[derive(Debug, Clone, Default)]
pub(super) struct Truth {
    pub(super) tuples: BTreeSet<String>,
    pub(super) head: u64,
    pub(super) keys: BTreeMap<&'static str, First>,
}

/// The request that a key stands for.
#[derive(Debug, Clone)]
pub(super) struct First {
    pub(super) words: Vec<String>,
    pub(super) answer: (u64, usize),
    /// Once it is known.
    pub(super) token: Option<Token>,
}

/// What makes a request's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// A commit of its own.
    Own,
    /// The commit of this revision, which it repeats.
    Repeat(u64),
    /// None.
    Nothing,
}

/// What becomes of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Durable,
    /// Its append failed.
    Unknown,
    /// The store did not take it.
    Unwritten,
}

impl Truth {
    pub(super) fn judge(&self, ask: &Ask) -> (Answer, By) {
        if let Some(First { words, answer, .. }) = self.keys.get(ask.key) {
            if *words != ask.words {
                return (Err("reused"), By::Nothing);
            }
            return (Ok(*answer), By::Repeat(answer.0));
        }
        let mut changed = 0;
        for word in &ask.words {
            let (verb, rest) = word.split_at(1);
            let matches = || self.tuples.iter().any(|tuple| tuple.starts_with(&format!("{rest}@")));
            match verb {
                "?" if !matches() => return (Err("precondition"), By::Nothing),
                "!" if matches() => return (Err("precondition"), By::Nothing),
                "+" if self.tuples.contains(rest) => return (Err("exists"), By::Nothing),
                "-" => changed += usize::from(self.tuples.contains(rest)),
                "=" => changed += usize::from(!self.tuples.contains(rest)),
                "+" => changed += 1,
                _ => {}
            }
        }
        if ask.is_validated_only() || (changed == 0 && ask.key.is_empty()) {
            return (Ok((self.head, changed)), By::Nothing);
        }
        (Ok((self.head + 1, changed)), By::Own)
    }

    /// Commits what was judged to be.
    pub(super) fn apply(&mut self, ask: &Ask, answer: (u64, usize)) {
        for word in &ask.words {
            match word.split_at(1) {
                ("+" | "=", tuple) => drop(self.tuples.insert(tuple.to_owned())),
                ("-", tuple) => drop(self.tuples.remove(tuple)),
                _ => {}
            }
        }
        self.head = answer.0;
        if !ask.key.is_empty() {
            let words = ask.words.clone();
            self.keys.insert(ask.key, First { words, answer, token: None });
        }
    }
}
