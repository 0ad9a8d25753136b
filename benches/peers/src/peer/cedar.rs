//! Cedar as a library: scopes are entities, each in its parent, so the hierarchy is Cedar's own; a user has,
//! for each role, the set of scopes that it was given on; permissions are actions in the groups of the roles
//! that give them; one policy a role. The whole world is in one `Entities`, which Cedar closes transitively
//! when it is made.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityId, EntityTypeName, EntityUid,
    PolicySet, Request, RestrictedExpression,
};

use super::Peer;
use crate::fault::{Fault, fault};
use crate::matrix::Matrix;
use crate::world::{Question, Scope, World};

pub(super) struct Cedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    kinds: Kinds,
    permissions: Vec<String>,
}

struct Kinds {
    user: EntityTypeName,
    org: EntityTypeName,
    location: EntityTypeName,
    action: EntityTypeName,
}

impl Kinds {
    fn new() -> Result<Self, Fault> {
        let name = EntityTypeName::from_str;
        let (user, org) = (name("User")?, name("Org")?);
        Ok(Self { user, org, location: name("Location")?, action: name("Action")? })
    }

    /// `user:ana` as an entity.
    fn object(&self, text: &str) -> Result<EntityUid, Fault> {
        let Some((kind, id)) = text.split_once(':') else { return fault(text) };
        let kind = match kind {
            "user" => &self.user,
            "org" => &self.org,
            _ => &self.location,
        };
        Ok(EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id)))
    }

    fn action(&self, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.action.clone(), EntityId::new(name))
    }
}

impl Cedar {
    pub(super) fn load(matrix: &Matrix, world: World) -> Result<Self, Fault> {
        let kinds = Kinds::new()?;
        let mut policies = String::new();
        for role in &matrix.roles {
            write!(
                policies,
                "permit(principal, action in Action::\"{role}\", resource)
                 when {{ principal has {role} && resource in principal.{role} }};"
            )?;
        }
        let mut entities = Vec::new();
        for (at, permission) in matrix.permissions.iter().enumerate() {
            let givers = matrix.givers(at).map(|role| kinds.action(role)).collect();
            entities.push(Entity::new_no_attrs(kinds.action(permission), givers));
        }
        for org in world.orgs() {
            entities.push(Entity::new_no_attrs(kinds.object(&org.to_string())?, HashSet::new()));
        }
        for location in world.locations() {
            let parents = location.parent().map(|parent| kinds.object(&parent.to_string()));
            let parents = parents.into_iter().collect::<Result<_, _>>()?;
            entities.push(Entity::new_no_attrs(kinds.object(&location.to_string())?, parents));
        }
        for user in world.users() {
            let mut held: HashMap<usize, Vec<Scope>> = HashMap::new();
            for (role, scope) in user.bindings(matrix.roles.len()) {
                held.entry(role).or_default().push(scope);
            }
            let held = held.into_iter().map(|(role, scopes)| {
                let scopes = scopes.iter().map(|scope| {
                    Ok(RestrictedExpression::new_entity_uid(kinds.object(&scope.to_string())?))
                });
                let set = RestrictedExpression::new_set(scopes.collect::<Result<Vec<_>, Fault>>()?);
                Ok((matrix.roles[role].clone(), set))
            });
            let attributes = held.collect::<Result<_, Fault>>()?;
            let uid = kinds.object(&user.to_string())?;
            entities.push(Entity::new(uid, attributes, HashSet::new())?);
        }
        Ok(Self {
            authorizer: Authorizer::new(),
            policies: PolicySet::from_str(&policies)?,
            entities: Entities::from_entities(entities, None)?,
            kinds,
            permissions: matrix.permissions.clone(),
        })
    }
}

impl Peer for Cedar {
    fn allows(&mut self, question: &Question) -> Result<bool, Fault> {
        let request = Request::new(
            self.kinds.object(&question.user)?,
            self.kinds.action(&self.permissions[question.permission]),
            self.kinds.object(&question.scope)?,
            Context::empty(),
            None,
        )?;
        let response = self.authorizer.is_authorized(&request, &self.policies, &self.entities);
        if let Some(error) = response.diagnostics().errors().next() {
            return fault(error.to_string());
        }
        Ok(response.decision() == Decision::Allow)
    }
}
