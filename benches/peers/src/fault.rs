//! What went wrong, in words. A comparison that fails ends the run; nothing handles its kinds.

/// Any failure, boxed.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// In the words of every fault that ends the whole run: a decision was not the right one.
pub(crate) const DISAGREES: &str = "disagrees";

/// Ends the run, or a peer's part of it, with these words.
pub(crate) fn fault<T>(words: impl Into<String>) -> Result<T, Fault> {
    Err(words.into().into())
}
