//! The report jobs that were accepted, and what each is about.

use std::collections::VecDeque;
use std::time::Duration;

use cxone_core::time::{Timestamp, Window};

use crate::floor::AgentProfile;

/// The known jobs, the oldest first.
#[derive(Default)]
pub(crate) struct ReportJobs(VecDeque<ReportJob>);

#[derive(Clone)]
pub(crate) struct ReportJob {
    pub(crate) id: String,
    pub(crate) query: ReportQuery,
    pub(crate) outcome: SimulatedOutcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SimulatedOutcome {
    Completes,
    Fails,
    NeverEnds,
}

impl ReportJobs {
    /// Adds `job` and forgets those that are older by `life` or more.
    pub(crate) fn add(&mut self, job: ReportJob, life: Duration) {
        let now = job.query.submitted_at;
        let expired = |job: &ReportJob| job.query.submitted_at.plus(life) <= now;
        while self.0.front().is_some_and(expired) {
            self.0.pop_front();
        }
        self.0.push_back(job);
    }

    pub(crate) fn find(&self, id: &str) -> Option<&ReportJob> {
        self.0.iter().rev().find(|job| job.id == id)
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.0.retain(|job| job.id != id);
    }
}

/// What one report is about. It says what was known at its submit.
#[derive(Clone, Debug)]
pub(crate) struct ReportQuery {
    pub(crate) submitted_at: Timestamp,
    pub(crate) window: Window,
    pub(crate) filter: AgentFilter,
    /// The job's number, for what is by chance.
    pub(crate) job: u64,
}

/// Which agents a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentFilter {
    /// One agent, by id.
    User(String),
    /// One team, by id.
    Team(String),
    All,
}

impl AgentFilter {
    pub(crate) fn matches(&self, agent: &AgentProfile) -> bool {
        match self {
            Self::User(id) => agent.id == *id,
            Self::Team(id) => agent.team == *id,
            Self::All => true,
        }
    }
}
