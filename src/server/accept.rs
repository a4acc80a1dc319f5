//! The accept loop: limits on connections, heads and time, and an end in good order.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;

use super::body::{Abort, Body};
use super::client::Client;
use super::connections::{Connections, Place};
use super::gate::Gate;
use super::guard::{Answer, Guarded, TimeLimits};
use super::listen::{Bound, Stream};
use super::places::Caller;
use super::streams::{OpenStream, Streams, Verdict};

/// How long the loop waits after the first failure to accept; doubled at each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);

/// The longest wait after a failure to accept.
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// How often is looked for room while all connections have requests.
const ROOM_CHECK: Duration = Duration::from_millis(20);

/// Requests of one connection of HTTP/2 at a time.
const MOST_STREAMS: u32 = 16;

/// What is kept to be sent for each of them, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// What one client, and all of them together, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time, over all listeners. A further one takes the place of one without a
    /// request; where all have one, it waits in the system's queue.
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
    /// How long answers may go on after the server was told to end; then their connections are
    /// dropped.
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

/// A server: the limits that all its listeners share, and who is let in.
#[derive(Clone, Debug)]
pub struct Server {
    limits: Limits,
    gate: Option<Arc<Gate>>,
    connections: Arc<Connections>,
    tasks: Tasks,
    stop: CancellationToken,
    drop_now: CancellationToken,
}

/// [`Server::serve`] for one listener, plain HTTP, and everybody.
pub async fn serve<H, F>(
    bound: Bound,
    handler: H,
    limits: Limits,
    tasks: Tasks,
    stop: CancellationToken,
) where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, Abort>> + Send + 'static,
{
    Server::new(limits, tasks, stop).serve(bound, handler).await;
}

impl Server {
    /// A server of plain HTTP for everybody; it ends when `stop` is cancelled.
    #[must_use]
    pub fn new(limits: Limits, tasks: Tasks, stop: CancellationToken) -> Self {
        let connections =
            Connections::new(usize::try_from(limits.connections).expect("32 bits fit an address"));
        Self { limits, gate: None, connections, tasks, stop, drop_now: CancellationToken::new() }
    }

    /// The same server, which speaks TLS and lets in whom `gate` says.
    #[must_use]
    pub fn behind(self, gate: Arc<Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Answers every request on `bound` by `handler` until the server is told to end; then no more
    /// connections are accepted, requests that are being answered are answered to their end within
    /// `limits.drain_time`, and it returns.
    ///
    /// A handler that reads a request's body must limit its length and its time by itself. One that
    /// returns [`Abort`] breaks the connection off without an answer. A dropped connection drops
    /// its handler's future.
    pub async fn serve<H, F>(self, bound: Bound, handler: H)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Response<Body>, Abort>> + Send + 'static,
    {
        let mut backoff = Duration::ZERO;
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = self.accept(&bound) => accepted,
            };
            match accepted {
                Ok((stream, client)) => {
                    backoff = Duration::ZERO;
                    let place = self.connections.enter(client);
                    let (close, drop_now) = (place.close.clone(), self.drop_now.clone());
                    let site = Arc::new(Visit {
                        server: self.clone(),
                        handler: handler.clone(),
                        client,
                        place,
                    });
                    self.tasks.spawn("connection", async move {
                        tokio::select! {
                            () = welcome(site, stream) => {}
                            () = close.cancelled() => tracing::debug!("a connection made room for another one"),
                            () = drop_now.cancelled() => {}
                        }
                    });
                }
                Err(cause) if is_the_clients(&cause) => {}
                Err(cause) => {
                    // No file descriptors left, say: they come back as connections end, and until
                    // then a retry only burns the CPU.
                    if backoff.is_zero() {
                        tracing::warn!(address = %bound.address(), error = %cause, "cannot accept connections; trying again");
                    }
                    backoff = (backoff * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF);
                    self.stop.run_until_cancelled(tokio::time::sleep(backoff)).await;
                }
            }
        }
        drop(bound);
        if tokio::time::timeout(self.limits.drain_time, self.connections.ended()).await.is_err() {
            self.drop_now.cancel();
            self.connections.ended().await;
        }
    }

    /// The next connection, once there is room for it; until then it waits, and those after it in
    /// the system's queue.
    async fn accept(&self, bound: &Bound) -> io::Result<(Stream, Client)> {
        let accepted = bound.accept().await?;
        while !self.connections.has_room() {
            tokio::time::sleep(ROOM_CHECK).await;
        }
        Ok(accepted)
    }
}

/// Whether it was one client that went away before it was accepted.
fn is_the_clients(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// One connection: who it is, and what answers it.
struct Visit<H> {
    server: Server,
    handler: H,
    client: Client,
    place: Place,
}

async fn welcome<H, F>(visit: Arc<Visit<H>>, stream: Stream)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, Abort>> + Send + 'static,
{
    match stream {
        Stream::Tcp(stream) => encrypt(visit, stream).await,
        Stream::Unix(stream) => encrypt(visit, stream).await,
    }
}

/// The handshake of TLS, if it is spoken, within the time for a head.
async fn encrypt<H, F, S>(visit: Arc<Visit<H>>, stream: S)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, Abort>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let gate = visit.server.gate.clone();
    let tls = gate.and_then(|gate| gate.current().tls.clone().map(|tls| (gate, tls)));
    let Some((gate, tls)) = tls else {
        return converse(visit, stream, false).await;
    };
    let handshake = TlsAcceptor::from(tls.server).accept(stream);
    match tokio::time::timeout(visit.server.limits.head_time, handshake).await {
        Ok(Ok(stream)) => {
            let certified = stream.get_ref().1.peer_certificates().is_some();
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                converse_multiplexed(visit, stream, certified).await;
            } else {
                converse(visit, stream, certified).await;
            }
        }
        Ok(Err(cause)) => gate.handshake_failed(visit.client, &cause),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

impl<H, F> Visit<H>
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<Body>, Abort>>,
{
    /// The answer to one request, counted as one that runs until it is sent.
    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        certified: bool,
        stream: Option<OpenStream>,
    ) -> Result<Response<Answer>, Abort> {
        let running = self.place.requests.begin();
        self.place.touch();
        request
            .extensions_mut()
            .insert(Caller { client: self.client, close: self.place.close.clone() });
        let response = match &self.server.gate {
            None => (self.handler)(request).await?,
            Some(gate) => {
                let mut response = match gate
                    .admit(self.client, certified, request.uri().path(), request.headers())
                    .await
                {
                    Ok(()) => (self.handler)(request).await?,
                    Err(refusal) => refusal,
                };
                gate.dress(&mut response);
                response
            }
        };
        Ok(response.map(|body| Answer { body, _running: running, _stream: stream }))
    }

    fn times(&self) -> TimeLimits {
        let limits = self.server.limits;
        TimeLimits { head: limits.head_time, stall: limits.stall_time, answer: limits.answer_time }
    }
}

/// Serves one connection of HTTP/1 to its end.
async fn converse<H, F, S>(visit: Arc<Visit<H>>, stream: S, certified: bool)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Result<Response<Body>, Abort>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (limits, stop) = (visit.server.limits, visit.server.stop.clone());
    let io = TokioIo::new(Guarded::new(stream, Arc::clone(&visit.place.requests), visit.times()));
    let service = service_fn(|request| Arc::clone(&visit).answer(request, certified, None));
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

/// Serves one connection of HTTP/2 to its end. Its streams can stall without a blocked write, so
/// their time is watched here.
async fn converse_multiplexed<H, F, S>(visit: Arc<Visit<H>>, stream: S, certified: bool)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, Abort>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (limits, stop) = (visit.server.limits, visit.server.stop.clone());
    let io = TokioIo::new(Guarded::multiplexed(
        stream,
        Arc::clone(&visit.place.requests),
        visit.times(),
    ));
    let streams = Streams::new(&limits);
    let (answering, of_connection) = (Arc::clone(&visit), streams.clone());
    let service = service_fn(move |request| {
        Arc::clone(&answering).answer(request, certified, Some(of_connection.open()))
    });
    let mut builder = http2::Builder::new(Spawning(visit.server.tasks.clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_send_buf_size(SEND_BUFFER);
    builder.max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut ending = false;
    loop {
        let verdict = tokio::select! {
            ended = connection.as_mut() => {
                if let Err(cause) = ended {
                    tracing::debug!(error = %cause, "a connection ended early");
                }
                return;
            }
            () = stop.cancelled(), if !ending => Verdict::End,
            verdict = streams.tick() => verdict,
        };
        match verdict {
            Verdict::GoOn => {}
            Verdict::End if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            Verdict::End => {}
            Verdict::Drop => {
                tracing::debug!("a connection whose client does not read is dropped");
                return;
            }
        }
    }
}

/// Runs what a connection of HTTP/2 needs beside itself.
#[derive(Clone)]
struct Spawning(Tasks);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawning {
    fn execute(&self, task: F) {
        self.0.spawn("stream", task);
    }
}
