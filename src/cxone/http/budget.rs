//! How many requests may be made in a minute: each waits for its turn, and no kind of request keeps
//! another one waiting for long.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Queue, MutexGuard as First};

use crate::clock::Clock;
use crate::cxone::error::ApiEndpoint;
use cxone_core::plan::quota::Quota;
use cxone_core::time::Monotonic;

/// Turns to make a request, shared by all who make them.
///
/// Requests of one lane stand in one queue, in the order in which they came; whoever is first there
/// stands in the queue of the lanes, so these take turns. Hundreds of histories that are due hold
/// up neither the token nor the live states, nor these the histories.
pub(crate) struct Budget {
    clock: Clock,
    state: Mutex<BudgetState>,
    lanes: [Queue<()>; LANES],
    /// The queue of those who are first in their lanes.
    gate: Queue<()>,
}

const LANES: usize = 4;

/// The lane of requests to `endpoint`. Who waits for a turn may need a token or the codes first:
/// these have lanes of their own.
const fn lane(endpoint: ApiEndpoint) -> usize {
    match endpoint {
        ApiEndpoint::Token | ApiEndpoint::Discovery => 0,
        ApiEndpoint::Codes => 1,
        ApiEndpoint::History | ApiEndpoint::Submit | ApiEndpoint::Poll => 2,
        ApiEndpoint::States | ApiEndpoint::Activity => 3,
    }
}

/// The first place in a lane.
pub(crate) struct LaneTicket<'a> {
    came: Monotonic,
    _first: First<'a, ()>,
}

struct BudgetState {
    quota: Quota,
    waited: Duration,
}

/// The right to make one request.
pub(crate) struct Turn<'a>(&'a Budget);

impl Budget {
    /// What requests an earlier process, or this one under an earlier configuration, made is
    /// nowhere kept: the first one waits as if one had been made just now, so that not even those
    /// of a process that crashes again and again come closer to each other.
    pub(crate) fn new(requests_per_minute: NonZeroU32, clock: Clock) -> Self {
        let mut quota = Quota::new(requests_per_minute);
        quota.remember(clock.now().instant, &[Duration::ZERO]);
        let state = Mutex::new(BudgetState { quota, waited: Duration::ZERO });
        Self {
            clock,
            state,
            lanes: std::array::from_fn(|_| Queue::default()),
            gate: Queue::default(),
        }
    }

    /// Waits until no other request of the same lane is before this one.
    pub(crate) async fn queue(&self, endpoint: ApiEndpoint) -> LaneTicket<'_> {
        let came = self.clock.now().instant;
        LaneTicket { came, _first: self.lanes[lane(endpoint)].lock().await }
    }

    /// Waits until the request that has this place may be made.
    pub(crate) async fn turn(&self, ticket: LaneTicket<'_>) -> Turn<'_> {
        let _first = self.gate.lock().await;
        loop {
            let now = self.clock.now().instant;
            let again = {
                let mut state = self.state();
                match state.quota.take(now) {
                    Ok(()) => {
                        state.waited += now.since(ticket.came);
                        return Turn(self);
                    }
                    Err(again) => again,
                }
            };
            self.clock.sleep_until(again).await;
        }
    }

    /// The time that requests have waited so far.
    pub(crate) fn waited(&self) -> Duration {
        self.state().waited
    }

    /// How many requests there were in the last minute.
    pub(crate) fn used(&self) -> usize {
        let now = self.clock.now().instant;
        self.state().quota.used(now)
    }

    fn state(&self) -> MutexGuard<'_, BudgetState> {
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
    use futures_util::future::{FutureExt, join_all};

    use super::*;
    use cxone_core::time::Timestamp;

    fn budget(requests_per_minute: u32, clock: &Clock) -> Budget {
        Budget::new(NonZeroU32::new(requests_per_minute).unwrap(), clock.clone())
    }

    fn start() -> Clock {
        Clock::starting_at(Timestamp::from_millis(0))
    }

    async fn turn(budget: &Budget, endpoint: ApiEndpoint) -> Turn<'_> {
        budget.turn(budget.queue(endpoint).await).await
    }

    #[track_caller]
    fn assert_within(sent: &[Monotonic], limit: usize) {
        for (ticket, first) in sent.iter().enumerate() {
            let within = sent[ticket..]
                .iter()
                .filter(|later| later.since(*first) <= Duration::from_secs(60))
                .count();
            assert!(within <= limit, "{within} in a minute");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_holds_more_requests_than_the_budget() {
        let clock = start();
        let budget = budget(6, &clock);
        let mut sent = Vec::new();
        for _ in 0..30 {
            let _turn = turn(&budget, ApiEndpoint::History).await;
            sent.push(clock.now().instant);
        }
        assert_within(&sent, 6);
        assert!(budget.waited() > Duration::from_secs(240));
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_holds_more_however_often_the_budget_begins_anew() {
        for limit in [1, 7, 100] {
            let clock = start();
            let mut sent = Vec::new();
            for round in 0..60 {
                let budget = budget(limit, &clock);
                for _ in 0..=round % 4 {
                    drop(turn(&budget, ApiEndpoint::Token).await);
                    sent.push(clock.now().instant);
                }
            }
            assert_within(&sent, usize::try_from(limit).unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_given_up_is_free_for_others_after_a_minute() {
        let budget = budget(1, &start());
        drop(turn(&budget, ApiEndpoint::History).await);
        let first = budget.waited();
        assert_eq!(budget.used(), 1);
        drop(turn(&budget, ApiEndpoint::History).await);
        let waited = budget.waited() - first;
        assert!(
            waited >= Duration::from_secs(60) && waited < Duration::from_secs(63),
            "{waited:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_of_one_kind_hold_up_no_other_kind_and_each_has_its_turn_in_order() {
        let (clock, sent) = (start(), Mutex::new(Vec::new()));
        let budget = budget(60, &clock);
        let ask = async |endpoint: ApiEndpoint, number: usize| {
            let _turn = turn(&budget, endpoint).await;
            sent.lock().unwrap().push((endpoint, number));
        };
        let histories = (0..300).map(|number| ask(ApiEndpoint::History, number).boxed_local());
        let live = async {
            for number in 0..50 {
                ask(ApiEndpoint::States, number).await;
            }
        };
        let token = async {
            clock.sleep_until(clock.now().instant.plus(Duration::from_secs(30))).await;
            let came = clock.now().instant;
            ask(ApiEndpoint::Token, 0).await;
            assert!(clock.now().instant.since(came) < Duration::from_secs(4));
        };
        join_all(histories.chain([live.boxed_local(), token.boxed_local()])).await;
        let sent = sent.into_inner().unwrap();
        let of = |endpoint| {
            sent.iter().filter(move |(kind, _)| *kind == endpoint).map(|(_, number)| *number)
        };
        assert!(of(ApiEndpoint::History).eq(0..300), "in the order in which they came");
        let last_live = sent.iter().rposition(|(kind, _)| *kind == ApiEndpoint::States).unwrap();
        assert!((98..=104).contains(&last_live), "by turns with the histories: {last_live}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_a_place_leaves_it_to_the_next() {
        let budget = budget(60, &start());
        let gone = budget.queue(ApiEndpoint::History).await;
        assert!(budget.queue(ApiEndpoint::History).now_or_never().is_none());
        drop(gone);
        drop(turn(&budget, ApiEndpoint::History).await);
    }
}
