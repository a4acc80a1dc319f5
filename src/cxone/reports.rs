//! The dialect `reports`: what is sent, and what the answers say.

mod document;
mod row;
mod time;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use cxone_core::plan::fetch::JobId;
use cxone_core::report::ReportFilter;
use cxone_core::time::Window;

use super::error::{ApiEndpoint, ApiError, ErrorKind, SignsInWith};
use super::http::client::{HttpClient, Observer};
use super::http::redact::Redactor;
use super::http::transport::Transport;
use super::rows::RowSink;
use super::scan::DocumentFault;
use super::token::Token;
use super::tokens::{TokenSource, Tokens, token_of};
use super::{ResponseLimits, at_fault, json};
use crate::base_url::{BaseUrl, path_segment};
use crate::clock::Clock;

use document::Document;

/// Where tokens are asked for, below the base.
const TOKEN_PATH: &str = "/oauth/token";

/// Where report jobs are submitted, below the base.
const JOBS_PATH: &str = "/api/v2/reports";

/// What a report job is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HistoryRequest {
    /// The span of time.
    pub window: Window,
    /// The agents.
    pub filter: ReportFilter,
}

/// The dates and the filter as they are sent.
impl fmt::Display for HistoryRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window, filter } = self;
        write!(
            f,
            "dateFrom {}, dateTo {}, filter type \"{}\", id \"{}\"",
            window.from, window.to, filter.kind, filter.id
        )
    }
}

/// What a [`ReportsClient`] is made with.
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
    /// What no message may show beside the secrets: ids of agents who must stay hidden.
    pub hidden: Vec<SecretString>,
}

/// The status of a report job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobStatus<R> {
    /// It is queued.
    Pending,
    /// It is in progress.
    Running,
    /// It is done; these are its rows.
    Completed(R),
    /// It failed, with this message.
    Failed(String),
}

/// The client for one OAuth client of one tenant. Its calls may run side by side; they share one
/// token.
#[derive(Debug)]
pub struct ReportsClient {
    http: HttpClient,
    base: BaseUrl,
    tokens: Tokens<OauthClient>,
}

impl ReportsClient {
    /// A client that speaks over `transport` and notifies `observer` of every exchange.
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
        let tokens = Tokens::new(OauthClient {
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
    /// When none is granted.
    pub async fn sign_in(&self) -> Result<(), ApiError> {
        self.tokens.current(&self.http).await.map(drop)
    }

    /// Gets a new token, though the one at hand may be good: the cheapest way to an answer, and to
    /// what CXone's clock says.
    ///
    /// # Errors
    /// When none is granted.
    pub async fn renew_token(&self) -> Result<(), ApiError> {
        self.tokens.renew(&self.http).await.map(drop)
    }

    /// Submits a report job, once: it counts against the quota whatever comes of it, unless the
    /// error's endpoint is [`ApiEndpoint::Token`].
    ///
    /// # Errors
    /// When no token was granted, or the answer does not contain a job id.
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
                Bytes::from(encode(request)),
            )?;
            let answer = call.send(message).await?;
            let body = call.text(answer).await?;
            decode_submitted(&body).map_err(|fault| at_fault(&call, &fault))
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
    /// only in [`JobStatus::Completed`]: `poll::<Report>` for the core, `poll::<RowList>` for
    /// showing them.
    ///
    /// # Errors
    /// When no token was granted, or the answer does not describe a job; none of it has been
    /// counted then.
    pub async fn poll<R: RowSink>(&self, job: &JobId) -> Result<JobStatus<R>, ApiError> {
        let token = self.tokens.current(&self.http).await?;
        let call =
            self.http.call(ApiEndpoint::Poll, self.http.limits.max_report_time, Some(&token)).await;
        let outcome = async {
            let answer =
                call.send(call.get(&self.base.join(&job_path(job)), Some(&token))?).await?;
            let mut document = Document::<R>::new(self.http.limits.max_rows);
            let mut feed =
                |piece: &[u8]| document.feed(piece).map_err(|fault| at_fault(&call, &fault));
            call.body(answer, self.http.limits.max_report_bytes, &mut feed).await?;
            match document.finish().map_err(|fault| at_fault(&call, &fault))? {
                JobStatus::Failed(message) => Ok(JobStatus::Failed(call.redact(&message))),
                status @ (JobStatus::Pending | JobStatus::Running | JobStatus::Completed(_)) => {
                    Ok(status)
                }
            }
        };
        self.tokens.forget_if_refused(&token, outcome.await)
    }
}

/// The credentials of an OAuth client.
struct OauthClient {
    base: BaseUrl,
    id: String,
    secret: SecretString,
}

impl TokenSource for OauthClient {
    async fn request(
        &self,
        http: &HttpClient,
        old: Option<&Token>,
    ) -> Result<(Token, Duration), ApiError> {
        let call = http.call(ApiEndpoint::Token, http.limits.max_answer_time, old).await;
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.id),
            ("client_secret", self.secret.expose_secret()),
        ];
        let request = call.post_form(&self.base.join(TOKEN_PATH), &fields)?;
        let body = SecretString::from(call.text(call.send(request).await?).await?);
        let members = json::members(body.expose_secret()).ok_or_else(|| {
            call.own_error(ErrorKind::Malformed, "the response is not a JSON object")
        })?;
        let text = members.get("access_token").and_then(|raw| json::string(raw.get()));
        let expires_in = members.get("expires_in").map(|raw| raw.get());
        token_of(&call, text.as_deref(), expires_in)
    }
}

/// Where the job is asked for, below the base.
fn job_path(job: &JobId) -> String {
    format!("{JOBS_PATH}/{}", path_segment(job.as_str()))
}

/// The body of a submit.
fn encode(request: &HistoryRequest) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct SubmitBody<'a> {
        report_type: &'a str,
        date_from: String,
        date_to: String,
        filter: FilterBody<'a>,
        group_by: [&'a str; 3],
        metrics: [&'a str; 1],
    }
    #[derive(Serialize)]
    struct FilterBody<'a> {
        r#type: &'a str,
        id: &'a str,
    }
    let body = SubmitBody {
        report_type: "agent-state-history",
        date_from: request.window.from.to_string(),
        date_to: request.window.to.to_string(),
        filter: FilterBody { r#type: &request.filter.kind, id: &request.filter.id },
        group_by: ["userId", "stateName", "skillName"],
        metrics: ["count"],
    };
    serde_json::to_vec(&body).expect("strings and lists of them are JSON")
}

/// The job's id in the answer to a submit. Its `statusUrl` is not looked at: where a job is asked
/// for follows from its id.
fn decode_submitted(body: &str) -> Result<JobId, DocumentFault> {
    let members =
        json::members(body).ok_or_else(|| DocumentFault::malformed("is not a JSON object"))?;
    let id = members.get("id").or_else(|| {
        members.iter().find(|(name, _)| name.eq_ignore_ascii_case("id")).map(|(_, raw)| raw)
    });
    let id = id.and_then(|raw| json::string_or_number(raw.get()));
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| DocumentFault::malformed("has no id"))?;
    JobId::parse(&id).ok_or_else(|| DocumentFault::malformed("has an id that can be none"))
}
