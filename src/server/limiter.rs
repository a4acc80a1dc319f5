//! How often one client may ask: a token bucket each, in a table that does not grow without end.
//! Libraries for it keep every client that they ever saw, or read the clock themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::Client;
use crate::config::web::RateLimit;
use cxone_core::time::Monotonic;

/// How many clients are told apart; past it, the one whose bucket is nearest to full is forgotten,
/// which gives away the least.
const MOST_CLIENTS: usize = 4096;

/// Whose requests are counted: the user who signed in, if any, and where the client is.
pub(super) type Asker = (Option<String>, Client);

/// The buckets.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: RateLimit,
    /// When each bucket is full again; one that is full needs no entry.
    full_at: BTreeMap<Asker, Monotonic>,
}

impl Limiter {
    pub(super) fn new(rate: RateLimit) -> Self {
        Self { rate, full_at: BTreeMap::new() }
    }

    pub(super) fn rate(&self) -> RateLimit {
        self.rate
    }

    /// Lets a request through, or says after which time to come again.
    pub(super) fn take(&mut self, asker: Asker, now: Monotonic) -> Result<(), Duration> {
        let RateLimit { interval, burst } = self.rate;
        let full_at = self.full_at.get(&asker).copied().unwrap_or(now).max(now);
        let missing = full_at.since(now).saturating_add(interval);
        let capacity = interval.saturating_mul(burst.get());
        if missing > capacity {
            return Err(missing.saturating_sub(capacity));
        }
        if !self.full_at.contains_key(&asker) {
            self.make_room(now);
        }
        self.full_at.insert(asker, full_at.plus(interval));
        Ok(())
    }

    fn make_room(&mut self, now: Monotonic) {
        if self.full_at.len() < MOST_CLIENTS {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= MOST_CLIENTS
            && let Some(nearest) = self
                .full_at
                .iter()
                .min_by_key(|(_, full_at)| **full_at)
                .map(|(asker, _)| asker.clone())
        {
            self.full_at.remove(&nearest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroU32;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter() -> Limiter {
        Limiter::new(RateLimit { interval: SECOND, burst: NonZeroU32::new(3).unwrap() })
    }

    fn client(number: u32) -> Asker {
        (None, Client::V4(Ipv4Addr::from(number)))
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_elapsed(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_passes_then_one_request_an_interval_and_a_refusal_says_when() {
        let mut limiter = limiter();
        for _ in 0..3 {
            assert_eq!(limiter.take(client(1), at(0)), Ok(()));
        }
        assert_eq!(limiter.take(client(1), at(0)), Err(SECOND));
        assert_eq!(limiter.take(client(1), at(400)), Err(Duration::from_millis(600)));
        assert_eq!(limiter.take(client(1), at(1_000)), Ok(()));
        assert_eq!(limiter.take(client(1), at(1_001)), Err(Duration::from_millis(999)));
        for _ in 0..3 {
            assert_eq!(
                limiter.take(client(1), at(60_000)),
                Ok(()),
                "a bucket holds no more than the burst, and no less"
            );
        }
        assert!(limiter.take(client(1), at(60_000)).is_err());
    }

    #[test]
    fn one_client_does_not_use_up_what_is_anothers() {
        let mut limiter = limiter();
        while limiter.take(client(1), at(0)).is_ok() {}
        assert_eq!(limiter.take(client(2), at(0)), Ok(()));
        assert_eq!(limiter.take((Some("prometheus".to_owned()), client(1).1), at(0)), Ok(()));
    }

    #[test]
    fn the_table_stays_bounded_and_a_busy_client_is_not_forgotten() {
        let mut limiter = limiter();
        while limiter.take(client(0), at(0)).is_ok() {}
        for number in 1..20_000 {
            assert_eq!(
                limiter.take(client(number), at(0)),
                Ok(()),
                "a newcomer always has a bucket of its own"
            );
        }
        assert_eq!(limiter.full_at.len(), MOST_CLIENTS);
        assert!(limiter.take(client(0), at(0)).is_err());
        assert_eq!(limiter.take(client(50_000), at(10_000)), Ok(()));
        assert_eq!(limiter.full_at.len(), 1, "full buckets are forgotten when room is needed");
    }
}
