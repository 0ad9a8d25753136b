//! A service's model directory: read and proposed at the start, when told to (SIGHUP), and when a link
//! leads to another version of it. Also what health says of the last proposal. Decides nothing: the
//! service accepts or refuses.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tonic_health::ServingStatus;

use super::health::Health;
use super::version::{Content, Step, Version, Watch, read};
use crate::model::limits::{MODEL_WATCH_SECONDS, PROBLEMS_NAMED_MAX, PROBLEMS_SHOWN_MAX};
use crate::model::{Problems, ReadError};
use crate::pdp::{Pdp, Proposal};

/// The name under which health says whether the last proposed model was accepted.
pub const MODEL_HEALTH: &str = "bailiwick.model";

/// How often a directory is read again while it changes under the reader: files of two contents make
/// no model of anybody's.
const READS_MAX: usize = 5;

const UNSETTLED: &str = "the model directory never came to rest while it was read; propose it again once \
                         nobody writes to it";

/// A model directory that is read again and again.
#[derive(Debug)]
pub struct ModelDir {
    path: PathBuf,
    /// What it held when it was last proposed.
    proposed: Mutex<Option<Version>>,
}

/// Why a directory holds no model.
#[derive(Debug)]
pub enum ModelFault {
    /// It cannot be read.
    Unreadable(ReadError),
    /// It changed while it was read, each time: what was read of it may be of several contents.
    Unsettled {
        /// The directory.
        dir: PathBuf,
    },
    /// What it holds is faulty.
    Faulty {
        /// The directory.
        dir: PathBuf,
        /// All that is wrong.
        problems: Problems,
    },
}

impl ModelDir {
    /// This directory; nothing is read yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, proposed: Mutex::new(None) }
    }

    /// Reads and compiles what the directory holds now, to be proposed. Blocks.
    ///
    /// # Errors
    /// There is no model in it, or it does not come to rest.
    pub fn load(&self) -> Result<Proposal, ModelFault> {
        let (mut before, _) = read(&self.path);
        for _ in 0..READS_MAX {
            let (found, content) = read(&self.path);
            if found == before {
                return self.load_content(found, content);
            }
            before = found;
        }
        Err(ModelFault::Unsettled { dir: self.path.clone() })
    }

    /// Proposes what it holds; what is no model is refused, and the log has each problem. Blocks.
    pub fn propose(&self, pdp: &Pdp) {
        let loaded = self.load();
        self.submit(pdp, loaded);
    }

    /// Proposes what was loaded.
    pub fn submit(&self, pdp: &Pdp, loaded: Result<Proposal, ModelFault>) {
        match loaded {
            // The service logs what becomes of it.
            Ok(proposal) => drop(pdp.propose(proposal)),
            Err(fault) => {
                fault.log(&self.path);
                pdp.note_faulty_proposal(fault.reason());
            }
        }
    }

    fn load_content(&self, found: Version, content: Content) -> Result<Proposal, ModelFault> {
        *self.proposed.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        let files = content.map_err(ModelFault::Unreadable)?;
        Proposal::compile(&files)
            .map_err(|problems| ModelFault::Faulty { dir: self.path.clone(), problems })
    }

    fn proposed(&self) -> Option<Version> {
        self.proposed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A look at it while it is watched. Blocks.
    fn look(&self, watch: &mut Watch, pdp: &Pdp) {
        let (found, content) = read(&self.path);
        match watch.look(&found, self.proposed().as_ref()) {
            Step::Nothing => (),
            Step::Propose => {
                let loaded = self.load_content(found, content);
                self.submit(pdp, loaded);
            }
            Step::Hold => tracing::warn!(
                dir = %self.path.display(),
                "the model directory has changed in place and is not proposed: files may be missing \
                 still; send SIGHUP once it is whole, or let a link lead to each version"
            ),
        }
    }
}

impl ModelFault {
    fn log(&self, dir: &Path) {
        match self {
            Self::Unreadable(error) => {
                tracing::error!(%error, "the model is refused; the old one stays");
            }
            Self::Unsettled { .. } => tracing::error!("{self}"),
            Self::Faulty { dir, problems } => {
                for problem in problems.lines_in(dir, PROBLEMS_SHOWN_MAX) {
                    tracing::error!("{problem}");
                }
            }
        }
        let problems = match self {
            Self::Unreadable(_) | Self::Unsettled { .. } => 1,
            Self::Faulty { problems, .. } => problems.count(),
        };
        let dir = dir.display();
        tracing::error!(%dir, problems, "the model has problems; the old one stays");
    }

    /// As callers may read it: without paths of this machine.
    fn reason(&self) -> String {
        match self {
            Self::Unreadable(_) => {
                "the model directory cannot be read; the log says why".to_owned()
            }
            Self::Unsettled { .. } => UNSETTLED.to_owned(),
            Self::Faulty { problems, .. } => {
                let named = problems.as_slice().iter().take(PROBLEMS_NAMED_MAX);
                let named = named.map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let more = if problems.count() > PROBLEMS_NAMED_MAX { "; ..." } else { "" };
                format!("the model has problems: {}: {named}{more}", problems.count())
            }
        }
    }
}

impl fmt::Display for ModelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Unsettled { dir } => write!(f, "{}: {UNSETTLED}", dir.display()),
            Self::Faulty { dir, problems } => {
                let lines = problems.lines_in(dir, PROBLEMS_SHOWN_MAX).join("\n");
                write!(f, "the model has problems: {}\n{lines}", problems.count())
            }
        }
    }
}

impl std::error::Error for ModelFault {}

/// What makes a service read its model directory again. Made before the service listens, so that no
/// signal ends it.
#[derive(Debug)]
pub struct ModelKeeper {
    /// `None`: it was started without one; a signal is answered in the log.
    dir: Option<Arc<ModelDir>>,
    hangups: Signal,
    is_watched: bool,
}

impl ModelKeeper {
    /// Reads the directory at each SIGHUP, and, if it is watched, whenever a link leads to another
    /// version of it.
    ///
    /// # Errors
    /// The system refuses to tell of signals.
    pub fn new(dir: Option<Arc<ModelDir>>, is_watched: bool) -> std::io::Result<Self> {
        Ok(Self { dir, hangups: signal(SignalKind::hangup())?, is_watched })
    }

    /// One proposal at a time; signals that come meanwhile are one more.
    async fn run(mut self, pdp: &Pdp) -> Infallible {
        let mut looks = interval(Duration::from_secs(MODEL_WATCH_SECONDS));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch::default();
        let is_plain = |dir: &Arc<ModelDir>| dir.proposed().is_none_or(|found| found.is_plain());
        if let Some(dir) = self.dir.as_ref().filter(|dir| self.is_watched && is_plain(dir)) {
            tracing::warn!(
                dir = %dir.path.display(),
                "--watch-model takes a new version when a link leads to it; no link leads to this \
                 directory, so each change needs a SIGHUP"
            );
        }
        loop {
            let is_told = tokio::select! {
                told = self.hangups.recv() => told.is_some(),
                _ = looks.tick(), if self.is_watched => false,
            };
            let Some(dir) = self.dir.clone() else {
                tracing::warn!("SIGHUP: the service was started without a model directory");
                continue;
            };
            let pdp = pdp.clone();
            let mut seen = watch;
            let looked = tokio::task::spawn_blocking(move || {
                if is_told {
                    tracing::info!(dir = %dir.path.display(), "SIGHUP: reading the model directory");
                    dir.propose(&pdp);
                } else {
                    dir.look(&mut seen, &pdp);
                }
                seen
            });
            watch = looked.await.unwrap_or_else(|error| {
                tracing::error!(%error, "the model directory could not be proposed");
                Watch::default()
            });
        }
    }
}

/// Looks after the model of a service that serves: proposals, and what health says of them.
pub(super) async fn attend(keeper: Option<ModelKeeper>, pdp: &Pdp, health: &Health) -> Infallible {
    let kept = async {
        match keeper {
            Some(keeper) => keeper.run(pdp).await,
            None => pending().await,
        }
    };
    tokio::select! {
        never = kept => never,
        never = report(pdp, health) => never,
    }
}

/// What health says of the last proposal.
pub(super) async fn report_current(is_current: bool, health: &Health) {
    let status = if is_current { ServingStatus::Serving } else { ServingStatus::NotServing };
    health.set(MODEL_HEALTH, status).await;
}

async fn report(pdp: &Pdp, health: &Health) -> Infallible {
    let mut statuses = pdp.model_status();
    loop {
        let is_current = statuses.borrow_and_update().is_current();
        report_current(is_current, health).await;
        if statuses.changed().await.is_err() {
            pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SourceFiles;

    /// So many roles at types that are not there.
    fn faulty(roles: usize) -> ModelFault {
        let role = |at: usize| format!("  - {{ at: [none{at}], names: [r], bound_by: [user] }}\n");
        let roles: String = (0..roles).map(role).collect();
        let yaml = format!("model: m\ntypes: {{ user: {} }}\nroles:\n{roles}", "{}");
        let files: SourceFiles = [("model.yaml".to_owned(), yaml)].into_iter().collect();
        let problems = Proposal::compile(&files).unwrap_err();
        ModelFault::Faulty { dir: PathBuf::from("models/m"), problems }
    }

    #[test]
    fn as_many_problems_are_told_as_anybody_reads() {
        let (few, many) = (faulty(PROBLEMS_NAMED_MAX), faulty(PROBLEMS_SHOWN_MAX + 7));
        assert_eq!(few.reason().matches("model.yaml:").count(), PROBLEMS_NAMED_MAX);
        assert!(!few.reason().ends_with("..."), "{}", few.reason());
        assert_eq!(many.reason().matches("model.yaml:").count(), PROBLEMS_NAMED_MAX);
        assert!(many.reason().ends_with("; ..."), "{}", many.reason());
        let shown = many.to_string();
        assert_eq!(shown.matches("models/m/model.yaml:").count(), PROBLEMS_SHOWN_MAX);
        assert!(shown.ends_with("... and 7 more"), "{shown}");
    }

    #[test]
    fn a_fault_names_a_few_problems_to_callers_and_many_to_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..1_000).map(|i| format!("nonsense{i}: 1\n")).collect();
        let text = "model: m\n".to_owned() + &names.concat();
        std::fs::write(dir.path().join("model.yaml"), text).unwrap();
        let fault = ModelDir::new(dir.path().to_owned()).load().unwrap_err();
        let ModelFault::Faulty { problems, .. } = &fault else { panic!("{fault}") };
        let count = problems.count();
        assert!(count >= 1_000, "{count}");
        let reason = fault.reason();
        assert!(reason.starts_with(&format!("the model has problems: {count}: model.yaml:")));
        assert_eq!(reason.matches("model.yaml:").count(), PROBLEMS_NAMED_MAX, "{reason}");
        assert!(reason.ends_with("; ..."), "{reason}");
        let shown = fault.to_string();
        assert_eq!(shown.lines().count(), 1 + PROBLEMS_SHOWN_MAX + 1);
        let more = count - PROBLEMS_SHOWN_MAX;
        assert_eq!(shown.lines().last(), Some(format!("... and {more} more").as_str()));
    }
}
