//! How many requests may be made in a minute: each waits for its turn.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::domain::quota::Quota;

/// Turns to make a request, shared by all who make them.
pub(super) struct Budget {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    quota: Quota,
    waited: Duration,
}

/// The right to make one request.
pub(super) struct Turn<'a>(&'a Budget);

impl Budget {
    pub(super) fn new(requests_per_minute: NonZeroU32, clock: Clock) -> Self {
        Self { clock, state: Mutex::new(State { quota: Quota::new(requests_per_minute), waited: Duration::ZERO }) }
    }

    /// Waits until a request may be made.
    pub(super) async fn turn(&self) -> Turn<'_> {
        let began = self.clock.now().instant;
        loop {
            let now = self.clock.now().instant;
            let again = {
                let mut state = self.state();
                match state.quota.take(now) {
                    Ok(()) => {
                        state.waited += now.since(began);
                        return Turn(self);
                    }
                    Err(again) => again,
                }
            };
            self.clock.sleep_until(again).await;
        }
    }

    /// The time that requests have waited so far.
    pub(super) fn waited(&self) -> Duration {
        self.state().waited
    }

    /// How many requests there were in the last minute.
    pub(super) fn used(&self) -> usize {
        let now = self.clock.now().instant;
        self.state().quota.used(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing can panic halfway through a change of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let now = self.0.clock.now().instant;
        self.0.state().quota.answered(now);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[tokio::test(start_paused = true)]
    async fn no_minute_holds_more_requests_than_the_budget() {
        let clock = Clock::starting_at(Timestamp::from_millis(0));
        let budget = Budget::new(NonZeroU32::new(6).unwrap(), clock.clone());
        let mut sent = Vec::new();
        for _ in 0..30 {
            let _turn = budget.turn().await;
            sent.push(clock.now().instant);
        }
        for (place, first) in sent.iter().enumerate() {
            let within = sent[place..].iter().filter(|later| later.since(*first) <= Duration::from_secs(60)).count();
            assert!(within <= 6, "{within} in a minute");
        }
        assert!(budget.waited() > Duration::from_secs(240));
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_given_up_is_free_for_others_after_a_minute() {
        let budget = Budget::new(NonZeroU32::MIN, Clock::starting_at(Timestamp::from_millis(0)));
        drop(budget.turn().await);
        assert_eq!(budget.used(), 1);
        drop(budget.turn().await);
        assert!(budget.waited() >= Duration::from_secs(60) && budget.waited() < Duration::from_secs(63));
    }
}
