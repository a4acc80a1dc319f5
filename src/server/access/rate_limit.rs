//! Rate limits: a token bucket for each client, in a bounded table. Libraries for it keep every
//! client that they ever saw, or read the clock themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::admission::Peer;
use crate::config::web::RateLimit;
use cxone_core::time::Monotonic;

/// Maximum number of buckets; beyond it, the one nearest to full is dropped, which gives away the
/// least.
const MAX_BUCKETS: usize = 4096;

/// Whose requests are counted: the authenticated user, if any, and the client.
pub(super) type BucketKey = (Option<String>, Peer);

#[derive(Debug)]
pub(super) struct RateLimiter {
    rate: RateLimit,
    /// When each bucket is full again; one that is full needs no entry.
    full_at: BTreeMap<BucketKey, Monotonic>,
}

impl RateLimiter {
    pub(super) fn new(rate: RateLimit) -> Self {
        Self { rate, full_at: BTreeMap::new() }
    }

    pub(super) fn rate(&self) -> RateLimit {
        self.rate
    }

    /// Takes a token, or returns the time after which there will be one.
    pub(super) fn take(&mut self, key: BucketKey, now: Monotonic) -> Result<(), Duration> {
        let RateLimit { interval, burst } = self.rate;
        let full_at = self.full_at.get(&key).copied().unwrap_or(now).max(now);
        let missing = full_at.since(now).saturating_add(interval);
        let capacity = interval.saturating_mul(burst.get());
        if missing > capacity {
            return Err(missing.saturating_sub(capacity));
        }
        if !self.full_at.contains_key(&key) {
            self.drop_one(now);
        }
        self.full_at.insert(key, full_at.plus(interval));
        Ok(())
    }

    fn drop_one(&mut self, now: Monotonic) {
        if self.full_at.len() < MAX_BUCKETS {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= MAX_BUCKETS
            && let Some(nearest) =
                self.full_at.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| key.clone())
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

    fn limiter() -> RateLimiter {
        RateLimiter::new(RateLimit { interval: SECOND, burst: NonZeroU32::new(3).unwrap() })
    }

    fn key(number: u32) -> BucketKey {
        (None, Peer::V4(Ipv4Addr::from(number)))
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic::from_elapsed(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_passes_then_one_request_per_interval_and_a_refusal_contains_the_wait() {
        let mut limiter = limiter();
        for _ in 0..3 {
            assert_eq!(limiter.take(key(1), at(0)), Ok(()));
        }
        assert_eq!(limiter.take(key(1), at(0)), Err(SECOND));
        assert_eq!(limiter.take(key(1), at(400)), Err(Duration::from_millis(600)));
        assert_eq!(limiter.take(key(1), at(1_000)), Ok(()));
        assert_eq!(limiter.take(key(1), at(1_001)), Err(Duration::from_millis(999)));
        for _ in 0..3 {
            assert_eq!(
                limiter.take(key(1), at(60_000)),
                Ok(()),
                "a bucket holds no more than the burst, and no less"
            );
        }
        assert!(limiter.take(key(1), at(60_000)).is_err());
    }

    #[test]
    fn each_client_and_user_has_a_bucket_of_its_own() {
        let mut limiter = limiter();
        while limiter.take(key(1), at(0)).is_ok() {}
        assert_eq!(limiter.take(key(2), at(0)), Ok(()));
        assert_eq!(limiter.take((Some("prometheus".to_owned()), key(1).1), at(0)), Ok(()));
    }

    #[test]
    fn the_table_is_bounded_and_the_bucket_of_a_busy_client_is_kept() {
        let mut limiter = limiter();
        while limiter.take(key(0), at(0)).is_ok() {}
        for number in 1..5_000 {
            assert_eq!(
                limiter.take(key(number), at(0)),
                Ok(()),
                "a newcomer always has a bucket of its own"
            );
        }
        assert_eq!(limiter.full_at.len(), MAX_BUCKETS);
        assert!(limiter.take(key(0), at(0)).is_err());
        assert_eq!(limiter.take(key(50_000), at(10_000)), Ok(()));
        assert_eq!(limiter.full_at.len(), 1, "full buckets are dropped first");
    }
}
