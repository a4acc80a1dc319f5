//! The simulated tenant: one request in, one answer out.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use secrecy::SecretString;

use cxone_core::time::Timestamp;

use crate::counters::{Counters, SubmitRecord};
use crate::endpoint::SimulatedEndpoint;
use crate::faults::{Faults, Injection, Injections, RequestFault};
use crate::floor::{Floor, FloorOptions};
use crate::oauth::IssuedTokens;
use crate::platform::{HistoryRows, PlatformRoute};
use crate::random::hash;
use crate::reports::{OpenEnd, REPORTS, ReportJobs, ReportRows, job_id};
use crate::response::{
    ApiReply, SimulatedResponse, deliver, http_date, method_not_allowed, seconds, server_error,
    throttled, unauthorized,
};

/// What the simulated tenant is like.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// All chance follows from it.
    pub seed: u64,
    /// How many agents there are.
    pub agents: u32,
    /// How many times faster than real agents these change state.
    pub pace: NonZeroU32,
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: SecretString,
    /// The id of the access key, for the platform API.
    pub access_key_id: String,
    /// The secret of the access key.
    pub access_key_secret: SecretString,
    /// Whether the client gets tokens; else 403.
    pub client_enabled: bool,
    /// Whether the client has the scope `reports:read` and a role for the platform API; else 403
    /// for every report and call.
    pub scope_granted: bool,
    /// How long a token is valid, in whole seconds.
    pub token_life: Duration,
    /// Report jobs that are accepted in any 60 s.
    pub report_jobs_per_minute: u32,
    /// From submit to data. A job is PENDING for the first quarter of it, then RUNNING.
    pub job_time: Duration,
    /// How long a job is known after its submit.
    pub job_life: Duration,
    /// What a row of a report is.
    pub rows: ReportRows,
    /// How a row says that its visit has not ended.
    pub open_end: OpenEnd,
    /// The longest window of a report; a longer one is rejected with 422.
    pub max_window: Duration,
    /// How far back history is kept: a report of an earlier window is rejected with 422, a call of
    /// the platform API omits earlier rows. `None`: without limit.
    pub retention: Option<Duration>,
    /// The most rows of a report; a job with more of them fails.
    pub max_rows: usize,
    /// The origin of `statusUrl`, such as `https://elsewhere.example`; `None`: that of the submit.
    pub status_url_origin: Option<String>,
    /// Calls of the platform API that are answered in any 60 s. `None`: all.
    pub calls_per_minute: Option<NonZeroU32>,
    /// The most rows of a page of the platform API.
    pub page_rows: usize,
    /// Which rows the history of the platform API has.
    pub history: HistoryRows,
    /// The base URL of the platform API that discovery reports; `None`: the origin of the request.
    pub api_endpoint: Option<String>,
    /// What goes wrong on purpose.
    pub faults: Faults,
}

impl Default for SimulatorOptions {
    /// A tenant as CXone documents it: whole intervals, 10 jobs a minute, tokens valid for 20
    /// minutes, no faults.
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

/// A simulated tenant with its APIs. Shared by reference; every request is one call of
/// [`Simulator::handle`].
pub struct Simulator {
    options: SimulatorOptions,
    floor: Floor,
    state: Mutex<SimulatorState>,
}

/// What changes from request to request.
#[derive(Default)]
pub(crate) struct SimulatorState {
    requests: u64,
    pub(crate) faults: Faults,
    injections: Injections,
    pub(crate) report_tokens: IssuedTokens,
    pub(crate) platform_tokens: IssuedTokens,
    pub(crate) jobs: ReportJobs,
    pub(crate) counters: Counters,
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
        let SimulatorOptions { seed, agents, pace, .. } = options;
        let floor = Floor::new(FloorOptions { seed, agents, pace });
        let state = SimulatorState { faults: options.faults.clone(), ..Default::default() };
        Self { options, floor, state: Mutex::new(state) }
    }

    /// What the tenant is like. The faults are the initial ones.
    #[must_use]
    pub fn options(&self) -> &SimulatorOptions {
        &self.options
    }

    /// The floor that the APIs report on.
    #[must_use]
    pub fn floor(&self) -> &Floor {
        &self.floor
    }

    /// The requests so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.state().counters.clone()
    }

    /// Replaces the faults; injections stay.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Makes the next requests fail, after those of earlier injections.
    pub fn inject(&self, injection: Injection) {
        self.state().injections.add(injection);
    }

    /// Revokes every token issued so far.
    pub fn revoke_tokens(&self) {
        let mut state = self.state();
        state.report_tokens.revoke_all();
        state.platform_tokens.revoke_all();
    }

    /// Answers `request`, which arrived at `now`.
    #[must_use]
    pub fn handle(&self, now: Timestamp, request: &Request<Bytes>) -> SimulatedResponse {
        let endpoint = endpoint(request);
        let (number, fault) = self.state().begin(self.options.seed, endpoint);
        let chance = hash(self.options.seed, &[number, 6]);
        let reply = fault
            .and_then(|fault| self.fail(now, request, endpoint, fault, chance))
            .unwrap_or_else(|| self.serve(now, request, fault, chance));
        deliver(now, reply, fault, &self.state().faults, chance)
    }

    /// What a fault answers instead of the API, before anything is done.
    fn fail(
        &self,
        now: Timestamp,
        request: &Request<Bytes>,
        endpoint: SimulatedEndpoint,
        fault: RequestFault,
        chance: u64,
    ) -> Option<ApiReply> {
        let mut state = self.state();
        let reply = match fault {
            RequestFault::Throttle => throttled(Some(seconds(state.faults.retry_after))),
            RequestFault::ThrottleDate => {
                throttled(Some(http_date(now.plus(state.faults.retry_after), true)))
            }
            RequestFault::ThrottleBare => throttled(None),
            RequestFault::ServerError => server_error(chance),
            RequestFault::Revoke => {
                state.report_tokens.revoke(request);
                state.platform_tokens.revoke(request);
                unauthorized()
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
        if endpoint == SimulatedEndpoint::Submit {
            state.counters.submitted(SubmitRecord { at: now, accepted: false });
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
    ) -> ApiReply {
        let path = request.uri().path();
        if let Some(route) = PlatformRoute::parse(path) {
            return self.platform(now, request, &route, chance);
        }
        match (path, request.method()) {
            ("/oauth/token", &Method::POST) => self.report_token(now, request),
            (REPORTS, &Method::POST) => self.submit(now, request, fault),
            ("/oauth/token" | REPORTS, _) => method_not_allowed("POST"),
            _ => match (job_id(path), request.method()) {
                (Some(id), &Method::GET) => self.poll(now, request, id, fault),
                (Some(_), _) => method_not_allowed("GET"),
                (None, _) => {
                    let message = "There is nothing at this path.";
                    ApiReply::error(StatusCode::NOT_FOUND, "not_found", message)
                }
            },
        }
    }

    /// Never held while an answer is made: others would wait.
    pub(crate) fn state(&self) -> MutexGuard<'_, SimulatorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimulatorState {
    /// Counts a request; returns its number and its fault.
    fn begin(&mut self, seed: u64, endpoint: SimulatedEndpoint) -> (u64, Option<RequestFault>) {
        let number = self.requests;
        self.requests += 1;
        *self.counters.requests.entry(endpoint).or_default() += 1;
        let fault = self
            .injections
            .take(endpoint)
            .or_else(|| self.faults.request_fault(seed, number, endpoint));
        if let Some(fault) = fault {
            *self.counters.faults.entry(fault).or_default() += 1;
        }
        (number, fault)
    }
}

fn endpoint(request: &Request<Bytes>) -> SimulatedEndpoint {
    let path = request.uri().path();
    if let Some(route) = PlatformRoute::parse(path) {
        return route.endpoint();
    }
    match (path, request.method()) {
        ("/oauth/token", &Method::POST) => SimulatedEndpoint::Token,
        (REPORTS, &Method::POST) => SimulatedEndpoint::Submit,
        (_, &Method::GET) if job_id(path).is_some() => SimulatedEndpoint::Poll,
        _ => SimulatedEndpoint::Other,
    }
}

#[cfg(test)]
mod tests;
