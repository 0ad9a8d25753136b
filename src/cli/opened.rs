//! From a model's files and a directory to what the server opens. Shared by the commands that serve.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CliError;
use crate::model::form::Model;
use crate::model::limits::PROBLEMS_SHOWN_MAX;
use crate::model::{Problems, SourceFiles, load};
use crate::pdp::{OpenError, Pdp, Proposal, stored_files};
use crate::server::{ModelDir, ModelFault, Opener, SystemClock};
use crate::store::ModelFiles;
use crate::store::sled::SledStore;

/// Compiles the files of this directory; every problem is in the error.
pub(super) fn load_in(dir: &Path, files: &SourceFiles) -> Result<Model, CliError> {
    load(files, &BTreeMap::new()).map_err(|problems| unsound(dir, &problems))
}

pub(super) fn unsound(dir: &Path, problems: &Problems) -> CliError {
    let (count, text) = (problems.count(), in_dir(dir, problems));
    CliError::Failed(format!("the model has problems: {count}\n{text}"))
}

/// Compiles a model.
pub(super) fn load_files(files: &SourceFiles) -> Result<(Model, ModelFiles), Problems> {
    let model = load(files, &BTreeMap::new())?;
    let files = stored_files(files, &model);
    Ok((model, files))
}

/// The problems with paths that lead to the file from here.
pub(super) fn in_dir(dir: &Path, problems: &Problems) -> String {
    problems.lines_in(dir, PROBLEMS_SHOWN_MAX).join("\n")
}

/// Opens the store in this directory and recovers from it.
pub(super) fn sled_opener(model: Model, files: ModelFiles, data: PathBuf) -> Opener {
    Box::new(move || {
        let store = SledStore::open_or_create(&data)?;
        Ok(Pdp::open(Arc::new(store), model, files, Arc::new(SystemClock))?)
    })
}

/// What the model directory of a service held when it was started.
pub(super) struct Loaded {
    pub(super) dir: Arc<ModelDir>,
    pub(super) model: Result<Proposal, ModelFault>,
    /// Whether the service may start with another model than this one.
    pub(super) is_strict: bool,
}

/// Opens the store in this directory, recovers from it under its own model, and proposes the one that
/// was loaded. A store without a model must get one.
pub(super) fn proposing_opener(loaded: Option<Loaded>, data: PathBuf) -> Opener {
    Box::new(move || {
        let store = Arc::new(SledStore::open_or_create(&data)?);
        let clock = Arc::new(SystemClock);
        let Some(Loaded { dir, model, is_strict }) = loaded else {
            return Ok(Pdp::start(store, None, clock)?);
        };
        match model {
            Ok(proposal) if is_strict => Ok(Pdp::start_strictly(store, proposal, clock)?),
            Ok(proposal) => Ok(Pdp::start(store, Some(proposal), clock)?),
            Err(fault) if is_strict => Err(fault.into()),
            Err(fault) => match Pdp::start(store, None, clock) {
                Err(OpenError::NoModel) => Err(fault.into()),
                started => {
                    let pdp = started?;
                    dir.submit(&pdp, Err(fault));
                    Ok(pdp)
                }
            },
        }
    })
}
