//! A model that is proposed, what became of it, and why it may be refused. Knows neither where a model
//! comes from nor how it is put in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::index::HierarchyError;
use crate::model::form::Model;
use crate::model::limits::{MISFITS_COUNTED_MAX, MISFITS_NAMED_MAX, REFUSAL_BYTES_MAX};
use crate::model::names::quoted;
use crate::model::tuple::{Time, TupleKey};
use crate::model::{Problems, SourceFiles, load};
use crate::store::{ModelFiles, ModelSince, StoreError};

/// A compiled model that is to be put in force, with the files that the store keeps of it.
#[derive(Debug, Clone)]
pub struct Proposal {
    pub(super) model: Arc<Model>,
    pub(super) files: Arc<ModelFiles>,
}

impl Proposal {
    /// A model, and the files that it was compiled from.
    #[must_use]
    pub fn new(model: Model, files: ModelFiles) -> Self {
        Self { model: Arc::new(model), files: Arc::new(files) }
    }

    /// Compiles a model. Keeps those of the files that it is made of: scenarios decide nothing.
    ///
    /// # Errors
    /// Every problem of the model.
    pub fn compile(files: &SourceFiles) -> Result<Self, Problems> {
        let model = load(files, &BTreeMap::new())?;
        let files = stored_files(files, &model);
        Ok(Self::new(model, files))
    }

    /// The digest of the model.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.files.digest
    }
}

/// The files of a model as the store keeps them.
#[must_use]
pub fn stored_files(files: &SourceFiles, model: &Model) -> ModelFiles {
    let pair = |name: &String| Some((name.clone(), files.get(name)?.to_owned()));
    ModelFiles {
        digest: model.digest.clone(),
        files: model.files.iter().filter_map(pair).collect(),
    }
}

/// Why a proposed model was not put in force. The one that was stays, and nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// Stored tuples do not fit it.
    #[error("{0}")]
    Misfits(Misfits),
    /// Stored parent edges break a rule that it has for the hierarchy.
    #[error("the stored tuples break a rule of the model's hierarchy: {0}")]
    Hierarchy(HierarchyError),
    /// Its files take more room than a commit has.
    #[error("the model takes {bytes} bytes in a commit, the limit is {limit}")]
    TooLarge {
        /// Their size, encoded.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// Object ids are used up.
    #[error("the store holds more objects than the index has ids for")]
    IndexFull,
    /// Something that should never fail did.
    #[error("the service failed: {0}")]
    Fault(&'static str),
    /// The store failed, or the service is stopping. The words are for the log: they name paths.
    #[error("the store cannot take it: {0}")]
    Unavailable(String),
    /// The sync failed: after a restart it may be in force. Nothing more is written until then.
    #[error("whether it is in force after a restart is unknown: {0}")]
    OutcomeUnknown(String),
}

impl From<StoreError> for ProposalError {
    /// What an append says.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::CommitTooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            error @ (StoreError::Conflict { .. }
            | StoreError::Latched { .. }
            | StoreError::Unwritten { .. }) => Self::Unavailable(error.to_string()),
            StoreError::Unstorable { .. } => Self::Fault("the model cannot be stored"),
            error => Self::OutcomeUnknown(error.to_string()),
        }
    }
}

impl ProposalError {
    /// Whether it is no fault of the model: then the store takes nothing more.
    pub(super) fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::OutcomeUnknown(_))
    }

    /// The reason as callers may read it.
    fn public(&self) -> String {
        match self {
            Self::Unavailable(_) => "the store cannot take it; the log says why".to_owned(),
            Self::OutcomeUnknown(_) => {
                "the store failed; whether it is in force after a restart is unknown".to_owned()
            }
            error => error.to_string(),
        }
    }
}

/// Live tuples that a model does not admit: how many, and the first of them by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfits {
    count: usize,
    named: BTreeMap<TupleKey, String>,
}

impl Misfits {
    /// Counts one more. The reason is made only where it may be told: it costs more than to find the
    /// misfit.
    pub(super) fn note(&mut self, key: &TupleKey, reason: impl FnOnce() -> String) {
        self.count += 1;
        let is_full = self.named.len() >= MISFITS_NAMED_MAX;
        if is_full && self.named.last_key_value().is_some_and(|(last, _)| last < key) {
            return;
        }
        self.named.insert(key.clone(), reason());
        if is_full {
            self.named.pop_last();
        }
    }

    /// How many there are; [`MISFITS_COUNTED_MAX`] if there are more.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether it makes no sense to look for more.
    pub(super) fn is_full(&self) -> bool {
        self.count >= MISFITS_COUNTED_MAX
    }

    pub(super) fn refusal(self) -> Result<(), ProposalError> {
        if self.count == 0 { Ok(()) } else { Err(ProposalError::Misfits(self)) }
    }
}

impl std::fmt::Display for Misfits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let more = if self.is_full() { " or more" } else { "" };
        match self.count {
            1 => f.write_str("1 stored tuple does not fit the model")?,
            count => write!(f, "{count}{more} stored tuples do not fit the model")?,
        }
        for (at, (key, reason)) in self.named.iter().enumerate() {
            let lead = if at == 0 { ":" } else { ";" };
            write!(f, "{lead} `{}`: {reason}", quoted(&key.to_string()))?;
        }
        if self.count > self.named.len() { f.write_str("; ...") } else { Ok(()) }
    }
}

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastProposal {
    /// The model's digest; empty if it could not be compiled.
    pub digest: String,
    /// When it was decided.
    pub time: Time,
    /// Why it was refused; `None`: it was accepted.
    pub refusal: Option<String>,
}

impl LastProposal {
    pub(super) fn accepted(digest: String, time: Time) -> Self {
        Self { digest, time, refusal: None }
    }

    pub(super) fn refused(digest: String, time: Time, error: &ProposalError) -> Self {
        Self { digest, time, refusal: Some(cut(error.public())) }
    }

    /// There was no model to speak of.
    pub(super) fn faulty(time: Time, reason: String) -> Self {
        Self { digest: String::new(), time, refusal: Some(cut(reason)) }
    }

    /// Whether it is in force, or was.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.refusal.is_none()
    }
}

/// Names may be many and long: the status is answered in one message.
fn cut(mut reason: String) -> String {
    if reason.len() > REFUSAL_BYTES_MAX {
        reason.truncate(reason.floor_char_boundary(REFUSAL_BYTES_MAX));
        reason.push_str("...");
    }
    reason
}

/// The model in force, and what became of the last proposal since the service started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStatus {
    /// The name that its author gave it.
    pub name: String,
    /// Its digest.
    pub digest: String,
    /// From which commit on; `None`: the store does not say.
    pub since: Option<ModelSince>,
    /// The last proposal; `None`: there was none.
    pub last_proposal: Option<LastProposal>,
}

impl ModelStatus {
    /// Whether the last proposal, if there was one, is the model in force.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.last_proposal.as_ref().is_none_or(LastProposal::is_accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_misfits_are_named_whatever_their_order() {
        let key = |i: usize| TupleKey::parse(&format!("org:o{i:02}#admin@user:ana")).unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..100 {
            let mut order: Vec<usize> = (0..20).collect();
            random.shuffle(&mut order);
            let mut misfits = Misfits::default();
            order.iter().for_each(|i| misfits.note(&key(*i), || format!("reason {i}")));
            let named: Vec<_> = misfits.named.clone().into_iter().collect();
            let first = (0..MISFITS_NAMED_MAX).map(|i| (key(i), format!("reason {i}")));
            assert_eq!((misfits.count(), named), (20, first.collect()));
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        for (text, cut_to) in [("x", REFUSAL_BYTES_MAX), ("\u{20ac}", REFUSAL_BYTES_MAX - 1)] {
            let last = LastProposal::faulty(Time(0), text.repeat(REFUSAL_BYTES_MAX + 1));
            let reason = last.refusal.unwrap();
            assert_eq!(reason.len(), cut_to + 3, "{text}");
            assert!(reason.ends_with("..."));
        }
        let short = LastProposal::faulty(Time(0), "x".repeat(REFUSAL_BYTES_MAX));
        assert_eq!(short.refusal.unwrap().len(), REFUSAL_BYTES_MAX);
    }
}
