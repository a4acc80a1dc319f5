//! Where clients connect: TCP, Unix sockets, and sockets that systemd hands over.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::admission::Peer;

/// How many connections may wait until they are accepted; the system may allow fewer.
const BACKLOG: i32 = 1024;

/// An address that is listened on. Clients can connect from now on and are answered once it is
/// served.
#[derive(Debug)]
pub struct Bound {
    listener: Listener,
    address: Address,
    /// The socket's file, where we made it.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// An address that is listened on, with the port that the system chose if it was asked for port 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IP address and port.
    Tcp(SocketAddr),
    /// The path of a Unix socket; empty when it has none.
    Unix(PathBuf),
}

impl Address {
    /// IP address and port; `None` for a Unix socket.
    #[must_use]
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// `127.0.0.1:10962`, `unix:/run/cxone-exporter.sock`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Gone when it is dropped.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that stays behind is taken for what it is at the next start.
        let _removed = std::fs::remove_file(&self.0);
    }
}

/// A client's connection.
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Bound {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.listener {
            Listener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Failing to set it costs some milliseconds an answer, nothing more.
                drop(stream.set_nodelay(true));
                Ok((Stream::Tcp(stream), Peer::from(peer.ip())))
            }
            Listener::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| (Stream::Unix(stream), Peer::Local))
            }
        }
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    address: String,
    cause: io::Error,
}

/// Listens on `address`. `[::]` means IPv4 too, and IPv4 alone on a machine without IPv6.
///
/// # Errors
/// If the address is taken, not this machine's, or not allowed.
pub async fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    let bound = if address.is_ipv6() && address.ip().is_unspecified() {
        match bind_both(address) {
            Err(cause) if lacks_ipv6(&cause) => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
            }
            other => other,
        }
    } else {
        TcpListener::bind(address).await
    };
    bound.and_then(tcp).map_err(|cause| BindError { address: address.to_string(), cause })
}

/// Listens by IPv6 and IPv4, whatever the system takes for the default (`bindv6only`).
fn bind_both(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn tcp(listener: TcpListener) -> io::Result<Bound> {
    let address = Address::Tcp(listener.local_addr()?);
    Ok(Bound { listener: Listener::Tcp(listener), address, _file: None })
}

fn lacks_ipv6(cause: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    cause.kind() == io::ErrorKind::AddrNotAvailable || cause.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Listens on a Unix socket at `path`, whose file goes when this process ends. A socket that a dead
/// process left there is replaced.
///
/// # Errors
/// If another process listens there, something else stands there, or the folder is not writable.
pub fn bind_unix(path: &Path) -> Result<Bound, BindError> {
    let bound = match UnixListener::bind(path) {
        Err(cause) if cause.kind() == io::ErrorKind::AddrInUse && is_left_behind(path) => {
            std::fs::remove_file(path).and_then(|()| UnixListener::bind(path))
        }
        other => other,
    };
    let address = Address::Unix(path.to_owned());
    match bound {
        Ok(listener) => Ok(Bound {
            listener: Listener::Unix(listener),
            address,
            _file: Some(SocketFile(path.to_owned())),
        }),
        Err(cause) => Err(BindError { address: address.to_string(), cause }),
    }
}

/// Whether `path` is a socket that nobody listens on.
fn is_left_behind(path: &Path) -> bool {
    let is_socket =
        std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let answer = std::os::unix::net::UnixStream::connect(path);
    is_socket && answer.is_err_and(|cause| cause.kind() == io::ErrorKind::ConnectionRefused)
}

/// Listens on the sockets that systemd hands over (`LISTEN_FDS`): TCP and Unix streams.
///
/// # Errors
/// If there are none, or one of another kind.
pub fn from_systemd() -> Result<Vec<Bound>, BindError> {
    let failed = |which: &str, cause| BindError { address: format!("systemd's {which}"), cause };
    let mut handed = ListenFd::from_env();
    if handed.len() == 0 {
        let why = "no sockets were handed over: is there a socket unit, and is the service started by it?";
        return Err(failed("sockets", io::Error::new(io::ErrorKind::NotFound, why)));
    }
    (0..handed.len())
        .map(|index| {
            taken(&mut handed, index).map_err(|cause| failed(&format!("socket {index}"), cause))
        })
        .collect()
}

fn taken(handed: &mut ListenFd, index: usize) -> io::Result<Bound> {
    if let Ok(Some(listener)) = handed.take_tcp_listener(index) {
        listener.set_nonblocking(true)?;
        return tcp(TcpListener::from_std(listener)?);
    }
    let wrong = || {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is neither TCP nor a Unix stream (ListenStream=)",
        )
    };
    let listener = handed.take_unix_listener(index).map_err(|_| wrong())?.ok_or_else(wrong)?;
    listener.set_nonblocking(true)?;
    let path = listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
    Ok(Bound {
        listener: Listener::Unix(UnixListener::from_std(listener)?),
        address: Address::Unix(path),
        _file: None,
    })
}
