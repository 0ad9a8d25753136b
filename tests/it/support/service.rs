//! The real service in this process, over real sockets on a free port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bailiwick::api::Patience;
use bailiwick::api::status::ERROR_DOMAIN;
use bailiwick::model::{SourceFiles, load};
use bailiwick::pdp::{Clock, Pdp};
use bailiwick::server::{BoundServer, ListenConfig, Opener, ServeError};
use bailiwick::store::memory::MemoryStore;
use bailiwick::store::{ModelFiles, Store};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use super::SetClock;
use super::errors_page::described;

/// A service under test. Ends when it is dropped or stopped.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Service {
    /// Serves the model of every feature from a store in memory, and waits until it is ready.
    pub(crate) async fn start() -> Self {
        Self::start_on(Arc::new(MemoryStore::new()), Arc::new(SetClock::default())).await
    }

    pub(crate) async fn start_on(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        let service = Self::open(Box::new(move || Ok(pdp(store, clock)))).await;
        service.wait_until(ServingStatus::Serving).await;
        service
    }

    /// Serves this service without a wire, waiting for its callers as long as told, and waits until it
    /// is ready. The test keeps a clone: what it writes and when is then up to the test alone.
    pub(crate) async fn serve(pdp: &Pdp, patience: Patience) -> Self {
        let pdp = pdp.clone();
        let service = Self::open_with(Box::new(move || Ok(pdp)), patience).await;
        service.wait_until(ServingStatus::Serving).await;
        service
    }

    /// Serves, and does not wait.
    pub(crate) async fn open(open: Opener) -> Self {
        Self::open_with(open, Patience::default()).await
    }

    /// Serves, waiting for its callers as long as told, and does not wait until it is ready.
    pub(crate) async fn open_with(open: Opener, patience: Patience) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = BoundServer::bind(&ListenConfig { address, insecure: false }).await.unwrap();
        let server = server.with_patience(patience);
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(open, async {
            let _ = stopped.await;
        }));
        Self { address, stop, served }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn wait_until(&self, wanted: ServingStatus) {
        let request = HealthCheckRequest { service: String::new() };
        let mut health = HealthClient::new(self.channel().await);
        let mut changes = health.watch(request).await.unwrap().into_inner();
        while let Some(change) = changes.message().await.unwrap() {
            if change.status() == wanted {
                return;
            }
        }
        panic!("health ended before it said {wanted:?}");
    }

    /// Waits for a service that fails by itself.
    pub(crate) async fn failed(self) -> ServeError {
        let Self { stop: _kept, served, .. } = self;
        served.await.unwrap().unwrap_err()
    }

    /// Tells the service to stop and waits for it.
    pub(crate) async fn stop(self) -> Result<(), ServeError> {
        self.stop.send(()).unwrap();
        self.served.await.unwrap()
    }
}

/// A service without a wire, with the model of every feature.
pub(crate) fn pdp(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Pdp {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/everything");
    let files = SourceFiles::read_dir(&dir).unwrap();
    let model = load(&files, &BTreeMap::new()).unwrap();
    let files = ModelFiles { digest: model.digest.clone(), files: Vec::new() };
    Pdp::open(store, model, files, clock).unwrap()
}

/// What a program sees of an error: code, reason, metadata. It is what `docs/errors.md` describes.
#[track_caller]
pub(crate) fn refusal(status: &Status) -> (Code, String, BTreeMap<String, String>) {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("no ErrorInfo on {status:?}"));
    assert_eq!(info.domain, ERROR_DOMAIN);
    assert!(!status.message().is_empty(), "an error without words: {status:?}");
    if let Err(lacking) = described(status.code(), &info.reason, info.metadata.keys()) {
        panic!("{lacking}; it was sent: {status:?}");
    }
    (status.code(), info.reason, info.metadata.into_iter().collect())
}

/// Asserts an error's code, its reason and, unless empty, the field that it is about.
#[track_caller]
pub(crate) fn assert_refused(status: &Status, code: Code, reason: &str, field: &str) {
    let (got_code, got_reason, metadata) = refusal(status);
    assert_eq!((got_code, got_reason.as_str()), (code, reason), "{status:?}");
    if !field.is_empty() {
        assert_eq!(metadata.get("field").map(String::as_str), Some(field), "{status:?}");
        assert!(status.message().contains(field), "{}", status.message());
    }
}
