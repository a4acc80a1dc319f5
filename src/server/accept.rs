//! The accept loop: limits on connections, heads and time, and an end in good order.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

use super::body::{Abort, Body};
use super::guard::{Answer, Guarded, Requests, TimeLimits};

/// How long the loop waits after the first failure to accept; doubled at each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest wait after a failure to accept.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// What one client, and all of them together, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; further ones wait in the system's queue.
    pub connections: u32,
    /// The head of a request in bytes.
    pub head_bytes: usize,
    /// The headers of a request.
    pub headers: usize,
    /// From a request's first byte, or the connection's beginning, to the end of its head.
    pub head_time: Duration,
    /// How long a connection may be silent between two requests.
    pub idle_time: Duration,
    /// How long a client may take none of an answer.
    pub stall_time: Duration,
    /// How long a client may take to read an answer, once it has been slow to take some of it.
    pub answer_time: Duration,
    /// How long answers may go on after the server was told to end; then their connections are dropped.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head_bytes: 16 * 1024,
            headers: 100,
            head_time: Duration::from_secs(10),
            // Longer than the pause between two scrapes usually is.
            idle_time: Duration::from_secs(180),
            stall_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(120),
            drain_time: Duration::from_secs(4),
        }
    }
}

/// An address that is listened on. Clients can connect from now on and are answered once it is served.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// The address, with the port that the system chose if it was asked for port 0.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct BindError {
    address: SocketAddr,
    cause: io::Error,
}

/// Listens on `address`. `[::]` means IPv4 too, and IPv4 alone on a machine without IPv6.
///
/// # Errors
/// If the address is taken, not this machine's, or not allowed.
pub async fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    let bound = match TcpListener::bind(address).await {
        Err(cause) if address.is_ipv6() && address.ip().is_unspecified() && lacks_ipv6(&cause) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    };
    let with_address = bound.and_then(|listener| listener.local_addr().map(|address| Bound { listener, address }));
    with_address.map_err(|cause| BindError { address, cause })
}

fn lacks_ipv6(cause: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    cause.kind() == io::ErrorKind::AddrNotAvailable || cause.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Answers every request on `bound` by `handler` until `stop` is cancelled; then no more connections are accepted, requests that are
/// being answered are answered to their end within `limits.drain_time`, and it returns.
///
/// A handler that reads a request's body must limit its length and its time by itself. One that returns [`Abort`] breaks the
/// connection off without an answer. A dropped connection drops its handler's future.
pub async fn serve<H, F>(bound: Bound, handler: H, limits: Limits, tasks: Tasks, stop: CancellationToken)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, Abort>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(usize::try_from(limits.connections).expect("32 bits fit an address")));
    let drop_now = CancellationToken::new();
    let mut backoff = Duration::ZERO;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&bound.listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                backoff = Duration::ZERO;
                let connection = converse(stream, handler.clone(), limits, stop.clone());
                let drop_now = drop_now.clone();
                tasks.spawn("connection", async move {
                    let _place = place;
                    drop_now.run_until_cancelled_owned(connection).await;
                });
            }
            Err(cause) if is_the_clients(&cause) => {}
            Err(cause) => {
                // No file descriptors left, say: they come back as connections end, and until then a retry only burns the CPU.
                if backoff.is_zero() {
                    tracing::warn!(address = %bound.address, error = %cause, "cannot accept connections; trying again");
                }
                backoff = (backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
                stop.run_until_cancelled(tokio::time::sleep(backoff)).await;
            }
        }
    }
    drop(bound);
    // Every connection holds a place: once all places are free, all connections have ended.
    if tokio::time::timeout(limits.drain_time, places.acquire_many(limits.connections)).await.is_err() {
        drop_now.cancel();
        drop(places.acquire_many(limits.connections).await);
    }
}

/// Takes a place first and then a connection, so that the system's queue holds what the limit leaves out.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Whether it was one client that went away before it was accepted.
fn is_the_clients(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

/// Serves one connection to its end.
async fn converse<H, F>(stream: TcpStream, handler: H, limits: Limits, stop: CancellationToken)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<Body>, Abort>>,
{
    // Failing to set it costs some milliseconds an answer, nothing more.
    drop(stream.set_nodelay(true));
    let requests = Arc::new(Requests::default());
    let times = TimeLimits { head: limits.head_time, stall: limits.stall_time, answer: limits.answer_time };
    let io = TokioIo::new(Guarded::new(stream, Arc::clone(&requests), times));
    let service = service_fn(|request| {
        let running = requests.begin();
        let answer = handler(request);
        async move { answer.await.map(|response| response.map(|body| Answer { body, _running: running })) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle_time)
            .max_header_size(limits.head_bytes)
            .max_headers(limits.headers)
            .serve_connection(io, service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(cause) = ended {
        tracing::debug!(error = %cause, "a connection ended early");
    }
}
