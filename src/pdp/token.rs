//! A revision as a caller carries it: store id, lineage, revision, checksum.

use std::fmt;
use std::sync::Arc;

use crate::model::tuple::Revision;

/// A revision of one history of one store. As text: `bw1.<store id>.<lineage>.<revision>.<checksum in hex>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Which store.
    pub store_id: Arc<str>,
    /// Which history of it.
    pub lineage: Arc<str>,
    /// Which commit.
    pub revision: Revision,
    /// The checksum of the log up to it.
    pub checksum: u64,
}

/// Why a text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a token of this service")]
pub struct TokenError {
    value: String,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store_id, lineage, revision, checksum } = self;
        write!(f, "bw1.{store_id}.{lineage}.{}.{checksum:016x}", revision.0)
    }
}

impl std::str::FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let wrong = || TokenError { value: crate::model::names::quoted(text) };
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or_else(wrong);
        let (version, store_id, lineage) = (next()?, next()?, next()?);
        let (revision, checksum) = (next()?, next()?);
        if version != "bw1" || parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self {
            store_id: store_id.into(),
            lineage: lineage.into(),
            revision: Revision(revision.parse().map_err(|_| wrong())?),
            checksum: u64::from_str_radix(checksum, 16).map_err(|_| wrong())?,
        })
    }
}
