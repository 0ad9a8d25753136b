//! Holds `docs/errors.md` and the table of `src/api/status.rs` together, both ways.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bailiwick::api::status::Refusal;

use crate::support::errors_page::{code_text, entries};

/// What to paste into the page for a row that it lacks.
fn template(refusal: Refusal) -> String {
    let (reason, code, meaning) = (refusal.text(), code_text(refusal.code()), refusal.meaning());
    format!(
        "### {reason}\n\n`{code}` · retry: no, yes or careful · metadata: `field` or none\n\n\
         {meaning} What a caller should know beside it.\n\n**Do:** what helps.\n"
    )
}

#[test]
fn every_row_of_the_table_has_its_entry() {
    let missing = Refusal::ALL.iter().filter(|refusal| !entries().contains_key(refusal.text()));
    let missing: Vec<String> = missing.map(|refusal| template(*refusal)).collect();
    assert!(
        missing.is_empty(),
        "docs/errors.md lacks entries; add each under the heading that fits, and finish it:\n\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_entry_has_its_row_in_the_table() {
    let rows: BTreeSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.text()).collect();
    for reason in entries().keys() {
        let known = rows.contains(reason.as_str());
        assert!(known, "docs/errors.md: no row of src/api/status.rs is {reason}; remove its entry");
    }
}

#[test]
fn an_entry_says_what_the_table_says() {
    for refusal in Refusal::ALL {
        let Some(entry) = entries().get(refusal.text()) else { continue };
        let (at, code) = (refusal.text(), code_text(refusal.code()));
        assert_eq!(entry.code, code, "docs/errors.md, {at}: its row says {code}");
        assert!(
            entry.text.starts_with(refusal.meaning()),
            "docs/errors.md, {at}: the text must begin with the words of its row: {}",
            refusal.meaning()
        );
        let retries = ["no", "yes", "careful"];
        assert!(retries.contains(&entry.retry.as_str()), "docs/errors.md, {at}: {}", entry.retry);
        let (_, advice) = entry.text.split_once("**Do:** ").unwrap_or_default();
        assert!(!advice.is_empty(), "docs/errors.md, {at}: `**Do:**` and what helps are missing");
    }
}

/// Whether an error that is sent has other keys is asked of each one that a test sees; see
/// `support::service::refusal`.
#[test]
fn every_key_of_the_page_is_one_that_the_api_sends() {
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut sources = String::new();
    for file in fs::read_dir(api).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    for (reason, entry) in entries() {
        for key in &entry.keys {
            let sent = sources.contains(&format!("\"{key}\""));
            assert!(sent, "docs/errors.md, {reason}: nothing in src/api sends the key `{key}`");
        }
    }
}
