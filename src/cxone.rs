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

use bytes::Bytes;
use secrecy::SecretString;

use crate::clock::Clock;
use cxone_core::plan::fetch::JobId;

use self::http::client::{ApiCall, HttpClient};
use self::http::redact::Redactor;
use crate::base_url::BaseUrl;
use reports::{Document, JOBS_PATH, Told};
use scan::DocumentFault;
use tokens::{Grant, Tokens};

pub use self::http::client::{ClientEvent, Exchange, Observer};
pub use self::http::proxy::{Proxies, Proxy, ProxyError, ProxyRoute};
pub use self::http::sockets::{HttpLimits, HttpTransport, Network};
pub use self::http::transport::{Response, Transport, TransportError, TransportFault};
pub use error::{ApiEndpoint, ApiError, ErrorKind, SignsInWith};
pub use platform::{Paging, PlatformClient, PlatformOptions};
pub use reports::HistoryRequest;
pub use rows::{RowList, RowSink};

/// What a client is made with.
#[derive(Clone, Debug)]
pub struct ReportsOptions {
    /// Where CXone is.
    pub base_url: BaseUrl,
    /// The OAuth client's id.
    pub client_id: String,
    /// The OAuth client's secret.
    pub client_secret: SecretString,
    /// How much an answer may cost.
    pub limits: ResponseLimits,
    /// What no message may show beside the secrets: ids of agents who are not to be told.
    pub hidden: Vec<SecretString>,
}

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

/// What CXone says of a report job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Poll<R> {
    /// It waits for its turn.
    Pending,
    /// It is being worked on.
    Running,
    /// It is done; these are its rows.
    Completed(R),
    /// It failed; this is what CXone says of it, cleaned and cut.
    Failed(String),
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

/// The client for one OAuth client of one tenant. Its calls may run side by side; they share one
/// token.
#[derive(Debug)]
pub struct ReportsClient {
    http: HttpClient,
    base: BaseUrl,
    tokens: Tokens,
}

impl ReportsClient {
    /// A client that speaks over `transport` and tells `observer` of every exchange.
    #[must_use]
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Clock,
        options: ReportsOptions,
        observer: Observer,
    ) -> Self {
        let ReportsOptions { base_url, client_id, client_secret, limits, hidden } = options;
        let redactor = Redactor::default().and(&client_secret);
        let redactor = hidden.iter().fold(redactor, Redactor::and_id);
        let http = HttpClient {
            transport,
            clock,
            limits,
            observer,
            redactor,
            budget: None,
            signs_in_with: SignsInWith::OauthClient,
        };
        let tokens = Tokens::new(Grant::Client {
            base: base_url.clone(),
            id: client_id,
            secret: client_secret,
        });
        Self { http, base: base_url, tokens }
    }

    /// Gets a token, unless there is one that will do: whether the credentials are right, and what
    /// CXone's clock says.
    ///
    /// # Errors
    /// When none is to be had.
    pub async fn sign_in(&self) -> Result<(), ApiError> {
        self.tokens.current(&self.http).await.map(drop)
    }

    /// Gets a new token, though the one at hand may be good: the cheapest way to an answer, and to
    /// what CXone's clock says.
    ///
    /// # Errors
    /// When none is to be had.
    pub async fn renew_token(&self) -> Result<(), ApiError> {
        self.tokens.renew(&self.http).await.map(drop)
    }

    /// Submits a report job, once: it counts against the quota whatever comes of it, unless the
    /// error's endpoint is [`ApiEndpoint::Token`].
    ///
    /// # Errors
    /// When no token was to be had, or the answer is no job id.
    pub async fn submit(&self, request: &HistoryRequest) -> Result<JobId, ApiError> {
        let token = self.tokens.current(&self.http).await?;
        let call = self
            .http
            .call(ApiEndpoint::Submit, self.http.limits.max_answer_time, Some(&token))
            .await;
        let outcome = async {
            let message = call.post(
                &self.base.join(JOBS_PATH),
                "application/json",
                Some(&token),
                Bytes::from(reports::encode(request)),
            )?;
            let answer = call.send(message).await?;
            let body = call.text(answer).await?;
            reports::decode_submitted(&body).map_err(|fault| at_fault(&call, &fault))
        };
        let outcome = self.tokens.forget_if_refused(&token, outcome.await);
        outcome.map_err(|error| {
            let shows_request =
                matches!(error.kind, ErrorKind::Rejected | ErrorKind::UnexpectedStatus);
            if shows_request {
                error.adding(&call.redact(&format!("sent was {request}")))
            } else {
                error
            }
        })
    }

    /// Asks for a report job, once. The rows go to an `R` of their own while they arrive, and count
    /// only in [`Poll::Completed`]: `poll::<Report>` for the core, `poll::<RowList>` for showing
    /// them.
    ///
    /// # Errors
    /// When no token was to be had, or the answer is none that tells of a job; nothing of it has
    /// been counted then.
    pub async fn poll<R: RowSink>(&self, job: &JobId) -> Result<Poll<R>, ApiError> {
        let token = self.tokens.current(&self.http).await?;
        let call =
            self.http.call(ApiEndpoint::Poll, self.http.limits.max_report_time, Some(&token)).await;
        let outcome = async {
            let answer = call
                .send(call.get(&self.base.join(&reports::job_path(job)), Some(&token))?)
                .await?;
            let mut document = Document::<R>::new(self.http.limits.max_rows);
            let mut feed =
                |piece: &[u8]| document.feed(piece).map_err(|fault| at_fault(&call, &fault));
            call.body(answer, self.http.limits.max_report_bytes, &mut feed).await?;
            match document.finish().map_err(|fault| at_fault(&call, &fault))? {
                Told::Pending => Ok(Poll::Pending),
                Told::Running => Ok(Poll::Running),
                Told::Completed(rows) => Ok(Poll::Completed(rows)),
                Told::Failed(message) => {
                    Ok(Poll::Failed(call.redact(message.as_deref().unwrap_or("Unknown error"))))
                }
            }
        };
        self.tokens.forget_if_refused(&token, outcome.await)
    }
}

fn at_fault(call: &ApiCall<'_>, fault: &DocumentFault) -> ApiError {
    call.error(fault.kind, &format!("the answer {}", fault.detail))
}
