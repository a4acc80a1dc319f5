//! CXone's clock as its answers tell it, carried on by a clock that never steps.

use std::time::Duration;

use super::time::{Monotonic, Now, Timestamp};

/// A difference up to this is not told apart from none: an answer's `Date` has whole seconds.
const TOLERATED: Duration = Duration::from_secs(2);

/// An answer that took longer says too little about when its `Date` was written.
const SLOWEST_ANSWER: Duration = Duration::from_secs(10);

/// What is known of CXone's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerClock {
    seen: Option<Seen>,
}

/// CXone's time lay between these when an answer came.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Monotonic,
    earliest: Timestamp,
    latest: Timestamp,
}

impl ServerClock {
    /// Takes in an answer with the header `Date`, which is cut to whole seconds.
    pub fn observe(&mut self, sent: Now, answered: Now, date: Timestamp) {
        let took = answered.instant.since(sent.instant);
        if took <= SLOWEST_ANSWER {
            let latest = date.plus(Duration::from_secs(1)).plus(took);
            self.seen = Some(Seen { at: answered.instant, earliest: date, latest });
        }
    }

    /// Now, by CXone's clock where it differs from ours by more than 2 s; never later than CXone's
    /// now.
    #[must_use]
    pub fn now(&self, now: Now) -> Timestamp {
        let Some((earliest, latest)) = self.bounds(now.instant) else { return now.utc };
        let agrees = now.utc <= latest.plus(TOLERATED) && now.utc.plus(TOLERATED) >= earliest;
        if agrees { now.utc } else { earliest }
    }

    /// CXone's clock less ours, in seconds; `None` until an answer told its date.
    #[must_use]
    pub fn skew_seconds(&self, now: Now) -> Option<f64> {
        let (earliest, latest) = self.bounds(now.instant)?;
        let seconds = |later: Timestamp, earlier: Timestamp| {
            later.since(earlier).as_secs_f64() - earlier.since(later).as_secs_f64()
        };
        Some(seconds(earliest, now.utc).midpoint(seconds(latest, now.utc)))
    }

    fn bounds(&self, instant: Monotonic) -> Option<(Timestamp, Timestamp)> {
        let seen = self.seen?;
        let passed = instant.since(seen.at);
        Some((seen.earliest.plus(passed), seen.latest.plus(passed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(instant: u64, utc: i64) -> Now {
        Now {
            instant: Monotonic::from_elapsed(Duration::from_millis(instant)),
            utc: Timestamp::from_millis(utc),
        }
    }

    fn clock(date: i64) -> ServerClock {
        let mut clock = ServerClock::default();
        clock.observe(now(0, 1_000_000), now(100, 1_000_100), Timestamp::from_millis(date));
        clock
    }

    #[test]
    fn our_clock_is_good_enough_when_the_dates_agree() {
        for date in [999_000, 1_000_000, 1_002_000] {
            assert_eq!(
                clock(date).now(now(500, 1_000_500)),
                Timestamp::from_millis(1_000_500),
                "{date}"
            );
        }
        let skew = clock(1_000_000).skew_seconds(now(100, 1_000_100)).expect("a date was told");
        assert!(skew.abs() < 1.0, "{skew}");
    }

    #[test]
    fn cxones_clock_counts_where_it_differs_and_never_runs_ahead_of_itself() {
        assert_eq!(clock(700_000).now(now(1_100, 1_001_100)), Timestamp::from_millis(701_000));
        assert_eq!(clock(1_300_000).now(now(1_100, 1_001_100)), Timestamp::from_millis(1_301_000));
        let skew = clock(700_000).skew_seconds(now(100, 1_000_100)).expect("a date was told");
        assert!((-301.0..=-299.0).contains(&skew), "{skew}");
    }

    #[test]
    fn a_step_of_our_clock_does_not_move_windows() {
        let clock = clock(1_000_000);
        for step in [3_600_000, -3_600_000] {
            let told = clock.now(now(10_100, 1_010_100 + step));
            assert_eq!(told, Timestamp::from_millis(1_010_000), "{step}");
        }
    }

    #[test]
    fn a_slow_answer_says_nothing() {
        let mut clock = ServerClock::default();
        clock.observe(now(0, 0), now(20_000, 20_000), Timestamp::from_millis(0));
        assert_eq!(clock.skew_seconds(now(20_000, 20_000)), None);
        assert_eq!(clock.now(now(20_000, 20_000)), Timestamp::from_millis(20_000));
    }
}
