//! What the simulator was asked so far.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cxone_core::time::Timestamp;

use crate::endpoint::SimulatedEndpoint;
use crate::faults::RequestFault;

/// The span of the quota.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// How many of the newest submits, and of the newest calls, are kept.
const MAX_RECORDS: usize = 100_000;

/// One request to submit a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitRecord {
    /// When it arrived.
    pub at: Timestamp,
    /// Whether a job was created, even if the answer was lost on the way.
    pub accepted: bool,
}

/// One call of the platform API, tokens and discovery left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// When it arrived.
    pub at: Timestamp,
    /// Its endpoint.
    pub endpoint: SimulatedEndpoint,
}

/// Requests and faults so far.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// The newest submits, 100,000 at most, the oldest first.
    pub submits: VecDeque<SubmitRecord>,
    /// Submits that were accepted.
    pub accepted: u64,
    /// Submits that were rejected, for any reason.
    pub rejected: u64,
    /// Submits that were rejected because the quota was used up.
    pub over_quota: u64,
    /// The most submits that were accepted in any 60 s.
    pub max_accepted_per_minute: usize,
    /// The most submits, accepted or rejected, in any 60 s.
    pub max_submits_per_minute: usize,
    /// Tokens issued.
    pub tokens_issued: u64,
    /// Requests by endpoint.
    pub requests: BTreeMap<SimulatedEndpoint, u64>,
    /// Faults of requests and jobs.
    pub faults: BTreeMap<RequestFault, u64>,
    /// The newest calls of the platform API, 100,000 at most, the oldest first.
    pub calls: VecDeque<CallRecord>,
    /// The most of them in any 60 s.
    pub max_calls_per_minute: usize,
    /// Calls of the platform API that were rejected because the quota was used up.
    pub calls_over_quota: u64,
    last_minute: RollingMinute,
    accepted_in_last_minute: RollingMinute,
    calls_in_last_minute: RollingMinute,
}

impl Counters {
    /// Requests to `endpoint`.
    #[must_use]
    pub fn requests_to(&self, endpoint: SimulatedEndpoint) -> u64 {
        self.requests.get(&endpoint).copied().unwrap_or(0)
    }

    /// How often `fault` occurred.
    #[must_use]
    pub fn fault_count(&self, fault: RequestFault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// How long until another job may be accepted; `None` when one may be now.
    pub(crate) fn wait_for_quota(
        &mut self,
        now: Timestamp,
        jobs_per_minute: usize,
    ) -> Option<Duration> {
        self.accepted_in_last_minute.forget_before(now);
        let accepted = &self.accepted_in_last_minute.0;
        if accepted.len() < jobs_per_minute {
            return None;
        }
        Some(accepted.front().map_or(MINUTE, |oldest| oldest.plus(MINUTE).since(now)))
    }

    /// Records a call of the platform API; returns the number of calls in the last 60 s.
    pub(crate) fn called(&mut self, call: CallRecord) -> usize {
        if self.calls.len() == MAX_RECORDS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
        let calls = self.calls_in_last_minute.add(call.at);
        self.max_calls_per_minute = self.max_calls_per_minute.max(calls);
        calls
    }

    pub(crate) fn submitted(&mut self, submit: SubmitRecord) {
        if self.submits.len() == MAX_RECORDS {
            self.submits.pop_front();
        }
        self.submits.push_back(submit);
        self.max_submits_per_minute =
            self.max_submits_per_minute.max(self.last_minute.add(submit.at));
        if submit.accepted {
            self.accepted += 1;
            self.max_accepted_per_minute =
                self.max_accepted_per_minute.max(self.accepted_in_last_minute.add(submit.at));
        } else {
            self.rejected += 1;
        }
    }
}

/// The moments of the last 60 s.
#[derive(Clone, Debug, Default)]
struct RollingMinute(VecDeque<Timestamp>);

impl RollingMinute {
    /// Adds `now` and returns how many there are.
    fn add(&mut self, now: Timestamp) -> usize {
        self.forget_before(now);
        self.0.push_back(now);
        self.0.len()
    }

    fn forget_before(&mut self, now: Timestamp) {
        while self.0.front().is_some_and(|oldest| oldest.plus(MINUTE) <= now) {
            self.0.pop_front();
        }
    }
}
