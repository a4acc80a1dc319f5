//! Waits that grow, and the randomness in them.

use std::time::Duration;

/// Random numbers from a seed: splitmix64, enough to keep many clients from moving in step.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that `seed` begins.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Another sequence, independent of this one.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A time from zero to `max`.
    pub fn up_to(&mut self, max: Duration) -> Duration {
        let micros = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.next() % micros.saturating_add(1).max(1))
    }
}

/// A wait that doubles with every failure in a row.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits from `first`, doubling, to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    fn grow(&mut self) -> Duration {
        let wait = self.first.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// The next wait with full jitter: anything from zero to the wait.
    pub fn full_jitter(&mut self, random: &mut Random) -> Duration {
        let wait = self.grow();
        random.up_to(wait)
    }

    /// The next wait and up to half of it more, where `first` is a minimum.
    pub fn at_least(&mut self, random: &mut Random) -> Duration {
        let wait = self.grow();
        wait + random.up_to(wait / 2)
    }

    /// After a success: the next wait is the first one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_a_success() {
        let mut random = Random::from_seed(7);
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));
        for least in [5, 10, 20, 40, 60, 60] {
            let wait = backoff.at_least(&mut random);
            let least = Duration::from_secs(least);
            assert!(wait >= least && wait <= least + least / 2, "{wait:?} after {least:?}");
        }
        backoff.reset();
        assert!(backoff.full_jitter(&mut random) <= Duration::from_secs(5));
    }

    #[test]
    fn full_jitter_reaches_over_the_whole_wait() {
        let mut random = Random::from_seed(1);
        let waits: Vec<Duration> =
            (0..200).map(|_| random.up_to(Duration::from_secs(10))).collect();
        assert!(
            waits.iter().any(|wait| *wait < Duration::from_secs(1))
                && waits.iter().any(|wait| *wait > Duration::from_secs(9))
        );
    }
}
