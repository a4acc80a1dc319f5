//! The APIs in front of the floor: one request in, one answer out.

mod answer;
mod jobs;
mod oauth;
mod platform;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use secrecy::SecretString;

use cxone_core::time::{Timestamp, Window};

use super::counters::Counters;
use super::endpoint::ApiEndpoint;
use super::faults::{Faults, Injection, Injections, RequestFault};
use super::floor::{ActualTotals, Floor, FloorOptions};
use super::platform::HistoryRows;
use super::random::hash;
use super::rows::{OpenEnd, ReportRows};
pub use answer::{Delivery, SimulatedResponse};
use answer::{Reply, method_not_allowed};
use jobs::Jobs;
use oauth::Tokens;
use platform::Call;

/// The path of submits; a poll's has `/` and the job's id after it.
const REPORTS: &str = "/api/v2/reports";

/// What the simulated tenant is like.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// Everything that looks like chance follows from it.
    pub seed: u64,
    /// How many agents there are.
    pub agents: u32,
    /// How many times faster than in life agents change state.
    pub pace: NonZeroU32,
    /// The client id that gets tokens.
    pub client_id: String,
    /// The client secret that goes with it.
    pub client_secret: SecretString,
    /// The access key's id, for tokens of the platform.
    pub access_key_id: String,
    /// The access key's secret.
    pub access_key_secret: SecretString,
    /// Whether the client may have tokens; else 403.
    pub client_enabled: bool,
    /// Whether the client has the scope `reports:read` and the role for the platform's calls; else
    /// 403 for every report and call.
    pub scope_granted: bool,
    /// How long a token is good for, in whole seconds.
    pub token_life: Duration,
    /// Report jobs that are accepted in any 60 s.
    pub report_jobs_per_minute: u32,
    /// From submit to data. A job is PENDING for the first quarter of it, then RUNNING.
    pub job_time: Duration,
    /// How long a job is kept after it was submitted.
    pub job_life: Duration,
    /// What the rows of a report stand for.
    pub rows: ReportRows,
    /// How a row says that its visit goes on.
    pub open_end: OpenEnd,
    /// The longest window of a report; a longer one is refused with 422.
    pub max_window: Duration,
    /// How far back history can be asked for: a report of an earlier window is refused with 422, a
    /// call leaves earlier rows out. `None`: without limit.
    pub retention: Option<Duration>,
    /// The most rows of a report; a job with more of them fails.
    pub max_rows: usize,
    /// The origin of `statusUrl`, such as `https://elsewhere.example`; `None`: the one that the
    /// submit was sent to.
    pub status_url_origin: Option<String>,
    /// Calls of the platform's API that are answered in any 60 s. `None`: all.
    pub calls_per_minute: Option<NonZeroU32>,
    /// The most rows of a page of the platform's API.
    pub page_rows: usize,
    /// Which rows the platform's history of a span of time has.
    pub history: HistoryRows,
    /// The base of the platform's API that discovery tells; `None`: the origin that was asked.
    pub api_endpoint: Option<String>,
    /// What goes wrong.
    pub faults: Faults,
}

impl Default for SimulatorOptions {
    /// A tenant as the documentation describes it: whole intervals, 10 jobs a minute, tokens of 20
    /// minutes, nothing goes wrong.
    fn default() -> Self {
        let floor = FloorOptions::default();
        Self {
            seed: floor.seed,
            agents: floor.agents,
            pace: floor.pace,
            client_id: "simulated-client".to_owned(),
            client_secret: SecretString::from("simulated-secret"),
            access_key_id: "simulated-key".to_owned(),
            access_key_secret: SecretString::from("simulated-key-secret=="),
            client_enabled: true,
            scope_granted: true,
            token_life: Duration::from_secs(1200),
            report_jobs_per_minute: 10,
            job_time: Duration::from_secs(4),
            job_life: Duration::from_hours(1),
            rows: ReportRows::WholeIntervals,
            open_end: OpenEnd::Absent,
            max_window: Duration::from_hours(31 * 24),
            retention: None,
            max_rows: 1_000_000,
            status_url_origin: None,
            calls_per_minute: None,
            page_rows: 10_000,
            history: HistoryRows::Touching,
            api_endpoint: None,
            faults: Faults::default(),
        }
    }
}

/// A simulated contact centre with its API. Shared by reference; every request is one call of
/// [`Simulator::handle`].
pub struct Simulator {
    options: SimulatorOptions,
    floor: Floor,
    desk: Mutex<Desk>,
}

/// What changes from request to request.
struct Desk {
    requests: u64,
    faults: Faults,
    injections: Injections,
    tokens: Tokens,
    platform_tokens: Tokens,
    jobs: Jobs,
    counters: Counters,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Simulator {
    /// The simulator of a tenant like this.
    #[must_use]
    pub fn new(options: SimulatorOptions) -> Self {
        let floor = Floor::new(FloorOptions {
            seed: options.seed,
            agents: options.agents,
            pace: options.pace,
        });
        let desk = Desk {
            requests: 0,
            faults: options.faults.clone(),
            injections: Injections::default(),
            tokens: Tokens::default(),
            platform_tokens: Tokens::default(),
            jobs: Jobs::default(),
            counters: Counters::default(),
        };
        Self { options, floor, desk: Mutex::new(desk) }
    }

    /// What the tenant is like. The faults are those that it began with.
    #[must_use]
    pub fn options(&self) -> &SimulatorOptions {
        &self.options
    }

    /// The floor that the reports tell of.
    #[must_use]
    pub fn floor(&self) -> &Floor {
        &self.floor
    }

    /// What really happened in `window`, whatever goes wrong with the reports.
    #[must_use]
    pub fn actual_totals(&self, window: Window) -> Vec<ActualTotals> {
        self.floor.actual_totals(window)
    }

    /// What really happened in `window` in the platform's words, whatever goes wrong with its
    /// answers.
    #[must_use]
    pub fn platform_totals(&self, window: Window) -> Vec<ActualTotals> {
        self.floor.platform_totals(window)
    }

    /// What was asked so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.desk().counters.clone()
    }

    /// From now on these things go wrong, and no others but the injected ones.
    pub fn set_faults(&self, faults: Faults) {
        self.desk().faults = faults;
    }

    /// Makes the next requests go wrong; earlier injections of the same kind are used up first.
    pub fn inject(&self, injection: Injection) {
        self.desk().injections.add(injection);
    }

    /// Makes every token worthless that was handed out so far.
    pub fn revoke_tokens(&self) {
        let mut desk = self.desk();
        desk.tokens.revoke_all();
        desk.platform_tokens.revoke_all();
    }

    /// Answers `request`, which came at `now`.
    #[must_use]
    pub fn handle(&self, now: Timestamp, request: &Request<Bytes>) -> SimulatedResponse {
        let endpoint = endpoint(request);
        let (number, fault) = self.desk().begin(self.options.seed, endpoint);
        let chance = hash(self.options.seed, &[number, 6]);
        let reply = self
            .refuse(now, request, endpoint, fault, chance)
            .unwrap_or_else(|| self.serve(now, request, fault, chance));
        let faults = self.desk().faults.clone();
        answer::deliver(now, reply, fault, &faults, chance)
    }

    /// What a fault answers in place of the API, before anything is done.
    fn refuse(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        endpoint: ApiEndpoint,
        fault: Option<RequestFault>,
        chance: u64,
    ) -> Option<Reply> {
        let mut desk = self.desk();
        let reply = match fault? {
            RequestFault::Throttle => {
                answer::throttled(Some(answer::seconds(desk.faults.retry_after)))
            }
            RequestFault::ThrottleDate => {
                answer::throttled(Some(answer::http_date(now.plus(desk.faults.retry_after), true)))
            }
            RequestFault::ThrottleBare => answer::throttled(None),
            RequestFault::ServerError => answer::server_error(chance),
            RequestFault::Revoke => {
                desk.tokens.revoke(request);
                desk.platform_tokens.revoke(request);
                answer::unauthorized()
            }
            RequestFault::Cut
            | RequestFault::Drop
            | RequestFault::NotJson
            | RequestFault::Slow
            | RequestFault::NoId
            | RequestFault::Fail
            | RequestFault::Endless
            | RequestFault::UnknownStatus
            | RequestFault::Lose
            | RequestFault::NoData => return None,
        };
        if endpoint == ApiEndpoint::Submit {
            desk.counters.submitted(super::counters::SubmitRecord { at: now, accepted: false });
        }
        Some(reply)
    }

    /// What the API answers.
    fn serve(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        fault: Option<RequestFault>,
        chance: u64,
    ) -> Reply {
        let path = request.uri().path();
        if let Some(call) = Call::at(path) {
            return self.platform(now, request, &call, chance);
        }
        match (path, request.method()) {
            ("/oauth/token", &Method::POST) => self.issue_token(now, request),
            ("/oauth/token", _) => method_not_allowed("POST"),
            (REPORTS, &Method::POST) => self.submit(now, request, fault),
            (REPORTS, _) => method_not_allowed("POST"),
            _ => match (job_id(path), request.method()) {
                (Some(id), &Method::GET) => self.poll(now, request, id, fault),
                (Some(_), _) => method_not_allowed("GET"),
                (None, _) => Reply::refusal(
                    StatusCode::NOT_FOUND,
                    "not_found",
                    "There is nothing at this path.",
                ),
            },
        }
    }

    /// Held for moments only: no answer is made while others wait.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    /// Counts a request: its number, and the fault that it is to have.
    fn begin(&mut self, seed: u64, endpoint: ApiEndpoint) -> (u64, Option<RequestFault>) {
        let number = self.requests;
        self.requests += 1;
        *self.counters.requests.entry(endpoint).or_default() += 1;
        let fault = self
            .injections
            .take(endpoint)
            .or_else(|| self.faults.of_request(seed, number, endpoint));
        if let Some(fault) = fault {
            *self.counters.faults.entry(fault).or_default() += 1;
        }
        (number, fault)
    }
}

fn endpoint(request: &Request<Bytes>) -> ApiEndpoint {
    let path = request.uri().path();
    if let Some(call) = Call::at(path) {
        return call.endpoint();
    }
    match (path, request.method()) {
        ("/oauth/token", &Method::POST) => ApiEndpoint::Token,
        (REPORTS, &Method::POST) => ApiEndpoint::Submit,
        (_, &Method::GET) if job_id(path).is_some() => ApiEndpoint::Poll,
        _ => ApiEndpoint::Other,
    }
}

/// The job that `path` speaks of.
fn job_id(path: &str) -> Option<&str> {
    path.strip_prefix(REPORTS)?.strip_prefix('/').filter(|id| !id.is_empty() && !id.contains('/'))
}

#[cfg(test)]
mod tests;
