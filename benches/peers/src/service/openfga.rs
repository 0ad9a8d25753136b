//! OpenFGA: built from its Go module, with its SQLite storage, the one that is on a disk beside it. It holds
//! the same tuples; a permission is a relation, the union of the roles that give it; a role is bound, or comes
//! from the parent. Written through its own API, then started anew, so that its memory is that of serving.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Checks, Running, call, connect, start, wait_for};
use crate::fault::{Fault, fault};
use crate::matrix::Matrix;
use crate::process::{Ending, free_port};
use crate::world::{Question, World};

/// Tuples a write, its default bound.
const WRITE: usize = 100;

pub(crate) struct OpenFga;

impl Checks for OpenFga {
    type Request = CheckRequest;
    type Response = CheckResponse;
    const PATH: &'static str = "/openfga.v1.OpenFGAService/Check";

    fn allows(answer: &CheckResponse) -> bool {
        answer.allowed
    }
}

/// Where it keeps the world, and under which names.
struct Kept {
    uri: String,
    store: String,
    model: String,
}

/// Makes its database, writes the world, and starts it anew on that.
pub(crate) async fn run(
    program: &Path,
    matrix: &Matrix,
    world: World,
    questions: &[Question],
    dir: &Path,
) -> Result<Running<OpenFga>, Fault> {
    let kept = write(program, matrix, world, dir).await?;
    let requests: Vec<_> =
        questions.iter().map(|question| (kept.check(matrix, question), question.allowed)).collect();
    let (mut process, address) = serve(program, &kept.uri)?;
    wait_for::<OpenFga>(&mut process, address, &requests[0].0).await?;
    Ok(Running { process, address, requests })
}

fn serve(program: &Path, uri: &str) -> Result<(Ending, SocketAddr), Fault> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let metrics = format!("127.0.0.1:{}", free_port()?);
    let process = start(
        program,
        &[
            "run",
            "--datastore-engine=sqlite",
            &format!("--datastore-uri={uri}"),
            &format!("--grpc-addr={address}"),
            &format!("--metrics-addr={metrics}"),
            "--http-enabled=false",
            "--playground-enabled=false",
            "--log-level=error",
        ],
    )?;
    Ok((process, address.parse()?))
}

async fn write(program: &Path, matrix: &Matrix, world: World, dir: &Path) -> Result<Kept, Fault> {
    let uri = format!("file:{}", dir.join("openfga.db").display());
    let migrated = Command::new(program)
        .args(["migrate", "--datastore-engine=sqlite", &format!("--datastore-uri={uri}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !migrated.success() {
        return fault(format!("openfga migrate: {migrated}"));
    }
    let (_process, address) = serve(program, &uri)?;
    let channel = loop {
        match connect(address).await {
            Ok(channel) => break channel,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    };
    let named = CreateStoreRequest { name: "peers".into() };
    let made: CreateStoreResponse =
        call(&channel, "/openfga.v1.OpenFGAService/CreateStore", named).await?;
    let model: WriteAuthorizationModelResponse = call(
        &channel,
        "/openfga.v1.OpenFGAService/WriteAuthorizationModel",
        model(matrix, &made.id),
    )
    .await?;
    let mut tuples = world.written(matrix).peekable();
    while tuples.peek().is_some() {
        let keys = tuples.by_ref().take(WRITE).map(|written| TupleKey {
            user: written.subject,
            relation: written.role.into(),
            object: written.scope.to_string(),
        });
        let request = WriteRequest {
            store_id: made.id.clone(),
            writes: Some(WriteRequestWrites { tuple_keys: keys.collect() }),
            authorization_model_id: model.authorization_model_id.clone(),
        };
        let _written: WriteResponse =
            call(&channel, "/openfga.v1.OpenFGAService/Write", request).await?;
    }
    Ok(Kept { uri, store: made.id, model: model.authorization_model_id })
}

impl Kept {
    fn check(&self, matrix: &Matrix, question: &Question) -> CheckRequest {
        CheckRequest {
            store_id: self.store.clone(),
            tuple_key: Some(TupleKey {
                user: question.user.clone(),
                relation: matrix.permissions[question.permission].clone(),
                object: question.scope.clone(),
            }),
            authorization_model_id: self.model.clone(),
        }
    }
}

fn model(matrix: &Matrix, store: &str) -> WriteAuthorizationModelRequest {
    let types = [("org", &[][..]), ("location", &["org", "location"][..])];
    let mut definitions =
        vec![TypeDefinition { r#type: "user".into(), ..TypeDefinition::default() }];
    definitions.extend(types.map(|(name, parents)| {
        let mut relations = HashMap::new();
        let mut bound_by = HashMap::new();
        if !parents.is_empty() {
            relations.insert("parent".to_owned(), Userset::this());
            bound_by.insert("parent".to_owned(), RelationMetadata::of(parents));
        }
        for role in &matrix.roles {
            let here = Userset::this();
            let held = if parents.is_empty() {
                here
            } else {
                Userset::any(vec![here, Userset::from("parent", role)])
            };
            relations.insert(role.clone(), held);
            bound_by.insert(role.clone(), RelationMetadata::of(&["user"]));
        }
        for (at, permission) in matrix.permissions.iter().enumerate() {
            let givers = matrix.givers(at).map(Userset::computed).collect();
            relations.insert(permission.clone(), Userset::any(givers));
        }
        let metadata = Some(Metadata { relations: bound_by });
        TypeDefinition { r#type: name.into(), relations, metadata }
    }));
    WriteAuthorizationModelRequest {
        store_id: store.into(),
        type_definitions: definitions,
        schema_version: "1.1".into(),
    }
}

impl Userset {
    fn this() -> Self {
        Self { userset: Some(UsersetKind::This(Empty {})) }
    }

    fn computed(relation: &str) -> Self {
        Self { userset: Some(UsersetKind::Computed(ObjectRelation { relation: relation.into() })) }
    }

    fn from(tupleset: &str, relation: &str) -> Self {
        let named = |relation: &str| Some(ObjectRelation { relation: relation.into() });
        let step = TupleToUserset { tupleset: named(tupleset), computed: named(relation) };
        Self { userset: Some(UsersetKind::From(step)) }
    }

    /// A union, which it wants two of at least.
    fn any(mut child: Vec<Self>) -> Self {
        match child.pop() {
            Some(only) if child.is_empty() => only,
            last => {
                child.extend(last);
                Self { userset: Some(UsersetKind::Union(Usersets { child })) }
            }
        }
    }
}

impl RelationMetadata {
    fn of(types: &[&str]) -> Self {
        let reference = |name: &&str| RelationReference { r#type: (*name).into() };
        Self { types: types.iter().map(reference).collect() }
    }
}

// Package `openfga.v1`, as far as it is used.

#[derive(Clone, PartialEq, prost::Message)]
struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CheckRequest {
    #[prost(string, tag = "1")]
    store_id: String,
    #[prost(message, optional, tag = "2")]
    tuple_key: Option<TupleKey>,
    #[prost(string, tag = "4")]
    authorization_model_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct TupleKey {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    relation: String,
    #[prost(string, tag = "3")]
    object: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CheckResponse {
    #[prost(bool, tag = "1")]
    allowed: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CreateStoreRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CreateStoreResponse {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequest {
    #[prost(string, tag = "1")]
    store_id: String,
    #[prost(message, optional, tag = "2")]
    writes: Option<WriteRequestWrites>,
    #[prost(string, tag = "4")]
    authorization_model_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteRequestWrites {
    #[prost(message, repeated, tag = "1")]
    tuple_keys: Vec<TupleKey>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteAuthorizationModelRequest {
    #[prost(string, tag = "1")]
    store_id: String,
    #[prost(message, repeated, tag = "2")]
    type_definitions: Vec<TypeDefinition>,
    #[prost(string, tag = "3")]
    schema_version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WriteAuthorizationModelResponse {
    #[prost(string, tag = "1")]
    authorization_model_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TypeDefinition {
    #[prost(string, tag = "1")]
    r#type: String,
    #[prost(map = "string, message", tag = "2")]
    relations: HashMap<String, Userset>,
    #[prost(message, optional, tag = "3")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metadata {
    #[prost(map = "string, message", tag = "1")]
    relations: HashMap<String, RelationMetadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RelationMetadata {
    #[prost(message, repeated, tag = "1")]
    types: Vec<RelationReference>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RelationReference {
    #[prost(string, tag = "1")]
    r#type: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Userset {
    #[prost(oneof = "UsersetKind", tags = "1, 2, 3, 4")]
    userset: Option<UsersetKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum UsersetKind {
    #[prost(message, tag = "1")]
    This(Empty),
    #[prost(message, tag = "2")]
    Computed(ObjectRelation),
    #[prost(message, tag = "3")]
    From(TupleToUserset),
    #[prost(message, tag = "4")]
    Union(Usersets),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ObjectRelation {
    #[prost(string, tag = "2")]
    relation: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TupleToUserset {
    #[prost(message, optional, tag = "1")]
    tupleset: Option<ObjectRelation>,
    #[prost(message, optional, tag = "2")]
    computed: Option<ObjectRelation>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Usersets {
    #[prost(message, repeated, tag = "1")]
    child: Vec<Userset>,
}
