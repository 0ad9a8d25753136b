//! Layer 4: one adapter per wire. Converts, calls the service, and turns each error into a status by
//! the one table in [`status`]. Decides nothing itself; knows no store and no index.

mod authorization;
mod batch;
mod check_stream;
mod codec;
pub mod convert;
mod dear;
mod delegation;
mod encoded;
mod freshness;
mod guard;
mod methods;
mod models;
mod page;
pub mod pb;
mod refused;
pub mod status;
mod stream;
mod tuples;
pub mod values;

use std::sync::{Arc, OnceLock};

pub use guard::{Budget, PerConnection, Unread};
use guard::{Guarded, Places, guard};
pub(crate) use methods::Methods;
use prost::Message as _;
use tokio::sync::{Semaphore, watch};
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};

use self::status::{ApiError, Refusal};
pub use crate::config::Patience;
use crate::config::Settings;
use crate::model::limits::{
    BULK_REQUESTS_MAX, DEAR_REQUESTS_MAX, REQUEST_BYTES_MAX, SIDE_REQUEST_BYTES_MAX,
};
use crate::pdp::Pdp;
use crate::telemetry::figures::Requests;

/// What all adapters of one service share.
#[derive(Debug)]
pub struct Shared {
    pdp: OnceLock<Pdp>,
    in_flight: Places,
    streams: Arc<Semaphore>,
    /// Calls that take many questions.
    check_streams: Arc<Semaphore>,
    /// Whether they are to end.
    stopping: watch::Sender<bool>,
    /// Threads for requests that take long.
    dear: Arc<Semaphore>,
    /// Threads that give way. Nobody who only asks waits for one.
    bulk: Arc<Semaphore>,
    settings: Settings,
    requests: Requests,
}

/// How much of a bound is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// So many now.
    pub used: u64,
    /// At most so many.
    pub limit: u64,
}

impl Usage {
    fn of(places: &Semaphore, limit: usize) -> Self {
        let used = limit.saturating_sub(places.available_permits());
        Self { used: used as u64, limit: limit as u64 }
    }
}

impl Shared {
    /// What a service that is not ready yet shares.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            pdp: OnceLock::new(),
            in_flight: Places::of(settings.in_flight()),
            streams: Arc::new(Semaphore::new(settings.streams())),
            check_streams: Arc::new(Semaphore::new(settings.check_streams())),
            stopping: watch::Sender::new(false),
            dear: Arc::new(Semaphore::new(DEAR_REQUESTS_MAX)),
            bulk: Arc::new(Semaphore::new(BULK_REQUESTS_MAX)),
            settings,
            requests: Requests::new(methods(), status::endings()),
        }
    }

    /// What has been asked, and how it ended.
    #[must_use]
    pub fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Requests under way.
    #[must_use]
    pub fn in_flight(&self) -> Usage {
        let limit = self.settings.in_flight() as u64;
        Usage { used: self.in_flight.taken() as u64, limit }
    }

    /// Lists that are being streamed.
    #[must_use]
    pub fn lists(&self) -> Usage {
        Usage::of(&self.streams, self.settings.streams())
    }

    /// CheckStreams that are open.
    #[must_use]
    pub fn check_streams(&self) -> Usage {
        Usage::of(&self.check_streams, self.settings.check_streams())
    }

    /// Ends every CheckStream, once what it has read is answered: they would stay open as long as their callers
    /// like. For good.
    pub fn end_check_streams(&self) {
        self.stopping.send_replace(true);
    }

    /// The service without a wire, once it is ready.
    #[must_use]
    pub fn ready(&self) -> Option<&Pdp> {
        self.pdp.get()
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

/// The descriptors of everything that is served.
const DESCRIPTORS: [&[u8]; 4] = [
    pb::DESCRIPTORS,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// Every method that is served, as `package.Service/Method`.
fn methods() -> Vec<String> {
    let decoded = DESCRIPTORS.iter().map(|set| prost_types::FileDescriptorSet::decode(*set));
    let files = decoded.flat_map(|set| set.unwrap_or_default().file);
    let services = files.flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().map(move |service| (package.clone(), service))
    });
    let names = services.flat_map(|(package, service)| {
        let methods = service.method.iter();
        methods.map(|m| format!("{package}.{}/{}", service.name(), m.name())).collect::<Vec<_>>()
    });
    names.collect()
}

/// The methods as callers on one connection reach them.
pub(crate) fn guarded(
    shared: &Arc<Shared>,
    connection: &PerConnection,
    methods: Methods,
) -> Guarded<Methods> {
    guard(shared, connection, methods)
}

/// Every method of the wire; they answer once `shared` is ready.
///
/// # Errors
/// The embedded descriptors are damaged.
pub(crate) fn methods_of(
    shared: &Arc<Shared>,
    health: HealthServer<impl Health>,
) -> Result<Methods, tonic_reflection::server::Error> {
    use pb::served::authorization_service_server::AuthorizationServiceServer;
    use pb::served::tuple_service_server::TupleServiceServer;
    use pb::v1::delegation_service_server::DelegationServiceServer;
    use pb::v1::model_service_server::ModelServiceServer;

    let adapter = Adapter { shared: Arc::clone(shared) };
    let reflection = || {
        // No method names google.rpc.ErrorInfo, but every error carries it.
        let all = DESCRIPTORS.into_iter().chain([tonic_types::pb::FILE_DESCRIPTOR_SET]);
        all.fold(tonic_reflection::server::Builder::configure(), |builder, set| {
            builder.register_encoded_file_descriptor_set(set)
        })
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
        .add_service(
            DelegationServiceServer::new(adapter.clone())
                .max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(
            ModelServiceServer::new(adapter.clone()).max_decoding_message_size(REQUEST_BYTES_MAX),
        )
        .add_service(health.max_decoding_message_size(SIDE_REQUEST_BYTES_MAX))
        .add_service(reflection().build_v1()?.max_decoding_message_size(SIDE_REQUEST_BYTES_MAX))
        .add_service(
            reflection().build_v1alpha()?.max_decoding_message_size(SIDE_REQUEST_BYTES_MAX),
        );
    Ok(Methods::new(adapter, routes.routes().prepare()))
}
