//! Many questions about one snapshot at one moment. They are taken a few at a time: their names are looked up side
//! by side and what they will look at is read ahead, and whoever asks twice in a row is known the second time.
//! Each decision is that of the question alone.

use smallvec::SmallVec;

use super::check::Asking;
use super::plan::Plan;
use super::reach::{Ground, Keys, Looks, StageId, WINDOW, reach, read_ahead};
use super::steps::Steps;
use super::view::View;
use super::{Decision, EngineError, Question};
use crate::index::{ObjectId, Snapshot, SubjectKey};
use crate::model::names::SubjectRef;
use crate::model::tuple::Time;

/// So many questions of a [`Series`] are best asked at a time.
pub const SERIES_WINDOW: usize = WINDOW;
/// In a store of fewer tuples and names, what a question looks at is near the processor as it is.
const READ_AHEAD_FROM: usize = 50_000;

/// Questions about one snapshot at one moment.
#[derive(Debug)]
pub struct Series<'a> {
    snapshot: &'a Snapshot,
    plan: &'a Plan,
    now: Time,
    /// The last plain subject asked about that some tuple names, and what tuples may name to mean it.
    last: Option<Last>,
    found: Vec<Option<ObjectId>>,
    reads_ahead: bool,
}

#[derive(Debug)]
struct Last {
    subject: ObjectId,
    keys: Keys,
    /// How much was looked at to find them.
    looks: usize,
}

/// Where the names of a question stand among those of its window.
struct Places {
    /// `None`: it asks for all of a type.
    subject: Option<usize>,
    scope: usize,
}

impl<'a> Series<'a> {
    /// None asked yet.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, plan: &'a Plan, now: Time) -> Self {
        let reads_ahead = snapshot.merged() >= READ_AHEAD_FROM;
        Self { snapshot, plan, now, last: None, found: Vec::new(), reads_ahead }
    }

    /// The same, reading ahead however small the store is. No decision is another.
    #[must_use]
    pub fn always_reading_ahead(self) -> Self {
        Self { reads_ahead: true, ..self }
    }

    /// Decides each question, in their order, as [`check`](super::check) would, without the grant; `told` hears of each
    /// with the steps that it took.
    ///
    /// # Errors
    /// That of `told`: no further question is asked.
    pub fn decide<E>(
        &mut self,
        questions: &[Question<'_>],
        mut told: impl FnMut(Result<Decision, EngineError>, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        for window in questions.chunks(WINDOW) {
            let places = self.find(window);
            if self.reads_ahead {
                self.read_ahead(window, &places);
            }
            for (question, places) in window.iter().zip(places) {
                let mut steps = Steps::default();
                let decided = self.one(question, &places, &mut steps);
                told(decided, steps.taken())?;
            }
        }
        Ok(())
    }

    /// Looks up the names of a window, each of those that follow one another once.
    fn find(&mut self, window: &[Question<'_>]) -> SmallVec<[Places; WINDOW]> {
        let mut texts: SmallVec<[&str; 2 * WINDOW]> = SmallVec::new();
        let mut places: SmallVec<[Places; WINDOW]> = SmallVec::new();
        let (mut subject, mut scope) = (None, None);
        for question in window {
            let mut place = |last: &mut Option<usize>, text| {
                let same = last.filter(|at| texts.get(*at) == Some(&text));
                let at = same.unwrap_or(texts.len());
                if same.is_none() {
                    texts.push(text);
                }
                *last = Some(at);
                at
            };
            let named = match question.subject {
                SubjectRef::Object(object) | SubjectRef::Set(object, _) => Some(object.as_str()),
                SubjectRef::All(_) => None,
            };
            let subject = named.map(|text| place(&mut subject, text));
            places.push(Places { subject, scope: place(&mut scope, question.scope.as_str()) });
        }
        self.found.clear();
        self.snapshot.find_each(&texts, &mut self.found);
        places
    }

    fn found(&self, at: usize) -> Option<ObjectId> {
        self.found.get(at).copied().flatten()
    }

    fn read_ahead(&self, window: &[Question<'_>], places: &[Places]) {
        let map = self.plan.map();
        let (mut subjects, mut scopes) = (SmallVec::new(), SmallVec::new());
        let (mut last_subject, mut last_scope) = (None, None);
        for (question, Places { subject, scope }) in window.iter().zip(places) {
            if *subject != last_subject {
                subjects.extend(subject.and_then(|at| self.found(at)));
            }
            if Some(*scope) != last_scope {
                let stage = map.start_of_permission(question.scope_type, question.permission);
                scopes.extend(stage.zip(self.found(*scope)));
            }
            (last_subject, last_scope) = (*subject, Some(*scope));
        }
        let (subjects, scopes): (SmallVec<[ObjectId; WINDOW]>, SmallVec<[_; WINDOW]>) =
            (subjects, scopes);
        read_ahead(Ground::new(self.snapshot, self.now), self.plan, &subjects, &scopes);
    }

    fn one(
        &mut self,
        question: &Question<'_>,
        places: &Places,
        steps: &mut Steps,
    ) -> Result<Decision, EngineError> {
        let mut view = View::new(self.snapshot);
        let scope = self.found(places.scope).or_else(|| view.asked_object(question.scope));
        let known = places.subject.and_then(|at| self.found(at));
        let subject = match (question.subject, known) {
            (SubjectRef::Object(_), Some(object)) => Some(SubjectKey::Object(object)),
            _ => view.asked_subject(question.subject),
        };
        let Self { plan, now, last, .. } = self;
        // A name that no tuple has is given an id for its question alone: another may have it in the next.
        let (plan, now, mut unknown) = (*plan, *now, None);
        let last = if known.is_some() { last } else { &mut unknown };
        let asking = Asking { plan, question, now, with_grant: false };
        asking.decide(view, (scope, subject), steps, |view, stage, asked, looks| {
            walked(view, plan, now, (stage, asked), last, looks)
        })
    }
}

/// The short way from a stage, for a plain subject at a scope.
#[inline]
fn walked(
    view: &View<'_>,
    plan: &Plan,
    now: Time,
    (stage, (subject, scope)): (StageId, (ObjectId, ObjectId)),
    last: &mut Option<Last>,
    looks: &mut Looks,
) -> Option<bool> {
    let ground = Ground::new(view.snapshot, now);
    let Last { keys, .. } = match last {
        // Found within the same bounds: it took as much then as it would now.
        Some(last) if last.subject == subject => {
            looks.add(last.looks);
            last
        }
        last => {
            let keys = Keys::of(ground, plan, subject, || view.type_of(subject), looks)?;
            last.insert(Last { subject, keys, looks: looks.taken() })
        }
    };
    reach(ground, plan.map(), (stage, scope), keys, looks)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::engine::{CheckedContext, check};
    use crate::index::Builder;
    use crate::model::load;
    use crate::model::tuple::{Change, Tuple, TupleKey};

    const MODEL: &str = "
model: m
types: { user: {}, robot: {}, doc: {} }
roles:
  - { at: [doc], names: [viewer], bound_by: [user, 'user:*', robot] }
permissions:
  see: { at: [doc], is: viewer }
";

    #[test]
    fn whom_no_tuple_names_is_not_taken_for_the_one_before() {
        let model = load(&[("model.yaml", MODEL)].into_iter().collect(), &BTreeMap::new()).unwrap();
        let (plan, model) = (Plan::new(&model), Arc::new(model));
        let mut builder = Builder::new(Arc::clone(&model));
        for text in ["doc:d#viewer@user:*", "doc:e#viewer@robot:r1"] {
            let tuple = Tuple::plain(TupleKey::parse(text).unwrap());
            builder.apply(&Change::Put(tuple)).unwrap();
        }
        let snapshot = builder.build().unwrap();
        let subjects = ["user:new", "robot:new", "robot:r1", "user:new", "robot:r2", "user:other"];
        let questions: Vec<Question<'_>> = subjects
            .iter()
            .flat_map(|subject| ["doc:d", "doc:e", "doc:new"].map(|scope| (*subject, scope)))
            .map(|(subject, scope)| {
                let context = CheckedContext::default();
                Question::parse(&model, subject, "see", scope, context).unwrap()
            })
            .collect();
        let alone = questions
            .iter()
            .map(|question| check(&snapshot, &plan, question, Time(0), false).unwrap().is_allow());
        let alone: Vec<bool> = alone.collect();
        assert_eq!(alone.iter().filter(|may| **may).count(), 4);
        let (mut series, mut together) = (Series::new(&snapshot, &plan, Time(0)), Vec::new());
        let told = series.decide(&questions, |decided, _| {
            together.push(decided.unwrap().is_allow());
            Ok::<_, ()>(())
        });
        assert_eq!((told, together), (Ok(()), alone));
    }
}
