//! Many questions about one snapshot at one moment. They are taken a few at a time: their names are looked up and their
//! short ways taken side by side, and whoever asks twice in a row is known the second time. Each decision is that
//! of the question alone.

use smallvec::SmallVec;

use super::check::{Asking, walked};
use super::plan::Plan;
use super::reach::{Ground, Known, Looks, WINDOW, Way, go_each, know_each};
use super::steps::Steps;
use super::view::View;
use super::{Decision, EngineError, Question, Reason};
use crate::index::{ObjectId, Snapshot, SubjectKey};
use crate::model::names::SubjectRef;
use crate::model::tuple::Time;

/// So many questions of a [`Series`] are best asked at a time.
pub const SERIES_WINDOW: usize = WINDOW;

/// Questions about one snapshot at one moment.
#[derive(Debug)]
pub struct Series<'a> {
    snapshot: &'a Snapshot,
    plan: &'a Plan,
    now: Time,
    /// The plain subjects of the window that some tuple names, as they follow one another, and the last before them.
    known: Vec<Known>,
    found: Vec<Option<ObjectId>>,
}

/// Where the names of a question stand among those of its window.
#[derive(Clone, Copy)]
struct Places {
    /// `None`: it asks for all of a type.
    subject: Option<usize>,
    scope: usize,
}

/// Where the short way to an answer ended, `None` where that is not certain, and how much was looked at.
type Ended = (Option<bool>, usize);

impl<'a> Series<'a> {
    /// None asked yet.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, plan: &'a Plan, now: Time) -> Self {
        Self { snapshot, plan, now, known: Vec::new(), found: Vec::new() }
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
            let ended = self.go(window, &places);
            for ((question, places), ended) in window.iter().zip(places).zip(ended) {
                let mut steps = Steps::default();
                let decided = self.one(question, places, ended, &mut steps);
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
            let named = match question.subject {
                SubjectRef::Object(object) | SubjectRef::Set(object, _) => Some(object.as_str()),
                SubjectRef::All(_) => None,
            };
            let subject = named.map(|text| place(&mut texts, &mut subject, text));
            let scope = place(&mut texts, &mut scope, question.scope.as_str());
            places.push(Places { subject, scope });
        }
        self.found.clear();
        self.snapshot.find_each(&texts, &mut self.found);
        places
    }

    fn found(&self, at: usize) -> Option<ObjectId> {
        self.found.get(at).copied().flatten()
    }

    /// Takes the short ways of a window side by side: those that begin at a stage, for a plain subject at a scope that
    /// tuples name. A name that no tuple has is given an id for its question alone: another may have it in the next.
    fn go(&mut self, window: &[Question<'_>], places: &[Places]) -> [Option<Ended>; WINDOW] {
        let mut ends = [None; WINDOW];
        if !self.plan.has_short_ways() {
            return ends;
        }
        let (ground, map) = (Ground::new(self.snapshot, self.now), self.plan.map());
        let last = self.known.pop();
        self.known.clear();
        self.known.extend(last);
        let (kept, mut last) = (self.known.len(), self.known.last().map(|known| known.subject));
        let mut subjects: SmallVec<[ObjectId; WINDOW]> = SmallVec::new();
        let mut ways: SmallVec<[Way; WINDOW]> = SmallVec::new();
        for (asked, (question, places)) in window.iter().zip(places).enumerate() {
            let (SubjectRef::Object(_), None) = (question.subject, &question.target) else {
                continue;
            };
            let scope_type = question.scope_type;
            let subject = places.subject.and_then(|at| self.found(at));
            let stage = map.start_of_permission(scope_type, question.permission);
            if let (Some(subject), Some(scope), Some(stage)) =
                (subject, self.found(places.scope), stage)
            {
                if last.replace(subject) != Some(subject) {
                    subjects.push(subject);
                }
                let known = (kept + subjects.len()).saturating_sub(1);
                ways.push(Way { asked, known, stage, scope, scope_type });
            }
        }
        let looks = Looks::within(Steps::default().left());
        know_each(&ground, self.plan, &subjects, looks, &mut self.known);
        go_each(&ground, map, (&self.known, &ways), looks, |asked, end, looks| {
            if let Some(ended) = ends.get_mut(asked) {
                *ended = Some((end, looks));
            }
        });
        ends
    }

    fn one(
        &self,
        question: &Question<'_>,
        places: Places,
        ended: Option<Ended>,
        steps: &mut Steps,
    ) -> Result<Decision, EngineError> {
        if let Some((Some(is_reached), looks)) = ended {
            steps.add(u64::try_from(looks).unwrap_or(u64::MAX));
            let reason = if is_reached { Reason::Granted } else { Reason::NotGranted };
            return Ok(Decision { reason, missing: Vec::new(), grant: None });
        }
        let mut view = View::new(self.snapshot);
        let scope = self.found(places.scope).or_else(|| view.asked_object(question.scope));
        let known = places.subject.and_then(|at| self.found(at));
        let subject = match (question.subject, known) {
            (SubjectRef::Object(_), Some(object)) => Some(SubjectKey::Object(object)),
            _ => view.asked_subject(question.subject),
        };
        let (plan, now) = (self.plan, self.now);
        let asking = Asking { plan, question, now, with_grant: false };
        asking.decide(view, (scope, subject), steps, |view, stage, asked, looks| match ended {
            Some((end, taken)) => {
                looks.add(taken);
                end
            }
            None => walked(view, plan, now, (stage, asked), looks),
        })
    }
}

/// The place of a text: that of the last of its kind, if it is the same.
fn place<'t>(
    texts: &mut SmallVec<[&'t str; 2 * WINDOW]>,
    last: &mut Option<usize>,
    text: &'t str,
) -> usize {
    // Most names that differ do so at their end.
    let is_same = |at: &usize| {
        let known = texts.get(*at).copied().unwrap_or_default();
        known.as_bytes().last() == text.as_bytes().last() && known == text
    };
    if let Some(at) = last.filter(is_same) {
        return at;
    }
    texts.push(text);
    *last.insert(texts.len() - 1)
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
