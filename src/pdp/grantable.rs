//! Questions about delegation at one revision and one moment: what a delegated change would be answered
//! if it came now. Writes nothing.

use super::delegation::{Asked, DelegatedChange, DelegatedRequest, DelegationError, Operation};
use super::pending::Pending;
use super::{Reading, WriteError};
use crate::engine::{CheckedContext, DelegatedQuestion};
use crate::model::form::{DelegatedOp, Model};
use crate::model::names::{Name, Object, Subject};

/// May an actor do something with a role?
#[derive(Debug, Clone, PartialEq)]
pub struct GrantQuestion {
    /// Who.
    pub actor: Object,
    /// For whom, if that is known.
    pub target: Option<Subject>,
    /// Where.
    pub scope: Object,
    /// Values for conditions.
    pub context: CheckedContext,
}

impl Reading {
    /// Whether the actor may do this verb with this role, and in its place have the target have another,
    /// if one is given. With a target, and by a verb that changes tuples: whether that change would be
    /// committed now. Costs what the change would.
    ///
    /// # Errors
    /// The actor may not ([`DelegationError::is_denial`]), or there is no answer.
    pub fn can_grant(
        &self,
        question: &GrantQuestion,
        verb: &Name,
        role: &Name,
        new_role: Option<&Name>,
    ) -> Result<(), DelegationError> {
        let model = self.model();
        question.resolve(model, verb, role)?;
        let op = model.delegated_verb(verb.as_str()).and_then(|verb| verb.op);
        if new_role.is_some() && op != Some(DelegatedOp::Replace) {
            return Err(DelegationError::NothingReplaced { verb: verb.to_string() });
        }
        let pending = self.pending();
        if let Some(target) = &question.target
            && let Some(change) = op.and_then(|op| change(op, role, new_role))
        {
            return question.would(&pending, target, change);
        }
        let judge = pending.judge_of_delegation();
        match new_role {
            None => judge.ask(question.asked(verb), (role, "role"), false),
            Some(new_role) if new_role == role => {
                Err(DelegationError::SameRole { role: role.to_string() })
            }
            Some(new_role) => {
                judge.ask(question.asked(verb), (role, "role"), true)?;
                judge.ask(question.asked(verb), (new_role, "new_role"), false)
            }
        }
    }

    /// Each role that can be bound at the scope, in the model's order, and whether the actor may grant it:
    /// with a target, whether the grant would be committed now. Computed as it is consumed.
    ///
    /// # Errors
    /// A name is not the model's, or none of its verbs grants.
    pub fn grantable(
        &self,
        question: GrantQuestion,
    ) -> Result<impl Iterator<Item = (Name, Result<(), DelegationError>)> + use<>, DelegationError>
    {
        let model = self.model();
        let grant = DelegatedOp::Grant;
        let Some(verb) = model.verb_that(grant).map(|verb| verb.name.clone()) else {
            return Err(DelegationError::OperationNotDelegated { operation: Operation(grant) });
        };
        let roles = model.types.iter().flat_map(|def| &def.roles).map(|role| role.name);
        let name = |id| Name::parse(model.name_of(id)).ok();
        // Whatever the role: the other names must be the model's.
        if let Some(any) = roles.clone().next().and_then(name) {
            question.resolve(model, &verb, &any)?;
        }
        let at = model.type_id(question.scope.type_name());
        let here = at.and_then(|at| model.type_def(at)).map(|def| def.roles.as_slice());
        let here: Vec<Name> =
            here.unwrap_or_default().iter().filter_map(|role| name(role.name)).collect();
        let pending = self.pending();
        Ok(here.into_iter().map(move |role| {
            let answer = match (&question.target, change(grant, &role, None)) {
                (Some(target), Some(change)) => question.would(&pending, target, change),
                _ => {
                    let asked = question.asked(&verb);
                    pending.judge_of_delegation().ask(asked, (&role, "role"), false)
                }
            };
            (role, answer)
        }))
    }

    fn pending(&self) -> Pending {
        Pending::to_try(self.published(), self.now())
    }
}

impl GrantQuestion {
    fn asked<'a>(&'a self, verb: &'a Name) -> Asked<'a> {
        let Self { actor, target, scope, context } = self;
        Asked { actor, verb: verb.as_str(), target: target.as_ref(), scope, context }
    }

    /// Whether the names are the model's.
    fn resolve(&self, model: &Model, verb: &Name, role: &Name) -> Result<(), DelegationError> {
        let what = (self.actor.as_str(), verb.as_str(), role.as_str());
        let target = self.target.as_ref().map(ToString::to_string).unwrap_or_default();
        let context = CheckedContext::default();
        DelegatedQuestion::parse(model, what, self.scope.as_str(), &target, context)?;
        Ok(())
    }

    /// Whether the change would be committed.
    fn would(
        &self,
        pending: &Pending,
        target: &Subject,
        change: DelegatedChange,
    ) -> Result<(), DelegationError> {
        let Self { actor, scope, context, .. } = self.clone();
        let target = target.clone();
        let request = DelegatedRequest { actor, target, scope, change, context, key: None };
        match pending.delegate(&request) {
            Ok(_) => Ok(()),
            Err(WriteError::Delegation(error)) => Err(*error),
            // A tuple of a role without a condition breaks no other rule.
            Err(other) => Err(DelegationError::Fault(other.to_string())),
        }
    }
}

/// The change that a verb makes; none if it takes another role to make it.
fn change(op: DelegatedOp, role: &Name, new_role: Option<&Name>) -> Option<DelegatedChange> {
    let role = role.clone();
    Some(match op {
        DelegatedOp::Grant => {
            let reason = String::new();
            DelegatedChange::Grant { role, expires_at: None, reason, parent: None }
        }
        DelegatedOp::Revoke => DelegatedChange::Revoke { role },
        DelegatedOp::Replace => {
            let (new_role, reason) = (new_role?.clone(), String::new());
            DelegatedChange::Replace { role, new_role, expires_at: None, reason }
        }
    })
}
