//! The client of CXone's API. One call is one exchange, and tells precisely what came of it;
//! whether and when it is repeated is decided elsewhere.
//!
//! | module | what it is for |
//! |---|---|
//! | [`http`] | one request and its response: transport, proxy, time and size limits, request budget |
//! | [`reports`], [`platform`] | the dialects: what is sent, and how responses are read as they arrive |
//! | `token`, `tokens` | the access token: when it is renewed, and the renewal itself |
//! | `scan`, `json`, `rows` | a document that arrives in pieces, cut into its rows |
//! | [`error`] | the ways to fail, and what to do about each |

pub mod error;
pub mod http;
mod json;
pub mod platform;
pub mod reports;
mod rows;
mod scan;
mod token;
mod tokens;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use self::http::client::ApiCall;
use scan::DocumentFault;

pub use self::http::client::{ClientEvent, Exchange, Observer};
pub use self::http::proxy::{Proxies, Proxy, ProxyError, ProxyRoute};
pub use self::http::sockets::{HttpLimits, HttpTransport, Network};
pub use self::http::transport::{Response, Transport, TransportError, TransportFault};
pub use error::{ApiEndpoint, ApiError, ErrorKind, SignsInWith};
pub use platform::{Paging, PlatformClient, PlatformOptions};
pub use reports::{HistoryRequest, JobStatus, ReportsClient, ReportsOptions};
pub use rows::{RowList, RowSink};

/// How large an answer may be, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of the answer to a poll, decompressed: 1 GiB.
    pub max_report_bytes: u64,
    /// Rows of a report, those included that make no sense: 5,000,000.
    pub max_rows: u64,
    /// Bytes of the answer to a submit or to a request for a token: 1 MiB.
    pub max_answer_bytes: u64,
    /// Time from a poll to the end of its answer: 10 minutes.
    pub max_report_time: Duration,
    /// Time from a submit or a request for a token to the end of the answer: 60 s.
    pub max_answer_time: Duration,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            max_report_bytes: 1024 * 1024 * 1024,
            max_rows: 5_000_000,
            max_answer_bytes: 1024 * 1024,
            max_report_time: Duration::from_secs(600),
            max_answer_time: Duration::from_secs(60),
        }
    }
}

/// A client of the dialect that is spoken.
#[derive(Clone, Debug)]
pub enum CxoneClient {
    /// Of the Reporting API.
    Reports(Arc<ReportsClient>),
    /// Of the platform's documented calls.
    Platform(Arc<PlatformClient>),
}

impl CxoneClient {
    /// Gets a token, unless there is one that will do: whether the credentials are right, and what
    /// CXone's clock says.
    ///
    /// # Errors
    /// When none is to be had.
    pub async fn sign_in(&self) -> Result<(), ApiError> {
        match self {
            Self::Reports(client) => client.sign_in().await,
            Self::Platform(client) => client.sign_in().await,
        }
    }

    /// What its requests are for.
    #[must_use]
    pub const fn endpoints(&self) -> &'static [ApiEndpoint] {
        match self {
            Self::Reports(_) => &ApiEndpoint::OF_REPORTS,
            Self::Platform(_) => &ApiEndpoint::OF_PLATFORM,
        }
    }

    /// The time that requests have waited for a budget of requests.
    #[must_use]
    pub fn budget_wait(&self) -> Duration {
        match self {
            Self::Reports(_) => Duration::ZERO,
            Self::Platform(client) => client.budget_wait(),
        }
    }

    /// The client of the Reporting API.
    ///
    /// # Panics
    /// When the other API is spoken: a plan of jobs goes with it only.
    #[must_use]
    pub fn of_reports(&self) -> Arc<ReportsClient> {
        match self {
            Self::Reports(client) => Arc::clone(client),
            Self::Platform(_) => unreachable!("only the Reporting API has jobs"),
        }
    }

    /// The client of the platform's calls.
    ///
    /// # Panics
    /// When the other API is spoken: a plan of pages goes with it only.
    #[must_use]
    pub fn of_platform(&self) -> Arc<PlatformClient> {
        match self {
            Self::Platform(client) => Arc::clone(client),
            Self::Reports(_) => unreachable!("only the platform's calls have pages"),
        }
    }
}

fn at_fault(call: &ApiCall<'_>, fault: &DocumentFault) -> ApiError {
    call.error(fault.kind, &format!("the answer {}", fault.detail))
}
