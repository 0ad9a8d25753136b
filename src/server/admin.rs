//! The admin page: figures for Prometheus, and whether the service lives and is ready, for people and
//! for probes. Answers no question about anybody; changes nothing.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::oneshot;
use tonic::Status;
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health, HealthServer};

use super::ServeError;
use super::connection::{Incoming, Terms};
use super::listener::{ListenConfig, Tcp};
use super::stage::{CurrentStage, Stage};
use crate::api::Shared;
use crate::config::Patience;
use crate::model::limits::ADMIN_CONNECTIONS_MAX;
use crate::telemetry::figures::Connections;
use crate::telemetry::page::{CONTENT_TYPE, Page, Source, Text};
use crate::telemetry::{names, process};

const PATHS: &str = "there are /metrics, /healthz and /readyz, and grpc.health.v1\n";

/// An admin page that is bound to its port; it answers once a server serves.
#[derive(Debug)]
pub struct BoundAdmin {
    listener: Tcp,
}

impl BoundAdmin {
    /// Binds the port.
    ///
    /// # Errors
    /// The address can be reached from other hosts and that was not accepted, or it cannot be bound.
    pub async fn bind(config: &ListenConfig) -> Result<Self, ServeError> {
        Ok(Self { listener: Tcp::bind(config, "--insecure-admin").await? })
    }

    /// The address that is bound, with its real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Answers until what is returned is dropped, on a thread and a runtime of its own: a probe must be
    /// answered however much those of the API have to do.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn spawn(
        self,
        view: View,
        health: HealthServer<impl Health>,
        patience: Patience,
    ) -> std::io::Result<Serving> {
        let socket = self.listener.into_std()?;
        let routes = Routes::from(pages(view)).add_service(health).prepare();
        let (stop, stopped) = oneshot::channel();
        std::thread::Builder::new().name("admin".into()).spawn(move || {
            if let Err(error) = serve(socket, routes, patience, stopped) {
                tracing::error!(%error, "the admin page has ended");
            }
        })?;
        Ok(Serving(Some(stop)))
    }
}

fn serve(
    socket: std::net::TcpListener,
    routes: Routes,
    patience: Patience,
    stopped: oneshot::Receiver<()>,
) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let most = ADMIN_CONNECTIONS_MAX;
        let (connections, bodies) = (Arc::default(), Arc::default());
        let idle = Some(patience.admin_idle);
        let terms = Terms { connections, most, patience, bodies, idle };
        let incoming = Incoming::new(Tcp::on(socket)?, terms);
        // Whoever connects and never answers would keep a probe's place for ever.
        let server = tonic::transport::Server::builder()
            // Who answers pings is not idle.
            .http2_keepalive_interval(Some(patience.keepalive.min(patience.admin_idle / 2)))
            .http2_keepalive_timeout(Some(patience.keepalive_answer))
            .accept_http1(true)
            .add_routes(routes);
        tokio::select! {
            ended = server.serve_with_incoming(incoming) => Ok(ended?),
            _ = stopped => Ok(()),
        }
    })
}

/// Ends the page when dropped.
#[derive(Debug)]
pub(super) struct Serving(Option<oneshot::Sender<()>>);

impl Drop for Serving {
    fn drop(&mut self) {
        // If nobody hears it, the page has ended already.
        let _ = self.0.take().map(|stop| stop.send(()));
    }
}

/// What the page shows.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) shared: Arc<Shared>,
    pub(super) connections: Arc<Connections>,
    /// Most connections at once.
    pub(super) most_connections: usize,
    pub(super) stage: CurrentStage,
    /// When the service was started.
    pub(super) started: SystemTime,
}

fn pages(view: View) -> Router {
    let figures = Arc::new(Text::of(view.clone()));
    Router::new()
        .route("/metrics", get(metrics).with_state(figures))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready).with_state(Arc::new(view)))
        .fallback(nothing)
}

/// Nothing is there, in the protocol in which it was asked for.
async fn nothing(headers: HeaderMap) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind.starts_with(b"application/grpc") {
        return Status::unimplemented(PATHS.trim_end()).into_http();
    }
    (StatusCode::NOT_FOUND, PATHS).into_response()
}

async fn metrics(State(figures): State<Arc<Text>>) -> Response {
    match figures.render() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the figures cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn ready(State(view): State<Arc<View>>) -> (StatusCode, String) {
    let stage = view.stage.get();
    let code = match stage {
        Stage::Serving => StatusCode::OK,
        Stage::Recovering | Stage::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut text = format!("{}\n", stage.word());
    if let Some(pdp) = view.shared.ready() {
        let (revision, models) = (pdp.read().token().revision.0, pdp.model_status());
        let model = models.borrow();
        text += &format!("revision: {revision}\nmodel: {} {}\n", model.name, model.digest);
        if let Some(refusal) = model.last_proposal.as_ref().and_then(|last| last.refusal.as_ref()) {
            text += &format!("a proposed model was refused: {refusal}\n");
        }
        if pdp.work().is_latched() {
            text += "writes: refused, as the store failed; restart the service\n";
        }
    }
    (code, text)
}

impl Source for View {
    fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        page.info(&names::BUILD, [env!("CARGO_PKG_VERSION")])?;
        page.gauge(&names::READY, u64::from(self.stage.get() == Stage::Serving))?;
        self.write_requests(page)?;
        self.write_connections(page)?;
        self.write_work(page)?;
        page.measure(&names::PROCESS_START, process::unix_seconds(self.started))?;
        if let Some(bytes) = process::resident_bytes() {
            page.gauge(&names::PROCESS_MEMORY, bytes)?;
        }
        Ok(())
    }
}

impl View {
    fn write_requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let requests = self.shared.requests();
        let counts = requests.counts();
        let counts = counts.map(|(method, end, count)| ([method, end.code, end.reason], count));
        page.counters(&names::REQUESTS, counts)?;
        let durations = requests.durations().map(|(method, read)| ([method], read));
        page.histograms(&names::REQUEST_DURATION, durations)?;
        let (in_flight, lists) = (self.shared.in_flight(), self.shared.lists());
        page.gauge(&names::REQUESTS_IN_FLIGHT, in_flight.used)?;
        page.gauge(&names::REQUESTS_IN_FLIGHT_LIMIT, in_flight.limit)?;
        page.counter(&names::REQUESTS_SHED, requests.shed_count())?;
        page.gauge(&names::LISTS_OPEN, lists.used)?;
        page.gauge(&names::LISTS_OPEN_LIMIT, lists.limit)?;
        let check_streams = self.shared.check_streams();
        page.gauge(&names::CHECK_STREAMS_OPEN, check_streams.used)?;
        page.gauge(&names::CHECK_STREAMS_OPEN_LIMIT, check_streams.limit)
    }

    fn write_connections(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauge(&names::CONNECTIONS_OPEN, self.connections.count())?;
        page.gauge(&names::CONNECTIONS_OPEN_LIMIT, self.most_connections as u64)?;
        let closings = self.connections.closings().map(|(why, count)| ([why.label()], count));
        page.counters(&names::CONNECTIONS_CLOSED, closings)
    }

    /// What there is only once the store is read.
    fn write_work(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(pdp) = self.shared.ready() else { return Ok(()) };
        let (reading, work) = (pdp.read(), pdp.work());
        let decisions = work.decisions().map(|(outcome, count)| (outcome.labels(), count));
        page.counters(&names::DECISIONS, decisions)?;
        page.gauge(&names::TUPLES, reading.tuple_count() as u64)?;
        page.gauge(&names::REVISION, reading.token().revision.0)?;
        let model = reading.model();
        page.info(&names::MODEL, [&model.name, &model.digest])?;
        page.counter(&names::COMMITS, work.commits())?;
        page.histogram(&names::COMMIT_GROUP, &work.groups())?;
        page.histogram(&names::APPEND_DURATION, &work.appends())?;
        page.counter(&names::GROUPS_REFUSED, work.groups_refused())?;
        page.gauge(&names::WRITER_LATCHED, u64::from(work.is_latched()))
    }
}
