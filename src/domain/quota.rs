//! The rule that no rolling minute holds more report jobs than CXone allows.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};

use super::time::Monotonic;

/// Jobs are spread over this time and not over a minute, so that one that takes a second longer to arrive than those after it does not
/// make a minute of theirs too full.
const SPREAD: Duration = Duration::from_secs(61);

/// Submits, each let through or told when to come again.
///
/// A burst of B jobs refilled every T lets B + ⌊60 s / T⌋ through in a minute, so there are no bursts: one job every 61 s ÷ the limit.
#[derive(Debug)]
pub struct Quota {
    limiter: RateLimiter<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<Nanos>>,
    /// Holds the time that it is told, and never reads a clock.
    clock: FakeRelativeClock,
    told: Monotonic,
    period: Duration,
    limit: usize,
    /// The submits of the last minute; those of an earlier process, and perhaps another limit, among them.
    recent: VecDeque<Monotonic>,
}

/// The time within which the limit holds.
const MINUTE: Duration = Duration::from_secs(60);

impl Quota {
    /// At most `jobs_per_minute` in any rolling minute.
    #[must_use]
    pub fn new(jobs_per_minute: NonZeroU32) -> Self {
        let clock = FakeRelativeClock::default();
        let period = SPREAD / jobs_per_minute.get();
        let rate = Rate::with_period(period).expect("a share of 61 s by a 32-bit number is not zero");
        let limiter = RateLimiter::direct_with_clock(rate, clock.clone());
        let limit = usize::try_from(jobs_per_minute.get()).unwrap_or(usize::MAX);
        Self { limiter, clock, told: Monotonic::default(), period, limit, recent: VecDeque::new() }
    }

    /// The time from one job to the next.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Takes the right to submit one job now.
    ///
    /// # Errors
    /// When it is too early: the time to try again.
    pub fn take(&mut self, now: Monotonic) -> Result<(), Monotonic> {
        self.clock.advance(now.since(self.told));
        self.told = self.told.max(now);
        while self.recent.front().is_some_and(|first| now.since(*first) > MINUTE) {
            self.recent.pop_front();
        }
        if self.recent.len() >= self.limit
            && let Some(first) = self.recent.get(self.recent.len() - self.limit)
        {
            return Err(first.plus(MINUTE).plus(Duration::from_millis(1)));
        }
        self.limiter.check().map_err(|refused| now.plus(refused.wait_time_from(self.clock.now())))?;
        self.recent.push_back(now);
        Ok(())
    }

    /// Takes note of submits that an earlier process made so long ago, in any order.
    pub fn remember(&mut self, now: Monotonic, ages: &[Duration]) {
        let mut ages: Vec<Duration> = ages.iter().copied().filter(|age| *age <= MINUTE).collect();
        ages.sort_unstable_by(|a, b| b.cmp(a));
        let youngest = ages.last().copied();
        self.clock.advance(now.since(self.told));
        self.told = self.told.max(now);
        self.recent.extend(ages.into_iter().map(|age| now.before(age)));
        if let Some(age) = youngest
            && age < self.period
        {
            // As if it had been made here, and the time since then had passed.
            let _taken = self.limiter.check();
            self.clock.advance(age);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_rolling_minute_holds_more_than_the_limit(limit in 1..40_u32, pauses in prop::collection::vec(0..20_000_u64, 1..400)) {
            let mut quota = Quota::new(NonZeroU32::new(limit).expect("at least one"));
            let mut now = Monotonic::default();
            let mut sent: Vec<Monotonic> = Vec::new();
            for pause in pauses {
                now = now.plus(Duration::from_millis(pause));
                while quota.take(now).is_ok() {
                    sent.push(now);
                }
            }
            for (place, first) in sent.iter().enumerate() {
                let within = sent[place..].iter().filter(|later| later.since(*first) <= Duration::from_secs(60)).count();
                prop_assert!(within <= usize::try_from(limit).expect("small"), "{within} in a minute from {first:?}");
            }
        }
    }

    #[test]
    fn submits_of_an_earlier_process_count() {
        let mut quota = Quota::new(NonZeroU32::new(3).expect("three"));
        let now = Monotonic::from_elapsed(Duration::from_secs(1));
        quota.remember(now, &[Duration::from_secs(50), Duration::from_secs(70), Duration::from_secs(40), Duration::from_secs(45)]);
        let again = quota.take(now).expect_err("three were made in the last minute");
        assert_eq!(again, now.plus(Duration::from_millis(10_001)));
        assert_eq!(quota.take(again), Ok(()));
        assert!(quota.take(again.plus(Duration::from_secs(1))).is_err());
    }

    #[test]
    fn a_submit_of_an_earlier_process_a_moment_ago_holds_the_next_one_back() {
        let mut quota = Quota::new(NonZeroU32::new(10).expect("ten"));
        let now = Monotonic::default();
        quota.remember(now, &[Duration::from_secs(2)]);
        assert_eq!(quota.take(now), Err(now.plus(Duration::from_millis(4_100))));
    }

    #[test]
    fn the_time_to_try_again_is_when_it_works() {
        let mut quota = Quota::new(NonZeroU32::new(10).expect("ten"));
        let now = Monotonic::from_elapsed(Duration::from_secs(3));
        assert_eq!(quota.take(now), Ok(()));
        let again = quota.take(now).expect_err("too early");
        assert_eq!(again, now.plus(Duration::from_millis(6_100)));
        assert_eq!(quota.take(again), Ok(()));
    }

    #[test]
    fn a_steady_demand_gets_nearly_the_whole_limit() {
        let mut quota = Quota::new(NonZeroU32::new(10).expect("ten"));
        let seconds = (0..600).map(|second| Monotonic::from_elapsed(Duration::from_secs(second)));
        let sent = seconds.filter(|now| quota.take(*now).is_ok()).count();
        assert!(sent >= 85, "{sent} in ten minutes, polled every second");
    }
}
