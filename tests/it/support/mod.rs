//! What the tests share: models from text, a service without a wire, a clock that a test sets.

pub(crate) mod errors_page;
pub(crate) mod faulty;
pub(crate) mod process;
pub(crate) mod service;
pub(crate) mod stand_in;
pub(crate) mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bailiwick::engine::{CheckedContext, Decision, EngineError};
use bailiwick::model::form::Model;
use bailiwick::model::tuple::{Context, Time, Tuple, TupleKey};
use bailiwick::model::{SourceFiles, load};
use bailiwick::pdp::{Clock, Pdp, Proposal, Token, WriteChange, WriteError};
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::{ModelFiles, Store};

/// A clock that stands until a test moves it.
#[derive(Debug, Default)]
pub(crate) struct SetClock(AtomicI64);

impl SetClock {
    pub(crate) fn set(&self, now: i64) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

/// A model of one `model.yaml` without matrices.
pub(crate) fn model(yaml: &str) -> Model {
    let mut files = SourceFiles::default();
    files.insert("model.yaml", yaml);
    load(&files, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The same with its file, as it is proposed.
pub(crate) fn proposal(yaml: &str) -> Proposal {
    let files = SourceFiles::from_iter([("model.yaml", yaml)]);
    Proposal::compile(&files).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) fn files_of(model: &Model) -> ModelFiles {
    ModelFiles { digest: model.digest.clone(), files: Vec::new() }
}

/// A service without a wire, on a store in memory.
pub(crate) struct World {
    pub(crate) pdp: Pdp,
    pub(crate) clock: Arc<SetClock>,
}

impl World {
    pub(crate) fn new(yaml: &str) -> Self {
        Self::on(Arc::new(MemoryStore::new()), yaml)
    }

    pub(crate) fn on(store: Arc<dyn Store>, yaml: &str) -> Self {
        let clock = Arc::new(SetClock::default());
        let clock_too: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
        let pdp = Pdp::start_strictly(store, proposal(yaml), clock_too).unwrap();
        Self { pdp, clock }
    }

    pub(crate) fn write(&self, changes: Vec<WriteChange>) -> Result<Token, WriteError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.pdp.write(changes)).map(|written| written.token)
    }

    /// Touches these tuples in one commit, which must be accepted.
    pub(crate) fn put<T: AsRef<str>>(&self, tuples: &[T]) {
        let changes = tuples.iter().map(|text| touch(text.as_ref())).collect();
        self.write(changes).unwrap();
    }

    pub(crate) fn check(&self, question: &str) -> Result<Decision, EngineError> {
        self.check_with(question, Context::new())
    }

    /// `question` is `subject permission scope`.
    pub(crate) fn check_with(
        &self,
        question: &str,
        context: Context,
    ) -> Result<Decision, EngineError> {
        let mut words = question.split(' ');
        let mut word = || words.next().unwrap();
        let reading = self.pdp.read();
        let context = CheckedContext::new(context).unwrap();
        let question = reading.question(word(), word(), word(), context).unwrap();
        reading.check(&question, true)
    }

    pub(crate) fn allows(&self, question: &str) -> bool {
        self.check(question).unwrap().is_allow()
    }
}

pub(crate) fn tuple(text: &str) -> Tuple {
    Tuple::plain(TupleKey::parse(text).unwrap())
}

pub(crate) fn touch(text: &str) -> WriteChange {
    WriteChange::Touch(tuple(text))
}

pub(crate) fn create(text: &str) -> WriteChange {
    WriteChange::Create(tuple(text))
}

pub(crate) fn delete(text: &str) -> WriteChange {
    WriteChange::Delete(TupleKey::parse(text).unwrap())
}
