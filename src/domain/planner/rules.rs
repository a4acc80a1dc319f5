//! What a plan depends on.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::domain::backoff::Random;
use crate::domain::fetch::JobTiming;
use crate::domain::window::WindowRules;

/// What the plan depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How often a target is asked for, quota permitting.
    pub interval: Duration,
    /// Which windows are asked for.
    pub windows: WindowRules,
    /// How a job is waited for.
    pub timing: JobTiming,
    /// How many jobs a minute may be submitted.
    pub jobs_per_minute: NonZeroU32,
    /// How a window is asked for.
    pub asking: Asking,
    /// After this long without a success a target is stale, if that is longer than three of its
    /// cycles.
    pub max_staleness: Duration,
}

impl Rules {
    /// Within how much time the same moment is spread: many exporters on one host must not ask in
    /// step for what no quota spreads.
    fn jitter(&self) -> Duration {
        match self.asking {
            Asking::Jobs => Duration::ZERO,
            Asking::Pages => self.interval / 5,
        }
    }

    /// How long a target waits at the beginning.
    pub(super) fn first_wait(&self, random: &mut Random) -> Duration {
        let jitter = self.jitter();
        if jitter.is_zero() { Duration::ZERO } else { random.up_to(jitter / 2) }
    }

    /// The interval, a bit less or more of it.
    pub(super) fn jittered(&self, random: &mut Random) -> Duration {
        let jitter = self.jitter();
        // What needs no chance must not use up any.
        if jitter.is_zero() {
            self.interval
        } else {
            self.interval.saturating_sub(jitter / 2) + random.up_to(jitter)
        }
    }
}

/// How a window is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// By a job, of which the quota allows so many.
    Jobs,
    /// In pages. How many requests there may be is minded by who makes them.
    Pages,
}
