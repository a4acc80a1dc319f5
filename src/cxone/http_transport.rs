//! The transport over real sockets.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::Request;

use super::base_url::BaseUrl;
use super::transport::{Response, Transport, TransportError, TransportFault};

/// How long a connection that is not used is kept; shorter than servers and balancers keep theirs,
/// so that a submit rarely meets one that was closed at the other end.
const KEEP_IDLE: Duration = Duration::from_secs(15);

/// How many connections are kept for the next requests: each keeps what it once needed to read
/// ahead, up to some 400 kB.
const MOST_IDLE: usize = 4;

/// How long the steps of an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Name resolution, TCP and TLS: 10 s.
    pub connect: Duration,
    /// From the call to the answer's headers, connecting included: 30 s.
    pub head: Duration,
    /// Between two pieces of the body: 30 s.
    pub idle: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            head: Duration::from_secs(30),
            idle: Duration::from_secs(30),
        }
    }
}

/// HTTP/1.1 and HTTP/2 over TCP and TLS, with the machine's certificates.
///
/// A proxy from the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`) is used for `https` only,
/// where it sees no more than the host's name. Plain `http` and this machine's own addresses are
/// always reached directly, so that no proxy ever reads the secret.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
    limits: HttpLimits,
}

impl HttpTransport {
    /// A transport to `base`.
    ///
    /// # Errors
    /// When the base is `https` and the machine has no certificates to check it with.
    pub fn new(base: &BaseUrl, limits: HttpLimits) -> Result<Self, TransportError> {
        Self::with(base, limits, |builder| builder)
    }

    /// A transport to `base` that never speaks HTTP/2: some of the platform's hosts give no token
    /// over it.
    ///
    /// # Errors
    /// As [`HttpTransport::new`].
    pub fn http1(base: &BaseUrl, limits: HttpLimits) -> Result<Self, TransportError> {
        Self::with(base, limits, reqwest::ClientBuilder::http1_only)
    }

    /// A transport for health checks: whether it is who it says is not asked of this machine
    /// itself, which few certificates name.
    ///
    /// # Errors
    /// As [`HttpTransport::new`].
    pub fn for_health(base: &BaseUrl, limits: HttpLimits) -> Result<Self, TransportError> {
        let is_ours = base.is_loopback();
        Self::with(base, limits, |builder| {
            if is_ours { builder.tls_danger_accept_invalid_certs(true) } else { builder }
        })
    }

    fn with(
        base: &BaseUrl,
        limits: HttpLimits,
        set: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, TransportError> {
        // Fails when a provider is installed already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("cxone-exporter/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .gzip(true)
            .connect_timeout(limits.connect)
            .pool_idle_timeout(KEEP_IDLE)
            .pool_max_idle_per_host(MOST_IDLE);
        if !base.is_https() {
            // Nothing is verified, so a machine without certificates will do.
            builder = builder.tls_certs_only([]);
        }
        if !base.is_https() || base.is_loopback() {
            builder = builder.no_proxy();
        }
        let client = set(builder).build().map_err(|error| {
            TransportError::new(TransportFault::Connect, causes(&error.without_url()))
        })?;
        Ok(Self { client, limits })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(broken)?;
        let answer =
            match tokio::time::timeout(self.limits.head, self.client.execute(request)).await {
                Ok(answer) => answer.map_err(broken)?,
                Err(_) => {
                    return Err(TransportError::new(
                        TransportFault::Timeout,
                        Slow("headers", self.limits.head).to_string(),
                    ));
                }
            };
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Response { status, headers, body: body(answer, self.limits.idle) })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(self.exchange(request))
    }
}

/// The answer's body, with a limit on the time between two pieces.
fn body(
    answer: reqwest::Response,
    idle: Duration,
) -> BoxStream<'static, Result<Bytes, TransportError>> {
    let pieces = Some(answer.bytes_stream().boxed());
    stream::unfold(pieces, move |pieces| async move {
        let mut pieces = pieces?;
        match tokio::time::timeout(idle, pieces.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(broken(error)), None)),
            Err(_) => Some((
                Err(TransportError::new(
                    TransportFault::Timeout,
                    Slow("more of the body", idle).to_string(),
                )),
                None,
            )),
        }
    })
    .boxed()
}

/// Waiting for `.0` took longer than `.1`.
struct Slow(&'static str, Duration);

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {} within {:?}", self.0, self.1)
    }
}

fn broken(error: reqwest::Error) -> TransportError {
    let fault = if error.is_timeout() {
        TransportFault::Timeout
    } else if error.is_connect() {
        TransportFault::Connect
    } else {
        TransportFault::Cut
    };
    TransportError::new(fault, causes(&error.without_url()))
}

/// An error and its causes; the outermost alone says little more than that something failed.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}
