//! What was asked of the simulator, for tests and for the curious.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use cxone_core::time::Timestamp;

use super::endpoint::ApiEndpoint;
use super::faults::RequestFault;

/// The span that the quota speaks of.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// How many of the newest submits, and of the newest calls, are kept with their times.
const KEPT: usize = 100_000;

/// One request to submit a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubmitRecord {
    /// When it came.
    pub at: Timestamp,
    /// Whether a job was made; also when the answer that said so was lost on the way.
    pub accepted: bool,
}

/// One call of the platform's API, tokens and discovery left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// When it came.
    pub at: Timestamp,
    /// What it was addressed to.
    pub endpoint: ApiEndpoint,
}

/// What was asked so far.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// The newest submits, 100,000 at most, the oldest first.
    pub submits: VecDeque<SubmitRecord>,
    /// Submits that became a job.
    pub accepted: u64,
    /// Submits that did not, whatever the reason.
    pub rejected: u64,
    /// Submits that were refused because the minute was full.
    pub over_quota: u64,
    /// The most submits that became a job in any 60 s.
    pub max_accepted_per_minute: usize,
    /// The most submits, accepted or rejected, in any 60 s.
    pub max_submits_per_minute: usize,
    /// Tokens that were handed out.
    pub tokens_issued: u64,
    /// Requests by what they were addressed to.
    pub requests: BTreeMap<ApiEndpoint, u64>,
    /// Faults that happened to requests and jobs.
    pub faults: BTreeMap<RequestFault, u64>,
    /// The newest calls of the platform's API, 100,000 at most, the oldest first.
    pub calls: VecDeque<CallRecord>,
    /// The most of them in any 60 s.
    pub max_calls_per_minute: usize,
    /// Calls of the platform's API that were refused because the minute was full.
    pub calls_over_quota: u64,
    last_minute: RollingMinute,
    accepted_in_last_minute: RollingMinute,
    calls_in_last_minute: RollingMinute,
}

impl Counters {
    /// How many requests were addressed to `endpoint`.
    #[must_use]
    pub fn requests_to(&self, endpoint: ApiEndpoint) -> u64 {
        self.requests.get(&endpoint).copied().unwrap_or(0)
    }

    /// How often `fault` happened.
    #[must_use]
    pub fn fault_count(&self, fault: RequestFault) -> u64 {
        self.faults.get(&fault).copied().unwrap_or(0)
    }

    /// How long until another job may be accepted; `None` when one may be now.
    pub(super) fn wait_for_quota(
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

    /// Takes note of a call of the platform's API: how many there were in the last 60 s, with it.
    pub(super) fn called(&mut self, call: CallRecord) -> usize {
        if self.calls.len() == KEPT {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
        let calls = self.calls_in_last_minute.add(call.at);
        self.max_calls_per_minute = self.max_calls_per_minute.max(calls);
        calls
    }

    pub(super) fn submitted(&mut self, submit: SubmitRecord) {
        if self.submits.len() == KEPT {
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

/// Moments of the last 60 s: a moment is out when 60 s have passed.
#[derive(Clone, Debug, Default)]
struct RollingMinute(VecDeque<Timestamp>);

impl RollingMinute {
    /// Adds `now` and tells how many there are.
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
