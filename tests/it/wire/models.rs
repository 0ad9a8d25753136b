//! ModelService over a real socket: the whole model page by page, whatever the page's size.

mod races;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bailiwick::api::pb::v1 as pb;
use bailiwick::model::SourceFiles;
use bailiwick::model::limits::{
    MODEL_PAGE_BYTES, MODEL_PAGE_ENTRIES_DEFAULT, MODEL_PAGE_ENTRIES_MAX,
};
use bailiwick::pdp::{Pdp, Proposal, ProposalError};
use bailiwick::server::MODEL_HEALTH;
use bailiwick::store::memory::MemoryStore;
use pb::model_service_client::ModelServiceClient;
use pb::tuple_service_client::TupleServiceClient;
use prost::Message as _;
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::client::{change, touch, tuple};
use crate::support::SetClock;
use crate::support::service::{Service, assert_refused, refusal};

type Models = ModelServiceClient<Channel>;

fn everything() -> SourceFiles {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/everything");
    SourceFiles::read_dir(&dir).unwrap()
}

/// The same with a word of its text changed.
fn everything_but(from: &str, to: &str) -> Proposal {
    let mut files = everything();
    let text = files.get("model.yaml").unwrap().replace(from, to);
    files.insert("model.yaml", text);
    Proposal::compile(&files).unwrap()
}

/// A service with this model, and a handle to propose others.
async fn serve(files: SourceFiles) -> (Service, Pdp) {
    let (sender, opened) = oneshot::channel();
    let service = Service::open(Box::new(move || {
        let proposal = Proposal::compile(&files).map_err(|problems| problems.to_string())?;
        let store = Arc::new(MemoryStore::new());
        let pdp = Pdp::start(store, Some(proposal), Arc::new(SetClock::default()))?;
        let _ = sender.send(pdp.clone());
        Ok(pdp)
    }))
    .await;
    service.wait_until(ServingStatus::Serving).await;
    (service, opened.await.unwrap())
}

async fn propose(pdp: &Pdp, proposal: Proposal) -> Result<u64, ProposalError> {
    let pdp = pdp.clone();
    let proposed = tokio::task::spawn_blocking(move || pdp.propose(proposal));
    proposed.await.unwrap().map(|activated| activated.token.revision.0)
}

/// A list read to its end: its pages' entries, and how large the largest answer was.
macro_rules! all_pages {
    ($models:expr, $method:ident, $request:expr, $entries:ident) => {{
        let mut request = $request;
        let (mut pages, mut largest) = (Vec::new(), 0);
        loop {
            let page = $models.$method(request.clone()).await.unwrap().into_inner();
            largest = largest.max(page.encoded_len());
            let last = page.next_page_token.is_empty();
            assert!(last || !page.$entries.is_empty(), "an empty page before the last");
            pages.push(page.$entries);
            if last {
                break (pages, largest);
            }
            request.page_token = page.next_page_token;
        }
    }};
}

fn most() -> u32 {
    u32::try_from(MODEL_PAGE_ENTRIES_MAX).unwrap()
}

fn rows_of(matrix: &str) -> pb::ListModelMatrixRowsRequest {
    pb::ListModelMatrixRowsRequest { matrix: matrix.into(), ..Default::default() }
}

#[tokio::test]
async fn the_model_in_force_is_shown() {
    let (service, pdp) = serve(everything()).await;
    let mut models = Models::new(service.channel().await);
    let model = models.get_model(pb::GetModelRequest {}).await.unwrap().into_inner();
    assert_eq!((model.name.as_str(), model.digest.len()), ("everything", 64));
    assert_eq!((model.revision, model.active_revision), (1, 1));
    assert_eq!(model.active_time, Some(prost_types::Timestamp { seconds: 0, nanos: 0 }));
    let last = model.last_proposal.unwrap();
    assert!(last.accepted && last.reason.is_empty() && last.digest == model.digest, "{last:?}");
    assert!(model.types.iter().all(|def| def.name != "feature"), "everybody's, and no author's");
    let doc = model.types.iter().find(|def| def.name == "doc").unwrap();
    assert!(doc.relations.iter().any(|edge| edge.name == "folder" && edge.is_parent && edge.many));
    let org = model.types.iter().find(|def| def.name == "org").unwrap();
    assert_eq!(org.facts, ["verified", "module"]);

    let (roles, _) =
        all_pages!(models, list_model_roles, pb::ListModelRolesRequest::default(), roles);
    let roles = roles.concat();
    let viewer = roles.iter().find(|role| role.bound == "doc" && role.name == "viewer").unwrap();
    assert!(viewer.bound_by.contains(&"user:*".to_owned()), "{:?}", viewer.bound_by);
    assert!(viewer.bound_by.contains(&"group#member".to_owned()), "{:?}", viewer.bound_by);
    assert_eq!(viewer.conditions, ["office"]);

    let request = pb::ListModelPermissionsRequest::default();
    let (permissions, _) = all_pages!(models, list_model_permissions, request, permissions);
    let permissions = permissions.concat();
    let view = permissions.iter().find(|p| p.name == "org.view").unwrap();
    assert_eq!((view.section.as_str(), &view.at), ("orgs", &vec!["org".to_owned()]));

    let request = pb::ListModelMatricesRequest::default();
    let (matrices, _) = all_pages!(models, list_model_matrices, request, matrices);
    let [matrix] = matrices.concat().try_into().unwrap();
    assert_eq!(matrix.name, "orgs");
    let boss = matrix.columns.iter().find(|column| column.label == "boss").unwrap();
    assert_eq!((boss.role.as_str(), boss.bound.as_str()), ("admin", "org"));
    let (rows, _) = all_pages!(models, list_model_matrix_rows, rows_of("orgs"), rows);
    let rows = rows.concat();
    assert_eq!(rows.len() as u64, matrix.row_count);
    assert!(rows.iter().all(|row| row.cells.len() == matrix.columns.len()));
    let cells = || rows.iter().flat_map(|row| &row.cells);
    assert!(cells().any(|cell| cell.starts_with("if ")) && cells().any(|cell| cell == "no"));
    assert!(rows.iter().any(|row| row.permission == "org.view" && row.section == "orgs"));

    let counts = pb::ModelCounts {
        types: model.types.len() as u64,
        roles: roles.len() as u64,
        permissions: permissions.len() as u64,
        matrices: 1,
        matrix_rows: rows.len() as u64,
        facts: 4,
        conditions: 2,
        delegation_lines: 10,
        constraints: 4,
    };
    assert_eq!(model.counts, Some(counts));
    drop(pdp);
}

#[tokio::test]
async fn delegation_and_constraints_are_shown() {
    let (service, _pdp) = serve(everything()).await;
    let mut models = Models::new(service.channel().await);
    let request = pb::ListModelDelegationRequest::default();
    let lines = all_pages!(models, list_model_delegation, request, lines).0.concat();
    let shown = |line: &pb::ModelDelegationLine| {
        let (actor, target) = (&line.actor_role, &line.target_role);
        format!(
            "{actor}@{} {}={} {target}@{}",
            line.actor_bound, line.verb, line.op, line.target_bound
        )
    };
    let line = lines.iter().find(|line| line.target_bound == "folder").unwrap();
    assert_eq!(shown(line), "admin@org invite=grant approver@folder");
    assert!(line.cell.starts_with("if "), "{}", line.cell);
    let last = lines.last().unwrap();
    assert_eq!(
        (shown(last).as_str(), last.cell.as_str()),
        ("admin@org suspend= engineer@org", "yes")
    );
    assert_eq!(lines.iter().filter(|line| line.cell == "no").count(), 2);
    let request = pb::ListModelConstraintsRequest::default();
    let constraints = all_pages!(models, list_model_constraints, request, constraints).0.concat();
    let rules: Vec<&str> = constraints.iter().map(|constraint| constraint.rule.as_str()).collect();
    assert_eq!(rules, ["exclusive", "exclusive", "at_most", "keep_one"]);
    let few = &constraints[2];
    assert_eq!(
        (few.at.as_str(), few.roles.as_slice(), few.count),
        ("safe", &["auditor".to_owned()][..], 2)
    );
    let model = models.get_model(pb::GetModelRequest {}).await.unwrap().into_inner();
    let counts = model.counts.unwrap();
    let counts = (counts.delegation_lines, counts.constraints);
    assert_eq!(counts, (lines.len() as u64, constraints.len() as u64));
}

#[tokio::test]
async fn every_page_size_gives_the_same_whole() {
    let (service, _pdp) = serve(everything()).await;
    let mut models = Models::new(service.channel().await);
    macro_rules! same_whole {
        ($method:ident, $request:expr, $entries:ident) => {{
            let request = $request;
            let (whole, _) = all_pages!(models, $method, request.clone(), $entries);
            let [whole] = whole.try_into().expect("it fits one page");
            for page_size in 1..=u32::try_from(whole.len()).unwrap() + 1 {
                let mut request = request.clone();
                request.page_size = page_size;
                let (pages, _) = all_pages!(models, $method, request, $entries);
                assert_eq!(pages.len(), whole.len().div_ceil(page_size as usize), "{page_size}");
                assert!(pages.iter().all(|page| page.len() <= page_size as usize));
                assert_eq!(pages.concat(), whole, "{page_size}");
            }
            whole.len()
        }};
    }
    assert!(same_whole!(list_model_roles, pb::ListModelRolesRequest::default(), roles) > 5);
    let request = pb::ListModelPermissionsRequest::default();
    assert!(same_whole!(list_model_permissions, request, permissions) > 15);
    let request = pb::ListModelMatricesRequest::default();
    assert_eq!(same_whole!(list_model_matrices, request, matrices), 1);
    assert!(same_whole!(list_model_matrix_rows, rows_of("orgs"), rows) > 5);
    let request = pb::ListModelDelegationRequest::default();
    assert!(same_whole!(list_model_delegation, request, lines) > 5);
    let request = pb::ListModelConstraintsRequest::default();
    assert!(same_whole!(list_model_constraints, request, constraints) > 3);
}

#[tokio::test]
async fn a_page_that_nobody_can_ask_for_is_refused() {
    let (service, _pdp) = serve(everything()).await;
    let mut models = Models::new(service.channel().await);
    let roles = |page_size, page_token: &str| pb::ListModelRolesRequest {
        page_size,
        page_token: page_token.into(),
    };
    for page_size in [most() + 1, u32::MAX] {
        let status = models.list_model_roles(roles(page_size, "")).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", "page_size");
        assert_eq!(refusal(&status).2["limit"], MODEL_PAGE_ENTRIES_MAX.to_string());
    }
    let largest = roles(most(), "");
    assert!(!models.list_model_roles(largest).await.unwrap().into_inner().roles.is_empty());

    let page = models.list_model_roles(roles(2, "")).await.unwrap().into_inner();
    let token = page.next_page_token;
    let [digest, before, seal] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let wrong = [
        "x".to_owned(),
        "..".to_owned(),
        format!("{token}."),
        format!("{digest}.{before}"),
        format!("{digest}.3.{seal}"),
        format!("{digest}.-1.{seal}"),
        format!("{digest}.99999999999999999999999.{seal}"),
        format!("{}.{before}.{seal}", "0".repeat(64)),
        token.to_uppercase(),
        "y".repeat(100_000),
    ];
    for token in wrong {
        let status = models.list_model_roles(roles(2, &token)).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", "page_token");
        assert!(status.message().len() < 250, "{}", status.message());
    }
    // A token leads on in its own list only.
    let page_token = token.clone();
    let other = pb::ListModelPermissionsRequest { page_size: 2, page_token };
    let status = models.list_model_permissions(other).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", "page_token");
    let other = pb::ListModelMatrixRowsRequest { page_token: token, ..rows_of("orgs") };
    let status = models.list_model_matrix_rows(other).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "INVALID_FIELD", "page_token");

    let status = models.list_model_matrix_rows(rows_of("orsg")).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "UNKNOWN_MATRIX", "matrix");
    assert_eq!(refusal(&status).2["nearest"], "orgs");
    let status = models.list_model_matrix_rows(rows_of("")).await.unwrap_err();
    assert_refused(&status, Code::InvalidArgument, "UNKNOWN_MATRIX", "matrix");
}

#[tokio::test]
async fn a_token_of_another_model_says_so() {
    let (service, pdp) = serve(everything()).await;
    let mut models = Models::new(service.channel().await);
    let first = pb::ListModelMatrixRowsRequest { page_size: 1, ..rows_of("orgs") };
    let page = models.list_model_matrix_rows(first.clone()).await.unwrap().into_inner();
    let next = pb::ListModelMatrixRowsRequest { page_token: page.next_page_token, ..first };
    models.list_model_matrix_rows(next.clone()).await.unwrap();
    let other = everything_but("audited: [\"doc.exp*\"]", "audited: [\"doc.view\"]");
    let digest = other.digest().to_owned();
    assert_eq!(propose(&pdp, other).await.unwrap(), 2);
    let status = models.list_model_matrix_rows(next.clone()).await.unwrap_err();
    assert_refused(&status, Code::Aborted, "MODEL_CHANGED", "page_token");
    assert_eq!(refusal(&status).2["digest"], digest);
    // Back under the old model, the list goes on.
    propose(&pdp, Proposal::compile(&everything()).unwrap()).await.unwrap();
    models.list_model_matrix_rows(next).await.unwrap();
}

/// 2,500 roles and 13,000 permissions in 25 matrices.
fn large() -> SourceFiles {
    let mut files = SourceFiles::default();
    let mut yaml = String::from("model: large\ntypes: { user: {}, org: {} }\nroles:\n");
    let mut matrices = String::from("matrices:\n");
    for matrix in 0..25 {
        let roles: Vec<_> = (0..100).map(|i| format!("role_{matrix}_{i}")).collect();
        let names = roles.join(", ");
        writeln!(yaml, "  - {{ at: [org], names: [{names}], bound_by: [user] }}").unwrap();
        writeln!(matrices, "  - {{ name: m{matrix}, file: m{matrix}.csv, at: [org], bound: org }}")
            .unwrap();
        let mut csv = format!("section,permission,{}\n", roles.join(","));
        for row in 0..520 {
            let cells: Vec<_> =
                (0..100).map(|i| if (row + i) % 25 == 0 { "x" } else { "-" }).collect();
            let name = format!("section-{matrix}.permission-{row}-of-a-large-model");
            writeln!(csv, "section {matrix},{name},{}", cells.join(",")).unwrap();
        }
        files.insert(format!("m{matrix}.csv"), csv);
    }
    files.insert("model.yaml", yaml + &matrices);
    files
}

#[tokio::test]
async fn a_large_model_is_read_to_its_end_in_messages_of_any_client() {
    let (service, _pdp) = serve(large()).await;
    // A client of tonic's takes 4 MiB a message, as most do.
    let mut models = Models::new(service.channel().await);
    let model = models.get_model(pb::GetModelRequest {}).await.unwrap().into_inner();
    assert!(model.encoded_len() < 10_000);
    let page_size = most();
    let request = pb::ListModelRolesRequest { page_size, ..Default::default() };
    let (roles, largest) = all_pages!(models, list_model_roles, request, roles);
    assert!(roles.concat().len() == 2_500 && largest < MODEL_PAGE_BYTES * 2);
    let request = pb::ListModelPermissionsRequest { page_size, ..Default::default() };
    let (permissions, largest) = all_pages!(models, list_model_permissions, request, permissions);
    assert!(permissions.concat().len() == 13_000 && largest < MODEL_PAGE_BYTES * 2);
    let request = pb::ListModelMatricesRequest { page_size, ..Default::default() };
    let (matrices, largest) = all_pages!(models, list_model_matrices, request, matrices);
    assert!(largest < MODEL_PAGE_BYTES * 2);
    let mut granted = 0;
    for matrix in matrices.concat() {
        let request = pb::ListModelMatrixRowsRequest { page_size, ..rows_of(&matrix.name) };
        let (rows, largest) = all_pages!(models, list_model_matrix_rows, request, rows);
        assert!(largest < MODEL_PAGE_BYTES * 2);
        let rows = rows.concat();
        assert_eq!(rows.len() as u64, matrix.row_count);
        granted += rows.iter().flat_map(|row| &row.cells).filter(|cell| *cell == "yes").count();
    }
    assert_eq!(granted, 13_000 * 4);
}

#[tokio::test]
async fn a_page_that_asks_for_no_size_has_the_default() {
    let (service, _pdp) = serve(large()).await;
    let mut models = Models::new(service.channel().await);
    let request = pb::ListModelRolesRequest::default();
    let page = models.list_model_roles(request).await.unwrap().into_inner();
    assert_eq!(page.roles.len(), MODEL_PAGE_ENTRIES_DEFAULT);
    assert!(!page.next_page_token.is_empty());
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_too() {
    // The gate of a row stands in each of its cells, so these take far more than their file.
    let columns: Vec<_> = (0..200).map(|i| format!("role{i}")).collect();
    let gate = vec!["fact(open)"; 150].join(" and ");
    let mut csv = format!("permission,{},gate\n", columns.join(","));
    for row in 0..30 {
        writeln!(csv, "p{row},{},{gate}", vec!["x"; 200].join(",")).unwrap();
    }
    let yaml = format!(
        "model: wide\ntypes: {{ user: {{}}, org: {{}} }}\nfacts: {{ org: {{ flags: [open] }} }}\n\
         roles: [ {{ at: [org], names: [{}], bound_by: [user] }} ]\n\
         matrices: [ {{ name: m, file: m.csv, at: [org], bound: org }} ]\n",
        columns.join(", ")
    );
    let files = SourceFiles::from_iter([("model.yaml", yaml), ("m.csv", csv)]);
    let (service, _pdp) = serve(files).await;
    let mut models = Models::new(service.channel().await);
    let (pages, largest) = all_pages!(models, list_model_matrix_rows, rows_of("m"), rows);
    assert!(pages.len() > 5 && pages.len() < 30, "{}", pages.len());
    assert!(largest <= MODEL_PAGE_BYTES + 1_000, "{largest}");
    assert_eq!(pages.concat().len(), 30);
}

#[tokio::test]
async fn health_and_the_model_say_why_a_proposal_was_refused() {
    let (service, pdp) = serve(everything()).await;
    let mut models = Models::new(service.channel().await);
    let request = HealthCheckRequest { service: MODEL_HEALTH.into() };
    let health = HealthClient::new(service.channel().await).watch(request).await;
    let mut health = health.unwrap().into_inner();
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let mut tuples = TupleServiceClient::new(service.channel().await);
    let changes = vec![touch("group:ops#member@user:ana")];
    tuples.write_tuples(pb::WriteTuplesRequest { changes, ..Default::default() }).await.unwrap();

    let stricter = || {
        everything_but(
            "[user, \"group#member\"] }\n  - at: [org]",
            "[\"group#member\"] }\n  - at: [org]",
        )
    };
    let error = propose(&pdp, stricter()).await.unwrap_err();
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let model = models.get_model(pb::GetModelRequest {}).await.unwrap().into_inner();
    let last = model.last_proposal.unwrap();
    assert!(!last.accepted);
    assert_eq!((&last.digest, &last.reason), (&stricter().digest().to_owned(), &error.to_string()));
    assert!(last.reason.contains("`group:ops#member@user:ana`"), "{}", last.reason);
    assert_eq!((model.revision, model.active_revision), (2, 1));
    // There is a model all the same: the service itself serves.
    let request = HealthCheckRequest { service: "bailiwick.v1.ModelService".into() };
    let own = HealthClient::new(service.channel().await).check(request).await.unwrap();
    assert_eq!(own.into_inner().status(), ServingStatus::Serving);

    let changes = vec![change(pb::Operation::Delete, tuple("group:ops#member@user:ana"))];
    tuples.write_tuples(pb::WriteTuplesRequest { changes, ..Default::default() }).await.unwrap();
    assert_eq!(propose(&pdp, stricter()).await.unwrap(), 4);
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let model = models.get_model(pb::GetModelRequest {}).await.unwrap().into_inner();
    assert_eq!((model.digest.as_str(), model.active_revision), (stricter().digest(), 4));
    assert!(model.last_proposal.unwrap().accepted);
    service.stop().await.unwrap();
}
