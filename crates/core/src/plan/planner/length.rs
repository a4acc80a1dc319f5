//! How long a target's windows may be: halved when they fail as too large or too slow, and grown
//! again when they succeed.

use std::time::Duration;

use crate::plan::fetch::FailureReason;

/// After this many windows of the longest length succeeded in a row, a longer one is tried.
const MIN_SUCCESSES: u8 = 3;

/// The longest window that is requested of a target.
#[derive(Debug)]
pub(super) struct WindowLength {
    longest: Duration,
    /// Shorter windows would make no progress.
    min: Duration,
    max: Duration,
    succeeded: u8,
    failed: u8,
}

impl WindowLength {
    pub(super) const fn new(min: Duration, max: Duration) -> Self {
        Self { longest: max, min, max, succeeded: 0, failed: 0 }
    }

    pub(super) const fn longest(&self) -> Duration {
        self.longest
    }

    pub(super) const fn min(&self) -> Duration {
        self.min
    }

    /// Continues with the limit that windows had before.
    pub(super) fn resume(&mut self, longest: Duration) {
        self.longest = longest.max(self.min).min(self.max);
    }

    /// The limit, where it is below what the configuration says.
    pub(super) fn reduced(&self) -> Option<Duration> {
        (self.longest < self.max).then_some(self.longest)
    }

    /// A window succeeded; `behind`: it was as long as it might be.
    pub(super) fn succeeded(&mut self, behind: bool) {
        self.failed = 0;
        self.succeeded = if behind { self.succeeded.saturating_add(1) } else { MIN_SUCCESSES };
        if self.succeeded >= MIN_SUCCESSES {
            self.succeeded = 0;
            self.longest = self.longest.saturating_mul(2).min(self.max);
        }
    }

    /// A window of this length failed, after CXone had accepted it if `is_accepted`. Returns
    /// whether shorter ones come next.
    pub(super) fn failed(
        &mut self,
        failure: FailureReason,
        length: Duration,
        is_accepted: bool,
    ) -> bool {
        let is_its_length = match failure {
            FailureReason::TooLarge | FailureReason::Timeout => true,
            // The first time may be chance, the second time it may be the length.
            FailureReason::Failed
            | FailureReason::Malformed
            | FailureReason::Server
            | FailureReason::Unreachable => {
                self.failed = self.failed.saturating_add(u8::from(is_accepted));
                self.failed >= 2
            }
            FailureReason::Credentials
            | FailureReason::TokenForbidden
            | FailureReason::Token
            | FailureReason::Unauthorized
            | FailureReason::Forbidden
            | FailureReason::Rejected
            | FailureReason::RowsRejected
            | FailureReason::UnexpectedStatus
            | FailureReason::Lost
            | FailureReason::Redirected
            | FailureReason::Store => false,
        };
        is_its_length && is_accepted && self.halve(length)
    }

    /// Halves a window of this length from now on, as far as that makes progress.
    pub(super) fn halve(&mut self, length: Duration) -> bool {
        (self.succeeded, self.failed) = (0, 0);
        let half = (length / 2).max(self.min);
        let is_shorter = half < length;
        if is_shorter {
            self.longest = half.min(self.longest);
        }
        is_shorter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn a_window_that_fails_is_halved_down_to_what_makes_progress_and_grown_again() {
        let mut length = WindowLength::new(minutes(17), minutes(240));
        for expected in [120, 60, 30, 17] {
            assert!(length.failed(FailureReason::TooLarge, length.longest(), true));
            assert_eq!(length.reduced(), Some(minutes(expected)));
        }
        assert!(!length.failed(FailureReason::Timeout, length.longest(), true));
        for (behind, expected) in [(true, 17), (true, 17), (true, 34), (false, 68), (false, 136)] {
            length.succeeded(behind);
            assert_eq!(length.longest(), minutes(expected), "{behind}");
        }
        length.succeeded(false);
        assert_eq!((length.longest(), length.reduced()), (minutes(240), None));
    }

    #[test]
    fn a_fault_that_may_be_chance_halves_the_second_time_and_one_not_of_length_never() {
        for failure in [
            FailureReason::Failed,
            FailureReason::Malformed,
            FailureReason::Server,
            FailureReason::Unreachable,
        ] {
            let mut length = WindowLength::new(minutes(17), minutes(240));
            assert!(!length.failed(failure, minutes(240), true));
            length.succeeded(true);
            assert!(!length.failed(failure, minutes(240), true));
            assert!(length.failed(failure, minutes(240), true), "{failure:?}");
        }
        for failure in
            [FailureReason::Forbidden, FailureReason::UnexpectedStatus, FailureReason::Lost]
        {
            let mut length = WindowLength::new(minutes(17), minutes(240));
            assert!((0..9).all(|_| !length.failed(failure, minutes(240), true)));
        }
        let mut length = WindowLength::new(minutes(17), minutes(240));
        let unsent = |length: &mut WindowLength| {
            length.failed(FailureReason::Unreachable, minutes(240), false)
        };
        assert!((0..9).all(|_| !unsent(&mut length)), "it never reached CXone");
    }
}
