//! `docs/errors.md` as the tests read it: one entry per reason code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use tonic::Code;

const PAGE: &str = include_str!("../../../docs/errors.md");

/// What the page says of one reason code.
pub(crate) struct Entry {
    /// The gRPC code as it is written in capitals.
    pub(crate) code: String,
    /// `no`, `yes` or `careful`.
    pub(crate) retry: String,
    /// The keys of the metadata.
    pub(crate) keys: BTreeSet<String>,
    /// What follows: the meaning first, then what to do.
    pub(crate) text: String,
}

/// The page's entries by reason code.
pub(crate) fn entries() -> &'static BTreeMap<String, Entry> {
    static ENTRIES: OnceLock<BTreeMap<String, Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let mut found = BTreeMap::new();
        for part in PAGE.split("\n### ").skip(1) {
            let (reason, rest) = part.split_once("\n\n").expect("a blank line after a heading");
            // The next group's heading ends an entry too.
            let rest = rest.split("\n## ").next().unwrap();
            let twice = found.insert(reason.to_owned(), entry(reason, rest));
            assert!(twice.is_none(), "docs/errors.md has `### {reason}` twice");
        }
        found
    })
}

fn entry(reason: &str, rest: &str) -> Entry {
    let (facts, text) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let parts: Vec<&str> = facts.split(" · ").collect();
    let form = "`CODE` · retry: no, yes or careful · metadata: `key`, `key` or none";
    let [code, retry, keys] = parts[..] else {
        panic!("docs/errors.md, {reason}: expected the line {form}, found: {facts}");
    };
    let of = |part: &str, label: &str| {
        let value = part.strip_prefix(label);
        value.unwrap_or_else(|| panic!("docs/errors.md, {reason}: `{part}`: {form}")).to_owned()
    };
    let keys = of(keys, "metadata: ");
    let keys = keys.split(", ").filter(|key| *key != "none");
    Entry {
        code: code.trim_matches('`').to_owned(),
        retry: of(retry, "retry: "),
        keys: keys.map(|key| key.trim_matches('`').to_owned()).collect(),
        text: text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// A code as the page writes it: `INVALID_ARGUMENT`.
pub(crate) fn code_text(code: Code) -> String {
    let mut text = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}

/// Whether an error which was sent is the one that the page describes.
///
/// # Errors
/// What the page lacks.
pub(crate) fn described<'a>(
    code: Code,
    reason: &str,
    keys: impl IntoIterator<Item = &'a String>,
) -> Result<(), String> {
    let Some(entry) = entries().get(reason) else {
        return Err(format!("docs/errors.md lacks the entry `### {reason}`"));
    };
    let code = code_text(code);
    if entry.code != code {
        return Err(format!("docs/errors.md, {reason}: it was sent with the code `{code}`"));
    }
    match keys.into_iter().find(|key| !entry.keys.contains(*key)) {
        None => Ok(()),
        Some(key) => Err(format!("docs/errors.md, {reason}: add `{key}` to its metadata")),
    }
}
