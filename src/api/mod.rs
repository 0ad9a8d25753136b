//! Layer 4: one adapter per wire. Converts, calls the service, and turns each error into a status by
//! the one table in [`status`]. Decides nothing itself; knows no store and no index.

mod authorization;
mod codec;
pub mod convert;
mod freshness;
mod guard;
mod models;
mod page;
pub mod pb;
pub mod status;
mod stream;
mod tuples;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use guard::{Guard, GuardFuture, GuardLayer, GuardedBody};
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};

use self::status::{ApiError, Refusal};
use crate::model::limits::{
    DRAIN_SECONDS, IN_FLIGHT_REQUESTS_MAX, KEEPALIVE_ANSWER_SECONDS, KEEPALIVE_SECONDS,
    REQUEST_BYTES_MAX, REQUEST_SECONDS_DEFAULT, REQUEST_SECONDS_MAX, STREAM_STALL_SECONDS,
    STREAMS_MAX,
};
use crate::pdp::Pdp;

/// How long the service waits for its callers. A caller that keeps it waiting longer loses its place,
/// so that nobody holds the places of others for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until the answer to a request without a deadline begins.
    pub request: Duration,
    /// Until the answer to any request begins, whatever deadline it brings.
    pub request_max: Duration,
    /// While a list is not read, its buffer full.
    pub stream_stall: Duration,
    /// Between two pings of a connection.
    pub keepalive: Duration,
    /// Until a ping is answered.
    pub keepalive_answer: Duration,
    /// Until the requests under way have ended, once the service is told to stop.
    pub drain: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(REQUEST_SECONDS_DEFAULT),
            request_max: Duration::from_secs(REQUEST_SECONDS_MAX),
            stream_stall: Duration::from_secs(STREAM_STALL_SECONDS),
            keepalive: Duration::from_secs(KEEPALIVE_SECONDS),
            keepalive_answer: Duration::from_secs(KEEPALIVE_ANSWER_SECONDS),
            drain: Duration::from_secs(DRAIN_SECONDS),
        }
    }
}

/// What all adapters of one service share.
#[derive(Debug)]
pub struct Shared {
    pdp: OnceLock<Pdp>,
    in_flight: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    patience: Patience,
}

impl Shared {
    /// What a service that is not ready yet shares.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self {
            pdp: OnceLock::new(),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_REQUESTS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            patience,
        }
    }

    /// Ends NOT_READY: from now on this service answers. Counts once; later calls change nothing.
    pub fn make_ready(&self, pdp: Pdp) {
        let _ = self.pdp.set(pdp);
    }

    fn pdp(&self) -> Result<&Pdp, ApiError> {
        self.pdp.get().ok_or_else(|| {
            ApiError::new(Refusal::NotReady, "the service is still reading its store")
        })
    }
}

/// The adapters behind one implementation of the generated service traits.
#[derive(Debug, Clone)]
struct Adapter {
    shared: Arc<Shared>,
}

/// Every service of the wire; they answer once `shared` is ready.
///
/// # Errors
/// The embedded descriptors are damaged.
pub fn routes(
    shared: &Arc<Shared>,
    health: HealthServer<impl Health>,
) -> Result<Routes, tonic_reflection::server::Error> {
    use pb::v1::authorization_service_server::AuthorizationServiceServer;
    use pb::v1::model_service_server::ModelServiceServer;
    use pb::v1::tuple_service_server::TupleServiceServer;

    let adapter = Adapter { shared: Arc::clone(shared) };
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // No method names google.rpc.ErrorInfo, but every error carries it.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            )
    };
    let mut routes = Routes::builder();
    routes
        .add_service(
            AuthorizationServiceServer::new(adapter.clone())
                .max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(
            TupleServiceServer::new(adapter.clone()).max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(ModelServiceServer::new(adapter).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok(routes.routes().prepare())
}
