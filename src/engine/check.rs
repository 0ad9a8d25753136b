//! One question, one decision.

use super::eval::Eval;
use super::plan::Plan;
use super::reach::{Ground, Keys, Looks, StageId, reach};
use super::steps::Steps;
use super::value::{Value, Why};
use super::view::View;
use super::{CheckedContext, Decision, EngineError, Question, Reason};
use crate::index::{ObjectId, Snapshot, SubjectKey};
use crate::model::form::{DefKind, Model, NameId, TypeId};
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
    let names = (view.asked_object(question.scope), view.asked_subject(question.subject));
    let way = |view: &View<'_>, stage, asked, looks: &mut Looks| {
        walked(view, plan, now, (stage, asked), looks)
    };
    Asking { plan, question, now, with_grant }.decide(view, names, steps, way)
}

/// The short way from a stage, for a plain subject at a scope.
#[inline]
pub(super) fn walked(
    view: &View<'_>,
    plan: &Plan,
    now: Time,
    (stage, (subject, scope)): (StageId, (ObjectId, ObjectId)),
    looks: &mut Looks,
) -> Option<bool> {
    let ground = Ground::new(view.snapshot, now);
    let mut keys = Keys::none();
    keys.find(&ground, plan, subject, || view.type_of(subject), looks)?;
    reach(&ground, plan.map(), (stage, scope), &keys, looks)
}

/// A question, and how it is asked.
pub(super) struct Asking<'q> {
    pub(super) plan: &'q Plan,
    pub(super) question: &'q Question<'q>,
    pub(super) now: Time,
    pub(super) with_grant: bool,
}

impl Asking<'_> {
    /// Decides. `names`: the question's scope and subject, as the view has them; `way`: the short way from a
    /// stage for a plain subject at a scope.
    #[inline]
    pub(super) fn decide(
        self,
        mut view: View<'_>,
        names: (Option<ObjectId>, Option<SubjectKey>),
        steps: &mut Steps,
        way: impl FnOnce(&View<'_>, StageId, (ObjectId, ObjectId), &mut Looks) -> Option<bool>,
    ) -> Result<Decision, EngineError> {
        let Self { plan, question, now, with_grant } = self;
        let denied = |reason, missing| Decision { reason, missing, grant: None };
        let (Some(scope), Some(subject)) = names else {
            // Resolved against another model: nothing of it is known here.
            return Ok(denied(Reason::NotApplicable, Vec::new()));
        };
        let target = question.target.as_deref().map(|target| view.asked_subject(*target));
        if target == Some(None) {
            return Ok(denied(Reason::NotApplicable, Vec::new()));
        }
        let (of, permission) = (view.type_of(scope), question.permission);
        let stage = start(plan, of, permission).filter(|_| of == Some(question.scope_type));
        if stage.is_none() && !is_permission(view.model(), question.scope_type, permission) {
            return Ok(denied(Reason::NotApplicable, Vec::new()));
        }
        let mut looks = Looks::within(steps.left());
        let is_reached = match (stage, subject) {
            (Some(stage), SubjectKey::Object(subject)) => {
                way(&view, stage, (subject, scope), &mut looks)
            }
            _ => None,
        };
        steps.add(looks.count());
        let asked = (subject, permission, scope);
        match is_reached.filter(|is_reached| !(*is_reached && with_grant)) {
            Some(true) => {
                Ok(Decision { reason: Reason::Granted, missing: Vec::new(), grant: None })
            }
            Some(false) => Ok(denied(Reason::NotGranted, Vec::new())),
            None => {
                evaluated(&view, plan, asked, (question, target.flatten()), now, with_grant, steps)
            }
        }
    }
}

/// Decides by evaluation, with what the question brings along.
#[inline(never)]
fn evaluated(
    view: &View<'_>,
    plan: &Plan,
    (subject, permission, scope): (SubjectKey, NameId, ObjectId),
    (question, target): (&Question<'_>, Option<SubjectKey>),
    now: Time,
    with_grant: bool,
    steps: &mut Steps,
) -> Result<Decision, EngineError> {
    let mut eval = Eval::new(view, plan, subject, question.context.values(), now);
    (eval.target, eval.steps) = (target, *steps);
    let asked = ask(&mut eval, permission, scope);
    let is_asked_for = with_grant && asked == Value::Yes;
    let grant = if is_asked_for { eval.witness(permission, scope).map(Box::new) } else { None };
    *steps = eval.steps;
    let missing = || eval.missing.into_iter().collect();
    match asked {
        Value::Yes => Ok(Decision { reason: Reason::Granted, missing: Vec::new(), grant }),
        Value::No => Ok(Decision { reason: Reason::NotGranted, missing: Vec::new(), grant: None }),
        Value::Unknown(why) => match limit(why) {
            Some(error) => Err(error),
            None => {
                Ok(Decision { reason: Reason::MissingContext, missing: missing(), grant: None })
            }
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
    let of = view.type_of(scope);
    let stage = start(plan, of, permission);
    if stage.is_none() && !of.is_some_and(|of| is_permission(view.model(), of, permission)) {
        return Ok(Some(false));
    }
    let context = CheckedContext::default();
    known_from(
        &view,
        plan,
        stage,
        (SubjectKey::Object(subject), permission, scope),
        context.values(),
        now,
    )
}

fn is_permission(model: &Model, at: TypeId, name: NameId) -> bool {
    model.def(at, name).is_some_and(|def| def.kind == DefKind::Permission)
}

/// Where the short way to a permission starts. `None`: there is none.
#[inline]
fn start(plan: &Plan, at: Option<TypeId>, permission: NameId) -> Option<StageId> {
    plan.map().start_of_permission(at.filter(|_| plan.has_short_ways())?, permission)
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
    let of = view.type_of(scope).filter(|_| plan.has_short_ways());
    let stage = of.and_then(|of| plan.map().start(of, permission));
    known_from(view, plan, stage, (subject, permission, scope), context, now)
}

/// The same from where the short way starts, if there is one.
#[inline]
fn known_from(
    view: &View<'_>,
    plan: &Plan,
    stage: Option<StageId>,
    (subject, permission, scope): (SubjectKey, NameId, ObjectId),
    context: &Context,
    now: Time,
) -> Result<Option<bool>, EngineError> {
    if let (Some(stage), SubjectKey::Object(subject)) = (stage, subject) {
        let mut looks = Looks::within(Some(CHECK_STEPS_MAX));
        let is_reached = walked(view, plan, now, (stage, (subject, scope)), &mut looks);
        if is_reached.is_some() {
            return Ok(is_reached);
        }
    }
    known_by_evaluation(view, plan, (subject, permission, scope), context, now)
}

#[inline(never)]
fn known_by_evaluation(
    view: &View<'_>,
    plan: &Plan,
    (subject, permission, scope): (SubjectKey, NameId, ObjectId),
    context: &Context,
    now: Time,
) -> Result<Option<bool>, EngineError> {
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
