//! What one plan hands to the next when the configuration is reloaded: a failure is still one then.

use std::time::Duration;

use super::rejection::WindowRejection;
use super::{Planner, TargetPlan};
use crate::counts::TargetId;
use crate::page::status::JobEnd;
use crate::plan::backoff::Backoff;
use crate::plan::fetch::JobError;
use crate::time::{Monotonic, Now};

/// How polling one target went under an earlier plan.
#[derive(Clone, Debug)]
pub struct PastPolls {
    due: Monotonic,
    since: Monotonic,
    backoff: Backoff,
    denials: Backoff,
    longest_window: Duration,
    rejection: Option<WindowRejection>,
    last_asked: Option<Monotonic>,
    up: bool,
    last_success: Option<Now>,
    last_job: Option<JobEnd>,
    last_trouble: Option<JobError>,
}

/// How long an earlier plan held all submits back after a 429.
#[derive(Clone, Debug)]
pub struct PastThrottles {
    held_until: Monotonic,
    throttles: Backoff,
}

impl Planner {
    /// How polling the target went under this plan.
    #[must_use]
    pub fn past_polls(&self, id: TargetId) -> PastPolls {
        let TargetPlan { due, since, up, last_success, last_job, .. } = self.targets[id.index()];
        let target = &self.targets[id.index()];
        PastPolls {
            due,
            since,
            backoff: target.backoff.clone(),
            denials: target.denials.clone(),
            longest_window: target.length.longest(),
            rejection: target.rejection,
            last_asked: target.last_asked,
            up,
            last_success,
            last_job,
            last_trouble: target.last_trouble.clone(),
        }
    }

    /// How long this plan holds submits back.
    #[must_use]
    pub fn past_throttles(&self) -> PastThrottles {
        PastThrottles { held_until: self.held_until, throttles: self.throttles.clone() }
    }

    /// Continues with what was known of the target. Call it after [`Planner::resume`]. With
    /// `waits`, a target that failed is not retried before it would have been; without, at once,
    /// since what made it fail may have been mended.
    pub fn carry_on(&mut self, id: TargetId, past: PastPolls, waits: bool) {
        let target = &mut self.targets[id.index()];
        if waits && past.last_trouble.is_some() {
            target.due = past.due;
        }
        target.since = past.since;
        target.backoff = past.backoff;
        target.denials = past.denials;
        target.length.resume(past.longest_window);
        target.rejection = past.rejection;
        target.last_asked = past.last_asked;
        target.up = past.up;
        target.last_success = past.last_success;
        target.last_job = past.last_job;
        target.last_trouble = past.last_trouble;
    }

    /// Continues to hold submits back as the earlier plan did.
    pub fn hold_on(&mut self, past: PastThrottles) {
        self.held_until = self.held_until.max(past.held_until);
        self.throttles = past.throttles;
    }
}
