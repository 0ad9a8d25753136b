//! `ModelService` on the wire: the model in force, as its author documents it.

use tonic::{Request, Response, Status};

use super::Adapter;
use super::convert::time_to_wire;
use super::page::List;
use super::pb::v1 as pb;
use super::status::ApiError;
use crate::model::form::{
    Cell, ConditionId, Constraint, ConstraintRule, DelegatedOp, DelegationCell, DelegationRow,
    EdgeDef, Matrix, Model, RoleDef, Row, SubjectForm, TypeDef, TypeId,
};
use crate::model::names::quoted;
use crate::model::suggest::nearest;
use crate::pdp::LastProposal;

#[tonic::async_trait]
impl pb::model_service_server::ModelService for Adapter {
    async fn get_model(
        &self,
        _request: Request<pb::GetModelRequest>,
    ) -> Result<Response<pb::GetModelResponse>, Status> {
        let (reading, last_proposal) = self.shared.pdp()?.read_with_last_proposal();
        let (model, token, since) = (reading.model(), reading.token(), reading.model_since());
        Ok(Response::new(pb::GetModelResponse {
            name: model.name.clone(),
            digest: model.digest.clone(),
            types: own_types(model).map(|(_, def)| type_to_wire(model, def)).collect(),
            revision: token.revision.0,
            token: token.to_string(),
            active_revision: since.map(|since| since.revision.0).unwrap_or_default(),
            active_time: since.map(|since| time_to_wire(since.time)),
            counts: Some(counts(model)),
            last_proposal: last_proposal.map(proposal_to_wire),
        }))
    }

    async fn list_model_roles(
        &self,
        request: Request<pb::ListModelRolesRequest>,
    ) -> Result<Response<pb::ListModelRolesResponse>, Status> {
        let request = request.into_inner();
        let reading = self.shared.pdp()?.read();
        let model = reading.model();
        let page = list(model, "roles").page(request.page_size, &request.page_token, |before| {
            let roles =
                own_types(model).flat_map(|(at, def)| def.roles.iter().map(move |r| (at, r)));
            roles.skip(before).map(|(at, role)| role_to_wire(model, at, role))
        })?;
        Ok(Response::new(pb::ListModelRolesResponse {
            roles: page.entries,
            next_page_token: page.next_token,
            digest: model.digest.clone(),
        }))
    }

    async fn list_model_permissions(
        &self,
        request: Request<pb::ListModelPermissionsRequest>,
    ) -> Result<Response<pb::ListModelPermissionsResponse>, Status> {
        let request = request.into_inner();
        let reading = self.shared.pdp()?.read();
        let model = reading.model();
        let list = list(model, "permissions");
        let page = list.page(request.page_size, &request.page_token, |before| {
            let permissions = model.permissions.iter().skip(before);
            permissions.map(|(name, permission)| pb::ModelPermission {
                name: name.to_string(),
                section: permission.section.clone(),
                at: permission.at.iter().map(|id| model.type_name(*id).to_owned()).collect(),
            })
        })?;
        Ok(Response::new(pb::ListModelPermissionsResponse {
            permissions: page.entries,
            next_page_token: page.next_token,
            digest: model.digest.clone(),
        }))
    }

    async fn list_model_matrices(
        &self,
        request: Request<pb::ListModelMatricesRequest>,
    ) -> Result<Response<pb::ListModelMatricesResponse>, Status> {
        let request = request.into_inner();
        let reading = self.shared.pdp()?.read();
        let model = reading.model();
        let list = list(model, "matrices");
        let page = list.page(request.page_size, &request.page_token, |before| {
            model.matrices.iter().skip(before).map(|matrix| matrix_to_wire(model, matrix))
        })?;
        Ok(Response::new(pb::ListModelMatricesResponse {
            matrices: page.entries,
            next_page_token: page.next_token,
            digest: model.digest.clone(),
        }))
    }

    async fn list_model_matrix_rows(
        &self,
        request: Request<pb::ListModelMatrixRowsRequest>,
    ) -> Result<Response<pb::ListModelMatrixRowsResponse>, Status> {
        let request = request.into_inner();
        let reading = self.shared.pdp()?.read();
        let model = reading.model();
        let matrix = find_matrix(model, &request.matrix)?;
        let list = List { of: &matrix.name, ..list(model, "matrix rows") };
        let page = list.page(request.page_size, &request.page_token, |before| {
            matrix.rows.iter().skip(before).map(|row| row_to_wire(model, row))
        })?;
        Ok(Response::new(pb::ListModelMatrixRowsResponse {
            rows: page.entries,
            next_page_token: page.next_token,
            digest: model.digest.clone(),
        }))
    }

    async fn list_model_delegation(
        &self,
        request: Request<pb::ListModelDelegationRequest>,
    ) -> Result<Response<pb::ListModelDelegationResponse>, Status> {
        let request = request.into_inner();
        let reading = self.shared.pdp()?.read();
        let model = reading.model();
        let list = list(model, "delegation");
        let page = list.page(request.page_size, &request.page_token, |before| {
            lines(model).skip(before).map(|(row, cell)| line_to_wire(model, row, cell))
        })?;
        Ok(Response::new(pb::ListModelDelegationResponse {
            lines: page.entries,
            next_page_token: page.next_token,
            digest: model.digest.clone(),
        }))
    }

    async fn list_model_constraints(
        &self,
        request: Request<pb::ListModelConstraintsRequest>,
    ) -> Result<Response<pb::ListModelConstraintsResponse>, Status> {
        let request = request.into_inner();
        let reading = self.shared.pdp()?.read();
        let model = reading.model();
        let list = list(model, "constraints");
        let page = list.page(request.page_size, &request.page_token, |before| {
            let constraints = model.constraints.iter().skip(before);
            constraints.map(|constraint| constraint_to_wire(model, constraint))
        })?;
        Ok(Response::new(pb::ListModelConstraintsResponse {
            constraints: page.entries,
            next_page_token: page.next_token,
            digest: model.digest.clone(),
        }))
    }
}

/// The lines of the delegation table.
fn lines(model: &Model) -> impl Iterator<Item = (&DelegationRow, &DelegationCell)> {
    model.delegation.rows.iter().flat_map(|row| row.cells.iter().map(move |cell| (row, cell)))
}

fn list<'m>(model: &'m Model, name: &'static str) -> List<'m> {
    List { name, of: "", digest: &model.digest }
}

/// The types of the author; that of features is everybody's.
fn own_types(model: &Model) -> impl Iterator<Item = (TypeId, &TypeDef)> {
    (0u16..).map(TypeId).zip(&model.types).skip(1)
}

fn find_matrix<'m>(model: &'m Model, name: &str) -> Result<&'m Matrix, ApiError> {
    model.matrices.iter().find(|matrix| matrix.name == name).ok_or_else(|| {
        let near = nearest(name, model.matrices.iter().map(|matrix| matrix.name.as_str()));
        ApiError::unknown_matrix(&quoted(name), near)
    })
}

fn counts(model: &Model) -> pb::ModelCounts {
    let count = |count: usize| count as u64;
    pb::ModelCounts {
        types: count(own_types(model).count()),
        roles: count(own_types(model).map(|(_, def)| def.roles.len()).sum()),
        permissions: count(model.permissions.len()),
        matrices: count(model.matrices.len()),
        matrix_rows: count(model.matrices.iter().map(|matrix| matrix.rows.len()).sum()),
        facts: count(model.facts.len()),
        conditions: count(model.conditions.len()),
        delegation_lines: count(lines(model).count()),
        constraints: count(model.constraints.len()),
    }
}

fn proposal_to_wire(proposal: LastProposal) -> pb::ModelProposal {
    pb::ModelProposal {
        accepted: proposal.is_accepted(),
        digest: proposal.digest,
        time: Some(time_to_wire(proposal.time)),
        reason: proposal.refusal.unwrap_or_default(),
    }
}

fn type_to_wire(model: &Model, def: &TypeDef) -> pb::ModelType {
    let fact = |id| model.fact(id).map(|fact| fact.name.to_string());
    pb::ModelType {
        name: def.name.as_ref().map(ToString::to_string).unwrap_or_default(),
        relations: def.edges.iter().map(|edge| edge_to_wire(model, edge)).collect(),
        facts: def.facts.iter().filter_map(|id| fact(*id)).collect(),
    }
}

fn role_to_wire(model: &Model, at: TypeId, role: &RoleDef) -> pb::ModelRole {
    let form = |form: &SubjectForm| match *form {
        SubjectForm::Object(id) => model.type_name(id).to_owned(),
        SubjectForm::All(id) => format!("{}:*", model.type_name(id)),
        SubjectForm::Set(id, name) => format!("{}#{}", model.type_name(id), model.name_of(name)),
    };
    let condition = |id: &ConditionId| model.condition(*id).map(|found| found.name.to_string());
    pb::ModelRole {
        name: model.name_of(role.name).to_owned(),
        bound_by: role.bound_by.iter().map(form).collect(),
        bound: model.type_name(at).to_owned(),
        conditions: role.conditions.iter().filter_map(condition).collect(),
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
    let columns = matrix.columns.iter().map(|column| pb::ModelColumn {
        label: column.label.clone(),
        role: model.name_of(column.role).to_owned(),
        bound: model.type_name(column.bound).to_owned(),
    });
    pb::ModelMatrix {
        name: matrix.name.clone(),
        columns: columns.collect(),
        row_count: matrix.rows.len() as u64,
    }
}

fn line_to_wire(
    model: &Model,
    row: &DelegationRow,
    cell: &DelegationCell,
) -> pb::ModelDelegationLine {
    let verb = model.delegation.verbs.get(row.verb);
    let op = match verb.and_then(|verb| verb.op) {
        Some(DelegatedOp::Grant) => "grant",
        Some(DelegatedOp::Revoke) => "revoke",
        Some(DelegatedOp::Replace) => "replace",
        None => "",
    };
    pb::ModelDelegationLine {
        actor_role: model.name_of(cell.role).to_owned(),
        actor_bound: model.type_name(cell.bound).to_owned(),
        verb: verb.map(|verb| verb.name.to_string()).unwrap_or_default(),
        op: op.to_owned(),
        target_role: model.name_of(row.role).to_owned(),
        target_bound: model.type_name(row.bound).to_owned(),
        cell: cell_text(&cell.cell),
    }
}

fn constraint_to_wire(model: &Model, constraint: &Constraint) -> pb::ModelConstraint {
    let (rule, roles, count) = match &constraint.rule {
        ConstraintRule::Exclusive(roles) => ("exclusive", roles.as_slice(), 0),
        ConstraintRule::AtMost { role, count } => ("at_most", std::slice::from_ref(role), *count),
        ConstraintRule::KeepOne { role } => ("keep_one", std::slice::from_ref(role), 0),
    };
    pb::ModelConstraint {
        name: constraint.name.to_string(),
        at: model.type_name(constraint.at).to_owned(),
        rule: rule.to_owned(),
        roles: roles.iter().map(|role| model.name_of(*role).to_owned()).collect(),
        count,
    }
}

fn cell_text(cell: &Cell) -> String {
    match cell {
        Cell::No => "no".to_owned(),
        Cell::Yes => "yes".to_owned(),
        Cell::If(gate) => format!("if {gate}"),
    }
}

fn row_to_wire(model: &Model, row: &Row) -> pb::ModelRow {
    let permission = model.name_of(row.permission);
    let section = model.permissions.get(permission).map(|listed| listed.section.clone());
    pb::ModelRow {
        permission: permission.to_owned(),
        cells: row.cells.iter().map(cell_text).collect(),
        section: section.unwrap_or_default(),
    }
}
