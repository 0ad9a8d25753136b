//! DelegationService over real sockets: what it refuses, what it stores, and who wins a race.

mod failures;
mod questions;
mod races;
mod refusals;
mod stored;
mod terms;

use std::sync::Arc;

use bailiwick::api::Patience;
use bailiwick::api::pb::v1 as pb;
use bailiwick::model::SourceFiles;
use bailiwick::pdp::{Pdp, Proposal};
use bailiwick::store::Store;
use bailiwick::store::memory::MemoryStore;
use pb::delegation_service_client::DelegationServiceClient;
use tonic::Status;
use tonic::transport::Channel;

use super::client::{Wire, touch};
use crate::support::SetClock;
use crate::support::service::Service;

const MODEL: &str = "
model: granting
types:
  user: {}
  group: {}
  org: {}
  station:
    parents: [org]
    relations: { twin: { to: [station] } }
facts:
  user: { flags: [certified] }
conditions:
  office: { parameters: { hour: int }, when: 'hour < 18' }
roles:
  - { at: [group], names: [member], bound_by: [user] }
  - { at: [org], names: [owner, admin, payer, approver, guest], bound_by: [user, 'user:*', 'group#member'], conditions: [office] }
  - { at: [station], names: [keeper, installer], bound_by: [user], gates: { installer: 'standing(certified)' } }
delegation:
  file: delegation.csv
  verbs:
    invite: { op: grant, roles: { guest: 'condition(office)' } }
    change: { op: replace }
    remove: { op: revoke }
    block: {}
constraints:
  - { name: duties, at: [org], exclusive: [payer, approver] }
  - { name: few_admins, at: [org], role: admin, at_most: 2 }
  - { name: keep_owner, at: [org], role: owner, keep_one: true }
permissions:
  act: { at: [org], is: owner }
";

const TABLE: &str = "\
scope,actor_role,verb,target_role,allowed
org,owner,invite,owner,1
org,owner,invite,admin,1
org,owner,invite,payer,1
org,owner,invite,approver,1
org,owner,invite,guest,1
org,owner,invite,keeper,1
org,owner,invite,installer,1
org,admin,invite,payer,1
org,admin,invite,approver,0
org,owner,change,admin,1
org,owner,change,payer,1
org,owner,change,approver,1
org,admin,change,payer,1
org,owner,remove,owner,1
org,owner,remove,admin,1
org,owner,remove,payer,1
org,owner,remove,approver,1
org,owner,block,payer,1
";

/// A service whose model delegates, and a client of each of its parts.
struct World {
    wire: Wire,
    roles: DelegationServiceClient<Channel>,
    pdp: Pdp,
    clock: Arc<SetClock>,
}

fn proposal(model: &str) -> Proposal {
    let files = [("model.yaml", model), ("delegation.csv", TABLE)];
    let files: SourceFiles = files.into_iter().collect();
    Proposal::compile(&files).unwrap_or_else(|problems| panic!("{problems}"))
}

impl World {
    /// With `org:acme`, whose owner is `user:ana`, and these tuples.
    async fn new(tuples: &[&str]) -> Self {
        let mut world = Self::on(Arc::new(MemoryStore::new())).await;
        let all = ["org:acme#owner@user:ana"].iter().chain(tuples);
        world.wire.write(all.map(|text| touch(text)).collect()).await.unwrap();
        world
    }

    async fn on(store: Arc<dyn Store>) -> Self {
        Self::of(store, MODEL).await
    }

    async fn of(store: Arc<dyn Store>, model: &str) -> Self {
        let clock = Arc::new(SetClock::default());
        let pdp = Pdp::start_strictly(store, proposal(model), Arc::clone(&clock) as _).unwrap();
        let wire = Wire::to(Service::serve(&pdp, Patience::default()).await).await;
        let roles = DelegationServiceClient::new(wire.service.channel().await);
        Self { wire, roles, pdp, clock }
    }

    async fn grant(&mut self, request: pb::GrantRequest) -> Result<pb::GrantResponse, Status> {
        Ok(self.roles.grant(request).await?.into_inner())
    }

    async fn revoke(&mut self, request: pb::RevokeRequest) -> Result<pb::RevokeResponse, Status> {
        Ok(self.roles.revoke(request).await?.into_inner())
    }

    async fn replace(
        &mut self,
        request: pb::ReplaceRequest,
    ) -> Result<pb::ReplaceResponse, Status> {
        Ok(self.roles.replace(request).await?.into_inner())
    }

    async fn can(&mut self, request: pb::CanGrantRequest) -> Result<pb::CanGrantResponse, Status> {
        Ok(self.roles.can_grant(request).await?.into_inner())
    }

    /// The tuples that match, as they are stored.
    async fn read(&mut self, scope: &str, subject: &str) -> Vec<pb::Tuple> {
        let (scope, subject) = (scope.to_owned(), subject.to_owned());
        self.wire.read(pb::TupleFilter { scope, subject, ..Default::default() }).await.unwrap()
    }

    /// The roles of a subject, in the order in which they are read.
    async fn roles_of(&mut self, scope: &str, subject: &str) -> Vec<String> {
        let mut roles: Vec<_> =
            self.read(scope, subject).await.into_iter().map(|tuple| tuple.role).collect();
        roles.sort();
        roles
    }
}

/// `actor role scope target`.
fn words(text: &str) -> [String; 4] {
    text.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
}

fn grant(text: &str) -> pb::GrantRequest {
    let [actor, role, scope, target] = words(text);
    pb::GrantRequest { actor, target, role, scope, ..Default::default() }
}

fn revoke(text: &str) -> pb::RevokeRequest {
    let [actor, role, scope, target] = words(text);
    pb::RevokeRequest { actor, target, role, scope, ..Default::default() }
}

/// The role given stands last.
fn replace(text: &str) -> pb::ReplaceRequest {
    let (first, new_role) = text.rsplit_once(' ').unwrap();
    let [actor, role, scope, target] = words(first);
    let new_role = new_role.to_owned();
    pb::ReplaceRequest { actor, target, role, new_role, scope, ..Default::default() }
}

/// `actor verb role scope`, and perhaps a target.
fn can(text: &str) -> pb::CanGrantRequest {
    let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    let [actor, verb, role, scope] = words[..4].to_vec().try_into().unwrap();
    let target = words.get(4).cloned().unwrap_or_default();
    pb::CanGrantRequest { actor, verb, role, scope, target, ..Default::default() }
}

fn time(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}
