//! The dialect `platform`: the calls that NICE documents publicly. None was tried on a live tenant;
//! `docs/platform.md` says how sure each fact is.
//!
//! | module | what it is for |
//! |---|---|
//! | `sign_in`, `hosts` | the token, and where it and the credentials may go |
//! | [`object`] | reading of objects whose makers change their minds |
//! | [`list`] | an answer with a list of rows, read while it arrives |
//! | [`codes`], `known_codes` | the unavailable codes: what they are, and when they are asked for |
//! | [`history`], [`paging`] | the state history: its rows, and which page comes next |

pub mod codes;
pub mod history;
mod hosts;
mod known_codes;
pub mod list;
mod live;
pub mod object;
pub mod paging;
mod sign_in;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use secrecy::SecretString;

use super::error::{ApiEndpoint, ApiError, ErrorKind, SignsInWith};
use super::http::budget::Budget;
use super::http::client::{HttpClient, Observer};
use super::http::redact::Redactor;
use super::http::transport::Transport;
use super::tokens::Tokens;
use super::{HistoryRequest, ResponseLimits, RowSink, at_fault};
use crate::base_url::BaseUrl;
use crate::clock::Clock;
use cxone_core::time::{Monotonic, Timestamp, Window};

pub use codes::{UnavailableCode, UnavailableCodes};
pub use list::{Element, Envelope};
pub use live::LivePage;
pub use paging::Paging;

use hosts::AllowedHosts;
use known_codes::KnownCodes;
use list::ListReader;
use paging::{HistoryCalls, NextRequest, Roster};
use sign_in::{Discovered, GrantType, PlatformSignIn};

/// How long a call that is not there is not tried again.
const CALLS_LIFE: Duration = Duration::from_secs(3600);

/// Where the agents' states now are asked for, and the member with them. Source: NICE's developer
/// documentation.
const STATES_PATH: &str = "/agents/states";
const STATES_LIST: &str = "agentStates";

/// What a client is made with.
#[derive(Clone, Debug)]
pub struct PlatformOptions {
    /// Where tokens come from, and where the API's address is discovered.
    pub issuer: BaseUrl,
    /// The API's address, instead of the discovered one.
    pub base_url: Option<BaseUrl>,
    /// The version in the calls' paths.
    pub version: u16,
    /// The access key's id.
    pub access_key_id: String,
    /// The access key's secret.
    pub access_key_secret: SecretString,
    /// How a token is asked for.
    pub credentials: Credentials,
    /// How much an answer may cost.
    pub limits: ResponseLimits,
    /// What no message may show beside the secrets: ids of agents who must stay hidden.
    pub hidden: Vec<SecretString>,
    /// How many requests any 60 s may hold, those for tokens included.
    pub requests_per_minute: NonZeroU32,
}

/// What goes with the access key.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// An OAuth client: the password grant.
    Client {
        /// Its id.
        id: String,
        /// Its secret.
        secret: SecretString,
    },
    /// Nothing: the call that takes an access key alone, below this address.
    AccessKey(BaseUrl),
}

/// The client for one user's access key in one tenant. Its calls may run side by side; they share
/// one token and one budget.
#[derive(Debug)]
pub struct PlatformClient {
    http: HttpClient,
    tokens: Tokens<PlatformSignIn>,
    codes: KnownCodes,
    calls: Mutex<KnownCalls>,
    /// The agents that are asked for one by one.
    roster: Mutex<Roster>,
}

/// Which calls for the history the tenant has, and until when that is believed.
#[derive(Debug, Default)]
struct KnownCalls {
    calls: HistoryCalls,
    until: Monotonic,
}

/// Whether there is more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A page was read, and another one follows.
    More,
    /// All has been read.
    Done,
}

impl PlatformClient {
    /// A client that speaks over `transport` and notifies `observer` of every exchange.
    #[must_use]
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Clock,
        options: PlatformOptions,
        observer: Observer,
    ) -> Self {
        let PlatformOptions {
            issuer,
            base_url,
            version,
            access_key_id,
            access_key_secret,
            credentials,
            limits,
            hidden,
            requests_per_minute,
        } = options;
        let redactor = Redactor::default().and(&access_key_secret);
        let mut redactor = hidden.iter().fold(redactor, Redactor::and_id);
        let mut configured: Vec<&BaseUrl> = std::iter::once(&issuer).chain(&base_url).collect();
        let (signs_in_with, grant_type) = match &credentials {
            Credentials::Client { id, secret } => {
                redactor = redactor.and(secret);
                let grant_type =
                    GrantType::Password { client_id: id.clone(), client_secret: secret.clone() };
                (SignsInWith::AccessKeyAndClient, grant_type)
            }
            Credentials::AccessKey(base) => {
                configured.push(base);
                (SignsInWith::AccessKey, GrantType::AccessKey(base.clone()))
            }
        };
        let hosts = AllowedHosts::new(configured);
        let budget = Some(Budget::new(requests_per_minute, clock.clone()));
        let sign_in = PlatformSignIn {
            hosts,
            issuer,
            base_url,
            version,
            key_id: access_key_id,
            key_secret: access_key_secret,
            grant_type,
            found: Mutex::new(Discovered::default()),
        };
        let http =
            HttpClient { transport, clock, limits, observer, redactor, budget, signs_in_with };
        Self {
            http,
            tokens: Tokens::new(sign_in),
            codes: KnownCodes::default(),
            calls: Mutex::default(),
            roster: Mutex::default(),
        }
    }

    /// Gets a token, unless there is one that will do, and finds the tenant's API.
    ///
    /// # Errors
    /// When no token is granted, or the API's address is missing or not allowed.
    pub async fn sign_in(&self) -> Result<(), ApiError> {
        self.tokens.current(&self.http).await.map(drop)
    }

    /// Where the tenant's API is, once it is known.
    #[must_use]
    pub fn api(&self) -> Option<String> {
        self.tokens.source().api()
    }

    /// The time that requests have waited for the budget so far.
    #[must_use]
    pub fn budget_wait(&self) -> Duration {
        self.http.budget.as_ref().map_or(Duration::ZERO, Budget::waited)
    }

    /// How many requests of the budget there were in the last minute.
    #[must_use]
    pub fn budget_used(&self) -> usize {
        self.http.budget.as_ref().map_or(0, Budget::used)
    }

    /// One GET below the API's base, once, when the budget has a turn for it. Every element of the
    /// member `list` of the answer (whatever the case of its name) goes to `element` while it
    /// arrives; whoever called must forget them all if an error comes after them. 204 and 304 are
    /// answers without rows.
    ///
    /// # Errors
    /// When no token was granted, or the answer is not such a list.
    pub async fn list(
        &self,
        endpoint: ApiEndpoint,
        path: &str,
        query: &[(&str, &str)],
        list: &'static str,
        element: impl FnMut(Element<'_>) + Send,
    ) -> Result<Envelope, ApiError> {
        let ticket = self.http.queue(endpoint).await;
        let token = self.tokens.current(&self.http).await?;
        let limits = self.http.limits;
        let call =
            self.http.call_from(ticket, endpoint, limits.max_report_time, Some(&token)).await;
        let outcome = async {
            let api = self.api().expect("a token comes with the API's address");
            let mut url = format!("{api}{path}");
            if !query.is_empty() {
                url.push('?');
                url.push_str(
                    &url::form_urlencoded::Serializer::new(String::new())
                        .extend_pairs(query)
                        .finish(),
                );
            }
            let wanted =
                |status: &StatusCode| status.is_success() || *status == StatusCode::NOT_MODIFIED;
            let answer = call.send_expecting(call.get(&url, Some(&token))?, wanted).await?;
            if answer.status == StatusCode::NO_CONTENT || answer.status == StatusCode::NOT_MODIFIED
            {
                let no_content = answer.status == StatusCode::NO_CONTENT;
                return Ok(Envelope {
                    no_content,
                    not_modified: !no_content,
                    ..Envelope::default()
                });
            }
            let mut reader = ListReader::new(list, limits.max_rows, element);
            let mut feed =
                |piece: &[u8]| reader.feed(piece).map_err(|fault| at_fault(&call, &fault));
            call.body(answer, limits.max_report_bytes, &mut feed).await?;
            reader.finish().map_err(|fault| at_fault(&call, &fault))
        };
        let outcome = outcome.await;
        self.tokens.forget_if_refused(&token, outcome)
    }

    /// Begins to read what `request` asks for: all agents, or the one agent of a filter of type
    /// `user`.
    #[must_use]
    pub fn history<R: RowSink>(&self, request: HistoryRequest) -> Paging<R> {
        let known = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let believed = self.http.clock.now().instant < known.until;
        Paging::new(request, if believed { known.calls } else { HistoryCalls::default() })
    }

    /// Agents to ask for where each is asked for alone, even if they are no longer listed: each
    /// with when it was last reported, and from when on its history is still to be read, if that is
    /// before the window.
    pub fn remember(
        &self,
        agents: impl IntoIterator<Item = (String, Timestamp, Option<Timestamp>)>,
    ) {
        self.roster().remember(agents);
    }

    /// Makes the next request of `paging`, once. What it brings is in `paging` only when it was
    /// read whole, so an error costs one page.
    ///
    /// # Errors
    /// As [`PlatformClient::list`], and when the rows are too many. The same request comes next
    /// then.
    pub async fn page<R: RowSink>(&self, paging: &mut Paging<R>) -> Result<Progress, ApiError> {
        match paging.next() {
            NextRequest::Nothing => return Ok(Progress::Done),
            NextRequest::Agents { skip } => self.agents_page(paging, skip).await?,
            NextRequest::History { path, query, agent } => {
                self.history_page(paging, &path, &query, agent.as_deref()).await?
            }
        }
        Ok(if paging.next() == NextRequest::Nothing { Progress::Done } else { Progress::More })
    }

    async fn history_page<R: RowSink>(
        &self,
        paging: &mut Paging<R>,
        path: &str,
        query: &[(&str, String)],
        agent: Option<&str>,
    ) -> Result<(), ApiError> {
        let codes = self.codes().await?;
        let query: Vec<(&str, &str)> =
            query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut rows = R::default();
        let (mut newest, mut unknown) = (None, BTreeSet::new());
        let listing = self.list(ApiEndpoint::History, path, &query, history::LIST, |row| {
            unknown.extend(row.as_ref().and_then(|row| history::unknown_code(row, &codes)));
            match history::read(&row, agent, &codes) {
                Ok(row) => {
                    newest = newest.max(Some(row.from));
                    rows.row(&row);
                }
                Err(reason) => rows.reject(reason.into()),
            }
        });
        let page = match listing.await {
            Ok(page) => page,
            Err(error) if is_missing(&error) && paging.missing() => {
                tracing::debug!(
                    "a call for the history is not there, so another one is tried: {error}"
                );
                paging.note_answers(&mut self.roster());
                return Ok(());
            }
            Err(error) => {
                let error = error.rejecting_dates();
                let Window { from, to } = paging.asked_about();
                let is_of_dates =
                    matches!(error.kind, ErrorKind::Rejected | ErrorKind::UnexpectedStatus);
                return Err(if is_of_dates {
                    error.adding(&format!("asked was about {from} to {to}"))
                } else {
                    error
                });
            }
        };
        // The same page comes next, and is read by newer codes.
        if self.seek_codes(unknown) {
            return Ok(());
        }
        self.not_too_many(ApiEndpoint::History, paging.count.saturating_add(page.rows))?;
        paging.page(&page)?;
        paging.rows.append(rows);
        self.note_calls(paging.calls());
        let mut roster = self.roster();
        if let (Some(agent), Some(newest), true) = (agent, newest, paging.is_of_many()) {
            roster.saw(agent, newest);
        }
        paging.note_answers(&mut roster);
        Ok(())
    }

    async fn agents_page<R: RowSink>(
        &self,
        paging: &mut Paging<R>,
        skip: u64,
    ) -> Result<(), ApiError> {
        let (page, ids) = self.list_agents(skip).await?;
        self.not_too_many(ApiEndpoint::States, skip.saturating_add(page.rows))?;
        paging.agents(&page, ids, &mut self.roster())
    }

    /// One page of the agents' ids.
    async fn list_agents(&self, skip: u64) -> Result<(Envelope, Vec<String>), ApiError> {
        let skip = skip.to_string();
        let mut ids = Vec::new();
        let query = [("fields", "agentId"), ("skip", skip.as_str())];
        let page = self.list(ApiEndpoint::States, STATES_PATH, &query, STATES_LIST, |row| {
            ids.extend(
                row.and_then(|row| row.text("agentId").map(|id| id.trim().to_owned()))
                    .filter(|id| !id.is_empty()),
            );
        });
        let page = page.await?;
        Ok((page, ids))
    }

    /// # Errors
    /// When `rows`, over all pages, are more than the limit.
    fn not_too_many(&self, endpoint: ApiEndpoint, rows: u64) -> Result<(), ApiError> {
        let most = self.http.limits.max_rows;
        if rows <= most {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorKind::TooLarge,
            endpoint,
            format!("all pages together have more than {most} rows"),
        ))
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        // Nothing can panic halfway through a change of it.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_calls(&self, calls: HistoryCalls) {
        let now = self.http.clock.now().instant;
        let mut known = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if known.calls != calls || now >= known.until {
            *known = KnownCalls { calls, until: now.plus(CALLS_LIFE) };
        }
    }
}

/// Whether the call, or what it names, is not there.
fn is_missing(error: &ApiError) -> bool {
    matches!(error.status, Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED))
}
