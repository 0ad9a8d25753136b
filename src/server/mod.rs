//! Layer 5: composition and life of the process: bind, recover, serve, drain, close. Knows no request
//! and no command line.
//!
//! | module | its one job |
//! |---|---|
//! | `listener` | where callers connect, and who may |
//! | `connection` | how many connections there are, and when one ends |
//! | `http2` | what is asked on a connection, begun and answered |
//! | `stage` | where in its life the service is |
//! | `health` | what `grpc.health.v1` says |
//! | `model` | the model directory: proposed at the start, and again |
//! | `version` | which version of it there is, and whether it is whole |
//! | `admin` | the page for operators and probes |

mod admin;
mod connection;
mod health;
mod http2;
mod listener;
mod model;
mod stage;
mod version;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

pub use self::admin::BoundAdmin;
use self::admin::View;
use self::connection::{Incoming, Terms};
use self::health::Health;
pub use self::listener::{ListenConfig, Listener, Tcp, Unix, UnixConfig};
pub use self::model::{MODEL_HEALTH, ModelDir, ModelFault, ModelKeeper};
use self::stage::{CurrentStage, Stage};
use crate::api::{Methods, Patience, PerConnection, Shared, guarded, methods_of};
use crate::config::Settings;
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
         or accept it with {flag}"
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
        /// What accepts it.
        flag: &'static str,
    },
    /// The address cannot be bound.
    #[error("cannot listen on `{address}`: {cause}")]
    Bind {
        /// The address asked for.
        address: String,
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

/// A service that listens already and answers NOT_READY until [`BoundServer::serve`] has opened its
/// store.
#[derive(Debug)]
pub struct BoundServer<L = Tcp> {
    listener: L,
    settings: Settings,
    admin: Option<BoundAdmin>,
    models: Option<ModelKeeper>,
}

/// What opens the store and recovers; runs on a thread where it may block.
pub type Opener = Box<dyn FnOnce() -> Result<Pdp, Box<dyn std::error::Error + Send + Sync>> + Send>;

impl BoundServer<Tcp> {
    /// Binds a TCP port.
    ///
    /// # Errors
    /// The address can be reached from other hosts and that was not accepted, or it cannot be bound.
    pub async fn bind(config: &ListenConfig) -> Result<Self, ServeError> {
        Ok(Self::on(Tcp::bind(config, "--insecure-listen").await?))
    }

    /// The address that is bound, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.address()
    }
}

impl BoundServer<Unix> {
    /// Binds a Unix socket. A file that is left over from a process that is gone is replaced.
    ///
    /// # Errors
    /// Another process listens there, something else lies there, or it cannot be bound.
    pub async fn bind_unix(config: &UnixConfig) -> Result<Self, ServeError> {
        Ok(Self::on(Unix::bind(config).await?))
    }
}

impl<L: Listener + Unpin> BoundServer<L> {
    fn on(listener: L) -> Self {
        Self { listener, settings: Settings::default(), admin: None, models: None }
    }

    /// Serves with these settings.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// Waits for callers as long as this says, not as the settings do.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { settings: self.settings.with_patience(patience), ..self }
    }

    /// Shows itself on this admin page.
    #[must_use]
    pub fn with_admin(self, admin: BoundAdmin) -> Self {
        Self { admin: Some(admin), ..self }
    }

    /// Takes models from a directory while it serves.
    #[must_use]
    pub fn with_models(self, models: ModelKeeper) -> Self {
        Self { models: Some(models), ..self }
    }

    /// Where it listens, as `--listen` takes it.
    #[must_use]
    pub fn place(&self) -> String {
        self.listener.place()
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
        let Self { listener, settings, admin, models } = self;
        let (shared, place) = (Arc::new(Shared::new(settings)), listener.place());
        let reports = Reports::new(place).await;
        let methods = methods_of(&shared, reports.health.api())
            .map_err(|error| ServeError::Fault(error.to_string()))?;
        let (connections, most) = (Arc::default(), settings.connections());
        let page = admin.map(|admin| {
            let view = View {
                shared: Arc::clone(&shared),
                connections: Arc::clone(&connections),
                most_connections: most,
                stage: reports.stage.clone(),
                started: SystemTime::now(),
            };
            admin.spawn(view, reports.health.admin(), settings.patience())
        });
        let _page = page.transpose().map_err(|error| {
            ServeError::Fault(format!("the admin page cannot be served: {error}"))
        })?;
        let patience = settings.patience();
        let terms = Terms { connections, most, patience, bodies: Arc::default(), idle: None };
        let incoming = Incoming::new(listener, terms);
        let (stop, stopped) = watch::channel(false);
        let mut server = std::pin::pin!(listen(incoming, &shared, settings, methods, stopped));
        let life = life(&shared, &reports, open, models, shutdown);
        let pdp = tokio::select! {
            () = &mut server => {
                return Err(ServeError::Fault("the listener ended".to_owned()));
            }
            lived = life => lived?,
        };
        reports.health.retire().await;
        if let Some(pdp) = &pdp {
            // They would hold up the drain for a revision that comes no more.
            pdp.stop_waiting();
        }
        shared.end_check_streams();
        let _ = stop.send(true);
        if tokio::time::timeout(settings.patience().drain, server).await.is_err() {
            tracing::warn!(
                after = ?settings.patience().drain,
                "requests were still under way at the end of the drain"
            );
        }
        if let Some(pdp) = pdp {
            let closed = tokio::task::spawn_blocking(move || pdp.close()).await;
            closed.map_err(|error| ServeError::Fault(error.to_string()))?;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Who is told of the stages of a service's life.
struct Reports {
    health: Health,
    stage: CurrentStage,
    place: String,
}

impl Reports {
    async fn new(place: String) -> Self {
        let (health, stage) = (Health::new().await, CurrentStage::default());
        model::report_current(false, &health).await;
        let reports = Self { health, stage, place };
        reports.reached(Stage::Recovering).await;
        reports
    }

    async fn reached(&self, stage: Stage) {
        self.stage.set(stage);
        self.health.reached(stage).await;
    }
}

/// Recovers, serves until `shutdown`, and hands back what is to be closed.
async fn life(
    shared: &Shared,
    reports: &Reports,
    open: Opener,
    models: Option<ModelKeeper>,
    shutdown: impl Future<Output = ()>,
) -> Result<Option<Pdp>, ServeError> {
    let mut shutdown = std::pin::pin!(shutdown);
    let opened = tokio::select! {
        opened = tokio::task::spawn_blocking(open) => opened,
        () = &mut shutdown => {
            reports.reached(Stage::Draining).await;
            return Ok(None);
        }
    };
    let pdp =
        opened.map_err(|error| ServeError::Fault(error.to_string()))?.map_err(ServeError::Open)?;
    {
        // Not to be held while it serves: a reading keeps its whole revision in memory.
        let reading = pdp.read();
        let (model, revision) = (reading.model(), reading.token().revision.0);
        let address = &reports.place;
        tracing::info!(%address, model = model.name, digest = model.digest, revision, "serving");
    }
    shared.make_ready(pdp.clone());
    let is_current = pdp.model_status().borrow().is_current();
    model::report_current(is_current, &reports.health).await;
    reports.reached(Stage::Serving).await;
    tokio::select! {
        () = shutdown => (),
        never = model::attend(models, &pdp, &reports.health) => match never {},
    }
    tracing::info!("draining");
    reports.reached(Stage::Draining).await;
    Ok(Some(pdp))
}

async fn listen<L: Listener + Unpin>(
    incoming: Incoming<L>,
    shared: &Arc<Shared>,
    settings: Settings,
    methods: Methods,
    mut stopped: watch::Receiver<bool>,
) {
    let stop = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let of_connection = |connection: &PerConnection| guarded(shared, connection, methods.clone());
    http2::serve(incoming, settings, of_connection, stop).await;
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

/// The signals that tell the process to stop: SIGTERM, SIGINT (ctrl-c).
#[derive(Debug)]
pub struct Terminations {
    term: Signal,
    int: Signal,
}

impl Terminations {
    /// Listens for them from now on.
    ///
    /// # Errors
    /// The system refuses to tell.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Resolves with the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => (),
            _ = self.int.recv() => (),
        }
    }
}

/// Resolves when the process is told to stop.
///
/// # Errors
/// The system refuses to tell.
pub fn terminated() -> std::io::Result<impl Future<Output = ()> + Send> {
    let mut signals = Terminations::new()?;
    Ok(async move { signals.next().await })
}
