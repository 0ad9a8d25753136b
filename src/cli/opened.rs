//! From a model's files and a directory to what the server opens. Shared by the commands that serve.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CliError;
use crate::model::form::Model;
use crate::model::{Problems, SourceFiles, TESTS_FILE, load};
use crate::pdp::Pdp;
use crate::server::{Opener, SystemClock};
use crate::store::ModelFiles;
use crate::store::sled::SledStore;

/// Reads and compiles a model directory; every problem is in the error.
pub(super) fn load_dir(dir: &Path) -> Result<(Model, ModelFiles), CliError> {
    let files = SourceFiles::read_dir(dir).map_err(CliError::failed)?;
    load_files(&files).map_err(|problems| {
        let (count, text) = (problems.count(), in_dir(dir, &problems));
        CliError::Failed(format!("the model has problems: {count}\n{text}"))
    })
}

/// Compiles a model.
pub(super) fn load_files(files: &SourceFiles) -> Result<(Model, ModelFiles), Problems> {
    let model = load(files, &BTreeMap::new())?;
    let digest = model.digest.clone();
    Ok((model, stored_files(files, digest)))
}

/// The files as the store keeps them; scenarios decide nothing and stay out.
pub(super) fn stored_files(files: &SourceFiles, digest: String) -> ModelFiles {
    let names = files.names().filter(|name| *name != TESTS_FILE);
    let pair = |name: &str| Some((name.to_owned(), files.get(name)?.to_owned()));
    ModelFiles { digest, files: names.filter_map(pair).collect() }
}

/// Most problems that are printed; one mistake may have very many.
const SHOWN_PROBLEMS_MAX: usize = 500;

/// The problems with paths that lead to the file from here.
pub(super) fn in_dir(dir: &Path, problems: &Problems) -> String {
    let line = |problem: &dyn std::fmt::Display| format!("{}/{problem}", dir.display());
    let shown = problems.as_slice().iter().take(SHOWN_PROBLEMS_MAX);
    let mut lines: Vec<_> = shown.map(|problem| line(problem)).collect();
    if let Some(more) = problems.count().checked_sub(SHOWN_PROBLEMS_MAX).filter(|more| *more > 0) {
        lines.push(format!("... and {more} more"));
    }
    lines.join("\n")
}

/// Opens the store in this directory and recovers from it.
pub(super) fn sled_opener(model: Model, files: ModelFiles, data: PathBuf) -> Opener {
    Box::new(move || {
        let store = SledStore::open_or_create(&data)?;
        Ok(Pdp::open(Arc::new(store), model, files, Arc::new(SystemClock))?)
    })
}
