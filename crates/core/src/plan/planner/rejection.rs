//! When a slice of the past that CXone rejects is given up.

use std::time::Duration;

use crate::time::Monotonic;

/// A slice is given up after it was rejected at least this many times.
const MIN_REJECTIONS: u32 = 3;

/// A slice is given up after it was rejected for at least this long.
const MIN_TIME: Duration = Duration::from_secs(300);

/// A slice of the past was rejected (422), and nothing of the past was accepted since.
///
/// A gap loses history for good, so it must be the slice that is rejected and not everything: the
/// filter may be wrong, or CXone may reject all requests for a while. Hence the probe: the newest
/// window with the same filter has to be accepted meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowRejection {
    since: Monotonic,
    times: u32,
    /// Whether the newest window was accepted since the first rejection.
    newest_accepted: bool,
    /// Whether the newest window is tried next.
    probes_newest: bool,
}

impl WindowRejection {
    pub(super) const fn new(now: Monotonic) -> Self {
        Self { since: now, times: 0, newest_accepted: false, probes_newest: false }
    }

    /// The slice was rejected, once more. Returns whether it is given up. Once one is, those that
    /// follow are given up at once, until one is accepted.
    pub(super) fn again(&mut self, now: Monotonic) -> bool {
        self.times = self.times.saturating_add(1);
        self.probes_newest = !self.newest_accepted;
        self.newest_accepted && self.times >= MIN_REJECTIONS && now.since(self.since) >= MIN_TIME
    }

    pub(super) const fn times(&self) -> u32 {
        self.times
    }

    pub(super) const fn probes_newest(&self) -> bool {
        self.probes_newest
    }

    pub(super) const fn newest_probed(&mut self, accepted: bool) {
        self.newest_accepted = self.newest_accepted || accepted;
        self.probes_newest = false;
    }
}
