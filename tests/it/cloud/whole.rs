//! The list of full size in force on disk, over the wire, and after a restart.

use std::sync::Arc;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::pdp::{Pdp, Proposal, WriteChange};
use bailiwick::store::Store;
use bailiwick::store::sled::SledStore;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::model_service_client::ModelServiceClient;
use tonic::transport::Channel;

use super::list::List;
use super::{assert_compiled, files};
use crate::support::service::Service;
use crate::support::{SetClock, proposal, tuple};

const BEFORE: &str = "
model: before
types: { user: {}, group: {}, scope: { parents: [scope] } }
roles: [ { at: [group], names: [member], bound_by: [user, 'group#member'] } ]
";

/// Four scopes, one below the other.
const SCOPES: [&str; 4] = ["scope:org", "scope:folder", "scope:project", "scope:vault"];
const USERS: usize = 40;

/// Who holds what where: three roles each, one of them through a group of a group, at the upper three
/// scopes.
fn roles_of(list: &List, user: usize, random: &mut fastrand::Rng) -> Vec<(usize, usize)> {
    let last = list.roles.len() - 1;
    // The first of the roles that have everything is held by one user in ten, and by nobody else.
    let first = if user.is_multiple_of(10) { 0 } else { random.usize(4..last) };
    vec![(first, 2), (random.usize(4..=last), 1), (random.usize(4..=last), 0)]
}

fn tuples(list: &List, held: &[Vec<(usize, usize)>]) -> Vec<String> {
    let mut texts = vec![
        "scope:folder#parent@scope:org".to_owned(),
        "scope:project#parent@scope:folder".to_owned(),
        "scope:vault#parent@scope:project".to_owned(),
    ];
    for (user, held) in held.iter().enumerate() {
        texts.push(format!("group:inner{user}#member@user:u{user}"));
        texts.push(format!("group:outer{user}#member@group:inner{user}#member"));
        for (i, (role, scope)) in held.iter().enumerate() {
            let holder = match i {
                0 => format!("user:u{user}"),
                _ => format!("group:outer{user}#member"),
            };
            texts.push(format!("{}#{}@{holder}", SCOPES[*scope], list.roles[*role]));
        }
    }
    texts.sort();
    texts.dedup();
    texts
}

/// A question and whether the list allows it: a role held here or above has the permission.
struct Asked {
    item: pb::BatchCheckItem,
    is_allowed: bool,
}

fn questions(list: &List, held: &[Vec<(usize, usize)>], count: usize) -> Vec<Asked> {
    let mut random = fastrand::Rng::with_seed(7);
    let one = |_| {
        let user = random.usize(..held.len());
        let scope = random.usize(..SCOPES.len());
        let roles: Vec<usize> =
            held[user].iter().filter(|(_, at)| *at <= scope).map(|(role, _)| *role).collect();
        // Half of them about what some role of the user has, that the scope may or may not count.
        let own = &list.granted[held[user][random.usize(..3)].0];
        let permission = if random.bool() { random.choice(own).copied() } else { None };
        let permission = permission.unwrap_or_else(|| random.usize(..list.permissions.len()));
        let has = |role: &usize| list.granted[*role].binary_search(&permission).is_ok();
        let item = pb::BatchCheckItem {
            subject: format!("user:u{user}"),
            permission: list.permissions[permission].clone(),
            scope: SCOPES[scope].to_owned(),
            ..Default::default()
        };
        Asked { item, is_allowed: roles.iter().any(has) }
    };
    (0..count).map(one).collect()
}

async fn ask(channel: Channel, asked: &[Asked]) {
    let mut client = AuthorizationServiceClient::new(channel);
    let items = asked.iter().map(|asked| asked.item.clone()).collect();
    let request = pb::BatchCheckRequest { items, ..Default::default() };
    let results = client.batch_check(request).await.unwrap().into_inner().results;
    assert_eq!(results.len(), asked.len());
    for (result, asked) in results.iter().zip(asked) {
        let Some(pb::batch_check_result::Result::Decision(decision)) = &result.result else {
            panic!("{:?}: {result:?}", asked.item);
        };
        let allowed = decision.decision() == pb::Decision::Allow;
        assert_eq!(allowed, asked.is_allowed, "{:?}", asked.item);
    }
    for asked in asked.iter().take(300) {
        let pb::BatchCheckItem { subject, permission, scope, .. } = asked.item.clone();
        let request = pb::CheckRequest { subject, permission, scope, ..Default::default() };
        let answer = client.check(request).await.unwrap().into_inner();
        assert_eq!(answer.decision() == pb::Decision::Allow, asked.is_allowed, "{:?}", asked.item);
    }
    let allowed = asked.iter().filter(|asked| asked.is_allowed).count();
    assert!(allowed > asked.len() / 10 && allowed < asked.len() * 9 / 10, "{allowed}");
}

/// Reads the matrix page by page.
async fn assert_paged(channel: Channel, list: &List) {
    let mut client = ModelServiceClient::new(channel).max_decoding_message_size(4 << 20);
    let model = client.get_model(pb::GetModelRequest {}).await.unwrap().into_inner();
    let counts = model.counts.unwrap();
    let all = (list.roles.len() as u64 + 1, list.permissions.len() as u64);
    assert_eq!((counts.roles, counts.permissions), all);
    let matrices = pb::ListModelMatricesRequest::default();
    let matrices = client.list_model_matrices(matrices).await.unwrap().into_inner().matrices;
    assert_eq!(matrices[0].columns.len(), list.roles.len());
    let mut request = pb::ListModelMatrixRowsRequest {
        matrix: "roles".to_owned(),
        page_size: 1_000,
        ..Default::default()
    };
    // Some pages: a cell takes four bytes on the wire, the whole matrix 130 MB.
    let mut seen = 0;
    for _ in 0..3 {
        let page = client.list_model_matrix_rows(request.clone()).await.unwrap().into_inner();
        for row in &page.rows {
            assert_eq!(row.permission, list.permissions[seen]);
            let granted = row.cells.iter().filter(|cell| *cell == "yes").count();
            let holders = list.granted.iter().filter(|own| own.binary_search(&seen).is_ok());
            assert_eq!(granted, holders.count(), "{}", row.permission);
            seen += 1;
        }
        request.page_token = page.next_page_token;
    }
    assert!(seen > 100, "{seen}");
}

/// Larger than any list that is no cloud's; the full size through the same steps is `benches/cloud.rs`.
#[test]
fn a_large_list_is_put_in_force_asked_over_the_wire_and_found_again() {
    let list = List::sized(1_200, 3, 3_000);
    let mut random = fastrand::Rng::with_seed(3);
    let held: Vec<_> = (0..USERS).map(|user| roles_of(&list, user, &mut random)).collect();
    let asked = questions(&list, &held, 5_000);
    let dir = tempfile::tempdir().unwrap();
    let open = || -> Arc<dyn Store> { Arc::new(SledStore::open_or_create(dir.path()).unwrap()) };

    let pdp = Pdp::start(open(), Some(proposal(BEFORE)), Arc::new(SetClock::default())).unwrap();
    let large = Proposal::compile(&files(&list)).unwrap();
    let digest = large.digest().to_owned();
    pdp.propose(large).unwrap();
    let tuples = tuples(&list, &held);
    let changes = tuples.iter().map(|text| WriteChange::Touch(tuple(text))).collect();
    // A proposal waits for the writer, which a thread that drives others must not.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        pdp.write(changes).await.unwrap();
        let service = Service::serve(&pdp, Patience::default()).await;
        ask(service.channel().await, &asked).await;
        assert_paged(service.channel().await, &list).await;
        service.stop().await.unwrap();
    });
    pdp.close();
    drop(pdp);

    // The model comes back from the log alone.
    let pdp = Pdp::start(open(), None, Arc::new(SetClock::default())).unwrap();
    assert_eq!(pdp.read().model().digest, digest);
    assert_compiled(pdp.read().model(), &list);
    runtime.block_on(async {
        let service = Service::serve(&pdp, Patience::default()).await;
        ask(service.channel().await, &asked[..1_000]).await;
        service.stop().await.unwrap();
    });
    pdp.close();
}
