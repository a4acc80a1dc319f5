//! The accept loop, and a connection from its handshake to its graceful end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::access::AccessControl;
use super::admission::{Admission, ConnectionHandle, Resource, Slot};
use super::limits::{ServerLimits, StreamGuard, StreamTimer, StreamVerdict, TimedStream};
use super::listen::{Bound, Stream};
use super::response::{Abort, ResponseBody};
use crate::tasks::Tasks;

/// The pause after the first failure to accept; doubled at each further one.
const MIN_BACKOFF: Duration = Duration::from_millis(50);

const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// How often admission is tried again while all connections have requests.
const ADMISSION_RETRY: Duration = Duration::from_millis(20);

/// Maximum number of concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 16;

/// What is buffered to be sent for each of them, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// The outcome of a handler.
pub type HandlerResult = Result<Response<ResponseBody>, Abort>;

/// Answers requests. One that reads a request's body must limit its length and its time by itself.
/// One that returns [`Abort`] closes the connection without an answer. A dropped connection drops
/// the future.
pub type Handler =
    Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, HandlerResult> + Send + Sync>;

/// A function as a [`Handler`].
pub fn handler<F>(answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = HandlerResult> + Send + 'static,
{
    Arc::new(move |request| answer(request).boxed())
}

/// A server: the limits that all its listeners share, and who has access.
#[derive(Clone, Debug)]
pub struct Server {
    limits: ServerLimits,
    access: Option<Arc<AccessControl>>,
    connections: Arc<Admission>,
    tasks: Tasks,
    stop: CancellationToken,
    drop_now: CancellationToken,
}

impl Server {
    /// A server of plain HTTP for everybody; it ends when `stop` is cancelled.
    #[must_use]
    pub fn new(limits: ServerLimits, tasks: Tasks, stop: CancellationToken) -> Self {
        let connections = Admission::new(Resource::Connections, limits.max_connections);
        Self { limits, access: None, connections, tasks, stop, drop_now: CancellationToken::new() }
    }

    /// The same server with TLS, passwords and rate limits by `access`.
    #[must_use]
    pub fn with_access_control(self, access: Arc<AccessControl>) -> Self {
        Self { access: Some(access), ..self }
    }

    /// Answers every request on `bound` by `handler` until the server is stopped. Then it accepts
    /// no more connections, finishes the answers in progress within `limits.drain_time`, and
    /// returns.
    pub async fn serve(self, bound: Bound, handler: Handler) {
        let mut backoff = Duration::ZERO;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = self.accept(&bound) => accepted,
            };
            match accepted {
                Ok((stream, handle, slot)) => {
                    backoff = Duration::ZERO;
                    let (close, drop_now) = (handle.close.clone(), self.drop_now.clone());
                    let server = self.clone();
                    let handler = Arc::clone(&handler);
                    let connection = Arc::new(Connection { server, handler, handle, slot });
                    self.tasks.spawn("connection", async move {
                        tokio::select! {
                            () = connection.serve(stream) => {}
                            () = close.cancelled() => tracing::debug!("connection evicted"),
                            () = drop_now.cancelled() => {}
                        }
                    });
                }
                Err(cause) if is_clients_fault(&cause) => {}
                Err(cause) => {
                    // No file descriptors left, say: they come back as connections end, and until
                    // then a retry only burns CPU.
                    if backoff.is_zero() {
                        tracing::warn!(address = %bound.address(), error = %cause, "connection not accepted, retrying");
                    }
                    backoff = (backoff * 2).clamp(MIN_BACKOFF, MAX_BACKOFF);
                    self.stop.run_until_cancelled(tokio::time::sleep(backoff)).await;
                }
            }
        }
        drop(bound);
        if tokio::time::timeout(self.limits.drain_time, self.connections.emptied()).await.is_err() {
            self.drop_now.cancel();
            self.connections.emptied().await;
        }
    }

    /// The next connection, once it is admitted; until then those after it wait in the system's
    /// queue.
    async fn accept(&self, bound: &Bound) -> io::Result<(Stream, ConnectionHandle, Slot)> {
        let (stream, peer) = bound.accept().await?;
        let handle = ConnectionHandle::new(peer);
        loop {
            if let Some(slot) = self.connections.admit(handle.clone()) {
                return Ok((stream, handle, slot));
            }
            tokio::time::sleep(ADMISSION_RETRY).await;
        }
    }
}

/// Whether it was one client that went away before it was accepted.
fn is_clients_fault(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// One connection: whose it is, and what answers it.
struct Connection {
    server: Server,
    handler: Handler,
    handle: ConnectionHandle,
    slot: Slot,
}

impl Connection {
    async fn serve(self: Arc<Self>, stream: Stream) {
        match stream {
            Stream::Tcp(stream) => self.shake_hands(stream).await,
            Stream::Unix(stream) => self.shake_hands(stream).await,
        }
    }

    /// The TLS handshake, if TLS is configured, within the time for a head.
    async fn shake_hands<S>(self: Arc<Self>, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let access = self.server.access.clone();
        let tls = access.and_then(|access| access.current().tls.clone().map(|tls| (access, tls)));
        let Some((access, tls)) = tls else {
            return self.serve_http1(stream, false).await;
        };
        let handshake = TlsAcceptor::from(tls.server).accept(stream);
        match tokio::time::timeout(self.server.limits.head_time, handshake).await {
            Ok(Ok(stream)) => {
                let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.serve_http2(stream, has_certificate).await;
                } else {
                    self.serve_http1(stream, has_certificate).await;
                }
            }
            Ok(Err(cause)) => access.handshake_failed(self.handle.peer, &cause),
            Err(_) => tracing::debug!("TLS handshake timed out"),
        }
    }

    async fn serve_http1<S>(self: Arc<Self>, stream: S, has_certificate: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (limits, stop) = (self.server.limits, self.server.stop.clone());
        let requests = Arc::clone(&self.handle.requests);
        let io = TokioIo::new(TimedStream::new(stream, requests, limits, false));
        let service =
            service_fn(|request| Arc::clone(&self).answer(request, has_certificate, None));
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.idle_time)
                .max_header_size(limits.max_head_bytes)
                .max_headers(limits.max_headers)
                .serve_connection(io, service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        log_end(ended);
    }

    async fn serve_http2<S>(self: Arc<Self>, stream: S, has_certificate: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (limits, stop) = (self.server.limits, self.server.stop.clone());
        let requests = Arc::clone(&self.handle.requests);
        let io = TokioIo::new(TimedStream::new(stream, requests, limits, true));
        let executor = StreamExecutor(self.server.tasks.clone());
        let timer = StreamTimer::new(&limits);
        let begun = timer.clone();
        let service = service_fn(move |request| {
            Arc::clone(&self).answer(request, has_certificate, Some(begun.begin()))
        });
        let mut builder = http2::Builder::new(executor);
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut is_shutting_down = false;
        loop {
            let verdict = tokio::select! {
                ended = connection.as_mut() => return log_end(ended),
                () = stop.cancelled(), if !is_shutting_down => StreamVerdict::ShutDown,
                verdict = timer.tick() => verdict,
            };
            match verdict {
                StreamVerdict::ShutDown if !is_shutting_down => {
                    is_shutting_down = true;
                    connection.as_mut().graceful_shutdown();
                }
                StreamVerdict::Continue | StreamVerdict::ShutDown => {}
                StreamVerdict::Drop => {
                    tracing::debug!("connection dropped, client does not read");
                    return;
                }
            }
        }
    }

    /// The answer to one request, which is in progress until the answer is sent.
    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        has_certificate: bool,
        stream: Option<StreamGuard>,
    ) -> HandlerResult {
        let in_progress = self.handle.requests.begin();
        self.slot.touch();
        request.extensions_mut().insert(self.handle.clone());
        let response = match &self.server.access {
            None => (self.handler)(request).await?,
            Some(access) => {
                let (path, headers) = (request.uri().path(), request.headers());
                let allowed =
                    access.authorize(self.handle.peer, has_certificate, path, headers).await;
                let mut response = match allowed {
                    Ok(()) => (self.handler)(request).await?,
                    Err(refusal) => refusal,
                };
                access.add_headers(&mut response);
                response
            }
        };
        Ok(response.map(|body| body.holding((in_progress, stream))))
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(cause) = ended {
        tracing::debug!(error = %cause, "connection ended early");
    }
}

/// Runs the tasks of an HTTP/2 connection's streams.
#[derive(Clone)]
struct StreamExecutor(Tasks);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, task: F) {
        self.0.spawn("stream", task);
    }
}
