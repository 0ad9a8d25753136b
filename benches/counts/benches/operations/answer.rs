//! The counted parts of checks and lists: what a request of this kind costs in the engine. Knows no model
//! and no tuples.

use std::hint::black_box;
use std::sync::Arc;

use bailiwick::engine::{
    CheckedContext, ListQuestion, Plan, Question, SubjectList, check, with_contextual,
};
use bailiwick::index::Snapshot;
use bailiwick::model::tuple::{Context, Tuple};

use crate::NOW;

/// How many questions of a kind are asked.
pub(crate) const QUESTIONS: usize = 64;

/// One check as a caller sends it.
pub(crate) struct One {
    pub(crate) subject: String,
    pub(crate) permission: String,
    pub(crate) scope: String,
    pub(crate) context: Context,
    pub(crate) brought: Vec<Tuple>,
}

impl One {
    /// A check with neither context nor tuples.
    pub(crate) fn plain(subject: String, permission: &str, scope: String) -> Self {
        let (context, brought) = (Context::new(), Vec::new());
        Self { subject, permission: permission.to_owned(), scope, context, brought }
    }
}

/// Questions of one kind, and what they are asked of.
pub(crate) struct Asked {
    snapshot: Snapshot,
    plan: Plan,
    questions: Vec<One>,
}

impl Asked {
    /// Those of the questions with this answer, the first so many. Each is asked here, before anything is
    /// counted, so what is made at a first call is made. Never freed, so no count has that in it.
    pub(crate) fn of(
        is_allowed: bool,
        snapshot: Snapshot,
        questions: impl IntoIterator<Item = One>,
    ) -> &'static Self {
        let plan = Plan::new(snapshot.model());
        let is_such = |one: &One| ask(&snapshot, &plan, one) == is_allowed;
        let questions: Vec<One> = questions.into_iter().filter(is_such).take(QUESTIONS).collect();
        assert_eq!(questions.len(), QUESTIONS, "so many have the expected answer");
        Box::leak(Box::new(Self { snapshot, plan, questions }))
    }

    /// How many are allowed.
    pub(crate) fn allowed(&self) -> usize {
        let is_allowed = |one: &&One| ask(&self.snapshot, &self.plan, black_box(one));
        self.questions.iter().filter(is_allowed).count()
    }
}

fn ask(snapshot: &Snapshot, plan: &Plan, one: &One) -> bool {
    let overlaid;
    let seen = if one.brought.is_empty() {
        snapshot
    } else {
        overlaid = with_contextual(snapshot, &one.brought, NOW).expect("admitted");
        &overlaid
    };
    let context = CheckedContext::new(one.context.clone()).expect("small");
    let question =
        Question::parse(seen.model(), &one.subject, &one.permission, &one.scope, context);
    let question = question.expect("well-formed");
    check(seen, plan, &question, NOW, false).expect("within the limits").is_allow()
}

/// A list that is not yet begun.
pub(crate) struct Listed {
    pub(crate) snapshot: Snapshot,
    pub(crate) plan: Arc<Plan>,
    pub(crate) question: ListQuestion,
}

impl Listed {
    /// How many may, and the list at its end.
    pub(crate) fn consumed(self) -> (usize, SubjectList) {
        let mut list = SubjectList::new(self.snapshot, self.plan, self.question, NOW);
        let mut count = 0;
        for entry in list.by_ref() {
            count += usize::from(black_box(entry.expect("within the limits")).is_some());
        }
        (count, list)
    }
}
