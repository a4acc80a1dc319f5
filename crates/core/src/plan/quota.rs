//! The rule that no rolling minute holds more report jobs than CXone allows.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};

use crate::time::Monotonic;

/// Jobs are spread over this and not over a minute: one that takes a second longer to arrive than
/// those behind it must not make a minute of theirs too full.
const SPREAD: Duration = Duration::from_secs(61);

/// The span that CXone limits.
const MINUTE: Duration = Duration::from_secs(60);

/// A submit of an earlier process counts as answered this long after it was sent.
const SLOW_ANSWER: Duration = Duration::from_secs(10);

/// The time from one job to the next, if this many a minute are allowed.
#[must_use]
pub fn period(jobs_per_minute: NonZeroU32) -> Duration {
    SPREAD / jobs_per_minute.get()
}

/// Allows submits, or says when to try again.
///
/// When a submit reaches CXone is not known, only that it is between its sending and its answer:
/// one that waited for a token, or on the way, arrives among later ones. So its minute is counted
/// from the answer, and one without an answer counts until it has one.
///
/// A burst of B jobs refilled every T allows B + ⌊60 s / T⌋ in a minute, so there are no bursts: one
/// job every 61 s ÷ the limit.
///
/// A restart must not grant a fresh quota. Each submit is in the store before it is sent, so an
/// earlier process's submits are known, if not when they were answered; see [`Quota::remember`].
#[derive(Debug)]
pub struct Quota {
    limiter: RateLimiter<NotKeyed, InMemoryState, FakeRelativeClock, NoOpMiddleware<Nanos>>,
    /// The time that is passed in; no clock is read.
    clock: FakeRelativeClock,
    clock_at: Monotonic,
    period: Duration,
    limit: usize,
    /// Submits that were allowed and are not answered yet.
    unanswered: usize,
    /// When the submits of the last minute were answered, oldest first.
    answered: VecDeque<Monotonic>,
}

impl Quota {
    /// At most `jobs_per_minute` in any rolling minute.
    #[must_use]
    pub fn new(jobs_per_minute: NonZeroU32) -> Self {
        let clock = FakeRelativeClock::default();
        let period = period(jobs_per_minute);
        let rate =
            Rate::with_period(period).expect("a share of 61 s by a 32-bit number is not zero");
        let limiter = RateLimiter::direct_with_clock(rate, clock.clone());
        let limit = usize::try_from(jobs_per_minute.get()).unwrap_or(usize::MAX);
        Self {
            limiter,
            clock,
            clock_at: Monotonic::default(),
            period,
            limit,
            unanswered: 0,
            answered: VecDeque::new(),
        }
    }

    /// The time from one job to the next.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Takes the right to submit one job now; [`Quota::answered`] must follow.
    ///
    /// # Errors
    /// When it is too early: the time to try again.
    pub fn take(&mut self, now: Monotonic) -> Result<(), Monotonic> {
        self.clock.advance(now.since(self.clock_at));
        self.clock_at = self.clock_at.max(now);
        while self.answered.front().is_some_and(|answered| answered.plus(MINUTE) < now) {
            self.answered.pop_front();
        }
        if self.unanswered + self.answered.len() >= self.limit {
            let room = self
                .answered
                .front()
                .map_or(now.plus(self.period), |answered| answered.plus(MINUTE));
            return Err(room.plus(Duration::from_millis(1)));
        }
        self.limiter.check().map_err(|denied| now.plus(denied.wait_time_from(self.clock.now())))?;
        self.unanswered += 1;
        Ok(())
    }

    /// A submit that was allowed has been answered, or was not sent.
    pub fn answered(&mut self, now: Monotonic) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.answered.push_back(now);
    }

    /// How many submits count in the last minute.
    #[must_use]
    pub fn used(&self, now: Monotonic) -> usize {
        self.unanswered
            + self.answered.iter().filter(|answered| answered.plus(MINUTE) >= now).count()
    }

    /// Charges the submits that an earlier process sent this long ago, in any order. When they were
    /// answered is not known: late, for all that is sure.
    pub fn remember(&mut self, now: Monotonic, ages: &[Duration]) {
        let mut ages: Vec<Duration> = ages
            .iter()
            .map(|age| age.saturating_sub(SLOW_ANSWER))
            .filter(|age| *age <= MINUTE)
            .collect();
        ages.sort_unstable_by(|a, b| b.cmp(a));
        self.clock.advance(now.since(self.clock_at));
        self.clock_at = self.clock_at.max(now);
        if let Some(youngest) = ages.last().filter(|age| **age < self.period) {
            // The youngest holds the next one back for the rest of its period, as if it had been
            // allowed here and the time since then had passed.
            let _taken = self.limiter.check();
            self.clock.advance(*youngest);
        }
        self.answered.extend(ages.into_iter().map(|age| now.before(age)));
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
                    quota.answered(now);
                    sent.push(now);
                }
            }
            for (index, first) in sent.iter().enumerate() {
                let within = sent[index..].iter().filter(|later| later.since(*first) <= Duration::from_secs(60)).count();
                prop_assert!(within <= usize::try_from(limit).expect("small"), "{within} in a minute from {first:?}");
            }
        }

        #[test]
        fn no_rolling_minute_holds_more_wherever_submits_are_held_up(
            limit in 1..12_u32,
            ways in prop::collection::vec((0..40_000_u64, 0..40_000_u64), 1..100),
        ) {
            let mut quota = Quota::new(NonZeroU32::new(limit).expect("at least one"));
            let (mut under_way, mut arrived): (Vec<Monotonic>, Vec<Monotonic>) = (Vec::new(), Vec::new());
            let mut ways = ways.into_iter().peekable();
            for tick in (0..).map(|tick| Monotonic::from_elapsed(Duration::from_millis(500 * tick))) {
                under_way.retain(|answer| {
                    let over = *answer <= tick;
                    if over {
                        quota.answered(tick);
                    }
                    !over
                });
                let Some((there, back)) = ways.peek().copied() else { break };
                if quota.take(tick).is_ok() {
                    ways.next();
                    arrived.push(tick.plus(Duration::from_millis(there)));
                    under_way.push(tick.plus(Duration::from_millis(there + back)));
                }
            }
            arrived.sort_unstable();
            for (index, first) in arrived.iter().enumerate() {
                let within = arrived[index..].iter().filter(|later| later.since(*first) <= MINUTE).count();
                prop_assert!(within <= usize::try_from(limit).expect("small"), "{within} in a minute from {first:?}");
            }
        }
    }

    #[test]
    fn submits_of_an_earlier_process_count() {
        let mut quota = Quota::new(NonZeroU32::new(3).expect("three"));
        let now = Monotonic::from_elapsed(Duration::from_secs(1));
        quota.remember(
            now,
            &[
                Duration::from_secs(60),
                Duration::from_secs(80),
                Duration::from_secs(50),
                Duration::from_secs(55),
            ],
        );
        let again = quota
            .take(now)
            .expect_err("three were made in the last minute, each answered up to 10 s later");
        assert_eq!(again, now.plus(Duration::from_millis(10_001)));
        assert_eq!(quota.take(again), Ok(()));
        assert!(quota.take(again.plus(Duration::from_secs(1))).is_err());
    }

    #[test]
    fn a_submit_of_an_earlier_process_a_moment_ago_holds_the_next_one_back() {
        let mut quota = Quota::new(NonZeroU32::new(10).expect("ten"));
        let now = Monotonic::default();
        quota.remember(now, &[Duration::from_secs(12)]);
        assert_eq!(quota.take(now), Err(now.plus(Duration::from_millis(4_100))));
    }

    #[test]
    fn a_submit_counts_for_a_minute_after_its_answer() {
        let mut quota = Quota::new(NonZeroU32::new(10).expect("ten"));
        let at = |seconds| Monotonic::from_elapsed(Duration::from_secs(seconds));
        assert_eq!((quota.take(at(1)), quota.used(at(30))), (Ok(()), 1));
        quota.answered(at(40));
        assert_eq!((quota.used(at(100)), quota.used(at(101))), (1, 0));
    }

    #[test]
    fn a_retry_at_the_time_given_succeeds() {
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
        let sent = seconds
            .filter(|now| {
                quota.take(*now).is_ok_and(|()| {
                    quota.answered(*now);
                    true
                })
            })
            .count();
        assert!(sent >= 85, "{sent} in ten minutes, polled every second");
    }
}
