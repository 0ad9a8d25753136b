//! `bailiwick serve`: the service.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::opened::{Loaded, proposing_opener};
use super::{CliError, Exit, logging};
use crate::server::{BoundServer, ListenConfig, ModelDir, ModelKeeper, ServeError, terminated};

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
end the service once the requests under way are answered.")]
pub(super) struct Args {
    /// The model directory, with its model.yaml; may be left out once the store has a model
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Propose the model whenever what its directory holds has changed
    #[arg(long, requires = "model")]
    watch_model: bool,
    /// End if the model is refused at the start, instead of serving with the store's own
    #[arg(long, requires = "model")]
    strict_model: bool,
    /// The store's directory; made if it is not there
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8470")]
    listen: SocketAddr,
    /// Let other hosts connect, without TLS and without authentication
    #[arg(long)]
    insecure_listen: bool,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    logging::start("info")?;
    let dir = args.model.clone().map(ModelDir::new).map(Arc::new);
    let loaded = load(args, dir.as_ref())?;
    let open = proposing_opener(loaded, args.data.clone());
    let config = ListenConfig { address: args.listen, insecure: args.insecure_listen };
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let shutdown = terminated().map_err(CliError::failed)?;
        let models = ModelKeeper::new(dir, args.watch_model).map_err(CliError::failed)?;
        let server = BoundServer::bind(&config).await.map_err(refuse)?.with_models(models);
        writeln!(out, "listening on {}", server.local_addr())?;
        out.flush()?;
        server.serve(open, shutdown).await.map_err(refuse)
    });
    runtime.shutdown_timeout(RUNTIME_END);
    served.map(|()| Exit::Done)
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
