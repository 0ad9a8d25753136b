//! Rego in regorus' virtual machine, the faster of its two ways: the world is its data, the hierarchy is walked
//! by Rego's own `graph.reachable`, the matrix is a table in the data.

use std::collections::BTreeMap;

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine, Rc, Value};

use super::Peer;
use crate::fault::Fault;
use crate::matrix::Matrix;
use crate::world::World;

const POLICY: &str = "
package peers

import rego.v1

default allow := false

allow if {
    some scope in graph.reachable(data.parents, {input.scope})
    some role in data.bound[scope][input.user]
    data.gives[input.permission][role]
}
";
const ALLOW: &str = "data.peers.allow";

pub(super) struct Rego {
    machine: RegoVM,
    permissions: Vec<Value>,
    keys: [Value; 3],
}

impl Rego {
    pub(super) fn load(matrix: &Matrix, world: World) -> Result<Self, Fault> {
        let data = data(matrix, world);
        let mut engine = Engine::new();
        engine.add_policy("peers.rego".into(), POLICY.into())?;
        engine.add_data(data.clone())?;
        let compiled = engine.compile_with_entrypoint(&Rc::from(ALLOW))?;
        let program = Compiler::compile_from_policy(&compiled, &[ALLOW])?;
        let mut machine = RegoVM::new();
        machine.load_program(program);
        machine.set_data(data)?;
        let permissions = matrix.permissions.iter().map(|name| text(name)).collect();
        Ok(Self { machine, permissions, keys: ["permission", "scope", "user"].map(text) })
    }
}

impl Peer for Rego {
    fn allows(&mut self, question: &crate::world::Question) -> Result<bool, Fault> {
        let [permission, scope, user] = self.keys.clone();
        self.machine.set_input(Value::from(BTreeMap::from([
            (permission, self.permissions[question.permission].clone()),
            (scope, text(&question.scope)),
            (user, text(&question.user)),
        ])));
        Ok(matches!(self.machine.execute()?, Value::Bool(true)))
    }
}

fn data(matrix: &Matrix, world: World) -> Value {
    let mut parents: BTreeMap<Value, Value> =
        world.orgs().map(|org| (text(&org.to_string()), Value::from(Vec::new()))).collect();
    parents.extend(world.locations().filter_map(|location| {
        let parent = text(&location.parent()?.to_string());
        Some((text(&location.to_string()), Value::from(vec![parent])))
    }));
    let mut bound: BTreeMap<Value, BTreeMap<Value, Vec<Value>>> = BTreeMap::new();
    for user in world.users() {
        for (role, scope) in user.bindings(matrix.roles.len()) {
            let at = bound.entry(text(&scope.to_string())).or_default();
            at.entry(text(&user.to_string())).or_default().push(text(&matrix.roles[role]));
        }
    }
    let table = |(scope, users): (Value, BTreeMap<Value, Vec<Value>>)| {
        let users: BTreeMap<Value, Value> =
            users.into_iter().map(|(user, roles)| (user, Value::from(roles))).collect();
        (scope, Value::from(users))
    };
    let bound: BTreeMap<Value, Value> = bound.into_iter().map(table).collect();
    let gives = matrix.permissions.iter().enumerate().map(|(at, permission)| {
        let roles: BTreeMap<Value, Value> =
            matrix.givers(at).map(|role| (text(role), Value::from(true))).collect();
        (text(permission), Value::from(roles))
    });
    Value::from(BTreeMap::from([
        (text("parents"), Value::from(parents)),
        (text("bound"), Value::from(bound)),
        (text("gives"), Value::from(gives.collect::<BTreeMap<_, _>>())),
    ]))
}

fn text(text: &str) -> Value {
    Value::from(text)
}
