//! When a slice of the past that CXone rejects is given up.

use std::time::Duration;

use crate::time::Monotonic;

/// It has to be rejected so many times,
const LEAST_TIMES: u32 = 3;

/// and for so long.
const LEAST_TIME: Duration = Duration::from_secs(300);

/// A slice of the past was rejected (422), and nothing of the past was accepted since.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowRejection {
    since: Monotonic,
    times: u32,
    /// Whether the newest window, with the same filter, was accepted since the first time: so that
    /// it is the slice that is rejected, and not everything.
    newest_accepted: bool,
    /// Whether the newest window is tried next.
    probes_newest: bool,
}

impl WindowRejection {
    pub(super) const fn new(now: Monotonic) -> Self {
        Self { since: now, times: 0, newest_accepted: false, probes_newest: false }
    }

    /// The slice was rejected, once more. Returns whether it is given up. Once one is, those behind
    /// it are at once, until one is accepted.
    pub(super) fn again(&mut self, now: Monotonic) -> bool {
        self.times = self.times.saturating_add(1);
        self.probes_newest = !self.newest_accepted;
        self.newest_accepted && self.times >= LEAST_TIMES && now.since(self.since) >= LEAST_TIME
    }

    /// How many times it was rejected.
    pub(super) const fn times(&self) -> u32 {
        self.times
    }

    pub(super) const fn probes_newest(&self) -> bool {
        self.probes_newest
    }

    /// The newest window was tried.
    pub(super) const fn newest_probed(&mut self, accepted: bool) {
        self.newest_accepted = self.newest_accepted || accepted;
        self.probes_newest = false;
    }
}
