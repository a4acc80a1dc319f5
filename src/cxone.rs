//! The client of CXone's API. One call is one exchange, and reports precisely what came of it;
//! whether and when it is repeated is decided elsewhere.
//!
//! | module | what it is for |
//! |---|---|
//! | [`http`] | one request and its response: transport, proxy, time and size limits, request budget |
//! | [`reports`], [`platform`] | the dialects: what is sent, and how responses are read as they arrive |
//! | `retrieval` | the history of one window on its way, in either dialect |
//! | `token`, `tokens` | the access token: when it is renewed, and the renewal itself |
//! | `scan`, `json`, `rows` | a document that arrives in pieces, cut into its rows |
//! | [`error`] | the ways to fail, and what to do about each |

pub mod error;
pub mod http;
mod json;
pub mod platform;
pub mod reports;
mod retrieval;
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
pub use retrieval::{Advance, FetchEvent, KnownMember, Retrieval};
pub use rows::{RowList, RowSink};

/// How large an answer may be, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of the answer to a poll, decompressed: 1 GiB.
    pub max_report_bytes: u64,
    /// Rows of a report, invalid ones included: 5,000,000.
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

/// The client of one OAuth client or access key of one tenant. Clones share their token and their
/// budget of requests. Which dialect it speaks stays in this module.
#[derive(Clone, Debug)]
pub struct CxoneClient {
    dialect: DialectClient,
}

#[derive(Clone, Debug)]
enum DialectClient {
    Reports(Arc<ReportsClient>),
    Platform(Arc<PlatformClient>),
}

impl From<ReportsClient> for CxoneClient {
    fn from(client: ReportsClient) -> Self {
        Self { dialect: DialectClient::Reports(Arc::new(client)) }
    }
}

impl From<PlatformClient> for CxoneClient {
    fn from(client: PlatformClient) -> Self {
        Self { dialect: DialectClient::Platform(Arc::new(client)) }
    }
}

impl CxoneClient {
    /// Obtains a token unless there is a good one, which shows whether the credentials are valid
    /// and what time it is at CXone.
    ///
    /// # Errors
    /// When there is no token.
    pub async fn sign_in(&self) -> Result<(), ApiError> {
        match &self.dialect {
            DialectClient::Reports(client) => client.sign_in().await,
            DialectClient::Platform(client) => client.sign_in().await,
        }
    }

    /// Makes the cheapest request that brings CXone's time, for when nothing else can be requested
    /// until that is known.
    ///
    /// # Errors
    /// When the request failed.
    pub async fn refresh_clock(&self) -> Result<(), ApiError> {
        match &self.dialect {
            DialectClient::Reports(client) => client.renew_token().await,
            // Live feeds do not wait for CXone's time, and bring it all the time.
            DialectClient::Platform(_) => Ok(()),
        }
    }

    /// Where live states and skills come from, if the dialect has them.
    #[must_use]
    pub fn live_source(&self) -> Option<Arc<PlatformClient>> {
        match &self.dialect {
            DialectClient::Reports(_) => None,
            DialectClient::Platform(client) => Some(Arc::clone(client)),
        }
    }

    /// Why a report may have no rows, one sentence a line. `doubtful_id` is an agent's id that does
    /// not look like one.
    #[must_use]
    pub fn causes_of_no_rows(&self, doubtful_id: Option<&str>) -> Vec<String> {
        let is_platform = matches!(self.dialect, DialectClient::Platform(_));
        error::advice::of_no_rows(is_platform, doubtful_id)
    }

    /// The endpoints that its requests go to.
    #[must_use]
    pub const fn endpoints(&self) -> &'static [ApiEndpoint] {
        match &self.dialect {
            DialectClient::Reports(_) => &ApiEndpoint::OF_REPORTS,
            DialectClient::Platform(_) => &ApiEndpoint::OF_PLATFORM,
        }
    }

    /// How long requests have waited for a budget of requests.
    #[must_use]
    pub fn budget_wait(&self) -> Duration {
        match &self.dialect {
            DialectClient::Reports(_) => Duration::ZERO,
            DialectClient::Platform(client) => client.budget_wait(),
        }
    }

    /// How many requests of its budget it made in the last minute; `None` without a budget of
    /// requests, where the quota is one of report jobs.
    #[must_use]
    pub fn budget_used(&self) -> Option<usize> {
        match &self.dialect {
            DialectClient::Reports(_) => None,
            DialectClient::Platform(client) => Some(client.budget_used()),
        }
    }
}

fn at_fault(call: &ApiCall<'_>, fault: &DocumentFault) -> ApiError {
    call.error(fault.kind, &format!("the answer {}", fault.detail))
}
