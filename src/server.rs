//! Layer 5: composition and life of the process: bind, recover, serve, drain, close. Knows no request
//! and no command line.

mod model;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub use model::{MODEL_HEALTH, ModelDir, ModelFault, ModelKeeper};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};

use crate::api::pb::v1 as pb;
use crate::api::{GuardLayer, Patience, Shared, routes};
use crate::model::limits::{
    CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, STREAMS_PER_CONNECTION_MAX,
};
use crate::model::tuple::Time;
use crate::pdp::{Clock, Pdp};

/// The port that `serve` listens on and that the client commands ask, unless told otherwise.
pub const DEFAULT_PORT: u16 = 8470;

/// Why the service could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Closed by default: nobody but this host may connect without TLS.
    #[error(
        "`{address}` can be reached from other hosts and there is no TLS yet; listen on 127.0.0.1, \
         or accept it with --insecure-listen"
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be bound.
    #[error("cannot listen on `{address}`: {cause}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The store could not be opened, or does not fit the model.
    #[error("{0}")]
    Open(Box<dyn std::error::Error + Send + Sync>),
    /// Something that should never fail did.
    #[error("the service failed: {0}")]
    Fault(String),
}

/// Where to listen.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// The address; port 0 is any free one.
    pub address: SocketAddr,
    /// Whether other hosts may reach it, without TLS and without authentication.
    pub insecure: bool,
}

/// A service that listens already and answers NOT_READY until [`BoundServer::serve`] has opened its
/// store.
#[derive(Debug)]
pub struct BoundServer {
    listener: TcpListener,
    address: SocketAddr,
    patience: Patience,
    models: Option<ModelKeeper>,
}

/// What opens the store and recovers; runs on a thread where it may block.
pub type Opener = Box<dyn FnOnce() -> Result<Pdp, Box<dyn std::error::Error + Send + Sync>> + Send>;

impl BoundServer {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address can be reached from other hosts and that was not accepted, or it cannot be bound.
    pub async fn bind(config: &ListenConfig) -> Result<Self, ServeError> {
        let wanted = config.address;
        if !wanted.ip().to_canonical().is_loopback() && !config.insecure {
            return Err(ServeError::NotLoopback { address: wanted });
        }
        let failed = |cause| ServeError::Bind { address: wanted, cause };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, patience: Patience::default(), models: None })
    }

    /// Waits for callers as long as this says, not as the limits do.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Takes models from a directory while it serves.
    #[must_use]
    pub fn with_models(self, models: ModelKeeper) -> Self {
        Self { models: Some(models), ..self }
    }

    /// The address that is bound, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Opens the store, serves until `shutdown`, drains, and closes the store.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub async fn serve(
        self,
        open: Opener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let shared = Arc::new(Shared::new(self.patience));
        let health = HealthReporter::new();
        report(&health, ServingStatus::NotServing).await;
        model::report_current(false, &health).await;
        let service = tonic_health::pb::health_server::HealthServer::new(
            HealthService::from_health_reporter(health.clone()),
        );
        let routes =
            routes(&shared, service).map_err(|error| ServeError::Fault(error.to_string()))?;
        let (stop, stopped) = watch::channel(false);
        let patience = self.patience;
        let server = std::pin::pin!(listen(self.listener, &shared, patience, routes, stopped));
        let life = life(&shared, &health, self.address, open, self.models, shutdown);
        let mut server = server;
        let pdp = tokio::select! {
            ended = &mut server => {
                let what = ended.err().unwrap_or_else(|| "the listener ended".to_owned());
                return Err(ServeError::Fault(what));
            }
            lived = life => lived?,
        };
        // Watchers of health would keep their connections open for ever.
        retire(health).await;
        let _ = stop.send(true);
        match tokio::time::timeout(patience.drain, server).await {
            Ok(ended) => ended.map_err(ServeError::Fault)?,
            Err(_) => tracing::warn!(
                after = ?patience.drain,
                "requests were still under way at the end of the drain"
            ),
        }
        if let Some(pdp) = pdp {
            let closed = tokio::task::spawn_blocking(move || pdp.close()).await;
            closed.map_err(|error| ServeError::Fault(error.to_string()))?;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Recovers, serves until `shutdown`, and hands back what is to be closed.
async fn life(
    shared: &Shared,
    health: &HealthReporter,
    address: SocketAddr,
    open: Opener,
    models: Option<ModelKeeper>,
    shutdown: impl Future<Output = ()>,
) -> Result<Option<Pdp>, ServeError> {
    let mut shutdown = std::pin::pin!(shutdown);
    let opened = tokio::select! {
        opened = tokio::task::spawn_blocking(open) => opened,
        () = &mut shutdown => return Ok(None),
    };
    let pdp =
        opened.map_err(|error| ServeError::Fault(error.to_string()))?.map_err(ServeError::Open)?;
    let reading = pdp.read();
    let (model, revision) = (reading.model(), reading.token().revision.0);
    tracing::info!(%address, model = model.name, digest = model.digest, revision, "serving");
    shared.make_ready(pdp.clone());
    let is_current = pdp.model_status().borrow().is_current();
    model::report_current(is_current, health).await;
    report(health, ServingStatus::Serving).await;
    tokio::select! {
        () = shutdown => (),
        never = model::attend(models, &pdp, health) => match never {},
    }
    tracing::info!("draining");
    report(health, ServingStatus::NotServing).await;
    Ok(Some(pdp))
}

async fn listen(
    listener: TcpListener,
    shared: &Arc<Shared>,
    patience: Patience,
    routes: Routes,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), String> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let stop = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(patience.keepalive))
        .http2_keepalive_timeout(Some(patience.keepalive_answer))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .layer(GuardLayer::new(Arc::clone(shared)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop)
        .await
        .map_err(|error| error.to_string())
}

/// The system's wall clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        // Before 1970 or after the year 290000 the clock is wrong anyway; both ends keep their side.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            Err(_) => Time(0),
        }
    }
}

/// The names that health is asked about: the whole service, and each part of the API.
const HEALTH_NAMES: [&str; 4] = [
    "",
    pb::authorization_service_server::SERVICE_NAME,
    pb::tuple_service_server::SERVICE_NAME,
    pb::model_service_server::SERVICE_NAME,
];

async fn report(health: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
        health.set_service_status(name, status).await;
    }
}

async fn retire(mut health: HealthReporter) {
    for name in HEALTH_NAMES.into_iter().chain([MODEL_HEALTH]) {
        health.clear_service_status(name).await;
    }
}

/// Resolves when the process is told to stop: SIGTERM, SIGINT, ctrl-c.
///
/// # Errors
/// The system refuses to tell.
pub fn terminated() -> std::io::Result<impl Future<Output = ()> + Send> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => (),
            _ = int.recv() => (),
        }
    })
}
