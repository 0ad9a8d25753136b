//! A revision as a caller carries it: store id, lineage, revision, checksum.

use std::fmt;
use std::sync::Arc;

use crate::model::names::quoted;
use crate::model::tuple::Revision;

/// What every token's text begins with.
const PREFIX: &str = "bw1.";
/// Digits of a store id and of a lineage, in lower-case hex, as the store makes them.
const ID_DIGITS: usize = 32;
/// The longest text: two ids, a revision of 20 digits, a checksum of 16, and the dots between them.
const TOKEN_BYTES_MAX: usize = PREFIX.len() + 2 * (ID_DIGITS + 1) + 20 + 1 + 16;

/// A revision of one history of one store. As text: `bw1.<store id>.<lineage>.<revision>.<checksum in hex>`.
/// Callers keep it and send it back; they need not read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Which store.
    pub store_id: Arc<str>,
    /// Which history of it: the lineage that committed the revision.
    pub lineage: Arc<str>,
    /// Which commit.
    pub revision: Revision,
    /// The checksum of the log up to it.
    pub checksum: u64,
}

/// Why a text is not a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a token of this service; send one back as it came in an answer")]
pub struct TokenError {
    value: String,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store_id, lineage, revision, checksum } = self;
        write!(f, "{PREFIX}{store_id}.{lineage}.{}.{checksum:016x}", revision.0)
    }
}

impl std::str::FromStr for Token {
    type Err = TokenError;

    /// Reads what [`Display`](fmt::Display) writes, and no other text. However long the text is, it
    /// costs what a token costs.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        parse(text).ok_or_else(|| TokenError { value: quoted(text) })
    }
}

fn parse(text: &str) -> Option<Token> {
    if text.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let mut parts = text.strip_prefix(PREFIX)?.split('.');
    let (store_id, lineage) = (id(parts.next()?)?, id(parts.next()?)?);
    let revision = Revision(parts.next()?.parse().ok()?);
    let checksum = u64::from_str_radix(parts.next()?, 16).ok()?;
    let token = Token { store_id: store_id.into(), lineage: lineage.into(), revision, checksum };
    // One revision has one text: no plus signs, leading zeros, other cases or parts behind it.
    (token.to_string() == text).then_some(token)
}

fn id(text: &str) -> Option<&str> {
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == ID_DIGITS && text.bytes().all(is_digit)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210";

    fn token(revision: u64, checksum: u64) -> Token {
        Token { store_id: A.into(), lineage: B.into(), revision: Revision(revision), checksum }
    }

    #[test]
    fn a_token_is_read_back_as_it_was_written() {
        for (revision, checksum) in [(0, 0), (1, 1), (u64::MAX, u64::MAX), (42, 0xab << 40)] {
            let token = token(revision, checksum);
            let text = token.to_string();
            assert!(text.len() <= TOKEN_BYTES_MAX);
            assert_eq!(text.parse(), Ok(token));
        }
        let longest = token(u64::MAX, u64::MAX).to_string();
        assert_eq!(longest.len(), TOKEN_BYTES_MAX);
    }

    #[test]
    fn every_other_text_is_refused() {
        let good = token(7, 0xabc).to_string();
        assert!(good.parse::<Token>().is_ok());
        for wrong in [
            String::new(),
            "bw1".into(),
            "bw1.".into(),
            "bw1.....".into(),
            good.replace("bw1", "bw2"),
            good.replace("bw1", "BW1"),
            good.replace(".7.", ".07."),
            good.replace(".7.", ".+7."),
            good.replace(".7.", ".-7."),
            good.replace(".7.", "..7."),
            good.replace(".7.", ". 7."),
            good.replace(".7.", ".18446744073709551616."),
            good.replace("abc", "ABC"),
            good.replace("0000abc", "abc"),
            good.replace(".0000", ".+000"),
            good.replace(A, &A.to_uppercase()),
            good.replace(A, ""),
            good.replace(A, A.trim_start_matches('0')),
            good.replace(B, "x"),
            format!("{good}."),
            format!("{good}.0"),
            format!("{good}0"),
            format!("{good}\n"),
            format!(" {good}"),
            format!("{good}\0"),
        ] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong:?} was taken");
        }
        // Each single character replaced by another makes another token, or none.
        for at in 0..good.len() {
            for other in ['0', 'f', '.', 'G', '\u{e9}'] {
                let mut text = good.clone();
                text.replace_range(at..=at, &other.to_string());
                if let Ok(read) = text.parse::<Token>() {
                    assert_eq!(read.to_string(), text);
                }
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_in_the_message() {
        let error = "x".repeat(4 << 20).parse::<Token>().unwrap_err().to_string();
        assert!(error.len() < 250, "{error}");
    }
}
