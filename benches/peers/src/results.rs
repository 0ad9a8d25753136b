//! Where figures are kept between measuring and rendering: one JSON file a part, committed, so that the page
//! can be rendered again without measuring.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fault::{Fault, fault};

const DIR: &str = "results";

/// Keeps one part.
pub(crate) fn keep<T: Serialize>(part: &str, value: &T) -> Result<(), Fault> {
    std::fs::create_dir_all(DIR)?;
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(std::fs::write(Path::new(DIR).join(part).with_extension("json"), text)?)
}

/// One part as it was kept last.
pub(crate) fn kept<T: DeserializeOwned>(part: &str) -> Result<T, Fault> {
    let path = Path::new(DIR).join(part).with_extension("json");
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        Err(error) => fault(format!("{}: {error}; measure first", path.display())),
    }
}
