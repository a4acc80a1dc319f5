//! The only file that reads a clock.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::domain::time::{Monotonic, Now, Timestamp};

/// Where now comes from. Both faces are read together, so that no two parts of a decision see different times.
#[derive(Clone, Debug)]
pub struct Clock {
    began: Instant,
    wall: Wall,
}

#[derive(Clone, Debug)]
enum Wall {
    System,
    /// Wall time that moves with tokio's time, from a set start: for runs in virtual time.
    Virtual(Timestamp),
}

#[allow(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self { began: Instant::now(), wall: Wall::System }
    }

    /// A wall clock that begins at `utc` and moves with tokio's time, paused or not.
    #[must_use]
    pub fn starting_at(utc: Timestamp) -> Self {
        Self { began: Instant::now(), wall: Wall::Virtual(utc) }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Now {
        let elapsed = self.began.elapsed();
        let utc = match self.wall {
            Wall::System => system_time(),
            Wall::Virtual(start) => start.plus(elapsed),
        };
        Now { instant: Monotonic::from_elapsed(elapsed), utc }
    }

    /// Waits until `deadline`; returns at once when it has passed.
    pub async fn sleep_until(&self, deadline: Monotonic) {
        tokio::time::sleep_until(self.began + deadline.elapsed()).await;
    }
}

#[allow(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
fn system_time() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp::from_millis(0).plus(since_1970)
}
