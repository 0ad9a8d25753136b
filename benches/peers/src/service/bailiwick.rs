//! Bailiwick as it is shipped: the release binary, with its store on disk, asked by `Check`.

use std::path::{Path, PathBuf};

use bailiwick::api::pb::v1::{CheckRequest, CheckResponse, Decision};

use super::{Checks, Running, start, wait_for};
use crate::fault::Fault;
use crate::matrix::Matrix;
use crate::process::free_port;
use crate::world::{Question, World};

pub(crate) struct Bailiwick;

impl Checks for Bailiwick {
    type Request = CheckRequest;
    type Response = CheckResponse;
    const PATH: &'static str = "/bailiwick.v1.AuthorizationService/Check";

    fn allows(answer: &CheckResponse) -> bool {
        answer.decision == i32::from(Decision::Allow)
    }
}

/// Started on a store that already holds the world.
pub(crate) async fn run(
    program: &Path,
    matrix: &Matrix,
    world: World,
    questions: &[Question],
    dir: &Path,
) -> Result<Running<Bailiwick>, Fault> {
    let data = dir.join("data");
    let (written, held) = (data.clone(), matrix.clone());
    // It blocks until its own writer has answered.
    tokio::task::spawn_blocking(move || crate::peer::write_bailiwick(&held, world, &written))
        .await??;
    let model = model_dir(matrix, dir)?;
    let requests: Vec<_> = questions
        .iter()
        .map(|question| {
            let request = CheckRequest {
                subject: question.user.clone(),
                permission: matrix.permissions[question.permission].clone(),
                scope: question.scope.clone(),
                ..CheckRequest::default()
            };
            (request, question.allowed)
        })
        .collect();
    let address = format!("127.0.0.1:{}", free_port()?);
    let (model, data) = (model.to_string_lossy(), data.to_string_lossy());
    let args = ["serve", "--model", &model, "--data", &data, "--listen", &address];
    let (mut process, address) = (start(program, &args)?, address.parse()?);
    wait_for::<Bailiwick>(&mut process, address, &requests[0].0).await?;
    Ok(Running { process, address, requests })
}

fn model_dir(matrix: &Matrix, dir: &Path) -> Result<PathBuf, Fault> {
    let model = dir.join("model");
    std::fs::create_dir_all(&model)?;
    std::fs::write(model.join("model.yaml"), include_str!("../../model/model.yaml"))?;
    std::fs::write(model.join("permissions.csv"), &matrix.csv)?;
    Ok(model)
}
