//! A delegated question, one decision: may the actor do this verb with this role, for this target, here?
//! And what somebody has there already. Knows the table's helpers, not who changes tuples.

use std::collections::BTreeSet;

use super::check::{ask, limit};
use super::eval::Eval;
use super::plan::Plan;
use super::question::{CheckedContext, QuestionError, parse_scope, parse_subject, unknown};
use super::value::Value;
use super::view::View;
use super::{Decision, EngineError, Reason};
use crate::index::{ObjectId, Snapshot, SubjectKey};
use crate::model::admission::admit;
use crate::model::form::{DelegatedOp, Expr, Model, NameId, TypeId};
use crate::model::names::{Name, Object, Subject, SyntaxError};
use crate::model::tuple::{Time, Tuple, TupleKey};

/// May `actor` do `verb` with `role` at `scope`, perhaps for a `target`? It holds names, so that it
/// may be decided by a later model than it was read against: what that one lacks is denied.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegatedQuestion {
    actor: Subject,
    verb: Name,
    role: Name,
    scope: Object,
    target: Option<Subject>,
    context: CheckedContext,
    takes: bool,
}

impl DelegatedQuestion {
    /// Reads a question, and resolves it against the model. An empty target is none.
    ///
    /// # Errors
    /// A field is malformed, or names what the model does not have.
    pub fn parse(
        model: &Model,
        (actor, verb, role): (&str, &str, &str),
        scope: &str,
        target: &str,
        context: CheckedContext,
    ) -> Result<Self, QuestionError> {
        let actor = parse_subject(model, "actor", actor)?;
        let verb = parse_verb(model, verb)?;
        let role = parse_role(model, role)?;
        let (scope, _) = parse_scope(model, scope)?;
        let target = Some(target).filter(|target| !target.is_empty());
        let target = target.map(|target| parse_subject(model, "target", target)).transpose()?;
        Ok(Self { actor, verb, role, scope, target, context, takes: false })
    }

    /// The same question about taking the role from the target, as the first half of a replacement does:
    /// the role's own gate is not asked of somebody who loses it. A verb that revokes always takes.
    #[must_use]
    pub fn taking(self) -> Self {
        Self { takes: true, ..self }
    }

    /// Whether the target comes to have the role.
    fn gives(&self, op: Option<DelegatedOp>) -> bool {
        matches!(op, Some(DelegatedOp::Grant | DelegatedOp::Replace)) && !self.takes
    }
}

fn parse_verb(model: &Model, text: &str) -> Result<Name, QuestionError> {
    let syntax = |error: SyntaxError| QuestionError::Syntax { field: "verb", error };
    let name = Name::parse(text).map_err(syntax)?;
    let known = model.delegation.verbs.iter().map(|verb| verb.name.as_str());
    let found = model.delegated_verb(text).is_some();
    if found { Ok(name) } else { Err(unknown("verb", "verb", text, known)) }
}

fn parse_role(model: &Model, text: &str) -> Result<Name, QuestionError> {
    let syntax = |error: SyntaxError| QuestionError::Syntax { field: "role", error };
    let name = Name::parse(text).map_err(syntax)?;
    let roles = || model.types.iter().flat_map(|def| &def.roles);
    let known = || roles().map(|role| model.name_of(role.name));
    let id = model.name_id(text);
    let found = id.is_some_and(|id| roles().any(|role| role.name == id));
    if found { Ok(name) } else { Err(unknown("role", "role", text, known())) }
}

/// Decides a delegated question at this snapshot. Costs up to three checks: what the actor may, and the
/// role's own gate for the scope and for the target. The actor comes first: who may not is told nothing
/// of the target.
///
/// # Errors
/// A limit was hit, and what lies beyond it would decide.
pub fn delegated(
    snapshot: &Snapshot,
    plan: &Plan,
    question: &DelegatedQuestion,
    now: Time,
) -> Result<Decision, EngineError> {
    let answer = |reason| Ok(Decision { reason, missing: Vec::new(), grant: None });
    let model = snapshot.model();
    let Some(key) = bound(model, question) else { return answer(Reason::NotBindable) };
    let Some(verb) = model.delegated_verb(question.verb.as_str()) else {
        return answer(Reason::NotDelegated);
    };
    let gives = question.gives(verb.op);
    if gives && !can_hold(model, question) {
        return answer(Reason::NotBindable);
    }
    let mut view = View::new(snapshot);
    let target = question.target.as_ref().map(|target| view.subject(target));
    let (Some(&row), Some(actor), Some(scope), false) = (
        verb.rows.get(&key),
        view.subject(&question.actor),
        view.object(&question.scope),
        target == Some(None),
    ) else {
        return answer(Reason::NotDelegated);
    };
    let mut deciding = Deciding {
        view: &view,
        plan,
        scope,
        question,
        target: target.flatten(),
        now,
        missing: BTreeSet::new(),
    };
    let gate = model.delegation.role_gates.get(&key).filter(|_| gives);
    let mut value = deciding.value(actor, row);
    if value == Value::No {
        return answer(Reason::NotDelegated);
    }
    if let Some(helper) = gate.and_then(|gate| gate.scope) {
        value = value.and(deciding.value(actor, helper));
        if value == Value::No {
            return answer(Reason::NotBindable);
        }
    }
    if let Some(helper) = gate.and_then(|gate| gate.subject) {
        value = value.and(deciding.value_for_target(helper));
        if value == Value::No {
            return answer(Reason::TargetNotEligible);
        }
    }
    match value {
        Value::Yes => answer(Reason::Granted),
        Value::No => answer(Reason::NotDelegated),
        Value::Unknown(why) => match limit(why) {
            Some(error) => Err(error),
            None => {
                let missing = deciding.missing.into_iter().collect();
                Ok(Decision { reason: Reason::MissingContext, missing, grant: None })
            }
        },
    }
}

/// Whether the subject has the role bound at this very scope in any way: by a tuple of its own of any
/// source, for all of its type, or through a set; also where a condition on it is not known to hold.
/// Costs what a check of that role costs.
///
/// # Errors
/// A limit was hit, and what lies beyond it would decide.
pub fn may_hold_here(
    snapshot: &Snapshot,
    plan: &Plan,
    (subject, role, scope): (&Subject, &Name, &Object),
    context: &CheckedContext,
    now: Time,
) -> Result<bool, EngineError> {
    let Some(role) = snapshot.model().name_id(role.as_str()) else { return Ok(false) };
    let mut view = View::new(snapshot);
    let (Some(subject), Some(scope)) = (view.subject(subject), view.object(scope)) else {
        return Ok(false);
    };
    let here = Expr::Here(role);
    let value = Eval::new(&view, plan, subject, context.values(), now).solve(&here, scope, 0);
    match value {
        Value::No => Ok(false),
        Value::Yes => Ok(true),
        Value::Unknown(why) => limit(why).map_or(Ok(true), Err),
    }
}

/// The role at the scope's type, if it can be bound there.
fn bound(model: &Model, question: &DelegatedQuestion) -> Option<(TypeId, NameId)> {
    let at = model.type_id(question.scope.type_name())?;
    let role = model.name_id(question.role.as_str())?;
    model.type_def(at)?.role(role).map(|_| (at, role))
}

/// Whether the target, if there is one, can be given the role there: the model admits it, and it is not
/// all of a type. Who may give a role to anybody is not thereby let give it to everybody.
fn can_hold(model: &Model, question: &DelegatedQuestion) -> bool {
    question.target.as_ref().is_none_or(|target| {
        if matches!(target, Subject::All(_)) {
            return false;
        }
        let key = TupleKey {
            scope: question.scope.clone(),
            role: question.role.clone(),
            subject: target.clone(),
            source: String::new(),
        };
        admit(model, &Tuple::plain(key)).is_ok()
    })
}

/// Asks for helpers at one scope, for one subject after the other.
struct Deciding<'a> {
    view: &'a View<'a>,
    plan: &'a Plan,
    scope: ObjectId,
    question: &'a DelegatedQuestion,
    target: Option<SubjectKey>,
    now: Time,
    missing: BTreeSet<String>,
}

impl Deciding<'_> {
    fn value(&mut self, subject: SubjectKey, helper: NameId) -> Value {
        let context = self.question.context.values();
        let mut eval = Eval::new(self.view, self.plan, subject, context, self.now);
        eval.target = self.target;
        let value = ask(&mut eval, helper, self.scope);
        if matches!(value, Value::Unknown(_)) {
            self.missing.append(&mut eval.missing);
        }
        value
    }

    fn value_for_target(&mut self, helper: NameId) -> Value {
        match self.target {
            Some(target) => self.value(target, helper),
            None => {
                self.missing.insert("target".to_owned());
                Value::MISSING
            }
        }
    }
}
