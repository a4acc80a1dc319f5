//! The transport over real sockets.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue, Request};
use rustls::pki_types::CertificateDer;

use super::connection::{fault, impossible, late};
use super::decoding::{Pieces, decoded};
use super::proxy::{Proxies, ProxyRoute};
use super::transport::{Response, Transport, TransportError};
use crate::base_url::BaseUrl;

/// How long a connection that is not used is kept; shorter than servers and balancers keep theirs,
/// so that a request rarely meets one that was closed at the other end.
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

/// What the machine and the configuration say of the way to hosts.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The proxy, for `https` only, where it sees no more than the host's name. Plain `http` and
    /// this machine's own addresses are always reached directly, so that no proxy ever reads the
    /// secret.
    pub proxies: Proxies,
    /// Certificates of authorities that are trusted beside those of the machine.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// HTTP/1.1 and HTTP/2 over TCP and TLS, with the machine's certificates.
#[derive(Clone, Debug)]
pub struct HttpTransport {
    client: reqwest::Client,
    /// For what must not be repeated: each request has a connection of its own. One that was kept
    /// may be closed by the server in the moment that it is used, and then it is not known whether
    /// the request was looked at.
    fresh: reqwest::Client,
    proxies: Proxies,
    limits: HttpLimits,
}

impl HttpTransport {
    /// A transport to `base`.
    ///
    /// # Errors
    /// When the base is `https` and there are no certificates to check it with.
    pub fn new(
        base: &BaseUrl,
        network: &Network,
        limits: HttpLimits,
    ) -> Result<Self, TransportError> {
        Self::with(base, network, limits, |builder| builder)
    }

    /// A transport to `base` that never speaks HTTP/2: some of the platform's hosts give no token
    /// over it.
    ///
    /// # Errors
    /// As [`HttpTransport::new`].
    pub fn http1(
        base: &BaseUrl,
        network: &Network,
        limits: HttpLimits,
    ) -> Result<Self, TransportError> {
        Self::with(base, network, limits, reqwest::ClientBuilder::http1_only)
    }

    /// A transport for health checks: whether it is who it says is not asked of this machine
    /// itself, which few certificates name.
    ///
    /// # Errors
    /// As [`HttpTransport::new`].
    pub fn for_health(
        base: &BaseUrl,
        network: &Network,
        limits: HttpLimits,
    ) -> Result<Self, TransportError> {
        let is_ours = base.is_loopback();
        Self::with(base, network, limits, |builder| {
            if is_ours { builder.tls_danger_accept_invalid_certs(true) } else { builder }
        })
    }

    fn with(
        base: &BaseUrl,
        network: &Network,
        limits: HttpLimits,
        set: impl Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<Self, TransportError> {
        // Fails when a provider is installed already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: reqwest::Error| impossible(&error);
        let proxies = network.proxies.clone();
        let builder = |most_idle: usize| {
            let choose = proxies.clone();
            let accepts = (ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            reqwest::Client::builder()
                .user_agent(concat!("cxone-exporter/", env!("CARGO_PKG_VERSION")))
                .default_headers(HeaderMap::from_iter([accepts]))
                .redirect(reqwest::redirect::Policy::none())
                // The library's own rule for what is sent again stays: only what the server says
                // that it did not look at (GOAWAY, REFUSED_STREAM), which costs no job.
                .referer(false)
                .connect_timeout(limits.connect)
                .pool_idle_timeout(KEEP_IDLE)
                .pool_max_idle_per_host(most_idle)
                // The library's own idea of the environment knows no ports in NO_PROXY.
                .no_proxy()
                .proxy(reqwest::Proxy::custom(move |url| match choose.route(url) {
                    ProxyRoute::Via(proxy) => Some(proxy.url().clone()),
                    ProxyRoute::Exempt(_) | ProxyRoute::Direct => None,
                }))
        };
        let client = |most_idle: usize| {
            let mut builder = builder(most_idle);
            if !base.is_https() {
                // Nothing is verified, so a machine without certificates will do.
                builder = builder.tls_certs_only([]);
            } else {
                for authority in &network.authorities {
                    let authority = reqwest::Certificate::from_der(authority)?;
                    builder = builder.tls_certs_merge([authority]);
                }
            }
            set(builder).build()
        };
        let (client, fresh) = (client(MOST_IDLE).map_err(failed)?, client(0).map_err(failed)?);
        Ok(Self { client, fresh, proxies, limits })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(|error| fault(&error, None))?;
        let by = match self.proxies.route(request.url()) {
            ProxyRoute::Via(proxy) => Some(proxy),
            ProxyRoute::Exempt(_) | ProxyRoute::Direct => None,
        };
        let client = if request.method().is_safe() { &self.client } else { &self.fresh };
        let answer = tokio::time::timeout(self.limits.head, client.execute(request)).await;
        let answer = answer
            .map_err(|_| late("headers", self.limits.head))?
            .map_err(|error| fault(&error, by))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = decoded(&headers, body(answer, self.limits.idle));
        Ok(Response { status, headers, body })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(self.exchange(request))
    }
}

/// The answer's body, with a limit on the time between two pieces.
fn body(answer: reqwest::Response, idle: Duration) -> Pieces {
    let pieces = Some(answer.bytes_stream().boxed());
    stream::unfold(pieces, move |pieces| async move {
        let mut pieces = pieces?;
        match tokio::time::timeout(idle, pieces.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(piece))) => Some((Ok(piece), Some(pieces))),
            Ok(Some(Err(error))) => Some((Err(fault(&error, None)), None)),
            Err(_) => Some((Err(late("more of the body", idle)), None)),
        }
    })
    .boxed()
}
