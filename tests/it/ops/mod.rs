//! What an operator sees and does: figures, traces, readiness, limits, sockets, the end of the process.

mod admin;
mod busy;
mod deploy;
mod exposition;
mod metrics;
mod operated;
mod page;
mod reading;
mod sockets;
mod stopping;
mod traces;

use std::net::SocketAddr;
use std::sync::Arc;

use bailiwick::config::{Patience, Settings};
use bailiwick::server::{BoundAdmin, BoundServer, ListenConfig, Opener};
use bailiwick::store::memory::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::SetClock;
use crate::support::service::pdp;

const ANYWHERE: ListenConfig = ListenConfig {
    address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0),
    insecure: false,
};

/// A service in this process with its admin page; both end with the runtime.
struct Observed {
    address: SocketAddr,
    admin: SocketAddr,
}

impl Observed {
    async fn serve(settings: Settings, patience: Patience, open: Opener) -> Self {
        let admin = BoundAdmin::bind(&ANYWHERE).await.unwrap();
        let server = BoundServer::bind(&ANYWHERE).await.unwrap().with_settings(settings);
        let server = server.with_patience(patience);
        let observed = Self { address: server.local_addr(), admin: admin.local_addr() };
        tokio::spawn(server.with_admin(admin).serve(open, std::future::pending()));
        observed
    }

    /// One that serves the model of every feature from memory, and is ready.
    async fn start(settings: Settings, patience: Patience) -> Self {
        let open = || Ok(pdp(Arc::new(MemoryStore::new()), Arc::new(SetClock::default())));
        let observed = Self::serve(settings, patience, Box::new(open)).await;
        observed.wait_until(200).await;
        observed
    }

    /// Waits until the page says so of readiness.
    async fn wait_until(&self, status: u16) {
        while self.get("/readyz").await.0 != status {
            tokio::task::yield_now().await;
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, _, text) = get(&self.admin.to_string(), path).await;
        (status, text)
    }
}

/// Status, headers and text of a page, asked for as curl asks.
async fn get(address: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), text.to_owned())
}
