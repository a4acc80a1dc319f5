//! The simulated tenant: one request in, one answer out.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use cxone_core::time::Timestamp;

use crate::counters::{Counters, SubmitRecord};
use crate::endpoint::SimulatedEndpoint;
use crate::faults::{Faults, Injection, Injections, RequestFault};
use crate::floor::{Floor, FloorOptions};
use crate::jobs::ReportJobs;
use crate::oauth::IssuedTokens;
use crate::options::SimulatorOptions;
use crate::platform::PlatformRoute;
use crate::random::hash;
use crate::reports::{REPORTS, job_id};
use crate::response::{
    ApiReply, SimulatedResponse, deliver, http_date, method_not_allowed, seconds, server_error,
    throttled, unauthorized,
};

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
