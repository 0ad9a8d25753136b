//! One question, one decision.

use super::eval::Eval;
use super::plan::Plan;
use super::reach::{Ground, Keys, Looks, reach};
use super::steps::Steps;
use super::value::{Value, Why};
use super::view::View;
use super::{CheckedContext, Decision, EngineError, Question, Reason};
use crate::index::{ObjectId, Snapshot, SubjectKey};
use crate::model::form::{DefKind, NameId};
use crate::model::limits::{CHECK_STEPS_MAX, DEPTH_MAX, EVALUATION_NESTING_MAX, OPEN_NAMES_MAX};
use crate::model::tuple::{Context, Time};

/// Decides a question that was resolved against this snapshot's model. Costs what the scope's depth
/// and the subject's groups cost.
///
/// # Errors
/// A limit was hit, and what lies beyond it would decide.
pub fn check(
    snapshot: &Snapshot,
    plan: &Plan,
    question: &Question<'_>,
    now: Time,
    with_grant: bool,
) -> Result<Decision, EngineError> {
    decide(snapshot, plan, question, now, with_grant, &mut Steps::default())
}

/// The same, if it takes no more steps than there are left; they become fewer. `None`: it takes more, and
/// none are left. What is decided is what [`check`] would decide.
///
/// # Errors
/// As of [`check`].
pub fn check_within(
    snapshot: &Snapshot,
    plan: &Plan,
    question: &Question<'_>,
    now: Time,
    with_grant: bool,
    left: &mut u64,
) -> Option<Result<Decision, EngineError>> {
    let mut steps = Steps::within(*left);
    let decided = decide(snapshot, plan, question, now, with_grant, &mut steps);
    let rest = steps.left();
    *left = rest.unwrap_or(0);
    rest.map(|_| decided)
}

fn decide(
    snapshot: &Snapshot,
    plan: &Plan,
    question: &Question<'_>,
    now: Time,
    with_grant: bool,
    steps: &mut Steps,
) -> Result<Decision, EngineError> {
    let mut view = View::new(snapshot);
    let denied = |reason, missing| Decision { reason, missing, grant: None };
    let (Some(scope), Some(subject)) =
        (view.asked_object(question.scope), view.asked_subject(question.subject))
    else {
        // Resolved against another model: nothing of it is known here.
        return Ok(denied(Reason::NotApplicable, Vec::new()));
    };
    let target = question.target.map(|target| view.asked_subject(target));
    if target == Some(None) {
        return Ok(denied(Reason::NotApplicable, Vec::new()));
    }
    let def = snapshot.model().def(question.scope_type, question.permission);
    if def.is_none_or(|def| def.kind != DefKind::Permission) {
        return Ok(denied(Reason::NotApplicable, Vec::new()));
    }
    let mut looks = Looks::within(steps.left());
    let is_reached = union(&view, plan, (subject, question.permission, scope), now, &mut looks);
    steps.add(looks.count());
    let (mut missing, mut grant) = (Vec::new(), None);
    let asked = match is_reached.filter(|is_reached| !(*is_reached && with_grant)) {
        Some(is_reached) => Value::from_bool(is_reached),
        None => {
            let mut eval = Eval::new(&view, plan, subject, question.context.values(), now);
            eval.target = target.flatten();
            eval.steps = *steps;
            let asked = ask(&mut eval, question.permission, scope);
            if with_grant && asked == Value::Yes {
                grant = eval.witness(question.permission, scope);
            }
            *steps = eval.steps;
            missing.extend(eval.missing);
            asked
        }
    };
    match asked {
        Value::Yes => Ok(Decision { reason: Reason::Granted, missing: Vec::new(), grant }),
        Value::No => Ok(denied(Reason::NotGranted, Vec::new())),
        Value::Unknown(why) => match limit(why) {
            Some(error) => Err(error),
            None => Ok(denied(Reason::MissingContext, missing)),
        },
    }
}

/// A question in the ids of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// Who: a plain object.
    pub subject: ObjectId,
    /// What.
    pub permission: NameId,
    /// Where.
    pub scope: ObjectId,
}

/// Whether the subject may, without values for conditions; `None`: that is not known. Costs what a check
/// costs but for finding the names.
///
/// # Errors
/// As of [`check`].
pub fn check_ids(
    snapshot: &Snapshot,
    plan: &Plan,
    ids: &Ids,
    now: Time,
) -> Result<Option<bool>, EngineError> {
    let view = View::new(snapshot);
    let Ids { subject, permission, scope } = *ids;
    let def = view.type_of(scope).and_then(|of| snapshot.model().def(of, permission));
    if def.is_none_or(|def| def.kind != DefKind::Permission) {
        return Ok(Some(false));
    }
    let subject = SubjectKey::Object(subject);
    known(&view, plan, (subject, permission, scope), CheckedContext::default().values(), now)
}

/// Whether a subject may, by the short way, before anything is set up to evaluate. `None`: that is not the
/// way to know.
fn union(
    view: &View<'_>,
    plan: &Plan,
    (subject, permission, scope): (SubjectKey, NameId, ObjectId),
    now: Time,
    looks: &mut Looks,
) -> Option<bool> {
    let SubjectKey::Object(subject) = subject else { return None };
    if !plan.has_short_ways() {
        return None;
    }
    let stage = plan.map().start(view.type_of(scope)?, permission)?;
    let ground = Ground::new(view.snapshot, now);
    let keys = Keys::of(ground, plan, (subject, view.type_of(subject)?), looks);
    reach(ground, plan.map(), (stage, scope), &keys, looks)
}

/// Whether a subject may, for the lists: their questions are resolved already.
pub(super) fn may(
    view: &View<'_>,
    plan: &Plan,
    (subject, permission, scope): (SubjectKey, NameId, ObjectId),
    context: &Context,
    now: Time,
) -> Result<bool, EngineError> {
    known(view, plan, (subject, permission, scope), context, now).map(|known| known == Some(true))
}

/// Whether a subject may; `None`: that is not known.
pub(super) fn known(
    view: &View<'_>,
    plan: &Plan,
    (subject, permission, scope): (SubjectKey, NameId, ObjectId),
    context: &Context,
    now: Time,
) -> Result<Option<bool>, EngineError> {
    let mut looks = Looks::within(Some(CHECK_STEPS_MAX));
    let is_reached = union(view, plan, (subject, permission, scope), now, &mut looks);
    if is_reached.is_some() {
        return Ok(is_reached);
    }
    let mut eval = Eval::new(view, plan, subject, context, now);
    match ask(&mut eval, permission, scope) {
        Value::Yes => Ok(Some(true)),
        Value::No => Ok(Some(false)),
        Value::Unknown(why) => limit(why).map_or(Ok(None), Err),
    }
}

pub(super) fn ask<'a>(eval: &mut Eval<'a>, permission: NameId, scope: ObjectId) -> Value {
    match eval.def(permission, scope) {
        Some(def) => eval.solve(&def.expr, scope, 0),
        None => Value::No,
    }
}

pub(super) fn limit(why: Why) -> Option<EngineError> {
    if why.has(Why::DEPTH) {
        Some(EngineError::DepthExceeded { limit: DEPTH_MAX })
    } else if why.has(Why::STEPS) {
        Some(EngineError::StepsExceeded { limit: CHECK_STEPS_MAX })
    } else if why.has(Why::NESTING) {
        Some(EngineError::NestingExceeded { limit: EVALUATION_NESTING_MAX })
    } else if why.has(Why::NAMES) {
        Some(EngineError::NestingExceeded { limit: OPEN_NAMES_MAX })
    } else {
        None
    }
}
