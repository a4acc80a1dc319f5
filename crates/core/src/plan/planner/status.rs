//! How the targets are doing, by the plan.

use std::time::Duration;

use super::{Planner, TargetPlan};
use crate::counts::TargetId;
use crate::page::status::JobEnd;
use crate::plan::fetch::JobError;
use crate::time::{Monotonic, Now};

/// A target is stale only after this many of its planned cycles.
const STALE_CYCLES: u32 = 3;

/// How a target is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPlanStatus {
    /// Whether its newest finished job succeeded.
    pub up: bool,
    /// When a job of it last succeeded.
    pub last_success: Option<Now>,
    /// Its newest finished job, if it ended under this plan.
    pub last_job: Option<JobEnd>,
    /// Why its newest finished job failed.
    pub last_trouble: Option<JobError>,
    /// How long ago the job that is under way was begun.
    pub job_age: Option<Duration>,
    /// When its next job begins at the earliest, if none is under way.
    pub due: Monotonic,
    /// Whether it has not succeeded for too long.
    pub stale: bool,
    /// The longest window that it is asked for, where long ones failed.
    pub longest_window: Option<Duration>,
}

impl Planner {
    /// How a target is doing.
    #[must_use]
    pub fn status(&self, id: TargetId, now: Monotonic) -> TargetPlanStatus {
        let target = &self.targets[id.index()];
        TargetPlanStatus {
            up: target.up,
            last_success: target.last_success,
            last_job: target.last_job,
            last_trouble: target.last_trouble.clone(),
            job_age: target.job.as_ref().map(|job| now.since(job.begun)),
            due: target.due.max(self.held_until),
            stale: self.stale_at(target) <= now,
            longest_window: target.length.reduced(),
        }
    }

    /// The time from one poll of a target to the next, as the quota allows.
    #[must_use]
    pub fn cycle(&self) -> Duration {
        let targets = u32::try_from(self.targets.len()).unwrap_or(u32::MAX);
        self.rules.interval.max(self.quota.period().saturating_mul(targets))
    }

    pub(super) fn stale_at(&self, target: &TargetPlan) -> Monotonic {
        let since = target.last_success.map_or(target.since, |now| now.instant);
        since.plus(self.rules.max_staleness.max(self.cycle().saturating_mul(STALE_CYCLES)))
    }
}
