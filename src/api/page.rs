//! Pages of a list that one model fixes: their size, and the tokens that lead from one to the next.
//! Knows no list's entries.
//!
//! As text: `<digest of the model>.<entries before the page>.<seal>`. The seal covers both, and which list it
//! is; it tells slips from tokens, and keeps nobody from anything: every page may be read by all who may
//! read the first.

use prost::Message;
use sha2::{Digest as _, Sha256};

use super::status::{ApiError, Refusal};
use crate::model::limits::{MODEL_PAGE_BYTES, MODEL_PAGE_ENTRIES_DEFAULT, MODEL_PAGE_ENTRIES_MAX};
use crate::model::names::quoted;

/// A list of a model.
#[derive(Debug, Clone, Copy)]
pub(super) struct List<'a> {
    /// Which one.
    pub(super) name: &'static str,
    /// What of the model it lists, where there are several such lists.
    pub(super) of: &'a str,
    /// The digest of the model in force.
    pub(super) digest: &'a str,
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub(super) entries: Vec<T>,
    /// Empty: nothing follows.
    pub(super) next_token: String,
}

impl List<'_> {
    /// The page that is asked for. `entries` gives the list's entries after so many.
    pub(super) fn page<T: Message, I: Iterator<Item = T>>(
        &self,
        size: u32,
        token: &str,
        entries: impl FnOnce(usize) -> I,
    ) -> Result<Page<T>, ApiError> {
        let size = page_size(size)?;
        let before = if token.is_empty() { 0 } else { self.parse(token)? };
        let mut page = Vec::new();
        let mut bytes = 0;
        for entry in entries(before) {
            // The tag and the length of an entry take a few bytes more.
            bytes += entry.encoded_len() + 8;
            if page.len() == size || (bytes > MODEL_PAGE_BYTES && !page.is_empty()) {
                let next_token = self.token(before + page.len());
                return Ok(Page { entries: page, next_token });
            }
            page.push(entry);
        }
        if page.is_empty() && before > 0 {
            return Err(wrong(token));
        }
        Ok(Page { entries: page, next_token: String::new() })
    }

    fn token(&self, before: usize) -> String {
        format!("{}.{before}.{}", self.digest, self.seal(self.digest, before))
    }

    fn parse(&self, token: &str) -> Result<usize, ApiError> {
        let mut parts = token.split('.');
        let parts = (parts.next(), parts.next(), parts.next(), parts.next());
        let (Some(digest), Some(before), Some(seal), None) = parts else {
            return Err(wrong(token));
        };
        let before = before.parse().map_err(|_| wrong(token))?;
        if seal != self.seal(digest, before) {
            return Err(wrong(token));
        }
        if digest != self.digest {
            let what = "the list was begun under another model; begin it anew";
            let error = ApiError::field(Refusal::ModelChanged, "page_token", what);
            return Err(error.with("digest", &self.digest));
        }
        Ok(before)
    }

    fn seal(&self, digest: &str, before: usize) -> String {
        let mut hash = Sha256::new();
        for part in ["bailiwick page 1", self.name, self.of, digest] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update((before as u64).to_be_bytes());
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn page_size(asked: u32) -> Result<usize, ApiError> {
    match usize::try_from(asked).unwrap_or(usize::MAX) {
        0 => Ok(MODEL_PAGE_ENTRIES_DEFAULT),
        size if size <= MODEL_PAGE_ENTRIES_MAX => Ok(size),
        size => {
            let what = format!("`{size}` entries, the limit is {MODEL_PAGE_ENTRIES_MAX}");
            let error = ApiError::field(Refusal::InvalidField, "page_size", what);
            Err(error.with("limit", &MODEL_PAGE_ENTRIES_MAX))
        }
    }
}

fn wrong(token: &str) -> ApiError {
    let what = format!("`{}` is no page token of this list", quoted(token));
    ApiError::field(Refusal::InvalidField, "page_token", what)
}
