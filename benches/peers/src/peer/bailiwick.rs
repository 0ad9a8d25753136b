//! Bailiwick as a library: the store on disk, recovered as the service does it, and asked without a wire.
//! Each check binds itself to the newest revision and parses its names, as a request does.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bailiwick::engine::CheckedContext;
use bailiwick::model::form::Model;
use bailiwick::model::tuple::{Time, Tuple, TupleKey};
use bailiwick::model::{SourceFiles, load};
use bailiwick::pdp::{Clock, Pdp, WriteChange, stored_files};
use bailiwick::store::Store;
use bailiwick::store::sled::SledStore;

use super::Peer;
use crate::fault::Fault;
use crate::matrix::Matrix;
use crate::world::{Question, World};

const MODEL: &str = include_str!("../../model/model.yaml");
/// Changes a commit.
const COMMIT: usize = 5_000;

#[derive(Debug)]
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(since.as_nanos().try_into().unwrap_or(i64::MAX))
    }
}

pub(super) struct Bailiwick {
    pdp: Pdp,
    permissions: Vec<String>,
}

impl Bailiwick {
    /// Recovers what `write` left in the directory.
    pub(super) fn open(matrix: &Matrix, data: &Path) -> Result<Self, Fault> {
        Ok(Self { pdp: start(matrix, data)?, permissions: matrix.permissions.clone() })
    }
}

impl Peer for Bailiwick {
    fn allows(&mut self, question: &Question) -> Result<bool, Fault> {
        let reading = self.pdp.read();
        let permission = &self.permissions[question.permission];
        let context = CheckedContext::default();
        let asked = reading.question(&question.user, permission, &question.scope, context)?;
        Ok(reading.check(&asked, false)?.is_allow())
    }
}

impl Drop for Bailiwick {
    fn drop(&mut self) {
        self.pdp.close();
    }
}

/// Writes the world into the directory, commit by commit, each durable before the next.
pub(crate) fn write(matrix: &Matrix, world: World, data: &Path) -> Result<(), Fault> {
    let pdp = start(matrix, data)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut tuples = world.written(matrix).peekable();
    while tuples.peek().is_some() {
        let commit = tuples.by_ref().take(COMMIT).map(|written| {
            let text = format!("{}#{}@{}", written.scope, written.role, written.subject);
            Ok(WriteChange::Touch(Tuple::plain(TupleKey::parse(&text)?)))
        });
        runtime.block_on(pdp.write(commit.collect::<Result<_, Fault>>()?))?;
    }
    pdp.close();
    Ok(())
}

fn start(matrix: &Matrix, data: &Path) -> Result<Pdp, Fault> {
    let mut files = SourceFiles::default();
    files.insert("model.yaml", MODEL);
    files.insert("permissions.csv", matrix.csv.as_str());
    let model: Model = load(&files, &std::collections::BTreeMap::new())?;
    let stored = stored_files(&files, &model);
    let store: Arc<dyn Store> = Arc::new(SledStore::open_or_create(data)?);
    Ok(Pdp::open(store, model, stored, Arc::new(Wall))?)
}
