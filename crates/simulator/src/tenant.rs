//! What the APIs of the simulated tenant share: its options, its floor and its state.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cxone_core::time::Timestamp;

use crate::counters::Counters;
use crate::endpoint::SimulatedEndpoint;
use crate::faults::{Faults, Injections, RequestFault};
use crate::floor::{Floor, FloorOptions};
use crate::jobs::ReportJobs;
use crate::oauth::IssuedTokens;
use crate::options::SimulatorOptions;
use crate::random::hash;

/// What both APIs answer from. Each API adds its calls in its own file.
pub(crate) struct SimulatedTenant {
    options: SimulatorOptions,
    floor: Floor,
    state: Mutex<TenantState>,
}

/// What changes from request to request.
#[derive(Default)]
pub(crate) struct TenantState {
    requests: u64,
    pub(crate) faults: Faults,
    pub(crate) injections: Injections,
    pub(crate) report_tokens: IssuedTokens,
    pub(crate) platform_tokens: IssuedTokens,
    pub(crate) jobs: ReportJobs,
    pub(crate) counters: Counters,
}

impl SimulatedTenant {
    pub(crate) fn new(options: SimulatorOptions) -> Self {
        let SimulatorOptions { seed, agents, pace, .. } = options;
        let floor = Floor::new(FloorOptions { seed, agents, pace });
        let state = TenantState { faults: options.faults.clone(), ..Default::default() };
        Self { options, floor, state: Mutex::new(state) }
    }

    pub(crate) fn options(&self) -> &SimulatorOptions {
        &self.options
    }

    pub(crate) fn floor(&self) -> &Floor {
        &self.floor
    }

    /// Never held while an answer is made: others would wait.
    pub(crate) fn state(&self) -> MutexGuard<'_, TenantState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts another token and makes up two numbers for it.
    pub(crate) fn token_numbers(&self, now: Timestamp, api: u64) -> (u64, u64) {
        let mut state = self.state();
        state.counters.tokens_issued += 1;
        let parts = [state.counters.tokens_issued, now.millis().cast_unsigned(), api];
        let seed = self.options().seed;
        (hash(seed, &parts), hash(!seed, &parts))
    }
}

impl TenantState {
    /// Counts a request; returns its number and its fault.
    pub(crate) fn begin(
        &mut self,
        seed: u64,
        endpoint: SimulatedEndpoint,
    ) -> (u64, Option<RequestFault>) {
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
