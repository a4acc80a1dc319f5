//! What a plan depends on.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::plan::backoff::Random;
use crate::plan::fetch::JobTiming;
use crate::plan::quota::period;
use crate::plan::window::WindowRules;

/// What the plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannerRules {
    /// How often a target is polled, quota permitting.
    pub interval: Duration,
    /// Which windows are requested.
    pub windows: WindowRules,
    /// How long a job is waited for.
    pub timing: JobTiming,
    /// How many jobs a minute may be submitted.
    pub jobs_per_minute: NonZeroU32,
    /// How a window is retrieved.
    pub mode: RetrievalMode,
    /// After this long without a success a target is stale, if that is longer than three of its
    /// cycles.
    pub max_staleness: Duration,
}

/// How a window is retrieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetrievalMode {
    /// By a job, which takes from the quota.
    Jobs,
    /// In pages. The client limits its requests itself.
    Pages,
}

impl PlannerRules {
    /// The shortest window that makes progress.
    pub(super) fn shortest_window(&self, targets: usize) -> Duration {
        let WindowRules { overlap, lookback, .. } = self.windows;
        let news = least_news(self.interval, self.jobs_per_minute, targets);
        overlap.saturating_add(news).min(lookback)
    }

    /// Polls are spread over this much time, so that many exporters on one host do not poll in
    /// step. The quota spreads jobs already.
    fn jitter(&self) -> Duration {
        match self.mode {
            RetrievalMode::Jobs => Duration::ZERO,
            RetrievalMode::Pages => self.interval / 5,
        }
    }

    /// How long a target waits at the beginning.
    pub(super) fn first_wait(&self, random: &mut Random) -> Duration {
        let jitter = self.jitter();
        if jitter.is_zero() { Duration::ZERO } else { random.up_to(jitter / 2) }
    }

    /// The interval, give or take half of the jitter.
    pub(super) fn jittered(&self, random: &mut Random) -> Duration {
        let jitter = self.jitter();
        // Without jitter no random number is used up: the sequence is part of what tests expect.
        if jitter.is_zero() {
            self.interval
        } else {
            self.interval.saturating_sub(jitter / 2) + random.up_to(jitter)
        }
    }
}

/// How much event time beyond the overlap a window must hold, so that a target ever catches up:
/// what passes until its next turn at the quota and one more, and at least a quarter of an interval.
#[must_use]
pub fn least_news(interval: Duration, jobs_per_minute: NonZeroU32, targets: usize) -> Duration {
    let turns = u32::try_from(targets).unwrap_or(u32::MAX).saturating_add(1);
    period(jobs_per_minute).saturating_mul(turns).max(interval / 4)
}
