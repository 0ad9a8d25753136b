//! The peers that are services: how each is started with the world or the policy that it needs, and which
//! messages ask it. How they are driven and timed stands in `load` and `served`.

pub(crate) mod bailiwick;
pub(crate) mod cerbos;
pub(crate) mod openfga;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use prost::Message;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};

use crate::fault::{Fault, fault};
use crate::process::Ending;

/// How long a service may take to come up.
const UP: Duration = Duration::from_secs(60);

/// The messages of one service's check.
pub(crate) trait Checks: Send + Sync + 'static {
    type Request: Message + Clone + Default + std::fmt::Debug + 'static;
    type Response: Message + Default + std::fmt::Debug + 'static;
    const PATH: &'static str;

    /// Whether the answer is that the user may.
    fn allows(answer: &Self::Response) -> bool;
}

/// One service, up, with the questions made for it.
pub(crate) struct Running<C: Checks> {
    pub(crate) process: Ending,
    pub(crate) address: SocketAddr,
    pub(crate) requests: Vec<(C::Request, bool)>,
}

/// One call; the same client code for every service.
pub(crate) async fn call<Q, A>(
    channel: &Channel,
    path: &'static str,
    request: Q,
) -> Result<A, tonic::Status>
where
    Q: Message + 'static,
    A: Message + Default + 'static,
{
    let mut client = tonic::client::Grpc::new(channel.clone());
    let not_ready = |error: tonic::transport::Error| tonic::Status::unavailable(error.to_string());
    client.ready().await.map_err(not_ready)?;
    let codec = tonic_prost::ProstCodec::<Q, A>::default();
    let path = PathAndQuery::from_static(path);
    Ok(client.unary(tonic::Request::new(request), path, codec).await?.into_inner())
}

/// A connection of its own.
pub(crate) async fn connect(address: SocketAddr) -> Result<Channel, Fault> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
    Ok(endpoint.connect().await?)
}

/// Starts a program whose output nobody reads.
fn start(program: &Path, args: &[&str]) -> Result<Ending, Fault> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => Ok(Ending(child)),
        Err(error) => fault(format!("{}: {error}", program.display())),
    }
}

/// Waits until the service answers a question.
async fn wait_for<C: Checks>(
    process: &mut Ending,
    address: SocketAddr,
    question: &C::Request,
) -> Result<(), Fault> {
    let started = Instant::now();
    loop {
        if let Ok(channel) = connect(address).await {
            match call::<C::Request, C::Response>(&channel, C::PATH, question.clone()).await {
                Ok(_) => return Ok(()),
                Err(status) if started.elapsed() > UP => return fault(status.to_string()),
                Err(_) => {}
            }
        }
        if let Some(status) = process.0.try_wait()? {
            return fault(format!("{}: the service ended: {status}", C::PATH));
        }
        if started.elapsed() > UP {
            return fault(format!("{}: not up after {} s", C::PATH, UP.as_secs()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
