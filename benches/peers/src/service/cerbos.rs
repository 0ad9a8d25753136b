//! Cerbos: the server of its npm package, with one resource policy made from the matrix, a rule a role. It
//! holds no data: each request carries the roles that the user holds at the scope, found beforehand; what
//! finding them costs the caller is not counted.

use std::collections::HashMap;
use std::path::Path;

use super::{Checks, Running, start, wait_for};
use crate::fault::Fault;
use crate::matrix::Matrix;
use crate::process::free_port;
use crate::world::Question;

pub(crate) struct Cerbos;

/// `cerbos.request.v1.CheckResourcesRequest`, as far as it is used.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CheckResourcesRequest {
    #[prost(message, optional, tag = "3")]
    principal: Option<Principal>,
    #[prost(message, repeated, tag = "4")]
    resources: Vec<ResourceEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Principal {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "3")]
    roles: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResourceEntry {
    #[prost(string, repeated, tag = "1")]
    actions: Vec<String>,
    #[prost(message, optional, tag = "2")]
    resource: Option<Resource>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Resource {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    id: String,
}

/// `cerbos.response.v1.CheckResourcesResponse`, as far as it is used.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CheckResourcesResponse {
    #[prost(message, repeated, tag = "2")]
    results: Vec<ResultEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ResultEntry {
    /// Action to effect.
    #[prost(map = "string, int32", tag = "2")]
    actions: HashMap<String, i32>,
}

/// `EFFECT_ALLOW`.
const ALLOW: i32 = 1;

impl Checks for Cerbos {
    type Request = CheckResourcesRequest;
    type Response = CheckResourcesResponse;
    const PATH: &'static str = "/cerbos.svc.v1.CerbosService/CheckResources";

    fn allows(answer: &CheckResourcesResponse) -> bool {
        let effects = answer.results.iter().flat_map(|result| result.actions.values());
        effects.collect::<Vec<_>>() == [&ALLOW]
    }
}

/// Started with its policies on disk, read once, without telemetry and without a log of requests.
pub(crate) async fn run(
    program: &Path,
    matrix: &Matrix,
    questions: &[Question],
    dir: &Path,
) -> Result<Running<Cerbos>, Fault> {
    let policies = dir.join("policies");
    std::fs::create_dir_all(&policies)?;
    std::fs::write(policies.join("location.yaml"), serde_json::to_vec_pretty(&policy(matrix))?)?;
    let (grpc, http) = (free_port()?, free_port()?);
    let config = serde_json::json!({
        "server": {
            "grpcListenAddr": format!("127.0.0.1:{grpc}"),
            "httpListenAddr": format!("127.0.0.1:{http}"),
        },
        "storage": { "driver": "disk", "disk": { "directory": policies, "watchForChanges": false } },
        "telemetry": { "disabled": true },
    });
    let config_file = dir.join("cerbos.yaml");
    std::fs::write(&config_file, serde_json::to_vec_pretty(&config)?)?;
    let requests: Vec<_> =
        questions.iter().map(|question| (request(matrix, question), question.allowed)).collect();
    let config = format!("--config={}", config_file.display());
    let mut process = start(program, &["server", &config, "--log-level=error"])?;
    let address = format!("127.0.0.1:{grpc}").parse()?;
    wait_for::<Cerbos>(&mut process, address, &requests[0].0).await?;
    Ok(Running { process, address, requests })
}

/// YAML takes JSON as it is.
fn policy(matrix: &Matrix) -> serde_json::Value {
    let rules = matrix.roles.iter().enumerate().map(|(role, name)| {
        let permissions = matrix.permissions.iter().enumerate();
        let given = permissions.filter(|(at, _)| matrix.gives(role, *at));
        let actions: Vec<&String> = given.map(|(_, permission)| permission).collect();
        serde_json::json!({ "actions": actions, "effect": "EFFECT_ALLOW", "roles": [name] })
    });
    serde_json::json!({
        "apiVersion": "api.cerbos.dev/v1",
        "resourcePolicy": {
            "version": "default",
            "resource": "location",
            "rules": rules.collect::<Vec<_>>(),
        },
    })
}

fn request(matrix: &Matrix, question: &Question) -> CheckResourcesRequest {
    let mut roles: Vec<String> =
        question.held.iter().map(|role| matrix.roles[*role].clone()).collect();
    if roles.is_empty() {
        // It wants one at least.
        roles.push("nobody".into());
    }
    let action = matrix.permissions[question.permission].clone();
    let resource = Resource { kind: "location".into(), id: question.scope.clone() };
    CheckResourcesRequest {
        principal: Some(Principal { id: question.user.clone(), roles }),
        resources: vec![ResourceEntry { actions: vec![action], resource: Some(resource) }],
    }
}
