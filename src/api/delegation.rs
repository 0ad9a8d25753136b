//! `DelegationService` on the wire: Grant, Revoke, Replace, CanGrant, ListGrantableRoles.

use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use super::Adapter;
use super::convert::{
    carried, context_from_wire, key_of_request, missing, reason_to_wire, time_from_wire,
};
use super::freshness::Fresh;
use super::guard::{Deadline, deadline_exceeded};
use super::pb::v1 as pb;
use super::status::ApiError;
use super::values::Values;
use crate::engine::{CheckedContext, Reason};
use crate::index::ConstraintError;
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::Time;
use crate::pdp::{
    DelegatedChange, DelegatedRequest, DelegationError, GrantQuestion, Parent, Reading, Written,
};

#[tonic::async_trait]
impl pb::delegation_service_server::DelegationService for Adapter {
    async fn grant(
        &self,
        request: Request<pb::GrantRequest>,
    ) -> Result<Response<pb::GrantResponse>, Status> {
        let request = request.into_inner();
        let change = DelegatedChange::Grant {
            role: name("role", &request.role)?,
            expires_at: end(request.expires_at)?,
            reason: carried("reason", request.reason)?,
            parent: request.parent.as_ref().map(parent).transpose()?,
        };
        let (actor, target, scope) = (&request.actor, &request.target, &request.scope);
        let key = request.idempotency_key;
        let written = self.delegate((actor, target, scope), change, request.context, &key).await?;
        let (revision, token, changed) = parts(&written);
        Ok(Response::new(pb::GrantResponse { revision, token, changed }))
    }

    async fn revoke(
        &self,
        request: Request<pb::RevokeRequest>,
    ) -> Result<Response<pb::RevokeResponse>, Status> {
        let request = request.into_inner();
        let change = DelegatedChange::Revoke { role: name("role", &request.role)? };
        let (actor, target, scope) = (&request.actor, &request.target, &request.scope);
        let key = request.idempotency_key;
        let written = self.delegate((actor, target, scope), change, request.context, &key).await?;
        let (revision, token, changed) = parts(&written);
        Ok(Response::new(pb::RevokeResponse { revision, token, changed }))
    }

    async fn replace(
        &self,
        request: Request<pb::ReplaceRequest>,
    ) -> Result<Response<pb::ReplaceResponse>, Status> {
        let request = request.into_inner();
        let change = DelegatedChange::Replace {
            role: name("role", &request.role)?,
            new_role: name("new_role", &request.new_role)?,
            expires_at: end(request.expires_at)?,
            reason: carried("reason", request.reason)?,
        };
        let (actor, target, scope) = (&request.actor, &request.target, &request.scope);
        let key = request.idempotency_key;
        let written = self.delegate((actor, target, scope), change, request.context, &key).await?;
        let (revision, token, changed) = parts(&written);
        Ok(Response::new(pb::ReplaceResponse { revision, token, changed }))
    }

    async fn can_grant(
        &self,
        request: Request<pb::CanGrantRequest>,
    ) -> Result<Response<pb::CanGrantResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let fresh = Fresh::new(request.consistency.as_ref(), &extensions);
        let reading = self.shared.read_at(fresh).await?;
        let pb::CanGrantRequest { actor, verb, role, scope, target, new_role, context, .. } =
            request;
        let question = question((&actor, &target, &scope), context)?;
        let (verb, role) = (name("verb", &verb)?, name("role", &role)?);
        let new_role = (!new_role.is_empty()).then(|| name("new_role", &new_role)).transpose()?;
        let answer = reading.can_grant(&question, &verb, &role, new_role.as_ref());
        Ok(Response::new(answered(&reading, answer)?))
    }

    async fn list_grantable_roles(
        &self,
        request: Request<pb::ListGrantableRolesRequest>,
    ) -> Result<Response<pb::ListGrantableRolesResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let fresh = Fresh::new(request.consistency.as_ref(), &extensions);
        let reading = self.shared.read_at(fresh).await?;
        let pb::ListGrantableRolesRequest { actor, scope, target, context, .. } = request;
        let question = question((&actor, &target, &scope), context)?;
        let deadline = extensions.get::<Deadline>().copied();
        // A model may have thousands of roles.
        let listed = tokio::task::spawn_blocking(move || grantable(&reading, question, deadline));
        let listed = listed.await.map_err(|error| ApiError::internal(&error))?;
        Ok(Response::new(listed?))
    }
}

impl Adapter {
    /// Commits a change of the actor's for the target at the scope.
    async fn delegate(
        &self,
        (actor, target, scope): (&str, &str, &str),
        change: DelegatedChange,
        context: Option<Values>,
        key: &str,
    ) -> Result<Written, ApiError> {
        let request = DelegatedRequest {
            actor: object("actor", actor)?,
            target: subject("target", target)?,
            scope: object("scope", scope)?,
            change,
            context: checked(context)?,
            key: key_of_request(key)?,
        };
        Ok(self.shared.pdp()?.delegate(request).await?)
    }
}

fn parts(written: &Written) -> (u64, String, u64) {
    (written.token.revision.0, written.token.to_string(), written.changed as u64)
}

fn question(
    (actor, target, scope): (&str, &str, &str),
    context: Option<Values>,
) -> Result<GrantQuestion, ApiError> {
    Ok(GrantQuestion {
        actor: object("actor", actor)?,
        target: (!target.is_empty()).then(|| subject("target", target)).transpose()?,
        scope: object("scope", scope)?,
        context: checked(context)?,
    })
}

/// A denial is an answer, whatever else there is an error.
fn answered(
    reading: &Reading,
    answer: Result<(), DelegationError>,
) -> Result<pb::CanGrantResponse, ApiError> {
    let token = reading.token();
    let (revision, token) = (token.revision.0, token.to_string());
    let (decision, reason, missing, message) = match answer {
        Ok(()) => (pb::Decision::Allow, pb::Reason::Granted, Vec::new(), String::new()),
        Err(error) => match denial(&error) {
            Some(reason) => {
                let message = error.to_string();
                (pb::Decision::Deny, reason, missing_of(error), message)
            }
            None => return Err(error.into()),
        },
    };
    let (decision, reason) = (decision.into(), reason.into());
    Ok(pb::CanGrantResponse { decision, reason, missing, message, revision, token })
}

fn grantable(
    reading: &Reading,
    question: GrantQuestion,
    deadline: Option<Deadline>,
) -> Result<pb::ListGrantableRolesResponse, ApiError> {
    let (mut roles, mut undecided) = (Vec::new(), Vec::new());
    for (role, answer) in reading.grantable(question)? {
        // Nothing else ends a job on another thread.
        if deadline.is_some_and(|Deadline(end)| tokio::time::Instant::now() >= end) {
            return Err(deadline_exceeded());
        }
        let role = role.to_string();
        match answer {
            Ok(()) => roles.push(role),
            Err(error) => match denial(&error) {
                Some(pb::Reason::MissingContext) => {
                    undecided.push(pb::UndecidedRole { role, missing: missing_of(error) });
                }
                Some(_) => {}
                None => return Err(error.into()),
            },
        }
    }
    let token = reading.token();
    let (revision, token) = (token.revision.0, token.to_string());
    Ok(pb::ListGrantableRolesResponse { roles, undecided, revision, token })
}

/// The reason of a plain no; `None`: there is no answer.
fn denial(error: &DelegationError) -> Option<pb::Reason> {
    match error {
        _ if !error.is_denial() => None,
        DelegationError::Denied { reason, .. } => Some(match reason {
            // Made by yes alone, which is no error.
            Reason::Granted => pb::Reason::NotDelegated,
            reason => reason_to_wire(*reason),
        }),
        DelegationError::HasSource { .. } => Some(pb::Reason::TargetHasSource),
        DelegationError::NotHeld { .. } => Some(pb::Reason::RoleNotHeld),
        DelegationError::OtherTerms { .. } => Some(pb::Reason::HeldOnOtherTerms),
        DelegationError::Constraint { error, .. } => match error {
            ConstraintError::Exclusive { .. } => Some(pb::Reason::ConstraintExclusive),
            ConstraintError::AtMost { .. } => Some(pb::Reason::ConstraintAtMost),
            ConstraintError::KeepOne { .. } => Some(pb::Reason::ConstraintKeepOne),
            ConstraintError::TooLarge { .. } => None,
        },
        _ => None,
    }
}

fn missing_of(error: DelegationError) -> Vec<String> {
    match error {
        DelegationError::Denied { missing, .. } => missing,
        _ => Vec::new(),
    }
}

fn object(field: &str, text: &str) -> Result<Object, ApiError> {
    if text.is_empty() {
        return Err(missing(field));
    }
    Object::parse(text).map_err(|error| ApiError::syntax(field, &error))
}

fn subject(field: &str, text: &str) -> Result<Subject, ApiError> {
    if text.is_empty() {
        return Err(missing(field));
    }
    Subject::parse(text).map_err(|error| ApiError::syntax(field, &error))
}

fn name(field: &str, text: &str) -> Result<Name, ApiError> {
    if text.is_empty() {
        return Err(missing(field));
    }
    Name::parse(text).map_err(|error| ApiError::syntax(field, &error))
}

fn checked(context: Option<Values>) -> Result<CheckedContext, ApiError> {
    Ok(CheckedContext::new(context_from_wire("context", context)?)?)
}

fn end(wire: Option<Timestamp>) -> Result<Option<Time>, ApiError> {
    wire.map(|wire| time_from_wire("expires_at", &wire)).transpose()
}

fn parent(wire: &pb::ScopeParent) -> Result<Parent, ApiError> {
    Ok(Parent {
        relation: name("parent.relation", &wire.relation)?,
        object: object("parent.object", &wire.object)?,
    })
}
