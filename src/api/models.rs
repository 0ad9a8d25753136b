//! `ModelService` on the wire: the model in force, as its author documents it.

use tonic::{Request, Response, Status};

use super::Adapter;
use super::pb::v1 as pb;
use crate::model::form::{Cell, EdgeDef, Matrix, Model, RoleDef, SubjectForm, TypeDef};

#[tonic::async_trait]
impl pb::model_service_server::ModelService for Adapter {
    async fn get_model(
        &self,
        _request: Request<pb::GetModelRequest>,
    ) -> Result<Response<pb::GetModelResponse>, Status> {
        let reading = self.shared.pdp()?.read();
        let (model, token) = (reading.model(), reading.token());
        let permissions = model.permissions.iter().map(|(name, permission)| pb::ModelPermission {
            name: name.to_string(),
            section: permission.section.clone(),
            at: permission.at.iter().map(|id| model.type_name(*id).to_owned()).collect(),
        });
        Ok(Response::new(pb::GetModelResponse {
            name: model.name.clone(),
            digest: model.digest.clone(),
            types: model.types.iter().map(|def| type_to_wire(model, def)).collect(),
            permissions: permissions.collect(),
            matrices: model.matrices.iter().map(|matrix| matrix_to_wire(model, matrix)).collect(),
            revision: token.revision.0,
            token: token.to_string(),
        }))
    }
}

fn type_to_wire(model: &Model, def: &TypeDef) -> pb::ModelType {
    let fact = |id| model.fact(id).map(|fact| fact.name.to_string());
    pb::ModelType {
        name: def.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        roles: def.roles.iter().map(|role| role_to_wire(model, role)).collect(),
        relations: def.edges.iter().map(|edge| edge_to_wire(model, edge)).collect(),
        facts: def.facts.iter().filter_map(|id| fact(*id)).collect(),
    }
}

fn role_to_wire(model: &Model, role: &RoleDef) -> pb::ModelRole {
    let form = |form: &SubjectForm| match *form {
        SubjectForm::Object(id) => model.type_name(id).to_owned(),
        SubjectForm::All(id) => format!("{}:*", model.type_name(id)),
        SubjectForm::Set(id, name) => format!("{}#{}", model.type_name(id), model.name_of(name)),
    };
    pb::ModelRole {
        name: model.name_of(role.name).to_owned(),
        bound_by: role.bound_by.iter().map(form).collect(),
    }
}

fn edge_to_wire(model: &Model, edge: &EdgeDef) -> pb::ModelRelation {
    pb::ModelRelation {
        name: model.name_of(edge.relation).to_owned(),
        targets: edge.targets.iter().map(|id| model.type_name(*id).to_owned()).collect(),
        is_parent: edge.is_parent,
        many: edge.many,
    }
}

fn matrix_to_wire(model: &Model, matrix: &Matrix) -> pb::ModelMatrix {
    let cell = |cell: &Cell| match cell {
        Cell::No => "no".to_owned(),
        Cell::Yes => "yes".to_owned(),
        Cell::If(gate) => format!("if {gate}"),
    };
    let columns = matrix.columns.iter().map(|column| pb::ModelColumn {
        label: column.label.clone(),
        role: model.name_of(column.role).to_owned(),
        bound: model.type_name(column.bound).to_owned(),
    });
    let rows = matrix.rows.iter().map(|row| pb::ModelRow {
        permission: model.name_of(row.permission).to_owned(),
        cells: row.cells.iter().map(cell).collect(),
    });
    pb::ModelMatrix { name: matrix.name.clone(), columns: columns.collect(), rows: rows.collect() }
}
