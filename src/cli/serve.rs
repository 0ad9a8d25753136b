//! `bailiwick serve`: the service.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::opened::{load_dir, sled_opener};
use super::{CliError, Exit, logging};
use crate::server::{BoundServer, ListenConfig, ServeError, terminated};

/// How long threads may take to end once everything is closed.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// Serve a model's decisions over gRPC
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick serve --model models/virta --data /var/lib/bailiwick --listen 127.0.0.1:8470

Logs go to the standard error; RUST_LOG filters them (`RUST_LOG=bailiwick=debug`). SIGTERM and ctrl-c
end the service once the requests under way are answered.")]
pub(super) struct Args {
    /// The model directory, with its model.yaml
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
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
    let (model, files) = load_dir(&args.model)?;
    let open = sled_opener(model, files, args.data.clone());
    let config = ListenConfig { address: args.listen, insecure: args.insecure_listen };
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        let shutdown = terminated().map_err(CliError::failed)?;
        let server = BoundServer::bind(&config).await.map_err(refuse)?;
        writeln!(out, "listening on {}", server.local_addr())?;
        out.flush()?;
        server.serve(open, shutdown).await.map_err(refuse)
    });
    runtime.shutdown_timeout(RUNTIME_END);
    served.map(|()| Exit::Done)
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
