//! `bailiwick serve`: the service.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::opened::{Loaded, proposing_opener};
use super::settings::SettingsArgs;
use super::{CliError, Exit, logging};
use crate::config::Settings;
use crate::server::{
    BoundAdmin, BoundServer, ListenConfig, Listener, ModelDir, ModelKeeper, Opener, ServeError,
    Terminations, UnixConfig,
};

/// How long threads may take to end once everything is closed.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// Serve a model's decisions over gRPC
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick serve --model models/virta --data /var/lib/bailiwick --listen 127.0.0.1:8470

The model is proposed at the start and again at each SIGHUP. It is put in force if every stored tuple
fits it; if not, the store's own model stays in force, and the log, health (`bailiwick.model`) and
`bailiwick model show` say why.

Logs go to the standard error; RUST_LOG filters them (`RUST_LOG=bailiwick=debug`). SIGTERM and ctrl-c
end the service once the requests under way are answered; a second one ends it at once. Flags that
name a variable can be given by the environment too.")]
pub(super) struct Args {
    /// The model directory, with its model.yaml; may be left out once the store has a model
    #[arg(long, value_name = "DIR", env = "BAILIWICK_MODEL")]
    model: Option<PathBuf>,
    /// Propose the model whenever a link leads to another version of it, as in a ConfigMap's volume;
    /// what is changed in place needs a SIGHUP
    #[arg(long, requires = "model")]
    watch_model: bool,
    /// End if the model is refused at the start, instead of serving with the store's own
    #[arg(long, requires = "model")]
    strict_model: bool,
    /// The store's directory; made if it is not there
    #[arg(long, value_name = "DIR", env = "BAILIWICK_DATA")]
    data: PathBuf,
    /// Where to listen: IP:PORT, port 0 being any free one, or unix:PATH
    #[arg(long, value_name = "WHERE", env = "BAILIWICK_LISTEN", default_value = "127.0.0.1:8470")]
    listen: Place,
    /// Let other hosts connect, without TLS and without authentication
    #[arg(long)]
    insecure_listen: bool,
    /// The permissions of the socket of `--listen unix:PATH`, in octal
    #[arg(long, value_name = "MODE", env = "BAILIWICK_SOCKET_MODE", default_value = "600",
        value_parser = octal)]
    socket_mode: u32,
    #[command(flatten)]
    limits: SettingsArgs,
    #[command(flatten)]
    observed: ObservedArgs,
}

/// Who looks at the service, and how.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Observation")]
struct ObservedArgs {
    /// Where to serve figures, readiness and health: /metrics, /readyz, /healthz, grpc.health.v1
    #[arg(long, value_name = "IP:PORT", env = "BAILIWICK_ADMIN")]
    admin: Option<SocketAddr>,
    /// Let other hosts see the admin page; it answers no question about anybody
    #[arg(long, requires = "admin")]
    insecure_admin: bool,
    /// The OpenTelemetry collector that gets a span of each request, over OTLP/gRPC
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
}

/// Where to listen.
#[derive(Debug, Clone)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("unix: needs the path of a socket".into()),
            Some(path) => Ok(Self::Unix(path.into())),
            None => {
                let parsed = text.parse().map(Self::Tcp);
                parsed.map_err(|_| "expected IP:PORT or unix:PATH".into())
            }
        }
    }
}

fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("expected 0 to 777, in octal".into()),
    }
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let settings = args.limits.check()?;
    let runtime = runtime()?;
    let export = {
        let _inside = runtime.enter();
        match args.observed.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty()) {
            Some(endpoint) => Some(logging::start_exporting("info", endpoint)?),
            None => logging::start("info").map(|()| None)?,
        }
    };
    let dir = args.model.clone().map(ModelDir::new).map(Arc::new);
    let open = proposing_opener(load(args, dir.as_ref())?, args.data.clone());
    let served = runtime.block_on(async {
        // Before it listens, so that no signal ends it unheard.
        let models = ModelKeeper::new(dir, args.watch_model).map_err(CliError::failed)?;
        let signals = Terminations::new().map_err(CliError::failed)?;
        let prepared = Prepared { settings, models, signals, open };
        match &args.listen {
            Place::Tcp(address) => {
                let config = ListenConfig { address: *address, insecure: args.insecure_listen };
                let server = BoundServer::bind(&config).await.map_err(refuse)?;
                serve(server, prepared, &args.observed, out).await
            }
            Place::Unix(path) => {
                let config = UnixConfig { path: path.clone(), mode: args.socket_mode };
                let server = BoundServer::bind_unix(&config).await.map_err(refuse)?;
                serve(server, prepared, &args.observed, out).await
            }
        }
    });
    if matches!(served, Ok(Ended::AtOnce)) {
        runtime.shutdown_background();
        let what = "a second signal ended the service at once; requests under way were cut off";
        return Err(CliError::Failed(what.into()));
    }
    if let Some(export) = export {
        export.flush();
    }
    runtime.shutdown_timeout(RUNTIME_END);
    served.map(|_| Exit::Done)
}

/// How the service ended.
enum Ended {
    /// What was under way was answered.
    Drained,
    /// It was told twice.
    AtOnce,
}

/// What a service is served with, wherever it listens.
struct Prepared {
    settings: Settings,
    models: ModelKeeper,
    signals: Terminations,
    open: Opener,
}

async fn serve<L: Listener + Unpin>(
    server: BoundServer<L>,
    prepared: Prepared,
    observed: &ObservedArgs,
    out: &mut dyn Write,
) -> Result<Ended, CliError> {
    let Prepared { settings, models, mut signals, open } = prepared;
    let mut server = server.with_settings(settings).with_models(models);
    let mut told = format!("listening on {}\n", server.place());
    if let Some(address) = observed.admin {
        let config = ListenConfig { address, insecure: observed.insecure_admin };
        let admin = BoundAdmin::bind(&config).await.map_err(refuse)?;
        told.push_str(&format!("admin on {}\n", admin.local_addr()));
        server = server.with_admin(admin);
    }
    // Once nothing more can be refused that was asked for.
    out.write_all(told.as_bytes())?;
    out.flush()?;
    let (stop, stopped) = oneshot::channel();
    let served = server.serve(open, async {
        let _ = stopped.await;
    });
    tokio::select! {
        served = served => served.map(|()| Ended::Drained).map_err(refuse),
        () = async {
            signals.next().await;
            let _ = stop.send(());
            signals.next().await;
        } => Ok(Ended::AtOnce),
    }
}

/// What the model directory holds. Fails at once where the service could not start without it.
fn load(args: &Args, dir: Option<&Arc<ModelDir>>) -> Result<Option<Loaded>, CliError> {
    let is_new = holds_nothing(&args.data);
    let Some(dir) = dir else {
        if is_new {
            let what = format!("`{}` holds no store yet", args.data.display());
            return Err(CliError::Failed(format!("{what}: a new one needs a model, --model DIR")));
        }
        return Ok(None);
    };
    let (model, is_strict) = (dir.load(), args.strict_model);
    match model {
        Err(fault) if is_strict || is_new => Err(CliError::failed(fault)),
        model => Ok(Some(Loaded { dir: Arc::clone(dir), model, is_strict })),
    }
}

/// Whether a store would be made here.
fn holds_nothing(dir: &Path) -> bool {
    match std::fs::read_dir(dir) {
        // The root of a volume has `lost+found`. What cannot be read is the store's to refuse.
        Ok(entries) => entries.flatten().all(|entry| entry.file_name() == "lost+found"),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn refuse(error: ServeError) -> CliError {
    match error {
        ServeError::NotLoopback { .. } => CliError::Usage(error.to_string()),
        error => CliError::failed(error),
    }
}

/// The runtime of the commands that serve.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::failed)
}
