//! Sends chunks to the service, each as one commit or as a question whether it could be one. Knows no
//! file.

use std::time::Duration;

use http::uri::PathAndQuery;
use prost::bytes::{BufMut, Bytes};
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_prost::ProstDecoder;
use tonic_types::{ErrorInfo, StatusExt};

use super::changes::Changes;
use super::chunk::Chunk;
use super::done::Fate;
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::authorization_service_client::AuthorizationServiceClient;
use crate::cli::CliError;
use crate::cli::client::{self, ServiceArgs};
use crate::cli::retry::{did_nothing, retried};

/// Why a chunk is not in, or not known to be.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: Status,
    /// Whether no attempt can have committed it.
    pub(super) is_out: bool,
}

impl Refused {
    /// What became of the chunk.
    pub(super) fn fate(&self) -> Fate {
        if self.is_out { Fate::Out } else { Fate::Unknown }
    }

    pub(super) fn info(&self) -> Option<ErrorInfo> {
        self.status.get_details_error_info()
    }

    /// The index of the change that the service has something against.
    pub(super) fn change(&self) -> Option<usize> {
        let field = self.info()?.metadata.remove("field")?;
        field.strip_prefix("changes[")?.split(']').next()?.parse().ok()
    }

    /// Code, reason and message; what the message says of a change's place is left out, as its line is
    /// said instead.
    pub(super) fn words(&self, change: Option<usize>) -> String {
        let words = client::describe(&self.status);
        let Some(change) = change else { return words };
        let places = ["].tuple.", "].tuple: ", "]: "].map(|end| format!("changes[{change}{end}"));
        places.iter().fold(words, |words, place| words.replacen(place, "", 1))
    }
}

/// What the service says to a chunk.
pub(super) type Answer = Result<pb::WriteTuplesResponse, Refused>;

const WRITE_TUPLES: &str = "/bailiwick.v1.TupleService/WriteTuples";

/// Sends a request that is encoded already.
#[derive(Debug, Clone, Copy)]
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = pb::WriteTuplesResponse;
    type Encoder = Self;
    type Decoder = ProstDecoder<pb::WriteTuplesResponse>;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(BufferSettings::default())
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, request: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(request);
        Ok(())
    }
}

/// The service, as an import uses it. `note` hears of what is sent again.
pub(super) struct Sender<'a> {
    service: &'a ServiceArgs,
    channel: Channel,
    retries: u32,
    salt: Vec<u8>,
    note: &'a dyn Fn(&str),
}

impl<'a> Sender<'a> {
    pub(super) async fn connect(
        service: &'a ServiceArgs,
        retries: u32,
        salt: Vec<u8>,
        note: &'a dyn Fn(&str),
    ) -> Result<Self, CliError> {
        let channel = service.connect().await?;
        Ok(Self { service, channel, retries, salt, note })
    }

    /// The newest revision now.
    pub(super) async fn head(&self) -> Result<u64, CliError> {
        let ask = || {
            let mut request = Request::new(pb::BatchCheckRequest::default());
            request.set_timeout(self.service.patience());
            let mut client = AuthorizationServiceClient::new(self.channel.clone());
            async move { client.batch_check(request).await }
        };
        let failed = |status: &Status, wait| self.note_again(status, wait);
        let answer = retried(self.retries, ask, failed).await;
        let answer = answer.map_err(|status| CliError::Failed(client::describe(&status)))?;
        Ok(answer.revision)
    }

    /// Commits a chunk under its key, so that asking again cannot do it twice; `is_out`: no earlier attempt
    /// can have.
    pub(super) fn commit<'s>(
        &'s self,
        chunk: &Chunk,
        is_out: bool,
    ) -> impl Future<Output = Answer> + use<'s, 'a> {
        let terms = pb::WriteTuplesRequest {
            idempotency_key: chunk.key(&self.salt),
            ..pb::WriteTuplesRequest::default()
        };
        let request = chunk.changes.request(&terms);
        async move { self.write(&request, is_out).await }
    }

    /// Asks whether a chunk could be committed as things are now; of one that an earlier run committed,
    /// its key says that it could.
    pub(super) async fn validate(&self, chunk: &Chunk) -> Answer {
        let terms = pb::WriteTuplesRequest {
            idempotency_key: chunk.key(&self.salt),
            validate_only: true,
            ..pb::WriteTuplesRequest::default()
        };
        self.write(&chunk.changes.request(&terms), true).await
    }

    /// How many tuples of a chunk are not stored just so at this moment.
    pub(super) async fn lacking(&self, chunk: &Chunk) -> Result<u64, Refused> {
        let touch = pb::Operation::Touch.into();
        let changes = chunk.changes.messages().map_err(|error| Refused {
            status: Status::internal(format!("a chunk was not read back: {error}")),
            is_out: true,
        })?;
        let mut touches = Changes::default();
        for change in changes {
            touches.push(&pb::TupleChange { operation: touch, ..change });
        }
        let terms =
            pb::WriteTuplesRequest { validate_only: true, ..pb::WriteTuplesRequest::default() };
        // A touch of what is there just so changes nothing.
        self.write(&touches.request(&terms), true).await.map(|answer| answer.changed)
    }

    async fn write(&self, request: &Bytes, mut is_out: bool) -> Answer {
        let ask = || {
            let mut request = Request::new(request.clone());
            request.set_timeout(self.service.patience());
            let mut client = Grpc::new(self.channel.clone());
            async move {
                let ready = client.ready().await;
                ready.map_err(|error| Status::from_error(Box::new(error)))?;
                client.unary(request, PathAndQuery::from_static(WRITE_TUPLES), Encoded).await
            }
        };
        let failed = |status: &Status, wait: Duration| {
            is_out &= did_nothing(status);
            self.note_again(status, wait);
        };
        retried(self.retries, ask, failed).await.map_err(|status| {
            // A refusal of the last attempt tells of the earlier ones too: the key makes them one.
            let is_out = did_nothing(&status) || (is_out && said_nothing_was_done(&status));
            Refused { status, is_out }
        })
    }

    fn note_again(&self, status: &Status, wait: Duration) {
        (self.note)(&format!(
            "{}; asking again in {} s",
            client::describe(status),
            wait.as_secs_f64()
        ));
    }
}

/// UNAVAILABLE by the service itself, before it did anything.
fn said_nothing_was_done(status: &Status) -> bool {
    use crate::api::status::Refusal;
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    [Refusal::NotReady, Refusal::StoreUnavailable].iter().any(|refusal| refusal.text() == reason)
}
