//! Delegated changes: an actor gives a target a role, takes it, or has one for another, if the model lets
//! the actor. Judged against one snapshot at one moment, so that who asks where the commit stands in the
//! order of all has check and commit in one. Knows no wire, no store and no key.
//!
//! Only tuples that were granted here are changed, and never to less than what they are without being
//! told to: a grant that would shorten a tuple, or lift its condition, is refused. Nor does anybody give
//! themselves for longer, or as the service's own, what they have already.

mod error;

pub use error::{DelegationError, Operation, Terms};

use super::{IdempotencyKey, WriteChange};
use crate::engine::{
    CheckedContext, DelegatedQuestion, Plan, QuestionError, delegated, may_hold_here,
};
use crate::index::{Binding, Part, Snapshot, SubjectKey, check_parents};
use crate::model::admission::admit;
use crate::model::form::DelegatedOp;
use crate::model::limits::NEW_SCOPE_TUPLES_MAX;
use crate::model::names::{Name, Object, Subject, quoted};
use crate::model::tuple::{Change, Time, Tuple, TupleKey};

/// A delegated change as its caller asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct DelegatedRequest {
    /// Who does it; becomes the tuple's grantor.
    pub actor: Object,
    /// Whose role.
    pub target: Subject,
    /// Where.
    pub scope: Object,
    /// What.
    pub change: DelegatedChange,
    /// Values for conditions.
    pub context: CheckedContext,
    /// Makes a repeat harmless: it is answered as the first was.
    pub key: Option<IdempotencyKey>,
}

/// What is to become of the target's roles.
#[derive(Debug, Clone, PartialEq)]
pub enum DelegatedChange {
    /// The target gets a role.
    Grant {
        /// The role.
        role: Name,
        /// Until when; `None`: for good.
        expires_at: Option<Time>,
        /// Why; stored with the tuple.
        reason: String,
        /// Where the scope is put in the hierarchy, if the commit is to make it.
        parent: Option<Parent>,
    },
    /// The target loses a role.
    Revoke {
        /// The role.
        role: Name,
    },
    /// The target has one role for another.
    Replace {
        /// The role that it loses.
        role: Name,
        /// The role that it gets.
        new_role: Name,
        /// Until when; `None`: as long as it would have had the other.
        expires_at: Option<Time>,
        /// Why; stored with the tuple.
        reason: String,
    },
}

/// Where a new scope is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The parent relation.
    pub relation: Name,
    /// The parent.
    pub object: Object,
}

impl DelegatedChange {
    pub(super) fn op(&self) -> DelegatedOp {
        match self {
            Self::Grant { .. } => DelegatedOp::Grant,
            Self::Revoke { .. } => DelegatedOp::Revoke,
            Self::Replace { .. } => DelegatedOp::Replace,
        }
    }
}

/// What a delegated request comes to: changes, and of each the field that it is about.
pub(super) type Changes = Vec<(WriteChange, &'static str)>;

/// What it is judged against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) plan: &'a Plan,
    pub(super) now: Time,
}

impl Judge<'_> {
    /// The changes that a request makes, none if all is as it asks for. Costs the questions that the
    /// model asks, two for a replacement, and a few look-ups.
    ///
    /// # Errors
    /// The actor may not, or what is stored is in the way. Constraints are not judged here.
    pub(super) fn changes(self, request: &DelegatedRequest) -> Result<Changes, DelegationError> {
        let op = request.change.op();
        let Some(verb) = self.snapshot.model().verb_that(op) else {
            return Err(DelegationError::OperationNotDelegated { operation: Operation(op) });
        };
        let DelegatedRequest { actor, target, scope, context, .. } = request;
        let (verb, target) = (verb.name.as_str(), Some(target));
        let asked = Asked { actor, verb, target, scope, context };
        match &request.change {
            DelegatedChange::Grant { role, expires_at, reason, parent } => {
                let given = Given { role, expires_at: *expires_at, reason, field: "role" };
                match parent {
                    None => {
                        self.ask(asked, (role, "role"), false)?;
                        Ok(self.give(request, &given)?.into_iter().collect())
                    }
                    Some(parent) => self.grant_at_new(request, asked, &given, parent),
                }
            }
            DelegatedChange::Revoke { role } => {
                self.ask(asked, (role, "role"), true)?;
                Ok(self.take(request, role)?.into_iter().collect())
            }
            DelegatedChange::Replace { role, new_role, expires_at, reason } => {
                if role == new_role {
                    return Err(DelegationError::SameRole { role: role.to_string() });
                }
                self.ask(asked, (role, "role"), true)?;
                self.ask(asked, (new_role, "new_role"), false)?;
                let (expires_at, field) = (*expires_at, "new_role");
                self.replace(request, role, Given { role: new_role, expires_at, reason, field })
            }
        }
    }

    /// Asks whether the actor may do this with the role, which stands in this field.
    pub(super) fn ask(
        self,
        Asked { actor, verb, target, scope, context }: Asked<'_>,
        (role, field): (&Name, &'static str),
        takes: bool,
    ) -> Result<(), DelegationError> {
        let (model, context) = (self.snapshot.model(), context.clone());
        let what = (actor.as_str(), verb, role.as_str());
        let target = target.map(ToString::to_string).unwrap_or_default();
        let question = DelegatedQuestion::parse(model, what, scope.as_str(), &target, context);
        let question = question.map_err(|error| in_field(error, field))?;
        let question = if takes { question.taking() } else { question };
        let decision = delegated(self.snapshot, self.plan, &question, self.now)?;
        if decision.is_allow() {
            return Ok(());
        }
        Err(DelegationError::Denied {
            field,
            reason: decision.reason(),
            missing: decision.missing().to_vec(),
            actor: quoted(actor.as_str()).into(),
            verb: verb.into(),
            role: role.as_str().into(),
            scope: quoted(scope.as_str()).into(),
        })
    }

    /// Grants at a scope that nothing names yet; the actor's right may come down the new edge.
    fn grant_at_new(
        self,
        request: &DelegatedRequest,
        asked: Asked<'_>,
        given: &Given<'_>,
        parent: &Parent,
    ) -> Result<Changes, DelegationError> {
        let scope = &request.scope;
        let key = TupleKey {
            scope: scope.clone(),
            role: parent.relation.clone(),
            subject: Subject::Object(parent.object.clone()),
            source: String::new(),
        };
        let mut edge = Tuple::plain(key);
        let model = self.snapshot.model();
        admit(model, &edge).map_err(Box::new).map_err(|error| DelegationError::Parent { error })?;
        let def = model.type_id(scope.type_name()).and_then(|at| model.type_def(at));
        let relation = model.name_id(parent.relation.as_str());
        let relation = relation.and_then(|name| def?.edge(name));
        if !relation.is_some_and(|edge| edge.is_parent) {
            let relation = parent.relation.to_string();
            return Err(DelegationError::NotAParent { relation });
        }
        if is_named(self.snapshot, scope, self.now) {
            return Err(DelegationError::ScopeExists { scope: quoted(scope.as_str()) });
        }
        edge.grantor = request.actor.to_string();
        edge.granted_at = Some(self.now);
        let mut with_edge = self.snapshot.to_try();
        with_edge.apply(&Change::Put(edge.clone())).map_err(|_| DelegationError::IndexFull)?;
        check_parents(&with_edge, [&edge.key], self.now)
            .map_err(|(_, error)| DelegationError::Hierarchy(error))?;
        let judge = Judge { snapshot: &with_edge, ..self };
        judge.ask(asked, (given.role, given.field), false)?;
        let mut changes = vec![(WriteChange::Touch(edge), "parent")];
        changes.extend(judge.give(request, given)?);
        Ok(changes)
    }

    /// The change that gives the target a role, on these terms; none if it has it so. Whoever gave it so
    /// first, and why, stays on record.
    fn give(
        self,
        request: &DelegatedRequest,
        given: &Given<'_>,
    ) -> Result<Option<(WriteChange, &'static str)>, DelegationError> {
        let Given { role, expires_at, reason, field } = *given;
        if expires_at.is_some_and(|end| end <= self.now) {
            return Err(DelegationError::Ended);
        }
        let key = key_of(request, role);
        if let Some(held) = self.held(&key) {
            self.keeps(&held, field)?;
            if is_shorter(expires_at, held.expires_at) {
                return Err(DelegationError::OtherTerms {
                    field,
                    tuple: quoted(&key.to_string()),
                    terms: Terms::Longer { until: held.expires_at },
                });
            }
            if held.expires_at == expires_at {
                return Ok(None);
            }
        }
        self.is_no_extension(request, given)?;
        let tuple = Tuple {
            expires_at,
            reason: reason.to_owned(),
            grantor: request.actor.to_string(),
            granted_at: Some(self.now),
            ..Tuple::plain(key)
        };
        Ok(Some((WriteChange::Touch(tuple), field)))
    }

    /// Refuses to let an actor make a role that they have, however they have it, one on other terms: who
    /// has it for a while, or from another system, would have it for good.
    fn is_no_extension(
        self,
        request: &DelegatedRequest,
        given: &Given<'_>,
    ) -> Result<(), DelegationError> {
        let DelegatedRequest { actor, target, scope, context, .. } = request;
        if !matches!(target, Subject::Object(target) if target == actor) {
            return Ok(());
        }
        let held = (target, given.role, scope);
        if !may_hold_here(self.snapshot, self.plan, held, context, self.now)? {
            return Ok(());
        }
        Err(DelegationError::OtherTerms {
            field: given.field,
            tuple: quoted(&key_of(request, given.role).to_string()),
            terms: Terms::Own,
        })
    }

    /// The change that takes a role from the target; none if it does not have it.
    fn take(
        self,
        request: &DelegatedRequest,
        role: &Name,
    ) -> Result<Option<(WriteChange, &'static str)>, DelegationError> {
        let key = key_of(request, role);
        if self.held(&key).is_some() {
            return Ok(Some((WriteChange::Delete(key), "role")));
        }
        self.no_other_source(&key)?;
        Ok(None)
    }

    fn replace(
        self,
        request: &DelegatedRequest,
        role: &Name,
        given: Given<'_>,
    ) -> Result<Changes, DelegationError> {
        let key = key_of(request, role);
        // A grant of another system would stay, and the target have both roles.
        self.no_other_source(&key)?;
        let Some(taken) = self.held(&key) else {
            // What a repeat finds.
            let new = self.held(&key_of(request, given.role));
            let is_done = new.is_some_and(|new| {
                let is_end = given.expires_at.is_none_or(|end| new.expires_at == Some(end));
                is_end && new.condition.is_none() && new.reason == *given.reason
            });
            if is_done {
                return Ok(Vec::new());
            }
            return Err(DelegationError::NotHeld { tuple: quoted(&key.to_string()) });
        };
        self.keeps(&taken, "role")?;
        let expires_at = given.expires_at.or_else(|| {
            // As long as the role taken, or the one given if the target has that for longer.
            let new = self.held(&key_of(request, given.role)).map(|new| new.expires_at);
            new.filter(|end| is_shorter(taken.expires_at, *end)).unwrap_or(taken.expires_at)
        });
        let change = self.give(request, &Given { expires_at, ..given })?;
        let mut changes = vec![(WriteChange::Delete(key), "role")];
        changes.extend(change);
        Ok(changes)
    }

    /// The live tuple with this identity.
    fn held(self, key: &TupleKey) -> Option<Tuple> {
        let binding = self.snapshot.get(key).filter(|binding| binding.is_live(self.now))?;
        self.snapshot.tuple(&binding)
    }

    /// Refuses to change a tuple whose condition would be lost.
    fn keeps(self, held: &Tuple, field: &'static str) -> Result<(), DelegationError> {
        match &held.condition {
            None => Ok(()),
            Some(condition) => Err(DelegationError::OtherTerms {
                field,
                tuple: quoted(&held.key.to_string()),
                terms: Terms::Condition { name: condition.name.to_string() },
            }),
        }
    }

    /// Refuses what another system granted.
    fn no_other_source(self, key: &TupleKey) -> Result<(), DelegationError> {
        let Self { snapshot, now, .. } = self;
        let found = || {
            let scope = snapshot.find(key.scope.as_str())?;
            let role = snapshot.model().name_id(key.role.as_str())?;
            let subject = snapshot.find_subject(&key.subject)?;
            let mut bound = snapshot.bound(scope, role, subject);
            let other = bound.find(|binding| binding.is_live(now) && !binding.is_local())?;
            snapshot.tuple(&other)
        };
        match found() {
            None => Ok(()),
            Some(other) => Err(DelegationError::HasSource {
                tuple: quoted(&key.to_string()),
                source_name: other.key.source,
            }),
        }
    }
}

/// What is asked of the model, but for the role.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) actor: &'a Object,
    pub(super) verb: &'a str,
    pub(super) target: Option<&'a Subject>,
    pub(super) scope: &'a Object,
    pub(super) context: &'a CheckedContext,
}

/// The role that the target gets, on which terms, and the field that it stands in.
#[derive(Clone, Copy)]
struct Given<'a> {
    role: &'a Name,
    expires_at: Option<Time>,
    reason: &'a str,
    field: &'static str,
}

fn key_of(request: &DelegatedRequest, role: &Name) -> TupleKey {
    TupleKey {
        scope: request.scope.clone(),
        role: role.clone(),
        subject: request.target.clone(),
        source: String::new(),
    }
}

/// Whether the first end comes before the second; `None` never comes.
fn is_shorter(asked: Option<Time>, held: Option<Time>) -> bool {
    match (asked, held) {
        (Some(asked), Some(held)) => asked < held,
        (asked, None) => asked.is_some(),
        (None, Some(_)) => false,
    }
}

/// The engine knows one role; a request may have two.
fn in_field(error: QuestionError, field: &'static str) -> QuestionError {
    match error {
        QuestionError::Unknown { field: "role", kind, value, nearest } => {
            QuestionError::Unknown { field, kind, value, nearest }
        }
        other => other,
    }
}

/// Whether a live tuple names the object, as its scope or as its subject. If too many that have expired
/// do, it counts as named.
fn is_named(snapshot: &Snapshot, object: &Object, now: Time) -> bool {
    let Some(id) = snapshot.find(object.as_str()) else { return false };
    let mut left = NEW_SCOPE_TUPLES_MAX;
    let mut counts = |binding: Binding<'_>| match left.checked_sub(1) {
        None => true,
        Some(fewer) => {
            left = fewer;
            binding.is_live(now)
        }
    };
    let mut bound = snapshot.after(Part::Scope(id), None).map(|(_, binding)| binding);
    bound.any(&mut counts)
        || snapshot.scopes_of(SubjectKey::Object(id)).any(&mut counts)
        || snapshot.sets_of(id).any(&mut counts)
}
