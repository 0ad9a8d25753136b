//! The runs in which what is under test must agree with the oracle, and the proof that they would
//! find a mistake. Must not know how either of the two decides.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bailiwick::engine::{self, Decision, Plan, Reason};
use bailiwick::index::{Builder, Snapshot};
use bailiwick::model::form::Model;
use bailiwick::model::names::{Object, Subject};
use bailiwick::model::scenario::Scenarios;
use bailiwick::model::tuple::{Change, Context, Time, Tuple};
use bailiwick::model::{SourceFiles, TESTS_FILE};

use super::coverage::{Coverage, Mark, Marks};
use super::eval::{Mutation, Oracle, Outcome, Question, merged};
use super::report::{Disagreement, report, scenario};
use super::values::Value;
use super::worlds::{NOW, World};

/// Worlds of a run, 140 questions each, unless `BAILIWICK_WORLDS` asks for more.
const WORLDS: u64 = 750;
const DECISIONS_MIN: usize = 100_000;
const THREADS: usize = 2;
/// Worlds within which a deliberate mistake must show.
const WORLDS_TO_FIND_A_MISTAKE: u64 = 300;

/// What is tested against the oracle: everything behind this one function may be replaced.
fn under_test(
    model: &Arc<Model>,
    tuples: &[Tuple],
    questions: &[Question],
    now: Time,
) -> Vec<Value> {
    let snapshots = [0, tuples.len() / 2, tuples.len()].map(|base| laid_out(model, tuples, base));
    let plans = [Plan::without_short_ways(model), Plan::new(model)];
    let mut answers = Vec::with_capacity(questions.len());
    for batch in questions.chunk_by(|a, b| a.contextual == b.contextual) {
        let contextual = &batch[0].contextual;
        let seen = snapshots.each_ref().map(|snapshot| {
            let seen = engine::with_contextual(snapshot, contextual, now).unwrap();
            assert_eq!(snapshot.len(), tuples.len(), "nothing remains of contextual tuples");
            seen
        });
        let all = merged(tuples, contextual, None);
        let [thorough, short] = &plans;
        let first = answers.len();
        answers.extend(batch.iter().map(|q| {
            let answer = ask(model, &seen[0], thorough, q, &all, now);
            for seen in &seen {
                let again = ask(model, seen, short, q, &all, now);
                assert_eq!(again, answer, "{q:?}, by a short way");
            }
            answer
        }));
        for seen in &seen {
            assert_eq!(in_series(model, seen, short, batch, now), answers[first..], "in a series");
        }
    }
    answers
}

/// The answers to the same questions, asked together.
fn in_series(
    model: &Model,
    snapshot: &Snapshot,
    plan: &Plan,
    questions: &[Question],
    now: Time,
) -> Vec<Value> {
    let texts: Vec<[String; 2]> = questions
        .iter()
        .map(|q| {
            let target = q.target.as_ref().map(ToString::to_string);
            [q.subject.to_string(), target.unwrap_or_default()]
        })
        .collect();
    let asked: Vec<engine::Question<'_>> = questions
        .iter()
        .zip(&texts)
        .map(|(q, [subject, target])| {
            let (permission, scope) = (model.name_of(q.permission), q.scope.as_str());
            let context = engine::CheckedContext::new(q.context.clone()).unwrap();
            let question = engine::Question::parse(model, subject, permission, scope, context);
            question.unwrap().with_target(model, target).unwrap()
        })
        .collect();
    let mut series = engine::Series::new(snapshot, plan, now);
    let mut values = Vec::new();
    let told = series.decide(&asked, |decided, steps| {
        let at = values.len();
        let alone = engine::check(snapshot, plan, &asked[at], now, false);
        assert_eq!(decided, alone, "{:?}", questions[at]);
        // As many steps as it may take are as many as it takes.
        let mut left = steps;
        let within = engine::check_within(snapshot, plan, &asked[at], now, false, &mut left);
        assert_eq!((within, left), (Some(alone), 0), "{:?}", questions[at]);
        values.push(value(&decided.unwrap()));
        Ok::<_, std::convert::Infallible>(())
    });
    told.unwrap();
    values
}

/// The tuples, so many of them in the base and the rest in a layer over it.
fn laid_out(model: &Arc<Model>, tuples: &[Tuple], base: usize) -> Snapshot {
    let mut builder = Builder::new(Arc::clone(model));
    for tuple in &tuples[..base] {
        builder.apply(&Change::Put(tuple.clone())).unwrap();
    }
    let mut snapshot = builder.build().unwrap();
    for tuple in &tuples[base..] {
        snapshot.apply(&Change::Put(tuple.clone())).unwrap();
    }
    snapshot
}

fn ask(
    model: &Model,
    snapshot: &Snapshot,
    plan: &Plan,
    q: &Question,
    tuples: &[Tuple],
    now: Time,
) -> Value {
    let (subject, permission) = (q.subject.to_string(), model.name_of(q.permission));
    let context = engine::CheckedContext::new(q.context.clone()).unwrap();
    let scope = q.scope.as_str();
    let question = engine::Question::parse(model, &subject, permission, scope, context).unwrap();
    let target = q.target.as_ref().map(ToString::to_string).unwrap_or_default();
    let question = question.with_target(model, &target).unwrap();
    let decision = engine::check(snapshot, plan, &question, now, true).unwrap();
    // Without a grant to name there is a shorter way to some decisions.
    let short = engine::check(snapshot, plan, &question, now, false).unwrap();
    assert_eq!((short.reason(), short.missing()), (decision.reason(), decision.missing()));
    if let Some(grant) = decision.grant() {
        assert!(decision.is_allow(), "only an allow has a grant");
        assert!(tuples.contains(&grant.tuple) && grant.tuple.is_live(now), "{grant:?}");
    }
    value(&decision)
}

fn value(decision: &Decision) -> Value {
    match decision.reason() {
        Reason::Granted => Value::Yes,
        Reason::MissingContext => Value::Unknown,
        Reason::NotGranted | Reason::NotApplicable => Value::No,
        delegated @ (Reason::NotBindable | Reason::NotDelegated | Reason::TargetNotEligible) => {
            panic!("a check was answered {delegated:?}")
        }
    }
}

/// The oracle's answers; questions that share subject and context share their finished cells.
fn oracle(
    model: &Model,
    tuples: &[Tuple],
    questions: &[Question],
    now: Time,
    mutation: Option<Mutation>,
) -> Vec<Outcome> {
    let same = |a: &Question, b: &Question| {
        a.subject == b.subject
            && a.target == b.target
            && a.context == b.context
            && a.contextual == b.contextual
    };
    let mut outcomes = Vec::with_capacity(questions.len());
    for batch in questions.chunk_by(same) {
        let (u, context): (&Subject, &Context) = (&batch[0].subject, &batch[0].context);
        let tuples = merged(tuples, &batch[0].contextual, mutation);
        let solver = Oracle::new(model, &tuples, u, context, now, mutation);
        let mut solver = solver.about(batch[0].target.as_ref());
        outcomes.extend(batch.iter().map(|q| solver.decide(q.permission, &q.scope)));
    }
    outcomes
}

/// Asks a world's questions of both; counts what they met, and gives the first difference.
fn compare(
    world: &World,
    answer: impl Fn(&Arc<Model>, &[Tuple], &[Question], Time) -> Vec<Value>,
    coverage: &mut Coverage,
) -> Option<Disagreement> {
    let (model, tuples) = (&world.model, &world.tuples);
    let expected = oracle(model, tuples, &world.questions, NOW, None);
    let answers = answer(model, tuples, &world.questions, NOW);
    assert_eq!(answers.len(), expected.len(), "an answer per question");
    let cyclic = world.has_group_cycle();
    let brings = world.questions.iter().filter(|question| !question.contextual.is_empty());
    let plain: Vec<Question> = brings.map(without_contextual).collect();
    let mut plain = oracle(model, tuples, &plain, NOW, None).into_iter();
    let about = world.questions.iter().filter(|question| question.target.is_some());
    let untargeted: Vec<Question> = about.map(without_target).collect();
    let mut untargeted = oracle(model, tuples, &untargeted, NOW, None).into_iter();
    for (question, outcome) in world.questions.iter().zip(&expected) {
        let mut marks = marks_of(world, question, *outcome, cyclic);
        if !question.contextual.is_empty() {
            let without = plain.next().unwrap();
            marks.add_if(without.value != outcome.value, Mark::ContextualDecides);
        }
        if question.target.is_some() {
            let without = untargeted.next().unwrap();
            let allowed = outcome.value == Value::Yes && without.value != Value::Yes;
            marks.add_if(allowed, Mark::TargetDecides);
        }
        coverage.add(marks);
    }
    let differs = |(expected, answer): (&Outcome, &Value)| expected.value != *answer;
    let at = expected.iter().zip(&answers).position(differs)?;
    let question = &world.questions[at];
    let both = |tuples: &[Tuple], contextual: &[Tuple]| {
        let asked = [Question { contextual: contextual.to_vec(), ..question.clone() }];
        (oracle(model, tuples, &asked, NOW, None)[0].value, answer(model, tuples, &asked, NOW)[0])
    };
    let differ = |tuples: &[Tuple], contextual: &[Tuple]| {
        let (oracle, answer) = both(tuples, contextual);
        oracle != answer
    };
    let contextual = shrink(&question.contextual, |fewer| differ(tuples, fewer));
    let tuples = shrink(tuples, |fewer| differ(fewer, &contextual));
    let (oracle, answer) = both(&tuples, &contextual);
    let question = Question { contextual, ..question.clone() };
    Some(Disagreement { question, tuples, oracle, answer })
}

fn without_contextual(question: &Question) -> Question {
    Question { contextual: Vec::new(), ..question.clone() }
}

fn without_target(question: &Question) -> Question {
    Question { target: None, ..question.clone() }
}

/// Drops tuples, one at a time and for as long as that goes, while `fails` still holds.
pub(super) fn shrink(tuples: &[Tuple], fails: impl Fn(&[Tuple]) -> bool) -> Vec<Tuple> {
    let mut kept = tuples.to_vec();
    loop {
        let before = kept.len();
        for at in (0..before).rev() {
            let mut fewer = kept.clone();
            fewer.remove(at);
            if fails(&fewer) {
                kept = fewer;
            }
        }
        if kept.len() == before {
            return kept;
        }
    }
}

fn marks_of(world: &World, question: &Question, outcome: Outcome, cyclic: bool) -> Marks {
    let mut marks = outcome.marks;
    let value = outcome.value;
    marks.add(if value == Value::Yes { Mark::Allow } else { Mark::Deny });
    marks.add_if(value == Value::Unknown, Mark::UnknownResult);
    marks.add_if(cyclic && marks.has(Mark::SetMatch), Mark::GroupCycle);
    match question.subject {
        Subject::Object(_) => {}
        Subject::Set(..) => marks.add(Mark::SubjectIsSet),
        Subject::All(_) => marks.add(Mark::SubjectIsAll),
    }
    contextual_marks(world, question, &mut marks);
    // A reach counts where it gave something: a row that never allows tests little.
    if value == Value::Yes
        && let Some(reach) = world.text.reaches.get(world.model.name_of(question.permission))
    {
        marks.add(*reach);
    }
    marks
}

fn contextual_marks(world: &World, question: &Question, marks: &mut Marks) {
    let named = |object: &Object| {
        let names = |tuple: &Tuple| match &tuple.key.subject {
            Subject::Object(x) | Subject::Set(x, _) => x == object || tuple.key.scope == *object,
            Subject::All(_) => tuple.key.scope == *object,
        };
        world.tuples.iter().any(names)
    };
    for own in &question.contextual {
        let is_edge = |name| {
            let at = world.model.type_id(own.key.scope.type_name());
            at.and_then(|at| world.model.type_def(at)?.edge(name)).is_some()
        };
        marks.add_if(world.tuples.iter().any(|t| t.key == own.key), Mark::ContextualReplaces);
        marks.add_if(!own.is_live(NOW), Mark::ContextualExpired);
        marks.add_if(own.condition.is_some(), Mark::ContextualCondition);
        let name = world.model.name_id(own.key.role.as_str());
        marks.add_if(name.is_some_and(is_edge), Mark::ContextualEdge);
        marks.add_if(own.key.role.as_str() == "has", Mark::ContextualFact);
        marks.add_if(matches!(own.key.subject, Subject::Set(..)), Mark::ContextualSet);
        marks.add_if(!named(&own.key.scope), Mark::ContextualName);
    }
}

pub(super) fn seed() -> u64 {
    number("BAILIWICK_SEED").unwrap_or_else(|| fastrand::u64(..))
}

/// A number from the environment.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[test]
fn what_is_under_test_agrees_with_the_oracle() {
    let (seed, started) = (seed(), Instant::now());
    println!("BAILIWICK_SEED={seed}");
    let worlds = number("BAILIWICK_WORLDS").unwrap_or(WORLDS);
    let next = AtomicU64::new(0);
    let total = Mutex::new((Coverage::new(), 0));
    let failure = Mutex::new(None);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= worlds {
                return;
            }
            match ask_one_world(seed.wrapping_add(at)) {
                Ok((coverage, refused)) => {
                    let mut total = total.lock().unwrap();
                    total.0.merge(&coverage);
                    total.1 += refused;
                }
                Err(report) => {
                    next.store(worlds, Ordering::Relaxed);
                    failure.lock().unwrap().get_or_insert(report);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    if let Some(report) = failure.into_inner().unwrap() {
        panic!("{report}");
    }
    let (coverage, refused) = total.into_inner().unwrap();
    println!("{worlds} worlds in {:?}, {refused} more models refused", started.elapsed());
    coverage.print();
    coverage.assert_sufficient();
    assert!(coverage.questions >= DECISIONS_MIN, "too few decisions");
}

/// What one world's questions met, and how many models were refused on the way to it; or a report of
/// the first difference, or of a panic, whose own message has been printed by then.
fn ask_one_world(seed: u64) -> Result<(Coverage, usize), String> {
    let asked = std::panic::catch_unwind(|| {
        let world = World::generate(seed);
        let mut coverage = Coverage::new();
        match compare(&world, under_test, &mut coverage) {
            None => Ok((coverage, world.refused)),
            Some(found) => Err(report(&world, &found)),
        }
    });
    asked
        .unwrap_or_else(|_| Err(format!("a panic; BAILIWICK_SEED={seed} makes it the first world")))
}

/// The worlds in which a mistake could hide must show each of these, or agreement proves nothing.
#[test]
fn deliberate_mistakes_are_found() {
    let seed = seed();
    println!("BAILIWICK_SEED={seed}");
    for mutation in [
        Mutation::ExceptIsTwoValued,
        Mutation::UpAllOfNothingIsYes,
        Mutation::ExpiryIsInclusive,
        Mutation::WildcardIgnoresType,
        Mutation::SetIsNotItself,
        Mutation::NearestFactsTakeTheGreatest,
        Mutation::StandingOfSetIsNo,
        Mutation::AnywhereIgnoresTheSubject,
        Mutation::FactIgnoresUnknownEdges,
        Mutation::RequestWinsOverStored,
        Mutation::ContextualStandsBeside,
        Mutation::ContextualNeverExpires,
        Mutation::ContextualHasNoCondition,
        Mutation::TargetIsTheSubject,
        Mutation::NoTargetIsNo,
        Mutation::LinksHaveNoConditions,
        Mutation::OnlyTheOthersLinkHasACondition,
        Mutation::LinksAreTransitive,
    ] {
        let mut asked = Coverage::new();
        let found = (0..WORLDS_TO_FIND_A_MISTAKE).find_map(|at| {
            let world = World::generate(seed.wrapping_add(at));
            let mistaken = |model: &Arc<Model>, tuples: &[Tuple], questions: &[Question], now| {
                let outcomes = oracle(model, tuples, questions, now, Some(mutation));
                outcomes.into_iter().map(|outcome| outcome.value).collect()
            };
            compare(&world, mistaken, &mut asked).map(|found| (world, found))
        });
        let Some((world, found)) = found else {
            panic!("{mutation:?} is not found in {} questions", asked.questions);
        };
        println!("{mutation:?}: found within {} questions", asked.questions);
        assert_ne!(found.oracle, found.answer, "{}", report(&world, &found));
        assert_report_can_be_pasted(&world, &found);
    }
}

fn assert_report_can_be_pasted(world: &World, found: &Disagreement) {
    let text = scenario(world, found);
    let files = SourceFiles::from_iter([(TESTS_FILE, text.as_str())]);
    let read = Scenarios::parse(&files).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let tuples: Vec<_> = read[0].tuples.iter().map(|placed| placed.value.clone()).collect();
    assert_eq!(tuples, found.tuples, "{text}");
    let question = &read[0].questions[0];
    assert_eq!(question.subject, found.question.subject.to_string());
    assert_eq!(question.scope, found.question.scope.as_str());
    let target = found.question.target.as_ref().map(ToString::to_string);
    assert_eq!(question.target, target, "{text}");
    assert_eq!(question.context, found.question.context, "{text}");
    assert_eq!(read[0].now, Some(NOW));
}
