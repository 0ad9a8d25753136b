//! `bailiwick demo`: the real service, twice, with the models of two platforms and a small world each;
//! what it decides; and lines to paste. Leaves nothing behind.

mod platforms;
mod tour;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::watch;

use self::platforms::{PLATFORMS, Platform};
use super::console::Stream;
use super::opened::{load_files, sled_opener};
use super::room::Room;
use super::serve::runtime;
use super::{CliError, Exit, logging};
use crate::model::SourceFiles;
use crate::server::{BoundServer, DEFAULT_PORT, ListenConfig, ServeError, terminated};

const RUNTIME_END: Duration = Duration::from_secs(1);

/// Serve two example platforms and show their decisions
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick demo
  bailiwick demo --once

Serves on 127.0.0.1:8470 and 8471, or on free ports if these are taken, from a directory of its own
that it removes at the end. Stays up until ctrl-c, so that its questions can be asked again.")]
pub(super) struct Args {
    /// End after the decisions, instead of staying up
    #[arg(long, alias = "exit")]
    once: bool,
}

pub(super) fn run(args: &Args, out: &mut Stream<'_>) -> Result<Exit, CliError> {
    logging::start("warn")?;
    let room = Room::new("demo")?;
    let runtime = runtime()?;
    let shown = runtime.block_on(show(args, &room, out));
    // The stores close before their directory goes.
    runtime.shutdown_timeout(RUNTIME_END);
    room.remove()?;
    shown.map(|()| Exit::Done)
}

async fn show(args: &Args, room: &Room, out: &mut Stream<'_>) -> Result<(), CliError> {
    let terminated = terminated().map_err(CliError::failed)?;
    let [energy_hub, virta] = &PLATFORMS;
    let first = bind(DEFAULT_PORT, out).await?;
    let second = bind(DEFAULT_PORT + 1, out).await?;
    let addresses = [first.local_addr(), second.local_addr()];
    let (stop, stopped) = watch::channel(false);
    let services = async {
        tokio::try_join!(
            serve(first, energy_hub, room, "energyhub", stopped.clone()),
            serve(second, virta, room, "virta", stopped.clone()),
        )
    };
    let visit = async {
        let toured = async {
            tour::show(&addresses, out).await?;
            if !args.once {
                writeln!(out, "\nserving until ctrl-c")?;
                out.flush()?;
                std::future::pending::<()>().await;
            }
            Ok::<_, CliError>(())
        };
        tokio::select! {
            toured = toured => toured,
            () = terminated => Ok(()),
        }
    };
    let mut services = std::pin::pin!(services);
    let visited = tokio::select! {
        // A service that ends before it is told to has failed, and says why.
        served = &mut services => return served.map(|_| ()),
        visited = visit => visited,
    };
    let _ = stop.send(true);
    services.await?;
    visited
}

async fn serve(
    server: BoundServer,
    platform: &Platform,
    room: &Room,
    name: &str,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), CliError> {
    let files: SourceFiles = platform.files.iter().copied().collect();
    let (model, files) = load_files(&files).map_err(CliError::failed)?;
    let open = sled_opener(model, files, room.path().join(name));
    let stop = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    server.serve(open, stop).await.map_err(CliError::failed)
}

/// The wished port, or any other if somebody has it.
async fn bind(port: u16, out: &mut dyn Write) -> Result<BoundServer, CliError> {
    let at = |port| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        ListenConfig { address, insecure: false }
    };
    match BoundServer::bind(&at(port)).await {
        Err(ServeError::Bind { cause, .. }) if cause.kind() == io::ErrorKind::AddrInUse => {
            let server = BoundServer::bind(&at(0)).await.map_err(CliError::failed)?;
            writeln!(out, "port {port} is taken; using {}", server.local_addr().port())?;
            Ok(server)
        }
        bound => bound.map_err(CliError::failed),
    }
}
