//! Casbin as a library: a role is bound in a domain, the scope; the matrix is its second kind of role, a
//! permission being in the roles that give it, so that there is one policy a role and not one a cell.
//! Casbin's hierarchy of domains is by pattern, and copies each domain's links into all that it matches, so the
//! application holds the hierarchy and asks once a level, from below, until it is allowed; the time of that counts.

use std::collections::HashMap;

use casbin::{CoreApi, DefaultModel, Enforcer, MemoryAdapter, MgmtApi};

use super::Peer;
use crate::fault::Fault;
use crate::matrix::Matrix;
use crate::world::{Question, World};

const MODEL: &str = "
[request_definition]
r = sub, dom, act
[policy_definition]
p = role
[role_definition]
g = _, _, _
g2 = _, _
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = g2(r.act, p.role) && g(r.sub, p.role, r.dom)
";

pub(super) struct Casbin {
    enforcer: Enforcer,
    /// What lies in what.
    parents: HashMap<String, String>,
    permissions: Vec<String>,
}

impl Casbin {
    pub(super) fn load(matrix: &Matrix, world: World) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let enforcer = runtime.block_on(async {
            let model = DefaultModel::from_str(MODEL).await?;
            let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await?;
            let policies = matrix.roles.iter().map(|role| vec![role.clone()]).collect();
            enforcer.add_policies(policies).await?;
            let mut cells = Vec::new();
            for (at, permission) in matrix.permissions.iter().enumerate() {
                let givers = matrix.givers(at);
                cells.extend(givers.map(|role| vec![permission.clone(), role.to_owned()]));
            }
            enforcer.add_named_grouping_policies("g2", cells).await?;
            let bindings = world.users().flat_map(|user| {
                let bound = user.bindings(matrix.roles.len()).into_iter();
                bound.map(move |(role, scope)| {
                    vec![user.to_string(), matrix.roles[role].clone(), scope.to_string()]
                })
            });
            enforcer.add_grouping_policies(bindings.collect()).await?;
            Ok::<_, casbin::Error>(enforcer)
        })?;
        let parents = world
            .locations()
            .filter_map(|location| Some((location.to_string(), location.parent()?.to_string())));
        Ok(Self { enforcer, parents: parents.collect(), permissions: matrix.permissions.clone() })
    }
}

impl Peer for Casbin {
    fn allows(&mut self, question: &Question) -> Result<bool, Fault> {
        let permission = self.permissions[question.permission].as_str();
        let mut at = Some(question.scope.as_str());
        while let Some(scope) = at {
            if self.enforcer.enforce((question.user.as_str(), scope, permission))? {
                return Ok(true);
            }
            at = self.parents.get(scope).map(String::as_str);
        }
        Ok(false)
    }
}
