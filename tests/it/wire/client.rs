//! A service and a client of each of its parts, and short ways to say a question or a tuple.

use bailiwick::api::convert::context_to_wire;
use bailiwick::api::pb::v1 as pb;
use bailiwick::api::values::Values;
use bailiwick::model::tuple::Context;
use pb::authorization_service_client::AuthorizationServiceClient;
use pb::tuple_service_client::TupleServiceClient;
use tonic::Status;
use tonic::transport::Channel;

use crate::support::service::Service;

/// A service, and a client of each of its parts.
pub(super) struct Wire {
    pub(super) service: Service,
    pub(super) questions: AuthorizationServiceClient<Channel>,
    pub(super) tuples: TupleServiceClient<Channel>,
}

impl Wire {
    pub(super) async fn with(tuples: &[&str]) -> Self {
        let mut wire = Self::to(Service::start().await).await;
        if !tuples.is_empty() {
            let changes = tuples.iter().map(|text| touch(text)).collect();
            wire.write(changes).await.unwrap();
        }
        wire
    }

    pub(super) async fn to(service: Service) -> Self {
        let channel = service.channel().await;
        Self {
            service,
            questions: AuthorizationServiceClient::new(channel.clone()),
            tuples: TupleServiceClient::new(channel),
        }
    }

    pub(super) async fn write(
        &mut self,
        changes: Vec<pb::TupleChange>,
    ) -> Result<pb::WriteTuplesResponse, Status> {
        let request = pb::WriteTuplesRequest { changes, ..Default::default() };
        Ok(self.tuples.write_tuples(request).await?.into_inner())
    }

    pub(super) async fn check(
        &mut self,
        request: pb::CheckRequest,
    ) -> Result<pb::CheckResponse, Status> {
        Ok(self.questions.check(request).await?.into_inner())
    }

    pub(super) async fn batch(
        &mut self,
        items: Vec<pb::BatchCheckItem>,
    ) -> Result<pb::BatchCheckResponse, Status> {
        let request = pb::BatchCheckRequest { items, ..Default::default() };
        Ok(self.questions.batch_check(request).await?.into_inner())
    }

    /// The names of the list, and its end mark.
    pub(super) async fn list(
        &mut self,
        request: pb::ListSubjectsRequest,
    ) -> Result<(Vec<String>, pb::ListComplete), Status> {
        let (entries, end) = self.list_entries(request).await?;
        Ok((entries.into_iter().map(|entry| entry.subject).collect(), end))
    }

    /// The entries of the list, and its end mark.
    pub(super) async fn list_entries(
        &mut self,
        request: pb::ListSubjectsRequest,
    ) -> Result<(Vec<pb::ListedSubject>, pb::ListComplete), Status> {
        use pb::list_subjects_response::Part;
        let mut stream = self.questions.list_subjects(request).await?.into_inner();
        let mut entries = Vec::new();
        while let Some(message) = stream.message().await? {
            match message.part.unwrap() {
                Part::Subject(entry) => entries.push(entry),
                Part::Complete(end) => {
                    assert!(stream.message().await?.is_none(), "something follows the end mark");
                    return Ok((entries, end));
                }
            }
        }
        panic!("no end mark after {entries:?}");
    }

    /// The entries of the list of roles, and its end mark.
    pub(super) async fn role_entries(
        &mut self,
        request: pb::ListRolesRequest,
    ) -> Result<(Vec<pb::ListedRole>, pb::ListComplete), Status> {
        use pb::list_roles_response::Part;
        let mut stream = self.questions.list_roles(request).await?.into_inner();
        let mut entries = Vec::new();
        while let Some(message) = stream.message().await? {
            match message.part.unwrap() {
                Part::Role(entry) => entries.push(entry),
                Part::Complete(end) => {
                    assert!(stream.message().await?.is_none(), "something follows the end mark");
                    return Ok((entries, end));
                }
            }
        }
        panic!("no end mark after {entries:?}");
    }

    /// The list as `scope#role`, whose end mark counts its entries.
    pub(super) async fn roles(
        &mut self,
        request: pb::ListRolesRequest,
    ) -> Result<Vec<String>, Status> {
        let (entries, end) = self.role_entries(request).await?;
        assert_eq!(end.count, entries.len() as u64);
        Ok(entries.into_iter().map(|entry| format!("{}#{}", entry.scope, entry.role)).collect())
    }

    pub(super) async fn read(&mut self, filter: pb::TupleFilter) -> Result<Vec<pb::Tuple>, Status> {
        let request = pb::ReadTuplesRequest { filter: Some(filter), ..Default::default() };
        let (entries, end) = self.read_entries(request).await?;
        assert_eq!(end.count, entries.len() as u64);
        Ok(entries.into_iter().map(|entry| entry.tuple.unwrap()).collect())
    }

    /// The entries of the list, and its end mark.
    pub(super) async fn read_entries(
        &mut self,
        request: pb::ReadTuplesRequest,
    ) -> Result<(Vec<pb::ReadTuple>, pb::ReadTuplesComplete), Status> {
        use pb::read_tuples_response::Part;
        let mut stream = self.tuples.read_tuples(request).await?.into_inner();
        let mut entries = Vec::new();
        while let Some(message) = stream.message().await? {
            match message.part.unwrap() {
                Part::Tuple(entry) => entries.push(entry),
                Part::Complete(end) => {
                    assert!(stream.message().await?.is_none(), "something follows the end mark");
                    return Ok((entries, end));
                }
            }
        }
        panic!("no end mark after {entries:?}");
    }
}

pub(super) fn tuple(text: &str) -> pb::Tuple {
    let (scope, rest) = text.split_once('#').unwrap();
    let (role, subject) = rest.split_once('@').unwrap();
    pb::Tuple {
        scope: scope.into(),
        role: role.into(),
        subject: subject.into(),
        ..Default::default()
    }
}

pub(super) fn change(operation: pb::Operation, tuple: pb::Tuple) -> pb::TupleChange {
    pb::TupleChange { operation: operation.into(), tuple: Some(tuple) }
}

pub(super) fn touch(text: &str) -> pb::TupleChange {
    change(pb::Operation::Touch, tuple(text))
}

pub(super) fn ask(question: &str) -> pb::CheckRequest {
    let words: Vec<_> = question.split(' ').map(str::to_owned).collect();
    let [subject, permission, scope] = words.try_into().unwrap();
    pb::CheckRequest { subject, permission, scope, ..Default::default() }
}

pub(super) fn item(question: &str) -> pb::BatchCheckItem {
    let pb::CheckRequest { subject, permission, scope, .. } = ask(question);
    pb::BatchCheckItem { subject, permission, scope, ..Default::default() }
}

pub(super) fn context(json: &str) -> Option<Values> {
    let context: Context = serde_json::from_str(json).unwrap();
    Some(context_to_wire(&context))
}

pub(super) fn list(permission: &str, scope: &str, subject_type: &str) -> pb::ListSubjectsRequest {
    pb::ListSubjectsRequest {
        permission: permission.into(),
        scope: scope.into(),
        subject_type: subject_type.into(),
        ..Default::default()
    }
}

/// Wherever the subject is assigned, or what counts at a scope if one is named.
pub(super) fn roles(subject: &str, scope: &str) -> pb::ListRolesRequest {
    pb::ListRolesRequest { subject: subject.into(), scope: scope.into(), ..Default::default() }
}
