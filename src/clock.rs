//! The only file that reads a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use cxone_core::time::{Monotonic, Now, Timestamp};

/// The source of time. Both clocks are read together, so that all parts of a decision see the same
/// time.
#[derive(Clone, Debug)]
pub struct Clock {
    began: Instant,
    wall: Wall,
}

#[derive(Clone, Debug)]
enum Wall {
    System,
    /// Wall time that advances with tokio's time, for runs in virtual time: milliseconds since 1970
    /// at the start, moved by every step since.
    Virtual(Arc<AtomicI64>),
}

#[allow(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self { began: Instant::now(), wall: Wall::System }
    }

    /// A wall clock that starts at `utc` and advances with tokio's time, paused or not.
    #[must_use]
    pub fn starting_at(utc: Timestamp) -> Self {
        Self { began: Instant::now(), wall: Wall::Virtual(Arc::new(AtomicI64::new(utc.millis()))) }
    }

    /// Moves the wall clock, and that of every clone, by this many milliseconds, as a time server
    /// does. The machine's own clock cannot be moved.
    pub fn step(&self, millis: i64) {
        match &self.wall {
            Wall::System => {}
            Wall::Virtual(start) => {
                start.fetch_add(millis, Ordering::Relaxed);
            }
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = self.began.elapsed();
        let utc = match &self.wall {
            Wall::System => system_time(),
            Wall::Virtual(start) => {
                Timestamp::from_millis(start.load(Ordering::Relaxed)).plus(elapsed)
            }
        };
        Now { instant: Monotonic::from_elapsed(elapsed), utc }
    }

    /// How long the machine has been running, suspension included: what a lease is measured by, for
    /// its other end goes on while this machine is suspended. In virtual time, since the start.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        match &self.wall {
            Wall::System => clock_gettime(ClockId::CLOCK_BOOTTIME)
                .map_or_else(|_| self.began.elapsed(), Duration::from),
            Wall::Virtual(_) => self.began.elapsed(),
        }
    }

    /// Waits until `deadline`; returns at once when it has passed.
    pub async fn sleep_until(&self, deadline: Monotonic) {
        tokio::time::sleep_until(self.began + deadline.elapsed()).await;
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
fn system_time() -> Timestamp {
    let since_1970 =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(0).plus(since_1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_moves_the_wall_time_and_not_the_monotonic_time() {
        let clock = Clock::starting_at(Timestamp::from_millis(7_200_000));
        let before = clock.clone().now();
        clock.step(-3_600_000);
        tokio::time::advance(Duration::from_secs(1)).await;
        let after = clock.clone().now();
        assert_eq!(after.utc, Timestamp::from_millis(3_601_000));
        assert_eq!(after.instant, before.instant.plus(Duration::from_secs(1)));
    }
}
