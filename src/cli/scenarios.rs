//! Runs a model's scenarios, each in a service of its own over the memory store. Knows no wire and no
//! command line.

use std::sync::Arc;

use super::client::block_on;
use super::render;
use crate::api::convert::reason_to_wire;
use crate::api::status::ApiError;
use crate::engine::{
    CheckedContext, Decision, DelegatedQuestion, EngineError, QuestionError, RolesQuestion,
};
use crate::model::scenario::{
    Delegated, Expect, Placed, Question, RolesAsked, Scenario, Scenarios,
};
use crate::model::tuple::{Time, Tuple};
use crate::model::{Position, Problems, SourceFiles, load};
use crate::pdp::{Clock, Pdp, Reading, WriteChange, WriteError, stored_files};
use crate::store::memory::MemoryStore;

/// The moment of a scenario that names none: 2026-01-01T00:00:00Z.
const DEFAULT_NOW: Time = Time(1_767_225_600_000_000);

/// How the scenarios of a model went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestReport {
    /// Expectations that hold.
    pub passed: usize,
    /// What does not hold, in the order of the file.
    pub failures: Vec<Failure>,
}

/// An expectation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where it stands.
    pub at: Position,
    /// What came instead.
    pub message: String,
}

/// Runs every scenario of these files.
///
/// # Errors
/// The model or its scenarios have problems: nothing was run.
pub fn run_scenarios(files: &SourceFiles) -> Result<TestReport, Problems> {
    load(files, &std::collections::BTreeMap::new())?;
    let mut report = TestReport::default();
    for scenario in Scenarios::parse(files)? {
        match World::open(files, &scenario) {
            Ok(world) => world.judge(&scenario, &mut report),
            Err(failure) => report.failures.push(failure),
        }
    }
    Ok(report)
}

#[derive(Debug)]
struct FixedClock(Time);

impl Clock for FixedClock {
    fn now(&self) -> Time {
        self.0
    }
}

/// A scenario's service, with its tuples written.
struct World {
    pdp: Pdp,
}

impl Drop for World {
    fn drop(&mut self) {
        self.pdp.close();
    }
}

impl World {
    fn open(files: &SourceFiles, scenario: &Scenario) -> Result<Self, Failure> {
        let cannot = |at: &Position, what: String| Failure {
            at: at.clone(),
            message: format!("the scenario `{}` cannot run: {what}", scenario.name),
        };
        let model = load(files, &scenario.parameters)
            .map_err(|problems| cannot(&scenario.at, problems.to_string()))?;
        let stored = stored_files(files, &model);
        let clock = Arc::new(FixedClock(scenario.now.unwrap_or(DEFAULT_NOW)));
        let pdp = Pdp::open(Arc::new(MemoryStore::new()), model, stored, clock)
            .map_err(|error| cannot(&scenario.at, error.to_string()))?;
        let world = Self { pdp };
        // One commit each: a refusal then has the place of its tuple.
        for tuple in &scenario.tuples {
            let written = world.write(tuple);
            written.map_err(|error| cannot(&tuple.at, error.to_string()))?;
        }
        Ok(world)
    }

    fn write(&self, tuple: &Placed<Tuple>) -> Result<(), WriteError> {
        let change = WriteChange::Touch(tuple.value.clone());
        let written = block_on(async { Ok(self.pdp.write(vec![change]).await) });
        match written {
            Ok(outcome) => outcome.map(|_| ()),
            Err(error) => Err(WriteError::Unavailable(error.to_string())),
        }
    }

    fn judge(&self, scenario: &Scenario, report: &mut TestReport) {
        let reading = self.pdp.read();
        let mut note = |at: &Position, held: Result<(), String>| match held {
            Ok(()) => report.passed += 1,
            Err(what) => report
                .failures
                .push(Failure { at: at.clone(), message: format!("{}: {what}", scenario.name) }),
        };
        for question in &scenario.questions {
            note(&question.at, judge_question(&reading, question));
        }
        for question in &scenario.delegated {
            note(&question.at, judge_delegated(&reading, question));
        }
        for question in &scenario.roles {
            note(&question.at, judge_roles(&reading, question));
        }
        for tuple in &scenario.refused {
            note(&tuple.at, self.judge_refused(tuple));
        }
    }

    fn judge_refused(&self, tuple: &Placed<Tuple>) -> Result<(), String> {
        match self.write(tuple) {
            Err(
                WriteError::NotAdmitted { .. }
                | WriteError::Hierarchy { .. }
                | WriteError::Constraint { .. },
            ) => Ok(()),
            Err(error) => Err(format!(
                "`{}` was refused for no reason of the model: {error}",
                tuple.value.key
            )),
            Ok(()) => Err(format!("`{}` must be refused, and was stored", tuple.value.key)),
        }
    }
}

fn judge_question(reading: &Reading, asked: &Question) -> Result<(), String> {
    let Question { subject, permission, scope, target, .. } = asked;
    let about = target.as_ref().map(|target| format!(" about `{target}`")).unwrap_or_default();
    let words = format!("`{subject} {permission} {scope}`{about}");
    compare(&words, (asked.expect, asked.reason.as_deref()), answer(reading, asked))
}

fn judge_delegated(reading: &Reading, asked: &Delegated) -> Result<(), String> {
    let Delegated { actor, verb, role, scope, target, context, .. } = asked;
    let about = if target.is_empty() { String::new() } else { format!(" for {target}") };
    let words = format!("`{actor} {verb} {role} {scope}{about}`");
    let question = CheckedContext::new(context.clone()).and_then(|context| {
        let what = (actor.as_str(), verb.as_str(), role.as_str());
        DelegatedQuestion::parse(reading.model(), what, scope, target, context)
    });
    let answer = match question {
        Ok(question) => decided(reading.delegated(&question)),
        Err(error) => invalid(error),
    };
    compare(&words, (asked.expect, asked.reason.as_deref()), answer)
}

fn judge_roles(reading: &Reading, asked: &RolesAsked) -> Result<(), String> {
    let RolesAsked { subject, scope, context, expect, .. } = asked;
    let at = if scope.is_empty() { String::new() } else { format!(" at `{scope}`") };
    let question = CheckedContext::new(context.clone())
        .and_then(|context| RolesQuestion::parse(reading.model(), subject, scope, context));
    let question = question.map_err(|error| error.to_string())?;
    let list = reading.list_roles(question).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for entry in list {
        found.extend(entry.map_err(|error| error.to_string())?);
    }
    let found: Vec<_> = found.into_iter().map(|e| (e.scope.to_string(), e.role)).collect();
    if found == *expect {
        return Ok(());
    }
    let text = |roles: &[(String, String)]| {
        let texts: Vec<_> = roles.iter().map(|(scope, role)| format!("`{scope}#{role}`")).collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
    };
    let (wanted, got) = (text(expect), text(&found));
    Err(format!("the roles of `{subject}`{at} must be {wanted}, and are {got}"))
}

/// An answer, its reason code, and for what is no plain answer some words. `None`: a limit was hit,
/// which no scenario can expect.
type Answer = (Option<Expect>, String, String);

fn compare(
    question: &str,
    (expect, wanted): (Expect, Option<&str>),
    (answer, reason, why): Answer,
) -> Result<(), String> {
    if answer == Some(expect) && wanted.is_none_or(|wanted| wanted == reason) {
        return Ok(());
    }
    let wanted = match wanted {
        Some(reason) => format!("{} {reason}", text_of(expect)),
        None => text_of(expect).to_owned(),
    };
    let (got, why) = (
        answer.map_or("no answer", text_of),
        if why.is_empty() { why } else { format!(": {why}") },
    );
    Err(format!("{question} must be {wanted}, and is {got} {reason}{why}"))
}

fn answer(reading: &Reading, asked: &Question) -> Answer {
    let Question { subject, permission, scope, target, context, .. } = asked;
    let question = CheckedContext::new(context.clone())
        .and_then(|context| reading.question(subject, permission, scope, context))
        .and_then(|question| match target {
            Some(target) => question.with_target(reading.model(), target),
            None => Ok(question),
        });
    match question {
        Ok(question) => decided(reading.check(&question, false)),
        Err(error) => invalid(error),
    }
}

fn invalid(error: QuestionError) -> Answer {
    let words = error.to_string();
    (Some(Expect::Invalid), ApiError::from(error).refusal().text().to_owned(), words)
}

fn decided(decided: Result<Decision, EngineError>) -> Answer {
    match decided {
        Ok(decision) => {
            let expect = if decision.is_allow() { Expect::Allow } else { Expect::Deny };
            let reason = render::reason(reason_to_wire(decision.reason()).into());
            (Some(expect), reason.to_owned(), decision.missing().join(", "))
        }
        Err(error) => (None, String::new(), error.to_string()),
    }
}

fn text_of(expect: Expect) -> &'static str {
    match expect {
        Expect::Allow => "allow",
        Expect::Deny => "deny",
        Expect::Invalid => "invalid",
    }
}
