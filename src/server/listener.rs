//! Where callers connect: a TCP port or a Unix socket, bound under the rules that keep others out. Knows
//! no request.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::ServeError;

/// A bound socket that callers connect to.
pub trait Listener: fmt::Debug + Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection.
    ///
    /// # Errors
    /// The system has none to give; later it may.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;

    /// Where it listens, as `--listen` takes it.
    fn place(&self) -> String;
}

/// A TCP port to listen on.
#[derive(Debug, Clone)]
pub struct ListenConfig {
    /// The address; port 0 is any free one.
    pub address: SocketAddr,
    /// Whether other hosts may reach it, without TLS and without authentication.
    pub insecure: bool,
}

/// A bound TCP port.
#[derive(Debug)]
pub struct Tcp {
    listener: TcpListener,
    address: SocketAddr,
}

impl Tcp {
    /// Binds. `flag` is what lifts the rule that other hosts cannot connect.
    pub(super) async fn bind(
        config: &ListenConfig,
        flag: &'static str,
    ) -> Result<Self, ServeError> {
        let wanted = config.address;
        if !wanted.ip().to_canonical().is_loopback() && !config.insecure {
            return Err(ServeError::NotLoopback { address: wanted, flag });
        }
        let failed = |cause| ServeError::Bind { address: wanted.to_string(), cause };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket, for another runtime's [`Tcp::on`].
    pub(super) fn into_std(self) -> io::Result<std::net::TcpListener> {
        self.listener.into_std()
    }

    /// The port of this socket, accepted from by the current runtime.
    pub(super) fn on(socket: std::net::TcpListener) -> io::Result<Self> {
        let address = socket.local_addr()?;
        Ok(Self { listener: TcpListener::from_std(socket)?, address })
    }
}

impl Listener for Tcp {
    type Stream = TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let (stream, _) = ready!(self.listener.poll_accept(cx))?;
        // Without this a small answer waits for the acknowledgement of the one before.
        stream.set_nodelay(true)?;
        Poll::Ready(Ok(stream))
    }

    fn place(&self) -> String {
        self.address.to_string()
    }
}

/// A Unix socket to listen on.
#[derive(Debug, Clone)]
pub struct UnixConfig {
    /// Its file. One that is left over from a process that is gone is replaced.
    pub path: PathBuf,
    /// The file's permissions: who may connect.
    pub mode: u32,
}

/// A bound Unix socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct Unix {
    listener: UnixListener,
    file: SocketFile,
}

impl Unix {
    pub(super) async fn bind(config: &UnixConfig) -> Result<Self, ServeError> {
        let failed =
            |cause| ServeError::Bind { address: format!("unix:{}", config.path.display()), cause };
        vacate(&config.path).await.map_err(failed)?;
        let (listener, file) = place(config).map_err(failed)?;
        Ok(Self { listener, file })
    }
}

impl Listener for Unix {
    type Stream = UnixStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<UnixStream>> {
        self.listener.poll_accept(cx).map_ok(|(stream, _)| stream)
    }

    fn place(&self) -> String {
        format!("unix:{}", self.file.path.display())
    }
}

/// Makes sure that nobody listens at this path and that nothing but a socket lies there.
async fn vacate(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let what = "there is a file that is no socket; it was left alone";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there")),
    }
}

/// Binds in a directory that nobody else can enter, and moves the socket to its place once it has its
/// permissions: there is no moment at which others could connect.
fn place(config: &UnixConfig) -> io::Result<(UnixListener, SocketFile)> {
    let parent = match config.path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A socket that is moved to a longer name than an address can hold is one that nobody reaches.
    std::os::unix::net::SocketAddr::from_pathname(&config.path)?;
    let room = Room::new(parent.join(format!(".bw{}", std::process::id())))?;
    let inside = room.0.join("s");
    let listener = bind_in(&room, &inside)?;
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(config.mode))?;
    let file = SocketFile::of(&inside, &config.path)?;
    std::fs::rename(&inside, &config.path)?;
    Ok((listener, file))
}

/// Binds inside of the room by a short way: its own name may be longer than the socket's will be, and than
/// an address can hold.
fn bind_in(room: &Room, inside: &Path) -> io::Result<UnixListener> {
    let handle = std::fs::File::open(&room.0)?;
    let short = format!("/proc/self/fd/{}/s", handle.as_raw_fd());
    match UnixListener::bind(short) {
        // Where there is no /proc.
        Err(error) if error.kind() == io::ErrorKind::NotFound => UnixListener::bind(inside),
        bound => bound,
    }
}

/// A directory of this process alone, removed with what is left in it.
struct Room(PathBuf);

impl Room {
    fn new(path: PathBuf) -> io::Result<Self> {
        // Left over from a process of the same id that was killed here.
        if path.is_dir() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The file of a socket; removed when dropped, unless another process has put its own there since.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(found: &Path, path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(found)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "the socket's file stays");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}
