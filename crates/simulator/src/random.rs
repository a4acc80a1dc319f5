//! Numbers that follow from a seed: the same on every run and machine.

/// The odd constant of splitmix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct RandomStream(u64);

impl RandomStream {
    /// The stream of `seed` for `purpose`.
    pub(crate) fn new(seed: u64, purpose: &[u64]) -> Self {
        Self(hash(seed, purpose))
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        finish(self.0)
    }

    /// The next number in `[low, high)`; `low` if that is empty.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % high.saturating_sub(low).max(1)
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.next() % 1000 < per_mille
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If there are no choices.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let count = u64::try_from(choices.len()).expect("a list's length fits 64 bits");
        let index = usize::try_from(self.between(0, count)).expect("below the list's length");
        choices[index]
    }
}

/// A number that follows from `seed` and `parts`, in their order.
pub(crate) fn hash(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(finish(seed.wrapping_add(GOLDEN)), |hash, &part| {
        finish(hash.rotate_left(23) ^ finish(part.wrapping_add(GOLDEN)))
    })
}

/// A number that follows from `text` (FNV-1a).
pub(crate) fn hash_text(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `number` as a share in `[0, 1)`.
pub(crate) fn share(number: u64) -> f64 {
    const STEPS: f64 = 9_007_199_254_740_992.0;
    (number >> 11) as f64 / STEPS
}

/// The bits of `number`, well stirred.
fn finish(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_follows_from_its_seed_and_purpose_alone() {
        let first: Vec<u64> = std::iter::repeat_with({
            let mut random = RandomStream::new(7, &[1, 2]);
            move || random.next()
        })
        .take(5)
        .collect();
        let mut again = RandomStream::new(7, &[1, 2]);
        assert!(first.iter().all(|&number| number == again.next()));
        assert_ne!(first[0], RandomStream::new(7, &[2, 1]).next());
        assert_ne!(first[0], RandomStream::new(8, &[1, 2]).next());
    }

    #[test]
    fn shares_are_spread_evenly_below_one() {
        let mut random = RandomStream::new(1, &[]);
        let shares: Vec<f64> = (0..10_000).map(|_| share(random.next())).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        let below_a_tenth = shares.iter().filter(|&&share| share < 0.1).count();
        assert!((900..1100).contains(&below_a_tenth), "{below_a_tenth} of 10,000");
    }
}
