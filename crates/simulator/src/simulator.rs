//! The simulator: one request in, one answer out.

use std::fmt;

use bytes::Bytes;
use http::{Method, Request, StatusCode};

use cxone_core::time::Timestamp;

use crate::counters::{Counters, SubmitRecord};
use crate::endpoint::SimulatedEndpoint;
use crate::faults::{Faults, Injection, RequestFault};
use crate::floor::Floor;
use crate::options::SimulatorOptions;
use crate::platform::PlatformRoute;
use crate::random::hash;
use crate::reports::{REPORTS, job_id};
use crate::response::{
    ApiReply, SimulatedResponse, deliver, http_date, method_not_allowed, seconds, server_error,
    throttled, unauthorized,
};
use crate::tenant::SimulatedTenant;

/// A simulated tenant with its APIs. Shared by reference; every request is one call of
/// [`Simulator::handle`].
pub struct Simulator {
    tenant: SimulatedTenant,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("options", self.options()).finish_non_exhaustive()
    }
}

impl Simulator {
    /// The simulator of a tenant like this.
    #[must_use]
    pub fn new(options: SimulatorOptions) -> Self {
        Self { tenant: SimulatedTenant::new(options) }
    }

    /// What the tenant is like. The faults are the initial ones.
    #[must_use]
    pub fn options(&self) -> &SimulatorOptions {
        self.tenant.options()
    }

    /// The floor that the APIs report on.
    #[must_use]
    pub fn floor(&self) -> &Floor {
        self.tenant.floor()
    }

    /// The requests so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.tenant.state().counters.clone()
    }

    /// Replaces the faults; injections stay.
    pub fn set_faults(&self, faults: Faults) {
        self.tenant.state().faults = faults;
    }

    /// Makes the next requests fail, after those of earlier injections.
    pub fn inject(&self, injection: Injection) {
        self.tenant.state().injections.add(injection);
    }

    /// Revokes every token issued so far.
    pub fn revoke_tokens(&self) {
        let mut state = self.tenant.state();
        state.report_tokens.revoke_all();
        state.platform_tokens.revoke_all();
    }

    /// Answers `request`, which arrived at `now`.
    #[must_use]
    pub fn handle(&self, now: Timestamp, request: &Request<Bytes>) -> SimulatedResponse {
        let endpoint = endpoint(request);
        let (number, fault) = self.tenant.state().begin(self.options().seed, endpoint);
        let chance = hash(self.options().seed, &[number, 6]);
        let reply = fault
            .and_then(|fault| self.fail(now, request, endpoint, fault, chance))
            .unwrap_or_else(|| self.serve(now, request, fault, chance));
        deliver(now, reply, fault, &self.tenant.state().faults, chance)
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
        let mut state = self.tenant.state();
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
            return self.tenant.platform(now, request, &route, chance);
        }
        match (path, request.method()) {
            ("/oauth/token", &Method::POST) => self.tenant.report_token(now, request),
            (REPORTS, &Method::POST) => self.tenant.submit(now, request, fault),
            ("/oauth/token" | REPORTS, _) => method_not_allowed("POST"),
            _ => match (job_id(path), request.method()) {
                (Some(id), &Method::GET) => self.tenant.poll(now, request, id, fault),
                (Some(_), _) => method_not_allowed("GET"),
                (None, _) => {
                    let message = "There is nothing at this path.";
                    ApiReply::error(StatusCode::NOT_FOUND, "not_found", message)
                }
            },
        }
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
