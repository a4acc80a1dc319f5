//! How a request gets to CXone and its answer back: the seam between the client and the network.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::{HeaderMap, Request, StatusCode};

/// Sends requests. One call is one exchange: no redirect is followed, and nothing is repeated but
/// what the server says that it did not look at.
///
/// A request's body may hold the client secret and its `Authorization` a token; neither may be
/// logged.
pub trait Transport: Send + Sync {
    /// Sends `request`; the answer's body follows as it arrives, decompressed.
    ///
    /// # Errors
    /// When no head of an answer came.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response, TransportError>>;
}

/// An answer whose body is still to come.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body in pieces. Ends after its first error.
    pub body: BoxStream<'static, Result<Bytes, TransportError>>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Where an exchange broke off, as far as there are different things to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// The host's name is not known.
    Name,
    /// No connection was made.
    Connect,
    /// A time limit ran out.
    Timeout,
    /// The connection broke, or what came is not whole.
    Cut,
    /// The body is in a coding that was not asked for.
    Coding,
    /// What answers does not speak TLS.
    NotTls,
    /// The answer is not valid HTTP: without TLS, the server may expect TLS.
    NotHttp,
    /// The certificate is of an authority that is not trusted.
    UnknownIssuer,
    /// The certificate has expired, or is not valid yet.
    Expired,
    /// The certificate is for other hosts.
    WrongName,
    /// The certificate is not valid for another reason, or TLS was not agreed on.
    Tls,
    /// The proxy was not reached.
    ProxyUnreachable,
    /// The proxy asks for a name and a password, or refuses those that it got.
    ProxyLogin,
    /// The proxy refuses to lead there, or cannot.
    ProxyRefused,
}

/// Why there is no answer, or no rest of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct TransportError {
    /// Where it broke off.
    pub fault: TransportFault,
    /// With whom, and what happened; contains no URL and no header.
    pub detail: String,
}

impl TransportError {
    /// An exchange that broke off at `fault`.
    #[must_use]
    pub fn new(fault: TransportFault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into() }
    }
}
